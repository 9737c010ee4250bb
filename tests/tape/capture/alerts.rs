//! Alerts of a real capture: each cause is provoked and taken away, and each alert is raised once and cleared once. `scripts/alerts.sh` runs all of this, and
//! compares the kinds that were seen with the kinds that there are.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::programs::{Capture, DEADLINE, Simulator, await_that, coltape, journal};
use super::scripted::{Server, match_frame};

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

/// The lines of the journal about an alert.
fn lines(data: &Path, event: &str, alert: &str) -> Vec<Value> {
    journal(data, event).into_iter().filter(|line| line["alert"] == alert).collect()
}

fn await_raised(data: &Path, alert: &str) {
    await_event(data, "alert_raised", alert);
}

fn await_cleared(data: &Path, alert: &str) {
    await_event(data, "alert_cleared", alert);
}

fn await_event(data: &Path, event: &str, alert: &str) {
    let start = Instant::now();
    await_that(&format!("{event} {alert}"), || {
        let has_come = !lines(data, event, alert).is_empty();
        let all = || ["alert_raised", "alert_cleared"].map(|event| journal(data, event));
        assert!(has_come || start.elapsed() < DEADLINE / 2, "{event} {alert} did not come: {:?} {}", all(), status(data));
        has_come
    });
}

/// Asserts that each of these alerts was raised once and cleared once, and says so to `scripts/alerts.sh`.
pub(crate) fn assert_seen(data: &Path, alerts: &[&str]) {
    for alert in alerts {
        let counts = ["alert_raised", "alert_cleared"].map(|event| lines(data, event, alert).len());
        assert_eq!(counts, [1, 1], "{alert}: {:?}", journal(data, "alert_raised"));
        note_seen(alert);
    }
}

/// Says to `scripts/alerts.sh` that an alert was seen to fire and to clear.
pub(crate) fn note_seen(alert: &str) {
    if let Some(path) = std::env::var_os("COLTAPE_ALERTS_SEEN") {
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{alert}\n").as_bytes()).unwrap();
    }
}

