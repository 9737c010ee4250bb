//! The Exchange feed's messages: `match`, `last_match`, `ticker`, `heartbeat`.
//!
//! 1. `match.side` is the **maker's** and is turned round; `ticker.side` is the **taker's** and is not
//!    (in a recorded session the same trade shows opposite sides in the two, 107 of 107 times).
//! 2. A `last_match` is a real trade, sent once a product on subscribing: decoded alike, marked [`Means::Snapshot`].
//! 3. A ticker that lacks one of trade id, side, time and size carries no trade: side unknown, volume NaN, id 0; under its receive time where it has none.

use crate::decimal::Decimal;
use crate::feed::field;
use crate::feed::handler::{Handler, RejectReason};
use crate::feed::json::{Nodes, Shape, shape};
use crate::record::{Implausible, Means, Origin, Ticker, Trade, time_is_plausible};
use crate::time::{TimeCache, UnixNanos};

shape! {
    /// A match's fields in wire order, behind its type.
    Match, 9:
        "trade_id", "maker_order_id", "taker_order_id", "side", "size", "price", "product_id", "sequence",
        "time",
}

shape! {
    /// A ticker's fields in wire order, behind its type; those of the day's statistics are named only so that the order is met.
    FullTicker, 16:
        "sequence", "product_id", "price", "open_24h", "volume_24h", "low_24h", "high_24h", "volume_30d",
        "best_bid", "best_bid_size", "best_ask", "best_ask_size", "side", "time", "trade_id", "last_size",
}

shape! {
    /// A heartbeat's fields in wire order, behind its type.
    Heartbeat, 4: "last_trade_id", "product_id", "sequence", "time"
}

/// How a message lies on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tape {
    /// Whole, its fields in any order.
    Whole,
    /// Without its `type`, which stood first and has been read.
    Rest,
}

impl Tape {
    #[inline(always)]
    fn pick<S: Shape<N>, const N: usize>(self, nodes: Nodes<'_, '_>) -> Result<[usize; N], RejectReason> {
        match self {
            Self::Rest => nodes.pick_rest::<S, N>("type"),
            Self::Whole => nodes.pick_whole::<S, N>("type"),
        }
    }
}

/// Go's zero time, sent for *never*: 0001-01-01T00:00:00Z in seconds since the Unix epoch.
const NEVER_SECONDS: i64 = -62_135_596_800;

/// Hands over the trade of a `match` or `last_match`.
pub(super) fn trade(
    (nodes, tape): (Nodes<'_, '_>, Tape),
    times: &mut TimeCache,
    recv: UnixNanos,
    (line, means): (u8, Means),
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let [trade_id, maker, taker, side, size_at, price_at, product, sequence, time] = tape.pick::<Match, 9>(nodes)?;
    let product = field::product(nodes, product)?;
    let trade = Trade {
        trade_id: field::id(nodes, trade_id)?,
        time: field::time(nodes, time, times)?,
        price: field::number(nodes, price_at, RejectReason::Price)?,
        size: field::number(nodes, size_at, RejectReason::Size)?,
        side: field::side(nodes, side)?.turned(),
        maker_order_id: field::order_id(nodes, maker)?,
        taker_order_id: field::order_id(nodes, taker)?,
        sequence: field::id_or_none(nodes, sequence)?,
        recv,
        origin: Origin::new(means, line, false),
    };
    trade.validate(recv)?;
    handler.trade(product, &trade);
    let told = [("trade_price_f64", trade.price, price_at), ("trade_size_f64", trade.size, size_at)];
    field::tell_inexact(nodes, told, |column, text| handler.inexact(product, column, trade.trade_id, text));
    Ok(())
}

