//! What lies between the box and the exchange: pauses of the capture itself, proxies, a server that asks to wait.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::programs::{Capture, Simulator, await_that, coltape, journal, query, verify};
use super::rest::{Rest, page, shown};
use super::scripted::{Server, match_frame};
use crate::peers;

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Stops the process for a while, as a debugger, a hypervisor or a swapping machine does.
fn pause(capture: &Capture, time: Duration) {
    capture.signal(Signal::STOP);
    std::thread::sleep(time);
    capture.signal(Signal::CONT);
}

#[test]
fn a_capture_that_was_stopped_for_longer_than_the_idle_time_out_keeps_its_connection_and_every_order_id() {
    const LAST: u64 = 3000;
    let server = Server::start(|_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in 1..=LAST {
            session.send(match_frame("BTC-USD", id, &now()));
            // Spread over six seconds, so that the pauses fall among them.
            std::thread::sleep(Duration::from_millis(2));
        }
        // It does not fall silent while the test looks for the last trade.
        while session.receive_at_once().is_some() {
            let time = now();
            session
                .send(format!(r#"{{"type":"heartbeat","last_trade_id":{LAST},"product_id":"BTC-USD","sequence":4000,"time":"{time}"}}"#));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--url", &server.url, "--idle-timeout", "2s"]);
    await_that("the first trade is visible", || {
        data.join("BTC-USD/TRADES").exists() && !query(&data, "BTC-USD", &["--tail", "1"]).is_empty()
    });
    for _ in 0..2 {
        pause(&capture, Duration::from_millis(2500));
        std::thread::sleep(Duration::from_millis(300));
    }
    await_that("the last trade is visible", || query(&data, "BTC-USD", &["--tail", "1"]).iter().any(|trade| trade["trade_id"] == LAST));
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!((server.connections(), ended.figure("connects")), (1, 1.0), "{}", ended.stderr());
    let trades = query(&data, "BTC-USD", &[]);
    assert_eq!(trades.len() as u64, LAST);
    assert!(trades.iter().all(|trade| !trade["taker_order_id"].is_null()), "each has its order ids");
}

#[test]
fn a_pause_under_tls_costs_neither_the_connection_nor_an_order_id() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ledger) = (folder.path().join("data"), folder.path().join("ledger"));
    let simulator = Simulator::start(&[
        "--products",
        "BTC-USD,ETH-USD",
        "--rate",
        "200",
        "--duration",
        "8s",
        "--linger",
        "60s",
        "--tls",
        "--ledger",
        ledger.to_str().unwrap(),
    ]);
    let (url, authority) = (simulator.websocket(), simulator.endpoints["ca_file"].as_str().unwrap().to_owned());
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "--url", &url, "--ca-file", &authority, "--idle-timeout", "2s"]);
    await_that("trades are visible", || data.join("ETH-USD/TRADES").exists() && !query(&data, "ETH-USD", &["--tail", "1"]).is_empty());
    for _ in 0..2 {
        pause(&capture, Duration::from_millis(2500));
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut simulator = simulator;
    let totals = simulator.await_totals();
    let sent = totals["trades"].as_u64().unwrap_or_default();
    await_that("everything is stored", || {
        let stored: usize = ["BTC-USD", "ETH-USD"].iter().map(|product| query(&data, product, &[]).len()).sum();
        stored as u64 >= sent.max(1)
    });
    let ended = capture.stop();
    ended.assert_good();
    assert_eq!(ended.figure("connects"), 1.0, "{}", ended.stderr());
    simulator.end();
    let (holds, said) = verify(&data, &["--ledger", ledger.to_str().unwrap()]);
    assert!(holds && said.contains("; 0 without order ids)"), "{said}");
}

/// A proxy that answers `CONNECT`, leads to `feed` or `rest` by the port, and remembers what it was asked for.
fn proxy(feed: String, rest: String) -> (peers::Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = peers::Server::start(move |mut stream: TcpStream| {
        let request = peers::read_request(&mut stream);
        let line = request.lines().next().unwrap_or_default().to_owned();
        let target = if line.contains("feed.example") { &feed } else { &rest };
        seen.lock().unwrap().push(line);
        if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_ok() {
            peers::splice(stream, TcpStream::connect(target).unwrap());
        }
    });
    (server, asked)
}

fn place(url: &str) -> String {
    url.split("://").nth(1).unwrap().trim_end_matches('/').to_owned()
}

#[test]
fn a_capture_goes_through_the_proxy_of_the_option_or_the_environment_with_websocket_and_rest() {
    for (option, variable) in [(true, None), (false, Some("ALL_PROXY")), (false, Some("all_proxy"))] {
        let time = now();
        let at = time.clone();
        let server = Server::start(move |_, mut session| {
            let products = session.await_subscription();
            session.acknowledge(&products);
            for id in [1, 2, 5, 6] {
                session.send(match_frame("BTC-USD", id, &at));
            }
            session.linger();
        });
        let rest = Rest::start(|request| ("200 OK".to_owned(), page(request, 6)), move |id| shown(id, &time));
        let (proxy, asked) = proxy(place(&server.url), place(&rest.url));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let url = format!("http://me:secret@{}", proxy.address);
        let mut command = coltape();
        command
            .args(["capture", "BTC-USD", "--url", "ws://feed.example/x", "--rest-url", "http://rest.example:81", "--data-dir"])
            .arg(&data);
        if option {
            command.args(["--proxy", &url]);
        }
        if let Some(variable) = variable {
            command.env(variable, &url);
        }
        let log = folder.path().join("log");
        let mut child = command.stdout(std::process::Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let began = Instant::now();
        let is_whole = || data.join("BTC-USD/TRADES").exists() && query(&data, "BTC-USD", &[]).len() == 6;
        while !is_whole() && began.elapsed() < super::programs::DEADLINE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let is_whole = is_whole();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        child.wait().unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(is_whole, "{option} {variable:?}: {said}");
        let asked = asked.lock().unwrap();
        assert!(asked.iter().any(|line| line == "CONNECT feed.example:80 HTTP/1.1"), "{asked:?}");
        assert!(asked.iter().any(|line| line == "CONNECT rest.example:81 HTTP/1.1"), "{asked:?}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_at_the_start_of_every_command_that_connects() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let commands: [&[&str]; 3] = [
        &["capture", "BTC-USD", "--url", "wss://feed.example", "--rest-url", "https://rest.example", "--data-dir"],
        &["backfill", "BTC-USD", "--from", "2025-01-01", "--rest-url", "https://rest.example", "--data-dir"],
        &["repair", "--rest-url", "https://rest.example", "--data-dir"],
    ];
    for arguments in commands {
        for (option, variable) in [(Some("socks4://me:secret@x"), None), (None, Some("https_proxy")), (None, Some("ALL_PROXY"))] {
            let mut command = coltape();
            command.args(arguments).arg(&data);
            if let Some(option) = option {
                command.args(["--proxy", option]);
            }
            if let Some(variable) = variable {
                command.env(variable, "ftp://me:secret@proxy");
            }
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(variable.unwrap_or("--proxy")) && said.contains("socks5h://") && !said.contains("secret"), "{said}");
        }
    }
    assert!(!data.join("_coltape").exists(), "nothing was begun");
}

#[test]
fn a_server_that_asks_to_wait_at_the_handshake_gets_no_connection_before_that() {
    const WAIT: Duration = Duration::from_secs(3);
    let moments = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&moments);
    let server = peers::Server::start(move |mut stream| {
        seen.lock().unwrap().push(Instant::now());
        peers::read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0]);
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("ws://{}", server.address);
    let names = ["A-USD", "B-USD", "C-USD"];
    // Three connections: none of them comes before the wait is over.
    let capture = Capture::start(&data, &[&names[..], &["--url", &url, "--products-per-connection", "1"]].concat());
    await_that("four connections", || moments.lock().unwrap().len() >= 4);
    let _ = capture.stop();
    let moments = moments.lock().unwrap();
    let waits: Vec<Duration> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The second of the three may have had its turn before the first answer was there.
    assert!(waits.iter().filter(|wait| **wait >= WAIT - Duration::from_millis(50)).count() >= 1, "{waits:?}");
    assert!(moments[3] - moments[0] >= WAIT, "{waits:?}");
    assert!(journal(&data, "connect_failed").iter().all(|event| event["error"].as_str().unwrap().contains("503")));
}
