//! [`Orders`]: the consecutive fills of one taker's order, put together.
//!
//! 1. Fills belong to one order where their trades follow each other and have the same taker's order id and side. A trade without order ids (from the
//!    Advanced feed, or from REST) stands alone: nothing says what order it was of.
//! 2. An order belongs to the range of time in which its first fill is. It is given whole, with fills behind the end of the range. So adjoining ranges give
//!    each order once.
//! 3. The quote before an order is that before its first fill, the quote after it that after its last one ([`super::quotes`]).
//! 4. What is kept at once is one order.

use std::collections::{BTreeSet, HashSet};

use super::basis::Basis;
use super::candles::price_of;
use super::error::MarketError;
use super::quotes::{Quote, Quotes};
use super::sum::ExactSum;
use crate::product::ProductId;
use crate::record::{OrderId, Side, Trade};
use crate::schema::{Dataset, Trades};
use crate::tape::Tape;
use crate::time::{NANOS_PER_SECOND, UnixNanos};
use crate::time_range::TimeRange;

/// How long the fills of one order may take at most, in nanoseconds: so much is read before and behind the range. The exchange fills a taker's order at once.
const LONGEST_ORDER_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// A taker's order as its fills show it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Order {
    /// The time of the first fill.
    pub time: UnixNanos,
    /// The time of the last fill.
    pub last_time: UnixNanos,
    /// The taker's side.
    pub side: Side,
    /// The number of fills.
    pub fills: u64,
    /// The number of orders that it met. `None` where the feed sent no order ids.
    pub makers: Option<u64>,
    /// The number of prices.
    pub levels: u64,
    /// The sum of the sizes.
    pub size: f64,
    /// The sum of prices times sizes.
    pub notional: f64,
    /// The mean price, weighted by size.
    pub vwap: Option<f64>,
    /// The highest price that was paid, or the lowest for which was sold.
    pub worst_price: f64,
    /// The quote before the first fill.
    pub before: Option<Quote>,
    /// The quote after the last fill.
    pub after: Option<Quote>,
    /// The first fill.
    pub first_trade_id: u64,
    /// The last fill.
    pub last_trade_id: u64,
    /// The order. `None` where the feed sent no order ids.
    pub taker_order_id: Option<OrderId>,
}

impl Order {
    /// Gives how old the quote before was at the first fill, in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a long age need no nanoseconds")]
    pub fn quote_age_ms(&self) -> Option<f64> {
        self.before.map(|quote| self.time.since(quote.time) as f64 / 1e6)
    }

    /// Gives by how much the mean price is worse than the middle of the quote before, in hundredths of a per cent. Above 0 it was paid, below 0 it was gained.
    #[must_use]
    pub fn slippage_bps(&self) -> Option<f64> {
        let (vwap, mid) = (self.vwap?, self.before?.mid()?);
        let worse = match self.side {
            Side::Buy => vwap - mid,
            Side::Sell => mid - vwap,
        };
        let bps = worse / mid * 1e4;
        bps.is_finite().then_some(bps)
    }
}

/// Which orders are asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Orders {
    /// The tape.
    pub tape: Tape,
    /// The product.
    pub product: ProductId,
    /// The event times in which an order begins.
    pub range: TimeRange,
    /// The least size of an order.
    pub min_size: Option<f64>,
    /// The fewest fills of an order.
    pub min_fills: Option<u64>,
}

/// What was found beside the orders.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrdersBasis {
    /// What the orders rest on.
    pub basis: Basis,
    /// Orders of the range, those that are too small or have too few fills included.
    pub orders: u64,
    /// Trades among them that have no order ids: each stands alone.
    pub without_ids: u64,
    /// Whether tickers with a sequence are stored, by which a quote is found.
    pub has_quotes: bool,
}

impl OrdersBasis {
    /// Says what has to be said with the orders.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let product = &self.basis.product;
        let mut said = self.basis.notes();
        if self.without_ids > 0 {
            said.push(format!(
                "{product}: {} trades have no order ids (the Advanced feed and REST send none), so each of them stands alone",
                self.without_ids
            ));
        }
        if !self.has_quotes {
            said.push(format!("{product}: no ticker with a sequence is stored, so no quote before or after an order can be told"));
        }
        said
    }
}

impl Orders {
    /// Asks for all orders that are stored.
    #[must_use]
    pub const fn new(tape: Tape, product: ProductId) -> Self {
        Self { tape, product, range: TimeRange::ALL, min_size: None, min_fills: None }
    }

