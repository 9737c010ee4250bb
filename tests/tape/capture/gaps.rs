//! Missing trades are noticed, fetched and put in their place.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::programs::{Capture, await_that, journal, query, verify};
use super::rest::{Rest, page, shown};
use super::scripted::{Server, match_frame, ticker_frame};

/// Trades happen a second apart, the first at midnight of 2026-03-01.
fn time(id: u64) -> String {
    jiff::Timestamp::from_second(1_772_323_200 + i64::try_from(id).unwrap()).unwrap().to_string()
}

fn frame(id: u64) -> String {
    match_frame("BTC-USD", id, &time(id))
}

fn heartbeat(last: u64) -> String {
    format!(
        "{{\"type\":\"heartbeat\",\"last_trade_id\":{last},\"product_id\":\"BTC-USD\",\"sequence\":{},\"time\":\"{}\"}}",
        last + 1000,
        time(last)
    )
}

fn trades(data: &Path) -> Vec<Value> {
    query(data, "BTC-USD", &[])
}

fn ids(data: &Path) -> Vec<u64> {
    trades(data).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn ranges(data: &Path, event: &str) -> Vec<(u64, u64)> {
    journal(data, event).iter().map(|line| (line["from_id"].as_u64().unwrap(), line["to_id"].as_u64().unwrap())).collect()
}

const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn nil_ids(data: &Path) -> Vec<u64> {
    let is_nil = |trade: &Value| trade["maker_order_id"].as_str().is_none_or(|id| id.is_empty() || id == NIL);
    trades(data).iter().filter(|trade| is_nil(trade)).map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

/// A server that sends these frames to every client that subscribes, and then waits.
fn sends(frames: Vec<String>) -> Server {
    Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        frames.iter().for_each(|frame| session.send(frame.clone()));
        session.linger();
    })
}

#[test]
fn a_dropped_trade_is_fetched_and_written_in_order() {
    let server = sends((1..=5).chain(8..=10).chain([12]).map(frame).collect());
    let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 12)), |id| shown(id, &time(id)));
    let (_folder, data) = folder();
    // Longer than the busiest machine needs to ask.
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--gap-wait", "60s"]);
    await_that("all are there", || ids(&data).len() == 12);
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ids(&data), (1..=12).collect::<Vec<_>>());
    assert_eq!(nil_ids(&data), [6, 7, 11]);
    assert_eq!((ended.figure("trades_late"), ended.figure("trades_backfilled"), ended.figure("missing_ids")), (0.0, 3.0, 0.0));
    assert_eq!((ranges(&data, "gap_opened"), ranges(&data, "gap_filled")), (vec![(6, 7), (11, 11)], vec![(6, 7), (11, 11)]));
    assert!(journal(&data, "gap_filled").iter().all(|line| line["by"] == "rest"));
    assert!(ranges(&data, "gap_left").is_empty(), "nothing was written behind it");
    let asked = rest.moments.lock().unwrap().len();
    assert!(asked == 1 || asked == 2, "a page for each gap at most: {asked}");
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn trades_behind_a_gap_are_visible_after_the_gap_wait_and_what_fills_it_is_late() {
    let server = sends((1..=5).chain(8..=10).map(frame).collect());
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let rest = Rest::start(
        move |request| {
            if opened.load(Ordering::Relaxed) { ("200 OK".to_owned(), page(request, 12)) } else { ("503 Busy".to_owned(), Vec::new()) }
        },
        |id| shown(id, &time(id)),
    );
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--gap-wait", "300ms"]);
    await_that("those behind the gap are visible", || ids(&data) == [1, 2, 3, 4, 5, 8, 9, 10]);
    assert_eq!(ranges(&data, "gap_left"), [(6, 7)]);
    is_open.store(true, Ordering::Relaxed);
    await_that("the gap is filled", || ids(&data) == (1..=10).collect::<Vec<_>>());
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!((ended.figure("trades_late"), ended.figure("missing_ids")), (2.0, 0.0));
    assert!(!journal(&data, "backfill_failed").is_empty() && ended.figure("rest_failures") > 0.0);
    assert_eq!(ranges(&data, "gap_filled"), [(6, 7)]);
    let bytes = std::fs::read(data.join("BTC-USD/TRADES/trade_id.2026-03-01.bin")).unwrap();
    let sealed: Vec<u64> = bytes.chunks(8).map(|id| u64::from_le_bytes(id.try_into().unwrap())).collect();
    assert_eq!(sealed, (1..=10).collect::<Vec<_>>(), "in their place in the sealed file");
}

