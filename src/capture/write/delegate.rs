//! The hand: a connection's second thread, which appends for all writers that sleep what the connection must not, as it may wait for a page.
//!
//! 1. One wake-up of one thread serves every product that a read brought, where waking each one's writer would cost as many.
//! 2. It does what comes in turn and finds its day open and with room. What may wait for anything but a page is the writer's: it is woken.
//! 3. A hand that a page holds up for [`STUCK_AFTER`] is passed by: the writers are woken instead, so that no product waits for another's.
//! 4. One that is called again and again takes a nap of a millisecond instead of being woken each time: so late a record may become visible that may wait for a
//!    page, and one timer serves all that came meanwhile.
//! 5. After start it allocates nothing, and calls no system but to sleep and to wake. With `--spin` it does not sleep.
//!
//! Thread `hand:{line}.{connection}`: reads seats from the connection's channel; ends when the connection has dropped its end and nothing is left there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::capture::cores::Cores;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::queue::Wakeup;
use crate::capture::write::slot::{StepTally, WriterSlot};
use crate::store::Pages;

/// Seats that may wait: more than a connection has products. Those beyond it have their writers woken.
const WAITING_SLOTS: usize = 1024;

/// How long a hand may be at one seat before it is passed by.
pub const STUCK_AFTER: Duration = Duration::from_millis(20);

/// How long a hand that is called again and again sleeps before it looks by itself.
const NAP: Duration = Duration::from_millis(1);

/// How soon after one round of calls another has to come to an end for the next to be expected as soon.
const AGAIN_WITHIN: Duration = Duration::from_millis(2);

/// How often a hand adds its figures to the capture's, at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The connection's end of its hand.
pub struct Delegate {
    calls: Option<Sender<Arc<WriterSlot>>>,
    /// The same channel's other end: to take back what a stuck hand does not come to.
    waiting: Receiver<Arc<WriterSlot>>,
    wakeup: Arc<Wakeup>,
    turns: Arc<AtomicU64>,
    /// The turn last seen, and when it was seen first.
    seen: (u64, Instant),
    thread: Option<JoinHandle<()>>,
}

impl Delegate {
    /// Starts the thread of a connection's hand; one that spins never sleeps.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub fn start(name: &str, tally: StepTally, cores: Arc<Cores>, spins: bool, stop: &Stop) -> std::io::Result<Self> {
        let (calls, waiting) = bounded(WAITING_SLOTS);
        let (wakeup, turns) = (Arc::new(Wakeup::default()), Arc::new(AtomicU64::new(0)));
        let work = Work { calls: waiting.clone(), wakeup: Arc::clone(&wakeup), turns: Arc::clone(&turns), tally, spins };
        let thread = spawn(format!("delegate:{name}"), Stack::Small, stop, move || {
            cores.settle();
            work.run();
        })?;
        Ok(Self { calls: Some(calls), waiting, wakeup, turns, seen: (0, Instant::now()), thread: Some(thread) })
    }

    /// Has a seat seen to, with the next [`Delegate::ring`].
    pub fn call(&self, slot: &Arc<WriterSlot>) {
        if slot.is_newly_called() && self.calls.as_ref().is_none_or(|calls| calls.try_send(Arc::clone(slot)).is_err()) {
            leave_to_writer(slot);
        }
    }

    /// Wakes the hand, where it sleeps.
    pub fn wake(&self) {
        self.wakeup.notify();
    }

    /// Has the writers woken of all seats that wait for a hand which has been at one for too long.
    pub fn pass_by_if_stuck(&mut self, now: Instant) {
        let turns = self.turns.load(Ordering::Relaxed);
        if turns != self.seen.0 || self.waiting.is_empty() {
            self.seen = (turns, now);
        } else if now.saturating_duration_since(self.seen.1) >= STUCK_AFTER {
            self.waiting.try_iter().for_each(|slot| leave_to_writer(&slot));
        }
    }
}

