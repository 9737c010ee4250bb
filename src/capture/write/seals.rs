//! [`Seals`]: the dataset-days that a product has closed and that are not sealed yet.
//!
//! A seal that has failed, on a full disk for example, is tried again after [`RETRY`], until it succeeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::service::files::SealProgress;
use crate::schema::Dataset;
use crate::store::DayKey;
use crate::time::UtcDay;

/// How long a day whose seal has failed waits until it is opened again for another one.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// The seals of one product that are to come.
#[derive(Debug, Default)]
pub(super) struct Seals {
    /// Days on their way to their seal.
    asked: Vec<(DayKey, Arc<SealProgress>)>,
    /// Days whose seal has failed, and when each is tried again.
    failed: Vec<(DayKey, Instant)>,
}

impl Seals {
    /// Adds a day that is closed. The provisioner says in what this gives how far its seal is.
    pub(super) fn add(&mut self, key: DayKey) -> Arc<SealProgress> {
        let progress = Arc::new(SealProgress::default());
        self.asked.push((key, Arc::clone(&progress)));
        progress
    }

    /// Forgets the seals that are over. Those that have failed wait for another try.
    pub(super) fn forget_over(&mut self, now: Instant) {
        for (key, progress) in self.asked.extract_if(.., |(_, progress)| progress.is_over()) {
            if progress.has_failed() && !self.failed.iter().any(|(known, _)| *known == key) {
                self.failed.push((key, now + RETRY));
            }
        }
    }

    /// Tells whether the seal of a dataset-day is still to come, as far as is known.
    pub(super) fn is_awaited(&self, dataset: Dataset, date: UtcDay) -> bool {
        self.asked.iter().any(|(key, _)| key.dataset == dataset && key.date == date)
    }

    /// Takes the days that are to be tried again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<DayKey> {
        self.failed.extract_if(.., |(_, at)| *at <= now).map(|(key, _)| key).collect()
    }

    /// Has a day tried again later that could not be opened.
    pub(super) fn put_off(&mut self, key: DayKey, now: Instant) {
        self.failed.push((key, now + RETRY));
    }
}
