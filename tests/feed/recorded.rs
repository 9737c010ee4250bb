//! Both recorded sessions are decoded and compared, field by field, with an independent reading: serde_json, std, `jiff` and `hex`.

use coltape::internals::feed::{Control, Decoder, Feed, FrameFate, Handler, Item, RejectReason};
use coltape::internals::record::{Means, Side, Ticker, Trade};
use coltape::internals::time::{Timestamp, UnixNanos};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

/// Gives the frames of a recording. Where the folder is missing, prints that and gives nothing; CI must have it.
pub(crate) fn frames(name: &str) -> Option<Vec<(UnixNanos, String)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recordings").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        let _ = writeln!(std::io::stderr(), "skipped: {} is missing", path.display());
        return None;
    };
    let frame = |line: &str| {
        let (recv, frame) = line.split_once('\t').expect("a tab");
        (UnixNanos(recv.parse().expect("nanoseconds")), frame.to_owned())
    };
    Some(text.lines().map(frame).collect())
}

#[derive(Default)]
struct Kept {
    trades: Vec<(String, Trade)>,
    tickers: Vec<(String, Ticker)>,
    beats: usize,
    controls: Vec<Control>,
}

impl Handler for Kept {
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        self.trades.push((String::from_utf8(product.to_vec()).expect("text"), *trade));
    }
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        self.tickers.push((String::from_utf8(product.to_vec()).expect("text"), *ticker));
    }
    fn heartbeat(&mut self, _: Option<&[u8]>, _: u64, _: Option<Timestamp>) {
        self.beats += 1;
    }
    fn inexact(&mut self, product: &[u8], column: &'static str, _: u64, text: &[u8]) {
        panic!("{product:?} {column} {text:?}");
    }
    fn reject_item(&mut self, item: Item, why: RejectReason) {
        panic!("{item:?} {why}");
    }
    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

/// Decodes all frames and counts their fates by kind.
fn decode(feed: Feed, frames: &[(UnixNanos, String)]) -> (Kept, BTreeMap<(String, String), usize>) {
    let (mut decoder, mut kept, mut fates) = (Decoder::new(feed, 3), Kept::default(), BTreeMap::new());
    for (recv, frame) in frames {
        let value: Value = serde_json::from_str(frame).expect("a recorded frame");
        let kind = value["channel"].as_str().or(value["type"].as_str()).expect("a kind").to_owned();
        let fate = format!("{:?}", decoder.decode(frame.as_bytes(), *recv, &mut kept));
        *fates.entry((kind, fate)).or_default() += 1;
    }
    (kept, fates)
}

fn counted(expected: &[(&str, FrameFate, usize)]) -> BTreeMap<(String, String), usize> {
    expected.iter().map(|(kind, fate, count)| (((*kind).to_owned(), format!("{fate:?}")), *count)).collect()
}

fn unix(text: &Value) -> UnixNanos {
    let time: jiff::Timestamp = text.as_str().expect("a time").parse().expect("a time");
    UnixNanos(u64::try_from(time.as_nanosecond()).expect("after 1970"))
}

fn same_number(read: coltape::internals::decimal::Decimal, text: &Value) {
    let text = text.as_str().expect("a string");
    let (wide, narrow): (f64, f32) = (text.parse().expect("a number"), text.parse().expect("a number"));
    assert_eq!((read.as_f64.to_bits(), read.as_f32.to_bits(), read.is_exact()), (wide.to_bits(), narrow.to_bits(), true), "{text}");
}

fn uuid(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().expect("a string").replace('-', "")).expect("hex")
}

fn turned(side: &Value) -> Side {
    match side.as_str().expect("a string").to_lowercase().as_str() {
        "sell" => Side::Buy,
        "buy" => Side::Sell,
        other => panic!("{other}"),
    }
}

