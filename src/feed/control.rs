//! What Coinbase says about the connection rather than the market, as owned values: [`Control`].
//!
//! 1. Cold: these messages come on subscribing, on a fault, and when products change. Making them allocates.
//! 2. Names that are no plain product ids are left out; they could not have been asked for.
//! 3. A field of the wrong shape is left out, the rest of the message stands: a refusal must never cost the connection.

use crate::feed::handler::RejectReason;
use crate::feed::json::{Nodes, ROOT};
use crate::product::ProductId;
use std::collections::{BTreeMap, BTreeSet};

/// Which products each channel is subscribed for.
pub type Channels = BTreeMap<String, BTreeSet<ProductId>>;

/// A message about the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The whole set of present subscriptions: the answer to every request.
    Subscriptions(Channels),
    /// A refusal.
    Error {
        /// What went wrong, as in `Failed to subscribe`.
        message: String,
        /// The details, as in `XYZ-USD is delisted`; empty where none were sent.
        reason: String,
    },
    /// The products there are (Exchange `status` channel): all of them on subscribing, then what changes.
    Status(Vec<ProductInfo>),
    /// Messages of this connection are missing (Advanced only; the count runs over all channels).
    SequenceHole {
        /// The `sequence_num` that was due.
        expected: u64,
        /// The one that came.
        got: u64,
    },
}

/// A product as Coinbase lists it. Texts are as sent, empty where the list does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductInfo {
    /// The product.
    pub id: ProductId,
    /// The currency that prices count one unit of.
    pub base_currency: String,
    /// The currency that prices are in.
    pub quote_currency: String,
    /// Smallest step of a size.
    pub base_increment: String,
    /// Smallest step of a price.
    pub quote_increment: String,
    /// Smallest order, in the quote currency.
    pub min_market_funds: String,
    /// `online`, `offline`, `internal` or `delisted`.
    pub status: String,
    /// The product whose book this one shares.
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

    /// Reads one product of a list; nothing where it has no plain id.
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
            id: ProductId::new(nodes.text(id)?).ok()?,
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

fn product_set(nodes: Nodes<'_, '_>, place: usize) -> BTreeSet<ProductId> {
    let places = nodes.elements(place).into_iter().flatten();
    places.filter_map(|place| ProductId::new(nodes.text(place)?).ok()).collect()
}

/// Reads the Exchange feed's `subscriptions`.
pub(super) fn exchange_subscriptions(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [_, channels] = nodes.pick(ROOT, &["type", "channels"])?;
    let mut all = Channels::new();
    for channel in nodes.elements(channels).ok_or(RejectReason::Shape)? {
        let [name, products] = nodes.pick(channel, &["name", "product_ids"])?;
        let name = nodes.text(name).ok_or(RejectReason::Shape)?;
        all.entry(name.to_owned()).or_default().extend(product_set(nodes, products));
    }
    Ok(Control::Subscriptions(all))
}

/// Reads the Advanced Trade feed's `subscriptions`.
pub(super) fn advanced_subscriptions(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [events] = nodes.pick(ROOT, &["events"])?;
    let mut all = Channels::new();
    for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
        let [channels] = nodes.pick(event, &["subscriptions"])?;
        for (name, products) in nodes.fields(channels).ok_or(RejectReason::Shape)? {
            all.entry(name.to_owned()).or_default().extend(product_set(nodes, products));
        }
    }
    Ok(Control::Subscriptions(all))
}

/// Reads either feed's `error`.
pub(super) fn error(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [_, message, reason] = nodes.pick(ROOT, &["type", "message", "reason"])?;
    let text = |place: usize| nodes.text(place).unwrap_or_default().to_owned();
    Ok(Control::Error { message: text(message), reason: text(reason) })
}

/// Reads the Exchange feed's `status`.
pub(super) fn status(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [_, products] = nodes.pick(ROOT, &["type", "products"])?;
    let places = nodes.elements(products).ok_or(RejectReason::Shape)?;
    Ok(Control::Status(places.filter_map(|place| ProductInfo::read(nodes, place)).collect()))
}
