//! The chain of a product's trade ids: what is expected next, which ids are missing, and which id is too absurd to believe.
//!
//! Stands between queue and columns, does no I/O and knows no clock but the one handed in: (id, now) in, verdict out.
//!
//! 1. Trade ids rise by exactly 1 a product, over all its days: what lies between two of them and is not stored is missing.
//! 2. Missing ids are kept as [`Gaps`]: disjoint, in rising order, at most [`MAX_GAPS`]; beyond that the oldest two are joined, so that nothing missing
//!    is forgotten.
//! 3. Ids may be known to be missing beyond the last one stored: a heartbeat named them, or trades behind them wait.
//! 4. An id more than [`ABSURD_JUMP`] ahead is not believed until a second consecutive id or a heartbeat confirms it: one absurd message must never
//!    make the real ones look old.

use std::time::Duration;

/// Jump of the trade id beyond which a single message is not believed.
pub const ABSURD_JUMP: u64 = 1_000_000;

/// Highest first id that is believed where nothing is known of a product: 2^40. The busiest product had passed 10^9 after eleven years.
pub const ABSURD_FIRST: u64 = 1 << 40;

/// Gaps remembered a product.
pub const MAX_GAPS: usize = 1024;

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

/// What an id was to the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Ids that are missing before it, as far as that was not known.
    pub opened: Vec<Gap>,
    /// Whether it was known to be missing.
    pub filled: bool,
}

/// The ids of one product.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    last: Option<u64>,
    gaps: Gaps,
    revision: u64,
}

impl Continuity {
    /// Continues a chain whose last stored id is known.
    #[must_use]
    pub fn after(last: Option<u64>) -> Self {
        Self { last, gaps: Gaps::default(), revision: 0 }
    }

    /// Gives the highest id seen.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Gives the gaps in rising order.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        self.gaps.as_slice()
    }

    /// Gives how many ids are missing in all.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.missing()
    }

    /// Gives a number that changes whenever the gaps do.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Tells whether a single message with this id is too far ahead to be believed.
    #[must_use]
    pub fn is_absurd(&self, id: u64) -> bool {
        match self.last {
            Some(last) => id.saturating_sub(last) > ABSURD_JUMP,
            None => id > ABSURD_FIRST,
        }
    }

    /// Tells whether an id is the next in turn, or lies behind: nothing is missing before it that was not known.
    #[inline]
    #[must_use]
    pub fn is_in_turn(&self, id: u64) -> bool {
        self.last.is_none_or(|last| id <= last.saturating_add(1))
    }

    /// Takes ids for missing. Gives those of which that was not known.
    pub fn miss(&mut self, gap: Gap) -> Vec<Gap> {
        if gap.from > gap.to {
            return Vec::new();
        }
        let opened = self.gaps.add(gap);
        self.revision += u64::from(!opened.is_empty());
        opened
    }

    /// Takes an id that is stored into the chain.
    #[inline]
    pub fn see(&mut self, id: u64) -> Seen {
        let opened = match self.last {
            Some(last) if id > last.saturating_add(1) => self.miss(Gap { from: last + 1, to: id - 1 }),
            _ => Vec::new(),
        };
        self.last = self.last.max(Some(id));
        let filled = !self.gaps.as_slice().is_empty() && self.gaps.take(id);
        self.revision += u64::from(filled);
        Seen { opened, filled }
    }
}

/// How long an absurd id may wait for its confirmation.
pub const QUARANTINE_PATIENCE: Duration = Duration::from_secs(60);

/// Messages held for their confirmation at once.
pub const MAX_QUARANTINED: usize = 64;

/// Messages whose ids lie too far ahead, held until confirmed or given up.
#[derive(Debug, Clone)]
pub struct Quarantine<T> {
    held: Vec<(u64, Duration, T)>,
}

impl<T> Default for Quarantine<T> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

