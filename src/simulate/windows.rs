//! The windows of the Advanced feed: buffers for the trades of one window, and how far the windows have been made.

use std::ops::Range;

use super::advanced_feed::Parts;
use super::distortion::Update;
use crate::ids::IdRange;

/// Length of a window of the Advanced feed, as measured (20 a second), in nanoseconds of event time.
pub(super) const WINDOW_NANOS: u64 = 50_000_000;

/// A part of a product's batch that stands in one message.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Index of the product.
    pub(super) product: usize,
    /// The updates of the batch.
    pub(super) range: Range<usize>,
}

impl Piece {
    /// Gives the lowest and the highest id of the piece.
    pub(super) fn ids(&self, batches: &[Vec<Update>]) -> Option<IdRange> {
        let updates = batches.get(self.product)?.get(self.range.clone())?;
        updates.iter().map(|update| IdRange::one(update.trade.trade_id)).reduce(IdRange::span)
    }
}

/// What the Advanced feed keeps from window to window, mostly for its buffers.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The trades of the window, by product.
    pub(super) batches: Vec<Vec<Update>>,
    /// The products that have trades in the window, in the order of their first ones.
    pub(super) traded: Vec<usize>,
    /// Windows made so far.
    pub(super) made: u64,
    pub(super) parts: Parts,
    /// The pieces of the message under way.
    pub(super) pieces: Vec<Piece>,
    /// The products of the last message that at least one client received.
    pub(super) delivered: Vec<usize>,
}

impl Windows {
    pub(super) fn new(products: usize) -> Self {
        Self { batches: vec![Vec::new(); products], ..Self::default() }
    }

    /// Counts all windows up to this time on the event clock as made.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.made = offset / WINDOW_NANOS;
    }

    /// Gives how many windows are complete at `offset`. The market's last window ends with the market.
    pub(super) fn complete_at(offset: u64, is_last: bool) -> u64 {
        if is_last { offset.div_ceil(WINDOW_NANOS) } else { offset / WINDOW_NANOS }
    }
}
