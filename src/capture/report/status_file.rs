//! [`StatusFile`]: writes what the capture says of itself to `_coltape/status.json`.
//!
//! A disk that is full does not keep it from being written ([`ReplacedFile`]): that is when an operator needs it most.
//!
//! A write that fails is logged once, until one succeeds. It changes nothing else: nobody waits for it, and the next one is tried a second later.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::status::{NAME, RunState, StatusReport};
use crate::store::DataDir;
use crate::store::replaced_file::ReplacedFile;
use crate::time::{Clock, UnixNanos};

/// The status of a capture, and where it is written.
#[derive(Debug)]
pub(crate) struct StatusFile {
    dir: Arc<DataDir>,
    clock: Clock,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    report: StatusReport,
    file: ReplacedFile,
    is_failing: bool,
}

impl StatusFile {
    /// Says that a capture starts.
    #[must_use]
    pub(crate) fn begin(dir: &Arc<DataDir>, clock: &Clock, endpoint: &str) -> Self {
        let report = StatusReport {
            program: format!("coltape {}", env!("CARGO_PKG_VERSION")),
            pid: std::process::id(),
            endpoint: endpoint.to_owned(),
            started: clock.now(),
            ..StatusReport::default()
        };
        let file = Self {
            dir: Arc::clone(dir),
            clock: clock.clone(),
            last: Mutex::new(Last { report, file: ReplacedFile::new(NAME), is_failing: false }),
        };
        file.update(|_| {});
        file
    }

    /// Writes the status after a change. What identifies the capture stays.
    pub(crate) fn update(&self, change: impl FnOnce(&mut StatusReport)) {
        let mut last = self.last.lock();
        change(&mut last.report);
        last.report.written = self.clock.now();
        let json = last.report.json();
        match last.file.replace(self.dir.path(), &json) {
            Ok(()) => {
                if std::mem::take(&mut last.is_failing) {
                    log::info!("{NAME} is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut last.is_failing, true) {
                    log::warn!("{NAME}: {error}; it is tried again every second, and the capture goes on");
                }
            }
        }
    }

    /// Gives in a line how the capture is, for a service manager.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let report = &self.last.lock().report;
        let lag = report.lag_ms.map_or_else(String::new, |lag| format!(", lag p99 {:.1} ms", lag.p99));
        let problem = report.problems.first().map_or_else(String::new, |problem| format!("; {problem}"));
        format!(
            "{}: {} of {} connections, {:.0} trades/s{lag}, {} ids missing{problem}",
            report.state.name(),
            report.connections_up,
            report.connections,
            report.trades_per_s,
            report.missing_ids
        )
    }

    /// Says that the capture has ended, and what it has left undone. `read_final` is given the time by the box's clock.
    pub(crate) fn end(&self, problems: &[String], read_final: impl FnOnce(UnixNanos, &mut StatusReport)) {
        self.update(|report| {
            read_final(self.clock.now(), report);
            report.state = RunState::Stopped;
            (report.messages_per_s, report.trades_per_s, report.tickers_per_s, report.lag_ms) = (0.0, 0.0, 0.0, None);
            (report.connections_up, report.down) = (0, Vec::new());
            report.problems = problems.to_vec();
        });
    }
}
