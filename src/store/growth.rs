//! How far a day's files grow ahead of their records: pure arithmetic, without files.
//!
//! 1. A quiet product stays small. A busy one gets room for as long as [`AHEAD`], at most [`MAX_LEAD`] records.
//! 2. Blocks are doubled, at most [`MAX_GROWTH`] records at a time. Lengths advance in small steps: a reader of a long empty tail makes each later
//!    store dirty a large folio.
//! 3. Nothing here looks at a clock: times come in.

use std::time::{Duration, Instant};

/// Most records of one day: 268 million, thirty times the busiest product's day.
pub(super) const MAX_RECORDS: usize = 1 << 28;
/// Same as [`MAX_RECORDS`].
pub(crate) const FULL: u64 = MAX_RECORDS as u64;
/// Most records that a file's length runs ahead of its records.
pub const MAX_LEAD: u64 = 16_384;
/// Records that a new day begins with room for.
pub const FIRST_RECORDS: u64 = 1024;
/// Most records that blocks are allocated for at once beyond what is needed.
const MAX_GROWTH: u64 = 1 << 20;
/// The flush cycle, about.
const SOON: Duration = Duration::from_secs(1);
/// How long new room lasts a busy writer: hundreds of busy products may ask for more at once.
const AHEAD: Duration = Duration::from_secs(8);

/// How far a day's files have grown, in records.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// Records that every column has blocks for.
    pub(crate) allocated: u64,
    /// Records that every column has length for.
    pub(crate) length: u64,
    /// When the length last grew, and how many records the writer had then.
    last: Option<(Instant, u64)>,
}

impl Growth {
    /// Notes how many records the writer has. Gives its pace since the last growth; nothing at the first.
    pub(crate) fn pace(&mut self, now: Instant, reached: u64) -> Option<Pace> {
        let (at, before) = self.last.replace((now, reached))?;
        Some(Pace { records: reached.saturating_sub(before), took: now.duration_since(at) })
    }
}

/// How fast a writer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    records: u64,
    took: Duration,
}

impl Pace {
    /// Tells whether a writer of this pace will store `ahead` more records within [`SOON`].
    pub(crate) fn is_fast(self, ahead: u64) -> bool {
        u128::from(self.records) * SOON.as_nanos() >= u128::from(ahead) * self.took.as_nanos()
    }

    /// Gives the records that such a writer stores within [`AHEAD`].
    fn within_ahead(self) -> u64 {
        let records = u128::from(self.records) * AHEAD.as_nanos() / self.took.as_nanos().max(1);
        u64::try_from(records).unwrap_or(u64::MAX)
    }
}

/// How many records a file's length is to run ahead: what the product needs, and what it gets while the disk has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) modest: u64,
    pub(crate) generous: u64,
}

impl Lead {
    /// Plans the lead of a day with `reached` records that began with room for `first`.
    pub(crate) fn of(reached: u64, first: u64, pace: Option<Pace>) -> Self {
        let modest = reached.clamp(first.clamp(1, MAX_LEAD), MAX_LEAD);
        Self { modest, generous: pace.map_or(0, Pace::within_ahead).clamp(modest, MAX_LEAD) }
    }
}

/// Gives the length of a day's files that run `ahead` records ahead of its records. That of a busy one ends where a folio of each column does, as it is written.
pub(crate) fn even(length: u64, ahead: u64) -> u64 {
    if ahead < MAX_LEAD { length } else { length - length % (MAX_LEAD / 2) }
}

/// Gives the records that blocks are allocated for where the disk allows it: twice what there is, and at least `needed` and `wanted`.
pub(crate) fn generous_blocks(allocated: u64, needed: u64, wanted: u64) -> u64 {
    needed.max(allocated.saturating_mul(2).min(allocated + MAX_GROWTH)).max(wanted).min(FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_fast_where_it_needs_the_room_before_the_next_flush() {
        let (start, mut growth) = (Instant::now(), Growth::default());
        assert!(growth.pace(start, 0).is_none(), "nothing is known yet");
        let mut is_fast = |at, reached, ahead| growth.pace(at, reached).expect("a pace").is_fast(ahead);
        assert!(is_fast(start + SOON, 1024, 1024));
        assert!(!is_fast(start + SOON * 2, 2047, 1024), "one record too slow");
        assert!(is_fast(start + SOON * 2 + SOON / 4, 2047 + 256, 1024));
        assert!(!is_fast(start + SOON * 60, 2047 + 512, 1024));
        assert!(is_fast(start + SOON * 60, 2047 + 513, 1024), "no time at all");
    }

    #[test]
    fn a_busy_writer_gets_room_for_seconds() {
        let pace = |records, took| Pace { records, took }.within_ahead();
        assert_eq!((pace(512, SOON / 2), pace(1, SOON * 3600), pace(0, SOON)), (8192, 0, 0));
        assert!(pace(512, Duration::ZERO) > MAX_LEAD, "no time at all");
    }

    #[test]
    fn the_lead_lies_between_the_first_room_and_the_most() {
        let lead = |reached, first, pace| Lead::of(reached, first, pace);
        assert_eq!(lead(0, 24, None), Lead { modest: 24, generous: 24 });
        assert_eq!(lead(100, 0, None), Lead { modest: 100, generous: 100 });
        assert_eq!(lead(u64::MAX, u64::MAX, None), Lead { modest: MAX_LEAD, generous: MAX_LEAD });
        let fast = Pace { records: 512, took: SOON / 2 };
        assert_eq!(lead(100, 24, Some(fast)), Lead { modest: 100, generous: 8192 });
    }

    #[test]
    fn a_busy_day_grows_by_whole_folios_and_has_half_of_the_most_room_at_least() {
        let length = |reached: u64, lead| even(reached + lead, lead);
        assert_eq!((length(100, 16), length(100, MAX_LEAD - 1)), (116, 100 + MAX_LEAD - 1));
        assert_eq!((length(0, MAX_LEAD), length(8191, MAX_LEAD), length(8192, MAX_LEAD)), (16_384, 16_384, 24_576));
        for reached in (0..100_000).step_by(777) {
            let length = length(reached, MAX_LEAD);
            assert!(length % 8192 == 0 && length - reached > MAX_LEAD / 2 && length - reached <= MAX_LEAD);
        }
    }

    #[test]
    fn blocks_are_doubled_up_to_a_bound() {
        assert_eq!(generous_blocks(100, 120, 0), 200);
        assert_eq!(generous_blocks(100, 120, 300), 300);
        assert_eq!(generous_blocks(MAX_GROWTH * 4, MAX_GROWTH * 4, 0), MAX_GROWTH * 5);
        assert_eq!(generous_blocks(FULL, FULL, 0), FULL);
    }
}
