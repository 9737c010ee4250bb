//! One product's queue: a bounded crossbeam channel between the connections' threads and the product's writer, and what happens when it is full.
//!
//! 1. Nothing is dropped silently: what a full queue does not take is counted as shed, and the caller learns when the shedding begins and ends.
//! 2. A full queue holds a connection's thread up for at most [`BACK_PRESSURE`] a message. If the writer takes nothing in that time, this product sheds until
//!    its queue is half empty; other products go on. If the writer takes something, however slowly, the connection goes at its pace: the exchange waits,
//!    and nothing is lost.
//! 3. A queue whose reader is still to come, since another capture holds the directory, spills ([`super::spill`]) before it sheds.
//!
//! # Delegation
//!
//! The way of a message is: connection's thread → queue → one writer thread a product → columns. Waking a writer that sleeps costs both threads 3 to 20 µs;
//! appending a record costs a tenth of that. On a calm tape every record would need a wake-up. So a writer that sleeps *delegates*: the thread that has
//! the record runs the writer's step itself, under the writer's lock ([`super::slot`]).
//!
//! 1. The lock is only tried, never waited for. One thread at a time holds it, so a product still has one writer.
//! 2. A thread that runs a step follows the writer's own rule with less effort ([`super::effort`]). A connection's thread waits for nothing. Its delegate
//!    ([`super::delegate`]) may wait for a page. What needs more is left to the writer's thread, which is woken: a day to be opened, a gap, a full disk.
//! 3. A connection offers what it has just read straight from its batch ([`crate::capture::net::batch`]), as long as none of its messages waits in the
//!    queue. The queue carries only what another thread is to take.
//! 4. No message stays behind: a thread that could not finish a step calls the next one, which looks into the queue again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use parking_lot::Mutex;

use crate::capture::write::spill::{Spill, SpillBudget, Spilled};
use crate::capture::write::wakeup::Wakeup;
use crate::ids::IdRange;
use crate::record::MarketMessage;

/// How long a full queue may hold up a connection's thread.
pub(crate) const BACK_PRESSURE: Duration = Duration::from_millis(250);

/// How long a connection's thread sleeps between two tries while a queue is full.
const RETRY: Duration = Duration::from_micros(200);

/// Bytes of one place in a queue: the message and the channel's stamp.
pub(crate) const SLOT_BYTES: usize = size_of::<MarketMessage>() + size_of::<usize>();

/// Bytes that all queues and the writers' other memory may allocate together.
pub(crate) const QUEUE_BUDGET_BYTES: usize = 128 << 20;

/// Bytes that are left to a product besides its queue: the part of its writer's stack in use, its histogram, its open days. Twice what was measured, so that a
/// quiet one of 400 products takes less than 300 kB in all.
const WRITER_BYTES: usize = 144 << 10;

/// The smallest capacity that a queue is given, even where that passes the budget.
pub(crate) const LEAST_CAPACITY_MSGS: usize = 512;

/// Gives the capacity of each of `products` queues: as much as was asked for, or less where all of them would pass the budget.
#[must_use]
pub fn capacity_within_budget(asked_msgs: usize, products: usize) -> usize {
    let budget = QUEUE_BUDGET_BYTES.saturating_sub(products.saturating_mul(WRITER_BYTES));
    let fitting = budget / SLOT_BYTES / products.max(1);
    asked_msgs.min(fitting.max(LEAST_CAPACITY_MSGS)).max(1)
}

/// Gives the capacity of one more queue while `queues` of them hold `slots` messages: as much as was asked for, or what the budget leaves.
#[must_use]
pub(crate) fn capacity_of_one_more(asked_msgs: usize, queues: usize, slots: usize) -> usize {
    let budget = QUEUE_BUDGET_BYTES.saturating_sub((queues + 1).saturating_mul(WRITER_BYTES));
    let left = (budget / SLOT_BYTES).saturating_sub(slots);
    asked_msgs.min(left.max(LEAST_CAPACITY_MSGS)).max(1)
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The message is in the queue.
    Queued,
    /// The message was given up. The product has just begun to shed.
    ShedFirst,
    /// The message was given up.
    Shed,
    /// The message is in the queue. The product has just stopped shedding.
    QueuedAgain,
    /// The message was given up: the writer has ended.
    Closed,
}

