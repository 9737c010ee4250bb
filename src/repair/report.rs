//! [`Report`]: what a repair did and what is still missing, in lines for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::DayKey;
use crate::time::UtcDay;

use super::difference::Difference;

/// Differences listed one by one. Beyond that they are counted.
const MAX_DIFFERENCES: usize = 1000;
/// Gaps listed one by one. Beyond that they are counted.
const MAX_GAPS: usize = 1000;

/// What was done for one product-day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayWork {
    /// Trades taken from other tapes.
    pub from_tapes: u64,
    /// Trades taken from REST.
    pub from_rest: u64,
    /// Stored trades that got the order ids they lacked.
    pub completed: u64,
    /// Trades that another tape or REST has differently.
    pub disagreements: u64,
    /// Ids that are still missing behind its trades.
    pub missing: u64,
}

/// A dataset-day that was taken whole from another tape, because it was not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtDay {
    /// Which.
    pub day: DayKey,
    /// The folder of the other tape.
    pub from: PathBuf,
    /// Records that it holds.
    pub records: u64,
    /// Whether it has no commit page there, so that its bytes could not be checked. It has none here either.
    pub is_unproven: bool,
}

/// One gap that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub product: ProductId,
    /// Which ids.
    pub ids: IdRange,
    /// Why.
    pub why: String,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether nothing was written.
    pub is_dry: bool,
    /// The products that were repaired.
    pub products: Vec<ProductId>,
    /// What was done, day by day; days without any work are left out.
    pub days: BTreeMap<(ProductId, UtcDay), DayWork>,
    /// Days that were not here and were taken whole, trades and tickers.
    pub brought: Vec<BroughtDay>,
    /// Trades that differ, as far as they are listed.
    pub differences: Vec<Difference>,
    /// How many trades differ in all.
    pub disagreements: u64,
    /// The gaps that are left, as far as they are listed.
    pub missing: Vec<Missing>,
    /// How many gaps are left in all.
    pub missing_gaps: u64,
    /// How many ids are missing in all.
    pub missing_ids: u64,
    /// Remarks: what was not used, and why.
    pub remarks: Vec<String>,
    /// What failed, and why.
    pub failures: Vec<String>,
}

impl Report {
    /// Tells whether nothing is missing, nothing disagrees and nothing failed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.disagreements == 0 && self.missing_ids == 0 && self.failures.is_empty()
    }

    /// Gives the sums over all days.
    #[must_use]
    pub fn sums(&self) -> DayWork {
        self.days.values().fold(DayWork::default(), |sum, day| DayWork {
            from_tapes: sum.from_tapes + day.from_tapes,
            from_rest: sum.from_rest + day.from_rest,
            completed: sum.completed + day.completed,
            disagreements: sum.disagreements + day.disagreements,
            missing: sum.missing + day.missing,
        })
    }

    /// Gives the report in lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let would = if self.is_dry { "would be " } else { "" };
        for ((product, date), work) in &self.days {
            let DayWork { from_tapes, from_rest, completed, disagreements, missing } = work;
            lines.push(format!(
                "{product} {date}: {from_tapes} trades {would}taken from other tapes, {from_rest} from REST; {completed} {would}given order ids; \
                 {disagreements} disagree; {missing} ids missing"
            ));
        }
        lines.extend(self.brought_lines(would));
        lines.extend(self.differences.iter().map(ToString::to_string));
        let unlisted = self.disagreements.saturating_sub(self.differences.len() as u64);
        if unlisted > 0 {
            lines.push(format!("{unlisted} more trades that disagree"));
        }
        lines.extend(self.missing.iter().map(|Missing { product, ids, why }| format!("{product} {ids} missing: {why}")));
        let unlisted = self.missing_gaps.saturating_sub(self.missing.len() as u64);
        if unlisted > 0 {
            lines.push(format!("{unlisted} more stretches of ids missing"));
        }
        lines.extend(self.remarks.iter().cloned());
        lines.extend(self.failures.iter().map(|failure| format!("failed: {failure}")));
        let sums = self.sums();
        lines.push(format!(
            "{}: {} products; {} days {would}brought from other tapes; {} trades {would}taken from other tapes, {} from REST; {} {would}given order ids; \
             {} disagree; {} ids missing",
            if self.is_whole() { "done" } else { "not done" },
            self.products.len(),
            self.brought.len(),
            sums.from_tapes,
            sums.from_rest,
            sums.completed,
            self.disagreements,
            self.missing_ids,
        ));
        if self.is_whole() && !self.has_changed_anything() {
            lines.push("nothing to do: no id is known to be missing, and no other tape has more".to_owned());
        }
        lines
    }

    /// Tells whether anything was stored.
    #[must_use]
    pub fn has_changed_anything(&self) -> bool {
        let DayWork { from_tapes, from_rest, completed, .. } = self.sums();
        !self.brought.is_empty() || from_tapes + from_rest + completed > 0
    }

    /// Gives a line for each dataset of a product of which days were brought from a tape.
    fn brought_lines(&self, would: &str) -> Vec<String> {
        /// Days, records, first and last day.
        type Sum = (u64, u64, UtcDay, UtcDay);
        let mut sums: BTreeMap<(&ProductId, Dataset, &PathBuf, bool), Sum> = BTreeMap::new();
        for BroughtDay { day, from, records, is_unproven } in &self.brought {
            let sum = sums.entry((&day.product, day.dataset, from, *is_unproven)).or_insert((0, 0, day.date, day.date));
            *sum = (sum.0 + 1, sum.1 + records, sum.2.min(day.date), sum.3.max(day.date));
        }
        let mut lines = Vec::with_capacity(sums.len());
        for ((product, dataset, from, is_unproven), (days, records, first, last)) in sums {
            let unproven = if is_unproven { "; without commit pages, so nothing proves their bytes" } else { "" };
            let (folder, from) = (dataset.folder(), from.display());
            lines.push(format!(
                "{product} {folder}: {days} days from {first} to {last} with {records} records {would}brought from {from}{unproven}"
            ));
        }
        lines
    }

    pub(super) fn add_brought(&mut self, brought: BroughtDay) {
        if brought.day.dataset == Dataset::Trades {
            self.day(&brought.day.product, brought.day.date).from_tapes += brought.records;
        }
        self.brought.push(brought);
    }

    pub(super) fn day(&mut self, product: &ProductId, date: UtcDay) -> &mut DayWork {
        self.days.entry((product.clone(), date)).or_default()
    }

    pub(super) fn add_missing(&mut self, product: &ProductId, ids: IdRange, why: impl FnOnce() -> String) {
        self.missing_ids = self.missing_ids.saturating_add(ids.count());
        self.missing_gaps += 1;
        if self.missing.len() < MAX_GAPS {
            self.missing.push(Missing { product: product.clone(), ids, why: why() });
        }
    }

    pub(super) fn add_difference(&mut self, difference: Difference) {
        self.disagreements += 1;
        self.day(&difference.product, difference.date).disagreements += 1;
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(difference);
        }
    }
}
