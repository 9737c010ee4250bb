//! [`Deliveries`]: what a writer gets beside its queue, over a small channel of its own.
//!
//! The fetch threads and a repair deliver; nobody waits for a writer to take something. A writer drains its channel between two batches of its queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::wakeup::Wakeup;
use crate::feed::doubts::Mark;
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::record::Trade;

/// Deliveries that may wait for a writer.
const WAITING_DELIVERIES: usize = 2;

/// What a writer gets.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Trades that were missing, or that bring order ids, in rising id.
    Trades(Vec<Trade>),
    /// Ids that are missing, as far as they are not stored.
    Missing(IdRange),
    /// The newest trade that REST has.
    Newest(Mark),
}

/// A writer's channel, and what wakes the writer.
#[derive(Debug, Clone)]
struct WriterChannel {
    sender: Sender<Delivery>,
    wakeup: Arc<Wakeup>,
}

/// The channels of all writers.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    writers: Mutex<BTreeMap<ProductId, WriterChannel>>,
}

impl Deliveries {
    /// Makes the channel of a product's writer, in the place of an earlier one. A delivery wakes the writer through `wakeup`.
    #[must_use]
    pub(crate) fn register(&self, product: &ProductId, wakeup: &Arc<Wakeup>) -> Receiver<Delivery> {
        let (sender, receiver) = bounded(WAITING_DELIVERIES);
        self.writers.lock().insert(product.clone(), WriterChannel { sender, wakeup: Arc::clone(wakeup) });
        receiver
    }

    /// Removes a product's channel: its writer takes nothing for that name any more.
    pub(crate) fn unregister(&self, product: &ProductId) {
        self.writers.lock().remove(product);
    }

    /// Delivers something to a writer without waiting.
    ///
    /// # Errors
    /// Gives it back: `Full` where the writer's channel has no room, `Disconnected` where the product has no writer.
    pub(crate) fn send(&self, product: &ProductId, delivery: Delivery) -> Result<(), TrySendError<Delivery>> {
        let channel = self.writers.lock().get(product).cloned();
        let Some(WriterChannel { sender, wakeup }) = channel else { return Err(TrySendError::Disconnected(delivery)) };
        let sent = sender.try_send(delivery);
        wakeup.wake();
        sent
    }

    /// Tells whether a product's writer has taken everything.
    #[must_use]
    pub(crate) fn are_taken(&self, product: &ProductId) -> bool {
        self.writers.lock().get(product).is_none_or(|channel| channel.sender.is_empty())
    }

    /// Lists the products that have a writer.
    #[must_use]
    pub(crate) fn products(&self) -> Vec<ProductId> {
        self.writers.lock().keys().cloned().collect()
    }
}
