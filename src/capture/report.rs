//! What a capture says about itself: metrics, alerts, the status line, the closing table.

pub(crate) mod alerts;
pub(crate) mod connection_state;
pub(crate) mod counter;
pub(crate) mod last_error;
pub(crate) mod liveness;
pub(crate) mod machine;
pub(crate) mod metrics;
pub(crate) mod newest;
pub(crate) mod redundancy;
pub(crate) mod service_manager;
pub(crate) mod shortcoming;
pub(crate) mod status;
pub(crate) mod status_figures;
pub(crate) mod status_file;
pub(crate) mod subscription_state;
pub(crate) mod summary;
pub(crate) mod watch;