/// Has the writer's thread see to a seat to which no hand comes.
fn leave_to_writer(slot: &WriterSlot) {
    // First, so that a call which comes behind the writer's look is one.
    slot.is_answered();
    slot.wake_writer();
}

impl Drop for Delegate {
    fn drop(&mut self) {
        self.calls = None;
        self.wakeup.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a connection's hand died");
        }
    }
}

struct Work {
    calls: Receiver<Arc<WriterSlot>>,
    wakeup: Arc<Wakeup>,
    turns: Arc<AtomicU64>,
    tally: StepTally,
    spins: bool,
}

impl Work {
    fn run(mut self) {
        let mut publish_at = Instant::now() + PUBLISH_EVERY;
        let (mut has_served, mut served_at) = (false, Instant::now());
        loop {
            match self.calls.try_recv() {
                Ok(slot) => {
                    self.serve(&slot);
                    has_served = true;
                }
                Err(TryRecvError::Empty) => {
                    let now = Instant::now();
                    if now >= publish_at {
                        self.tally.publish();
                        publish_at = now + PUBLISH_EVERY;
                    }
                    let is_often = has_served && now.duration_since(std::mem::replace(&mut served_at, now)) < AGAIN_WITHIN;
                    has_served = false;
                    if self.spins {
                        // Others may want the processor: there can be more connections than processors.
                        std::thread::yield_now();
                    } else if is_often {
                        // Awake as far as the bell knows: whoever rings wakes nobody.
                        std::thread::sleep(NAP);
                    } else {
                        self.wakeup.wait_until_woken();
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.tally.publish();
    }

    fn serve(&mut self, slot: &WriterSlot) {
        let now = Instant::now();
        slot.is_answered();
        loop {
            let step = slot.run_step(now, Pages::Any);
            self.tally.take(&step);
            if step.needs_writer {
                slot.wake_writer();
            }
            if step.needs_writer || !step.is_left {
                break;
            }
        }
        self.tally.note(now, None);
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::write::queue::queue;

    #[test]
    fn a_stuck_hand_is_passed_by_and_a_busy_one_is_not() {
        // A hand without a thread: nobody ever comes.
        let (calls, waiting) = bounded(4);
        let turns = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut delegate =
            Delegate { calls: Some(calls), waiting, wakeup: Arc::default(), turns: Arc::clone(&turns), seen: (0, start), thread: None };
        let (_sender, receiver) = queue(4);
        let wakeup = receiver.wakeup();
        let slot = Arc::new(WriterSlot::new(receiver));
        delegate.call(&slot);
        delegate.call(&slot);
        assert_eq!(delegate.waiting.len(), 1, "called once, until the hand has come");
        delegate.pass_by_if_stuck(start + STUCK_AFTER / 2);
        turns.store(1, Ordering::Relaxed);
        delegate.pass_by_if_stuck(start + STUCK_AFTER);
        delegate.pass_by_if_stuck(start + STUCK_AFTER * 2 - Duration::from_millis(1));
        assert_eq!(delegate.waiting.len(), 1, "it has moved meanwhile");
        delegate.pass_by_if_stuck(start + STUCK_AFTER * 2);
        assert!(delegate.waiting.is_empty());
        delegate.call(&slot);
        assert_eq!(delegate.waiting.len(), 1, "who was passed by can be called again");
        // Rung: it returns at once.
        let before = Instant::now();
        wakeup.wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn seats_beyond_the_channel_have_their_writers_woken() {
        let (calls, waiting) = bounded(1);
        let delegate = Delegate {
            calls: Some(calls),
            waiting,
            wakeup: Arc::default(),
            turns: Arc::default(),
            seen: (0, Instant::now()),
            thread: None,
        };
        let slots: Vec<_> = (0..2).map(|_| Arc::new(WriterSlot::new(queue(4).1))).collect();
        slots.iter().for_each(|slot| delegate.call(slot));
        assert!(slots[0].is_called() && !slots[1].is_called(), "it can be called again");
        let before = Instant::now();
        slots[1].queue().wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
