//! The provisioner: allocates and grows the files of every product, prepares tomorrow's, and seals days that are over.
//!
//! 1. No writer ever allocates, creates or cuts while records wait: it asks here and goes on, or waits for its own product alone.
//! 2. An allocation that fails is asked for again every second, so that a capture goes on by itself when space is back.
//! 3. Days are sealed in batches: the number of flushes does not grow with the number of products.
//!
//! Thread `provision`: owns nothing but its lists; ends when every handle is gone, after the last seal.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::capture::report::metrics::Metrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::stop::Stop;
use crate::capture::write::queue::Wakeup;
use crate::product::ProductId;
use crate::schema::{Dataset, Md, TickerTrades, Trades};
use crate::store::event::Event;
use crate::store::{DataDir, Day, DayFiles, DayKey, Sealed, StoreError, seal};
use crate::time::{Clock, UtcDay};

/// How often a failed allocation is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long sealed days may be gathered into one batch.
const GATHER: Duration = Duration::from_millis(200);

/// Requests that may wait; their room is allocated once, so that a writer allocates nothing by asking.
const WAITING_REQUESTS: usize = 4096;

enum Request {
    Grow { files: Arc<DayFiles>, wakeup: Arc<Wakeup> },
    Seal { files: Arc<DayFiles>, wakeup: Arc<Wakeup>, is_done: Arc<AtomicBool> },
    Prepare { key: DayKey, records: u64 },
}

/// A handle through which writers ask.
#[derive(Clone)]
pub struct Provisioner {
    requests: Sender<Request>,
}

impl Provisioner {
    /// Starts the thread `provision`.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub fn start(dir: Arc<DataDir>, metrics: Arc<Metrics>, journal: JournalHandle, stop: Stop) -> std::io::Result<(Self, JoinHandle<u64>)> {
        let (sender, receiver) = bounded(WAITING_REQUESTS);
        let mut work = Work { dir, metrics, journal, growing: Vec::new(), sealing: Vec::new(), told: HashSet::new(), unsealed: 0 };
        let thread = std::thread::Builder::new().name("provision".to_owned()).spawn(move || {
            let _on_panic = stop.on_panic();
            work.run(&receiver);
            work.unsealed
        })?;
        Ok((Self { requests: sender }, thread))
    }

    /// Asks for more room; `bell` is rung when there is.
    pub fn grow(&self, files: &Arc<DayFiles>, wakeup: &Arc<Wakeup>) {
        self.ask(Request::Grow { files: Arc::clone(files), wakeup: Arc::clone(wakeup) });
    }

    /// Hands over a day that its writer has closed; when it is sealed, or could not be, `is_done` is set and `bell` rung.
    pub fn seal(&self, files: Arc<DayFiles>, wakeup: Arc<Wakeup>, is_done: Arc<AtomicBool>) {
        self.ask(Request::Seal { files, wakeup, is_done });
    }

    /// Has a day's files made and allocated for so many records before its first one comes.
    pub fn prepare(&self, key: DayKey, records: u64) {
        self.ask(Request::Prepare { key, records });
    }

    fn ask(&self, request: Request) {
        // Only a provisioner that died refuses; the capture is stopping then, and the day is recovered at the next start.
        if self.requests.send(request).is_err() {
            log::error!("the provisioner is gone");
        }
    }
}

/// Who waits for a seal: the bell to ring, and the flag to set before.
type Waiting = (Arc<Wakeup>, Arc<AtomicBool>);

struct Work {
    dir: Arc<DataDir>,
    metrics: Arc<Metrics>,
    journal: JournalHandle,
    growing: Vec<(Arc<DayFiles>, Arc<Wakeup>, Instant)>,
    sealing: Vec<(Arc<DayFiles>, Waiting)>,
    told: HashSet<DayKey>,
    unsealed: u64,
}

