//! Every status, once and for good: how long a product waits, and that no other and no other gap waits for it.

use super::model::{Exchange, RATE, Run, product, set};
use super::*;
use crate::feed::rest::failure;

/// Every status from 300 to 599, with and without a wait, for a gap and for both searches.
#[test]
fn a_status_that_comes_once_delays_by_less_than_a_minute_and_ends_nothing() {
    let waits = [None, Some(Duration::ZERO), Some(Duration::from_secs(7)), Some(Duration::from_secs(59))];
    for (status, wait) in (300..=599).flat_map(|status| waits.map(|wait| (status, wait))) {
        let error = failure(status, wait, "it".to_owned());
        for persistence in [Persistence::Endless, Persistence::Bounded] {
            let mut run = Run::new(persistence, set(&[(5, 20)]));
            let begun = run.now;
            let request = run.next().expect("a request");
            let then = run.plan.fail(&request, error.advice(), run.now).then;
            assert!(matches!(then, AfterFailure::Retry(_)), "{error}: {then:?}");
            let request = run.next().expect("another one");
            run.answer(&request, Exchange::of(1, 100).answer(&request));
            assert!(run.left.is_empty() && run.now - begun < Duration::from_secs(60), "{error}: {:?}", run.now - begun);

            let mut run = Run::new(persistence, IdSet::new());
            run.plan.search_since(&product(), UnixNanos(50_000_000_000), 90);
            let request = run.next().expect("a question");
            run.plan.fail(&request, error.advice(), run.now);
            assert!(
                matches!(run.search(&Exchange::of(1, 100)), SearchOutcome::Found { since: TradesSince { first: 50, .. }, .. }),
                "{error}"
            );
            assert!(run.now - begun < Duration::from_secs(90), "{error}");
        }
    }
}

/// The same status again and again, and other products that are answered.
#[test]
fn a_status_that_stays_is_asked_for_less_and_less_and_keeps_no_other_product_waiting() {
    for status in [300, 304, 400, 403, 404, 408, 425, 429, 451, 500, 503, 599] {
        let error = failure(status, None, "it".to_owned());
        let (bad, good) = (product(), ProductId::new("ETH-USD").expect("a product"));
        let mut plan = FetchPlan::new(RATE, Persistence::Endless, 3);
        plan.want(&bad, &set(&[(1, 5)]));
        plan.want(&good, &set(&[(1, 1_000_000)]));
        let (mut now, mut asked, mut of_good) = (Duration::ZERO, Vec::new(), 0_u32);
        while now < Duration::from_secs(120) {
            match plan.next(now) {
                Next::Send(request) if request.product == bad => {
                    asked.push(now);
                    plan.fail(&request, error.advice(), now);
                }
                Next::Send(request) => {
                    of_good += 1;
                    plan.answer_page(&request, &mut Exchange::of(1, 2_000_000).answer(&request), now);
                    plan.taken(&good);
                }
                Next::Wait(wait) => now += wait,
                Next::Idle => break,
            }
        }
        let waits: Vec<u64> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!((6..=12).contains(&asked.len()), "{error}: asked {} times in two minutes, {waits:?}", asked.len());
        assert!(waits.iter().zip(waits.iter().skip(1)).all(|(before, wait)| wait * 5 / 4 + 1 >= *before), "{error}: {waits:?}");
        assert!(of_good > 700, "{error}: {of_good}");
    }
}

#[test]
fn a_server_that_names_no_wait_or_a_short_one_again_and_again_is_asked_less_and_less() {
    let mut run = Run::new(Persistence::Endless, set(&[(1, 5)]));
    let mut asked = Vec::new();
    while run.now < Duration::from_secs(300) {
        let request = run.next().expect("a request");
        asked.push(run.now);
        run.plan.fail(&request, Advice::RetryAfter(Duration::ZERO), run.now);
    }
    assert!(asked.len() < 16, "{asked:?}");
    let (request, _) = run.window().expect("a window");
    run.answer(&request, Exchange::of(1, 9).answer(&request));
    assert!(run.left.is_empty());
}

#[test]
fn a_question_that_always_fails_keeps_no_gap_waiting() {
    let mut run = Run::new(Persistence::Endless, set(&[(1, 20_000)]));
    run.plan.search_since(&product(), UnixNanos(0), 50_000);
    let mut questions = 0;
    while !run.left.is_empty() {
        let request = run.next().expect("a request");
        match request.target {
            FetchTarget::Window(_) => drop(run.answer(&request, Exchange::of(1, 60_000).answer(&request))),
            _ => {
                questions += 1;
                run.plan.fail(&request, Advice::Retry, run.now);
            }
        }
        assert!(questions < 12, "{questions} questions, {} ids left", run.left.count());
    }
    assert!(run.now < Duration::from_secs(120), "{:?}", run.now);
}

#[test]
fn what_stands_still_is_said_since_its_first_failure_and_until_one_request_succeeds() {
    let mut run = Run::new(Persistence::Endless, set(&[(1, 5), (9000, 9009)]));
    assert_eq!(run.plan.standstill(), None);
    let since = run.now;
    for advice in [Advice::Retry, Advice::Skip, Advice::RetryAfter(Duration::from_secs(3)), Advice::Retry] {
        let request = run.next().expect("a request");
        run.plan.fail(&request, advice, run.now);
        assert_eq!(run.plan.standstill(), Some(Standstill { since, ids: 15, products: 1, first_product: product() }), "{advice:?}");
    }
    let request = run.next().expect("a request");
    run.answer(&request, TradePage::default());
    assert_eq!(run.plan.standstill(), None, "an answer is one, whatever is in it");
    let request = run.next().expect("a request");
    run.plan.fail(&request, Advice::Retry, run.now);
    assert_eq!(run.plan.standstill().map(|standstill| standstill.since), Some(run.now));
    run.plan.want(&product(), &IdSet::new());
    assert_eq!(run.plan.standstill(), None, "nothing waits any more");
}
