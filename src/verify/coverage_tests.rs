//! Verdicts of made-up chains of ids: every rule of coverage from both sides.

use super::super::chain::Runs;
use super::*;
use crate::history::product::{Absence, Explanation, Role};
use crate::time::{NANOS_PER_SECOND, SECONDS_PER_DAY};
use Verdict::{Open, Partial, Unverifiable, Whole};

fn at(date: u32, second: u64) -> UnixNanos {
    UnixNanos((u64::from(date) * SECONDS_PER_DAY + second) * NANOS_PER_SECOND)
}

/// A day of ids, one a second from its beginning.
fn day(date: u32, ids: &[std::ops::RangeInclusive<u64>]) -> DayIds {
    let mut runs = Runs::default();
    for (second, id) in ids.iter().cloned().flatten().enumerate() {
        runs.push(Link { date: UtcDay(date), id, time: at(date, second as u64) });
    }
    DayIds { date: UtcDay(date), runs: Some(runs.into_vec()), records: ids.iter().cloned().flatten().count() as u64 }
}

fn range(first: u64, last: u64) -> IdRange {
    IdRange::new(first, last).expect("first is not above last")
}

/// How many ids are missing. Absences do not count.
fn missing(coverage: &Coverage) -> u64 {
    coverage.gaps.iter().filter(|gap| !gap.is_absence).map(|gap| gap.ids.count()).sum()
}

fn verdicts(days: &[DayIds], history: &History) -> Vec<Verdict> {
    judge(days, history).days.iter().map(|day| day.verdict).collect()
}

#[test]
fn only_a_day_whose_neighbours_adjoin_is_whole() {
    let none = History::default();
    assert_eq!(verdicts(&[day(9, &[5..=7])], &none), [Partial]);
    assert_eq!(verdicts(&[day(9, &[5..=7]), day(10, &[8..=8]), day(11, &[9..=20])], &none), [Partial, Whole, Partial]);
    let coverage = judge(&[day(9, &[5..=7])], &none);
    assert_eq!(coverage.days[0].reasons.len(), 2, "either end is named: {:?}", coverage.days[0].reasons);
}

#[test]
fn only_id_1_is_a_beginning() {
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(10, &[8..=8])], &History::default()), [Whole, Partial]);
    for kept_from in [2, 5, 6, u64::MAX] {
        let retention = History { kept_from: Some(kept_from), ..History::default() };
        let coverage = judge(&[day(9, &[5..=7]), day(10, &[8..=8])], &retention);
        assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Partial, Partial]);
        assert_eq!(kept_from >= 5, coverage.days[0].reasons[0].contains("which is what it keeps"), "{:?}", coverage.days[0].reasons);
    }
}

#[test]
fn one_missing_id_opens_the_day_and_is_counted_once() {
    let coverage = judge(&[day(9, &[1..=7]), day(10, &[8..=10, 12..=15]), day(11, &[16..=17])], &History::default());
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Whole, Open, Partial]);
    assert_eq!((missing(&coverage), coverage.gaps[0].ids), (1, IdRange::one(11)));
}

#[test]
fn a_gap_over_midnight_opens_both_days_unless_no_capture_was_running() {
    let days = [day(9, &[1..=7]), day(10, &[10..=12])];
    assert_eq!(verdicts(&days, &History::default()), [Open, Open]);
    let absent = History { absences: vec![Absence { from: at(9, 100), to: at(10, 0) }], ..History::default() };
    let coverage = judge(&days, &absent);
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Partial, Partial]);
    assert_eq!((missing(&coverage), coverage.gaps.len()), (0, 1));
    // A capture that was there at the midnight saw it, however short it was away before or after.
    let beside = History {
        absences: vec![Absence { from: at(9, 100), to: at(9, 200) }, Absence { from: at(10, 1), to: at(10, 2) }],
        ..History::default()
    };
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(10, &[10..=12])], &beside), [Open, Open]);
    // Of several midnights every one.
    let both = History {
        absences: vec![Absence { from: at(9, 100), to: at(10, 200) }, Absence { from: at(10, 300), to: at(11, 0) }],
        ..History::default()
    };
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(11, &[10..=12])], &both), [Partial, Partial]);
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(11, &[10..=12])], &absent), [Open, Open]);
    // An absence within one day leaves ids that are known to be missing.
    let within = History { absences: vec![Absence { from: at(9, 3), to: at(9, 4) }], ..History::default() };
    assert_eq!(verdicts(&[day(9, &[1..=4, 8..=9])], &within), [Open]);
}

