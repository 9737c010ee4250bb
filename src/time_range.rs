//! [`TimeRange`]: event times from one to before another.

use crate::time::{UnixNanos, UtcDay};

/// Event times from `from` to before `to`. Without a `from` it has no beginning, and without a `to` no end.
///
/// ```
/// use coltape::{TimeRange, UnixNanos, UtcDay};
/// let day = TimeRange::day(UtcDay::parse("2025-06-07").unwrap());
/// assert!(day.contains(day.from.unwrap()) && !day.contains(day.to.unwrap()));
/// assert!(TimeRange::ALL.contains(UnixNanos(0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// The first time that belongs to it.
    pub from: Option<UnixNanos>,
    /// The time to stop before.
    pub to: Option<UnixNanos>,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self { from: None, to: None };

    /// Gives the times from `from` to before `to`.
    #[must_use]
    pub const fn new(from: UnixNanos, to: UnixNanos) -> Self {
        Self { from: Some(from), to: Some(to) }
    }

    /// Gives the times of a UTC day.
    #[must_use]
    pub const fn day(date: UtcDay) -> Self {
        Self::new(date.start(), date.next().start())
    }

    /// Tells whether a time belongs to it.
    #[inline]
    #[must_use]
    pub fn contains(self, time: UnixNanos) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    /// Tells whether no time belongs to it: it ends where it begins, or before.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| from >= to) || self.to == Some(UnixNanos(0))
    }

    /// Tells whether some time of a UTC day belongs to it.
    #[must_use]
    pub fn overlaps_day(self, date: UtcDay) -> bool {
        !self.is_empty() && self.from.is_none_or(|from| from < date.next().start()) && self.to.is_none_or(|to| date.start() < to)
    }

    /// Tells whether every time of a UTC day belongs to it.
    #[must_use]
    pub fn covers_day(self, date: UtcDay) -> bool {
        self.from.is_none_or(|from| from <= date.start()) && self.to.is_none_or(|to| date.next().start() <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_first_time_and_not_its_last() {
        let range = TimeRange::new(UnixNanos(5), UnixNanos(7));
        assert_eq!([4, 5, 6, 7].map(|time| range.contains(UnixNanos(time))), [false, true, true, false]);
        assert!(!range.is_empty() && !TimeRange::ALL.is_empty());
        for (from, to) in [(5, 5), (6, 5)] {
            let range = TimeRange::new(UnixNanos(from), UnixNanos(to));
            assert!(range.is_empty() && !range.contains(UnixNanos(5)) && !range.overlaps_day(UtcDay(0)));
        }
        assert!(TimeRange { from: None, to: Some(UnixNanos(0)) }.is_empty(), "nothing is before the epoch");
    }

    #[test]
    fn days_are_overlapped_and_covered_to_the_nanosecond() {
        let day = UtcDay(20_000);
        let (start, end) = (day.start().0, day.next().start().0);
        for (from, to, overlaps, covers) in [
            (start, end, true, true),
            (start + 1, end, true, false),
            (start, end - 1, true, false),
            (end - 1, end + 1, true, false),
            (end, end + 1, false, false),
            (start - 1, start, false, false),
            (start - 1, start + 1, true, false),
        ] {
            let range = TimeRange::new(UnixNanos(from), UnixNanos(to));
            assert_eq!((range.overlaps_day(day), range.covers_day(day)), (overlaps, covers), "{from}..{to}");
        }
        assert!(TimeRange::ALL.covers_day(day) && TimeRange::day(day).covers_day(day));
    }
}
