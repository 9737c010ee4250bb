//! A failure of one product affects no other: a delisted name, a folder that cannot be made, a label that nobody subscribed to.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::programs::{Capture, Simulator, await_that, journal, query};
use super::scripted::{Server, match_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("P{at:03}-USD")).collect()
}

fn ids(data: &std::path::Path, product: &str) -> Vec<u64> {
    query(data, product, &[]).iter().map(|trade| trade["trade_id"].as_u64().unwrap()).collect()
}

#[test]
fn one_of_a_hundred_is_delisted_before_a_reconnect_and_the_other_99_lose_nothing() {
    const DELISTED: &str = "P042-USD";
    let next_ids: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let server = Server::start(move |at, mut session| {
        let mut subscribed: Vec<String> = Vec::new();
        // Before the reconnect every request is accepted; after it, a request with the delisted name is refused as a whole.
        while subscribed.len() < if at == 0 { 100 } else { 99 } {
            let asked = session.await_subscription();
            if asked.is_empty() {
                return;
            }
            if at > 0 && asked.iter().any(|name| name == DELISTED) {
                session.send(
                    json!({"type": "error", "message": "Failed to subscribe", "reason": format!("{DELISTED} is delisted")}).to_string(),
                );
                continue;
            }
            subscribed.extend(asked);
            subscribed.sort();
            subscribed.dedup();
            session.acknowledge(&subscribed);
        }
        let mut next = next_ids.lock().unwrap();
        for round in 0..20 {
            for name in &subscribed {
                let id = next.entry(name.clone()).or_insert(1);
                session.send(match_frame(name, *id, &now()));
                *id += 1;
            }
            // A clean close in the middle of the day is a lost connection too.
            if at == 0 && round == 9 {
                drop(next);
                session.close(1000);
                return;
            }
        }
        drop(next);
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let products = names(100);
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    args.extend(["--url", &server.url]);
    let capture = Capture::start(&data, &args);
    await_that("the last trade of the last product is visible", || {
        data.join("P099-USD/TRADES").exists() && ids(&data, "P099-USD").len() == 30
    });
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(server.connections(), 2, "{}", ended.stderr());
    for product in &products {
        let expected = if product == DELISTED { 10 } else { 30 };
        assert_eq!(ids(&data, product), (1..=expected).collect::<Vec<_>>(), "{product}");
    }
    assert!(journal(&data, "product_refused").iter().any(|event| event["product"] == DELISTED), "the journal names the product");
}

/// Serves 30 trades per product to a capture of 100 products. `P042-USD` can store none of them; the other 99 must have all.
fn one_of_a_hundred_cannot_store(data: &std::path::Path) {
    let is_open = Arc::new(AtomicBool::new(false));
    let go = Arc::clone(&is_open);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in 1..=30 {
            for name in &products {
                session.send(match_frame(name, id, &now()));
            }
            // The small queues must not fill while the good products make their first files.
            await_that("the test says go on", || go.load(Ordering::Relaxed));
        }
        session.linger();
    });
    let products = names(100);
    let mut args: Vec<&str> = products.iter().map(String::as_str).collect();
    // A queue of 16 fills up, so that this product sheds while the others are served.
    args.extend(["--url", &server.url, "--queue-capacity", "16", "--idle-timeout", "10m"]);
    let capture = Capture::start(data, &args);
    let others: Vec<&String> = products.iter().filter(|product| *product != "P042-USD").collect();
    await_that("99 products have their files", || others.iter().all(|product| data.join(product).join("TRADES").exists()));
    await_that("each of them has its first trade", || others.iter().all(|product| ids(data, product).len() == 1));
    is_open.store(true, Ordering::Relaxed);
    await_that("the last trade of the last product is visible", || ids(data, "P099-USD").len() == 30);
    let ended = capture.stop();
    ended.assert_leaves(&["nothing_stored"]);
    assert_eq!((server.connections(), ended.figure("connects")), (1, 1.0), "nobody reconnected");
    for product in others {
        assert_eq!(ids(data, product), (1..=30).collect::<Vec<_>>(), "{product}");
    }
    assert_eq!(ended.figure("trades_shed"), 30.0, "the trades that it could not store are counted");
    assert!(journal(data, "write_failed").iter().any(|event| event["product"] == "P042-USD"));
    assert!(!journal(data, "shed_started").is_empty());
}

#[test]
fn one_product_whose_folder_cannot_be_made_costs_the_other_99_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    // A file is where its folder should be.
    fs::write(data.join("P042-USD"), "in the way").unwrap();
    one_of_a_hundred_cannot_store(&data);
}

/// A file system of 64 KiB. It is unmounted when dropped.
struct TinyDisk(std::path::PathBuf);

impl TinyDisk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn one_product_whose_allocation_fails_costs_the_other_99_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(_disk) = TinyDisk::mount(&data.join("P042-USD")) else {
        let _ = writeln!(std::io::stderr(), "skipped: mounting needs root");
        return;
    };
    one_of_a_hundred_cannot_store(&data);
}

#[test]
fn a_label_nobody_asked_for_is_stored_under_that_label() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1, &now()));
        session.send(match_frame("BTC-USDC", 1, &now()));
        session.send(match_frame("BTC-USD", 2, &now()));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USDC", "--url", &server.url]);
    await_that("both trades are visible", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() == 2);
    capture.stop().assert_good();
    assert_eq!(ids(&data, "BTC-USDC"), [1]);
    assert_eq!(journal(&data, "product_unasked").len(), 1);
}

