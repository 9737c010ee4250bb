//! [`Snapshot`]: a dataset-day as a reader sees it, from any process, while it is being written or afterwards.
//!
//! 1. Only committed records are mapped; if the page is not trusted, only durable ones. So no record is ever seen in part.
//! 2. A snapshot does not change until it is refreshed, whatever the writer does.
//! 3. Late records are merged in: `row` counts in the merged order, `column_bytes` gives the columns as they are stored.
//! 4. State and generation are read before and after the files are opened: files of two generations never mix.
//! 5. A day whose page is missing is read from its columns alone.
//! 6. A folder may hold fewer columns than the table has today ([`Snapshot::columns`]). Values of the others are absent, as in a folder of the core.

mod ids;
mod open;
pub(super) mod refresh;
pub(super) mod rows;
mod time_index;
mod times;
pub(super) mod typed;
pub(super) mod view;

use std::path::{Path, PathBuf};

use super::boot::BootId;
use super::column::load;
use super::error::StoreError;
use super::late;
use super::merge;
use super::own_file::FileId;
use super::page::Page;
use super::place::DayKey;
use crate::product::ProductId;
use crate::schema::{Column, ColumnSet, Layout, Source as _};
use crate::time::UtcDay;
use open::open_view;
use refresh::{Found, Last, ReadCosts, refresh};
use time_index::TimeIndex;
use view::{CommittedRecord, DayState, View};

/// A dataset-day, read-only.
#[derive(Debug)]
pub struct Snapshot<L: Layout> {
    dir: PathBuf,
    key: DayKey,
    boot: Option<BootId>,
    /// The record of the columns that is shown last.
    last: Option<Last>,
    costs: ReadCosts,
    pub(super) view: View<L>,
}

