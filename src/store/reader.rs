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
pub(super) mod rows;
mod times;
pub(super) mod typed;
pub(super) mod view;

use std::path::{Path, PathBuf};

use super::boot::BootId;
use super::column::load;
use super::commit::Phase;
use super::error::StoreError;
use super::merge;
use super::place::DayKey;
use crate::product::ProductId;
use crate::schema::{Column, ColumnSet, Layout, Source as _};
use crate::time::UtcDay;
use open::{LateCount, Visible, open_view, shown};
use view::{CommittedRecord, DayState, View};

/// A dataset-day, read-only.
#[derive(Debug)]
pub struct Snapshot<L: Layout> {
    dir: PathBuf,
    key: DayKey,
    boot: Option<BootId>,
    pub(super) view: View<L>,
}

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
