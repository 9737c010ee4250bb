//! The tray: what a connection has brought and not handed over yet, a pile a product, each in the order of the wire.
//!
//! 1. It holds what a few reads brought, and lies in the cache. A queue's slots come round once in thousands of messages: every touch of one waits for
//!    memory, so that only what somebody else has to see to goes there.
//! 2. Every pile is taken off before the tray is cleared: put into the columns, or pushed into the product's queue.
//!
//! Lives on a connection's thread; allocates nothing after it was made.

use crate::record::MarketMessage;

/// Messages a tray holds.
pub const BATCH_CAPACITY_MSGS: usize = 1024;

/// No message.
const NONE: u32 = u32::MAX;

struct Queued {
    message: MarketMessage,
    /// The next one of the same pile.
    next: u32,
}

/// One product's messages on a tray.
#[derive(Debug, Clone, Copy)]
pub struct ProductBatch {
    first: u32,
    last: u32,
}

impl Default for ProductBatch {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl ProductBatch {
    /// Tells whether nothing of the product lies there.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// Messages of one connection.
pub struct Batch {
    queued: Vec<Queued>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { queued: Vec::with_capacity(BATCH_CAPACITY_MSGS) }
    }
}

impl Batch {
    /// Tells whether it has to be cleared before anything more is laid on it.
    #[inline]
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.queued.len() >= BATCH_CAPACITY_MSGS
    }

    /// Lays a message on a product's pile, behind those that lie there.
    #[inline]
    pub fn push(&mut self, product_batch: &mut ProductBatch, message: MarketMessage) {
        #[expect(clippy::cast_possible_truncation, reason = "at most TRAY_MSGS")]
        let at = self.queued.len() as u32;
        self.queued.push(Queued { message, next: NONE });
        match self.queued.get_mut(product_batch.last as usize) {
            Some(last) if !product_batch.is_empty() => last.next = at,
            _ => product_batch.first = at,
        }
        product_batch.last = at;
    }

    /// Takes all messages off, whose piles are empty by now.
    #[inline]
    pub fn clear(&mut self) {
        self.queued.clear();
    }
}

/// One product's pile, to be taken off from its first message on.
pub struct BatchDrain<'a> {
    batch: &'a Batch,
    product_batch: &'a mut ProductBatch,
}

impl<'a> BatchDrain<'a> {
    /// Lends a pile of a tray.
    #[inline]
    #[must_use]
    pub const fn new(batch: &'a Batch, product_batch: &'a mut ProductBatch) -> Self {
        Self { batch, product_batch }
    }

    /// Shows the message whose turn it is; nothing where all are taken.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<&'a MarketMessage> {
        self.batch.queued.get(self.product_batch.first as usize).map(|queued| &queued.message)
    }

    /// Takes that message off.
    #[inline]
    pub fn pass(&mut self) {
        self.product_batch.first = self.batch.queued.get(self.product_batch.first as usize).map_or(NONE, |queued| queued.next);
    }
}

impl Iterator for BatchDrain<'_> {
    type Item = MarketMessage;

    #[inline]
    fn next(&mut self) -> Option<MarketMessage> {
        let message = *self.first()?;
        self.pass();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    fn message(id: u64) -> MarketMessage {
        MarketMessage::Heartbeat { last_trade_id: id, recv: UnixNanos(0) }
    }

    fn ids(batch: &Batch, product_batch: &mut ProductBatch) -> Vec<u64> {
        let id = |message| match message {
            MarketMessage::Heartbeat { last_trade_id, .. } => last_trade_id,
            _ => 0,
        };
        BatchDrain::new(batch, product_batch).map(id).collect()
    }

    #[test]
    fn piles_keep_their_order_whatever_lies_between() {
        let mut batch = Batch::default();
        let mut product_batches = [ProductBatch::default(); 3];
        for round in 0..2 {
            for (product_batch, id) in [(0, 10), (1, 20), (0, 11), (0, 12), (1, 21), (0, 13)] {
                batch.push(&mut product_batches[product_batch], message(id + round));
            }
            let mut first = BatchDrain::new(&batch, &mut product_batches[0]);
            assert_eq!(first.first(), Some(&message(10 + round)));
            first.pass();
            assert_eq!(ids(&batch, &mut product_batches[0]), [11, 12, 13].map(|id| id + round), "what is left of a pile");
            assert_eq!(ids(&batch, &mut product_batches[1]), [20, 21].map(|id| id + round));
            assert!(
                product_batches.iter().all(ProductBatch::is_empty) && BatchDrain::new(&batch, &mut product_batches[2]).next().is_none()
            );
            batch.clear();
        }
        (0..BATCH_CAPACITY_MSGS as u64).for_each(|id| batch.push(&mut product_batches[2], message(id)));
        assert!(batch.is_full());
        assert_eq!(ids(&batch, &mut product_batches[2]).len(), BATCH_CAPACITY_MSGS);
    }
}
