//! The provisioner: allocates and grows the files of every product, makes tomorrow's files, and seals the days that are over.
//!
//! 1. A writer never allocates, creates or cuts a file while records wait. It sends a request and goes on; at worst its own product waits.
//! 2. A failed allocation is tried again every second, so that a capture goes on by itself when there is space again.
//! 3. Days are sealed in batches, so that the number of flushes does not grow with the number of products.
//!
//! Thread `provision`: owns nothing but its lists; ends when every handle is dropped, after the last seal.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::wakeup::Wakeup;
use crate::product::ProductId;
use crate::schema::with_layout;
use crate::store::event::Event;
use crate::store::{DataDir, Day, DayFiles, DayKey, Sealed, StoreError, seal};
use crate::time::{UnixNanos, UtcDay};

/// Time between two tries of a failed allocation.
const RETRY: Duration = Duration::from_secs(1);

/// How long days to be sealed are gathered into one batch.
const GATHER: Duration = Duration::from_millis(200);

/// Requests that may wait. The channel is allocated once, so that a request allocates nothing.
const WAITING_REQUESTS: usize = 4096;

enum Request {
    Grow { files: Arc<DayFiles>, wakeup: Arc<Wakeup> },
    Seal(Sealing),
    Prepare { key: DayKey, records: u64 },
}

/// A handle by which writers send their requests.
#[derive(Clone)]
pub(crate) struct Provisioner {
    requests: Sender<Request>,
}

impl Provisioner {
    /// Starts the thread `provision`. It gives the number of days that could not be sealed.
    ///
    /// # Errors
    /// Where the system cannot start a thread.
    pub(crate) fn start(
        dir: Arc<DataDir>,
        metrics: Arc<Metrics>,
        journal: JournalHandle,
        stop: &Stop,
    ) -> std::io::Result<(Self, JoinHandle<u64>)> {
        let (sender, receiver) = bounded(WAITING_REQUESTS);
        let mut work = Work::new(dir, metrics, journal, stop.clone());
        let thread = spawn("provision", Stack::Standard, stop, move || {
            work.run(&receiver);
            work.unsealed()
        })?;
        Ok((Self { requests: sender }, thread))
    }

    /// Asks for more space in a day's files. Wakes the writer when there is.
    pub(crate) fn grow(&self, files: &Arc<DayFiles>, wakeup: &Arc<Wakeup>) {
        self.send(Request::Grow { files: Arc::clone(files), wakeup: Arc::clone(wakeup) });
    }

    /// Asks to seal a day that its writer has closed. When it is sealed, or cannot be, `progress` says so and the writer is woken.
    pub(crate) fn seal(&self, files: Arc<DayFiles>, wakeup: Arc<Wakeup>, progress: Arc<SealProgress>) {
        self.send(Request::Seal(Sealing { files, wakeup, progress }));
    }

    /// Asks to make a day's files, with space for this many records, before its first record arrives.
    pub(crate) fn prepare(&self, key: DayKey, records: u64) {
        self.send(Request::Prepare { key, records });
    }

    fn send(&self, request: Request) {
        // This fails only if the thread died. Then the capture is stopping, and the next start recovers the day.
        if self.requests.send(request).is_err() {
            log::error!("the provisioner has ended");
        }
    }
}

/// A day to be sealed, and the writer to be told.
struct Sealing {
    files: Arc<DayFiles>,
    wakeup: Arc<Wakeup>,
    progress: Arc<SealProgress>,
}

/// How far a seal is.
#[derive(Debug, Default)]
pub(crate) struct SealProgress(AtomicU8);

impl SealProgress {
    const DONE: u8 = 1;
    const FAILED: u8 = 2;

    /// Tells whether the day is sealed, or cannot be now.
    pub(crate) fn is_over(&self) -> bool {
        // Acquire: pairs with the release of `end`, after the seal. A writer that reads it finds the sealed files.
        self.0.load(Ordering::Acquire) != 0
    }

    /// Tells whether the seal has failed and may succeed later.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::FAILED
    }

    fn end(&self, has_failed: bool) {
        self.0.store(if has_failed { Self::FAILED } else { Self::DONE }, Ordering::Release);
    }
}

/// An allocation that failed, and the writer that waits for it.
struct Growth {
    files: Arc<DayFiles>,
    wakeup: Arc<Wakeup>,
    retry_at: Instant,
}

struct Work {
    dir: Arc<DataDir>,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
    growing: Vec<Growth>,
    sealing: Vec<Sealing>,
    /// Days of which a failed allocation has been journaled.
    failed: HashSet<DayKey>,
    /// Days whose last seal failed.
    unsealed: HashSet<DayKey>,
    /// Days whose files were gone when they were to be sealed: their records are lost.
    lost: HashSet<DayKey>,
    stop: Stop,
}