/// What `coltape status` says; nothing while there is no data directory.
fn status(data: &Path) -> Value {
    let output = coltape().arg("status").arg(data).arg("--json").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// What `coltape status` shows to people. It has to end with 1.
fn seen_on_screen(data: &Path) -> String {
    let output = coltape().arg("status").arg(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Alerts after a second, and cleared after another one.
const SOON: [&str; 8] = ["--alert-start", "1s", "--alert-connection", "1s", "--alert-hold", "1s", "--alert-gap", "1s"];

#[test]
fn a_connection_that_never_came_and_one_that_was_lost_are_alerts_until_they_work() {
    let (_folder, data) = folder();
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let server = Server::start(move |_, mut session| {
        if !up.load(Ordering::Relaxed) {
            return;
        }
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        while up.load(Ordering::Relaxed) && !session.has_gone() {
            let _ = session.receive_at_once();
        }
    });
    let capture = Capture::start(&data, &[&["BTC-USD", "--force-fs", "--url", &server.url], &SOON[..]].concat());
    await_raised(&data, "never_connected");
    is_up.store(true, Ordering::Relaxed);
    await_cleared(&data, "never_connected");
    is_up.store(false, Ordering::Relaxed);
    await_raised(&data, "connection_lost");
    is_up.store(true, Ordering::Relaxed);
    await_cleared(&data, "connection_lost");
    capture.stop();
    assert_seen(&data, &["never_connected", "connection_lost"]);
}

#[test]
fn a_product_that_is_refused_or_not_acknowledged_is_an_alert_until_it_is_off_the_list() {
    let (folder, data) = folder();
    let server = Server::start(|_, mut session| {
        while let Some(request) = session.receive() {
            let names = request["channels"].to_string();
            if request["type"] == "subscribe" && names.contains("ETH-USD") {
                let error = json!({"type": "error", "message": "Failed to subscribe", "reason": "ETH-USD is delisted"});
                session.send(error.to_string());
            } else {
                session.acknowledge(&["BTC-USD".to_owned()]);
            }
        }
    });
    let list = folder.path().join("products");
    fs::write(&list, "BTC-USD\nETH-USD\nXRP-USD\n").unwrap();
    let args = ["--force-fs", "--products-file", list.to_str().unwrap(), "--url", &server.url];
    let capture = Capture::start(&data, &[&args[..], &SOON[..]].concat());
    for (alert, product) in [("product_refused", "ETH-USD"), ("product_unacknowledged", "XRP-USD")] {
        await_that(alert, || lines(&data, "alert_raised", alert).iter().any(|line| line["subject"] == product));
    }
    fs::write(&list, "BTC-USD\n").unwrap();
    capture.signal(Signal::HUP);
    for (alert, product) in [("product_refused", "ETH-USD"), ("product_unacknowledged", "XRP-USD")] {
        await_that(alert, || lines(&data, "alert_cleared", alert).iter().any(|line| line["subject"] == product));
        note_seen(alert);
    }
    capture.stop();
    assert!(
        lines(&data, "alert_raised", "product_refused")
            .iter()
            .all(|line| line["text"].as_str().unwrap().contains("delisted") || line["subject"] == "XRP-USD")
    );
}

/// Sends what a test says, for as long as it says something.
fn told_what_to_send() -> (Server, Sender<String>) {
    let (sender, receiver): (Sender<String>, Receiver<String>) = channel();
    let receiver = Mutex::new(receiver);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        while !session.has_gone() {
            match receiver.lock().unwrap().recv_timeout(Duration::from_millis(20)) {
                Ok(frame) => session.send(frame),
                Err(_) => {
                    if session.receive_at_once().is_none() && session.has_gone() {
                        return;
                    }
                }
            }
        }
    });
    (server, sender)
}

#[test]
fn gaps_conflicts_rejects_and_silence_are_told_to_everyone_once_and_cleared_once() {
    // Rejects are counted over ten seconds, so they have a capture of their own beside that of the others.
    std::thread::scope(|scope| {
        scope.spawn(rejects_that_rise_are_an_alert_until_they_come_no_more);
        gaps_conflicts_and_silence_are_alerts_told_to_everyone();
    });
}

fn gaps_conflicts_and_silence_are_alerts_told_to_everyone() {
    let (folder, data) = folder();
    let (server, sender) = told_what_to_send();
    let out = folder.path().join("told");
    let command = format!("cat >> '{}'", out.display());
    let args = [
        "BTC-USD",
        "--force-fs",
        "--no-backfill",
        "--idle-timeout",
        "10m",
        "--gap-wait",
        "200ms",
        "--alert-silence",
        "2s",
        "--alert-command",
        &command,
    ];
    let capture = Capture::start(&data, &[&args[..], &["--url", &server.url], &SOON[..]].concat());
    let base = jiff::Timestamp::now();
    let frame = |id: u64| {
        let time = base.checked_add(jiff::SignedDuration::from_millis(id as i64)).unwrap();
        match_frame("BTC-USD", id, &format!("{time:.6}"))
    };
    let mut next = 0;
    // Something comes all the time while a test waits, so that nothing else is silent.
    let mut keep_sending_until = |what: &str, holds: &dyn Fn(u64) -> bool| {
        await_that(what, || {
            next += 1;
            sender.send(frame(next)).unwrap();
            holds(next)
        });
        next
    };
    keep_sending_until("a hundred trades are stored", &|_| status(&data)["trades"].as_u64().is_some_and(|trades| trades > 100));
    await_raised(&data, "product_silent");
    let gap = keep_sending_until("the silence is over", &|_| !lines(&data, "alert_cleared", "product_silent").is_empty()) + 1;
    // One is left out.
    let mut next = gap;
    let mut keep_sending_until = |what: &str, holds: &dyn Fn() -> bool| {
        await_that(what, || {
            next += 1;
            sender.send(frame(next)).unwrap();
            holds()
        });
    };
    keep_sending_until("the gap is told", &|| !lines(&data, "alert_raised", "gap_open").is_empty());
    let seen = status(&data);
    let standing = seen["alerts"].as_array().unwrap().iter().find(|alert| alert["alert"] == "gap_open").unwrap();
    assert!(standing["remedy"].as_str().unwrap().contains("coltape repair") && standing["subject"] == "BTC-USD", "{seen}");
    sender.send(frame(gap)).unwrap();
    // The same trade with another price.
    sender.send(frame(7).replace("14.7775", "15.1")).unwrap();
    keep_sending_until("the conflict is told", &|| !lines(&data, "alert_raised", "conflict").is_empty());
    let alerts = ["gap_open", "conflict"];
    for alert in alerts {
        keep_sending_until(alert, &|| !lines(&data, "alert_cleared", alert).is_empty());
    }
    let ended = capture.stop();
    assert_seen(&data, &alerts);
    // On a machine that stands still for seconds, it may be silent once more.
    note_seen("product_silent");
    let told: Vec<Value> = fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for alert in alerts {
        let events: Vec<&str> = told.iter().filter(|line| line["alert"] == alert).map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(events, ["alert_raised", "alert_cleared"], "the command is told of {alert}: {told:?}");
        assert!(ended.stderr().contains(&format!("ALERT {alert}")), "the log says {alert}: {}", ended.stderr());
        assert!(ended.stderr().contains(&format!("cleared {alert}")), "the log says when {alert} is over: {}", ended.stderr());
    }
    let of_command = told.iter().find(|line| line["alert"] == "conflict").unwrap();
    assert_eq!(of_command["directory"].as_str(), data.to_str());
    assert!(!of_command["remedy"].as_str().unwrap().is_empty() && !of_command["meaning"].as_str().unwrap().is_empty());
}

fn rejects_that_rise_are_an_alert_until_they_come_no_more() {
    let (_folder, data) = folder();
    let (server, sender) = told_what_to_send();
    let args = ["BTC-USD", "--force-fs", "--no-backfill", "--idle-timeout", "10m", "--url", &server.url];
    let capture = Capture::start(&data, &[&args[..], &SOON[..]].concat());
    sender.send(match_frame("BTC-USD", 1, &now())).unwrap();
    (0..20).for_each(|at| sender.send(format!("{{\"type\":\"match\",\"junk\":{at}")).unwrap());
    await_raised(&data, "rejects_rising");
    await_cleared(&data, "rejects_rising");
    let ended = capture.stop();
    assert_seen(&data, &["rejects_rising"]);
    assert!(ended.stderr().contains("ALERT rejects_rising"), "{}", ended.stderr());
}

#[test]
fn a_full_disk_is_an_alert_and_so_is_what_follows_from_it_until_there_is_room() {
    let (folder, _) = folder();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "none"]).arg(&disk).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: nothing can be mounted here");
        return;
    }
    let _mount = Mount(disk.clone());
    let (data, ballast) = (disk.join("data"), disk.join("ballast"));
    let simulator = Simulator::start(&["--rate", "1000", "--seed", "3"]);
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    let args = [
        "BTC-USD",
        "--force-fs",
        "--queue-capacity",
        "512",
        "--url",
        &url,
        "--rest-url",
        &rest,
        "--alert-disk",
        "0.1",
        "--alert-lag",
        "2s",
    ];
    let capture = Capture::start(&data, &[&args[..], &SOON[..]].concat());
    await_that("it records", || status(&data)["trades"].as_u64().is_some_and(|trades| trades > 100));
    let file = fs::File::create(&ballast).unwrap();
    let mut taken = 0;
    for size in [1 << 20, 4096, 512] {
        while rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), taken, size).is_ok() {
            taken += size;
        }
    }
    drop(file);
    for alert in ["disk_below_a_day", "write_failure", "queue_above_80_percent"] {
        await_raised(&data, alert);
    }
    // What is allocated already is used up first. Journal and status have room of their own.
    await_that("records wait for room", || lines(&data, "alert_raised", "write_failure").iter().any(|line| line["subject"] == "BTC-USD"));
    await_that("the status says it, on the full disk", || {
        let seen = status(&data);
        let stands = |alert: &str| seen["alerts"].as_array().is_some_and(|alerts| alerts.iter().any(|one| one["alert"] == alert));
        let is_blocked = seen["products"][0]["state"] == "blocked" && seen["age_s"].as_f64().is_some_and(|age| age < 5.0);
        is_blocked && stands("write_failure") && stands("disk_below_a_day") && seen["healthy"] == false
    });
    assert!(seen_on_screen(&data).contains("no space left for"), "{}", seen_on_screen(&data));
    let began = Instant::now();
    await_that("what waits is late", || began.elapsed() > Duration::from_secs(3));
    fs::remove_file(&ballast).unwrap();
    for alert in ["disk_below_a_day", "write_failure", "queue_above_80_percent"] {
        await_cleared(&data, alert);
    }
    // What had waited was committed late.
    await_cleared(&data, "lag_above_1_s");
    capture.stop();
    for alert in ["disk_below_a_day", "write_failure", "queue_above_80_percent", "lag_above_1_s"] {
        note_seen(alert);
    }
}

