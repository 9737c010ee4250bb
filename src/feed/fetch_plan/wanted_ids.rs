//! [`WantedIds`]: the ids that one product misses, the history of each (how often REST answered without it or failed), and in which order they are asked for.
//!
//! Plain data for [`FetchPlan`](super::FetchPlan). No I/O, no clock.
//!
//! 1. Every wanted id is in exactly one place: due, waiting, or part of the request under way.
//! 2. **Smallest first, newest first.** Gaps up to a page come before larger ones, and of two gaps up to a page the one with the higher ids comes first.
//!    Within a gap the ids rise.
//! 3. **No gap starves another.** Every second turn is that of the newest gap up to a page. The turns between are shared by the larger gaps, which take
//!    turns themselves, by what REST has answered without or what fails again and again (the easiest, and what has waited longest), and by the oldest gap
//!    up to a page.
//! 4. A stretch that fails again and again is asked for alone, and then by halves. So it costs no neighbour anything, and in the end only itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::feed::rest::MAX_PAGE_TRADES;
use crate::ids::{IdRange, IdSet};

/// Failures in a row after which a stretch is suspected to be their cause.
const SUSPECT_FAILURES: u32 = 3;

/// Stretches held of a product that asks for ever. Beyond that those that adjoin are joined.
const MAX_STRETCHES: usize = 4096;

/// Suspects up to which a stretch is halved although nothing else succeeds. A server that fails always is thus not asked for single ids.
const MAX_SUSPECTS: usize = 64;

/// Ids of a page.
const PAGE_IDS: u64 = MAX_PAGE_TRADES as u64;

/// Ids with one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) ids: IdRange,
    /// How often REST has answered for them.
    pub(super) answers: u32,
    /// How often requests for them have failed since the last answer.
    pub(super) failures: u32,
    /// Which turn of the larger gaps is theirs; of those that are due again, when they became due.
    pub(super) turn: u64,
}

/// The order of larger gaps: turn, size, newest first.
type LargeKey = (u64, u32, Reverse<u64>);

/// The order of ids that REST has answered without, or that fail again and again: failures, size, answers, newest first.
type AgainKey = (u32, u32, u32, Reverse<u64>);

/// Where a stretch that is due stands.
enum Place {
    Small,
    Large(LargeKey),
    Again(AgainKey),
}

impl Stretch {
    /// Ids that nothing is known of yet.
    pub(super) const fn new(ids: IdRange) -> Self {
        Self { ids, answers: 0, failures: 0, turn: 0 }
    }

    const fn is_suspect(&self) -> bool {
        self.failures >= SUSPECT_FAILURES
    }

    const fn place(&self) -> Place {
        let (ids, newest) = (self.ids.count(), Reverse(self.ids.first()));
        if self.answers > 0 || self.is_suspect() {
            Place::Again((self.failures, ids.ilog2(), self.answers, newest))
        } else if ids > PAGE_IDS {
            Place::Large((self.turn, (ids / PAGE_IDS).ilog2(), newest))
        } else {
            Place::Small
        }
    }
}

/// The ids that one product misses.
#[derive(Debug, Default)]
pub(super) struct WantedIds {
    /// By first id.
    due: BTreeMap<u64, Stretch>,
    /// Those that are due and have up to a page, by first id.
    small: BTreeSet<u64>,
    /// Those that are due and larger.
    large: BTreeSet<LargeKey>,
    /// Those that are due again.
    again: BTreeSet<AgainKey>,
    /// The same, by the number with which they became due, and first id.
    again_by_age: BTreeSet<(u64, u64)>,
    /// How often some became due again.
    became_due: u64,
    /// By the time at which they are due, and first id.
    waiting: BTreeMap<(Duration, u64), Stretch>,
    /// Those of the request under way, in rising order.
    asked: Vec<Stretch>,
    /// The turn of the larger gap that was asked for last.
    turn: u64,
    /// How many windows were taken: whose turn it is.
    windows: usize,
}

