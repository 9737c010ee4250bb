//! Figures against figures in integers and sorted lists, from the ledger of a recorded market.

use std::collections::BTreeMap;

use coltape::internals::record::Ticker;
use coltape::internals::schema::{Layout, Md, Trades};
use coltape::internals::store::StoreOptions;
use coltape::internals::time::UnixNanos;
use coltape::{Format, ProductId, Significant, Tape, TimeRange, print_stats};
use serde_json::Value;

use super::candles::{decimal, stored};
use super::exactly::{Added, DIGITS, Told, agree, nearest, quotient, units};
use super::recorded::record;
use crate::market::{FIRST_DAY, data_dir, product, store};

const SECOND: u64 = 1_000_000_000;

fn lines(dir: &std::path::Path, range: TimeRange, which: Significant) -> Vec<Value> {
    let (tape, product) = (Tape::open(dir).unwrap(), ProductId::new("BTC-USD").unwrap());
    let mut out = Vec::new();
    print_stats(&tape, &product, range, which, Format::Jsonl, true, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A quantile of values that need not be sorted, interpolated as numpy does.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = share * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

fn notional(trade: &Told) -> i128 {
    units(&trade.price) * units(&trade.size)
}

#[test]
fn the_figures_of_a_market_are_those_of_its_ledger() {
    let market = record("exchange", &["--rate", "200", "--duration", "3s", "--faults", "drop=0.02"], &[]);
    let trades = market.trades();
    let from = UnixNanos(trades[0].time);
    let lines = lines(&market.data, TimeRange { from: Some(from), to: None }, Significant::Top(25));
    let (stats, summary) = (&lines[0], lines.last().unwrap());
    let mut all = Added::default();
    trades.iter().for_each(|trade| all.add(trade));
    let number = |key: &str| stats[key].as_f64().unwrap_or_else(|| panic!("{key} in {stats}"));
    let volume = all.bought + all.sold;
    for (key, expected) in [
        ("trades", trades.len() as f64),
        ("volume", nearest(volume, DIGITS)),
        ("buy_volume", nearest(all.bought, DIGITS)),
        ("sell_volume", nearest(all.sold, DIGITS)),
        ("notional", nearest(all.notional, 2 * DIGITS)),
        ("open", nearest(all.prices[0], DIGITS)),
        ("close", nearest(all.prices[all.prices.len() - 1], DIGITS)),
        ("high", nearest(*all.prices.iter().max().unwrap(), DIGITS)),
        ("low", nearest(*all.prices.iter().min().unwrap(), DIGITS)),
    ] {
        assert!(agree(number(key), expected), "{key}: {expected} in {stats}");
    }
    assert!(agree(number("vwap"), quotient(all.notional, volume * 10i128.pow(10))));
    assert!(agree(number("buy_share"), quotient(all.bought, volume)) && agree(number("sell_share"), quotient(all.sold, volume)));
    let gaps: Vec<f64> = trades.windows(2).map(|pair| pair[1].time.saturating_sub(pair[0].time) as f64 / 1e6).collect();
    for (key, share) in [("inter_arrival_p50_ms", 0.5), ("inter_arrival_p99_ms", 0.99)] {
        assert!((number(key) - quantile(gaps.clone(), share)).abs() < 1e-9, "{key}");
    }
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    trades.iter().for_each(|trade| *seconds.entry(trade.time / SECOND).or_default() += 1);
    let most = *seconds.values().max().unwrap();
    let peak = seconds.iter().find(|(_, count)| **count == most).map(|(second, _)| second * SECOND).unwrap();
    assert_eq!(number("peak_trades"), most as f64);
    assert_eq!(stats["peak_second"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond(), i128::from(peak));
    let length = trades[trades.len() - 1].time - trades[0].time;
    assert!(agree(number("trades_per_s"), trades.len() as f64 / (length as f64 / 1e9)));
    assert_eq!((stats["verdict"].as_str(), summary["verdict"].as_str()), (Some("open"), Some("open")));
    assert_eq!(stats["missing"].as_u64(), Some(trades[trades.len() - 1].id - trades[0].id + 1 - trades.len() as u64));
    // The largest first; of equal ones the earliest.
    let mut largest: Vec<&Told> = trades.iter().collect();
    largest.sort_by_key(|trade| (std::cmp::Reverse(notional(trade)), trade.id));
    let found: Vec<u64> = lines[1..lines.len() - 1].iter().map(|line| line["trade_id"].as_u64().unwrap()).collect();
    assert_eq!(found, largest.iter().take(25).map(|trade| trade.id).collect::<Vec<_>>());
    assert!(agree(lines[1]["notional"].as_f64().unwrap(), nearest(notional(largest[0]), 2 * DIGITS)));
}

#[test]
fn a_trade_is_significant_from_the_very_notional_on() {
    let folder = tempfile::tempdir().unwrap();
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told = |id: u64, price: &str, size: &str| Told {
        id,
        time: noon + id * SECOND,
        price: price.to_owned(),
        size: size.to_owned(),
        is_buy: true,
    };
    let trades = [told(1, "0.1", "3"), told(2, "0.3", "1"), told(3, "0.29999999", "1"), told(4, "100", "2")];
    store::<Trades>(&data_dir(folder.path(), StoreOptions::default()), &product(), &trades.iter().map(stored).collect::<Vec<_>>());
    let ids = |which: Significant| {
        let lines = lines(folder.path(), TimeRange::ALL, which);
        lines[1..lines.len() - 1].iter().map(|line| line["trade_id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(Significant::MinNotional(0.3)), [1, 2, 4]);
    assert_eq!((ids(Significant::Top(2)), ids(Significant::Top(0)), ids(Significant::Top(9))), (vec![4, 1], vec![], vec![4, 1, 2, 3]));
}

#[test]
fn spreads_are_decimals_and_weighted_by_the_time_until_the_next_ticker() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told = Told { id: 1, time: noon, price: "64841.45".to_owned(), size: "1".to_owned(), is_buy: true };
    store::<Trades>(&dir, &product(), &[stored(&told)]);
    let ticker = |after: u64, bid: &str, ask: &str| Ticker {
        time: UnixNanos(noon + after * SECOND),
        sequence: after + 1,
        best_bid: decimal(bid),
        best_ask: decimal(ask),
        ..Md::EMPTY
    };
    let none = Ticker { time: UnixNanos(noon + 5 * SECOND), sequence: 6, ..Md::EMPTY };
    let tickers = [ticker(0, "64841.44", "64841.45"), ticker(1, "64841.4", "64841.45"), none, ticker(11, "64841.44", "64841.46")];
    store::<Md>(&dir, &product(), &tickers);
    let stats = &lines(folder.path(), TimeRange::ALL, Significant::Top(1))[0];
    assert_eq!((stats["spread_median"].as_f64(), stats["spread_p95"].as_f64()), (Some(0.02), Some(0.047)));
    // 0.01 for one second, 0.05 for ten.
    assert!(agree(stats["spread_time_weighted"].as_f64().unwrap(), 0.51 / 11.0), "{stats}");
    // One trade: no rate, and no time between two.
    for key in ["trades_per_s", "inter_arrival_p50_ms", "inter_arrival_p99_ms"] {
        assert!(stats[key].is_null(), "{key} in {stats}");
    }
}

#[test]
fn the_time_of_a_gap_does_not_count_in_the_mean_spread() {
    let folder = tempfile::tempdir().unwrap();
    let dir = data_dir(folder.path(), StoreOptions::default());
    let noon = FIRST_DAY.start().0 + 43_200 * SECOND;
    let told = |id: u64, after: u64| {
        let text = |text: &str| text.to_owned();
        stored(&Told { id, time: noon + after * SECOND, price: text("100"), size: text("1"), is_buy: true })
    };
    // Ids 3 to 9 are missing between the 10th second and the 70th, and id 12 between the 80th and the 90th.
    let trades = [told(1, 0), told(2, 10), told(10, 70), told(11, 80), told(13, 90), told(14, 100)];
    store::<Trades>(&dir, &product(), &trades);
    let ticker = |after: u64, ask: &str| Ticker {
        time: UnixNanos(noon + after * SECOND),
        sequence: after + 1,
        best_bid: decimal("100"),
        best_ask: decimal(ask),
        ..Md::EMPTY
    };
    let tickers = [ticker(0, "101"), ticker(5, "102"), ticker(30, "108"), ticker(75, "104"), ticker(85, "105"), ticker(100, "109")];
    store::<Md>(&dir, &product(), &tickers);
    let stats = &lines(folder.path(), TimeRange::ALL, Significant::Top(1))[0];
    // 1 for 5 s, 2 for the 5 s before the gap, 8 for the 5 s behind it, 4 for the 5 s before the next one, 5 for the 10 s behind that.
    assert!(agree(stats["spread_time_weighted"].as_f64().unwrap(), (5.0 + 10.0 + 40.0 + 20.0 + 50.0) / 30.0), "{stats}");
}
