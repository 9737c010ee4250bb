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

use super::cores::Cores;
use super::queue::Bell;
use super::seat::{LentTally, Seat};
use super::stop::Stop;
use crate::store::Pages;

/// Seats that may wait: more than a connection has products. Those beyond it have their writers woken.
const WAITING_SEATS: usize = 1024;

/// How long a hand may be at one seat before it is passed by.
pub const STUCK_AFTER: Duration = Duration::from_millis(20);

/// How long a hand that is called again and again sleeps before it looks by itself.
const NAP: Duration = Duration::from_millis(1);

/// How soon after one round of calls another has to come to an end for the next to be expected as soon.
const AGAIN_WITHIN: Duration = Duration::from_millis(2);

/// How often a hand adds its figures to the capture's, at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The connection's end of its hand.
pub struct Hand {
    calls: Option<Sender<Arc<Seat>>>,
    /// The same channel's other end: to take back what a stuck hand does not come to.
    waiting: Receiver<Arc<Seat>>,
    bell: Arc<Bell>,
    turns: Arc<AtomicU64>,
    /// The turn last seen, and when it was seen first.
    seen: (u64, Instant),
    thread: Option<JoinHandle<()>>,
}

impl Hand {
    /// Starts the thread of a connection's hand; one that spins never sleeps.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub fn start(name: &str, tally: LentTally, cores: Arc<Cores>, spins: bool, stop: Stop) -> std::io::Result<Self> {
        let (calls, waiting) = bounded(WAITING_SEATS);
        let (bell, turns) = (Arc::new(Bell::default()), Arc::new(AtomicU64::new(0)));
        let work = Work { calls: waiting.clone(), bell: Arc::clone(&bell), turns: Arc::clone(&turns), tally, spins };
        let thread = std::thread::Builder::new().name(format!("hand:{name}")).stack_size(super::SMALL_STACK_BYTES).spawn(move || {
            let _on_panic = stop.on_panic();
            cores.settle();
            work.run();
        })?;
        Ok(Self { calls: Some(calls), waiting, bell, turns, seen: (0, Instant::now()), thread: Some(thread) })
    }

    /// Has a seat seen to, with the next [`Hand::ring`].
    pub fn call(&self, seat: &Arc<Seat>) {
        if seat.is_newly_called() && self.calls.as_ref().is_none_or(|calls| calls.try_send(Arc::clone(seat)).is_err()) {
            leave_to_writer(seat);
        }
    }

    /// Wakes the hand, where it sleeps.
    pub fn ring(&self) {
        self.bell.nudge();
    }

    /// Has the writers woken of all seats that wait for a hand which has been at one for too long.
    pub fn pass_by_if_stuck(&mut self, now: Instant) {
        let turns = self.turns.load(Ordering::Relaxed);
        if turns != self.seen.0 || self.waiting.is_empty() {
            self.seen = (turns, now);
        } else if now.saturating_duration_since(self.seen.1) >= STUCK_AFTER {
            self.waiting.try_iter().for_each(|seat| leave_to_writer(&seat));
        }
    }
}

/// Has the writer's thread see to a seat to which no hand comes.
fn leave_to_writer(seat: &Seat) {
    // First, so that a call which comes behind the writer's look is one.
    seat.is_answered();
    seat.wake_writer();
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.calls = None;
        self.bell.ring();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a connection's hand died");
        }
    }
}

struct Work {
    calls: Receiver<Arc<Seat>>,
    bell: Arc<Bell>,
    turns: Arc<AtomicU64>,
    tally: LentTally,
    spins: bool,
}

impl Work {
    fn run(mut self) {
        let mut publish_at = Instant::now() + PUBLISH_EVERY;
        let (mut has_served, mut served_at) = (false, Instant::now());
        loop {
            match self.calls.try_recv() {
                Ok(seat) => {
                    self.serve(&seat);
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
                        self.bell.wait_for_ring();
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.tally.publish();
    }

    fn serve(&mut self, seat: &Seat) {
        let now = Instant::now();
        seat.is_answered();
        loop {
            let lent = seat.lend_a_hand(now, Pages::Any);
            self.tally.take(&lent);
            if lent.needs_writer {
                seat.wake_writer();
            }
            if lent.needs_writer || !lent.is_left {
                break;
            }
        }
        self.tally.note(now, None);
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::queue;
    use super::*;

    #[test]
    fn a_stuck_hand_is_passed_by_and_a_busy_one_is_not() {
        // A hand without a thread: nobody ever comes.
        let (calls, waiting) = bounded(4);
        let turns = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut hand =
            Hand { calls: Some(calls), waiting, bell: Arc::default(), turns: Arc::clone(&turns), seen: (0, start), thread: None };
        let (_sender, receiver) = queue(4);
        let bell = receiver.bell();
        let seat = Arc::new(Seat::new(receiver));
        hand.call(&seat);
        hand.call(&seat);
        assert_eq!(hand.waiting.len(), 1, "called once, until the hand has come");
        hand.pass_by_if_stuck(start + STUCK_AFTER / 2);
        turns.store(1, Ordering::Relaxed);
        hand.pass_by_if_stuck(start + STUCK_AFTER);
        hand.pass_by_if_stuck(start + STUCK_AFTER * 2 - Duration::from_millis(1));
        assert_eq!(hand.waiting.len(), 1, "it has moved meanwhile");
        hand.pass_by_if_stuck(start + STUCK_AFTER * 2);
        assert!(hand.waiting.is_empty());
        hand.call(&seat);
        assert_eq!(hand.waiting.len(), 1, "who was passed by can be called again");
        // Rung: it returns at once.
        let before = Instant::now();
        bell.wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn seats_beyond_the_channel_have_their_writers_woken() {
        let (calls, waiting) = bounded(1);
        let hand =
            Hand { calls: Some(calls), waiting, bell: Arc::default(), turns: Arc::default(), seen: (0, Instant::now()), thread: None };
        let seats: Vec<_> = (0..2).map(|_| Arc::new(Seat::new(queue(4).1))).collect();
        seats.iter().for_each(|seat| hand.call(seat));
        assert!(seats[0].is_called() && !seats[1].is_called(), "it can be called again");
        let before = Instant::now();
        seats[1].queue().wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
