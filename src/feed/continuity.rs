//! [`Continuity`]: the chain of a product's trade ids. It knows the highest id, and which ids are missing.
//!
//! It stands between queue and columns, does no I/O and reads no clock: an id comes in, what it changes goes out.
//!
//! 1. Trade ids rise by exactly 1 per product, over all its days. Ids between two stored ones that are not stored themselves are missing: they are a gap.
//! 2. At most [`MAX_GAPS`] gaps are remembered. Beyond that the lowest two become one, so that no missing id is forgotten.
//! 3. Ids may be known to be missing above the highest one stored: a heartbeat named them, or trades behind them wait.
//! 4. It believes every id that it gets: [`TradeMarks`](super::trade_marks::TradeMarks) keeps out those that are to be doubted.

use crate::ids::{IdRange, IdSet};

/// Distance from the chain beyond which a single message with a trade id is not believed.
pub(crate) const ABSURD_JUMP: u64 = 1_000_000;

/// Ids of one gap that REST is asked for, the newest ones: at 8 requests/s they take twenty minutes. What lies below is left to `coltape repair`.
pub(crate) const MAX_ASKED_IDS: u64 = 10_000_000;

/// Gaps remembered per product.
pub(crate) const MAX_GAPS: usize = 1024;

/// What one id changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Ids below it that are missing and were not known to be.
    pub(crate) opened: Vec<IdRange>,
    /// Whether the id itself was known to be missing.
    pub(crate) filled: bool,
}

/// The ids of one product.
#[derive(Debug, Clone, Default)]
pub(crate) struct Continuity {
    last: Option<u64>,
    missing: IdSet,
    revision: u64,
}

impl Continuity {
    /// Continues a chain whose highest stored id is known.
    #[must_use]
    pub(crate) fn after(last: Option<u64>) -> Self {
        Self { last, missing: IdSet::new(), revision: 0 }
    }

    /// Gives the highest id seen.
    #[must_use]
    pub(crate) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Gives the missing ids. Where gaps were joined (2.), some of these are not missing.
    #[must_use]
    pub(crate) const fn missing(&self) -> &IdSet {
        &self.missing
    }

    /// Gives a number that changes whenever the missing ids do.
    #[must_use]
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Gives the missing ids that REST is to be asked for: of each gap at most the newest [`MAX_ASKED_IDS`].
    #[must_use]
    pub(crate) fn askable(&self) -> IdSet {
        let newest = |gap: IdRange| {
            let first = gap.last().saturating_sub(MAX_ASKED_IDS - 1).max(gap.first());
            IdRange::new(first, gap.last())
        };
        self.missing.iter().filter_map(newest).collect()
    }

    /// Tells whether an id is the next one or a lower one, so that storing it opens no gap.
    #[inline]
    #[must_use]
    pub(crate) fn is_in_turn(&self, id: u64) -> bool {
        self.last.is_none_or(|last| id <= last.saturating_add(1))
    }

    /// Marks ids as missing. Gives those that were not known to be.
    pub(crate) fn mark_missing(&mut self, ids: IdRange) -> Vec<IdRange> {
        let opened: Vec<IdRange> = self.missing.absent_within(ids).collect();
        if !opened.is_empty() {
            self.missing.insert(ids);
            self.missing.join_lowest(MAX_GAPS);
            self.revision += 1;
        }
        opened
    }

    /// Takes an id that is stored into the chain.
    #[inline]
    pub(crate) fn see(&mut self, id: u64) -> Seen {
        let opened = match self.last {
            Some(last) if id > last.saturating_add(1) => self.open_gap(last, id),
            _ => Vec::new(),
        };
        self.last = self.last.max(Some(id));
        let filled = !self.missing.is_empty() && self.fill(id);
        Seen { opened, filled }
    }

    #[cold]
    fn open_gap(&mut self, last: u64, id: u64) -> Vec<IdRange> {
        IdRange::between(last, id).map_or_else(Vec::new, |ids| self.mark_missing(ids))
    }

    /// Removes an id from the missing ones. Tells whether it was among them.
    fn fill(&mut self, id: u64) -> bool {
        let was_missing = self.missing.remove_id(id);
        if was_missing {
            // A gap that the id has split may be one too many.
            self.missing.join_lowest(MAX_GAPS);
            self.revision += 1;
        }
        was_missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("first is not above last")
    }

    fn missing(chain: &Continuity) -> Vec<u64> {
        chain.missing().iter().flat_map(IdRange::ids).collect()
    }

