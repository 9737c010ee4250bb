//! [`Running`]: everything that a capture has started. It ends in one way, whether the capture is stopped or its start failed half-way.
//!
//! 1. Every thread that was started is joined.
//! 2. The order of the end: connections, repair, writers, REST, watch; then flushes, files, recording, product data; the journal last.
//! 3. A capture that takes over from another one begins without a directory: what writes to it ([`Held`]) is started when this capture holds it.
//! 4. Some threads end when nobody holds a handle to them any more. Their handles are dropped before they are joined.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::config::CaptureConfig;
use crate::capture::context::CaptureContext;
use crate::capture::error::CaptureError;
use crate::capture::net::connections::{Connections, EndedConnections};
use crate::capture::net::recorder::RecorderThread;
use crate::capture::report::connection_state::ConnectionOutage;
use crate::capture::report::metrics::{ConnectionTotals, Metrics};
use crate::capture::report::status_figures::read_final;
use crate::capture::report::status_file::StatusFile;
use crate::capture::report::summary::Summary;
use crate::capture::report::watch::WatchFigures;
use crate::capture::service::journal::{JournalHandle, JournalStart};
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::stop::Stop;
use crate::capture::write::registry::{ProductFigures, Registry};
use crate::store::event::{Event, SumCheck};
use crate::store::{DataDir, StoreError, SyncError};
use crate::time::Clock;

/// The threads that nobody else joins.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) sync: Option<JoinHandle<Result<(), SyncError>>>,
    pub(super) provision: Option<JoinHandle<u64>>,
    pub(super) record: Option<RecorderThread>,
    pub(super) fetch: Vec<JoinHandle<()>>,
    pub(super) repair: Option<JoinHandle<()>>,
    pub(super) products: Vec<JoinHandle<()>>,
    pub(super) watch: Option<WatchThread>,
}

/// The watch, and how it is told to end.
pub(super) struct WatchThread {
    pub(super) end: Stop,
    pub(super) thread: JoinHandle<WatchFigures>,
}

/// The data directory that a capture holds, and what is always written to it.
pub(super) struct Held {
    pub(super) dir: Arc<DataDir>,
    pub(super) status: Arc<StatusFile>,
    journal_thread: JoinHandle<Result<(), StoreError>>,
}

/// What a capture has started so far.
pub(super) struct Running {
    /// Nothing until this capture holds the directory.
    pub(super) held: Option<Held>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: Stop,
    pub(super) journal: JournalHandle,
    pub(super) rest_fetch: Option<RestFetch>,
    pub(super) context: Option<Arc<CaptureContext>>,
    pub(super) registry: Option<Arc<Registry>>,
    pub(super) connections: Option<Arc<Connections>>,
    pub(super) threads: Threads,
    /// Nothing once the journal's thread is started.
    journal_start: Option<JournalStart>,
}

/// What a capture leaves when everything but its journal has ended.
pub(super) struct Ended {
    products: Vec<ProductFigures>,
    connections: ConnectionTotals,
    outages: Vec<ConnectionOutage>,
    watch: WatchFigures,
    unsealed: u64,
    failures: Vec<String>,
}

impl Running {
    /// Begins a capture that has started nothing.
    pub(super) fn begin(clock: &Clock, stop: &Stop) -> Self {
        let metrics = Arc::new(Metrics::default());
        let (journal, journal_start) = JournalHandle::new(Arc::clone(&metrics), clock.clone());
        Self {
            held: None,
            metrics,
            stop: stop.clone(),
            journal,
            rest_fetch: None,
            context: None,
            registry: None,
            connections: None,
            threads: Threads::default(),
            journal_start: Some(journal_start),
        }
    }

    /// Takes the directory, which this process holds now: says so in the status file, and starts the journal.
    pub(super) fn hold(&mut self, dir: Arc<DataDir>, clock: &Clock, endpoint: &str) -> Result<(), CaptureError> {
        let Some(start) = self.journal_start.take() else { return Ok(()) };
        let status = Arc::new(StatusFile::begin(&dir, clock, endpoint));
        let journal_thread =
            start.start(Arc::clone(&dir), &self.stop).map_err(|source| CaptureError::Thread { name: "journal".to_owned(), source })?;
        self.held = Some(Held { dir, status, journal_thread });
        Ok(())
    }

