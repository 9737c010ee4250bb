//! The kinds of faults one by one: what clients receive is what the ledger says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coltape::internals::simulate::{Faults, SimulateConfig, SimulatedFeed, Simulation, Totals};
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, config, config_with, get, header, ledger, of_kind, parse};

const FEEDS: [SimulatedFeed; 2] = [SimulatedFeed::Exchange, SimulatedFeed::Advanced];

/// A market with a ledger, run to its end with some clients.
struct Run {
    frames: Vec<Vec<String>>,
    totals: Totals,
    ledger: PathBuf,
    feed: SimulatedFeed,
    _folder: tempfile::TempDir,
}

impl Run {
    fn new(clients: usize, script: &str, config: SimulateConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let faults = Faults::parse(script).expect("a script");
        let mut config = config;
        config.faults = faults;
        config.ledger = Some(path.clone());
        let simulation = Simulation::start(config.clone()).expect("starts");
        let mut open: Vec<Client> = Vec::new();
        for _ in 0..clients {
            let mut client = Client::connect(&simulation);
            client.subscribe_all(&config);
            open.push(client);
        }
        let frames = std::thread::scope(|scope| {
            let readers: Vec<_> = open.iter_mut().map(|client| scope.spawn(|| client.read_to_end(&simulation))).collect();
            readers.into_iter().map(|reader| reader.join().expect("reads")).collect()
        });
        let totals = simulation.stop().expect("a whole ledger");
        Self { frames, totals, ledger: path, feed: config.feed, _folder: folder }
    }

    /// Gives the live trades that a client received, by product, in order.
    fn trades(&self, client: usize) -> BTreeMap<String, Vec<u64>> {
        let mut got: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut take = |trade: &Value| {
            let id = trade["trade_id"].as_u64().or_else(|| trade["trade_id"].as_str()?.parse().ok()).expect("an id");
            got.entry(trade["product_id"].as_str().expect("a product").to_owned()).or_default().push(id);
        };
        for message in of_kind(&self.frames[client], if self.feed == SimulatedFeed::Exchange { "match" } else { "market_trades" }) {
            if self.feed == SimulatedFeed::Exchange {
                take(&message);
                continue;
            }
            for event in message["events"].as_array().expect("events").iter().filter(|event| event["type"] == "update") {
                event["trades"].as_array().expect("trades").iter().rev().for_each(&mut take);
            }
        }
        got
    }

    /// Gives the ledger's live trades: product, id, and whether it was sent.
    fn made(&self) -> Vec<(String, u64, bool)> {
        let lines = ledger(&self.ledger, "trade").into_iter().filter(|line| line["history"] != true);
        lines.map(|line| (text(&line["product"]), line["trade_id"].as_u64().expect("an id"), line["sent"] == true)).collect()
    }

    /// Gives the trades that a client lost for this reason, by the ledger; without a client, those that all lost.
    fn missed(&self, why: &str, client: Option<u64>) -> BTreeSet<(String, u64)> {
        let (mut all, is_lost) = (BTreeSet::new(), |line: &&Value| line["client"] == json!(client));
        let lines = [ledger(&self.ledger, "missed"), ledger(&self.ledger, "fault")].concat();
        for line in lines.iter().filter(|line| line["why"] == why || line["fault"] == why && line["of"] == "trade").filter(is_lost) {
            let ids = line["first"].as_u64().expect("an id")..=line["last"].as_u64().expect("an id");
            all.extend(ids.map(|id| (text(&line["product"]), id)));
        }
        all
    }

    fn fired(&self, kind: &str) -> u64 {
        let lines = ledger(&self.ledger, "fault").iter().filter(|line| line["fault"] == kind).count() as u64;
        assert_eq!(self.totals.faults.get(kind).copied().unwrap_or(0), lines, "a line a fault");
        lines
    }
}

/// Checks all cases at once: a market takes time, but little of the processor.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn market(feed: SimulatedFeed, products: usize, rate: f64, seconds: f64) -> SimulateConfig {
    config_with(products, |config| {
        config.feed = feed;
        config.rate_per_product = rate;
        config.duration = Some(Duration::from_secs_f64(seconds));
    })
}

