//! The scribe: the one thread that writes journals, rejects and exact texts, so that nobody else formats or waits for a line.
//!
//! 1. Others hand it lines through bounded channels and never wait: a line that finds its channel full is counted, and the count is journaled.
//!    The journal has a channel of its own, so that a flood of rejects cannot keep an event out of it.
//! 2. The rejects of a day are capped by [`crate::store`]; what is beyond the cap is counted there.
//!
//! Thread `journal`: owns the open files; ends when every handle is gone and the channel is empty.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use crate::capture::report::metrics::Metrics;
use crate::capture::stop::Stop;
use crate::product::ProductId;
use crate::store::event::Event;
use crate::store::journal::{EXACT_TEXTS, JOURNAL, JournalFile, REJECTS};
use crate::store::{DataDir, StoreError};
use crate::time::{Clock, UnixNanos};

/// Lines that may wait for the scribe in each channel.
const WAITING_LINES: usize = 8192;

/// Longest raw text kept of a message that could not be used, in bytes.
pub const LONGEST_REJECT_BYTES: usize = 4096;

/// Bytes of a day's rejects file; what is beyond is counted.
pub const REJECTS_CAP_BYTES: u64 = 64 << 20;

struct QueuedEvent {
    at: UnixNanos,
    /// Boxed: the channel has room for many, and an event has many fields.
    event: Box<Event>,
}

enum QueuedLine {
    Reject { at: UnixNanos, reason: &'static str, raw: Box<[u8]> },
    Exact { at: UnixNanos, product: ProductId, column: &'static str, key: u64, text: Box<str> },
}

/// A handle through which any thread has something written down.
#[derive(Clone)]
pub struct JournalHandle {
    journal: Sender<QueuedEvent>,
    kept: Sender<QueuedLine>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl JournalHandle {
    /// Starts the thread `journal`.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub fn start(
        dir: Arc<DataDir>,
        metrics: Arc<Metrics>,
        clock: Clock,
        stop: Stop,
    ) -> std::io::Result<(Self, JoinHandle<Result<(), StoreError>>)> {
        let (journal, told) = bounded(WAITING_LINES);
        let (kept, keep) = bounded(WAITING_LINES);
        let journal = Self { journal, kept, metrics: Arc::clone(&metrics), clock: clock.clone() };
        let thread =
            std::thread::Builder::new().name("journal".to_owned()).stack_size(crate::capture::SMALL_STACK_BYTES).spawn(move || {
                let _on_panic = stop.on_panic();
                JournalWriter::new(&dir, &metrics, &clock).write_all(&told, &keep)
            })?;
        Ok((journal, thread))
    }

    /// Journals an event, stamped with the time of now.
    pub fn write(&self, event: Event) {
        if self.journal.try_send(QueuedEvent { at: self.clock.now(), event: Box::new(event) }).is_err() {
            self.metrics.unwritten_lines.one();
        }
    }

    /// Keeps a message that could not be used, cut at [`LONGEST_REJECT_BYTES`].
    pub fn reject(&self, reason: &'static str, raw: &[u8]) {
        self.metrics.count_reject(reason);
        let kept = raw.get(..LONGEST_REJECT_BYTES).unwrap_or(raw);
        self.send(QueuedLine::Reject { at: self.clock.now(), reason, raw: kept.into() });
    }

    /// Keeps a decimal text that its f64 does not give back.
    pub fn exact(&self, product: &ProductId, column: &'static str, key: u64, text: &[u8]) {
        self.metrics.inexact_texts.one();
        let text = String::from_utf8_lossy(text).into_owned().into_boxed_str();
        self.send(QueuedLine::Exact { at: self.clock.now(), product: product.clone(), column, key, text });
    }

    fn send(&self, line: QueuedLine) {
        if self.kept.try_send(line).is_err() {
            self.metrics.unwritten_lines.one();
        }
    }
}

/// What the thread writes with.
struct JournalWriter<'a> {
    journal: JournalFile,
    rejects: JournalFile,
    exact: JournalFile,
    metrics: &'a Metrics,
    clock: &'a Clock,
    unwritten_told: u64,
}

impl<'a> JournalWriter<'a> {
    fn new(dir: &DataDir, metrics: &'a Metrics, clock: &'a Clock) -> Self {
        Self {
            journal: JournalFile::new(dir.path(), JOURNAL),
            rejects: JournalFile::capped(dir.path(), REJECTS, REJECTS_CAP_BYTES),
            exact: JournalFile::new(dir.path(), EXACT_TEXTS),
            metrics,
            clock,
            unwritten_told: 0,
        }
    }

    fn write_all(mut self, told: &Receiver<QueuedEvent>, kept: &Receiver<QueuedLine>) -> Result<(), StoreError> {
        let (mut told, mut kept) = (told.clone(), kept.clone());
        let (mut has_told, mut has_kept) = (true, true);
        while has_told || has_kept {
            let written = select! {
                recv(told) -> line => match line {
                    Ok(QueuedEvent { at, event }) => self.journal.append(at, &event),
                    Err(_) => {
                        (has_told, told) = (false, never());
                        Ok(())
                    }
                },
                recv(kept) -> line => match line {
                    Ok(line) => self.keep(line),
                    Err(_) => {
                        (has_kept, kept) = (false, never());
                        Ok(())
                    }
                },
            };
            self.note(written);
            if told.is_empty() && kept.is_empty() {
                self.tell_unwritten();
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

    fn tell_unwritten(&mut self) {
        let unwritten = self.metrics.unwritten_lines.get();
        if unwritten != self.unwritten_told {
            self.unwritten_told = unwritten;
            let written = self.journal.append(self.clock.now(), &Event::LinesLost { lines: unwritten });
            self.note(written);
        }
    }

    fn note(&self, written: Result<(), StoreError>) {
        if let Err(error) = written {
            self.metrics.unwritten_lines.one();
            self.metrics.write_failures.one();
            log::error!("journal: {error}");
        }
    }
}
