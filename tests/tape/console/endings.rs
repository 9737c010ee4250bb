//! How a capture ends: exit 0 is for a run that did its work. Every cause of one that did not is named, in the alert, in the last lines and by the exit code.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use coltape::{CaptureConfig, Feed, ProductId, Stop};
use serde_json::json;

use crate::capture::programs::{Capture, Ended, Simulator, await_that, coltape, journal, query};
use crate::capture::rest::{Rest, page, shown};
use crate::capture::scripted::{Server, Session, match_frame, ticker_frame};
use crate::peers;

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Why a capture can record nothing: the arguments, and what has to be said about it.
struct Cause {
    what: &'static str,
    feed: Feed,
    product: &'static str,
    url: String,
    rest: Option<String>,
    says: &'static [&'static str],
}

impl Cause {
    fn args(&self) -> Vec<&str> {
        let mut args = vec![self.product, "--force-fs", "--feed", self.feed.name(), "--url", &self.url];
        args.extend(self.rest.iter().flat_map(|rest| ["--rest-url", rest.as_str()]));
        args
    }
}

/// The servers that the causes need.
struct World {
    plain: [Simulator; 2],
    secure: Simulator,
    silent: TcpListener,
    dead: String,
    /// Keeps the dead port dead.
    _kept: OwnedFd,
}

const FEEDS: [Feed; 2] = [Feed::Exchange, Feed::Advanced];

impl World {
    fn start() -> Self {
        let (kept, dead) = peers::refusing();
        Self {
            plain: FEEDS.map(|feed| Simulator::start(&["--feed", feed.name(), "--products", "2"])),
            secure: Simulator::start(&["--tls"]),
            silent: TcpListener::bind("127.0.0.1:0").unwrap(),
            dead: dead.to_string(),
            _kept: kept,
        }
    }

    fn causes(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        for (at, feed) in FEEDS.into_iter().enumerate() {
            let (own, other) = (&self.plain[at], &self.plain[1 - at]);
            let rest = own.endpoints["rest_url"].as_str().unwrap().to_owned();
            let mut add = |what, url: String, says| causes.push(Cause { what, feed, product: "BTC-USD", url, rest: None, says });
            add("dead port", format!("ws://{}", self.dead), &["refused"][..]);
            add("a name without an address", "ws://no-such-host.invalid".to_owned(), &["no-such-host.invalid"]);
            add("TLS to a plain port", own.websocket().replace("ws://", "wss://"), &["127.0.0.1"]);
            add("plain to a TLS port", self.secure.websocket().replace("wss://", "ws://"), &["never delivered"]);
            add("not a WebSocket", rest.replace("http://", "ws://"), &["127.0.0.1"]);
            add("a server that says nothing", format!("ws://{}", self.silent.local_addr().unwrap()), &["never delivered"]);
            add("the other feed", other.websocket(), &["never delivered"]);
            let mut add = |what, product, rest: Option<String>, says| {
                causes.push(Cause { what, feed, product, url: own.websocket(), rest, says });
            };
            add("small letters", "btc-usd", None, &["btc-usd", "did you mean BTC-USD?"]);
            add("small letters, with the list", "btc-usd", Some(rest.clone()), &["btc-usd", "did you mean BTC-USD?"]);
            add("unknown", "NOPE-USD", None, &["never delivered"]);
            add("unknown, with the list", "NOPE-USD", Some(rest.clone()), &["NOPE-USD", "lists no such product"]);
            add("misspelt, with the list", "BTC-UDS", Some(rest), &["BTC-UDS", "did you mean BTC-USD?"]);
        }
        causes
    }
}

