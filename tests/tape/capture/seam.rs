//! The seam of a take-over, by a server that does what a simulator does by chance alone: tickers without a sequence, connections that lag, one that is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::programs::{Capture, Ended, await_that, query};
use super::scripted::{Server, Session, match_frame};
use super::take_over::last_id;

/// Time from one ticker of the market to the next.
const TICK: Duration = Duration::from_millis(50);

/// A market of one product: a ticker every [`TICK`], each with the same price and quote, as in a market that stands still.
#[derive(Clone)]
struct Market {
    start: Instant,
    began: jiff::Timestamp,
    /// The times of the tickers that connections were sent on subscribing, in milliseconds after the start.
    shown: Arc<Mutex<Vec<u64>>>,
}

impl Market {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            began: jiff::Timestamp::from_millisecond(jiff::Timestamp::now().as_millisecond()).unwrap(),
            shown: Arc::default(),
        }
    }

    /// The number of the newest ticker, as a connection sees it that lags.
    fn newest(&self, lag: Duration) -> u64 {
        let ticks = self.start.elapsed().saturating_sub(lag).as_millis() / TICK.as_millis();
        u64::try_from(ticks).unwrap()
    }

    fn text(&self, kind: &str, number: u64, at: u64) -> String {
        let time = self.began + Duration::from_millis(at);
        format!(
            "{{\"channel\":\"ticker\",\"timestamp\":\"{time:.6}\",\"sequence_num\":{number},\"events\":[{{\"type\":\"{kind}\",\"tickers\":[\
             {{\"type\":\"ticker\",\"product_id\":\"BTC-USD\",\"price\":\"100\",\"best_bid\":\"99\",\"best_ask\":\"101\",\
             \"best_bid_quantity\":\"1\",\"best_ask_quantity\":\"2\"}}]}}]}}"
        )
    }

    /// Serves a connection. It is sent the present ticker on subscribing, 5 ms after the last one of the market, and whatever follows, `lag` later.
    fn serve(&self, mut session: Session, lag: Duration) {
        // A request for each channel.
        (0..3).for_each(|_| drop(session.receive()));
        let mut sent = self.newest(Duration::ZERO);
        let shown = sent * 50 + 5;
        self.shown.lock().unwrap().push(shown);
        session.send(self.text("snapshot", 0, shown));
        let all = json!({"ticker": ["BTC-USD"], "market_trades": ["BTC-USD"], "heartbeats": ["heartbeats"]});
        let time = self.began;
        session.send(
            json!({"channel": "subscriptions", "timestamp": time.to_string(), "sequence_num": 1, "events": [{"subscriptions": all}]})
                .to_string(),
        );
        let mut number = 2;
        loop {
            while sent < self.newest(lag) {
                sent += 1;
                session.send(self.text("update", number, sent * 50));
                number += 1;
            }
            if session.receive_at_once().is_none() {
                return;
            }
        }
    }

    /// Counts the stored tickers by their time in milliseconds after the start.
    fn stored(&self, data: &Path) -> BTreeMap<u64, u64> {
        let mut found = BTreeMap::new();
        for row in query(data, "BTC-USD", &["--dataset", "md"]) {
            let nanos = i128::from(row["time"].as_i64().unwrap()) * 1_000_000_000 + i128::from(row["nanos"].as_i64().unwrap());
            let since = (nanos - self.began.as_nanosecond()) / 1_000_000;
            *found.entry(u64::try_from(since).unwrap()).or_default() += 1;
        }
        found
    }
}

/// Has a capture take over from another one. The connection of each lags by so much. Every ticker of the market has to be stored once, and what either was
/// sent on subscribing.
fn take_over_where_connections_lag(lags: [Duration; 2]) {
    let market = Market::new();
    let of_server = market.clone();
    let server = Server::start(move |at, session| of_server.serve(session, lags[at.min(1)]));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--feed", "advanced", "--url", &server.url, "--take-over"];
    let mut first = Capture::start(&data, &args);
    await_that("the first one records", || market.stored(&data).len() > 5);
    let second = Capture::start_named(&data, "second", &args);
    await_that("the first one has ended", || first.has_ended());
    first.wait().assert_good();
    let before = market.newest(Duration::ZERO) * 50;
    await_that("the second one records what came since then", || {
        market.stored(&data).last_key_value().is_some_and(|(last, _)| *last > before)
    });
    second.stop().assert_good();
    let (mut stored, shown) = (market.stored(&data), market.shown.lock().unwrap().clone());
    assert!(stored.values().all(|count| *count == 1), "none is stored twice: {stored:?}");
    for at in &shown {
        assert_eq!(stored.remove(at), Some(1), "what a connection was sent on subscribing, {shown:?}: {stored:?}");
    }
    let times: Vec<u64> = stored.into_keys().collect();
    assert!(times.windows(2).all(|pair| pair[0] + 50 == pair[1]), "none is missing: {times:?}");
}

#[test]
fn a_ticker_that_is_read_when_the_other_capture_has_ended_is_a_copy_and_a_snapshot_is_none() {
    take_over_where_connections_lag([Duration::ZERO, Duration::from_secs(2)]);
}

#[test]
fn the_old_capture_is_asked_only_when_it_has_stored_the_tickers_before_those_of_the_new_one() {
    take_over_where_connections_lag([Duration::from_secs(3), Duration::ZERO]);
}

#[test]
fn a_capture_that_loses_its_connection_does_not_ask_the_old_one_before_it_has_another() {
    let (start, began) = (Instant::now(), jiff::Timestamp::now());
    let newest = move || u64::try_from(start.elapsed().as_millis()).unwrap() / 10 + 1;
    let server = Server::start(move |at, mut session| {
        let products = session.await_subscription();
        let asked = newest();
        // The third connection is acknowledged two seconds late, while the other capture is sent every trade.
        while at == 2 && newest() < asked + 200 {
            if session.receive_at_once().is_none() {
                return;
            }
        }
        session.acknowledge(&products);
        let mut sent = newest() - 1;
        loop {
            while sent < newest() {
                sent += 1;
                session.send(match_frame("BTC-USD", sent, &format!("{:.6}", began + Duration::from_millis(10 * sent))));
            }
            if at == 1 {
                return session.close(1001);
            }
            if session.receive_at_once().is_none() {
                return;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url, "--take-over"];
    let mut first = Capture::start(&data, &args);
    await_that("it records", || last_id(&data, "BTC-USD") > 10);
    let second = Capture::start_named(&data, "second", &args);
    await_that("the first one has ended", || first.has_ended());
    let first: Ended = first.wait();
    first.assert_good();
    let before = last_id(&data, "BTC-USD");
    await_that("the second one records", || last_id(&data, "BTC-USD") > before + 20);
    let second = second.stop();
    assert_eq!(second.figure("sums_hold"), 1.0, "{}", second.stdout());
    let ids: Vec<u64> = query(&data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
}
