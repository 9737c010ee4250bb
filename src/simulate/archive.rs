//! Every trade the market has made, kept for REST and for snapshots.
//!
//! 1. A product's trades stand in rising id order without a gap, so an id is a place.
//! 2. Over all products at most [`MAX_TRADES`] are kept; the oldest go first, and REST then no longer knows them.
//!
//! The floor appends, REST's threads read: one lock a product, held for a page at most.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::catalogue::{Shape, shape_of};
use super::market::Print;
use super::spelling::Amount;
use crate::product::ProductId;
use crate::record::Side;
use crate::time::UnixNanos;

/// Trades kept over all products: 16 million of 32 bytes are half a gigabyte.
const MAX_TRADES: usize = 16_000_000;

/// A trade as REST and the Advanced feed know it: without order ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) trade_id: u64,
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) size: Amount,
    /// The taker's side.
    pub(super) side: Side,
}

impl From<&Print> for Past {
    fn from(print: &Print) -> Self {
        Self { trade_id: print.trade_id, time: print.time, price: print.price, size: print.size, side: print.side }
    }
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    time: UnixNanos,
    price: u64,
    size: u64,
    side: Side,
}

#[derive(Debug)]
struct Shelf {
    first_id: u64,
    shape: Shape,
    trades: VecDeque<Kept>,
}

/// All products' trades.
#[derive(Debug)]
pub(super) struct Archive {
    products: Vec<ProductId>,
    is_delisted: Vec<AtomicBool>,
    shelves: Vec<Mutex<Shelf>>,
    per_product: usize,
}

impl Archive {
    /// Makes empty shelves.
    pub(super) fn new(products: &[ProductId]) -> Self {
        let shelf = |product| Mutex::new(Shelf { first_id: 0, shape: shape_of(product), trades: VecDeque::new() });
        Self {
            products: products.to_vec(),
            is_delisted: products.iter().map(|_| AtomicBool::new(false)).collect(),
            shelves: products.iter().map(shelf).collect(),
            per_product: (MAX_TRADES / products.len().max(1)).max(1),
        }
    }

    /// All products, in the configured order.
    pub(super) fn products(&self) -> &[ProductId] {
        &self.products
    }

    /// Notes that a product trades no more.
    pub(super) fn delist(&self, product: usize) {
        // Relaxed: a note of its own, it orders nothing else.
        self.is_delisted.get(product).into_iter().for_each(|is| is.store(true, Ordering::Relaxed));
    }

    /// Whether a product trades.
    pub(super) fn is_online(&self, product: usize) -> bool {
        self.is_delisted.get(product).is_some_and(|is| !is.load(Ordering::Relaxed))
    }

    /// Appends a trade.
    pub(super) fn push(&self, print: &Print) {
        let Some(shelf) = self.shelves.get(print.product) else { return };
        let mut shelf = shelf.lock();
        if shelf.trades.is_empty() {
            shelf.first_id = print.trade_id;
        }
        debug_assert_eq!(shelf.first_id + shelf.trades.len() as u64, print.trade_id, "ids go up by one");
        shelf.trades.push_back(Kept { time: print.time, price: print.price.units, size: print.size.units, side: print.side });
        if shelf.trades.len() > self.per_product {
            shelf.trades.pop_front();
            shelf.first_id += 1;
        }
    }

    /// Gives up to `limit` trades with ids below `below` (the newest ones where it is `None`), newest first.
    pub(super) fn page(&self, product: usize, below: Option<u64>, limit: usize) -> Vec<Past> {
        let Some(shelf) = self.shelves.get(product) else { return Vec::new() };
        let shelf = shelf.lock();
        let (first_id, shape) = (shelf.first_id, shelf.shape);
        let known = below.map_or(shelf.trades.len(), |below| usize::try_from(below.saturating_sub(first_id)).unwrap_or(usize::MAX));
        let end = known.min(shelf.trades.len());
        let start = end.saturating_sub(limit);
        let past = |(at, kept): (usize, &Kept)| Past {
            trade_id: first_id + (start + at) as u64,
            time: kept.time,
            price: shape.price(kept.price),
            size: shape.size(kept.size),
            side: kept.side,
        };
        let mut page: Vec<Past> = shelf.trades.range(start..end).enumerate().map(past).collect();
        page.reverse();
        page
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::products;
    use super::super::market::Market;
    use super::*;

    #[test]
    fn a_page_holds_the_newest_ids_below_the_given_one() {
        let names = products(2).expect("names");
        let archive = Archive::new(&names);
        let mut prints = Vec::new();
        Market::new(&names, 1.0, 1, UnixNanos(1_750_000_000_000_000_000)).history(50, &mut prints);
        prints.iter().for_each(|print| archive.push(print));
        let first = prints[0].trade_id;
        let ids = |below, limit| archive.page(0, below, limit).iter().map(|past| past.trade_id - first).collect::<Vec<_>>();
        assert_eq!(ids(None, 3), [49, 48, 47]);
        assert_eq!(ids(Some(first + 3), 2), [2, 1], "exclusive");
        assert_eq!(ids(Some(first + 1), 10), [0]);
        assert!(ids(Some(first), 10).is_empty());
        assert!(ids(Some(0), 10).is_empty());
        assert_eq!(ids(Some(u64::MAX), 1), [49]);
        assert_eq!(archive.page(0, None, 50), prints[..50].iter().rev().map(Past::from).collect::<Vec<_>>());
        assert_eq!(archive.page(2, None, 50), []);
    }
}
