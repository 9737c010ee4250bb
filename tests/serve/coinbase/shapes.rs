//! The messages of a served tape are those that were recorded from the real exchange: keys, their order, spelling, batches. What the tape does not keep is
//! left out, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{Client, Serve};
use super::tapes::{products_of, recorded};

/// The keys of a message, in the order in which they stand in its text.
fn keys(text: &str) -> Vec<String> {
    let (mut keys, mut depth, mut rest) = (Vec::new(), 0, text);
    // The texts of these messages hold no quotes of their own.
    while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
        match rest.as_bytes()[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {
                let end = at + 1 + rest[at + 1..].find('"').unwrap();
                let word = rest[at + 1..end].to_owned();
                rest = &rest[end + 1..];
                if rest.starts_with(':') {
                    keys.push(format!("{depth}:{word}"));
                }
                continue;
            }
        }
        rest = &rest[at + 1..];
    }
    keys
}

/// Recorded frames as texts, by what they are.
fn texts(feed: &str) -> Vec<String> {
    let name = if feed == "exchange" { "exchange-2021-04-17.tsv" } else { "advanced-2026-08-09.tsv" };
    let text = std::fs::read_to_string(crate::programs::recording(name).unwrap()).unwrap();
    text.lines().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect()
}

#[test]
fn the_exchange_messages_of_a_served_tape_are_those_that_were_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let Some((data, frames)) = recorded(folder.path(), "exchange") else { return };
    // What a tape does not keep. A `last_match` is a match like any other to one who replays.
    const LEFT_OUT: [&str; 5] = ["open_24h", "volume_24h", "low_24h", "high_24h", "volume_30d"];
    let mut sent: BTreeMap<(String, u64, String), (Value, Vec<String>)> = BTreeMap::new();
    let mut order: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for (text, mut message) in texts("exchange").iter().zip(frames.clone()) {
        let kind = match message["type"].as_str().unwrap() {
            "match" | "last_match" => "match",
            "ticker" => "ticker",
            _ => continue,
        };
        message["type"] = kind.into();
        LEFT_OUT.iter().for_each(|name| drop(message.as_object_mut().unwrap().remove(*name)));
        let keys = keys(text).into_iter().filter(|key| !LEFT_OUT.iter().any(|name| key.ends_with(name))).collect();
        let product = message["product_id"].as_str().unwrap().to_owned();
        let sequence = message["sequence"].as_u64().unwrap();
        order.entry((product.clone(), kind.to_owned())).or_default().push(sequence);
        sent.insert((product, sequence, kind.to_owned()), (message, keys));
    }
    let serve = Serve::start(&data);
    let products = products_of(&frames);
    let mut client = Client::connect(&serve.websocket("/ws?from=2021-01-01&to=2022-01-01"));
    let names: Vec<&str> = products.iter().map(String::as_str).collect();
    client.subscribe(&["matches", "ticker"], &names);
    let mut served: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut acknowledged = false;
    while let Ok(text) = client.next_text() {
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "subscriptions" {
            acknowledged = true;
            continue;
        }
        let product = message["product_id"].as_str().unwrap().to_owned();
        let (kind, sequence) = (message["type"].as_str().unwrap().to_owned(), message["sequence"].as_u64().unwrap());
        let (was, was_keys) = &sent[&(product.clone(), sequence, kind.clone())];
        assert_eq!(keys(&text), *was_keys, "{text}");
        for (name, value) in was.as_object().unwrap() {
            // A quote is padded to an increment, which a recording does not tell.
            let is_quote = name == "best_bid" || name == "best_ask";
            let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
            let is_same = if is_quote { number(value) == number(&message[name]) } else { *value == message[name] };
            assert!(is_same, "{name}: {value} was sent, {} is served", message[name]);
        }
        // The frames came so fast that many have one time of receipt. Then the sequence of the product tells the order.
        assert!(last.insert(product.clone(), sequence).is_none_or(|last| last <= sequence), "{product} {sequence}");
        served.entry((product, kind)).or_default().push(sequence);
    }
    assert!(acknowledged);
    assert_eq!(served, order, "each message once, in its order");
}