impl<T> Quarantine<T> {
    /// Holds a message. Gives back what is believed now, in rising order of id: nothing, or a run of two consecutive ids and all held behind it.
    /// Where too many are held, the oldest is handed back as given up.
    pub fn hold(&mut self, id: u64, now: Duration, message: T) -> Held<T> {
        let is_consecutive = self.held.iter().any(|(other, ..)| other.abs_diff(id) == 1);
        self.held.push((id, now, message));
        if is_consecutive {
            return Held { believed: self.release(id), given_up: None };
        }
        let given_up = (self.held.len() > MAX_QUARANTINED).then(|| self.held.remove(0)).map(|(id, _, message)| (id, message));
        Held { believed: Vec::new(), given_up }
    }

    /// A heartbeat named `last_id`: gives back what it confirms.
    pub fn confirm(&mut self, last_id: u64) -> Vec<T> {
        if self.held.iter().any(|(id, ..)| id.abs_diff(last_id) <= ABSURD_JUMP) { self.release(last_id) } else { Vec::new() }
    }

    fn release(&mut self, near: u64) -> Vec<T> {
        let (mut believed, kept): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|(id, ..)| id.abs_diff(near) <= ABSURD_JUMP);
        self.held = kept;
        believed.sort_by_key(|(id, ..)| *id);
        believed.into_iter().map(|(_, _, message)| message).collect()
    }

    /// Gives back what has waited too long.
    pub fn expire(&mut self, now: Duration) -> Vec<(u64, T)> {
        if self.held.iter().all(|(_, since, _)| now.saturating_sub(*since) < QUARANTINE_PATIENCE) {
            return Vec::new();
        }
        let (expired, kept): (Vec<_>, Vec<_>) =
            self.held.drain(..).partition(|(_, since, _)| now.saturating_sub(*since) >= QUARANTINE_PATIENCE);
        self.held = kept;
        expired.into_iter().map(|(id, _, message)| (id, message)).collect()
    }

    /// Gives back everything, at a stop.
    pub fn drain(&mut self) -> Vec<(u64, T)> {
        self.held.drain(..).map(|(id, _, message)| (id, message)).collect()
    }

    /// Gives how many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Tells whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// What holding a message led to.
#[derive(Debug, PartialEq, Eq)]
pub struct Held<T> {
    /// Messages believed now, in rising order of id.
    pub believed: Vec<T>,
    /// The oldest message, given up to make room.
    pub given_up: Option<(u64, T)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_jump_opens_a_gap_and_its_last_id_closes_it() {
        let mut chain = Continuity::after(Some(10));
        let seen = |opened: &[Gap], filled| Seen { opened: opened.to_vec(), filled };
        assert_eq!(chain.see(11), seen(&[], false));
        assert!(!chain.is_in_turn(14) && chain.is_in_turn(12) && chain.is_in_turn(3));
        assert_eq!(chain.see(14), seen(&[Gap { from: 12, to: 13 }], false));
        let before = chain.revision();
        assert_eq!(chain.see(13), seen(&[], true));
        assert!(chain.revision() > before);
        assert_eq!(chain.see(13), seen(&[], false));
        assert_eq!(chain.see(12), seen(&[], true));
        assert_eq!(chain.missing(), 0);
    }

    #[test]
    fn ids_may_be_missing_beyond_the_last() {
        let mut chain = Continuity::after(Some(10));
        assert_eq!(chain.miss(Gap { from: 11, to: 14 }), [Gap { from: 11, to: 14 }]);
        assert_eq!(chain.miss(Gap { from: 9, to: 16 }), [Gap { from: 9, to: 10 }, Gap { from: 15, to: 16 }]);
        assert_eq!(chain.see(12), Seen { opened: vec![], filled: true });
        assert_eq!((chain.missing(), chain.last()), (7, Some(12)));
        assert_eq!(chain.miss(Gap { from: 5, to: 4 }), []);
    }

