//! [`Entry`]: what a connection keeps of each product that it brings.

use crate::capture::net::batch::ProductBatch;
use crate::capture::net::shedding::Shedding;
use crate::capture::write::registry::Route;

/// Which way a product's next message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Into the batch: no message of this connection waits in the queue.
    Batch,
    /// Into the queue: messages of this connection may wait there.
    Queue,
}

/// What a heartbeat said, and what had come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beat {
    /// The trade that it named.
    pub(super) named: u64,
    /// The last trade of this connection.
    pub(super) received: u64,
}

/// One product, as a connection sees it.
pub(super) struct Entry {
    pub(super) route: Route,
    /// The product's messages in the batch.
    pub(super) product_batch: ProductBatch,
    pub(super) way: Way,
    /// Whether the product stands in the list of those that something has come for.
    pub(super) is_pending: bool,
    /// The last trade of this connection.
    pub(super) last_trade_id: u64,
    /// The last heartbeat that was passed on.
    pub(super) last_beat: Beat,
    pub(super) shedding: Shedding,
}
