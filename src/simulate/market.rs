//! The seeded market: sweeps of trades, and the quotes after them.
//!
//! 1. The trades depend on the seed, the products and the rate alone, never on the time of a call. Every sweep has its own moment on the event clock, and
//!    [`Market::advance`] gives those whose moment has come. Each product draws from a generator of its own.
//! 2. In each product `trade_id` rises by exactly 1, `sequence` rises and skips numbers, and the time never falls. The trades of one sweep share time and
//!    taker's order id. Their prices only move away from the taker.
//! 3. The quote of a trade is that of the order book **after** it. The bid is below the ask, and neither is below one tick. A trade that leaves part of its
//!    level leaves the quote at its price.
//! 4. The number of trades up to a moment is `rate × time` to within one sweep, so that the reached rate can be compared with the asked one. With
//!    [`Arrivals::Bursts`] two fifths of the trades of each second come in a burst of ten times the rate. With [`Arrivals::Even`] each trade is a sweep of its
//!    own that has a ticker, and all trades of all products are the same time apart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::book::{Arrivals, Book};
use super::catalogue::shape_of;
use super::trade::{Summary, TickerOrder, Trade};
use crate::product::ProductId;
use crate::time::UnixNanos;

/// Distance of the trades of the history, in nanoseconds.
const HISTORY_SPACING_NANOS: u64 = 500_000_000;

/// The order books of all products.
#[derive(Debug)]
pub(super) struct Market {
    books: Vec<Book>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    start: UnixNanos,
}

