//! Outages: event time that passes at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::IdRange;

/// The outage under way, and those before it.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Where the present one ends, in nanoseconds of the event clock.
    pub(super) until: Option<u64>,
    /// How far the event clock is ahead of the time that has really passed, in nanoseconds.
    pub(super) skipped: u64,
    /// The length of all outages so far, in nanoseconds.
    pub(super) total: u64,
    /// The length of all outages whose number the script fixes.
    pub(super) planned: Duration,
    /// The trades of the present one, by product.
    pub(super) missed: BTreeMap<usize, IdRange>,
}

impl Outage {
    pub(super) fn new(planned: Duration) -> Self {
        Self { planned, ..Self::default() }
    }

    /// Tells whether an outage is under way.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }
}
