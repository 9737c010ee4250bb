//! Where late records belong among a day's records: the order that readers show, and in which a replaced day is written.
//!
//! 1. With a key (trades): by key. A late record with a key that the columns have takes that record's place. Of two late ones the later counts.
//! 2. Without a key (tickers): behind all others, in the order they came.
//! 3. The columns' own order is never changed.

use std::ops::Range;

/// A late record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Splice {
    /// Its number among the late records.
    late: usize,
    /// The column record that it precedes or replaces.
    at: usize,
    /// Column records replaced by this splice and those before it.
    replaced: usize,
    /// Its number in the merged order.
    merged: usize,
}

/// One record of the merged order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A record of the columns.
    Column(usize),
    /// A late record.
    Late(usize),
}

/// A run of the merged order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Run {
    /// Records of the columns.
    Columns(Range<usize>),
    /// A late record.
    Late(usize),
}

/// The merged order of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Merge {
    columns: usize,
    splices: Vec<Splice>,
}

impl Merge {
    /// Orders `late` records by key among `columns` records, whose keys rise.
    pub(crate) fn by_key(columns: usize, key_of: impl Fn(usize) -> u64, late: &[u64]) -> Self {
        let mut order: Vec<(u64, usize)> = late.iter().copied().zip(0..).collect();
        // Of equal keys the later one first, so that it is the one kept.
        order.sort_by_key(|(key, number)| (*key, std::cmp::Reverse(*number)));
        order.dedup_by_key(|(key, _)| *key);
        let mut replaced = 0;
        let splices = order.into_iter().enumerate().map(|(before, (key, late))| {
            let (mut low, mut high) = (0, columns);
            while low < high {
                let middle = low + (high - low) / 2;
                if key_of(middle) < key { low = middle + 1 } else { high = middle }
            }
            let merged = low + before - replaced;
            replaced += usize::from(low < columns && key_of(low) == key);
            Splice { late, at: low, replaced, merged }
        });
        Self { columns, splices: splices.collect() }
    }

    /// Puts `late` records behind `columns` records.
    pub(crate) fn behind(columns: usize, late: usize) -> Self {
        let splices = (0..late).map(|late| Splice { late, at: columns, replaced: 0, merged: columns + late });
        Self { columns, splices: splices.collect() }
    }

    /// Gives the number of records in the merged order.
    pub(crate) fn len(&self) -> usize {
        self.columns + self.splices.len() - self.splices.last().map_or(0, |splice| splice.replaced)
    }

    /// Finds record `number` of the merged order. The number is below [`Merge::len`].
    pub(crate) fn place(&self, number: usize) -> Place {
        let before = self.splices.partition_point(|splice| splice.merged <= number);
        match before.checked_sub(1).and_then(|last| self.splices.get(last)) {
            None => Place::Column(number),
            Some(splice) if splice.merged == number => Place::Late(splice.late),
            Some(splice) => Place::Column(number - before + splice.replaced),
        }
    }

    /// Gives the merged order run by run.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs_in(0..self.len()).collect()
    }

    /// Gives the records of the merged order with these numbers run by run. The numbers are at most [`Merge::len`].
    pub(crate) fn runs_in(&self, numbers: Range<usize>) -> Runs<'_> {
        let before = self.splices.partition_point(|splice| splice.merged < numbers.start);
        Runs { merge: self, numbers, before }
    }
}

/// Iterates over a part of the merged order run by run.
#[derive(Debug, Clone)]
pub(crate) struct Runs<'a> {
    merge: &'a Merge,
    /// The numbers that are left.
    numbers: Range<usize>,
    /// Late records before them.
    before: usize,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let Range { start, end } = self.numbers;
        if start >= end {
            return None;
        }
        let splices = &self.merge.splices;
        match splices.get(self.before) {
            Some(splice) if splice.merged == start => {
                self.before += 1;
                self.numbers.start += 1;
                Some(Run::Late(splice.late))
            }
            next => {
                let until = next.map_or(end, |splice| splice.merged.min(end));
                let replaced = self.before.checked_sub(1).and_then(|last| splices.get(last)).map_or(0, |splice| splice.replaced);
                let from = start - self.before + replaced;
                self.numbers.start = until;
                Some(Run::Columns(from..from + (until - start)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn tickers_stay_in_the_order_they_came() {
        let merge = Merge::behind(2, 2);
        assert_eq!(merge.runs(), [Run::Columns(0..2), Run::Late(0), Run::Late(1)]);
        assert_eq!((merge.len(), merge.place(1), merge.place(3)), (4, Place::Column(1), Place::Late(1)));
    }

    proptest! {
        #[test]
        fn the_merged_order_is_that_of_a_map(columns in prop::collection::btree_set(0u64..60, 0..30), late in prop::collection::vec(0u64..60, 0..30)) {
            let columns: Vec<u64> = columns.into_iter().collect();
            let mut model: BTreeMap<u64, Place> = columns.iter().enumerate().map(|(at, key)| (*key, Place::Column(at))).collect();
            model.extend(late.iter().enumerate().map(|(at, key)| (*key, Place::Late(at))));
            let merge = Merge::by_key(columns.len(), |at| columns[at], &late);
            let want: Vec<Place> = model.into_values().collect();
            prop_assert_eq!(merge.len(), want.len());
            prop_assert_eq!((0..merge.len()).map(|at| merge.place(at)).collect::<Vec<_>>(), want.clone());
            let runs = merge.runs().into_iter().flat_map(|run| match run {
                Run::Columns(range) => range.map(Place::Column).collect(),
                Run::Late(at) => vec![Place::Late(at)],
            });
            prop_assert_eq!(runs.collect::<Vec<_>>(), want);
        }
    }
}
