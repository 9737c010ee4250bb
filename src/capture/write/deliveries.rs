//! Deliveries: what a writer gets beside its queue, over a small channel of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::capture::write::queue::Wakeup;
use crate::feed::backfill::Found;
use crate::product::ProductId;
use crate::record::Trade;

/// Deliveries that may wait for a writer.
const WAITING_DELIVERIES: usize = 2;

/// What a writer gets.
#[derive(Debug)]
pub enum Delivery {
    /// Trades that were missing, or that bring order ids, in rising id.
    Trades(Vec<Trade>),
    /// Ids to be taken for missing, and where the product's trading began.
    Found(Found),
}

/// A writer's channel, and what wakes it.
type Writer = (Sender<Delivery>, Arc<Wakeup>);

/// The channels of all writers.
#[derive(Debug, Default)]
pub struct Deliveries {
    writers: Mutex<BTreeMap<ProductId, Writer>>,
}

impl Deliveries {
    /// Gives a product's writer its channel; `bell` is rung when there is something in it.
    #[must_use]
    pub fn register(&self, product: &ProductId, wakeup: &Arc<Wakeup>) -> Receiver<Delivery> {
        let (sender, receiver) = bounded(WAITING_DELIVERIES);
        self.writers.lock().insert(product.clone(), (sender, Arc::clone(wakeup)));
        receiver
    }

    /// Hands something to a writer without waiting.
    ///
    /// # Errors
    /// Gives it back where the writer has no room for it, has ended or never was.
    pub fn send(&self, product: &ProductId, delivery: Delivery) -> Result<(), Delivery> {
        let Some((sender, wakeup)) = self.writers.lock().get(product).cloned() else { return Err(delivery) };
        let sent = sender.try_send(delivery).map_err(crossbeam_channel::TrySendError::into_inner);
        wakeup.wake();
        sent
    }

    /// Tells whether a writer has taken everything.
    #[must_use]
    pub fn are_taken(&self, product: &ProductId) -> bool {
        self.writers.lock().get(product).is_none_or(|(sender, _)| sender.is_empty())
    }

    /// Lists the products that have a writer.
    #[must_use]
    pub fn products(&self) -> Vec<ProductId> {
        self.writers.lock().keys().cloned().collect()
    }
}
