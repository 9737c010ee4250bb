//! [`TimeIndex`]: between which times every block of records lies, and every group of blocks.
//!
//! 1. It is made at the first question, from the column of the seconds (4 bytes a record), and extended by what has come since.
//! 2. It is exact whatever the order of times: a block is passed over or taken whole only where that follows from its times. Of the others the exact ends are
//!    found, and where these do not decide it, the records are compared one by one. In a day whose times nearly rise those are the blocks at the two ends of
//!    the range, and the ends are needed of those within 5 s of them.
//! 3. Times are composed from the stored numbers as they are, even where the nanoseconds are damaged and make more than a second.

use std::ops::Range;

use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Records of a block: as many as are compared one by one in a microsecond or two.
const BLOCK_RECORDS: usize = 1024;
/// Blocks of a group.
const GROUP_BLOCKS: usize = 64;
/// Records of a group.
const GROUP_RECORDS: usize = BLOCK_RECORDS * GROUP_BLOCKS;

/// Between which times some records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extremes {
    earliest: UnixNanos,
    latest: UnixNanos,
}

/// How the times of some records lie to a range.
enum Overlap {
    Nothing,
    All,
    Some,
}

impl Extremes {
    const NONE: Self = Self { earliest: UnixNanos(u64::MAX), latest: UnixNanos(0) };

    /// Gives bounds of times of these seconds. Damaged nanoseconds may make more than a second.
    const fn of_seconds(first: u32, last: u32) -> Self {
        Self { earliest: UnixNanos::from_parts(first, 0), latest: UnixNanos::from_parts(last, u32::MAX) }
    }

    fn with(self, other: Self) -> Self {
        Self { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest) }
    }

    fn overlap(self, range: TimeRange) -> Overlap {
        match (range.contains(self.earliest), range.contains(self.latest)) {
            (true, true) => Overlap::All,
            _ if range.from.is_some_and(|from| self.latest < from) || range.to.is_some_and(|to| self.earliest >= to) => Overlap::Nothing,
            _ => Overlap::Some,
        }
    }
}

/// The columns of a day's times, as long as each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeColumns<'a> {
    pub(super) seconds: &'a [u32],
    pub(super) nanos: &'a [u32],
}

impl<'a> TimeColumns<'a> {
    /// Gives the time of a record.
    #[inline]
    pub(super) fn time(self, record: usize) -> Option<UnixNanos> {
        Some(UnixNanos::from_parts(*self.seconds.get(record)?, *self.nanos.get(record)?))
    }

    /// Gives the times of some records.
    #[inline]
    fn times(self, records: Range<usize>) -> impl Iterator<Item = UnixNanos> + 'a {
        let seconds = self.seconds.get(records.clone()).unwrap_or_default();
        let nanos = self.nanos.get(records).unwrap_or_default();
        seconds.iter().zip(nanos).map(|(seconds, nanos)| UnixNanos::from_parts(*seconds, *nanos))
    }

    /// Gives the earliest and the latest time of some records.
    fn extremes(self, records: Range<usize>) -> Extremes {
        self.times(records).fold(Extremes::NONE, |all, time| all.with(Extremes { earliest: time, latest: time }))
    }

    /// Gives times between which some records lie, whatever their nanoseconds are.
    fn bounds(self, records: Range<usize>) -> Extremes {
        let seconds = self.seconds.get(records).unwrap_or_default();
        let [first, .., last] = seconds else {
            return seconds.iter().fold(Extremes::NONE, |_, only| Extremes::of_seconds(*only, *only));
        };
        // Without a branch, so that several are compared at once. As signed numbers, which processors of any age compare so.
        let pairs = seconds.iter().zip(seconds.get(1..).unwrap_or_default());
        let (is_fallen, all) =
            pairs.fold((false, *first), |(fallen, all), (one, next)| (fallen | (one.cast_signed() > next.cast_signed()), all | next));
        if !is_fallen && all.cast_signed() >= 0 {
            return Extremes::of_seconds(*first, *last);
        }
        let (least, most) = seconds.iter().fold((u32::MAX, 0), |(least, most), second| (least.min(*second), most.max(*second)));
        Extremes::of_seconds(least, most)
    }
}

/// The index of a day's times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TimeIndex {
    blocks: Vec<Extremes>,
    groups: Vec<Extremes>,
    /// Records that it covers.
    records: usize,
    /// Times that were looked at to make it.
    looked_at: u64,
}

