//! [`Snapshot`]: a dataset-day as a reader sees it, from any process, while it is being written or afterwards.
//!
//! 1. Only what is committed is mapped, and of a page that is not trusted only what is durable: no record is ever seen in part.
//! 2. A snapshot stands still until it is refreshed; its bytes never change, whatever the writer does.
//! 3. Late records are merged in: `row` counts in the merged order, `column_bytes` shows the columns as they lie.
//! 4. State and generation are looked at before and after the files are opened: files of two generations never mix.
//! 5. A day whose page is gone is read from its columns alone.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::column::load;
use super::commit::{PAGE, Phase, State};
use super::error::{At, StoreError};
use super::files::key_column;
use super::filesystem::BootId;
use super::late::{LateValues, Payloads};
use super::map::ReadMap;
use super::merge::{self, Merge};
use super::page::Page;
use super::place::{DayKey, Place};
use crate::product::ProductId;
use crate::schema::{Column, ColumnSet, Layout, Source};
use crate::time::{DateFormat, UtcDay};

/// Where a day was in its life when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayState {
    /// It grows.
    Live,
    /// Its files are final, but for a replacement.
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
    set: ColumnSet,
    columns: Vec<ReadMap>,
    pub(super) records: usize,
    pub(super) late: Vec<L::Row>,
    /// Late records that the page promised.
    pub(super) late_promised: u32,
    merge: Merge,
    layout: PhantomData<L>,
}

/// How long files that change under the reader's hands are tried again.
const PATIENCE: Duration = Duration::from_secs(5);

impl<L: Layout> Snapshot<L> {
    /// Opens a day; nothing where there is none.
    ///
    /// # Errors
    /// Where files are missing or too short, or cannot be read.
    pub fn open(dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        Self::open_on(BootId::read(), dir, product, date)
    }

    /// Opens a day as if on another boot; tests only.
    #[doc(hidden)]
    pub fn open_on(boot: Option<BootId>, dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let view = look(dir, &key, boot)?;
        Ok(view.map(|view| Self { dir: dir.to_owned(), key, boot, view }))
    }

    /// Looks again. Tells whether anything is new: records, late records, a seal or a replacement.
    ///
    /// # Errors
    /// As [`Snapshot::open`]; also where the day is gone.
    pub fn refresh(&mut self) -> Result<bool, StoreError> {
        if let Some(page) = &self.view.page
            && let Some(state) = page.state()
            && shown(&state) == self.view.state
            && state.phase != Phase::Replacing
        {
            let (records, late) = visible(page, &state, self.view.table.len());
            if records == self.view.records as u64 && late == self.view.late_promised {
                return Ok(false);
            }
        }
        match look(&self.dir, &self.key, self.boot)? {
            Some(view) => self.view = view,
            // Met before it had a page: it is being made this moment, or once more after a death.
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

    /// Shows the late records in the order they came.
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
        (number < self.view.records).then(|| load::<L>(&Committed { columns: &self.view.columns, record: number }))
    }

    /// Gives the key of record `number` of the merged order, without loading the record.
    #[must_use]
    pub fn key_at(&self, number: usize) -> Option<u64> {
        if number >= self.count() {
            return None;
        }
        match self.view.merge.place(number) {
            merge::Place::Column(record) => Committed { columns: &self.view.columns, record }.u64(key_column(L::DATASET)?),
            merge::Place::Late(number) => self.view.late.get(number).map(L::key),
        }
    }

    /// Goes through the records in the merged order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = L::Row> {
        (0..self.count()).filter_map(|number| self.row(number))
    }

    /// Tells where the day is in its life.
    #[must_use]
    pub fn state(&self) -> DayState {
        self.view.state
    }

    /// Tells which columns the day has.
    #[must_use]
    pub fn column_set(&self) -> ColumnSet {
        self.view.set
    }

    /// Shows a column's bytes, late records not among them; empty where the day has no such column.
    #[must_use]
    pub fn column_bytes(&self, column: usize) -> &[u8] {
        self.view.columns.get(column).map_or(&[], ReadMap::bytes)
    }
}

fn shown(state: &State) -> DayState {
    match state.phase {
        Phase::Live => DayState::Live,
        Phase::Sealed => DayState::Sealed { generation: state.generation },
        Phase::Replacing => DayState::Sealed { generation: state.generation + 1 },
    }
}

/// Gives the records and late records that a page lets be seen.
fn visible(page: &Page, state: &State, columns: usize) -> (u64, u32) {
    let trusted = page.is_trusted();
    match state.phase {
        Phase::Live if trusted => (page.committed(), page.late(state.generation)),
        Phase::Live => {
            let slots = page.slots().into_iter().map(|(_, slot)| slot);
            let newest = slots
                .filter(|slot| slot.generation == state.generation && slot.extent.crcs.len() == columns)
                .filter(|slot| slot.extent.records >= state.extent.records)
                .max_by_key(|slot| slot.sequence);
            newest.map_or((state.extent.records, 0), |slot| (slot.extent.records, slot.late))
        }
        Phase::Sealed if trusted => (state.extent.records, page.late(state.generation)),
        // Late records prove themselves.
        Phase::Sealed => (state.extent.records, u32::MAX),
        Phase::Replacing => (state.extent.records, 0),
    }
}

