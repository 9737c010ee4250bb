//! Generated exchanges and gaps: in which order a plan asks, that nothing starves, and what unusable elements and limits of REST cost.

use proptest::prelude::*;

use super::model::{Exchange, Run, persistences, product, range};
use super::*;
use crate::ids::IdRange;

/// A few gaps of up to a page, none of which touches another or a large gap below 3 000 000 … 8 000 000.
fn small_gaps() -> impl Strategy<Value = Vec<IdRange>> {
    prop::collection::vec((0u64..2000, 1u64..=1000, any::<bool>()), 1..12).prop_map(|gaps| {
        let mut above = 9_000_000;
        let mut below = 1000;
        let place = |(space, length, is_above): (u64, u64, bool)| {
            let at = if is_above { &mut above } else { &mut below };
            let first = *at + space + 1;
            *at = first + length;
            range(first, first + length - 1)
        };
        gaps.into_iter().map(place).collect()
    })
}

const LARGE: IdRange = match IdRange::new(3_000_000, 8_000_000) {
    Some(ids) => ids,
    None => IdRange::ALL,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A gap of five million ids, at whatever ids, and a few small ones.
    #[test]
    fn small_gaps_come_before_a_huge_one_and_both_go_on(gaps in small_gaps(), has_huge in any::<bool>(), persistence in persistences()) {
        let mut run = Run::new(persistence, gaps.iter().copied().chain([LARGE]).collect());
        let exchange = if has_huge { Exchange::of(1, 20_000_000) } else { Exchange { first: 8_500_000, last: 20_000_000, ..Exchange::default() } };
        let low = Exchange::of(1, 2_999_999);
        let (mut windows, mut of_huge) = (0, 0);
        while gaps.iter().any(|gap| run.left.overlaps(*gap)) {
            let (request, window) = run.window().expect("a window");
            windows += 1;
            of_huge += usize::from(window.overlaps(LARGE));
            prop_assert!(windows > 1 || !window.overlaps(LARGE), "a small one comes first");
            let page = if window.last() < LARGE.first() { low.answer(&request) } else { exchange.answer(&request) };
            run.answer(&request, page);
            prop_assert!(windows <= gaps.len() * 2 + 1, "{windows} windows for {} small gaps", gaps.len());
        }
        prop_assert!(of_huge <= windows / 2, "the small ones had their turns");
        for _ in 0..20 {
            let (request, window) = run.window().expect("a window");
            of_huge += usize::from(window.overlaps(LARGE));
            run.answer(&request, exchange.answer(&request));
        }
        prop_assert!(of_huge >= 10);
    }

    /// While a huge gap is fetched, or is there in vain, small gaps keep opening.
    #[test]
    fn what_is_found_later_is_asked_for_soon_and_starves_nothing(
        every in 1usize..5, lengths in prop::collection::vec(1u64..=1000, 60), has_huge in any::<bool>(), old in 1u64..500,
    ) {
        let old = range(old, old + 9);
        let mut run = Run::new(Persistence::Endless, [LARGE, old].into_iter().collect());
        let exchange = Exchange::of(if has_huge { 1 } else { 8_500_000 }, 20_000_000);
        let low = Exchange::of(1, 2_999_999);
        let mut at = 9_000_000;
        let mut opened: Vec<(IdRange, usize)> = Vec::new();
        let mut of_huge = 0;
        for number in 0..lengths.len() * every {
            if number % every == 0 && let Some(length) = lengths.get(number / every) {
                let gap = range(at, at + length - 1);
                at += length + 1001;
                run.add(gap);
                opened.push((gap, number));
            }
            let Some((request, window)) = run.window() else { break };
            of_huge += usize::from(window.overlaps(LARGE));
            let page = if window.last() < LARGE.first() { low.answer(&request) } else { exchange.answer(&request) };
            run.answer(&request, page);
            let waits = opened.iter().filter(|(gap, _)| run.left.overlaps(*gap)).map(|(_, since)| number - since).max();
            // With one new gap a window there is more to ask for than can be asked.
            prop_assert!(every < 3 || waits.is_none_or(|windows| windows <= 3), "{:?}", waits);
            let newest = opened.last().map(|(gap, since)| (run.left.overlaps(*gap), number - since));
            prop_assert!(newest.is_none_or(|(is_missing, windows)| !is_missing || windows < 2), "the newest one waits");
        }
        prop_assert!(!run.left.overlaps(old), "the oldest one had its turn");
        prop_assert!(of_huge * 8 >= lengths.len() * every, "the huge one had its turns: {of_huge}");
    }

    #[test]
    fn large_gaps_take_turns(count in 2u64..6, windows in 10usize..60) {
        let gaps: Vec<IdRange> = (0..count).map(|at| range(at * 1_000_000 + 1, at * 1_000_000 + 90_000)).collect();
        let mut run = Run::new(Persistence::Endless, gaps.iter().copied().collect());
        let exchange = Exchange::of(1, 20_000_000);
        for _ in 0..windows {
            let (request, _) = run.window().expect("a window");
            let page = TradePage { trades: exchange.answer(&request).trades, ..TradePage::default() };
            run.answer(&request, page);
        }
        let had: Vec<u64> = gaps.iter().map(|gap| gap.count() - run.left.within(*gap).map(IdRange::count).sum::<u64>()).collect();
        prop_assert!(had.iter().max().unwrap() - had.iter().min().unwrap() <= 1000, "{had:?}");
    }

    /// Elements that cannot be used, and ids that REST does not have, anywhere among the gaps.
    #[test]
    fn an_unusable_element_costs_itself_alone(
        gaps in prop::collection::vec((1u64..900, 1u64..1500), 1..8),
        unusable in prop::collection::btree_set(1u64..9000, 0..60),
        lacks in prop::collection::btree_set(1u64..9000, 0..20),
        persistence in persistences(),
    ) {
        let mut at = 0;
        let wanted: IdSet = gaps.into_iter().map(|(space, length)| {
            let first = at + space;
            at = first + length;
            range(first, at - 1)
        }).collect();
        let exchange = Exchange { unusable: unusable.clone(), lacks: lacks.clone(), ..Exchange::of(1, 20_000) };
        let never: IdSet = unusable.iter().chain(&lacks).map(|id| IdRange::one(*id)).collect();
        let mut run = Run::new(persistence, wanted.clone());
        let begun = run.now;
        let (mut asked_at, mut given_up): (BTreeMap<u64, Vec<Duration>>, IdSet) = (BTreeMap::new(), IdSet::new());
        for _ in 0..400 {
            if run.now - begun > Duration::from_secs(900) {
                break;
            }
            let Some((request, _)) = run.window() else { break };
            let outcome = run.answer(&request, exchange.answer(&request));
            for absent in &outcome.absent {
                absent.ids.ids().for_each(|id| asked_at.entry(id).or_default().push(run.now));
                if absent.is_given_up { given_up.insert(absent.ids) }
            }
            if run.left.difference(&never).is_empty() && run.now - begun < Duration::from_secs(1) {
                // Everything else came before the first of them was asked for again.
                prop_assert!(asked_at.values().all(|times| times.len() == 1));
            }
        }
        prop_assert_eq!(&run.left, &wanted.intersection(&never), "all others came");
        for times in asked_at.values() {
            let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
            for (before, wait) in waits.iter().zip(waits.iter().skip(1)) {
                prop_assert!(wait + 1 >= *before && *wait >= 1, "later and later: {waits:?}");
            }
            prop_assert!(persistence == Persistence::Bounded || times.len() >= 7, "it is not forgotten");
        }
        if persistence == Persistence::Bounded {
            prop_assert_eq!(given_up, wanted.intersection(&never), "and these are named");
        }
    }

    /// Requests whose window touches one of a few ids fail, whatever else is in it.
    #[test]
    fn a_window_that_always_fails_is_narrowed_down_to_its_cause(
        poison in prop::collection::btree_set(1u64..4000, 1..4),
        gaps in prop::collection::vec((1u64..300, 1u64..900), 1..8),
        persistence in persistences(),
    ) {
        let mut at = 0;
        let wanted: IdSet = gaps.into_iter().map(|(space, length)| {
            let first = at + space;
            at = first + length;
            range(first, at - 1)
        }).collect();
        let mut run = Run::new(persistence, wanted.clone());
        let exchange = Exchange::of(1, 20_000);
        let bad: IdSet = poison.iter().map(|id| IdRange::one(*id)).collect();
        let mut given_up = IdSet::new();
        let begun = run.now;
        for _ in 0..600 {
            if run.left.difference(&bad).is_empty() {
                break;
            }
            let Some((request, window)) = run.window() else { break };
            if bad.overlaps(window) {
                if let AfterFailure::GiveUp(ids) = run.plan.fail(&request, Advice::Retry, run.now).then { given_up.extend(ids); }
            } else {
                run.answer(&request, exchange.answer(&request));
            }
        }
        let left = run.left.difference(&bad);
        if persistence == Persistence::Endless {
            prop_assert!(left.is_empty() && run.now - begun < Duration::from_secs(1800), "{:?} after {:?}", left, run.now - begun);
        } else {
            prop_assert!(left.difference(&given_up).is_empty(), "what is not had is named");
        }
    }

    /// A retention limit at any id, a time at, before or behind it, and a capture that has stored from any id on.
    #[test]
    fn only_id_1_is_a_beginning(lowest in 1u64..3000, length in 1u64..3000, second in 0u64..7000, persistence in persistences()) {
        let exchange = Exchange::of(lowest, lowest + length);
        let mut run = Run::new(persistence, IdSet::new());
        run.plan.search_since(&product(), UnixNanos(second * 1_000_000_000), exchange.last);
        let SearchOutcome::Found { since, ids } = run.search(&exchange) else { panic!("not found") };
        let first = second.clamp(lowest, exchange.last);
        prop_assert_eq!((since.first, since.before), (first, (first > lowest).then(|| first - 1)));
        let reaches_the_limit = first == lowest;
        prop_assert_eq!(since.began(), (reaches_the_limit && lowest == 1).then_some(1));
        prop_assert_eq!(since.lowest_kept(), (reaches_the_limit && lowest > 1).then_some(lowest));
        if let Some(ids) = ids { run.plan.want(&product(), &[ids].into_iter().collect()); }
        run.plan.want(&product(), &IdSet::new());
        run.plan.taken(&product());
        prop_assert_eq!(run.plan.take_beginning(&product()), since.began());
    }

    /// A search meets elements that cannot be used, at any place.
    #[test]
    fn a_search_goes_past_what_it_cannot_use_and_claims_nothing_of_it(
        lowest in prop_oneof![Just(1u64), 2u64..400],
        length in 3u64..4000,
        second in 0u64..5000,
        stretches in prop::collection::vec((0u64..4400, 1u64..1400), 0..4),
    ) {
        let mut exchange = Exchange::of(lowest, lowest + length);
        let all = stretches.into_iter().flat_map(|(first, count)| first..first + count);
        exchange.unusable = all.filter(|id| *id >= lowest && *id < exchange.last).collect();
        let mut run = Run::new(Persistence::Bounded, IdSet::new());
        run.plan.search_since(&product(), UnixNanos(second * 1_000_000_000), exchange.last);
        let usable_below = |id: u64| (lowest..id).rev().find(|id| !exchange.unusable.contains(id));
        match run.search(&exchange) {
            SearchOutcome::Found { since, .. } => {
                prop_assert_eq!(since.before, usable_below(since.first));
                prop_assert!(since.before.is_none_or(|before| before < second), "no trade since then is left out");
                if since.before.is_none() {
                    prop_assert_eq!(since.first, lowest, "that there is nothing below is claimed only where there is nothing");
                }
            }
            SearchOutcome::Contradiction => prop_assert!(exchange.unusable.contains(&lowest), "only where nothing below can be used"),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn the_newest_trade_is_the_newest_that_can_be_used(length in 1u64..2000, unusable in 0u64..2200) {
        let mut exchange = Exchange::of(10, 10 + length);
        exchange.unusable = (0..unusable).filter_map(|back| exchange.last.checked_sub(back)).collect();
        let mut run = Run::new(Persistence::Bounded, IdSet::new());
        run.plan.search_newest(&product());
        let want = (10..=exchange.last).rev().take(1000).find(|id| !exchange.unusable.contains(id));
        match run.search(&exchange) {
            SearchOutcome::Newest(newest) => prop_assert_eq!(newest.map(|trade| trade.trade_id), want),
            outcome => prop_assert!(outcome == SearchOutcome::Contradiction && want.is_none(), "{:?}", outcome),
        }
    }
}
