//! What a capture tells of itself: metrics, alerts, the status line, the closing table.

pub mod alerts;
pub mod machine;
pub mod metrics;
pub mod redundancy;
pub mod summary;
pub mod watch;
