//! [`OpenDay`]: one day of a product that is open for writing, with its datasets.

use std::time::{Duration, Instant};

use crate::capture::service::files;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::open_dataset::OpenDataset;
use crate::product::ProductId;
use crate::record::Record;
use crate::schema::{Dataset, Datasets};
use crate::store::StoreError;
use crate::time::{UnixNanos, UtcDay};

/// How long a day that is neither today's nor yesterday's stays open without a record, and one that was sealed already.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// How long nothing has come for a day that is over when it is sealed.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// A dataset that did not take a record, and why.
pub(super) struct Failed {
    pub(super) dataset: Dataset,
    pub(super) error: StoreError,
}

/// One day, with the datasets of it that are open.
pub(super) struct OpenDay {
    pub(super) date: UtcDay,
    /// When it last changed.
    pub(super) used: Instant,
    /// Whether it was sealed before: what comes now is late, and each further seal writes the day anew.
    pub(super) was_sealed: bool,
    /// The datasets that have something to commit.
    pub(super) changed: Datasets,
    pub(super) datasets: [Option<OpenDataset>; Dataset::ALL.len()],
}

impl OpenDay {
    pub(super) fn new(date: UtcDay) -> Self {
        Self { date, used: Instant::now(), was_sealed: false, changed: Datasets::NONE, datasets: [const { None }; _] }
    }

    #[inline]
    pub(super) fn dataset(&mut self, dataset: Dataset) -> Option<&mut OpenDataset> {
        self.datasets.get_mut(dataset as usize)?.as_mut()
    }

    /// Tells whether the day may be closed at `now`, which is `market_now` on the exchange's clock.
    pub(super) fn is_over(&self, product: &ProductId, now: Instant, market_now: UnixNanos) -> bool {
        let today = market_now.day();
        let quiet = now.saturating_duration_since(self.used);
        if self.date.next() < today || self.was_sealed {
            self.date < today && quiet >= IDLE
        } else {
            self.date < today && quiet >= QUIET && files::is_due_to_seal(self.date, product, market_now)
        }
    }

    /// Tells whether nothing has come for the day for a while.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= QUIET
    }

    pub(super) fn open_datasets(&self) -> impl Iterator<Item = &OpenDataset> {
        self.datasets.iter().flatten()
    }

    /// Stores a record in all of `wanted`, or in none of them.
    #[inline]
    pub(super) fn write(&mut self, record: Record<'_>, wanted: Datasets, effort: Effort) -> Result<Outcome, Failed> {
        for dataset in wanted.iter() {
            let Some(open) = self.dataset(dataset) else { return Ok(Outcome::NeedsWriter) };
            if let Some(obstacle) = open.obstacle(record, effort) {
                return Ok(obstacle);
            }
        }
        // A flush that begins only now makes the pages slow; that is no reason to leave the rest of the datasets out.
        let mut outcome = Outcome::NotKept;
        for dataset in wanted.iter() {
            let Some(open) = self.dataset(dataset) else { continue };
            let stored = open.insert(record).map_err(|error| Failed { dataset, error })?;
            if matches!(stored, Outcome::Written | Outcome::Late) {
                self.changed = self.changed.with(dataset);
            }
            if outcome == Outcome::NotKept {
                outcome = stored;
            }
        }
        Ok(outcome)
    }
}
