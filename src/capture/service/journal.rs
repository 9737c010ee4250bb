//! The journal's thread writes the journal and the rejects. No other thread formats such a line or waits for one. The exact texts are the exception: see
//! [`super::exact_texts`].
//!
//! 1. Lines arrive through bounded channels, and nobody waits for room: a line that finds its channel full is counted, and the count is journaled.
//!    The journal has a channel of its own, so that many rejects cannot keep an event out of it.
//! 2. The rejects file of a day has a largest size. [`crate::store`] counts what is beyond it.
//!
//! Thread `journal`: owns the open files; ends when every handle is dropped and the channels are empty.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use crate::capture::report::metrics::Metrics;
use crate::capture::service::exact_texts::ExactTexts;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::product::ProductId;
use crate::store::event::Event;
use crate::store::journal::{JOURNAL, JournalFile, REJECTS, REJECTS_CAP_BYTES};
use crate::store::{DataDir, StoreError};
use crate::time::{Clock, UnixNanos};

/// Lines that may wait in each channel.
const WAITING_LINES: usize = 8192;

/// Longest raw text that is kept of a message that could not be used, in bytes.
pub(crate) const LONGEST_REJECT_BYTES: usize = 4096;

/// A line of the journal.
struct QueuedEvent {
    at: UnixNanos,
    /// Boxed: the channel has room for many, and an event has many fields.
    event: Box<Event>,
}

/// A line of the rejects.
struct QueuedReject {
    at: UnixNanos,
    reason: &'static str,
    raw: Box<[u8]>,
}

/// Why a doubt ended that nothing settled: the capture ended first.
const UNSETTLED: &str = "stopped";

/// A handle by which any thread sends lines to the journal's thread.
#[derive(Clone)]
pub(crate) struct JournalHandle {
    events: Sender<QueuedEvent>,
    rejects: Sender<QueuedReject>,
    exact: Arc<ExactTexts>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl JournalHandle {
    /// Starts the thread `journal`.
    ///
    /// # Errors
    /// Where the system cannot start a thread.
    pub(crate) fn start(
        dir: Arc<DataDir>,
        metrics: Arc<Metrics>,
        clock: Clock,
        stop: &Stop,
    ) -> std::io::Result<(Self, JoinHandle<Result<(), StoreError>>)> {
        let (events, waiting_events) = bounded(WAITING_LINES);
        let (rejects, waiting_rejects) = bounded(WAITING_LINES);
        let exact = Arc::new(ExactTexts::new(Arc::clone(&dir), Arc::clone(&metrics)));
        let journal = Self { events, rejects, exact: Arc::clone(&exact), metrics: Arc::clone(&metrics), clock: clock.clone() };
        let thread = spawn("journal", Stack::Small, stop, move || {
            // All threads that keep texts have ended with their handles.
            JournalWriter::new(&dir, &metrics, &clock).write_all(waiting_events, waiting_rejects, &exact)
        })?;
        Ok((journal, thread))
    }

    /// Journals an event, with the present time.
    pub(crate) fn write(&self, event: Event) {
        if matches!(&event, Event::DoubtRefuted { why, .. } if why == UNSETTLED) {
            self.metrics.unsettled_doubts.one();
        }
        if self.events.try_send(QueuedEvent { at: self.clock.now(), event: Box::new(event) }).is_err() {
            self.metrics.unwritten_lines.one();
        }
    }

    /// Keeps a message that could not be used, up to [`LONGEST_REJECT_BYTES`] of it.
    pub(crate) fn reject(&self, reason: &'static str, raw: &[u8]) {
        self.metrics.count_reject(reason);
        let kept = raw.get(..LONGEST_REJECT_BYTES).unwrap_or(raw);
        if self.rejects.try_send(QueuedReject { at: self.clock.now(), reason, raw: kept.into() }).is_err() {
            self.metrics.unwritten_lines.one();
        }
    }

    /// Keeps a decimal text that the column's f64 does not give back: it is in its file when this returns. `time` is when its record happened.
    pub(crate) fn exact(&self, time: UnixNanos, product: &ProductId, column: &'static str, key: u64, text: &[u8]) {
        self.exact.keep(time, product, column, key, text);
    }
}

/// The files of the journal's thread.
struct JournalWriter<'a> {
    journal: JournalFile,
    rejects: JournalFile,
    metrics: &'a Metrics,
    clock: &'a Clock,
    /// Dropped lines that the journal knows of.
    unwritten_journaled: u64,
}

impl<'a> JournalWriter<'a> {
    fn new(dir: &DataDir, metrics: &'a Metrics, clock: &'a Clock) -> Self {
        Self {
            journal: JournalFile::new(dir.path(), JOURNAL),
            rejects: JournalFile::capped(dir.path(), REJECTS, REJECTS_CAP_BYTES),
            metrics,
            clock,
            unwritten_journaled: 0,
        }
    }

    fn write_all(
        mut self,
        mut events: Receiver<QueuedEvent>,
        mut rejects: Receiver<QueuedReject>,
        exact: &ExactTexts,
    ) -> Result<(), StoreError> {
        let (mut has_events, mut has_rejects) = (true, true);
        while has_events || has_rejects {
            let written = select! {
                recv(events) -> event => match event {
                    Ok(QueuedEvent { at, event }) => self.journal.append(at, &event),
                    Err(_) => {
                        (has_events, events) = (false, never());
                        Ok(())
                    }
                },
                recv(rejects) -> reject => match reject {
                    Ok(QueuedReject { at, reason, raw }) => {
                        let raw = String::from_utf8_lossy(&raw).into_owned();
                        self.rejects.append(at, &Event::Reject { reason: reason.into(), raw })
                    }
                    Err(_) => {
                        (has_rejects, rejects) = (false, never());
                        Ok(())
                    }
                },
            };
            self.note(written);
            if events.is_empty() && rejects.is_empty() {
                self.journal_unwritten();
            }
        }
        let kept = exact.finish();
        self.journal_unwritten();
        self.journal.finish()?;
        self.rejects.finish()?;
        kept
    }

    fn journal_unwritten(&mut self) {
        let unwritten = self.metrics.unwritten_lines.get();
        if unwritten != self.unwritten_journaled {
            self.unwritten_journaled = unwritten;
            let written = self.journal.append(self.clock.now(), &Event::LinesLost { lines: unwritten });
            self.note(written);
        }
    }

    fn note(&self, written: Result<(), StoreError>) {
        if let Err(error) = written {
            self.metrics.unwritten_lines.one();
            self.metrics.note_write_failure("journal", &error);
            log::error!("journal: {error}");
        }
    }
}
