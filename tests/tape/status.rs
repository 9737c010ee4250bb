//! `coltape status` beside a real capture: running, in need, stopped, killed, silent; and beside files that lie.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::capture::programs::{Capture, Simulator, await_that, coltape};

fn status(data: &Path, args: &[&str]) -> Output {
    coltape().arg("status").arg(data).args(args).output().unwrap()
}

fn code(data: &Path) -> i32 {
    status(data, &[]).status.code().unwrap()
}

fn screen(data: &Path) -> String {
    String::from_utf8(status(data, &[]).stdout).unwrap()
}

fn json(data: &Path) -> Value {
    let output = status(data, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn await_code(what: &str, data: &Path, wanted: i32) {
    await_that(what, || code(data) == wanted);
}

fn start(simulator: &Simulator, data: &Path, args: &[&str]) -> Capture {
    let rest = simulator.endpoints["rest_url"].as_str().unwrap();
    Capture::start(data, &[&["BTC-USD", "--force-fs", "--url", &simulator.websocket(), "--rest-url", rest], args].concat())
}

fn file(data: &Path) -> std::path::PathBuf {
    data.join("_coltape/status.json")
}

#[test]
fn a_capture_is_healthy_while_it_runs_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--rate", "50", "--seed", "7"]);
    let capture = start(&simulator, &data, &[]);
    await_code("the capture is healthy", &data, 0);
    await_that("figures of some seconds", || json(&data)["trades_per_s"].as_f64().unwrap() > 10.0);
    let seen = json(&data);
    let product = &seen["products"][0];
    assert_eq!((seen["running"].as_bool(), seen["healthy"].as_bool(), seen["state"].as_str()), (Some(true), Some(true), Some("running")));
    assert_eq!(seen["pid"].as_u64(), Some(u64::from(capture.pid())));
    assert_eq!((seen["connections"]["up"].as_u64(), seen["connections"]["wanted"].as_u64()), (Some(1), Some(1)));
    assert_eq!((product["product"].as_str(), product["state"].as_str()), (Some("BTC-USD"), Some("recorded")));
    assert!(product["last_trade_id"].as_u64().unwrap() > 0 && product["last_trade_age_s"].as_f64().unwrap() < 60.0, "{seen}");
    assert!(seen["messages_per_s"].as_f64().unwrap() > 10.0 && seen["lag_ms"]["p99"].as_f64().unwrap() > 0.0, "{seen}");
    assert!(seen["disk"]["free_bytes"].as_u64().unwrap() > 0 && seen["disk"]["days_until_full"].as_f64().unwrap() > 0.0, "{seen}");
    assert_eq!((seen["missing_ids"].as_u64(), seen["problems"].as_array().map(Vec::len)), (Some(0), Some(0)), "{seen}");
    let shown = screen(&data);
    for words in [
        "healthy",
        "running since",
        "1 of 1 work",
        "trades/s",
        "missing ids  0",
        "last error   none",
        "alerts       none",
        "BTC-USD",
        "full in",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    capture.stop().assert_good();
    assert_eq!(code(&data), 3);
    let (seen, shown) = (json(&data), screen(&data));
    assert_eq!((seen["running"].as_bool(), seen["healthy"].as_bool(), seen["state"].as_str()), (Some(false), Some(false), Some("stopped")));
    assert!(shown.contains("NO CAPTURE RUNS") && shown.contains("ended"), "{shown}");
}

#[test]
fn a_capture_that_was_killed_does_not_look_alive_and_the_next_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--rate", "50", "--seed", "8"]);
    let capture = start(&simulator, &data, &[]);
    await_code("the capture is healthy", &data, 0);
    capture.kill();
    assert_eq!(code(&data), 3, "{}", screen(&data));
    let (seen, shown) = (json(&data), screen(&data));
    assert_eq!((seen["running"].as_bool(), seen["state"].as_str()), (Some(false), Some("running")), "the file is as it was left");
    assert!(shown.contains("NO CAPTURE RUNS") && shown.contains("died after"), "{shown}");
    // A copy of the directory is no capture either.
    let copy = folder.path().join("copy");
    let capture = start(&simulator, &data, &[]);
    await_code("the next capture is healthy", &data, 0);
    assert!(Command::new("cp").arg("-a").arg(&data).arg(&copy).status().unwrap().success());
    assert_eq!(code(&copy), 3);
    drop(capture);
}

#[test]
fn missing_ids_and_a_lost_exchange_are_problems_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--rate", "50", "--seed", "9", "--faults", "stall-lost:1s@2s"]);
    let capture = start(&simulator, &data, &["--no-backfill", "--alert-connection", "1s"]);
    await_that("ids are missing", || {
        let seen = status(&data, &["--json"]);
        seen.status.code() == Some(1) && String::from_utf8_lossy(&seen.stdout).contains("trade ids are missing, of BTC-USD")
    });
    let seen = json(&data);
    assert!(seen["missing_ids"].as_u64().unwrap() > 0 && seen["products"][0]["missing_ids"] == seen["missing_ids"], "{seen}");
    assert_eq!((seen["running"].as_bool(), seen["healthy"].as_bool()), (Some(true), Some(false)));
    simulator.end();
    await_that("the lost connection is an alert", || json(&data)["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()));
    let (seen, shown) = (json(&data), screen(&data));
    assert_eq!(seen["alerts"][0]["alert"].as_str(), Some("connection_lost"), "{seen}");
    assert!(seen["last_error"]["text"].as_str().unwrap().starts_with("connect"), "{seen}");
    assert!(shown.contains("NOT HEALTHY") && shown.contains("connection_lost line:0.0") && shown.contains("0 of 1 work"), "{shown}");
    let before = json(&data)["missing_ids"].as_u64();
    let ended = capture.stop();
    assert_eq!(code(&data), 3);
    // What a capture says last is what it came to, not what is left when its writers are gone.
    let seen = json(&data);
    assert_eq!(seen["missing_ids"].as_u64().map(|missing| missing as f64), Some(ended.figure("missing_ids")), "{seen}");
    assert_eq!(seen["missing_ids"].as_u64(), before, "{seen}");
    assert_eq!(seen["trades"].as_u64().map(|trades| trades as f64), Some(ended.figure("trades_received")), "{seen}");
    assert_eq!((seen["products"][0]["product"].as_str(), &seen["products"][0]["missing_ids"]), (Some("BTC-USD"), &seen["missing_ids"]));
}

/// Stops a capture's process, so that it holds the directory and writes nothing.
fn freeze(capture: &Capture) {
    capture.signal(Signal::STOP);
    let path = format!("/proc/{}/stat", capture.pid());
    let is_stopped = |text: &str| text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    await_that("the capture is stopped", || is_stopped(&std::fs::read_to_string(&path).unwrap()));
}

#[test]
fn a_capture_that_hangs_and_a_file_that_lies_are_seen_through() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--rate", "50", "--seed", "10"]);
    let capture = start(&simulator, &data, &[]);
    await_code("the capture is healthy", &data, 0);
    freeze(&capture);
    let text = std::fs::read_to_string(file(&data)).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let put = |text: &str| std::fs::write(file(&data), text).unwrap();
    let with = |key: &str, value: Value| {
        let mut changed = report.clone();
        changed[key] = value;
        changed.to_string()
    };
    put(&text);
    assert_eq!(code(&data), 0, "what it said last is fresh");
    put(&with("written", "2020-01-01T00:00:00Z".into()));
    assert_eq!(code(&data), 1);
    assert!(screen(&data).contains("has said nothing for"), "{}", screen(&data));
    put(&with("pid", 1.into()));
    assert_eq!(code(&data), 3, "the file is of another process");
    for half in ["", "{", &text[..text.len() / 2], "[]", "null", &"[".repeat(3_000_000), &"x".repeat(9 << 20)] {
        put(half);
        let output = status(&data, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("cannot be read"), "{output:?}");
    }
    let hostile = "evil\u{1b}[2J\u{9b}31m\u{202e}\u{7}\r\nforged: healthy";
    let mut lies = report.clone();
    for key in ["program", "endpoint"] {
        lies[key] = hostile.into();
    }
    lies["problems"] = serde_json::json!([hostile]);
    lies["products"] = serde_json::json!([{"product": hostile, "state": hostile}]);
    lies["last_error"] = serde_json::json!({"time": "2025-01-01T00:00:00Z", "text": hostile});
    put(&lies.to_string());
    for args in [&[][..], &["--json"]] {
        let shown = String::from_utf8(status(&data, args).stdout).unwrap();
        assert!(shown.contains("evil"), "{shown}");
        assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("forged")), "{shown:?}");
    }
    std::fs::remove_file(file(&data)).unwrap();
    assert_eq!(code(&data), 1);
    capture.signal(Signal::CONT);
    await_code("it is written again", &data, 0);
    capture.stop().assert_good();
}

