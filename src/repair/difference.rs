//! [`Difference`]: two tapes record one trade differently. It is reported and never merged.

use std::fmt;

use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{Means, OrderId, Origin, Trade};
use crate::schema::ColumnSet;
use crate::time::UtcDay;

/// One trade that two tapes record differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Whose trade.
    pub product: ProductId,
    /// The day under which this tape stores it.
    pub date: UtcDay,
    /// As it is stored here.
    pub stored: Trade,
    /// As the other tape, or REST, has it.
    pub other: Trade,
    /// The folder of the other tape, or `REST`.
    pub by: String,
    /// The columns that differ.
    pub columns: Vec<&'static str>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, date, stored, other, by, columns } = self;
        write!(
            f,
            "{product} {date} trade {}: {} differ: stored {}; {by} has {}",
            stored.trade_id,
            columns.join(", "),
            shown(stored),
            shown(other)
        )
    }
}

/// Shows the fields of a trade in which two tapes may differ.
pub(super) fn shown(trade: &Trade) -> String {
    let Trade { time, price, size, side, maker_order_id, taker_order_id, .. } = trade;
    format!("{time} {} {} x {} maker {maker_order_id} taker {taker_order_id}", side.name(), price.as_f64, size.as_f64)
}

/// Names the columns in which two records of one trade differ. Order ids and sequences are compared only where both have them. With core columns prices and
/// sizes are compared as f32: nothing finer is known.
pub(super) fn columns_that_differ(stored: &Trade, other: &Trade, set: ColumnSet) -> Vec<&'static str> {
    let is_same = |a: Decimal, b: Decimal| match set {
        ColumnSet::Full => a.agrees_with(b),
        ColumnSet::Core => a.as_f32.to_bits() == b.as_f32.to_bits(),
    };
    let ids = |a: OrderId, b: OrderId| a.is_nil() || b.is_nil() || a == b;
    // A message sent on subscribing may carry a sequence of its own.
    let is_live = |trade: &Trade| trade.sequence != 0 && trade.origin.means() == Some(Means::Live);
    let checks = [
        ("trade_time", stored.time == other.time),
        ("trade_price", is_same(stored.price, other.price)),
        ("trade_size", is_same(stored.size, other.size)),
        ("trade_side", stored.side == other.side),
        ("maker_order_id", ids(stored.maker_order_id, other.maker_order_id)),
        ("taker_order_id", ids(stored.taker_order_id, other.taker_order_id)),
        ("trade_sequence", !is_live(stored) || !is_live(other) || stored.sequence == other.sequence),
    ];
    checks.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// Marks a trade as taken from another box's tape. Its line and feed stay.
pub(super) fn from_tape(trade: &Trade) -> Trade {
    Trade { origin: Origin((trade.origin.0 & !0xf) | Means::Tape as u32), ..*trade }
}

/// Gives the stored trade with the order ids, the sequence and the receive time of `other` where it has none. `None` where `other` adds no order id.
pub(super) fn completed(stored: &Trade, other: &Trade) -> Option<Trade> {
    let id = |own: OrderId, new: OrderId| if own.is_nil() { new } else { own };
    let number = |own: u64, new: u64| if own == 0 { new } else { own };
    let was_live = stored.recv.0 != 0;
    other.completes(stored).then(|| Trade {
        maker_order_id: id(stored.maker_order_id, other.maker_order_id),
        taker_order_id: id(stored.taker_order_id, other.taker_order_id),
        sequence: number(stored.sequence, other.sequence),
        recv: if was_live { stored.recv } else { other.recv },
        origin: if was_live { stored.origin } else { from_tape(other).origin },
        ..*stored
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Side;
    use crate::time::UnixNanos;

    fn trade() -> Trade {
        let number = |text: &[u8]| crate::decimal::parse(text).expect("a number");
        Trade {
            trade_id: 7,
            time: UnixNanos(1_749_254_400_000_000_000),
            price: number(b"131072.01"),
            size: number(b"1.00000001"),
            side: Side::Buy,
            maker_order_id: OrderId([1; 16]),
            taker_order_id: OrderId([2; 16]),
            sequence: 5,
            recv: UnixNanos(9),
            origin: Origin::new(Means::Live, 1, 0),
        }
    }

    #[test]
    fn every_field_that_the_exchange_decides_is_compared() {
        let own = trade();
        let number = |text: &[u8]| crate::decimal::parse(text).expect("a number");
        let others = [
            ("trade_time", Trade { time: UnixNanos(own.time.0 + 1), ..own }),
            ("trade_price", Trade { price: number(b"131072.02"), ..own }),
            ("trade_size", Trade { size: number(b"1.00000002"), ..own }),
            ("trade_side", Trade { side: Side::Sell, ..own }),
            ("maker_order_id", Trade { maker_order_id: OrderId([3; 16]), ..own }),
            ("taker_order_id", Trade { taker_order_id: OrderId([3; 16]), ..own }),
            ("trade_sequence", Trade { sequence: 6, ..own }),
        ];
        for (name, other) in others {
            assert_eq!(columns_that_differ(&own, &other, ColumnSet::Full), [name]);
        }
        let from_rest = Trade { maker_order_id: OrderId::NIL, taker_order_id: OrderId::NIL, sequence: 0, recv: UnixNanos(0), ..own };
        assert!(columns_that_differ(&own, &from_rest, ColumnSet::Full).is_empty());
        let rounded = Trade { price: Decimal::from_f32(own.price.as_f32), size: Decimal::from_f32(own.size.as_f32), ..own };
        assert!(columns_that_differ(&own, &rounded, ColumnSet::Core).is_empty());
        assert!(!columns_that_differ(&own, &rounded, ColumnSet::Full).is_empty());
    }

    #[test]
    fn what_is_stored_is_completed_and_never_changed() {
        let other = Trade { sequence: 8, recv: UnixNanos(77), ..trade() };
        let live = Trade { maker_order_id: OrderId::NIL, ..trade() };
        assert_eq!(completed(&live, &other), Some(Trade { maker_order_id: OrderId([1; 16]), ..live }));
        let rest = Trade {
            maker_order_id: OrderId::NIL,
            taker_order_id: OrderId::NIL,
            sequence: 0,
            recv: UnixNanos(0),
            origin: Origin::new(Means::Rest, 0, 0),
            ..trade()
        };
        assert_eq!(completed(&rest, &other), Some(Trade { origin: Origin::new(Means::Tape, 1, 0), ..other }));
        assert_eq!(completed(&other, &trade()), None);
        assert_eq!(completed(&rest, &rest), None);
    }
}
