//! [`Delegate`]: a connection's second thread. It runs the steps of sleeping writers that the connection's own thread must not run, as they may wait for a
//! page. See [`super::queue`].
//!
//! 1. One wake-up of one thread serves every product that a read brought. Waking each product's writer would cost as many wake-ups.
//! 2. A step that may wait for anything but a page is left to the writer's thread, which is woken.
//! 3. A delegate that one slot holds up for [`STUCK_AFTER`] is bypassed: the writers of the waiting slots are woken, so that no product waits for another.
//! 4. A delegate that is called again and again sleeps a millisecond instead of being woken each time. A record that may wait for a page becomes visible so
//!    much later, and one timer serves all that came meanwhile.
//! 5. After its start it allocates nothing, and makes no system call but to sleep and to wake. With `--spin` it does not sleep.
//!
//! Thread `delegate:{line}.{connection}`: receives slots over the connection's channel; ends when the connection has dropped its end and the channel is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::capture::cores::Cores;
use crate::capture::stop::Stop;
use crate::capture::threads::{Stack, spawn};
use crate::capture::write::effort::Effort;
use crate::capture::write::slot::WriterSlot;
use crate::capture::write::step::{Remaining, StepTally};
use crate::capture::write::wakeup::Wakeup;

/// Slots that may wait: more than a connection has products. For a slot beyond them the writer is woken.
const WAITING_SLOTS: usize = 1024;

/// How long a delegate may work on one slot before it is bypassed.
pub(crate) const STUCK_AFTER: Duration = Duration::from_millis(20);

/// How long a delegate that is called again and again sleeps before it looks by itself.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// How soon after one round of calls another has to end for the next one to be expected as soon.
const AGAIN_WITHIN: Duration = Duration::from_millis(2);

/// How often a delegate adds its figures to the capture's, at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// How many slots a delegate had served when the connection last looked.
struct Progress {
    served: u64,
    since: Instant,
}

/// The connection's end of its delegate.
pub(crate) struct Delegate {
    calls: Option<Sender<Arc<WriterSlot>>>,
    /// The same channel's other end: to take back the slots that a stuck delegate does not come to.
    waiting: Receiver<Arc<WriterSlot>>,
    wakeup: Arc<Wakeup>,
    served: Arc<AtomicU64>,
    last_seen: Progress,
    thread: Option<JoinHandle<()>>,
}

impl Delegate {
    /// Starts the thread of a connection's delegate. With `spins` it never sleeps.
    ///
    /// # Errors
    /// Where the machine has no thread left.
    pub(crate) fn start(name: &str, tally: StepTally, cores: Arc<Cores>, spins: bool, stop: &Stop) -> std::io::Result<Self> {
        let (calls, waiting) = bounded(WAITING_SLOTS);
        let (wakeup, served) = (Arc::new(Wakeup::default()), Arc::new(AtomicU64::new(0)));
        let work = Work { calls: waiting.clone(), wakeup: Arc::clone(&wakeup), served: Arc::clone(&served), tally, spins };
        let thread = spawn(format!("delegate:{name}"), Stack::Small, stop, move || {
            cores.settle();
            work.run();
        })?;
        let last_seen = Progress { served: 0, since: Instant::now() };
        Ok(Self { calls: Some(calls), waiting, wakeup, served, last_seen, thread: Some(thread) })
    }

    /// Calls the delegate to a slot. It comes after the next [`Delegate::wake`], if it sleeps.
    pub(crate) fn call(&self, slot: &Arc<WriterSlot>) {
        if slot.mark_called() && self.calls.as_ref().is_none_or(|calls| calls.try_send(Arc::clone(slot)).is_err()) {
            leave_to_writer(slot);
        }
    }

    /// Wakes the delegate, if it sleeps.
    pub(crate) fn wake(&self) {
        self.wakeup.notify();
    }

    /// Wakes the writers of all waiting slots, if the delegate has worked on one slot for too long.
    pub(crate) fn bypass_if_stuck(&mut self, now: Instant) {
        let served = self.served.load(Ordering::Relaxed);
        if served != self.last_seen.served || self.waiting.is_empty() {
            self.last_seen = Progress { served, since: now };
        } else if now.saturating_duration_since(self.last_seen.since) >= STUCK_AFTER {
            self.waiting.try_iter().for_each(|slot| leave_to_writer(&slot));
        }
    }
}

/// Leaves a slot to its writer's thread.
fn leave_to_writer(slot: &WriterSlot) {
    // In this order: a call that comes after the writer has looked is a new one.
    slot.clear_called();
    slot.wake_writer();
}

impl Drop for Delegate {
    fn drop(&mut self) {
        self.calls = None;
        self.wakeup.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a connection's delegate thread died");
        }
    }
}

struct Work {
    calls: Receiver<Arc<WriterSlot>>,
    wakeup: Arc<Wakeup>,
    served: Arc<AtomicU64>,
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
                        // This thread counts as awake meanwhile: a call costs no wake-up.
                        std::thread::sleep(SHORT_SLEEP);
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
        slot.clear_called();
        loop {
            let step = slot.run_step(now, Effort::PageWait);
            self.tally.add(step.appended);
            match step.remaining {
                Remaining::More => {}
                Remaining::Nothing => break,
                Remaining::NeedsPage | Remaining::NeedsWriter => {
                    slot.wake_writer();
                    break;
                }
            }
        }
        self.tally.count(now, None);
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::write::queue::queue;

    #[test]
    fn a_stuck_delegate_is_bypassed_and_a_busy_one_is_not() {
        // A delegate without a thread: it never comes.
        let (calls, waiting) = bounded(4);
        let served = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let last_seen = Progress { served: 0, since: start };
        let mut delegate =
            Delegate { calls: Some(calls), waiting, wakeup: Arc::default(), served: Arc::clone(&served), last_seen, thread: None };
        let (_sender, receiver) = queue(4);
        let wakeup = receiver.wakeup();
        let slot = Arc::new(WriterSlot::new(receiver));
        delegate.call(&slot);
        delegate.call(&slot);
        assert_eq!(delegate.waiting.len(), 1, "called once, until the delegate has come");
        delegate.bypass_if_stuck(start + STUCK_AFTER / 2);
        served.store(1, Ordering::Relaxed);
        delegate.bypass_if_stuck(start + STUCK_AFTER);
        delegate.bypass_if_stuck(start + STUCK_AFTER * 2 - Duration::from_millis(1));
        assert_eq!(delegate.waiting.len(), 1, "it has moved meanwhile");
        delegate.bypass_if_stuck(start + STUCK_AFTER * 2);
        assert!(delegate.waiting.is_empty());
        delegate.call(&slot);
        assert_eq!(delegate.waiting.len(), 1, "a slot that was left to its writer can be called for again");
        // Woken: the wait returns at once.
        let before = Instant::now();
        wakeup.wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn slots_beyond_the_channel_have_their_writers_woken() {
        let (calls, waiting) = bounded(1);
        let delegate = Delegate {
            calls: Some(calls),
            waiting,
            wakeup: Arc::default(),
            served: Arc::default(),
            last_seen: Progress { served: 0, since: Instant::now() },
            thread: None,
        };
        let slots: Vec<_> = (0..2).map(|_| Arc::new(WriterSlot::new(queue(4).1))).collect();
        slots.iter().for_each(|slot| delegate.call(slot));
        assert!(slots[0].is_called() && !slots[1].is_called(), "it can be called for again");
        let before = Instant::now();
        slots[1].queue().wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