#[test]
fn a_capture_that_records_nothing_ends_with_1_and_says_why() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for (number, cause) in world.causes().into_iter().enumerate() {
            let data = folder.path().join(format!("data{number}"));
            scope.spawn(move || {
                let mut args = cause.args();
                args.extend(["--duration", "5s"]);
                let ended = Capture::start(&data, &args).wait();
                let what = format!("{}, {}: {}\n{}", cause.what, cause.feed.name(), ended.stdout(), ended.stderr());
                assert_eq!(ended.output.status.code(), Some(1), "{what}");
                let ending = ended.stdout();
                let ending = ending.split_once("NOT COMPLETE:").unwrap_or_else(|| panic!("{what}")).1;
                assert!(ending.contains("nothing was recorded"), "{what}");
                // The Exchange feed refuses a name itself, so there is more to say.
                let is_refused = cause.what == "unknown" && cause.feed == Feed::Exchange;
                assert!(is_refused || cause.says.iter().all(|word| ending.contains(word)), "{:?}: {what}", cause.says);
                assert_eq!((ended.figure("good"), ended.figure("sums_hold")), (0.0, 1.0), "{what}");
                assert!(ended.report.contains("\"shortcoming\":\"never_connected\""), "{what}");
            });
        }
    });
}

#[test]
fn a_capture_that_records_nothing_raises_an_alert_that_names_the_cause_and_stands() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for (number, cause) in world.causes().into_iter().enumerate() {
            let data = folder.path().join(format!("data{number}"));
            scope.spawn(move || {
                let product = ProductId::new(cause.product).unwrap();
                let mut config = CaptureConfig::new(cause.feed, &cause.url, [product], &data);
                (config.rest_url, config.force_fs) = (cause.rest.clone(), true);
                config.start_patience = Duration::from_secs(1);
                let (stop, asked) = (Stop::default(), Stop::default());
                let thread = std::thread::spawn({
                    let asked = asked.clone();
                    move || coltape::capture(&config, &asked).unwrap()
                });
                let raised = || journal(&data, "alert_raised").into_iter().find(|line| line["alert"] == "never_connected");
                await_that(cause.what, || raised().is_some());
                drop(stop);
                asked.ask();
                let summary = thread.join().unwrap();
                let standing = summary.watch.standing.iter().find(|alert| alert.alert == "never_connected");
                let alert = standing.unwrap_or_else(|| panic!("{}: {:?}", cause.what, summary.watch.standing));
                assert!(alert.subject == "line:0.0" && alert.text.contains(cause.url.trim_end_matches('/')), "{}: {alert:?}", cause.what);
                assert!(!summary.is_good() && journal(&data, "alert_cleared").is_empty(), "{}", cause.what);
            });
        }
    });
}

#[test]
fn a_quiet_product_that_is_subscribed_is_a_good_run() {
    let quiet: fn(usize, Session) = |_, mut session| {
        let request = session.receive().unwrap_or_default();
        if request["channels"].is_array() {
            session.acknowledge(&["BTC-USD".to_owned()]);
        } else {
            // Advanced: one channel a request, and every answer lists them all.
            while session.receive_at_once().is_some() {
                let all = json!({"ticker": ["BTC-USD"], "market_trades": ["BTC-USD"], "heartbeats": ["heartbeats"]});
                let answer = json!({"channel": "subscriptions", "client_id": "", "timestamp": now(), "sequence_num": 0, "events": [{"subscriptions": all}]});
                session.send(answer.to_string());
            }
            return;
        }
        session.linger();
    };
    for feed in FEEDS {
        let server = Server::start(quiet);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--feed", feed.name(), "--url", &server.url]);
        await_that("the product is acknowledged", || journal(&data, "subscribed").iter().any(|line| line["products"] == 1));
        let ended = capture.stop();
        ended.assert_good();
        assert!(!ended.stdout().contains("NOT COMPLETE") && ended.stdout().contains("lag p50 - p99 - max -"), "{}", ended.stdout());
    }
}

