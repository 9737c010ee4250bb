//! [`View`]: what a snapshot shows, and how its records are loaded.
//!
//! The columns of a live day are mapped with address space to spare, so that growing them costs no system call: the page's mark says how far they are shown.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::time_index::{TimeColumns, TimeIndex};
use crate::schema::{Column, ColumnSet, Layout, Source};
use crate::store::late::Payloads;
use crate::store::map::ReadMap;
use crate::store::merge::Merge;
use crate::store::own_file::FileId;
use crate::store::page::Page;
use crate::store::place::Place;

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

#[derive(Debug)]
pub(in crate::store) struct View<L: Layout> {
    pub(in crate::store) place: Place,
    pub(in crate::store) page: Option<Page>,
    /// Which file the page is; nothing where there is no page.
    pub(super) page_id: Option<FileId>,
    pub(in crate::store) state: DayState,
    /// Generation of the files that are mapped.
    pub(in crate::store) generation: u32,
    pub(in crate::store) table: &'static [Column],
    pub(in crate::store) set: ColumnSet,
    pub(in crate::store) columns: Vec<MappedColumn>,
    pub(in crate::store) records: usize,
    pub(in crate::store) late: Vec<L::Row>,
    /// The same as they were written: a row does not have every value of its record, as the spread of a ticker trade.
    pub(super) late_payloads: Payloads,
    /// Late records that the page says there are.
    pub(in crate::store) late_promised: u32,
    pub(in crate::store) merge: Merge,
    /// Made at the first question for a range of time.
    pub(super) times: OnceLock<TimeIndex>,
    pub(super) layout: PhantomData<L>,
}

/// A column that is mapped, and the file that it was found in.
#[derive(Debug)]
pub(in crate::store) struct MappedColumn {
    pub(super) map: ReadMap,
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) id: FileId,
}

impl<L: Layout> View<L> {
    /// Tells whether pages of a file were lost: zeros stand in their place.
    pub(super) fn has_lost_pages(&self) -> bool {
        self.columns.iter().any(|column| column.map.has_lost_pages()) || self.page.as_ref().is_some_and(Page::is_lost)
    }

    /// Shows `records` records of the columns and these late ones behind those shown before. The maps reach so far.
    pub(super) fn take_in(&mut self, records: usize, late: impl IntoIterator<Item = L::Row>) {
        let before = self.late.len();
        self.late.extend(late);
        let fresh = self.late.get(before..).unwrap_or_default();
        match L::DATASET.key_column() {
            Some(key) => {
                let keys: Vec<u64> = fresh.iter().map(L::key).collect();
                let columns = &self.columns;
                self.merge.grow_by_key(records, |record| CommittedRecord { columns, record }.u64(key).unwrap_or(0), &keys);
            }
            None => self.merge.grow_behind(records, fresh.len()),
        }
        self.records = records;
        if let Some(index) = self.times.get_mut() {
            index.extend(time_columns::<L>(&self.columns));
        }
    }
}

/// Gives the columns of the event time among a day's columns.
pub(super) fn time_columns<L: Layout>(columns: &[MappedColumn]) -> TimeColumns<'_> {
    let values = |at: usize| columns.get(at).map_or(&[][..], |column| column.map.values());
    TimeColumns { seconds: values(L::TIME), nanos: values(L::TIME + 1) }
}

/// Gives the values of one committed record.
pub(super) struct CommittedRecord<'a> {
    pub(super) columns: &'a [MappedColumn],
    pub(super) record: usize,
}

impl CommittedRecord<'_> {
    #[inline]
    fn bytes<const N: usize>(&self, column: usize) -> Option<[u8; N]> {
        self.columns.get(column)?.map.bytes().get(self.record * N..)?.first_chunk().copied()
    }
}

impl Source for CommittedRecord<'_> {
    #[inline]
    fn u32(&self, column: usize) -> Option<u32> {
        self.bytes(column).map(u32::from_le_bytes)
    }

    #[inline]
    fn u64(&self, column: usize) -> Option<u64> {
        self.bytes(column).map(u64::from_le_bytes)
    }

    #[inline]
    fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.bytes(column)
    }
}
