//! [`ProductInfo`]: a product as Coinbase lists it, over WebSocket and REST alike.

use super::json::{Nodes, ROOT};
use super::values::Values;
use crate::product::ProductId;

/// A product as Coinbase lists it. Texts are as sent, and empty where the list has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductInfo {
    /// The product.
    pub id: ProductId,
    /// The currency of which a price buys one unit.
    pub base_currency: String,
    /// The currency of prices.
    pub quote_currency: String,
    /// Smallest step of a size.
    pub base_increment: String,
    /// Smallest step of a price.
    pub quote_increment: String,
    /// Smallest order, in the quote currency.
    pub min_market_funds: String,
    /// `online`, `offline`, `internal` or `delisted`.
    pub status: String,
    /// The product whose order book this one shares.
    pub alias: String,
    /// Whether trading is switched off whatever `status` says.
    pub trading_disabled: bool,
}

impl ProductInfo {
    /// Tells whether the product trades.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.status == "online" && !self.trading_disabled
    }

    /// Reads one product of a list. `None` where it has no plain id.
    pub(super) fn read(nodes: Nodes<'_, '_>, place: usize) -> Option<Self> {
        let names = [
            "id",
            "base_currency",
            "quote_currency",
            "quote_increment",
            "base_increment",
            "min_market_funds",
            "status",
            "alias",
            "alias_to",
            "trading_disabled",
        ];
        let [id, base, quote, quote_increment, base_increment, funds, status, alias, alias_to, disabled] =
            nodes.pick(place, &names).ok()?;
        let text = |place: usize| nodes.text(place).unwrap_or_default().to_owned();
        Some(Self {
            id: ProductId::from_feed(nodes.text(id)?.as_bytes()).ok()?,
            base_currency: text(base),
            quote_currency: text(quote),
            base_increment: text(base_increment),
            quote_increment: text(quote_increment),
            min_market_funds: text(funds),
            status: text(status),
            alias: text(if nodes.is_absent(alias) { first_of(nodes, alias_to) } else { alias }),
            trading_disabled: nodes.is_true(disabled),
        })
    }
}

/// Gives the place of an array's first element, or the place itself where it is no array.
fn first_of(nodes: Nodes<'_, '_>, place: usize) -> usize {
    match nodes.elements(place) {
        Some(mut elements) => elements.next().unwrap_or(ROOT),
        None => place,
    }
}