#[test]
fn a_frame_that_one_connection_loses_is_in_the_ledger_and_other_connections_get_it() {
    at_once(FEEDS, |feed| {
        let run = Run::new(2, "lose=0.2,duplicate=0.1", market(feed, 2, 300.0, 1.0));
        let got = [run.trades(0), run.trades(1)];
        let lost = [run.missed("lose", Some(0)), run.missed("lose", Some(1))];
        assert!(run.fired("lose") > 10 && lost[0] != lost[1] && lost.iter().all(|lost| lost.len() > 5));
        let mut by_all = 0;
        for (product, id, sent) in run.made() {
            let had = [0, 1].map(|client| got[client].get(&product).is_some_and(|ids| ids.contains(&id)));
            for (had, lost) in had.iter().zip(&lost) {
                assert_eq!(*had, !lost.contains(&(product.clone(), id)), "{feed:?} {product} {id}");
            }
            assert_eq!(sent, had.contains(&true), "{product} {id}");
            by_all += usize::from(!sent);
        }
        assert!(by_all > 0 && by_all < lost[0].len() && by_all as u64 == run.totals.trades_never_sent);
        if feed == SimulatedFeed::Advanced {
            for (client, frames) in run.frames.iter().enumerate() {
                let skipped = skipped(frames);
                let faults = ledger(&run.ledger, "fault");
                let lost = faults.iter().filter(|line| line["client"] == json!(client)).count() as u64;
                // Where the last messages are lost too, no later number shows it.
                assert!(skipped > 0 && skipped <= lost && skipped + 6 > lost, "{skipped} numbers skipped, {lost} messages lost");
            }
        }
    });
}

/// Counts the numbers that the messages of a connection skip.
fn skipped(frames: &[String]) -> u64 {
    let numbers: Vec<u64> = frames.iter().map(|frame| parse(frame)["sequence_num"].as_u64().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]));
    numbers.last().map_or(0, |last| last + 1 - numbers.len() as u64)
}

#[test]
fn a_silence_uses_the_numbers_of_its_messages_and_the_ledger_has_its_trades() {
    at_once(FEEDS, |feed| {
        let run = Run::new(2, "silent:300ms@200ms", market(feed, 2, 200.0, 1.0));
        assert_eq!(run.fired("silent"), 1);
        let silenced = ledger(&run.ledger, "fault")[0]["client"].as_u64().expect("a client");
        let missed = run.missed("silent", Some(silenced));
        assert!(missed.len() > 40);
        for client in 0..2 {
            let got = run.trades(client);
            for (product, id, sent) in run.made() {
                let is_lost = client as u64 == silenced && missed.contains(&(product.clone(), id));
                assert_eq!(got[&product].contains(&id), !is_lost, "{feed:?} {product} {id}");
                assert!(sent, "the other client received it");
            }
            if feed == SimulatedFeed::Advanced {
                assert_eq!(skipped(&run.frames[client]) > 5, client as u64 == silenced);
            }
        }
    });
}

#[test]
fn a_stalled_products_trades_come_late_or_never_while_its_tickers_and_heartbeats_flow() {
    at_once(FEEDS.into_iter().flat_map(|feed| [(feed, "stall"), (feed, "stall-lost")]), |(feed, kind)| {
        let run = Run::new(1, &format!("{kind}:1200ms@200ms"), market(feed, 1, 100.0, 2.0));
        assert_eq!(run.fired(kind), 1);
        let held = run.missed(kind, None);
        let got = run.trades(0).remove("BTC-USD").expect("trades");
        assert!(held.len() > 60, "{}", held.len());
        assert!(got.is_sorted(), "in their order");
        assert_eq!(held.iter().all(|(_, id)| got.contains(id)), kind == "stall");
        assert_eq!(held.iter().any(|(_, id)| got.contains(id)), kind == "stall");
        assert_eq!(run.totals.trades_never_sent, if kind == "stall" { 0 } else { held.len() as u64 });
        let late = ledger(&run.ledger, "missed");
        assert_eq!((late.len(), &late[0]["late"]), (1, &json!(kind == "stall")));
        if feed == SimulatedFeed::Exchange {
            let first = held.first().expect("one").1;
            let place = |id: u64| run.frames[0].iter().position(|frame| frame.contains(&format!("\"match\",\"trade_id\":{id},")));
            let end = place(first).unwrap_or(run.frames[0].len());
            let before = &run.frames[0][place(first - 1).expect("sent")..end];
            let named = of_kind(before, "heartbeat").iter().filter_map(|beat| beat["last_trade_id"].as_u64()).max();
            assert!(named.is_some_and(|named| named > first), "a heartbeat names what is held");
            assert!(of_kind(before, "ticker").iter().any(|ticker| ticker["trade_id"].as_u64() > Some(first)));
        }
    });
}

