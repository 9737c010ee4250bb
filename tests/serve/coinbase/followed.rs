//! What is being stored, as clients get it: live, and from a replay that goes over into live, each record once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coltape::internals::record::{Ticker, Trade};
use coltape::internals::schema::{Md, Trades};
use coltape::internals::store::{DataDir, Day, StoreOptions};
use coltape::internals::time::{Clock, UnixNanos, UtcDay};
use serde_json::Value;

use super::client::{Client, Serve};
use crate::market::{self, insert};
use crate::programs::await_that;
use crate::served::Served;

/// Writes trades and tickers of BTC-USD as a capture does, on a thread, until it is dropped.
struct Recorder {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn trade(id: u64) -> Trade {
    let now = Clock::System.now();
    let print = &market::prints(id, 1, now, 1)[0];
    // The receive time carries when it was committed, as near as a test can tell.
    Trade { recv: now, ..print.trade }
}

fn ticker(trade: &Trade) -> Ticker {
    let number = coltape::internals::decimal::parse(b"131000.25").unwrap();
    Ticker {
        time: trade.time,
        recv: UnixNanos(trade.recv.0 + 1),
        trade_id: trade.trade_id,
        sequence: trade.sequence,
        price: trade.price,
        volume: trade.size,
        best_bid: number,
        best_ask: number,
        best_bid_size: 1.5,
        best_ask_size: 0.25,
        side: Some(trade.side),
    }
}

impl Recorder {
    /// Begins with `first` records. Then commits `batch` trades and as many tickers every millisecond.
    fn start(data: &Path, first: u64, batch: u64) -> Self {
        let dir: Arc<DataDir> = market::data_dir(data, StoreOptions::default());
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, count) = (Arc::clone(&stop), Arc::clone(&committed));
        let thread = std::thread::spawn(move || {
            let today: UtcDay = Clock::System.now().day();
            let (mut trades, _) = Day::<Trades>::open(&dir, &market::product(), today, Clock::System.now()).unwrap();
            let (mut tickers, _) = Day::<Md>::open(&dir, &market::product(), today, Clock::System.now()).unwrap();
            let mut id = 0;
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..if id == 0 { first } else { batch } {
                    id += 1;
                    let mut trade = trade(id);
                    trade.time = trade.time.min(UnixNanos(today.next().start().0 - 1));
                    insert(&mut trades, &trade);
                    insert(&mut tickers, &ticker(&trade));
                }
                trades.commit();
                tickers.commit();
                count.store(id, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let recorder = Self { stop, committed, thread: Some(thread) };
        await_that("the first records are committed", || recorder.committed() > 0);
        recorder
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Ends it. Gives the last id.
    fn stop(mut self) -> u64 {
        self.end();
        self.committed()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client that reads on a thread of its own until it has the trade and the ticker with the last id.
struct Reader {
    last: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<(Vec<u64>, Vec<u64>)>,
}

/// Gives the type of a message, and its trade id if it has one. To parse all of it would make the reader the slowest part.
fn kind_and_id(message: &str) -> (Option<&str>, Option<u64>) {
    let behind = |mark: &str| message.split_once(mark).map(|(_, rest)| rest);
    let digits = |text: &str| text.split(|character: char| !character.is_ascii_digit()).next().and_then(|id| id.parse().ok());
    (behind("\"type\":\"").and_then(|rest| rest.split('"').next()), behind("\"trade_id\":").and_then(digits))
}

impl Reader {
    /// Takes a client that has subscribed to heartbeats, too: one of them shows that nothing else comes.
    fn start(mut client: Client) -> Self {
        let (last, seen) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (Arc::clone(&last), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let (mut trades, mut tickers): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let is_there = |ids: &[u64]| ids.last().is_some_and(|id| *id >= until.load(Ordering::Relaxed));
            while !is_there(&trades) || !is_there(&tickers) {
                let message =
                    client.next_text().unwrap_or_else(|code| panic!("closed with {code}: {:?} {:?}", trades.last(), tickers.last()));
                match kind_and_id(&message) {
                    (Some("match" | "last_match"), Some(id)) => trades.push(id),
                    (Some("ticker"), Some(id)) => tickers.push(id),
                    _ => {}
                }
                count.store(trades.last().copied().unwrap_or(0), Ordering::Relaxed);
            }
            (trades, tickers)
        });
        Self { last, seen, thread }
    }

    /// Gives the ids of trades and of tickers, as they came.
    fn ids(self, last: u64) -> (Vec<u64>, Vec<u64>) {
        self.last.store(last, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_replay_goes_over_into_live_without_a_gap_and_without_a_double() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(folder.path(), 10_000, 4);
    let serve = Serve::start(folder.path());
    let mut readers = Vec::new();
    for number in 0..6 {
        let mut client = Client::connect(&serve.websocket("/ws?from=2020-01-01"));
        // Half of them ask for one channel after the other, when the first has gone over into live.
        if number % 2 == 0 {
            client.subscribe(&["matches", "ticker", "heartbeat"], &["BTC-USD"]);
        } else {
            client.subscribe(&["ticker", "heartbeat"], &["BTC-USD"]);
            client.until(|message| message["type"] == "ticker" && message["trade_id"].as_u64() > Some(10_200));
            client.subscribe(&["matches"], &["BTC-USD"]);
        }
        readers.push(Reader::start(client));
    }
    let then = recorder.committed();
    await_that("everyone gets what is recorded now", || readers.iter().all(|reader| reader.seen.load(Ordering::Relaxed) > then));
    let last = recorder.stop();
    for (number, reader) in readers.into_iter().enumerate() {
        let (trades, tickers) = reader.ids(last);
        let is_run = |ids: &[u64], first: u64| ids.iter().copied().eq(first..=last);
        assert!(is_run(&trades, 1), "client {number}: {} trades from {:?}, {last} were committed", trades.len(), trades.first());
        let first = if number % 2 == 0 { 1 } else { tickers[0] };
        assert!(is_run(&tickers, first), "client {number}: {} tickers from {first}", tickers.len());
    }
}

#[test]
fn a_live_client_gets_the_newest_trade_and_then_every_one_soon_after_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(folder.path(), 100, 2);
    let serve = Serve::start(folder.path());
    let mut client = Client::connect(&serve.websocket("/ws"));
    client.subscribe(&["matches", "ticker", "heartbeat"], &["BTC-USD"]);
    let before = client.until(|message| message["type"] == "subscriptions");
    let of_kind = |kind: &str| before.iter().filter(|message| message["type"] == kind).cloned().collect::<Vec<Value>>();
    let newest = of_kind("last_match")[0]["trade_id"].as_u64().unwrap();
    assert_eq!((of_kind("last_match").len(), of_kind("ticker").len()), (1, 1), "{before:?}");
    let deadline = Instant::now() + Duration::from_secs(3);
    let (mut trades, mut heartbeats, mut late) = (vec![newest], 0, Vec::new());
    while Instant::now() < deadline {
        let message = client.next().unwrap();
        match message["type"].as_str().unwrap() {
            "match" => {
                let time: jiff::Timestamp = message["time"].as_str().unwrap().parse().unwrap();
                let age = jiff::Timestamp::now().as_nanosecond() - time.as_nanosecond();
                late.push(Duration::from_nanos(u64::try_from(age).unwrap_or(0)));
                trades.push(message["trade_id"].as_u64().unwrap());
            }
            "heartbeat" => {
                heartbeats += 1;
                let ahead = message["last_trade_id"].as_u64().unwrap();
                assert!(trades.last().unwrap() == &ahead, "a heartbeat names the newest trade that was sent");
            }
            _ => {}
        }
    }
    assert!(heartbeats >= 2, "{heartbeats}");
    assert!(trades.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{trades:?}");
    assert!(trades.len() > 500, "{}", trades.len());
    late.sort();
    println!("from making a trade to its message: median {:?}, p99 {:?}", late[late.len() / 2], late[late.len() * 99 / 100]);
    drop(recorder);
}

#[test]
fn the_advanced_protocol_begins_with_a_snapshot_and_goes_on_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(folder.path(), 300, 3);
    let serve = Serve::start(folder.path());
    let mut client = Client::connect(&serve.websocket("/ws-advanced"));
    client.subscribe_advanced("market_trades", &["BTC-USD"]);
    let mut number = 0;
    let mut next = |client: &mut Client| {
        let message = client.next().unwrap();
        assert_eq!(message["sequence_num"].as_u64(), Some(number));
        number += 1;
        message
    };
    let ids = |message: &Value| -> Vec<u64> {
        let trades = message["events"][0]["trades"].as_array().unwrap();
        trades.iter().rev().map(|trade| trade["trade_id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let snapshot = next(&mut client);
    assert_eq!(snapshot["events"][0]["type"], "snapshot");
    let mut seen = ids(&snapshot);
    assert_eq!(seen.len(), 100);
    assert_eq!(next(&mut client)["channel"], "subscriptions");
    while seen.len() < 2000 {
        let message = next(&mut client);
        assert_eq!((&message["channel"], &message["events"][0]["type"]), (&"market_trades".into(), &"update".into()));
        seen.extend(ids(&message));
    }
    assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seen:?}");
    drop(recorder);
}

#[test]
fn a_client_that_stops_reading_is_cut_off_and_counted_and_the_others_get_everything() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(folder.path(), 1000, 25);
    let serve = Serve(Served::start(folder.path(), &["--send-timeout", "3s"]));
    let mut stalled = Client::connect(&serve.websocket("/ws"));
    stalled.subscribe(&["matches", "ticker"], &["BTC-USD"]);
    let mut reading = Client::connect(&serve.websocket("/ws?from=2020-01-01"));
    reading.subscribe(&["matches", "ticker", "heartbeat"], &["BTC-USD"]);
    let reader = Reader::start(reading);
    let of = |reason: &str| serve.0.metric(&format!("cut_off_total{{reason=\"{reason}\"}}"));
    await_that("the client that stopped reading is cut off", || of("stalled") + of("behind") > 0.0);
    let last = recorder.stop();
    let (trades, tickers) = reader.ids(last);
    for (kind, ids) in [("match", trades), ("ticker", tickers)] {
        assert!(ids.iter().copied().eq(1..=last), "{kind}: {} of {last}", ids.len());
    }
    assert_eq!(of("stalled") + of("behind"), 1.0, "nobody else is cut off");
}

#[test]
fn midnight_and_late_records_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let dir = market::data_dir(folder.path(), StoreOptions::default());
    let product = market::product();
    let first_day = Clock::System.now().day();
    let day = |date: UtcDay| Day::<Trades>::open(&dir, &product, date, UnixNanos(date.start().0 + 1)).unwrap().0;
    let at = |id: u64, date: UtcDay| Trade { time: UnixNanos(date.start().0 + id), ..trade(id) };
    let mut today = day(first_day);
    for id in 1..=10 {
        insert(&mut today, &at(id, first_day));
    }
    today.commit();
    let serve = Serve::start(folder.path());
    let mut clients = [Client::connect(&serve.websocket("/ws?from=2020-01-01")), Client::connect(&serve.websocket("/ws"))];
    for client in &mut clients {
        client.subscribe(&["matches"], &["BTC-USD"]);
        client.until(|message| message["trade_id"] == 10);
    }
    // Some that leave one out, the next day, and the one that was left out.
    for id in [11, 13] {
        insert(&mut today, &at(id, first_day));
    }
    today.commit();
    let mut tomorrow = day(first_day.next());
    for id in 14..=20 {
        insert(&mut tomorrow, &at(id, first_day.next()));
    }
    tomorrow.commit();
    insert(&mut today, &at(12, first_day));
    today.commit();
    for client in &mut clients {
        let mut left: Vec<u64> = (11..=20).collect();
        while !left.is_empty() {
            let message = client.next().unwrap();
            let Some(id) = message["trade_id"].as_u64().filter(|_| message["type"] == "match") else { continue };
            let place = left.iter().position(|wanted| *wanted == id);
            left.remove(place.unwrap_or_else(|| panic!("{id} came twice, or was never stored")));
        }
    }
}
