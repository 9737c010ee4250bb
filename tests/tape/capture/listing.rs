//! `--all`: every online product that the exchange lists, new listings and delisted products included, while the others lose nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use coltape::{CaptureConfig, Feed, ProductId, SimulateConfig, SimulatedFeed, Simulation, Stop};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::programs::{Capture, await_journal, await_that, coltape, journal, verify};
use super::scripted::{Server, Session, match_frame};
use super::take_over::{last_id, pause_and_await};

/// The time of the one trade of each product: whoever connects is sent the same.
static TRADED: LazyLock<String> = LazyLock::new(|| format!("{:.6}", jiff::Timestamp::now()));

/// Gives the products that the journal says are recorded.
fn recorded(data: &Path) -> BTreeSet<String> {
    let names = |event: &str| journal(data, event).into_iter().map(|event| event["product"].as_str().unwrap().to_owned());
    let removed: BTreeSet<String> = names("product_removed").collect();
    names("product_added").filter(|product| !removed.contains(product)).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A market in which one product is listed and one is delisted, recorded by a capture of all products.
fn a_listing_and_a_delisting(feed: SimulatedFeed) {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let mut config = SimulateConfig::default();
    (config.feed, config.rate_per_product, config.ledger) = (feed, 100.0, Some(ledger.clone()));
    let products = ["BTC-USD", "ETH-USD", "BTC-EUR", "SOL-USD"];
    config.products = products.iter().map(|name| ProductId::new(name).unwrap()).collect();
    config.unlisted = 1;
    let (eth, sol) = (config.products[1].clone(), config.products[3].clone());
    let exchange = Simulation::start(config).unwrap();
    let url = exchange.endpoints().websocket_url.clone();
    let capture = Capture::start(&data, &["--all", "--feed", feed.name(), "--url", &url]);
    await_that("the listed ones are recorded", || ["BTC-USD", "ETH-USD", "BTC-EUR"].iter().all(|product| last_id(&data, product) > 0));
    assert_eq!(recorded(&data), set(&["BTC-USD", "ETH-USD", "BTC-EUR"]));
    exchange.list(&sol);
    await_that("the new one is recorded", || last_id(&data, "SOL-USD") > 0);
    exchange.delist(&eth);
    await_that("the delisted one is given up", || recorded(&data) == set(&["BTC-USD", "BTC-EUR", "SOL-USD"]));
    // Both feeds have the same writers: it is enough to wait once.
    if feed == SimulatedFeed::Exchange {
        await_that("the delisted one is sealed", || {
            journal(&data, "day_sealed").iter().any(|event| event["product"] == "ETH-USD" && event["dataset"] == "trades")
        });
    }
    let sealed: BTreeSet<String> = journal(&data, "day_sealed").iter().map(|event| event["product"].as_str().unwrap().to_owned()).collect();
    assert!(sealed.is_subset(&set(&["ETH-USD"])), "and none of the others: {sealed:?}");
    pause_and_await(&exchange, &data, &ledger, &["BTC-USD", "BTC-EUR", "SOL-USD"]);
    capture.stop().assert_good();
    exchange.stop().unwrap();
    let (is_good, said) = verify(&data, &["--ledger", ledger.to_str().unwrap()]);
    assert!(is_good, "{}: {said}", feed.name());
    let known = std::fs::read_to_string(data.join("_coltape/listing.jsonl")).unwrap();
    assert!(known.contains("SOL-USD") && !known.contains("ETH-USD"), "{known}");
}

#[test]
fn a_new_listing_is_recorded_and_a_delisted_product_sealed_while_the_others_lose_nothing() {
    a_listing_and_a_delisting(SimulatedFeed::Exchange);
}

#[test]
fn the_advanced_feed_lists_its_products_too() {
    a_listing_and_a_delisting(SimulatedFeed::Advanced);
}

/// A product that trades, is added by SIGHUP while the market stands still, and is sent nothing but what comes on subscribing.
fn a_product_that_is_added_while_the_market_stands_still(feed: SimulatedFeed) {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger, list) = (folder.path().join("data"), folder.path().join("ledger"), folder.path().join("list"));
    let mut config = SimulateConfig::default();
    (config.feed, config.rate_per_product, config.ledger) = (feed, 100.0, Some(ledger.clone()));
    config.products = ["BTC-USD", "SOL-USD"].iter().map(|name| ProductId::new(name).unwrap()).collect();
    config.unlisted = 1;
    let sol = config.products[1].clone();
    let exchange = Simulation::start(config).unwrap();
    std::fs::write(&list, "BTC-USD\n").unwrap();
    let args = ["--products-file", list.to_str().unwrap(), "--feed", feed.name(), "--url", &exchange.endpoints().websocket_url];
    let capture = Capture::start(&data, &[&args[..], &["--no-backfill"]].concat());
    await_that("the first product is recorded", || last_id(&data, "BTC-USD") > 0);
    exchange.list(&sol);
    let before = exchange.totals().trades_produced;
    await_that("the second product trades", || exchange.totals().trades_produced > before + 100);
    pause_and_await(&exchange, &data, &ledger, &["BTC-USD"]);
    std::fs::write(&list, "BTC-USD\nSOL-USD\n").unwrap();
    capture.signal(Signal::HUP);
    pause_and_await(&exchange, &data, &ledger, &["BTC-USD", "SOL-USD"]);
    capture.stop().assert_good();
    exchange.stop().unwrap();
    let (is_good, said) = verify(&data, &["--ledger", ledger.to_str().unwrap()]);
    assert!(is_good, "{}: {said}", feed.name());
}

