//! Where late records belong among a day's records: the order that readers show, and in which a replaced day is written.
//!
//! 1. With a key (trades): by key. A late record with a key that the columns have takes that record's place. Of two late ones the later counts.
//! 2. Without a key (tickers): behind all others, in the order they came.
//! 3. The columns' own order is never changed.

use std::ops::Range;

/// A late record's place, where records have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Splice {
    /// Its key.
    key: u64,
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
    /// Late records there have been, those included whose key came again.
    late: usize,
    /// The late records with a key, in the merged order.
    splices: Vec<Splice>,
    /// The late records without one, behind all others.
    behind: usize,
}

impl Merge {
    /// Orders `late` records by key among `columns` records, whose keys rise.
    pub(crate) fn by_key(columns: usize, key_of: impl Fn(usize) -> u64, late: &[u64]) -> Self {
        let mut merge = Self::default();
        merge.grow_by_key(columns, key_of, late);
        merge
    }

    /// Puts `late` records behind `columns` records.
    pub(crate) fn behind(columns: usize, late: usize) -> Self {
        Self { columns, late, splices: Vec::new(), behind: late }
    }

    /// Takes in more records of the columns, so that there are `columns`, and more late ones. It costs the new records, and the late ones from the first
    /// whose place changes.
    pub(crate) fn grow_by_key(&mut self, columns: usize, key_of: impl Fn(usize) -> u64, late: &[u64]) {
        let is_open = |splice: &Splice| splice.at >= self.columns;
        let first_open = self.splices.partition_point(|splice| !is_open(splice));
        let lowest = late.iter().min();
        let first_after = lowest.map_or(self.splices.len(), |lowest| self.splices.partition_point(|splice| splice.key < *lowest));
        let moved = self.splices.split_off(first_open.min(first_after));
        let mut order: Vec<(u64, usize)> = moved.into_iter().map(|splice| (splice.key, splice.late)).collect();
        order.extend(late.iter().copied().zip(self.late..));
        // Of equal keys the later one first, so that it is the one kept.
        order.sort_by_key(|(key, number)| (*key, std::cmp::Reverse(*number)));
        order.dedup_by_key(|(key, _)| *key);
        let mut replaced = self.splices.last().map_or(0, |splice| splice.replaced);
        for (key, late) in order {
            let (mut low, mut high) = (0, columns);
            while low < high {
                let middle = low + (high - low) / 2;
                if key_of(middle) < key { low = middle + 1 } else { high = middle }
            }
            let merged = low + self.splices.len() - replaced;
            replaced += usize::from(low < columns && key_of(low) == key);
            self.splices.push(Splice { key, late, at: low, replaced, merged });
        }
        self.columns = columns;
        self.late += late.len();
    }

    /// Takes in more records of the columns, so that there are `columns`, and `late` more behind them.
    pub(crate) fn grow_behind(&mut self, columns: usize, late: usize) {
        self.columns = columns;
        self.late += late;
        self.behind += late;
    }

    /// Gives the number of records in the merged order.
    pub(crate) fn len(&self) -> usize {
        self.columns + self.splices.len() - self.splices.last().map_or(0, |splice| splice.replaced) + self.behind
    }

    /// Finds record `number` of the merged order. The number is below [`Merge::len`].
    #[inline]
    pub(crate) fn place(&self, number: usize) -> Place {
        let before = self.splices.partition_point(|splice| splice.merged <= number);
        match before.checked_sub(1).and_then(|last| self.splices.get(last)) {
            None if number >= self.columns => Place::Late(number - self.columns),
            None => Place::Column(number),
            Some(splice) if splice.merged == number => Place::Late(splice.late),
            Some(splice) => Place::Column(number - before + splice.replaced),
        }
    }

    /// Gives the late records that count, by their numbers in the merged order and among the late ones.
    pub(crate) fn late(&self) -> impl Iterator<Item = (usize, usize)> {
        let behind = (0..self.behind).map(|late| (self.columns + late, late));
        self.splices.iter().map(|splice| (splice.merged, splice.late)).chain(behind)
    }

