//! Every command into a pipe that nobody reads and onto a full device: never a panic, never a signal, and the exit code that C programs would have.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};

use crate::capture::programs::{Simulator, await_that, coltape, journal};

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// Somebody reads it.
    Read,
    /// A pipe whose reader has gone away.
    Gone,
    /// A device without space.
    Full,
}

impl Sink {
    fn stdio(self) -> Stdio {
        match self {
            Self::Read => Stdio::piped(),
            Self::Gone => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer.into()
            }
            Self::Full => File::options().write(true).open("/dev/full").unwrap().into(),
        }
    }
}

/// Every place for the two streams.
const PLACES: [(Sink, Sink); 8] = [
    (Sink::Read, Sink::Read),
    (Sink::Gone, Sink::Read),
    (Sink::Full, Sink::Read),
    (Sink::Read, Sink::Gone),
    (Sink::Read, Sink::Full),
    (Sink::Gone, Sink::Gone),
    (Sink::Full, Sink::Full),
    (Sink::Full, Sink::Gone),
];

/// Runs a command for every place of its streams, and checks how it ends against how it ends where both are read.
fn check(what: &str, run: impl Fn(Sink, Sink, usize) -> Output) {
    let mut read: Option<Output> = None;
    for (number, (out, err)) in PLACES.into_iter().enumerate() {
        let output = run(out, err, number);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let place = format!("{what}, stdout {out:?}, stderr {err:?}: {:?}\n{said}", output.status);
        let code = output.status.code().unwrap_or_else(|| panic!("died: {place}"));
        assert!(!said.contains("panicked"), "{place}");
        let Some(read) = &read else {
            assert!([0, 1, 2, 3].contains(&code), "{place}");
            read = Some(output);
            continue;
        };
        // A reader that goes away changes nothing, nor does a stderr that takes nothing. Data that could not be written is a failure.
        let is_lost = out == Sink::Full && !read.stdout.is_empty();
        let expected = if is_lost { 1 } else { read.status.code().unwrap() };
        assert_eq!(code, expected, "{place}");
        if is_lost && err == Sink::Read {
            assert!(said.contains("cannot write to stdout: No space left on device"), "{place}");
        }
        if out == Sink::Read {
            assert_eq!(read.stdout.is_empty(), output.stdout.is_empty(), "{place}");
        }
    }
}

fn spawn(command: &mut Command, out: Sink, err: Sink) -> std::process::Child {
    command.stdout(out.stdio()).stderr(err.stdio()).spawn().unwrap()
}

fn check_at_once(args: &[&str]) {
    check(&args.join(" "), |out, err, _| spawn(coltape().args(args), out, err).wait_with_output().unwrap());
}

fn terminate(child: &std::process::Child) {
    rustix::process::kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
}

/// A directory with a day of a product.
fn tape(dir: &Path) {
    use coltape::internals::store::StoreOptions;
    let prints = crate::market::prints(1, 40, crate::market::FIRST_DAY.start(), 1_000_000_000);
    crate::market::store_all(dir, &prints, StoreOptions::default());
}

#[test]
fn help_version_and_mistakes_survive_any_output() {
    const COMMANDS: [&str; 6] = ["capture", "verify", "query", "repair", "backfill", "simulate"];
    check_at_once(&["--help"]);
    check_at_once(&["--version"]);
    check_at_once(&[]);
    check_at_once(&["--no-such-option"]);
    for command in COMMANDS {
        check_at_once(&[command, "--help"]);
        check_at_once(&[command, "--no-such-option"]);
    }
}

#[test]
fn commands_that_read_a_directory_survive_any_output() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    tape(&data);
    let dir = data.to_str().unwrap();
    for format in ["table", "csv", "jsonl"] {
        for dataset in ["trades", "md", "ticker_trades"] {
            check_at_once(&["query", "BTC-USD", "--data-dir", dir, "--format", format, "--dataset", dataset]);
        }
    }
    check_at_once(&["query", "NOPE-USD", "--data-dir", dir]);
    check_at_once(&["verify", dir]);
    check_at_once(&["verify", dir, "--json"]);
    check_at_once(&["verify", "/nowhere"]);
    check_at_once(&["repair", dir, "--no-rest", "--force-fs"]);
    check_at_once(&["repair", dir, "--no-rest", "--dry-run"]);
    check_at_once(&["repair", "/nowhere"]);
    check_at_once(&["capture", "BTC-USD", "--url", "http://x", "--data-dir", dir]);
    check_at_once(&["simulate", "--ledger", dir]);
}

#[test]
fn capture_and_simulate_survive_any_output() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&["--rate", "20", "--seed", "3"]);
    let (url, rest) = (simulator.websocket(), simulator.endpoints["rest_url"].as_str().unwrap().to_owned());
    check("capture", |out, err, number| {
        let data = folder.path().join(format!("data{number}"));
        let args = ["capture", "BTC-USD", "--force-fs", "--url", &url, "--rest-url", &rest, "--data-dir"];
        let child = spawn(coltape().args(args).arg(&data), out, err);
        await_that("the product is subscribed", || !journal(&data, "subscribed").is_empty());
        terminate(&child);
        child.wait_with_output().unwrap()
    });
    check("simulate", |out, err, number| {
        let ledger = folder.path().join(format!("ledger{number}"));
        let mut child = spawn(coltape().args(["simulate", "--ledger"]).arg(&ledger), out, err);
        // Where its endpoints cannot be written it ends by itself.
        await_that("it has begun or ended", || ledger.exists() || child.try_wait().unwrap().is_some());
        if out != Sink::Full {
            terminate(&child);
        }
        child.wait_with_output().unwrap()
    });
}

#[test]
fn backfill_survives_any_output() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&["--rate", "20", "--seed", "3"]);
    let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
    check("backfill", |out, err, number| {
        let data = folder.path().join(format!("past{number}"));
        let args = ["backfill", "BTC-USD", "--from", "2020-01-01", "--force-fs", "--rest-rate", "1000", "--rest-url", &rest, "--data-dir"];
        spawn(coltape().args(args).arg(&data), out, err).wait_with_output().unwrap()
    });
}

#[test]
fn plot_and_status_survive_any_output() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    tape(&data);
    let dir = data.to_str().unwrap();
    for command in ["plot", "status"] {
        check_at_once(&[command, "--help"]);
        check_at_once(&[command, "--no-such-option"]);
    }
    check_at_once(&["plot", "BTC-USD", "--data-dir", dir]);
    check_at_once(&["plot", "BTC-USD", "--data-dir", dir, "--out", folder.path().join("a.svg").to_str().unwrap()]);
    check_at_once(&["plot", "NOPE-USD", "--data-dir", dir]);
    check_at_once(&["status", dir]);
    check_at_once(&["status", dir, "--json"]);
    check_at_once(&["status", "/nowhere"]);
}