#[test]
fn a_stop_gives_what_is_missing_the_gap_wait_to_come_in() {
    let server = sends((1..=5).chain([8]).map(frame).collect());
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let rest = Rest::start(
        move |request| {
            if opened.load(Ordering::Relaxed) { ("200 OK".to_owned(), page(request, 8)) } else { ("503 Busy".to_owned(), Vec::new()) }
        },
        |id| shown(id, &time(id)),
    );
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--gap-wait", "30s"]);
    await_that("REST has refused", || !journal(&data, "backfill_failed").is_empty());
    capture.signal(rustix::process::Signal::TERM);
    is_open.store(true, Ordering::Relaxed);
    let ended = capture.wait();
    ended.assert_good();
    assert_eq!((ids(&data), ended.figure("trades_late"), ended.figure("missing_ids")), ((1..=8).collect::<Vec<_>>(), 0.0, 0.0));
}

#[test]
fn a_stalled_channel_is_noticed_by_its_heartbeats_and_live_copies_bring_order_ids_later() {
    let (go, went) = mpsc::channel();
    let went = Mutex::new(went);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        (1..=5).for_each(|id| session.send(frame(id)));
        session.send(heartbeat(9));
        went.lock().unwrap().recv().unwrap();
        (6..=9).for_each(|id| session.send(frame(id)));
        session.linger();
    });
    let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 9)), |id| shown(id, &time(id)));
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url]);
    await_that("the stalled ones are fetched", || ids(&data) == (1..=9).collect::<Vec<_>>());
    assert_eq!(nil_ids(&data), [6, 7, 8, 9]);
    assert_eq!(journal(&data, "gap_opened").iter().map(|line| line["why"].clone()).collect::<Vec<_>>(), ["heartbeat"]);
    go.send(()).unwrap();
    await_that("their order ids are there", || nil_ids(&data).is_empty());
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!((ids(&data), nil_ids(&data)), ((1..=9).collect::<Vec<_>>(), vec![]));
    assert_eq!((ended.figure("trades_late"), ended.figure("trades_conflict")), (4.0, 0.0));
}

#[test]
fn a_restart_fetches_what_passed_meanwhile_each_trade_in_its_own_day() {
    // Two days pass. One trade a second would be 172 800 trades, too many for a test, so there is one every 10 000 seconds.
    let time = |id: u64| time(id * 10_000);
    let frame = move |id: u64| match_frame("BTC-USD", id, &time(id));
    let server = Server::start(move |at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let (first, last) = if at == 0 { (1, 5) } else { (24, 26) };
        (first..=last).for_each(|id| session.send(frame(id)));
        session.linger();
    });
    let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 26)), move |id| shown(id, &time(id)));
    let (_folder, data) = folder();
    let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url];
    let first = Capture::start(&data, &args);
    await_that("five are there", || ids(&data).len() == 5);
    first.stop().assert_good();
    let second = Capture::start(&data, &args);
    await_that("all are there", || ids(&data) == (1..=26).collect::<Vec<_>>());
    second.stop().assert_good();
    let days: Vec<usize> = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
        .map(|day| std::fs::read(data.join(format!("BTC-USD/TRADES/trade_id.{day}.bin"))).unwrap().len() / 8)
        .into();
    assert_eq!(days, [8, 9, 8, 1], "id n happens at n times 10 000 s");
    assert_eq!(ranges(&data, "gap_filled"), [(6, 23)]);
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good && said.contains("3 whole"), "{said}");
}

#[test]
fn gaps_that_an_earlier_run_left_are_fetched_at_the_next_start() {
    let server = sends((1..=5).chain(8..=10).chain([15]).map(frame).collect());
    let (_folder, data) = folder();
    let first = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--no-backfill", "--gap-wait", "100ms"]);
    await_that("nine are there", || ids(&data).len() == 9);
    first.stop().assert_leaves(&["missing"]);
    assert!(!verify(&data, &[]).0, "gaps are reported");
    let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 15)), |id| shown(id, &time(id)));
    let second = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url]);
    await_that("all are there", || ids(&data) == (1..=15).collect::<Vec<_>>());
    second.stop().assert_good();
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good, "{said}");
}

