//! The messages of the Advanced Trade feed: `market_trades`, `ticker`, `subscriptions`, `status`.
//!
//! 1. `side` is the **maker's** and is inverted. There are no order ids and no sequence of the product: nil and 0.
//! 2. A message may hold several events and an event several products; every batch is newest-first. The handler gets all trades of a message in rising
//!    trade id. Those of a snapshot are marked [`Means::Snapshot`].
//! 3. A ticker carries no trade: it has the envelope's `timestamp`, volume NaN, side unknown, trade id and sequence 0. The handler is told which tickers are
//!    of a snapshot ([`Handler::snapshot`]).
//! 4. An element or event that cannot be used does not affect the others. But the handler is called only when all of a message is read: as long as it may
//!    be read again in another spelling, or after the clock is settled, one such element ends the reading ([`Elements::All`]).

use super::clock_check::FrameTimes;
use super::control::{Channels, Control, product_set};
use super::fate::FrameFate;
use super::field::{self, source};
use super::handler::{Handler, Item};
use super::json::{Nodes, ROOT, Shape, shape};
use super::product_info::ProductInfo;
use super::protocol::Feed;
use super::reject::RejectReason;
use super::shapes::{ReadBatch, TIMESTAMP};
use super::values::Values;
use crate::decimal::Decimal;
use crate::record::{Implausible, Means, OrderId, Origin, Ticker, Trade, time_is_plausible};
use crate::time::UnixNanos;

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

/// The name of the list of trades.
pub(super) const TRADES: &str = "trades";
/// The name of the list of tickers.
pub(super) const TICKERS: &str = "tickers";
/// The type of an event that was sent on subscribing.
const SNAPSHOT: &[u8] = b"snapshot";
/// Fields of a trade.
pub(super) const TRADE_FIELDS: usize = 6;
/// Fields of a ticker.
pub(super) const TICKER_FIELDS: usize = 13;

/// Gives the names of a trade's fields.
pub(super) const fn trade_names() -> [&'static str; TRADE_FIELDS] {
    ListedTrade::NAMES
}

/// Gives the names of a ticker's fields.
pub(super) const fn ticker_names() -> [&'static str; TICKER_FIELDS] {
    ListedTicker::NAMES
}

/// A trade that waits until those of its frame are sorted, with the places of its texts.
pub(super) struct UnsortedTrade {
    trade: Trade,
    product: usize,
    price: usize,
    size: usize,
    /// The rule that it breaks, though it is a trade all the same.
    broken: Option<RejectReason>,
}

/// A ticker that waits until its whole frame is read, with the places of its texts.
pub(super) struct ReadTicker {
    ticker: Ticker,
    product: usize,
    /// Of price, bid, ask, bid size, ask size.
    numbers: [usize; 5],
    /// Those of bid size and ask size.
    sizes: [Decimal; 2],
    is_snapshot: bool,
}

/// Which of a frame's elements have to be usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    /// All. Otherwise the handler gets none, and the frame is read again.
    All,
    /// Any. The handler gets those that are, and hears of the others.
    Any,
}

/// What became of a frame's elements.
struct Tally {
    wanted: Elements,
    used: usize,
    rejected: Option<RejectReason>,
}

impl Tally {
    const fn new(wanted: Elements) -> Self {
        Self { wanted, used: 0, rejected: None }
    }

    /// Keeps an element that can be used, and rejects one that cannot.
    #[inline(always)]
    fn keep<T>(&mut self, read: Result<T, RejectReason>, kept: &mut Vec<T>, item: Item, handler: &mut impl Handler) {
        match read {
            Ok(element) => kept.push(element),
            Err(why) => self.reject(item, why, handler),
        }
    }

    fn reject(&mut self, item: Item, why: RejectReason, handler: &mut impl Handler) {
        if self.wanted == Elements::Any {
            handler.reject_item(item, why);
        }
        self.note(why);
    }

    fn note(&mut self, why: RejectReason) {
        // Where the frame is read again, a doubt is what the caller has to know first: it is settled by what follows.
        if self.wanted == Elements::Any || self.rejected != Some(RejectReason::Doubt) {
            self.rejected = Some(why);
        }
    }

    /// Gives the reason why the frame has to be read again, if it has.
    fn read_again(&self) -> Result<(), RejectReason> {
        match self.rejected {
            Some(why) if self.wanted == Elements::All => Err(why),
            _ => Ok(()),
        }
    }

    /// Gives the type of an event and the places of its elements. An event of another shape is only counted.
    fn event<'t, 'i>(
        &mut self,
        nodes: Nodes<'t, 'i>,
        event: usize,
        list: &str,
    ) -> Option<(Option<&'i [u8]>, impl Iterator<Item = usize> + use<'t, 'i>)> {
        let picked = nodes.pick(event, &["type", list]).and_then(|[kind, list]| {
            let elements = nodes.elements(list).ok_or(RejectReason::Shape)?;
            Ok((nodes.string(kind), elements))
        });
        picked.map_err(|why| self.note(why)).ok()
    }

