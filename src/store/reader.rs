//! [`Snapshot`]: a dataset-day as a reader sees it, from any process, while it is being written or afterwards.
//!
//! 1. Only committed records are mapped; if the page is not trusted, only durable ones. So no record is ever seen in part.
//! 2. A snapshot does not change until it is refreshed, whatever the writer does.
//! 3. Late records are merged in: `row` counts in the merged order, `column_bytes` gives the columns as they are stored.
//! 4. State and generation are read before and after the files are opened: files of two generations never mix.
//! 5. A day whose page is missing is read from its columns alone.
//! 6. A folder may hold fewer columns than the table has today ([`Snapshot::columns`]). Values of the others are absent, as in a folder of the core.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::boot::BootId;
use super::column::load;
use super::commit::{PAGE, Phase, State};
use super::error::{At, StoreError};
use super::late::{LateValues, Payloads};
use super::map::ReadMap;
use super::merge::{self, Merge};
use super::page::Page;
use super::place::{DayKey, Place, columns_there};
use crate::product::ProductId;
use crate::schema::{Column, ColumnSet, Layout, Source};
use crate::time::{DateFormat, UtcDay};

/// The state of a day when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayState {
    /// It grows.
    Live,
    /// Its files are final, until they are replaced.
    Sealed {
        /// How often they have been replaced.
        generation: u32,
    },
    /// There is no commit page: bare column files.
    Bare,
}

/// A dataset-day, read-only.
#[derive(Debug)]
pub struct Snapshot<L: Layout> {
    dir: PathBuf,
    key: DayKey,
    boot: Option<BootId>,
    pub(super) view: View<L>,
}

#[derive(Debug)]
pub(super) struct View<L: Layout> {
    pub(super) place: Place,
    pub(super) page: Option<Page>,
    pub(super) state: DayState,
    pub(super) table: &'static [Column],
    pub(super) set: ColumnSet,
    pub(super) columns: Vec<MappedColumn>,
    pub(super) records: usize,
    pub(super) late: Vec<L::Row>,
    /// Late records that the page says there are.
    pub(super) late_promised: u32,
    pub(super) merge: Merge,
    layout: PhantomData<L>,
}

/// A column that is mapped, and the file that it was found in.
#[derive(Debug)]
pub(super) struct MappedColumn {
    map: ReadMap,
    pub(super) path: PathBuf,
}

/// How long a day whose files change while it is opened is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY_INTERVAL: Duration = Duration::from_micros(200);

impl<L: Layout> Snapshot<L> {
    /// Opens a day; nothing where there is none.
    ///
    /// # Errors
    /// Where files are missing or too short, or cannot be read.
    pub fn open(dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        Self::open_on(BootId::read(), dir, product, date)
    }

    /// Opens a day as on another boot; tests only.
    #[doc(hidden)]
    pub fn open_on(boot: Option<BootId>, dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let view = open_view(dir, &key, boot)?;
        Ok(view.map(|view| Self { dir: dir.to_owned(), key, boot, view }))
    }

    /// Opens the day again. Tells whether anything is new: records, late records, a seal or a replacement.
    ///
    /// # Errors
    /// As [`Snapshot::open`]; also where the day is gone.
    pub fn refresh(&mut self) -> Result<bool, StoreError> {
        if let Some(page) = &self.view.page
            && let Some(state) = page.state()
            && shown(&state) == self.view.state
            && state.phase != Phase::Replacing
        {
            let seen = Visible::of(page, &state);
            if seen.records == self.view.records as u64 && seen.late == LateCount::AsSaid(self.view.late_promised) {
                return Ok(false);
            }
        }
        match open_view(&self.dir, &self.key, self.boot)? {
            Some(view) => self.view = view,
            // The snapshot was opened before the day had a page: its files are being made just now, perhaps again after a crash.
            None if self.view.page.is_none() && self.view.records == 0 => return Ok(false),
            None => return Err(StoreError::damaged(&self.view.place.page(), "the day is gone")),
        }
        Ok(true)
    }

    /// Shows whose day it is.
    #[must_use]
    pub fn key(&self) -> &DayKey {
        &self.key
    }

