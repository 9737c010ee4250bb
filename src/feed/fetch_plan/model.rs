//! A made-up exchange, and a plan that asks it: what the tests of plans share.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::feed::reject::RejectReason;
use crate::feed::rest::{ElementFault, UnusableElement};
use crate::ids::IdRange;
use crate::record::Trade;
use crate::schema::{Layout, Trades};

/// Answers per second at which the tests ask.
pub(super) const RATE: f64 = 8.0;

pub(super) fn product() -> ProductId {
    ProductId::new("BTC-USD").expect("a product")
}

pub(super) fn range(first: u64, last: u64) -> IdRange {
    IdRange::new(first, last).expect("a range")
}

pub(super) fn set(ranges: &[(u64, u64)]) -> IdSet {
    ranges.iter().map(|(first, last)| range(*first, *last)).collect()
}

pub(super) fn past(trade_id: u64) -> PastTrade {
    PastTrade { trade_id, time: UnixNanos(trade_id * 1_000_000_000) }
}

/// An exchange as REST shows it: which ids it has, and which of them it shows in a form that cannot be used.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) unusable: BTreeSet<u64>,
    pub(super) lacks: BTreeSet<u64>,
}

impl Exchange {
    pub(super) fn of(first: u64, last: u64) -> Self {
        Self { first, last, ..Self::default() }
    }

    pub(super) fn answer(&self, request: &FetchRequest) -> TradePage {
        let mut page = TradePage::default();
        let below = request.after().unwrap_or(u64::MAX).min(self.last + 1);
        let shown = (self.first..below).rev().filter(|id| !self.lacks.contains(id)).take(usize::from(request.limit()));
        for id in shown.collect::<Vec<_>>().into_iter().rev() {
            if self.unusable.contains(&id) {
                let (trade_id, fault) = (Some(id), ElementFault::Rejected(RejectReason::Price));
                page.unusable.push(UnusableElement { trade_id, fault, raw: String::new() });
            } else {
                page.trades.push(Trade { trade_id: id, time: past(id).time, ..Trades::EMPTY });
            }
        }
        page
    }
}

/// A plan with one product, its wanted ids, and the time.
pub(super) struct Run {
    pub(super) plan: FetchPlan,
    pub(super) now: Duration,
    pub(super) left: IdSet,
    persistence: Persistence,
}

impl Run {
    pub(super) fn new(persistence: Persistence, wanted: IdSet) -> Self {
        let mut plan = FetchPlan::new(RATE, persistence, 7);
        plan.want(&product(), &wanted);
        Self { plan, now: Duration::from_secs(5), left: wanted, persistence }
    }

    pub(super) fn add(&mut self, ids: IdRange) {
        self.left.insert(ids);
        self.plan.want(&product(), &self.left);
    }

    /// Lets time pass until a request is due.
    pub(super) fn next(&mut self) -> Option<FetchRequest> {
        loop {
            match self.plan.next(self.now) {
                Next::Send(request) => return Some(request),
                Next::Wait(wait) => self.now += wait,
                Next::Idle => return None,
            }
        }
    }

    pub(super) fn window(&mut self) -> Option<(FetchRequest, IdRange)> {
        let request = self.next()?;
        let FetchTarget::Window(window) = request.target else { panic!("{request:?}") };
        assert!(window.count() <= 1000);
        Some((request, window))
    }

    /// Takes an answer, as a writer that stores at once.
    pub(super) fn answer(&mut self, request: &FetchRequest, mut page: TradePage) -> PageOutcome {
        let outcome = self.plan.answer_page(request, &mut page, self.now);
        page.trades.iter().for_each(|trade| assert!(self.left.remove_id(trade.trade_id), "{} is not wanted", trade.trade_id));
        // Who asks for as long as it takes says anew what is missing; who has to end does not.
        if self.persistence == Persistence::Endless {
            self.plan.want(&product(), &self.left);
            self.plan.taken(&product());
        }
        outcome
    }

    pub(super) fn search(&mut self, exchange: &Exchange) -> SearchOutcome {
        for _ in 0..2000 {
            let request = self.next().expect("a question");
            let page = exchange.answer(&request);
            let newest = page.trades.last().map(|trade| past(trade.trade_id));
            let outcome = match newest {
                None if !page.unusable.is_empty() => self.plan.answer_obscured(&request, self.now),
                newest => self.plan.answer_search(&request, newest, self.now),
            };
            if outcome != SearchOutcome::Unfinished {
                return outcome;
            }
        }
        panic!("the search has no end")
    }
}

pub(super) fn persistences() -> impl Strategy<Value = Persistence> {
    prop_oneof![Just(Persistence::Endless), Just(Persistence::Bounded)]
}