#[test]
fn one_refused_product_of_several_is_named_and_is_no_failure() {
    let simulator = Simulator::start(&["--products", "2"]);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["BTC-USD", "ETH-USD", "eth-usd", "--force-fs", "--url", &simulator.websocket(), "--rest-url", &rest];
    let capture = Capture::start(&data, &args);
    await_that("the bad one is refused and the others are taken up", || {
        !journal(&data, "product_refused").is_empty() && journal(&data, "subscribed").iter().any(|line| line["products"] == 2)
    });
    await_that("the list is known", || !journal(&data, "products_fetched").is_empty());
    let ended = capture.stop();
    ended.assert_good();
    let said = ended.stdout();
    let refused = said.lines().find(|line| line.starts_with("refused by the exchange: eth-usd (")).unwrap_or_else(|| panic!("{said}"));
    assert!(refused.contains("did you mean ETH-USD?"), "{said}");
}

/// Reads the command that the last lines name, and types it.
fn type_the_command(ended: &Ended) -> std::process::Output {
    let said = ended.stdout();
    let ending = said.split_once("NOT COMPLETE:").unwrap_or_else(|| panic!("{said}")).1;
    let command = ending.split('`').nth(1).unwrap_or_else(|| panic!("{said}"));
    let program = coltape();
    let command = command.replacen("coltape", &program.get_program().to_string_lossy(), 1);
    Command::new("sh").args(["-c", &command]).env_remove("COLTAPE_DATA_DIR").output().unwrap()
}

/// A server that sends 100 trades and leaves out some.
fn leaves_out(missing: std::ops::RangeInclusive<u64>) -> Server {
    Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in (1..=100).filter(|id| !missing.contains(id)) {
            session.send(match_frame("BTC-USD", id, "2024-03-09T12:00:00Z"));
        }
        session.linger();
    })
}

fn stored(data: &Path) -> usize {
    if data.join("BTC-USD/TRADES").exists() { query(data, "BTC-USD", &[]).len() } else { 0 }
}

#[test]
fn ids_left_missing_end_with_1_and_the_named_command_fetches_them() {
    let server = leaves_out(20..=83);
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = std::sync::Arc::clone(&is_down);
    let rest = Rest::start(
        move |request| {
            if down.load(std::sync::atomic::Ordering::Relaxed) {
                ("503 Service Unavailable".to_owned(), Vec::new())
            } else {
                ("200 OK".to_owned(), page(request, 100))
            }
        },
        |id| shown(id, "2024-03-09T12:00:00Z"),
    );
    let folder = tempfile::tempdir().unwrap();
    // A name that a shell would take apart.
    let data = folder.path().join("it's data");
    for backfill in [&["--rest-url", &rest.url][..], &["--rest-url", &rest.url, "--no-backfill"]] {
        let mut args = vec!["BTC-USD", "--force-fs", "--gap-wait", "100ms", "--url", &server.url];
        args.extend(backfill);
        let subscribed = journal(&data, "subscribed").len();
        let capture = Capture::start(&data, &args);
        await_that("what came is stored", || journal(&data, "subscribed").len() > subscribed && stored(&data) == 36);
        let ended = capture.stop();
        assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stdout());
        assert!(ended.stdout().contains("64 trade ids are missing (BTC-USD 64);"), "{}", ended.stdout());
        assert!(ended.report.contains("\"shortcoming\":\"missing\""), "{}", ended.report);
    }
    let subscribed = journal(&data, "subscribed").len();
    let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--url", &server.url, "--rest-url", &rest.url]);
    await_that("the product is subscribed", || journal(&data, "subscribed").len() > subscribed);
    let ended = capture.stop();
    assert_eq!(ended.output.status.code(), Some(1), "what an earlier run left missing is still missing: {}", ended.stdout());
    is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    let repaired = type_the_command(&ended);
    assert!(repaired.status.success(), "{}{}", String::from_utf8_lossy(&repaired.stdout), String::from_utf8_lossy(&repaired.stderr));
    assert_eq!(stored(&data), 100);
    let subscribed = journal(&data, "subscribed").len();
    let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--url", &server.url, "--rest-url", &rest.url]);
    await_that("the product is subscribed", || journal(&data, "subscribed").len() > subscribed);
    capture.stop().assert_good();
}

