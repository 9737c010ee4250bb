//! A capture of a served tape gives the same columns, receive times apart: of both protocols, through kills of either side, over chained boxes.

use std::net::TcpListener;
use std::path::Path;

use super::client::Serve;
use super::tapes::{
    assert_same, assert_verified, capture_of, count, held, products_of, recorded, records, stored_market, trades_without_orders,
};
use crate::programs::{Capture, DEADLINE, Simulator, await_that, await_that_within};

/// Captures a served tape whole.
fn copy(serve: &Serve, data: &Path, feed: &str, from: &str, products: &[&str], wanted: usize) {
    let path = if feed == "exchange" { "/ws" } else { "/ws-advanced" };
    let (url, rest) = (serve.websocket(&format!("{path}?from={from}")), serve.http());
    let mut args = products.to_vec();
    args.extend(["--feed", feed, "--url", &url, "--rest-url", &rest]);
    capture_of(data, &args, wanted);
}

#[test]
fn a_capture_of_a_recorded_session_that_is_served_gives_the_same_columns_of_either_feed() {
    let folder = tempfile::tempdir().unwrap();
    for (feed, from) in [("exchange", "2021-04-01"), ("advanced", "2026-08-01")] {
        let Some((data, frames)) = recorded(folder.path(), feed) else { return };
        let of = held(&data);
        let serve = Serve::start(&data);
        let copied = folder.path().join(format!("copy-{feed}"));
        let products = products_of(&frames);
        let names: Vec<&str> = products.iter().map(String::as_str).collect();
        copy(&serve, &copied, feed, from, &names, count(&of));
        assert_same(&of, &held(&copied));
        assert_verified(&copied);
    }
}

#[test]
fn a_tape_of_the_exchange_feed_is_served_in_the_other_protocol_without_its_orders() {
    let folder = tempfile::tempdir().unwrap();
    let (data, prints) = stored_market(folder.path(), 900);
    let serve = Serve::start(&data);
    let copied = folder.path().join("copy");
    let tickers = prints.iter().filter(|print| print.has_ticker).count();
    copy(&serve, &copied, "advanced", "2025-06-01", &["BTC-USD"], prints.len() + tickers);
    assert_eq!(trades_without_orders(&copied), trades_without_orders(&data));
    assert_eq!(held(&copied)[&("BTC-USD".to_owned(), "MD")].len(), tickers);
}

/// A number that the environment sets, as `scripts/serve_long.sh` does, or another one.
pub(super) fn set_by(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Waits until the copy holds so many records: as long as a longer run takes, too.
fn await_records(data: &Path, wanted: usize) {
    await_that_within(DEADLINE * 5, &format!("{wanted} records are copied"), || records(data) >= wanted);
}

/// A port that is free, for a server that is started again and again.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn kills_of_the_server_and_of_the_capture_leave_no_gap_and_no_double() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 9_000);
    let of = held(&data);
    let copied = folder.path().join("copy");
    let address = free_address();
    // In more than two seconds, so that a kill comes in between.
    let (url, rest) = (format!("ws://{address}/ws?from=2025-06-01&speed=4000"), format!("http://{address}"));
    let args = ["BTC-USD", "--url", &url, "--rest-url", &rest];
    let (mut kills, mut round) = (0, 0);
    let mut capture = Capture::start(&copied, &args);
    while records(&copied) < count(&of) {
        let serve = Serve::at(&data, &address);
        // Each round gets a part further, as each begins anew.
        let wanted = (records(&copied) + 1500).min(count(&of));
        await_that(&format!("round {round}: {wanted} records are copied"), || records(&copied) >= wanted);
        if round < 4 {
            if round % 2 == 0 {
                drop(serve); // it is killed
            } else {
                capture.kill();
                drop(serve);
                capture = Capture::start(&copied, &args);
            }
            kills += 1;
        } else {
            await_that("everything is copied", || records(&copied) >= count(&of));
        }
        round += 1;
    }
    capture.stop();
    assert!(kills >= 3, "{kills} kills in {round} rounds");
    assert_same(&of, &held(&copied));
    assert_verified(&copied);
}

