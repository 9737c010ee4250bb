//! [`Report`]: what a repair did and what is still missing, in lines for people.

use std::collections::BTreeMap;

use crate::ids::IdRange;
use crate::product::ProductId;
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
            "{}: {} products; {} trades {would}taken from other tapes, {} from REST; {} {would}given order ids; {} disagree; {} ids missing",
            if self.is_whole() { "whole" } else { "not whole" },
            self.products.len(),
            sums.from_tapes,
            sums.from_rest,
            sums.completed,
            self.disagreements,
            self.missing_ids,
        ));
        lines
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
