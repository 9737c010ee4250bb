//! The journal's thread writes the journal, the rejects and the exact texts. No other thread formats such a line or waits for one.
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
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::product::ProductId;
use crate::store::event::Event;
use crate::store::journal::{EXACT_TEXTS, JOURNAL, JournalFile, REJECTS, REJECTS_CAP_BYTES};
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

/// A line of the other files.
enum QueuedLine {
    Reject { at: UnixNanos, reason: &'static str, raw: Box<[u8]> },
    Exact { at: UnixNanos, product: ProductId, column: &'static str, key: u64, text: Box<str> },
}

/// Why a doubt ended that nothing settled: the capture ended first.
const UNSETTLED: &str = "stopped";

/// A handle by which any thread sends lines to the journal's thread.
#[derive(Clone)]
pub(crate) struct JournalHandle {
    events: Sender<QueuedEvent>,
    lines: Sender<QueuedLine>,
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
        let (lines, waiting_lines) = bounded(WAITING_LINES);
        let journal = Self { events, lines, metrics: Arc::clone(&metrics), clock: clock.clone() };
        let thread = spawn("journal", Stack::Small, stop, move || {
            JournalWriter::new(&dir, &metrics, &clock).write_all(waiting_events, waiting_lines)
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
        self.send(QueuedLine::Reject { at: self.clock.now(), reason, raw: kept.into() });
    }

    /// Keeps a decimal text that the column's f64 does not give back.
    pub(crate) fn exact(&self, product: &ProductId, column: &'static str, key: u64, text: &[u8]) {
        self.metrics.inexact_texts.one();
        let text = String::from_utf8_lossy(text).into_owned().into_boxed_str();
        self.send(QueuedLine::Exact { at: self.clock.now(), product: product.clone(), column, key, text });
    }

    fn send(&self, line: QueuedLine) {
        if self.lines.try_send(line).is_err() {
            self.metrics.unwritten_lines.one();
        }
    }
}

/// The files of the journal's thread.
struct JournalWriter<'a> {
    journal: JournalFile,
    rejects: JournalFile,
    exact: JournalFile,
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
            exact: JournalFile::new(dir.path(), EXACT_TEXTS),
            metrics,
            clock,
            unwritten_journaled: 0,
        }
    }

    fn write_all(mut self, mut events: Receiver<QueuedEvent>, mut lines: Receiver<QueuedLine>) -> Result<(), StoreError> {
        let (mut has_events, mut has_lines) = (true, true);
        while has_events || has_lines {
            let written = select! {
                recv(events) -> event => match event {
                    Ok(QueuedEvent { at, event }) => self.journal.append(at, &event),
                    Err(_) => {
                        (has_events, events) = (false, never());
                        Ok(())
                    }
                },
                recv(lines) -> line => match line {
                    Ok(line) => self.keep(line),
                    Err(_) => {
                        (has_lines, lines) = (false, never());
                        Ok(())
                    }
                },
            };
            self.note(written);
            if events.is_empty() && lines.is_empty() {
                self.journal_unwritten();
            }
        }
        self.journal.finish()?;
        self.rejects.finish()?;
        self.exact.finish()
    }

    fn keep(&mut self, line: QueuedLine) -> Result<(), StoreError> {
        match line {
            QueuedLine::Reject { at, reason, raw } => {
                let raw = String::from_utf8_lossy(&raw).into_owned();
                self.rejects.append(at, &Event::Reject { reason: reason.into(), raw })
            }
            QueuedLine::Exact { at, product, column, key, text } => {
                self.exact.append(at, &Event::Exact { product, column: column.into(), key, text: text.into_string() })
            }
        }
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
