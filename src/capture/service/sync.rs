//! The sync thread: flushes the open days, and then sets `durable` to what was `committed` when the flush began.
//!
//! 1. It flushes once an interval, and sooner when writing what waits would take longer than [`LONGEST_CYCLE`], as measured ([`Pace`]), or when memory runs
//!    short ([`SyncHandle::relieve`]). So what is committed is on disk within two intervals, and under load a flush stays short: a writer may have to wait for
//!    a page that one is writing.
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
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::wakeup::Wakeup;
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, DayFiles, OWN_FOLDER, StoreError, SyncError, SyncReport, Syncer};

/// Unflushed bytes at which a flush begins before its interval is over, however fast the disk is.
pub(crate) const EAGER_BYTES: u64 = 64 << 20;

/// Fewer unflushed bytes never begin a flush before its interval is over: to begin one costs more than to write them.
const FEW_BYTES: u64 = 512 << 10;

/// How long a cycle should take at most: half of what a write may take.
const LONGEST_CYCLE: Duration = Duration::from_millis(50);

/// How often the thread looks at the unflushed bytes under load. Otherwise it looks five times less often.
const LOOK: Duration = Duration::from_millis(100);

/// How many times longer than a cycle took the next one waits at least, so that a slow disk has time for what others want of it.
const REST_OF_CYCLES: u32 = 2;

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
    let mut due = Instant::now() + interval;
    let mut previous_start = Instant::now();
    metrics.durable.note(previous_start);
    let mut pace = Pace::default();
    loop {
        // The channel closes when the last writer has closed its days. One more flush then makes everything durable.
        let left = due.saturating_duration_since(Instant::now());
        let is_last = match days.recv_timeout(left.min(pace.look(metrics.unflushed_bytes.load(Relaxed)))) {
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
        let is_due = start >= due || pace.is_time(metrics.unflushed_bytes.load(Relaxed), start - previous_start);
        if !is_last && !is_relief && !is_due {
            continue;
        }
        // Relaxed: this only decides when to flush. What is flushed depends on `committed`.
        let bytes = metrics.unflushed_bytes.swap(0, Relaxed);
        watched.keep_own_files()?;
        let report = watched.cycle()?;
        metrics.sync_cycles.one();
        pace.learn(bytes, start.elapsed());
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
        due = start + interval;
    }
}

/// How many bytes may wait before they are flushed, as measured by the cycles so far.
#[derive(Debug)]
struct Pace {
    /// So many take about [`LONGEST_CYCLE`].
    eager_bytes: u64,
    /// Bytes of the last cycle.
    last_bytes: u64,
    /// How long the last cycle took.
    last_took: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { eager_bytes: EAGER_BYTES, last_bytes: 0, last_took: Duration::ZERO }
    }
}

impl Pace {
    /// Gives how long to wait before looking again.
    fn look(&self, unflushed: u64) -> Duration {
        let is_loaded = self.last_bytes.max(unflushed) >= self.eager_bytes / 8;
        if is_loaded { LOOK } else { LOOK * 5 }
    }

    /// Tells whether to flush before the interval is over; `since` is the time since the last cycle began.
    fn is_time(&self, unflushed: u64, since: Duration) -> bool {
        unflushed >= EAGER_BYTES || (unflushed >= self.eager_bytes && since >= self.last_took * (1 + REST_OF_CYCLES))
    }

    /// Takes a cycle into account: half of what it shows, so that a single slow one counts little. What few bytes take says nothing about many.
    fn learn(&mut self, bytes: u64, took: Duration) {
        (self.last_bytes, self.last_took) = (bytes, took);
        if bytes >= FEW_BYTES / 2 {
            let of_this = u128::from(bytes) * LONGEST_CYCLE.as_micros() / took.as_micros().max(1);
            let of_this = u64::try_from(of_this).unwrap_or(EAGER_BYTES).min(EAGER_BYTES);
            self.eager_bytes = u64::midpoint(self.eager_bytes, of_this).clamp(FEW_BYTES, EAGER_BYTES);
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

    /// Runs cycles on a disk that takes so long for each cycle and each MiB, at so many bytes a second. Gives the longest of the last ones, and how many a
    /// second there were.
    fn longest_cycle(of_cycle: Duration, of_mib: Duration, bytes_per_second: u64) -> (Duration, f64) {
        let (mut pace, mut since, mut unflushed) = (Pace::default(), Duration::ZERO, 0);
        let (mut cycles, mut time) = (Vec::new(), Duration::ZERO);
        while time < Duration::from_secs(60) {
            let waited = pace.look(unflushed).min(Duration::from_secs(1).saturating_sub(since)).max(Duration::from_millis(1));
            (since, time) = (since + waited, time + waited);
            unflushed += u64::try_from(u128::from(bytes_per_second) * waited.as_micros() / 1_000_000).expect("few");
            if since >= Duration::from_secs(1) || pace.is_time(unflushed, since) {
                let took = of_cycle + of_mib.mul_f64(unflushed as f64 / f64::from(1 << 20));
                pace.learn(unflushed, took);
                // What comes meanwhile waits for the next one.
                unflushed = u64::try_from(u128::from(bytes_per_second) * took.as_micros() / 1_000_000).expect("few");
                (since, time) = (took, time + took);
                cycles.push((time, took));
            }
        }
        cycles.retain(|(time, _)| *time > Duration::from_secs(20));
        (cycles.iter().map(|(_, took)| *took).max().expect("cycles"), cycles.len() as f64 / 40.0)
    }

    #[test]
    fn under_load_a_cycle_stays_short_and_otherwise_it_waits_for_its_interval() {
        let ms = Duration::from_millis;
        // As measured: 6 MB/s took 66 ms every 500 ms, and about 110 ms every second.
        let (longest, per_second) = longest_cycle(ms(20), ms(15), 6_000_000);
        assert!(longest <= ms(60) && (2.0..6.0).contains(&per_second), "{longest:?}, {per_second} a second");
        // A quiet box, whatever the disk.
        for of_cycle in [1, 20, 200] {
            let (longest, per_second) = longest_cycle(ms(of_cycle), ms(15), 40_000);
            assert!(per_second <= 1.1, "{longest:?}, {per_second} a second");
        }
        // A disk on which nothing is fast: it is not asked all the time.
        let (_, per_second) = longest_cycle(ms(150), ms(15), 6_000_000);
        assert!(per_second <= 2.5, "{per_second} a second");
        // A fast one: the interval is enough.
        let (longest, per_second) = longest_cycle(ms(2), ms(1), 6_000_000);
        assert!(longest <= ms(60) && per_second <= 1.1, "{longest:?}, {per_second} a second");
    }

    #[test]
    fn a_single_slow_cycle_changes_little_and_one_of_few_bytes_nothing() {
        let mut pace = Pace { eager_bytes: 8 << 20, ..Pace::default() };
        pace.learn(8 << 20, Duration::from_secs(5));
        assert!(pace.eager_bytes >= 4 << 20);
        let before = pace.eager_bytes;
        pace.learn(1000, Duration::from_secs(5));
        assert_eq!(pace.eager_bytes, before);
        assert!(pace.is_time(EAGER_BYTES, Duration::ZERO) && !pace.is_time(before, Duration::from_secs(5)));
    }

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
