//! [`RejectReason`]: why a frame, or one element of it, cannot be used.

use crate::record::Implausible;

/// Why a frame, or one element of it, cannot be used. Each reason has its own counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The text is not a JSON object, is cut short, nested too deep, or not UTF-8.
    #[error("not a JSON object")]
    NotJson,
    /// The text is longer than any message that is captured.
    #[error("frame too long")]
    TooLong,
    /// No `type` and no `channel`.
    #[error("no type or channel")]
    NoKind,
    /// A field is missing, or has another JSON type.
    #[error("a field is missing or has another type")]
    Shape,
    /// A field that is used occurs twice.
    #[error("a field stands twice")]
    Duplicate,
    /// A product is not a plain product id.
    #[error("not a product id")]
    Product,
    /// A trade id or sequence is not a whole number of 64 bits.
    #[error("not an id")]
    Id,
    /// A price is not a decimal number.
    #[error("not a price")]
    Price,
    /// A size is not a decimal number.
    #[error("not a size")]
    Size,
    /// A side is neither buy nor sell.
    #[error("not a side")]
    Side,
    /// A time is not RFC 3339.
    #[error("not a time")]
    Time,
    /// An order id is not a UUID.
    #[error("not a UUID")]
    OrderId,
    /// It is well-formed, but breaks a rule of every record.
    #[error("{0}")]
    Implausible(#[from] Implausible),
    /// It was doubted, and what followed has refuted it.
    #[error("doubted, and refuted by what followed")]
    Doubt,
}

impl RejectReason {
    /// How many reasons there are: one counter each.
    pub(crate) const COUNT: usize = 13 + Implausible::ALL.len();

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
        Self::Implausible(Implausible::Orders),
        Self::Doubt,
    ];

    /// Gives the position in [`RejectReason::ALL`].
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
            Self::Doubt => 12 + Implausible::ALL.len(),
        }
    }

    /// Gives the name that metrics and journal use.
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
            Self::Implausible(Implausible::Orders) => "implausible_orders",
            Self::Doubt => "doubt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_index_and_name() {
        for (at, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason}");
            assert_eq!(RejectReason::ALL.iter().filter(|other| other.name() == reason.name()).count(), 1, "{reason}");
        }
    }
}