    /// Waits for the end of every thread but the journal's. A stop has been asked for.
    pub(super) fn join(&mut self) -> Ended {
        let EndedConnections { mut failures, outages } =
            self.connections.as_ref().map(|connections| connections.join()).unwrap_or_default();
        let mut threads = std::mem::take(&mut self.threads);
        if threads.repair.take().is_some_and(|thread| thread.join().is_err()) {
            failures.push("the repair thread died".to_owned());
        }
        let closed = self.registry.as_ref().map(|registry| registry.close()).unwrap_or_default();
        failures.extend(closed.failures);
        if let Some(rest_fetch) = self.rest_fetch.take() {
            rest_fetch.end();
        }
        let died = threads.fetch.drain(..).filter_map(|thread| thread.join().err());
        failures.extend(died.map(|_| "a backfill thread died".to_owned()));
        let watch = threads.watch.take().map(|WatchThread { end, thread }| {
            end.ask();
            thread.join().unwrap_or_default()
        });
        let connections = self.connections.take().map(|connections| ConnectionTotals::of(&connections)).unwrap_or_default();
        // Nobody asks for space, flushes or seals any more: those threads end when they have done what was asked.
        self.registry = None;
        self.context = None;
        let unsealed = join_services(threads, &mut failures);
        Ended { products: closed.products, connections, outages, watch: watch.unwrap_or_default(), unsealed, failures }
    }

    /// Journals the end and closes the journal. Gives everything that there is to say about the capture.
    pub(super) fn summarize(self, ended: Ended, config: &CaptureConfig, elapsed: Duration) -> Summary {
        let mut summary = Summary::gather(&ended.products, ended.connections, &self.metrics, usize::from(config.lines));
        (summary.endpoint, summary.outages) = (config.url.clone(), ended.outages);
        (summary.wants_tickers, summary.start_patience) = (config.datasets.wants_tickers(), config.start_patience);
        (summary.repair_command, summary.verify_command) = (config.repair_command(), config.verify_command());
        summary.watch = ended.watch;
        summary.unsealed = ended.unsealed;
        summary.elapsed = elapsed;
        summary.failure = self.stop.failure().or_else(|| ended.failures.into_iter().next()).or_else(|| restored(&self.metrics));
        self.journal.write(capture_stopped(&summary));
        let (status, metrics) = (self.held.as_ref().map(|held| Arc::clone(&held.status)), Arc::clone(&self.metrics));
        if let Some(reason) = self.close_journal() {
            summary.failure.get_or_insert(reason);
        }
        let mut undone: Vec<String> = summary.failure.iter().cloned().collect();
        undone.extend(summary.shortcomings().iter().map(ToString::to_string));
        if let Some(status) = status {
            status.end(&undone, |now, report| read_final(&ended.products, metrics.market.now(now), report));
        }
        summary
    }

    /// Waits until the journal has written everything. Gives the reason if it could not.
    pub(super) fn close_journal(self) -> Option<String> {
        let Self { journal, held, .. } = self;
        drop(journal);
        match held?.journal_thread.join() {
            Ok(outcome) => outcome.err().map(|error| error.to_string()),
            Err(_) => Some("the journal thread died".to_owned()),
        }
    }
}

/// Says that days had to be stored again. Their records are there; other days in the same folders may be gone, and nobody else would say so.
fn restored(metrics: &Metrics) -> Option<String> {
    let days = metrics.restored_days.get();
    (days > 0).then(|| {
        format!("somebody removed or replaced files of {days} dataset-days while they were being written; they are stored again, see the journal")
    })
}

/// Waits for the threads that serve the writers. Gives how many days could not be sealed.
fn join_services(threads: Threads, failures: &mut Vec<String>) -> u64 {
    match threads.sync.map(JoinHandle::join) {
        None | Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => failures.push(error.to_string()),
        Some(Err(_)) => failures.push("the sync thread died".to_owned()),
    }
    let unsealed = threads.provision.map_or(0, |thread| thread.join().unwrap_or(u64::MAX));
    match threads.record.map(JoinHandle::join) {
        None | Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => log::error!("record: {error}"),
        Some(Err(_)) => log::error!("the recorder died"),
    }
    for thread in threads.products {
        if thread.join().is_err() {
            log::error!("a products thread died");
        }
    }
    unsealed
}

fn capture_stopped(summary: &Summary) -> Event {
    let trades = summary.trades();
    Event::CaptureStopped {
        frames: summary.connections.frames,
        trades_received: trades.received,
        trades_fetched: trades.fetched,
        trades_written: trades.written,
        trades_late: trades.late,
        trades_duplicate: trades.duplicate,
        trades_conflict: trades.conflict,
        trades_shed: trades.shed,
        trades_rejected: trades.rejected + summary.connections.rejected_trades,
        sums: if summary.balances() { SumCheck::Hold } else { SumCheck::DoNotHold },
        failure: summary.failure.clone().unwrap_or_default(),
    }
}
