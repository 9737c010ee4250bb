//! [`Control`]: a message about the connection rather than the market.
//!
//! 1. Cold: such messages come on subscribing, on an error, and when products change. Reading them allocates.
//! 2. Names that are not plain product ids are left out. They cannot have been subscribed to.
//! 3. A field of the wrong type is left out and the rest of the message counts: an error message must never cost the connection.

use std::collections::{BTreeMap, BTreeSet};

use super::json::{Nodes, ROOT};
use super::product_info::ProductInfo;
use super::reject::RejectReason;
use crate::product::ProductId;

/// The products that each channel is subscribed to for.
pub(crate) type Channels = BTreeMap<String, BTreeSet<ProductId>>;

/// A message about the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// All present subscriptions. It answers every request.
    Subscriptions(Channels),
    /// The server refuses something.
    Error {
        /// What went wrong, as in `Failed to subscribe`.
        message: String,
        /// The details, as in `XYZ-USD is delisted`; empty where none were sent.
        reason: String,
    },
    /// The products that there are (`status` channel): all of them, or those that have changed.
    Status(Vec<ProductInfo>),
    /// Messages of this connection are missing (Advanced feed only). The count runs over all channels.
    SequenceGap {
        /// The `sequence_num` that should have come.
        expected: u64,
        /// The one that came.
        got: u64,
    },
}

impl Control {
    /// Reads an `error` message, which is the same on both feeds.
    pub(super) fn read_error(nodes: Nodes<'_, '_>) -> Result<Self, RejectReason> {
        let [_, message, reason] = nodes.pick(ROOT, &["type", "message", "reason"])?;
        let text = |place: usize| nodes.text(place).unwrap_or_default().to_owned();
        Ok(Self::Error { message: text(message), reason: text(reason) })
    }
}

/// Reads an array of product ids.
pub(super) fn product_set(nodes: Nodes<'_, '_>, place: usize) -> BTreeSet<ProductId> {
    let places = nodes.elements(place).into_iter().flatten();
    places.filter_map(|place| ProductId::from_feed(nodes.text(place)?.as_bytes()).ok()).collect()
}
