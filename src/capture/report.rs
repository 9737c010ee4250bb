//! What a capture says about itself: metrics, alerts, the status line, the closing table.

pub mod alerts;
pub mod counter;
pub mod machine;
pub mod metrics;
pub mod redundancy;
pub mod summary;
pub mod watch;
