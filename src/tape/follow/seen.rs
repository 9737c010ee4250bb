//! [`Seen`]: which records of a day were given, and how those that were not are found.

use std::marker::PhantomData;
use std::ops::Range;

use super::arrivals::Piece;
use crate::ids::{IdRange, IdSet};
use crate::schema::{Layout, Value};
use crate::store::Snapshot;
use crate::stored;

/// Ids that are compared at once.
const BLOCK_IDS: usize = 512;

/// The records of a day that were given.
#[derive(Debug)]
pub(super) struct Seen<L: Layout> {
    layout: PhantomData<L>,
    /// Whether the day was looked at.
    has_begun: bool,
    /// Records of the columns.
    base: usize,
    /// The values of the last one.
    last: Vec<Value>,
    /// The values of the late records.
    late: Vec<Vec<Value>>,
    /// The ids of all of them, where the dataset has ids that are unique.
    ids: IdSet,
}

impl<L: Layout> Seen<L> {
    /// Begins with no record.
    pub(super) fn none() -> Self {
        Self { layout: PhantomData, has_begun: false, base: 0, last: Vec::new(), late: Vec::new(), ids: IdSet::new() }
    }

    /// Counts all records as given.
    pub(super) fn add_all(&mut self, day: &Snapshot<L>) {
        // The ids of a day's columns rise.
        let ids = L::DATASET.key_column().and_then(|column| day.values::<u64>(column)).unwrap_or_default();
        stretches(ids).for_each(|range| self.ids.insert(range));
        if L::DATASET.key_column().is_some() {
            day.late().iter().for_each(|row| self.ids.insert(IdRange::one(L::key(row))));
        }
        self.note_counts(day);
    }

    /// Gives the records that were not given before, and counts them as given.
    pub(super) fn add_new(&mut self, day: &Snapshot<L>) -> Vec<Piece> {
        if !self.has_begun {
            self.add_all(day);
            return if day.count() > 0 { vec![Piece::Merged(0..day.count())] } else { Vec::new() };
        }
        let pieces = match L::DATASET.key_column() {
            Some(_) => self.new_ids(day),
            None => self.new_numbers(day),
        };
        self.note_counts(day);
        pieces
    }

    /// Finds what is new by the ids: whatever became of the files, each id is given once.
    fn new_ids(&mut self, day: &Snapshot<L>) -> Vec<Piece> {
        let is_continued = self.is_continued(day);
        let (from, late_from) = if is_continued { (self.base, self.late.len()) } else { (0, 0) };
        let highest = self.ids.last();
        let (mut pieces, mut at) = (Vec::new(), from);
        for ids in ids_of(day, from..day.base_count()) {
            // A stretch of ids has as many records.
            let record = |id: u64| at.saturating_add(usize::try_from(id - ids.first()).unwrap_or(usize::MAX));
            for new in self.ids.absent_within(ids) {
                let records = record(new.first())..record(new.last()).saturating_add(1);
                let is_between = highest.is_some_and(|highest| new.first() < highest);
                push(&mut pieces, if is_between { Piece::Between(records) } else { Piece::Columns(records) });
            }
            self.ids.insert(ids);
            at = record(ids.last()).saturating_add(1);
        }
        for (number, row) in day.late().iter().enumerate().skip(late_from) {
            if !self.ids.contains(L::key(row)) {
                self.ids.insert(IdRange::one(L::key(row)));
                push(&mut pieces, Piece::Late(number..number + 1));
            }
        }
        if !is_continued {
            self.late.clear();
        }
        // Those in their order first, as a reader expects them, and then those that came late.
        pieces.sort_by_key(|piece| !matches!(piece, Piece::Columns(_)));
        pieces
    }

    /// Finds what is new where records have no id: they keep their order when the files are replaced, and late ones then lie behind.
    fn new_numbers(&mut self, day: &Snapshot<L>) -> Vec<Piece> {
        let mut known = 0..0;
        let mut from = self.base;
        if !self.is_continued(day) {
            from = self.number_behind_last(day);
            known = self.place_of_late(day, from);
            self.late.clear();
        }
        let parts = [Piece::Columns(from..known.start.max(from)), Piece::Columns(known.end.max(from)..day.base_count())];
        let late = Piece::Late(self.late.len()..day.late().len());
        parts.into_iter().chain([late]).filter(|piece| !range_of(piece).is_empty()).collect()
    }

    fn note_counts(&mut self, day: &Snapshot<L>) {
        self.has_begun = true;
        self.base = day.base_count();
        self.last.clear();
        if let Some(last) = self.base.checked_sub(1) {
            stored::load_base(day, last, &mut self.last);
        }
        self.late.truncate(day.late().len());
        for number in self.late.len()..day.late().len() {
            let mut values = Vec::new();
            stored::load_late(day, number, &mut values);
            self.late.push(values);
        }
    }

