//! The merged order, record by record ([`Rows`]) and run by run ([`Run`]).
//!
//! Where there is no late record a run is all of the columns, and iterating costs no search.

use std::iter::FusedIterator;
use std::ops::Range;

use super::Snapshot;
use crate::schema::Layout;
use crate::store::merge::{self, Runs};

/// Records that follow each other in the merged order.
#[derive(Debug)]
pub enum Run<'a, L: Layout> {
    /// These records of the columns: numbers for [`Snapshot::base_row`], and places in the slices of [`Snapshot::column`].
    Columns(Range<usize>),
    /// A late record, which is in no column.
    Late(&'a L::Row),
}

impl<L: Layout> Snapshot<L> {
    /// Iterates over the records in the merged order.
    pub fn rows(&self) -> Rows<'_, L> {
        self.rows_in(0..self.count())
    }

    /// Iterates over the records of the merged order with these numbers, as far as there are such.
    pub fn rows_in(&self, numbers: Range<usize>) -> Rows<'_, L> {
        let end = numbers.end.min(self.count());
        let next = numbers.start.min(end);
        Rows { day: self, runs: self.view.merge.runs_in(next..end), run: 0..0, next, end }
    }

    /// Gives the records of the merged order with these numbers run by run: parts of the columns, and late records between them.
    ///
    /// This is the fast way through a day: each part of the columns is read from the slices of [`Snapshot::column`].
    pub fn runs(&self, numbers: Range<usize>) -> impl Iterator<Item = Run<'_, L>> {
        let end = numbers.end.min(self.count());
        self.view.merge.runs_in(numbers.start.min(end)..end).filter_map(|run| match run {
            merge::Run::Columns(range) => Some(Run::Columns(range)),
            merge::Run::Late(number) => self.view.late.get(number).map(Run::Late),
        })
    }
}

/// Iterates over records in the merged order. Made by [`Snapshot::rows`] and [`Snapshot::rows_in`].
#[derive(Debug)]
pub struct Rows<'a, L: Layout> {
    day: &'a Snapshot<L>,
    runs: Runs<'a>,
    /// Records of the columns that come next.
    run: Range<usize>,
    /// The number of the record that comes next.
    next: usize,
    /// The number to stop before.
    end: usize,
}

impl<L: Layout> Iterator for Rows<'_, L> {
    type Item = L::Row;

    #[inline]
    fn next(&mut self) -> Option<L::Row> {
        if self.next >= self.end {
            return None;
        }
        self.next += 1;
        if let Some(record) = self.run.next() {
            return self.day.base_row(record);
        }
        match self.runs.next()? {
            merge::Run::Columns(range) => {
                self.run = range;
                self.run.next().and_then(|record| self.day.base_row(record))
            }
            merge::Run::Late(number) => self.day.late().get(number).copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl<L: Layout> DoubleEndedIterator for Rows<'_, L> {
    fn next_back(&mut self) -> Option<L::Row> {
        if self.next >= self.end {
            return None;
        }
        self.end -= 1;
        self.day.row(self.end)
    }
}

impl<L: Layout> ExactSizeIterator for Rows<'_, L> {}
impl<L: Layout> FusedIterator for Rows<'_, L> {}