impl<L: Layout> Snapshot<L> {
    /// Opens a day; nothing where there is none.
    ///
    /// # Errors
    /// Where files are missing or too short, or cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Snapshot, Trades, UtcDay};
    /// let product = ProductId::new("BTC-USD")?;
    /// let day = Snapshot::<Trades>::open(dir, &product, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// assert_eq!((day.count(), day.row(0).ok_or("empty")?.trade_id), (24, 1));
    /// assert!(Snapshot::<Trades>::open(dir, &product, UtcDay::parse("2025-06-09")?)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        Self::open_on(BootId::read(), dir, product, date)
    }

    /// Opens a day as on another boot; tests only.
    #[doc(hidden)]
    pub fn open_on(boot: Option<BootId>, dir: &Path, product: &ProductId, date: UtcDay) -> Result<Option<Self>, StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let view = open_view(dir, &key, boot)?;
        let costs = ReadCosts { opened: 1, ..ReadCosts::default() };
        Ok(view.map(|view| Self { dir: dir.to_owned(), key, boot, last: Last::of(&view), costs, view }))
    }

    /// Takes in what is new: records, late records, a seal or a replacement. Tells whether there was anything.
    ///
    /// It costs what has come since, not what there is. Where nothing has, that is less than a microsecond and a look at the page's file. A day whose files
    /// were replaced is opened again.
    ///
    /// # Errors
    /// As [`Snapshot::open`]; also where the day is gone.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Tape, Trades, UtcDay};
    /// let mut day = Tape::open(dir)?.day::<Trades>(&ProductId::new("BTC-USD")?, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// assert!(!day.refresh()?, "nothing has come since");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refresh(&mut self) -> Result<bool, StoreError> {
        let has_lost_pages = self.view.has_lost_pages();
        // What zeros stand in the place of is read from the files again, or its file is named.
        let found = if has_lost_pages { Found::OtherFiles } else { refresh(&mut self.view, self.last, &mut self.costs)? };
        match found {
            Found::Nothing => return Ok(false),
            Found::More => {}
            Found::OtherFiles => match open_view(&self.dir, &self.key, self.boot)? {
                Some(view) if !has_lost_pages && self.shows_same(&view) => return Ok(false),
                Some(view) => {
                    self.costs.times_indexed += self.view.times.get().map_or(0, TimeIndex::looked_at);
                    self.costs.opened += 1;
                    self.view = view;
                }
                // The snapshot was opened before the day had a page: its files are being made just now, perhaps again after a crash.
                None if self.view.page.is_none() && self.view.records == 0 => return Ok(false),
                None => return Err(StoreError::damaged(&self.view.place.page(), "the day is gone")),
            },
        }
        self.last = Last::of(&self.view);
        Ok(true)
    }

    /// Tells whether files were cut, or their device was lost, since they were mapped: zeros stand in the place of what was read. Only a process that has asked
    /// to outlive that can tell ([`super::outlive_lost_pages`]).
    pub(crate) fn has_lost_pages(&self) -> bool {
        self.view.has_lost_pages()
    }

    /// Says which file of the day was cut since it was mapped, if one was. Whoever gives records to others asks behind the last one: what lies behind a cut
    /// reads as zeros.
    ///
    /// # Errors
    /// The file that is too short now.
    pub(crate) fn check_lengths(&self) -> Result<(), StoreError> {
        for (column, mapped) in self.view.table.iter().zip(&self.view.columns) {
            let want = (self.view.records as u64).saturating_mul(column.kind.width() as u64);
            // Another file at the path has taken the place of this one, which nobody can reach any more.
            let is_cut = |found: &std::fs::Metadata| FileId::of(found) == mapped.id && found.len() < want;
            if let Some(found) = std::fs::metadata(&mapped.path).ok().filter(is_cut) {
                return Err(StoreError::damaged(&mapped.path, format!("{} bytes do not hold {} records", found.len(), self.view.records)));
            }
            if mapped.map.has_lost_pages() {
                return Err(StoreError::damaged(&mapped.path, "its device failed, or it was cut, while it was read"));
            }
        }
        match self.view.page.as_ref().is_some_and(Page::is_lost) {
            true => Err(StoreError::damaged(&self.view.place.page(), "its device failed, or it was cut, while it was read")),
            false => Ok(()),
        }
    }

    /// Tells whether another view of the day has the same files and the same of them.
    fn shows_same(&self, other: &View<L>) -> bool {
        let view = &self.view;
        let counts = |view: &View<L>| (view.state, view.generation, view.page_id, view.records, view.late.len(), view.late_promised);
        let has_same_columns = view.columns.len() == other.columns.len()
            && view.columns.iter().zip(&other.columns).all(|(own, other)| own.id == other.id && own.path == other.path);
        counts(view) == counts(other) && has_same_columns && self.last == Last::of(other)
    }

    /// Tells how often the day's files were opened: once, and again whenever they were replaced by others. Where it has risen, numbers of records that were
    /// found before no longer hold. Where it has not, the records of the columns have kept their numbers in [`Snapshot::base_row`].
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.costs.opened
    }

    /// Tells what opening and refreshing have cost; tests only.
    #[doc(hidden)]
    #[must_use]
    pub fn costs(&self) -> ReadCosts {
        let indexed = self.view.times.get().map_or(0, TimeIndex::looked_at);
        ReadCosts { times_indexed: self.costs.times_indexed + indexed, ..self.costs }
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

    /// Gives the bytes of a column's value in late record `number`; nothing where there is no such record or column.
    #[must_use]
    pub(crate) fn late_bytes(&self, number: usize, column: usize) -> Option<&[u8]> {
        late::value(self.view.table, self.view.late_payloads.get(number)?, column)
    }

    /// Gives record `number` of the merged order.
    #[must_use]
    #[inline]
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
    #[inline]
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

    /// Gives the memory of some records of the columns back. They are read from the files again where they are looked at: for whoever reads a long day once.
    pub(crate) fn release(&self, records: std::ops::Range<usize>) {
        for (column, mapped) in self.view.table.iter().zip(&self.view.columns) {
            let width = column.kind.width();
            mapped.map.release(records.start.saturating_mul(width)..records.end.saturating_mul(width));
        }
    }

    /// Gives a column's bytes, without late records; empty where the folder has no such column.
    #[must_use]
    pub fn column_bytes(&self, column: usize) -> &[u8] {
        self.view.columns.get(column).map_or(&[], |column| column.map.bytes())
    }
}
