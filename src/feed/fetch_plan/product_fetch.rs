//! [`ProductFetch`]: what one product wants of REST, and what each answer and failure means for it.
//!
//! The rules are those of [`FetchPlan`](super::FetchPlan), which holds one of these a product. No I/O, no clock.

use std::time::Duration;

use super::request::FetchTarget;
use super::search::{Search, SearchOutcome};
use super::time_search::PastTrade;
use super::wanted_ids::{Stretch, WantedIds};
use crate::feed::backoff::{self, Backoff};
use crate::feed::rest::TradePage;
use crate::ids::{IdRange, IdSet};
use crate::time::UnixNanos;

/// Longest wait after refusals, and wait between late requests for ids that REST does not have.
pub(super) const RARE_WAIT: Duration = Duration::from_secs(600);

/// Answers without an id after which it is asked for rarely ([`Persistence::Endless`]).
const EARNEST_ANSWERS: u32 = 7;

/// Answers without an id after which REST does not have it ([`Persistence::Bounded`]).
pub(crate) const MAX_ANSWERS: u32 = 3;

/// Failures in a row after which ids are given up ([`Persistence::Bounded`]): about two minutes of waits.
pub(crate) const MAX_FAILURES: u32 = 8;

/// Refusals in a row after which ids are given up ([`Persistence::Bounded`]). One may pass: a server that is being deployed answers 404.
pub(crate) const MAX_REFUSALS: u32 = 4;

/// Longest wait of a window that has failed: the shortest of the product's longest waits, so that it is never the window that is waited for.
const LONGEST_WINDOW_WAIT: Duration = Duration::from_secs(48);

/// Answers in a row that name a wait, after which no shorter one than that of any other failure is believed.
const BELIEVED_WAITS: u32 = 2;

/// How long a plan goes on asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// For ever. For a capture: what it misses may turn up as long as it runs.
    Endless,
    /// Until REST has answered [`MAX_ANSWERS`] times without an id, requests have failed [`MAX_FAILURES`] times in a row, or were refused [`MAX_REFUSALS`]
    /// times in a row. For a run that has to end and say what is missing.
    Bounded,
}

/// Ids that a page did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Which.
    pub(crate) ids: IdRange,
    /// How often REST has answered for them.
    pub(crate) answers: u32,
    /// Whether they are given up.
    pub(crate) is_given_up: bool,
}

/// What a page means for the ids that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PageOutcome {
    /// Those that the page did not have.
    pub(crate) absent: Vec<Absent>,
    /// How many were answered for the first time, whether the page had them or not.
    pub(crate) first_answers: u64,
}

/// What follows a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// The product is asked about again after so long, at the earliest.
    Retry(Duration),
    /// These ids, or the search, are given up. Other ids of the product are still asked for, if any are left.
    GiveUp(IdSet),
}

/// A search, and how far it is.
#[derive(Debug)]
struct SearchState {
    search: Search,
    again_at: Duration,
    /// How often requests for its present question have failed.
    failures: u32,
    /// Whether it has ended, and its result has not been taken yet.
    has_ended: bool,
}

/// How far it is known with which id the product's trading began.
#[derive(Debug, Clone, Copy)]
enum Beginning {
    /// A search found this id. The product does not say yet that it is missing.
    Found(u64),
    /// The product says that it is missing.
    Wanted(u64),
    /// It is stored.
    Stored(u64),
}

/// Whether a request may be sent. Requests have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It may.
    Free,
    /// One is under way.
    Sent { number: u64, is_search: bool },
    /// One is answered, and what it brought has not been taken yet.
    Answered(u64),
}

/// What one product wants of REST.
#[derive(Debug)]
pub(super) struct ProductFetch {
    persistence: Persistence,
    wanted: WantedIds,
    search: Option<SearchState>,
    /// Whether a question has failed, so that the gaps have their turn before it is asked again.
    is_turn_of_windows: bool,
    beginning: Option<Beginning>,
    turn: Turn,
    again_at: Duration,
    backoff: Backoff,
    /// Failures in a row, refusals included.
    failures: u32,
    /// Refusals since the last success.
    refusals: u32,
    /// When the first of the failures in a row came.
    failing_since: Option<Duration>,
}

