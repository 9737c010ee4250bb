//! [`Fetcher`]: past trades from REST, one request after the other, as a [`FetchPlan`] that ends says.
//!
//! No clock and no sleep of its own: both come in through [`Timer`]. The pages come through [`Pages`], which tests replace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::config::RestConfig;
use super::error::{GaveUp, RepairError};
use crate::feed::fetch_plan::{
    AfterFailure, FetchPlan, FetchRequest, MAX_ANSWERS, Next, PageOutcome, PastTrade, Persistence, SearchOutcome, TradesSince,
};
use crate::feed::rest::{ElementFault, InexactText, RestClient, RestError, TradePage, UnusableElement};
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::record::Trade;
use crate::time::{Clock, UnixNanos};

/// Longest time that one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Unusable trades of which the fault is held.
const MAX_UNUSABLE: usize = 10_000;

/// Where pages come from.
pub(super) trait Pages {
    /// Gets the newest `limit` trades with ids below `after`, or the newest of all, in rising order.
    ///
    /// # Errors
    /// See [`RestError`].
    fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError>;
}

/// Tells the time and lets it pass.
pub(super) trait Timer {
    /// Gives the monotonic time since any fixed moment.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, wait: Duration);
}

/// The machine's time.
struct RealTimer(Instant);

impl Timer for RealTimer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, wait: Duration) {
        std::thread::sleep(wait);
    }
}

/// Coinbase's pages.
struct RestPages {
    client: RestClient,
    clock: Clock,
}

impl Pages for RestPages {
    fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError> {
        self.client.trades_page(product, after, limit, self.clock.now())
    }
}

/// What one page brought.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The trades of it that were wanted, in rising id.
    pub(super) trades: Vec<Trade>,
    /// Their decimal texts that no f64 gives back.
    pub(super) inexact: Vec<InexactText>,
    /// Elements of it that cannot be used, where its ids were asked for for the first time.
    pub(super) unusable: Vec<UnusableElement>,
    /// How many of the wanted ids REST has answered for so far, whether it had them or not.
    pub(super) answered: u64,
    /// The last id that this page was asked for.
    pub(super) last_id: u64,
}

/// Ids that were not fetched, and why.
#[derive(Debug, Default)]
pub(super) struct Unfetched {
    /// Ids that REST does not have, or not in a form that can be used.
    pub(super) absent: IdSet,
    /// Ids that REST has shown in a form that cannot be used, and what was wrong with each of the last ones.
    unusable: BTreeMap<u64, ElementFault>,
    /// Ids that REST was asked for in vain.
    pub(super) failed: Vec<FailedIds>,
}

/// Ids that REST was asked for in vain.
#[derive(Debug)]
pub(super) struct FailedIds {
    pub(super) ids: IdSet,
    pub(super) error: GaveUp,
}

impl Unfetched {
    fn note_unusable(&mut self, elements: &[UnusableElement], wanted: &IdSet) {
        for element in elements {
            if let Some(id) = element.trade_id.filter(|id| wanted.contains(*id) && self.unusable.len() < MAX_UNUSABLE) {
                self.unusable.insert(id, element.fault);
            }
        }
    }

    /// Says why ids were not fetched; `None` where they were not wanted.
    pub(super) fn why(&self, ids: IdRange) -> Option<String> {
        let failed = self.failed.iter().find(|failed| failed.ids.overlaps(ids));
        let unusable = self.unusable.range(ids.ids()).find(|(id, _)| self.absent.contains(**id));
        let unusable = unusable.map(|(id, fault)| format!("REST shows trade {id} in a form that cannot be used: {fault}"));
        let absent = self.absent.overlaps(ids).then(|| format!("REST does not have them (asked {MAX_ANSWERS} times)"));
        failed.map(|failed| failed.error.to_string()).or(unusable).or(absent)
    }
}

/// Fetches past trades. Belongs to one thread.
pub(super) struct Fetcher {
    pages: Box<dyn Pages>,
    timer: Box<dyn Timer>,
    plan: FetchPlan,
}

