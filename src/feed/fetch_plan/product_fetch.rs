//! [`ProductFetch`]: what one product wants of REST, and what each answer and failure means for it.
//!
//! The rules are those of [`FetchPlan`](super::FetchPlan), which holds one of these a product. No I/O, no clock.

use std::time::Duration;

use super::request::FetchTarget;
use super::time_search::{PastTrade, SearchEnd, TimeSearch, TradesSince};
use super::wanted_ids::{Stretch, WantedIds};
use crate::feed::backoff::{self, Backoff};
use crate::feed::rest::TradePage;
use crate::ids::{IdRange, IdSet};
use crate::time::UnixNanos;

/// Wait after a refusal, and between late requests for ids that REST does not have.
pub(super) const RARE_WAIT: Duration = Duration::from_secs(600);

/// Answers without an id after which it is asked for rarely ([`Persistence::Endless`]).
const EARNEST_ANSWERS: u32 = 7;

/// Answers without an id after which REST does not have it ([`Persistence::Bounded`]).
pub(crate) const MAX_ANSWERS: u32 = 3;

/// Failures in a row after which ids are given up ([`Persistence::Bounded`]): about two minutes of waits.
pub(crate) const MAX_FAILURES: u32 = 8;

/// How long a plan goes on asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// For ever. For a capture: what it misses may turn up as long as it runs.
    Endless,
    /// Until REST has answered [`MAX_ANSWERS`] times without an id, requests have failed [`MAX_FAILURES`] times in a row, or one is refused. For a run that
    /// has to end and say what is missing.
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

/// What the answer to a search means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchOutcome {
    /// Another question follows.
    Unfinished,
    /// This is the product's newest trade; `None` where REST said twice that there is none.
    Newest(Option<PastTrade>),
    /// It is known where the trades since the time begin.
    Found {
        /// Where.
        since: TradesSince,
        /// The ids from the trade before the first one to the one below the highest id of the search.
        ids: Option<IdRange>,
    },
    /// The answers contradict each other. An endless plan begins the search anew after ten minutes.
    Contradiction,
}

/// What follows a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// The product is asked about again after so long, at the earliest.
    Retry(Duration),
    /// These ids, or the search, are given up. Other ids of the product are still asked for, if any are left.
    GiveUp(IdSet),
}

/// What is searched.
#[derive(Debug)]
enum Search {
    Newest { is_empty_once: bool },
    Since { time: UnixNanos, highest: u64, search: TimeSearch },
}

impl Search {
    fn since(time: UnixNanos, highest: u64) -> Self {
        Self::Since { time, highest, search: TimeSearch::new(time, highest) }
    }

    fn target(&self) -> FetchTarget {
        match self {
            Self::Newest { .. } => FetchTarget::Newest,
            Self::Since { search, .. } => FetchTarget::NewestUpTo(search.question()),
        }
    }

    /// Begins anew.
    fn restart(&mut self) {
        *self = match self {
            Self::Newest { .. } => Self::Newest { is_empty_once: false },
            Self::Since { time, highest, .. } => Self::since(*time, *highest),
        };
    }
}

/// A search, and how far it is.
#[derive(Debug)]
struct SearchState {
    search: Search,
    again_at: Duration,
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
    Sent(u64),
    /// One is answered, and what it brought has not been taken yet.
    Answered(u64),
}

/// What one product wants of REST.
#[derive(Debug)]
pub(super) struct ProductFetch {
    persistence: Persistence,
    wanted: WantedIds,
    search: Option<SearchState>,
    beginning: Option<Beginning>,
    turn: Turn,
    again_at: Duration,
    backoff: Backoff,
    failures: u32,
}

