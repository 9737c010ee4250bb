//! Sessions of clients: subscriptions, refusals, ends of connections, TLS, recordings.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coltape::internals::simulate::{Cut, Faults, Replay, SimulateConfig, SimulatedFeed, Simulation};
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, config, config_with, ledger, of_kind, parse};

fn started(config: SimulateConfig) -> Simulation {
    Simulation::start(config).expect("starts")
}

fn has(kind: &'static str) -> impl Fn(&[String]) -> bool {
    move |frames| !of_kind(frames, kind).is_empty()
}

#[test]
fn subscriptions_add_up_and_each_client_receives_only_its_own() {
    let simulation = started(config_with(3, |config| config.rate_per_product = 200.0));
    let (mut first, mut second) = (Client::connect(&simulation), Client::connect(&simulation));
    first.subscribe(&["matches"], &["BTC-USD"]);
    first.read_until(has("subscriptions"));
    first.subscribe(&["ticker"], &["ETH-USD"]);
    let frames = first.read_until(has("subscriptions"));
    let mut set: Vec<String> = of_kind(&frames, "subscriptions")[0]["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .map(|channel| format!("{} {}", channel["name"].as_str().expect("a name"), channel["product_ids"]))
        .collect();
    set.sort();
    assert_eq!(set, [r#"matches ["BTC-USD"]"#, r#"ticker ["ETH-USD"]"#], "everything that the client has subscribed to");
    assert_eq!(simulation.totals().trades_produced, 0, "the clock waits for every product");
    second.subscribe(&["matches"], &["ETH-USD", "SOL-USD"]);
    assert!(simulation.wait_started(PATIENCE));
    let frames = first.read_until(|frames| of_kind(frames, "match").len() > 20 && of_kind(frames, "ticker").len() > 20);
    assert!(of_kind(&frames, "match").iter().all(|frame| frame["product_id"] == "BTC-USD"));
    assert!(of_kind(&frames, "ticker").iter().all(|frame| frame["product_id"] == "ETH-USD"));
    second.read_until(|frames| of_kind(frames, "match").len() > 20);
    first.ask(&json!({"type": "unsubscribe", "channels": [{"name": "ticker", "product_ids": ["ETH-USD"]}]}));
    let frames = first.read_until(has("subscriptions"));
    assert_eq!(of_kind(&frames, "subscriptions")[0]["channels"].as_array().map(Vec::len), Some(1));
    simulation.stop().expect("ends");
}

#[test]
fn the_exchange_feed_names_what_it_refuses_and_the_advanced_feed_leaves_out_what_it_does_not_know() {
    let simulation = started(config(2));
    let mut client = Client::connect(&simulation);
    let mut refused = |channels: &[&str], products: &[&str]| {
        client.subscribe(channels, products);
        let frames = client.read_until(has("error"));
        assert!(of_kind(&frames, "subscriptions").is_empty());
        let error = of_kind(&frames, "error").remove(0);
        format!("{}: {}", error["message"].as_str().expect("a message"), error["reason"].as_str().unwrap_or("-"))
    };
    assert_eq!(refused(&["matches"], &["BTC-USD", "NO-\"NE"]), "Failed to subscribe: NO-\"NE is not a valid product");
    assert_eq!(refused(&["market_trades"], &["BTC-USD"]), "Failed to subscribe: market_trades is not a valid channel");
    assert_eq!(refused(&[], &["BTC-USD"]), "Failed to subscribe: No channels provided");
    assert!(refused(&["level2"], &["BTC-USD"]).starts_with("level2, level3, and full channels now require authentication."));
    simulation.delist(&config(1).products[0]);
    assert_eq!(refused(&["ticker"], &["BTC-USD"]), "Failed to subscribe: BTC-USD is delisted");
    simulation.stop().expect("ends");

    let simulation = started(config_with(2, |config| config.refuse_whole = false));
    let mut client = Client::connect(&simulation);
    client.subscribe(&["matches"], &["BTC-USD", "NO-NE"]);
    let frames = client.read_until(|frames| has("error")(frames) && has("subscriptions")(frames));
    assert_eq!(of_kind(&frames, "subscriptions")[0]["channels"][0]["product_ids"], json!(["BTC-USD"]));

    let simulation = started(config_with(2, |config| config.feed = SimulatedFeed::Advanced));
    let mut client = Client::connect(&simulation);
    client.ask(&json!({"type": "subscribe", "channel": "ticker", "product_ids": ["NO-NE", "BTC-USD"]}));
    let frames = client.read_until(has("subscriptions"));
    assert_eq!(of_kind(&frames, "subscriptions")[0]["events"][0]["subscriptions"], json!({"ticker": ["BTC-USD"]}));
    client.ask(&json!({"type": "subscribe", "channel": "matches", "product_ids": ["BTC-USD"]}));
    let frames = client.read_until(has("error"));
    assert_eq!(of_kind(&frames, "error")[0], json!({"type": "error", "message": "authentication failure"}));
}

#[test]
fn the_market_goes_on_while_no_client_is_connected() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let config = config_with(1, |config| {
        config.rate_per_product = 500.0;
        config.ledger = Some(path.clone());
    });
    let simulation = started(config.clone());
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    client.read_until(|frames| of_kind(frames, "match").len() > 50);
    simulation.drop_connections(Cut::Close(1001));
    let (_, how) = client.read_to_cut();
    assert!(how.contains("closed 1001"), "{how}");
    let deadline = Instant::now() + PATIENCE;
    while simulation.totals().trades_never_sent < 100 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let frames = client.read_until(|frames| of_kind(frames, "match").len() > 50);
    let totals = simulation.stop().expect("a whole ledger");
    let last = of_kind(&frames, "last_match").remove(0)["trade_id"].clone();
    let next = of_kind(&frames, "match").remove(0)["trade_id"].clone();
    assert_eq!(next.as_u64(), last.as_u64().map(|id| id + 1), "no trade is lost between the last match and the first");
    let trades: Vec<Value> = ledger(&path, "trade").into_iter().filter(|line| line["history"] != true).collect();
    let unsent = trades.iter().filter(|line| line["sent"] == false).count() as u64;
    assert_eq!((trades.len() as u64, unsent), (totals.trades_produced, totals.trades_never_sent));
    assert_eq!(totals.trades_sent + totals.trades_never_sent, totals.trades_produced);
}

#[test]
fn the_client_sees_each_kind_of_cut_as_what_it_is() {
    let cuts = [
        ("close:1000", "closed 1000"),
        ("close:1001", "closed 1001"),
        ("close:1006", "without closing handshake"),
        ("reset", "reset by peer"),
        ("half-frame", "without closing handshake"),
    ];
    let see = |(cut, expected): (&str, &str)| {
        // Late enough that some trades come before it, on a busy machine too.
        let script = format!("{cut}@1s");
        let faults = Faults::parse(&script).expect("a script");
        let config = config_with(1, |config| {
            config.rate_per_product = 100.0;
            config.faults = faults;
        });
        let simulation = started(config.clone());
        let mut client = Client::connect(&simulation);
        client.subscribe_all(&config);
        let (frames, how) = client.read_to_cut();
        assert!(how.to_lowercase().contains(expected), "{script}: {how}");
        assert!(!of_kind(&frames, "match").is_empty() || script.starts_with("reset"));
        let totals = simulation.stop().expect("ends");
        assert_eq!(totals.faults.values().sum::<u64>(), 1, "{script}");
    };
    std::thread::scope(|scope| cuts.map(|cut| scope.spawn(move || see(cut))).map(|one| one.join().expect("checked")));
}

#[test]
fn faults_of_trades_are_counted_and_the_ledger_tells_what_was_lost() {
    for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let script = "drop=0.05,duplicate=0.05,reorder=0.05,delay:50ms=0.05,absurd-id=0.01,absurd-time=0.01,junk=0.01,stall:100ms@300ms";
        let config = config_with(2, |config| {
            config.feed = feed;
            config.rate_per_product = 500.0;
            config.duration = Some(Duration::from_secs(1));
            config.faults = Faults::parse(script).expect("a script");
            config.ledger = Some(path.clone());
        });
        let simulation = started(config.clone());
        let mut client = Client::connect(&simulation);
        client.subscribe_all(&config);
        let frames: Vec<String> =
            client.read_to_end(&simulation).into_iter().filter(|frame| serde_json::from_str::<Value>(frame).is_ok()).collect();
        let totals = simulation.stop().expect("a whole ledger");
        assert_eq!(totals.faults.len(), 8, "{:?}", totals.faults);
        let trades: Vec<Value> = ledger(&path, "trade").into_iter().filter(|line| line["history"] != true).collect();
        assert_eq!(trades.len() as u64, totals.trades_produced);
        let lost = trades.iter().filter(|line| line["sent"] == false).count() as u64;
        assert_eq!(lost, totals.trades_never_sent);
        assert!(lost > 10 && ledger(&path, "fault").iter().filter(|line| line["fault"] == "drop").count() as u64 >= lost);
        let text = frames.join("\n");
        let shown = |line: &Value| {
            let (id, quote) = (&line["trade_id"], if feed == SimulatedFeed::Advanced { "\"" } else { "" });
            let product = line["product"].as_str().expect("a product");
            match feed {
                SimulatedFeed::Exchange => frames
                    .iter()
                    .any(|frame| frame.contains(&format!("\"match\",\"trade_id\":{id},")) && frame.contains(&format!("\"{product}\""))),
                SimulatedFeed::Advanced => text.contains(&format!("\"product_id\":\"{product}\",\"trade_id\":{quote}{id}{quote},")),
            }
        };
        for line in trades.iter().step_by(7) {
            assert_eq!(shown(line), line["sent"] == true, "{line}");
        }
        assert!(text.contains("0001-01-01T00:00:00Z"));
    }
}

#[test]
fn connections_and_subscriptions_are_refused_as_often_as_asked() {
    let faults = Faults::parse("refuse-connection*1,refuse-subscription*1").expect("a script");
    let simulation = started(config_with(1, |config| config.faults = faults));
    let address = simulation.endpoints().websocket_url.trim_start_matches("ws://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)));
    let mut client = Client::connect(&simulation);
    client.subscribe(&["matches"], &["BTC-USD"]);
    client.read_until(has("error"));
    client.subscribe(&["matches"], &["BTC-USD"]);
    client.read_until(has("subscriptions"));
    assert_eq!(simulation.stop().expect("ends").faults.len(), 2);
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_the_market_does_not_wait() {
    let config = config_with(1, |config| {
        config.rate_per_product = 20_000.0;
        config.duration = Some(Duration::from_secs(2));
        config.client_bound_bytes = 1 << 20;
    });
    let simulation = started(config.clone());
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let deadline = Instant::now() + PATIENCE;
    while !simulation.is_over() {
        assert!(Instant::now() < deadline, "the market waits for the client");
        std::thread::yield_now();
    }
    let totals = simulation.totals();
    assert_eq!(totals.slow_clients, 1);
    assert!(totals.trades_never_sent > 0 && totals.trades_produced > 38_000, "{totals:?}");
    let (_, how) = client.read_to_cut();
    assert!(how.contains("closed 1008"), "{how}");
}

#[test]
fn a_recording_is_served_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("recording.tsv");
    let frames: Vec<String> = (0..5000).map(|at| format!("{{\"type\":\"x\",\"n\":{at},\"tab\":\"a\tb\"}}")).collect();
    let lines: Vec<String> = frames.iter().enumerate().map(|(at, frame)| format!("{}\t{frame}\n", 1_000 + at * 20_000)).collect();
    std::fs::write(&file, lines.concat()).expect("writes");
    for (speed, least) in [(None, Duration::ZERO), (Some(0.5), Duration::from_millis(199))] {
        let replay = Some(Replay { file: file.clone(), speed });
        let simulation = started(config_with(1, |config| config.replay = replay));
        let mut client = Client::connect(&simulation);
        client.subscribe(&["matches"], &["BTC-USD"]);
        let from = Instant::now();
        let got = client.read_until(|got| got.len() == frames.len());
        assert!(got == frames);
        assert!(from.elapsed() >= least);
        let _ = simulation.wait();
    }
    let replay = Some(Replay { file: PathBuf::from("/nowhere.tsv"), speed: None });
    let refused = Simulation::start(config_with(1, |config| config.replay = replay)).expect_err("no such recording");
    assert!(refused.to_string().contains("/nowhere.tsv"), "{refused}");
    let ledger = Some(PathBuf::from("/nowhere/ledger.jsonl"));
    let refused = Simulation::start(config_with(1, |config| config.ledger = ledger)).expect_err("no such folder");
    assert!(refused.to_string().contains("/nowhere/ledger.jsonl"), "{refused}");
}

#[test]
fn a_client_trusts_tls_only_with_the_simulators_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulation = started(config_with(1, |config| config.tls = Some(folder.path().to_owned())));
    let endpoints = simulation.endpoints().clone();
    assert!(endpoints.websocket_url.starts_with("wss://") && endpoints.rest_url.as_deref().is_some_and(|url| url.starts_with("https://")));
    let address = endpoints.websocket_url.trim_start_matches("wss://").to_owned();
    let pem = std::fs::read(endpoints.ca_file.as_ref().expect("a file")).expect("reads");
    let authority = native_tls::Certificate::from_pem(&pem).expect("a certificate");
    let without_authority = native_tls::TlsConnector::new().expect("a connector");
    assert!(without_authority.connect("127.0.0.1", TcpStream::connect(&address).expect("connects")).is_err());
    let connector = native_tls::TlsConnector::builder().add_root_certificate(authority).build().expect("a connector");
    let stream = connector.connect("127.0.0.1", TcpStream::connect(&address).expect("connects")).expect("trusted");
    let (mut socket, _) = tungstenite::client(&endpoints.websocket_url, stream).expect("a handshake");
    let request = json!({"type": "subscribe", "channels": ["matches"], "product_ids": ["BTC-USD"]});
    socket.send(tungstenite::Message::text(request.to_string())).expect("sends");
    let frame = socket.read().expect("a frame").to_string();
    assert!(["subscriptions", "last_match"].iter().any(|kind| parse(&frame)["type"] == *kind), "{frame}");
    let shown = parse(&endpoints.to_json());
    assert_eq!(shown["websocket_url"], json!(endpoints.websocket_url));

    let mut builder = openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls()).expect("a builder");
    builder.set_ca_file(endpoints.ca_file.as_ref().expect("a file")).expect("reads");
    let stream = builder.build().connect("127.0.0.1", TcpStream::connect(&address).expect("connects")).expect("trusted");
    let cipher = stream.ssl().current_cipher().expect("a cipher").name();
    assert_eq!((stream.ssl().version_str(), cipher), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"), "the client's first choice");
}

#[test]
fn status_lists_every_product_and_tells_which_is_delisted() {
    for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
        let simulation = started(config_with(3, |config| config.feed = feed));
        let mut client = Client::connect(&simulation);
        client.ask(&json!({"type": "subscribe", "channel": "status", "channels": []}));
        let products = |frames: &[String]| {
            let status = of_kind(frames, "status").pop()?;
            let list = if feed == SimulatedFeed::Exchange { &status["products"] } else { &status["events"][0]["products"] };
            Some(list.as_array()?.iter().map(|product| product["status"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>())
        };
        let frames = client.read_until(has("status"));
        assert_eq!(products(&frames), Some(vec!["online".to_owned(); 3]));
        simulation.delist(&config(2).products[1]);
        client.read_until(|frames| products(frames).is_some_and(|list| list == ["online", "delisted", "online"]));
    }
}

#[test]
fn a_silent_connection_stays_open_and_what_it_missed_is_never_sent() {
    let faults = Faults::parse("silent:300ms@100ms").expect("a script");
    let config = config_with(1, |config| {
        config.rate_per_product = 300.0;
        config.duration = Some(Duration::from_secs(1));
        config.faults = faults;
    });
    let simulation = started(config.clone());
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    let frames = client.read_to_end(&simulation);
    let totals = simulation.stop().expect("ends");
    let ids: Vec<u64> = of_kind(&frames, "match").iter().map(|frame| frame["trade_id"].as_u64().expect("an id")).collect();
    let gaps = ids.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!((gaps, totals.connections, totals.faults.get("silent")), (1, 1, Some(&1)));
    assert_eq!(totals.trades_never_sent, totals.trades_produced - ids.len() as u64);
}

#[test]
fn a_paused_market_makes_nothing_and_goes_on_where_it_was() {
    let config = config_with(1, |config| {
        config.rate_per_product = 1000.0;
        config.duration = Some(Duration::from_secs(1));
    });
    let simulation = started(config.clone());
    let mut client = Client::connect(&simulation);
    client.subscribe_all(&config);
    client.read_until(|frames| of_kind(frames, "match").len() > 10);
    simulation.pause();
    simulation.send_text("{\"type\":\"paused\"}");
    client.read_until(has("paused"));
    // A heartbeat comes every second, paused or not; between two of them nothing else may.
    let frames = client.read_until(|frames| of_kind(frames, "heartbeat").len() == 2);
    assert!(of_kind(&frames, "match").is_empty());
    simulation.resume();
    let frames = client.read_to_end(&simulation);
    let totals = simulation.stop().expect("ends");
    assert!(of_kind(&frames, "match").len() > 100 && totals.trades_produced >= 950, "{totals:?}");
}