    #[test]
    fn one_absurd_id_is_held_and_two_consecutive_ones_are_believed() {
        let chain = Continuity::after(Some(1000));
        assert!(!chain.is_absurd(1000 + ABSURD_JUMP) && chain.is_absurd(1001 + ABSURD_JUMP));
        assert!(Continuity::default().is_absurd(1 << 63) && !Continuity::default().is_absurd(2_000_000_000));
        let mut quarantine = Quarantine::default();
        let far = 1 << 63;
        assert_eq!(quarantine.hold(far, Duration::ZERO, 'a'), Held { believed: vec![], given_up: None });
        assert_eq!(quarantine.hold(77_000_000, Duration::ZERO, 'b'), Held { believed: vec![], given_up: None });
        assert_eq!(quarantine.hold(77_000_001, Duration::ZERO, 'c').believed, vec!['b', 'c']);
        assert!(quarantine.expire(QUARANTINE_PATIENCE / 2).is_empty());
        assert_eq!(quarantine.expire(QUARANTINE_PATIENCE), vec![(far, 'a')]);
    }

    #[test]
    fn a_heartbeat_confirms_what_lies_near_it() {
        let mut quarantine = Quarantine::default();
        quarantine.hold(50_000_000, Duration::ZERO, 'a');
        assert!(quarantine.confirm(1_000).is_empty());
        assert_eq!(quarantine.confirm(50_000_003), vec!['a']);
        assert!(quarantine.is_empty());
    }

    #[test]
    fn the_quarantine_is_bounded() {
        let mut quarantine = Quarantine::default();
        let mut given_up = 0;
        for step in 0..200u64 {
            given_up += usize::from(quarantine.hold((1 << 50) + step * 10, Duration::ZERO, step).given_up.is_some());
        }
        assert_eq!((quarantine.len(), given_up), (MAX_QUARANTINED, 200 - MAX_QUARANTINED));
    }

    proptest! {
        #[test]
        fn gaps_are_what_a_set_says(ids in prop::collection::vec(1u64..200, 1..300)) {
            let mut chain = Continuity::default();
            let mut seen = BTreeSet::new();
            let first = ids[0];
            for id in ids {
                let was_missing = id > first && !seen.contains(&id) && seen.last().is_some_and(|last| id < *last);
                let is_in_turn = chain.is_in_turn(id);
                let verdict = chain.see(id);
                prop_assert_eq!(verdict.filled, was_missing);
                prop_assert_eq!(verdict.opened.is_empty(), is_in_turn);
                seen.insert(id);
            }
            let last = *seen.last().expect("not empty");
            let missing: Vec<u64> = (first..=last).filter(|id| !seen.contains(id)).collect();
            let told: Vec<u64> = chain.gaps().iter().flat_map(|gap| gap.from..=gap.to).collect();
            prop_assert_eq!(told, missing);
        }

        #[test]
        fn a_set_of_gaps_is_a_set(steps in prop::collection::vec((0u8..3, 1u64..120, 0u64..20), 1..80)) {
            let (mut gaps, mut model) = (Gaps::default(), BTreeSet::new());
            for (what, from, more) in steps {
                let gap = Gap { from, to: from + more };
                match what {
                    0 => {
                        let new: Vec<u64> = gaps.add(gap).iter().flat_map(|part| part.from..=part.to).collect();
                        let want: Vec<u64> = (gap.from..=gap.to).filter(|id| model.insert(*id)).collect();
                        prop_assert_eq!(new, want);
                    }
                    1 => prop_assert_eq!(gaps.take(from), model.remove(&from)),
                    _ => {
                        gaps.take_all(gap);
                        model.retain(|id| *id < gap.from || *id > gap.to);
                    }
                }
                let ids: Vec<u64> = gaps.as_slice().iter().flat_map(|gap| gap.from..=gap.to).collect();
                prop_assert_eq!(&ids, &model.iter().copied().collect::<Vec<_>>());
                prop_assert!(gaps.as_slice().windows(2).all(|pair| pair[0].to < pair[1].from));
                prop_assert_eq!(gaps.missing(), model.len() as u64);
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
            prop_assert!(chain.gaps().len() <= MAX_GAPS);
            prop_assert!(missing.iter().all(|id| chain.gaps().iter().any(|gap| gap.from <= *id && *id <= gap.to)));
        }
    }
}
