//! [`ReorderWindow`]: what came ahead of its turn, held for a moment so that it can be written in order.
//!
//! Does no I/O and reads no clock.
//!
//! 1. Nothing is held longer than the caller's patience: what has waited so long goes, and with it everything of a lower id.
//! 2. At most [`MAX_HELD`] items; one more makes everything due.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::continuity::Gap;

/// Items held at once a product: two seconds of 8000 trades/s.
pub const MAX_HELD: usize = 16_384;

/// Items by id, held.
#[derive(Debug, Clone)]
pub struct ReorderWindow<T> {
    held: BTreeMap<u64, T>,
    /// In the order they came; ids that have gone are passed over.
    arrivals: VecDeque<(Duration, u64)>,
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
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives how many items are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Tells whether no more should be held.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held.len() >= MAX_HELD
    }

    /// Gives the highest id held.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.held.keys().next_back().copied()
    }

    /// Shows the item of an id.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.held.get_mut(&id)
    }

    /// Holds an item whose id is not held yet.
    pub fn hold(&mut self, id: u64, now: Duration, item: T) {
        self.held.insert(id, item);
        self.arrivals.push_back((now, id));
    }

    /// Gives the item that follows `last` at once, if it is held.
    pub fn next_after(&mut self, last: u64) -> Option<T> {
        let entry = self.held.first_entry()?;
        (*entry.key() <= last.saturating_add(1)).then(|| entry.remove())
    }

    /// Gives the lowest item up to an id.
    pub fn pop_through(&mut self, id: u64) -> Option<T> {
        let entry = self.held.first_entry()?;
        (*entry.key() <= id).then(|| entry.remove())
    }

    /// Gives the highest id of those that have been held for `patience`.
    pub fn due(&mut self, now: Duration, patience: Duration) -> Option<u64> {
        self.forget_gone();
        let waited = self.arrivals.iter().take_while(|(since, _)| now.saturating_sub(*since) >= patience);
        waited.map(|(_, id)| *id).filter(|id| self.held.contains_key(id)).max()
    }

    /// Gives since when the item that came first has been held.
    pub fn oldest(&mut self) -> Option<Duration> {
        self.forget_gone();
        self.arrivals.front().map(|(since, _)| *since)
    }

    fn forget_gone(&mut self) {
        while self.arrivals.front().is_some_and(|(_, id)| !self.held.contains_key(id)) {
            self.arrivals.pop_front();
        }
    }

    /// Lists the ids that are not held between `last` and `through`.
    #[must_use]
    pub fn gaps(&self, last: u64, through: u64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut from = last.saturating_add(1);
        for id in self.held.range(from..).map(|(id, _)| *id).take_while(|id| *id <= through) {
            if from < id {
                gaps.push(Gap { from, to: id - 1 });
            }
            from = id.saturating_add(1);
        }
        if from <= through {
            gaps.push(Gap { from, to: through });
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_came_ahead_follows_when_its_turn_has_come() {
        let mut window = ReorderWindow::default();
        window.hold(12, at(0), 'b');
        window.hold(11, at(1), 'a');
        window.hold(14, at(2), 'd');
        assert_eq!(window.next_after(9), None);
        assert_eq!(window.gaps(9, 14), [Gap { from: 10, to: 10 }, Gap { from: 13, to: 13 }]);
        assert_eq!((window.next_after(10), window.next_after(11), window.next_after(12)), (Some('a'), Some('b'), None));
        assert_eq!((window.len(), window.highest()), (1, Some(14)));
        assert_eq!(window.gaps(12, 16), [Gap { from: 13, to: 13 }, Gap { from: 15, to: 16 }]);
    }

    #[test]
    fn nothing_waits_longer_than_the_patience() {
        let mut window = ReorderWindow::default();
        window.hold(20, at(0), 20);
        window.hold(15, at(500), 15);
        window.hold(30, at(1000), 30);
        assert_eq!(window.due(at(1999), at(2000)), None);
        assert_eq!(window.due(at(2000), at(2000)), Some(20), "the first one's time is over, and with it that of all below");
        assert_eq!((window.pop_through(20), window.pop_through(20), window.pop_through(20)), (Some(15), Some(20), None));
        assert_eq!(window.oldest(), Some(at(1000)));
        assert_eq!(window.due(at(9000), at(2000)), Some(30));
    }
}
