//! [`BackfillPlan`]: what to ask REST next, so that every product's missing ids come in. No I/O, no clock.
//!
//! 1. One rate budget over all products, who take turns; a product has one request under way at most, so that its trades come in order.
//! 2. A request covers up to 1000 ids upwards from the lowest that is missing and due, whatever number of gaps lies in them.
//! 3. Ids that a page lacks are asked for again, later and later, and never forgotten: REST may run behind the feed.
//! 4. A 429 holds everybody up, as the limit is one of the address; any other failure holds up the product it happened to.
//! 5. Where only a time is known, the first id at or after it is found by bisection, and the id before it taken too: it shows where the day began.
//!
//! `now` is monotonic time since any fixed moment.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::continuity::MAX_GAPS;
use super::gap::{Gap, Gaps};
use super::rest::{Advice, MAX_PAGE_TRADES};
use crate::product::ProductId;
use crate::record::Trade;
use crate::time::UnixNanos;

/// Requests a second where nothing else is said: Coinbase's public limit is 10 an address.
pub const USUAL_REQUESTS_PER_S: u32 = 8;

/// First wait after a failed request, and after a page that lacked ids.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait after failed requests.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Wait after a request that the server refuses for good, and between late tries for ids that it lacks.
const RARELY: Duration = Duration::from_secs(600);
/// Tries after which ids that REST lacks are asked for rarely.
const EARNEST_TRIES: u32 = 7;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose trades.
    pub product: ProductId,
    /// Which of them.
    pub what: Wanted,
}

/// Which trades a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these ids, at most 1000.
    Window(Gap),
    /// The newest up to this id.
    Probe(u64),
}

impl Ask {
    /// Gives the id below which trades are asked for.
    #[must_use]
    pub const fn after(&self) -> u64 {
        match self.what {
            Wanted::Window(window) => window.to.saturating_add(1),
            Wanted::Probe(id) => id.saturating_add(1),
        }
    }

    /// Gives the most trades that are asked for.
    #[must_use]
    pub fn limit(&self) -> u16 {
        match self.what {
            Wanted::Window(window) => u16::try_from(window.missing()).unwrap_or(MAX_PAGE_TRADES).min(MAX_PAGE_TRADES),
            Wanted::Probe(_) => 1,
        }
    }

    /// Gives the ids it speaks of.
    #[must_use]
    pub const fn ids(&self) -> Gap {
        match self.what {
            Wanted::Window(window) => window,
            Wanted::Probe(id) => Gap { from: id, to: id },
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send a request, and say what came of it.
    Ask(Ask),
    /// Come again after so long, or when something else is wanted.
    Wait(Duration),
    /// Nothing is wanted.
    Idle,
}

/// Ids that REST did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub gap: Gap,
    /// How often they have been asked for.
    pub tries: u32,
    again_at: Duration,
}

/// Where the trades since a time begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The ids that are missing since then, the last one before included.
    pub gap: Option<Gap>,
    /// The product's first id ever, where the search came upon it.
    pub began: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Search {
    time: UnixNanos,
    below: u64,
    low: u64,
    high: u64,
    empty_through: u64,
}

#[derive(Debug, Default)]
struct Errand {
    wanted: Gaps,
    lacks: Vec<Lack>,
    search: Option<Search>,
    again_at: Duration,
    failures: u32,
    /// A request is under way, or its page has not been taken yet.
    is_out: bool,
}

/// What all products want of REST.
#[derive(Debug)]
pub struct BackfillPlan {
    errands: BTreeMap<ProductId, Errand>,
    turn: Option<ProductId>,
    interval: Duration,
    free_at: Duration,
}

impl BackfillPlan {
    /// Makes a plan of at most so many requests a second.
    #[must_use]
    pub fn new(requests_per_s: u32) -> Self {
        Self { errands: BTreeMap::new(), turn: None, interval: Duration::from_secs(1) / requests_per_s.max(1), free_at: Duration::ZERO }
    }

    /// Says which ids a product misses now.
    pub fn want(&mut self, product: &ProductId, gaps: &[Gap]) {
        let errand = self.errands.entry(product.clone()).or_default();
        errand.wanted = gaps.iter().copied().collect();
        errand.lacks.retain(|lack| errand.wanted.as_slice().iter().any(|gap| gap.from <= lack.gap.to && gap.to >= lack.gap.from));
    }

    /// Says that a product's last page has been taken; the next may come.
    pub fn taken(&mut self, product: &ProductId) {
        if let Some(errand) = self.errands.get_mut(product) {
            errand.is_out = false;
        }
    }

    /// Looks for the trades since `time`; `below` is the first id that is known.
    pub fn search(&mut self, product: &ProductId, time: UnixNanos, below: u64) {
        let errand = self.errands.entry(product.clone()).or_default();
        errand.search = Some(Search { time, below, low: 1, high: below, empty_through: 0 });
    }

