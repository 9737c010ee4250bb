//! Trades that somebody did not receive.

use super::faults::FaultKind;
use crate::ids::IdRange;

/// Trades that one connection, or all, did not receive when they happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missed {
    /// The fault that kept them back.
    pub(super) why: FaultKind,
    pub(super) ids: IdRange,
    /// The connection; `None` for all of them.
    pub(super) client: Option<u64>,
    /// Whether they were sent later.
    pub(super) is_late: bool,
}
