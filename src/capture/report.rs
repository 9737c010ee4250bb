//! What a capture says about itself: metrics, alerts, the status line, the closing table.

pub(crate) mod alerts;
pub(crate) mod counter;
pub(crate) mod machine;
pub(crate) mod metrics;
pub(crate) mod redundancy;
pub(crate) mod summary;
pub(crate) mod watch;