#[test]
fn kills_of_either_side_leave_no_gap_and_no_double_while_a_replay_goes_over_into_live() {
    let (wanted_kills, rate, seconds) =
        (set_by("COLTAPE_SERVE_KILLS", 4), set_by("COLTAPE_SERVE_RATE", 1_000), set_by("COLTAPE_SERVE_SECONDS", 5));
    let folder = tempfile::tempdir().unwrap();
    let (data, copied) = (folder.path().join("data"), folder.path().join("copied"));
    let (rate, duration) = (rate.to_string(), format!("{seconds}s"));
    let mut simulator =
        Simulator::start(&["--products", "BTC-USD", "--rate", &rate, "--duration", &duration, "--linger", "900s", "--seed", "5"]);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let recording = Capture::start(&data, &["BTC-USD", "--url", &simulator.websocket(), "--rest-url", &rest]);
    await_that("the market is recorded", || records(&data) > 1_000);
    let address = free_address();
    let (url, rest) = (format!("ws://{address}/ws?from=2020-01-01"), format!("http://{address}"));
    let args = ["BTC-USD", "--url", &url, "--rest-url", &rest];
    let mut capture = Capture::start(&copied, &args);
    let mut serve = Serve::at(&data, &address);
    for kill in 0..wanted_kills {
        // Some come while old trades are read, and some when it has caught up with the market.
        let before = records(&copied);
        let most = records(&data);
        let wanted = if kill % 3 == 0 { before + 1 } else { most.max(before + 1) };
        await_that_within(DEADLINE * 5, &format!("kill {kill}: {wanted} records are copied"), || {
            records(&copied) >= wanted || records(&copied) == records(&data)
        });
        if kill % 2 == 0 {
            drop(serve);
            serve = Serve::at(&data, &address);
        } else {
            capture.kill();
            capture = Capture::start(&copied, &args);
        }
    }
    let totals = simulator.await_totals();
    let (trades, tickers) = (totals["trades_produced"].as_u64().unwrap(), totals["tickers_produced"].as_u64().unwrap());
    let all = usize::try_from(trades + 2 * tickers).unwrap();
    for data in [&data, &copied] {
        await_records(data, all);
    }
    await_that("the copy holds as much", || records(&copied) >= records(&data));
    capture.stop();
    recording.stop().assert_good();
    drop(serve);
    assert_same(&held(&data), &held(&copied));
    assert_verified(&copied);
}

#[test]
fn three_boxes_in_a_chain_hold_the_same_while_the_first_one_still_records() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name);
    let (rate, duration) = (set_by("COLTAPE_SERVE_RATE", 3_000) / 2, format!("{}s", set_by("COLTAPE_SERVE_SECONDS", 5)));
    let args = ["--products", "BTC-USD,ETH-USD", "--rate", &rate.to_string(), "--duration", &duration, "--linger", "900s", "--seed", "7"];
    let mut simulator = Simulator::start(&args);
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    let products = ["BTC-USD", "ETH-USD"];
    let first = Capture::start(&data("a"), &[&products[..], &["--url", &url, "--rest-url", &rest]].concat());
    await_that("the first box records", || records(&data("a")) > 2000);
    let mut boxes = vec![first];
    let mut servers = Vec::new();
    for (from, to) in [("a", "b"), ("b", "c")] {
        let serve = Serve::start(&data(from));
        let (url, rest) = (serve.websocket("/ws?from=2020-01-01"), serve.http());
        boxes.push(Capture::start(&data(to), &[&products[..], &["--url", &url, "--rest-url", &rest]].concat()));
        servers.push(serve);
        await_that("the next box records", || records(&data(to)) > 2000);
    }
    let totals = simulator.await_totals();
    let (trades, tickers) = (totals["trades_produced"].as_u64().unwrap(), totals["tickers_produced"].as_u64().unwrap());
    let wanted = usize::try_from(trades + 2 * tickers).unwrap();
    for name in ["a", "b", "c"] {
        await_records(&data(name), wanted);
    }
    // The last one first, so that none loses its connection before it is stopped.
    for capture in boxes.into_iter().rev() {
        capture.stop().assert_good();
    }
    for name in ["b", "c"] {
        assert_same(&held(&data("a")), &held(&data(name)));
        assert_verified(&data(name));
    }
}
