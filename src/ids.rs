//! [`IdRange`] and [`IdSet`]: trade ids as ranges, so that a million consecutive ids cost as much as one.
//!
//! Trade ids rise by exactly 1 per product, so missing trades show as ranges of missing ids. Such a range is called a *gap* in all layers. Both types are
//! plain values: no I/O, no clock.
//!
//! 1. Both ends of a range belong to it, and the first id is never above the last. There is no empty range.
//! 2. The ranges of a set are in rising order and never touch: at least one id that is not in the set lies between two of them. Equal sets therefore have
//!    equal ranges.
//! 3. All of `0..=u64::MAX` are ids. No operation overflows or panics. Counts stop at `u64::MAX`, which only the set of all 2^64 ids exceeds.
//!
//! A set is a sorted vector. Looking up costs a binary search. Adding behind the last range, the usual case, costs the same; adding or removing elsewhere
//! also moves what lies behind.

use std::fmt;
use std::ops::{Range, RangeInclusive};

/// One or more consecutive ids.
///
/// ```
/// use coltape::IdRange;
/// let gap = IdRange::between(10, 14).unwrap();
/// assert_eq!((gap.first(), gap.last(), gap.count()), (11, 13, 3));
/// assert_eq!(gap.to_string(), "ids 11 to 13");
/// assert_eq!(IdRange::new(5, 4), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRange {
    first: u64,
    last: u64,
}

impl IdRange {
    /// Every id that there can be.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// Makes the range of two ids and all between them. `None` where `last` lies below `first`.
    #[inline]
    #[must_use]
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// Makes the range of one id.
    #[inline]
    #[must_use]
    pub const fn one(id: u64) -> Self {
        Self { first: id, last: id }
    }

    /// Makes the range of the ids above `low` and below `high`. `None` where there are none.
    #[must_use]
    pub const fn between(low: u64, high: u64) -> Option<Self> {
        if low < high && low + 1 < high { Some(Self { first: low + 1, last: high - 1 }) } else { None }
    }

    /// Gives the lowest id.
    #[inline]
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// Gives the highest id.
    #[inline]
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// Gives how many ids it has; `u64::MAX` for [`IdRange::ALL`], which has one more.
    #[must_use]
    pub const fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Goes through the ids in rising order.
    #[must_use]
    pub const fn ids(self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Tells whether an id belongs to it.
    #[must_use]
    pub const fn contains(self, id: u64) -> bool {
        self.first <= id && id <= self.last
    }

    /// Tells whether two ranges share an id.
    #[must_use]
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Gives the ids that two ranges share.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Gives the ids that are not in `other`: none, one part, or one part on each side of it.
    pub fn difference(self, other: Self) -> impl Iterator<Item = Self> {
        let part = |side: Option<Self>| side.and_then(|side| self.intersection(side));
        part(other.below()).into_iter().chain(part(other.above()))
    }

    /// Gives the shortest range that has the ids of both.
    #[must_use]
    pub fn span(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Gives all ids below the first one.
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        if self.first == 0 { None } else { Some(Self { first: 0, last: self.first - 1 }) }
    }

    /// Gives all ids above the last one.
    #[must_use]
    pub const fn above(self) -> Option<Self> {
        if self.last == u64::MAX { None } else { Some(Self { first: self.last + 1, last: u64::MAX }) }
    }

    /// Adds the id if it is the one above the last. Tells whether it was.
    pub fn push(&mut self, id: u64) -> bool {
        let follows = self.last.checked_add(1) == Some(id);
        if follows {
            self.last = id;
        }
        follows
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "id {first}") } else { write!(f, "ids {first} to {last}") }
    }
}

/// A set of ids.
///
/// ```
/// use coltape::{IdRange, IdSet};
/// let mut missing: IdSet = IdRange::between(4, 9).into_iter().collect();
/// assert!(missing.remove_id(7) && !missing.contains(7));
/// assert_eq!(missing.ranges(), [IdRange::new(5, 6).unwrap(), IdRange::one(8)]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IdSet {
    ranges: Vec<IdRange>,
}

