//! The messages of the Advanced Trade feed: `market_trades`, `ticker`, `subscriptions`.
//!
//! 1. `side` is the **maker's** and is inverted. There are no order ids and no sequence of the product: nil and 0.
//! 2. A message may hold several events and an event several products; every batch is newest-first. The handler gets all trades of a message in rising
//!    trade id. Those of a snapshot are marked [`Means::Snapshot`].
//! 3. A ticker carries no trade: it has the envelope's `timestamp`, volume NaN, side unknown, trade id and sequence 0.
//! 4. An element or event that cannot be used does not affect the others.

use super::control::{Channels, Control, product_set};
use super::fate::FrameFate;
use super::field::{self, source};
use super::handler::{Handler, Item};
use super::json::{Nodes, ROOT, shape};
use super::protocol::Feed;
use super::reject::RejectReason;
use crate::decimal::Decimal;
use crate::record::{Implausible, Means, OrderId, Origin, Ticker, Trade, time_is_plausible};
use crate::time::{TimeCache, UnixNanos};

/// The fields of an envelope in wire order (`client_id` was sent until early 2026).
const ENVELOPE: [&str; 5] = ["channel", "client_id", "timestamp", "sequence_num", "events"];

shape! {
    /// The fields of a trade in wire order.
    ListedTrade, 6:
        "product_id", "trade_id", "price", "size", "time", "side",
}

shape! {
    /// The fields of a ticker in wire order. The day's statistics are listed only because the order must match.
    ListedTicker, 13:
        "type", "product_id", "price", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w",
        "price_percent_chg_24_h", "best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity",
}

/// A trade that waits until those of its frame are sorted, with the places of its texts.
pub(super) struct UnsortedTrade {
    trade: Trade,
    product: usize,
    price: usize,
    size: usize,
}

/// What became of a frame's elements.
#[derive(Default)]
struct Tally {
    used: usize,
    rejected: Option<RejectReason>,
}

impl Tally {
    fn reject(&mut self, item: Item, why: RejectReason, handler: &mut impl Handler) {
        handler.reject_item(item, why);
        self.rejected = Some(why);
    }

    /// Gives the type of an event and the places of its elements. An event of another shape is only counted.
    fn event<'t, 'i>(
        &mut self,
        nodes: Nodes<'t, 'i>,
        event: usize,
        list: &str,
    ) -> Option<(Option<&'i str>, impl Iterator<Item = usize> + use<'t, 'i>)> {
        let picked = nodes.pick(event, &["type", list]).and_then(|[kind, list]| {
            let elements = nodes.elements(list).ok_or(RejectReason::Shape)?;
            Ok((nodes.text(kind), elements))
        });
        picked.map_err(|why| self.rejected = Some(why)).ok()
    }

    fn fate(&self) -> FrameFate {
        match self.rejected {
            _ if self.used > 0 => FrameFate::Used,
            Some(why) => FrameFate::Rejected(why),
            None => FrameFate::Ignored,
        }
    }
}

/// Gives the handler the trades of a `market_trades` message; `unsorted` is a buffer that is reused.
pub(super) fn trades(
    nodes: Nodes<'_, '_>,
    times: &mut TimeCache,
    unsorted: &mut Vec<UnsortedTrade>,
    recv: UnixNanos,
    line: u8,
    handler: &mut impl Handler,
) -> Result<FrameFate, RejectReason> {
    let [.., events] = nodes.pick(ROOT, &ENVELOPE)?;
    let mut tally = Tally::default();
    unsorted.clear();
    for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
        let Some((kind, trades)) = tally.event(nodes, event, "trades") else { continue };
        let means = if kind == Some("snapshot") { Means::Snapshot } else { Means::Live };
        let origin = Origin::new(means, line, Feed::Advanced.number());
        for place in trades {
            match trade(nodes, place, times, recv, origin) {
                Ok(trade) => unsorted.push(trade),
                Err(why) => tally.reject(Item::Trade, why, handler),
            }
        }
    }
    // A falling run is reversed in one pass; nothing is allocated.
    unsorted.sort_unstable_by_key(|unsorted| unsorted.trade.trade_id);
    for UnsortedTrade { trade, product, price, size } in unsorted.iter() {
        let product = nodes.text(*product).unwrap_or_default().as_bytes();
        handler.trade(product, trade);
        let sources = [source("trade_price_f64", trade.price, *price), source("trade_size_f64", trade.size, *size)];
        field::each_inexact(nodes, sources, |column, text| handler.inexact(product, column, trade.trade_id, text));
    }
    tally.used = unsorted.len();
    Ok(tally.fate())
}

