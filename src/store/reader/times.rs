//! Records found by their event times.
//!
//! Times may repeat, and may fall from record to record: a little in what a feed sends, by up to an hour where the exchange's clock was set back. So a range
//! of time is not always one range of records.

use std::ops::Range;

use super::Snapshot;
use super::time_index::{Pieces, TimeIndex};
use super::view::time_columns;
use crate::schema::{Dataset, Kind, Layout, with_layout};
use crate::store::merge::Place;
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

impl<L: Layout> Snapshot<L> {
    /// Gives the event time of record `number` of the merged order, without loading the rest of the record.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Tape, Trades, UtcDay};
    /// let day = Tape::open(dir)?.day::<Trades>(&ProductId::new("BTC-USD")?, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// assert_eq!(day.time_at(0), Some(day.key().date.start()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn time_at(&self, number: usize) -> Option<UnixNanos> {
        if number >= self.count() {
            return None;
        }
        match self.view.merge.place(number) {
            Place::Column(record) => time_columns::<L>(&self.view.columns).time(record),
            Place::Late(number) => self.view.late.get(number).map(L::time),
        }
    }

    /// Finds the records whose event time is in `range`: ranges of numbers in the merged order, rising, as few as possible, with exactly these records.
    ///
    /// Where times never fall there is one range, or none. The first question of a snapshot looks at the seconds of all times, which takes some hundredths of
    /// a second in a day of 50 million that was just mapped; later ones, also after a refresh, take microseconds.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Tape, Trades, UtcDay, TimeRange, UnixNanos};
    /// let day = Tape::open(dir)?.day::<Trades>(&ProductId::new("BTC-USD")?, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// let noon = UnixNanos(day.key().date.start().0 + 12 * 3_600_000_000_000);
    /// let afternoon = TimeRange { from: Some(noon), to: None };
    /// for piece in day.time_pieces(afternoon) {
    ///     assert!(day.rows_in(piece).all(|trade| afternoon.contains(trade.time)));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn time_pieces(&self, range: TimeRange) -> Vec<Range<usize>> {
        if range.is_empty() {
            return Vec::new();
        }
        let times = time_columns::<L>(&self.view.columns);
        let index = self.view.times.get_or_init(|| {
            let mut index = TimeIndex::default();
            index.extend(times);
            index
        });
        let pieces = index.pieces(times, range);
        if self.view.late.is_empty() {
            return pieces.into_vec();
        }
        let merge = &self.view.merge;
        let late = merge.late().filter(|(_, late)| self.view.late.get(*late).is_some_and(|row| range.contains(L::time(row))));
        let numbers = pieces.iter().flat_map(|piece| merge.numbers_of(piece.clone())).chain(late.map(|(number, _)| number..number + 1));
        Pieces::of(numbers.collect()).into_vec()
    }

    /// Gives the shortest range of numbers in the merged order that holds every record whose event time is in `range`.
    ///
    /// Where times fall it also holds records of other times: their times must be looked at, or [`Snapshot::time_pieces`] used. An empty range says that
    /// there is no such record.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Tape, Trades, UtcDay, TimeRange, UnixNanos};
    /// let day = Tape::open(dir)?.day::<Trades>(&ProductId::new("BTC-USD")?, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// let noon = UnixNanos(day.key().date.start().0 + 12 * 3_600_000_000_000);
    /// assert_eq!(day.time_range(TimeRange { from: Some(noon), to: None }), 12..24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn time_range(&self, range: TimeRange) -> Range<usize> {
        let pieces = self.time_pieces(range);
        match (pieces.first(), pieces.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }
}

impl<L: Layout> Snapshot<L> {
    /// Gives the records of a range of time as if times never fell: a few are looked at, and none proves it.
    pub(crate) fn time_range_at_a_glance(&self, range: TimeRange) -> Range<usize> {
        let numbers_before = |time: UnixNanos| {
            let (mut from, mut to) = (0, self.count());
            while from < to {
                let middle = from.midpoint(to);
                if self.time_at(middle).is_some_and(|at| at < time) { from = middle + 1 } else { to = middle }
            }
            from
        };
        let start = range.from.map_or(0, numbers_before);
        start..range.to.map_or(self.count(), numbers_before).max(start)
    }
}

/// Tells whether the column behind that of the seconds has the nanoseconds.
const fn has_nanos_behind_seconds(dataset: Dataset, seconds: usize) -> bool {
    let (_, behind) = dataset.columns().split_at(seconds + 1);
    match behind {
        [column, ..] => matches!(column.name.as_bytes(), b"nanos" | b"trade_nanos") && matches!(column.kind, Kind::U32),
        [] => false,
    }
}

const _: () = {
    let mut rest = Dataset::ALL.as_slice();
    while let [dataset, after @ ..] = rest {
        assert!(has_nanos_behind_seconds(*dataset, with_layout!(*dataset, L => <L as Layout>::TIME)));
        rest = after;
    }
};