/// A file system made for a test; unmounted when dropped.
struct Mount(std::path::PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn memory_above_its_limit_is_flushed_first_and_an_alert_while_that_does_not_suffice() {
    let (_folder, data) = folder();
    let may_end = Arc::new(AtomicBool::new(false));
    let may = Arc::clone(&may_end);
    let server = Server::start(move |at, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        session.send(match_frame("BTC-USD", 1, "2024-03-09T12:00:00Z"));
        if at == 0 {
            // A message that does not end is kept in memory until it does.
            (0..110).for_each(|at| session.send_part(at == 0, vec![b' '; 1 << 20], false));
            while !may.load(Ordering::Relaxed) && !session.has_gone() {
                let _ = session.receive_at_once();
            }
            return;
        }
        session.linger();
    });
    let args = ["BTC-USD", "--force-fs", "--idle-timeout", "10m", "--url", &server.url, "--alert-memory", "96MB"];
    let capture = Capture::start(&data, &[&args[..], &SOON[..]].concat());
    await_raised(&data, "memory_above_2_gb");
    assert!(status(&data)["memory_bytes"].as_u64().unwrap() > 96_000_000);
    may_end.store(true, Ordering::Relaxed);
    await_cleared(&data, "memory_above_2_gb");
    let ended = capture.stop();
    assert!(ended.figure("emergency_flushes") > 0.0 && ended.stderr().contains("memory runs short"), "{}", ended.stderr());
    assert_seen(&data, &["memory_above_2_gb"]);
}

