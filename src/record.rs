//! The records of the tape as plain values: [`Trade`], [`Ticker`], and the [`MarketMessage`] that carries either to a writer.
//!
//! 1. Plain values: `Copy`, no heap, no I/O. A message is at most 120 bytes, as a queue allocates all its slots at once.
//! 2. `side` is always the **taker's**; the decoders turn the maker's side into the taker's before they make a value.
//! 3. A trade is validated in one place, [`Trade::validate`].

use crate::decimal::Decimal;
use crate::time::UnixNanos;

/// The taker's (aggressor's) side of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The taker sold.
    Sell,
    /// The taker bought.
    Buy,
}

impl Side {
    /// Gives the stored code: 0 = sell, 1 = buy.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Sell => 0,
            Self::Buy => 1,
        }
    }

    /// Reads a stored code. Only 0 and 1 are sides.
    #[must_use]
    pub(crate) const fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Sell),
            1 => Some(Self::Buy),
            _ => None,
        }
    }

    /// Gives the other party's side.
    #[must_use]
    pub const fn turned(self) -> Self {
        match self {
            Self::Sell => Self::Buy,
            Self::Buy => Self::Sell,
        }
    }

    /// Names the side as people and CSV files see it: `buy` or `sell`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sell => "sell",
            Self::Buy => "buy",
        }
    }
}

/// The stored code of a ticker whose feed sends no side.
pub(crate) const SIDE_UNKNOWN: u32 = 2;

/// An order's UUID as its 16 bytes in text order; all zero = the feed sent none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OrderId(pub [u8; 16]);

impl OrderId {
    /// The id of an order that the feed did not name.
    pub const NIL: Self = Self([0; 16]);

    /// Tells whether the feed sent no id.
    #[must_use]
    pub fn is_nil(self) -> bool {
        self == Self::NIL
    }
}

impl std::fmt::Display for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = hex::encode(self.0);
        for (position, part) in [(0, 0..8), (1, 8..12), (2, 12..16), (3, 16..20), (4, 20..32)] {
            if position > 0 {
                f.write_str("-")?;
            }
            f.write_str(text.get(part).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Where a trade came from, as the bits of the `trade_origin` column.
///
/// Bits 0–3: 0 live, 1 `last_match` or snapshot, 2 REST, 3 another box's tape; bits 4–7: line; bit 8: feed (0 Exchange, 1 Advanced); bit 9: the trade breaks
/// a rule of plausibility ([`Origin::is_flawed`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin(pub u32);

/// Bit 9 of [`Origin`].
const FLAWED: u32 = 1 << 9;

/// Bit 8 of [`Origin`]: the feed.
const FEED: u32 = 1 << 8;

/// What kind of message brought a trade (bits 0–3 of [`Origin`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A live `match` or `update`.
    Live = 0,
    /// A `last_match` or a snapshot sent on subscribing.
    Snapshot = 1,
    /// A page of REST.
    Rest = 2,
    /// Another box's tape.
    Tape = 3,
}

impl Origin {
    /// Names of the feeds, by [`Origin::feed`].
    pub(crate) const FEEDS: [&str; 2] = ["exchange", "advanced"];

    /// Composes the bits. `line` is 0 to 15; `feed` is the number of the feed (0 Exchange, 1 Advanced).
    #[must_use]
    pub const fn new(means: Means, line: u8, feed: u8) -> Self {
        debug_assert!((feed as usize) < Self::FEEDS.len(), "a feed of a higher number needs bits of its own");
        Self(means as u32 | ((line as u32 & 0xf) << 4) | if feed == 0 { 0 } else { FEED })
    }

    /// Gives the number of the feed, its place in [`Origin::FEEDS`].
    #[cfg_attr(not(feature = "export"), allow(dead_code, reason = "only Parquet and Arrow files name it"))]
    #[must_use]
    pub(crate) const fn feed(self) -> u8 {
        (self.0 & FEED != 0) as u8
    }

    /// Sets bit 9: the trade breaks a rule of plausibility that is not its identity.
    #[must_use]
    pub(crate) const fn flawed(self) -> Self {
        Self(self.0 | FLAWED)
    }

    /// Tells whether the trade breaks a rule of plausibility that is not its identity: a price or size that is not above 0, no order ids although its feed
    /// names them. It is stored as it was sent.
    #[must_use]
    pub const fn is_flawed(self) -> bool {
        self.0 & FLAWED != 0
    }

    /// Gives bits 4–7: which of several redundant lines.
    #[must_use]
    pub const fn line(self) -> usize {
        (self.0 >> 4 & 0xf) as usize
    }

    /// Gives bits 0–3. `None` where they hold no known means.
    #[must_use]
    pub const fn means(self) -> Option<Means> {
        match self.0 & 0xf {
            0 => Some(Means::Live),
            1 => Some(Means::Snapshot),
            2 => Some(Means::Rest),
            3 => Some(Means::Tape),
            _ => None,
        }
    }
}

/// One execution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// Coinbase's trade id: rises by exactly 1 per product.
    pub trade_id: u64,
    /// Event time, the exchange's clock.
    pub time: UnixNanos,
    /// Price in the quote currency.
    pub price: Decimal,
    /// Size in the base currency.
    pub size: Decimal,
    /// The taker's side.
    pub side: Side,
    /// The resting order.
    pub maker_order_id: OrderId,
    /// The aggressing order.
    pub taker_order_id: OrderId,
    /// The exchange's sequence number for the product; 0 = none sent.
    pub sequence: u64,
    /// Wall clock when the frame was read; 0 = not received live.
    pub recv: UnixNanos,
    /// Means, line and feed.
    pub origin: Origin,
}