impl WantedIds {
    /// Replaces the ids that are wanted. What was wanted before keeps its history.
    pub(super) fn replace(&mut self, wanted: &IdSet) {
        let mut known = IdSet::new();
        let mut kept = |stretch: Stretch| {
            let parts: Vec<Stretch> = wanted.within(stretch.ids).map(|ids| Stretch { ids, ..stretch }).collect();
            known.extend(parts.iter().map(|part| part.ids));
            parts
        };
        let due = self.take_due().into_iter().flat_map(&mut kept).collect::<Vec<_>>();
        let waiting = std::mem::take(&mut self.waiting);
        let waiting: Vec<_> =
            waiting.into_iter().flat_map(|((at, _), stretch)| kept(stretch).into_iter().map(move |part| (at, part))).collect();
        self.asked = std::mem::take(&mut self.asked).into_iter().flat_map(kept).collect();
        due.into_iter().for_each(|stretch| self.insert_due(stretch));
        waiting.into_iter().for_each(|(at, stretch)| self.add_waiting(stretch, at));
        wanted.difference(&known).into_iter().for_each(|ids| self.add_due(Stretch::new(ids)));
    }

    /// Gives when the first ids are due: [`Duration::ZERO`] where some are due already, `None` where none are wanted beside those of the request under way.
    pub(super) fn due_at(&self) -> Option<Duration> {
        if self.due.is_empty() { self.waiting.first_key_value().map(|((at, _), _)| *at) } else { Some(Duration::ZERO) }
    }

    /// Gives how many ids are wanted.
    pub(super) fn count(&self) -> u64 {
        let all = self.due.values().chain(self.waiting.values()).chain(&self.asked);
        all.fold(0, |sum: u64, stretch| sum.saturating_add(stretch.ids.count()))
    }