/// Takes a gigabyte or more of the box's memory, so it is not for a machine on which others work. `scripts/alerts.sh` runs it.
#[test]
#[ignore = "takes a twentieth of the box's memory: scripts/alerts.sh runs it"]
fn a_box_whose_memory_runs_out_is_an_alert() {
    let (_folder, data) = folder();
    let field = |name: &str| {
        let text = fs::read_to_string("/proc/meminfo").unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let (total, available) = (field("MemTotal"), field("MemAvailable"));
    let percent = (available * 100 / total).saturating_sub(3).to_string();
    let (server, sender) = told_what_to_send();
    let args = ["BTC-USD", "--force-fs", "--idle-timeout", "10m", "--url", &server.url, "--alert-box-memory", &percent];
    let capture = Capture::start(&data, &[&args[..], &SOON[..]].concat());
    sender.send(match_frame("BTC-USD", 1, &now())).unwrap();
    await_that("it runs", || status(&data)["state"] == "running");
    let taken = std::hint::black_box(vec![1_u8; total / 20]);
    await_raised(&data, "box_memory_low");
    drop(taken);
    await_cleared(&data, "box_memory_low");
    capture.stop();
    assert_seen(&data, &["box_memory_low"]);
}

/// An alert that comes and goes is one alert, in every record of it, and so is one that stands when the capture ends.
#[test]
fn an_alert_that_stands_at_the_end_was_raised_once_and_is_not_cleared_by_the_end() {
    let (_folder, data) = folder();
    let (server, sender) = told_what_to_send();
    let args = ["BTC-USD", "--force-fs", "--no-backfill", "--idle-timeout", "10m", "--url", &server.url, "--alert-gap", "1s"];
    let capture = Capture::start(&data, &args);
    let send = |id: u64| sender.send(match_frame("BTC-USD", id, &format!("2024-03-09T12:00:{id:02}Z"))).unwrap();
    (1..=5).chain([9]).for_each(send);
    await_raised(&data, "gap_open");
    // A part of the gap is filled, and the rest goes on to be missing.
    send(7);
    await_that("a part is filled", || status(&data)["missing_ids"] == 2);
    let began = Instant::now();
    await_that("some looks later", || began.elapsed() > Duration::from_secs(3));
    capture.stop();
    let counts = ["alert_raised", "alert_cleared"].map(|event| lines(&data, event, "gap_open").len());
    assert_eq!(counts, [1, 0]);
}