impl Market {
    /// Makes the order books. `rate` is trades per second and product, `start` where the event clock begins.
    pub(super) fn new(products: &[ProductId], rate: f64, arrivals: Arrivals, seed: u64, start: UnixNanos) -> Self {
        let count = products.len() as f64;
        let mut books: Vec<Book> = products
            .iter()
            .enumerate()
            .map(|(at, product)| {
                // An odd multiplier keeps the generators of neighbouring products apart (golden ratio of 2^64).
                let mixed = seed.wrapping_add(at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let turn = (arrivals == Arrivals::Even).then_some(at as f64 / count);
                Book::new(at, shape_of(product), rate, turn, Rng::with_seed(mixed))
            })
            .collect();
        let due = books.iter_mut().enumerate().filter_map(|(at, book)| Some(Reverse((book.plan()?, at)))).collect();
        Self { books, due, start }
    }

    /// Moves the start of the event clock to `start`, unless it lies later already.
    pub(super) fn start_at(&mut self, start: UnixNanos) {
        self.start = self.start.max(start);
    }

    /// Gives where the event clock begins.
    pub(super) fn start(&self) -> UnixNanos {
        self.start
    }

    /// Makes `count` trades of each product that lie before the start, oldest first.
    pub(super) fn history(&mut self, count: u64, out: &mut Vec<Trade>) {
        for book in &mut self.books {
            let before = out.len();
            let first = self.start.0.saturating_sub(count.saturating_mul(HISTORY_SPACING_NANOS));
            let mut made = 0;
            while made < count {
                let fills = book.draw_fills().min(count - made);
                let spread = book.rng.u64(0..HISTORY_SPACING_NANOS);
                book.sweep(UnixNanos(first + made * HISTORY_SPACING_NANOS + spread), fills, out);
                made += fills;
            }
            // The newest trade has a ticker, so that the ledger has the one that is sent on subscribing.
            if let Some(newest) = out.get_mut(before..).and_then(|made| made.last_mut()).filter(|newest| !newest.has_ticker()) {
                newest.ticker = TickerOrder::AfterTrade;
            }
        }
    }

    /// Appends every trade up to `offset` nanoseconds after the start, in order of time.
    pub(super) fn advance(&mut self, offset: u64, out: &mut Vec<Trade>) {
        while let Some(Reverse((at, product))) = self.due.peek().copied() {
            if at > offset {
                return;
            }
            self.due.pop();
            let Some(book) = self.books.get_mut(product) else { continue };
            let fills = book.planned;
            book.sweep(UnixNanos(self.start.0.saturating_add(at)), fills, out);
            if let Some(next) = book.plan() {
                self.due.push(Reverse((next, product)));
            }
        }
    }

    /// Moves a product's quote without a trade, and gives it.
    pub(super) fn drift(&mut self, product: usize) -> Option<Summary> {
        let book = self.books.get_mut(product)?;
        book.drift();
        Some(book.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::MAX_FILLS;
    use super::super::catalogue::products;
    use super::super::trade::Quote;
    use super::*;
    use crate::record::Side;
    use crate::time::NANOS_PER_SECOND;

    const START: UnixNanos = UnixNanos(1_750_000_000_000_000_000);

    fn produce(seed: u64, count: usize, rate: f64, steps: &[u64]) -> Vec<Trade> {
        produce_with(Arrivals::Bursts, seed, count, rate, steps)
    }

    fn produce_with(arrivals: Arrivals, seed: u64, count: usize, rate: f64, steps: &[u64]) -> Vec<Trade> {
        let mut market = Market::new(&products(count).expect("names"), rate, arrivals, seed, START);
        let mut out = Vec::new();
        market.history(120, &mut out);
        for step in steps {
            market.advance(*step, &mut out);
        }
        out
    }

    #[test]
    fn the_seed_decides_and_the_time_of_asking_does_not() {
        let whole = produce(7, 3, 500.0, &[3 * NANOS_PER_SECOND]);
        let sliced = produce(7, 3, 500.0, &(0..=3000).map(|ms| ms * 1_000_000).collect::<Vec<_>>());
        assert_eq!(whole, sliced);
        assert_ne!(whole, produce(8, 3, 500.0, &[3 * NANOS_PER_SECOND]));
    }

    #[test]
    fn every_product_obeys_the_rules_of_the_tape() {
        let trades = produce(1, 24, 2000.0, &[2 * NANOS_PER_SECOND]);
        for product in 0..24 {
            let own: Vec<&Trade> = trades.iter().filter(|trade| trade.product == product).collect();
            for pair in own.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                assert_eq!(after.trade_id, before.trade_id + 1);
                assert!(after.sequence > before.sequence && after.time >= before.time);
                if before.taker == after.taker {
                    assert_eq!((before.time, before.side), (after.time, after.side));
                    let moves = after.price.units.cmp(&before.price.units);
                    assert!(if after.side == Side::Buy { moves.is_ge() } else { moves.is_le() });
                }
            }
            for trade in own {
                let Quote { bid, ask, .. } = trade.quote;
                assert!(bid.units >= 1 && bid.units < ask.units, "{trade:?}");
                assert!(trade.size.units >= 1 && trade.price.units >= 1);
                assert!(if trade.side == Side::Buy { ask.units >= trade.price.units } else { bid.units <= trade.price.units });
            }
        }
        assert!(trades.windows(2).any(|pair| pair[0].taker == pair[1].taker && pair[0].maker != pair[1].maker));
        assert!(trades.windows(2).any(|pair| pair[1].product == pair[0].product && pair[1].sequence > pair[0].sequence + 1));
        assert!(trades.iter().any(|trade| !trade.has_ticker()) && trades.iter().any(|trade| trade.ticker == TickerOrder::BeforeTrade));
    }

    #[test]
    fn the_asked_rate_is_kept_and_every_second_has_a_burst() {
        for (rate, seconds) in [(10.0, 20), (1000.0, 2)] {
            let trades = produce(3, 1, rate, &[seconds * NANOS_PER_SECOND]);
            let live: Vec<u64> = trades.iter().filter(|trade| trade.time >= START).map(|trade| trade.time.0 - START.0).collect();
            let asked = rate * seconds as f64;
            assert!((live.len() as f64 - asked).abs() <= 2.0 * MAX_FILLS as f64, "{} of {asked}", live.len());
            let busiest = (0..seconds * 100).map(|slot| live.iter().filter(|at| *at / 10_000_000 == slot).count()).max().unwrap_or(0);
            assert!(busiest as f64 > rate / 100.0 * 4.0, "{busiest}");
        }
    }

    #[test]
    fn spread_trades_come_one_at_a_time_and_all_products_take_turns() {
        let (count, rate) = (40, 2.0);
        let trades = produce_with(Arrivals::Even, 3, count, rate, &[5 * NANOS_PER_SECOND]);
        let live: Vec<&Trade> = trades.iter().filter(|trade| trade.time >= START).collect();
        assert!(live.len().abs_diff(count * 2 * 5) <= 1, "{}", live.len());
        for (at, pair) in live.windows(2).enumerate() {
            assert_eq!(pair[1].product, (pair[0].product + 1) % count, "trade {at}");
            let apart = pair[1].time.0 - pair[0].time.0;
            assert!((12_499_000..=12_501_000).contains(&apart), "{apart} ns apart");
        }
        assert!(live.iter().all(|trade| trade.has_ticker()));
        assert_eq!(produce_with(Arrivals::Even, 3, 2, 0.0, &[u64::MAX]).len(), 240);
    }

    #[test]
    fn a_rate_of_zero_makes_no_trades() {
        assert_eq!(produce(3, 2, 0.0, &[u64::MAX]).len(), 240);
    }
}
