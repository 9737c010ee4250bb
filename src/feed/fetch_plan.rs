//! [`FetchPlan`]: what to ask REST next, so that every product's missing trades come in. No I/O, no clock.
//!
//! Two loops drive it: the fetch threads of a capture, and that of `repair` and `backfill`. Each carries out what [`FetchPlan::next`] says and reports the
//! answer or the failure. `now` is monotonic time since any fixed moment.
//!
//! 1. **Rate.** All products share one rate and take turns. After an answer that names a wait (429, 503) nothing is asked until then: the limit is one of
//!    the address.
//! 2. **Windows.** A request covers up to 1000 ids, whatever number of gaps lies in them. A product has one request under way at most.
//! 3. **Order.** Small gaps come before large ones and new ones before old ones, and no gap starves another ([`WantedIds`](wanted_ids::WantedIds)).
//! 4. **Absent ids.** Only the wanted trades of a page are kept. Ids that it does not have, or has in a form that cannot be used, are asked for again later
//!    and later, as REST may run behind the feed. They hold up no other gap. An empty page is one that has none of them.
//! 5. **Failures.** After a failure the product waits 1 s to 60 s, longer each time until a request succeeds, and the window that failed waits on its own.
//!    One that fails again and again is asked for by halves. After refusals (most of 4xx) the product waits up to ten minutes.
//! 6. **Giving up.** Only where [`Persistence`] says so. A capture never gives up.
//! 7. **Searches.** Where only a time is known, the first trade since then is searched by bisection and proved. The trade before it is fetched too.
//! 8. **No storm.** No id is asked for twice within a second, whatever the answers are, unless one names a shorter wait.

mod product_fetch;
mod request;
mod search;
mod time_search;
mod wanted_ids;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::rest::{Advice, TradePage};
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::time::UnixNanos;

pub(crate) use product_fetch::{Absent, AfterFailure, MAX_ANSWERS, PageOutcome, Persistence};
pub(crate) use request::{FetchRequest, FetchTarget};
pub(crate) use search::SearchOutcome;
pub(crate) use time_search::{PastTrade, TradesSince};

use product_fetch::{ProductFetch, RARE_WAIT};

/// Requests a second where nothing else is said: Coinbase's public limit is 10 per address.
pub(crate) const USUAL_REQUESTS_PER_S: u32 = 8;

/// Longest time between two requests, whatever the rate.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send a request, and report what came of it.
    Send(FetchRequest),
    /// Ask the plan again after so long, or when something else is wanted.
    Wait(Duration),
    /// Nothing is wanted, or all that is wanted is under way.
    Idle,
}

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailureOutcome {
    /// How many requests for the product have failed in a row; 0 where nothing is wanted for it any more.
    pub(crate) failures: u32,
    /// What follows.
    pub(crate) then: AfterFailure,
}

/// Missing trades that REST cannot be asked for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standstill {
    /// When the first of the requests failed since which none has succeeded.
    pub(crate) since: Duration,
    /// How many ids wait.
    pub(crate) ids: u64,
    /// Of how many products.
    pub(crate) products: usize,
    /// One of them.
    pub(crate) first_product: ProductId,
}

/// What all products want of REST.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    products: BTreeMap<ProductId, ProductFetch>,
    /// The product that was asked about last.
    last_turn: Option<ProductId>,
    persistence: Persistence,
    interval: Duration,
    free_at: Duration,
    requests: u64,
    /// Seeds of the products' waits.
    seeds: fastrand::Rng,
}

