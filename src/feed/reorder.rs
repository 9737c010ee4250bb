//! [`ReorderWindow`]: items that came ahead of their turn, held for a moment so that they can be written in order.
//!
//! No I/O, no clock; `now` is monotonic time since any fixed moment.
//!
//! 1. No item is held longer than the wait that the caller names. What has waited so long is due, and so is every item of a lower id.
//! 2. At most [`MAX_HELD`] items are held; the caller makes room by taking everything that is held when [`ReorderWindow::is_full`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::ids::IdRange;

/// Items held at once per product: two seconds of 8000 trades/s.
pub(super) const MAX_HELD: usize = 16_384;

/// As many items as [`ReorderWindow::count_within`] counts.
const COUNTED: usize = 3;

/// Items by id.
#[derive(Debug, Clone)]
pub(super) struct ReorderWindow<T> {
    held: BTreeMap<u64, T>,
    /// In the order in which they came. Ids that are not held any more are skipped.
    arrivals: VecDeque<Arrival>,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Duration,
    id: u64,
}

impl<T> Default for ReorderWindow<T> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), arrivals: VecDeque::new() }
    }
}

impl<T> ReorderWindow<T> {
    /// Tells whether nothing is held.
    #[inline]
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives how many items are held.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Tells whether no more items should be held.
    #[must_use]
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= MAX_HELD
    }

    /// Gives the highest id held.
    #[must_use]
    pub(super) fn highest(&self) -> Option<u64> {
        self.held.keys().next_back().copied()
    }

    /// Shows the item of an id.
    pub(super) fn get(&self, id: u64) -> Option<&T> {
        self.held.get(&id)
    }

    /// Gives the item of an id.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.held.get_mut(&id)
    }

    /// Shows the item with the lowest id.
    pub(super) fn first(&self) -> Option<&T> {
        self.held.first_key_value().map(|(_, item)| item)
    }

    /// Gives the highest id held below another one.
    #[must_use]
    pub(super) fn highest_below(&self, id: u64) -> Option<u64> {
        self.held.range(..id).next_back().map(|(id, _)| *id)
    }

    /// Counts the items held with ids from `first` to `last`, up to [`COUNTED`].
    #[must_use]
    pub(super) fn count_within(&self, first: u64, last: u64) -> usize {
        self.held.range(first..=last).take(COUNTED).count()
    }

    /// Changes the `count` items with the lowest ids and those with the highest.
    pub(super) fn at_both_ends(&mut self, count: usize, mut change: impl FnMut(&mut T)) {
        let from_the_front = self.held.len().min(count);
        self.held.values_mut().take(count).for_each(&mut change);
        let behind = self.held.len() - from_the_front;
        self.held.values_mut().rev().take(count.min(behind)).for_each(change);
    }

    /// Finds the id of the first item that `is_it` holds for, among the `count` with the lowest ids and those with the highest.
    pub(super) fn find_at_either_end(&self, count: usize, is_it: impl Fn(u64, &T) -> bool) -> Option<u64> {
        let mut ends = self.held.iter().take(count).chain(self.held.iter().rev().take(count));
        ends.find(|(id, item)| is_it(**id, item)).map(|(id, _)| *id)
    }

    /// Takes the item of an id.
    pub(super) fn take(&mut self, id: u64) -> Option<T> {
        self.held.remove(&id)
    }

    /// Holds an item whose id is not held yet.
    pub(super) fn hold(&mut self, id: u64, now: Duration, item: T) {
        self.held.insert(id, item);
        self.arrivals.push_back(Arrival { at: now, id });
    }

    /// Takes the item that comes right after `last`, if it is held.
    pub(super) fn pop_next(&mut self, last: u64) -> Option<T> {
        self.pop_through(last.saturating_add(1))
    }

    /// Takes the lowest item up to and including an id.
    pub(super) fn pop_through(&mut self, id: u64) -> Option<T> {
        let entry = self.held.first_entry()?;
        (*entry.key() <= id).then(|| entry.remove())
    }

    /// Gives the highest id of the items that have been held for at least `wait`.
    pub(super) fn due(&mut self, now: Duration, wait: Duration) -> Option<u64> {
        self.forget_taken();
        let waited = self.arrivals.iter().take_while(|arrival| now.saturating_sub(arrival.at) >= wait);
        waited.map(|arrival| arrival.id).filter(|id| self.held.contains_key(id)).max()
    }

    /// Gives when the item that has been held longest came.
    pub(super) fn oldest(&mut self) -> Option<Duration> {
        self.forget_taken();
        self.arrivals.front().map(|arrival| arrival.at)
    }

    fn forget_taken(&mut self) {
        while self.arrivals.front().is_some_and(|arrival| !self.held.contains_key(&arrival.id)) {
            self.arrivals.pop_front();
        }
    }

    /// Lists the ids above `last`, up to and including `through`, that are not held.
    #[must_use]
    pub(super) fn gaps(&self, last: u64, through: u64) -> Vec<IdRange> {
        let mut gaps = Vec::new();
        let mut before = last;
        for id in self.held.range((Bound::Excluded(last), Bound::Unbounded)).map(|(id, _)| *id).take_while(|id| *id <= through) {
            gaps.extend(IdRange::between(before, id));
            before = id;
        }
        gaps.extend(before.checked_add(1).and_then(|first| IdRange::new(first, through)));
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("first is not above last")
    }

    #[test]
    fn what_came_ahead_follows_when_its_turn_has_come() {
        let mut window = ReorderWindow::default();
        window.hold(12, at(0), 'b');
        window.hold(11, at(1), 'a');
        window.hold(14, at(2), 'd');
        assert_eq!(window.pop_next(9), None);
        assert_eq!(window.gaps(9, 14), [range(10, 10), range(13, 13)]);
        assert_eq!((window.pop_next(10), window.pop_next(11), window.pop_next(12)), (Some('a'), Some('b'), None));
        assert_eq!((window.len(), window.highest()), (1, Some(14)));
        assert_eq!(window.gaps(12, 16), [range(13, 13), range(15, 16)]);
    }

    #[test]
    fn nothing_is_held_longer_than_the_wait() {
        let mut window = ReorderWindow::default();
        window.hold(20, at(0), 20);
        window.hold(15, at(500), 15);
        window.hold(30, at(1000), 30);
        assert_eq!(window.due(at(1999), at(2000)), None);
        assert_eq!(window.due(at(2000), at(2000)), Some(20), "the first item has waited long enough; all lower ids go with it");
        assert_eq!((window.pop_through(20), window.pop_through(20), window.pop_through(20)), (Some(15), Some(20), None));
        assert_eq!(window.oldest(), Some(at(1000)));
        assert_eq!(window.due(at(9000), at(2000)), Some(30));
    }
}