impl Pushed {
    /// Tells whether the message is in the queue.
    #[inline]
    #[must_use]
    pub(crate) const fn is_queued(self) -> bool {
        matches!(self, Self::Queued | Self::QueuedAgain)
    }
}

/// Trades that were given up, for the writer to ask for. Locked only while a product sheds, and once after that.
#[derive(Debug, Default)]
struct Shed {
    is_any: AtomicBool,
    ids: Mutex<Option<IdRange>>,
}

/// Greatest distance between the ids of two trades given up in a row: beyond it one of them is absurd, and the next trade shows what is missing.
const SHED_REACH: u64 = 1000;

/// A connection's end of the queue.
#[derive(Debug, Clone)]
pub struct QueueSender {
    channel: Sender<MarketMessage>,
    /// Stands behind the channel: fields are dropped in their order, and a writer that is woken before its last sender is gone would sleep on.
    wakeup: WakeOnDrop,
    is_shedding: Arc<AtomicBool>,
    shed: Arc<Shed>,
    spill: Option<Arc<Spill>>,
    capacity: usize,
}

/// Wakes the writer when it is dropped, so that a sleeping writer notices the end of its queue at once.
#[derive(Debug, Clone)]
struct WakeOnDrop(Arc<Wakeup>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The writer's end of the queue. One thread at a time uses it.
#[derive(Debug)]
pub struct QueueReceiver {
    channel: Receiver<MarketMessage>,
    wakeup: Arc<Wakeup>,
    shed: Arc<Shed>,
    spill: Option<Arc<Spill>>,
}

/// Makes a queue of `capacity` messages. All its memory is allocated at once.
#[must_use]
pub fn queue(capacity: usize) -> (QueueSender, QueueReceiver) {
    queue_that_spills(capacity, None)
}

/// Makes a queue likewise. With a budget it spills what it cannot hold until it has a reader.
#[must_use]
pub(crate) fn queue_that_spills(capacity: usize, budget: Option<&Arc<SpillBudget>>) -> (QueueSender, QueueReceiver) {
    let spill = budget.map(|budget| Arc::new(Spill::new(Arc::clone(budget))));
    let (sender, receiver) = bounded(capacity);
    let (wakeup, shed) = (Arc::new(Wakeup::default()), Arc::new(Shed::default()));
    let sender = QueueSender {
        channel: sender,
        wakeup: WakeOnDrop(Arc::clone(&wakeup)),
        is_shedding: Arc::new(AtomicBool::new(false)),
        shed: Arc::clone(&shed),
        spill: spill.clone(),
        capacity,
    };
    (sender, QueueReceiver { channel: receiver, wakeup, shed, spill })
}

impl QueueSender {
    /// Puts a message into the queue. While the queue is full a trade or ticker waits up to [`BACK_PRESSURE`]; a heartbeat is given up at once. The writer is
    /// not woken: see [`QueueReceiver::wake`].
    #[inline]
    pub fn push(&self, message: MarketMessage) -> Pushed {
        let patience = if matches!(message, MarketMessage::Heartbeat { .. }) { Duration::ZERO } else { BACK_PRESSURE };
        self.push_within(message, patience)
    }

    /// Puts a message into the queue, and waits up to `patience` while the queue is full.
    #[inline]
    pub fn push_within(&self, message: MarketMessage, patience: Duration) -> Pushed {
        // Relaxed: the flag matters to the pushing side alone. Two connections that share a product may at worst both notice the same change.
        if self.is_shedding.load(Ordering::Relaxed) {
            return self.push_while_shedding(message);
        }
        let message = match &self.spill {
            Some(spill) if spill.is_active() => match spill.push(message) {
                Spilled::Kept => return Pushed::Queued,
                Spilled::Full => return self.shed_first(),
                Spilled::Refused(message) => message,
            },
            _ => message,
        };
        match self.channel.try_send(message) {
            Ok(()) => Pushed::Queued,
            Err(TrySendError::Full(message)) => match self.spill.as_ref().map_or(Spilled::Refused(message), |spill| spill.push(message)) {
                Spilled::Kept => Pushed::Queued,
                Spilled::Full => self.shed_first(),
                Spilled::Refused(message) => self.push_with_patience(message, patience),
            },
            Err(TrySendError::Disconnected(_)) => Pushed::Closed,
        }
    }

    /// Begins to shed.
    #[cold]
    fn shed_first(&self) -> Pushed {
        self.is_shedding.store(true, Ordering::Relaxed);
        Pushed::ShedFirst
    }

    #[cold]
    fn push_with_patience(&self, message: MarketMessage, patience: Duration) -> Pushed {
        let start = Instant::now();
        let mut message = message;
        loop {
            self.wakeup.0.wake();
            // A sleep, since the channel's own wait would allocate. The writer needs longer than this for one burst.
            std::thread::sleep(RETRY.min(patience));
            message = match self.channel.try_send(message) {
                Ok(()) => return Pushed::Queued,
                Err(TrySendError::Full(message)) => message,
                Err(TrySendError::Disconnected(_)) => return Pushed::Closed,
            };
            if patience.is_zero() {
                // A message that is not worth a wait is no reason to shed what comes behind it.
                return Pushed::Shed;
            }
            if start.elapsed() >= patience {
                return self.shed_first();
            }
        }
    }

    #[cold]
    fn push_while_shedding(&self, message: MarketMessage) -> Pushed {
        // What is spilled stands before this message.
        if self.channel.len() > self.capacity / 2 || self.spill.as_ref().is_some_and(|spill| spill.is_active()) {
            return Pushed::Shed;
        }
        match self.channel.try_send(message) {
            Ok(()) => {
                self.is_shedding.store(false, Ordering::Relaxed);
                Pushed::QueuedAgain
            }
            Err(TrySendError::Full(_)) => Pushed::Shed,
            Err(TrySendError::Disconnected(_)) => Pushed::Closed,
        }
    }

    /// Notes a trade that was given up. The writer asks for it when the queue is empty.
    #[cold]
    pub(crate) fn note_shed(&self, trade_id: u64) {
        let mut ids = self.shed.ids.lock();
        let one = IdRange::one(trade_id);
        *ids = match *ids {
            None => Some(one),
            Some(before) if trade_id.abs_diff(before.last()) <= SHED_REACH => Some(before.span(one)),
            before => before,
        };
        drop(ids);
        // Release: the writer that reads it finds the ids. They are behind a lock besides.
        self.shed.is_any.store(true, Ordering::Release);
        self.wakeup.0.wake();
    }

    /// Gives the number of waiting messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channel.len() + self.spill.as_ref().map_or(0, |spill| spill.len())
    }

    /// Tells whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channel.is_empty() && self.spill.as_ref().is_none_or(|spill| !spill.is_active())
    }

    /// Gives the most messages that can wait.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

