//! [`View`]: what a snapshot shows, and how its records are loaded.

use std::marker::PhantomData;
use std::path::PathBuf;

use crate::schema::{Column, ColumnSet, Layout, Source};
use crate::store::map::ReadMap;
use crate::store::merge::Merge;
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
    pub(in crate::store) state: DayState,
    pub(in crate::store) table: &'static [Column],
    pub(in crate::store) set: ColumnSet,
    pub(in crate::store) columns: Vec<MappedColumn>,
    pub(in crate::store) records: usize,
    pub(in crate::store) late: Vec<L::Row>,
    /// Late records that the page says there are.
    pub(in crate::store) late_promised: u32,
    pub(in crate::store) merge: Merge,
    pub(super) layout: PhantomData<L>,
}

/// A column that is mapped, and the file that it was found in.
#[derive(Debug)]
pub(in crate::store) struct MappedColumn {
    pub(super) map: ReadMap,
    pub(in crate::store) path: PathBuf,
}

pub(super) fn merged<L: Layout>(columns: &[MappedColumn], records: usize, late: &[L::Row]) -> Merge {
    match L::DATASET.key_column() {
        Some(key) if !late.is_empty() => {
            let keys: Vec<u64> = late.iter().map(L::key).collect();
            Merge::by_key(records, |record| CommittedRecord { columns, record }.u64(key).unwrap_or(0), &keys)
        }
        _ => Merge::behind(records, late.len()),
    }
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
