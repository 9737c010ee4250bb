//! The sync thread: flushes the open days, and then sets `durable` to what was `committed` when the flush began.
//!
//! 1. [`Pace`] says when it flushes: once an interval, sooner under load, nearly half as often where little comes; and sooner when memory runs short
//!    ([`SyncHandle::relieve`]). So what is committed is on disk within two intervals, and under load a flush stays short: a writer may have to wait for a page
//!    that one is writing.
//! 2. If a flush fails twice, the capture ends: nothing may be called durable that is not on disk.
//! 3. With each flush it looks whether somebody has removed or replaced files. Lock and endpoint are made again; the writer of a day that is gone is woken
//!    and stores it again. Where another process has come in through a lock file that was removed, the capture ends.
//!
//! Thread `sync`: owns the [`Syncer`]; the writers send it the days that they open; ends after a last flush when every handle is dropped.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::capture::report::metrics::{Metrics, micros};
use crate::capture::service::flush_pace::{Cycle, Pace, SlotFlush};
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::wakeup::Wakeup;
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, DayFiles, OWN_FOLDER, StoreError, SyncError, SyncReport, Syncer};

/// Opened days that may wait for the thread.
const WAITING_DAYS: usize = 4096;

/// A handle by which writers send their open days to the sync thread.
#[derive(Clone)]
pub(crate) struct SyncHandle {
    days: Sender<OpenedDay>,
    is_relief_asked: Arc<AtomicBool>,
}

/// A day that was opened, and the wakeup of its writer.
struct OpenedDay {
    files: Arc<DayFiles>,
    writer: Arc<Wakeup>,
}

impl SyncHandle {
    /// Adds a day to the flushes, until its files are closed. Its writer is woken if the files are found removed or replaced.
    pub(crate) fn watch(&self, files: &Arc<DayFiles>, writer: &Arc<Wakeup>) {
        // Rare: a day was opened. If the thread has ended, the capture is ending too.
        let _ = self.days.send(OpenedDay { files: Arc::clone(files), writer: Arc::clone(writer) });
    }