    /// Gives the numbers in the merged order of records of the columns, as far as there are such and no late record has taken their place.
    pub(crate) fn numbers_of(&self, records: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let records = records.start..records.end.min(self.columns);
        let mut from = records.start;
        let mut next = self.splices.partition_point(|splice| splice.at < records.start);
        std::iter::from_fn(move || {
            while from < records.end {
                // Splices before `from`, and records that they have replaced.
                let replaced = next.checked_sub(1).and_then(|last| self.splices.get(last)).map_or(0, |splice| splice.replaced);
                let (shift, splice) = (next, self.splices.get(next));
                let until = splice.map_or(records.end, |splice| splice.at.min(records.end));
                let numbers = from + shift - replaced..until + shift - replaced;
                from = until;
                if let Some(splice) = splice.filter(|splice| splice.at < records.end) {
                    next += 1;
                    from += splice.replaced - replaced;
                }
                if !numbers.is_empty() {
                    return Some(numbers);
                }
            }
            None
        })
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
            None if start >= self.merge.columns && self.merge.behind > 0 => {
                self.numbers.start += 1;
                Some(Run::Late(start - self.merge.columns))
            }
            next => {
                let columns = if self.merge.behind > 0 { self.merge.columns } else { end };
                let until = next.map_or(columns, |splice| splice.merged).min(end);
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

    fn runs_as_places(merge: &Merge, numbers: Range<usize>) -> Vec<Place> {
        let of = |run| match run {
            Run::Columns(range) => range.map(Place::Column).collect(),
            Run::Late(at) => vec![Place::Late(at)],
        };
        merge.runs_in(numbers).flat_map(of).collect()
    }

    /// The merge answers every question as the list of its places does.
    fn answers_as(merge: &Merge, want: &[Place], part: Range<usize>) -> Result<(), TestCaseError> {
        prop_assert_eq!(merge.len(), want.len());
        prop_assert_eq!((0..merge.len()).map(|at| merge.place(at)).collect::<Vec<_>>(), want);
        prop_assert_eq!(runs_as_places(merge, 0..want.len()), want);
        let part = part.start.min(want.len())..part.end.min(want.len());
        prop_assert_eq!(runs_as_places(merge, part.clone()), want.get(part.clone()).unwrap_or_default());
        let late: Vec<_> =
            want.iter().enumerate().filter_map(|(at, place)| matches!(place, Place::Late(_)).then_some((at, *place))).collect();
        prop_assert_eq!(merge.late().map(|(number, at)| (number, Place::Late(at))).collect::<Vec<_>>(), late);
        let is_in = |place: &Place| matches!(place, Place::Column(record) if part.contains(record));
        let numbers: Vec<_> = (0..want.len()).filter(|at| is_in(&want[*at])).collect();
        prop_assert_eq!(merge.numbers_of(part.clone()).flatten().collect::<Vec<_>>(), numbers);
        Ok(())
    }

    fn part() -> impl Strategy<Value = Range<usize>> {
        (0usize..40, 0usize..40).prop_map(|(start, len)| start..start + len)
    }

    proptest! {
        #[test]
        fn the_merged_order_is_that_of_a_map(columns in prop::collection::btree_set(0u64..60, 0..30), late in prop::collection::vec(0u64..60, 0..30), part in part()) {
            let columns: Vec<u64> = columns.into_iter().collect();
            let mut model: BTreeMap<u64, Place> = columns.iter().enumerate().map(|(at, key)| (*key, Place::Column(at))).collect();
            model.extend(late.iter().enumerate().map(|(at, key)| (*key, Place::Late(at))));
            let merge = Merge::by_key(columns.len(), |at| columns[at], &late);
            answers_as(&merge, &model.into_values().collect::<Vec<_>>(), part)?;
        }

        #[test]
        fn a_merge_that_grows_is_the_one_made_at_once(
            columns in prop::collection::btree_set(0u64..60, 0..40),
            late in prop::collection::vec(0u64..60, 0..40),
            steps in prop::collection::vec((0usize..20, 0usize..20), 0..6),
        ) {
            let columns: Vec<u64> = columns.into_iter().collect();
            let (mut merge, mut count, mut come) = (Merge::default(), 0, 0);
            for (more, more_late) in steps.into_iter().chain([(columns.len(), late.len())]) {
                let (from, to) = (come, (come + more_late).min(late.len()));
                (count, come) = ((count + more).min(columns.len()), to);
                merge.grow_by_key(count, |at| columns[at], &late[from..to]);
                prop_assert_eq!(&merge, &Merge::by_key(count, |at| columns[at], &late[..to]));
            }
        }

        #[test]
        fn without_keys_late_records_stay_behind_all_others(columns in 0usize..30, late in 0usize..10, more in 0usize..10, more_late in 0usize..10, part in part()) {
            let mut merge = Merge::behind(columns, late);
            merge.grow_behind(columns + more, more_late);
            let want: Vec<Place> = (0..columns + more).map(Place::Column).chain((0..late + more_late).map(Place::Late)).collect();
            answers_as(&merge, &want, part)?;
        }
    }
}
