//! What `verify` reports: product-days with their verdicts, findings, and the sums of a ledger.

use super::coverage::{DayCoverage, Gap, Verdict};
use super::day::Sums;
use super::finding::Findings;
use super::reconcile::LedgerSums;
use super::tickers::Paired;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::store::DayState;
use crate::time::UtcDay;

/// One dataset of one product-day.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetDay {
    /// Which dataset.
    pub dataset: Dataset,
    /// Where the day is in its life; nothing where it could not be opened.
    pub state: Option<DayState>,
    /// Which columns it has.
    pub set: ColumnSet,
    /// Late records waiting for the seal.
    pub late: u64,
    /// What its records add up to.
    pub sums: Sums,
}

/// One product on one day.
#[derive(Debug, Clone)]
pub struct ProductDay {
    /// Whose.
    pub product: ProductId,
    /// When.
    pub date: UtcDay,
    /// What can be said of its trades.
    pub coverage: DayCoverage,
    /// The datasets stored.
    pub datasets: Vec<DatasetDay>,
    /// Trades that a ticker named; nothing where tickers hold no trade ids.
    pub named: Option<u64>,
    /// `TICKER_TRADES` held against `MD`; nothing where one of them is not kept.
    pub paired: Option<Paired>,
}

impl ProductDay {
    /// Gives one of its datasets.
    #[must_use]
    pub fn dataset(&self, dataset: Dataset) -> Option<&DatasetDay> {
        self.datasets.iter().find(|day| day.dataset == dataset)
    }
}

/// Everything that was found out about a data directory.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Each product-day, by product and date.
    pub days: Vec<ProductDay>,
    /// Each gap in a product's chain of ids. Absences are included.
    pub gaps: Vec<(ProductId, Gap)>,
    /// What is wrong or missing.
    pub findings: Findings,
    /// What holding against a ledger came to.
    pub ledger: Option<LedgerSums>,
    /// Journal lines that could not be read.
    pub unreadable_journal_lines: u64,
}

impl Report {
    /// Tells whether everything holds; what is only partial or unverifiable does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Counts the product-days of a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.days.iter().filter(|day| day.coverage.verdict == verdict).count()
    }

    /// Names the datasets whose f32s could not be held against exact values.
    #[must_use]
    pub fn unchecked_rounding(&self) -> Vec<(&ProductId, UtcDay, Dataset)> {
        let of = |day: &'_ ProductDay| {
            let unchecked = day.datasets.iter().filter(|kept| kept.state.is_some() && kept.sums.rounded.is_none());
            unchecked.map(|kept| kept.dataset).collect::<Vec<_>>()
        };
        self.days.iter().flat_map(|day| of(day).into_iter().map(move |dataset| (&day.product, day.date, dataset))).collect()
    }
}
