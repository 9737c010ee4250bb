//! What `verify` reports: product-days with their verdicts, findings, and the sums of a ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::coverage::{DayCoverage, Gap, Verdict};
use super::finding::Findings;
use super::reconcile::LedgerSums;
use super::sums::DaySums;
use super::tickers::Pairing;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::store::DayState;
use crate::time::UtcDay;

/// One dataset of one product-day.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetDay {
    /// The dataset.
    pub dataset: Dataset,
    /// Whether the day is live or sealed. `None` where it could not be opened.
    pub state: Option<DayState>,
    /// The columns that it has.
    pub set: ColumnSet,
    /// Late records that wait for the seal.
    pub late: u64,
    /// Records that no checksum covers: the newest of a live day, all of one without a commit page.
    pub unproven: u64,
    /// What its records add up to.
    pub sums: DaySums,
    /// The archive that holds it, where its files are not here. Then all this was found when it was archived.
    pub archive: Option<PathBuf>,
}

/// One product on one day.
#[derive(Debug, Clone)]
pub struct ProductDay {
    /// The product.
    pub product: ProductId,
    /// The day.
    pub date: UtcDay,
    /// Its verdict, and why.
    pub coverage: DayCoverage,
    /// The datasets that are stored.
    pub datasets: Vec<DatasetDay>,
    /// Stored trades that a ticker names. `None` where tickers hold no trade ids.
    pub named: Option<u64>,
    /// How `TICKER_TRADES` agrees with `MD`. `None` where one of them is not kept.
    pub pairing: Option<Pairing>,
}

impl ProductDay {
    /// Gives one of its datasets.
    #[must_use]
    pub fn dataset(&self, dataset: Dataset) -> Option<&DatasetDay> {
        self.datasets.iter().find(|day| day.dataset == dataset)
    }
}

/// The result of verifying a data directory.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Each product-day, by product and date.
    pub days: Vec<ProductDay>,
    /// Each gap in a product's chain of ids. Absences are included.
    pub gaps: Vec<(ProductId, Gap)>,
    /// What is wrong or missing.
    pub findings: Findings,
    /// What the check against a ledger adds up to, where there was one.
    pub ledger: Option<LedgerSums>,
    /// Journal lines that could not be read. Each is a finding.
    pub unreadable_journal_lines: u64,
    /// Journal lines that were cut off where a crash may have cut them.
    pub torn_journal_lines: u64,
    /// Journal lines of events that this version does not know.
    pub unknown_journal_lines: u64,
    /// What could not be checked, by name.
    pub not_checked: Vec<String>,
}

impl Report {
    /// Tells whether everything holds. Days that are only partial or unverifiable do.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Gives how many product-days have a dataset that is archived.
    #[must_use]
    pub fn archived(&self) -> usize {
        self.days.iter().filter(|day| day.datasets.iter().any(|kept| kept.archive.is_some())).count()
    }

    /// Gives how many product-days have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.days.iter().filter(|day| day.coverage.verdict == verdict).count()
    }
}

/// The checked datasets of each day of a product.
pub(super) type CheckedDays = BTreeMap<UtcDay, Vec<DatasetDay>>;