/// Hands over a `ticker`.
pub(super) fn ticker(
    (nodes, tape): (Nodes<'_, '_>, Tape),
    times: &mut TimeCache,
    recv: UnixNanos,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let places = tape.pick::<FullTicker, 16>(nodes)?;
    let [sequence, product, price_at, _, _, _, _, _, bid_at, bid_size_at, ask_at, ask_size_at, side, time, trade_id, size_at] = places;
    let product = field::product(nodes, product)?;
    let price = field::number_or_none(nodes, price_at, RejectReason::Price)?;
    let bid = field::number_or_none(nodes, bid_at, RejectReason::Price)?;
    let ask = field::number_or_none(nodes, ask_at, RejectReason::Price)?;
    if price.as_f64.is_nan() && bid.as_f64.is_nan() && ask.as_f64.is_nan() {
        // It names a product and says nothing of it.
        return Err(RejectReason::Shape);
    }
    let bid_size = field::number_or_none(nodes, bid_size_at, RejectReason::Size)?;
    let ask_size = field::number_or_none(nodes, ask_size_at, RejectReason::Size)?;

    let stamp = if nodes.is_absent(time) { None } else { Some(field::timestamp(nodes, time, times)?) };
    let never = stamp.is_some_and(|stamp| stamp.seconds == NEVER_SECONDS);
    let stamp = stamp.filter(|_| !never);
    let side = if nodes.is_absent(side) { None } else { Some(field::side(nodes, side)?) };
    let trade_id = field::id_or_none(nodes, trade_id)?;
    if never && trade_id != 0 {
        // That there is a trade belies the time. Without its trade the record would keep the sequence from the one that has it.
        return Err(RejectReason::Implausible(Implausible::Time));
    }
    let size = field::number_or_none(nodes, size_at, RejectReason::Size)?;
    let carries = stamp.is_some() && side.is_some() && trade_id != 0 && !size.as_f64.is_nan();

    let time = match stamp {
        Some(stamp) => stamp.to_unix().ok_or(RejectReason::Implausible(Implausible::Time))?,
        None => recv,
    };
    let ticker = Ticker {
        time,
        recv,
        trade_id: if carries { trade_id } else { 0 },
        sequence: field::id_or_none(nodes, sequence)?,
        price,
        volume: if carries { size } else { Decimal::NONE },
        best_bid: bid,
        best_ask: ask,
        best_bid_size: bid_size.as_f64,
        best_ask_size: ask_size.as_f64,
        side: side.filter(|_| carries),
    };
    plausible(&ticker, carries)?;
    handler.ticker(product, &ticker);
    let told = [
        ("price_f64", price, price_at),
        ("volume_f64", ticker.volume, size_at),
        ("best_bid_f64", bid, bid_at),
        ("best_ask_f64", ask, ask_at),
        ("best_bid_size_f64", bid_size, bid_size_at),
        ("best_ask_size_f64", ask_size, ask_size_at),
    ];
    let key = if ticker.sequence == 0 { recv.0 } else { ticker.sequence };
    field::tell_inexact(nodes, told, |column, text| handler.inexact(product, column, key, text));
    Ok(())
}

/// Holds a ticker, and the trade in it if there is one, against the rules of a trade.
fn plausible(ticker: &Ticker, carries: bool) -> Result<(), Implausible> {
    // Neither is below 0. An f32 of 0 is a price or size that cannot be shown.
    let above_zero = |value: Decimal| value.as_f32 > 0.0;
    if carries && !above_zero(ticker.price) {
        return Err(Implausible::Price);
    }
    if carries && !above_zero(ticker.volume) {
        return Err(Implausible::Size);
    }
    if !time_is_plausible(ticker.time, ticker.recv) {
        return Err(Implausible::Time);
    }
    Ok(())
}

/// Hands over a `heartbeat`.
pub(super) fn heartbeat(
    (nodes, tape): (Nodes<'_, '_>, Tape),
    times: &mut TimeCache,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let [last_trade_id, product, _, time] = tape.pick::<Heartbeat, 4>(nodes)?;
    let product = field::product(nodes, product)?;
    let last_trade_id = field::id_or_none(nodes, last_trade_id)?;
    // The beat is good without its time, which nothing depends on.
    let time = field::timestamp(nodes, time, times).ok();
    handler.heartbeat(Some(product), last_trade_id, time);
    Ok(())
}
