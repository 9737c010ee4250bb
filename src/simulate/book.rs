//! One product's order book: its prices, and the next sweep through it.
//!
//! Its rules are those of [`market`](super::market). Numbers are whole ticks and whole units of a size; nothing here is rounded.

use fastrand::Rng;

use super::catalogue::Shape;
use super::trade::{DayStats, Quote, Summary, TickerOrder, Trade};
use crate::record::{OrderId, Side};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Longest sweep, in trades.
pub(super) const MAX_FILLS: u64 = 20;
/// Share of a second's trades that come in its burst.
const BURST_TRADES: f64 = 0.4;
/// Share of the second that the burst takes.
const BURST_TIME: f64 = 0.04;

/// How the trades of a product follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrivals {
    /// In sweeps, with a burst each second.
    Bursts,
    /// Evenly, one at a time.
    Even,
}

/// One product's order book. Prices are in ticks, sizes in units.
#[derive(Debug)]
pub(super) struct Book {
    product: usize,
    shape: Shape,
    pub(super) rng: Rng,
    rate: f64,
    /// Where trades come evenly: the part of the time between two that passes before the first one.
    turn: Option<f64>,
    /// Where in the second its burst begins, from 0 to 1.
    phase: f64,
    trade_id: u64,
    sequence: u64,
    /// Trades since the start, with those of the planned sweep.
    made: u64,
    /// Trades of the planned sweep.
    pub(super) planned: u64,
    newest: UnixNanos,
    bid: u64,
    ask: u64,
    bid_size: u64,
    ask_size: u64,
    last: u64,
    low: u64,
    high: u64,
    open: u64,
    volume: u64,
    resting: OrderId,
}

impl Book {
    pub(super) fn new(product: usize, shape: Shape, rate: f64, turn: Option<f64>, mut rng: Rng) -> Self {
        let bid = shape.start_ticks.max(2);
        let resting = draw_id(&mut rng);
        Self {
            product,
            shape,
            rate,
            turn,
            phase: rng.f64(),
            trade_id: rng.u64(50_000..1_200_000_000),
            sequence: rng.u64(20_000_000..90_000_000_000),
            made: 0,
            planned: 0,
            newest: UnixNanos(0),
            bid,
            ask: bid + 1,
            bid_size: shape.usual_size,
            ask_size: shape.usual_size,
            last: bid,
            low: bid,
            high: bid + 1,
            open: bid,
            volume: shape.usual_size.saturating_mul(1 + rng.u64(0..100_000)),
            resting,
            rng,
        }
    }

    /// Plans the next sweep. Gives its moment, in nanoseconds after the start; `None` where the rate is 0.
    pub(super) fn plan(&mut self) -> Option<u64> {
        if self.rate <= 0.0 {
            return None;
        }
        if let Some(turn) = self.turn {
            let before = self.made as f64 + turn;
            (self.planned, self.made) = (1, self.made + 1);
            return Some(nanos(before / self.rate));
        }
        self.planned = self.draw_fills();
        let trades = self.made as f64 + self.planned as f64 * self.rng.f64();
        self.made += self.planned;
        Some(nanos(self.with_bursts(trades / self.rate)))
    }

    /// Moves evenly spread times so that every second has a burst. The result rises with `seconds` without a jump, and whole seconds (counted from this
    /// product's phase) stay where they are.
    fn with_bursts(&self, seconds: f64) -> f64 {
        let shifted = seconds + self.phase;
        (shifted.floor() + burst_time(shifted.fract()) - burst_time(self.phase)).max(0.0)
    }

    pub(super) fn draw_fills(&mut self) -> u64 {
        match self.rng.u32(0..100) {
            0..60 => 1,
            60..76 => 2,
            76..92 => self.rng.u64(3..=5),
            _ => self.rng.u64(6..=MAX_FILLS),
        }
    }

    /// Executes one taker's order in `fills` trades, and appends them.
    pub(super) fn sweep(&mut self, time: UnixNanos, fills: u64, out: &mut Vec<Trade>) {
        // The Exchange feed shows microseconds, and the times of one product never fall.
        let time = UnixNanos(time.0 / 1000 * 1000).max(self.newest);
        self.newest = time;
        self.drift();
        let taker = draw_id(&mut self.rng);
        let side = self.draw_side();
        for fill in 0..fills {
            // A quarter of the fills meets the same maker's order as the fill before.
            if self.rng.u32(0..4) > 0 {
                self.resting = draw_id(&mut self.rng);
            }
            let ticks = if side == Side::Buy { self.ask } else { self.bid };
            let size = self.draw_size();
            if self.rng.u32(0..5) < 2 {
                self.take_level(side);
            }
            self.last = ticks;
            self.low = self.low.min(ticks);
            self.high = self.high.max(ticks);
            self.volume = self.volume.saturating_add(size);
            self.trade_id += 1;
            self.sequence += if fill == 0 { 1 + self.rng.u64(0..40) } else { 2 };
            out.push(Trade {
                product: self.product,
                trade_id: self.trade_id,
                time,
                price: self.shape.price(ticks),
                size: self.shape.size(size),
                side,
                maker: self.resting,
                taker,
                sequence: self.sequence,
                quote: self.quote(),
                day: self.day(),
                ticker: self.draw_ticker(fill + 1 == fills),
            });
        }
        self.close_spread(side);
    }

