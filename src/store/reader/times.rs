//! Records found by their event times.
//!
//! Times may repeat, and may fall a little from record to record. So a range of time is not always one range of records.

use std::ops::Range;

use super::Snapshot;
use crate::schema::Layout;
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

impl<L: Layout> Snapshot<L> {
    /// Gives the event time of record `number` of the merged order, without loading the rest of the record.
    #[must_use]
    pub fn time_at(&self, number: usize) -> Option<UnixNanos> {
        self.row(number).map(|row| L::time(&row))
    }

    /// Finds the records whose event time is in `range`: ranges of numbers in the merged order, rising, as few as possible, with exactly these records.
    ///
    /// Where times never fall there is one range, or none.
    #[must_use]
    pub fn time_pieces(&self, range: TimeRange) -> Vec<Range<usize>> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for number in (0..self.count()).filter(|number| self.time_at(*number).is_some_and(|time| range.contains(time))) {
            match pieces.last_mut() {
                Some(last) if last.end == number => last.end += 1,
                _ => pieces.push(number..number + 1),
            }
        }
        pieces
    }

    /// Gives the shortest range of numbers in the merged order that holds every record whose event time is in `range`.
    ///
    /// Where times fall it also holds records of other times: their times must be looked at, or [`Snapshot::time_pieces`] used. An empty range says that
    /// there is no such record.
    #[must_use]
    pub fn time_range(&self, range: TimeRange) -> Range<usize> {
        let pieces = self.time_pieces(range);
        match (pieces.first(), pieces.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }
}