#[test]
fn an_outage_is_a_gap_that_rest_can_fill() {
    at_once(FEEDS, |feed| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let faults = Faults::parse("outage:60s@300ms").expect("a script");
        let mut config = market(feed, 2, 50.0, 1.0);
        config.faults = faults;
        config.ledger = Some(path.clone());
        let simulation = Simulation::start(config.clone()).expect("starts");
        let mut client = Client::connect(&simulation);
        client.subscribe_all(&config);
        let started = Instant::now();
        let frames = client.read_to_end(&simulation);
        assert!(started.elapsed() < Duration::from_secs(60), "a minute of event time passes at once");
        let lost: Vec<Value> = ledger(&path, "missed");
        let window = lost.iter().find(|line| line["product"] == "BTC-USD").expect("a line");
        let (first, last) = (window["first"].as_u64().expect("an id"), window["last"].as_u64().expect("an id"));
        assert!((2900..3100).contains(&(last - first)), "{window}");
        let (_, body) = get(&simulation, &format!("/products/BTC-USD/trades?limit=1000&after={}", first + 1000));
        let page = parse(&String::from_utf8(body).expect("text"));
        assert_eq!((&page[0]["trade_id"], &page[999]["trade_id"]), (&json!(first + 999), &json!(first)));
        let totals = simulation.stop().expect("ends");
        let run = Run { frames: vec![frames], totals, ledger: path, feed, _folder: folder };
        let sent: Vec<bool> =
            run.made().iter().filter(|(name, id, _)| name == "BTC-USD" && (first..=last).contains(id)).map(|made| made.2).collect();
        assert!(sent.len() as u64 == last - first + 1 && !sent.contains(&true), "no client received any");
        let got = run.trades(0).remove("BTC-USD").expect("trades");
        let at = got.iter().position(|id| *id > first).expect("a trade after it");
        assert_eq!((got[at - 1], got[at]), (first - 1, last + 1), "live trades go on after it");
        assert!(got.len() - at > 20, "trades go on");
        // Heartbeats go on in an outage, with the times that it has come to.
        let is_update = |frame: &&str| frame.contains("\"time\"") && !frame.contains("\"heartbeat\"");
        let text = run.frames[0].iter().map(String::as_str).filter(is_update).collect::<Vec<_>>();
        let times: Vec<jiff::Timestamp> = text.iter().filter_map(|frame| time_of(frame)).collect();
        let jump = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).max();
        assert!(jump.is_some_and(|jump| jump >= 59), "{jump:?}");
        let ahead = times.last().expect("a time").duration_since(jiff::Timestamp::now());
        assert!(ahead.as_secs() < 5, "event time does not run ahead of the wall clock: {ahead:?}");
        assert!(run.totals.seconds >= 61.0 && run.totals.trades_produced > 5700, "{:?}", run.totals);
    });
}

/// Gives the last time in a frame.
fn time_of(frame: &str) -> Option<jiff::Timestamp> {
    let at = frame.rfind("\"time\":\"")? + 8;
    frame[at..].split('"').next()?.parse().ok()
}

#[test]
fn a_clock_step_ends_and_ids_go_on() {
    at_once([(SimulatedFeed::Exchange, "clock-step:-500ms@300ms"), (SimulatedFeed::Advanced, "clock-step:5m@300ms")], |(feed, script)| {
        let run = Run::new(1, script, market(feed, 1, 400.0, 2.0));
        assert_eq!(run.fired("clock-step"), 1);
        assert!(run.trades(0)["BTC-USD"].is_sorted());
        let live = ledger(&run.ledger, "trade").into_iter().filter(|line| line["history"] != true);
        let times: Vec<i128> =
            live.map(|line| text(&line["time"]).parse::<jiff::Timestamp>().expect("a time").as_nanosecond() / 1_000_000).collect();
        let steps: Vec<i128> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| step.abs() > 300).collect();
        assert_eq!(steps.len(), 2, "there and back: {steps:?}");
        let expected = if feed == SimulatedFeed::Exchange { [-500, 500] } else { [300_000, -300_000] };
        assert!(steps.iter().zip(expected).all(|(step, expected)| (step - expected).abs() < 150), "{steps:?}");
        assert_eq!(run.totals.trades_never_sent, 0);
    });
}

