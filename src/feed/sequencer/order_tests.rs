//! In which order trades are written, which ids are reported missing, and what heartbeats, shed trades and contradictions change about it.

use super::*;
use crate::decimal::Decimal;
use crate::record::{OrderId, Origin, Side};
use crate::time::UnixNanos;
use proptest::prelude::*;
use std::collections::BTreeSet;

const WAIT: Duration = Duration::from_secs(2);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn received(trade_id: u64, means: Means) -> ReceivedTrade {
    let one = Decimal::new(1.0, 1.0, true);
    let maker_order_id = if means == Means::Live { OrderId([7; 16]) } else { OrderId::NIL };
    let (time, origin) = (UnixNanos(trade_id * 1_000_000_000), Origin::new(means, 0, 0));
    let trade = Trade {
        trade_id,
        time,
        price: one,
        size: one,
        side: Side::Buy,
        maker_order_id,
        taker_order_id: maker_order_id,
        sequence: 0,
        recv: UnixNanos(0),
        origin,
    };
    ReceivedTrade { trade, place: RawPlace::default() }
}

fn range(first: u64, last: u64) -> IdRange {
    IdRange::new(first, last).expect("first is not above last")
}

fn opened(first: u64, last: u64, cause: GapCause) -> GapEvent {
    GapEvent::Opened { ids: range(first, last), cause }
}

fn filled(first: u64, last: u64, means: Means) -> GapEvent {
    GapEvent::Filled { ids: range(first, last), means }
}

/// Offers a trade as a writer does; gives the ids written.
fn offer(sequencer: &mut Sequencer, id: u64, means: Means, now: Duration) -> Vec<u64> {
    let mut written = Vec::new();
    if sequencer.is_in_turn(id) {
        written.push(id);
        sequencer.mark_stored(id, means);
    } else {
        sequencer.hold(received(id, means), now);
    }
    written.extend(ready(sequencer, now));
    written
}

fn ready(sequencer: &mut Sequencer, now: Duration) -> Vec<u64> {
    let mut written = Vec::new();
    while let Some(ReceivedTrade { trade, .. }) = sequencer.pop_ready(|| now) {
        written.push(trade.trade_id);
        sequencer.mark_stored(trade.trade_id, trade.origin.means().expect("known"));
    }
    sequencer.report_gaps(now);
    written
}

#[test]
fn disorder_that_ends_soon_is_no_gap() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    assert!(offer(&mut sequencer, 12, Means::Live, ms(0)).is_empty());
    assert!(offer(&mut sequencer, 13, Means::Live, ms(100)).is_empty());
    assert_eq!(sequencer.time_until_due(ms(100)), Some(ms(150)));
    assert_eq!(offer(&mut sequencer, 11, Means::Live, ms(249)), [11, 12, 13]);
    assert!(!sequencer.has_events() && sequencer.time_until_due(ms(249)).is_none());
}

#[test]
fn trades_behind_a_gap_wait_for_rest_and_then_no_longer_than_the_gap_wait() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    offer(&mut sequencer, 11, Means::Live, ms(0));
    offer(&mut sequencer, 15, Means::Live, ms(0));
    assert!(ready(&mut sequencer, ms(250)).is_empty());
    assert_eq!(sequencer.take_events(), [opened(12, 14, GapCause::Jump)]);
    assert_eq!(offer(&mut sequencer, 12, Means::Rest, ms(400)), [12]);
    assert_eq!(offer(&mut sequencer, 13, Means::Rest, ms(400)), [13]);
    assert_eq!(sequencer.take_events(), [filled(12, 13, Means::Rest)]);
    assert!(ready(&mut sequencer, ms(1999)).is_empty());
    assert_eq!(ready(&mut sequencer, ms(2000)), [15]);
    assert_eq!(sequencer.take_events(), [GapEvent::Left { ids: range(14, 14) }]);
    assert_eq!(offer(&mut sequencer, 16, Means::Live, ms(2001)), [16], "only the first of them waited");
    assert_eq!(offer(&mut sequencer, 14, Means::Live, ms(9000)), [14]);
    assert_eq!(sequencer.take_events(), [filled(14, 14, Means::Live)]);
    assert_eq!(sequencer.chain().missing().count(), 0);
}

