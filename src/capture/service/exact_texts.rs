//! [`ExactTexts`]: writes the decimal texts that no f64 gives back, each before its record is stored.
//!
//! 1. [`ExactTexts::keep`] returns when the text is in the file. The caller passes the record on after that. So a process that is killed loses no text of a
//!    stored record, and a flush of the file system that makes a record durable makes its text durable, too.
//! 2. A text goes to the file of its record's day, where readers look for it whatever the box's clock says.
//! 3. A text that cannot be written (a full disk, a directory that another capture still holds) waits, at most [`WAITING_TEXTS`] of them, and is tried again with the next one and at the end.
//!
//! Used by the threads of connections and of REST. Long decimals are rare, so the lock and the system call cost nothing that counts.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::capture::report::metrics::Metrics;
use crate::product::ProductId;
use crate::store::event::Event;
use crate::store::journal::{EXACT_TEXTS, JournalFile, News};
use crate::store::{DataDir, StoreError};
use crate::time::{UnixNanos, UtcDay};

/// Days whose files are open at once: today, yesterday, and those that REST is asked for.
const OPEN_FILES: usize = 4;

/// Texts that wait for a disk that takes them.
const WAITING_TEXTS: usize = 4096;

/// News of the files that wait to be journaled.
const WAITING_NEWS: usize = 64;

/// A text, and when the record that it belongs to happened.
struct Text {
    time: UnixNanos,
    event: Event,
}

/// The files of exact texts.
pub(crate) struct ExactTexts {
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The directory to write to; nothing until it is held.
    dir: Option<Arc<DataDir>>,
    /// The files by day, the one used last at the end.
    files: Vec<(UtcDay, JournalFile)>,
    waiting: VecDeque<Text>,
    /// What somebody has done to the files, at most [`WAITING_NEWS`] of it.
    news: Vec<News>,
}

impl ExactTexts {
    /// Begins without a directory: until it is known, texts wait.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, state: Mutex::default() }
    }

    /// Writes to a directory from now on. What waits is in its file when this returns.
    pub(crate) fn write_to(&self, dir: Arc<DataDir>) {
        let mut state = self.state.lock();
        state.dir = Some(dir);
        self.write_waiting(&mut state);
    }

    /// Writes the text of a record's column. `time` is when the record happened, `key` says which it is.
    pub(crate) fn keep(&self, time: UnixNanos, product: &ProductId, column: &'static str, key: u64, text: &[u8]) {
        self.metrics.inexact_texts.one();
        let text = String::from_utf8_lossy(text).into_owned();
        let event = Event::Exact { product: product.clone(), column: column.into(), key, text };
        let mut state = self.state.lock();
        state.waiting.push_back(Text { time, event });
        self.write_waiting(&mut state);
        if state.waiting.len() > WAITING_TEXTS {
            state.waiting.pop_front();
            self.metrics.unwritten_lines.one();
        }
    }

    /// Gives what somebody has done to the files since the last call.
    pub(crate) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.state.lock().news)
    }

    /// Writes what waits, and closes the files.
    ///
    /// # Errors
    /// Where a text cannot be written.
    pub(crate) fn finish(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        self.write_waiting(&mut state);
        self.metrics.unwritten_lines.add(u64::try_from(state.waiting.len()).unwrap_or(u64::MAX));
        state.waiting.clear();
        state.files.iter_mut().try_for_each(|(_, file)| file.finish())?;
        state.files.clear();
        Ok(())
    }

    fn write_waiting(&self, state: &mut State) {
        let Some(dir) = state.dir.clone() else { return };
        while let Some(text) = state.waiting.pop_front() {
            if let Err(error) = state.write(&dir, &text) {
                if state.waiting.is_empty() {
                    log::error!("an exact text waits: {error}");
                }
                self.metrics.write_failures.one();
                state.waiting.push_front(text);
                return;
            }
        }
    }
}

