//! What a fault affected, as the ledger tells it.

use super::trade::UpdateKind;
use crate::product::ProductId;

/// What a fault affected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FaultTarget {
    pub(super) client: Option<u64>,
    pub(super) product: Option<ProductId>,
    pub(super) update: Option<UpdateTarget>,
    /// The same in one text; of a REST request, its target.
    pub(super) detail: String,
}

/// The trade or ticker that a fault affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UpdateTarget {
    pub(super) kind: UpdateKind,
    /// 0 for a ticker of the Advanced feed, which has no id.
    pub(super) trade_id: u64,
}

impl FaultTarget {
    /// Names a connection.
    pub(super) fn of_client(id: u64) -> Self {
        Self { client: Some(id), detail: format!("client {id}"), ..Self::default() }
    }

    /// Names a product.
    pub(super) fn of_product(product: Option<&ProductId>) -> Self {
        Self { product: product.cloned(), detail: product.map_or_else(String::new, ToString::to_string), ..Self::default() }
    }

    /// Names a trade or ticker.
    pub(super) fn of_update(product: Option<&ProductId>, kind: UpdateKind, trade_id: u64) -> Self {
        Self { update: Some(UpdateTarget { kind, trade_id }), ..Self::of_product(product) }
    }
}
