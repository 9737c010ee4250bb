//! [`WantedIds`]: the ids that one product misses, and the history of each: how often REST answered without it or failed, and when it is due again.
//!
//! Plain data for [`FetchPlan`](super::FetchPlan). No I/O, no clock.
//!
//! 1. Every wanted id is in exactly one place: due, waiting, or part of the request under way.
//! 2. What has failed often is asked for last, so that one stretch which always fails does not keep the others back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::feed::rest::MAX_PAGE_TRADES;
use crate::ids::{IdRange, IdSet};

/// Failures in a row after which a stretch is asked for behind those that failed less often. Before that the order of the ids is kept: what passes soon is
/// no reason to fetch trades out of order.
const FAILURES_BEHIND: u32 = 3;

/// Stretches held of a product that asks for ever. Beyond that those that adjoin are joined.
const MAX_STRETCHES: usize = 4096;

/// Ids with one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) ids: IdRange,
    /// How often REST has answered for them.
    pub(super) answers: u32,
    /// How often requests for them have failed since the last answer.
    pub(super) failures: u32,
}

impl Stretch {
    const fn fresh(ids: IdRange) -> Self {
        Self { ids, answers: 0, failures: 0 }
    }

    const fn rank(&self) -> u32 {
        self.failures / FAILURES_BEHIND
    }
}

/// The ids that one product misses.
#[derive(Debug, Default)]
pub(super) struct WantedIds {
    /// By rank and first id: the order in which they are asked for.
    due: BTreeMap<(u32, u64), Stretch>,
    /// By the time at which they are due, and first id.
    waiting: BTreeMap<(Duration, u64), Stretch>,
    /// Those of the request under way, in rising order.
    asked: Vec<Stretch>,
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
        let due = std::mem::take(&mut self.due).into_values().flat_map(&mut kept).collect::<Vec<_>>();
        let waiting = std::mem::take(&mut self.waiting);
        let waiting: Vec<_> =
            waiting.into_iter().flat_map(|((at, _), stretch)| kept(stretch).into_iter().map(move |part| (at, part))).collect();
        self.asked = std::mem::take(&mut self.asked).into_iter().flat_map(kept).collect();
        due.into_iter().for_each(|stretch| self.add_due(stretch));
        waiting.into_iter().for_each(|(at, stretch)| self.add_waiting(stretch, at));
        wanted.difference(&known).into_iter().for_each(|ids| self.add_due(Stretch::fresh(ids)));
    }

    /// Gives when the first ids are due: [`Duration::ZERO`] where some are due already, `None` where none are wanted beside those of the request under way.
    pub(super) fn due_at(&self) -> Option<Duration> {
        if self.due.is_empty() { self.waiting.first_key_value().map(|((at, _), _)| *at) } else { Some(Duration::ZERO) }
    }

    /// Takes the ids of the next window: from the lowest due id of the lowest rank upwards, at most a page. They are part of the request under way then.
    pub(super) fn take_window(&mut self, now: Duration) -> Option<IdRange> {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let stretch = entry.remove();
            self.add_due(stretch);
        }
        let rank = self.due.first_key_value()?.0.0;
        let first = self.due.first_key_value()?.1.ids.first();
        let end = first.saturating_add(u64::from(MAX_PAGE_TRADES) - 1);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 == rank && entry.get().ids.first() <= end) {
            let stretch = entry.remove();
            let inside = IdRange::new(stretch.ids.first(), stretch.ids.last().min(end));
            self.asked.extend(inside.map(|ids| Stretch { ids, ..stretch }));
            if let Some(ids) = end.checked_add(1).and_then(|behind| IdRange::new(behind, stretch.ids.last())) {
                self.add_due(Stretch { ids, ..stretch });
                break;
            }
        }
        IdRange::new(first, self.asked.last()?.ids.last())
    }

    /// Gives the ids of the request under way, which has ended. The caller gives back those that are still wanted.
    pub(super) fn take_asked(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.asked)
    }

    /// Gives back ids that are due at once.
    pub(super) fn add_due(&mut self, stretch: Stretch) {
        self.due.insert((stretch.rank(), stretch.ids.first()), stretch);
    }

    /// Gives back ids that are due later.
    pub(super) fn add_waiting(&mut self, stretch: Stretch, at: Duration) {
        self.waiting.insert((at, stretch.ids.first()), stretch);
    }

    /// Gives the ids of a window that wait, or that are asked for last because they have failed.
    pub(super) fn within(&self, window: IdRange) -> IdSet {
        let failed = self.due.range((1, 0)..).map(|(_, stretch)| stretch);
        failed.chain(self.waiting.values()).filter_map(|stretch| stretch.ids.intersection(window)).collect()
    }

    /// Removes ids that wait, or that are asked for last. Gives how many of them had not been answered before.
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
        let failed: Vec<Stretch> = self.due.split_off(&(1, 0)).into_values().flat_map(&mut rest_of).collect();
        let waiting: Vec<_> = std::mem::take(&mut self.waiting)
            .into_iter()
            .flat_map(|((at, _), stretch)| rest_of(stretch).into_iter().map(move |rest| (at, rest)))
            .collect();
        failed.into_iter().for_each(|stretch| self.add_due(stretch));
        waiting.into_iter().for_each(|(at, stretch)| self.add_waiting(stretch, at));
        first_answers
    }

    /// Gives every id, and forgets all.
    pub(super) fn give_up(&mut self) -> IdSet {
        let Self { due, waiting, asked } = std::mem::take(self);
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
        let due = std::mem::take(&mut self.due).into_values().map(|stretch| (stretch, None));
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
                    *last_at = (*last_at).max(at);
                }
                _ => joined.push((stretch, at)),
            }
        }
        for (stretch, at) in joined {
            match at {
                None => self.add_due(stretch),
                Some(at) => self.add_waiting(stretch, at),
            }
        }
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
    fn a_window_takes_what_lies_within_a_page_and_leaves_the_rest() {
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
                (range(10, 1009), vec![range(10, 10), range(500, 600), range(1009, 1009)]),
                one(range(1010, 1010)),
                one(range(3000, 3999)),
                one(range(4000, 4500)),
            ]
        );
    }

    #[test]
    fn the_ends_of_the_number_line_are_asked_for_like_any_other_id() {
        let mut wanted = wanted(&[(0, 0), (u64::MAX - 1, u64::MAX)]);
        assert_eq!(wanted.take_window(Duration::ZERO), Some(range(0, 0)));
        wanted.take_asked();
        assert_eq!(wanted.take_window(Duration::ZERO), Some(range(u64::MAX - 1, u64::MAX)));
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
            let stretch = Stretch::fresh(range(number * 10, number * 10 + 9));
            if number % 2 == 0 { wanted.add_due(stretch) } else { wanted.add_waiting(stretch, Duration::from_secs(number)) }
        }
        wanted.bound();
        assert_eq!((wanted.due.len(), wanted.waiting.len()), (0, 1));
        assert_eq!(wanted.give_up().ranges(), [range(0, 99_999)]);
    }
}