impl FetchPlan {
    /// Makes a plan of at most so many requests a second. A rate that is none gives the slowest: one request in [`LONGEST_INTERVAL`]. The jitter of the
    /// waits follows from `seed`.
    #[must_use]
    pub(crate) fn new(requests_per_s: f64, persistence: Persistence, seed: u64) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / requests_per_s).unwrap_or(LONGEST_INTERVAL).min(LONGEST_INTERVAL);
        let seeds = fastrand::Rng::with_seed(seed);
        Self { products: BTreeMap::new(), last_turn: None, persistence, interval, free_at: Duration::ZERO, requests: 0, seeds }
    }

    fn fetch_of(&mut self, product: &ProductId) -> &mut ProductFetch {
        let Self { products, persistence, seeds, .. } = self;
        products.entry(product.clone()).or_insert_with(|| ProductFetch::new(*persistence, seeds.u64(..)))
    }

    /// Says which ids a product misses now. What was missing before keeps its history.
    pub(crate) fn want(&mut self, product: &ProductId, wanted: &IdSet) {
        self.fetch_of(product).want(wanted);
    }

    /// Asks for a product's newest trade, unless something is searched already.
    pub(crate) fn search_newest(&mut self, product: &ProductId) {
        self.fetch_of(product).search_newest();
    }

    /// Searches for a product's first trade at or after `time` among the ids up to `highest`, which a trade has.
    pub(crate) fn search_since(&mut self, product: &ProductId, time: UnixNanos, highest: u64) {
        self.fetch_of(product).search_since(time, highest);
    }

    /// Forgets a product. An answer that is under way for it will be empty.
    pub(crate) fn forget(&mut self, product: &ProductId) {
        self.products.remove(product);
    }

    /// Says what to do now. A request that is given out counts as sent.
    pub(crate) fn next(&mut self, now: Duration) -> Next {
        let mut earliest: Option<Duration> = None;
        let mut ready = None;
        for (product, fetch) in in_turn(&self.products, self.last_turn.as_ref()) {
            match fetch.due_at() {
                Some(at) if at <= now => {
                    ready = Some(product.clone());
                    break;
                }
                Some(at) => earliest = Some(earliest.map_or(at, |earliest| earliest.min(at))),
                None => {}
            }
        }
        let Some(product) = ready else { return earliest.map_or(Next::Idle, |at| Next::Wait(at - now)) };
        if self.free_at > now {
            return Next::Wait(self.free_at - now);
        }
        let number = self.requests;
        let Some(target) = self.fetch_of(&product).send(number, now) else { return Next::Idle };
        self.requests += 1;
        self.free_at = now + self.interval;
        self.last_turn = Some(product.clone());
        Next::Send(FetchRequest { product, target, number })
    }

    /// Takes the page that answers a window, and leaves in it what is wanted. An endless plan sends no other request for the product until
    /// [`FetchPlan::taken`] or [`FetchPlan::not_taken`] says what became of that, unless nothing is left in the page.
    pub(crate) fn answer_page(&mut self, request: &FetchRequest, page: &mut TradePage, now: Duration) -> PageOutcome {
        if let Some(fetch) = self.products.get_mut(&request.product) {
            return fetch.answer_page(request.number, page, now);
        }
        *page = TradePage::default();
        PageOutcome::default()
    }

    /// Takes the answer to a search: the newest trade up to the id asked for, if there is one. Where an endless plan has found missing ids, it sends no
    /// other request for the product until [`FetchPlan::taken`] or [`FetchPlan::not_taken`] says what became of them.
    pub(crate) fn answer_search(&mut self, request: &FetchRequest, newest: Option<PastTrade>, now: Duration) -> SearchOutcome {
        let fetch = self.products.get_mut(&request.product);
        fetch.map_or(SearchOutcome::Unfinished, |fetch| fetch.answer_search(request.number, request.target, newest, now))
    }

    /// Takes an answer to a search that has elements, none of which can be used. Another question follows, or the search ends.
    pub(crate) fn answer_obscured(&mut self, request: &FetchRequest, now: Duration) -> SearchOutcome {
        let fetch = self.products.get_mut(&request.product);
        fetch.map_or(SearchOutcome::Unfinished, |fetch| fetch.answer_obscured(request.number, request.target, now))
    }

    /// Tells what stands still: the products that want something and for which the last request has failed.
    pub(crate) fn standstill(&self) -> Option<Standstill> {
        let standing = self.products.iter().filter_map(|(product, fetch)| Some((product, fetch.standstill()?)));
        standing.fold(None, |all: Option<Standstill>, (product, (since, ids))| {
            let mut all = all.unwrap_or(Standstill { since, ids: 0, products: 0, first_product: product.clone() });
            all.since = all.since.min(since);
            all.ids = all.ids.saturating_add(ids);
            all.products += 1;
            Some(all)
        })
    }

    /// Takes a failure.
    pub(crate) fn fail(&mut self, request: &FetchRequest, advice: Advice, now: Duration) -> FailureOutcome {
        let asked_wait = match advice {
            Advice::RetryAfter(wait) => Some(wait),
            Advice::Retry | Advice::Skip | Advice::Stop => None,
        };
        if let Some(wait) = asked_wait {
            self.free_at = self.free_at.max(now + wait);
        }
        let fetch = self.products.get_mut(&request.product);
        let then = fetch.and_then(|fetch| {
            let then = match advice {
                Advice::RetryAfter(_) | Advice::Retry => fetch.fail(request.number, asked_wait, now),
                Advice::Skip => fetch.refuse(request.number, now),
                Advice::Stop => fetch.stop(request.number, now),
            };
            then.map(|then| FailureOutcome { failures: fetch.failures(), then })
        });
        then.unwrap_or(FailureOutcome { failures: 0, then: AfterFailure::Retry(RARE_WAIT) })
    }

    /// Says that what the product's last answer brought has been taken. Its next request may be sent.
    pub(crate) fn taken(&mut self, product: &ProductId) {
        if let Some(fetch) = self.products.get_mut(product) {
            fetch.taken();
        }
    }

    /// Says that what an answer brought was not taken. It is asked for again after a while.
    pub(crate) fn not_taken(&mut self, request: &FetchRequest, now: Duration) {
        if let Some(fetch) = self.products.get_mut(&request.product) {
            fetch.not_taken(request.number, now);
        }
    }

    /// Says that nobody is left to take what an answer brought. The product is forgotten, unless it has been begun anew since.
    pub(crate) fn abandon(&mut self, request: &FetchRequest) {
        if self.products.get(&request.product).is_some_and(|fetch| fetch.is_answered(request.number)) {
            self.products.remove(&request.product);
        }
    }

    /// Gives the id with which a product's trading began, once: when a search has found it and it is stored.
    pub(crate) fn take_beginning(&mut self, product: &ProductId) -> Option<u64> {
        self.products.get_mut(product)?.take_beginning()
    }
}

/// Goes through the products, beginning behind the one that had the last turn.
fn in_turn<'a>(
    products: &'a BTreeMap<ProductId, ProductFetch>,
    last: Option<&'a ProductId>,
) -> impl Iterator<Item = (&'a ProductId, &'a ProductFetch)> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    let behind = products.range::<ProductId, _>((from, Bound::Unbounded));
    behind.chain(last.into_iter().flat_map(|last| products.range::<ProductId, _>(..=last)))
}

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod kind_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod reaction_tests;
