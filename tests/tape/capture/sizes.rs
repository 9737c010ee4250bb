//! Messages around every limit of size, on both feeds, whole and in fragments: what is taken is stored, what is refused ends the connection, is counted and
//! said, and is fetched again.

use serde_json::json;

use super::programs::{Capture, await_that, journal, query};
use super::rest::{Rest, page, shown};
use super::scripted::{Server, Session, match_frame};

const MIB: usize = 1 << 20;
/// Longest frame and longest message that are taken.
const FRAME: usize = 32 * MIB;
const MESSAGE: usize = 128 * MIB;

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// A trade's message, filled up with a field that nobody reads to exactly so many bytes.
fn message(is_advanced: bool, id: u64, sequence: u64, time: &str, bytes: usize) -> String {
    let text = if is_advanced { market_trades(sequence, &[id], time) } else { match_frame("BTC-USD", id, time) };
    let (start, fill) = (text.strip_suffix('}').unwrap(), bytes.saturating_sub(text.len() + r#","filler":"""#.len()));
    if bytes <= text.len() + r#","filler":"""#.len() {
        return text;
    }
    format!("{start},\"filler\":\"{}\"}}", "x".repeat(fill))
}

fn market_trades(sequence: u64, ids: &[u64], time: &str) -> String {
    // Newest first, as the feed sends them.
    let trades: Vec<String> = ids
        .iter()
        .rev()
        .map(|id| format!(r#"{{"product_id":"BTC-USD","trade_id":"{id}","price":"14.7775","size":"0.04","time":"{time}","side":"SELL"}}"#))
        .collect();
    format!(
        r#"{{"channel":"market_trades","timestamp":"{time}","sequence_num":{sequence},"events":[{{"type":"update","trades":[{}]}}]}}"#,
        trades.join(",")
    )
}

/// Subscribes a client of either feed. Gives the next sequence number of the connection.
fn subscribe(session: &mut Session, is_advanced: bool) -> u64 {
    if !is_advanced {
        let products = session.await_subscription();
        session.acknowledge(&products);
        return 0;
    }
    for _ in 0..3 {
        if session.receive().is_none() {
            return 0;
        }
    }
    let subscriptions = json!({"market_trades": ["BTC-USD"], "ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]});
    session.send(
        json!({"channel": "subscriptions", "timestamp": now(), "sequence_num": 0, "events": [{"subscriptions": subscriptions}]})
            .to_string(),
    );
    1
}

fn arguments(url: &str, is_advanced: bool) -> Vec<&str> {
    vec!["BTC-USD", "--url", url, "--feed", if is_advanced { "advanced" } else { "exchange" }]
}

fn stored(data: &std::path::Path) -> Vec<u64> {
    if !data.join("BTC-USD/TRADES").exists() {
        return Vec::new();
    }
    query(data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

#[test]
fn messages_up_to_the_limits_are_stored_whole_and_in_fragments() {
    // Bytes of the message, and of its frames.
    let sizes = [
        (8 * MIB - 1, FRAME),
        (8 * MIB, FRAME),
        (8 * MIB + 1, FRAME),
        (8 * MIB + 1, 1000),
        (16 * MIB + 1, MIB),
        (FRAME - 1, FRAME),
        (FRAME, FRAME),
        (FRAME + 1, FRAME),
        (MESSAGE, FRAME),
    ];
    for is_advanced in [false, true] {
        let server = Server::start(move |_, mut session| {
            let first = subscribe(&mut session, is_advanced);
            for (id, (bytes, frame)) in (1u64..).zip(sizes) {
                let text = message(is_advanced, id, first + id - 1, &now(), bytes);
                assert_eq!(text.len(), bytes);
                session.send_in_frames(&text, frame);
            }
            session.linger();
        });
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let capture = Capture::start(&data, &arguments(&server.url, is_advanced));
        await_that("every trade is stored", || stored(&data).len() == sizes.len());
        let ended = capture.stop();
        ended.assert_good();
        assert_eq!(stored(&data), (1..=sizes.len() as u64).collect::<Vec<_>>());
        assert_eq!((server.connections(), ended.figure("frames_rejected")), (1, 0.0), "{}", ended.stderr());
    }
}

#[test]
fn a_message_of_a_hundred_thousand_trades_is_stored_whole() {
    const LAST: u64 = 100_000;
    let server = Server::start(|_, mut session| {
        let sequence = subscribe(&mut session, true);
        let ids: Vec<u64> = (1..=LAST).collect();
        let text = market_trades(sequence, &ids, &now());
        assert!(text.len() > 8 * MIB);
        session.send(text);
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &arguments(&server.url, true));
    await_that("the last trade is stored", || {
        data.join("BTC-USD/TRADES").exists() && query(&data, "BTC-USD", &["--tail", "1"]).iter().any(|trade| trade["trade_id"] == LAST)
    });
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!((stored(&data).len() as u64, ended.figure("frames_rejected"), ended.figure("missing_ids")), (LAST, 0.0, 0.0));
}

#[test]
fn a_message_above_a_limit_ends_the_connection_is_said_and_its_trades_are_fetched() {
    // What is sent instead of trade 3, in frames of so many bytes, and what is said of it.
    let sizes = [(FRAME + 1, FRAME + 1, "a frame of 33554433 bytes"), (MESSAGE + 1, 16 * MIB, "a message of 134217729 bytes")];
    for is_advanced in [false, true] {
        for (bytes, frame, says) in sizes {
            let time = now();
            let at = time.clone();
            let server = Server::start(move |number, mut session| {
                let sequence = subscribe(&mut session, is_advanced);
                if number == 0 {
                    session.send(message(is_advanced, 1, sequence, &at, 0));
                    session.send(message(is_advanced, 2, sequence + 1, &at, 0));
                    session.send_in_frames(&message(is_advanced, 3, sequence + 2, &at, bytes), frame);
                } else {
                    session.send(message(is_advanced, 4, sequence, &at, 0));
                }
                session.linger();
            });
            let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 4)), move |id| shown(id, &time));
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            let capture = Capture::start(&data, &[&arguments(&server.url, is_advanced)[..], &["--rest-url", &rest.url]].concat());
            await_that("every trade is stored", || stored(&data) == [1, 2, 3, 4]);
            let ended = capture.stop();
            ended.assert_good();
            assert_eq!(ended.figure("frames_rejected"), 1.0, "{}", ended.stdout());
            let lost = journal(&data, "connection_lost");
            assert!(lost.iter().any(|event| event["why"].as_str().unwrap().contains(says)), "{lost:?}");
            assert!(ended.stderr().contains(says), "{}", ended.stderr());
        }
    }
}

#[test]
fn a_message_of_more_values_than_memory_is_for_ends_the_connection_and_the_next_goes_on() {
    let time = now();
    let at = time.clone();
    let server = Server::start(move |number, mut session| {
        subscribe(&mut session, true);
        if number == 0 {
            session.send(market_trades(1, &[1], &at));
            let zeros = "0,".repeat(17 << 20);
            session.send_in_frames(&format!(r#"{{"channel":"market_trades","sequence_num":2,"events":[{zeros}0]}}"#), FRAME);
        } else {
            session.send(market_trades(1, &[2, 3], &at));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &arguments(&server.url, true));
    await_that("the next trades are stored", || stored(&data) == [1, 2, 3]);
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!((ended.figure("frames_rejected"), ended.figure("connects")), (1.0, 2.0), "{}", ended.stderr());
    assert!(journal(&data, "connection_lost").iter().any(|event| event["why"].as_str().unwrap().contains("more values")));
}
