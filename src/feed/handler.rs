//! What a decoder hands over, and how every frame ends: [`Handler`], [`FrameFate`], [`RejectReason`].
//!
//! 1. Every frame ends in exactly one fate: `frames = used + control + ignored + rejected`.
//! 2. Every trade and ticker of a frame that could be read as JSON ends in exactly one call: `trade`, `ticker` or `reject_item`.
//! 3. All but `control` and `inexact` are called on the hot path.

use crate::feed::control::Control;
use crate::record::{Implausible, Ticker, Trade};
use crate::time::Timestamp;

/// Takes what a frame holds.
pub trait Handler {
    /// Takes a trade that has passed [`Trade::validate`]; those of one frame come in rising id.
    fn trade(&mut self, product: &[u8], trade: &Trade);

    /// Takes a ticker whose time is plausible and whose numbers are none of them below 0.
    fn ticker(&mut self, product: &[u8], ticker: &Ticker);

    /// Takes the exchange's word on a product's newest trade id.
    ///
    /// On the Advanced feed the beat is the connection's: no product, id 0, no time.
    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, time: Option<Timestamp>);

    /// Takes a decimal text whose f64 does not print back, after the record that holds its nearest f64.
    ///
    /// `column` is the name in the schema; `key` is the trade id, for a ticker its sequence, for one without its receive time in nanoseconds.
    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]);

    /// Takes note of one trade or ticker that could not be used.
    fn reject_item(&mut self, item: Item, why: RejectReason);

    /// Takes a message that is about the connection and not about the market.
    fn control(&mut self, control: Control);
}

/// The kinds of element a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// One execution.
    Trade,
    /// One ticker update.
    Ticker,
}

/// How a frame ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFate {
    /// At least one trade, ticker or product's heartbeat was handed over.
    Used,
    /// A message that went to [`Handler::control`], or a heartbeat of the connection as a whole.
    Control,
    /// A type or channel that is not captured, or one of ours without an element in it.
    Ignored,
    /// Not usable; where it held several elements, this is the last one's reason.
    Rejected(RejectReason),
}

/// Why a frame or an element of one could not be used. Each is counted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// Not a JSON object, cut short, nested too deep, or not UTF-8.
    #[error("not a JSON object")]
    NotJson,
    /// Longer than any message that is captured.
    #[error("frame too long")]
    TooLong,
    /// Neither a `type` nor a `channel`, or one spelled with escapes.
    #[error("no type or channel")]
    NoKind,
    /// A field is missing, or is of another JSON type.
    #[error("a field is missing or has another type")]
    Shape,
    /// A field that is used stands there twice.
    #[error("a field stands twice")]
    Duplicate,
    /// Not a plain product id.
    #[error("not a product id")]
    Product,
    /// A trade id or sequence is no whole number of 64 bits.
    #[error("not an id")]
    Id,
    /// A price is no decimal number.
    #[error("not a price")]
    Price,
    /// A size is no decimal number.
    #[error("not a size")]
    Size,
    /// Neither buy nor sell.
    #[error("not a side")]
    Side,
    /// Not an RFC 3339 time of the years 1970 to 2106.
    #[error("not a time")]
    Time,
    /// An order id is no UUID.
    #[error("not a UUID")]
    OrderId,
    /// Well-formed, but breaks a rule that every record keeps.
    #[error("{0}")]
    Implausible(#[from] Implausible),
}

impl RejectReason {
    /// How many reasons there are, for counters.
    pub const COUNT: usize = 12 + Implausible::ALL.len();

    /// All reasons, in the order of [`RejectReason::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::NotJson,
        Self::TooLong,
        Self::NoKind,
        Self::Shape,
        Self::Duplicate,
        Self::Product,
        Self::Id,
        Self::Price,
        Self::Size,
        Self::Side,
        Self::Time,
        Self::OrderId,
        Self::Implausible(Implausible::Id),
        Self::Implausible(Implausible::Price),
        Self::Implausible(Implausible::Size),
        Self::Implausible(Implausible::Time),
    ];

    /// Gives the reason's place in [`RejectReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::NotJson => 0,
            Self::TooLong => 1,
            Self::NoKind => 2,
            Self::Shape => 3,
            Self::Duplicate => 4,
            Self::Product => 5,
            Self::Id => 6,
            Self::Price => 7,
            Self::Size => 8,
            Self::Side => 9,
            Self::Time => 10,
            Self::OrderId => 11,
            Self::Implausible(rule) => 12 + rule.index(),
        }
    }

    /// Names the reason as metrics and journals spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLong => "too_long",
            Self::NoKind => "no_kind",
            Self::Shape => "shape",
            Self::Duplicate => "duplicate_field",
            Self::Product => "product",
            Self::Id => "id",
            Self::Price => "price",
            Self::Size => "size",
            Self::Side => "side",
            Self::Time => "time",
            Self::OrderId => "order_id",
            Self::Implausible(Implausible::Id) => "implausible_id",
            Self::Implausible(Implausible::Price) => "implausible_price",
            Self::Implausible(Implausible::Size) => "implausible_size",
            Self::Implausible(Implausible::Time) => "implausible_time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_under_its_own_name() {
        for (at, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason}");
            assert_eq!(RejectReason::ALL.iter().filter(|other| other.name() == reason.name()).count(), 1, "{reason}");
        }
    }
}