    /// Takes the ids of the next window: the stretch whose turn it is, from its first id on, and the stretches near it that fit into the same page. They are
    /// part of the request under way then.
    pub(super) fn take_window(&mut self, now: Duration) -> Option<IdRange> {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let stretch = entry.remove();
            self.add_due(stretch);
        }
        let first = self.next_first()?;
        let chosen = self.remove_due(first)?;
        if let Place::Large((turn, ..)) = chosen.place() {
            self.turn = turn;
        }
        let end = first.saturating_add(PAGE_IDS - 1);
        let window = IdRange::new(first, chosen.ids.last().min(end))?;
        self.asked.push(Stretch { ids: window, ..chosen });
        if let Some(ids) = window.last().checked_add(1).and_then(|behind| IdRange::new(behind, chosen.ids.last())) {
            self.add_due(Stretch { ids, ..chosen });
        }
        if !chosen.is_suspect() {
            self.take_neighbours(window, end);
        }
        self.asked.sort_unstable_by_key(|stretch| stretch.ids);
        IdRange::new(self.asked.first()?.ids.first(), self.asked.last()?.ids.last())
    }

    /// Adds to the request the stretches that fit into its page as a whole: first those up to `end`, then those below.
    fn take_neighbours(&mut self, window: IdRange, end: u64) {
        let fitting = |from: u64| {
            let within = self.due.range(from..=end).map(|(_, stretch)| stretch);
            within.filter(|stretch| !stretch.is_suspect() && stretch.ids.last() <= end).map(|stretch| stretch.ids).collect::<Vec<_>>()
        };
        let last = fitting(window.first()).last().map_or(window.last(), |ids| ids.last().max(window.last()));
        for ids in fitting(last.saturating_sub(PAGE_IDS - 1)) {
            let neighbour = self.remove_due(ids.first());
            self.asked.extend(neighbour);
        }
    }

    /// Gives the first id of the stretch whose turn it is.
    fn next_first(&mut self) -> Option<u64> {
        let newest = self.small.last().copied();
        let others = [
            self.large.first().map(|(.., Reverse(first))| *first),
            self.again.first().map(|(.., Reverse(first))| *first),
            self.again_by_age.first().map(|(_, first)| *first),
            self.small.first().copied(),
        ];
        let number = self.windows;
        self.windows = number.wrapping_add(1);
        let turns = others.iter().cycle().skip(number / 2 % others.len()).take(others.len()).flatten().copied();
        if number.is_multiple_of(2) { newest.into_iter().chain(turns).next() } else { turns.chain(newest).next() }
    }

    /// Gives the ids of the request under way, which has ended. The caller gives back those that are still wanted.
    pub(super) fn take_asked(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.asked)
    }

    /// Gives back ids that are due at once. They come behind those that wait for their turn.
    pub(super) fn add_due(&mut self, stretch: Stretch) {
        self.became_due = self.became_due.wrapping_add(1);
        let is_again = matches!(stretch.place(), Place::Again(_));
        let turn = if is_again { self.became_due } else { self.turn.saturating_add(1) };
        self.insert_due(Stretch { turn, ..stretch });
    }

    /// Gives back ids that are due later.
    pub(super) fn add_waiting(&mut self, stretch: Stretch, at: Duration) {
        self.waiting.insert((at, stretch.ids.first()), stretch);
    }

    /// Says how ids are to be asked for whose request has failed: by halves where they are suspected to be the cause. `others_succeed` says whether the
    /// product's last request before this one succeeded.
    pub(super) fn after_failure(&self, stretch: Stretch, others_succeed: bool) -> Vec<Stretch> {
        let failed = Stretch { failures: stretch.failures.saturating_add(1), ..stretch };
        let has_many_suspects = || {
            let waiting = self.waiting.values().filter(|stretch| stretch.is_suspect());
            waiting.count() + self.again.len() >= MAX_SUSPECTS
        };
        if !failed.is_suspect() || failed.ids.count() < 2 || !others_succeed && has_many_suspects() {
            return vec![failed];
        }
        // While others succeed, a half is a new suspect.
        let failures = if others_succeed { SUSPECT_FAILURES } else { failed.failures };
        let (first, last) = (failed.ids.first(), failed.ids.last());
        let middle = first + (last - first) / 2;
        let halves = [IdRange::new(first, middle), IdRange::new(middle + 1, last)];
        halves.into_iter().flatten().map(|ids| Stretch { ids, failures, ..failed }).collect()
    }

    /// Gives those of some ids that are wanted and not part of the request under way.
    pub(super) fn of(&self, ids: &IdSet) -> IdSet {
        let Some(span) = ids.first().zip(ids.last()).and_then(|(first, last)| IdRange::new(first, last)) else { return IdSet::new() };
        let from = self.due.range(..=span.first()).next_back().map_or(span.first(), |(first, _)| *first);
        let due = self.due.range(from..=span.last()).map(|(_, stretch)| stretch);
        let waiting = self.waiting.values().filter(|stretch| stretch.ids.overlaps(span));
        due.chain(waiting).flat_map(|stretch| ids.within(stretch.ids)).collect()
    }

    /// Removes ids that are not part of the request under way. Gives how many of them had not been answered before.
    pub(super) fn remove(&mut self, ids: &IdSet) -> u64 {
        if ids.is_empty() {
            return 0;
        }
        let mut first_answers: u64 = 0;
        let mut rest_of = |stretch: Stretch| {
            if stretch.answers == 0 {
                first_answers += ids.within(stretch.ids).map(IdRange::count).sum::<u64>();
            }
            ids.absent_within(stretch.ids).map(move |ids| Stretch { ids, ..stretch }).collect::<Vec<_>>()
        };
        let touched: Vec<u64> = ids.iter().flat_map(|range| self.due_within(range)).collect();
        let due: Vec<Stretch> = touched.into_iter().filter_map(|first| self.remove_due(first)).flat_map(&mut rest_of).collect();
        let waiting: Vec<_> = std::mem::take(&mut self.waiting)
            .into_iter()
            .flat_map(|((at, _), stretch)| rest_of(stretch).into_iter().map(move |rest| (at, rest)))
            .collect();
        due.into_iter().for_each(|stretch| self.insert_due(stretch));
        waiting.into_iter().for_each(|(at, stretch)| self.add_waiting(stretch, at));
        first_answers
    }

    /// Gives the first ids of the stretches that are due and share an id with `range`.
    fn due_within(&self, range: IdRange) -> Vec<u64> {
        let before = self.due.range(..range.first()).next_back().filter(|(_, stretch)| stretch.ids.overlaps(range));
        before.into_iter().chain(self.due.range(range.ids())).map(|(first, _)| *first).collect()
    }

    /// Gives every id, and forgets all.
    pub(super) fn give_up(&mut self) -> IdSet {
        let Self { due, waiting, asked, .. } = std::mem::take(self);
        due.into_values().chain(waiting.into_values()).chain(asked).map(|stretch| stretch.ids).collect()
    }

    /// Joins stretches that adjoin where there are more than [`MAX_STRETCHES`]. Those that wait are joined with each other, and are due when the last of them
    /// would have been. Only where that is not enough are they joined with those that are due.
    pub(super) fn bound(&mut self) {
        for joins_all in [false, true] {
            if self.due.len() + self.waiting.len() > MAX_STRETCHES {
                self.join(joins_all);
            }
        }
    }

    fn join(&mut self, joins_all: bool) {
        let due = self.take_due().into_iter().map(|stretch| (stretch, None));
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|((at, _), stretch)| (stretch, Some(at)));
        let mut all: Vec<(Stretch, Option<Duration>)> = due.chain(waiting).collect();
        all.sort_unstable_by_key(|(stretch, _)| stretch.ids);
        let mut joined: Vec<(Stretch, Option<Duration>)> = Vec::new();
        for (stretch, at) in all {
            match joined.last_mut() {
                Some((last, last_at))
                    if last.ids.last().checked_add(1) == Some(stretch.ids.first()) && (joins_all || last_at.is_some() == at.is_some()) =>
                {
                    last.ids = last.ids.span(stretch.ids);
                    last.answers = last.answers.max(stretch.answers);
                    last.failures = last.failures.min(stretch.failures);
                    last.turn = last.turn.min(stretch.turn);
                    *last_at = (*last_at).max(at);
                }
                _ => joined.push((stretch, at)),
            }
        }
        for (stretch, at) in joined {
            match at {
                None => self.insert_due(stretch),
                Some(at) => self.add_waiting(stretch, at),
            }
        }
    }

    fn insert_due(&mut self, stretch: Stretch) {
        let first = stretch.ids.first();
        match stretch.place() {
            Place::Small => self.small.insert(first),
            Place::Large(key) => self.large.insert(key),
            Place::Again(key) => self.again.insert(key) && self.again_by_age.insert((stretch.turn, first)),
        };
        self.due.insert(first, stretch);
    }

    fn remove_due(&mut self, first: u64) -> Option<Stretch> {
        let stretch = self.due.remove(&first)?;
        match stretch.place() {
            Place::Small => self.small.remove(&first),
            Place::Large(key) => self.large.remove(&key),
            Place::Again(key) => self.again.remove(&key) && self.again_by_age.remove(&(stretch.turn, first)),
        };
        Some(stretch)
    }

    fn take_due(&mut self) -> Vec<Stretch> {
        self.small.clear();
        self.large.clear();
        self.again.clear();
        self.again_by_age.clear();
        std::mem::take(&mut self.due).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("a range")
    }

    fn wanted(ranges: &[(u64, u64)]) -> WantedIds {
        let mut wanted = WantedIds::default();
        wanted.replace(&ranges.iter().map(|(first, last)| range(*first, *last)).collect());
        wanted
    }

    fn asked(wanted: &WantedIds) -> Vec<IdRange> {
        wanted.asked.iter().map(|stretch| stretch.ids).collect()
    }

    #[test]
    fn a_window_takes_what_fits_into_its_page_and_leaves_the_rest() {
        let mut wanted = wanted(&[(10, 10), (500, 600), (1009, 1010), (3000, 4500)]);
        let mut windows = Vec::new();
        while let Some(window) = wanted.take_window(Duration::ZERO) {
            windows.push((window, asked(&wanted)));
            wanted.take_asked();
        }
        let one = |ids: IdRange| (ids, vec![ids]);
        assert_eq!(
            windows,
            [
                (range(500, 1010), vec![range(500, 600), range(1009, 1010)]),
                one(range(3000, 3999)),
                one(range(4000, 4500)),
                one(range(10, 10)),
            ]
        );
    }

    #[test]
    fn the_ends_of_the_number_line_are_asked_for_like_any_other_id() {
        let mut wanted = wanted(&[(0, 0), (u64::MAX - 1, u64::MAX)]);
        assert_eq!(wanted.take_window(Duration::ZERO), Some(range(u64::MAX - 1, u64::MAX)));
        wanted.take_asked();
        assert_eq!(wanted.take_window(Duration::ZERO), Some(range(0, 0)));
        assert_eq!(wanted.due_at(), None);
    }

    #[test]
    fn a_new_set_keeps_the_history_of_what_it_shares_with_the_old_one() {
        let mut wanted = wanted(&[(1, 9)]);
        wanted.take_window(Duration::ZERO);
        let at = Duration::from_secs(5);
        for stretch in wanted.take_asked() {
            wanted.add_waiting(Stretch { answers: 2, ..stretch }, at);
        }
        wanted.replace(&[range(3, 4), range(9, 12)].into_iter().collect());
        assert_eq!(wanted.take_window(Duration::ZERO), Some(range(10, 12)));
        assert_eq!(wanted.due_at(), Some(at));
        wanted.take_asked();
        assert_eq!(wanted.take_window(at), Some(range(3, 9)));
        assert_eq!(
            wanted.take_asked().iter().map(|stretch| (stretch.ids, stretch.answers)).collect::<Vec<_>>(),
            [(range(3, 4), 2), (range(9, 9), 2)]
        );
    }

    #[test]
    fn ids_of_the_request_under_way_can_stop_being_wanted() {
        let mut wanted = wanted(&[(1, 9)]);
        wanted.take_window(Duration::ZERO);
        wanted.replace(&[range(4, 5)].into_iter().collect());
        assert_eq!((asked(&wanted), wanted.due_at()), (vec![range(4, 5)], None));
    }

    #[test]
    fn too_many_stretches_are_joined_and_every_id_is_asked_for_all_the_same() {
        let all = range(1, 5_000_000);
        let (mut wanted, mut ids) = (wanted(&[(1, 5_000_000)]), IdSet::new());
        for second in 1.. {
            let Some(window) = wanted.take_window(Duration::ZERO) else { break };
            ids.insert(window);
            for stretch in wanted.take_asked() {
                wanted.add_waiting(Stretch { answers: 1, ..stretch }, Duration::from_secs(second));
            }
            wanted.bound();
            assert!(wanted.due.len() + wanted.waiting.len() <= MAX_STRETCHES);
        }
        assert_eq!(ids.ranges(), [all]);
        assert_eq!(wanted.give_up().ranges(), [all]);
    }

    #[test]
    fn stretches_that_are_due_and_wait_in_turn_are_bounded_too() {
        let mut wanted = WantedIds::default();
        for number in 0..10_000 {
            let stretch = Stretch::new(range(number * 10, number * 10 + 9));
            if number % 2 == 0 { wanted.add_due(stretch) } else { wanted.add_waiting(stretch, Duration::from_secs(number)) }
        }
        wanted.bound();
        assert_eq!((wanted.due.len(), wanted.waiting.len()), (0, 1));
        assert_eq!(wanted.give_up().ranges(), [range(0, 99_999)]);
    }
}
