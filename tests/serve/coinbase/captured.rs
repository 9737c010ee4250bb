//! A capture of a served tape gives the same columns, receive times apart: of both protocols, through kills of either side, over chained boxes.

use std::net::TcpListener;
use std::path::Path;

use super::client::Serve;
use super::tapes::{
    assert_same, assert_verified, capture_of, count, held, products_of, recorded, records, stored_market, trades_without_orders,
};
use crate::programs::{Capture, Simulator, await_that};

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

/// A port that is free, for a server that is started again and again.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn kills_of_the_server_and_of_the_capture_leave_no_gap_and_no_double() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = stored_market(folder.path(), 12_000);
    let of = held(&data);
    let copied = folder.path().join("copy");
    let address = free_address();
    // In about three seconds, so that a kill comes in between.
    let (url, rest) = (format!("ws://{address}/ws?from=2025-06-01&speed=4000"), format!("http://{address}"));
    let args = ["BTC-USD", "--url", &url, "--rest-url", &rest];
    let (mut kills, mut round) = (0, 0);
    let mut capture = Capture::start(&copied, &args);
    while records(&copied) < count(&of) {
        let serve = Serve::at(&data, &address);
        // Each round gets a part further, as each begins anew.
        let wanted = (records(&copied) + 1500).min(count(&of));
        await_that(&format!("round {round}: {wanted} records are copied"), || records(&copied) >= wanted);
        if round < 6 {
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
fn three_boxes_in_a_chain_hold_the_same_while_the_first_one_still_records() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name);
    let mut simulator =
        Simulator::start(&["--products", "BTC-USD,ETH-USD", "--rate", "1500", "--duration", "6s", "--linger", "60s", "--seed", "7"]);
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
        await_that(&format!("{name} holds {wanted} records"), || records(&data(name)) >= wanted);
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
