//! [`Batch`]: the messages that a connection has read and not delivered yet. Those of each product stand in the order of the wire.
//!
//! 1. A batch holds what a few reads brought, and stays in the processor's cache. A queue's memory is used once in thousands of messages, so that each use
//!    waits for memory: only what another thread is to take goes there.
//! 2. Before the batch is cleared, every message has left it: into the columns, or into its product's queue.
//!
//! Lives on a connection's thread. Allocates once, when it is made.

use crate::record::MarketMessage;

/// Messages a batch holds.
pub(crate) const BATCH_CAPACITY_MSGS: usize = 1024;

/// No message.
const NONE: u32 = u32::MAX;

struct Entry {
    message: MarketMessage,
    /// The next message of the same product.
    next: u32,
}

/// One product's messages in a batch: a list through it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProductBatch {
    first: u32,
    last: u32,
}

impl Default for ProductBatch {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl ProductBatch {
    /// Tells whether the batch holds nothing of the product.
    #[inline]
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// Messages of one connection.
pub(crate) struct Batch {
    entries: Vec<Entry>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { entries: Vec::with_capacity(BATCH_CAPACITY_MSGS) }
    }
}

impl Batch {
    /// Tells whether the batch has to be cleared before it takes another message.
    #[inline]
    #[must_use]
    pub(crate) const fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_CAPACITY_MSGS
    }

    /// Adds a message behind the others of its product.
    #[inline]
    pub(crate) fn push(&mut self, product_batch: &mut ProductBatch, message: MarketMessage) {
        #[expect(clippy::cast_possible_truncation, reason = "at most BATCH_CAPACITY_MSGS")]
        let index = self.entries.len() as u32;
        self.entries.push(Entry { message, next: NONE });
        match self.entries.get_mut(product_batch.last as usize) {
            Some(last) if !product_batch.is_empty() => last.next = index,
            _ => product_batch.first = index,
        }
        product_batch.last = index;
    }

    /// Forgets all messages. Every product has taken its own before.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Takes one product's messages out of a batch, the first one first.
pub(crate) struct BatchDrain<'a> {
    batch: &'a Batch,
    product_batch: &'a mut ProductBatch,
}

impl<'a> BatchDrain<'a> {
    /// Borrows a product's part of a batch.
    #[inline]
    #[must_use]
    pub(crate) const fn new(batch: &'a Batch, product_batch: &'a mut ProductBatch) -> Self {
        Self { batch, product_batch }
    }

    /// Shows the next message; nothing where all are taken.
    #[inline]
    #[must_use]
    pub(crate) fn peek(&self) -> Option<&'a MarketMessage> {
        self.batch.entries.get(self.product_batch.first as usize).map(|entry| &entry.message)
    }

    /// Takes that message out.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.product_batch.first = self.batch.entries.get(self.product_batch.first as usize).map_or(NONE, |entry| entry.next);
    }
}

impl Iterator for BatchDrain<'_> {
    type Item = MarketMessage;

    #[inline]
    fn next(&mut self) -> Option<MarketMessage> {
        let message = *self.peek()?;
        self.advance();
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
    fn messages_of_a_product_keep_their_order_whatever_lies_between() {
        let mut batch = Batch::default();
        let mut product_batches = [ProductBatch::default(); 3];
        for round in 0..2 {
            for (product_batch, id) in [(0, 10), (1, 20), (0, 11), (0, 12), (1, 21), (0, 13)] {
                batch.push(&mut product_batches[product_batch], message(id + round));
            }
            let mut drain = BatchDrain::new(&batch, &mut product_batches[0]);
            assert_eq!(drain.peek(), Some(&message(10 + round)));
            drain.advance();
            assert_eq!(ids(&batch, &mut product_batches[0]), [11, 12, 13].map(|id| id + round), "what is left of the product");
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