    /// Calls `visit` with each order, in the order of their trades. Gives what the orders rest on.
    ///
    /// # Errors
    /// Where the tape has no such trades or cannot be read, and where `visit` fails.
    pub fn for_each(&self, visit: impl FnMut(&Order) -> Result<(), MarketError>) -> Result<OrdersBasis, MarketError> {
        self.tape.days_in(&self.product, Dataset::Trades, self.range)?;
        let basis = Basis::of(&self.tape, &self.product, self.range)?;
        // The quotes of fills behind the end of the range, too.
        let around = self.around();
        let quotes = Quotes::open(&self.tape, &self.product, around)?;
        let found = OrdersBasis { basis, orders: 0, without_ids: 0, has_quotes: quotes.has_sequences() };
        let mut fills = Collector { asked: self, quotes, open: None, found, visit };
        for part in self.tape.stored_range::<Trades>(&self.product, around)? {
            let part = part?;
            let has_wide = part.day.column::<f64>("trade_price_f64").is_ok();
            fills.found.basis.has_core_days |= !has_wide && part.count() > 0;
            for mut trade in part.rows() {
                if !has_wide {
                    (trade.price.as_f64, trade.size.as_f64) = (price_of(&part.day, trade.price), price_of(&part.day, trade.size));
                }
                fills.add(&trade)?;
            }
        }
        fills.close()?;
        if fills.found.orders == 0 {
            return Err(MarketError::NoTrades { product: self.product.clone() });
        }
        Ok(fills.found)
    }

    /// Gives the range and as much time on each side as the fills of one order may take.
    fn around(&self) -> TimeRange {
        let earlier = |time: UnixNanos| UnixNanos(time.0.saturating_sub(LONGEST_ORDER_NANOS));
        let later = |time: UnixNanos| UnixNanos(time.0.saturating_add(LONGEST_ORDER_NANOS));
        TimeRange { from: self.range.from.map(earlier), to: self.range.to.map(later) }
    }
}

/// An order whose fills are being collected.
#[derive(Debug)]
struct OpenOrder {
    first: Trade,
    last: Trade,
    fills: u64,
    makers: HashSet<OrderId>,
    levels: BTreeSet<u64>,
    size: ExactSum,
    notional: ExactSum,
    worst_price: f64,
}

impl OpenOrder {
    fn new(trade: &Trade) -> Self {
        let (fills, worst_price) = (0, trade.price.as_f64);
        let (makers, levels, size, notional) = Default::default();
        let mut order = Self { first: *trade, last: *trade, fills, makers, levels, size, notional, worst_price };
        order.add(trade);
        order
    }

    fn add(&mut self, trade: &Trade) {
        let (price, size) = (trade.price.as_f64, trade.size.as_f64);
        self.last = *trade;
        self.fills += 1;
        if !trade.maker_order_id.is_nil() {
            self.makers.insert(trade.maker_order_id);
        }
        self.levels.insert(price.to_bits());
        self.size.add(size);
        self.notional.add_product(price, size);
        self.worst_price = match trade.side {
            Side::Buy => self.worst_price.max(price),
            Side::Sell => self.worst_price.min(price),
        };
    }

    /// Tells whether a trade that follows is another fill.
    fn is_filled_by(&self, trade: &Trade) -> bool {
        !trade.taker_order_id.is_nil() && trade.taker_order_id == self.first.taker_order_id && trade.side == self.first.side
    }

    fn order(&self, quotes: &Quotes) -> Order {
        let Trade { time, side, trade_id, taker_order_id, .. } = self.first;
        Order {
            time,
            last_time: self.last.time,
            side,
            fills: self.fills,
            makers: (!self.makers.is_empty()).then_some(self.makers.len() as u64),
            levels: self.levels.len() as u64,
            size: self.size.value(),
            notional: self.notional.value(),
            vwap: self.notional.ratio(&self.size),
            worst_price: self.worst_price,
            before: quotes.before(&self.first),
            after: quotes.after(&self.last),
            first_trade_id: trade_id,
            last_trade_id: self.last.trade_id,
            taker_order_id: (!taker_order_id.is_nil()).then_some(taker_order_id),
        }
    }
}

/// Collects fills in the order of their ids.
struct Collector<'a, V> {
    asked: &'a Orders,
    quotes: Quotes,
    open: Option<OpenOrder>,
    found: OrdersBasis,
    visit: V,
}

impl<V: FnMut(&Order) -> Result<(), MarketError>> Collector<'_, V> {
    fn add(&mut self, trade: &Trade) -> Result<(), MarketError> {
        match &mut self.open {
            Some(open) if open.is_filled_by(trade) => open.add(trade),
            _ => {
                self.close()?;
                self.open = Some(OpenOrder::new(trade));
            }
        }
        Ok(())
    }

    /// Ends the order that is open.
    fn close(&mut self) -> Result<(), MarketError> {
        let Some(open) = self.open.take().filter(|open| self.asked.range.contains(open.first.time)) else { return Ok(()) };
        self.found.orders += 1;
        self.found.without_ids += u64::from(open.first.taker_order_id.is_nil());
        let is_asked_for = self.asked.min_fills.is_none_or(|fewest| open.fills >= fewest)
            && self.asked.min_size.is_none_or(|least| open.size.value() >= least);
        if is_asked_for { (self.visit)(&open.order(&self.quotes)) } else { Ok(()) }
    }
}