    fn fate(&self) -> FrameFate {
        match self.rejected {
            _ if self.used > 0 => FrameFate::Used,
            Some(why) => FrameFate::Rejected(why),
            None => FrameFate::Ignored,
        }
    }
}

/// A message that is an envelope of events.
#[derive(Clone, Copy)]
pub(super) enum Message<'t, 'i> {
    /// As the parser gives it.
    Parsed(Nodes<'t, 'i>),
    /// Read by its shape: one event.
    ByShape(ReadBatch<'t, 'i>),
}

impl<'i> Values<'i> for Message<'_, 'i> {
    fn string(self, place: usize) -> Option<&'i [u8]> {
        match self {
            Self::Parsed(nodes) => nodes.string(place),
            Self::ByShape(batch) => batch.values.string(place),
        }
    }

    fn whole(self, place: usize) -> Option<u64> {
        match self {
            Self::Parsed(nodes) => nodes.whole(place),
            Self::ByShape(batch) => batch.values.whole(place),
        }
    }

    fn is_absent(self, place: usize) -> bool {
        match self {
            Self::Parsed(nodes) => nodes.is_absent(place),
            Self::ByShape(batch) => batch.values.is_absent(place),
        }
    }
}

/// Gives the handler the trades of a `market_trades` message; `unsorted` is a buffer that is reused.
pub(super) fn trades(
    message: Message<'_, '_>,
    times: &mut FrameTimes,
    unsorted: &mut Vec<UnsortedTrade>,
    line: u8,
    wanted: Elements,
    handler: &mut impl Handler,
) -> Result<FrameFate, RejectReason> {
    let mut tally = Tally::new(wanted);
    unsorted.clear();
    match message {
        Message::Parsed(nodes) => {
            let [.., events] = nodes.pick(ROOT, &ENVELOPE)?;
            for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
                let Some((kind, trades)) = tally.event(nodes, event, TRADES) else { continue };
                let source = TradeSource::new(kind, line);
                for place in trades {
                    let picked = nodes.pick_shape::<ListedTrade, TRADE_FIELDS>(place);
                    tally.keep(picked.and_then(|places| trade(nodes, places, times, source)), unsorted, Item::Trade, handler);
                }
            }
        }
        Message::ByShape(batch) => {
            let source = TradeSource::new(batch.kind(), line);
            for element in 0..batch.count {
                tally.keep(trade(batch.values, batch.places(element), times, source), unsorted, Item::Trade, handler);
            }
        }
    }
    tally.read_again()?;
    // A falling run is reversed in one pass; nothing is allocated.
    unsorted.sort_unstable_by_key(|unsorted| unsorted.trade.trade_id);
    for UnsortedTrade { trade, product, price, size, broken } in unsorted.iter() {
        let product = message.string(*product).unwrap_or_default();
        if let Some(why) = broken {
            handler.flaw(*why);
        }
        let sources = [source("trade_price_f64", trade.price, *price), source("trade_size_f64", trade.size, *size)];
        field::each_inexact(message, sources, |column, text| handler.inexact(product, column, trade.trade_id, text));
        handler.trade(product, trade);
    }
    tally.used = unsorted.len();
    Ok(tally.fate())
}

/// What the trades of an event have in common.
#[derive(Clone, Copy)]
struct TradeSource {
    means: Means,
    origin: Origin,
}

impl TradeSource {
    fn new(kind: Option<&[u8]>, line: u8) -> Self {
        let means = if kind == Some(SNAPSHOT) { Means::Snapshot } else { Means::Live };
        Self { means, origin: Origin::new(means, line, Feed::Advanced.number()) }
    }
}

#[inline(always)]
fn trade<'i>(
    values: impl Values<'i>,
    [product, trade_id, price, size, time, side]: [usize; TRADE_FIELDS],
    times: &mut FrameTimes,
    TradeSource { means, origin }: TradeSource,
) -> Result<UnsortedTrade, RejectReason> {
    field::product(values, product)?;
    let mut trade = Trade {
        trade_id: field::id(values, trade_id)?,
        time: field::time(values, time, &mut times.cache)?,
        price: field::number(values, price, RejectReason::Price)?,
        size: field::number(values, size, RejectReason::Size)?,
        side: field::side(values, side)?.turned(),
        maker_order_id: OrderId::NIL,
        taker_order_id: OrderId::NIL,
        sequence: 0,
        recv: times.recv,
        origin,
    };
    if means == Means::Live {
        times.note_present(trade.time)
    } else {
        times.note_past(trade.time)
    }
    let broken = field::check(&mut trade, times.latest)?;
    Ok(UnsortedTrade { trade, product, price, size, broken })
}