/// Why a trade or ticker is not plausible. Each rule is counted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// Trade ids start at 1.
    #[error("trade id 0")]
    Id,
    /// Price not above 0, or not finite as f32.
    #[error("price not above 0")]
    Price,
    /// Size not above 0, or not finite as f32.
    #[error("size not above 0")]
    Size,
    /// Event time outside 2012-01-01 … receive time + 1 h.
    #[error("event time outside 2012-01-01 to receive time + 1 h")]
    Time,
    /// An order id is missing or no UUID, on a feed that names the orders of its trades.
    #[error("an order id is missing or no UUID")]
    Orders,
}

impl Implausible {
    /// All rules, in the order of [`Implausible::index`].
    pub const ALL: [Self; 5] = [Self::Id, Self::Price, Self::Size, Self::Time, Self::Orders];

    /// Tells whether the rule is about what a trade is: its id, and its time, which says to which day it belongs. A trade that breaks another rule is one all
    /// the same, and is stored with [`Origin::is_flawed`].
    #[must_use]
    pub const fn is_of_identity(self) -> bool {
        matches!(self, Self::Id | Self::Time)
    }

    /// Gives the rule's place in [`Implausible::ALL`], for counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Earliest plausible event time: 2012-01-01T00:00:00Z, the year Coinbase was founded.
pub(crate) const EARLIEST_PLAUSIBLE: UnixNanos = UnixNanos(1_325_376_000_000_000_000);

/// How far an event time may lie ahead of the receive time: 1 h, in nanoseconds.
pub(crate) const LATEST_AHEAD_NANOS: u64 = 3_600_000_000_000;

/// Tells whether an event time is plausible, seen from `now`.
#[must_use]
pub(crate) fn time_is_plausible(time: UnixNanos, now: UnixNanos) -> bool {
    time >= EARLIEST_PLAUSIBLE && time.0 <= now.0.saturating_add(LATEST_AHEAD_NANOS)
}

impl Trade {
    /// Checks a trade. `now` is the exchange's time when it arrived, as far as it is known.
    ///
    /// # Errors
    /// The first rule that is broken: id or time, which every stored trade obeys ([`Implausible::is_of_identity`]); then price and size above 0.
    #[inline]
    pub fn validate(&self, now: UnixNanos) -> Result<(), Implausible> {
        if self.trade_id == 0 {
            return Err(Implausible::Id);
        }
        if !time_is_plausible(self.time, now) {
            return Err(Implausible::Time);
        }
        if !positive(self.price) {
            return Err(Implausible::Price);
        }
        if !positive(self.size) {
            return Err(Implausible::Size);
        }
        Ok(())
    }