impl ProductFetch {
    pub(super) fn new(persistence: Persistence, seed: u64) -> Self {
        Self {
            persistence,
            wanted: WantedIds::default(),
            search: None,
            is_turn_of_windows: false,
            beginning: None,
            turn: Turn::Free,
            again_at: Duration::ZERO,
            backoff: Backoff::new(seed),
            failures: 0,
            refusals: 0,
            failing_since: None,
        }
    }

    pub(super) fn want(&mut self, wanted: &IdSet) {
        self.wanted.replace(wanted);
        self.beginning = self.beginning.map(|beginning| match beginning {
            Beginning::Found(id) if wanted.contains(id) => Beginning::Wanted(id),
            Beginning::Wanted(id) if !wanted.contains(id) => Beginning::Stored(id),
            as_before => as_before,
        });
    }

    pub(super) fn search_newest(&mut self) {
        if self.search.is_none() {
            self.begin(Search::NEWEST);
        }
    }

    pub(super) fn search_since(&mut self, time: UnixNanos, highest: u64) {
        self.begin(Search::since(time, highest));
    }

    fn begin(&mut self, search: Search) {
        self.search = Some(SearchState { search, again_at: Duration::ZERO, failures: 0, has_ended: false });
    }

    pub(super) fn take_beginning(&mut self) -> Option<u64> {
        let Some(Beginning::Stored(id)) = self.beginning else { return None };
        self.beginning = None;
        Some(id)
    }

    /// Tells whether this request is answered, and what it brought has not been taken.
    pub(super) fn is_answered(&self, number: u64) -> bool {
        self.turn == Turn::Answered(number)
    }

    pub(super) fn taken(&mut self) {
        if matches!(self.turn, Turn::Answered(_)) {
            self.turn = Turn::Free;
            self.search = self.search.take().filter(|state| !state.has_ended);
        }
    }

    pub(super) fn not_taken(&mut self, number: u64, now: Duration) {
        if !self.is_answered(number) {
            return;
        }
        self.turn = Turn::Free;
        self.again_at = now + backoff::FIRST_WAIT;
        if let Some(state) = self.search.as_mut().filter(|state| state.has_ended) {
            state.search.restart();
            state.has_ended = false;
        }
    }

    /// Gives when its next request is due; `None` where none is wanted or may be sent.
    pub(super) fn due_at(&self) -> Option<Duration> {
        if self.turn != Turn::Free {
            return None;
        }
        let search = self.search.as_ref().map(|state| state.again_at);
        let first = search.into_iter().chain(self.wanted.due_at()).min()?;
        Some(first.max(self.again_at))
    }

    /// Takes what the next request is for, which is due. The request is under way then.
    pub(super) fn send(&mut self, number: u64, now: Duration) -> Option<FetchTarget> {
        let search = self.search.as_ref().filter(|state| state.again_at <= now).map(|state| state.search.target());
        let yielded = if self.is_turn_of_windows { self.wanted.take_window(now) } else { None };
        self.is_turn_of_windows = false;
        let (target, is_search) = match (yielded, search) {
            (None, Some(target)) => (target, true),
            (Some(window), _) => (FetchTarget::Window(window), false),
            (None, None) => (FetchTarget::Window(self.wanted.take_window(now)?), false),
        };
        self.turn = Turn::Sent { number, is_search };
        Some(target)
    }

    /// Ends the request under way, if it is this one. Tells whether it is a question of a search; `None` where it is another one.
    fn end(&mut self, number: u64) -> Option<bool> {
        match self.turn {
            Turn::Sent { number: sent, is_search } if sent == number => {
                self.turn = Turn::Free;
                Some(is_search)
            }
            _ => None,
        }
    }

    fn succeed(&mut self) {
        self.failures = 0;
        self.refusals = 0;
        self.failing_since = None;
        self.backoff.reset();
    }