#[test]
fn a_time_to_begin_at_makes_a_first_day_whole() {
    let server = sends((90_000..=90_002).map(frame).chain([frame(180_000)]).collect());
    let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 200_000)), |id| shown(id, &time(id)));
    let (_folder, data) = folder();
    let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--rest-rate", "1000", "--backfill-from", "2026-03-02"];
    let capture = Capture::start(&data, &args);
    // Id 86 400 happens at midnight; the one before it shows that nothing of the day is missing.
    let all = 180_000 - 86_399 + 1;
    await_that("all are there", || {
        let counts = ["2026-03-01", "2026-03-02", "2026-03-03"].map(|day| query(&data, "BTC-USD", &["--from", day, "--limit", "1"]).len());
        counts == [1, 1, 1]
            && journal(&data, "gap_filled")
                .iter()
                .map(|line| line["to_id"].as_u64().unwrap() - line["from_id"].as_u64().unwrap() + 1)
                .sum::<u64>()
                == all - 4
    });
    capture.stop().assert_good();
    assert_eq!(std::fs::read(data.join("BTC-USD/TRADES/trade_id.2026-03-02.bin")).unwrap().len(), 86_400 * 8);
    let (is_good, said) = verify(&data, &[]);
    assert!(is_good && said.contains("1 whole, 2 partial"), "{said}");
    let asked = rest.moments.lock().unwrap().len();
    let proven = journal(&data, "connection_proven").len();
    let again = Capture::start(&data, &args);
    super::programs::await_journal(&data, "connection_proven", proven + 1);
    again.stop().assert_good();
    assert_eq!(rest.moments.lock().unwrap().len(), asked, "nothing is asked for twice");
}

#[test]
fn a_429_is_honoured_by_everyone_and_one_products_failure_is_its_own() {
    let frames = |product: &'static str| [1, 4].map(move |id| match_frame(product, id, &time(id)));
    let server = sends(["BTC-USD", "ETH-USD", "SOL-USD"].into_iter().flat_map(frames).collect());
    let rest = Rest::start(
        |request| match request {
            _ if request.number == 0 => ("429 Too Many Requests\r\nRetry-After: 1".to_owned(), Vec::new()),
            _ if request.product == "ETH-USD" => ("404 Not Found".to_owned(), Vec::new()),
            _ => ("200 OK".to_owned(), page(request, 4)),
        },
        |id| shown(id, &time(id)),
    );
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "SOL-USD", "--url", &server.url, "--rest-url", &rest.url]);
    await_that("two products are whole", || ["BTC-USD", "SOL-USD"].iter().all(|product| query(&data, product, &[]).len() == 4));
    let ended = capture.stop();
    ended.assert_leaves(&["missing"]);
    assert_eq!(ended.figure("missing_ids"), 2.0, "what cannot be had is told");
    let moments = rest.moments.lock().unwrap();
    assert!(moments[1] - moments[0] >= Duration::from_millis(990), "{:?}", moments[1] - moments[0]);
    assert_eq!(query(&data, "ETH-USD", &[]).len(), 2);
    assert!(!verify(&data, &[]).0);
}

