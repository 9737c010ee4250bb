//! Candles of a day. The rivals add up f64 without looking at what their sums lose: record by record into a map, and column by column where minutes follow
//! each other.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use coltape::{Candle, Candles, Interval, Snapshot, Tape, Trades};

use crate::day::BenchDay;
use crate::rounds::{Contest, Entrant, thread_cpu};

pub const NAME: &str = "candles: minutes of a day";
/// The program's.
pub const MINUTES: &str = "coltape: Candles, 1m, exact sums";
/// The same with the most buckets.
pub const SECONDS: &str = "coltape: Candles, 1s, exact sums";
const COLUMNS: &str = "a loop over the columns, f64 sums";
const RECORDS: &str = "records into a map, f64 sums";

#[derive(Default)]
struct Plain {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    bought: f64,
    sold: f64,
    notional: f64,
    trades: u64,
}

impl Plain {
    fn add(&mut self, price: f64, size: f64, is_buy: bool) {
        if self.trades == 0 {
            (self.open, self.high, self.low) = (price, price, price);
        }
        (self.high, self.low, self.close) = (self.high.max(price), self.low.min(price), price);
        *(if is_buy { &mut self.bought } else { &mut self.sold }) += size;
        self.notional += price * size;
        self.trades += 1;
    }
}

fn by_candles(tape: &BenchDay, interval: Interval) -> f64 {
    let mut asked = Candles::new(Tape::open(tape.folder.path()).unwrap(), tape.product.clone());
    asked.interval = interval;
    let mut volume = 0.0;
    asked
        .for_each(|candle: &Candle| {
            volume += candle.volume;
            Ok(())
        })
        .unwrap();
    volume
}

fn by_columns(tape: &BenchDay, _: Interval) -> f64 {
    let day: Snapshot<Trades> = tape.open();
    let seconds: &[u32] = day.column("trade_time").unwrap();
    let sides: &[u32] = day.column("trade_side").unwrap();
    let prices: &[f64] = day.column("trade_price_f64").unwrap();
    let sizes: &[f64] = day.column("trade_size_f64").unwrap();
    let mut minutes: BTreeMap<u32, Plain> = BTreeMap::new();
    let mut at = 0;
    while at < seconds.len() {
        let minute = seconds[at] / 60;
        let count = seconds[at..].iter().take_while(|second| **second / 60 == minute).count();
        let candle = minutes.entry(minute).or_default();
        for record in at..at + count {
            candle.add(prices[record], sizes[record], sides[record] == 1);
        }
        at += count;
    }
    black_box(&minutes).values().map(|candle| candle.bought + candle.sold).sum()
}

fn by_records(tape: &BenchDay, _: Interval) -> f64 {
    let mut minutes: BTreeMap<u32, Plain> = BTreeMap::new();
    for trade in tape.open().rows() {
        let candle = minutes.entry(trade.time.seconds() / 60).or_default();
        candle.add(trade.price.as_f64, trade.size.as_f64, trade.side == coltape::Side::Buy);
    }
    black_box(&minutes).values().map(|candle| candle.bought + candle.sold).sum()
}

/// The contest.
pub fn contest(day: &Rc<BenchDay>) -> Contest {
    let expected = by_candles(day, Interval::Day);
    let entrant = |name, interval, add_up: fn(&BenchDay, Interval) -> f64| {
        let day = Rc::clone(day);
        let run = move || -> Duration {
            let began = thread_cpu();
            let found = black_box(add_up(&day, interval));
            let took = thread_cpu() - began;
            assert!((found - expected).abs() <= expected * 1e-9, "{name}: {found} is not {expected}");
            took
        };
        Entrant { name, run: Box::new(run) }
    };
    let entrants = vec![
        entrant(MINUTES, Interval::Minute, by_candles),
        entrant(SECONDS, Interval::Second, by_candles),
        entrant(COLUMNS, Interval::Minute, by_columns),
        entrant(RECORDS, Interval::Minute, by_records),
    ];
    Contest { name: NAME, per: "ns CPU / trade", elements: day.trades, entrants }
}
