//! [`Spill`]: what a full queue cannot hold while a capture waits for the directory of another one. No writer is there to take it, and nothing is given up.
//!
//! 1. A queue spills only as long as its capture may not write ([`SpillBudget`]), and until its writer has taken everything afterwards.
//! 2. What is spilled stands behind what is in the queue, and before what comes later: as long as a queue spills, every message goes there.
//! 3. All queues together spill at most [`SPILL_BYTES`]. Beyond that a queue sheds as any full queue does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::record::MarketMessage;

/// Bytes that all queues spill together at most: half a minute of 20 products with 1000 trades and tickers a second.
const SPILL_BYTES: usize = 256 << 20;

/// Messages that all queues spill together at most.
pub(crate) const SPILL_MSGS: usize = SPILL_BYTES / size_of::<MarketMessage>();

/// What all queues of a capture may spill.
#[derive(Debug)]
pub(crate) struct SpillBudget {
    left_msgs: AtomicUsize,
    /// Whether queues may begin to spill.
    is_open: AtomicBool,
}

impl SpillBudget {
    /// Makes a budget of so many messages, for queues that have no reader yet.
    #[must_use]
    pub(crate) fn new(msgs: usize) -> Self {
        Self { left_msgs: AtomicUsize::new(msgs), is_open: AtomicBool::new(true) }
    }

    /// Lets no queue begin to spill any more: there are readers.
    pub(crate) fn close(&self) {
        // Relaxed: a queue that sees it late spills a little more.
        self.is_open.store(false, Ordering::Relaxed);
    }
}

/// What became of a message that did not fit.
#[derive(Debug)]
pub(super) enum Spilled {
    /// It waits.
    Kept,
    /// It does not, as the budget is used up.
    Full,
    /// The queue does not spill: the message belongs there.
    Refused(MarketMessage),
}

/// The messages of one queue that did not fit.
#[derive(Debug)]
pub(super) struct Spill {
    budget: Arc<SpillBudget>,
    messages: Mutex<VecDeque<MarketMessage>>,
    /// Changed behind the lock of the messages.
    is_active: AtomicBool,
}

impl Spill {
    /// Makes the spill of a queue.
    pub(super) fn new(budget: Arc<SpillBudget>) -> Self {
        Self { budget, messages: Mutex::default(), is_active: AtomicBool::new(false) }
    }

    /// Tells whether messages have to go here.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        // Acquire: pairs with the release of `pull`. Whoever goes back to the queue finds that its reader has taken everything.
        self.is_active.load(Ordering::Acquire)
    }

    /// Keeps a message where the queue spills, or may begin to.
    #[cold]
    pub(super) fn push(&self, message: MarketMessage) -> Spilled {
        let mut messages = self.messages.lock();
        if !self.is_active() && !self.budget.is_open.load(Ordering::Relaxed) {
            return Spilled::Refused(message);
        }
        let has_room = self.budget.left_msgs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if !has_room {
            return Spilled::Full;
        }
        self.is_active.store(true, Ordering::Release);
        messages.push_back(message);
        Spilled::Kept
    }

    /// Takes the oldest message. Where there is none left, the queue does not spill any more.
    #[cold]
    pub(super) fn pull(&self) -> Option<MarketMessage> {
        let mut messages = self.messages.lock();
        let oldest = messages.pop_front();
        match oldest {
            Some(_) => {
                self.budget.left_msgs.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                // What it needed is given back.
                *messages = VecDeque::new();
                self.is_active.store(false, Ordering::Release);
            }
        }
        oldest
    }

    /// Gives the number of messages.
    pub(super) fn len(&self) -> usize {
        if self.is_active() { self.messages.lock().len() } else { 0 }
    }
}