    /// Gives the number of records, late ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.view.merge.len()
    }

    /// Gives the number of records in the columns.
    #[must_use]
    pub fn base_count(&self) -> usize {
        self.view.records
    }

    /// Gives the late records in the order they came.
    #[must_use]
    pub fn late(&self) -> &[L::Row] {
        &self.view.late
    }

    /// Gives record `number` of the merged order.
    #[must_use]
    pub fn row(&self, number: usize) -> Option<L::Row> {
        if number >= self.count() {
            return None;
        }
        match self.view.merge.place(number) {
            merge::Place::Column(record) => self.base_row(record),
            merge::Place::Late(number) => self.view.late.get(number).copied(),
        }
    }

    /// Gives record `number` of the columns.
    #[must_use]
    pub fn base_row(&self, number: usize) -> Option<L::Row> {
        (number < self.view.records).then(|| load::<L>(&CommittedRecord { columns: &self.view.columns, record: number }))
    }

    /// Gives the key of record `number` of the merged order, without loading the record.
    #[must_use]
    pub(crate) fn key_at(&self, number: usize) -> Option<u64> {
        if number >= self.count() {
            return None;
        }
        match self.view.merge.place(number) {
            merge::Place::Column(record) => CommittedRecord { columns: &self.view.columns, record }.u64(L::DATASET.key_column()?),
            merge::Place::Late(number) => self.view.late.get(number).map(L::key),
        }
    }

    /// Iterates over the records in the merged order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = L::Row> {
        (0..self.count()).filter_map(|number| self.row(number))
    }

    /// Gives the day's state.
    #[must_use]
    pub fn state(&self) -> DayState {
        self.view.state
    }

    /// Tells whether the folder holds the core alone.
    #[must_use]
    pub fn column_set(&self) -> ColumnSet {
        self.view.set
    }

    /// Gives the columns that the folder holds: the front of the dataset's table, as long as the table was when the day began.
    #[must_use]
    pub fn columns(&self) -> &'static [Column] {
        self.view.table
    }

    /// Gives a column's bytes, without late records; empty where the folder has no such column.
    #[must_use]
    pub fn column_bytes(&self, column: usize) -> &[u8] {
        self.view.columns.get(column).map_or(&[], |column| column.map.bytes())
    }
}

fn shown(state: &State) -> DayState {
    match state.phase {
        Phase::Live => DayState::Live,
        Phase::Sealed => DayState::Sealed { generation: state.generation },
        Phase::Replacing => DayState::Sealed { generation: state.generation + 1 },
    }
}

/// How many late records of a day a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LateCount {
    /// As many as the page says.
    AsSaid(u32),
    /// The page does not count: those at the front of the file that are whole.
    AllWhole,
}

/// The records of a day that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Visible {
    records: u64,
    late: LateCount,
}

impl Visible {
    fn of(page: &Page, state: &State) -> Self {
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

fn open_view<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Option<View<L>>, StoreError> {
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
    let page = File::open(&path).and_then(|file| Page::map(&file, false, boot, &path));
    // A day whose page cannot be read may be being made, perhaps again after a crash: its columns come and go.
    page.is_ok_and(|page| !page.is_trusted()) || super::lock::holder_of(dir).is_ok_and(|holder| holder.is_none())
}

fn open_once<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Opened<L>, StoreError> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return open_without_page(dir, key),
        Err(error) => return Err(error).at("open", &path),
    };
    if file.metadata().at("look at", &path)?.len() < PAGE as u64 {
        return Ok(Opened::Nothing);
    }
    let page = Page::map(&file, false, boot, &path).at("map", &path)?;
    let (Some(identity), Some(state)) = (page.identity(), page.state()) else { return Ok(Opened::Nothing) };
    if identity.key != *key {
        return Err(StoreError::damaged(&path, format!("it is the page of {}", identity.key)));
    }
    let table = identity.columns(L::COLUMNS, &path)?;
    let is_trusted = page.is_trusted();
    let seen = Visible::of(&page, &state);
    let is_replacing = state.phase == Phase::Replacing;
    let columns = table.iter().map(|column| map_column(&place, column, seen.records, is_replacing)).collect::<Result<Vec<_>, _>>()?;
    let most_late = match seen.late {
        LateCount::AsSaid(late) => u64::from(late),
        LateCount::AllWhole => u64::MAX,
    };
    let payloads = Payloads::read(&place.late(), table, state.generation, most_late)?;
    let now = page.state();
    // A page that has become trusted meanwhile has a writer again: whole late records may be ones that it has not committed yet.
    let is_unchanged = now.as_ref().is_some_and(|now| shown(now) == shown(&state)) && page.is_trusted() == is_trusted;
    if !is_unchanged {
        return Ok(Opened::Changed);
    }
    let late: Vec<L::Row> = payloads.iter().map(|payload| load::<L>(&LateValues { payload, columns: table })).collect();
    let records = usize::try_from(seen.records).map_err(|_| StoreError::damaged(&path, "more records than there is memory"))?;
    let merge = merged::<L>(&columns, records, &late);
    let late_promised = match seen.late {
        LateCount::AsSaid(late) => late,
        LateCount::AllWhole => u32::try_from(late.len()).unwrap_or(u32::MAX),
    };
    Ok(Opened::View(Box::new(View {
        place,
        page: Some(page),
        state: shown(&state),
        table,
        set: identity.set,
        columns,
        records,
        late,
        late_promised,
        merge,
        layout: PhantomData,
    })))
}

