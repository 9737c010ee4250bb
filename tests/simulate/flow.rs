//! A market without faults: clients receive everything once, in order, and as the ledger says.

use std::time::Duration;

use coltape::internals::simulate::{SimulateConfig, SimulatedFeed, Simulation};
use coltape::internals::time::UnixNanos;
use serde_json::{Value, json};

use crate::client::{Client, config_with, ledger, of_kind, parse};

const START: UnixNanos = UnixNanos(1_750_000_000_000_000_000);

/// Runs a market to its end with one client. Gives the client's frames, the ledger's folder and the totals.
fn run(config: SimulateConfig) -> (Vec<String>, tempfile::TempDir, coltape::internals::simulate::Totals) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config;
    config.ledger = Some(folder.path().join("ledger"));
    let simulation = Simulation::start(config.clone()).expect("starts");
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let frames = client.read_to_end(&simulation);
    let totals = simulation.stop().expect("a whole ledger");
    (frames, folder, totals)
}

/// Compares values that a frame and a line of the ledger have under different keys.
fn same(frame: &Value, line: &Value, keys: &[(&str, &str)]) {
    for (in_frame, in_ledger) in keys {
        assert_eq!(frame[in_frame], line[in_ledger], "{in_frame} of {frame} and {line}");
    }
}

fn turned(side: &Value) -> Value {
    json!(if side == "buy" { "sell" } else { "buy" })
}

#[test]
fn exchange_sends_every_trade_and_ticker_once_as_the_ledger_says() {
    let config = config_with(3, |config| {
        config.rate_per_product = 400.0;
        config.duration = Some(Duration::from_secs(1));
        config.start = Some(START);
    });
    let (frames, folder, totals) = run(config);
    let path = folder.path().join("ledger");
    let trades: Vec<Value> = ledger(&path, "trade").into_iter().filter(|line| line["history"] != true).collect();
    let matches = of_kind(&frames, "match");
    assert_eq!((matches.len(), totals.trades_produced, totals.trades_never_sent), (trades.len(), trades.len() as u64, 0));
    assert!(trades.len() > 1000);
    let keys = [("trade_id", "trade_id"), ("product_id", "product"), ("price", "price"), ("size", "size"), ("time", "time")];
    for (frame, line) in matches.iter().zip(&trades) {
        same(frame, line, &keys);
        same(frame, line, &[("maker_order_id", "maker"), ("taker_order_id", "taker"), ("sequence", "sequence")]);
        assert_eq!(frame["side"], turned(&line["side"]), "the match shows the maker's side");
        assert_eq!(line["sent"], true);
    }
    let last_matches = of_kind(&frames, "last_match");
    assert_eq!(last_matches.len(), 3);
    let initial = last_matches.len();
    let tickers = of_kind(&frames, "ticker");
    let lines = ledger(&path, "ticker");
    assert_eq!(tickers.len(), lines.len(), "the first one of each product is of the history, sent on subscribing");
    assert_eq!(totals.tickers_sent as usize, lines.len() - initial);
    let keys = [("trade_id", "trade_id"), ("product_id", "product"), ("price", "price"), ("last_size", "last_size"), ("time", "time")];
    for (frame, line) in tickers[initial..].iter().zip(&lines[initial..]) {
        same(frame, line, &keys);
        same(frame, line, &[("side", "side"), ("sequence", "sequence")]);
    }
    let first_tickers = matches.iter().filter(|trade| {
        let place = |kind: &str| {
            frames.iter().position(|frame| {
                let value = parse(frame);
                value["type"] == kind && value["trade_id"] == trade["trade_id"] && value["product_id"] == trade["product_id"]
            })
        };
        place("ticker").is_some_and(|ticker| Some(ticker) < place("match"))
    });
    let share = first_tickers.take(40).count();
    assert!(share >= 40 || share * 100 / matches.len() > 15, "a quarter of the tickers come first");
}

