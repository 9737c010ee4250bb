//! [`Search`]: what is searched of a product's past, and what an answer means for it. No I/O, no clock.
//!
//! A question is answered by the newest trade up to an id. Where the newest cannot be used, more trades are asked for.

use super::request::FetchTarget;
use super::time_search::{PastTrade, SearchEnd, TimeSearch, TradesSince};
use crate::feed::rest::MAX_PAGE_TRADES;
use crate::ids::IdRange;
use crate::time::UnixNanos;

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
    /// The answers contradict each other, or hold nothing that can be used. An endless plan begins the search anew after ten minutes.
    Contradiction,
}

/// What is searched.
#[derive(Debug)]
pub(super) enum Search {
    /// The product's newest trade.
    Newest {
        /// Whether there was none once.
        is_empty_once: bool,
        /// How many trades are asked for.
        limit: u16,
    },
    /// The first trade since a time.
    Since {
        /// The time.
        time: UnixNanos,
        /// An id that a trade has.
        highest: u64,
        /// How far the search is.
        search: TimeSearch,
    },
}

impl Search {
    pub(super) const NEWEST: Self = Self::Newest { is_empty_once: false, limit: 1 };

    pub(super) fn since(time: UnixNanos, highest: u64) -> Self {
        Self::Since { time, highest, search: TimeSearch::new(time, highest) }
    }

    pub(super) const fn is_since(&self) -> bool {
        matches!(self, Self::Since { .. })
    }

    pub(super) fn target(&self) -> FetchTarget {
        match self {
            Self::Newest { limit, .. } => FetchTarget::Newest { limit: *limit },
            Self::Since { search, .. } => FetchTarget::NewestUpTo { id: search.question(), limit: search.limit() },
        }
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) {
        *self = match self {
            Self::Newest { .. } => Self::NEWEST,
            Self::Since { time, highest, .. } => Self::since(*time, *highest),
        };
    }

    /// Takes the newest trade up to the id asked for.
    pub(super) fn answer(&mut self, newest: Option<PastTrade>) -> SearchOutcome {
        match self {
            Self::Newest { is_empty_once, .. } if newest.is_none() && !*is_empty_once => {
                *is_empty_once = true;
                SearchOutcome::Unfinished
            }
            Self::Newest { .. } => SearchOutcome::Newest(newest),
            Self::Since { highest, search, .. } => outcome_of(search.answer(newest), *highest),
        }
    }

    /// Takes an answer of which nothing can be used.
    pub(super) fn answer_obscured(&mut self) -> SearchOutcome {
        match self {
            Self::Newest { limit, .. } if *limit < MAX_PAGE_TRADES => {
                *limit = MAX_PAGE_TRADES;
                SearchOutcome::Unfinished
            }
            Self::Newest { .. } => SearchOutcome::Contradiction,
            Self::Since { highest, search, .. } => outcome_of(search.answer_obscured(), *highest),
        }
    }
}

fn outcome_of(end: Option<SearchEnd>, highest: u64) -> SearchOutcome {
    match end {
        None => SearchOutcome::Unfinished,
        Some(SearchEnd::Found(since)) => SearchOutcome::Found { since, ids: since.ids_below(highest) },
        Some(SearchEnd::Contradiction) => SearchOutcome::Contradiction,
    }
}
