//! What `archive` and `restore` have done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::product::ProductId;
use crate::time::UtcDay;
use crate::verdict::Verdict;

/// A product-day that was moved, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovedDay {
    /// The product.
    pub product: ProductId,
    /// The day.
    pub date: UtcDay,
    /// Its verdict.
    pub verdict: Verdict,
    /// Its records, of all datasets.
    pub records: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// The bytes that it takes in the archive. 0 where it was not moved.
    pub archived_bytes: u64,
}

/// Less room is free than [`ArchiveConfig::keep_free`](super::ArchiveConfig::keep_free) asks for, although every day has gone that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortfall {
    /// The bytes that are to be free.
    pub wanted: u64,
    /// The bytes that are free, or would be.
    pub free: u64,
}

impl Shortfall {
    /// Compares what is wanted with what is free.
    #[cfg(feature = "export")]
    pub(super) fn between(wanted: Option<u64>, free: u64) -> Option<Self> {
        wanted.filter(|wanted| free < *wanted).map(|wanted| Self { wanted, free })
    }

    /// Gives the bytes that are wanting.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.wanted.saturating_sub(self.free)
    }
}

/// What `archive` or `restore` has done, or would do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// Whether it was only said what would be done.
    pub is_dry: bool,
    /// The folder of the archive, or where the days were brought to.
    pub to: PathBuf,
    /// The days that were moved, or would be.
    pub days: Vec<MovedDay>,
    /// Product-days that are not moved, by why.
    pub left: BTreeMap<&'static str, u64>,
    /// Dataset-days of which an earlier run had left something here, and that are finished now.
    pub finished: u64,
    /// How much room is wanting still.
    pub shortfall: Option<Shortfall>,
    /// What is to be known beside it, a line each: what a restore leaves in an archive.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<String>,
}

impl ArchiveReport {
    /// Gives the bytes of the files of all days.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.days.iter().fold(0, |sum, day| sum.saturating_add(day.bytes))
    }

    /// Gives the bytes that they take in the archive.
    #[must_use]
    pub fn archived_bytes(&self) -> u64 {
        self.days.iter().fold(0, |sum, day| sum.saturating_add(day.archived_bytes))
    }
}
