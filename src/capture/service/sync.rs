//! The sync thread: flushes the open days, and then sets `durable` to what was `committed` when the flush began.
//!
//! 1. It flushes once an interval, and sooner when [`EAGER_BYTES`] wait. So what is committed is on disk within two intervals.
//! 2. If a flush fails twice, the capture ends: nothing may be called durable that is not on disk.
//!
//! Thread `sync`: owns the [`Syncer`]; the writers send it the days that they open; ends after a last flush when every handle is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::capture::report::metrics::{Metrics, micros};
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, DayFiles, SyncError, Syncer};

/// Unflushed bytes at which a flush begins before its interval is over.
pub(crate) const EAGER_BYTES: u64 = 64 << 20;

/// How often the thread compares the unflushed bytes with [`EAGER_BYTES`], once [`WATCHED_BYTES`] wait. Before that it looks five times less often.
const LOOK: Duration = Duration::from_millis(100);

/// Unflushed bytes from which on the thread looks more often.
const WATCHED_BYTES: u64 = EAGER_BYTES / 16;

/// Opened days that may wait for the thread.
const WAITING_DAYS: usize = 4096;

/// A handle by which writers send their open days to the sync thread.
#[derive(Clone)]
pub(crate) struct SyncHandle {
    days: Sender<Arc<DayFiles>>,
}

impl SyncHandle {
    /// Adds a day to the flushes, until its files are closed.
    pub(crate) fn watch(&self, files: &Arc<DayFiles>) {
        // Rare: a day was opened. If the thread has ended, the capture is ending too.
        let _ = self.days.send(Arc::clone(files));
    }
}

/// Starts the thread `sync`.
///
/// # Errors
/// Where the system cannot start a thread.
pub(crate) fn start(
    dir: Arc<DataDir>,
    interval: Duration,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
    stop: &Stop,
) -> std::io::Result<(SyncHandle, JoinHandle<Result<(), SyncError>>)> {
    let (sender, receiver) = bounded(WAITING_DAYS);
    let stop_if_failed = stop.clone();
    let thread = spawn("sync", Stack::Small, stop, move || {
        let result = run(dir, interval, &metrics, &journal, &receiver);
        if let Err(error) = &result {
            metrics.note_write_failure("sync", error);
            journal.write(Event::SyncFailed { error: error.to_string() });
            stop_if_failed.fail(format!("sync: {error}"));
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
        // The channel closes when the last writer has closed its days. One more flush then makes everything durable.
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
        // Relaxed: this only decides when to flush. What is flushed depends on `committed`.
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
            let text = "a flush failed; what it may have lost has been stored again and is on disk";
            metrics.note_write_failure("sync", &text);
            log::error!("{text}");
            journal.write(Event::FlushRecovered);
        }
        previous_start = start;
        if is_last {
            return Ok(());
        }
        due = start + interval;
    }
}
