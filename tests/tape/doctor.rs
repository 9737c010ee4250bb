//! `coltape doctor` on boxes that are as they should be and on boxes that are not: beside a real simulator, a real capture, and real file systems.
//!
//! How long the disk of a test's machine takes to flush is nobody's promise: no test asks for the colour of that line alone.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::capture::disk::{Mounts, fill};
use crate::capture::programs::{Capture, Simulator, await_that, coltape};
use crate::service::Frozen;

/// What the doctor said: one object for each check.
struct Said {
    code: i32,
    lines: Vec<Value>,
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
        let said = Self { code: output.status.code().unwrap(), lines };
        let has_red = said.lines.iter().any(|line| line["verdict"] == "red");
        assert_eq!(said.code, i32::from(has_red), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        // Whatever is not green says what to change.
        assert!(said.lines.iter().all(|line| (line["verdict"] == "green") == (line["change"] == "")), "{text}");
        said
    }

    fn line(&self, check: &str) -> &Value {
        self.lines.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no line {check}: {:?}", self.lines))
    }

    fn verdict(&self, check: &str) -> &str {
        self.line(check)["verdict"].as_str().unwrap()
    }

    fn found(&self, check: &str) -> &str {
        self.line(check)["found"].as_str().unwrap()
    }

    /// Asserts that these lines are red, and that each says what is wanted, in what was found or what to change.
    fn assert_red(&self, wanted: &[(&str, &str)]) {
        for (check, words) in wanted {
            let line = self.line(check);
            assert_eq!(line["verdict"], "red", "{line}");
            assert!(line.to_string().contains(words), "{words}: {line}");
        }
    }
}

fn doctor(data: &Path, args: &[&str]) -> Said {
    Said::new(&coltape().args(["doctor", "--json", "--data-dir"]).arg(data).args(args).output().unwrap())
}

fn rest(simulator: &Simulator) -> String {
    simulator.endpoints["rest_url"].as_str().unwrap().to_owned()
}

#[test]
fn a_box_is_checked_before_a_capture_and_while_it_runs_and_when_it_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD,ETH-USD", "--rate", "50", "--seed", "7"]);
    let (url, rest) = (simulator.websocket(), rest(&simulator));
    let before = doctor(&data, &["BTC-USD", "ETH-USD", "--force-fs", "--url", &url, "--rest-url", &rest]);
    for check in ["capture", "open files", "memory maps", "limits", "inodes", "name", "products", "exchange clock"] {
        assert_eq!(before.verdict(check), "green", "{}", before.line(check));
    }
    for check in ["kernel", "file system", "mount", "websocket", "rest"] {
        assert_ne!(before.verdict(check), "red", "{}", before.line(check));
    }
    assert_eq!(before.verdict("sizing"), "yellow", "no rates are known");
    assert!(!data.exists(), "nothing is made");
    let capture = Capture::start(&data, &["BTC-USD", "ETH-USD", "--force-fs", "--url", &url, "--rest-url", &rest]);
    // Beside a capture it needs neither products nor the endpoint of the feed.
    let mut seen = doctor(&data, &["--force-fs", "--offline"]);
    await_that("the doctor sees a healthy capture and its rates", || {
        seen = doctor(&data, &["--force-fs", "--offline"]);
        seen.verdict("capture") == "green" && seen.found("sizing").contains("trades and")
    });
    let process = format!("process {}", capture.pid());
    assert!(seen.found("capture").contains(&process) && seen.found("open files").contains(&process), "{:?}", seen.lines);
    assert!(seen.found("memory maps").contains("for 2 products") && seen.found("sizing").contains("of 2 products"), "{:?}", seen.lines);
    let named = doctor(&data, &["--force-fs", "--rest-url", &rest]);
    assert!(named.found("websocket").contains(&url) && named.found("products").starts_with("2 asked for"), "{:?}", named.lines);
    simulator.end();
    await_that("the lost exchange is red", || doctor(&data, &["--force-fs", "--offline"]).verdict("capture") == "red");
    let lost = doctor(&data, &["--force-fs", "--rest-url", &rest]);
    lost.assert_red(&[("capture", "coltape status"), ("websocket", "firewall"), ("rest", "--proxy")]);
    drop(capture);
}