    /// Draws whether a trade has a ticker and which of the two comes first. The last trade of a sweep always has one.
    fn draw_ticker(&mut self, is_last: bool) -> TickerOrder {
        let has_ticker = is_last || self.rng.u32(0..10) > 0;
        let is_before = self.rng.u32(0..4) == 0;
        match (has_ticker, is_before) {
            (false, _) => TickerOrder::None,
            (true, true) => TickerOrder::BeforeTrade,
            (true, false) => TickerOrder::AfterTrade,
        }
    }

    /// Draws the taker's side. A price below half or above double of where it started is turned back.
    fn draw_side(&mut self) -> Side {
        if self.bid <= self.shape.start_ticks / 2 + 1 {
            Side::Buy
        } else if self.ask >= self.shape.start_ticks.saturating_mul(2).max(4) {
            Side::Sell
        } else if self.rng.bool() {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    /// Draws a size: one unit, a round lot, or anything over three orders of magnitude.
    fn draw_size(&mut self) -> u64 {
        let usual = self.shape.usual_size.max(1);
        match self.rng.u32(0..100) {
            0..2 => 1,
            2..20 => (usual / 10).max(1) * self.rng.u64(1..40),
            _ => 1 + self.rng.u64(1..=usual.saturating_mul(2)) / self.rng.u64(1..=1000),
        }
    }

    /// Moves the price of the side that the taker has used up.
    fn take_level(&mut self, side: Side) {
        let step = 1 + self.rng.u64(0..3);
        match side {
            Side::Buy => self.ask += step,
            Side::Sell => self.bid = self.bid.saturating_sub(step).max(1),
        }
    }

    /// Moves the quote between sweeps: the sizes always, a price by one tick now and then.
    pub(super) fn drift(&mut self) {
        self.bid_size = self.draw_size();
        self.ask_size = self.draw_size();
        match self.rng.u32(0..10) {
            0 => self.ask += 1,
            1 if self.bid > 1 => self.bid -= 1,
            2 if self.ask - self.bid > 1 => self.bid += 1,
            3 if self.ask - self.bid > 1 => self.ask -= 1,
            _ => {}
        }
    }

    /// Lets the other side follow after a sweep.
    fn close_spread(&mut self, side: Side) {
        if self.ask - self.bid > 4 {
            let left = 1 + self.rng.u64(0..3);
            match side {
                Side::Buy => self.bid = self.ask - left,
                Side::Sell => self.ask = self.bid + left,
            }
        }
    }

    /// Gives the last price, the quote and the day.
    pub(super) fn summary(&self) -> Summary {
        Summary { price: self.shape.price(self.last), quote: self.quote(), day: self.day() }
    }

    fn quote(&self) -> Quote {
        Quote {
            bid: self.shape.price(self.bid),
            ask: self.shape.price(self.ask),
            bid_size: self.shape.size(self.bid_size),
            ask_size: self.shape.size(self.ask_size),
        }
    }

    fn day(&self) -> DayStats {
        DayStats {
            open: self.shape.price(self.open),
            low: self.shape.price(self.low),
            high: self.shape.price(self.high),
            volume: self.shape.size(self.volume),
        }
    }
}

/// Maps a part of a second, from 0 to 1, so that its first [`BURST_TRADES`] fall into [`BURST_TIME`].
fn burst_time(part: f64) -> f64 {
    if part < BURST_TRADES {
        part * BURST_TIME / BURST_TRADES
    } else {
        BURST_TIME + (part - BURST_TRADES) * (1.0 - BURST_TIME) / (1.0 - BURST_TRADES)
    }
}

/// Draws a version 4 UUID.
fn draw_id(rng: &mut Rng) -> OrderId {
    let mut bytes = rng.u128(..).to_be_bytes();
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    OrderId(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "a time too far ahead becomes the latest there is")]
fn nanos(seconds: f64) -> u64 {
    (seconds * NANOS_PER_SECOND as f64) as u64
}