impl TimeIndex {
    /// Gives the number of times that were looked at to make it.
    pub(super) fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Takes in the records that have come since: at most a block is looked at again.
    pub(super) fn extend(&mut self, times: TimeColumns<'_>) {
        let records = times.seconds.len().min(times.nanos.len());
        if records == self.records {
            return;
        }
        // The last block and the last group may have been cut short.
        let block = self.records / BLOCK_RECORDS;
        self.blocks.truncate(block);
        for start in (block * BLOCK_RECORDS..records).step_by(BLOCK_RECORDS) {
            let fresh = start..(start + BLOCK_RECORDS).min(records);
            self.looked_at += fresh.len() as u64;
            self.blocks.push(times.bounds(fresh));
        }
        let group = block / GROUP_BLOCKS;
        self.groups.truncate(group);
        let blocks = self.blocks.get(group * GROUP_BLOCKS..).unwrap_or_default();
        self.groups.extend(blocks.chunks(GROUP_BLOCKS).map(|blocks| blocks.iter().copied().fold(Extremes::NONE, Extremes::with)));
        self.records = records;
    }

    /// Finds the records in a range of time: ranges of records that rise and do not touch.
    pub(super) fn pieces(&self, times: TimeColumns<'_>, range: TimeRange) -> Pieces {
        let mut pieces = Pieces::default();
        for (group, extremes) in self.groups.iter().enumerate() {
            let records = self.span(group, GROUP_RECORDS);
            match extremes.overlap(range) {
                Overlap::Nothing => {}
                Overlap::All => pieces.push(records),
                Overlap::Some => self.add_blocks(group, times, range, &mut pieces),
            }
        }
        pieces
    }

    fn add_blocks(&self, group: usize, times: TimeColumns<'_>, range: TimeRange, pieces: &mut Pieces) {
        for (block, bounds) in self.blocks.iter().enumerate().skip(group * GROUP_BLOCKS).take(GROUP_BLOCKS) {
            let records = self.span(block, BLOCK_RECORDS);
            let overlap = match bounds.overlap(range) {
                Overlap::Some => times.extremes(records.clone()).overlap(range),
                decided => decided,
            };
            match overlap {
                Overlap::Nothing => {}
                Overlap::All => pieces.push(records),
                Overlap::Some => add_records(records, times, range, pieces),
            }
        }
    }

    /// Gives the records of a block or group.
    fn span(&self, at: usize, records: usize) -> Range<usize> {
        at * records..((at + 1) * records).min(self.records)
    }
}

fn add_records(records: Range<usize>, times: TimeColumns<'_>, range: TimeRange, pieces: &mut Pieces) {
    for (record, time) in records.clone().zip(times.times(records)) {
        if range.contains(time) {
            pieces.push(record..record + 1);
        }
    }
}

/// Ranges of numbers that rise and do not touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pieces(Vec<Range<usize>>);

impl Pieces {
    /// Adds a range that begins behind all others, or where the last one ends.
    #[inline]
    fn push(&mut self, range: Range<usize>) {
        match self.0.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }

