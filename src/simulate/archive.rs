//! The trades that the market has made, kept for REST and for snapshots.
//!
//! 1. The trades of a product are in order of their ids, without a gap, so that an id gives an index.
//! 2. At most [`MAX_TRADES`] are kept over all products. The oldest are removed first; REST then no longer has them.
//!
//! The exchange's thread appends and the threads of REST read. Each product has a lock, which is kept for one page at most.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::catalogue::{Shape, shape_of};
use super::format::Amount;
use super::trade::Trade;
use crate::product::ProductId;
use crate::record::Side;
use crate::time::UnixNanos;

/// Trades kept over all products: 16 million of 32 bytes are half a gigabyte.
const MAX_TRADES: usize = 16_000_000;

/// A trade as REST and the Advanced feed know it: without order ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublicTrade {
    pub(super) trade_id: u64,
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) size: Amount,
    /// The taker's side.
    pub(super) side: Side,
}

impl From<&Trade> for PublicTrade {
    fn from(trade: &Trade) -> Self {
        Self { trade_id: trade.trade_id, time: trade.time, price: trade.price, size: trade.size, side: trade.side }
    }
}

/// A trade without what its product and its index give.
#[derive(Debug, Clone, Copy)]
struct StoredTrade {
    time: UnixNanos,
    price_ticks: u64,
    size_units: u64,
    side: Side,
}

/// The trades of one product.
#[derive(Debug)]
struct ProductTrades {
    first_id: u64,
    shape: Shape,
    trades: VecDeque<StoredTrade>,
}

/// The trades of all products.
#[derive(Debug)]
pub(super) struct Archive {
    products: Vec<ProductId>,
    is_delisted: Vec<AtomicBool>,
    /// Which products are there. The others will be listed later.
    is_listed: Vec<AtomicBool>,
    by_product: Vec<Mutex<ProductTrades>>,
    max_per_product: usize,
}

impl Archive {
    /// Makes an archive without trades.
    pub(super) fn new(products: &[ProductId]) -> Self {
        let empty = |product| Mutex::new(ProductTrades { first_id: 0, shape: shape_of(product), trades: VecDeque::new() });
        Self {
            products: products.to_vec(),
            is_delisted: products.iter().map(|_| AtomicBool::new(false)).collect(),
            is_listed: products.iter().map(|_| AtomicBool::new(true)).collect(),
            by_product: products.iter().map(empty).collect(),
            max_per_product: (MAX_TRADES / products.len().max(1)).max(1),
        }
    }

    /// Gives all products, in the configured order.
    pub(super) fn products(&self) -> &[ProductId] {
        &self.products
    }

    /// Records that a product trades no more.
    pub(super) fn delist(&self, product: usize) {
        // Relaxed: the flag orders nothing else.
        self.is_delisted.get(product).into_iter().for_each(|is| is.store(true, Ordering::Relaxed));
    }

    /// Records whether a product is there.
    pub(super) fn set_listed(&self, product: usize, is_listed: bool) {
        self.is_listed.get(product).into_iter().for_each(|is| is.store(is_listed, Ordering::Relaxed));
    }

    /// Tells whether a product is there.
    pub(super) fn is_listed(&self, product: usize) -> bool {
        self.is_listed.get(product).is_some_and(|is| is.load(Ordering::Relaxed))
    }

    /// Tells whether a product trades.
    pub(super) fn is_online(&self, product: usize) -> bool {
        self.is_delisted.get(product).is_some_and(|is| !is.load(Ordering::Relaxed))
    }

    /// Appends a trade.
    pub(super) fn push(&self, trade: &Trade) {
        let Some(kept) = self.by_product.get(trade.product) else { return };
        let mut kept = kept.lock();
        if kept.trades.is_empty() {
            kept.first_id = trade.trade_id;
        }
        debug_assert_eq!(kept.first_id + kept.trades.len() as u64, trade.trade_id, "ids go up by one");
        kept.trades.push_back(StoredTrade {
            time: trade.time,
            price_ticks: trade.price.units,
            size_units: trade.size.units,
            side: trade.side,
        });
        if kept.trades.len() > self.max_per_product {
            kept.trades.pop_front();
            kept.first_id += 1;
        }
    }

    /// Gives up to `limit` trades with ids below `below`, newest first; the newest trades of all where `below` is `None`.
    pub(super) fn page(&self, product: usize, below: Option<u64>, limit: usize) -> Vec<PublicTrade> {
        let Some(kept) = self.by_product.get(product) else { return Vec::new() };
        let kept = kept.lock();
        let (first_id, shape) = (kept.first_id, kept.shape);
        let known = below.map_or(kept.trades.len(), |below| usize::try_from(below.saturating_sub(first_id)).unwrap_or(usize::MAX));
        let end = known.min(kept.trades.len());
        let start = end.saturating_sub(limit);
        let public = |(at, stored): (usize, &StoredTrade)| PublicTrade {
            trade_id: first_id + (start + at) as u64,
            time: stored.time,
            price: shape.price(stored.price_ticks),
            size: shape.size(stored.size_units),
            side: stored.side,
        };
        let mut page: Vec<PublicTrade> = kept.trades.range(start..end).enumerate().map(public).collect();
        page.reverse();
        page
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::Arrivals;
    use super::super::catalogue::products;
    use super::super::market::Market;
    use super::*;

    #[test]
    fn a_page_holds_the_newest_ids_below_the_given_one() {
        let names = products(2).expect("names");
        let archive = Archive::new(&names);
        let mut trades = Vec::new();
        Market::new(&names, 1.0, Arrivals::Bursts, 1, UnixNanos(1_750_000_000_000_000_000)).history(50, &mut trades);
        trades.iter().for_each(|trade| archive.push(trade));
        let first = trades[0].trade_id;
        let ids = |below, limit| archive.page(0, below, limit).iter().map(|trade| trade.trade_id - first).collect::<Vec<_>>();
        assert_eq!(ids(None, 3), [49, 48, 47]);
        assert_eq!(ids(Some(first + 3), 2), [2, 1], "exclusive");
        assert_eq!(ids(Some(first + 1), 10), [0]);
        assert!(ids(Some(first), 10).is_empty());
        assert!(ids(Some(0), 10).is_empty());
        assert_eq!(ids(Some(u64::MAX), 1), [49]);
        assert_eq!(archive.page(0, None, 50), trades[..50].iter().rev().map(PublicTrade::from).collect::<Vec<_>>());
        assert_eq!(archive.page(2, None, 50), []);
    }
}
