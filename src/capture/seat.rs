//! A product's seat: its queue, its writer's state, and who may drain the one into the other.
//!
//! 1. One thread at a time: the writer's, or one of a connection's that finds it free and puts down what the connection has just brought.
//! 2. Those only try, and only do what is ordinary: the connection's own thread what makes it wait for nothing, its [`super::hand`] what may wait for a
//!    page. Everything else (a day to be opened, a gap, a full disk) they leave to the writer's thread, which they wake.
//! 3. No message stays behind: whoever finds the seat taken calls the next one, who looks again.
//!
//! Waking a sleeping thread costs both sides 3 to 20 µs, appending a record a tenth of one. A wake-up a record would be most of what a calm tape costs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::metrics::{LagTally, Metrics, micros};
use super::queue::QueueReceiver;
use super::writer::{ROW_BYTES, Writer};
use crate::store::Pages;
use crate::time::{Clock, UnixNanos};

/// What a thread that is not the writer's has put into the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lent {
    /// Records appended and visible.
    pub records: u32,
    /// When the frame of the oldest of them was read; nothing without one.
    pub oldest: Option<UnixNanos>,
    /// Whether something is left to do.
    pub is_left: bool,
    /// Whether that is for the writer's thread alone.
    pub needs_writer: bool,
}

impl Lent {
    /// Nothing was done: it is for the writer's thread, or another one sits there.
    pub const NOTHING: Self = Self { records: 0, oldest: None, is_left: true, needs_writer: true };
}

/// Figures of what one thread has lent.
pub struct LentTally {
    metrics: Arc<Metrics>,
    clock: Clock,
    lag: LagTally,
    records: u32,
    oldest: UnixNanos,
}

impl LentTally {
    /// Begins at nothing.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { metrics, clock, lag: LagTally::default(), records: 0, oldest: UnixNanos(u64::MAX) }
    }

    /// Takes what was lent to one product.
    #[inline]
    pub fn take(&mut self, lent: &Lent) {
        self.records += lent.records;
        self.oldest = lent.oldest.map_or(self.oldest, |recv| self.oldest.min(recv));
    }

    /// Counts what was taken since the last call, appending having begun at `began`. All of it counts as late as the oldest, with most of which it came.
    #[inline]
    pub fn note(&mut self, began: Instant) {
        let (records, oldest) = (std::mem::take(&mut self.records), std::mem::replace(&mut self.oldest, UnixNanos(u64::MAX)));
        if records > 0 {
            let lag = Duration::from_nanos(self.clock.now().since(oldest));
            self.lag.note(lag, records);
            self.metrics.recent_lag_micros.see(micros(lag));
            self.metrics.append_micros.see(micros(began.elapsed()));
            self.metrics.unflushed_bytes.fetch_add(u64::from(records) * ROW_BYTES, Relaxed);
        }
    }

    /// Adds the lags to those of the capture.
    pub fn publish(&mut self) {
        self.lag.publish(&self.metrics);
    }

    /// Does so unless another thread is at it.
    pub fn try_publish(&mut self) {
        self.lag.try_publish(&self.metrics);
    }
}

/// Where a product's queue is drained.
pub struct Seat {
    queue: QueueReceiver,
    chair: Mutex<Chair>,
    /// Whether a hand has been called and has not come yet.
    is_called: AtomicBool,
}

/// Who sits there.
#[derive(Default)]
pub struct Chair {
    /// The writer's state; nothing while it is being read from the files.
    pub writer: Option<Writer>,
    /// Whether a connection's hand has panicked: the writer's thread starts over.
    pub has_panicked: bool,
}

impl Seat {
    /// Makes the seat of a queue, with nobody in it.
    #[must_use]
    pub fn new(queue: QueueReceiver) -> Self {
        Self { queue, chair: Mutex::default(), is_called: AtomicBool::new(false) }
    }

    /// Shows the queue.
    #[must_use]
    pub fn queue(&self) -> &QueueReceiver {
        &self.queue
    }

    /// Takes the seat for the writer's thread. Waits for a connection that sits there, which is at it for microseconds.
    pub fn take(&self) -> MutexGuard<'_, Chair> {
        self.chair.lock()
    }

    /// Drains the queue as far as it holds what is ordinary, and stores to such pages only. `now` is the monotonic clock's time.
    pub fn lend_a_hand(&self, now: Instant, pages: Pages) -> Lent {
        let Some(mut chair) = self.chair.try_lock() else { return Lent::NOTHING };
        let Chair { writer: Some(writer), has_panicked: false } = &mut *chair else { return Lent::NOTHING };
        let lent = catch_unwind(AssertUnwindSafe(|| writer.take_what_is_ordinary(&self.queue, now, pages)));
        chair.has_panicked = lent.is_err();
        lent.unwrap_or(Lent::NOTHING)
    }

    /// Wakes the writer's thread, or has it look again before it sleeps.
    pub fn wake_writer(&self) {
        self.queue.wake();
    }

    /// Notes that a hand is called; tells whether it had not been.
    pub fn is_newly_called(&self) -> bool {
        // The messages are handed over by the queue; a call too many finds nothing, and one too few there is not: the flag is taken back before the look.
        !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// Notes that the hand has come: who calls from now on calls again.
    pub fn is_answered(&self) {
        self.is_called.swap(false, Ordering::AcqRel);
    }
}