    /// Tells whether two reports of one trade agree in time, price, size, taker side, and, where both have them, in order ids.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let ids = |a: OrderId, b: OrderId| a.is_nil() || b.is_nil() || a == b;
        self.trade_id == other.trade_id
            && self.time == other.time
            && self.price.agrees_with(other.price)
            && self.size.agrees_with(other.size)
            && self.side == other.side
            && ids(self.maker_order_id, other.maker_order_id)
            && ids(self.taker_order_id, other.taker_order_id)
    }

    /// Tells whether another report with this id is of the same trade, whatever event time it gives: price, size, side and order ids are equal.
    #[must_use]
    pub(crate) fn is_retold_by(&self, other: &Self) -> bool {
        self.agrees_with(&Self { time: self.time, ..*other })
    }

    /// Tells whether this report brings order ids that `stored` does not have.
    #[must_use]
    pub fn completes(&self, stored: &Self) -> bool {
        (stored.maker_order_id.is_nil() && !self.maker_order_id.is_nil())
            || (stored.taker_order_id.is_nil() && !self.taker_order_id.is_nil())
    }
}

fn positive(value: Decimal) -> bool {
    // A subnormal f32 is above 0, so the limit is not f32::MIN_POSITIVE. An f32 of 0 is a price that cannot be shown.
    value.as_f64 > 0.0 && value.as_f64.is_finite() && value.as_f32 > 0.0 && value.as_f32.is_finite()
}

/// One ticker message: the last trade and the top of book **after** it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticker {
    /// Event time; the receive time where the product never traded, the envelope's time on the Advanced feed.
    pub time: UnixNanos,
    /// Wall clock when the frame was read.
    pub recv: UnixNanos,
    /// Last trade's id; 0 = none sent.
    pub trade_id: u64,
    /// The exchange's sequence number for the product; 0 = none sent.
    pub sequence: u64,
    /// Last trade's price.
    pub price: Decimal,
    /// Last trade's size; NaN = none sent.
    pub volume: Decimal,
    /// Best bid after the trade; NaN = none sent.
    pub best_bid: Decimal,
    /// Best ask after the trade; NaN = none sent.
    pub best_ask: Decimal,
    /// Size at the best bid; NaN = none sent.
    pub best_bid_size: f64,
    /// Size at the best ask; NaN = none sent.
    pub best_ask_size: f64,
    /// Last trade's taker side; `None` where the feed sends none.
    pub side: Option<Side>,
}

impl Ticker {
    /// Tells whether the message carries a trade (id, size, side and time), so that `TICKER_TRADES` gets a record.
    #[must_use]
    pub fn carries_trade(&self) -> bool {
        self.trade_id != 0 && self.side.is_some() && !self.volume.as_f64.is_nan()
    }

    /// Gives best ask − best bid, computed in f64 and then rounded; NaN where either is missing.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the column is an f32: rounding is what it means")]
    pub fn spread(&self) -> f32 {
        (self.best_ask.as_f64 - self.best_bid.as_f64) as f32
    }
}

/// Where the frame that brought a trade can still be found for a while: a connection's number in the upper 16 bits, a position below; 0 = nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawPlace(pub u64);

/// A message on its way from a connection's thread to a product's writer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MarketMessage {
    /// One execution, and where its frame stands.
    Trade(Trade, RawPlace),
    /// One ticker update.
    Ticker(Ticker),
    /// The ticker of this time, which follows, was sent on subscribing, to one connection alone. Comes only where tickers have no sequence.
    TickerSnapshot {
        /// Its event time.
        time: UnixNanos,
    },
    /// The product's newest trade id, as the exchange says. It may come slightly before the match it names.
    Heartbeat {
        /// Newest trade id of the product.
        last_trade_id: u64,
        /// When the frame was read.
        recv: UnixNanos,
    },
}

/// A record to be stored: what of a message goes into datasets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Record<'a> {
    /// One execution.
    Trade(&'a Trade),
    /// One ticker update.
    Ticker(&'a Ticker),
}

impl Record<'_> {
    /// Gives the event time.
    #[inline]
    #[must_use]
    pub const fn time(self) -> UnixNanos {
        match self {
            Self::Trade(trade) => trade.time,
            Self::Ticker(ticker) => ticker.time,
        }
    }
}