/// Gives the handler the tickers of a `ticker` message; `read` is a buffer that is reused.
pub(super) fn tickers(
    message: Message<'_, '_>,
    times: &mut FrameTimes,
    read: &mut Vec<ReadTicker>,
    wanted: Elements,
    handler: &mut impl Handler,
) -> Result<FrameFate, RejectReason> {
    let (timestamp, events) = match message {
        Message::Parsed(nodes) => {
            let [_, _, timestamp, _, events] = nodes.pick(ROOT, &ENVELOPE)?;
            (timestamp, events)
        }
        Message::ByShape(_) => (TIMESTAMP, ROOT),
    };
    let time = field::time(message, timestamp, &mut times.cache)?;
    times.note_present(time);
    if !time_is_plausible(time, times.latest) {
        return Err(if times.is_ahead(time) { RejectReason::Doubt } else { RejectReason::Implausible(Implausible::Time) });
    }
    let mut tally = Tally::new(wanted);
    read.clear();
    match message {
        Message::Parsed(nodes) => {
            for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
                let Some((kind, tickers)) = tally.event(nodes, event, TICKERS) else { continue };
                let source = TickerSource { time, recv: times.recv, is_snapshot: kind == Some(SNAPSHOT) };
                for place in tickers {
                    let picked = nodes.pick_shape::<ListedTicker, TICKER_FIELDS>(place);
                    tally.keep(picked.and_then(|places| ticker(nodes, places, source)), read, Item::Ticker, handler);
                }
            }
        }
        Message::ByShape(batch) => {
            let source = TickerSource { time, recv: times.recv, is_snapshot: batch.kind() == Some(SNAPSHOT) };
            for element in 0..batch.count {
                tally.keep(ticker(batch.values, batch.places(element), source), read, Item::Ticker, handler);
            }
        }
    }
    tally.read_again()?;
    for ReadTicker { ticker, product, numbers, sizes: [bid_size_read, ask_size_read], is_snapshot } in read.iter() {
        let [price, bid, ask, bid_size, ask_size] = numbers;
        let product = message.string(*product).unwrap_or_default();
        let sources = [
            source("price_f64", ticker.price, *price),
            source("best_bid_f64", ticker.best_bid, *bid),
            source("best_ask_f64", ticker.best_ask, *ask),
            source("best_bid_size_f64", *bid_size_read, *bid_size),
            source("best_ask_size_f64", *ask_size_read, *ask_size),
        ];
        field::each_inexact(message, sources, |column, text| handler.inexact(product, column, ticker.recv.0, text));
        if *is_snapshot {
            handler.snapshot();
        }
        handler.ticker(product, ticker);
    }
    tally.used = read.len();
    Ok(tally.fate())
}

/// What the tickers of an event have in common.
#[derive(Clone, Copy)]
struct TickerSource {
    time: UnixNanos,
    recv: UnixNanos,
    is_snapshot: bool,
}

fn ticker<'i>(
    values: impl Values<'i>,
    places: [usize; TICKER_FIELDS],
    TickerSource { time, recv, is_snapshot }: TickerSource,
) -> Result<ReadTicker, RejectReason> {
    let [_, product, price_at, _, _, _, _, _, _, bid_at, ask_at, bid_size_at, ask_size_at] = places;
    field::product(values, product)?;
    let bid_size = field::number_or_none(values, bid_size_at, RejectReason::Size)?;
    let ask_size = field::number_or_none(values, ask_size_at, RejectReason::Size)?;
    let ticker = Ticker {
        time,
        recv,
        trade_id: 0,
        sequence: 0,
        price: field::number_or_none(values, price_at, RejectReason::Price)?,
        volume: Decimal::NONE,
        best_bid: field::number_or_none(values, bid_at, RejectReason::Price)?,
        best_ask: field::number_or_none(values, ask_at, RejectReason::Price)?,
        best_bid_size: bid_size.as_f64,
        best_ask_size: ask_size.as_f64,
        side: None,
    };
    let numbers = [price_at, bid_at, ask_at, bid_size_at, ask_size_at];
    Ok(ReadTicker { ticker, product, numbers, sizes: [bid_size, ask_size], is_snapshot })
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

/// Reads a `status` message. An event without products is passed over.
pub(super) fn status(nodes: Nodes<'_, '_>) -> Result<Control, RejectReason> {
    let [events] = nodes.pick(ROOT, &["events"])?;
    let mut all = Vec::new();
    for event in nodes.elements(events).ok_or(RejectReason::Shape)? {
        let [products] = nodes.pick(event, &["products"])?;
        all.extend(nodes.elements(products).into_iter().flatten().filter_map(|place| ProductInfo::read(nodes, place)));
    }
    Ok(Control::Status(all))
}
