//! Messages with an absurd id, sequence or event time among real ones: every real one is stored exactly once, in its place, and none of the absurd ones hides
//! another. The kind is generated: each key, jumps of ±10^0 to ±10^18, one and two in a row, as the first messages, live, over a restart and midnight, with one
//! line and with two. The oracle is the list of real messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::capture::write::fixture::{DAY, WriterFixture, product, ticker, trade};
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{MarketMessage, Means, OrderId, Origin, RawPlace, Side, Ticker, Trade};
use crate::schema::{Md, Trades};
use crate::store::event::Event;
use crate::store::journal::{JOURNAL, events};
use crate::store::{Snapshot, catalog};
use crate::time::{UnixNanos, UtcDay};

/// Real messages of a run. Each has a trade and a ticker.
pub(super) const REAL: u64 = 60;

/// Where the ids begin.
const FIRST: u64 = 5_000_000;

/// Which key of a message is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    TradeId,
    Sequence,
    TradeTime,
    TickerTime,
    /// The trade that a ticker names.
    TickerTrade,
}

/// Absurd messages at one place of the stream.
#[derive(Debug, Clone, Copy)]
struct Absurd {
    key: Key,
    at: u64,
    /// The exponent of ten, and the direction.
    jump: (u32, bool),
    in_a_row: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Script {
    absurd: Vec<Absurd>,
    /// After how many real messages the capture is started again; 0 for never.
    restart: u64,
    /// After how many real messages it is midnight.
    midnight: u64,
    /// How many messages the second line lags behind the first; nothing without one.
    lag: Option<usize>,
}

pub(super) fn price(id: u64) -> Decimal {
    let text = format!("{}.{:02}", 10 + id % 89, id % 97);
    crate::decimal::parse(text.as_bytes()).expect("a price")
}

pub(super) fn real_trade(script: &Script, number: u64) -> Trade {
    let before = DAY.start().0 + 43_200_000_000_000;
    let since_midnight = number.checked_sub(script.midnight).filter(|_| script.midnight > 0);
    let base = since_midnight.map_or(before + number * 3_000_000, |since| DAY.next().start().0 + since * 3_000_000);
    let id = FIRST + number;
    let order = |salt: u64| OrderId((u128::from(id) << 64 | u128::from(salt)).to_be_bytes());
    Trade {
        trade_id: id,
        time: UnixNanos(base),
        recv: UnixNanos(base + 1_000_000),
        price: price(id),
        side: Side::Buy,
        maker_order_id: order(1),
        taker_order_id: order(2),
        origin: Origin::new(Means::Live, 0, 0),
        ..trade(id)
    }
}

fn real_ticker(script: &Script, number: u64) -> Ticker {
    let trade = real_trade(script, number);
    // Between them there is room for tickers whose sequence is right.
    let step = if script.absurd.iter().any(|absurd| absurd.key == Key::TickerTrade) { 3 } else { 1 };
    Ticker {
        sequence: 1000 + step * number,
        time: trade.time,
        recv: trade.recv,
        trade_id: trade.trade_id,
        price: trade.price,
        volume: trade.size,
        side: Some(Side::Buy),
        ..ticker(1)
    }
}

fn leap(value: u64, (exponent, is_up): (u32, bool)) -> Option<u64> {
    let jump = 10_u64.pow(exponent);
    if is_up { value.checked_add(jump) } else { value.checked_sub(jump).filter(|value| *value > 0) }
}

/// Tells whether the decoder lets an event time through, and whether it can be told from a right one at all.
fn is_tellable(time: u64, real: UnixNanos) -> bool {
    let is_plausible = crate::record::time_is_plausible(UnixNanos(time), UnixNanos(real.0 + 1_000_000));
    is_plausible && time.abs_diff(real.0) > 2 * 3_600_000_000_000
}

impl Absurd {
    /// Gives one of the absurd messages before a real one; nothing where there is none of that jump.
    fn message(self, script: &Script, row: u64) -> Option<MarketMessage> {
        let number = self.at;
        let (trade, ticker) = (real_trade(script, number), real_ticker(script, number));
        Some(match self.key {
            Key::TradeId => {
                let id = leap(trade.trade_id, self.jump)?.saturating_add(row);
                // A copy of a message with another id: also its order ids are its own.
                let odd = OrderId((u128::from(number) << 8 | 0xff).to_be_bytes());
                MarketMessage::Trade(
                    Trade { trade_id: id, price: price(id + 1), maker_order_id: odd, taker_order_id: odd, ..trade },
                    RawPlace::default(),
                )
            }
            Key::Sequence => MarketMessage::Ticker(Ticker {
                sequence: leap(ticker.sequence, self.jump)?.saturating_add(row),
                price: price(number + 7),
                ..ticker
            }),
            Key::TradeTime => {
                let time = leap(trade.time.0, self.jump).filter(|time| is_tellable(*time, trade.time))?;
                MarketMessage::Trade(Trade { time: UnixNanos(time), ..trade }, RawPlace::default())
            }
            Key::TickerTime => {
                let time = leap(ticker.time.0, self.jump).filter(|time| is_tellable(*time, ticker.time))?;
                MarketMessage::Ticker(Ticker { time: UnixNanos(time), sequence: ticker.sequence, price: price(number + 7), ..ticker })
            }
            // One that fits between the real tickers in all else.
            Key::TickerTrade => MarketMessage::Ticker(Ticker {
                sequence: ticker.sequence - 2 + row,
                trade_id: leap(ticker.trade_id, self.jump)?.saturating_add(row),
                price: price(number + 7),
                ..ticker
            }),
        })
    }
}

/// Lists the messages of a script in the order of the wire.
pub(super) fn wire(script: &Script, numbers: std::ops::Range<u64>) -> Vec<MarketMessage> {
    let mut out = Vec::new();
    for number in numbers {
        for absurd in script.absurd.iter().filter(|absurd| absurd.at == number) {
            out.extend((0..absurd.in_a_row).filter_map(|row| absurd.message(script, row)));
        }
        out.push(MarketMessage::Trade(real_trade(script, number), RawPlace::default()));
        out.push(MarketMessage::Ticker(real_ticker(script, number)));
    }
    let Some(lag) = script.lag else { return out };
    let of_second_line = |message: &MarketMessage| match *message {
        MarketMessage::Trade(trade, place) => MarketMessage::Trade(Trade { origin: Origin::new(Means::Live, 1, 0), ..trade }, place),
        other => other,
    };
    let mut both = Vec::new();
    for at in 0..out.len() + lag {
        both.extend(out.get(at).copied());
        both.extend(at.checked_sub(lag).and_then(|at| out.get(at)).map(of_second_line));
    }
    both
}

pub(super) fn run(fixture: WriterFixture, messages: &[MarketMessage]) -> WriterFixture {
    for message in messages {
        assert!(fixture.route.queue.push_within(*message, Duration::ZERO).is_queued());
    }
    fixture.route.slot.wake_writer();
    fixture
}

/// Gives what is stored of all series, by series and id.
fn stored_trades(folder: &std::path::Path) -> BTreeMap<(u32, u64), Vec<Trade>> {
    let mut found: BTreeMap<(u32, u64), Vec<Trade>> = BTreeMap::new();
    for series in catalog::series(folder, &product()).expect("listed") {
        for date in catalog::days(folder, &series, crate::schema::Dataset::Trades).expect("listed") {
            let day = Snapshot::<Trades>::open(folder, &series, date).expect("opened").expect("a day");
            day.rows().for_each(|row| found.entry((series.series(), row.trade_id)).or_default().push(row));
        }
    }
    found
}

fn stored_tickers(folder: &std::path::Path) -> Vec<Ticker> {
    let mut found = Vec::new();
    for series in catalog::series(folder, &product()).expect("listed") {
        for date in catalog::days(folder, &series, crate::schema::Dataset::Md).expect("listed") {
            found.extend(Snapshot::<Md>::open(folder, &series, date).expect("opened").expect("a day").rows());
        }
    }
    found
}

pub(super) fn journaled(folder: &std::path::Path, is_it: impl Fn(&Event) -> bool) -> usize {
    let lines = events(folder, JOURNAL, UtcDay(0), UtcDay(u32::MAX));
    lines.filter(|line| line.as_ref().is_ok_and(|line| line.event.as_ref().is_some_and(&is_it))).count()
}

/// Gives the numbers of the messages of each run.
fn parts(restart: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    [0..restart, restart..REAL].into_iter().filter(|numbers| !numbers.is_empty())
}

/// Runs a script. Gives the folder and the sums of all runs: received, and accounted for.
fn play(script: &Script) -> tempfile::TempDir {
    let lines = if script.lag.is_some() { 2 } else { 1 };
    let mut folder = tempfile::tempdir().expect("a folder");
    let parts = parts(script.restart);
    for numbers in parts {
        let messages = wire(script, numbers);
        let fixture = run(WriterFixture::in_folder(folder, lines), &messages);
        let (trades, tickers) = messages.iter().fold((0, 0), |(trades, tickers), message| match message {
            MarketMessage::Trade(..) => (trades + 1, tickers),
            _ => (trades, tickers + 1),
        });
        let (left, counts) = fixture.end_and_keep();
        assert_eq!(counts, (trades, tickers), "every message ends in one counter");
        folder = left;
    }
    folder
}

fn check(script: &Script) {
    let folder = play(script);
    let path = folder.path();
    let stored = stored_trades(path);
    let all =
        script.absurd.iter().flat_map(|absurd| (0..absurd.in_a_row).filter_map(|row| Some((absurd.key, absurd.message(script, row)?))));
    let (mut claimed, mut claimed_sequences) = (BTreeSet::new(), BTreeSet::new());
    for (key, message) in all {
        match message {
            MarketMessage::Trade(trade, _) => _ = claimed.insert(trade.trade_id),
            MarketMessage::Ticker(ticker) if matches!(key, Key::Sequence) => _ = claimed_sequences.insert(ticker.sequence),
            _ => {}
        }
    }
    for number in 0..REAL {
        let real = real_trade(script, number);
        let of_it: Vec<&Trade> = stored.iter().filter(|((_, id), _)| *id == real.trade_id).flat_map(|(_, rows)| rows).collect();
        let equal = of_it.iter().filter(|row| row.agrees_with(&real)).count();
        // Of two trades with one id that nothing tells apart the first is kept, and the other journaled, as a conflict or a doubt that nothing confirmed: never
        // in silence.
        let is_told = |event: &Event| matches!(event, Event::Conflict { trade_id: key, .. } | Event::DoubtRefuted { key, .. } if *key == real.trade_id);
        let is_claimed = equal == 0 && claimed.contains(&real.trade_id) && journaled(path, is_told) > 0;
        assert!(equal == 1 || is_claimed, "trade {} is stored {of_it:?} by {script:?}", real.trade_id);
    }
    let series = stored.keys().map(|(series, _)| *series).max();
    assert_eq!(series, Some(1), "one or two messages began another series: {script:?}");
    let tickers = stored_tickers(path);
    for number in 0..REAL {
        let real = real_ticker(script, number);
        let is_it = |row: &&Ticker| row.sequence == real.sequence && row.time == real.time && row.price == real.price;
        let equal = tickers.iter().filter(is_it).count();
        // Of two tickers with one sequence that fits, the first is stored, and the other is counted as told again.
        let is_claimed = equal == 0 && claimed_sequences.contains(&real.sequence);
        assert!(equal == 1 || is_claimed, "ticker {} is stored {equal} times by {script:?}", real.sequence);
    }
    // One or two tickers with an absurd trade open no gap that others do not confirm.
    let named = |event: &Event| matches!(event, Event::GapOpened { ids, why, .. } if why == "ticker" && ids.count() > 10_001);
    assert_eq!(journaled(path, named), 0, "{script:?}");
    let missing = crate::store::gaps(path, &product(), None).expect("read").missing;
    assert!(missing.count() <= script.absurd.len() as u64 * 1_000_000, "{missing:?}");
}

fn absurd() -> impl Strategy<Value = Absurd> {
    let key = prop_oneof![Just(Key::TradeId), Just(Key::Sequence), Just(Key::TradeTime), Just(Key::TickerTime), Just(Key::TickerTrade)];
    (key, 0..REAL - 4, 0..=18_u32, any::<bool>(), 1..=2_u64).prop_map(|(key, at, exponent, is_up, in_a_row)| Absurd {
        key,
        at: if at % 5 == 0 { 0 } else { at },
        jump: (exponent, is_up),
        in_a_row,
    })
}

fn script() -> impl Strategy<Value = Script> {
    let places = (prop_oneof![Just(0), 5..REAL - 5], prop_oneof![Just(0), 5..REAL - 5]);
    (absurd(), places, proptest::option::of(0..12_usize)).prop_map(|(absurd, (restart, midnight), lag)| {
        // At the restart and at midnight as often as elsewhere.
        let at = match absurd.at % 4 {
            1 if restart > 0 => restart,
            2 if midnight > 0 => midnight,
            _ => absurd.at,
        };
        Script { absurd: vec![Absurd { at: at.min(REAL - 4), ..absurd }], restart, midnight, lag }
    })
}

/// Scripts that were once wrong.
#[test]
fn an_absurd_message_among_the_first_ones_hides_no_real_message() {
    for (key, at, jump, in_a_row, restart) in [
        (Key::TradeTime, 2, (13, false), 1, 0),
        (Key::TradeTime, 2, (13, false), 1, 5),
        (Key::TickerTime, 0, (13, false), 1, 0),
        (Key::TickerTime, 0, (16, false), 1, 42),
        (Key::TradeId, 0, (6, false), 1, 25),
        (Key::TradeId, 0, (6, false), 1, 0),
        (Key::Sequence, 48, (0, true), 2, 49),
        (Key::Sequence, 47, (0, true), 2, 49),
        (Key::Sequence, 47, (0, true), 1, 48),
        (Key::Sequence, 48, (0, true), 2, 0),
    ] {
        check(&Script { absurd: vec![Absurd { key, at, jump, in_a_row }], restart, midnight: 0, lag: None });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_absurd_key_hides_no_real_message_wherever_it_comes(script in script()) {
        check(&script);
    }
}

pub(super) fn plain(restart: u64, midnight: u64) -> Script {
    Script { absurd: Vec::new(), restart, midnight, lag: None }
}

/// Trades and tickers of a series that begins anew at `first`, one after the other behind those of `script`.
fn anew(script: &Script, first: u64, count: u64) -> Vec<MarketMessage> {
    let messages = (0..count).flat_map(|number| {
        let (trade, ticker) = (real_trade(script, REAL + number), real_ticker(script, REAL + number));
        let trade = Trade { trade_id: first + number, price: price(number + 31), ..trade };
        let ticker = Ticker { trade_id: trade.trade_id, price: trade.price, sequence: 10 + number, ..ticker };
        [MarketMessage::Trade(trade, RawPlace::default()), MarketMessage::Ticker(ticker)]
    });
    messages.collect()
}

#[test]
fn trade_ids_that_begin_anew_are_another_series_live_over_a_restart_and_with_a_line_that_lags() {
    // Far below, just below, and among ids that are stored.
    for first in [1, 4_000_000, FIRST - 100, FIRST, FIRST + 20] {
        // A line that lags by more than it takes to believe the new series brings trades of the old one behind them.
        for (is_restarted, lag) in [(false, None), (true, None), (false, Some(5)), (false, Some(40))] {
            let script = Script { lag, ..plain(0, 0) };
            let mut messages = wire(&Script { lag: None, ..script.clone() }, 0..REAL);
            let mut new = anew(&script, first, 30);
            if let Some(lag) = lag {
                let all: Vec<MarketMessage> = messages.iter().chain(&new).copied().collect();
                let copies =
                    (0..all.len() + lag).flat_map(|at| [all.get(at).copied(), at.checked_sub(lag).and_then(|at| all.get(at).copied())]);
                (messages, new) = (copies.flatten().collect(), Vec::new());
            }
            let mut fixture = run(WriterFixture::in_folder(tempfile::tempdir().expect("a folder"), 1), &messages);
            if is_restarted {
                fixture = WriterFixture::in_folder(fixture.end_and_keep().0, 1);
            }
            let (folder, _) = run(fixture, &new).end_and_keep();
            let stored = stored_trades(folder.path());
            let ids = |series: u32| stored.keys().filter(|(of, _)| *of == series).map(|(_, id)| *id).collect::<Vec<_>>();
            assert_eq!(ids(1), (FIRST..FIRST + REAL).collect::<Vec<_>>(), "{first} {is_restarted} {lag:?}");
            assert_eq!(ids(2), (first..first + 30).collect::<Vec<_>>(), "{first} {is_restarted} {lag:?}");
            assert!(stored.values().all(|rows| rows.len() == 1));
            let tickers = |series: &str| {
                let series = ProductId::new(series).expect("a series");
                Snapshot::<Md>::open(folder.path(), &series, DAY).expect("opened").map_or(0, |day| day.count())
            };
            assert_eq!((tickers("BTC-USD"), tickers("BTC-USD~2")), (60, 30), "{first} {is_restarted} {lag:?}");
            let is_restart = |event: &Event| matches!(event, Event::SeriesRestarted { last_id, first_id, .. } if (*last_id, *first_id) == (FIRST + REAL - 1, first));
            assert_eq!(journaled(folder.path(), is_restart), 1);
            let told = std::fs::read_to_string(folder.path().join("_coltape/products.jsonl")).expect("read");
            assert!(told.contains("BTC-USD~2"), "{told}");
            // A later run goes on with the newest series.
            let fixture = run(WriterFixture::in_folder(folder, 1), &anew(&script, first, 40));
            let (folder, _) = fixture.end_and_keep();
            assert_eq!(stored_trades(folder.path()).keys().filter(|(series, _)| *series == 2).count(), 40);
            assert!(crate::store::gaps(folder.path(), &product(), None).expect("read").missing.is_empty());
        }
    }
}

#[test]
fn tickers_that_name_trades_of_a_new_series_are_stored_beside_them_although_their_sequence_goes_on() {
    for is_ticker_first in [false, true] {
        let script = plain(0, 0);
        let mut messages = wire(&script, 0..REAL);
        for (number, pair) in (0..).zip(anew(&script, 1, 30).chunks_exact(2)) {
            let [trade, MarketMessage::Ticker(ticker)] = *pair else { panic!("a trade and its ticker") };
            let ticker = MarketMessage::Ticker(Ticker { sequence: 1000 + REAL + number, ..ticker });
            messages.extend(if is_ticker_first { [ticker, trade] } else { [trade, ticker] });
        }
        let fixture = run(WriterFixture::in_folder(tempfile::tempdir().expect("a folder"), 1), &messages);
        let (folder, _) = fixture.end_and_keep();
        let named = |series: &str| {
            let series = ProductId::new(series).expect("a series");
            let day = Snapshot::<Md>::open(folder.path(), &series, DAY).expect("opened").expect("a day");
            day.rows().map(|ticker| ticker.trade_id).collect::<Vec<_>>()
        };
        assert_eq!(named("BTC-USD"), (FIRST..FIRST + REAL).collect::<Vec<_>>(), "{is_ticker_first}");
        assert_eq!(named("BTC-USD~2"), (1..=30).collect::<Vec<_>>(), "{is_ticker_first}");
    }
}

#[test]
fn a_ticker_sequence_that_begins_anew_is_stored_in_place_also_over_a_restart_and_midnight() {
    for (restart, midnight) in [(0, 0), (30, 0), (0, 30), (30, 30)] {
        let script = plain(0, midnight);
        let message = |number: u64| {
            let ticker = real_ticker(&script, number);
            // Trade ids go on: only the sequence falls.
            MarketMessage::Ticker(Ticker { sequence: if number < 30 { 900_000 + number } else { number - 20 }, ..ticker })
        };
        let mut folder = tempfile::tempdir().expect("a folder");
        for numbers in parts(restart) {
            let messages: Vec<MarketMessage> = numbers.map(message).collect();
            folder = run(WriterFixture::in_folder(folder, 1), &messages).end_and_keep().0;
        }
        let sequences: Vec<u64> = stored_tickers(folder.path()).iter().map(|ticker| ticker.sequence).collect();
        let want: Vec<u64> = (900_000..900_030).chain(10..40).collect();
        assert_eq!(sequences, want, "restart {restart} midnight {midnight}");
        let is_restart = |event: &Event| matches!(event, Event::SequenceRestarted { last_sequence: 900_029, first_sequence: 10, .. });
        assert_eq!(journaled(folder.path(), is_restart), 1, "restart {restart} midnight {midnight}");
    }
}

#[test]
fn tickers_around_one_or_two_absurd_sequences_are_all_stored() {
    for absurd in [vec![1_001_100], vec![u64::MAX / 2, u64::MAX / 2 + 1], vec![3, 2]] {
        let script = plain(0, 0);
        let mut messages: Vec<MarketMessage> = Vec::new();
        for number in 0..200 {
            if number == 100 {
                messages.extend(
                    absurd.iter().map(|sequence| MarketMessage::Ticker(Ticker { sequence: *sequence, ..real_ticker(&script, 100) })),
                );
            } else {
                messages.push(MarketMessage::Ticker(real_ticker(&script, number)));
            }
        }
        let fixture = run(WriterFixture::in_folder(tempfile::tempdir().expect("a folder"), 1), &messages);
        let folder = fixture.end_and_keep().0;
        let sequences: Vec<u64> = stored_tickers(folder.path()).iter().map(|ticker| ticker.sequence).collect();
        assert_eq!(sequences, (1000..1100).chain(1101..1200).collect::<Vec<_>>(), "{absurd:?}");
    }
}