impl IdSet {
    /// Makes the empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Gives the ranges: in rising order, as few as possible.
    #[inline]
    #[must_use]
    pub fn ranges(&self) -> &[IdRange] {
        &self.ranges
    }

    /// Goes through the ranges in rising order.
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, IdRange>> {
        self.ranges.iter().copied()
    }

    /// Tells whether there is no id in it.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Gives how many ids are in it, at most `u64::MAX`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().fold(0, |sum, range| sum.saturating_add(range.count()))
    }

    /// Gives the lowest id.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.first)
    }

    /// Gives the highest id.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.last)
    }

    /// Tells whether an id is in it.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.overlaps(IdRange::one(id))
    }

    /// Tells whether any id of a range is in it.
    #[must_use]
    pub(crate) fn overlaps(&self, range: IdRange) -> bool {
        !self.overlapping(range).is_empty()
    }

    /// Goes through the parts of a range that are in the set.
    pub fn within(&self, range: IdRange) -> impl Iterator<Item = IdRange> {
        let overlapping = self.ranges.get(self.overlapping(range)).unwrap_or_default();
        overlapping.iter().filter_map(move |known| known.intersection(range))
    }

    /// Goes through the parts of a range that are not in the set.
    pub(crate) fn absent_within(&self, range: IdRange) -> impl Iterator<Item = IdRange> {
        let overlapping = self.ranges.get(self.overlapping(range)).unwrap_or_default();
        let mut next = Some(range.first);
        overlapping.iter().map(Some).chain([None]).filter_map(move |known| {
            let first = next?;
            let Some(known) = known else { return IdRange::new(first, range.last) };
            next = known.last.checked_add(1);
            IdRange::new(first, known.first.checked_sub(1)?)
        })
    }

    /// Goes through the ids that lie between two of its ranges.
    pub fn gaps(&self) -> impl Iterator<Item = IdRange> {
        let behind = self.ranges.iter().skip(1);
        self.ranges.iter().zip(behind).filter_map(|(range, next)| IdRange::between(range.last, next.first))
    }

    /// Adds the ids of a range.
    pub fn insert(&mut self, range: IdRange) {
        if self.ranges.last().is_none_or(|last| last.last.saturating_add(1) < range.first) {
            self.ranges.push(range);
            return;
        }
        // Those that overlap or adjoin become part of it.
        let from = self.ranges.partition_point(|known| known.last.saturating_add(1) < range.first);
        let to = self.ranges.partition_point(|known| known.first <= range.last.saturating_add(1));
        let joined = self.ranges.get(from..to).unwrap_or_default();
        let whole = joined.first().into_iter().chain(joined.last()).fold(range, |whole, known| whole.span(*known));
        self.ranges.splice(from..to, [whole]);
    }

    /// Removes the ids of a range.
    pub fn remove(&mut self, range: IdRange) {
        let overlapping = self.overlapping(range);
        let cut = self.ranges.get(overlapping.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (cut.first(), cut.last()) else { return };
        let left = range.below().and_then(|below| first.intersection(below));
        let right = range.above().and_then(|above| last.intersection(above));
        self.ranges.splice(overlapping, left.into_iter().chain(right));
    }

    /// Removes an id. Tells whether it was in the set.
    pub fn remove_id(&mut self, id: u64) -> bool {
        let was_in = self.contains(id);
        if was_in {
            self.remove(IdRange::one(id));
        }
        was_in
    }

    /// Gives the ids that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { ranges: self.iter().flat_map(|range| other.within(range)).collect() }
    }

    /// Gives the ids that are in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { ranges: self.iter().flat_map(|range| other.absent_within(range)).collect() }
    }

    /// Bounds the set to `most` ranges, at least one, by joining the lowest ones: the ids between these are added. No id is lost.
    pub(crate) fn join_lowest(&mut self, most: usize) {
        let excess = self.ranges.len().saturating_sub(most.max(1));
        let first = self.first();
        self.ranges.drain(..excess);
        if let (Some(lowest), Some(first)) = (self.ranges.first_mut(), first) {
            lowest.first = first;
        }
    }

    /// Bounds the set to `most` ranges, at least one, by joining those with the fewest ids between them: these ids are added. No id is lost.
    pub(crate) fn join_nearest(&mut self, most: usize) {
        let excess = self.ranges.len().saturating_sub(most.max(1));
        if excess == 0 {
            return;
        }
        // How far each range lies behind the one before it.
        let mut behind: Vec<(u64, usize)> = self.gaps().map(IdRange::count).zip(1..).collect();
        behind.select_nth_unstable(excess - 1);
        behind.truncate(excess);
        let mut joins: Vec<usize> = behind.into_iter().map(|(_, at)| at).collect();
        joins.sort_unstable();
        let mut joins = joins.into_iter().peekable();
        let mut kept: Vec<IdRange> = Vec::with_capacity(self.ranges.len() - excess);
        for (at, range) in self.iter().enumerate() {
            match kept.last_mut() {
                Some(last) if joins.next_if_eq(&at).is_some() => last.last = range.last,
                _ => kept.push(range),
            }
        }
        self.ranges = kept;
    }

    /// Finds the ranges that share an id with `range`.
    fn overlapping(&self, range: IdRange) -> Range<usize> {
        let from = self.ranges.partition_point(|known| known.last < range.first);
        let to = self.ranges.partition_point(|known| known.first <= range.last);
        from..to
    }
}

