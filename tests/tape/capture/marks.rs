//! Ids, sequences and times that leap or begin anew, end to end: what is real is stored, and only what is real moves a mark.

use super::programs::{Capture, Ended, await_that, journal, query};
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