#[test]
fn every_field_of_the_exchange_session_is_read_as_it_was_sent() {
    let Some(frames) = frames("exchange-2021-04-17.tsv") else { return };
    let (kept, fates) = decode(Feed::Exchange, &frames);
    let expected = [
        ("match", FrameFate::Used, 97),
        ("last_match", FrameFate::Used, 10),
        ("ticker", FrameFate::Used, 107),
        ("subscriptions", FrameFate::Control, 3),
        ("snapshot", FrameFate::Ignored, 10),
        ("l2update", FrameFate::Ignored, 9719),
    ];
    assert_eq!(fates, counted(&expected));
    let sent: Vec<(UnixNanos, Value)> = frames.iter().map(|(recv, frame)| (*recv, serde_json::from_str(frame).expect("JSON"))).collect();

    let matches: Vec<_> = sent.iter().filter(|(_, frame)| frame["type"].as_str().is_some_and(|kind| kind.ends_with("match"))).collect();
    assert_eq!((kept.trades.len(), matches.len()), (107, 107));
    for ((product, trade), (recv, frame)) in kept.trades.iter().zip(matches) {
        assert_eq!(product.as_str(), frame["product_id"]);
        assert_eq!(trade.trade_id, frame["trade_id"]);
        assert_eq!(trade.sequence, frame["sequence"]);
        assert_eq!((trade.time, trade.recv), (unix(&frame["time"]), *recv));
        same_number(trade.price, &frame["price"]);
        same_number(trade.size, &frame["size"]);
        assert_eq!(trade.side, turned(&frame["side"]));
        assert_eq!(trade.maker_order_id.0.to_vec(), uuid(&frame["maker_order_id"]));
        assert_eq!(trade.taker_order_id.0.to_vec(), uuid(&frame["taker_order_id"]));
        let means = if frame["type"] == "match" { Means::Live } else { Means::Snapshot };
        assert_eq!((trade.origin.means(), trade.origin.0 >> 4), (Some(means), 3), "line 3, Exchange");
    }

    let tickers: Vec<_> = sent.iter().filter(|(_, frame)| frame["type"] == "ticker").collect();
    assert_eq!((kept.tickers.len(), tickers.len()), (107, 107));
    for ((product, ticker), (recv, frame)) in kept.tickers.iter().zip(tickers) {
        assert_eq!(product.as_str(), frame["product_id"]);
        assert_eq!(
            (ticker.trade_id, ticker.sequence),
            (frame["trade_id"].as_u64().expect("an id"), frame["sequence"].as_u64().expect("a sequence"))
        );
        assert_eq!((ticker.time, ticker.recv), (unix(&frame["time"]), *recv));
        same_number(ticker.price, &frame["price"]);
        same_number(ticker.volume, &frame["last_size"]);
        same_number(ticker.best_bid, &frame["best_bid"]);
        same_number(ticker.best_ask, &frame["best_ask"]);
        assert_eq!(ticker.side.expect("a side").name(), frame["side"]);
        assert!(ticker.best_bid_size.is_nan() && ticker.best_ask_size.is_nan(), "not sent before 2022");
        assert!(ticker.carries_trade());
    }
}

#[test]
fn the_same_trade_has_the_same_taker_in_match_and_ticker() {
    let Some(frames) = frames("exchange-2021-04-17.tsv") else { return };
    let (kept, _) = decode(Feed::Exchange, &frames);
    let products: BTreeSet<&str> = kept.trades.iter().map(|(product, _)| product.as_str()).collect();
    assert_eq!(products.len(), 10);
    let mut agreed = 0;
    for (product, trade) in &kept.trades {
        let (_, ticker) = kept
            .tickers
            .iter()
            .find(|(other, ticker)| other == product && ticker.sequence == trade.sequence)
            .expect("a ticker of each trade");
        assert_eq!((ticker.trade_id, ticker.time, ticker.side), (trade.trade_id, trade.time, Some(trade.side)));
        assert!(ticker.price.agrees_with(trade.price) && ticker.volume.agrees_with(trade.size));
        agreed += 1;
    }
    assert_eq!(agreed, 107);
}

#[test]
fn the_exchange_session_has_its_subscriptions() {
    let Some(frames) = frames("exchange-2021-04-17.tsv") else { return };
    let (kept, _) = decode(Feed::Exchange, &frames);
    let Some(Control::Subscriptions(last)) = kept.controls.last() else { panic!("{:?}", kept.controls) };
    assert_eq!(last.keys().collect::<Vec<_>>(), ["level2", "matches", "ticker"]);
    assert!(last.values().all(|products| products.len() == 10));
}

