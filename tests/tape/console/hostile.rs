//! Texts of servers and files that try to steer the terminal of whoever reads a log or a report: not one of their characters gets there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tungstenite::protocol::CloseFrame;

use crate::capture::programs::{Capture, await_that, coltape, journal};
use crate::capture::scripted::{Server, match_frame};

/// One text for every kind of character that a terminal obeys or that turns letters round, each between two words that are searched for.
fn hostile() -> Vec<String> {
    let c0 = (0..0x20u32).chain([0x7f]);
    let c1 = 0x80..0xa0;
    let bidi = [0x061c, 0x200e, 0x200f].into_iter().chain(0x202a..=0x202e).chain(0x2066..=0x2069);
    let others = [0x2028, 0x2029, 0xfeff, 0x200b];
    let single = c0.chain(c1).chain(bidi).chain(others).map(|code| char::from_u32(code).unwrap().to_string());
    let sequences =
        ["\u{1b}[31mred", "\u{1b}]0;title\u{7}", "\u{1b}[2J\u{1b}[H", "\u{9b}2J", "a\r\nERROR forged", "\u{1b}P q", "\u{202e}dlrow"];
    single.chain(sequences.map(str::to_owned)).map(|text| format!("evil{text}live")).collect()
}

/// The characters that must not reach a reader; a line feed ends our own lines.
fn steering(text: &str) -> BTreeSet<char> {
    let is_bidi =
        |c: char| matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().filter(|c| (c.is_control() && *c != '\n') || is_bidi(*c)).collect()
}

fn assert_calm(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(steering(text), BTreeSet::new(), "{what}: {text:?}");
    // A line that a text from outside has begun. No line of ours begins so.
    assert!(!text.lines().any(|line| line.starts_with("ERROR forged") || line.starts_with("live")), "{what}: {text:?}");
}

fn assert_both_calm(what: &str, output: &Output) {
    assert_calm(&format!("{what}, stdout"), &output.stdout);
    assert_calm(&format!("{what}, stderr"), &output.stderr);
}

#[test]
fn error_messages_and_close_reasons_reach_log_and_reports_escaped() {
    let texts = hostile();
    let count = texts.len();
    let server = Server::start(move |at, mut session| {
        let products = session.await_subscription();
        if at == 0 {
            for text in &texts {
                session.send(json!({"type": "error", "message": text, "reason": text}).to_string());
            }
        }
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        // Frames that cannot be used go to the rejects, where `verify` may find them.
        for text in &texts {
            session.send(json!({"type": "match", "product_id": text, "trade_id": text}).to_string());
        }
        let Some(text) = texts.get(at) else { return session.linger() };
        session.close_with(CloseFrame { code: 1008.into(), reason: text.as_str().into() });
    });
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let capture = Capture::start(&data, &["BTC-USD", "--force-fs", "--url", &server.url]);
    await_that("every error was heard, and one close", || {
        journal(&data, "exchange_error").len() == count && !journal(&data, "connection_lost").is_empty()
    });
    let ended = capture.stop();
    assert_both_calm("capture", &ended.output);
    let log = ended.stderr();
    assert!(
        log.contains(r"evil\u{1b}[31mredlive") && log.contains(r"evil\u{202e}live") && log.contains(r"evila\r\nERROR forgedlive"),
        "{log}"
    );
    assert!(log.lines().any(|line| line.contains("connection lost: closed 1008 evil\\u{0}live")), "{log}");
    for args in [&["verify"][..], &["verify", "--json"], &["repair", "--no-rest"]] {
        assert_both_calm(&args.join(" "), &coltape().args(args).arg(&data).output().unwrap());
    }
}