impl State {
    fn write(&mut self, dir: &DataDir, Text { time, event }: &Text) -> Result<(), StoreError> {
        let day = time.day();
        match self.files.iter().position(|(date, _)| *date == day) {
            Some(at) => {
                let last = self.files.len() - 1;
                // The order matters only to which file is closed first.
                if at != last {
                    let used = self.files.remove(at);
                    self.files.push(used);
                }
            }
            None => {
                if self.files.len() >= OPEN_FILES {
                    let (_, mut oldest) = self.files.remove(0);
                    oldest.finish()?;
                }
                self.files.push((day, JournalFile::new(dir.path(), EXACT_TEXTS)));
            }
        }
        let Some((_, file)) = self.files.last_mut() else { return Ok(()) };
        let written = file.append(*time, event);
        if self.news.len() < WAITING_NEWS {
            self.news.extend(file.take_news());
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OWN_FOLDER, StoreOptions};

    fn texts(folder: &std::path::Path) -> ExactTexts {
        let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
        let texts = ExactTexts::new(Arc::default());
        texts.write_to(Arc::new(DataDir::open(folder, options, "test").unwrap()));
        texts
    }

    fn lines(folder: &std::path::Path, date: &str) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(OWN_FOLDER).join(format!("exact.{date}.jsonl"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_text_is_in_the_file_of_its_records_day_when_the_call_returns() {
        let folder = tempfile::tempdir().unwrap();
        let (texts, product) = (texts(folder.path()), ProductId::new("BTC-USD").unwrap());
        let mut rng = fastrand::Rng::with_seed(7);
        let days: Vec<UtcDay> = (20_000..).map(UtcDay).take(2 * OPEN_FILES).collect();
        let mut counts = vec![0; days.len()];
        for key in 0..500 {
            let at = rng.usize(..days.len());
            texts.keep(days[at].start(), &product, "trade_price_f64", key, b"0.12345678901234567891");
            counts[at] += 1;
            let lines = lines(folder.path(), &days[at].to_string());
            assert_eq!(lines.len(), counts[at], "{key}");
            assert!(
                lines.last().is_some_and(|line| line.contains(&format!("\"key\":{key},\"text\":\"0.12345678901234567891\""))),
                "{lines:?}"
            );
        }
        texts.finish().unwrap();
        assert_eq!((texts.metrics.inexact_texts.get(), texts.metrics.unwritten_lines.get()), (500, 0));
    }

    #[test]
    fn a_text_that_cannot_be_written_waits_for_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (texts, product) = (texts(folder.path()), ProductId::new("BTC-USD").unwrap());
        let day = UtcDay(20_000);
        // There is no directory to write to.
        std::fs::remove_dir_all(folder.path()).unwrap();
        (0..10).for_each(|key| texts.keep(day.start(), &product, "trade_price_f64", key, b"0.12345678901234567891"));
        assert_eq!(texts.metrics.write_failures.get(), 10);
        std::fs::create_dir(folder.path()).unwrap();
        texts.keep(day.start(), &product, "trade_price_f64", 10, b"0.12345678901234567891");
        assert_eq!((lines(folder.path(), &day.to_string()).len(), texts.metrics.unwritten_lines.get()), (11, 0));
    }

    #[test]
    fn a_text_that_comes_before_the_directory_is_held_is_in_its_file_as_soon_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (texts, product) = (ExactTexts::new(Arc::default()), ProductId::new("BTC-USD").unwrap());
        let day = UtcDay(20_000);
        (0..10).for_each(|key| texts.keep(day.start(), &product, "trade_price_f64", key, b"0.12345678901234567891"));
        assert_eq!((lines(folder.path(), &day.to_string()).len(), texts.metrics.write_failures.get()), (0, 0));
        let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
        texts.write_to(Arc::new(DataDir::open(folder.path(), options, "test").unwrap()));
        assert_eq!((lines(folder.path(), &day.to_string()).len(), texts.metrics.unwritten_lines.get()), (10, 0));
    }
}
