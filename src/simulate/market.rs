//! The seeded market: sweeps of trades and the quotes they leave.
//!
//! 1. What it produces depends on the seed, the products and the rate alone, never on when it is asked: every sweep has its own instant on the event
//!    clock, and [`Market::advance`] hands out those that have come. Each product draws from a generator of its own.
//! 2. Per product `trade_id` goes up by exactly 1, `sequence` rises with holes, the time never falls. The trades of one sweep share time, taker and
//!    taker's order id; their prices only walk away from the taker.
//! 3. The quote of a print is the book **after** it: the bid below the ask, neither below one tick; a trade that leaves part of its level leaves the
//!    quote at its price.
//! 4. The trades up to a moment follow `rate × time` to within one sweep, so that a reached rate can be held against the asked one; within each second
//!    two fifths of them come in a burst of ten times the rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::book::Book;
use super::catalogue::shape_of;
use super::spelling::Amount;
use crate::product::ProductId;
use crate::record::{OrderId, Side};
use crate::time::UnixNanos;

/// The top of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) bid: Amount,
    pub(super) ask: Amount,
    pub(super) bid_size: Amount,
    pub(super) ask_size: Amount,
}

/// What a ticker tells of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) open: Amount,
    pub(super) low: Amount,
    pub(super) high: Amount,
    pub(super) volume: Amount,
}

/// One trade and the quote it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    /// Place of the product in the configured list.
    pub(super) product: usize,
    pub(super) trade_id: u64,
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) size: Amount,
    /// The taker's side.
    pub(super) side: Side,
    pub(super) maker: OrderId,
    pub(super) taker: OrderId,
    pub(super) sequence: u64,
    pub(super) quote: Quote,
    pub(super) day: Day,
    /// Whether a ticker tells of it; in a cascade some do not.
    pub(super) has_ticker: bool,
    /// Whether that ticker comes before the match, as in a quarter of the recorded cases.
    pub(super) ticker_first: bool,
}

/// How long before the start the first trade of the history lies, in nanoseconds a trade.
const HISTORY_SPACING_NANOS: u64 = 500_000_000;

/// All products' books.
#[derive(Debug)]
pub(super) struct Market {
    books: Vec<Book>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    start: UnixNanos,
}

impl Market {
    /// Opens the books; `rate` is trades a second a product, `start` where the event clock begins.
    pub(super) fn new(products: &[ProductId], rate: f64, seed: u64, start: UnixNanos) -> Self {
        let mut books: Vec<Book> = products
            .iter()
            .enumerate()
            .map(|(at, product)| {
                // An odd multiplier keeps the generators of neighbouring products apart (golden ratio of 2^64).
                let mixed = seed.wrapping_add(at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Book::new(at, shape_of(product), rate, Rng::with_seed(mixed))
            })
            .collect();
        let due = books.iter_mut().enumerate().filter_map(|(at, book)| Some(Reverse((book.plan()?, at)))).collect();
        Self { books, due, start }
    }

    /// Sets where the event clock begins, once the first client is there.
    pub(super) fn start_at(&mut self, start: UnixNanos) {
        self.start = self.start.max(start);
    }

    /// Where the event clock begins.
    pub(super) fn start(&self) -> UnixNanos {
        self.start
    }

    /// Makes `count` trades a product that lie before the start, oldest first.
    pub(super) fn history(&mut self, count: u64, out: &mut Vec<Print>) {
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
            // The newest one has a ticker, so that the one sent on subscribing is known to the ledger.
            if let Some(newest) = out.get_mut(before..).and_then(|made| made.last_mut()) {
                newest.has_ticker = true;
            }
        }
    }

    /// Hands out, in order of time, every trade whose instant lies at or before `offset` nanoseconds after the start.
    pub(super) fn advance(&mut self, offset: u64, out: &mut Vec<Print>) {
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

    /// Moves a product's quote without a trade and gives it, with its last price and its day.
    pub(super) fn drift(&mut self, product: usize) -> Option<(Amount, Quote, Day)> {
        let book = self.books.get_mut(product)?;
        book.drift();
        Some(book.top())
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::MAX_FILLS;
    use super::super::catalogue::products;
    use super::*;

    use crate::time::NANOS_PER_SECOND;

    const START: UnixNanos = UnixNanos(1_750_000_000_000_000_000);

    fn produce(seed: u64, count: usize, rate: f64, steps: &[u64]) -> Vec<Print> {
        let mut market = Market::new(&products(count).expect("names"), rate, seed, START);
        let mut out = Vec::new();
        market.history(120, &mut out);
        for step in steps {
            market.advance(*step, &mut out);
        }
        out
    }

    #[test]
    fn the_seed_decides_and_the_asking_does_not() {
        let whole = produce(7, 3, 500.0, &[3 * NANOS_PER_SECOND]);
        let sliced = produce(7, 3, 500.0, &(0..=3000).map(|ms| ms * 1_000_000).collect::<Vec<_>>());
        assert_eq!(whole, sliced);
        assert_ne!(whole, produce(8, 3, 500.0, &[3 * NANOS_PER_SECOND]));
    }

    #[test]
    fn every_product_obeys_the_rules_of_the_tape() {
        let prints = produce(1, 24, 2000.0, &[2 * NANOS_PER_SECOND]);
        for product in 0..24 {
            let own: Vec<&Print> = prints.iter().filter(|print| print.product == product).collect();
            for pair in own.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                assert_eq!(after.trade_id, before.trade_id + 1);
                assert!(after.sequence > before.sequence && after.time >= before.time);
                if before.taker == after.taker {
                    assert_eq!((before.time, before.side), (after.time, after.side));
                    let walks = after.price.units.cmp(&before.price.units);
                    assert!(if after.side == Side::Buy { walks.is_ge() } else { walks.is_le() });
                }
            }
            for print in own {
                let Quote { bid, ask, .. } = print.quote;
                assert!(bid.units >= 1 && bid.units < ask.units, "{print:?}");
                assert!(print.size.units >= 1 && print.price.units >= 1);
                assert!(if print.side == Side::Buy { ask.units >= print.price.units } else { bid.units <= print.price.units });
            }
        }
        assert!(prints.windows(2).any(|pair| pair[0].taker == pair[1].taker && pair[0].maker != pair[1].maker));
        assert!(prints.windows(2).any(|pair| pair[1].product == pair[0].product && pair[1].sequence > pair[0].sequence + 1));
        assert!(prints.iter().any(|print| !print.has_ticker) && prints.iter().any(|print| print.ticker_first));
    }

    #[test]
    fn the_asked_rate_is_kept_and_a_tenth_of_a_second_bursts() {
        for (rate, seconds) in [(10.0, 20), (1000.0, 2)] {
            let prints = produce(3, 1, rate, &[seconds * NANOS_PER_SECOND]);
            let live: Vec<u64> = prints.iter().filter(|print| print.time >= START).map(|print| print.time.0 - START.0).collect();
            let asked = rate * seconds as f64;
            assert!((live.len() as f64 - asked).abs() <= 2.0 * MAX_FILLS as f64, "{} of {asked}", live.len());
            let busiest = (0..seconds * 100).map(|slot| live.iter().filter(|at| *at / 10_000_000 == slot).count()).max().unwrap_or(0);
            assert!(busiest as f64 > rate / 100.0 * 4.0, "{busiest}");
        }
    }

    #[test]
    fn a_rate_of_zero_is_silence() {
        assert_eq!(produce(3, 2, 0.0, &[u64::MAX]).len(), 240);
    }
}