#[test]
fn a_heartbeat_that_stays_ahead_reports_a_gap_and_an_absurd_one_does_not() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    offer(&mut sequencer, 11, Means::Live, ms(0));
    sequencer.heartbeat(12, ms(0));
    offer(&mut sequencer, 12, Means::Live, ms(5));
    ready(&mut sequencer, ms(5000));
    assert!(!sequencer.has_events(), "it ran ahead slightly");
    sequencer.heartbeat(14, ms(6000));
    sequencer.heartbeat(16, ms(7000));
    sequencer.heartbeat(1 << 60, ms(7000));
    ready(&mut sequencer, ms(7999));
    assert!(!sequencer.has_events());
    ready(&mut sequencer, ms(8000));
    assert_eq!(sequencer.take_events(), [opened(13, 14, GapCause::Heartbeat)]);
    ready(&mut sequencer, ms(9000));
    assert_eq!(sequencer.take_events(), [opened(15, 16, GapCause::Heartbeat)]);
    assert_eq!((offer(&mut sequencer, 13, Means::Rest, ms(9001)), sequencer.chain().missing().count()), (vec![13], 3));
}

#[test]
fn a_restart_goes_on_with_its_gaps() {
    let mut sequencer = Sequencer::new(Some(100), [range(50, 51)], WAIT);
    assert_eq!(sequencer.take_events(), [opened(50, 51, GapCause::Restart)]);
    offer(&mut sequencer, 200, Means::Live, ms(0));
    ready(&mut sequencer, ms(250));
    assert_eq!(sequencer.take_events(), [opened(101, 199, GapCause::Restart)]);
    assert_eq!(sequencer.chain().missing().count(), 101);
}

/// A trade that happened `millis` after the first.
fn at(id: u64, millis: u64) -> ReceivedTrade {
    let mut received = received(id, Means::Live);
    received.trade.time = UnixNanos(1_000_000_000_000 + millis * 1_000_000);
    received
}

fn store(sequencer: &mut Sequencer, id: u64, millis: u64) {
    sequencer.mark_stored(id, Means::Live);
    sequencer.contradict(Mark { key: id, time: at(id, millis).trade.time });
}

#[test]
fn a_lone_id_ahead_that_later_trades_contradict_is_refuted_and_opens_no_gap() {
    for (ahead, stored, now, is_refuted) in [
        (500_000, 3, ms(5), true),
        (500_000, 2, ms(5), false),
        (500_000, 1, ms(2000), true),
        (500_000, 0, ms(2000), false),
        // A near one has its time: it may be real.
        (15, 3, ms(5), false),
        (15, 3, ms(2000), true),
    ] {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        assert_eq!(sequencer.hold(at(ahead, 1), ms(0)), Held::Waiting);
        (0..stored).for_each(|more| store(&mut sequencer, 11 + more, 2 + more));
        if ahead > 1000 {
            sequencer.report_gaps(ms(1000));
            assert!(!sequencer.has_events(), "one message opens no wide gap before its time is up");
        }
        assert_eq!(sequencer.pop_refuted(|| now).is_some(), is_refuted, "{ahead} {stored} {now:?}");
        let near = [opened(ahead, ahead, GapCause::Jump)];
        assert_eq!(sequencer.take_events(), if is_refuted && ahead < 1000 { &near[..] } else { &[] });
    }
}

#[test]
fn trades_that_wait_in_a_row_are_right_although_the_clock_was_set_back() {
    // 14 to 16 happened after 11 and 12, by a clock that is a minute behind theirs.
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    for (id, millis) in [(14, 1), (15, 1), (16, 2)] {
        assert_eq!(sequencer.hold(at(id, millis), ms(0)), Held::Waiting);
    }
    store(&mut sequencer, 11, 60_000);
    store(&mut sequencer, 12, 60_001);
    assert_eq!((sequencer.pop_refuted(|| ms(1900)), sequencer.pop_ready(|| ms(1900))), (None, None));
    store(&mut sequencer, 13, 60_002);
    for id in [14, 15, 16] {
        assert_eq!(sequencer.pop_refuted(|| ms(1900)), None);
        let ready = sequencer.pop_ready(|| ms(1900)).expect("it is right");
        assert_eq!(ready.trade.trade_id, id);
        sequencer.mark_stored(id, Means::Live);
        sequencer.contradict(Mark { key: id, time: ready.trade.time });
    }
}