fn merged<L: Layout>(columns: &[MappedColumn], records: usize, late: &[L::Row]) -> Merge {
    match L::DATASET.key_column() {
        Some(key) if !late.is_empty() => {
            let keys: Vec<u64> = late.iter().map(L::key).collect();
            Merge::by_key(records, |record| CommittedRecord { columns, record }.u64(key).unwrap_or(0), &keys)
        }
        _ => Merge::behind(records, late.len()),
    }
}

/// Maps a column. During a replacement the new file counts: it is complete, under its temporary name or already under its own.
fn map_column(place: &Place, column: &Column, records: u64, replacing: bool) -> Result<MappedColumn, StoreError> {
    let (own, new) = (place.column(column.name), place.replacement(column.name));
    let (path, file) = match File::open(&new) {
        Ok(file) if replacing => (new, file),
        _ => {
            let file = File::open(&own).at("open", &own)?;
            (own, file)
        }
    };
    let want = records * column.kind.width() as u64;
    let found = file.metadata().at("look at", &path)?.len();
    if found < want {
        return Err(StoreError::damaged(&path, format!("{found} bytes do not hold {records} records")));
    }
    let len = usize::try_from(want).map_err(|_| StoreError::damaged(&path, "more records than there is memory"))?;
    let map = ReadMap::new(&file, len, &path).at("map", &path)?;
    Ok(MappedColumn { map, path })
}

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
        let columns = table.iter().map(|column| map_column(&place, column, records, false)).collect::<Result<Vec<_>, _>>()?;
        let records = usize::try_from(records).map_err(|_| StoreError::damaged(place.folder(), "more records than there is memory"))?;
        let (state, merge) = (DayState::Bare, Merge::behind(records, 0));
        let layout = PhantomData;
        return Ok(Some(View {
            place,
            page: None,
            state,
            table,
            set,
            columns,
            records,
            late: Vec::new(),
            late_promised: 0,
            merge,
            layout,
        }));
    }
    Ok(None)
}

/// Gives the values of one committed record.
struct CommittedRecord<'a> {
    columns: &'a [MappedColumn],
    record: usize,
}

impl CommittedRecord<'_> {
    #[inline]
    fn bytes<const N: usize>(&self, column: usize) -> Option<[u8; N]> {
        self.columns.get(column)?.map.bytes().get(self.record * N..)?.first_chunk().copied()
    }
}

impl Source for CommittedRecord<'_> {
    fn u32(&self, column: usize) -> Option<u32> {
        self.bytes(column).map(u32::from_le_bytes)
    }

    fn u64(&self, column: usize) -> Option<u64> {
        self.bytes(column).map(u64::from_le_bytes)
    }

    fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.bytes(column)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::Trades;
    use crate::store::{DataDir, Day, StoreOptions};
    use crate::time::{NANOS_PER_SECOND, SECONDS_PER_DAY, UnixNanos};

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
}