    pub(super) fn answer_page(&mut self, number: u64, page: &mut TradePage, now: Duration) -> PageOutcome {
        if self.end(number).is_none() {
            *page = TradePage::default();
            return PageOutcome::default();
        }
        self.succeed();
        let asked = self.wanted.take_asked();
        let ids: IdSet = asked.iter().map(|stretch| stretch.ids).collect();
        let brought: IdSet = page.trades.iter().map(|trade| IdRange::one(trade.trade_id)).collect();
        // Ids that are wanted and were not asked for now are welcome, too, but that they are absent does not count.
        let besides = self.wanted.of(&brought);
        page.trades.retain(|trade| ids.contains(trade.trade_id) || besides.contains(trade.trade_id));
        page.inexact.retain(|text| ids.contains(text.trade_id) || besides.contains(text.trade_id));
        let absent = ids.difference(&brought);
        let mut outcome = PageOutcome { first_answers: self.wanted.remove(&besides), ..PageOutcome::default() };
        for stretch in asked {
            self.keep_answered(stretch, &absent, now, &mut outcome);
        }
        if self.persistence == Persistence::Endless {
            for ids in &besides {
                self.wanted.add_waiting(Stretch::new(ids), now + backoff::FIRST_WAIT);
            }
            self.wanted.bound();
            if !page.trades.is_empty() {
                self.turn = Turn::Answered(number);
            }
        }
        outcome
    }

    /// Keeps of answered ids what is to be asked for again.
    fn keep_answered(&mut self, stretch: Stretch, absent: &IdSet, now: Duration, outcome: &mut PageOutcome) {
        let answers = stretch.answers.saturating_add(1);
        let is_given_up = self.persistence == Persistence::Bounded && answers >= MAX_ANSWERS;
        let (kept, again_at) = (Stretch { answers, failures: 0, ..stretch }, now + self.wait_after(answers));
        if stretch.answers == 0 {
            outcome.first_answers = outcome.first_answers.saturating_add(stretch.ids.count());
        }
        for ids in absent.within(stretch.ids) {
            match outcome.absent.last_mut() {
                Some(last) if last.answers == answers && last.ids.last().checked_add(1) == Some(ids.first()) => {
                    last.ids = last.ids.span(ids)
                }
                _ => outcome.absent.push(Absent { ids, answers, is_given_up }),
            }
            if self.persistence == Persistence::Bounded && !is_given_up {
                self.wanted.add_waiting(Stretch { ids, ..kept }, again_at);
            }
        }
        if self.persistence == Persistence::Endless {
            // Also those that the page had: they are wanted until the product says that they are stored.
            self.wanted.add_waiting(kept, again_at);
        }
    }

    /// Gives 1, 2, 4 … seconds after the first, second, third … answer.
    fn wait_after(&self, answers: u32) -> Duration {
        match self.persistence {
            Persistence::Endless if answers > EARNEST_ANSWERS => RARE_WAIT,
            _ => backoff::doubled(backoff::FIRST_WAIT, answers, RARE_WAIT),
        }
    }

    pub(super) fn answer_search(&mut self, number: u64, target: FetchTarget, newest: Option<PastTrade>, now: Duration) -> SearchOutcome {
        self.answer_question(number, target, now, |search| search.answer(newest))
    }

    /// Takes an answer to a search of which nothing can be used. More trades are asked for, and then older ones.
    pub(super) fn answer_obscured(&mut self, number: u64, target: FetchTarget, now: Duration) -> SearchOutcome {
        self.answer_question(number, target, now, Search::answer_obscured)
    }

    fn answer_question(
        &mut self,
        number: u64,
        target: FetchTarget,
        now: Duration,
        answer: impl FnOnce(&mut Search) -> SearchOutcome,
    ) -> SearchOutcome {
        if self.end(number).is_none() {
            return SearchOutcome::Unfinished;
        }
        self.succeed();
        // An answer to a search that has been replaced is not one to this.
        let Some(state) = self.search.as_mut().filter(|state| state.search.target() == target) else { return SearchOutcome::Unfinished };
        state.failures = 0;
        let outcome = answer(&mut state.search);
        self.conclude(number, outcome, now);
        outcome
    }

    /// Ends the search where the outcome is an end.
    fn conclude(&mut self, number: u64, outcome: SearchOutcome, now: Duration) {
        match outcome {
            SearchOutcome::Unfinished => return,
            SearchOutcome::Found { since, ids } => {
                let stored = |first| if ids.is_some() { Beginning::Found(first) } else { Beginning::Stored(first) };
                self.beginning = since.began().map(stored);
            }
            SearchOutcome::Newest(_) | SearchOutcome::Contradiction => {}
        }
        match (&mut self.search, outcome, self.persistence) {
            (Some(state), SearchOutcome::Found { ids: Some(_), .. }, Persistence::Endless) => {
                state.has_ended = true;
                self.turn = Turn::Answered(number);
            }
            (Some(state), SearchOutcome::Contradiction, Persistence::Endless) => {
                state.search.restart();
                state.again_at = now + RARE_WAIT;
            }
            (search, ..) => *search = None,
        }
    }