#[test]
fn a_repeated_fault_has_a_clock_for_each_connection() {
    let faults = Faults::parse("close:1001@every:400ms,calm@4s").expect("a script");
    let mut config = market(SimulatedFeed::Exchange, 1, 50.0, 5.0);
    config.faults = faults;
    let simulation = Simulation::start(config.clone()).expect("starts");
    let (mut lives, deadline) = (0, Instant::now() + PATIENCE);
    while !simulation.is_over() && Instant::now() < deadline {
        let mut client = Client::connect(&simulation);
        client.subscribe_all(&config);
        while let Ok(frame) = client.next() {
            if frame.is_none() && simulation.is_over() {
                break;
            }
        }
        lives += 1;
    }
    // Within 4 s each connection lives 200 to 600 ms, and a busy machine takes as long to connect again; the last one meets no fault.
    assert!((3..=21).contains(&lives), "{lives}");
    assert_eq!(simulation.stop().expect("ends").faults["close"], lives - 1);
}

#[test]
fn a_repeated_fault_that_leaves_its_connection_open_fires_again() {
    let run = Run::new(2, "silent:50ms@every:300ms", market(SimulatedFeed::Exchange, 1, 50.0, 2.0));
    let clients: Vec<String> = ledger(&run.ledger, "fault").iter().map(|line| line["client"].to_string()).collect();
    let times = clients.iter().collect::<BTreeSet<_>>().into_iter().map(|one| clients.iter().filter(|client| *client == one).count());
    let times: Vec<usize> = times.collect();
    // Some seven times each; fewer where the machine is busy.
    assert!(times.len() == 2 && times.iter().all(|times| *times >= 2), "{times:?}");
    assert_eq!(run.totals.connections, 2);
}

#[test]
fn a_dropped_ticker_of_the_advanced_feed_uses_a_number() {
    let run = Run::new(1, "drop=0.2", market(SimulatedFeed::Advanced, 2, 100.0, 1.0));
    let lines = ledger(&run.ledger, "ticker");
    let lost = lines.iter().filter(|line| line["sent"] == false).count();
    let faults = ledger(&run.ledger, "fault").iter().filter(|line| line["of"] == "ticker").count();
    assert!(lost > 2, "{lost} of {}", lines.len());
    assert_eq!((lost, lost as u64), (faults, run.totals.tickers_never_sent));
    assert_eq!(of_kind(&run.frames[0], "ticker").len(), lines.len() - lost);
    assert!(skipped(&run.frames[0]) >= run.fired("drop") - 1);
}

#[test]
fn requests_beyond_the_limit_are_refused_until_a_second_has_passed() {
    // Eight requests within a second. A busy machine may need longer, and then tries again.
    let deadline = Instant::now() + PATIENCE;
    let (simulation, statuses) = loop {
        let simulation = Simulation::start(config_with(1, |config| config.rest_limit = Some(5))).expect("starts");
        let began = Instant::now();
        let statuses: Vec<String> = (0..8).map(|_| get(&simulation, "/products").0).collect();
        if began.elapsed() < Duration::from_millis(900) {
            break (simulation, statuses);
        }
        assert!(Instant::now() < deadline, "eight requests take a second");
    };
    let refused: Vec<&String> = statuses.iter().filter(|head| head.starts_with("HTTP/1.1 429")).collect();
    assert!((2..=3).contains(&refused.len()), "{statuses:?}");
    assert_eq!(header(refused[0], "Retry-After"), Some("1"));
    let deadline = Instant::now() + PATIENCE;
    while get(&simulation, "/products").0.starts_with("HTTP/1.1 429") {
        assert!(Instant::now() < deadline);
    }
    let totals = simulation.stop().expect("ends");
    assert!(totals.rest_refused >= 2 && totals.rest_requests - totals.rest_refused >= 6, "{totals:?}");
}