#[test]
fn what_a_product_is_sent_on_subscribing_is_stored_though_nothing_follows_it() {
    a_product_that_is_added_while_the_market_stands_still(SimulatedFeed::Exchange);
    a_product_that_is_added_while_the_market_stands_still(SimulatedFeed::Advanced);
}

#[test]
fn a_list_that_changes_on_sighup_under_load_costs_the_other_products_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger, list) = (folder.path().join("data"), folder.path().join("ledger"), folder.path().join("list"));
    let mut config = SimulateConfig::default();
    (config.rate_per_product, config.ledger) = (300.0, Some(ledger.clone()));
    let products = ["BTC-USD", "ETH-USD", "BTC-EUR", "SOL-USD"];
    config.products = products.iter().map(|name| ProductId::new(name).unwrap()).collect();
    config.unlisted = 1;
    let sol = config.products[3].clone();
    let exchange = Simulation::start(config).unwrap();
    std::fs::write(&list, "BTC-USD\nETH-USD\nBTC-EUR\n").unwrap();
    // Nothing but the connection supplies a trade. Two products fit on one connection, so a product that is added gets another one or the free place.
    let args = ["--products-file", list.to_str().unwrap(), "--url", &exchange.endpoints().websocket_url, "--no-backfill"];
    let capture = Capture::start(&data, &[&args[..], &["--products-per-connection", "2"]].concat());
    await_that("all are recorded", || ["BTC-USD", "ETH-USD", "BTC-EUR"].iter().all(|product| last_id(&data, product) > 100));
    exchange.list(&sol);
    for _ in 0..2 {
        std::fs::write(&list, "BTC-USD\nETH-USD\nSOL-USD\n").unwrap();
        capture.signal(Signal::HUP);
        await_that("one is added and one is given up", || {
            let (added, removed) = (journal(&data, "product_added"), journal(&data, "product_removed"));
            added.last().is_some_and(|event| event["product"] == "SOL-USD")
                && removed.last().is_some_and(|event| event["product"] == "BTC-EUR")
        });
        let before = last_id(&data, "SOL-USD");
        await_that("the new one is recorded", || last_id(&data, "SOL-USD") > before + 20);
        std::fs::write(&list, "BTC-USD\nETH-USD\n").unwrap();
        capture.signal(Signal::HUP);
        await_that("it is given up again", || journal(&data, "product_removed").last().unwrap()["product"] == "SOL-USD");
        std::fs::write(&list, "BTC-USD\nETH-USD\nBTC-EUR\n").unwrap();
        capture.signal(Signal::HUP);
        let before = last_id(&data, "BTC-EUR");
        await_that("the old one is recorded again", || last_id(&data, "BTC-EUR") > before + 20);
    }
    pause_and_await(&exchange, &data, &ledger, &["BTC-USD", "ETH-USD"]);
    let ended = capture.stop();
    assert_eq!((ended.figure("losses"), ended.figure("trades_shed"), ended.figure("sums_hold")), (0.0, 0.0, 1.0), "{}", ended.stderr());
    exchange.stop().unwrap();
    for product in ["BTC-USD", "ETH-USD"] {
        let (is_good, said) = verify(&data, &["--ledger", ledger.to_str().unwrap(), "--product", product]);
        assert!(is_good, "{product}: {said}");
    }
}

