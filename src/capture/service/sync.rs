//! The sync thread: flushes, and raises `durable` behind `committed`.
//!
//! 1. One cycle an interval, sooner once [`EAGER_BYTES`] wait: what is committed is on disk within two intervals.
//! 2. A flush that fails twice ends the capture: nothing pretends to be durable.
//!
//! Thread `sync`: owns the [`Syncer`]; is told of days by the writers; stops after a last cycle when told to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::capture::report::metrics::{Metrics, micros};
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, DayFiles, SyncError, Syncer};

/// Unflushed bytes that start a cycle before its time.
pub const EAGER_BYTES: u64 = 64 << 20;

/// How often the thread looks whether a cycle is due before its time, once [`WATCHED_BYTES`] wait.
const LOOK: Duration = Duration::from_millis(100);

/// Unflushed bytes from which on it looks: what comes within a cycle at less than that takes no eager one.
const WATCHED_BYTES: u64 = EAGER_BYTES / 16;

/// Days that may wait to be watched.
const WAITING_DAYS: usize = 4096;

/// Hands opened days to the sync thread.
#[derive(Clone)]
pub struct SyncHandle {
    days: Sender<Arc<DayFiles>>,
}

impl SyncHandle {
    /// Has a day flushed from now on, until its files are closed.
    pub fn watch(&self, files: &Arc<DayFiles>) {
        // Rare: a day opened. A thread that has ended needs no more days.
        let _ = self.days.send(Arc::clone(files));
    }
}

/// Starts the thread `sync`.
///
/// # Errors
/// Where the machine has no thread left.
pub fn start(
    dir: Arc<DataDir>,
    interval: Duration,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
    stop: Stop,
) -> std::io::Result<(SyncHandle, JoinHandle<Result<(), SyncError>>)> {
    let (sender, receiver) = bounded(WAITING_DAYS);
    let thread = std::thread::Builder::new().name("sync".to_owned()).stack_size(crate::capture::SMALL_STACK_BYTES).spawn(move || {
        let _on_panic = stop.on_panic();
        let result = run(dir, interval, &metrics, &journal, &receiver);
        if let Err(error) = &result {
            metrics.write_failures.one();
            journal.write(Event::SyncFailed { error: error.to_string() });
            stop.fail(format!("sync: {error}"));
        }
        result
    })?;
    Ok((SyncHandle { days: sender }, thread))
}

fn run(
    dir: Arc<DataDir>,
    interval: Duration,
    metrics: &Metrics,
    journal: &JournalHandle,
    days: &Receiver<Arc<DayFiles>>,
) -> Result<(), SyncError> {
    let mut syncer = Syncer::new(dir);
    let mut due = Instant::now() + interval;
    let mut previous_start = Instant::now();
    loop {
        // The desk is dropped when the last writer has closed its days: then one more cycle makes all of it durable.
        let left = due.saturating_duration_since(Instant::now());
        let is_watched = metrics.unflushed_bytes.load(Relaxed) >= WATCHED_BYTES;
        let is_last = match days.recv_timeout(if is_watched { left.min(LOOK) } else { left.min(LOOK * 5) }) {
            Ok(files) => {
                syncer.watch(&files);
                days.try_iter().for_each(|files| syncer.watch(&files));
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if !is_last && Instant::now() < due && metrics.unflushed_bytes.load(Relaxed) < EAGER_BYTES {
            continue;
        }
        let start = Instant::now();
        // Relaxed: a hint about when to flush; what is flushed is decided by `committed` alone.
        metrics.unflushed_bytes.store(0, Relaxed);
        let report = syncer.cycle()?;
        if report.days > 0 {
            metrics.flushes.one();
            metrics.flush_micros.see(micros(start.elapsed()));
            metrics.durable_micros.see(micros(previous_start.elapsed()));
            metrics.trade_flushes.add(u64::from(report.records_of(Dataset::Trades) > 0));
            metrics.ticker_flushes.add(u64::from(report.records_of(Dataset::Md) > 0));
        }
        if report.recovered {
            metrics.write_failures.one();
            log::error!("a flush failed; what it may have lost has been stored again and is on disk");
            journal.write(Event::FlushRecovered);
        }
        previous_start = start;
        if is_last {
            return Ok(());
        }
        due = start + interval;
    }
}