#[test]
fn a_delisted_product_trades_no_more() {
    let run = Run::new(1, "delist@500ms", market(SimulatedFeed::Exchange, 2, 100.0, 1.5));
    assert_eq!(run.fired("delist"), 1);
    let gone = text(&ledger(&run.ledger, "fault")[0]["product"]);
    let counts = run.trades(0);
    let other = counts.keys().find(|name| **name != gone).expect("another");
    // Half a second of trades, and what a turn that came late has made of them; the other trades on.
    assert!(counts[&gone].len() >= 10 && counts[&gone].len() + 20 < counts[other].len(), "{gone}: {counts:?}");
    assert_eq!(run.totals.trades_never_sent, 0);
}

#[test]
fn a_product_that_is_listed_later_is_not_there_before() {
    for feed in FEEDS {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let config = config_with(3, |config| {
            (config.feed, config.rate_per_product, config.unlisted, config.ledger) = (feed, 100.0, 1, Some(path.clone()));
        });
        let (first, new) = (config.products[..2].to_vec(), config.products[2].clone());
        let simulation = Simulation::start(config.clone()).expect("starts");
        let mut client = Client::connect(&simulation);
        let listed = |frame: &Value| {
            let products = if feed == SimulatedFeed::Exchange { &frame["products"] } else { &frame["events"][0]["products"] };
            products.as_array().expect("products").len()
        };
        client.ask(&match feed {
            SimulatedFeed::Exchange => json!({"type": "subscribe", "channels": [{"name": "status"}]}),
            SimulatedFeed::Advanced => json!({"type": "subscribe", "channel": "status"}),
        });
        let frames = client.read_until(|frames| !of_kind(frames, "status").is_empty());
        assert_eq!(listed(&of_kind(&frames, "status")[0]), 2, "{frames:?}");
        assert_eq!(parse(&String::from_utf8(get(&simulation, "/products").1).expect("text")).as_array().expect("products").len(), 2);
        // The market begins without it.
        client.subscribe_all(&{
            let mut two = config.clone();
            two.products = first;
            two
        });
        assert!(simulation.wait_started(PATIENCE));
        simulation.list(&new);
        client.read_until(|frames| of_kind(frames, "status").iter().any(|frame| listed(frame) == 3));
        client.subscribe_all(&config);
        let of_new = |frames: &[String]| frames.iter().any(|frame| frame.contains("SOL-USD") && !frame.contains("status"));
        client.read_until(of_new);
        simulation.stop().expect("ends");
        assert_eq!(ledger(&path, "fault").iter().map(|fault| text(&fault["product"])).collect::<Vec<_>>(), ["SOL-USD"]);
    }
}

#[test]
fn a_client_that_subscribes_to_nothing_is_disconnected_after_five_seconds() {
    let simulation = Simulation::start(config(1)).expect("starts");
    let (mut idle, mut asking) = (Client::connect(&simulation), Client::connect(&simulation));
    asking.subscribe(&["heartbeat"], &["BTC-USD"]);
    let since = Instant::now();
    let (frames, how) = idle.read_to_cut();
    assert!(frames.is_empty() && how.contains("closed 1000"), "{how}");
    assert!(since.elapsed() >= Duration::from_millis(4900), "{:?}", since.elapsed());
    asking.read_until(|frames| of_kind(frames, "heartbeat").len() >= 6);
}

#[test]
fn rest_has_tls_too() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().expect("a folder");
    let simulation = Simulation::start(config_with(1, |config| config.tls = Some(folder.path().to_owned()))).expect("starts");
    let endpoints = simulation.endpoints();
    let address = endpoints.rest_url.as_deref().expect("REST").trim_start_matches("https://").to_owned();
    let pem = std::fs::read(endpoints.ca_file.as_ref().expect("a file")).expect("reads");
    let authority = native_tls::Certificate::from_pem(&pem).expect("a certificate");
    let connector = native_tls::TlsConnector::builder().add_root_certificate(authority).build().expect("a connector");
    let tcp = std::net::TcpStream::connect(&address).expect("connects");
    let mut stream = connector.connect("127.0.0.1", tcp).expect("trusted");
    stream.write_all(b"GET /products/BTC-USD/trades?limit=2 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sends");
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"]") {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0);
        answer.extend_from_slice(&buffer[..count]);
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(parse(answer.split("\r\n\r\n").nth(1).expect("a body")).as_array().map(Vec::len), Some(2));
}
