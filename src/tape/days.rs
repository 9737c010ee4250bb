//! [`DayParts`]: what of a range of time each day holds, day by day.

use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::PathBuf;
use std::vec::IntoIter;

use super::error::TapeError;
use crate::product::ProductId;
use crate::schema::Layout;
use crate::store::{DayKey, Snapshot, catalog, holder_of};
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// What a day holds of a range of time.
#[derive(Debug)]
#[non_exhaustive]
pub struct DayPart<L: Layout> {
    /// The day.
    pub day: Snapshot<L>,
    /// The records in the range, by their numbers in the day's merged order: ranges that rise, exactly these records. One, where times never fall.
    pub pieces: Vec<Range<usize>>,
}

impl<L: Layout> DayPart<L> {
    /// Gives the number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pieces.iter().map(Range::len).sum()
    }

    /// Iterates over the records.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = L::Row> {
        self.pieces.iter().flat_map(|piece| self.day.rows_in(piece.clone()))
    }
}

/// Iterates over the days of a range of time, each opened when its turn comes. Made by [`Tape::range`](crate::Tape::range).
#[derive(Debug)]
pub struct DayParts<L: Layout> {
    dir: PathBuf,
    product: ProductId,
    dates: IntoIter<UtcDay>,
    range: TimeRange,
    layout: PhantomData<L>,
}

impl<L: Layout> DayParts<L> {
    pub(super) fn new(dir: PathBuf, product: ProductId, dates: Vec<UtcDay>, range: TimeRange) -> Self {
        Self { dir, product, dates: dates.into_iter(), range, layout: PhantomData }
    }

    /// Lists the days that are still to come.
    #[must_use]
    pub fn dates(&self) -> &[UtcDay] {
        self.dates.as_slice()
    }

    fn open(&self, date: UtcDay) -> Result<Option<DayPart<L>>, TapeError> {
        let Some(day) = Snapshot::<L>::open(&self.dir, &self.product, date)? else {
            // A day that is being made has no record yet. One that nobody makes and that cannot be opened must not be passed over if it has some.
            if holder_of(&self.dir)?.is_none() {
                catalog::must_be_empty(&self.dir, &DayKey { product: self.product.clone(), dataset: L::DATASET, date })?;
            }
            return Ok(None);
        };
        let pieces = day.time_pieces(self.range);
        Ok(Some(DayPart { day, pieces }))
    }
}

impl<L: Layout> Iterator for DayParts<L> {
    type Item = Result<DayPart<L>, TapeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let date = self.dates.next()?;
            if let Some(part) = self.open(date).transpose() {
                return Some(part);
            }
        }
    }
}

impl<L: Layout> FusedIterator for DayParts<L> {}