#[test]
fn two_lines_make_one_tape() {
    // One line brings the odd ids, the other the even ones; both bring the first and every fifth.
    let server = Server::start(|at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in (1..=1000u64).filter(|id| *id == 1 || id % 5 == 0 || id % 2 == u64::try_from(at).unwrap() % 2) {
            session.send(frame(id));
            session.send(ticker_frame("BTC-USD", id, &time(id)));
        }
        session.linger();
    });
    let (_folder, data) = folder();
    // The second line connects a second after the first.
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--lines", "2", "--gap-wait", "10s"]);
    await_that("all are there", || ids(&data).len() == 1000);
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ids(&data), (1..=1000).collect::<Vec<_>>());
    assert_eq!((ended.figure("trades_late"), ended.figure("trades_duplicate"), ended.figure("missing_ids")), (0.0, 201.0, 0.0));
    let lines: Vec<Value> =
        ended.report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line["line"].is_number()).collect();
    let sum = |name: &str| lines.iter().map(|line| line[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((lines.len(), sum("wins"), sum("duplicates"), sum("losses")), (2, 1000, 201, 799), "{lines:?}");
    let sequences: Vec<u64> =
        query(&data, "BTC-USD", &["--dataset", "md"]).iter().map(|ticker| ticker["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(sequences.len().to_string(), (1201.0 - ended.figure("tickers_stale")).to_string());
    let lines_of: std::collections::BTreeSet<u64> =
        trades(&data).iter().map(|trade| trade["trade_origin"].as_u64().unwrap() >> 4 & 0xf).collect();
    assert_eq!(lines_of, [0, 1].into());
}

#[test]
fn tickers_without_an_id_come_from_one_line_at_a_time() {
    let envelope = |number: u64, events: String| {
        format!("{{\"channel\":\"ticker\",\"timestamp\":\"{}\",\"sequence_num\":{number},\"events\":{events}}}", time(number))
    };
    let ticker = move |number: u64, price: u64| {
        envelope(
            number,
            format!(
                "[{{\"type\":\"update\",\"tickers\":[{{\"type\":\"ticker\",\"product_id\":\"BTC-USD\",\"price\":\"{price}\",\"best_bid\":\"1\",\"best_ask\":\"2\"}}]}}]"
            ),
        )
    };
    let (go, went) = mpsc::channel();
    let went = Mutex::new(went);
    let server = Server::start(move |at, mut session| {
        // Three requests: a channel each.
        (0..3).for_each(|_| drop(session.receive()));
        session.send(
            "{\"channel\":\"subscriptions\",\"timestamp\":\"2026-03-01T00:00:00Z\",\"sequence_num\":0,\"events\":[{\"subscriptions\":\
             {\"ticker\":[\"BTC-USD\"],\"market_trades\":[\"BTC-USD\"],\"heartbeats\":[\"heartbeats\"]}}]}",
        );
        let line = u64::try_from(at).unwrap();
        (1..=5).for_each(|number| session.send(ticker(number, 100 * (line + 1) + number)));
        if at == 0 {
            went.lock().unwrap().recv().unwrap();
            session.close(1000);
        } else {
            // Sent again and again: whichever comes first after the other line's end is the seam.
            for number in 6.. {
                session.send(ticker(number, 200 + number));
                if session.receive_at_once().is_none() {
                    break;
                }
            }
        }
    });
    let (_folder, data) = folder();
    let capture = Capture::start(&data, &["BTC-USD", "--feed", "advanced", "--url", &server.url, "--lines", "2"]);
    let prices = |data: &Path| {
        query(data, "BTC-USD", &["--dataset", "md"]).iter().map(|ticker| ticker["price_f64"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    await_that("two lines stand", || server.connections() == 2 && prices(&data).len() >= 5);
    go.send(()).unwrap();
    await_that("the other line goes on", || prices(&data).len() > 5);
    capture.stop().assert_good();
    let prices = prices(&data);
    assert!(prices[..5].iter().all(|price| *price < 200.0) && prices[5..].iter().all(|price| *price > 200.0), "{prices:?}");
    let turns: Vec<u64> = journal(&data, "ticker_seam").iter().map(|line| line["to_line"].as_u64().unwrap()).collect();
    assert!(turns.len() >= 2 && turns[0] != turns[1], "{turns:?}");
}

#[test]
fn a_running_capture_that_is_asked_for_a_repair_tells_what_it_does_not_record() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        if products.iter().any(|product| product == "BTC-USD") {
            (1..=5).chain(8..=10).for_each(|id| session.send(frame(id)));
        } else {
            session.send(match_frame("ETH-USD", 1, &time(1)));
        }
        session.linger();
    });
    let (_folder, data) = folder();
    let records = |product| Capture::start(&data, &[product, "--url", &server.url, "--gap-wait", "50ms", "--no-backfill"]);
    let first = records("BTC-USD");
    await_that("the tape is there", || ids(&data).len() == 8);
    first.stop().assert_leaves(&["missing"]);
    let second = records("ETH-USD");
    let repair = || {
        let output = super::programs::coltape().arg("repair").arg(&data).arg("--any-endpoint").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    await_that("it records", || journal(&data, "connection_proven").len() == 2);
    let (code, said) = repair();
    assert!(code == Some(1) && said.contains("BTC-USD: 2 ids are missing; it is not recorded now"), "{code:?}: {said}");
    second.stop().assert_good();
}

#[test]
fn a_running_capture_takes_from_another_tape_what_it_misses() {
    let tape = |data: &Path, frames: Vec<String>, count: usize| {
        let server = sends(frames);
        let capture = Capture::start(data, &["BTC-USD", "--url", &server.url, "--gap-wait", "50ms"]);
        await_that("the tape is there", || ids(data).len() == count);
        (server, capture)
    };
    let (folder, data) = folder();
    let (_server, capture) = tape(&data, (1..=5).chain(8..=10).chain([20]).map(frame).collect(), 9);
    // The other box missed some, too, and tells one trade otherwise.
    let other = folder.path().join("other");
    let odd = frame(3).replace("14.7775", "14.7774");
    let (_other_server, other_capture) =
        tape(&other, [frame(1), frame(2), odd].into_iter().chain((6..=15).chain(17..=22).map(frame)).collect(), 19);
    let repair = |args: &[&str]| {
        let output = super::programs::coltape()
            .arg("repair")
            .arg(&data)
            .args(["--from", other.to_str().unwrap(), "--no-rest", "--any-endpoint"])
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, said) = repair(&[]);
    assert_eq!(code, Some(1), "a trade differs and one is missing: {said}");
    assert!(said.contains("14.7774") && said.contains("1 ids are still missing"), "{said}");
    let all: Vec<u64> = (1..=20).filter(|id| *id != 16).collect();
    await_that("what the other has is there", || ids(&data) == all);
    assert!(nil_ids(&data).is_empty());
    assert_eq!(trades(&data)[2]["trade_price_f64"].as_f64(), Some(14.7775), "what differs is not merged");
    capture.stop().assert_leaves(&["missing"]);
    drop(other_capture);
    assert_eq!(ids(&data), all);
    assert_eq!(ranges(&data, "gap_filled"), [(6, 7), (11, 15), (17, 19)]);
    assert!(journal(&data, "gap_filled").iter().all(|line| line["by"] == "tape"));
}

#[test]
fn where_trading_began_is_journaled_when_its_first_trade_is_stored() {
    let server = sends((30..=32).map(frame).collect());
    // REST gives no page of several trades until the test says so.
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let rest = Rest::start(
        move |request| {
            if request.limit > 1 && !opened.load(Ordering::Relaxed) {
                return ("503 Busy".to_owned(), Vec::new());
            }
            ("200 OK".to_owned(), page(request, 32))
        },
        |id| shown(id, &time(id)),
    );
    let (_folder, data) = folder();
    let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--rest-rate", "1000", "--backfill-from", "2026-02-01"];
    let capture = Capture::start(&data, &args);
    await_that("the trades since then are missing", || ranges(&data, "gap_opened") == [(1, 29)]);
    assert!(journal(&data, "trading_began").is_empty(), "its first trade is not stored");
    is_open.store(true, Ordering::Relaxed);
    await_that("all are there", || ids(&data) == (1..=32).collect::<Vec<_>>());
    capture.stop().assert_good();
    let began: Vec<u64> = journal(&data, "trading_began").iter().map(|line| line["first_id"].as_u64().unwrap()).collect();
    assert_eq!(began, [1]);
    assert!(journal(&data, "rest_retention").is_empty());
}

#[test]
fn that_rest_has_nothing_below_an_id_is_its_limit_and_no_beginning() {
    for lowest in [2, 5, 29, 30] {
        let server = sends((30..=32).map(frame).collect());
        let rest = Rest::start(
            move |request| ("200 OK".to_owned(), page(request, 32).into_iter().filter(|id| *id >= lowest).collect()),
            |id| shown(id, &time(id)),
        );
        let (_folder, data) = folder();
        let args = ["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--rest-rate", "1000", "--backfill-from", "2026-02-01"];
        let capture = Capture::start(&data, &args);
        await_that("the limit is known", || !journal(&data, "rest_retention").is_empty());
        await_that("all are there", || ids(&data) == (lowest..=32).collect::<Vec<_>>());
        capture.stop().assert_good();
        let limits: Vec<u64> = journal(&data, "rest_retention").iter().map(|line| line["lowest_id"].as_u64().unwrap()).collect();
        assert_eq!((limits, journal(&data, "trading_began").len()), (vec![lowest], 0));
        let (_, said) = verify(&data, &[]);
        assert!(said.contains("0 whole"), "{said}");
    }
}