/// What a pull found.
#[derive(Debug)]
pub enum Pulled {
    /// A message.
    Message(MarketMessage),
    /// The queue is empty.
    Empty,
    /// The queue is empty, and no sender is left.
    Ended,
}

impl QueueReceiver {
    /// Takes the next message. Does not wait for one.
    #[inline]
    pub fn pull(&self) -> Pulled {
        match self.channel.try_recv() {
            Ok(message) => Pulled::Message(message),
            Err(ending) => match self.spill.as_ref().filter(|spill| spill.is_active()).and_then(|spill| spill.pull()) {
                Some(message) => Pulled::Message(message),
                None if ending == TryRecvError::Empty => Pulled::Empty,
                None => Pulled::Ended,
            },
        }
    }

    /// Tells whether trades were given up that the writer has not been told of.
    #[inline]
    #[must_use]
    pub(crate) fn has_shed(&self) -> bool {
        // Acquire: pairs with the release in `note_shed`.
        self.shed.is_any.load(Ordering::Acquire)
    }

    /// Takes the ids that were given up. Those that other connections brought are among them.
    #[cold]
    pub(crate) fn take_shed(&self) -> Option<IdRange> {
        self.shed.is_any.store(false, Ordering::Release);
        self.shed.ids.lock().take()
    }