const _: () = assert!(size_of::<MarketMessage>() <= 120, "a queue allocates every slot at once");

#[cfg(test)]
mod tests {
    use super::*;

    fn trade() -> Trade {
        let decimal = |text: &[u8]| crate::decimal::parse(text).expect("a decimal");
        Trade {
            trade_id: 7,
            time: UnixNanos(1_700_000_000_000_000_000),
            price: decimal(b"10.5"),
            size: decimal(b"0.00000001"),
            side: Side::Buy,
            maker_order_id: OrderId([1; 16]),
            taker_order_id: OrderId::NIL,
            sequence: 0,
            recv: UnixNanos(1_700_000_000_000_000_000),
            origin: Origin::default(),
        }
    }

    #[test]
    fn each_rule_is_named_by_its_own_error() {
        let now = UnixNanos(1_700_000_000_000_000_000);
        let zero = crate::decimal::parse(b"0").expect("zero");
        assert_eq!(trade().validate(now), Ok(()));
        assert_eq!(Trade { trade_id: 0, ..trade() }.validate(now), Err(Implausible::Id));
        assert_eq!(Trade { price: zero, ..trade() }.validate(now), Err(Implausible::Price));
        assert_eq!(Trade { size: zero, ..trade() }.validate(now), Err(Implausible::Size));
        let latest = UnixNanos(now.0 + LATEST_AHEAD_NANOS);
        assert_eq!(Trade { time: latest, ..trade() }.validate(now), Ok(()));
        assert_eq!(Trade { time: UnixNanos(latest.0 + 1), ..trade() }.validate(now), Err(Implausible::Time));
        assert_eq!(Trade { time: EARLIEST_PLAUSIBLE, ..trade() }.validate(now), Ok(()));
        assert_eq!(Trade { time: UnixNanos(EARLIEST_PLAUSIBLE.0 - 1), ..trade() }.validate(now), Err(Implausible::Time));
    }

    #[test]
    fn a_trade_that_breaks_a_rule_of_its_identity_is_refused_for_that_rule_whatever_else_it_breaks() {
        let now = UnixNanos(1_700_000_000_000_000_000);
        let zero = crate::decimal::parse(b"0").expect("zero");
        let flawed = Trade { price: zero, size: zero, ..trade() };
        assert_eq!(Trade { time: UnixNanos(u64::MAX), ..flawed }.validate(now), Err(Implausible::Time));
        assert_eq!(Trade { trade_id: 0, ..flawed }.validate(now), Err(Implausible::Id));
        assert!(Implausible::ALL.iter().enumerate().all(|(at, rule)| rule.index() == at));
        assert_eq!(Implausible::ALL.map(Implausible::is_of_identity), [true, false, false, true, false]);
        let origin = Origin::new(Means::Tape, 15, 1).flawed();
        assert!(origin.is_flawed() && !Origin::new(Means::Tape, 15, 1).is_flawed());
        assert_eq!((origin.means(), origin.line()), (Some(Means::Tape), 15));
    }

    #[test]
    fn order_ids_that_one_report_does_not_have_are_no_disagreement() {
        let known = Trade { taker_order_id: OrderId([2; 16]), ..trade() };
        assert!(known.agrees_with(&trade()) && known.completes(&trade()) && !trade().completes(&known));
        assert!(!known.agrees_with(&Trade { taker_order_id: OrderId([3; 16]), ..trade() }));
        assert!(!known.agrees_with(&Trade { side: Side::Sell, ..known }));
    }

    #[test]
    fn an_order_id_prints_as_its_uuid() {
        let bytes = [0x27, 0xff, 0xf2, 0x0b, 0xaf, 0x29, 0x4f, 0x45, 0x87, 0x44, 0x56, 0xdd, 0x1e, 0xf5, 0x7d, 0xc0];
        assert_eq!(OrderId(bytes).to_string(), "27fff20b-af29-4f45-8744-56dd1ef57dc0");
    }
}
