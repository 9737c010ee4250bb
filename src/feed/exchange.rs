//! The messages of the Exchange feed: `match`, `last_match`, `ticker`, `heartbeat`, `subscriptions`, `status`.
//!
//! 1. `match.side` is the **maker's** and is inverted; `ticker.side` is the **taker's** and is not
//!    (in a recorded session the same trade has opposite sides in the two, 107 of 107 times).
//! 2. A `last_match` is a real trade, sent once per product on subscribing. It is decoded alike and marked [`Means::Snapshot`].
//! 3. A ticker without a trade id, side, time or size carries no trade: its side is unknown, its volume NaN, its trade id 0. Without a time it gets its
//!    receive time, on the exchange's clock.
//! 4. The handler gets a message whole or not at all: until everything of it is read nothing is called, so that it can be read again in another spelling.

use super::advanced::Elements;
use super::clock_check::FrameTimes;
use super::control::{Channels, Control, product_set};
use super::field::{self, source};
use super::handler::Handler;
use super::json::{Nodes, ROOT, Shape, shape};
use super::product_info::ProductInfo;
use super::protocol::Feed;
use super::reject::RejectReason;
use super::shapes::FIRST_FIELD;
use super::values::{ReadValues, Values};
use crate::decimal::Decimal;
use crate::record::{Implausible, Means, Origin, Ticker, Trade, time_is_plausible};
use crate::time::Timestamp;

shape! {
    /// The fields of a match that follow its type, in wire order.
    Match, 9:
        "trade_id", "maker_order_id", "taker_order_id", "side", "size", "price", "product_id", "sequence",
        "time",
}

shape! {
    /// The fields of a ticker that follow its type, in wire order. The day's statistics are listed only because the order must match.
    FullTicker, 16:
        "sequence", "product_id", "price", "open_24h", "volume_24h", "low_24h", "high_24h", "volume_30d",
        "best_bid", "best_bid_size", "best_ask", "best_ask_size", "side", "time", "trade_id", "last_size",
}

shape! {
    /// The fields of a heartbeat that follow its type, in wire order.
    Heartbeat, 4: "last_trade_id", "product_id", "sequence", "time"
}

/// Gives the names of a match's fields.
pub(super) const fn match_names() -> &'static [&'static str] {
    &Match::NAMES
}

/// Gives the names of a ticker's fields.
pub(super) const fn ticker_names() -> &'static [&'static str] {
    &FullTicker::NAMES
}

/// Gives the names of a heartbeat's fields.
pub(super) const fn heartbeat_names() -> &'static [&'static str] {
    &Heartbeat::NAMES
}

/// The values of a message, with or without its `type`.
#[derive(Clone, Copy)]
pub(super) enum Message<'t, 'i> {
    /// With it; the fields are in any order.
    Whole(Nodes<'t, 'i>),
    /// Without it: it came first and has been read.
    AfterType(Nodes<'t, 'i>),
    /// Read by its shape: the wanted fields alone, in their order.
    ByShape(ReadValues<'t, 'i>),
}

/// Calls a function with a message's values and their places.
macro_rules! with_values {
    ($message:expr, $shape:ty, $count:literal, $read:ident ( $($more:expr),* )) => {
        match $message {
            Message::ByShape(values) => $read(values, std::array::from_fn(|field| FIRST_FIELD + field), $($more),*),
            Message::AfterType(nodes) => $read(nodes, nodes.pick_rest::<$shape, $count>("type")?, $($more),*),
            Message::Whole(nodes) => $read(nodes, nodes.pick_whole::<$shape, $count>("type")?, $($more),*),
        }
    };
}

/// Go's zero time, which is sent for *never*: 0001-01-01T00:00:00Z in seconds since the Unix epoch.
const NEVER_SECONDS: i64 = -62_135_596_800;

/// Gives the handler the trade of a `match` or `last_match`.
pub(super) fn trade(
    message: Message<'_, '_>,
    times: &mut FrameTimes,
    line: u8,
    means: Means,
    wanted: Elements,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    with_values!(message, Match, 9, trade_of(times, line, means, wanted, handler))
}

#[inline(always)]
fn trade_of<'i>(
    values: impl Values<'i>,
    [trade_id, maker, taker, side, size_at, price_at, product, sequence, time]: [usize; 9],
    times: &mut FrameTimes,
    line: u8,
    means: Means,
    wanted: Elements,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let product = field::product(values, product)?;
    let (maker, taker, sequence) = (field::order_id(values, maker), field::order_id(values, taker), field::id_or_none(values, sequence));
    if wanted == Elements::All {
        // In another spelling it may be one.
        sequence?;
    }
    let mut trade = Trade {
        trade_id: field::id(values, trade_id)?,
        time: field::time(values, time, &mut times.cache)?,
        price: field::number(values, price_at, RejectReason::Price)?,
        size: field::number(values, size_at, RejectReason::Size)?,
        side: field::side(values, side)?.turned(),
        maker_order_id: maker.unwrap_or_default(),
        taker_order_id: taker.unwrap_or_default(),
        sequence: sequence.unwrap_or_default(),
        recv: times.recv,
        origin: Origin::new(means, line, Feed::Exchange.number()),
    };
    if means == Means::Live {
        times.note_present(trade.time)
    } else {
        times.note_past(trade.time)
    }
    let broken = field::check(&mut trade, times.latest)?;
    if let Some(why) = broken {
        handler.flaw(why);
    }
    for why in [maker.err(), taker.err(), sequence.err()].into_iter().flatten() {
        trade.origin = trade.origin.flawed();
        handler.flaw(why);
    }
    let sources = [source("trade_price_f64", trade.price, price_at), source("trade_size_f64", trade.size, size_at)];
    field::each_inexact(values, sources, |column, text| handler.inexact(product, column, trade.trade_id, text));
    handler.trade(product, &trade);
    Ok(())
}

