//! [`Arrivals`]: the records of one day that have come since the last look, and [`Arrival`]: one of them.

use std::ops::Range;

use crate::product::ProductId;
use crate::schema::{Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Records of a day that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// These records of the merged order, at the first look at a day.
    Merged(Range<usize>),
    /// These records of the columns, behind those that were given.
    Columns(Range<usize>),
    /// These records of the columns, in front of some that were given: they came late and were put in their place.
    Between(Range<usize>),
    /// These late records, in the order they came.
    Late(Range<usize>),
}

/// The records of one product and day that have come since the last look. Made by [`Follow::look`](crate::Follow::look).
#[derive(Debug)]
pub struct Arrivals<'a, L: Layout> {
    pub(super) product: (usize, &'a ProductId),
    pub(super) day: &'a Snapshot<L>,
    pub(super) pieces: Vec<Piece>,
    pub(super) range: TimeRange,
}

impl<'a, L: Layout> Arrivals<'a, L> {
    /// Gives the product.
    #[must_use]
    pub fn product(&self) -> &'a ProductId {
        self.product.1
    }

    /// Gives the product's place in the list that is followed.
    #[must_use]
    pub fn product_number(&self) -> usize {
        self.product.0
    }

    /// Gives the day, as it was at this look.
    #[must_use]
    pub fn day(&self) -> &'a Snapshot<L> {
        self.day
    }

    /// Gives the number of records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.records().count() as u64
    }

    /// Iterates over the records: those behind the ones given before in the order of the day, then those that came late.
    pub fn records(&self) -> impl Iterator<Item = Arrival<'a, L>> {
        let (day, range) = (self.day, self.range);
        let every = range.covers_day(day.key().date);
        let all = self.pieces.iter().flat_map(move |piece| {
            let (place, numbers): (fn(usize) -> Place, _) = match piece {
                Piece::Merged(numbers) => (Place::Merged, numbers),
                Piece::Columns(numbers) => (Place::Columns, numbers),
                Piece::Between(numbers) => (Place::Between, numbers),
                Piece::Late(numbers) => (Place::Late, numbers),
            };
            numbers.clone().map(move |number| Arrival { day, place: place(number) })
        });
        all.filter(move |record| every || record.time().is_some_and(|time| range.contains(time)))
    }
}

/// Where a record lies. See [`Piece`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Merged(usize),
    Columns(usize),
    Between(usize),
    Late(usize),
}

/// A record that has come.
#[derive(Debug)]
pub struct Arrival<'a, L: Layout> {
    day: &'a Snapshot<L>,
    place: Place,
}

impl<L: Layout> Arrival<'_, L> {
    /// Gives the record.
    #[must_use]
    pub fn row(&self) -> Option<L::Row> {
        match self.place {
            Place::Merged(number) => self.day.row(number),
            Place::Columns(number) | Place::Between(number) => self.day.base_row(number),
            Place::Late(number) => self.day.late().get(number).copied(),
        }
    }

    /// Tells whether the record came late: records of its day that belong behind it were given before.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self.place, Place::Between(_) | Place::Late(_))
    }

    /// Gives its event time.
    #[must_use]
    pub fn time(&self) -> Option<UnixNanos> {
        let part = |column, number| stored::chunk(self.day.column_bytes(column), number).map(u32::from_le_bytes);
        match self.place {
            Place::Merged(number) => self.day.time_at(number),
            Place::Columns(number) | Place::Between(number) => {
                // In every dataset the nanoseconds come behind the seconds.
                Some(UnixNanos::from_parts(part(L::TIME, number)?, part(L::TIME + 1, number)?))
            }
            Place::Late(number) => self.day.late().get(number).map(L::time),
        }
    }

    /// Loads its values, one for each column of the day. Tells whether it has them.
    pub(crate) fn load(&self, values: &mut Vec<Value>) -> bool {
        match self.place {
            Place::Merged(number) => stored::load(self.day, number, values),
            Place::Columns(number) | Place::Between(number) => stored::load_base(self.day, number, values),
            Place::Late(number) => stored::load_late(self.day, number, values),
        }
    }
}
