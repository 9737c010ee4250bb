//! Midnight, by a clock that the test sets: tomorrow's files are made before it, yesterday is sealed after it, and a later trade is put in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use coltape::internals::capture::stop::Stop;
use coltape::internals::capture::{self, CaptureConfig};
use coltape::internals::feed::Feed;
use coltape::internals::product::ProductId;
use coltape::internals::schema::Trades;
use coltape::internals::store::{DayState, Snapshot};
use coltape::internals::time::{Clock, UnixNanos, UtcDay, parse_rfc3339};

use super::programs::{await_that, coltape, journal};
use super::scripted::{Server, match_frame};

fn at(text: &str) -> UnixNanos {
    parse_rfc3339(text.as_bytes()).unwrap().to_unix().unwrap()
}

#[test]
fn a_day_is_prepared_before_midnight_and_sealed_after_it_while_the_capture_goes_on() {
    let (frames, to_send) = mpsc::channel::<String>();
    let to_send = std::sync::Mutex::new(to_send);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        while let Ok(frame) = to_send.lock().unwrap().recv() {
            session.send(frame);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let now = Arc::new(AtomicU64::new(at("2024-03-09T23:58:00Z").0));
    let product = ProductId::new("BTC-USD").unwrap();
    let mut config = CaptureConfig::new(Feed::Exchange, &server.url, [product.clone()], &data);
    config.sync_interval = Duration::from_millis(100);
    config.queue_capacity_msgs = 1000;
    config.idle_timeout = Duration::from_secs(600);
    config.clock = Clock::Manual(Arc::clone(&now));
    let stop = Stop::default();
    let capture = {
        let stop = stop.clone();
        std::thread::spawn(move || capture::run(&config, &stop).unwrap())
    };
    let (ninth, tenth) = (UtcDay::parse("2024-03-09").unwrap(), UtcDay::parse("2024-03-10").unwrap());
    let day = |date| Snapshot::<Trades>::open(&data, &product, date).ok().flatten();
    let ids = |date| day(date).map(|day| day.rows().map(|trade| trade.trade_id).collect::<Vec<_>>()).unwrap_or_default();
    let set = |text: &str| now.store(at(text).0, Ordering::Relaxed);
    let send = |id, time: &str| frames.send(match_frame("BTC-USD", id, time)).unwrap();

    send(1, "2024-03-09T23:57:59Z");
    await_that("the first trade is visible", || ids(ninth) == [1]);
    let printed = folder.path().join("printed");
    let mut follower = coltape()
        .args(["query", "BTC-USD", "--follow", "--format", "csv", "--columns", "trade_id", "--data-dir"])
        .arg(&data)
        .stdout(std::fs::File::create(&printed).unwrap())
        .spawn()
        .unwrap();
    // A busy writer does its less urgent work at most once a second.
    let mut next = 2;
    await_that("tomorrow's files are there before midnight", || {
        send(next, "2024-03-09T23:57:59.5Z");
        next += 1;
        std::thread::sleep(Duration::from_millis(50));
        data.join("BTC-USD/TRADES/trade_id.2024-03-10.bin").exists()
    });
    let of_ninth = next;
    send(of_ninth + 1, "2024-03-10T00:00:00Z");
    set("2024-03-10T00:00:05Z");
    // A trade of yesterday arrives minutes after midnight, out of order.
    send(of_ninth, "2024-03-09T23:59:59.999999999Z");
    await_that("both are in their day", || ids(tenth) == [of_ninth + 1] && ids(ninth).last() == Some(&of_ninth));
    assert_eq!(day(ninth).unwrap().state(), DayState::Live, "a late record has ten minutes");

    set("2024-03-10T00:16:00Z");
    let mut next = of_ninth + 2;
    await_that("yesterday is sealed", || {
        send(next, "2024-03-10T00:15:59Z");
        next += 1;
        std::thread::sleep(Duration::from_millis(50));
        day(ninth).is_some_and(|day| matches!(day.state(), DayState::Sealed { generation: 0 }))
    });
    // A copy of a sealed trade is a duplicate. A new trade of that day is late.
    send(1, "2024-03-09T23:57:59Z");
    send(next + 1, "2024-03-09T23:59:59.9999Z");
    send(next + 2, "2024-03-10T00:16:00Z");
    await_that("the late one is visible", || ids(ninth).last() == Some(&(next + 1)));
    stop.ask();
    drop(frames);
    let summary = capture.join().unwrap();
    let undone: Vec<&str> = summary.shortcomings().iter().map(coltape::Shortcoming::name).collect();
    assert_eq!((undone.as_slice(), &summary.failure, summary.unsealed), (&["missing"][..], &None, 0), "one id was never sent: {summary:?}");
    assert_eq!((summary.trades().duplicate, summary.trades().late), (1, 1));
    let sealed = day(ninth).unwrap();
    assert_eq!((sealed.state(), sealed.late().len()), (DayState::Sealed { generation: 1 }, 0), "put in its place by a replacement");
    assert_eq!(sealed.check().unwrap(), []);
    let expected: Vec<u64> = (1..=of_ninth).chain([next + 1]).collect();
    assert_eq!(sealed.rows().map(|trade| trade.trade_id).collect::<Vec<_>>(), expected);
    assert!(journal(&data, "day_sealed").len() >= 2);
    // Whoever followed has every trade once: those of both days, those that came late, and the one that was put in its place.
    let mut want: Vec<u64> = expected.into_iter().chain(ids(tenth)).collect();
    want.sort_unstable();
    let followed = || {
        let text = std::fs::read_to_string(&printed).unwrap();
        let mut ids: Vec<u64> = text.lines().skip(1).filter_map(|line| line.parse().ok()).collect();
        ids.sort_unstable();
        ids
    };
    await_that("all is printed", || followed().len() >= want.len());
    // What would be printed twice is printed with the same look.
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(followed(), want);
}