impl Work {
    fn run(&mut self, requests: &Receiver<Request>) {
        let mut is_last = false;
        let mut seal_at = None;
        while !is_last || !self.sealing.is_empty() {
            let patience = if self.growing.is_empty() && self.sealing.is_empty() { RETRY } else { GATHER };
            match requests.recv_timeout(patience) {
                Ok(request) => {
                    self.take(request);
                    // Growth first: a writer may be waiting. Everything else that is asked for already joins this round.
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
            Request::Seal { files, wakeup, is_done } => self.sealing.push((files, (wakeup, is_done))),
            Request::Prepare { key, records } => self.prepare(&key, records),
        }
    }

    fn grow(&mut self, files: Arc<DayFiles>, wakeup: Arc<Wakeup>) {
        match files.provision() {
            Ok(()) => {
                if self.told.remove(files.key()) {
                    log::info!("{}: there is room again", files.key());
                    self.journal.write(Event::AllocationRecovered { day: files.key().clone() });
                }
                wakeup.wake();
            }
            Err(error) => {
                self.tell(files.key().clone(), &error);
                self.growing.push((files, wakeup, Instant::now() + RETRY));
            }
        }
    }

    fn tell(&mut self, key: DayKey, error: &StoreError) {
        self.metrics.write_failures.one();
        if self.told.insert(key.clone()) {
            log::error!("{key}: {error}");
            self.journal.write(Event::AllocationFailed { day: key, error: error.to_string() });
        }
    }

    fn retry_growth(&mut self, is_last: bool) {
        let now = Instant::now();
        // At the end nobody waits for room any more.
        let due: Vec<_> = if is_last {
            self.growing.clear();
            Vec::new()
        } else {
            self.growing.extract_if(.., |(_, _, at)| *at <= now).collect()
        };
        for (files, wakeup, _) in due {
            // A day that only this list still holds was closed meanwhile.
            if Arc::strong_count(&files) > 1 {
                self.grow(files, wakeup);
            }
        }
    }

    fn seal_batch(&mut self) {
        let (files, waiting): (Vec<_>, Vec<_>) = self.sealing.drain(..).unzip();
        // A closed day needs no room: what waits for it here would keep its files mapped.
        self.growing.retain(|(growing, ..)| files.iter().all(|sealing| !Arc::ptr_eq(growing, sealing)));
        for seal::SealOutcome { key, sealed: outcome } in seal::seal(&self.dir, files) {
            self.note_seal(&key, outcome);
        }
        for (wakeup, is_done) in waiting {
            // Release: who finds it set finds the sealed files. Partner: the acquire in the shelf.
            is_done.store(true, Ordering::Release);
            wakeup.wake();
        }
    }

    fn note_seal(&mut self, key: &DayKey, outcome: Result<Sealed, StoreError>) {
        self.unsealed += u64::from(outcome.is_err());
        note_seal(&self.journal, &self.metrics, key, outcome);
    }

    fn prepare(&mut self, key: &DayKey, records: u64) {
        let prepared = match key.dataset {
            Dataset::Trades => Day::<Trades>::prepare(&self.dir, &key.product, key.date, records),
            Dataset::Md => Day::<Md>::prepare(&self.dir, &key.product, key.date, records),
            Dataset::TickerTrades => Day::<TickerTrades>::prepare(&self.dir, &key.product, key.date, records),
        };
        if let Err(error) = prepared {
            self.tell(key.clone(), &error);
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
            metrics.write_failures.one();
            log::error!("{key}: not sealed: {error}");
            journal.write(Event::SealFailed { day: key.clone(), error: error.to_string() });
        }
    }
}

/// Seals the days that an earlier run left live, today's apart. Called by a product's writer before it opens any day, so that nobody else has them open.
pub fn seal_leftovers(dir: &Arc<DataDir>, journal: &JournalHandle, metrics: &Metrics, clock: &Clock, product: &ProductId) {
    let today = clock.now().day();
    match seal::unsealed(dir.path(), product) {
        Ok(keys) => {
            for key in keys.into_iter().filter(|key| key.date != today) {
                let outcome = seal::seal_at_rest(dir, &key);
                note_seal(journal, metrics, &key, outcome);
            }
        }
        Err(error) => {
            metrics.write_failures.one();
            log::error!("{product}: cannot look for unsealed days: {error}");
        }
    }
}

/// How long after midnight a product's day is sealed, spread over five minutes by the product's name.
#[must_use]
pub fn seal_delay(product: &ProductId) -> Duration {
    let spread = product.as_str().bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % 300;
    Duration::from_secs(600 + spread)
}

/// How long before midnight tomorrow's files are made, spread likewise.
#[must_use]
pub fn prepare_lead(product: &ProductId) -> Duration {
    seal_delay(product)
}

/// Tells whether `day` is over and its late comers have had their time.
#[must_use]
pub fn is_due_to_seal(day: UtcDay, product: &ProductId, clock: &Clock) -> bool {
    let due = day.next().start().0.saturating_add(u64::try_from(seal_delay(product).as_nanos()).unwrap_or(u64::MAX));
    clock.now().0 >= due
}
