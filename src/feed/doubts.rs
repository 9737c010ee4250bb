//! [`Doubts`]: messages whose keys do not fit the series that they claim to belong to, held until what follows settles them.
//!
//! No I/O, no clock; `now` is monotonic time since any fixed moment.
//!
//! 1. One message settles nothing. [`CONFIRMATIONS`] messages in a row that agree with each other are believed, and so is one that the exchange's heartbeat
//!    names. As many messages that go on with the series as it was refute what was held.
//! 2. A message is held for at most [`DOUBT_TIMEOUT`]. One that nothing spoke against is remembered when it expires: in a quiet market the messages that agree
//!    with it may come much later.
//! 3. At most [`MAX_DOUBTED`] messages are held; one more gives up the oldest.

use std::time::Duration;

use crate::time::UnixNanos;

/// Messages in a row that settle a doubt.
pub(crate) const CONFIRMATIONS: usize = 3;

/// How long a message may wait for what settles it.
pub(crate) const DOUBT_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages held at once.
pub(crate) const MAX_DOUBTED: usize = 64;

/// Greatest distance between the keys of two messages in a row that agree with each other: some may be lost between them.
pub(crate) const AGREEMENT: u64 = 1000;

/// What of a message is compared with others: its trade id or sequence, and its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Trade id, or sequence of a ticker.
    pub(crate) key: u64,
    /// Event time.
    pub(crate) time: UnixNanos,
}

impl Mark {
    /// Tells whether `next` may be the message behind this one in one series, as far as keys may lie apart by `reach`.
    #[must_use]
    pub(crate) fn leads_to(self, next: Self, reach: u64) -> bool {
        next.key > self.key && next.key - self.key <= reach && next.time >= self.time
    }

    /// Tells whether another message may be of one series with this one: the higher key did not happen earlier.
    fn agrees_with(self, other: Self) -> bool {
        self.key != other.key && (self.time == other.time || (self.key < other.key) == (self.time < other.time))
    }
}

/// Finds the longest run of marks that each lead to the next, in the order given, of those that end where `may_end` says; of equally long ones the first.
fn longest_run(marks: &[Mark], reach: u64, may_end: impl Fn(usize) -> bool) -> Vec<Mark> {
    // Of each mark how long the longest run is that ends with it, and the place of the mark before it.
    let mut runs: Vec<(usize, Option<usize>)> = Vec::with_capacity(marks.len());
    for (at, mark) in marks.iter().enumerate() {
        let leads = marks.iter().zip(&runs).enumerate().take(at).filter(|(_, (before, _))| before.leads_to(*mark, reach));
        let longest = leads.fold((0, None), |best, (at, (_, (length, _)))| if *length > best.0 { (*length, Some(at)) } else { best });
        runs.push((longest.0 + 1, longest.1));
    }
    let ends = runs.iter().enumerate().filter(|(at, _)| may_end(*at));
    let end = ends.fold((0, None), |best, (at, (length, _))| if *length > best.0 { (*length, Some(at)) } else { best });
    let mut run = Vec::with_capacity(end.0);
    let mut next = end.1;
    while let Some(at) = next {
        run.extend(marks.get(at).copied());
        next = runs.get(at).and_then(|(_, before)| *before);
    }
    run.reverse();
    run
}

/// The messages held.
#[derive(Debug, Clone)]
pub(crate) struct Doubts<T> {
    held: Vec<Doubted<T>>,
    /// Messages that expired although nothing spoke against them, as far as they agree with each other.
    remembered: Vec<Mark>,
    /// Messages that have gone on with the series since the last message was remembered.
    against_remembered: usize,
    reach: u64,
}

#[derive(Debug, Clone)]
struct Doubted<T> {
    mark: Mark,
    since: Duration,
    /// Messages that have spoken against it.
    against: usize,
    message: T,
}

/// What holding a message led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held<T> {
    /// It waits. The oldest message may have been given up to make room.
    Waiting {
        /// That message.
        given_up: Option<T>,
    },
    /// These agree with each other and are believed now, in rising order of key.
    Confirmed(Run<T>),
}

