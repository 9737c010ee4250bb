//! The journal's thread writes the journal and the rejects. No other thread formats such a line or waits for one. The exact texts are the exception: see
//! [`super::exact_texts`].
//!
//! 1. Lines arrive through bounded channels, and nobody waits for room: a line that finds its channel full is counted, and the count is journaled.
//!    The journal has a channel of its own, so that many rejects cannot keep an event out of it.
//! 2. The rejects file of a day has a largest size. [`crate::store`] counts what is beyond it.
//! 3. A line that cannot be written waits, with at most [`WAITING_LINES`] behind it, and is tried again every second: a full disk costs no line. What is left
//!    at the end is counted, and the capture fails.
//! 4. A file that somebody removes, renames, cuts or replaces is begun anew, and the journal says so.
//!
//! Thread `journal`: owns the open files; ends when every handle is dropped and the channels are empty.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use crate::capture::report::metrics::Metrics;
use crate::capture::service::exact_texts::ExactTexts;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::product::ProductId;
use crate::store::event::Event;
use crate::store::journal::{JOURNAL, JournalFile, News, REJECTS, REJECTS_CAP_BYTES};
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
    /// Makes the handle, and what the thread is started with. Lines may be sent at once; they wait for the thread in their channels.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, clock: Clock) -> (Self, JournalStart) {
        let (events, waiting_events) = bounded(WAITING_LINES);
        let (rejects, waiting_rejects) = bounded(WAITING_LINES);
        let exact = Arc::new(ExactTexts::new(Arc::clone(&metrics)));
        let start = JournalStart {
            waiting_events,
            waiting_rejects,
            exact: Arc::clone(&exact),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        (Self { events, rejects, exact, metrics, clock }, start)
    }

    /// Journals an event, with the present time.
    pub(crate) fn write(&self, event: Event) {
        if matches!(&event, Event::DoubtRefuted { why, .. } if why == UNSETTLED) {
            self.metrics.unsettled_doubts.one();
        }
        let at = self.clock.now();
        self.metrics.last_error.note(at, &event);
        if self.events.try_send(QueuedEvent { at, event: Box::new(event) }).is_err() {
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

/// What the thread `journal` is started with, as soon as there is a directory to write to.
pub(crate) struct JournalStart {
    waiting_events: Receiver<QueuedEvent>,
    waiting_rejects: Receiver<QueuedReject>,
    exact: Arc<ExactTexts>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl JournalStart {
    /// Starts the thread `journal`, which writes to `dir`.
    ///
    /// # Errors
    /// Where the system cannot start a thread.
    pub(crate) fn start(self, dir: Arc<DataDir>, stop: &Stop) -> std::io::Result<JoinHandle<Result<(), StoreError>>> {
        let Self { waiting_events, waiting_rejects, exact, metrics, clock } = self;
        exact.write_to(Arc::clone(&dir));
        spawn("journal", Stack::Small, stop, move || {
            // All threads that keep texts have ended with their handles.
            JournalWriter::new(&dir, &metrics, &clock).write_all(waiting_events, waiting_rejects, &exact)
        })
    }
}

/// How long the thread waits for a line.
const IDLE: Duration = Duration::from_secs(3600);

/// Time between two tries of a line that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// A file, and the lines that wait because the file could not be written to.
struct KeptFile {
    file: JournalFile,
    waiting: VecDeque<(UnixNanos, Event)>,
    /// Whether the failure was logged.
    is_failing: bool,
}

impl KeptFile {
    fn new(file: JournalFile) -> Self {
        Self { file, waiting: VecDeque::new(), is_failing: false }
    }

    /// Writes a line behind those that wait. Counts it where too many wait.
    fn write(&mut self, at: UnixNanos, event: Event, metrics: &Metrics) {
        if self.waiting.len() >= WAITING_LINES {
            metrics.unwritten_lines.one();
        } else {
            self.waiting.push_back((at, event));
        }
        if !self.is_failing {
            self.write_waiting(metrics);
        }
    }

    /// Writes the lines that wait, up to one that cannot be written.
    fn write_waiting(&mut self, metrics: &Metrics) {
        while let Some((at, event)) = self.waiting.front() {
            if let Err(error) = self.file.append(*at, event) {
                metrics.note_write_failure("journal", &error);
                if !std::mem::replace(&mut self.is_failing, true) {
                    log::error!("journal: {error}; it is tried again every second");
                }
                return;
            }
            self.waiting.pop_front();
        }
        if std::mem::replace(&mut self.is_failing, false) {
            log::info!("journal: what had to wait is written");
        }
    }

    /// Writes what is left and closes the file. Counts what cannot be written.
    fn finish(&mut self, metrics: &Metrics) -> Result<(), StoreError> {
        while let Some((at, event)) = self.waiting.pop_front() {
            if let Err(error) = self.file.append(at, &event) {
                metrics.unwritten_lines.add(1 + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX));
                return Err(error);
            }
        }
        self.file.finish()
    }
}

/// The files of the journal's thread.
struct JournalWriter<'a> {
    journal: KeptFile,
    rejects: KeptFile,
    metrics: &'a Metrics,
    clock: &'a Clock,
    /// Dropped lines that the journal knows of.
    unwritten_journaled: u64,
}

impl<'a> JournalWriter<'a> {
    fn new(dir: &DataDir, metrics: &'a Metrics, clock: &'a Clock) -> Self {
        Self {
            journal: KeptFile::new(JournalFile::new(dir.path(), JOURNAL)),
            rejects: KeptFile::new(JournalFile::capped(dir.path(), REJECTS, REJECTS_CAP_BYTES)),
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
        let mut retry_at = Instant::now();
        while has_events || has_rejects {
            select! {
                recv(events) -> event => match event {
                    Ok(QueuedEvent { at, event }) => self.journal.write(at, *event, self.metrics),
                    Err(_) => (has_events, events) = (false, never()),
                },
                recv(rejects) -> reject => match reject {
                    Ok(QueuedReject { at, reason, raw }) => {
                        let raw = String::from_utf8_lossy(&raw).into_owned();
                        self.rejects.write(at, Event::Reject { reason: reason.into(), raw }, self.metrics);
                    }
                    Err(_) => (has_rejects, rejects) = (false, never()),
                },
                default(self.pause()) => {}
            }
            if self.is_failing() && Instant::now() >= retry_at {
                retry_at = Instant::now() + RETRY;
                self.files().for_each(|(file, metrics)| file.write_waiting(metrics));
            }
            self.journal_news(exact);
            if events.is_empty() && rejects.is_empty() {
                self.journal_unwritten();
            }
        }
        let kept = exact.finish();
        self.rejects.finish(self.metrics)?;
        self.journal_news(exact);
        self.journal_unwritten();
        self.journal.finish(self.metrics)?;
        kept
    }

    fn files(&mut self) -> impl Iterator<Item = (&mut KeptFile, &'a Metrics)> {
        let metrics = self.metrics;
        [&mut self.journal, &mut self.rejects].into_iter().map(move |file| (file, metrics))
    }

    fn is_failing(&self) -> bool {
        [&self.journal, &self.rejects].iter().any(|file| file.is_failing)
    }

    /// Gives how long to wait for a line.
    fn pause(&self) -> Duration {
        if self.is_failing() { RETRY } else { IDLE }
    }

    /// Journals what somebody has done to the files.
    fn journal_news(&mut self, exact: &ExactTexts) {
        let mut news: Vec<News> = self.files().filter_map(|(file, _)| file.file.take_news()).collect();
        news.append(&mut exact.take_news());
        for News { file, what } in news {
            log::warn!("{file}: {what}");
            let now = self.clock.now();
            self.journal.write(now, Event::FileDisturbed { file, what: what.into() }, self.metrics);
        }
    }

    fn journal_unwritten(&mut self) {
        let unwritten = self.metrics.unwritten_lines.get();
        if unwritten != self.unwritten_journaled {
            self.unwritten_journaled = unwritten;
            self.journal.write(self.clock.now(), Event::LinesLost { lines: unwritten }, self.metrics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::read;
    use crate::time::UtcDay;

    #[test]
    fn lines_that_cannot_be_written_wait_in_order_and_no_more_than_there_is_room_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("data");
        let metrics = Metrics::default();
        let mut kept = KeptFile::new(JournalFile::new(&dir, JOURNAL));
        let event = |number: u64| Event::LinesLost { lines: number };
        let at = |number: u64| UnixNanos(number);
        let most = u64::try_from(WAITING_LINES).expect("small");
        // There is no directory yet.
        (0..most + 3).for_each(|number| kept.write(at(number), event(number), &metrics));
        assert!(kept.is_failing && kept.waiting.len() == WAITING_LINES);
        assert_eq!((metrics.unwritten_lines.get(), metrics.write_failures.get()), (3, 1));
        std::fs::create_dir(&dir).expect("made");
        kept.write_waiting(&metrics);
        kept.write(at(most), event(most), &metrics);
        assert!(!kept.is_failing && kept.waiting.is_empty());
        let lines: Vec<String> = read(&dir, JOURNAL, UtcDay(0), UtcDay(0)).collect();
        let expected: Vec<String> = (0..=most).map(|number| event(number).line(at(number))).collect();
        assert_eq!(lines, expected);
        std::fs::remove_dir_all(&dir).expect("removed");
        kept.write(at(0), event(0), &metrics);
        assert!(kept.finish(&metrics).is_err(), "a line that is never written is a failure");
        assert_eq!(metrics.unwritten_lines.get(), 4);
    }
}