impl ProductFetch {
    pub(super) fn new(persistence: Persistence, seed: u64) -> Self {
        Self {
            persistence,
            wanted: WantedIds::default(),
            search: None,
            beginning: None,
            turn: Turn::Free,
            again_at: Duration::ZERO,
            backoff: Backoff::new(seed),
            failures: 0,
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
        self.begin(Search::Newest { is_empty_once: false });
    }

    pub(super) fn search_since(&mut self, time: UnixNanos, highest: u64) {
        self.begin(Search::since(time, highest));
    }

    fn begin(&mut self, search: Search) {
        self.search = Some(SearchState { search, again_at: Duration::ZERO, has_ended: false });
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
        let target = match search {
            Some(target) => target,
            None => FetchTarget::Window(self.wanted.take_window(now)?),
        };
        self.turn = Turn::Sent(number);
        Some(target)
    }

    /// Ends the request under way. Tells whether it was this one.
    fn end(&mut self, number: u64) -> bool {
        let is_it = self.turn == Turn::Sent(number);
        if is_it {
            self.turn = Turn::Free;
        }
        is_it
    }

    fn succeed(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    pub(super) fn answer_page(&mut self, number: u64, page: &mut TradePage, now: Duration) -> PageOutcome {
        if !self.end(number) {
            page.trades.clear();
            page.inexact.clear();
            return PageOutcome::default();
        }
        self.succeed();
        let asked = self.wanted.take_asked();
        let ids: IdSet = asked.iter().map(|stretch| stretch.ids).collect();
        // Ids between these that are not due yet are welcome, too, but that they are absent does not count.
        let not_due = window_of(&ids).map(|window| self.wanted.within(window)).unwrap_or_default();
        page.trades.retain(|trade| ids.contains(trade.trade_id) || not_due.contains(trade.trade_id));
        let had: IdSet = page.trades.iter().map(|trade| IdRange::one(trade.trade_id)).collect();
        page.inexact.retain(|text| had.contains(text.trade_id));
        let absent = ids.difference(&had);
        let mut outcome = PageOutcome::default();
        if self.persistence == Persistence::Bounded {
            outcome.first_answers = self.wanted.remove(&not_due.intersection(&had));
        }
        for stretch in asked {
            self.keep_answered(stretch, &absent, now, &mut outcome);
        }
        if self.persistence == Persistence::Endless {
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
        if !self.end(number) {
            return SearchOutcome::Unfinished;
        }
        self.succeed();
        // An answer to a search that has been replaced is not one to this.
        let Some(state) = self.search.as_mut().filter(|state| state.search.target() == target) else { return SearchOutcome::Unfinished };
        let outcome = match &mut state.search {
            Search::Newest { is_empty_once } if newest.is_none() && !*is_empty_once => {
                *is_empty_once = true;
                SearchOutcome::Unfinished
            }
            Search::Newest { .. } => SearchOutcome::Newest(newest),
            Search::Since { highest, search, .. } => match search.answer(newest) {
                None => SearchOutcome::Unfinished,
                Some(SearchEnd::Found(since)) => SearchOutcome::Found { since, ids: since.ids_below(*highest) },
                Some(SearchEnd::Contradiction) => SearchOutcome::Contradiction,
            },
        };
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
        if !self.end(number) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let is_bounded = self.persistence == Persistence::Bounded;
        if is_bounded && self.failures >= MAX_FAILURES {
            return Some(self.give_up());
        }
        let asked = self.wanted.take_asked();
        if let Some(wait) = asked_wait {
            asked.into_iter().for_each(|stretch| self.wanted.add_due(stretch));
            return Some(AfterFailure::Retry(wait));
        }
        let wait = self.backoff.wait();
        self.again_at = now + wait;
        let mut given_up = IdSet::new();
        for stretch in asked {
            let stretch = Stretch { failures: stretch.failures.saturating_add(1), ..stretch };
            if is_bounded && stretch.failures >= MAX_FAILURES {
                given_up.insert(stretch.ids);
            } else {
                self.wanted.add_due(stretch);
            }
        }
        Some(if given_up.is_empty() { AfterFailure::Retry(wait) } else { AfterFailure::GiveUp(given_up) })
    }

    /// Takes a refusal.
    pub(super) fn refuse(&mut self, number: u64, now: Duration) -> Option<AfterFailure> {
        if !self.end(number) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        if self.persistence == Persistence::Bounded {
            return Some(self.give_up());
        }
        self.wanted.take_asked().into_iter().for_each(|stretch| self.wanted.add_due(stretch));
        self.again_at = now + RARE_WAIT;
        Some(AfterFailure::Retry(RARE_WAIT))
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

fn window_of(ids: &IdSet) -> Option<IdRange> {
    IdRange::new(ids.first()?, ids.last()?)
}