    /// Tells whether the files are the ones looked at before, with more records behind.
    fn is_continued(&self, day: &Snapshot<L>) -> bool {
        let mut values = Vec::new();
        let is_last =
            self.base.checked_sub(1).is_none_or(|last| stored::load_base(day, last, &mut values) && are_same(&values, &self.last));
        let is_late = self.late.len().checked_sub(1).is_none_or(|last| {
            self.late.get(last).is_some_and(|late| stored::load_late(day, last, &mut values) && are_same(&values, late))
        });
        is_last && is_late
    }

    /// Finds the number behind the record of the columns that was given last. 0 in a day that has no such record: it was begun anew.
    fn number_behind_last(&self, day: &Snapshot<L>) -> usize {
        let mut values = Vec::new();
        let mut is_last = |number: usize| stored::load_base(day, number, &mut values) && are_same(&values, &self.last);
        match self.base.checked_sub(1) {
            None => 0,
            Some(last) if is_last(last) => self.base,
            Some(_) => (0..day.base_count()).rev().find(|number| is_last(*number)).map_or(0, |number| number + 1),
        }
    }

    /// Finds the place in the columns where the late records that were given are now: behind all that were in the columns when they were put there.
    fn place_of_late(&self, day: &Snapshot<L>, from: usize) -> Range<usize> {
        let mut values = Vec::new();
        let mut is_at = |from: usize| {
            self.late.iter().enumerate().all(|(at, late)| stored::load_base(day, from + at, &mut values) && are_same(&values, late))
        };
        let last = day.base_count().saturating_sub(self.late.len());
        match (from..=last).find(|from| is_at(*from)) {
            Some(at) => at..at + self.late.len(),
            None => from..from,
        }
    }
}

/// Adds a piece, as more of the last one where it follows that.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), &piece) {
        (Some(Piece::Columns(last)), Piece::Columns(next))
        | (Some(Piece::Between(last)), Piece::Between(next))
        | (Some(Piece::Late(last)), Piece::Late(next))
            if last.end == next.start =>
        {
            last.end = next.end;
        }
        _ => pieces.push(piece),
    }
}

fn range_of(piece: &Piece) -> &Range<usize> {
    match piece {
        Piece::Merged(range) | Piece::Columns(range) | Piece::Between(range) | Piece::Late(range) => range,
    }
}

/// Gives the ids of some records of the columns, stretch by stretch. Nothing where records have no unique id.
fn ids_of<L: Layout>(day: &Snapshot<L>, records: Range<usize>) -> impl Iterator<Item = IdRange> {
    let ids = L::DATASET.key_column().and_then(|column| day.values::<u64>(column)).unwrap_or_default();
    let mut rest = ids.get(records).unwrap_or_default();
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let count = consecutive(rest);
        rest = rest.get(count..).unwrap_or_default();
        IdRange::new(first, first.saturating_add(count as u64 - 1))
    })
}

/// Gives rising ids stretch by stretch. The end of a stretch is found without a look at each.
fn stretches(ids: &[u64]) -> impl Iterator<Item = IdRange> {
    let mut rest = ids;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let is_in = |at: usize| rest.get(at).is_some_and(|id| id.checked_sub(first) == Some(at as u64));
        // The last one that is known to be in it, and the first one that is known not to be.
        let (mut last, mut step) = (0, 1);
        while is_in(last + step) {
            last += step;
            step *= 2;
        }
        let mut behind = last + step;
        while behind - last > 1 {
            let middle = last + (behind - last) / 2;
            if is_in(middle) { last = middle } else { behind = middle }
        }
        rest = rest.get(behind..).unwrap_or_default();
        IdRange::new(first, first.saturating_add(last as u64))
    })
}

/// Counts the ids at the front that rise by 1 each, the first one included.
fn consecutive(ids: &[u64]) -> usize {
    let first = ids.first().copied().unwrap_or(0);
    let mut count = 0;
    for block in ids.chunks(BLOCK_IDS) {
        // Without a branch, so that several ids are compared at once.
        let expected = (count as u64..).map(|at| first.wrapping_add(at));
        if block.iter().zip(expected.clone()).fold(0, |differs, (id, expected)| differs | (id ^ expected)) != 0 {
            return count + block.iter().zip(expected).take_while(|(id, expected)| *id == expected).count();
        }
        count += block.len();
    }
    count
}

fn are_same(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| stored::is_same(*left, *right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stretches_hold_the_ids_and_no_others(ids in proptest::collection::btree_set(0_u64..3_000, 0..2_500), shift in 0_u64..=u64::MAX - 3_000) {
            let ids: Vec<u64> = ids.into_iter().map(|id| id + shift).collect();
            let found: Vec<IdRange> = stretches(&ids).collect();
            prop_assert!(found.iter().flat_map(|range| range.first()..=range.last()).eq(ids.iter().copied()));
            prop_assert!(found.is_sorted_by(|one, next| one.last() + 1 < next.first()), "{found:?}");
        }
    }
}
