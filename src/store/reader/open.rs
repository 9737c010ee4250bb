//! Opening a day: which of its records a reader may see, and the maps of its columns.
//!
//! State and generation are read before and after the files are opened. A day that changes meanwhile is opened again, for a while.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::view::{DayState, MappedColumn, View};
use crate::schema::{Column, ColumnSet, Layout};
use crate::store::boot::BootId;
use crate::store::column::load;
use crate::store::commit::{PAGE, Phase, State};
use crate::store::error::{At, MAP, StoreError};
use crate::store::late::{LateValues, Payloads};
use crate::store::lock::holder_of;
use crate::store::map::ReadMap;
use crate::store::merge::Merge;
use crate::store::own_file::{FileId, open_plain};
use crate::store::page::Page;
use crate::store::place::{DayKey, Place, columns_there};
use crate::time::DateFormat;

/// How long a day whose files change while it is opened is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY_INTERVAL: Duration = Duration::from_micros(200);

/// Gives the generation of the files that count in this state.
pub(super) fn generation_of(state: &State) -> u32 {
    state.generation.saturating_add(u32::from(state.phase == Phase::Replacing))
}

/// Gives what a reader is told of this state.
pub(super) fn shown(state: &State) -> DayState {
    match state.phase {
        Phase::Live => DayState::Live,
        Phase::Sealed | Phase::Replacing => DayState::Sealed { generation: generation_of(state) },
    }
}

/// How many late records of a day a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LateCount {
    /// As many as the page says.
    AsSaid(u32),
    /// The page does not count: those at the front of the file that are whole.
    AllWhole,
}

/// The records of a day that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) records: u64,
    pub(super) late: LateCount,
}

impl Visible {
    pub(super) fn of(page: &Page, state: &State) -> Self {
        let as_said = |records, late| Self { records, late: LateCount::AsSaid(late) };
        match state.phase {
            Phase::Live if page.is_trusted() => as_said(page.committed(), page.late(state.generation)),
            Phase::Live | Phase::Replacing => {
                let durable = page.durable(state);
                as_said(durable.extent.records, durable.late)
            }
            Phase::Sealed if page.is_trusted() => as_said(state.extent.records, page.late(state.generation)),
            Phase::Sealed => Self { records: state.extent.records, late: LateCount::AllWhole },
        }
    }
}