impl FromIterator<IdRange> for IdSet {
    fn from_iter<I: IntoIterator<Item = IdRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<IdRange> for IdSet {
    fn extend<I: IntoIterator<Item = IdRange>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

impl IntoIterator for IdSet {
    type Item = IdRange;
    type IntoIter = std::vec::IntoIter<IdRange>;

    fn into_iter(self) -> Self::IntoIter {
        self.ranges.into_iter()
    }
}

impl<'a> IntoIterator for &'a IdSet {
    type Item = IdRange;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, IdRange>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Ids that a random case uses: a stretch at the lowest ids, in the middle, or at the highest.
    const STRETCH: u64 = 64;
    const BASES: [u64; 3] = [0, 1_000_000, u64::MAX - (STRETCH - 1)];

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("first is not above last")
    }

    fn set(ranges: &[(u64, u64)]) -> IdSet {
        ranges.iter().map(|(first, last)| range(*first, *last)).collect()
    }

    fn pairs(set: &IdSet) -> Vec<(u64, u64)> {
        set.iter().map(|range| (range.first(), range.last())).collect()
    }

    /// The fewest ranges that have the ids of the model, and no other.
    fn ranges_of(model: &BTreeSet<u64>) -> Vec<IdRange> {
        let mut ranges: Vec<IdRange> = Vec::new();
        for id in model {
            if !ranges.last_mut().is_some_and(|last| last.push(*id)) {
                ranges.push(IdRange::one(*id));
            }
        }
        ranges
    }

    fn ids(ranges: impl IntoIterator<Item = IdRange>) -> Vec<u64> {
        ranges.into_iter().flat_map(IdRange::ids).collect()
    }

    #[test]
    fn a_range_ends_where_the_numbers_end() {
        let (lowest, highest) = (IdRange::one(0), IdRange::one(u64::MAX));
        assert_eq!((IdRange::ALL.count(), lowest.count(), range(1, u64::MAX).count()), (u64::MAX, 1, u64::MAX));
        assert_eq!((lowest.below(), lowest.above()), (None, Some(range(1, u64::MAX))));
        assert_eq!((highest.below(), highest.above()), (Some(range(0, u64::MAX - 1)), None));
        assert_eq!(IdRange::ALL.difference(highest).collect::<Vec<_>>(), [range(0, u64::MAX - 1)]);
        assert_eq!(IdRange::ALL.difference(range(3, 4)).collect::<Vec<_>>(), [range(0, 2), range(5, u64::MAX)]);
        assert_eq!(range(3, 4).difference(IdRange::ALL).count(), 0);
        assert_eq!((IdRange::between(u64::MAX, 0), IdRange::between(0, u64::MAX)), (None, Some(range(1, u64::MAX - 1))));
        assert_eq!((IdRange::between(4, 5), IdRange::between(4, 6), IdRange::between(5, 5)), (None, Some(IdRange::one(5)), None));
        let mut end = range(7, u64::MAX);
        assert!(!end.push(u64::MAX) && !end.push(0));
        assert_eq!(end, range(7, u64::MAX));
    }

    #[test]
    fn a_range_takes_the_next_id_and_no_other() {
        let mut run = IdRange::one(4);
        assert!(run.push(5) && !run.push(5) && !run.push(7) && run.push(6));
        assert_eq!(run, range(4, 6));
    }

    #[test]
    fn a_range_is_shown_in_words() {
        assert_eq!((IdRange::one(7).to_string(), range(7, 9).to_string()), ("id 7".to_owned(), "ids 7 to 9".to_owned()));
    }

    #[test]
    fn a_set_holds_every_id_there_is() {
        let mut all: IdSet = [IdRange::ALL].into_iter().collect();
        assert_eq!((all.count(), all.absent_within(IdRange::ALL).count()), (u64::MAX, 0));
        assert!(all.remove_id(0) && all.remove_id(u64::MAX) && all.remove_id(7) && !all.remove_id(7));
        assert_eq!(pairs(&all), [(1, 6), (8, u64::MAX - 1)]);
        assert_eq!(ids(all.absent_within(IdRange::ALL)), [0, 7, u64::MAX]);
        assert_eq!((all.first(), all.last(), all.count()), (Some(1), Some(u64::MAX - 1), u64::MAX - 2));
        all.insert(IdRange::ALL);
        assert_eq!(pairs(&all), [(0, u64::MAX)]);
        all.remove(IdRange::ALL);
        assert!(all.is_empty() && all.first().is_none() && all.count() == 0);
    }

    #[test]
    fn ranges_that_adjoin_become_one() {
        let mut ids = set(&[(u64::MAX, u64::MAX), (0, 0), (10, 12), (16, 18)]);
        ids.insert(IdRange::one(1));
        ids.insert(IdRange::one(u64::MAX - 1));
        ids.insert(range(13, 15));
        assert_eq!(pairs(&ids), [(0, 1), (10, 18), (u64::MAX - 1, u64::MAX)]);
    }

    #[test]
    fn what_is_joined_is_the_lowest_or_the_nearest() {
        let ids = set(&[(1, 2), (9, 9), (11, 12), (20, 20), (23, 23)]);
        let (mut lowest, mut nearest) = (ids.clone(), ids.clone());
        lowest.join_lowest(3);
        nearest.join_nearest(3);
        assert_eq!(pairs(&lowest), [(1, 12), (20, 20), (23, 23)]);
        assert_eq!(pairs(&nearest), [(1, 2), (9, 12), (20, 23)]);
        lowest.join_lowest(0);
        nearest.join_nearest(0);
        assert_eq!((pairs(&lowest), pairs(&nearest)), (vec![(1, 23)], vec![(1, 23)]));
        let mut none = IdSet::new();
        none.join_lowest(0);
        none.join_nearest(0);
        assert!(none.is_empty());
    }

    proptest! {
        #[test]
        fn a_range_is_the_set_of_its_ids(base in prop::sample::select(BASES.as_slice()), a in (0..STRETCH, 0..STRETCH), b in (0..STRETCH, 0..STRETCH)) {
            let of = |(x, y): (u64, u64)| (range(base + x.min(y), base + x.max(y)), (base + x.min(y)..=base + x.max(y)).collect::<BTreeSet<_>>());
            let ((one, ones), (two, twos)) = (of(a), of(b));
            prop_assert_eq!(one.count(), ones.len() as u64);
            prop_assert_eq!(ids(one.intersection(two)), ones.intersection(&twos).copied().collect::<Vec<_>>());
            prop_assert_eq!(one.overlaps(two), !ones.is_disjoint(&twos));
            prop_assert_eq!(ids(one.difference(two)), ones.difference(&twos).copied().collect::<Vec<_>>());
            prop_assert_eq!((Some(&one.span(two).first()), Some(&one.span(two).last())), (ones.first().min(twos.first()), ones.last().max(twos.last())));
            prop_assert!((base..=base + (STRETCH - 1)).all(|id| one.contains(id) == ones.contains(&id)));
        }

        #[test]
        fn a_set_is_a_set(base in prop::sample::select(BASES.as_slice()), steps in prop::collection::vec((0u8..5, 0..STRETCH, 0..STRETCH), 1..80)) {
            let (mut own, mut model) = (IdSet::new(), BTreeSet::new());
            let top = base + (STRETCH - 1);
            for (what, from, more) in steps {
                // Short ranges mostly, so that there are many of them.
                let (first, last) = (base + from, (base + from).saturating_add(if what == 4 { more } else { more / 8 }).min(top));
                let part = range(first, last);
                let inside = |id: &u64| part.contains(*id);
                prop_assert_eq!(ids(own.within(part)), model.iter().copied().filter(inside).collect::<Vec<_>>());
                prop_assert_eq!(ids(own.absent_within(part)), part.ids().filter(|id| !model.contains(id)).collect::<Vec<_>>());
                prop_assert_eq!(own.overlaps(part), model.iter().any(inside));
                match what {
                    0 | 1 => {
                        own.insert(part);
                        model.extend(part.ids());
                    }
                    2 => prop_assert_eq!(own.remove_id(first), model.remove(&first)),
                    _ => {
                        own.remove(part);
                        model.retain(|id| !part.contains(*id));
                    }
                }
                prop_assert_eq!(own.ranges(), ranges_of(&model));
                prop_assert_eq!((own.count(), own.is_empty()), (model.len() as u64, model.is_empty()));
                prop_assert_eq!((own.first(), own.last()), (model.first().copied(), model.last().copied()));
                prop_assert!((base..=top).all(|id| own.contains(id) == model.contains(&id)));
                let between = model.first().zip(model.last()).into_iter().flat_map(|(first, last)| *first..=*last);
                prop_assert_eq!(ids(own.gaps()), between.filter(|id| !model.contains(id)).collect::<Vec<_>>());
            }
        }

        #[test]
        fn two_sets_meet_as_sets_do(base in prop::sample::select(BASES.as_slice()), a in prop::collection::btree_set(0..STRETCH, 0..40), b in prop::collection::btree_set(0..STRETCH, 0..40)) {
            let of = |ids: BTreeSet<u64>| ids.into_iter().map(|id| base + id).collect::<BTreeSet<u64>>();
            let (a, b) = (of(a), of(b));
            // In falling order, so that nothing is added at the end.
            let [one, two] = [&a, &b].map(|model| model.iter().rev().copied().map(IdRange::one).collect::<IdSet>());
            prop_assert_eq!(one.ranges(), ranges_of(&a));
            prop_assert_eq!(one.intersection(&two).ranges, ranges_of(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(one.difference(&two).ranges, ranges_of(&a.difference(&b).copied().collect()));
        }

        #[test]
        fn a_bounded_set_loses_no_id(model in prop::collection::btree_set(0u64..200, 0..80), most in 0usize..12) {
            let whole: IdSet = ranges_of(&model).into_iter().collect();
            let (mut lowest, mut nearest) = (whole.clone(), whole.clone());
            lowest.join_lowest(most);
            nearest.join_nearest(most);
            for joined in [&lowest, &nearest] {
                prop_assert_eq!(joined.ranges().len(), whole.ranges().len().min(most.max(1)));
                prop_assert!(whole.difference(joined).is_empty());
                prop_assert!(joined.iter().all(|range| whole.contains(range.first()) && whole.contains(range.last())));
                prop_assert!(joined.gaps().all(|gap| whole.gaps().any(|own| own == gap)), "what lies between is as before");
            }
            prop_assert!(nearest.count() <= lowest.count(), "the fewest ids are added");
        }
    }
}
