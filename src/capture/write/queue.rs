//! One product's queue: a bounded crossbeam channel, a bell that wakes its writer, and what happens when it is full.
//!
//! 1. Nothing is dropped silently: what a full queue will not take is counted as shed, and both ends of the hole are told to the caller.
//! 2. A full queue holds the socket thread up for at most [`BACK_PRESSURE`] a message; a writer that takes none in that time has only this product shed,
//!    until its queue is half empty. One that takes some, however slowly, sets the pace of its connection: then the exchange waits, and nothing is lost.
//! 3. A writer that has nothing to do sleeps until somebody rings. That costs 3 to 20 µs of both, many times the price of a message: who may drain
//!    the queue instead is the business of [`crate::capture::write::slot`].
//!
//! Orderings: the channel itself carries the messages. A bell's state is read by the sender behind its push and changed by the writer before
//! its look into the queue, each with a fence between the two: either the sender sees the writer's change, or the writer sees the message.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};

use crate::record::MarketMessage;

/// How long a full queue may hold up the socket thread.
pub const BACK_PRESSURE: Duration = Duration::from_millis(250);

/// How long the socket thread sleeps between two tries while a queue is full.
const RETRY: Duration = Duration::from_micros(200);

/// Bytes of one slot: the message and the channel's stamp.
pub const SLOT_BYTES: usize = size_of::<MarketMessage>() + size_of::<usize>();

/// Bytes that all queues together may allocate, less what hundreds of products need besides.
pub const QUEUE_BUDGET_BYTES: usize = 128 << 20;

/// Bytes that a product's writer needs besides its queue: the part of its stack in use, its histogram, its open days.
const WRITER_BYTES: usize = 72 << 10;

/// Fewest messages a queue is lowered to; below that the box has too many products for its budget.
pub const LEAST_CAPACITY_MSGS: usize = 512;

/// Gives the capacity each of `products` queues gets, lowered where all together would pass the budget.
#[must_use]
pub fn capacity_within_budget(asked_msgs: usize, products: usize) -> usize {
    let budget = QUEUE_BUDGET_BYTES.saturating_sub(products.saturating_mul(WRITER_BYTES));
    let fitting = budget / SLOT_BYTES / products.max(1);
    asked_msgs.min(fitting.max(LEAST_CAPACITY_MSGS)).max(1)
}

/// Gives the capacity of one more queue, made while `queues` of them hold `slots` messages: as much as was `asked` for, or what the budget leaves.
#[must_use]
pub fn capacity_of_one_more(asked_msgs: usize, queues: usize, slots: usize) -> usize {
    let budget = QUEUE_BUDGET_BYTES.saturating_sub((queues + 1).saturating_mul(WRITER_BYTES));
    let left = (budget / SLOT_BYTES).saturating_sub(slots);
    asked_msgs.min(left.max(LEAST_CAPACITY_MSGS)).max(1)
}

/// The writer runs, and will look into its queue again before it sleeps.
const AWAKE: u8 = 0;
/// The writer sleeps until it is woken.
const ASLEEP: u8 = 1;
/// Somebody rang while the writer was awake, or has just woken it.
const NOTIFIED: u8 = 2;

/// Wakes one writer thread.
#[derive(Debug, Default)]
pub struct Wakeup {
    state: AtomicU8,
    sleeper: OnceLock<Thread>,
}

impl Wakeup {
    /// Rings: the writer wakes, or finds the bell rung before it sleeps.
    pub fn wake(&self) {
        // Release: what was done before the ring is seen by the woken writer. The swap spares the system call when it is already on its way.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == ASLEEP {
            self.unpark();
        }
    }

    /// Tells the sleeper that there is something in its queue: rings, unless somebody has and it has yet to look.
    pub fn notify(&self) {
        // Partner: the fence in `sleep`. Either this sees the writer's newest state, or the writer sees what was pushed before.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) != NOTIFIED {
            self.wake();
        }
    }

    /// Sleeps until the bell is rung or `longest` has passed. Called by the one thread that the bell belongs to.
    pub fn wait(&self, longest: Duration) {
        let until = Instant::now() + longest;
        self.sleep(|| {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            Instant::now() >= until
        });
    }

    /// Sleeps until the bell is rung, without the timer that a bound costs. Called by the one thread that the bell belongs to.
    pub fn wait_until_woken(&self) {
        self.sleep(|| {
            std::thread::park();
            false
        });
    }

    /// Sleeps, a `doze` at a time, until the bell is rung or a doze says that it is enough.
    fn sleep(&self, mut doze: impl FnMut() -> bool) {
        self.sleeper.get_or_init(std::thread::current);
        if self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            while !doze() && self.state.load(Ordering::Acquire) != NOTIFIED {}
        }
        // A ring that came meanwhile is spent here: the caller looks at the queue next.
        self.state.swap(AWAKE, Ordering::AcqRel);
        // Partner: the fence in `nudge`.
        fence(Ordering::SeqCst);
    }

    #[cold]
    fn unpark(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued,
    /// It was given up; the product sheds since just now.
    ShedFirst,
    /// It was given up; the product went on shedding.
    Shed,
    /// It is in the queue; the product has just stopped shedding.
    QueuedAgain,
    /// The writer is gone.
    Closed,
}

/// The socket thread's end.
#[derive(Debug, Clone)]
pub struct QueueSender {
    channel: Sender<MarketMessage>,
    /// Behind the channel: fields are dropped in their order, and a writer woken before its last sender is gone would sleep on.
    wakeup: WakeOnDrop,
    is_shedding: Arc<AtomicBool>,
    capacity: usize,
}

