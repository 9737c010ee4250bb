//! A capture's life: start, a second one on the same folder, midnight, stop, restart, kill.

use super::programs::{Capture, Simulator, await_journal, await_that, journal, query, verify};
use super::scripted::{Server, match_frame, ticker_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn ids(data: &std::path::Path, product: &str, args: &[&str]) -> Vec<u64> {
    query(data, product, args).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

#[test]
fn a_second_capture_is_refused_and_the_first_is_unharmed() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in 1..=10 {
            session.send(match_frame("BTC-USD", id, &now()));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("the trades are visible", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD", &[]).len() == 10);
    let pid = first.pid();
    let second = super::programs::coltape().args(["capture", "BTC-USD", "--url", &server.url, "--data-dir"]).arg(&data).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&pid.to_string()), "{said}");
    first.stop().assert_good();
    assert_eq!(ids(&data, "BTC-USD", &[]), (1..=10).collect::<Vec<_>>());
    assert_eq!(server.connections(), 1);
}

#[test]
fn events_around_midnight_land_in_their_day_and_late_ones_in_their_place() {
    let before = ["23:59:58Z", "23:59:59.999999999Z"].map(|time| format!("2024-03-09T{time}"));
    let after = ["00:00:00Z", "00:00:00.000000001Z", "00:05:00Z"].map(|time| format!("2024-03-10T{time}"));
    let (b, a) = (before.clone(), after.clone());
    let (go, went) = std::sync::mpsc::channel();
    let went = std::sync::Mutex::new(went);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 10, &b[0]));
        // Minutes after midnight two trades of yesterday arrive in the wrong order.
        session.send(match_frame("BTC-USD", 13, &a[0]));
        session.send(match_frame("BTC-USD", 14, &a[1]));
        session.send(match_frame("BTC-USD", 15, &a[2]));
        went.lock().unwrap().recv().unwrap();
        session.send(match_frame("BTC-USD", 12, &b[1]));
        session.send(match_frame("BTC-USD", 11, &b[0]));
        // Another product is still in the day before.
        session.send(match_frame("ETH-USD", 7, &b[1]));
        session.send(ticker_frame("ETH-USD", 7, &b[1]));
        session.send(match_frame("ETH-USD", 8, &a[0]));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "--url", &server.url, "--gap-wait", "50ms"]);
    await_that("what waited behind the gap is visible", || {
        data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD", &[]) == [10, 13, 14, 15]
    });
    go.send(()).unwrap();
    await_that("the last trade is visible", || data.join("ETH-USD/TRADES").exists() && ids(&data, "ETH-USD", &[]).len() == 2);
    assert_eq!(ids(&data, "BTC-USD", &[]), [10, 11, 12, 13, 14, 15], "a live reader merges the late one");
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("trades_late"), 1.0);
    let day = |day: &str| {
        let path = data.join("BTC-USD/TRADES").join(format!("trade_id.{day}.bin"));
        std::fs::read(path).unwrap().chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(day("2024-03-09"), [10, 11, 12], "the sealed file needs no merging");
    assert_eq!(day("2024-03-10"), [13, 14, 15]);
    let tickers = |day: &str| std::fs::metadata(data.join(format!("ETH-USD/MD/time.{day}.bin"))).map_or(0, |file| file.len() / 4);
    assert_eq!((tickers("2024-03-09"), tickers("2024-03-10")), (1, 0));
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn a_restart_continues_the_day_and_stores_nothing_twice() {
    let server = Server::start(|at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let (first, last) = if at == 0 { (1, 50) } else { (41, 100) };
        for id in first..=last {
            session.send(match_frame("BTC-USD", id, &format!("{}", jiff::Timestamp::from_second(1_785_000_000 + id as i64).unwrap())));
            session.send(ticker_frame("BTC-USD", id, &format!("{}", jiff::Timestamp::from_second(1_785_000_000 + id as i64).unwrap())));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url];
    let first = Capture::start(&data, &args);
    await_that("50 trades", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD", &[]).len() == 50);
    first.stop().assert_good();
    let second = Capture::start(&data, &args);
    await_that("100 trades", || ids(&data, "BTC-USD", &[]).len() == 100);
    let ended = second.stop();
    ended.assert_good();
    assert_eq!((ended.figure("trades_duplicate"), ended.figure("tickers_stale")), (10.0, 10.0));
    assert_eq!(ids(&data, "BTC-USD", &[]), (1..=100).collect::<Vec<_>>());
    assert_eq!(query(&data, "BTC-USD", &["--dataset", "md"]).len(), 100);
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn a_killed_capture_keeps_what_was_visible_and_goes_on() {
    let time = now();
    let server = Server::start(move |at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let last = 200 + 100 * at as u64;
        for id in 1..=last {
            session.send(match_frame("BTC-USD", id, &time));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url];
    for round in 0..3 {
        let last = 200 + 100 * round;
        let capture = Capture::start(&data, &args);
        await_that("the trades are visible", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD", &["--tail", "1"]) == [last]);
        capture.kill();
        // What a reader has seen is still there before any recovery.
        assert_eq!(ids(&data, "BTC-USD", &[]), (1..=last).collect::<Vec<_>>());
    }
    let capture = Capture::start(&data, &args);
    await_that("the trades are visible", || ids(&data, "BTC-USD", &["--tail", "1"]) == [500]);
    capture.stop().assert_good();
    assert_eq!(ids(&data, "BTC-USD", &[]), (1..=500).collect::<Vec<_>>());
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn a_silent_connection_is_replaced_and_subscribed_again() {
    let server = Server::start(|at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1 + at as u64, &now()));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--idle-timeout", "300ms"]);
    await_that("three connections brought a trade each", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD", &[]).len() >= 3);
    let ended = capture.stop();
    ended.assert_good();
    assert!(ended.figure("losses") >= 2.0);
}

#[test]
fn core_columns_and_ticker_only_are_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "200", "--duration", "1s"]);
    let url = simulator.websocket();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &url, "--datasets", "md", "--columns", "core", "--date-format", "dmy"]);
    simulator.totals();
    await_journal(&data, "connection_lost", 1);
    let ended = capture.stop();
    ended.assert_good();
    assert!(ended.figure("tickers_written") > 50.0);
    assert_eq!(ended.figure("trades_received"), 0.0, "no trade subscription");
    assert!(!data.join("BTC-USD/TRADES").exists() && !data.join("BTC-USD/TICKER_TRADES").exists());
    let mut columns: Vec<_> = std::fs::read_dir(data.join("BTC-USD/MD"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().split('.').next().unwrap().to_owned())
        .collect();
    columns.sort();
    assert_eq!(columns, ["best_ask", "best_bid", "commit", "nanos", "price", "side", "time", "volume"]);
    let today = jiff::Timestamp::now().strftime("%d.%m.%y").to_string();
    assert!(data.join("BTC-USD/MD").join(format!("time.{today}.bin")).exists(), "dates as asked");
}

#[test]
fn a_capture_over_tls_trusts_the_named_authority_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD", "--rate", "100", "--duration", "1s", "--tls"]);
    let (url, authority) = (simulator.websocket(), simulator.endpoints["ca_file"].as_str().unwrap().to_owned());
    assert!(url.starts_with("wss://"), "{url}");
    let distrusting = Capture::start(&folder.path().join("other"), &["BTC-USD", "--url", &url, "--duration", "1s"]).wait();
    assert_eq!(distrusting.figure("connects"), 0.0, "{}", distrusting.stderr());
    let capture = Capture::start(&data, &["BTC-USD", "--url", &url, "--ca-file", &authority]);
    simulator.totals();
    await_journal(&data, "connection_lost", 1);
    let ended = capture.stop();
    ended.assert_good();
    assert!(ended.figure("trades_written") >= 90.0);
    assert!(journal(&data, "connected").len() == 1);
}

#[test]
fn a_clean_stop_seals_what_a_killed_capture_left_although_nothing_new_came() {
    let time = now();
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in 1..=50 {
            session.send(match_frame("BTC-USD", id, &time));
            session.send(ticker_frame("BTC-USD", id, &time));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "--url", &server.url];
    let first = Capture::start(&data, &args);
    await_that("all are visible", || {
        data.join("BTC-USD/MD").exists()
            && query(&data, "BTC-USD", &["--dataset", "md"]).len() == 50
            && ids(&data, "BTC-USD", &[]).len() == 50
    });
    first.kill();
    let second = Capture::start(&data, &args);
    await_journal(&data, "connected", 2);
    second.stop().assert_good();
    let times = super::programs::columns(&data).into_iter().filter(|(path, _)| path.contains("/time.") || path.contains("/trade_time."));
    let records: usize = times.map(|(_, bytes)| bytes.len() / 4).sum();
    assert_eq!(records, 150, "each dataset's file holds its 50 records and nothing behind them");
}

#[test]
fn an_invalid_endpoint_is_refused_before_it_is_written_into_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let run = |args: &[&str]| {
        let output = super::programs::coltape().args(["capture", "BTC-USD", "--data-dir"]).arg(&data).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["--url", "http://x"]);
    assert!(code == Some(2) && said.contains("http://x"), "{code:?}: {said}");
    let (code, said) = run(&["--url", "ws://x", "--backfill-from", "2026-11-01"]);
    assert!(code == Some(2) && said.contains("--rest-url"), "{code:?}: {said}");
    assert!(!data.exists(), "nothing was created");
}