#[test]
fn the_trade_whose_id_an_absurd_one_took_gets_its_place() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    sequencer.hold(at(12, 1), ms(0));
    store(&mut sequencer, 11, 2);
    assert_eq!(sequencer.pop_ready(|| ms(1)), None, "it happened before the trade in front of it");
    assert!(sequencer.is_in_turn(12));
    store(&mut sequencer, 12, 3);
    assert_eq!(sequencer.pop_refuted(|| ms(2)).map(|refuted| refuted.trade.trade_id), Some(12));
    // Without another claim to its id it is stored when its time is up.
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    sequencer.hold(at(12, 1), ms(0));
    store(&mut sequencer, 11, 2);
    assert_eq!((sequencer.pop_refuted(|| ms(2000)), sequencer.pop_ready(|| ms(2000)).is_some()), (None, true));
}

#[test]
fn a_wide_gap_is_reported_when_three_trades_or_three_heartbeats_show_it() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    for id in [50_000, 50_001, 50_002] {
        sequencer.report_gaps(ms(300));
        assert!(!sequencer.has_events());
        sequencer.hold(at(id, 1), ms(0));
    }
    sequencer.report_gaps(ms(300));
    assert_eq!(sequencer.take_events(), [opened(11, 49_999, GapCause::Restart)]);
    for (beats, is_told) in [(1, false), (2, false), (3, true)] {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        (0..beats).for_each(|_| sequencer.heartbeat(50_000, ms(0)));
        sequencer.report_gaps(ms(2000));
        assert_eq!(sequencer.has_events(), is_told, "{beats} heartbeats");
    }
}

#[test]
fn what_was_shed_is_missing_above_the_chain_only() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    sequencer.hold(at(14, 1), ms(0));
    for absurd in [range(5, 9), range(5_000_000, 5_000_009)] {
        sequencer.note_shed(absurd);
    }
    assert!(!sequencer.has_events());
    sequencer.note_shed(range(8, 16));
    assert_eq!(sequencer.take_events(), [opened(11, 13, GapCause::Shed), opened(15, 16, GapCause::Shed)]);
}

#[test]
fn of_two_copies_that_wait_the_one_with_order_ids_is_kept() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    assert_eq!(sequencer.hold(received(12, Means::Rest), ms(0)), Held::Waiting);
    assert_eq!(sequencer.hold(received(12, Means::Live), ms(1)), Held::Duplicate);
    let mut other = received(12, Means::Live);
    other.trade.side = Side::Sell;
    assert!(matches!(sequencer.hold(other, ms(1)), Held::Conflict(_)));
    let kept = sequencer.pop_any().map(|received| received.trade.origin.means());
    assert_eq!((kept, sequencer.waiting()), (Some(Some(Means::Live)), 0));
}

