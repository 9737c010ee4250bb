//! The exchange's REST endpoints: pages of trades, candles, tickers, errors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Serve;
use super::tapes::stored_market;
use crate::market::Print;

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn pages_of_trades_go_back_to_the_first_one_newest_first_with_the_makers_side() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 2500);
    let serve = Serve::start(&data);
    let by_id: BTreeMap<u64, &Print> = prints.iter().map(|print| (print.trade.trade_id, print)).collect();
    let mut seen: Vec<u64> = Vec::new();
    let mut target = "/products/BTC-USD/trades".to_owned();
    loop {
        let answer = serve.get(&target);
        assert_eq!(answer.status, 200);
        let page = answer.json().as_array().unwrap().clone();
        let ids: Vec<u64> = page.iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
        if ids.is_empty() {
            assert_eq!(answer.header("cb-after"), None);
            break;
        }
        let header = |name: &str| answer.header(name).unwrap().parse::<u64>().unwrap();
        assert_eq!((header("cb-before"), header("cb-after")), (ids[0], *ids.last().unwrap()));
        for trade in &page {
            let print = by_id[&trade["trade_id"].as_u64().unwrap()];
            assert_eq!(trade["side"], print.trade.side.turned().name());
            assert_eq!((number(&trade["price"]), number(&trade["size"])), (print.trade.price.as_f64, print.trade.size.as_f64));
            assert!(trade["price"].as_str().unwrap().split_once('.').unwrap().1.len() == 8, "{trade}");
            let time: jiff::Timestamp = trade["time"].as_str().unwrap().parse().unwrap();
            assert_eq!(u64::try_from(time.as_nanosecond()).unwrap(), print.trade.time.0);
            assert_eq!(trade.as_object().unwrap().len(), 5);
        }
        seen.extend(&ids);
        target = format!("/products/BTC-USD/trades?after={}", ids.last().unwrap());
    }
    assert!(seen.iter().copied().eq((1..=2500).rev()), "{}", seen.len());
    let ids = |target: &str| -> Vec<u64> {
        serve.json(target).1.as_array().unwrap().iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
    };
    // The window in which a gap is filled: ids below `after`.
    assert_eq!(ids("/products/BTC-USD/trades?limit=3&after=1004"), [1003, 1002, 1001]);
    assert_eq!(ids("/products/BTC-USD/trades?limit=2&before=2400"), [2500, 2499]);
    assert_eq!(ids("/products/BTC-USD/trades?before=2498"), [2500, 2499]);
    assert_eq!(ids("/products/BTC-USD/trades?before=9&after=12"), [11, 10]);
    assert!(ids("/products/BTC-USD/trades?after=1").is_empty() && ids("/products/BTC-USD/trades?before=9999").is_empty());
    assert_eq!(ids("/products/BTC-USD/trades?limit=100000").len(), 1000);
}

#[test]
fn candles_are_the_sums_of_the_trades_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 2500);
    let serve = Serve::start(&data);
    for granularity in [60u64, 300, 900, 3600, 21_600, 86_400] {
        let mut wanted: BTreeMap<u64, Vec<&Print>> = BTreeMap::new();
        for print in &prints {
            wanted.entry(print.trade.time.0 / 1_000_000_000 / granularity * granularity).or_default().push(print);
        }
        let (status, said) = serve.json(&format!("/products/BTC-USD/candles?granularity={granularity}"));
        assert_eq!(status, 200, "{said}");
        let rows = said.as_array().unwrap();
        assert_eq!(rows.len(), wanted.len().min(300));
        for (row, (start, trades)) in rows.iter().zip(wanted.iter().rev()) {
            let prices: Vec<f64> = trades.iter().map(|print| print.trade.price.as_f64).collect();
            let (low, high) = (prices.iter().copied().fold(f64::MAX, f64::min), prices.iter().copied().fold(0.0, f64::max));
            assert_eq!(row[0].as_u64(), Some(*start));
            assert_eq!([&row[1], &row[2], &row[3], &row[4]].map(number), [low, high, prices[0], *prices.last().unwrap()]);
            let volume: f64 = trades.iter().map(|print| print.trade.size.as_f64).sum();
            assert!((number(&row[5]) - volume).abs() < 1e-6, "{row} {volume}");
        }
    }
    let first = prints[0].trade.time.0 / 1_000_000_000 / 60 * 60;
    let (_, some) = serve.json(&format!("/products/BTC-USD/candles?granularity=60&start={first}&end={}", first + 120));
    let starts: Vec<u64> = some.as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()).collect();
    assert_eq!(starts, [first + 120, first + 60, first]);
    let (_, none) = serve.json("/products/BTC-USD/candles?granularity=60&start=2020-01-01T00:00:00Z&end=2020-01-01T01:00:00Z");
    assert_eq!(none, json!([]));
    for (query, message) in [
        ("granularity=61", "Unsupported granularity"),
        ("granularity=x", "Invalid granularity"),
        ("granularity=60&start=soon&end=2025-06-07", "invalid start"),
        ("granularity=60&start=2025-06-08&end=2025-06-07", "start must be before end"),
        (
            "granularity=60&start=2025-06-01&end=2025-06-07",
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300",
        ),
    ] {
        let (status, said) = serve.json(&format!("/products/BTC-USD/candles?{query}"));
        assert_eq!((status, &said["message"]), (400, &json!(message)), "{query}");
    }
}

#[test]
fn the_ticker_the_time_and_the_errors_are_those_of_the_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 901);
    let serve = Serve::start(&data);
    let (_, ticker) = serve.json("/products/BTC-USD/ticker");
    let last = prints.last().unwrap();
    assert_eq!((ticker["trade_id"].as_u64(), number(&ticker["price"])), (Some(901), last.trade.price.as_f64));
    assert_eq!((number(&ticker["bid"]), number(&ticker["ask"])), (last.bid.parse().unwrap(), last.ask.parse().unwrap()));
    let volume: f64 = prints.iter().map(|print| print.trade.size.as_f64).sum();
    assert!((number(&ticker["volume"]) - volume).abs() < 1e-6, "{ticker}");
    let (_, time) = serve.json("/time");
    let iso: jiff::Timestamp = time["iso"].as_str().unwrap().parse().unwrap();
    assert!((number(&time["epoch"]) - iso.as_nanosecond() as f64 / 1e9).abs() < 0.01, "{time}");
    for target in ["/products/NO-SUCH", "/products/NO-SUCH/trades", "/products/..%2F..%2Fetc/trades", "/products/BTC-USD/nothing"] {
        let (status, said) = serve.json(target);
        assert_eq!(status, 404, "{target}");
        assert!(said["message"].is_string() && said["error"].is_string() && said["hint"].is_string(), "{said}");
    }
    assert!(serve.json("/products/ETH-USD").1["hint"].as_str().unwrap().contains("BTC-USD"));
    let (status, said) = serve.json("/products/BTC-USD/trades?limit=many");
    assert_eq!((status, &said["message"]), (400, &json!("Invalid limit")));
    assert_eq!(serve.json("/currencies").1.as_array().unwrap().len(), 2);
}