impl Fetcher {
    /// Asks an endpoint.
    ///
    /// # Errors
    /// Where the address is none, or the roots cannot be read.
    pub(super) fn new(config: &RestConfig, clock: &Clock) -> Result<Self, RestError> {
        let client = RestClient::new(&config.url, config.connector(), TIMEOUT)?;
        let pages = RestPages { client, clock: clock.clone() };
        Ok(Self::over(Box::new(pages), Box::new(RealTimer(Instant::now())), config.rate, clock.now().0))
    }

    /// Asks anything that gives pages, at most `rate` times a second. The jitter of the waits follows from `seed`.
    pub(super) fn over(pages: Box<dyn Pages>, timer: Box<dyn Timer>, rate: f64, seed: u64) -> Self {
        Self { pages, timer, plan: FetchPlan::new(rate, Persistence::Bounded, seed) }
    }

    /// Gets a product's newest trade; `None` where REST says twice that there is none.
    ///
    /// # Errors
    /// Where REST is given up, or shows nothing that can be used.
    pub(super) fn newest(&mut self, product: &ProductId) -> Result<Option<PastTrade>, RepairError> {
        self.plan.forget(product);
        self.plan.search_newest(product);
        match self.search()? {
            Some(SearchOutcome::Newest(newest)) => Ok(newest),
            _ => Err(RepairError::Unusable { product: product.clone() }),
        }
    }

    /// Finds the first trade at or after `time` among those up to `newest`, and the one before it.
    ///
    /// # Errors
    /// Where REST is given up, or contradicts itself.
    pub(super) fn first_since(&mut self, product: &ProductId, time: UnixNanos, newest: u64) -> Result<TradesSince, RepairError> {
        self.plan.forget(product);
        self.plan.search_since(product, time, newest);
        match self.search()? {
            Some(SearchOutcome::Found { since, .. }) => Ok(since),
            _ => Err(RepairError::Contradiction { product: product.clone(), time }),
        }
    }

