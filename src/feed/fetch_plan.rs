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
mod tests {
    use super::product_fetch::{MAX_FAILURES, MAX_REFUSALS};
    use super::*;
    use crate::decimal::Decimal;
    use crate::feed::rest::InexactText;
    use crate::ids::IdRange;
    use crate::record::{Means, OrderId, Origin, Side, Trade};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn product(name: &str) -> ProductId {
        ProductId::new(name).expect("a product")
    }

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("a range")
    }

    fn set(ranges: &[(u64, u64)]) -> IdSet {
        ranges.iter().map(|(first, last)| range(*first, *last)).collect()
    }

    fn trade(trade_id: u64) -> Trade {
        let one = Decimal::new(1.0, 1.0, true);
        Trade {
            trade_id,
            time: UnixNanos(trade_id * 1_000_000_000),
            price: one,
            size: one,
            side: Side::Buy,
            maker_order_id: OrderId::NIL,
            taker_order_id: OrderId::NIL,
            sequence: 0,
            recv: UnixNanos(0),
            origin: Origin::new(Means::Rest, 0, 0),
        }
    }

    fn page(ids: impl IntoIterator<Item = u64>) -> TradePage {
        TradePage { trades: ids.into_iter().map(trade).collect(), ..TradePage::default() }
    }

    fn ids(page: &TradePage) -> Vec<u64> {
        page.trades.iter().map(|trade| trade.trade_id).collect()
    }

    fn endless(requests_per_s: f64) -> FetchPlan {
        FetchPlan::new(requests_per_s, Persistence::Endless, 7)
    }

    fn bounded(requests_per_s: f64) -> FetchPlan {
        FetchPlan::new(requests_per_s, Persistence::Bounded, 7)
    }

    fn sent(next: Next) -> FetchRequest {
        match next {
            Next::Send(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn window(request: &FetchRequest) -> IdRange {
        match request.target {
            FetchTarget::Window(window) => window,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass until a request is due; `None` where nothing is wanted.
    fn due(plan: &mut FetchPlan, now: &mut Duration) -> Option<FetchRequest> {
        loop {
            match plan.next(*now) {
                Next::Send(request) => return Some(request),
                Next::Wait(wait) => *now += wait,
                Next::Idle => return None,
            }
        }
    }

    fn is_about(wait: Duration, base: Duration) -> bool {
        wait >= base && wait <= base.mul_f64(1.25)
    }

    #[test]
    fn products_take_turns_within_one_rate() {
        let mut plan = endless(4.0);
        for name in ["A-USD", "B-USD", "C-USD"] {
            plan.want(&product(name), &set(&[(1, 5000)]));
        }
        let mut now = s(100);
        let mut order = Vec::new();
        for _ in 0..7 {
            let request = sent(plan.next(now));
            assert_eq!(plan.next(now), Next::Wait(ms(250)));
            let mut page = page(window(&request).ids());
            assert!(plan.answer_page(&request, &mut page, now).absent.is_empty());
            order.push((request.product.as_str().to_owned(), window(&request).first(), page.trades.len()));
            plan.want(&request.product, &set(&[(window(&request).last() + 1, 5000)]));
            plan.taken(&request.product);
            now += ms(250);
        }
        let names: Vec<&str> = order.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["A-USD", "B-USD", "C-USD", "A-USD", "B-USD", "C-USD", "A-USD"]);
        assert_eq!(order.iter().map(|(_, from, count)| (*from, *count)).next_back(), Some((2001, 1000)));
    }

    #[test]
    fn a_rate_that_is_none_is_slow() {
        for rate in [0.0, -1.0, f64::NAN] {
            let mut plan = bounded(rate);
            plan.want(&product("A-USD"), &set(&[(1, 5000)]));
            let request = sent(plan.next(s(1)));
            plan.answer_page(&request, &mut page(1..=1000), s(1));
            assert_eq!(plan.next(s(1)), Next::Wait(LONGEST_INTERVAL), "{rate}");
        }
    }

    #[test]
    fn one_window_covers_many_gaps_and_nothing_else_is_kept_of_its_page() {
        let mut plan = endless(8.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(10, 11), (500, 500), (1009, 1012)]));
        let request = sent(plan.next(s(1)));
        assert_eq!((window(&request), request.after(), request.limit()), (range(500, 1012), Some(1013), 513));
        let mut page = page(500..=1012);
        page.inexact = [1011, 512].map(|trade_id| InexactText { trade_id, column: "trade_size_f64", text: String::new() }).into();
        let outcome = plan.answer_page(&request, &mut page, s(1));
        assert_eq!((ids(&page), outcome.absent, outcome.first_answers), (vec![500, 1009, 1010, 1011, 1012], vec![], 5));
        assert_eq!(page.inexact.iter().map(|text| text.trade_id).collect::<Vec<_>>(), [1011]);
        assert_eq!(plan.next(s(9)), Next::Idle, "its page has not been taken");
        plan.want(&btc, &set(&[(10, 11)]));
        plan.taken(&btc);
        assert_eq!(sent(plan.next(s(9))).limit(), 2);
    }

    #[test]
    fn ids_that_a_page_does_not_have_are_asked_for_again_later_and_later() {
        let mut plan = endless(8.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(5, 9)]));
        let mut now = s(10);
        let request = sent(plan.next(now));
        let outcome = plan.answer_page(&request, &mut page([5, 6, 9]), now);
        assert_eq!(outcome.absent, [Absent { ids: range(7, 8), answers: 1, is_given_up: false }]);
        plan.want(&btc, &set(&[(7, 8)]));
        plan.taken(&btc);
        for (answers, wait) in [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32), (8, 64), (9, 600), (10, 600)] {
            assert_eq!(plan.next(now), Next::Wait(s(wait)));
            now += s(wait);
            let request = sent(plan.next(now));
            assert_eq!(window(&request), range(7, 8));
            assert_eq!(plan.answer_page(&request, &mut page([]), now).absent.first().map(|absent| absent.answers), Some(answers));
        }
        // What is missing besides is not held up by it.
        plan.want(&btc, &set(&[(7, 8), (20, 20)]));
        assert_eq!(window(&sent(plan.next(now + s(1)))), range(20, 20));
    }

    #[test]
    fn a_page_may_bring_ids_that_wait_and_does_not_count_against_them() {
        let (mut plan, btc) = (bounded(8.0), product("BTC-USD"));
        plan.want(&btc, &set(&[(1, 1000)]));
        let request = sent(plan.next(s(1)));
        assert_eq!(plan.answer_page(&request, &mut page((1..=1000).filter(|id| ![1, 500].contains(id))), s(1)).absent.len(), 2);
        plan.want(&btc, &set(&[(1, 1), (100, 100), (500, 500), (1005, 1005)]));
        // Those that wait lie within the window for the others, or below it.
        let request = sent(plan.next(s(1) + ms(125)));
        assert_eq!(window(&request), range(100, 1005));
        let mut page = page([100, 500]);
        let outcome = plan.answer_page(&request, &mut page, s(1) + ms(125));
        assert_eq!((ids(&page), outcome.absent), (vec![100, 500], vec![Absent { ids: range(1005, 1005), answers: 1, is_given_up: false }]));
        assert_eq!(window(&sent(plan.next(s(2)))), range(1, 1), "what came is not asked for again");
    }

    #[test]
    fn trades_that_were_taken_and_are_still_wanted_are_not_asked_for_at_once() {
        let mut plan = endless(8.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(5, 9)]));
        let request = sent(plan.next(s(1)));
        plan.answer_page(&request, &mut page(7..=9), s(1));
        // They wait behind the gap: not stored yet.
        plan.want(&btc, &set(&[(5, 9)]));
        plan.taken(&btc);
        assert_eq!(plan.next(s(1)), Next::Wait(s(1)));
    }

    #[test]
    fn what_was_not_taken_is_fetched_again_after_a_while() {
        let mut plan = endless(1000.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(5, 9)]));
        let request = sent(plan.next(s(1)));
        plan.answer_page(&request, &mut page(5..=9), s(1));
        plan.not_taken(&request, s(1));
        assert_eq!(plan.next(s(1)), Next::Wait(s(1)));
        assert_eq!(window(&sent(plan.next(s(2)))), range(5, 9));
        // A search whose result was not taken is begun anew.
        let eth = product("ETH-USD");
        plan.search_since(&eth, UnixNanos(2_000_000_000), 2);
        let mut now = s(3);
        for _ in 0..2 {
            let outcome = loop {
                let request = due(&mut plan, &mut now).expect("a question");
                let newest = request.ids().map(|ids| PastTrade { trade_id: ids.last(), time: trade(ids.last()).time });
                match plan.answer_search(&request, newest, now) {
                    SearchOutcome::Unfinished => {}
                    outcome => break (request, outcome),
                }
            };
            let (request, SearchOutcome::Found { since, ids }) = outcome else { panic!("it has no end") };
            assert_eq!((since, ids), (TradesSince { first: 2, before: Some(1) }, Some(range(1, 1))));
            plan.not_taken(&request, now);
        }
    }

    #[test]
    fn a_product_whose_writer_has_ended_is_asked_about_no_more() {
        let mut plan = endless(1000.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(5, 9)]));
        let request = sent(plan.next(s(1)));
        plan.answer_page(&request, &mut page(5..=9), s(1));
        plan.abandon(&request);
        assert_eq!(plan.next(s(1000)), Next::Idle);
        // A writer that has begun meanwhile keeps what it wants.
        plan.want(&btc, &set(&[(5, 9)]));
        plan.abandon(&request);
        assert_eq!(window(&sent(plan.next(s(1000)))), range(5, 9));
    }

    #[test]
    fn an_answer_that_comes_too_late_counts_for_nothing() {
        let mut plan = endless(1000.0);
        let btc = product("BTC-USD");
        plan.want(&btc, &set(&[(5, 9)]));
        let old = sent(plan.next(s(1)));
        plan.forget(&btc);
        plan.want(&btc, &set(&[(5, 9)]));
        let new = sent(plan.next(s(2)));
        let mut late = page(5..=9);
        assert_eq!(plan.answer_page(&old, &mut late, s(2)), PageOutcome::default());
        assert_eq!((ids(&late), plan.fail(&old, Advice::Retry, s(2)).failures), (vec![], 0));
        assert_eq!(plan.next(s(3)), Next::Idle, "the new one is under way");
        let mut now = page(5..=9);
        plan.answer_page(&new, &mut now, s(3));
        assert_eq!(ids(&now).len(), 5);
    }

    #[test]
    fn a_429_holds_everybody_up_and_a_failure_only_its_product() {
        let mut plan = endless(1000.0);
        let (a, b) = (product("A-USD"), product("B-USD"));
        plan.want(&a, &set(&[(1, 1)]));
        plan.want(&b, &set(&[(1, 1)]));
        let retry = |wait| AfterFailure::Retry(wait);
        let request = sent(plan.next(s(1)));
        assert_eq!(plan.fail(&request, Advice::RetryAfter(s(7)), s(1)), FailureOutcome { failures: 1, then: retry(s(7)) });
        assert_eq!(plan.next(s(2)), Next::Wait(s(6)));
        let request = sent(plan.next(s(8)));
        assert_eq!(request.product, b);
        let FailureOutcome { failures: 1, then: AfterFailure::Retry(wait) } = plan.fail(&request, Advice::Retry, s(8)) else { panic!() };
        assert!(is_about(wait, s(1)), "{wait:?}");
        let request = sent(plan.next(s(8) + ms(1)));
        assert_eq!(request.product, a, "only B waits");
        assert_eq!(plan.fail(&request, Advice::Stop, s(8)).then, retry(RARE_WAIT));
        let mut now = s(8) + wait;
        for base in [2, 4, 8, 16, 32, 48, 48] {
            let request = sent(plan.next(now));
            let AfterFailure::Retry(wait) = plan.fail(&request, Advice::Retry, now).then else { panic!("given up") };
            assert!(request.product == b && is_about(wait, s(base)), "{wait:?}");
            assert!(matches!(plan.next(now + s(1)), Next::Wait(_)), "A is left alone for ten minutes");
            now += wait;
        }
    }

    #[test]
    fn a_window_that_always_fails_keeps_no_other_back() {
        let poisoned = range(9000, 9000);
        for mut plan in [endless(8.0), bounded(8.0)] {
            let btc = product("BTC-USD");
            plan.want(&btc, &set(&[(100, 100), (5000, 5000), (9000, 9000)]));
            let (mut now, mut had, mut given_up, mut tries) = (s(0), IdSet::new(), IdSet::new(), 0);
            while let Some(request) = due(&mut plan, &mut now).filter(|_| tries < 20) {
                if window(&request) == poisoned {
                    tries += 1;
                    if let AfterFailure::GiveUp(ids) = plan.fail(&request, Advice::Retry, now).then {
                        given_up.extend(ids);
                    }
                } else {
                    assert!(tries <= 2, "the others are asked for between");
                    let mut page = page(window(&request).ids());
                    plan.answer_page(&request, &mut page, now);
                    had.extend([window(&request)]);
                    if plan.persistence == Persistence::Endless {
                        plan.want(&btc, &set(&[(100, 100), (5000, 5000), (9000, 9000)]).difference(&had));
                        plan.taken(&btc);
                    }
                }
            }
            assert_eq!(had, set(&[(100, 100), (5000, 5000)]));
            match plan.persistence {
                Persistence::Endless => assert!(given_up.is_empty() && tries == 20),
                Persistence::Bounded => assert_eq!((given_up.ranges(), tries), ([poisoned].as_slice(), MAX_FAILURES)),
            }
        }
    }

    #[test]
    fn a_bounded_plan_gives_up_what_is_refused_or_fails_again_and_again() {
        let btc = product("BTC-USD");
        let wanted = set(&[(100, 100), (5000, 5000), (9000, 9000)]);
        for (advice, tries) in
            [(Advice::Skip, MAX_REFUSALS), (Advice::Stop, 1), (Advice::Retry, MAX_FAILURES), (Advice::RetryAfter(s(2)), MAX_FAILURES)]
        {
            let (mut plan, mut now) = (bounded(1000.0), s(1));
            plan.want(&btc, &wanted);
            for number in 1..=tries {
                let request = due(&mut plan, &mut now).expect("a request");
                let outcome = plan.fail(&request, advice, now);
                assert_eq!(outcome.failures, number);
                match outcome.then {
                    AfterFailure::Retry(_) => assert!(number < tries, "{advice:?}"),
                    AfterFailure::GiveUp(ids) => assert_eq!((number, &ids), (tries, &wanted), "{advice:?}"),
                }
            }
            assert_eq!(plan.next(now + s(1000)), Next::Idle);
            plan.search_newest(&btc);
            assert!(due(&mut plan, &mut now).is_some());
        }
    }

    #[test]
    fn a_product_without_trades_is_one_after_two_empty_answers() {
        let (mut plan, btc, mut now) = (bounded(1000.0), product("BTC-USD"), s(1));
        plan.search_newest(&btc);
        let request = due(&mut plan, &mut now).expect("a question");
        assert_eq!((request.after(), request.limit()), (None, 1));
        assert_eq!(plan.answer_search(&request, None, now), SearchOutcome::Unfinished);
        let request = due(&mut plan, &mut now).expect("a question");
        assert_eq!(plan.answer_search(&request, None, now), SearchOutcome::Newest(None));
        assert_eq!(plan.next(s(9)), Next::Idle);
    }

    /// Answers a search from an exchange that has the ids from `first` on, and gives where it ends.
    fn search(plan: &mut FetchPlan, now: &mut Duration, first: u64) -> SearchOutcome {
        loop {
            let request = due(plan, now).expect("a question");
            let newest = request.ids().map(IdRange::last).filter(|id| *id >= first);
            let newest = newest.map(|id| PastTrade { trade_id: id, time: trade(id).time });
            match plan.answer_search(&request, newest, *now) {
                SearchOutcome::Unfinished => {}
                outcome => return outcome,
            }
        }
    }

    #[test]
    fn where_trading_began_is_said_once_it_is_stored() {
        let (mut plan, btc, mut now) = (endless(1000.0), product("BTC-USD"), s(1));
        plan.search_since(&btc, UnixNanos(0), 900);
        let SearchOutcome::Found { since, ids } = search(&mut plan, &mut now, 1) else { panic!("it has no end") };
        assert_eq!((since, ids), (TradesSince { first: 1, before: None }, Some(range(1, 899))));
        plan.want(&btc, &IdSet::new());
        assert_eq!(plan.take_beginning(&btc), None, "it is not known yet that it is missing");
        plan.want(&btc, &set(&[(1, 899)]));
        plan.taken(&btc);
        assert_eq!(plan.take_beginning(&btc), None);
        plan.want(&btc, &set(&[(2, 899)]));
        assert_eq!((plan.take_beginning(&btc), plan.take_beginning(&btc)), (Some(1), None));
        // Nothing lies below the first stored id: it is stored already.
        plan.forget(&btc);
        plan.search_since(&btc, UnixNanos(0), 1);
        assert!(matches!(search(&mut plan, &mut now, 1), SearchOutcome::Found { ids: None, .. }));
        assert_eq!((plan.take_beginning(&btc), plan.next(now + s(9))), (Some(1), Next::Idle));
    }

    /// What the model's exchange does with a request.
    #[derive(Debug, Clone, Copy)]
    enum Reaction {
        Answers,
        /// It answers with nothing, though it has something.
        AnswersNothing,
        Fails,
        Refuses,
        Slow(u64),
    }

    fn reaction() -> impl Strategy<Value = Reaction> {
        prop_oneof![
            6 => Just(Reaction::Answers),
            1 => Just(Reaction::AnswersNothing),
            2 => Just(Reaction::Fails),
            1 => Just(Reaction::Refuses),
            1 => (1u64..9).prop_map(Reaction::Slow),
        ]
    }

    fn missing() -> impl Strategy<Value = IdSet> {
        prop::collection::vec((1u64..700, 1u64..1500), 1..6).prop_map(|steps| {
            let mut at = 0;
            let ranges = steps.into_iter().map(|(gap, length)| {
                let first = at + gap;
                at = first + length;
                range(first, at - 1)
            });
            ranges.collect()
        })
    }

    /// Checks what holds of every request and every answer.
    struct Watch {
        last: Option<Duration>,
        not_before: Duration,
        /// By product and id: when a page did not have it, and how often.
        absent: BTreeMap<(ProductId, u64), (Duration, u32)>,
    }

    impl Watch {
        fn new() -> Self {
            Self { last: None, not_before: s(0), absent: BTreeMap::new() }
        }

        fn sent(&mut self, request: &FetchRequest, wanted: &IdSet, now: Duration) -> Result<(), TestCaseError> {
            prop_assert!(self.last.is_none_or(|last| now >= last + ms(125)), "the rate");
            prop_assert!(now >= self.not_before, "a 429");
            self.last = Some(now);
            let window = window(request);
            prop_assert!(window.count() <= 1000 && wanted.contains(window.first()) && wanted.contains(window.last()));
            for end in [window.first(), window.last()] {
                let before = self.absent.get(&(request.product.clone(), end));
                prop_assert!(before.is_none_or(|(at, _)| now >= *at + s(1)), "a storm");
            }
            Ok(())
        }

        fn answered(&mut self, request: &FetchRequest, outcome: &PageOutcome, now: Duration) -> Result<(), TestCaseError> {
            for absent in &outcome.absent {
                for id in absent.ids.ids() {
                    let entry = self.absent.entry((request.product.clone(), id)).or_insert((now, 0));
                    prop_assert!(entry.1 == 0 || now >= entry.0 + s(1), "a storm");
                    *entry = (now, entry.1 + 1);
                    prop_assert_eq!(entry.1, absent.answers, "each answer counts once");
                }
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn products_that_want_something_are_asked_about_in_turn(counts in prop::collection::vec(1u64..6000, 1..6)) {
            let mut plan = endless(8.0);
            let mut left: BTreeMap<ProductId, IdSet> =
                counts.iter().enumerate().map(|(at, count)| (product(&format!("P{at}-USD")), set(&[(1, *count)]))).collect();
            left.iter().for_each(|(product, wanted)| plan.want(product, wanted));
            let (mut now, mut last): (Duration, Option<ProductId>) = (s(0), None);
            while let Some(request) = due(&mut plan, &mut now) {
                let turn = last.as_ref().and_then(|last| left.range::<ProductId, _>((Bound::Excluded(last), Bound::Unbounded)).next());
                let turn = turn.or_else(|| left.first_key_value()).map(|(product, _)| product.clone());
                prop_assert_eq!(Some(&request.product), turn.as_ref());
                let mut page = page(window(&request).ids());
                plan.answer_page(&request, &mut page, now);
                let wanted = left.get_mut(&request.product).expect("wanted");
                wanted.remove(window(&request));
                plan.want(&request.product, wanted);
                plan.taken(&request.product);
                if wanted.is_empty() { left.remove(&request.product); }
                last = Some(request.product);
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn a_capture_asks_for_every_missing_id_until_it_has_it(
            missing in prop::collection::vec(missing(), 1..4),
            reactions in prop::collection::vec(reaction(), 0..60),
            behind in 0u64..90,
        ) {
            let mut plan = endless(8.0);
            let mut left: BTreeMap<ProductId, IdSet> =
                missing.into_iter().enumerate().map(|(at, wanted)| (product(&format!("P{at}-USD")), wanted)).collect();
            left.iter().for_each(|(product, wanted)| plan.want(product, wanted));
            let (mut now, mut watch, mut reactions) = (s(0), Watch::new(), reactions.into_iter());
            while let Some(request) = due(&mut plan, &mut now) {
                let wanted = left.get_mut(&request.product).expect("wanted");
                watch.sent(&request, wanted, now)?;
                match reactions.next().unwrap_or(Reaction::Answers) {
                    // REST runs behind the feed.
                    Reaction::Answers if now >= s(behind) => {
                        let mut page = page(window(&request).ids());
                        plan.answer_page(&request, &mut page, now);
                        page.trades.iter().for_each(|trade| { wanted.remove_id(trade.trade_id); });
                        plan.want(&request.product, wanted);
                        plan.taken(&request.product);
                    }
                    Reaction::Answers | Reaction::AnswersNothing => {
                        let outcome = plan.answer_page(&request, &mut page([]), now);
                        watch.answered(&request, &outcome, now)?;
                    }
                    Reaction::Fails => { plan.fail(&request, Advice::Retry, now); }
                    Reaction::Refuses => { plan.fail(&request, Advice::Skip, now); }
                    Reaction::Slow(seconds) => {
                        watch.not_before = now + s(seconds);
                        plan.fail(&request, Advice::RetryAfter(s(seconds)), now);
                    }
                }
            }
            prop_assert!(left.values().all(IdSet::is_empty), "{:?}", left);
        }

        #[test]
        fn a_repair_ends_with_every_id_had_or_named(
            wanted in missing(),
            not_had in prop::collection::btree_set(0u64..6000, 0..40),
            reactions in prop::collection::vec(reaction(), 0..40),
        ) {
            let (mut plan, btc) = (bounded(8.0), product("BTC-USD"));
            plan.want(&btc, &wanted);
            let (mut now, mut watch, mut reactions) = (s(0), Watch::new(), reactions.into_iter());
            let (mut had, mut absent, mut failed) = (IdSet::new(), IdSet::new(), IdSet::new());
            let mut first_answers = 0;
            while let Some(request) = due(&mut plan, &mut now) {
                let open = wanted.difference(&had).difference(&absent);
                watch.sent(&request, &open, now)?;
                let ids = match reactions.next().unwrap_or(Reaction::Answers) {
                    Reaction::Answers => window(&request).ids().filter(|id| !not_had.contains(id)).collect(),
                    Reaction::AnswersNothing => Vec::new(),
                    reaction => {
                        let advice = match reaction {
                            Reaction::Refuses => Advice::Skip,
                            Reaction::Slow(seconds) => Advice::RetryAfter(s(seconds)),
                            _ => Advice::Retry,
                        };
                        if let Advice::RetryAfter(wait) = advice { watch.not_before = now + wait; }
                        if let AfterFailure::GiveUp(ids) = plan.fail(&request, advice, now).then { failed.extend(ids); }
                        continue;
                    }
                };
                let mut page = page(ids);
                let outcome = plan.answer_page(&request, &mut page, now);
                watch.answered(&request, &outcome, now)?;
                first_answers += outcome.first_answers;
                had.extend(page.trades.iter().map(|trade| IdRange::one(trade.trade_id)));
                for gone in outcome.absent.into_iter().filter(|absent| absent.is_given_up) {
                    prop_assert_eq!(gone.answers, MAX_ANSWERS);
                    absent.insert(gone.ids);
                }
            }
            prop_assert!(now < s(3600), "it ends");
            let parts = [&had, &absent, &failed];
            prop_assert_eq!(parts.iter().map(|part| part.count()).sum::<u64>(), wanted.count(), "each id has one end");
            prop_assert_eq!(parts.into_iter().flatten().collect::<IdSet>(), wanted.clone());
            prop_assert!(not_had.iter().all(|id| !had.contains(*id)));
            if failed.is_empty() { prop_assert_eq!(first_answers, wanted.count()); }
        }
    }

    #[test]
    fn every_id_of_one_gap_of_a_repair_is_asked_for_in_the_order_of_the_ids() {
        let (mut plan, btc, mut now) = (bounded(8.0), product("BTC-USD"), s(0));
        plan.want(&btc, &set(&[(1, 2500)]));
        let mut firsts = BTreeSet::new();
        while let Some(request) = due(&mut plan, &mut now) {
            assert!(firsts.last().is_none_or(|last| *last < window(&request).first()));
            firsts.insert(window(&request).first());
            plan.answer_page(&request, &mut page(window(&request).ids()), now);
        }
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [1, 1001, 2001]);
    }
}