/// Gives the handler a `ticker`.
pub(super) fn ticker(message: Message<'_, '_>, times: &mut FrameTimes, handler: &mut impl Handler) -> Result<(), RejectReason> {
    with_values!(message, FullTicker, 16, ticker_of(times, handler))
}

#[inline(always)]
fn ticker_of<'i>(
    values: impl Values<'i>,
    [sequence, product, price_at, _, _, _, _, _, bid_at, bid_size_at, ask_at, ask_size_at, side, time, trade_id, size_at]: [usize; 16],
    times: &mut FrameTimes,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let recv = times.recv;
    let product = field::product(values, product)?;
    let price = field::number_or_none(values, price_at, RejectReason::Price)?;
    let bid = field::number_or_none(values, bid_at, RejectReason::Price)?;
    let ask = field::number_or_none(values, ask_at, RejectReason::Price)?;
    if price.as_f64.is_nan() && bid.as_f64.is_nan() && ask.as_f64.is_nan() {
        // It names a product and no price of it.
        return Err(RejectReason::Shape);
    }
    let bid_size = field::number_or_none(values, bid_size_at, RejectReason::Size)?;
    let ask_size = field::number_or_none(values, ask_size_at, RejectReason::Size)?;

    let stamp = if values.is_absent(time) { None } else { Some(field::timestamp(values, time, &mut times.cache)?) };
    let never = stamp.is_some_and(|stamp| stamp.seconds == NEVER_SECONDS);
    let stamp = stamp.filter(|_| !never);
    let side = if values.is_absent(side) { None } else { Some(field::side(values, side)?) };
    let trade_id = field::id_or_none(values, trade_id)?;
    if never && trade_id != 0 {
        // A trade cannot have happened never. Stored without its trade, the ticker would keep out a later one of its sequence that has it.
        return Err(RejectReason::Implausible(Implausible::Time));
    }
    let size = field::number_or_none(values, size_at, RejectReason::Size)?;
    let carries = stamp.is_some() && side.is_some() && trade_id != 0 && !size.as_f64.is_nan();

    let time = match stamp {
        Some(stamp) => stamp.to_unix().ok_or(RejectReason::Implausible(Implausible::Time))?,
        None => times.market,
    };
    let ticker = Ticker {
        time,
        recv,
        trade_id: if carries { trade_id } else { 0 },
        sequence: field::id_or_none(values, sequence)?,
        price,
        volume: if carries { size } else { Decimal::NONE },
        best_bid: bid,
        best_ask: ask,
        best_bid_size: bid_size.as_f64,
        best_ask_size: ask_size.as_f64,
        side: side.filter(|_| carries),
    };
    times.note_past(ticker.time);
    if !time_is_plausible(ticker.time, times.latest) {
        return Err(if times.is_ahead(ticker.time) { RejectReason::Doubt } else { RejectReason::Implausible(Implausible::Time) });
    }
    let sources = [
        source("price_f64", price, price_at),
        source("volume_f64", ticker.volume, size_at),
        source("best_bid_f64", bid, bid_at),
        source("best_ask_f64", ask, ask_at),
        source("best_bid_size_f64", bid_size, bid_size_at),
        source("best_ask_size_f64", ask_size, ask_size_at),
    ];
    let key = if ticker.sequence == 0 { recv.0 } else { ticker.sequence };
    field::each_inexact(values, sources, |column, text| handler.inexact(product, column, key, text));
    handler.ticker(product, &ticker);
    Ok(())
}

/// Gives the handler a `heartbeat`.
pub(super) fn heartbeat(message: Message<'_, '_>, times: &mut FrameTimes, handler: &mut impl Handler) -> Result<(), RejectReason> {
    with_values!(message, Heartbeat, 4, heartbeat_of(times, handler))
}

fn heartbeat_of<'i>(
    values: impl Values<'i>,
    [last_trade_id, product, _, time]: [usize; 4],
    times: &mut FrameTimes,
    handler: &mut impl Handler,
) -> Result<(), RejectReason> {
    let product = field::product(values, product)?;
    let last_trade_id = field::id_or_none(values, last_trade_id)?;
    // The exchange's clock shows in it. A heartbeat without one says which trade is the newest all the same.
    let time = field::timestamp(values, time, &mut times.cache).ok();
    if let Some(time) = time.and_then(Timestamp::to_unix) {
        times.note_present(time);
    }
    handler.heartbeat(Some(product), last_trade_id, time);
    Ok(())
}

/// Reads a `subscriptions` message.
pub(super) fn subscriptions(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [_, channels] = nodes.pick(ROOT, &["type", "channels"])?;
    let mut all = Channels::new();
    for channel in nodes.elements(channels).ok_or(RejectReason::Shape)? {
        let [name, products] = nodes.pick(channel, &["name", "product_ids"])?;
        let name = nodes.text(name).ok_or(RejectReason::Shape)?;
        all.entry(name.to_owned()).or_default().extend(product_set(nodes, products));
    }
    Ok(Control::Subscriptions(all))
}

/// Reads a `status` message.
pub(super) fn status(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [_, products] = nodes.pick(ROOT, &["type", "products"])?;
    let places = nodes.elements(products).ok_or(RejectReason::Shape)?;
    Ok(Control::Status(places.filter_map(|place| ProductInfo::read(nodes, place)).collect()))
}
