//! Exchanges that answer, fail and refuse by chance: every id is asked for until it is had or given up, without a storm.

use super::plan_tests::{bounded, due, endless, ms, page, product, range, s, set, window};
use super::*;
use crate::ids::IdRange;
use proptest::prelude::*;
use std::collections::BTreeSet;

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