#[test]
fn a_way_to_the_exchange_that_is_blocked_is_red_and_names_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulator = Simulator::start(&["--products", "BTC-USD", "--tls"]);
    let certificate = simulator.endpoints["ca_file"].as_str().unwrap();
    let (url, rest) = (simulator.websocket(), rest(&simulator));
    let ask = |args: &[&str]| doctor(&data, &[&["--force-fs", "--timeout", "3s"], args].concat());
    let endpoints = ["--url", &url, "--rest-url", &rest];
    ask(&[&["BTC-USD"][..], &endpoints].concat()).assert_red(&[("websocket", "--ca-file"), ("rest", "--ca-file")]);
    let trusted = ask(&[&["BTC-USDD", "--ca-file", certificate][..], &endpoints].concat());
    assert_ne!(trusted.verdict("websocket"), "red", "{}", trusted.line("websocket"));
    trusted.assert_red(&[("products", "did you mean BTC-USD?")]);
    let through = ask(&[&["--proxy", "http://127.0.0.1:1", "--ca-file", certificate][..], &endpoints].concat());
    through.assert_red(&[("websocket", "the proxy http://127.0.0.1:1")]);
    ask(&["--url", "ws://127.0.0.1:1"]).assert_red(&[("websocket", "Connection refused")]);
    let unresolved = ask(&["--url", "wss://no-such-host.invalid"]);
    unresolved.assert_red(&[("name", "/etc/resolv.conf")]);
    assert_eq!(ask(&["--url", "ws://127.0.0.1:1", "--offline"]).lines.iter().filter(|line| line["check"] == "websocket").count(), 0);
}

#[test]
fn limits_that_are_too_low_are_red() {
    let folder = tempfile::tempdir().unwrap();
    let under = |limit: &str, args: &str| {
        let line = format!("ulimit {limit} && exec \"$0\" doctor --json --offline --force-fs --data-dir \"$1\" {args}");
        let mut command = Command::new("bash");
        command.args(["-c", &line]).arg(env!("CARGO_BIN_EXE_coltape")).arg(folder.path().join("data"));
        Said::new(&command.env_remove("COLTAPE_DATA_DIR").env("RUST_LOG", "info").output().unwrap())
    };
    under("-n 64", "BTC-USD").assert_red(&[("open files", "64 allowed")]);
    under("-n 400", "--count 400").assert_red(&[("open files", "LimitNOFILE=")]);
    assert_eq!(under("-n 400", "BTC-USD").verdict("open files"), "green");
    under("-f 1", "BTC-USD").assert_red(&[("limits", "ulimit -f unlimited")]);
    under("-t 3600", "BTC-USD").assert_red(&[("limits", "LimitCPU=infinity")]);
    under("-n 2048", "--count 20000").assert_red(&[("memory maps", "vm.max_map_count=")]);
}

#[test]
fn a_disk_that_takes_nothing_is_red() {
    let folder = tempfile::tempdir().unwrap();
    let mut mounts = Mounts::default();
    let disk = folder.path().join("disk");
    if !mounts.ext4(&folder.path().join("image"), 8 << 20, "loop", &disk) {
        return;
    }
    let ask = || doctor(&disk.join("data"), &["BTC-USD", "--offline"]);
    assert_ne!(ask().verdict("space"), "red", "{}", ask().line("space"));
    assert_eq!((ask().verdict("file system"), ask().verdict("own disk")), ("green", "green"));
    fill(&disk.join("ballast"));
    ask().assert_red(&[("space", "sheds records"), ("flush", "No space left")]);
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap().success());
    ask().assert_red(&[("mount", "remount,rw"), ("flush", "Read-only")]);
    assert_eq!(ask().verdict("capture"), "green", "no capture was ever there");
}

#[test]
fn a_disk_that_hangs_is_red_and_everything_else_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut mounts, disk, said) = (Mounts::default(), folder.path().join("disk"), folder.path().join("said"));
    if !mounts.ext4(&folder.path().join("image"), 8 << 20, "loop", &disk) {
        return;
    }
    let Some(frozen) = Frozen::freeze(&disk) else { return };
    let mut command = coltape();
    command.args(["doctor", "BTC-USD", "--offline", "--json", "--timeout", "1s", "--data-dir"]).arg(disk.join("data"));
    let mut child = command.stdout(File::create(&said).unwrap()).stderr(Stdio::null()).spawn().unwrap();
    let text = || std::fs::read_to_string(&said).unwrap();
    await_that("everything is said while the disk hangs", || text().contains("\"check\":\"sizing\"") && text().ends_with('\n'));
    // Nothing ends a process that waits for such a disk.
    drop(frozen);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let lines: Vec<Value> = text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = Said { code: 1, lines };
    said.assert_red(&[("flush", "does not answer within 1 s")]);
    assert_eq!(said.verdict("file system"), "green");
}

#[test]
fn the_table_says_the_same_as_the_objects() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let shown = coltape().args(["doctor", "BTC-USD", "--offline", "--force-fs", "--data-dir"]).arg(&data).output().unwrap();
    let table = String::from_utf8(shown.stdout).unwrap();
    let checks: Vec<String> = doctor(&data, &["BTC-USD", "--offline", "--force-fs"])
        .lines
        .iter()
        .map(|line| line["check"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(table.lines().count(), checks.len() + 1, "{table}");
    for (line, check) in table.lines().skip(1).zip(&checks) {
        assert!(line.starts_with(check.as_str()), "{line}: {check}");
        assert!(["green", "yellow", "red"].iter().any(|word| line.split_whitespace().any(|shown| shown == *word)), "{line}");
    }
    assert!(checks.len() > 12, "{checks:?}");
}
