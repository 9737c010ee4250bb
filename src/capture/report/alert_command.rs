//! [`AlertCommand`]: runs the command of `--alert-command` for each alert that is raised or cleared, with the alert as JSON on its stdin.
//!
//! 1. The watch waits for no command: alerts wait in a bounded channel, and one that finds it full is counted and left out.
//! 2. Commands run one after the other, so that they see the alerts in their order. One that takes longer than [`TIMEOUT`] is killed, with what it started.
//! 3. At the end of the capture the alerts that wait are told of within [`TIME_AT_END`]; then a command is killed.
//! 4. A command that fails costs a line of the log and nothing else.
//!
//! Thread `alert`: owns the process of the command; ends when the watch does.

use std::io::{Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};

use crate::capture::report::alerts::Change;
use crate::capture::report::metrics::Metrics;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::status::Notice;
use crate::time::UnixNanos;

/// Alerts that may wait for their command.
const WAITING: usize = 256;

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long commands may take at the end of the capture, all together.
const TIME_AT_END: Duration = Duration::from_secs(5);

/// Time between two looks whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Longest text of an alert that is passed on, in characters.
const LONGEST_TEXT: usize = 2000;

/// The watch's handle of the thread.
pub(crate) struct AlertCommand {
    alerts: Sender<String>,
    directory: PathBuf,
    metrics: Arc<Metrics>,
    ending: Arc<OnceLock<Instant>>,
    thread: JoinHandle<()>,
}

impl AlertCommand {
    /// Starts the thread `alert`.
    ///
    /// # Errors
    /// Where the system cannot start a thread.
    pub(crate) fn start(command: &str, directory: &Path, metrics: &Arc<Metrics>, stop: &Stop) -> std::io::Result<Self> {
        let (alerts, waiting) = bounded(WAITING);
        let ending = Arc::<OnceLock<Instant>>::default();
        let runner = Runner { command: command.to_owned(), metrics: Arc::clone(metrics), ending: Arc::clone(&ending) };
        let thread = spawn("alert", Stack::Small, stop, move || runner.run(&waiting))?;
        Ok(Self { alerts, directory: directory.to_owned(), metrics: Arc::clone(metrics), ending, thread })
    }

    /// Has the command told of an alert. Waits for nothing.
    pub(crate) fn tell(&self, change: &Change, at: UnixNanos) {
        if self.alerts.try_send(json(change, &self.directory, at)).is_err() {
            self.metrics.alert_command_failures.one();
            log::warn!("alert command: {WAITING} alerts wait for it already; {} is left out", change.kind.name());
        }
    }

    /// Waits until the command was told of everything, for a bounded time.
    pub(crate) fn end(self) {
        let _ = self.ending.set(Instant::now());
        drop(self.alerts);
        // Its panic has failed the capture.
        let _ = self.thread.join();
    }
}

/// Gives an alert as a line of JSON.
fn json(change: &Change, directory: &Path, at: UnixNanos) -> String {
    let text: String = change.text.chars().take(LONGEST_TEXT).collect();
    let Change { kind, subject, is_raised, .. } = change;
    let (alert, meaning, remedy) = (kind.name(), kind.meaning(), kind.remedy());
    Notice { time: at, is_raised: *is_raised, alert, subject, text: &text, meaning, remedy, directory }.json()
}

/// What the thread owns.
struct Runner {
    command: String,
    metrics: Arc<Metrics>,
    ending: Arc<OnceLock<Instant>>,
}

impl Runner {
    fn run(&self, alerts: &Receiver<String>) {
        for alert in alerts {
            if self.is_overdue() {
                self.metrics.alert_command_failures.one();
                continue;
            }
            let failure = match self.run_once(&alert) {
                Ok(Some(status)) if status.success() => continue,
                Ok(Some(status)) => status.to_string(),
                Ok(None) => "it took too long and was killed".to_owned(),
                Err(error) => format!("it cannot be run: {error}"),
            };
            self.metrics.alert_command_failures.one();
            log::warn!("alert command: {failure}");
        }
    }