/// Messages that are believed together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run<T> {
    /// The messages, in rising order of key.
    pub(crate) messages: Vec<T>,
    /// Keys of messages before them that expired before this was known.
    pub(crate) expired: Vec<u64>,
}

/// A message that was not confirmed in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired<T> {
    /// The message.
    pub(crate) message: T,
    /// Whether another message has spoken against it.
    pub(crate) is_contradicted: bool,
}

impl<T> Doubts<T> {
    /// Holds nothing. The keys of messages in a row may lie apart by `reach`.
    #[must_use]
    pub(crate) const fn new(reach: u64) -> Self {
        Self { held: Vec::new(), remembered: Vec::new(), against_remembered: 0, reach }
    }

    /// Holds a message. Gives what is believed because of it, and what had to make room.
    pub(crate) fn hold(&mut self, mark: Mark, now: Duration, message: T) -> Held<T> {
        self.held.push(Doubted { mark, since: now, against: 0, message });
        let marks: Vec<Mark> = self.held.iter().map(|held| held.mark).collect();
        let run = longest_run(&marks, self.reach, |end| end + 1 == marks.len());
        let remembered = run.first().is_some_and(|first| self.remembered.last().is_some_and(|last| last.leads_to(*first, self.reach)));
        if run.len() + if remembered { self.remembered.len() } else { 0 } >= CONFIRMATIONS {
            let expired = if remembered { self.remembered.drain(..).map(|mark| mark.key).collect() } else { Vec::new() };
            return Held::Confirmed(Run { messages: self.release(&run), expired });
        }
        Held::Waiting { given_up: (self.held.len() > MAX_DOUBTED).then(|| self.held.remove(0).message) }
    }

