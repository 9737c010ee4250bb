//! Runs the real binary as its users do, and reads its output.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long a test waits for anything before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

pub(crate) fn coltape() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coltape"));
    command.env_remove("COLTAPE_DATA_DIR").env("RUST_LOG", "info");
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

/// Waits until `holds`. Panics with `what` at the deadline.
pub(crate) fn await_that(what: &str, holds: impl FnMut() -> bool) {
    await_that_within(DEADLINE, what, holds);
}

/// Waits until `holds`, for work whose size is chosen by whoever runs the test. Panics with `what` at the deadline.
pub(crate) fn await_that_within(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut asked = start;
    while !holds() {
        assert!(start.elapsed() < deadline, "not in time: {what}");
        // Some conditions start a program or read a tape. Looking takes at most a third of a processor from what it waits for.
        std::thread::sleep((asked.elapsed() * 2).clamp(Duration::from_millis(5), Duration::from_millis(200)));
        asked = Instant::now();
    }
}

/// A recording, where the recordings are there. In CI they must be.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recordings").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    let _ = writeln!(std::io::stderr(), "skipped: {} is missing", path.display());
    None
}

/// A running simulator; killed when dropped.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) endpoints: serde_json::Value,
    rest: Option<BufReader<std::process::ChildStdout>>,
}

impl Simulator {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = coltape().arg("simulate").args(args).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let endpoints = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no endpoints: {line:?}"));
        Self { child, endpoints, rest: Some(out) }
    }

    pub(crate) fn websocket(&self) -> String {
        self.endpoints["websocket_url"].as_str().unwrap().to_owned()
    }

    /// Waits until the market is over. Connections and REST stay open for the time of `--linger`.
    pub(crate) fn await_totals(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.rest.as_mut().unwrap().read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no totals: {line:?}"))
    }

    /// Ends it. Its ledger is complete then.
    pub(crate) fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end. Gives its totals.
    pub(crate) fn totals(mut self) -> serde_json::Value {
        let mut text = String::new();
        self.rest.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running capture; killed when dropped.
pub(crate) struct Capture {
    child: Option<Child>,
    report: PathBuf,
    /// A file: a pipe that nobody reads until the end would fill up and block the capture.
    log: PathBuf,
}

impl Capture {
    pub(crate) fn start(data: &Path, args: &[&str]) -> Self {
        Self::start_named(data, "", args)
    }

    /// Starts one of several captures of a directory. Its name keeps its report and its log apart from those of the others.
    pub(crate) fn start_named(data: &Path, name: &str, args: &[&str]) -> Self {
        let report = data.with_extension(format!("{name}report"));
        let _ = fs::remove_file(&report);
        let log = data.with_extension(format!("{name}log"));
        let child = coltape()
            .arg("capture")
            .args(args)
            .arg("--data-dir")
            .arg(data)
            .arg("--report")
            .arg(&report)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child: Some(child), report, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks for a clean stop. Gives what the capture printed and reported.
    pub(crate) fn stop(self) -> Ended {
        // On a busy machine it may not have come so far yet, and the signal would end it as it ends any program.
        await_that("the capture catches SIGTERM, or has ended", || self.catches(Signal::TERM).unwrap_or(true));
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Tells whether the process has a handler of a signal; nothing where it has ended.
    fn catches(&self, signal: Signal) -> Option<bool> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let caught = u64::from_str_radix(field("SigCgt:")?, 16).unwrap();
        let has_ended = field("State:")?.starts_with('Z');
        (!has_ended).then_some(caught >> (signal.as_raw() - 1) & 1 == 1)
    }

    /// Tells whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until it ends by itself. Gives what it printed and reported.
    pub(crate) fn wait(mut self) -> Ended {
        let mut output = self.child.take().unwrap().wait_with_output().unwrap();
        output.stderr = fs::read(&self.log).unwrap();
        Ended { output, report: fs::read_to_string(&self.report).unwrap_or_default() }
    }

    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a capture printed and reported.
pub(crate) struct Ended {
    pub(crate) output: Output,
    pub(crate) report: String,
}

impl Ended {
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Gives a figure of the report.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let lines = self.report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let found = lines.into_iter().find(|line| line["figure"] == name);
        found.and_then(|line| line["value"].as_f64()).unwrap_or_else(|| panic!("no figure {name}: {}\n{}", self.report, self.stderr()))
    }

    /// Asserts that it ended well and that its sums hold.
    pub(crate) fn assert_good(&self) -> &Self {
        assert!(self.output.status.success(), "{:?}\n{}\n{}", self.output.status, self.stdout(), self.stderr());
        assert_eq!(self.figure("sums_hold"), 1.0, "{}", self.stdout());
        self
    }
}

impl Ended {
    /// Asserts that it ended with 1 for these shortcomings alone, or with 0 for none, and that its sums hold.
    pub(crate) fn assert_leaves(&self, shortcomings: &[&str]) -> &Self {
        assert_eq!(self.output.status.code(), Some(i32::from(!shortcomings.is_empty())), "{}\n{}", self.stdout(), self.stderr());
        assert_eq!(self.figure("sums_hold"), 1.0, "{}", self.stdout());
        let lines = self.report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let names: Vec<String> = lines.filter_map(|line| Some(line["shortcoming"].as_str()?.to_owned())).collect();
        assert_eq!(names, shortcomings, "{}", self.stdout());
        self
    }
}

/// Gives the lines of the journal with this event.
pub(crate) fn journal(data: &Path, event: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let Ok(folder) = fs::read_dir(data.join("_coltape")) else { return found };
    for entry in folder {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("journal.") {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            found.extend(lines.filter(|line| line["event"] == event));
        }
    }
    found
}

/// Waits until the capture has journaled this event `count` times.
pub(crate) fn await_journal(data: &Path, event: &str, count: usize) {
    await_that(&format!("{count} × {event} in the journal"), || journal(data, event).len() >= count);
}

/// What is said of a tape, a product or a day that is not there yet.
const NOT_YET: [&str; 6] = [
    "which holds ",
    "No such file or directory",
    "in that time; there are days",
    "does not exist",
    "is no tape",
    "days of that time are empty",
];

/// Runs `coltape query` for JSON Lines. A product without files has no records.
pub(crate) fn query(data: &Path, product: &str, args: &[&str]) -> Vec<serde_json::Value> {
    let output = coltape().args(["query", product, "--format", "jsonl", "--data-dir"]).arg(data).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(1) && NOT_YET.iter().any(|words| said.contains(words)) {
        return Vec::new();
    }
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `coltape verify`. Gives whether everything holds, and what it printed.
pub(crate) fn verify(data: &Path, args: &[&str]) -> (bool, String) {
    let output = coltape().arg("verify").arg(data).args(args).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Gives the raw bytes of every column file of a directory, by path. Commit pages and journals are left out.
pub(crate) fn columns(data: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "_coltape" {
                    folders.push(path);
                }
            } else if !name.starts_with("commit.") {
                found.insert(path.strip_prefix(data).unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}