#[test]
fn the_advanced_messages_of_a_served_tape_are_those_that_were_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let Some((data, frames)) = recorded(folder.path(), "advanced") else { return };
    const LEFT_OUT: [&str; 7] = ["client_id", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w", "price_percent_chg_24_h"];
    let strip =
        |keys: Vec<String>| -> Vec<String> { keys.into_iter().filter(|key| !LEFT_OUT.iter().any(|name| key.ends_with(name))).collect() };
    // Batches as they came, by their first id; tickers by product and time.
    let (mut batches, mut tickers) = (BTreeMap::new(), BTreeMap::new());
    for (text, frame) in texts("advanced").iter().zip(&frames) {
        for event in frame["events"].as_array().unwrap() {
            if let Some(trades) = event["trades"].as_array() {
                for trade in trades {
                    batches
                        .entry((trade["product_id"].to_string(), trade["trade_id"].to_string()))
                        .or_insert((trades.clone(), strip(keys(text))));
                }
            }
            for ticker in event["tickers"].as_array().into_iter().flatten() {
                tickers.insert((ticker["product_id"].to_string(), frame["timestamp"].to_string()), (ticker.clone(), strip(keys(text))));
            }
        }
    }
    let (trades_sent, tickers_sent) = (batches.len(), tickers.len());
    let serve = Serve::start(&data);
    let mut client = Client::connect(&serve.websocket("/ws-advanced?from=2026-08-01&to=2026-09-01"));
    client.subscribe_advanced("market_trades", &["BTC-USD", "ETH-USD", "NO-SUCH"]);
    client.subscribe_advanced("ticker", &["BTC-USD", "ETH-USD"]);
    client.subscribe_advanced("heartbeats", &[]);
    let (mut number, mut trades_served, mut tickers_served) = (0, 0, 0);
    while let Ok(text) = client.next_text() {
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["sequence_num"].as_u64(), Some(number), "every message of the connection has the next number");
        number += 1;
        let event = &message["events"][0];
        match message["channel"].as_str().unwrap() {
            "market_trades" => {
                let trades = event["trades"].as_array().unwrap();
                trades_served += trades.len();
                // The frames came so fast that several have one time of receipt: a batch is one of them, or several together.
                let mut rest = trades.as_slice();
                while let [newest, ..] = rest {
                    let (was, was_keys) = &batches[&(newest["product_id"].to_string(), newest["trade_id"].to_string())];
                    let together =
                        was.iter().skip_while(|trade| *trade != newest).zip(rest).take_while(|(was, trade)| was == trade).count();
                    assert!(together > 0, "{newest} was sent as one of {was:?}");
                    if together == trades.len() && was.len() == trades.len() {
                        assert_eq!(keys(&text), *was_keys, "{text}");
                    }
                    rest = &rest[together..];
                }
                let id = |trade: &Value| trade["trade_id"].as_str().unwrap().parse::<u64>().unwrap();
                assert!(trades.windows(2).all(|pair| id(&pair[0]) == id(&pair[1]) + 1), "newest first: {text}");
            }
            "ticker" => {
                tickers_served += 1;
                let ticker = &event["tickers"][0];
                let (was, was_keys) = &tickers[&(ticker["product_id"].to_string(), message["timestamp"].to_string())];
                assert_eq!(keys(&text), *was_keys, "{text}");
                for (name, value) in ticker.as_object().unwrap() {
                    assert_eq!(*value, was[name], "{name}");
                }
            }
            "subscriptions" => assert!(event["subscriptions"]["market_trades"].as_array().unwrap().len() == 2),
            "heartbeats" => assert!(event["heartbeat_counter"].is_u64() && event["current_time"].as_str().unwrap().contains(" UTC m=+")),
            other => panic!("{other}"),
        }
    }
    assert_eq!((trades_served, tickers_served), (trades_sent, tickers_sent));
}
