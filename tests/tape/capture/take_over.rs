//! `--take-over`: a new capture replaces the one that holds the directory, and no trade is lost, doubled or left without its order ids.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use coltape::internals::store::holder_of;
use coltape::{CaptureConfig, CaptureError, Feed, ProductId, SimulateConfig, SimulatedFeed, Simulation, Stop};
use rustix::process::Signal;
use serde_json::Value;

use super::programs::{Capture, Ended, await_journal, await_that, coltape, journal, query, verify};
use super::scripted::{Server, match_frame};

pub(crate) fn last_id(data: &Path, product: &str) -> u64 {
    query(data, product, &["--tail", "1"]).first().map_or(0, |trade| trade["trade_id"].as_u64().unwrap())
}

/// How long a market makes no trade before it counts as paused.
const STILL: Duration = Duration::from_millis(500);

/// Stops the market, and waits until what was sent of these products is stored.
pub(crate) fn pause_and_await(exchange: &Simulation, data: &Path, ledger: &Path, products: &[&str]) {
    exchange.pause();
    let mut last = (0, Instant::now());
    await_that("the market stands still", || {
        let made = exchange.totals().trades_produced;
        if made != last.0 {
            last = (made, Instant::now());
        }
        last.1.elapsed() >= STILL
    });
    for product in products {
        await_that(&format!("{product}: what was sent is stored"), || {
            // What is sent on subscribing may come after the pause. The ledger has it at the next one.
            exchange.pause();
            let (sent, stored) = (last_sent(ledger, product), last_id(data, product));
            sent == Some(stored)
        });
    }
}

/// Gives the id of the newest trade that the ledger says was sent: when it happened, or to a connection on subscribing. A product that has just been listed may
/// have been sent nothing else.
fn last_sent(ledger: &Path, product: &str) -> Option<u64> {
    let text = std::fs::read_to_string(ledger).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let id = |line: Value| match line["kind"].as_str()? {
        "trade" if line["sent"] == true => line["trade_id"].as_u64(),
        "initial" if line["channel"] != "ticker" => line["last"].as_u64(),
        _ => None,
    };
    lines.filter(|line| line["product"] == product).filter_map(id).max()
}

/// Starts a second capture, beside the report and the log of the first.
fn start_second(data: &Path, args: &[&str]) -> Capture {
    Capture::start_named(data, "second", args)
}