/// Acknowledges what a connection asks for, and sends a trade of each product. Answers `status` by `list`, or refuses it where that is nothing.
fn serve(mut session: Session, list: impl Fn() -> Option<Value>) {
    while let Some(request) = session.receive() {
        let mut products = BTreeSet::new();
        for channel in request["channels"].as_array().into_iter().flatten() {
            if channel["name"] == "status" {
                match list() {
                    Some(list) => {
                        session.send(json!({"type": "subscriptions", "channels": [{"name": "status", "product_ids": []}]}).to_string());
                        session.send(list.to_string());
                    }
                    None => session
                        .send(json!({"type": "error", "message": "Failed to subscribe", "reason": "status is not valid"}).to_string()),
                }
            }
            products.extend(channel["product_ids"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()));
        }
        let products: Vec<String> = products.into_iter().collect();
        if !products.is_empty() {
            session.acknowledge(&products);
            products.iter().for_each(|product| session.send(match_frame(product, 1, &TRADED)));
        }
    }
}

fn list(names: &[&str]) -> Value {
    let products: Vec<Value> = names
        .iter()
        .map(|name| json!({"id": name, "quote_currency": name.rsplit('-').next().unwrap(), "status": "online", "trading_disabled": false}))
        .collect();
    json!({"type": "status", "products": products, "currencies": []})
}

#[test]
fn the_last_list_is_used_where_status_is_refused_and_the_quote_narrows_it() {
    let is_refused = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&is_refused);
    let server = Server::start(move |_, session| {
        serve(session, || (!refuses.load(Ordering::Relaxed)).then(|| list(&["BTC-USD", "BTC-EUR", "ETH-GBP"])));
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = |quote: &str| {
        let before = journal(&data, "connection_proven").len();
        let capture = Capture::start(&data, &["--all", "--quote", quote, "--url", &server.url]);
        await_journal(&data, "connection_proven", before + 1);
        await_that("the products have their trade", || {
            quote.split(',').all(|quote| last_id(&data, &format!("BTC-{}", quote.to_uppercase())) == 1)
        });
        let ended = capture.stop();
        ended.assert_good();
        ended.stderr()
    };
    capture("usd,EUR");
    assert_eq!(recorded(&data), set(&["BTC-USD", "BTC-EUR"]));
    is_refused.store(true, Ordering::Relaxed);
    let said = capture("EUR");
    assert!(said.contains("recording the 1 products of the last one"), "{said}");
    let added: Vec<String> = journal(&data, "product_added").iter().map(|event| event["product"].as_str().unwrap().to_owned()).collect();
    assert_eq!(added, ["BTC-EUR", "BTC-USD", "BTC-EUR"]);
    // Without a last list there is nothing to record.
    let mut config = CaptureConfig::new(Feed::Exchange, &server.url, [], &folder.path().join("other"));
    (config.all_products, config.start_patience) = (true, Duration::from_secs(1));
    let why = coltape::capture(&config, &Stop::default()).unwrap_err().to_string();
    assert!(why.contains("status is not valid") && why.contains("name the products"), "{why}");
    assert!(!folder.path().join("other").exists(), "nothing was created");
}

#[test]
fn one_wrong_list_moves_nothing_and_named_products_stay() {
    let lists = Arc::new(Mutex::new(vec![list(&["BTC-USD", "ETH-USD"])]));
    let served = Arc::clone(&lists);
    let server = Server::start(move |_, session| {
        let served = Arc::clone(&served);
        serve(session, move || served.lock().unwrap().first().cloned());
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["NAMED-USD", "--all", "--url", &server.url]);
    let products = ["NAMED-USD", "BTC-USD", "ETH-USD"];
    await_that("all have their trade", || products.iter().all(|product| last_id(&data, product) == 1));
    assert_eq!(recorded(&data), set(&products));
    // SIGHUP ends a capture without a list to read again.
    capture.signal(Signal::HUP);
    capture.wait().assert_good();
    // A list without any product is no list: the last one serves.
    *lists.lock().unwrap() = vec![list(&[])];
    let capture = Capture::start(&data, &["--all", "--url", &server.url]);
    await_that("the last list serves", || journal(&data, "product_added").len() == 5);
    await_journal(&data, "connection_proven", 2);
    capture.stop().assert_good();
}

#[test]
fn wrong_words_are_refused_in_one_line() {
    for (args, word) in [
        (&["capture", "--quote", "USD"][..], "--all"),
        (&["capture", "--all", "--quote", "US-D"], "is not a currency"),
        (&["capture"], "PRODUCT"),
    ] {
        let output = coltape().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(word), "{args:?}: {said}");
    }
}
