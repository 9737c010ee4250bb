//! A damaged day under the paths of the exchange: an error that names it, and never an altered record.

use coltape::internals::schema::Dataset;
use serde_json::{Value, json};

use super::client::{Client, Serve, escaped};
use super::tapes::stored_market;
use crate::data::damage::flip;
use crate::market::{FIRST_DAY, column_path};

/// The trade whose price is altered, and the ticker whose bid is; both on the first day.
const ALTERED: u64 = 100;

/// Asserts that a connection ends because of the day, and that nothing of the day has come before.
fn assert_ends(serve: &Serve, path: &str, subscribe: impl FnOnce(&mut Client)) {
    let mut client = Client::connect(&serve.websocket(path));
    subscribe(&mut client);
    let (messages, code) = client.rest();
    assert_eq!(code, 1011, "{path}: {messages:?}");
    let said = messages.iter().rfind(|message| message["type"] == "error").unwrap_or_else(|| panic!("{path}: no error"));
    assert!(said.to_string().contains("2025-06-07"), "{path}: {said}");
    let is_record = |message: &&Value| message.get("trade_id").is_some() || !message["events"][0]["trades"].is_null();
    assert!(!messages.iter().any(|message| is_record(&message)), "{path}: {messages:?}");
}

#[test]
fn no_path_of_the_exchange_gives_an_altered_record_and_the_other_days_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 900);
    let serve = Serve::start(&data);
    let first_day = "start=2025-06-07T00:00:00Z&end=2025-06-07T23:59:59Z";
    let paths = ["trades?after=200", "trades?limit=1&after=2", &format!("candles?granularity=3600&{first_day}"), "ticker"];
    let replay = |types: &str, to: &str| {
        let options = json!({"exchange": "coinbase", "symbols": ["BTC-USD"], "from": "2025-06-07", "to": to, "dataTypes": [types]});
        format!("/replay-normalized?options={}", escaped(&options.to_string()))
    };
    let native = |channel: &str| {
        let filters = json!([{"channel": channel, "symbols": ["BTC-USD"]}]);
        let options = json!({"exchange": "coinbase", "from": "2025-06-07", "to": "2025-06-09", "filters": filters});
        format!("/replay?options={}", escaped(&options.to_string()))
    };
    let mut targets: Vec<String> = paths.iter().map(|path| format!("/products/BTC-USD/{path}")).collect();
    targets.extend([replay("trade", "2025-06-09"), replay("book_ticker", "2025-06-08"), native("match"), native("ticker")]);
    for target in &targets {
        assert_eq!(serve.get(target).status, 200, "{target}");
    }
    // A bit of the exponent's neighbour: another price, which is as likely as the one that was stored.
    flip(&column_path(&data, Dataset::Trades, "trade_price_f64", FIRST_DAY), 8 * (ALTERED - 1) + 5);
    flip(&column_path(&data, Dataset::Md, "best_bid_f64", FIRST_DAY), 8 * 10 + 5);
    for target in &targets {
        let (status, said) = serve.json(target);
        assert_eq!(status, 500, "{target}: {said:.300}");
        let error = said["error"].as_str().unwrap();
        assert!(error.contains("2025-06-07") && !error.contains(&folder.path().display().to_string()), "{target}: {error}");
    }
    for channel in ["matches", "ticker"] {
        assert_ends(&serve, "/ws?from=2025-06-01", |client| client.subscribe(&[channel], &["BTC-USD"]));
    }
    for channel in ["market_trades", "ticker"] {
        assert_ends(&serve, "/ws-advanced?from=2025-06-01", |client| client.subscribe_advanced(channel, &["BTC-USD"]));
    }
    // A client that comes back is told nothing, rather than something else.
    let events = serve.0.get(&format!("/v1/live?product=BTC-USD&after_id={}", ALTERED - 10));
    assert!(!events.is_whole && !events.text().contains("data:"), "{:.300}", events.text());
    // What no damaged day has a part in is given as before.
    assert_eq!(serve.json("/products/BTC-USD/trades?limit=10").1.as_array().unwrap().len(), 10);
    let mut client = Client::connect(&serve.websocket("/ws?from=2025-06-08&to=2025-06-09"));
    client.subscribe(&["matches", "ticker"], &["BTC-USD"]);
    let (messages, code) = client.rest();
    assert_eq!((messages.iter().filter(|message| message["type"] == "match").count(), code), (450, 1000));
    assert_eq!((serve.get("/healthz").status, serve.0.metric("panics_total")), (200, 0.0));
}