    /// Runs the command. Gives how it ended; nothing where it took too long.
    fn run_once(&self, alert: &str) -> std::io::Result<Option<ExitStatus>> {
        // A file in memory: a pipe that the command does not read would block.
        let mut input = std::fs::File::from(rustix::fs::memfd_create("alert", MemfdFlags::CLOEXEC)?);
        input.write_all(alert.as_bytes())?;
        input.rewind()?;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).stdin(input).stdout(Stdio::null());
        // In a group of its own: Ctrl-C on the terminal is for the capture, and a kill reaches what the command has started.
        let mut child = command.process_group(0).spawn()?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if began.elapsed() >= TIMEOUT || self.is_overdue() {
                kill(&mut child)?;
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn is_overdue(&self) -> bool {
        self.ending.get().is_some_and(|since| since.elapsed() >= TIME_AT_END)
    }
}

/// Kills a command with everything that it has started, as far as that has not left its group.
fn kill(child: &mut Child) -> std::io::Result<()> {
    let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::report::alert_kind::AlertKind;

    fn change(is_raised: bool, text: &str) -> Change {
        Change { kind: AlertKind::Lag, subject: String::new(), is_raised, text: text.to_owned() }
    }

    fn told(command: &str, changes: &[Change]) -> (Arc<Metrics>, Duration) {
        let (metrics, began) = (Arc::<Metrics>::default(), Instant::now());
        let told = AlertCommand::start(command, "/data dir".as_ref(), &metrics, &Stop::default()).expect("a thread");
        changes.iter().for_each(|change| told.tell(change, UnixNanos(1_700_000_000_000_000_000)));
        told.end();
        (metrics, began.elapsed())
    }

    #[test]
    fn each_alert_reaches_the_command_as_json_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let command = format!("cat >> '{}'", out.display());
        let (metrics, _) = told(&command, &[change(true, "1200 ms \" \u{1b}[31m"), change(false, "1200 ms")]);
        assert_eq!(metrics.alert_command_failures.get(), 0);
        let text = std::fs::read_to_string(out).expect("written");
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((lines[0]["event"].as_str(), lines[1]["event"].as_str()), (Some("alert_raised"), Some("alert_cleared")));
        assert_eq!((lines[0]["alert"].as_str(), lines[0]["directory"].as_str()), (Some("lag_above_1_s"), Some("/data dir")));
        assert_eq!(lines[0]["text"].as_str(), Some("1200 ms \" \u{1b}[31m"));
        assert_eq!(lines[0]["remedy"].as_str(), Some(AlertKind::Lag.remedy()));
        assert_eq!(lines[0]["time"].as_str(), Some("2023-11-14T22:13:20.000000000Z"));
    }

    #[test]
    fn a_command_that_fails_or_reads_nothing_is_counted_and_one_that_hangs_is_killed_at_the_end() {
        let long = "x".repeat(1_000_000);
        assert_eq!(told("exit 3", &[change(true, &long)]).0.alert_command_failures.get(), 1);
        assert_eq!(told("true", &[change(true, &long), change(false, "")]).0.alert_command_failures.get(), 0, "stdin need not be read");
        // The shell waits for its child: both are killed.
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        let hangs = format!("sleep 1000 & printf '%s ' $! $$ > '{}'; wait", pids.display());
        let (metrics, took) = told(&hangs, &[change(true, ""), change(false, "")]);
        for pid in std::fs::read_to_string(pids).expect("written").split_whitespace() {
            // One that is dead and waits for its parent to look is no command that runs.
            let is_over = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
            let deadline = Instant::now() + TIMEOUT;
            while !is_over() {
                assert!(Instant::now() < deadline, "process {pid} was not killed");
                std::thread::sleep(LOOK);
            }
        }
        assert_eq!(metrics.alert_command_failures.get(), 2);
        assert!(took >= TIME_AT_END, "it has the time that is meant for it: {took:?}");
    }
}