#[test]
fn days_that_interleave_around_midnight_make_one_chain() {
    let last = |fall: u64| {
        let mut day = day(9, &[1..=7, 9..=9]);
        for run in day.runs.iter_mut().flatten() {
            // Its last trades, at the end of the day.
            for link in [&mut run.first, &mut run.last] {
                link.time = UnixNanos(at(10, 0).0 - (fall + 10 - link.id) * NANOS_PER_SECOND);
            }
        }
        day
    };
    let coverage = judge(&[last(0), day(10, &[8..=8, 10..=12]), day(11, &[13..=13])], &History::default());
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Whole, Whole, Partial]);
    assert!(coverage.gaps.is_empty() && coverage.overlaps.is_empty() && coverage.strays.is_empty());
    // No clock falls by that much: which of the two days the trade belongs to cannot be told.
    let coverage = judge(&[last(100), day(10, &[8..=8, 10..=12]), day(11, &[13..=13])], &History::default());
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Unverifiable, Unverifiable, Partial]);
    assert_eq!(coverage.strays.len(), 1);
}

#[test]
fn ids_that_the_journal_names_are_missing_wherever_they_lie() {
    let known = |ranges: &[(u64, u64)]| History {
        named: ranges.iter().map(|(first, last)| range(*first, *last)).collect(),
        named_at: at(11, 5),
        ..History::default()
    };
    // Behind the last stored one, before the first, and where nothing is stored.
    let coverage = judge(&[day(9, &[1..=7]), day(11, &[8..=8])], &known(&[(5, 20)]));
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Whole, Open]);
    assert_eq!((missing(&coverage), coverage.gaps[0].ids, coverage.gaps[0].after), (12, range(9, 20), None));
    let coverage = judge(&[day(9, &[5..=7])], &known(&[(3, 6)]));
    assert_eq!((missing(&coverage), coverage.days[0].verdict), (2, Open));
    assert_eq!(missing(&judge(&[day(11, &[])], &known(&[(3, 6)]))), 4);
    assert_eq!(missing(&judge(&[], &known(&[(3, 6)]))), 4);
    // In a gap that no capture was there to see.
    let absent = History { absences: vec![Absence { from: at(9, 100), to: at(10, 0) }], ..known(&[(9, 9), (12, 12)]) };
    let coverage = judge(&[day(9, &[1..=7]), day(10, &[14..=15])], &absent);
    assert_eq!((missing(&coverage), coverage.gaps.len()), (2, 5));
    assert_eq!(coverage.days.iter().map(|day| day.verdict).collect::<Vec<_>>(), [Open, Open]);
    // What passed while nobody was there counts only behind the last stored trade.
    let passed = |first, last| History { passed: [range(first, last)].into_iter().collect(), named_at: at(11, 5), ..History::default() };
    assert_eq!(missing(&judge(&[day(9, &[5..=7])], &passed(1, 9))), 2);
}

#[test]
fn an_id_in_two_days_leaves_both_unverifiable() {
    let days = [day(9, &[1..=7]), day(10, &[7..=9]), day(11, &[10..=12])];
    assert_eq!(verdicts(&days, &History::default()), [Unverifiable, Unverifiable, Partial]);
}

#[test]
fn an_id_in_two_days_is_an_overlap() {
    let coverage = judge(&[day(9, &[1..=7]), day(10, &[6..=9])], &History::default());
    assert_eq!(coverage.overlaps, [Overlap { ids: range(6, 7), date: UtcDay(9), again_on: UtcDay(10) }]);
}

#[test]
fn a_day_without_trades_is_whole_only_between_days_that_adjoin() {
    let none = History::default();
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(10, &[]), day(11, &[8..=9])], &none), [Whole, Whole, Partial]);
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(10, &[]), day(11, &[9..=9])], &none), [Open, Unverifiable, Open]);
    assert_eq!(verdicts(&[day(9, &[1..=7]), day(10, &[])], &none), [Partial, Unverifiable]);
    assert_eq!(verdicts(&[day(10, &[])], &none), [Unverifiable]);
}

#[test]
fn an_unreadable_day_is_unverifiable_and_its_neighbours_are_open() {
    let unreadable = DayIds { date: UtcDay(10), runs: None, records: 0 };
    assert_eq!(verdicts(&[day(9, &[1..=7]), unreadable, day(11, &[10..=12])], &History::default()), [Open, Unverifiable, Open]);
}

#[test]
fn a_gap_says_why_and_what_was_tried() {
    let mut history = History::default();
    let said =
        |second, event, role, text: &str| Explanation { time: at(9, second), event, role, ids: Some(range(5, 7)), text: text.to_owned() };
    history.explanations.push(said(3, "gap_opened", Role::Cause, ""));
    let coverage = judge(&[day(9, &[1..=4, 8..=9])], &history);
    let why = &coverage.gaps[0].why;
    assert!(why.contains("gap_opened") && why.contains("no backfill tried"), "{why}");
    history.explanations.push(said(4, "backfill_failed", Role::Attempt, "429"));
    let why = judge(&[day(9, &[1..=4, 8..=9])], &history).gaps[0].why.clone();
    assert!(why.contains("backfill_failed") && why.contains("429") && !why.contains("no backfill tried"), "{why}");
}
