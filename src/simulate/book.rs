//! One product's book: where its price stands, and the next sweep through it.
//!
//! The rules it obeys are the market's; see [`market`](super::market). Numbers are whole ticks and whole units of a size: nothing here is rounded.

use fastrand::Rng;

use super::catalogue::Shape;
use super::market::{Day, Print, Quote};
use super::spelling::Amount;
use crate::record::{OrderId, Side};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Longest sweep, in trades.
pub(super) const MAX_FILLS: u64 = 20;
/// Share of a second's trades that come in its burst, and the share of the second that the burst takes.
const BURST: (f64, f64) = (0.4, 0.04);

/// One product's book.
#[derive(Debug)]
pub(super) struct Book {
    product: usize,
    shape: Shape,
    pub(super) rng: Rng,
    rate: f64,
    /// Where in the second its burst begins.
    phase: f64,
    trade_id: u64,
    sequence: u64,
    /// Trades since the start, the planned sweep included.
    made: u64,
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
    pub(super) fn new(product: usize, shape: Shape, rate: f64, mut rng: Rng) -> Self {
        let bid = shape.start_ticks.max(2);
        let resting = draw_id(&mut rng);
        Self {
            product,
            shape,
            rate,
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

    /// Plans the next sweep: how many trades, and when, in nanoseconds after the start.
    pub(super) fn plan(&mut self) -> Option<u64> {
        if self.rate <= 0.0 {
            return None;
        }
        self.planned = self.draw_fills();
        let trades = self.made as f64 + self.planned as f64 * self.rng.f64();
        self.made += self.planned;
        Some(nanos(self.warp(trades / self.rate)))
    }

    /// Bends even time into a burst a second. Rising and continuous; whole seconds (of this product's phase) stay where they are.
    fn warp(&self, seconds: f64) -> f64 {
        let shifted = seconds + self.phase;
        let (whole, part) = (shifted.floor(), shifted.fract());
        let (share, width) = BURST;
        let bent = if part < share { part * width / share } else { width + (part - share) * (1.0 - width) / (1.0 - share) };
        (whole + bent - self.warped_phase()).max(0.0)
    }

    fn warped_phase(&self) -> f64 {
        let (share, width) = BURST;
        if self.phase < share { self.phase * width / share } else { width + (self.phase - share) * (1.0 - width) / (1.0 - share) }
    }

    pub(super) fn draw_fills(&mut self) -> u64 {
        match self.rng.u32(0..100) {
            0..60 => 1,
            60..76 => 2,
            76..92 => self.rng.u64(3..=5),
            _ => self.rng.u64(6..=MAX_FILLS),
        }
    }

    /// Lets one taker's order trade `fills` times.
    pub(super) fn sweep(&mut self, time: UnixNanos, fills: u64, out: &mut Vec<Print>) {
        // The wire has microseconds; times of one product never fall.
        let time = UnixNanos(time.0 / 1000 * 1000).max(self.newest);
        self.newest = time;
        self.drift();
        let taker = draw_id(&mut self.rng);
        let side = self.draw_side();
        for fill in 0..fills {
            // A quarter of the fills hits the order that the one before has left in part.
            if self.rng.u32(0..4) > 0 {
                self.resting = draw_id(&mut self.rng);
            }
            let ticks = if side == Side::Buy { self.ask } else { self.bid };
            let size = self.draw_size();
            if self.rng.u32(0..5) < 2 {
                self.use_up(side);
            }
            self.last = ticks;
            self.low = self.low.min(ticks);
            self.high = self.high.max(ticks);
            self.volume = self.volume.saturating_add(size);
            self.trade_id += 1;
            self.sequence += if fill == 0 { 1 + self.rng.u64(0..40) } else { 2 };
            out.push(Print {
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
                has_ticker: fill + 1 == fills || self.rng.u32(0..10) > 0,
                ticker_first: self.rng.u32(0..4) == 0,
            });
        }
        self.close_spread(side);
    }

    /// Takes the sides' turns at random, but turns back a price that has left half to double of where it started.
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

    /// Draws a size: a single unit, a round lot or anything over three orders of magnitude.
    fn draw_size(&mut self) -> u64 {
        let usual = self.shape.usual_size.max(1);
        match self.rng.u32(0..100) {
            0..2 => 1,
            2..20 => (usual / 10).max(1) * self.rng.u64(1..40),
            _ => 1 + self.rng.u64(1..=usual.saturating_mul(2)) / self.rng.u64(1..=1000),
        }
    }

    fn use_up(&mut self, side: Side) {
        let step = 1 + self.rng.u64(0..3);
        match side {
            Side::Buy => self.ask += step,
            Side::Sell => self.bid = self.bid.saturating_sub(step).max(1),
        }
    }

    /// Quotes move between sweeps: sizes always, prices by a tick now and then.
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

    /// After a sweep the other side follows.
    fn close_spread(&mut self, side: Side) {
        if self.ask - self.bid > 4 {
            let left = 1 + self.rng.u64(0..3);
            match side {
                Side::Buy => self.bid = self.ask - left,
                Side::Sell => self.ask = self.bid + left,
            }
        }
    }

    /// Gives the last price, the quote and the day as they stand.
    pub(super) fn top(&self) -> (Amount, Quote, Day) {
        (self.shape.price(self.last), self.quote(), self.day())
    }

    fn quote(&self) -> Quote {
        Quote {
            bid: self.shape.price(self.bid),
            ask: self.shape.price(self.ask),
            bid_size: self.shape.size(self.bid_size),
            ask_size: self.shape.size(self.ask_size),
        }
    }

    fn day(&self) -> Day {
        Day {
            open: self.shape.price(self.open),
            low: self.shape.price(self.low),
            high: self.shape.price(self.high),
            volume: self.shape.size(self.volume),
        }
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

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest u64 or saturates, which is what a far future may do")]
fn nanos(seconds: f64) -> u64 {
    (seconds * NANOS_PER_SECOND as f64) as u64
}
