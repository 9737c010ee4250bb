//! One answer, one failure and one refusal after the other: what a plan asks next, and what it keeps.

use super::product_fetch::{MAX_FAILURES, MAX_REFUSALS};
use super::*;
use crate::decimal::Decimal;
use crate::feed::rest::InexactText;
use crate::ids::IdRange;
use crate::record::{Means, OrderId, Origin, Side, Trade};

pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn product(name: &str) -> ProductId {
    ProductId::new(name).expect("a product")
}

pub(super) fn range(first: u64, last: u64) -> IdRange {
    IdRange::new(first, last).expect("a range")
}

pub(super) fn set(ranges: &[(u64, u64)]) -> IdSet {
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

pub(super) fn page(ids: impl IntoIterator<Item = u64>) -> TradePage {
    TradePage { trades: ids.into_iter().map(trade).collect(), ..TradePage::default() }
}

fn ids(page: &TradePage) -> Vec<u64> {
    page.trades.iter().map(|trade| trade.trade_id).collect()
}

pub(super) fn endless(requests_per_s: f64) -> FetchPlan {
    FetchPlan::new(requests_per_s, Persistence::Endless, 7)
}

pub(super) fn bounded(requests_per_s: f64) -> FetchPlan {
    FetchPlan::new(requests_per_s, Persistence::Bounded, 7)
}

fn sent(next: Next) -> FetchRequest {
    match next {
        Next::Send(request) => request,
        other => panic!("{other:?}"),
    }
}

pub(super) fn window(request: &FetchRequest) -> IdRange {
    match request.target {
        FetchTarget::Window(window) => window,
        other => panic!("{other:?}"),
    }
}

/// Lets time pass until a request is due; `None` where nothing is wanted.
pub(super) fn due(plan: &mut FetchPlan, now: &mut Duration) -> Option<FetchRequest> {
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