impl Work {
    fn new(dir: Arc<DataDir>, metrics: Arc<Metrics>, journal: JournalHandle, stop: Stop) -> Self {
        let (failed, unsealed, lost) = Default::default();
        Self { dir, metrics, journal, growing: Vec::new(), sealing: Vec::new(), failed, unsealed, lost, stop }
    }

    /// Gives the number of days that are not sealed although they should be.
    fn unsealed(&self) -> u64 {
        u64::try_from(self.unsealed.union(&self.lost).count()).unwrap_or(u64::MAX)
    }

    fn run(&mut self, requests: &Receiver<Request>) {
        let mut is_last = false;
        let mut seal_at = None;
        while !is_last || !self.sealing.is_empty() {
            let timeout = if self.growing.is_empty() && self.sealing.is_empty() { RETRY } else { GATHER };
            match requests.recv_timeout(timeout) {
                Ok(request) => {
                    self.take(request);
                    // All requests that are there join this round. Growth is done at once: a writer may be waiting.
                    while let Ok(request) = requests.try_recv() {
                        self.take(request);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_last = true,
            }
            self.retry_growth(is_last);
            if self.sealing.is_empty() {
                seal_at = None;
            } else if is_last || Instant::now() >= *seal_at.get_or_insert_with(|| Instant::now() + GATHER) {
                self.seal_batch();
                seal_at = None;
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Grow { files, wakeup } => self.grow(files, wakeup),
            Request::Seal(sealing) => self.sealing.push(sealing),
            Request::Prepare { key, records } => self.prepare(&key, records),
        }
    }

    fn grow(&mut self, files: Arc<DayFiles>, wakeup: Arc<Wakeup>) {
        match files.provision() {
            Ok(()) => {
                if self.failed.remove(files.key()) {
                    log::info!("{}: there is room again", files.key());
                    self.journal.write(Event::AllocationRecovered { day: files.key().clone() });
                }
                wakeup.wake();
            }
            Err(error) => {
                self.note_failure(files.key().clone(), &error);
                self.growing.push(Growth { files, wakeup, retry_at: Instant::now() + RETRY });
            }
        }
    }

    fn note_failure(&mut self, key: DayKey, error: &StoreError) {
        self.metrics.note_write_failure(key.product.as_str(), error);
        if self.failed.insert(key.clone()) {
            log::error!("{key}: {error}");
            if matches!(error, StoreError::Limit { .. }) {
                // It does not pass by itself. The other products go on; the end must not look like a success.
                self.stop.blame(format!("{key}: {error}"));
            }
            self.journal.write(Event::AllocationFailed { day: key, error: error.to_string() });
        }
    }

    fn retry_growth(&mut self, is_last: bool) {
        let now = Instant::now();
        if is_last {
            // No writer is left to wait for space.
            self.growing.clear();
        }
        let due: Vec<_> = self.growing.extract_if(.., |growth| growth.retry_at <= now).collect();
        for Growth { files, wakeup, .. } in due {
            // Where only this list holds a day, its writer has closed it.
            if Arc::strong_count(&files) > 1 {
                self.grow(files, wakeup);
            }
        }
    }

    fn seal_batch(&mut self) {
        let (files, waiting): (Vec<_>, Vec<_>) =
            self.sealing.drain(..).map(|Sealing { files, wakeup, progress }| (files, (wakeup, progress))).unzip();
        // A closed day needs no space. Its entry in the other list would keep its files mapped.
        self.growing.retain(|growth| files.iter().all(|sealing| !Arc::ptr_eq(&growth.files, sealing)));
        for (seal::SealOutcome { key, sealed: outcome }, (wakeup, progress)) in seal::seal(&self.dir, files).into_iter().zip(waiting) {
            self.note_seal(&key, outcome);
            progress.end(self.unsealed.contains(&key));
            wakeup.wake();
        }
    }

    fn note_seal(&mut self, key: &DayKey, outcome: Result<Sealed, StoreError>) {
        match &outcome {
            // A seal that failed, on a full disk for example, has been made up for.
            Ok(_) => drop(self.unsealed.remove(key)),
            Err(StoreError::Gone { .. }) => drop(self.lost.insert(key.clone())),
            Err(_) => drop(self.unsealed.insert(key.clone())),
        }
        note_seal(&self.journal, &self.metrics, key, outcome);
    }

    fn prepare(&mut self, key: &DayKey, records: u64) {
        let prepared = with_layout!(key.dataset, L => Day::<L>::prepare(&self.dir, &key.product, key.date, records));
        if let Err(error) = prepared {
            self.note_failure(key.clone(), &error);
        }
    }
}

fn note_seal(journal: &JournalHandle, metrics: &Metrics, key: &DayKey, outcome: Result<Sealed, StoreError>) {
    match outcome {
        Ok(sealed) => journal.write(Event::DaySealed {
            day: key.clone(),
            records: sealed.records,
            late_merged: u64::from(sealed.merged),
            generation: u64::from(sealed.generation),
        }),
        Err(error) => {
            metrics.note_write_failure(key.product.as_str(), &error);
            log::error!("{key}: not sealed: {error}");
            journal.write(Event::SealFailed { day: key.clone(), error: error.to_string() });
        }
    }
}

/// Seals the days that an earlier run left live, except today's. A product's writer calls this before it opens any day, so that nobody has them open.
pub(crate) fn seal_leftovers(dir: &Arc<DataDir>, journal: &JournalHandle, metrics: &Metrics, today: UtcDay, product: &ProductId) {
    match seal::unsealed(dir.path(), product) {
        Ok(keys) => {
            for key in keys.into_iter().filter(|key| key.date != today) {
                let outcome = seal::seal_at_rest(dir, &key);
                note_seal(journal, metrics, &key, outcome);
            }
        }
        Err(error) => {
            metrics.note_write_failure(product.as_str(), &error);
            log::error!("{product}: cannot look for unsealed days: {error}");
        }
    }
}

/// Gives how long after midnight a product's day is sealed: 10 to 15 minutes, spread by the product's name.
#[must_use]
pub(crate) fn seal_delay(product: &ProductId) -> Duration {
    let spread = product.as_str().bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % 300;
    Duration::from_secs(600 + spread)
}

/// Gives how long before midnight tomorrow's files are made: as long as [`seal_delay`].
#[must_use]
pub(crate) fn prepare_lead(product: &ProductId) -> Duration {
    seal_delay(product)
}

/// Tells whether `day` is over and the time for its late records has passed too. `now` is the exchange's time: it dates the records, whatever the box's clock
/// says.
#[must_use]
pub(crate) fn is_due_to_seal(day: UtcDay, product: &ProductId, now: UnixNanos) -> bool {
    let due = day.next().start().0.saturating_add(u64::try_from(seal_delay(product).as_nanos()).unwrap_or(u64::MAX));
    now.0 >= due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Dataset;
    use crate::store::StoreOptions;
    use crate::time::Clock;

    fn work(folder: &std::path::Path) -> Work {
        let dir = Arc::new(DataDir::open(folder, StoreOptions { force_fs: true, ..StoreOptions::default() }, "test").expect("opened"));
        let (metrics, stop) = (Arc::new(Metrics::default()), Stop::default());
        let (journal, start) = JournalHandle::new(Arc::clone(&metrics), Clock::System);
        let _ = start.start(Arc::clone(&dir), &stop).expect("started");
        Work::new(dir, metrics, journal, stop)
    }

    fn key(date: u32) -> DayKey {
        DayKey { product: ProductId::new("BTC-USD").expect("a product"), dataset: Dataset::Trades, date: UtcDay(date) }
    }

    #[test]
    fn a_seal_that_succeeds_later_makes_up_for_those_that_failed_and_lost_files_are_never_made_up_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut work = work(folder.path());
        let full = || Err(StoreError::NoSpace { path: "x".into(), needed: 1, free: 0 });
        let sealed = || Ok(Sealed { records: 1, merged: 0, generation: 0 });
        for _ in 0..3 {
            work.note_seal(&key(1), full());
            work.note_seal(&key(2), full());
        }
        assert_eq!(work.unsealed(), 2, "days, not attempts");
        work.note_seal(&key(1), sealed());
        assert_eq!(work.unsealed(), 1);
        work.note_seal(&key(2), sealed());
        assert_eq!(work.unsealed(), 0);
        work.note_seal(&key(3), Err(StoreError::Gone { path: "x".into() }));
        work.note_seal(&key(3), sealed());
        assert_eq!(work.unsealed(), 1, "the day that was sealed began anew");
    }

    #[test]
    fn an_allocation_that_a_limit_refuses_fails_the_capture_at_its_end_and_a_full_disk_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut work = work(folder.path());
        work.note_failure(key(1), &StoreError::NoSpace { path: "x".into(), needed: 1, free: 0 });
        assert_eq!(work.stop.failure(), None);
        let source = std::io::Error::from_raw_os_error(27);
        work.note_failure(key(2), &StoreError::Limit { what: "lengthen", path: "x".into(), source, remedy: "ulimit -f" });
        assert!(!work.stop.is_asked() && work.stop.failure().is_some_and(|reason| reason.contains("ulimit -f")));
    }
}