#[test]
fn a_file_that_cannot_be_written_disturbs_nothing_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A folder that something is mounted on can be neither written to nor renamed.
    let blocked = data.join("_coltape/status.json.tmp");
    std::fs::create_dir_all(&blocked).unwrap();
    let is_mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&blocked).output().is_ok_and(|done| done.status.success());
    if !is_mounted {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: nothing can be mounted here");
        return;
    }
    let simulator = Simulator::start(&["--rate", "50", "--seed", "11"]);
    let capture = start(&simulator, &data, &["--duration", "5s"]);
    let ended = capture.wait();
    assert!(Command::new("umount").arg(&blocked).status().unwrap().success());
    ended.assert_good();
    assert!(ended.figure("trades_written") > 0.0, "{}", ended.stdout());
    let said = ended.stderr();
    assert_eq!(said.lines().filter(|line| line.contains("status.json")).count(), 1, "{said}");
    assert_eq!(code(&data), 3);
}

#[test]
fn a_watch_goes_on_until_nobody_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("_coltape")).unwrap();
    let mut child = coltape().arg("status").arg(&data).args(["--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let seen: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((seen["running"].as_bool(), seen["problems"][0].as_str()), (Some(false), Some("no capture runs")), "{line}");
    }
    drop(out);
    await_that("the watch ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn what_is_no_data_directory_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Columns of a product are a tape, although no capture left its folder.
    std::fs::create_dir_all(folder.path().join("bare/BTC-USD/TRADES")).unwrap();
    assert_eq!(code(&folder.path().join("bare")), 3);
    for (dir, words) in [
        (folder.path(), "no capture has ever written to it"),
        (&folder.path().join("none"), "there is no such directory"),
        (&file, "it is no directory"),
    ] {
        let output = status(dir, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
