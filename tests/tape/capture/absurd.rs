//! Messages that no exchange should send: the good ones between them are stored, each bad one is counted, and nothing panics.

use std::fs;
use std::time::Duration;

use super::programs::{Capture, DEADLINE, await_that, await_that_within, journal, query};
use super::scripted::{Server, match_frame, ticker_frame};

/// How many junk frames are sent. A good one follows every fiftieth.
fn junk_frames() -> usize {
    std::env::var("COLTAPE_JUNK_FRAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// One junk frame: text that must be rejected, or bytes.
fn junk(rng: &mut fastrand::Rng) -> Result<String, Vec<u8>> {
    let good = match_frame("BTC-USD", 5, "2024-01-01T00:00:00Z");
    Ok(match rng.u8(0..12) {
        0 => return Err((0..rng.usize(1..200)).map(|_| rng.u8(..)).collect()),
        1 => good[..rng.usize(1..good.len() - 1)].to_owned(),
        2 => good.replace("\"trade_id\":5", "\"trade_id\":\"five\""),
        3 => good.replace("\"trade_id\":5", "\"trade_id\":99999999999999999999999"),
        4 => good.replace("\"price\":\"14.7775\"", "\"price\":[14.7775]"),
        5 => good.replace("14.7775", ["1e", "--1", "NaN", "inf", "", "1.2.3", "1e400", "0x10"][rng.usize(0..8)]),
        6 => good.replace("\"trade_id\":5", ["\"trade_id\":-5", "\"trade_id\":5.5", "\"trade_id\":{}"][rng.usize(0..3)]),
        7 => good.replace("BTC-USD", ["../../x", "..", "", "a/b", "_coltape", "A\\u0000"][rng.usize(0..6)]),
        8 => format!("{{\"type\":\"match\",\"trade_id\":{}1{}}}", "[".repeat(2000), "]".repeat(2000)),
        9 => good.replace("\"side\":\"sell\"", "\"side\":\"hold\""),
        10 => good.replace(
            "2024-01-01T00:00:00Z",
            ["0001-01-01T00:00:00Z", "2024-02-30T00:00:00Z", "now", "2099-01-01T00:00:00Z"][rng.usize(0..4)],
        ),
        _ => "[".repeat(rng.usize(1..5000)),
    })
}

#[test]
fn junk_between_good_frames_costs_nothing_but_its_count() {
    let seed = std::env::var("COLTAPE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    println!("seed {seed}");
    let count = junk_frames();
    let good = count / 50;
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let mut rng = fastrand::Rng::with_seed(seed);
        for at in 0..count {
            match junk(&mut rng) {
                Ok(text) => session.send(text),
                Err(bytes) => session.send_bytes(bytes),
            }
            if at % 50 == 0 {
                session.send(match_frame("BTC-USD", 1000 + at as u64 / 50, &now()));
            }
        }
        session.close(1000);
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    let patience = DEADLINE + Duration::from_micros(200) * u32::try_from(count).unwrap();
    await_that_within(patience, "all frames are read", || !journal(&data, "connection_lost").is_empty());
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("trades_written"), good as f64);
    assert_eq!(ended.figure("frames_rejected"), count as f64, "{}", ended.stdout());
    assert_eq!(ended.figure("missing_ids"), 0.0);
    let rejects = fs::read_dir(data.join("_coltape")).unwrap().map(|entry| entry.unwrap());
    let bytes: u64 = rejects.filter(|e| e.file_name().to_string_lossy().starts_with("rejects.")).map(|e| e.metadata().unwrap().len()).sum();
    assert!(bytes > 0 && bytes <= 65 << 20, "{bytes} bytes of rejects");
    assert!(!folder.path().join("x").exists(), "a hostile name has made a path outside the folder");
}

#[test]
fn an_absurd_id_and_an_absurd_time_hide_no_later_trade() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 100, &now()));
        session.send(match_frame("BTC-USD", 1 << 63, &now()));
        session.send(match_frame("BTC-USD", 101, "2099-01-01T00:00:00Z"));
        // An absurd sequence in a ticker must not make the real ones stale.
        session.send(ticker_frame("BTC-USD", 100, &now()));
        session.send(ticker_frame("BTC-USD", 100, &now()).replace("\"sequence\":1100", "\"sequence\":9000000000000000000"));
        for id in 101..=200 {
            session.send(match_frame("BTC-USD", id, &now()));
            session.send(ticker_frame("BTC-USD", id, &now()));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("the last trade is visible", || {
        data.join("BTC-USD/TRADES").exists() && query(&data, "BTC-USD", &["--tail", "1"]).iter().any(|trade| trade["trade_id"] == 200)
    });
    let ended = capture.stop();
    ended.assert_good();
    let ids: Vec<u64> = query(&data, "BTC-USD", &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (100..=200).collect::<Vec<_>>());
    assert_eq!(query(&data, "BTC-USD", &["--dataset", "md"]).len(), 101);
    assert_eq!(ended.figure("trades_rejected"), 2.0, "the absurd id and the year 2099");
    assert_eq!(ended.figure("tickers_rejected"), 1.0);
}

#[test]
fn an_absurd_first_id_hides_nothing_either() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1 << 63, &now()));
        for id in 1..=50 {
            session.send(match_frame("BTC-USD", id, &now()));
        }
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("the last trade is visible", || {
        data.join("BTC-USD/TRADES").exists() && query(&data, "BTC-USD", &["--tail", "1"]).iter().any(|trade| trade["trade_id"] == 50)
    });
    capture.stop().assert_good();
    assert_eq!(query(&data, "BTC-USD", &[]).len(), 50);
}

#[test]
fn a_trade_that_comes_again_with_other_fields_is_journaled_with_its_raw_text_and_the_first_kept() {
    let time = now();
    let first = match_frame("BTC-USD", 7, &time);
    let other = first.replace("\"price\":\"14.7775\"", "\"price\":\"14.77760\"");
    let sent = other.clone();
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(first.clone());
        session.send(sent.clone());
        session.send(first.clone());
        session.send(match_frame("BTC-USD", 8, &time));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url]);
    await_that("the last trade is visible", || query(&data, "BTC-USD", &[]).len() == 2);
    let ended = capture.stop();
    ended.assert_leaves(&["conflicts"]);
    assert_eq!((ended.figure("trades_conflict"), ended.figure("trades_duplicate")), (1.0, 1.0));
    assert_eq!(query(&data, "BTC-USD", &[])[0]["trade_price_f64"], 14.7775);
    let told = super::programs::journal(&data, "conflict");
    assert_eq!((told.len(), told[0]["raw"].as_str()), (1, Some(other.as_str())));
}
