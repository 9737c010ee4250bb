//! Starts, stops, and a directory that goes away.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Answer, connect};
use crate::coinbase::Client;
use crate::programs::{await_that, coltape};
use crate::served::Served;

#[test]
fn it_prints_its_addresses_and_ends_well_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_folder, served) = Served::sample(&[]);
        let address = served.address;
        assert_eq!(
            served.endpoints,
            serde_json::json!({"http_url": format!("http://{address}"), "websocket_url": format!("ws://{address}/ws")})
        );
        assert_ne!(address.port(), 0);
        assert_eq!(served.get("/healthz").status, 200);
        // Connections that are idle, or whose head is not whole, keep nothing up.
        let idle = connect(address);
        let mut slow = connect(address);
        slow.write_all(b"GET / HT").unwrap();
        let (code, took) = served.stop(signal);
        assert!(code == Some(0) && took < Duration::from_secs(5), "{code:?} {took:?}");
        drop((idle, slow));
    }
}

#[test]
fn a_directory_that_is_no_tape_and_an_address_in_use_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |dir: &std::path::Path, args: &[&str]| {
        let output = coltape().arg("serve").arg(dir).args(["--listen", "127.0.0.1:0"]).args(args).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&folder.path().join("none"), &[]).contains("does not exist"));
    assert!(refused(folder.path(), &[]).contains("is no tape"));
    let (folder, served) = Served::sample(&[]);
    let output = coltape().arg("serve").arg(folder.path()).args(["--listen", &served.address.to_string()]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains(&format!("cannot listen on {}", served.address)), "{said}");
}

#[test]
fn it_says_when_it_is_not_ready_and_lives_on() {
    let (folder, served) = Served::sample(&[]);
    assert_eq!((served.get("/readyz").status, served.get("/readyz").json()), (200, serde_json::json!([])));
    let (data, away) = (folder.path().to_owned(), folder.path().with_extension("away"));
    std::fs::rename(&data, &away).unwrap();
    let answer = served.get("/readyz");
    let list = answer.json();
    assert!(answer.status == 503 && list.as_array().unwrap().len() == 1 && list[0].as_str().unwrap().contains("does not exist"), "{list}");
    assert_eq!(served.get("/healthz").status, 200);
    std::fs::rename(&away, &data).unwrap();
    assert_eq!(served.get("/readyz").status, 200);
}

#[test]
fn live_clients_are_told_that_the_directory_has_gone_away_and_come_back_with_it() {
    let (folder, served) = Served::sample(&[]);
    let (data, away) = (folder.path().to_owned(), folder.path().with_extension("away"));
    let subscribe = |path: &str| {
        let mut client = Client::connect(&format!("ws://{}{path}", served.address));
        if path == "/ws-advanced" {
            client.subscribe_advanced("market_trades", &["BTC-USD"]);
        } else {
            client.subscribe(&["matches", "heartbeat"], &["BTC-USD"]);
        }
        client
    };
    let is_taken = |client: &mut Client| loop {
        match client.next() {
            Ok(message) if message.to_string().contains("subscriptions") => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    };
    let paths = ["/ws", "/ws-advanced", "/ws?from=2020-01-01"];
    let clients = paths.map(|path| {
        let mut client = subscribe(path);
        assert!(is_taken(&mut client), "{path}");
        client
    });
    let events = || {
        let mut stream = connect(served.address);
        write!(stream, "GET /v1/live?product=BTC-USD HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).unwrap();
        let mut come = vec![0; 16];
        stream.read_exact(&mut come).unwrap();
        (stream, come)
    };
    let (mut stream, mut come) = events();
    std::fs::rename(&data, &away).unwrap();
    for mut client in clients {
        let (messages, code) = client.rest();
        let said = messages.iter().find(|message| message["type"] == "error").unwrap_or_else(|| panic!("{messages:?}"));
        assert!(code == 1011 && said.to_string().contains("does not exist"), "{code}: {said}");
    }
    stream.read_to_end(&mut come).unwrap();
    assert!(!Answer::parse(&come, false).unwrap().0.is_whole, "{}", String::from_utf8_lossy(&come));
    std::fs::rename(&away, &data).unwrap();
    // Those that look before the server has are sent away again.
    await_that("the directory is back", || paths.iter().all(|path| is_taken(&mut subscribe(path))));
    await_that("event streams are, too", || events().1.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn it_writes_nothing_into_the_directory() {
    let (folder, served) = Served::sample(&[]);
    let seen = || {
        let mut found = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                found.push((entry.path(), metadata.len(), metadata.modified().unwrap()));
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found.sort();
        found
    };
    let before = seen();
    for target in ["/", "/readyz", "/metrics", "/v1/products", "/v1/trades?product=BTC-USD", "/products", "/ws", "/x"] {
        served.get(target);
    }
    assert_eq!(served.stop(Signal::TERM).0, Some(0));
    assert_eq!(seen(), before);
}

#[test]
fn a_connection_that_is_kept_is_closed_at_the_stop() {
    let (_folder, served) = Served::sample(&[]);
    let mut stream = connect(served.address);
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"ok\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0);
        answer.extend_from_slice(&buffer[..count]);
    }
    await_that("it waits for the next request", || served.metric("clients") == 1.0);
    let (code, took) = served.stop(Signal::TERM);
    assert!(code == Some(0) && took < Duration::from_secs(5), "{code:?} {took:?}");
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
}
