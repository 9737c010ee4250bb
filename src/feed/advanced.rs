//! The Advanced Trade feed's messages: `market_trades` and `ticker` envelopes.
//!
//! 1. `side` is the **maker's** and is turned round. There are no order ids and no sequence of the product: nil and 0.
//! 2. A message may hold several events, an event several products, and every batch is newest-first: all trades of a message are
//!    handed over in rising trade id. A snapshot's are marked [`Means::Snapshot`].
//! 3. A ticker carries no trade: the envelope's `timestamp`, volume NaN, side unknown, trade id and sequence 0.
//! 4. One element or event that cannot be used does not cost its neighbours.

use crate::decimal::Decimal;
use crate::feed::field;
use crate::feed::handler::{FrameFate, Handler, Item, RejectReason};
use crate::feed::json::{Nodes, ROOT, shape};
use crate::record::{Implausible, Means, OrderId, Origin, Ticker, Trade, time_is_plausible};
use crate::time::{TimeCache, UnixNanos};

/// An envelope's fields in wire order (`client_id` was sent until early 2026).
const ENVELOPE: [&str; 5] = ["channel", "client_id", "timestamp", "sequence_num", "events"];

shape! {
    /// A trade's fields in wire order.
    ListedTrade, 6:
        "product_id", "trade_id", "price", "size", "time", "side",
}

shape! {
    /// A ticker's fields in wire order; the day's statistics are named only so that the order is met.
    ListedTicker, 13:
        "type", "product_id", "price", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w",
        "price_percent_chg_24_h", "best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity",
}

/// A trade that waits for those of its frame to be put in order, with the places of its texts.
pub(super) struct Waiting {
    trade: Trade,
    product: usize,
    price: usize,
    size: usize,
}

/// Counts what became of a frame's elements.
#[derive(Default)]
struct Tally {
    handed_over: usize,
    rejected: Option<RejectReason>,
}

impl Tally {
    fn reject(&mut self, item: Item, why: RejectReason, handler: &mut impl Handler) {
        handler.reject_item(item, why);
        self.rejected = Some(why);
    }

    /// Gives an event's type and the places of its elements; one of another shape is noted, and costs no other event.
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
            _ if self.handed_over > 0 => FrameFate::Used,
            Some(why) => FrameFate::Rejected(why),
            None => FrameFate::Ignored,
        }
    }
}

/// Hands over the trades of a `market_trades` message; `waiting` is a buffer to be reused.
pub(super) fn trades(
    nodes: Nodes<'_, '_>,
    times: &mut TimeCache,
    waiting: &mut Vec<Waiting>,
    recv: UnixNanos,
    line: u8,
    handler: &mut impl Handler,
) -> Result<FrameFate, RejectReason> {
    let [.., events] = nodes.pick(ROOT, &ENVELOPE)?;
    let mut tally = Tally::default();
    waiting.clear();
    for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
        let Some((kind, trades)) = tally.event(nodes, event, "trades") else { continue };
        let means = if kind == Some("snapshot") { Means::Snapshot } else { Means::Live };
        let origin = Origin::new(means, line, true);
        for place in trades {
            match trade(nodes, place, times, recv, origin) {
                Ok(trade) => waiting.push(trade),
                Err(why) => tally.reject(Item::Trade, why, handler),
            }
        }
    }
    // A run that falls throughout is turned round in one pass; nothing is allocated.
    waiting.sort_unstable_by_key(|waiting| waiting.trade.trade_id);
    for Waiting { trade, product, price, size } in waiting.iter() {
        let product = nodes.text(*product).unwrap_or_default().as_bytes();
        handler.trade(product, trade);
        let told = [("trade_price_f64", trade.price, *price), ("trade_size_f64", trade.size, *size)];
        field::tell_inexact(nodes, told, |column, text| handler.inexact(product, column, trade.trade_id, text));
    }
    tally.handed_over = waiting.len();
    Ok(tally.fate())
}

fn trade(nodes: Nodes<'_, '_>, place: usize, times: &mut TimeCache, recv: UnixNanos, origin: Origin) -> Result<Waiting, RejectReason> {
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
    Ok(Waiting { trade, product, price, size })
}

/// Hands over the tickers of a `ticker` message.
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
                Ok(()) => tally.handed_over += 1,
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
    let told = [
        ("price_f64", price, price_at),
        ("best_bid_f64", bid, bid_at),
        ("best_ask_f64", ask, ask_at),
        ("best_bid_size_f64", bid_size, bid_size_at),
        ("best_ask_size_f64", ask_size, ask_size_at),
    ];
    field::tell_inexact(nodes, told, |column, text| handler.inexact(product, column, recv.0, text));
    Ok(())
}