    /// Puts ranges that do not overlap in order, and joins those that touch.
    pub(super) fn of(mut ranges: Vec<Range<usize>>) -> Self {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut pieces = Self(Vec::with_capacity(ranges.len()));
        ranges.into_iter().for_each(|range| pieces.push(range));
        pieces
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<usize>> {
        self.0.iter()
    }

    pub(super) fn into_vec(self) -> Vec<Range<usize>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NANOS_PER_SECOND;
    use proptest::prelude::*;

    fn found(index: &TimeIndex, seconds: &[u32], nanos: &[u32], range: TimeRange) -> Vec<usize> {
        index.pieces(TimeColumns { seconds, nanos }, range).into_vec().into_iter().flatten().collect()
    }

    fn made(seconds: &[u32], nanos: &[u32]) -> TimeIndex {
        let mut index = TimeIndex::default();
        index.extend(TimeColumns { seconds, nanos });
        index
    }

    #[test]
    fn an_extension_looks_at_what_is_new_and_at_one_block_again() {
        let seconds: Vec<u32> = (0..u32::try_from(GROUP_RECORDS * 3).expect("few")).collect();
        let nanos = vec![7; seconds.len()];
        let mut index = TimeIndex::default();
        let mut expected = 0;
        for (from, to) in [(0, 0), (0, 1), (1, BLOCK_RECORDS), (BLOCK_RECORDS, GROUP_RECORDS + 5), (GROUP_RECORDS + 5, GROUP_RECORDS * 3)] {
            index.extend(TimeColumns { seconds: &seconds[..to], nanos: &nanos[..to] });
            expected += (to - from + from % BLOCK_RECORDS) as u64;
            assert_eq!(index.looked_at(), expected);
            let fresh = made(&seconds[..to], &nanos[..to]);
            assert_eq!((&index.blocks, &index.groups), (&fresh.blocks, &fresh.groups), "{from} to {to}");
        }
    }

    #[test]
    fn a_range_in_a_busy_second_compares_the_blocks_at_its_ends_alone() {
        // A second of 100 blocks.
        let count = BLOCK_RECORDS * 100;
        let nanos: Vec<u32> = (0..count).map(|at| u32::try_from(at * 5000).expect("within a second")).collect();
        let index = made(&vec![100; count], &nanos);
        let at = |record: usize| UnixNanos::from_parts(100, nanos[record]);
        let range = TimeRange::new(at(BLOCK_RECORDS * 10 + 7), at(BLOCK_RECORDS * 90 + 7));
        let times = TimeColumns { seconds: &vec![100; count], nanos: &nanos };
        let ends = (0..index.blocks.len()).map(|block| times.extremes(index.span(block, BLOCK_RECORDS)));
        assert_eq!(ends.filter(|block| matches!(block.overlap(range), Overlap::Some)).count(), 2);
        assert_eq!(found(&index, times.seconds, &nanos, range).len(), BLOCK_RECORDS * 80);
    }

    #[test]
    fn times_at_the_ends_of_a_range_decide_to_the_nanosecond() {
        // Three blocks: the range begins and ends within a second that two of them share.
        let count = BLOCK_RECORDS * 3;
        let seconds: Vec<u32> = (0..count).map(|at| u32::try_from(100 + at / 1000 * 10).expect("few")).collect();
        let nanos: Vec<u32> = (0..count).map(|at| u32::try_from(at % 1000 * 1000).expect("few")).collect();
        let index = made(&seconds, &nanos);
        for (from, to) in
            [(110_000_000_500, 120_000_024_000), (110_000_024_000, 110_000_024_001), (100_000_000_000, 999_000_000_000), (0, 1)]
        {
            let range = TimeRange::new(UnixNanos(from), UnixNanos(to));
            let want: Vec<usize> = (0..count).filter(|at| range.contains(UnixNanos::from_parts(seconds[*at], nanos[*at]))).collect();
            assert_eq!(found(&index, &seconds, &nanos, range), want, "{from}..{to}");
        }
    }

    proptest! {
        #[test]
        fn the_records_found_are_those_of_a_filter(
            steps in prop::collection::vec((0u32..3, 0u32..5), 1..40), falls in prop::collection::vec((0usize..9000, 0u32..3600), 0..6),
            bad in prop::collection::vec((0usize..9000, any::<u32>()), 0..3), from in 0u64..1500, len in 0u64..1500, nanos_at in any::<u32>(), grown in 0usize..9000,
            far in 0usize..90_000,
        ) {
            // Stretches of one second, each of up to a few hundred records; some records an hour off; some with damaged nanoseconds.
            let mut seconds: Vec<u32> = Vec::new();
            for (step, hundreds) in steps {
                let second = seconds.last().copied().unwrap_or(5000) + step * 10;
                seconds.extend(std::iter::repeat_n(second, hundreds as usize * 97 + 1));
            }
            for (at, fall) in falls {
                if let Some(second) = seconds.get_mut(at) { *second -= fall }
            }
            if let Some(second) = seconds.get_mut(far) { *second = u32::MAX - 5 }
            let mut nanos: Vec<u32> = (0..seconds.len()).map(|at| u32::try_from(at % 1000).expect("few") * 1_000_000).collect();
            for (at, value) in bad {
                if let Some(nano) = nanos.get_mut(at) { *nano = value }
            }
            let mut index = TimeIndex::default();
            for to in [grown.min(seconds.len()), seconds.len()] {
                index.extend(TimeColumns { seconds: &seconds[..to], nanos: &nanos[..to] });
            }
            let start = (4000 + from) * NANOS_PER_SECOND + u64::from(nanos_at % 1_000_000_000);
            for range in [TimeRange::new(UnixNanos(start), UnixNanos(start + len * NANOS_PER_SECOND + 1)), TimeRange::ALL,
                TimeRange { from: Some(UnixNanos(start)), to: None }, TimeRange { from: None, to: Some(UnixNanos(start)) }] {
                let want: Vec<usize> = (0..seconds.len()).filter(|at| range.contains(UnixNanos::from_parts(seconds[*at], nanos[*at]))).collect();
                prop_assert_eq!(found(&index, &seconds, &nanos, range), want);
            }
        }
    }
}