    /// Asks until a search has ended.
    fn search(&mut self) -> Result<Option<SearchOutcome>, GaveUp> {
        while let Some((request, answer)) = self.ask() {
            match answer {
                Ok(page) => {
                    let newest = page.trades.last().map(|trade| PastTrade { trade_id: trade.trade_id, time: trade.time });
                    let now = self.timer.now();
                    let outcome = match newest {
                        None if !page.unusable.is_empty() => self.plan.answer_obscured(&request, now),
                        newest => self.plan.answer_search(&request, newest, now),
                    };
                    match outcome {
                        SearchOutcome::Unfinished => {}
                        outcome => return Ok(Some(outcome)),
                    }
                }
                Err(error) => {
                    if let Some(FailedIds { error, .. }) = self.fail(&request, error) {
                        return Err(error);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Fetches the trades with the ids of `wanted`, and gives them to `take` page by page.
    ///
    /// # Errors
    /// Those of `take`: nothing is asked for any more.
    pub(super) fn fetch<E>(
        &mut self,
        product: &ProductId,
        wanted: &IdSet,
        mut take: impl FnMut(Fetched) -> Result<(), E>,
    ) -> Result<Unfetched, E> {
        self.plan.forget(product);
        self.plan.want(product, wanted);
        let (mut unfetched, mut answered) = (Unfetched::default(), 0);
        while let Some((request, answer)) = self.ask() {
            match answer {
                Ok(mut page) => {
                    let PageOutcome { absent, first_answers } = self.plan.answer_page(&request, &mut page, self.timer.now());
                    answered += first_answers;
                    unfetched.absent.extend(absent.into_iter().filter(|absent| absent.is_given_up).map(|absent| absent.ids));
                    unfetched.note_unusable(&page.unusable, wanted);
                    let last_id = request.ids().map_or(0, IdRange::last);
                    // An element that stays unusable is shown with every answer; it is kept once.
                    let unusable = if first_answers > 0 { page.unusable } else { Vec::new() };
                    take(Fetched { trades: page.trades, inexact: page.inexact, unusable, answered, last_id })?;
                }
                Err(error) => unfetched.failed.extend(self.fail(&request, error)),
            }
        }
        Ok(unfetched)
    }

    /// Sends the next request when it is due; `None` where nothing is wanted any more.
    fn ask(&mut self) -> Option<(FetchRequest, Result<TradePage, RestError>)> {
        loop {
            match self.plan.next(self.timer.now()) {
                Next::Send(request) => {
                    let answer = self.pages.page(&request.product, request.after(), request.limit());
                    return Some((request, answer));
                }
                Next::Wait(wait) => self.timer.sleep(wait),
                Next::Idle => return None,
            }
        }
    }

    /// Takes a failure. Gives the ids that are given up because of it, none of which a search has.
    fn fail(&mut self, request: &FetchRequest, error: RestError) -> Option<FailedIds> {
        let outcome = self.plan.fail(request, error.advice(), self.timer.now());
        match outcome.then {
            AfterFailure::Retry(wait) => {
                // The first, the second, the fourth …: a repair that waits for minutes says why.
                let level = if outcome.failures.is_power_of_two() { log::Level::Warn } else { log::Level::Info };
                log::log!(level, "REST: {error}; again in {wait:.1?}");
                None
            }
            AfterFailure::GiveUp(ids) => Some(FailedIds { ids, error: GaveUp { tries: outcome.failures, last: error } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Layout, Trades};
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeSet, VecDeque};
    use std::rc::Rc;

    /// Time that passes only by sleeping.
    #[derive(Clone, Default)]
    struct SleptTime(Rc<Cell<Duration>>);

    impl Timer for SleptTime {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, wait: Duration) {
            self.0.set(self.0.get() + wait);
        }
    }

    fn page(ids: impl IntoIterator<Item = u64>) -> TradePage {
        let trades = ids.into_iter().map(|trade_id| Trade { trade_id, ..Trades::EMPTY }).collect();
        TradePage { trades, ..TradePage::default() }
    }

    /// Gives the errors of a script, then trade 7 again and again. Keeps when it was asked.
    struct Scripted {
        answers: VecDeque<Option<RestError>>,
        time: SleptTime,
        asked: Rc<RefCell<Vec<Duration>>>,
    }

    impl Pages for Scripted {
        fn page(&mut self, _: &ProductId, _: Option<u64>, _: u16) -> Result<TradePage, RestError> {
            self.asked.borrow_mut().push(self.time.now());
            self.answers.pop_front().flatten().map_or_else(|| Ok(page([7])), Err)
        }
    }

    fn scripted(answers: Vec<Option<RestError>>, rate: f64) -> (Fetcher, Rc<RefCell<Vec<Duration>>>) {
        let (time, asked) = (SleptTime::default(), Rc::new(RefCell::new(Vec::new())));
        let pages = Scripted { answers: answers.into(), time: time.clone(), asked: Rc::clone(&asked) };
        (Fetcher::over(Box::new(pages), Box::new(time), rate, 7), asked)
    }

    fn product() -> ProductId {
        ProductId::new("BTC-USD").expect("a product")
    }

    fn retry() -> Option<RestError> {
        Some(RestError::Retry { what: "it".to_owned(), why: "500".to_owned() })
    }

    #[test]
    fn requests_keep_their_distance() {
        let (mut fetcher, asked) = scripted(vec![], 8.0);
        for _ in 0..5 {
            assert_eq!(fetcher.newest(&product()).expect("a trade").map(|trade| trade.trade_id), Some(7));
        }
        let asked: Vec<u128> = asked.borrow().iter().map(Duration::as_millis).collect();
        assert_eq!(asked, [0, 125, 250, 375, 500]);
    }

    #[test]
    fn a_server_that_says_when_is_asked_then() {
        let slow = |seconds| Some(RestError::Slow { retry_after: Duration::from_secs(seconds) });
        let (mut fetcher, asked) = scripted(vec![slow(7), slow(0)], 8.0);
        fetcher.newest(&product()).expect("a trade");
        let asked: Vec<u128> = asked.borrow().iter().map(Duration::as_millis).collect();
        assert_eq!(asked, [0, 7000, 7125], "never faster than the rate, whatever it says");
    }

    #[test]
    fn what_may_pass_is_tried_with_growing_waits_and_then_given_up() {
        let (mut fetcher, asked) = scripted((0..20).map(|_| retry()).collect(), 1000.0);
        let gave_up = fetcher.newest(&product()).expect_err("never");
        assert_eq!(gave_up.to_string(), "it: 500 (asked 8 times)");
        let asked = asked.borrow();
        let waits: Vec<f64> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert_eq!(waits.len(), 7);
        for (wait, base) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 48.0]) {
            assert!(*wait >= base && *wait <= base * 1.25 + 0.001, "{waits:?}");
        }
    }

    #[test]
    fn waits_begin_anew_with_every_answer_and_one_refusal_is_not_final() {
        let refused = || Some(RestError::Refused { what: "it".to_owned(), status: 404 });
        let (mut fetcher, asked) =
            scripted(vec![retry(), retry(), None, retry(), None, refused(), None, refused(), refused(), refused(), refused()], 1000.0);
        for _ in 0..3 {
            fetcher.newest(&product()).expect("a trade");
        }
        assert_eq!(fetcher.newest(&product()).expect_err("refused").to_string(), "it: refused with 404 (asked 4 times)");
        let asked = asked.borrow();
        assert!((asked[4] - asked[3]).as_secs_f64() < 1.26, "{asked:?}");
        assert_eq!(asked.windows(2).skip(7).map(|pair| (pair[1] - pair[0]).as_secs()).collect::<Vec<_>>(), [1, 2, 4]);
    }

    /// An exchange that has these ids, leaves a trade out of its first pages, and refuses from a request on.
    struct Exchange {
        has: BTreeSet<u64>,
        leaves_out: usize,
        refuses_from: usize,
        asked: Asked,
    }

    type Asked = Rc<RefCell<Vec<(u64, u16)>>>;

    impl Pages for Exchange {
        fn page(&mut self, _: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError> {
            let after = after.expect("an id");
            self.asked.borrow_mut().push((after, limit));
            if self.asked.borrow().len() > self.refuses_from {
                return Err(RestError::Refused { what: "it".to_owned(), status: 404 });
            }
            let mut ids: Vec<u64> = self.has.range(..after).rev().take(usize::from(limit)).copied().collect();
            if self.leaves_out > 0 && ids.len() > 2 {
                self.leaves_out -= 1;
                ids.remove(ids.len() / 2);
            }
            ids.reverse();
            Ok(page(ids))
        }
    }

    fn exchange(has: BTreeSet<u64>, leaves_out: usize, refuses_from: usize) -> (Fetcher, Asked) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let pages = Exchange { has, leaves_out, refuses_from, asked: Rc::clone(&asked) };
        (Fetcher::over(Box::new(pages), Box::<SleptTime>::default(), 8.0, 1), asked)
    }

    fn set(ranges: &[(u64, u64)]) -> IdSet {
        ranges.iter().filter_map(|(first, last)| IdRange::new(*first, *last)).collect()
    }

    fn get(fetcher: &mut Fetcher, wanted: &IdSet) -> (Vec<u64>, Unfetched) {
        let (mut got, mut answered) = (Vec::new(), 0);
        let take = |fetched: Fetched| {
            let ids: Vec<u64> = fetched.trades.iter().map(|trade| trade.trade_id).collect();
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]) && ids.iter().all(|id| *id <= fetched.last_id));
            assert!(fetched.answered >= answered && fetched.answered <= wanted.count());
            answered = fetched.answered;
            got.extend(ids);
            Ok::<(), std::convert::Infallible>(())
        };
        let unfetched = fetcher.fetch(&product(), wanted, take).unwrap_or_default();
        (got, unfetched)
    }

    #[test]
    fn gaps_close_together_share_a_page_and_long_ones_are_cut() {
        let (mut fetcher, asked) = exchange((1..10_000).collect(), 0, 99);
        let (mut got, unfetched) = get(&mut fetcher, &set(&[(10, 10), (500, 600), (1009, 1010), (3000, 4500)]));
        got.sort_unstable();
        let want: Vec<u64> = [10..=10, 500..=600, 1009..=1010, 3000..=4500].into_iter().flatten().collect();
        assert_eq!((got, unfetched.absent), (want, IdSet::new()));
        // after = the window's last id + 1, and as many as lie between: no trade below the window is asked for.
        assert_eq!(asked.borrow().as_slice(), [(1011, 511), (4000, 1000), (4501, 501), (11, 1)]);
    }

    #[test]
    fn a_trade_that_a_page_does_not_have_is_asked_for_again() {
        let (mut fetcher, asked) = exchange((1..100).collect(), 1, 99);
        let (mut got, unfetched) = get(&mut fetcher, &set(&[(20, 40)]));
        got.sort_unstable();
        assert_eq!((got, unfetched.absent), ((20..=40).collect(), IdSet::new()));
        assert_eq!(asked.borrow().as_slice(), [(41, 21), (31, 1)]);
    }

    #[test]
    fn what_rest_does_not_have_is_said_and_what_failed_too() {
        let has: BTreeSet<u64> = (1..100).filter(|id| !(30..=35).contains(id)).collect();
        let (mut fetcher, asked) = exchange(has, 0, 99);
        let (got, unfetched) = get(&mut fetcher, &set(&[(20, 40)]));
        assert_eq!((got.len(), &unfetched.absent, asked.borrow().len()), (15, &set(&[(30, 35)]), 3));
        let why = |first, last| unfetched.why(IdRange::new(first, last).expect("a range"));
        assert_eq!((why(30, 35), why(36, 36)), (Some("REST does not have them (asked 3 times)".to_owned()), None));
        let (mut fetcher, _) = exchange((1..5000).collect(), 0, 1);
        let (got, unfetched) = get(&mut fetcher, &set(&[(20, 1500), (4000, 4000)]));
        let [failed] = unfetched.failed.as_slice() else { panic!("{unfetched:?}") };
        assert_eq!((got.len(), &failed.ids, failed.error.tries), (1, &set(&[(20, 1500)]), 4));
        assert_eq!(unfetched.why(IdRange::one(1100)), Some("it: refused with 404 (asked 4 times)".to_owned()));
    }

    #[test]
    fn the_first_trade_since_a_time_is_found_by_search() {
        struct Clocked(Exchange);
        impl Pages for Clocked {
            fn page(&mut self, product: &ProductId, after: Option<u64>, limit: u16) -> Result<TradePage, RestError> {
                let mut page = self.0.page(product, after, limit)?;
                page.trades.iter_mut().for_each(|trade| trade.time = UnixNanos(trade.trade_id * 10));
                Ok(page)
            }
        }
        let pages = Exchange { has: (100..1000).collect(), leaves_out: 0, refuses_from: 99, asked: Asked::default() };
        let mut fetcher = Fetcher::over(Box::new(Clocked(pages)), Box::<SleptTime>::default(), 1000.0, 1);
        let since = fetcher.first_since(&product(), UnixNanos(5000), 999).expect("found");
        assert_eq!(since, TradesSince { first: 500, before: Some(499) });
        let since = fetcher.first_since(&product(), UnixNanos(0), 999).expect("found");
        assert_eq!((since, since.began(), since.lowest_kept()), (TradesSince { first: 100, before: None }, None, Some(100)));
    }

    proptest! {
        #[test]
        fn everything_wanted_is_got_or_named(steps in prop::collection::vec((1u64..700, 1u64..1500), 1..12), has_not in prop::collection::btree_set(0u64..9000, 0..40)) {
            let (mut wanted, mut at) = (IdSet::new(), 0);
            for (gap, length) in steps {
                wanted.extend(IdRange::new(at + gap, at + gap + length - 1));
                at += gap + length;
            }
            let has: BTreeSet<u64> = (1..at + 2000).filter(|id| !has_not.contains(id)).collect();
            let (mut fetcher, asked) = exchange(has.clone(), 0, usize::MAX);
            let (mut got, unfetched) = get(&mut fetcher, &wanted);
            got.sort_unstable();
            prop_assert_eq!(got, has.iter().copied().filter(|id| wanted.contains(*id)).collect::<Vec<_>>());
            let named: Vec<u64> = unfetched.absent.iter().flat_map(IdRange::ids).collect();
            prop_assert_eq!(named, has_not.iter().copied().filter(|id| wanted.contains(*id)).collect::<Vec<_>>());
            prop_assert!(asked.borrow().iter().all(|(_, limit)| *limit >= 1 && *limit <= 1000));
        }
    }
}