fn trade(
    nodes: Nodes<'_, '_>,
    place: usize,
    times: &mut TimeCache,
    recv: UnixNanos,
    origin: Origin,
) -> Result<UnsortedTrade, RejectReason> {
    let [product, trade_id, price, size, time, side] = nodes.pick_shape::<ListedTrade, 6>(place)?;
    field::product(nodes, product)?;
    let trade = Trade {
        trade_id: field::id(nodes, trade_id)?,
        time: field::time(nodes, time, times)?,
        price: field::number(nodes, price, RejectReason::Price)?,
        size: field::number(nodes, size, RejectReason::Size)?,
        side: field::side(nodes, side)?.turned(),
        maker_order_id: OrderId::NIL,
        taker_order_id: OrderId::NIL,
        sequence: 0,
        recv,
        origin,
    };
    trade.validate(recv)?;
    Ok(UnsortedTrade { trade, product, price, size })
}

/// Gives the handler the tickers of a `ticker` message.
pub(super) fn tickers(
    nodes: Nodes<'_, '_>,
    times: &mut TimeCache,
    recv: UnixNanos,
    handler: &mut impl Handler,
) -> Result<FrameFate, RejectReason> {
    let [_, _, timestamp, _, events] = nodes.pick(ROOT, &ENVELOPE)?;
    let time = field::time(nodes, timestamp, times)?;
    if !time_is_plausible(time, recv) {
        return Err(RejectReason::Implausible(Implausible::Time));
    }
    let mut tally = Tally::default();
    for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
        let Some((_, tickers)) = tally.event(nodes, event, "tickers") else { continue };
        for place in tickers {
            match ticker(nodes, place, time, recv, handler) {
                Ok(()) => tally.used += 1,
                Err(why) => tally.reject(Item::Ticker, why, handler),
            }
        }
    }
    Ok(tally.fate())
}

fn ticker(nodes: Nodes<'_, '_>, place: usize, time: UnixNanos, recv: UnixNanos, handler: &mut impl Handler) -> Result<(), RejectReason> {
    let [_, product, price_at, _, _, _, _, _, _, bid_at, ask_at, bid_size_at, ask_size_at] = nodes.pick_shape::<ListedTicker, 13>(place)?;
    let product = field::product(nodes, product)?;
    let price = field::number_or_none(nodes, price_at, RejectReason::Price)?;
    let bid = field::number_or_none(nodes, bid_at, RejectReason::Price)?;
    let ask = field::number_or_none(nodes, ask_at, RejectReason::Price)?;
    let bid_size = field::number_or_none(nodes, bid_size_at, RejectReason::Size)?;
    let ask_size = field::number_or_none(nodes, ask_size_at, RejectReason::Size)?;
    let ticker = Ticker {
        time,
        recv,
        trade_id: 0,
        sequence: 0,
        price,
        volume: Decimal::NONE,
        best_bid: bid,
        best_ask: ask,
        best_bid_size: bid_size.as_f64,
        best_ask_size: ask_size.as_f64,
        side: None,
    };
    handler.ticker(product, &ticker);
    let sources = [
        source("price_f64", price, price_at),
        source("best_bid_f64", bid, bid_at),
        source("best_ask_f64", ask, ask_at),
        source("best_bid_size_f64", bid_size, bid_size_at),
        source("best_ask_size_f64", ask_size, ask_size_at),
    ];
    field::each_inexact(nodes, sources, |column, text| handler.inexact(product, column, recv.0, text));
    Ok(())
}

/// Reads a `subscriptions` message.
pub(super) fn subscriptions(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
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