fn look<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Option<View<L>>, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let failed = match look_once(dir, key, boot) {
            Ok(Some(Ok(view))) => return Ok(Some(view)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(Changed))) => StoreError::InUse { path: dir.to_owned() },
            // Files are cut, renamed and removed while a day changes its state; what is wrong now may be right in a moment.
            Err(error) if is_settled(dir, key, boot) => return Err(error),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(failed);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The day changed its state while it was opened.
struct Changed;

/// Tells whether nobody is likely to be changing the day: then a fault is a fault at once.
fn is_settled(dir: &Path, key: &DayKey, boot: Option<BootId>) -> bool {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let page = File::open(&path).and_then(|file| Page::map(&file, false, boot, &path));
    // Without a page that can be read the day may be in the making, once more after a death: its columns come and go.
    page.is_ok_and(|page| !page.is_trusted()) || super::lock::holder_of(dir).is_ok_and(|holder| holder.is_none())
}

fn look_once<L: Layout>(dir: &Path, key: &DayKey, boot: Option<BootId>) -> Result<Option<Result<View<L>, Changed>>, StoreError> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(bare(dir, key)?.map(Ok)),
        Err(error) => return Err(error).at("open", &path),
    };
    if file.metadata().at("look at", &path)?.len() < PAGE as u64 {
        return Ok(None);
    }
    let page = Page::map(&file, false, boot, &path).at("map", &path)?;
    let (Some(identity), Some(state)) = (page.identity(), page.state()) else { return Ok(None) };
    if identity.key != *key {
        return Err(StoreError::damaged(&path, format!("it is the page of {}", identity.key)));
    }
    let table = key.dataset.columns_of(identity.set);
    let is_trusted = page.is_trusted();
    let (records, late_promised) = visible(&page, &state, table.len());
    let mut columns = Vec::with_capacity(table.len());
    for column in table {
        columns.push(map_column(&place, column, records, state.phase == Phase::Replacing)?);
    }
    let payloads = Payloads::read(&place.late(), table, state.generation, u64::from(late_promised))?;
    let now = page.state();
    // A page that has come to be trusted meanwhile has a writer again: late records that proved themselves may be ones that it has yet to commit.
    let same = now.as_ref().is_some_and(|now| shown(now) == shown(&state)) && page.is_trusted() == is_trusted;
    if !same {
        return Ok(Some(Err(Changed)));
    }
    let late: Vec<L::Row> = payloads.iter().map(|payload| load::<L>(&LateValues { payload, columns: table })).collect();
    let records = usize::try_from(records).map_err(|_| StoreError::damaged(&path, "more records than there is memory"))?;
    let merge = merged::<L>(&columns, records, &late);
    // Of a page that is not trusted, what proves itself is all that was promised.
    let late_promised = if late_promised == u32::MAX { u32::try_from(late.len()).unwrap_or(u32::MAX) } else { late_promised };
    let state = shown(&state);
    Ok(Some(Ok(View {
        place,
        page: Some(page),
        state,
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

fn merged<L: Layout>(columns: &[ReadMap], records: usize, late: &[L::Row]) -> Merge {
    match key_column(L::DATASET) {
        Some(key) if !late.is_empty() => {
            let keys: Vec<u64> = late.iter().map(L::key).collect();
            Merge::by_key(records, |record| Committed { columns, record }.u64(key).unwrap_or(0), &keys)
        }
        _ => Merge::behind(records, late.len()),
    }
}

/// Maps a column. While it is being replaced the new file counts: it is complete, under its temporary name or already under its own.
fn map_column(place: &Place, column: &Column, records: u64, replacing: bool) -> Result<ReadMap, StoreError> {
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
    ReadMap::new(&file, len, &path).at("map", &path)
}

/// Looks at a day that has no page.
fn bare<L: Layout>(dir: &Path, key: &DayKey) -> Result<Option<View<L>>, StoreError> {
    let spellings = [DateFormat::Iso, DateFormat::Dmy].map(|format| Place::new(dir, key, format));
    let length = |place: &Place, column: &Column| {
        std::fs::metadata(place.column(column.name)).map(|found| found.len() / column.kind.width() as u64).ok()
    };
    for place in spellings {
        for set in [ColumnSet::Full, ColumnSet::Core] {
            let table = key.dataset.columns_of(set);
            let Some(lengths) = table.iter().map(|column| length(&place, column)).collect::<Option<Vec<u64>>>() else { continue };
            let records = lengths.into_iter().min().unwrap_or(0);
            let columns = table.iter().map(|column| map_column(&place, column, records, false)).collect::<Result<Vec<_>, _>>()?;
            let records = usize::try_from(records).map_err(|_| StoreError::damaged(place.folder(), "more records than there is memory"))?;
            let merge = Merge::behind(records, 0);
            let (state, late) = (DayState::Bare, Vec::new());
            return Ok(Some(View {
                place,
                page: None,
                state,
                table,
                set,
                columns,
                records,
                late,
                late_promised: 0,
                merge,
                layout: PhantomData,
            }));
        }
    }
    Ok(None)
}

/// Gives the values of one committed record.
struct Committed<'a> {
    columns: &'a [ReadMap],
    record: usize,
}

impl Committed<'_> {
    #[inline]
    fn bytes<const N: usize>(&self, column: usize) -> Option<[u8; N]> {
        self.columns.get(column)?.bytes().get(self.record * N..)?.first_chunk().copied()
    }
}

impl Source for Committed<'_> {
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