/// A server that answers every connection with the same bytes.
struct Bytes {
    address: String,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bytes {
    fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
                BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let _ = (&stream).write_all(&answer);
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn http_statuses_headers_and_bodies_reach_log_and_reports_escaped() {
    let evil = "evil\u{1b}[31m\u{9b}2J\u{202e}\u{7}\u{8}live";
    let page = json!([{"time": evil, "trade_id": evil, "price": evil, "size": evil, "side": evil}]).to_string();
    let products = json!([{"id": evil, "status": evil, "base_currency": evil, "quote_currency": evil}]).to_string();
    let body = |status: &str, head: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
    };
    let answers: Vec<Vec<u8>> = vec![
        body(&format!("403 {evil}"), "", evil),
        body("301 Moved", &format!("Location: http://{evil}/\r\n"), evil),
        body("301 Moved", &format!("Location: {evil}\r\n"), evil),
        body("200 OK", &format!("X-Evil: {evil}\r\nContent-Type: {evil}\r\nContent-Encoding: {evil}\r\n"), evil),
        body("200 OK", "", &page),
        body("200 OK", "", &products),
        body("429 Too Many", &format!("Retry-After: {evil}\r\n"), evil),
        body(&format!("101 {evil}"), &format!("Upgrade: {evil}\r\nConnection: {evil}\r\nSec-WebSocket-Accept: {evil}\r\n"), ""),
        format!("{evil}\r\n\r\n").into_bytes(),
        b"\x1b[31m\x9b\xff\xfe\r\n\r\n".to_vec(),
    ];
    std::thread::scope(|scope| {
        for (number, answer) in answers.into_iter().enumerate() {
            scope.spawn(move || {
                let server = Bytes::start(answer);
                let folder = tempfile::tempdir().unwrap();
                let data = folder.path().join("data");
                let (url, rest) = (format!("ws://{}", server.address), format!("http://{}", server.address));
                let args = ["BTC-USD", "--force-fs", "--url", &url, "--rest-url", &rest, "--backfill-from", "2024-01-01"];
                let capture = Capture::start(&data, &args);
                await_that("a connection failed", || {
                    !journal(&data, "connect_failed").is_empty() || !journal(&data, "connection_lost").is_empty()
                });
                assert_both_calm(&format!("capture {number}"), &capture.stop().output);
                let verified = coltape().arg("verify").arg(&data).output().unwrap();
                assert_both_calm(&format!("verify {number}"), &verified);
                let fresh = folder.path().join("fresh");
                let mut backfill = coltape();
                backfill.args([
                    "backfill",
                    "BTC-USD",
                    "--from",
                    "2024-01-01",
                    "--to",
                    "2024-01-02",
                    "--force-fs",
                    "--rest-url",
                    &rest,
                    "--data-dir",
                ]);
                let mut child = backfill
                    .arg(&fresh)
                    .stdout(fs::File::create(folder.path().join("out")).unwrap())
                    .stderr(fs::File::create(folder.path().join("err")).unwrap())
                    .spawn()
                    .unwrap();
                let started = std::time::Instant::now();
                // Some answers are asked for again and again. What was printed until then counts.
                let is_over = |child: &mut std::process::Child| child.try_wait().unwrap().is_some();
                await_that("backfill has ended, or said what it meets", || {
                    is_over(&mut child) || (started.elapsed() > std::time::Duration::from_secs(3))
                });
                let _ = child.kill();
                child.wait().unwrap();
                for name in ["out", "err"] {
                    assert_calm(&format!("backfill {number} {name}"), &fs::read(folder.path().join(name)).unwrap());
                }
            });
        }
    });
}

#[test]
fn names_of_files_and_lines_of_journals_reach_a_report_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let prints = crate::market::prints(1, 4, crate::market::FIRST_DAY.start(), 1_000_000_000);
    crate::market::store_all(&data, &prints, coltape::internals::store::StoreOptions::default());
    let evil = "evil\u{1b}[31m\u{9b}2J\u{202e}\u{7}\nlive";
    fs::create_dir_all(data.join(evil).join("TRADES")).unwrap();
    fs::write(data.join("BTC-USD/TRADES").join(format!("{evil}.2025-06-07.bin")), "x").unwrap();
    fs::write(data.join("BTC-USD").join(evil), "x").unwrap();
    let line = |event: &str, fields: serde_json::Value| {
        let mut line = json!({"time": "2025-06-07T12:00:00Z", "event": event});
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let journal = [
        line("gap_opened", json!({"product": "BTC-USD", "from_id": 5, "to_id": 9, "why": evil})),
        line("conflict", json!({"product": "BTC-USD", "trade_id": 2, "stored": evil, "sent": evil, "raw": evil, "text": evil})),
        line("backfill_failed", json!({"product": "BTC-USD", "from_id": 5, "to_id": 9, "error": evil})),
        line(evil, json!({"product": evil})),
        line("alert_raised", json!({"alert": evil, "subject": evil, "text": evil})),
        line("capture_started", json!({"endpoint": evil, "products": 1, "version": evil})),
    ];
    fs::write(data.join("_coltape/journal.2025-06-07.jsonl"), journal.concat()).unwrap();
    fs::write(data.join("_coltape").join(format!("journal.{evil}.jsonl")), "x").unwrap();
    let dir = data.to_str().unwrap();
    for args in [
        &["verify", dir][..],
        &["verify", dir, "--json"],
        &["repair", dir, "--no-rest"],
        &["repair", dir, "--no-rest", "--from", evil],
        &["query", "BTC-USD", "--data-dir", dir],
        &["query", "NOPE", "--data-dir", dir],
        &["verify", evil],
        &["query", "BTC-USD", "--data-dir", evil],
    ] {
        assert_both_calm(&format!("{args:?}"), &coltape().args(args).output().unwrap());
    }
}