/// Rings once more when it is dropped, so that a sleeping writer notices the end of its queue at once.
#[derive(Debug, Clone)]
struct WakeOnDrop(Arc<Wakeup>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The writer's end, and that of who drains for it: one thread at a time.
#[derive(Debug)]
pub struct QueueReceiver {
    channel: Receiver<MarketMessage>,
    wakeup: Arc<Wakeup>,
}

/// Makes a queue of `capacity` messages. All its slots are allocated at once.
#[must_use]
pub fn queue(capacity: usize) -> (QueueSender, QueueReceiver) {
    let (sender, receiver) = bounded(capacity);
    let wakeup = Arc::new(Wakeup::default());
    (
        QueueSender { channel: sender, wakeup: WakeOnDrop(Arc::clone(&wakeup)), is_shedding: Arc::new(AtomicBool::new(false)), capacity },
        QueueReceiver { channel: receiver, wakeup },
    )
}

impl QueueSender {
    /// Puts a message into the queue, waiting up to `patience` while it is full. The writer is not woken: see [`QueueReceiver::wake`].
    #[inline]
    pub fn push(&self, message: MarketMessage, patience: Duration) -> Pushed {
        // Relaxed: the flag belongs to whoever pushes; two connections that share a product at worst both notice the same turn.
        if self.is_shedding.load(Ordering::Relaxed) {
            return self.push_while_shedding(message);
        }
        match self.channel.try_send(message) {
            Ok(()) => Pushed::Queued,
            Err(TrySendError::Full(message)) => self.push_with_patience(message, patience),
            Err(TrySendError::Disconnected(_)) => Pushed::Closed,
        }
    }

    #[cold]
    fn push_with_patience(&self, message: MarketMessage, patience: Duration) -> Pushed {
        let start = Instant::now();
        let mut message = message;
        loop {
            self.wakeup.0.wake();
            // The channel's own wait would allocate; its writer needs longer than this for one burst.
            std::thread::sleep(RETRY.min(patience));
            message = match self.channel.try_send(message) {
                Ok(()) => return Pushed::Queued,
                Err(TrySendError::Full(message)) => message,
                Err(TrySendError::Disconnected(_)) => return Pushed::Closed,
            };
            if patience.is_zero() {
                // Only tried: what is not worth a wait is no reason to shed what comes behind it.
                return Pushed::Shed;
            }
            if start.elapsed() >= patience {
                self.is_shedding.store(true, Ordering::Relaxed);
                return Pushed::ShedFirst;
            }
        }
    }

    #[cold]
    fn push_while_shedding(&self, message: MarketMessage) -> Pushed {
        if self.channel.len() > self.capacity / 2 {
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

    /// Gives the messages waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Tells whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channel.is_empty()
    }

    /// Gives the most that can wait.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

/// What a writer finds in its queue.
#[derive(Debug)]
pub enum Pulled {
    /// A message.
    Message(MarketMessage),
    /// Nothing just now.
    Empty,
    /// Nothing, and no sender is left.
    Ended,
}

impl QueueReceiver {
    /// Takes a message without waiting.
    #[inline]
    pub fn pull(&self) -> Pulled {
        match self.channel.try_recv() {
            Ok(message) => Pulled::Message(message),
            Err(TryRecvError::Empty) => Pulled::Empty,
            Err(TryRecvError::Disconnected) => Pulled::Ended,
        }
    }

    /// Sleeps until there may be something to do, at most `longest`. Only the writer's thread calls this.
    pub fn wait(&self, longest: Duration) {
        self.wakeup.wait(longest);
    }

    /// Wakes the writer's thread, or has it look again before it sleeps.
    pub fn wake(&self) {
        self.wakeup.notify();
    }

    /// Gives the bell, for others who have something for the writer.
    #[must_use]
    pub fn wakeup(&self) -> Arc<Wakeup> {
        Arc::clone(&self.wakeup)
    }

    /// Gives the messages waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Tells whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channel.is_empty()
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
            assert_eq!(sender.push(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!(sender.push(message(4), Duration::from_millis(1)), Pushed::ShedFirst);
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push(message(5), Duration::ZERO), Pushed::Shed, "three of four wait still");
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push(message(6), Duration::ZERO), Pushed::QueuedAgain);
        assert_eq!(sender.push(message(7), Duration::ZERO), Pushed::Queued);
    }

    #[test]
    fn what_is_only_tried_makes_nobody_shed() {
        let (sender, receiver) = queue(4);
        for id in 0..4 {
            assert_eq!(sender.push(message(id), Duration::ZERO), Pushed::Queued);
        }
        assert_eq!(sender.push(message(4), Duration::ZERO), Pushed::Shed);
        assert!(matches!(receiver.pull(), Pulled::Message(_)));
        assert_eq!(sender.push(message(5), Duration::ZERO), Pushed::Queued, "three of four wait");
    }

    #[test]
    fn a_dropped_sender_ends_the_queue_after_its_last_message() {
        let (sender, receiver) = queue(4);
        sender.push(message(1), Duration::ZERO);
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
    fn a_bell_rung_before_the_wait_is_not_lost() {
        let wakeup = Wakeup::default();
        wakeup.wake();
        let before = std::time::Instant::now();
        wakeup.wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
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
                assert_eq!(sender.push(message(1), Duration::from_secs(10)), Pushed::Queued);
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

        for started_with in [1, 20, 400] {
            let capacity = capacity_within_budget(50_000, started_with);
            let mut slots = 0;
            for queues in 0..500 {
                let got = capacity_of_one_more(capacity, queues, slots);
                assert!(queues >= started_with || got == capacity, "those of the start get what was reckoned for them");
                slots += got;
            }
            assert!(slots * SLOT_BYTES <= QUEUE_BUDGET_BYTES + 500 * LEAST_CAPACITY_MSGS * SLOT_BYTES, "{slots} slots");
        }
    }
}
