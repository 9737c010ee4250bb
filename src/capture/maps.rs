//! Compares the memory maps that the products need with what the system allows, before any of them is made.

use crate::capture::config::CaptureConfig;
use crate::capture::error::{CaptureError, MAPS_ADVICE};
use crate::store::map_budget;

/// Days that the budget of maps counts: yesterday, today, tomorrow.
pub(super) const DAYS_BUDGETED: u64 = 3;

/// Refuses products of which not even one day can be mapped. Warns where three days cannot.
pub(super) fn check(config: &CaptureConfig, products: usize) -> Result<(), CaptureError> {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let columns = config.datasets.iter().map(|dataset| dataset.columns_of(config.columns).len()).sum();
    let budget = map_budget(count(products), count(config.datasets.iter().count()), count(columns));
    if budget.needed / DAYS_BUDGETED > budget.allowed {
        return Err(CaptureError::Maps { needed: budget.needed / DAYS_BUDGETED, allowed: budget.allowed });
    }
    if budget.needed > budget.allowed {
        log::warn!("{} memory maps may be needed around midnight, {} are allowed: {MAPS_ADVICE}", budget.needed, budget.allowed);
    }
    Ok(())
}