#[test]
fn a_trade_that_comes_again_with_other_fields_ends_with_1() {
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        let frame = match_frame("BTC-USD", 7, "2024-03-09T12:00:00Z");
        session.send(frame.clone());
        session.send(frame.replace("14.7775", "14.7776"));
        session.send(match_frame("BTC-USD", 8, "2024-03-09T12:00:00Z"));
        session.linger();
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--url", &server.url]);
    await_that("the conflict is known", || !journal(&data, "conflict").is_empty() && stored(&data) == 2);
    let ended = capture.stop();
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.stdout());
    assert!(
        ended.stdout().contains("1 trades came again with other fields") && ended.stdout().contains("`coltape verify "),
        "{}",
        ended.stdout()
    );
}

#[test]
fn a_run_whose_messages_could_not_be_stored_ends_with_1() {
    type Spoil = fn(String) -> String;
    let spoils: [(&str, Spoil); 4] = [
        ("junk", |frame| frame.replace('{', "[")),
        ("a trade without an id", |frame| frame.replace("\"trade_id\"", "\"trade\"")),
        ("a price of letters", |frame| frame.replace("14.7775", "abc")),
        ("a time of the year 1", |frame| frame.replace("2024-", "0001-")),
    ];
    for (what, spoil) in spoils {
        let server = Server::start(move |_, mut session| {
            let products = session.await_subscription();
            session.acknowledge(&products);
            for id in 1..=5 {
                session.send(spoil(match_frame("BTC-USD", id, "2024-03-09T12:00:00Z")));
                session.send(spoil(ticker_frame("BTC-USD", id, "2024-03-09T12:00:00Z")));
            }
            session.linger();
        });
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--url", &server.url]);
        let rejects = || {
            let files = std::fs::read_dir(data.join("_coltape")).into_iter().flatten().flatten();
            let rejects = files.filter(|file| file.file_name().to_string_lossy().starts_with("rejects."));
            rejects.map(|file| std::fs::read_to_string(file.path()).unwrap().lines().count()).sum::<usize>()
        };
        await_that("the messages are rejected", || rejects() >= 10);
        let ended = capture.stop();
        assert_eq!(ended.output.status.code(), Some(1), "{what}: {}", ended.stdout());
        assert!(ended.stdout().contains(" came and none could be stored"), "{what}: {}", ended.stdout());
    }
}

#[test]
fn a_connection_that_was_down_at_the_end_is_named_with_its_alert() {
    let server = Server::start(|at, mut session| {
        if at > 0 {
            return;
        }
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        session.close(1001);
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = CaptureConfig::new(Feed::Exchange, &server.url, [ProductId::new("BTC-USD").unwrap()], &data);
    (config.force_fs, config.start_patience, config.alerts.connection_grace) = (true, Duration::from_secs(1), Duration::from_secs(1));
    // A first record that waits for its files on a busy machine is late, and no longer of interest.
    config.alerts.hold = Duration::ZERO;
    let stop = Stop::default();
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || coltape::capture(&config, &stop).unwrap()
    });
    await_that("the alert", || journal(&data, "alert_raised").iter().any(|line| line["alert"] == "connection_lost"));
    let raised = Instant::now();
    await_that("it stands for a while", || raised.elapsed() > Duration::from_secs(2));
    stop.ask();
    let summary = thread.join().unwrap();
    let names: Vec<&str> = summary.shortcomings().iter().map(coltape::Shortcoming::name).collect();
    assert_eq!(names, ["down"], "{:?}", summary.shortcomings());
    let standing: Vec<&str> = summary.watch.standing.iter().map(|alert| alert.alert).collect();
    assert_eq!(standing, ["connection_lost"], "it did not end because the capture did");
}