    /// Has the days flushed soon, and then gives back the page cache of everything that is on disk. Waits for nothing.
    pub(crate) fn relieve(&self) {
        // Relaxed: the thread looks at it now and then; nothing else depends on it.
        self.is_relief_asked.store(true, Relaxed);
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
    let is_relief_asked = Arc::<AtomicBool>::default();
    let asked = Arc::clone(&is_relief_asked);
    let thread = spawn("sync", Stack::Small, stop, move || {
        let result = run(dir, interval, &metrics, &journal, &receiver, &asked);
        if let Err(error) = &result {
            metrics.note_write_failure("sync", error);
            journal.write(Event::SyncFailed { error: error.to_string() });
            stop_if_failed.fail(format!("sync: {error}"));
        }
        result
    })?;
    Ok((SyncHandle { days: sender, is_relief_asked }, thread))
}

fn run(
    dir: Arc<DataDir>,
    interval: Duration,
    metrics: &Metrics,
    journal: &JournalHandle,
    days: &Receiver<OpenedDay>,
    is_relief_asked: &AtomicBool,
) -> Result<(), SyncError> {
    let mut watched = WatchedFiles::new(dir, metrics, journal);
    let mut previous_start = Instant::now();
    metrics.durable.note(previous_start);
    let mut pace = Pace::new(interval);
    loop {
        // The channel closes when the last writer has closed its days. One more flush then makes everything durable.
        let look = pace.look(metrics.unflushed_bytes.load(Relaxed), previous_start.elapsed());
        let is_last = match days.recv_timeout(look) {
            Ok(day) => {
                watched.add(day);
                days.try_iter().for_each(|day| watched.add(day));
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let is_relief = is_relief_asked.swap(false, Relaxed);
        let start = Instant::now();
        let since = start - previous_start;
        if !is_last && !is_relief && !pace.is_time(metrics.unflushed_bytes.load(Relaxed), since) {
            continue;
        }
        // Relaxed: this only decides when to flush. What is flushed depends on `committed`.
        let bytes = metrics.unflushed_bytes.swap(0, Relaxed);
        let slots = pace.slots(bytes, since);
        watched.keep_own_files()?;
        let mut report = watched.cycle()?;
        let of_records = start.elapsed();
        if slots == SlotFlush::AtOnce {
            report.recovered |= watched.syncer.flush_slots()?;
        }
        metrics.sync_cycles.one();
        pace.learn(Cycle { bytes, days: report.days, of_records, took: start.elapsed(), slots });
        if report.days > 0 {
            let took = micros(start.elapsed());
            metrics.flush_micros.see(took);
            metrics.flush.see(took);
            metrics.durable_micros.see(micros(previous_start.elapsed()));
            count_flush(metrics, &report);
            metrics.flushed_bytes.add(watched.bytes(&report));
        }
        metrics.durable.note(start);
        if is_relief {
            watched.syncer.release_cache();
            metrics.emergency_flushes.one();
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
    }
}

/// Counts a flush, and of which kind of records.
fn count_flush(metrics: &Metrics, report: &SyncReport) {
    let has = |of_tickers| Dataset::ALL.iter().any(|dataset| dataset.is_of_tickers() == of_tickers && report.records_of(*dataset) > 0);
    metrics.flushes.one();
    metrics.trade_flushes.add(u64::from(has(false)));
    metrics.ticker_flushes.add(u64::from(has(true)));
}

/// The files that the capture writes to, and what is said when somebody disturbs them.
struct WatchedFiles<'a> {
    dir: Arc<DataDir>,
    syncer: Syncer,
    /// Whose writer is woken when files of a day are gone.
    writers: Vec<(Weak<DayFiles>, Arc<Wakeup>)>,
    metrics: &'a Metrics,
    journal: &'a JournalHandle,
    /// Whether a failure to make the own files again was logged.
    is_reported: bool,
}

impl<'a> WatchedFiles<'a> {
    fn new(dir: Arc<DataDir>, metrics: &'a Metrics, journal: &'a JournalHandle) -> Self {
        let syncer = Syncer::new(Arc::clone(&dir));
        Self { dir, syncer, writers: Vec::new(), metrics, journal, is_reported: false }
    }

    fn add(&mut self, OpenedDay { files, writer }: OpenedDay) {
        self.syncer.watch(&files);
        self.writers.retain(|(files, _)| files.strong_count() > 0);
        self.writers.push((Arc::downgrade(&files), writer));
    }

    /// Runs a flush cycle. Wakes the writers of days that are gone.
    fn cycle(&mut self) -> Result<SyncReport, SyncError> {
        let report = self.syncer.cycle()?;
        for day in self.syncer.take_gone() {
            self.metrics.note_write_failure(&day.to_string(), &"files were removed or replaced while they were being written");
            self.journal.write(Event::DayFilesGone { day });
            // All writers that have such a day: this comes once in the life of a disk.
            let is_gone = |files: &Weak<DayFiles>| files.upgrade().is_some_and(|files| files.is_gone());
            self.writers.iter().filter(|(files, _)| is_gone(files)).for_each(|(_, writer)| writer.wake());
        }
        Ok(report)
    }

    /// Gives the bytes of the columns' records that a flush made durable.
    fn bytes(&self, report: &SyncReport) -> u64 {
        let width = |dataset: Dataset| {
            let columns = dataset.columns_of(self.dir.options().columns);
            u64::try_from(columns.iter().map(|column| column.kind.width()).sum::<usize>()).unwrap_or(0)
        };
        Dataset::ALL.iter().map(|dataset| report.records_of(*dataset) * width(*dataset)).sum()
    }

    /// Makes lock and endpoint again where they are gone.
    fn keep_own_files(&mut self) -> Result<(), SyncError> {
        match self.dir.keep_own_files() {
            Ok(made) => {
                self.is_reported = false;
                for file in made {
                    log::warn!("{OWN_FOLDER}/{file} was removed or replaced; it has been made again");
                    let what = "it was removed or replaced, and was made again";
                    self.journal.write(Event::FileDisturbed { file: file.to_owned(), what: what.into() });
                }
                Ok(())
            }
            Err(error @ StoreError::Locked { .. }) => Err(SyncError::Held(error)),
            // If the directory itself is gone, the flush cycle says so.
            Err(error) => {
                self.metrics.note_write_failure(OWN_FOLDER, &error);
                if !std::mem::replace(&mut self.is_reported, true) {
                    log::error!("{error}");
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_of_any_dataset_of_tickers_counts_as_one_of_tickers() {
        for kept in Dataset::ALL {
            let metrics = Metrics::default();
            let mut report = SyncReport { days: 1, ..SyncReport::default() };
            report.records[kept.index()] = 1;
            count_flush(&metrics, &report);
            let counted = (metrics.flushes.get(), metrics.trade_flushes.get(), metrics.ticker_flushes.get());
            assert_eq!(counted, if kept == Dataset::Trades { (1, 1, 0) } else { (1, 0, 1) }, "{}", kept.folder());
        }
    }
}