#[test]
fn advanced_sends_every_trade_newest_first_and_numbers_every_message() {
    let config = config_with(3, |config| {
        config.feed = SimulatedFeed::Advanced;
        config.rate_per_product = 400.0;
        config.duration = Some(Duration::from_secs(1));
        config.start = Some(START);
    });
    let (frames, folder, totals) = run(config);
    let path = folder.path().join("ledger");
    let numbers: Vec<u64> = frames.iter().map(|frame| parse(frame)["sequence_num"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..frames.len() as u64).collect::<Vec<_>>());
    let mut live = Vec::new();
    let (mut several_trades, mut several_products, mut several_events) = (0, 0, 0);
    for message in of_kind(&frames, "market_trades") {
        let events = message["events"].as_array().expect("events");
        several_events += usize::from(events.len() > 1);
        let mut names = std::collections::BTreeSet::new();
        for event in events {
            let trades = event["trades"].as_array().expect("trades");
            several_trades += usize::from(trades.len() > 1);
            names.extend(trades.iter().map(|trade| trade["product_id"].to_string()));
            for pair in trades.windows(2).filter(|pair| pair[0]["product_id"] == pair[1]["product_id"]) {
                let id = |trade: &Value| trade["trade_id"].as_str().and_then(|id| id.parse::<u64>().ok()).expect("an id");
                assert_eq!(id(&pair[0]), id(&pair[1]) + 1, "newest first");
            }
            if event["type"] == "snapshot" {
                assert_eq!(trades.len(), 100);
            } else {
                live.extend(trades.iter().cloned());
            }
        }
        several_products += usize::from(names.len() > 1);
    }
    assert!(several_trades > 10 && several_products > 0 && several_events > 0);
    let trades: Vec<Value> = ledger(&path, "trade").into_iter().filter(|line| line["history"] != true).collect();
    assert_eq!((live.len(), totals.trades_sent), (trades.len(), trades.len() as u64));
    let find = |product: &Value, id: &str| {
        trades.iter().find(|line| line["product"] == *product && line["trade_id"].as_u64() == id.parse().ok()).expect("in the ledger")
    };
    for trade in &live {
        let line = find(&trade["product_id"], trade["trade_id"].as_str().expect("a string"));
        same(trade, line, &[("price", "price"), ("size", "size"), ("time", "time")]);
        assert_eq!(trade["side"].as_str().expect("a side").to_lowercase(), turned(&line["side"]), "the maker's side");
        assert_eq!((&line["maker"], &line["sequence"]), (&Value::Null, &json!(0)));
    }
    let tickers = of_kind(&frames, "ticker");
    let lines = ledger(&path, "ticker");
    assert_eq!((tickers.len(), totals.tickers_sent), (lines.len(), lines.len() as u64));
    for (message, line) in tickers.iter().zip(&lines) {
        let ticker = &message["events"][0]["tickers"][0];
        same(
            ticker,
            line,
            &[("price", "price"), ("best_bid", "best_bid"), ("best_ask_quantity", "best_ask_size"), ("product_id", "product")],
        );
        assert_eq!(message["timestamp"], line["time"]);
    }
}

#[test]
fn the_same_seed_gives_the_same_ledger() {
    for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
        let produced = |seed| {
            let config = config_with(4, |config| {
                config.feed = feed;
                config.seed = seed;
                config.rate_per_product = 300.0;
                config.duration = Some(Duration::from_millis(300));
                config.start = Some(START);
            });
            let (_, folder, _) = run(config);
            let text = std::fs::read_to_string(folder.path().join("ledger")).expect("a ledger");
            text.lines().filter(|line| !line.contains("\"kind\":\"end\"")).map(str::to_owned).collect::<Vec<_>>()
        };
        let first = produced(11);
        assert!(first.len() > 4 * 120 + 300);
        assert_eq!(first, produced(11));
        assert_ne!(first[1..], produced(12)[1..]);
    }
}

#[test]
fn a_seed_gives_the_same_trades_and_tickers_in_every_version() {
    for (feed, checksum) in [(SimulatedFeed::Exchange, 0xbc7a_b5ed), (SimulatedFeed::Advanced, 0x5db5_1cfd)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let config = config_with(3, |config| {
            config.feed = feed;
            config.seed = 7;
            config.rate_per_product = 400.0;
            config.duration = Some(Duration::from_millis(1500));
            config.start = Some(UnixNanos(1_749_988_800_000_000_000));
            config.ledger = Some(path.clone());
        });
        let simulation = Simulation::start(config.clone()).expect("starts");
        let mut client = Client::connect(&simulation);
        let names: Vec<&str> = config.products.iter().map(|product| product.as_str()).collect();
        match feed {
            SimulatedFeed::Exchange => client.subscribe(&["matches", "ticker"], &names),
            SimulatedFeed::Advanced => {
                for channel in ["market_trades", "ticker"] {
                    client.ask(&json!({"type": "subscribe", "channel": channel, "product_ids": names}));
                    client.read_until(|frames| !of_kind(frames, "subscriptions").is_empty());
                }
            }
        }
        client.read_to_end(&simulation);
        simulation.stop().expect("a whole ledger");
        let text = std::fs::read_to_string(&path).expect("a ledger");
        let is_update = |line: &&str| line.contains("\"kind\":\"trade\"") || line.contains("\"kind\":\"ticker\"");
        let updates: String = text.split_inclusive('\n').filter(is_update).collect();
        assert_eq!(crc32c::crc32c(updates.as_bytes()), checksum, "{feed:?}: other checks rely on the market of a seed");
    }
}

#[test]
fn a_market_of_a_high_rate_is_made_and_sent_in_full_with_the_ledger_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config_with(2, |config| {
        config.rate_per_product = 10_000.0;
        config.duration = Some(Duration::from_secs(1));
        config.ledger = Some(folder.path().join("ledger"));
    });
    let simulation = Simulation::start(config.clone()).expect("starts");
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let frames = client.read_to_end(&simulation);
    let totals = simulation.stop().expect("a whole ledger");
    assert!(totals.trades_produced > 19_000, "{totals:?}");
    assert_eq!((totals.trades_never_sent, totals.tickers_never_sent, totals.slow_clients), (0, 0, 0));
    let (ends, _) = client.read_to_cut();
    assert_eq!(totals.frames, (frames.len() + 1 + ends.len()) as u64, "every frame counted has come, with what was sent behind the market");
}
