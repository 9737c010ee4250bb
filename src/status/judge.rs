//! [`look`]: whether a capture runs in a data directory, and whether it is well.

use std::path::{Path, PathBuf};

use super::file::{self, Found};
use super::report::{RunState, StatusReport};
use crate::escape::Escaped;
use crate::json::Object;
use crate::store::{OWN_FOLDER, StoreError, holder_of, named_holder};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How long a running capture may say nothing, in nanoseconds. It writes once a second.
const STALE_AFTER: u64 = 10 * NANOS_PER_SECOND;
/// How often the directory is looked at again where a capture starts or ends meanwhile.
const LOOKS: usize = 3;

/// Whether a capture is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// A capture runs, and nothing is wrong.
    Healthy,
    /// A capture runs, and something is wrong.
    NotHealthy,
    /// No capture runs.
    NoCapture,
}

/// Why there is no status to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// It is no data directory.
    #[error("{} is not a coltape data directory: {why}", Escaped(path.display()))]
    NotATape {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The directory cannot be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A capture as it is seen from outside.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CaptureStatus {
    /// Whether it is well.
    pub health: Health,
    /// Why it is not. Empty where it is healthy.
    pub problems: Vec<String>,
    /// What the capture said last. Where none runs: the last one.
    pub report: Option<StatusReport>,
    /// How old that is, in nanoseconds; nothing where that is not known.
    pub age_nanos: Option<u64>,
    /// The process that holds the directory.
    pub holder: Option<String>,
}

/// Looks at a data directory. `now` is the box's time.
///
/// # Errors
/// Where it is no data directory, or cannot be looked at.
pub fn look(dir: &Path, now: UnixNanos) -> Result<CaptureStatus, StatusError> {
    let not_a_tape = |why| StatusError::NotATape { path: dir.to_owned(), why };
    if !dir.is_dir() {
        return Err(not_a_tape(if dir.exists() { "it is no directory" } else { "there is no such directory" }));
    }
    if !dir.join(OWN_FOLDER).is_dir() && holder_of(dir)?.is_none() {
        return Err(not_a_tape("no capture has ever written to it"));
    }
    let mut seen = look_once(dir, now)?;
    for _ in 1..LOOKS {
        // A fresh report of a capture that does not run: one of the two was read too early.
        let is_between = seen.health == Health::NoCapture
            && seen.age_nanos.is_some_and(|age| age < 2 * NANOS_PER_SECOND)
            && seen.report.as_ref().is_some_and(|report| report.state != RunState::Stopped);
        if !is_between {
            break;
        }
        seen = look_once(dir, now)?;
    }
    Ok(seen)
}

fn look_once(dir: &Path, now: UnixNanos) -> Result<CaptureStatus, StatusError> {
    // The lock first: a capture writes its last report before it lets go.
    let holder = holder_of(dir)?;
    let found = file::read(dir);
    let (report, age_nanos, unusable) = match found {
        Found::Report(report, changed) => {
            let changed_age = changed.map_or(0, |changed| now.since(changed));
            let age = now.since(report.written).max(changed_age);
            (Some(*report), Some(age), None)
        }
        Found::Nothing => (None, None, Some("there is none".to_owned())),
        Found::Unusable(why) => (None, None, Some(why)),
    };
    let (health, problems) = match &holder {
        None => (Health::NoCapture, vec![without_holder(report.as_ref())]),
        Some(holder) => judge(dir, holder, report.as_ref(), age_nanos.unwrap_or(0), unusable),
    };
    Ok(CaptureStatus { health, problems, report, age_nanos, holder })
}

/// Judges a directory that a process holds.
fn judge(dir: &Path, holder: &str, report: Option<&StatusReport>, age: u64, unusable: Option<String>) -> (Health, Vec<String>) {
    let Some(report) = report else {
        let why = unusable.unwrap_or_default();
        let text = format!("process {holder} holds the directory, and its {OWN_FOLDER}/{} cannot be read: {why}", file::NAME);
        return (Health::NotHealthy, vec![text]);
    };
    // The process may see itself under another id than others do, in a container. So it is compared with what it wrote itself.
    let pid = report.pid.to_string();
    if holder != pid && named_holder(dir).as_deref() != Some(pid.as_str()) {
        let text = format!("no capture runs; process {holder} holds the directory, as `repair` and `backfill` do");
        return (Health::NoCapture, vec![text]);
    }
    let seconds = age / NANOS_PER_SECOND;
    let mut problems = match report.state {
        RunState::Stopped => return (Health::NoCapture, vec![without_holder(Some(report))]),
        RunState::Starting => vec![format!("it is starting, for {} s", seconds)],
        RunState::Stopping => vec!["it is stopping".to_owned()],
        RunState::Running if age > STALE_AFTER => vec![format!("it has said nothing for {seconds} s: what stands here is that old")],
        RunState::Running => Vec::new(),
    };
    problems.extend(report.problems.iter().cloned());
    (if problems.is_empty() { Health::Healthy } else { Health::NotHealthy }, problems)
}

/// Says how the last capture ended.
fn without_holder(report: Option<&StatusReport>) -> String {
    match report {
        None => "no capture runs".to_owned(),
        Some(report) if report.state == RunState::Stopped => format!("no capture runs; the last one ended at {}", report.written),
        Some(report) => {
            format!("no capture runs; the last one ended without a word, after {}: the next start recovers what it stored", report.written)
        }
    }
}

impl CaptureStatus {
    /// Gives it as a JSON object: `running`, `healthy`, `problems`, `age_s`, `holder`, then the keys of the file.
    #[must_use]
    pub fn json(&self) -> String {
        let object = Object::default()
            .plain("running", self.health != Health::NoCapture)
            .plain("healthy", self.health == Health::Healthy)
            .optional("age_s", self.age_nanos.map(|age| format!("{}.{:03}", age / NANOS_PER_SECOND, age % NANOS_PER_SECOND / 1_000_000)));
        match &self.report {
            Some(report) => report.fields(object, &self.problems).done(),
            None => object.texts("problems", &self.problems).done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use rustix::fs::FlockOperation;

    use super::*;

    const NOW: UnixNanos = UnixNanos(4_000_000_000_000_000_000);

    fn report(state: RunState, pid: u32, written: UnixNanos) -> StatusReport {
        StatusReport { pid, state, written, ..StatusReport::default() }
    }

    /// Locks a directory as a capture does, whose process has this id.
    fn hold(dir: &Path, pid: u32) -> OwnedFd {
        let held = File::open(dir).expect("opened");
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).expect("locked");
        std::fs::write(dir.join(OWN_FOLDER).join("lock"), format!("{pid}\n")).expect("written");
        held.into()
    }

    fn write(dir: &Path, report: &StatusReport) {
        file::replace(dir, report).expect("written");
        // The age of the file counts, too.
        let path = dir.join(OWN_FOLDER).join(file::NAME);
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(report.written.0);
        File::options().write(true).open(path).and_then(|file| file.set_modified(at)).expect("dated");
    }

    #[test]
    fn only_a_report_of_the_process_that_holds_the_directory_is_alive() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        assert!(matches!(look(dir, NOW), Err(StatusError::NotATape { .. })));
        assert!(matches!(look(&dir.join("none"), NOW), Err(StatusError::NotATape { .. })));
        let own = std::process::id();
        // The process that holds the lock for the kernel is this one. So a container's capture calls itself something else.
        let (in_container, other) = (own + 1, own + 2);
        let running = report(RunState::Running, in_container, NOW);
        write(dir, &running);
        let seen = look(dir, NOW).expect("seen");
        assert_eq!(seen.health, Health::NoCapture, "killed a moment ago");
        assert!(seen.problems[0].contains("without a word"), "{seen:?}");
        let held = hold(dir, in_container);
        assert_eq!(look(dir, NOW).expect("seen").health, Health::Healthy);
        write(dir, &report(RunState::Running, own, NOW));
        assert_eq!(look(dir, NOW).expect("seen").health, Health::Healthy, "by the kernel's word");
        write(dir, &report(RunState::Running, other, NOW));
        let seen = look(dir, NOW).expect("seen");
        assert_eq!(seen.health, Health::NoCapture, "{seen:?}");
        assert!(seen.problems[0].contains("repair"), "{seen:?}");
        for state in [RunState::Starting, RunState::Stopping] {
            write(dir, &report(state, own, NOW));
            assert_eq!(look(dir, NOW).expect("seen").health, Health::NotHealthy);
        }
        write(dir, &report(RunState::Stopped, own, NOW));
        assert_eq!(look(dir, NOW).expect("seen").health, Health::NoCapture);
        std::fs::write(dir.join(OWN_FOLDER).join(file::NAME), "{").expect("written");
        assert_eq!(look(dir, NOW).expect("seen").health, Health::NotHealthy, "somebody holds it, and nothing is known");
        drop(held);
        assert_eq!(look(dir, NOW).expect("seen").health, Health::NoCapture);
    }

    #[test]
    fn a_capture_that_says_nothing_any_more_is_not_healthy() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let own = std::process::id();
        std::fs::create_dir(dir.join(OWN_FOLDER)).expect("made");
        let _held = hold(dir, own);
        let ago = |nanos: u64| UnixNanos(NOW.0 - nanos);
        for (age, health) in [(0, Health::Healthy), (STALE_AFTER, Health::Healthy), (STALE_AFTER + 1, Health::NotHealthy)] {
            write(dir, &report(RunState::Running, own, ago(age)));
            assert_eq!(look(dir, NOW).expect("seen").health, health, "{age}");
        }
        // A file that was touched is no younger.
        file::replace(dir, &report(RunState::Running, own, ago(STALE_AFTER + 1))).expect("written");
        assert_eq!(look(dir, NOW).expect("seen").health, Health::NotHealthy);
        let mut sick = report(RunState::Running, own, NOW);
        sick.problems = vec!["37 trade ids are missing".to_owned()];
        write(dir, &sick);
        let seen = look(dir, NOW).expect("seen");
        assert_eq!((seen.health, seen.problems), (Health::NotHealthy, sick.problems));
    }
}