    /// Sleeps until the writer is woken or `longest` has passed. Only the writer's thread calls this.
    pub fn wait(&self, longest: Duration) {
        self.wakeup.wait(longest);
    }

    /// Wakes the writer's thread. If it is awake, it looks into the queue again before it sleeps.
    pub fn wake(&self) {
        self.wakeup.notify();
    }

    /// Gives the writer's wake-up, for threads that have something else for the writer.
    #[must_use]
    pub fn wakeup(&self) -> Arc<Wakeup> {
        Arc::clone(&self.wakeup)
    }

    /// Gives the number of waiting messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channel.len() + self.spill.as_ref().map_or(0, |spill| spill.len())
    }

    /// Tells whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channel.is_empty() && self.spill.as_ref().is_none_or(|spill| !spill.is_active())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    fn message(id: u64) -> MarketMessage {
        MarketMessage::Heartbeat { last_trade_id: id, recv: UnixNanos(0) }
    }

    #[test]
    fn a_full_queue_sheds_until_it_is_half_empty() {
        let (sender, receiver) = queue(4);
        for id in 0..4 {
            assert_eq!(sender.push_within(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!(sender.push_within(message(4), Duration::from_millis(1)), Pushed::ShedFirst);
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push_within(message(5), Duration::ZERO), Pushed::Shed, "three of four wait still");
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push_within(message(6), Duration::ZERO), Pushed::QueuedAgain);
        assert_eq!(sender.push_within(message(7), Duration::ZERO), Pushed::Queued);
    }

    #[test]
    fn a_message_that_does_not_wait_makes_no_product_shed() {
        let (sender, receiver) = queue(4);
        for id in 0..4 {
            assert_eq!(sender.push_within(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!(sender.push_within(message(4), Duration::ZERO), Pushed::Shed);
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push_within(message(5), Duration::ZERO), Pushed::Queued, "three of four wait");
    }

    #[test]
    fn a_dropped_sender_ends_the_queue_after_its_last_message() {
        let (sender, receiver) = queue(4);
        sender.push_within(message(1), Duration::ZERO);
        drop(sender);
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert!(matches!(receiver.pull(), Pulled::Ended));
    }

    #[test]
    fn a_sleeping_writer_wakes_to_find_its_queue_ended() {
        let (sender, receiver) = queue(4);
        let writer = std::thread::spawn(move || {
            let mut wake_ups = 0;
            while !matches!(receiver.pull(), Pulled::Ended) {
                receiver.wait(Duration::from_secs(60));
                wake_ups += 1;
            }
            wake_ups
        });
        let before = Instant::now();
        drop(sender);
        assert!(writer.join().expect("joins") <= 2 && before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn no_message_is_left_in_the_queue_of_a_writer_that_sleeps() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sender, receiver) = queue(1024);
        let taken = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (count, wakeup) = (Arc::clone(&taken), receiver.wakeup());
        let writer = std::thread::spawn(move || {
            loop {
                match receiver.pull() {
                    Pulled::Message(_) => drop(count.fetch_add(1, Ordering::Release)),
                    Pulled::Empty => receiver.wait(Duration::from_secs(3600)),
                    Pulled::Ended => return,
                }
            }
        });
        let mut sent = 0;
        for _ in 0..1000 {
            for _ in 0..rng.u32(1..4) {
                assert_eq!(sender.push_within(message(1), Duration::from_secs(10)), Pushed::Queued);
                sent += 1;
            }
            wakeup.notify();
            // Sometimes until it sleeps, sometimes while it is about to.
            let until = Instant::now() + Duration::from_micros(rng.u64(0..60));
            let deadline = Instant::now() + Duration::from_secs(30);
            let waits_for_all = rng.u32(..20) == 0;
            while Instant::now() < until || (waits_for_all && taken.load(Ordering::Acquire) < sent) {
                assert!(Instant::now() < deadline, "{} of {sent} messages taken", taken.load(Ordering::Acquire));
                std::hint::spin_loop();
            }
        }
        drop(sender);
        writer.join().expect("joins");
        assert_eq!(taken.load(Ordering::Acquire), sent);
    }

    #[test]
    fn queues_stay_within_their_budget() {
        assert_eq!(capacity_within_budget(50_000, 1), 50_000);
        assert_eq!(capacity_within_budget(50_000, 20), 50_000);
        let lowered = capacity_within_budget(50_000, 400);
        assert!(lowered < 50_000 && lowered * 400 * SLOT_BYTES <= QUEUE_BUDGET_BYTES);
        assert!(
            lowered * SLOT_BYTES + WRITER_BYTES / 2 <= 280_000,
            "of 400 products each takes less than 300 kB, with its part of what all share"
        );

        for started_with in [1, 20, 400] {
            let capacity = capacity_within_budget(50_000, started_with);
            let mut slots = 0;
            for queues in 0..500 {
                let got = capacity_of_one_more(capacity, queues, slots);
                assert!(queues >= started_with || got == capacity, "the queues of the start get the capacity that was computed for them");
                slots += got;
            }
            assert!(slots * SLOT_BYTES <= QUEUE_BUDGET_BYTES + 500 * LEAST_CAPACITY_MSGS * SLOT_BYTES, "{slots} slots");
        }
    }

    fn id_of(pulled: Pulled) -> Option<u64> {
        match pulled {
            Pulled::Message(MarketMessage::Heartbeat { last_trade_id, .. }) => Some(last_trade_id),
            _ => None,
        }
    }

    #[test]
    fn a_queue_without_a_reader_spills_in_order_up_to_its_budget_and_sheds_behind_that() {
        let budget = Arc::new(SpillBudget::new(6));
        let (sender, receiver) = queue_that_spills(4, Some(&budget));
        let (other, _other_receiver) = queue_that_spills(1, Some(&budget));
        for id in 0..9 {
            assert_eq!(sender.push_within(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!((sender.len(), receiver.is_empty()), (9, false));
        assert_eq!([0, 1].map(|id| other.push_within(message(id), Duration::ZERO)), [Pushed::Queued; 2], "the budget is of all queues");
        assert_eq!(other.push_within(message(2), Duration::from_millis(1)), Pushed::ShedFirst);
        budget.close();
        // The reader has come. What is pushed meanwhile stands behind what is spilled, although the queue has room.
        assert_eq!((0..6).map(|_| id_of(receiver.pull())).collect::<Option<Vec<_>>>(), Some((0..6).collect()));
        assert_eq!(sender.push_within(message(9), Duration::ZERO), Pushed::Queued);
        assert_eq!((0..4).map(|_| id_of(receiver.pull())).collect::<Option<Vec<_>>>(), Some((6..10).collect()));
        assert!(!receiver.is_empty() && matches!(receiver.pull(), Pulled::Empty) && receiver.is_empty());
        // From now on it is a queue like any other.
        for id in 0..4 {
            assert_eq!(sender.push_within(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!(sender.push_within(message(4), Duration::from_millis(1)), Pushed::ShedFirst);
    }

    #[test]
    fn what_is_spilled_is_pulled_after_the_last_sender_is_gone() {
        let budget = Arc::new(SpillBudget::new(100));
        let (sender, receiver) = queue_that_spills(2, Some(&budget));
        (0..5).for_each(|id| assert_eq!(sender.push_within(message(id), Duration::ZERO), Pushed::Queued));
        drop(sender);
        assert_eq!((0..5).map(|_| id_of(receiver.pull())).collect::<Option<Vec<_>>>(), Some((0..5).collect()));
        assert!(matches!(receiver.pull(), Pulled::Ended));
    }
}
