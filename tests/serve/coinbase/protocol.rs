//! Requests, refusals and ends of connections, in the words of the exchange.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Message;

use super::client::{Client, Serve, escaped};
use super::tapes::stored_market;

fn answer(client: &mut Client, request: &str) -> Value {
    client.send(request);
    client
        .until(|message| message["type"] == "error" || message["type"] == "subscriptions" || message["channel"] == "subscriptions")
        .pop()
        .unwrap()
}

#[test]
fn bad_requests_are_refused_in_the_words_of_the_exchange_and_the_connection_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 30);
    let serve = Serve::start(&data);
    let mut client = Client::connect(&serve.websocket("/ws"));
    let deep = "[".repeat(100_000);
    for (request, reason) in [
        (r#"{"type":"subscribe","channels":[{"name":"matches","product_ids":["NO-SUCH"]}]}"#, "NO-SUCH is not a valid product"),
        (r#"{"type":"subscribe","product_ids":["BTC-USD","../x"],"channels":["ticker"]}"#, "../x is not a valid product"),
        (r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":[]}"#, "No channels provided"),
        (r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["market_trades"]}"#, "market_trades is not a valid channel"),
        (r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["level2"]}"#, "now require authentication"),
        (r#"{"type":"subscribe","channels":["ticker"]}"#, "No products provided"),
        (r#"{"type":"hello"}"#, "Type has to be either subscribe or unsubscribe"),
        ("hello", "Malformed JSON"),
        (&deep, "Malformed JSON"),
        ("\u{0}", "Malformed JSON"),
    ] {
        let said = answer(&mut client, request);
        assert_eq!(said["type"], "error", "{said}");
        let text = format!("{} {}", said["message"].as_str().unwrap(), said["reason"].as_str().unwrap_or_default());
        assert!(text.contains(reason), "{request:.80}: {said}");
    }
    let said = answer(&mut client, r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["ticker",{"name":"matches"},"status"]}"#);
    let names: Vec<&Value> = said["channels"].as_array().unwrap().iter().map(|channel| &channel["name"]).collect();
    assert_eq!(names, [&json!("matches"), &json!("ticker"), &json!("status")]);
    let said = answer(&mut client, r#"{"type":"unsubscribe","channels":["ticker","status"]}"#);
    assert_eq!(said["channels"], json!([{"name": "matches", "product_ids": ["BTC-USD"], "account_ids": null}]));
    let said = answer(&mut client, r#"{"type":"unsubscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#);
    assert_eq!(said["channels"], json!([]));

    let mut client = Client::connect(&serve.websocket("/ws-advanced"));
    assert_eq!(answer(&mut client, r#"{"type":"subscribe","channel":"level3"}"#)["message"], "authentication failure");
    let said = answer(&mut client, r#"{"type":"subscribe","channel":"ticker","product_ids":["NO-SUCH"]}"#);
    assert_eq!(said["events"], json!([{"subscriptions": {}}]));
    let said = answer(&mut client, r#"{"type":"subscribe","channel":"heartbeats"}"#);
    assert_eq!(said["events"], json!([{"subscriptions": {"heartbeats": ["heartbeats"]}}]));
}

#[test]
fn the_status_channel_lists_the_products_and_their_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 30);
    let line = r#"{"time":"2025-06-07T00:00:00.000000000Z","event":"product","product":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_increment":"0.00000001","quote_increment":"0.0100","min_market_funds":"1","status":"online","alias":"","trading_disabled":false,"source":"test"}"#;
    let file = data.join("_coltape/products.jsonl");
    std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let serve = Serve::start(&data);
    let mut client = Client::connect(&serve.websocket("/ws"));
    client.send(r#"{"type":"subscribe","channels":["status"]}"#);
    let status = client.until(|message| message["type"] == "status").pop().unwrap();
    let product = &status["products"][0];
    assert_eq!((&product["id"], &product["quote_increment"], &product["status"]), (&json!("BTC-USD"), &json!("0.0100"), &json!("online")));
    assert_eq!(status["currencies"][0]["id"], "BTC");
    assert_eq!(serve.json("/products").1, status["products"]);
    assert_eq!(serve.json("/products/BTC-USD").1, *product);
    // Quotes have the decimals of the increment.
    let mut client = Client::connect(&serve.websocket("/ws?from=2025-06-01"));
    client.subscribe(&["ticker"], &["BTC-USD"]);
    let ticker = client.until(|message| message["type"] == "ticker").pop().unwrap();
    assert!(ticker["best_bid"].as_str().unwrap().split_once('.').unwrap().1.len() == 4, "{ticker}");
}

#[test]
fn the_url_says_what_is_replayed_and_wrong_ones_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 900);
    let serve = Serve::start(&data);
    for (target, what) in [
        ("/ws?from=yesterday", "from=yesterday is no time"),
        ("/ws?from=2025-06-07&to=2025-06-07", "to must lie after from"),
        ("/ws?to=2025-06-07", "to and speed are for a replay"),
        ("/ws?from=2025-06-07&speed=-1", "speed=-1 is no speed"),
        ("/ws-advanced?from=2025-06-07&speed=fast", "speed=fast is no speed"),
    ] {
        let (status, said) = serve.json(target);
        assert_eq!(status, 400, "{target}");
        assert_eq!(said["error"], what, "{target}");
        assert!(!said["hint"].as_str().unwrap().is_empty());
    }
    // A part of it, by nanoseconds.
    let (from, to) = (prints[300].trade.time, prints[600].trade.time);
    let mut client = Client::connect(&serve.websocket(&format!("/ws?from={}&to={}", from.0, to.0)));
    client.subscribe(&["matches"], &["BTC-USD"]);
    let (messages, code) = client.rest();
    let ids: Vec<u64> =
        messages.iter().filter(|message| message["type"] == "match").map(|message| message["trade_id"].as_u64().unwrap()).collect();
    let wanted: Vec<u64> =
        prints.iter().map(|print| print.trade).filter(|trade| trade.time >= from && trade.time < to).map(|trade| trade.trade_id).collect();
    assert_eq!((ids, code), (wanted, 1000));
    // At a pace: 900 s in about a second.
    let mut client = Client::connect(&serve.websocket(&format!("/ws?from=2025-06-01&to={}&speed=900", escaped("2025-06-10T00:00:00Z"))));
    client.subscribe(&["matches"], &["BTC-USD"]);
    let start = Instant::now();
    let messages = client.until(|message| message["trade_id"] == 900);
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(messages.iter().filter(|message| message["type"] == "match").count(), 900);
}

#[test]
fn pings_are_answered_and_a_stop_closes_with_1001() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 30);
    let serve = Serve::start(&data);
    let mut live = Client::connect(&serve.websocket("/ws"));
    live.subscribe(&["matches"], &["BTC-USD"]);
    live.until(|message| message["type"] == "subscriptions");
    live.socket.send(Message::Ping(b"here?".to_vec().into())).unwrap();
    let pong = loop {
        if let Message::Pong(payload) = live.socket.read().unwrap() {
            break payload;
        }
    };
    assert_eq!(&pong[..], b"here?");
    let mut paced = Client::connect(&serve.websocket("/ws?from=2025-06-01&speed=0.001"));
    paced.subscribe(&["matches"], &["BTC-USD"]);
    paced.until(|message| message["type"] == "match");
    let waiting = std::thread::spawn(move || (live.rest().1, paced.rest().1));
    let (code, took) = serve.0.stop(Signal::TERM);
    assert!(code == Some(0) && took < Duration::from_secs(5), "{code:?} {took:?}");
    assert_eq!(waiting.join().unwrap(), (1001, 1001));
}

#[test]
fn what_is_no_text_or_too_long_ends_the_connection_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 30);
    let serve = Serve::start(&data);
    for (message, code) in [(Message::Binary(vec![1, 2, 3].into()), 1003), (Message::text("x".repeat(300 << 10)), 1009)] {
        let mut client = Client::connect(&serve.websocket("/ws"));
        client.socket.send(message).unwrap();
        assert_eq!(client.rest().1, code);
    }
    // Not masked, as only a server may send.
    let mut client = Client::connect(&serve.websocket("/ws"));
    client.socket.get_mut().write_all(&[0x81, 2, b'{', b'}']).unwrap();
    assert_eq!(client.rest().1, 1002);
    assert_eq!(serve.get("/healthz").status, 200);
}