    /// Forgets a product.
    pub fn forget(&mut self, product: &ProductId) {
        self.errands.remove(product);
    }

    /// Says what to do now. A request that is given out counts as sent.
    pub fn next(&mut self, now: Duration) -> Next {
        let from = self.turn.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.turn.as_ref().map_or(Bound::Excluded(None), |turn| Bound::Included(Some(turn)));
        let behind = self.errands.range::<ProductId, _>((from, Bound::Unbounded));
        let before = self.errands.iter().take_while(|(product, _)| match upto {
            Bound::Included(Some(turn)) => *product <= turn,
            _ => false,
        });
        let mut earliest: Option<Duration> = None;
        let mut ready = None;
        for (product, errand) in behind.chain(before) {
            match errand.due(now) {
                Due::Now(what) => {
                    ready = Some(Ask { product: product.clone(), what });
                    break;
                }
                Due::At(at) => earliest = Some(earliest.map_or(at, |earliest| earliest.min(at))),
                Due::Never => {}
            }
        }
        let Some(ask) = ready else { return earliest.map_or(Next::Idle, |at| Next::Wait(at.saturating_sub(now))) };
        if self.free_at > now {
            return Next::Wait(self.free_at - now);
        }
        self.free_at = now + self.interval;
        self.turn = Some(ask.product.clone());
        if let Some(errand) = self.errands.get_mut(&ask.product) {
            errand.is_out = true;
        }
        Next::Ask(ask)
    }

    /// Takes a page. Leaves in it what is wanted, and gives the ids that it lacks; the next request for the product waits until the page has been
    /// [taken](BackfillPlan::taken), unless nothing is left in it.
    pub fn answer_window(&mut self, ask: &Ask, page: &mut Vec<Trade>, now: Duration) -> Vec<Lack> {
        let Some(errand) = self.errands.get_mut(&ask.product) else {
            page.clear();
            return Vec::new();
        };
        let window = ask.ids();
        errand.failures = 0;
        let mut lacking = errand.wanted.clone();
        lacking.take_all(Gap { from: 0, to: window.from.saturating_sub(1) });
        lacking.take_all(Gap { from: window.to.saturating_add(1), to: u64::MAX });
        page.retain(|trade| lacking.take(trade.trade_id));
        let lacks = errand.lack(window, &lacking, now);
        errand.is_out = !page.is_empty();
        lacks
    }

    /// Takes the newest trade up to a probed id, if there is one. Gives where the search ended, if it did.
    pub fn answer_probe(&mut self, ask: &Ask, newest: Option<(u64, UnixNanos)>) -> Option<Found> {
        let errand = self.errands.get_mut(&ask.product)?;
        errand.failures = 0;
        errand.is_out = false;
        let search = errand.search.as_mut()?;
        let probed = ask.ids().to;
        match newest {
            Some((id, time)) if time >= search.time => search.high = id.clamp(search.low, probed),
            Some(_) => search.low = probed.saturating_add(1),
            None => {
                search.low = probed.saturating_add(1);
                search.empty_through = search.empty_through.max(probed);
            }
        }
        let found = search.found();
        if found.is_some() {
            errand.search = None;
        }
        found
    }

    /// Takes a failure. Gives when the product is asked about again, at the earliest, and how often it has failed in a row.
    pub fn fail(&mut self, ask: &Ask, advice: Advice, now: Duration) -> (Duration, u32) {
        let Some(errand) = self.errands.get_mut(&ask.product) else { return (RARELY, 0) };
        errand.is_out = false;
        errand.failures = errand.failures.saturating_add(1);
        let wait = match advice {
            Advice::RetryAfter(wait) => {
                self.free_at = self.free_at.max(now + wait);
                return (wait, errand.failures);
            }
            Advice::Retry => doubled(errand.failures).min(LONGEST_WAIT),
            Advice::Skip | Advice::Stop => RARELY,
        };
        errand.again_at = now + wait;
        (wait, errand.failures)
    }
}

/// Gives 1, 2, 4 … seconds for the first, second, third … time.
fn doubled(times: u32) -> Duration {
    FIRST_WAIT * (1 << times.saturating_sub(1).min(10))
}

enum Due {
    Now(Wanted),
    At(Duration),
    Never,
}

impl Errand {
    fn due(&self, now: Duration) -> Due {
        if self.is_out || (self.search.is_none() && self.wanted.as_slice().is_empty()) {
            return Due::Never;
        }
        if self.again_at > now {
            return Due::At(self.again_at);
        }
        if let Some(search) = self.search {
            return Due::Now(Wanted::Probe(search.low + (search.high - search.low) / 2));
        }
        match self.window(now) {
            Some(window) => Due::Now(Wanted::Window(window)),
            None => self.lacks.iter().map(|lack| lack.again_at).min().map_or(Due::Never, Due::At),
        }
    }