    /// Takes out a run, with what agrees with all of it and lies between its ends or just behind.
    fn release(&mut self, run: &[Mark]) -> Vec<T> {
        let reach = self.reach;
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Vec::new() };
        let is_of_run = |held: &mut Doubted<T>| {
            let is_within = held.mark.key >= first.key && held.mark.key <= last.key.saturating_add(reach);
            is_within && run.iter().all(|mark| *mark == held.mark || mark.agrees_with(held.mark))
        };
        let mut taken: Vec<Doubted<T>> = self.held.extract_if(.., is_of_run).collect();
        taken.sort_by_key(|held| held.mark.key);
        taken.into_iter().map(|held| held.message).collect()
    }

    /// Takes the newest key that the exchange named. Gives the messages that it confirms: those just below it, the one that it names among them.
    pub(crate) fn confirm(&mut self, key: u64) -> Option<Run<T>> {
        let is_named = |mark: &Mark| mark.key <= key && key - mark.key <= self.reach;
        let named: Vec<Mark> = self.held.iter().map(|held| held.mark).filter(is_named).collect();
        let run = longest_run(&named, self.reach, |_| true);
        let first = *run.first()?;
        let expired = std::mem::take(&mut self.remembered).into_iter().filter(|mark| mark.leads_to(first, self.reach)).map(|mark| mark.key);
        Some(Run { expired: expired.collect(), messages: self.release(&run) })
    }

    /// Counts a message that goes on with the series as it was against every held one that `is_denied` says it contradicts. Gives those that are refuted now.
    pub(crate) fn contradict(&mut self, is_denied: impl Fn(Mark, &T) -> bool) -> Vec<T> {
        if !self.remembered.is_empty() {
            self.against_remembered += 1;
            if self.against_remembered >= CONFIRMATIONS {
                self.remembered.clear();
            }
        }
        for held in &mut self.held {
            held.against += usize::from(is_denied(held.mark, &held.message));
        }
        let refuted = self.held.extract_if(.., |held| held.against >= CONFIRMATIONS);
        refuted.map(|held| held.message).collect()
    }

    /// Takes out the messages that `is_it` finds, in the order they came.
    pub(crate) fn take(&mut self, is_it: impl Fn(Mark, &T) -> bool) -> Vec<T> {
        self.held.extract_if(.., |held| is_it(held.mark, &held.message)).map(|held| held.message).collect()
    }

    /// Finds a held message.
    #[must_use]
    pub(crate) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        self.held.iter().map(|held| &held.message).find(|message| is_it(message))
    }

    /// Gives up what has waited for `timeout`, and [`DOUBT_TIMEOUT`] at most.
    pub(crate) fn expire(&mut self, now: Duration, timeout: Duration) -> Vec<Expired<T>> {
        let timeout = timeout.min(DOUBT_TIMEOUT);
        let expired: Vec<Doubted<T>> = self.held.extract_if(.., |held| now.saturating_sub(held.since) >= timeout).collect();
        for held in expired.iter().filter(|held| held.against == 0) {
            if !self.remembered.last().is_some_and(|last| last.leads_to(held.mark, self.reach)) {
                self.remembered.clear();
            }
            self.against_remembered = 0;
            self.remembered.push(held.mark);
        }
        expired.into_iter().map(|held| Expired { is_contradicted: held.against > 0, message: held.message }).collect()
    }

    /// Takes out the longest run of messages that agree with each other, of those that nothing speaks against; of equally long ones that of the lowest keys. Gives
    /// it in rising order of key. The others are still held.
    pub(crate) fn take_longest_run(&mut self) -> Vec<T> {
        let mut marks: Vec<Mark> = self.held.iter().filter(|held| held.against == 0).map(|held| held.mark).collect();
        marks.sort_by_key(|mark| (mark.key, mark.time));
        let longest = longest_run(&marks, self.reach, |_| true);
        let mut taken: Vec<Doubted<T>> = self.held.extract_if(.., |held| held.against == 0 && longest.contains(&held.mark)).collect();
        taken.sort_by_key(|held| held.mark.key);
        taken.into_iter().map(|held| held.message).collect()
    }

    /// Tells whether all messages held agree with each other, and nothing speaks against one.
    #[must_use]
    pub(crate) fn are_of_one_mind(&self) -> bool {
        let mut marks: Vec<Mark> = self.held.iter().map(|held| held.mark).collect();
        marks.sort_by_key(|mark| mark.key);
        self.held.iter().all(|held| held.against == 0) && marks.is_sorted_by(|one, next| one.leads_to(*next, self.reach))
    }

    /// Tells whether nothing is held and nothing remembered: no message that goes on with the series is news.
    #[inline]
    #[must_use]
    pub(crate) const fn is_quiet(&self) -> bool {
        self.held.is_empty() && self.remembered.is_empty()
    }

    /// Forgets the messages that expired.
    pub(crate) fn forget_expired(&mut self) {
        self.remembered.clear();
    }

    /// Gives up everything, at a stop.
    pub(crate) fn drain(&mut self) -> Vec<Expired<T>> {
        self.held.drain(..).map(|held| Expired { is_contradicted: held.against > 0, message: held.message }).collect()
    }

    /// Gives when the message that has waited longest came.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.held.iter().map(|held| held.since).min()
    }

    /// Gives how many are held.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.held.len()
    }

    /// Tells whether none is held.
    #[inline]
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::ZERO;

    fn at(key: u64) -> Mark {
        Mark { key, time: UnixNanos(key) }
    }

    fn hold(doubts: &mut Doubts<u64>, key: u64) -> Held<u64> {
        doubts.hold(at(key), NOW, key)
    }

    fn waits() -> Held<u64> {
        Held::Waiting { given_up: None }
    }

    #[test]
    fn three_in_a_row_are_believed_and_two_or_three_apart_are_not() {
        let mut doubts = Doubts::new(AGREEMENT);
        assert_eq!((hold(&mut doubts, 7_000), hold(&mut doubts, 1 << 60), hold(&mut doubts, 7_001)), (waits(), waits(), waits()));
        assert_eq!(hold(&mut doubts, 7_003), Held::Confirmed(Run { messages: vec![7_000, 7_001, 7_003], expired: vec![] }));
        assert_eq!(doubts.len(), 1, "the absurd one is still held");
        for key in [10_000, 12_000, 14_000, 16_000] {
            assert_eq!(hold(&mut doubts, key), waits(), "too far apart to be of one series");
        }
        let backwards = Mark { key: 16_001, time: UnixNanos(5) };
        assert_eq!(doubts.hold(backwards, NOW, 0), waits());
        assert_eq!(hold(&mut doubts, 16_002), waits(), "of three one has a time that does not rise");
        assert_eq!(hold(&mut doubts, 16_003), Held::Confirmed(Run { messages: vec![16_000, 16_002, 16_003], expired: vec![] }));
    }

    #[test]
    fn one_message_between_others_with_another_time_neither_breaks_their_run_nor_is_believed_with_it() {
        for (time, key) in [(5, 702), (5_000_000, 702), (5, 704), (5_000_000, 700)] {
            let mut doubts = Doubts::new(AGREEMENT);
            assert_eq!((hold(&mut doubts, 701), hold(&mut doubts, 702)), (waits(), waits()));
            assert_eq!(doubts.hold(Mark { key, time: UnixNanos(time) }, NOW, 9), waits(), "{time} {key}");
            assert_eq!(hold(&mut doubts, 703), Held::Confirmed(Run { messages: vec![701, 702, 703], expired: vec![] }), "{time} {key}");
            assert_eq!(doubts.len(), 1, "{time} {key}");
        }
    }

    #[test]
    fn what_is_named_is_believed_with_what_lies_just_below() {
        let mut doubts = Doubts::new(AGREEMENT);
        for key in [500, 501, 9_000_000] {
            hold(&mut doubts, key);
        }
        assert_eq!(doubts.confirm(400), None);
        assert_eq!(doubts.confirm(600).map(|run| run.messages), Some(vec![500, 501]));
        assert_eq!(doubts.len(), 1);
    }

    #[test]
    fn three_that_go_on_refute_and_two_do_not() {
        let mut doubts = Doubts::new(AGREEMENT);
        hold(&mut doubts, 500);
        assert!(doubts.contradict(|_, _| true).is_empty() && doubts.contradict(|_, _| false).is_empty());
        assert!(doubts.contradict(|_, _| true).is_empty());
        assert_eq!(doubts.contradict(|_, _| true), [500]);
        assert!(doubts.is_quiet());
    }

    #[test]
    fn what_expired_uncontradicted_still_counts_unless_the_series_goes_on() {
        for (against, want) in [(2, true), (3, false)] {
            let mut doubts = Doubts::new(AGREEMENT);
            for key in [500, 501] {
                assert_eq!(hold(&mut doubts, key), waits());
                let expired = doubts.expire(NOW + DOUBT_TIMEOUT, DOUBT_TIMEOUT);
                assert_eq!(expired, [Expired { message: key, is_contradicted: false }]);
            }
            for _ in 0..against {
                assert!(doubts.contradict(|_, _| true).is_empty());
            }
            let confirmed = Held::Confirmed(Run { messages: vec![502], expired: vec![500, 501] });
            assert_eq!(hold(&mut doubts, 502), if want { confirmed } else { waits() });
        }
    }

    #[test]
    fn the_longest_run_of_several_is_taken() {
        let mut doubts = Doubts::new(AGREEMENT);
        for key in [1 << 40, 77, 78, (1 << 50) + 3] {
            hold(&mut doubts, key);
        }
        assert!(!doubts.are_of_one_mind());
        assert_eq!((doubts.take_longest_run(), doubts.len()), (vec![77, 78], 2));
    }

    proptest! {
        #[test]
        fn every_message_comes_out_once_and_what_is_held_is_bounded(keys in prop::collection::vec(prop_oneof![0u64..50, any::<u64>()], 0..300)) {
            let mut doubts = Doubts::new(AGREEMENT);
            let mut out = Vec::new();
            for (number, key) in keys.iter().enumerate() {
                match doubts.hold(at(*key), NOW, number) {
                    Held::Waiting { given_up } => out.extend(given_up),
                    Held::Confirmed(run) => {
                        prop_assert!(run.messages.len() >= CONFIRMATIONS);
                        out.extend(run.messages);
                    }
                }
                prop_assert!(doubts.len() <= MAX_DOUBTED);
            }
            out.extend(doubts.drain().into_iter().map(|expired| expired.message));
            out.sort_unstable();
            prop_assert_eq!(out, (0..keys.len()).collect::<Vec<_>>());
        }
    }
}
