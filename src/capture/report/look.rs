//! [`Look`]: the parts of a running capture that are read for one answer.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::context::CaptureContext;
use crate::capture::net::connections::Connections;
use crate::capture::write::registry::Registry;

/// The parts of a running capture, held for one look.
pub(crate) struct Look {
    /// What all writers and connections share.
    pub context: Arc<CaptureContext>,
    /// The products.
    pub registry: Arc<Registry>,
    /// The connections.
    pub connections: Arc<Connections>,
    /// Time between two flushes.
    pub sync_interval: Duration,
}
