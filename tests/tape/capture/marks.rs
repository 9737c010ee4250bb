//! Ids, sequences and times that leap or begin anew, end to end: what is real is stored, and only what is real moves a mark.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::programs::{Capture, Ended, await_that, journal, query};
use super::rest::{Rest, page, shown};
use super::scripted::{Server, Session, match_frame, ticker_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// A trade with a price of its own, so that no other trade is like it.
fn trade(id: u64) -> String {
    let order = format!("{id:012}");
    match_frame("BTC-USD", id, &now())
        .replace("14.7775", &format!("14.{:06}1", id % 1_000_000))
        .replace("9f71-6049f4c6aaf8", &format!("9f71-{order}"))
}

fn ticker(sequence: u64) -> String {
    let frame = ticker_frame("BTC-USD", 77, &now());
    frame.replace("\"sequence\":1077", &format!("\"sequence\":{sequence}"))
}

/// Runs a capture against connections that each send their frames, one after the other.
fn record(connections: Vec<Vec<String>>, is_done: impl Fn(&std::path::Path) -> bool) -> (tempfile::TempDir, Ended) {
    let server = Server::start(move |at, mut session: Session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for frame in connections.get(at).into_iter().flatten() {
            session.send(frame.clone());
        }
        if at + 1 < connections.len() { session.close(1001) } else { session.linger() }
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("everything is stored", || data.exists() && is_done(&data));
    let ended = capture.stop();
    (folder, ended)
}

fn ids(data: &std::path::Path, product: &str) -> Vec<u64> {
    if !data.join(product).join("TRADES").exists() {
        return Vec::new();
    }
    query(data, product, &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

fn sequences(data: &std::path::Path) -> Vec<u64> {
    if !data.join("BTC-USD/MD").exists() {
        return Vec::new();
    }
    let rows = query(data, "BTC-USD", &["--dataset", "md"]);
    rows.iter().map(|ticker| ticker["sequence"].as_u64().unwrap()).collect()
}

#[test]
fn an_absurd_ticker_sequence_hides_no_other_ticker() {
    for absurd in [vec![1_001_100], vec![9_000_000_000_000_000_000, 9_000_000_000_000_000_001]] {
        let real = |range: std::ops::RangeInclusive<u64>| range.map(ticker).collect::<Vec<_>>();
        let frames = [real(1000..=1099), absurd.iter().map(|sequence| ticker(*sequence)).collect(), real(1101..=1199)].concat();
        let (_folder, ended) = record(vec![frames], |data| sequences(data).last() == Some(&1199));
        assert_eq!(ended.figure("tickers_written"), 199.0);
        assert_eq!(ended.figure("tickers_rejected"), absurd.len() as f64);
    }
}

#[test]
fn a_ticker_sequence_that_begins_anew_goes_on_live_and_over_a_reconnect() {
    for connections in [
        vec![[(5000..5050).map(ticker).collect::<Vec<_>>(), (1..=50).map(ticker).collect()].concat()],
        vec![(5000..5050).map(ticker).collect(), (1..=50).map(ticker).collect()],
    ] {
        let (folder, ended) = record(connections, |data| sequences(data).last() == Some(&50));
        let data = folder.path().join("data");
        assert_eq!(sequences(&data), (5000..5050).chain(1..=50).collect::<Vec<_>>());
        assert_eq!((ended.figure("tickers_rejected"), journal(&data, "sequence_restarted").len()), (0.0, 1));
    }
}

#[test]
fn trade_ids_that_begin_anew_are_stored_as_another_series_live_and_over_a_reconnect() {
    let old = || (5_000_000..5_000_050).map(trade).collect::<Vec<_>>();
    let new = || (1..=50).map(trade).collect::<Vec<_>>();
    for connections in [vec![[old(), new()].concat()], vec![old(), new()]] {
        let (folder, ended) = record(connections, |data| ids(data, "BTC-USD~2").len() == 50);
        let data = folder.path().join("data");
        assert_eq!(ids(&data, "BTC-USD"), (5_000_000..5_000_050).collect::<Vec<_>>());
        assert_eq!(ids(&data, "BTC-USD~2"), (1..=50).collect::<Vec<_>>());
        assert_eq!((ended.figure("trades_conflict"), ended.figure("trades_rejected"), ended.figure("missing_ids")), (0.0, 0.0, 0.0));
        let told = journal(&data, "series_restarted");
        assert_eq!((told.len(), told[0]["series"].as_str(), told[0]["last_id"].as_u64()), (1, Some("BTC-USD~2"), Some(5_000_049)));
    }
}

#[test]
fn one_or_two_absurd_first_ids_blind_no_run() {
    for absurd in [vec![1 << 50], vec![1 << 50, (1 << 50) + 1], vec![7]] {
        let frames: Vec<String> = absurd.iter().copied().chain(3_000_000..3_000_050).map(trade).collect();
        let (folder, ended) = record(vec![frames], |data| ids(data, "BTC-USD").len() == 50);
        assert_eq!(ids(&folder.path().join("data"), "BTC-USD"), (3_000_000..3_000_050).collect::<Vec<_>>());
        assert_eq!((ended.figure("trades_rejected"), ended.figure("missing_ids")), (absurd.len() as f64, 0.0));
    }
}

/// The last trade of a market, whose id fits no other.
#[derive(Clone, Copy)]
struct LastTrade {
    id: u64,
    /// The newest trade that REST has.
    newest_of_rest: u64,
    /// Whether the capture is stopped as soon as the trade is doubted.
    is_stopped_at_once: bool,
}

/// Records trades 5 000 000 to 5 000 049 and then one more. REST has all of them up to an id, and shows what was sent. Gives the ids that REST was asked for.
fn record_last_trade(last: LastTrade) -> (tempfile::TempDir, Ended, Vec<u64>) {
    let frames: Vec<String> = (5_000_000..5_000_050).chain([last.id]).map(trade).collect();
    let time_of = |frame: &String| serde_json::from_str::<serde_json::Value>(frame).unwrap()["time"].as_str().unwrap().to_owned();
    let times: std::collections::BTreeMap<u64, String> = (5_000_000..5_000_050).chain([last.id]).zip(frames.iter().map(time_of)).collect();
    let server = Server::start(move |_, mut session: Session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        frames.iter().for_each(|frame| session.send(frame.clone()));
        session.linger();
    });
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, time_of_first) = (Arc::clone(&asked), times[&5_000_000].clone());
    let rest = Rest::start(
        move |request| {
            seen.lock().unwrap().push(request.after);
            ("200 OK".to_owned(), page(request, last.newest_of_rest))
        },
        move |id| shown(id, times.get(&id).unwrap_or(&time_of_first)),
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--rest-url", &rest.url, "--gap-wait", "10s"]);
    await_that("the last trade is doubted", || data.exists() && journal(&data, "trade_doubted").len() == 1);
    if !last.is_stopped_at_once {
        let is_settled = || !journal(&data, "doubt_refuted").is_empty() || !ids(&data, "BTC-USD~2").is_empty();
        await_that("the doubt is settled", is_settled);
    }
    let ended = capture.stop();
    let asked = asked.lock().unwrap().clone();
    (folder, ended, asked)
}

#[test]
fn the_last_trade_of_a_market_is_believed_where_rest_has_it_although_nothing_follows() {
    for is_stopped_at_once in [false, true] {
        let (folder, ended, asked) = record_last_trade(LastTrade { id: 1, newest_of_rest: 1, is_stopped_at_once });
        let data = folder.path().join("data");
        assert_eq!((ids(&data, "BTC-USD").len(), ids(&data, "BTC-USD~2")), (50, vec![1]), "{}", ended.stderr());
        ended.assert_good();
        assert_eq!((ended.figure("trades_rejected"), journal(&data, "series_restarted").len()), (0.0, 1));
        assert!(asked.iter().all(|after| *after == u64::MAX), "REST is asked for the newest trade, and for no id: {asked:?}");
    }
}

#[test]
fn a_last_trade_that_rest_does_not_have_is_rejected() {
    for (id, is_stopped_at_once) in [(1, false), (1, true), (9_000_000_000, true)] {
        let (folder, ended, asked) = record_last_trade(LastTrade { id, newest_of_rest: 5_000_049, is_stopped_at_once });
        let data = folder.path().join("data");
        assert_eq!((ids(&data, "BTC-USD").len(), ids(&data, "BTC-USD~2").len()), (50, 0));
        assert_eq!((ended.figure("trades_rejected"), ended.figure("missing_ids")), (1.0, 0.0));
        assert!(!asked.is_empty() && asked.iter().all(|after| *after == u64::MAX), "{asked:?}");
    }
}

#[test]
fn a_series_that_begins_anew_while_one_of_two_lines_lags_is_stored_once_and_apart() {
    let old: Vec<String> = (5_000_000..5_000_050).map(trade).collect();
    // A trade that the first line is not sent comes with the one that lags.
    let dropped = 5_000_030;
    let new: Vec<String> = (1..=50).map(trade).collect();
    let (of_lines, is_begun) = ((old.clone(), new.clone()), Arc::new(AtomicBool::new(false)));
    let begun = Arc::clone(&is_begun);
    let server = Server::start(move |at, mut session: Session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let (old, new) = &of_lines;
        if at == 0 {
            let is_sent = |at: &usize| *at as u64 + 5_000_000 != dropped;
            (0..old.len()).filter(is_sent).for_each(|at| session.send(old[at].clone()));
            new.iter().for_each(|frame| session.send(frame.clone()));
        } else {
            old.iter().take(20).for_each(|frame| session.send(frame.clone()));
            while !begun.load(Ordering::Relaxed) && session.receive_at_once().is_some() {}
            old.iter().skip(20).chain(new).for_each(|frame| session.send(frame.clone()));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--lines", "2", "--no-backfill"]);
    await_that("the new series is stored while the second line lags", || ids(&data, "BTC-USD~2").len() == 50);
    is_begun.store(true, Ordering::Relaxed);
    await_that("the trade that one line brought is stored", || ids(&data, "BTC-USD").len() == 50);
    await_that("the second line is read to its end", || {
        let text = std::fs::read_to_string(data.join("_coltape/status.json")).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        status["products"][0]["trades"] == 49 + 50 + 50 + 50
    });
    let ended = capture.stop();
    assert_eq!(ids(&data, "BTC-USD"), (5_000_000..5_000_050).collect::<Vec<_>>());
    assert_eq!(ids(&data, "BTC-USD~2"), (1..=50).collect::<Vec<_>>());
    ended.assert_good();
    assert_eq!((ended.figure("trades_conflict"), ended.figure("trades_rejected"), ended.figure("trades_duplicate")), (0.0, 0.0, 99.0));
    assert_eq!(journal(&data, "series_restarted").len(), 1);
}

#[test]
fn a_series_that_begins_anew_is_no_name_to_capture() {
    let folder = tempfile::tempdir().unwrap();
    let output = super::programs::coltape()
        .args(["capture", "BTC-USD~2", "--url", "ws://127.0.0.1:1", "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("name BTC-USD,"), "{said}");
}
