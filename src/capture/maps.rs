//! Compares the memory maps that the products need with what the system allows, before any of them is made.

use crate::capture::config::CaptureConfig;
use crate::capture::error::{CaptureError, MAPS_ADVICE};
use crate::store::map_budget;

/// Days that the budget of maps counts: yesterday, today, tomorrow.
pub(crate) const DAYS_BUDGETED: u64 = 3;

/// Gives the maps that so many products need, three days of each, and those that the system allows.
#[must_use]
pub(crate) fn budget(config: &CaptureConfig, products: usize) -> (u64, u64) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let columns = config.datasets.iter().map(|dataset| dataset.columns_of(config.columns).len()).sum();
    let budget = map_budget(count(products), count(config.datasets.iter().count()), count(columns));
    (budget.needed, budget.allowed)
}

/// Refuses products of which not even one day can be mapped. Warns where three days cannot.
pub(super) fn check(config: &CaptureConfig, products: usize) -> Result<(), CaptureError> {
    let (needed, allowed) = budget(config, products);
    if needed / DAYS_BUDGETED > allowed {
        return Err(CaptureError::Maps { needed: needed / DAYS_BUDGETED, allowed });
    }
    if needed > allowed {
        log::warn!("{needed} memory maps may be needed around midnight, {allowed} are allowed: {MAPS_ADVICE}");
    }
    Ok(())
}