#[test]
fn a_list_read_again_on_sighup_brings_and_drops_products() {
    let server = Server::start(|_, mut session| {
        let mut subscribed: Vec<String> = Vec::new();
        while let Some(request) = session.receive() {
            let asked: Vec<String> =
                request["channels"][0]["product_ids"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
            if request["type"] == "subscribe" {
                subscribed.extend(asked.iter().cloned());
            } else {
                subscribed.retain(|name| !asked.contains(name));
            }
            session.acknowledge(&subscribed);
            if request["type"] == "subscribe" {
                asked.iter().for_each(|name| session.send(match_frame(name, 1, &now())));
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (data, list) = (folder.path().join("data"), folder.path().join("list"));
    fs::write(&list, "BTC-USD\n").unwrap();
    let capture = Capture::start(&data, &["--products-file", list.to_str().unwrap(), "--url", &server.url]);
    await_that("the first product's trade", || data.join("BTC-USD/TRADES").exists() && ids(&data, "BTC-USD").len() == 1);
    fs::write(&list, "ETH-USD\nnot a product\n").unwrap();
    capture.signal(rustix::process::Signal::HUP);
    fs::write(&list, "ETH-USD # instead\n").unwrap();
    capture.signal(rustix::process::Signal::HUP);
    await_that("the second product's trade", || data.join("ETH-USD/TRADES").exists() && ids(&data, "ETH-USD").len() == 1);
    await_that("the first product was given up", || journal(&data, "product_removed").iter().any(|event| event["product"] == "BTC-USD"));
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(server.connections(), 1, "the connection is kept");
}

#[test]
fn a_connection_that_had_no_product_for_a_while_was_not_lost() {
    let server = Server::start(|connection, mut session| {
        while let Some(request) = session.receive() {
            let name = request["channels"][0]["product_ids"][0].as_str().unwrap().to_owned();
            // The one that is made again takes less time for its answer than a connection may be lost.
            let until = Instant::now() + if connection < 2 { Duration::ZERO } else { Duration::from_millis(1500) };
            std::thread::sleep(until - Instant::now());
            session.acknowledge(std::slice::from_ref(&name));
            session.send(match_frame(&name, 1 + u64::try_from(connection).unwrap(), &now()));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (data, list) = (folder.path().join("data"), folder.path().join("list"));
    fs::write(&list, "BTC-USD\nETH-USD\n").unwrap();
    let args =
        ["--products-file", list.to_str().unwrap(), "--url", &server.url, "--products-per-connection", "1", "--alert-connection", "3s"];
    let capture = Capture::start(&data, &args);
    let trades = |product| if data.join(product).join("TRADES").exists() { ids(&data, product).len() } else { 0 };
    await_that("both products' trades", || ["BTC-USD", "ETH-USD"].map(trades) == [1, 1]);
    fs::write(&list, "BTC-USD\n").unwrap();
    capture.signal(rustix::process::Signal::HUP);
    await_that("the second connection is closed", || !journal(&data, "connection_lost").is_empty());
    let closed = Instant::now();
    await_that("longer than a connection may be lost", || closed.elapsed() > Duration::from_secs(4));
    fs::write(&list, "BTC-USD\nETH-USD\n").unwrap();
    capture.signal(rustix::process::Signal::HUP);
    await_that("the second product trades again", || trades("ETH-USD") == 2);
    let ended = capture.stop();
    ended.assert_good();
    // The trade behind it waits for a heartbeat, which is a lag, and may be an alert.
    assert!(!journal(&data, "alert_raised").iter().any(|event| event["alert"] == "connection_lost"), "{}", ended.stderr());
    let log = ended.stderr();
    assert!(!log.contains("connection lost") && !log.contains("connecting again"), "{log}");
}

#[test]
fn the_catalogue_knows_what_was_added_on_sighup() {
    let simulator = Simulator::start(&["--products", "3", "--rate", "1"]);
    let folder = tempfile::tempdir().unwrap();
    let (data, list) = (folder.path().join("data"), folder.path().join("list"));
    fs::write(&list, "BTC-USD\n").unwrap();
    let rest = simulator.endpoints["rest_url"].as_str().unwrap();
    let capture = Capture::start(&data, &["--products-file", list.to_str().unwrap(), "--url", &simulator.websocket(), "--rest-url", rest]);
    let told = || {
        let text = fs::read_to_string(data.join("_coltape/products.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["product"].as_str().unwrap().to_owned(), line["status"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let btc = ("BTC-USD".to_owned(), "online".to_owned());
    await_that("the first product is described", || told() == [btc.clone()]);
    fs::write(&list, "BTC-USD\nETH-USD\nNO-SUCH\n").unwrap();
    capture.signal(rustix::process::Signal::HUP);
    let unknown = ("NO-SUCH".to_owned(), "unknown to the exchange".to_owned());
    await_that("the new ones are too, and no line is repeated", || {
        told() == [btc.clone(), ("ETH-USD".to_owned(), "online".to_owned()), unknown.clone()]
    });
    capture.stop().assert_good();
}

#[test]
fn a_sighup_while_a_capture_starts_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (data, list) = (folder.path().join("data"), folder.path().join("list"));
    // So many products that there is time to send the signal before all writers have started.
    fs::write(&list, names(300).join("\n")).unwrap();
    let server = Server::start(|_, _| ());
    let capture = Capture::start(&data, &["--products-file", list.to_str().unwrap(), "--url", &server.url]);
    await_that("the directory is taken", || data.join("_coltape/lock").exists());
    fs::write(&list, names(301).join("\n")).unwrap();
    capture.signal(rustix::process::Signal::HUP);
    await_that("the new product is taken up", || journal(&data, "product_added").iter().any(|event| event["product"] == "P300-USD"));
    capture.stop().assert_leaves(&["never_connected"]);
}
