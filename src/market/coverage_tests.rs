//! Tests of [`super`]: the chain of ids against a model that looks at every id by itself.

use super::*;
use proptest::prelude::*;

fn trade(id: u64, time: u64) -> StoredTrade {
    StoredTrade { id, time: UnixNanos(time) }
}

fn chain(trades: &[(u64, u64)]) -> Chain {
    let mut chain = Chain::default();
    for (id, time) in trades {
        chain.push(Stretch { first: trade(*id, *time), last: trade(*id, *time) });
    }
    chain
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
        assert_eq!(chain(&trades).judge(range(from, to)).verdict(), verdict, "{from}..{to}");
    }
    assert_eq!(chain(&[(1, 10), (2, 20)]).judge(range(0, 15)).verdict(), Verdict::Whole, "nothing is before id 1");
    assert_eq!(chain(&trades).judge(TimeRange::ALL).captured_to, Some(trade(9, 40)));
    assert_eq!(chain(&[]).judge(range(0, 15)).verdict(), Verdict::Unverifiable);
}

#[test]
fn a_gap_belongs_to_every_range_in_which_its_trades_may_have_happened() {
    let trades = [(1, 10), (2, 20), (6, 60), (7, 70), (8, 80)];
    for (from, to, is_open) in
        [(0, 20, false), (0, 21, true), (30, 40, true), (60, 65, true), (61, 65, false), (20, 61, true), (70, 80, false)]
    {
        let coverage = chain(&trades).judge(range(from, to));
        assert_eq!(coverage.verdict() == Verdict::Open, is_open, "{from}..{to}");
        assert_eq!(coverage.shortcoming().is_some(), is_open, "{from}..{to}");
    }
    let said = chain(&trades).judge(range(0, 70)).shortcoming().expect("not whole");
    assert!(said.starts_with("3 trades missing: ids 3 to 5 between 1970-01-01T00:00:00.000000020Z and "), "{said}");
}

#[test]
fn ids_of_a_gap_are_counted_once_whatever_parts_its_time_has() {
    let gap = MissingIds { ids: IdRange::new(11, 20).expect("a range"), before: trade(10, 1_000), after: trade(21, 2_000) };
    for step in [1, 7, 90, 100, 333, 999, 1_000, 5_000] {
        let parts: u64 = (0..3_000).step_by(step).map(|from| gap.count_within(range(from, from + step as u64))).sum();
        assert_eq!(parts, 10, "{step}");
    }
    assert_eq!((gap.count_within(range(0, 1_000)), gap.count_within(range(2_000, 3_000)), gap.count_within(TimeRange::ALL)), (0, 0, 10));
    let at_once = MissingIds { before: trade(10, 5), after: trade(21, 5), ..gap };
    assert_eq!((at_once.count_within(range(0, 5)), at_once.count_within(range(5, 6))), (0, 10));
    let fallen = MissingIds { before: trade(10, 2_000), after: trade(21, 1_000), ..gap };
    assert_eq!(fallen.count_within(range(1_000, 1_500)), gap.count_within(range(1_000, 1_500)));
    let endless =
        MissingIds { ids: IdRange::new(1, u64::MAX - 1).expect("a range"), before: trade(0, 0), after: trade(u64::MAX, u64::MAX) };
    assert!(endless.count_within(range(0, 1 << 63)).abs_diff(1 << 63) < 3);
}

#[test]
fn ids_that_are_stored_twice_prove_nothing() {
    let coverage = chain(&[(1, 10), (2, 20), (2, 25), (3, 30), (4, 40)]).judge(range(5, 35));
    assert_eq!((coverage.disordered, coverage.verdict()), (1, Verdict::Unverifiable));
    // Days that interleave around midnight are no disorder.
    let coverage = chain(&[(1, 10), (2, 20), (4, 21), (3, 22), (5, 30)]).judge(range(5, 29));
    assert_eq!((coverage.disordered, coverage.verdict()), (0, Verdict::Whole));
}

proptest! {
    #[test]
    fn consecutive_ids_are_counted_to_the_first_that_is_not(len in 1usize..2_000, cut in 0usize..2_500, first in prop::sample::select(vec![1u64, 1 << 40, u64::MAX - 3_000])) {
        let mut ids: Vec<u64> = (first..).take(len).collect();
        if let Some(id) = ids.get_mut(cut) {
            *id += 1;
        }
        // A first id that is another one begins the count all the same: what follows it does not.
        let expected = if cut == 0 && len > 1 { 1 } else { cut.clamp(1, len) };
        prop_assert_eq!(consecutive(&ids), expected);
    }

    #[test]
    fn every_missing_id_is_in_one_gap(kept in prop::collection::btree_set(1u64..200, 1..150), from in 0u64..220, length in 1u64..220) {
        let trades: Vec<(u64, u64)> = kept.iter().map(|id| (*id, id * 10)).collect();
        let asked = range(from * 10, (from + length) * 10);
        let coverage = chain(&trades).judge(asked);
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