proptest! {
    #[test]
    fn everything_is_written_once_and_in_order_within_the_wait(
        ids in prop::collection::btree_set(1u64..120, 1..80), swaps in prop::collection::vec((0usize..80, 0usize..80), 0..30), steps in prop::collection::vec(0u64..400, 80),
    ) {
        let mut order: Vec<u64> = ids.iter().copied().collect();
        for (a, b) in swaps {
            let len = order.len();
            order.swap(a % len, b % len);
        }
        let mut sequencer = Sequencer::new(Some(0), [], WAIT);
        let (mut now, mut written, mut missing) = (ms(0), Vec::new(), BTreeSet::new());
        let mut came = std::collections::BTreeMap::new();
        for (id, step) in order.iter().zip(steps) {
            now += ms(step);
            came.insert(*id, now);
            written.extend(offer(&mut sequencer, *id, Means::Live, now));
            for held in came.iter().filter(|(id, _)| !written.contains(id)) {
                prop_assert!(now - *held.1 < WAIT, "{} waits since {:?}", held.0, held.1);
            }
        }
        written.extend(ready(&mut sequencer, now + WAIT));
        let mut sorted = written.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, ids.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(sequencer.waiting(), 0);
        for event in sequencer.take_events() {
            match event {
                GapEvent::Opened { ids, .. } => ids.ids().for_each(|id| assert!(missing.insert(id), "{id} reported twice")),
                GapEvent::Filled { ids, .. } => ids.ids().for_each(|id| assert!(missing.remove(&id), "{id} was not reported missing")),
                GapEvent::Left { .. } => {}
            }
        }
        let last = *ids.iter().next_back().expect("one");
        prop_assert_eq!(missing.into_iter().collect::<Vec<_>>(), (1..last).filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    }
}

/// What was reported as missing, and why.
fn reported(sequencer: &mut Sequencer) -> Vec<(u64, u64, GapCause)> {
    let opened = |event| if let GapEvent::Opened { ids, cause } = event { Some((ids.first(), ids.last(), cause)) } else { None };
    sequencer.take_events().into_iter().filter_map(opened).collect()
}

#[test]
fn one_ticker_reports_a_near_trade_that_does_not_come_and_three_report_a_far_one() {
    for (named, is_told) in [
        (&[12_u64][..], true),
        (&[1_010], true),
        (&[1_011], false),
        (&[1_011, 9_000], false),
        (&[50_000, 50_000 + 9_000], false),
        (&[50_000, 50_003, 59_999], true),
        (&[500, 510, 9_000], true),
        (&[50_000, 61_000, 72_000], false),
        (&[2_000_000, 2_000_001, 2_000_002], false),
        (&[u64::MAX, u64::MAX - 1, u64::MAX - 2], false),
        (&[5, 10, 0], false),
    ] {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        named.iter().zip(0..).for_each(|(id, at)| sequencer.ticker(*id, || ms(300 * at)));
        sequencer.report_gaps(ms(1999));
        assert!(reported(&mut sequencer).is_empty(), "{named:?}: the trade may still come");
        assert_eq!(sequencer.is_named_due(|| ms(2600)), is_told, "{named:?}");
        sequencer.report_gaps(ms(2600));
        let through = reported(&mut sequencer).last().map(|(_, last, cause)| (*last, *cause));
        assert_eq!(through, is_told.then_some((*named.iter().max().unwrap(), GapCause::Ticker)), "{named:?}");
        assert!(!sequencer.is_named_due(|| ms(2600)), "{named:?}");
    }
}

#[test]
fn a_ticker_whose_trade_comes_reports_nothing_and_at_the_end_one_that_came_just_now_does() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    for id in 11..5000 {
        // Tickers come just before their trades.
        sequencer.ticker(id, || ms(id));
        assert_eq!(offer(&mut sequencer, id, Means::Live, ms(id)), [id]);
    }
    assert!(!sequencer.has_events() && !sequencer.is_named_due(|| ms(60_000)));
    sequencer.ticker(5003, || ms(5000));
    assert_eq!(sequencer.hold(at(5001, 1), ms(5000)), Held::Waiting);
    sequencer.report_all_gaps();
    assert_eq!(reported(&mut sequencer), [(5000, 5000, GapCause::Jump), (5002, 5003, GapCause::Ticker)]);
}

#[test]
fn many_tickers_without_their_trades_are_all_reported_within_bounded_memory() {
    // A thousand a second.
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    let mut through = 10;
    for millis in 0..10_000 {
        sequencer.ticker(11 + millis, || ms(millis));
        sequencer.report_gaps(ms(millis));
        through = reported(&mut sequencer).last().map_or(through, |(_, last, _)| *last);
        let due = (11 + millis).saturating_sub(2300);
        assert!(through >= due, "{through} is reported {millis} ms after the first");
    }
    sequencer.report_all_gaps();
    assert_eq!(sequencer.chain().missing().count(), 10_000);
}

#[test]
fn without_a_chain_three_tickers_that_agree_say_where_it_begins() {
    for (named, want) in [
        (&[100_u64, 101][..], None),
        (&[100, 101, 102], Some((101, 102))),
        (&[5, 3_000_000, 3_000_001, 3_000_004], Some((3_000_001, 3_000_004))),
        (&[3_000_000, 3_000_001, u64::MAX, 3_000_004], Some((3_000_001, 3_000_004))),
        (&[7, 7, 7], None),
    ] {
        for is_at_end in [false, true] {
            let mut sequencer = Sequencer::new(None, [], WAIT);
            named.iter().for_each(|id| sequencer.ticker(*id, || ms(0)));
            if is_at_end {
                sequencer.report_all_gaps()
            } else {
                sequencer.report_gaps(ms(2000))
            }
            let said = reported(&mut sequencer);
            let through = said.first().zip(said.last()).map(|((first, ..), (_, last, _))| (*first, *last));
            assert_eq!(through, want, "{named:?} {is_at_end}");
        }
    }
}

#[test]
fn what_a_ticker_named_before_the_start_is_missing_as_what_passed_meanwhile() {
    let mut sequencer = Sequencer::new(Some(10), [], WAIT);
    sequencer.ticker_before(12, ms(0));
    sequencer.report_gaps(ms(2000));
    assert_eq!(reported(&mut sequencer), [(11, 12, GapCause::Restart)]);
    let mut sequencer = Sequencer::new(None, [], WAIT);
    sequencer.ticker_before(12, ms(0));
    sequencer.report_all_gaps();
    assert!(!sequencer.has_events());
}