pub(super) fn open_view<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Option<View<L>>, StoreError> {
    let deadline = Instant::now() + RETRY_TIMEOUT;
    loop {
        let failed = match open_once(dir, key, boot) {
            Ok(Opened::View(view)) => return Ok(Some(*view)),
            Ok(Opened::Nothing) => return Ok(None),
            Ok(Opened::Changed) => StoreError::InUse { path: dir.to_owned() },
            // Files are cut, renamed and removed while a day changes its state: the next try may succeed.
            Err(error) if is_settled(dir, key, boot) => return Err(error),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(failed);
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
}

/// What one try to open a day came to.
enum Opened<L: Layout> {
    View(Box<View<L>>),
    /// There is no such day.
    Nothing,
    /// The day changed its state meanwhile.
    Changed,
}

/// Tells whether nobody is likely to be changing the day, so that an error need not be tried again.
fn is_settled(dir: &Path, key: &DayKey, boot: Option<BootId>) -> bool {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let page = open_plain(&path).and_then(|file| Page::map(&file, false, boot, &path));
    // A day whose page cannot be read, or of which nothing was ever on disk, may be being made, perhaps again after a crash: its columns come and go.
    let is_made = |page: &Page| page.state().is_some_and(|state| state.phase != Phase::Live) || page.has_durable_records();
    page.is_ok_and(|page| !page.is_trusted() && is_made(&page)) || holder_of(dir).is_ok_and(|holder| holder.is_none())
}

fn open_once<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Opened<L>, StoreError> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let file = match open_plain(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return open_without_page(dir, key),
        Err(error) => return Err(error).at("open", &path),
    };
    if file.metadata().at("look at", &path)?.len() < PAGE as u64 {
        return Ok(Opened::Nothing);
    }
    let page = Page::map(&file, false, boot, &path).at("map", &path)?;
    page.must_be_of_this_version(&path)?;
    let (Some(identity), Some(state)) = (page.identity(), page.state()) else { return Ok(Opened::Nothing) };
    if identity.key != *key {
        return Err(StoreError::damaged(&path, format!("it is the page of {}", identity.key)));
    }
    let table = identity.columns(L::COLUMNS, &path)?;
    let is_trusted = page.is_trusted();
    let seen = Visible::of(&page, &state);
    let is_replacing = state.phase == Phase::Replacing;
    let space = if state.phase == Phase::Live { usize::try_from(seen.records).map_or(0, space_for) } else { 0 };
    let columns =
        table.iter().map(|column| map_column(&place, column, seen.records, space, is_replacing)).collect::<Result<Vec<_>, _>>()?;
    let most_late = match seen.late {
        LateCount::AsSaid(late) => u64::from(late),
        LateCount::AllWhole => u64::MAX,
    };
    let payloads = Payloads::read(&place.late(), table, state.generation, most_late)?;
    let now = page.state();
    // A page that has become trusted meanwhile has a writer again: whole late records may be ones that it has not committed yet.
    let is_unchanged = now.is_some_and(|now| is_same(&now, &state)) && page.is_trusted() == is_trusted;
    if !is_unchanged {
        return Ok(Opened::Changed);
    }
    let records = usize::try_from(seen.records).map_err(|_| StoreError::damaged(&path, "more records than there is memory"))?;
    let page_id = Some(FileId::of_file(&file).at("look at", &path)?);
    let files = Files { place, page: Some(page), page_id, state: shown(&state), generation: generation_of(&state), table, columns };
    let mut view = files.view::<L>(identity.set);
    view.take_in(records, payloads.iter().map(|payload| load::<L>(&LateValues { payload, columns: table })));
    view.late_payloads = payloads;
    view.late_promised = match seen.late {
        LateCount::AsSaid(late) => late,
        LateCount::AllWhole => u32::try_from(view.late.len()).unwrap_or(u32::MAX),
    };
    Ok(Opened::View(Box::new(view)))
}

/// Tells whether files that were opened between two looks at the state are those of the first one. A replacement that has ended meanwhile shows the same day,
/// and yet the names of its new files may be those of the next one's by then.
fn is_same(now: &State, before: &State) -> bool {
    (now.phase, now.generation) == (before.phase, before.generation)
}

/// The files of a day, opened.
struct Files {
    place: Place,
    page: Option<Page>,
    page_id: Option<FileId>,
    state: DayState,
    generation: u32,
    table: &'static [Column],
    columns: Vec<MappedColumn>,
}

impl Files {
    /// Makes a view that does not show any record yet.
    fn view<L: Layout>(self, set: ColumnSet) -> View<L> {
        let Self { place, page, page_id, state, generation, table, columns } = self;
        let (late, late_promised, merge, times, layout) = (Vec::new(), 0, Merge::default(), OnceLock::new(), PhantomData);
        let late_payloads = Payloads::default();
        View {
            place,
            page,
            page_id,
            state,
            generation,
            table,
            set,
            columns,
            records: 0,
            late,
            late_payloads,
            late_promised,
            merge,
            times,
            layout,
        }
    }
}

/// Maps a column, with address space for `space` records. During a replacement the new file counts: it is complete, under its temporary name or already
/// under its own.
fn map_column(place: &Place, column: &Column, records: u64, space: usize, replacing: bool) -> Result<MappedColumn, StoreError> {
    let (own, new) = (place.column(column.name), place.replacement(column.name));
    let (path, file) = match open_plain(&new) {
        Ok(file) if replacing => (new, file),
        _ => {
            let file = open_plain(&own).at("open", &own)?;
            (own, file)
        }
    };
    let width = column.kind.width();
    let want = records * width as u64;
    let metadata = file.metadata().at("look at", &path)?;
    let found = metadata.len();
    if found < want {
        return Err(StoreError::damaged(&path, format!("{found} bytes do not hold {records} records")));
    }
    let len = usize::try_from(want).map_err(|_| StoreError::damaged(&path, "more records than there is memory"))?;
    // Space to spare is a convenience: where a limit refuses it the bytes themselves are mapped.
    let map =
        ReadMap::new(&file, len, space.saturating_mul(width), &path).or_else(|_| ReadMap::new(&file, len, len, &path)).at(MAP, &path)?;
    Ok(MappedColumn { map, path, id: FileId::of(&metadata) })
}

/// Gives the records that a live day is mapped for if it shows `records`.
pub(super) fn space_for(records: usize) -> usize {
    records.saturating_mul(2).max(LEAST_SPACE)
}

/// Records that a live day is mapped for at least: address space of 6 MiB for a day's trades.
const LEAST_SPACE: usize = 1 << 16;

/// Opens a day whose page was not there. A capture that has made the day since then may have made its files longer than its records.
fn open_without_page<L: Layout>(dir: &Path, key: &DayKey) -> Result<Opened<L>, StoreError> {
    let view = open_bare(dir, key)?;
    let is_made = Place::find(dir, key, DateFormat::Iso).page().exists();
    Ok(match view {
        Some(_) if is_made => Opened::Changed,
        Some(view) => Opened::View(Box::new(view)),
        None => Opened::Nothing,
    })
}

/// Opens the columns of a day that has no page.
fn open_bare<L: Layout>(dir: &Path, key: &DayKey) -> Result<Option<View<L>>, StoreError> {
    for place in [DateFormat::Iso, DateFormat::Dmy].map(|format| Place::new(dir, key, format)) {
        let Some((set, table)) = columns_there(&place, L::COLUMNS) else { continue };
        let lengths = table.iter().map(|column| {
            let found = std::fs::metadata(place.column(column.name)).ok()?;
            Some(found.len() / column.kind.width() as u64)
        });
        let Some(lengths) = lengths.collect::<Option<Vec<u64>>>() else { continue };
        let records = lengths.into_iter().min().unwrap_or(0);
        let columns = table.iter().map(|column| map_column(&place, column, records, 0, false)).collect::<Result<Vec<_>, _>>()?;
        let records = usize::try_from(records).map_err(|_| StoreError::damaged(place.folder(), "more records than there is memory"))?;
        let files = Files { place, page: None, page_id: None, state: DayState::Bare, generation: 0, table, columns };
        let mut view = files.view::<L>(set);
        view.take_in(records, []);
        return Ok(Some(view));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::product::ProductId;
    use crate::schema::Trades;
    use crate::store::commit::{Extent, Hot};
    use crate::store::{DataDir, Day, Snapshot, StoreOptions};
    use crate::time::{NANOS_PER_SECOND, SECONDS_PER_DAY, UnixNanos, UtcDay};

    #[test]
    fn a_day_that_is_made_while_its_page_is_looked_for_is_no_bare_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "exchange wss://test").expect("a data directory"));
        let (product, date) = (ProductId::new("BTC-USD").expect("a product"), UtcDay(20_000));
        let now = UnixNanos(u64::from(date.0) * SECONDS_PER_DAY * NANOS_PER_SECOND);
        let (day, _) = Day::<Trades>::open(&dir, &product, date, now).expect("a day");
        day.files().provision().expect("room");
        let key = DayKey { product, dataset: Trades::DATASET, date };
        let longest = Place::find(folder.path(), &key, DateFormat::Iso)
            .files()
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|found| found.len())
            .max();
        assert!(longest > Some(PAGE as u64), "the files are longer than their records");
        let opened = open_without_page::<Trades>(folder.path(), &key).expect("opened");
        assert!(matches!(opened, Opened::Changed));
    }

    #[test]
    fn a_page_that_is_just_being_written_is_looked_at_without_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let (product, date) = (ProductId::new("BTC-USD").expect("a product"), UtcDay(20_000));
        let key = DayKey { product: product.clone(), dataset: Trades::DATASET, date };
        let place = Place::find(folder.path(), &key, DateFormat::Iso);
        std::fs::create_dir_all(place.folder()).expect("made");
        for len in [0, 1, PAGE - 1] {
            std::fs::write(place.page(), vec![0; len]).expect("written");
            // Its columns are not there: the first look may have failed because of that, before the page was begun.
            assert!(is_settled(folder.path(), &key, BootId::read()), "nobody writes to the folder");
            let opened = Snapshot::<Trades>::open(folder.path(), &product, date);
            assert!(matches!(opened, Ok(None)), "{len}: {opened:?}");
        }
    }

    /// The kind: whatever a look meets of a day that is made, set aside and made again, it neither fails for good nor ends the process.
    #[test]
    fn a_day_that_is_made_again_and_again_is_looked_at_without_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "exchange wss://test").expect("a data directory"));
        let (product, date) = (ProductId::new("BTC-USD").expect("a product"), UtcDay(20_000));
        let now = UnixNanos(u64::from(date.0) * SECONDS_PER_DAY * NANOS_PER_SECOND);
        let key = DayKey { product: product.clone(), dataset: Trades::DATASET, date };
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                let mut looks = 0;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let opened = Snapshot::<Trades>::open(folder.path(), &product, date).expect("a day, or none yet");
                    looks += opened.map_or(1, |day| day.rows().filter(|row| row.trade_id == 0).count().max(1));
                }
                looks
            });
            for round in 0..MADE_AGAIN {
                let (day, _) = Day::<Trades>::open(&dir, &product, date, now).expect("a day");
                drop(day);
                // What a kill leaves at the start: columns without a page, empty or with room, which the next start sets aside.
                let place = Place::find(folder.path(), &key, DateFormat::Iso);
                std::fs::remove_file(place.page()).expect("removed");
                if round % 2 == 0 {
                    for file in place.files() {
                        std::fs::remove_file(&file).and_then(|()| std::fs::File::create(&file)).expect("made again, empty");
                    }
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(looker.join().expect("it went on") > 0);
        });
    }

    #[test]
    fn a_day_that_changes_in_any_way_while_it_is_opened_is_opened_again() {
        let states =
            [Phase::Live, Phase::Sealed, Phase::Replacing].into_iter().flat_map(|phase| (0..3).map(move |generation| (phase, generation)));
        let states: Vec<State> =
            states.map(|(phase, generation)| State { phase, hot: Hot::Used, generation, extent: Extent::empty(1) }).collect();
        for (at, before) in states.iter().enumerate() {
            for (other, now) in states.iter().enumerate() {
                assert_eq!(is_same(now, before), at == other, "{before:?} {now:?}");
            }
        }
    }

    const MADE_AGAIN: u32 = 100;
}
