//! [`GapAges`]: since when ids have been missing, so that an alert can tell a gap that stays from gaps that come and go.

use std::time::Instant;

use crate::ids::{IdRange, IdSet};

/// Gaps whose ages are kept apart. One more is counted to the last of them, and so is at least as old.
const MAX_GAPS: usize = 64;

/// A product's gaps that are open, in the order in which they were opened.
#[derive(Debug, Default)]
pub(crate) struct GapAges {
    open: Vec<(IdRange, Instant)>,
}

impl GapAges {
    /// Notes a gap that was found.
    pub(crate) fn open(&mut self, ids: IdRange, now: Instant) {
        let is_full = self.open.len() >= MAX_GAPS;
        match self.open.last_mut().filter(|_| is_full) {
            Some((last, _)) => *last = last.span(ids),
            None => self.open.push((ids, now)),
        }
    }

    /// Forgets the gaps of which nothing is missing any more. Gives since when the oldest of the others has been open.
    pub(crate) fn oldest(&mut self, missing: &IdSet, now: Instant) -> Option<Instant> {
        self.open.retain(|(ids, _)| missing.overlaps(*ids));
        if self.open.is_empty()
            && let (Some(first), Some(last)) = (missing.first(), missing.last())
            && let Some(all) = IdRange::new(first, last)
        {
            // Gaps of an earlier run, and those that are not reported yet.
            self.open(all, now);
        }
        self.open.first().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ids(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("a range")
    }

    #[test]
    fn a_gap_is_as_old_as_its_oldest_missing_id_and_others_come_and_go() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (mut ages, mut missing) = (GapAges::default(), IdSet::new());
        assert_eq!(ages.oldest(&missing, start), None);
        missing.insert(ids(5, 9));
        ages.open(ids(5, 9), start);
        missing.insert(ids(20, 20));
        ages.open(ids(20, 20), at(50));
        missing.remove(ids(5, 8));
        assert_eq!(ages.oldest(&missing, at(60)), Some(start), "a part of it is missing");
        missing.remove_id(9);
        assert_eq!(ages.oldest(&missing, at(61)), Some(at(50)), "the younger one is left");
        missing.remove_id(20);
        assert_eq!(ages.oldest(&missing, at(62)), None);
    }

    #[test]
    fn what_was_missing_before_the_start_counts_from_the_start_and_many_gaps_take_little() {
        let start = Instant::now();
        let (mut ages, mut missing) = (GapAges::default(), IdSet::new());
        missing.insert(ids(1, 3));
        assert_eq!(ages.oldest(&missing, start), Some(start));
        let later = start + Duration::from_secs(9);
        for id in (10..10_000).step_by(2) {
            missing.insert(ids(id, id));
            ages.open(ids(id, id), later);
        }
        assert_eq!((ages.open.len(), ages.oldest(&missing, later)), (MAX_GAPS, Some(start)));
        missing.remove(ids(1, 9000));
        assert_eq!(ages.oldest(&missing, later), Some(later));
    }
}