fn is_alive_at(address: &str) -> bool {
    let Ok(mut socket) = std::net::TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    write!(socket, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").is_ok()
        && socket.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

/// Has a second capture take over from a first one in the middle of a busy market, each with so many redundant lines.
fn take_over_under_load(feed: SimulatedFeed, lines: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let mut config = SimulateConfig::default();
    (config.feed, config.rate_per_product, config.ledger) = (feed, 300.0, Some(ledger.clone()));
    config.products = coltape::internals::simulate::products(4).unwrap();
    let products: Vec<String> = config.products.iter().map(ToString::to_string).collect();
    let exchange = Simulation::start(config).unwrap();
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    // Nothing but the two captures supplies a trade.
    args.extend(["--feed", feed.name(), "--url", &exchange.endpoints().websocket_url, "--no-backfill", "--lines", lines]);
    // Both answer at the same address, one after the other.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    args.extend(["--listen", &address]);
    let mut first = Capture::start(&data, &args);
    await_that("the first one records all products", || products.iter().all(|product| last_id(&data, product) > 100));
    args.push("--take-over");
    let second = start_second(&data, &args);
    await_that("the first one has ended", || first.has_ended());
    first.wait().assert_good();
    let pid = second.pid().to_string();
    await_that("the second one holds the directory", || holder_of(&data).unwrap().as_ref() == Some(&pid));
    await_that("the second one answers at the address of the first", || is_alive_at(&address));
    let before: Vec<u64> = products.iter().map(|product| last_id(&data, product)).collect();
    await_that("the second one records all products", || {
        products.iter().zip(&before).all(|(product, before)| last_id(&data, product) > before + 100)
    });
    pause_and_await(&exchange, &data, &ledger, &products.iter().map(String::as_str).collect::<Vec<_>>());
    let second = second.stop();
    second.assert_good();
    exchange.stop().unwrap();
    let copies = second.figure("trades_duplicate");
    assert!(copies > 0.0, "both have recorded for a while");
    let (_, json) = verify(&data, &["--ledger", ledger.to_str().unwrap(), "--json"]);
    let summary = json.lines().find(|line| line.contains(r#""line":"summary""#)).unwrap();
    let found: Value = serde_json::from_str(summary).unwrap();
    assert_eq!(found["findings"], serde_json::json!({}), "{}: {json}", feed.name());
    assert!(feed == SimulatedFeed::Advanced || json.contains("\"without_order_ids\":0"), "{json}");
    assert!(!data.join("_coltape/stop-request").exists());
}

#[test]
fn a_take_over_under_load_loses_nothing_and_doubles_nothing() {
    take_over_under_load(SimulatedFeed::Exchange, "1");
}

#[test]
fn a_take_over_of_the_advanced_feed_loses_nothing_and_doubles_no_ticker() {
    take_over_under_load(SimulatedFeed::Advanced, "1");
}

#[test]
fn a_take_over_with_two_lines_each_loses_nothing_and_doubles_nothing() {
    take_over_under_load(SimulatedFeed::Exchange, "2");
}

#[test]
fn a_take_over_with_two_lines_each_of_the_advanced_feed_loses_nothing_and_doubles_no_ticker() {
    take_over_under_load(SimulatedFeed::Advanced, "2");
}

/// A server that sends a trade every 10 ms, the same to each of the first connections. It says nothing to those behind them.
fn steady(connections: usize) -> Server {
    steady_and_slow(connections, 0)
}

/// A server that acknowledges each connection but the first only after so many more trades.
fn steady_and_slow(connections: usize, trades: u64) -> Server {
    let (start, began) = (Instant::now(), jiff::Timestamp::now());
    // Whoever is sent a trade is sent the same time.
    let time = move |id: u64| format!("{:.6}", began + Duration::from_millis(10 * id));
    let newest = move || u64::try_from(start.elapsed().as_millis()).unwrap() / 10 + 1;
    Server::start(move |at, mut session| {
        if at >= connections {
            return session.linger();
        }
        let products = session.await_subscription();
        let asked = newest();
        while at > 0 && newest() < asked + trades {
            if session.receive_at_once().is_none() {
                return;
            }
        }
        session.acknowledge(&products);
        let mut sent = 0;
        loop {
            let newest = newest();
            let next = if sent == 0 { newest } else { sent + 1 };
            for id in next..=newest {
                session.send(match_frame("BTC-USD", id, &time(id)));
                sent = id;
            }
            if session.receive_at_once().is_none() {
                return;
            }
        }
    })
}

#[test]
fn the_old_capture_records_until_the_new_one_is_ready_however_long_that_takes() {
    let server = steady_and_slow(9, 200);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url, "--take-over"];
    let mut first = Capture::start(&data, &args);
    await_that("it records", || last_id(&data, "BTC-USD") > 10);
    let second = start_second(&data, &args);
    await_that("the first one has ended", || first.has_ended());
    first.wait().assert_good();
    let before = last_id(&data, "BTC-USD");
    await_that("the second one records", || last_id(&data, "BTC-USD") > before + 50);
    second.stop().assert_good();
    let ids: Vec<u64> = query(&data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
}

fn said(ended: &Ended) -> String {
    let text = ended.stderr();
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn an_old_capture_that_hangs_is_left_unharmed_and_the_new_one_fails() {
    let server = steady(9);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--idle-timeout", "10m"]);
    await_that("it records", || last_id(&data, "BTC-USD") > 10);
    first.signal(Signal::STOP);
    // In this process, since the command line waits for half a minute.
    let mut config = CaptureConfig::new(Feed::Exchange, &server.url, [ProductId::new("BTC-USD").unwrap()], &data);
    assert_eq!(config.end_patience, Duration::from_secs(30));
    (config.takes_over, config.end_patience) = (true, Duration::from_secs(2));
    let asked = Instant::now();
    let error = coltape::capture(&config, &Stop::default()).unwrap_err();
    assert!(asked.elapsed() >= Duration::from_secs(2), "{error}");
    let CaptureError::TakeOver { pid, why, .. } = &error else { panic!("{error}") };
    assert!(*pid == first.pid().to_string() && why.contains("did not answer within 2 s"), "{error}");
    assert!(error.to_string().contains("left as it is"), "{error}");
    let before = last_id(&data, "BTC-USD");
    first.signal(Signal::CONT);
    await_that("it takes what had come", || last_id(&data, "BTC-USD") > before + 100);
    // Long enough to have taken a request, and to have ended because of it.
    let before = last_id(&data, "BTC-USD");
    await_that("it goes on recording", || first.has_ended() || last_id(&data, "BTC-USD") > before + 200);
    assert!(!first.has_ended(), "nobody has ended it");
    assert!(journal(&data, "capture_stopped").is_empty(), "nobody has ended it");
    assert!(!data.join("_coltape/stop-request").exists(), "nothing waits for it");
    first.stop().assert_good();
    assert_eq!(journal(&data, "capture_started").len(), 1, "the new one has written nothing");
}

#[test]
fn a_new_capture_that_is_not_ready_does_not_ask_the_old_one_to_end() {
    let server = steady(1);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("it records", || last_id(&data, "BTC-USD") > 10);
    let refused = |args: &[&str], word: &str| {
        let second = start_second(&data, args).wait();
        assert_eq!(second.output.status.code(), Some(1), "{}", second.stderr());
        assert!(said(&second).contains(word), "{}", second.stderr());
    };
    refused(&["BTC-USD", "--url", &server.url], "is being written by another capture");
    // Another endpoint: the two tapes must not mix.
    refused(&["BTC-USD", "--url", "ws://127.0.0.1:1", "--take-over"], "127.0.0.1:1");
    // One that is ended while it waits for the exchange leaves the old one alone, too.
    let second = start_second(&data, &["BTC-USD", "--url", &server.url, "--take-over"]);
    await_that("it is connected", || server.connections() == 2);
    let before = last_id(&data, "BTC-USD");
    await_that("the old one goes on", || last_id(&data, "BTC-USD") > before + 100);
    let second = second.stop();
    assert_eq!(second.output.status.code(), Some(1), "{}", second.stderr());
    assert!(said(&second).contains("was asked to end"), "{}", second.stderr());
    let before = last_id(&data, "BTC-USD");
    await_that("the old one goes on", || last_id(&data, "BTC-USD") > before + 50);
    first.stop().assert_good();
    assert_eq!(journal(&data, "capture_started").len(), 1);
}

#[test]
fn without_another_capture_a_take_over_is_a_start() {
    let server = steady(9);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url, "--take-over"];
    let first = Capture::start(&data, &args);
    await_that("it records", || last_id(&data, "BTC-USD") > 10);
    // The one that holds the directory dies while the new one gets ready: the new one takes it at once.
    first.kill();
    let second = Capture::start(&data, &args);
    let before = last_id(&data, "BTC-USD");
    await_that("it records", || last_id(&data, "BTC-USD") > before + 10);
    // What came while nobody recorded is missing.
    second.stop().assert_leaves(&["missing"]);
    await_journal(&data, "capture_started", 2);
    assert!(coltape().args(["status"]).arg(&data).output().unwrap().status.code() == Some(3));
}