    /// Finds the lowest ids that are missing and due.
    fn window(&self, now: Duration) -> Option<Gap> {
        let mut due = self.wanted.clone();
        self.lacks.iter().filter(|lack| lack.again_at > now).for_each(|lack| due.take_all(lack.gap));
        let from = due.as_slice().first()?.from;
        let end = from.saturating_add(u64::from(MAX_PAGE_TRADES) - 1);
        let to = due.as_slice().iter().take_while(|gap| gap.from <= end).map(|gap| gap.to.min(end)).last()?;
        Some(Gap { from, to })
    }

    /// Remembers what a page of a window lacked.
    fn lack(&mut self, window: Gap, lacking: &Gaps, now: Duration) -> Vec<Lack> {
        let overlaps = |a: Gap, b: Gap| a.from <= b.to && a.to >= b.from;
        let mut new = Vec::new();
        for gap in lacking.as_slice().iter().copied() {
            let before = self.lacks.iter().filter(|lack| overlaps(lack.gap, gap)).map(|lack| lack.tries).max().unwrap_or(0);
            let tries = before.saturating_add(1);
            let wait = if tries > EARNEST_TRIES { RARELY } else { doubled(tries) };
            new.push(Lack { gap, tries, again_at: now + wait });
        }
        let outside = |lack: &Lack| lack.gap.from < window.from || lack.gap.to > window.to;
        // What reached beyond the window goes on being lacking there.
        let mut beyond: Vec<Lack> = Vec::new();
        for lack in self.lacks.iter().filter(|lack| outside(lack)) {
            let left = (lack.gap.from < window.from).then(|| Gap { from: lack.gap.from, to: lack.gap.to.min(window.from - 1) });
            let right = (lack.gap.to > window.to).then(|| Gap { from: lack.gap.from.max(window.to + 1), to: lack.gap.to });
            beyond.extend(left.into_iter().chain(right).map(|gap| Lack { gap, ..*lack }));
        }
        self.lacks = beyond;
        self.lacks.extend(new.iter().copied());
        // Too many to remember: the oldest are simply asked for again sooner.
        let excess = self.lacks.len().saturating_sub(MAX_GAPS);
        self.lacks.drain(..excess);
        new
    }
}

impl Search {
    fn found(&self) -> Option<Found> {
        if self.low < self.high {
            return None;
        }
        let first = self.high;
        let began = (first == 1 || self.empty_through + 1 == first).then_some(first);
        let from = if began.is_some() { first } else { first - 1 };
        Some(Found { gap: (from < self.below).then(|| Gap { from, to: self.below - 1 }), began })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::record::{Means, OrderId, Origin, Side};
    use std::collections::BTreeSet;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn product(name: &str) -> ProductId {
        ProductId::new(name).expect("a product")
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

    fn asked(next: Next) -> Ask {
        match next {
            Next::Ask(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn products_take_turns_within_one_budget() {
        let mut plan = BackfillPlan::new(4);
        for name in ["A-USD", "B-USD", "C-USD"] {
            plan.want(&product(name), &[Gap { from: 1, to: 5000 }]);
        }
        let mut now = s(100);
        let mut order = Vec::new();
        for _ in 0..7 {
            let ask = asked(plan.next(now));
            assert_eq!(plan.next(now), Next::Wait(Duration::from_millis(250)));
            let mut page: Vec<Trade> = (ask.ids().from..=ask.ids().to).map(trade).collect();
            assert!(plan.answer_window(&ask, &mut page, now).is_empty());
            order.push((ask.product.as_str().to_owned(), ask.ids().from, page.len()));
            let upto = ask.ids().to;
            plan.want(&ask.product, &[Gap { from: upto + 1, to: 5000 }]);
            plan.taken(&ask.product);
            now += Duration::from_millis(250);
        }
        let names: Vec<&str> = order.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["A-USD", "B-USD", "C-USD", "A-USD", "B-USD", "C-USD", "A-USD"]);
        assert_eq!(order.iter().map(|(_, from, count)| (*from, *count)).collect::<Vec<_>>().last(), Some(&(2001, 1000)));
    }

    #[test]
    fn one_window_covers_many_gaps_and_nothing_else_is_kept_of_its_page() {
        let mut plan = BackfillPlan::new(8);
        let btc = product("BTC-USD");
        plan.want(&btc, &[Gap { from: 10, to: 11 }, Gap { from: 500, to: 500 }, Gap { from: 1009, to: 1012 }]);
        let ask = asked(plan.next(s(1)));
        assert_eq!((ask.what, ask.after(), ask.limit()), (Wanted::Window(Gap { from: 10, to: 1009 }), 1010, 1000));
        let mut page: Vec<Trade> = (10..=1009).map(trade).collect();
        plan.answer_window(&ask, &mut page, s(1));
        assert_eq!(page.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [10, 11, 500, 1009]);
        assert_eq!(plan.next(s(9)), Next::Idle, "its page has not been taken");
        plan.want(&btc, &[Gap { from: 1010, to: 1012 }]);
        plan.taken(&btc);
        assert_eq!(asked(plan.next(s(9))).limit(), 3);
    }

    #[test]
    fn what_a_page_lacks_is_asked_for_again_later_and_later() {
        let mut plan = BackfillPlan::new(8);
        let btc = product("BTC-USD");
        plan.want(&btc, &[Gap { from: 5, to: 9 }]);
        let mut now = s(10);
        let ask = asked(plan.next(now));
        let mut page = vec![trade(5), trade(6), trade(9)];
        let lacks = plan.answer_window(&ask, &mut page, now);
        assert_eq!(lacks.iter().map(|lack| (lack.gap, lack.tries)).collect::<Vec<_>>(), [(Gap { from: 7, to: 8 }, 1)]);
        plan.want(&btc, &[Gap { from: 7, to: 8 }]);
        plan.taken(&btc);
        for (tries, wait) in [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32), (8, 64), (9, 600), (10, 600)] {
            assert_eq!(plan.next(now), Next::Wait(s(wait)));
            now += s(wait);
            let ask = asked(plan.next(now));
            assert_eq!(ask.ids(), Gap { from: 7, to: 8 });
            assert_eq!(plan.answer_window(&ask, &mut Vec::new(), now).first().map(|lack| lack.tries), Some(tries));
        }
        // What is missing besides is not held up by it.
        plan.want(&btc, &[Gap { from: 7, to: 8 }, Gap { from: 20, to: 20 }]);
        assert_eq!(asked(plan.next(now + s(1))).ids(), Gap { from: 20, to: 20 });
    }

    #[test]
    fn a_429_holds_everybody_up_and_a_failure_only_its_product() {
        let mut plan = BackfillPlan::new(1000);
        let (a, b) = (product("A-USD"), product("B-USD"));
        plan.want(&a, &[Gap { from: 1, to: 1 }]);
        plan.want(&b, &[Gap { from: 1, to: 1 }]);
        let ask = asked(plan.next(s(1)));
        assert_eq!(plan.fail(&ask, Advice::RetryAfter(s(7)), s(1)), (s(7), 1));
        assert_eq!(plan.next(s(2)), Next::Wait(s(6)));
        let ask = asked(plan.next(s(8)));
        assert_eq!(ask.product, b);
        assert_eq!(plan.fail(&ask, Advice::Retry, s(8)), (s(1), 1));
        let ask = asked(plan.next(s(8) + Duration::from_millis(1)));
        assert_eq!(ask.product, a, "only B waits");
        assert_eq!(plan.fail(&ask, Advice::Skip, s(8)).0, RARELY);
        let mut now = s(9);
        for wait in [2, 4, 8, 16, 32, 60, 60] {
            let ask = asked(plan.next(now));
            assert_eq!((ask.product == b, plan.fail(&ask, Advice::Retry, now).0), (true, s(wait)));
            assert!(matches!(plan.next(now + s(1)), Next::Wait(_)), "A is left alone for ten minutes");
            now += s(wait);
        }
    }

    #[test]
    fn the_first_id_since_a_time_is_found_with_the_one_before_it() {
        // Ids below 40 never were; id n happened at n seconds; 60 to 69 were skipped.
        let stored: BTreeSet<u64> = (40..1000).filter(|id| !(60..70).contains(id)).collect();
        for (time, below, gap, began) in [
            (500, 900, Some(Gap { from: 499, to: 899 }), None),
            (1, 900, Some(Gap { from: 40, to: 899 }), Some(40)),
            (899, 900, Some(Gap { from: 898, to: 899 }), None),
            (5000, 900, Some(Gap { from: 899, to: 899 }), None),
            (65, 900, Some(Gap { from: 69, to: 899 }), None),
        ] {
            let mut plan = BackfillPlan::new(1000);
            let btc = product("BTC-USD");
            plan.search(&btc, UnixNanos(time * 1_000_000_000), below);
            let mut now = s(1);
            let found = loop {
                let ask = asked(plan.next(now));
                now += s(1);
                let newest = stored.range(..=ask.ids().to).next_back().map(|id| (*id, UnixNanos(id * 1_000_000_000)));
                if let Some(found) = plan.answer_probe(&ask, newest) {
                    break found;
                }
                assert!(now < s(60), "bisection is short");
            };
            assert_eq!((found.gap, found.began), (gap, began), "since {time}");
        }
    }
}