#[test]
fn every_field_of_the_advanced_session_is_read_as_it_was_sent() {
    let Some(frames) = frames("advanced-2026-08-09.tsv") else { return };
    let (kept, fates) = decode(Feed::Advanced, &frames);
    let expected = [
        ("market_trades", FrameFate::Used, 59),
        ("ticker", FrameFate::Used, 160),
        ("heartbeats", FrameFate::Control, 25),
        ("subscriptions", FrameFate::Control, 5),
        ("candles", FrameFate::Ignored, 6),
        ("l2_data", FrameFate::Ignored, 775),
    ];
    assert_eq!(fates, counted(&expected));
    assert_eq!((kept.trades.len(), kept.tickers.len(), kept.beats), (279, 160, 25));
    assert!(kept.controls.iter().all(|control| matches!(control, Control::Subscriptions(_))), "no gap in a whole session");

    let (mut trades, mut tickers) = (kept.trades.iter(), kept.tickers.iter());
    for (recv, frame) in &frames {
        let frame: Value = serde_json::from_str(frame).expect("JSON");
        let events = frame["events"].as_array().expect("events");
        if frame["channel"] == "market_trades" {
            let [event] = events.as_slice() else { panic!("one event a message in this session") };
            let means = if event["type"] == "snapshot" { Means::Snapshot } else { Means::Live };
            // Sent newest first, decoded oldest first.
            for sent in event["trades"].as_array().expect("trades").iter().rev() {
                let (product, trade) = trades.next().expect("as many as were sent");
                assert_eq!(product.as_str(), sent["product_id"]);
                assert_eq!(trade.trade_id.to_string(), sent["trade_id"].as_str().expect("a string"));
                assert_eq!((trade.time, trade.recv, trade.sequence), (unix(&sent["time"]), *recv, 0));
                same_number(trade.price, &sent["price"]);
                same_number(trade.size, &sent["size"]);
                assert_eq!(trade.side, turned(&sent["side"]));
                assert!(trade.maker_order_id.is_nil() && trade.taker_order_id.is_nil());
                assert_eq!((trade.origin.means(), trade.origin.0 >> 4), (Some(means), 0x13), "line 3, Advanced");
            }
        }
        if frame["channel"] == "ticker" {
            for sent in events.iter().flat_map(|event| event["tickers"].as_array().expect("tickers")) {
                let (product, ticker) = tickers.next().expect("as many as were sent");
                assert_eq!(product.as_str(), sent["product_id"]);
                assert_eq!((ticker.time, ticker.recv), (unix(&frame["timestamp"]), *recv));
                same_number(ticker.price, &sent["price"]);
                same_number(ticker.best_bid, &sent["best_bid"]);
                same_number(ticker.best_ask, &sent["best_ask"]);
                assert_eq!(Some(ticker.best_bid_size), sent["best_bid_quantity"].as_str().and_then(|text| text.parse().ok()));
                assert_eq!(Some(ticker.best_ask_size), sent["best_ask_quantity"].as_str().and_then(|text| text.parse().ok()));
                assert_eq!((ticker.trade_id, ticker.sequence, ticker.side), (0, 0, None));
                assert!(ticker.volume.as_f64.is_nan() && !ticker.carries_trade());
            }
        }
    }
    assert!(trades.next().is_none() && tickers.next().is_none());
}

#[test]
fn trade_ids_of_the_advanced_session_come_in_order_without_a_gap() {
    let Some(frames) = frames("advanced-2026-08-09.tsv") else { return };
    let (kept, _) = decode(Feed::Advanced, &frames);
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (product, trade) in &kept.trades {
        if let Some(before) = last.insert(product, trade.trade_id) {
            assert_eq!(trade.trade_id, before + 1, "{product}");
        }
    }
    assert_eq!(last, [("BTC-USD", 1_068_572_137), ("ETH-USD", 833_140_810)].into());
}

#[test]
fn one_frame_removed_from_the_advanced_session_is_one_sequence_gap() {
    let Some(mut frames) = frames("advanced-2026-08-09.tsv") else { return };
    let taken = frames.iter().position(|(_, frame)| frame.starts_with(r#"{"channel":"l2_data""#)).expect("an order book frame");
    frames.remove(taken);
    let (kept, _) = decode(Feed::Advanced, &frames);
    let gaps: Vec<_> = kept.controls.iter().filter(|control| matches!(control, Control::SequenceGap { .. })).collect();
    let expected = u64::try_from(taken).expect("small");
    assert_eq!(gaps, [&Control::SequenceGap { expected, got: expected + 1 }]);
}
