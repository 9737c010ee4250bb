//! [`Ranges`]: sets of ids as ranges, so that a million neighbouring ids cost as much as one.

use std::collections::BTreeMap;

/// A set of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First id → last id; never touching one another.
    by_first: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the ids from one to another, both included.
    pub fn add(&mut self, from: u64, to: u64) {
        if to < from {
            return;
        }
        let (mut from, mut to) = (from, to);
        // Whatever begins at or before the id behind `to` and reaches up to the one before `from` becomes part of it.
        while let Some((first, last)) = self.by_first.range(..=to.saturating_add(1)).next_back().map(|(first, last)| (*first, *last)) {
            if last.saturating_add(1) < from {
                break;
            }
            self.by_first.remove(&first);
            (from, to) = (from.min(first), to.max(last));
        }
        self.by_first.insert(from, to);
    }

    /// Goes through the ranges in rising order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.by_first.iter().map(|(first, last)| (*first, *last))
    }

    /// Gives the parts that lie from one id to another, both included.
    #[must_use]
    pub fn within(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        self.iter().map(|(first, last)| (first.max(from), last.min(to))).filter(|(first, last)| first <= last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_ends_of_the_number_line_are_no_edge() {
        let mut ranges = Ranges::default();
        ranges.add(u64::MAX, u64::MAX);
        ranges.add(0, 0);
        ranges.add(u64::MAX - 1, u64::MAX);
        ranges.add(3, 2);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 0), (u64::MAX - 1, u64::MAX)]);
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_what_was_added(added in prop::collection::vec((0u64..60, 0u64..6), 0..20), window in (0u64..60, 0u64..60)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (from, more) in added {
                ranges.add(from, from + more);
                model.extend(from..=from + more);
            }
            let pairs: Vec<(u64, u64)> = ranges.iter().collect();
            prop_assert!(pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            prop_assert_eq!(pairs.into_iter().flat_map(|(from, to)| from..=to).collect::<BTreeSet<_>>(), model.clone());
            let within: BTreeSet<u64> = ranges.within(window.0, window.1).into_iter().flat_map(|(from, to)| from..=to).collect();
            prop_assert_eq!(within, model.into_iter().filter(|id| (window.0..=window.1).contains(id)).collect());
        }
    }
}
