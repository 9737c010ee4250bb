//! [`Report`]: what a repair did and what is left, for people, line by line.

use std::collections::BTreeMap;

use crate::product::ProductId;
use crate::store::Hole;
use crate::time::UtcDay;

use super::difference::Difference;

/// Differences told one by one; beyond that they are counted.
const MAX_TOLD: usize = 1000;
/// Stretches of missing ids told one by one; beyond that they are counted.
const MAX_MISSING_TOLD: usize = 1000;

/// What was done for one product-day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayWork {
    /// Trades taken from other tapes.
    pub from_tapes: u64,
    /// Trades taken from REST.
    pub from_rest: u64,
    /// Stored trades that got the order ids they lacked.
    pub completed: u64,
    /// Trades that another tape or REST tells otherwise.
    pub disagreements: u64,
    /// Ids still missing behind its trades.
    pub missing: u64,
}

/// Ids that are missing still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub product: ProductId,
    /// Which.
    pub ids: Hole,
    /// Why.
    pub why: String,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether nothing was written.
    pub is_dry: bool,
    /// The products looked at.
    pub products: Vec<ProductId>,
    /// Its work, day by day; days without any are left out.
    pub days: BTreeMap<(ProductId, UtcDay), DayWork>,
    /// Trades told differently, as far as they are told one by one.
    pub differences: Vec<Difference>,
    /// All of them.
    pub disagreements: u64,
    /// What is missing still, as far as it is told stretch by stretch.
    pub missing: Vec<Missing>,
    /// Stretches missing still, in all.
    pub missing_stretches: u64,
    /// Ids missing still, in all.
    pub missing_ids: u64,
    /// Remarks: what was not used, and why.
    pub remarks: Vec<String>,
    /// What could not be done.
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

    /// Tells it in lines.
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
        let untold = self.disagreements.saturating_sub(self.differences.len() as u64);
        if untold > 0 {
            lines.push(format!("{untold} more trades that disagree"));
        }
        lines.extend(self.missing.iter().map(|Missing { product, ids, why }| format!("{product} {} missing: {why}", named(*ids))));
        let untold = self.missing_stretches.saturating_sub(self.missing.len() as u64);
        if untold > 0 {
            lines.push(format!("{untold} more stretches of ids missing"));
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

    pub(super) fn misses(&mut self, product: &ProductId, ids: Hole, why: impl FnOnce() -> String) {
        self.missing_ids += ids.missing();
        self.missing_stretches += 1;
        if self.missing.len() < MAX_MISSING_TOLD {
            self.missing.push(Missing { product: product.clone(), ids, why: why() });
        }
    }

    pub(super) fn differs(&mut self, difference: Difference) {
        self.disagreements += 1;
        self.day(&difference.product, difference.date).disagreements += 1;
        if self.differences.len() < MAX_TOLD {
            self.differences.push(difference);
        }
    }
}

/// Names one id or several.
pub(super) fn named(ids: Hole) -> String {
    if ids.from == ids.to { format!("id {}", ids.from) } else { format!("ids {} to {}", ids.from, ids.to) }
}