    #[test]
    fn a_jump_opens_a_gap_and_its_last_id_closes_it() {
        let mut chain = Continuity::after(Some(10));
        let seen = |opened: &[IdRange], filled| Seen { opened: opened.to_vec(), filled };
        assert_eq!(chain.see(11), seen(&[], false));
        assert!(!chain.is_in_turn(14) && chain.is_in_turn(12) && chain.is_in_turn(3));
        assert_eq!(chain.see(14), seen(&[range(12, 13)], false));
        let before = chain.revision();
        assert_eq!(chain.see(13), seen(&[], true));
        assert!(chain.revision() > before);
        assert_eq!(chain.see(13), seen(&[], false));
        assert_eq!(chain.see(12), seen(&[], true));
        assert!(chain.missing().is_empty());
    }

    #[test]
    fn ids_may_be_missing_above_the_highest() {
        let mut chain = Continuity::after(Some(10));
        assert_eq!(chain.mark_missing(range(11, 14)), [range(11, 14)]);
        assert_eq!(chain.mark_missing(range(9, 16)), [range(9, 10), range(15, 16)]);
        assert_eq!(chain.see(12), Seen { opened: vec![], filled: true });
        assert_eq!((chain.missing().count(), chain.last()), (7, Some(12)));
        assert_eq!(chain.mark_missing(range(15, 16)), []);
    }

    #[test]
    fn of_a_gap_without_bounds_only_the_newest_ids_are_asked_for() {
        let mut chain = Continuity::after(Some(10));
        chain.see(15);
        assert_eq!(chain.askable().ranges(), [range(11, 14)]);
        chain.see(u64::MAX);
        assert_eq!(chain.missing().count(), u64::MAX - 12);
        assert_eq!(chain.askable().ranges(), [range(11, 14), range(u64::MAX - MAX_ASKED_IDS, u64::MAX - 1)]);
    }

    #[test]
    fn a_chain_goes_on_at_both_ends_of_the_numbers() {
        let mut chain = Continuity::after(Some(u64::MAX - 2));
        assert_eq!(chain.see(u64::MAX), Seen { opened: vec![IdRange::one(u64::MAX - 1)], filled: false });
        assert!(chain.is_in_turn(u64::MAX) && chain.see(u64::MAX).opened.is_empty());
        let mut chain = Continuity::after(Some(0));
        assert_eq!(chain.see(2).opened, [IdRange::one(1)]);
    }

    proptest! {
        #[test]
        fn the_missing_ids_are_what_a_set_says(ids in prop::collection::vec(1u64..200, 1..300)) {
            let mut chain = Continuity::default();
            let mut seen = BTreeSet::new();
            let first = ids[0];
            for id in ids {
                let was_missing = id > first && !seen.contains(&id) && seen.last().is_some_and(|last| id < *last);
                let is_in_turn = chain.is_in_turn(id);
                let change = chain.see(id);
                prop_assert_eq!(change.filled, was_missing);
                prop_assert_eq!(change.opened.is_empty(), is_in_turn);
                seen.insert(id);
            }
            let last = *seen.last().expect("not empty");
            prop_assert_eq!(missing(&chain), (first..=last).filter(|id| !seen.contains(id)).collect::<Vec<_>>());
        }

        #[test]
        fn ids_are_newly_missing_only_once(steps in prop::collection::vec((any::<bool>(), 1u64..120, 0u64..20), 1..80)) {
            let (mut chain, mut model) = (Continuity::after(Some(200)), BTreeSet::new());
            for (is_gap, first, more) in steps {
                let (ids, before) = (range(first, first + more), chain.revision());
                let has_changed = if is_gap {
                    let new: Vec<u64> = chain.mark_missing(ids).into_iter().flat_map(IdRange::ids).collect();
                    let want: Vec<u64> = ids.ids().filter(|id| model.insert(*id)).collect();
                    prop_assert_eq!(&new, &want);
                    !new.is_empty()
                } else {
                    let change = chain.see(first);
                    prop_assert_eq!(change, Seen { opened: Vec::new(), filled: model.remove(&first) });
                    chain.revision() != before
                };
                prop_assert_eq!(chain.revision() != before, has_changed);
                prop_assert_eq!(missing(&chain), model.iter().copied().collect::<Vec<_>>());
            }
        }

        #[test]
        fn too_many_gaps_are_joined_and_never_forgotten(steps in prop::collection::vec(1u64..5, 3000)) {
            let mut chain = Continuity::default();
            let mut id = 0;
            let mut missing = BTreeSet::new();
            for step in steps {
                if id > 0 { missing.extend(id + 1..id + step); }
                id += step;
                chain.see(id);
            }
            prop_assert!(chain.missing().ranges().len() <= MAX_GAPS);
            prop_assert!(missing.iter().all(|id| chain.missing().contains(*id)));
        }
    }
}
