//! [`Holder`]: lets the files of archived days be removed or put back by whoever holds the directory: this process, or a running capture.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ArchiveError;
use crate::product::ProductId;
use crate::store::archive_request::{Act, ArchiveAnswer, ArchiveRequest};
use crate::store::archived::ArchivedDay;
use crate::store::event::Event;
use crate::store::journal::{JOURNAL, JournalFile};
use crate::store::probe::Probe;
use crate::store::{DataDir, StoreError, StoreOptions, holder_of, removal};
use crate::time::UnixNanos;

/// Time between two looks for an answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Time between two looks whether the capture is still there.
const HOLDER_INTERVAL: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The days that are done, by their places in the list given.
    pub(super) done: Vec<usize>,
    /// Why others are not.
    pub(super) failed: Vec<String>,
}

/// How files are removed and put back.
pub(super) struct Holder<'a> {
    pub(super) dir: &'a Path,
    pub(super) options: StoreOptions,
    pub(super) patience: Duration,
    pub(super) now: UnixNanos,
    /// Whether a line of the journal says that this process holds the directory.
    has_begun: bool,
    requests: u64,
}

impl<'a> Holder<'a> {
    /// Begins.
    pub(super) fn new(dir: &'a Path, force_fs: bool, probe: Option<Probe>, patience: Duration, now: UnixNanos) -> Self {
        let options = StoreOptions::default().force_fs(force_fs).probe(probe);
        Self { dir, options, patience, now, has_begun: false, requests: 0 }
    }

    /// Holds the directory. `None` where a capture does.
    ///
    /// # Errors
    /// Where it cannot be opened for writing.
    pub(super) fn hold(&mut self) -> Result<Option<(Arc<DataDir>, JournalFile)>, ArchiveError> {
        let dir = match DataDir::open_of_any_endpoint(self.dir, self.options.clone()) {
            Err(StoreError::Locked { .. }) => return Ok(None),
            opened => Arc::new(opened?),
        };
        let mut journal = JournalFile::new(self.dir, JOURNAL);
        if !self.has_begun {
            journal.append(self.now, &Event::ArchiveStarted { archive: String::new() })?;
            self.has_begun = true;
        }
        Ok(Some((dir, journal)))
    }

    /// Lets the files of a product's days be removed or put back.
    ///
    /// # Errors
    /// Where a capture holds the directory and does not answer in time.
    pub(super) fn act(&mut self, act: Act, product: &ProductId, days: &[ArchivedDay]) -> Result<Outcome, ArchiveError> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some((dir, mut journal)) = self.hold()? {
                let mut outcome = Outcome::default();
                for (place, day) in days.iter().enumerate() {
                    match removal::act_on(&dir, act, day) {
                        Ok(event) => {
                            journal.append(self.now, &event)?;
                            outcome.done.push(place);
                        }
                        Err(error) => outcome.failed.push(removal::why_not(act, day, &error)),
                    }
                }
                journal.finish()?;
                return Ok(outcome);
            }
            if let Some(answer) = self.ask(act, product, days, deadline)? {
                return Ok(answer);
            }
        }
    }

    /// Asks the capture that holds the directory. `None` where it has ended without an answer.
    fn ask(&mut self, act: Act, product: &ProductId, days: &[ArchivedDay], deadline: Instant) -> Result<Option<Outcome>, ArchiveError> {
        self.requests += 1;
        let id = self.now.0.wrapping_add(self.requests);
        let keys = days.iter().map(|day| (day.key.dataset, day.key.date)).collect();
        let request = ArchiveRequest { id, act, product: product.clone(), days: keys };
        loop {
            match request.write(self.dir) {
                Ok(()) => break,
                Err(StoreError::InUse { .. }) if Instant::now() < deadline => std::thread::sleep(LOOK_INTERVAL),
                Err(StoreError::InUse { .. }) => return Err(self.unanswered("has not taken an earlier request yet")?),
                Err(error) => return Err(error.into()),
            }
        }
        let mut looked = Instant::now();
        loop {
            if let Some(ArchiveAnswer { done, failed, .. }) = ArchiveAnswer::take(self.dir, id)? {
                return Ok(Some(Outcome { done, failed }));
            }
            if looked.elapsed() >= HOLDER_INTERVAL {
                looked = Instant::now();
                if holder_of(self.dir)?.is_none() {
                    request.withdraw(self.dir)?;
                    let answer = ArchiveAnswer::take(self.dir, id)?;
                    return Ok(answer.map(|ArchiveAnswer { done, failed, .. }| Outcome { done, failed }));
                }
            }
            if Instant::now() >= deadline {
                let what = if request.withdraw(self.dir)? { "does not take requests" } else { "has not answered yet" };
                return Err(self.unanswered(what)?);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Says that the capture does not do what it is asked for.
    fn unanswered(&self, what: &str) -> Result<ArchiveError, StoreError> {
        let (holder, dir) = (holder_of(self.dir)?.unwrap_or_else(|| "?".to_owned()), self.dir.display());
        Ok(ArchiveError::Unanswered(format!(
            "process {holder} holds {dir} and {what}: run the same command again when it has stopped, or with a longer --answer-wait"
        )))
    }
}
