//! The chain of a product's trade ids: what is expected next, which ids are missing, and which id is too absurd to believe.
//!
//! Stands between queue and columns, does no I/O and knows no clock but the one handed in: (id, now) in, verdict out.
//!
//! 1. Trade ids rise by exactly 1 a product, over all its days: a jump opens a gap, an id inside a gap fills it.
//! 2. Gaps are disjoint, in rising order, and at most [`MAX_GAPS`]; beyond that the oldest two are joined, so that nothing missing is forgotten.
//! 3. An id more than [`ABSURD_JUMP`] ahead is not believed until a second consecutive id or a heartbeat confirms it: one absurd message must never
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

/// What an id is to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first ever, or the next in turn.
    Next,
    /// It lies ahead: these ids are missing before it.
    Opened(Gap),
    /// It was missing. Tells the gap it lay in where that is filled now.
    Filled(Option<Gap>),
    /// It lies behind and was not missing in this chain.
    Behind,
}

/// The ids of one product.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    last: Option<u64>,
    gaps: Vec<Gap>,
}

impl Continuity {
    /// Continues a chain whose last stored id is known.
    #[must_use]
    pub fn after(last: Option<u64>) -> Self {
        Self { last, gaps: Vec::with_capacity(16) }
    }

    /// Gives the highest id seen.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Gives the gaps in rising order.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Gives how many ids are missing in all.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.missing()).sum()
    }

    /// Tells whether a single message with this id is too far ahead to be believed.
    #[must_use]
    pub fn is_absurd(&self, id: u64) -> bool {
        match self.last {
            Some(last) => id.saturating_sub(last) > ABSURD_JUMP,
            None => id > ABSURD_FIRST,
        }
    }

    /// Takes an id into the chain.
    pub fn see(&mut self, id: u64) -> Seen {
        match self.last {
            Some(last) if id <= last => self.fill(id),
            Some(last) if id > last + 1 => {
                let gap = Gap { from: last + 1, to: id - 1 };
                self.last = Some(id);
                self.remember(gap);
                Seen::Opened(gap)
            }
            _ => {
                self.last = Some(id);
                Seen::Next
            }
        }
    }

    fn remember(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > MAX_GAPS {
            let oldest = self.gaps.remove(0);
            if let Some(next) = self.gaps.first_mut() {
                next.from = oldest.from;
            }
        }
    }

    fn fill(&mut self, id: u64) -> Seen {
        let at = self.gaps.partition_point(|gap| gap.to < id);
        let Some(gap) = self.gaps.get(at).copied() else { return Seen::Behind };
        if id < gap.from {
            return Seen::Behind;
        }
        let left = (gap.from < id).then(|| Gap { from: gap.from, to: id - 1 });
        let right = (id < gap.to).then(|| Gap { from: id + 1, to: gap.to });
        self.gaps.splice(at..=at, left.into_iter().chain(right));
        Seen::Filled((left.is_none() && right.is_none()).then_some(gap))
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
        assert_eq!(chain.see(11), Seen::Next);
        assert_eq!(chain.see(14), Seen::Opened(Gap { from: 12, to: 13 }));
        assert_eq!(chain.see(13), Seen::Filled(None));
        assert_eq!(chain.see(13), Seen::Behind);
        assert_eq!(chain.see(12), Seen::Filled(Some(Gap { from: 12, to: 12 })));
        assert_eq!(chain.missing(), 0);
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
                let verdict = chain.see(id);
                prop_assert_eq!(matches!(verdict, Seen::Filled(_)), was_missing);
                seen.insert(id);
            }
            let last = *seen.last().expect("not empty");
            let missing: Vec<u64> = (first..=last).filter(|id| !seen.contains(id)).collect();
            let told: Vec<u64> = chain.gaps().iter().flat_map(|gap| gap.from..=gap.to).collect();
            prop_assert_eq!(told, missing);
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
