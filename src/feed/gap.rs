//! Missing ids as the plan of the backfill keeps them, until it keeps them as [`IdSet`](crate::ids::IdSet) too.

use super::continuity::MAX_GAPS;
use crate::ids::IdRange;

/// Ids missing between two known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First id missing.
    pub from: u64,
    /// Last id missing.
    pub to: u64,
}

impl Gap {
    /// Gives how many ids are missing.
    #[must_use]
    pub const fn missing(self) -> u64 {
        self.to - self.from + 1
    }
}

/// A bounded set of missing ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// Adds ids. Gives the parts that were not in the set, in rising order.
    pub fn add(&mut self, gap: Gap) -> Vec<Gap> {
        let mut new = Vec::new();
        let mut from = gap.from;
        let first = self.0.partition_point(|known| known.to < gap.from);
        let after = self.0.partition_point(|known| known.from <= gap.to);
        for known in self.0.get(first..after).unwrap_or_default() {
            if from < known.from {
                new.push(Gap { from, to: known.from - 1 });
            }
            from = known.to.saturating_add(1);
        }
        if from <= gap.to && from >= gap.from {
            new.push(Gap { from, to: gap.to });
        }
        if new.is_empty() {
            return new;
        }
        // Joined with those it overlaps or adjoins.
        let first = self.0.partition_point(|known| known.to.saturating_add(1) < gap.from);
        let after = self.0.partition_point(|known| known.from <= gap.to.saturating_add(1));
        let joined = self.0.get(first..after).unwrap_or_default();
        let whole = Gap {
            from: joined.first().map_or(gap.from, |known| known.from.min(gap.from)),
            to: joined.last().map_or(gap.to, |known| known.to.max(gap.to)),
        };
        self.0.splice(first..after, [whole]);
        self.bound();
        new
    }

    /// Takes an id out. Tells whether it was in the set.
    pub fn take(&mut self, id: u64) -> bool {
        let at = self.0.partition_point(|gap| gap.to < id);
        let Some(gap) = self.0.get(at).copied().filter(|gap| gap.from <= id) else { return false };
        let left = (gap.from < id).then(|| Gap { from: gap.from, to: id - 1 });
        let right = (id < gap.to).then(|| Gap { from: id + 1, to: gap.to });
        self.0.splice(at..=at, left.into_iter().chain(right));
        self.bound();
        true
    }

    /// Takes a stretch of ids out.
    pub fn take_all(&mut self, taken: Gap) {
        let kept = self.0.iter().flat_map(|gap| {
            let left = (gap.from < taken.from).then(|| Gap { from: gap.from, to: gap.to.min(taken.from - 1) });
            let right = (gap.to > taken.to).then(|| Gap { from: gap.from.max(taken.to + 1), to: gap.to });
            left.into_iter().chain(right)
        });
        self.0 = kept.collect();
        self.bound();
    }

    fn bound(&mut self) {
        while self.0.len() > MAX_GAPS {
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                next.from = oldest.from;
            }
        }
    }

    /// Gives the gaps in rising order.
    #[must_use]
    pub fn as_slice(&self) -> &[Gap] {
        &self.0
    }

    /// Gives how many ids are missing in all.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.0.iter().fold(0, |sum, gap| sum.saturating_add(gap.missing()))
    }
}

impl FromIterator<Gap> for Gaps {
    fn from_iter<I: IntoIterator<Item = Gap>>(gaps: I) -> Self {
        let mut set = Self::default();
        gaps.into_iter().for_each(|gap| drop(set.add(gap)));
        set
    }
}

impl From<IdRange> for Gap {
    fn from(ids: IdRange) -> Self {
        Self { from: ids.first(), to: ids.last() }
    }
}
