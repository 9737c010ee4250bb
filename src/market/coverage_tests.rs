//! Tests of [`super`]: the chain of ids against a model that looks at every id by itself.

use super::*;
use crate::history::History;
use crate::store::event::Event;
use proptest::prelude::*;

fn trade(id: u64, time: u64) -> StoredTrade {
    StoredTrade { id, time: UnixNanos(time) }
}

/// What is said of a range of trades with these ids and times.
fn told(trades: &[(u64, u64)], range: TimeRange) -> Coverage {
    told_with(trades, range, &History::default())
}

fn told_with(trades: &[(u64, u64)], range: TimeRange, history: &History) -> Coverage {
    Coverage::told(Survey::of_trades(trades, history), range)
}

fn range(from: u64, to: u64) -> TimeRange {
    TimeRange::new(UnixNanos(from), UnixNanos(to))
}

#[test]
fn a_range_is_whole_where_the_chain_goes_on_beyond_both_its_ends() {
    let trades = [(5, 10), (6, 20), (7, 20), (8, 30), (9, 40)];
    for (from, to, verdict) in [
        (11, 31, Verdict::Whole),
        (11, 40, Verdict::Whole),
        (11, 41, Verdict::Partial),
        (10, 31, Verdict::Partial),
        (21, 29, Verdict::Whole),
        (50, 60, Verdict::Partial),
    ] {
        assert_eq!(told(&trades, range(from, to)).verdict(), verdict, "{from}..{to}");
    }
    assert_eq!(told(&[(1, 10), (2, 20)], range(0, 15)).verdict(), Verdict::Whole, "nothing is before id 1");
    assert_eq!(told(&trades, TimeRange::ALL).captured_to, Some(trade(9, 40)));
    assert_eq!(told(&[], range(0, 15)).verdict(), Verdict::Unverifiable);
}

#[test]
fn a_gap_belongs_to_every_range_in_which_its_trades_may_have_happened() {
    let trades = [(1, 10), (2, 20), (6, 60), (7, 70), (8, 80)];
    for (from, to, is_open) in
        [(0, 20, false), (0, 21, true), (30, 40, true), (60, 65, true), (61, 65, false), (20, 61, true), (70, 80, false)]
    {
        let coverage = told(&trades, range(from, to));
        assert_eq!(coverage.verdict() == Verdict::Open, is_open, "{from}..{to}");
        assert_eq!(coverage.shortcoming().is_some(), is_open, "{from}..{to}");
    }
    let said = told(&trades, range(0, 70)).shortcoming().expect("not whole");
    assert!(said.starts_with("3 trades missing: ids 3 to 5 between 1970-01-01T00:00:00.000000020Z and "), "{said}");
}

#[test]
fn ids_of_a_gap_are_counted_once_whatever_parts_its_time_has() {
    let gap_between = |before, after| MissingIds::between(IdRange::new(11, 20).expect("a range"), trade(10, before), trade(21, after));
    let gap = gap_between(1_000, 2_000);
    for step in [1, 7, 90, 100, 333, 999, 1_000, 5_000] {
        let parts: u64 = (0..3_000).step_by(step).map(|from| gap.count_within(range(from, from + step as u64))).sum();
        assert_eq!(parts, 10, "{step}");
    }
    assert_eq!((gap.count_within(range(0, 1_000)), gap.count_within(range(2_000, 3_000)), gap.count_within(TimeRange::ALL)), (0, 0, 10));
    let at_once = gap_between(5, 5);
    assert_eq!((at_once.count_within(range(0, 5)), at_once.count_within(range(5, 6))), (0, 10));
    let fallen = gap_between(2_000, 1_000);
    assert_eq!(fallen.count_within(range(1_000, 1_500)), gap.count_within(range(1_000, 1_500)));
    let endless = MissingIds::between(IdRange::new(1, u64::MAX - 1).expect("a range"), trade(0, 0), trade(u64::MAX, u64::MAX));
    assert!(endless.count_within(range(0, 1 << 63)).abs_diff(1 << 63) < 3);
}

#[test]
fn ids_that_are_stored_twice_prove_nothing() {
    let coverage = told(&[(1, 10), (2, 20), (2, 25), (3, 30), (4, 40)], range(5, 35));
    assert_eq!((coverage.disordered, coverage.verdict()), (1, Verdict::Unverifiable));
    // Days that interleave around midnight are no disorder.
    let coverage = told(&[(1, 10), (2, 20), (4, 21), (3, 22), (5, 30)], range(5, 29));
    assert_eq!((coverage.disordered, coverage.verdict()), (0, Verdict::Whole));
}

#[test]
fn ids_that_a_heartbeat_named_are_missing_from_the_last_trade_until_they_were_named() {
    let trades = [(1, 10), (2, 20), (3, 30)];
    let mut history = History::default();
    let product = ProductId::new("BTC-USD").expect("a product");
    let ids = IdRange::new(4, 5).expect("a range");
    history.take(UnixNanos(50), &Event::GapOpened { product, ids, why: "heartbeat".into() });
    for (from, to, is_open) in [(5, 29, false), (5, 30, false), (5, 31, true), (45, 60, true), (50, 60, true), (51, 60, false)] {
        let coverage = told_with(&trades, range(from, to), &history);
        assert_eq!(coverage.verdict() == Verdict::Open, is_open, "{from}..{to}");
    }
    let coverage = told_with(&trades, TimeRange::ALL, &history);
    assert_eq!((coverage.missing(), coverage.gaps[0].after), (2, None));
    let said = coverage.shortcoming().expect("not whole");
    assert!(said.contains("ids 4 to 5 between") && said.contains("(gap_opened at") && said.contains("(heartbeat)"), "{said}");
}

#[test]
fn what_speaks_against_a_day_speaks_against_the_range() {
    let trades = [(1, 10), (2, 20), (3, 30)];
    for verdict in [Verdict::Partial, Verdict::Unverifiable, Verdict::Open] {
        let mut coverage = told(&trades, range(5, 25));
        assert_eq!((coverage.verdict(), coverage.shortcoming()), (Verdict::Whole, None));
        coverage.doubts.push(Doubt { date: Some(UtcDay(0)), verdict, why: "the reason".to_owned() });
        assert_eq!((coverage.verdict(), coverage.shortcoming()), (verdict, Some("1970-01-01: the reason".to_owned())));
    }
}

proptest! {
    #[test]
    fn every_missing_id_is_in_one_gap(kept in prop::collection::btree_set(1u64..200, 1..150), from in 0u64..220, length in 1u64..220) {
        let trades: Vec<(u64, u64)> = kept.iter().map(|id| (*id, id * 10)).collect();
        let asked = range(from * 10, (from + length) * 10);
        let coverage = told(&trades, asked);
        let (lowest, highest) = (trades[0].0, trades[trades.len() - 1].0);
        let missing: Vec<u64> = (lowest..highest).filter(|id| !kept.contains(id)).collect();
        let in_gaps: Vec<u64> = coverage.gaps.iter().flat_map(|gap| gap.ids.ids()).collect();
        // The true time of id n is n * 10, which is also its even place.
        for id in &missing {
            if asked.contains(UnixNanos(id * 10)) {
                prop_assert!(in_gaps.contains(id), "{}", id);
            }
        }
        prop_assert!(in_gaps.iter().all(|id| missing.contains(id)));
        prop_assert_eq!(coverage.missing(), missing.iter().filter(|id| asked.contains(UnixNanos(**id * 10))).count() as u64);
    }
}