    /// Takes a failure that may pass, with the wait that the server asked for, if it did.
    pub(super) fn fail(&mut self, number: u64, asked_wait: Option<Duration>, now: Duration) -> Option<AfterFailure> {
        let is_search = self.end(number)?;
        // What may be the cause: not what was asked for, where the last request failed, too.
        let others_succeed = self.failures == 0;
        self.note_failure(now);
        let is_bounded = self.persistence == Persistence::Bounded;
        if is_bounded && self.failures >= MAX_FAILURES {
            return Some(self.give_up());
        }
        if let Some(asked_wait) = asked_wait {
            self.ask_again();
            let own_wait = match self.failures.saturating_sub(BELIEVED_WAITS) {
                0 => Duration::ZERO,
                failures => backoff::doubled(backoff::FIRST_WAIT, failures, backoff::LONGEST_WAIT),
            };
            self.again_at = now + own_wait;
            return Some(AfterFailure::Retry(asked_wait.max(own_wait)));
        }
        let wait = self.backoff.wait();
        self.again_at = now + wait;
        if let Some(state) = self.search.as_mut().filter(|_| is_search) {
            state.failures = state.failures.saturating_add(1);
            state.again_at = now + backoff::doubled(backoff::FIRST_WAIT, state.failures, LONGEST_WINDOW_WAIT);
            self.is_turn_of_windows = true;
        }
        let mut given_up = IdSet::new();
        for stretch in self.wanted.take_asked() {
            for stretch in self.wanted.after_failure(stretch, others_succeed) {
                if is_bounded && stretch.failures >= MAX_FAILURES {
                    given_up.insert(stretch.ids);
                } else {
                    let again_at = now + backoff::doubled(backoff::FIRST_WAIT, stretch.failures, LONGEST_WINDOW_WAIT);
                    self.wanted.add_waiting(stretch, again_at);
                }
            }
        }
        Some(if given_up.is_empty() { AfterFailure::Retry(wait) } else { AfterFailure::GiveUp(given_up) })
    }

    /// Takes a refusal.
    pub(super) fn refuse(&mut self, number: u64, now: Duration) -> Option<AfterFailure> {
        self.end(number)?;
        self.note_failure(now);
        self.refusals = self.refusals.saturating_add(1);
        if self.persistence == Persistence::Bounded && (self.refusals >= MAX_REFUSALS || self.failures >= MAX_FAILURES) {
            return Some(self.give_up());
        }
        self.ask_again();
        let wait = backoff::doubled(backoff::FIRST_WAIT, self.refusals, RARE_WAIT);
        self.again_at = now + wait;
        Some(AfterFailure::Retry(wait))
    }

    /// Takes a failure that no other request changes.
    pub(super) fn stop(&mut self, number: u64, now: Duration) -> Option<AfterFailure> {
        self.end(number)?;
        self.note_failure(now);
        if self.persistence == Persistence::Bounded {
            return Some(self.give_up());
        }
        self.ask_again();
        self.again_at = now + RARE_WAIT;
        Some(AfterFailure::Retry(RARE_WAIT))
    }

    fn note_failure(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(now);
    }

    /// Asks again for the ids of a request that has failed for another reason than these.
    fn ask_again(&mut self) {
        self.wanted.take_asked().into_iter().for_each(|stretch| self.wanted.add_due(stretch));
    }

    /// Tells since when every request has failed, and how many ids wait meanwhile; `None` where none has, or no trade is wanted.
    pub(super) fn standstill(&self) -> Option<(Duration, u64)> {
        let since = self.failing_since?;
        let ids = self.wanted.count();
        (ids > 0 || self.search.as_ref().is_some_and(|state| state.search.is_since())).then_some((since, ids))
    }

    fn give_up(&mut self) -> AfterFailure {
        self.search = None;
        AfterFailure::GiveUp(self.wanted.give_up())
    }

    /// Gives how many requests have failed in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}
