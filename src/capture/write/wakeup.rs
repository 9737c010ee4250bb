//! [`Wakeup`]: puts one thread to sleep and wakes it.
//!
//! 1. A wake-up that comes before the sleep is not lost: the thread then does not sleep.
//! 2. Only a thread that sleeps costs a system call. Waking one that is awake, or is being woken, sets a flag.
//!
//! Orderings: a sender pushes, then reads the state; the sleeper changes the state, then looks into its queue. A fence stands between the two on each side.
//! So either the sender sees the sleeper's change, or the sleeper sees the message.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The thread runs. It looks for work once more before it sleeps.
const AWAKE: u8 = 0;
/// The thread sleeps until it is woken.
const ASLEEP: u8 = 1;
/// The thread was woken, or was told while awake that there is work.
const NOTIFIED: u8 = 2;

/// Wakes one thread.
#[derive(Debug, Default)]
pub struct Wakeup {
    state: AtomicU8,
    sleeper: OnceLock<Thread>,
}

impl Wakeup {
    /// Wakes the thread. If it is awake, its next sleep ends at once.
    pub fn wake(&self) {
        // Release: the woken thread sees what was done before. The swap spares the system call where the thread is being woken already.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == ASLEEP {
            self.unpark();
        }
    }

    /// Tells the thread that its queue holds something. Wakes it, unless it was notified and has not looked yet.
    pub fn notify(&self) {
        // Partner: the fence in `sleep`. Either this sees the sleeper's newest state, or the sleeper sees what was pushed before.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) != NOTIFIED {
            self.wake();
        }
    }

    /// Sleeps until the thread is woken or `longest` has passed. Only the one thread that this belongs to calls it.
    pub fn wait(&self, longest: Duration) {
        let until = Instant::now() + longest;
        self.sleep(|| {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            Instant::now() >= until
        });
    }

    /// Sleeps until the thread is woken. Costs no timer, as a bounded wait does. Only the one thread that this belongs to calls it.
    pub fn wait_until_woken(&self) {
        self.sleep(|| {
            std::thread::park();
            false
        });
    }

    /// Parks the thread again and again until it is woken or `park` says that the time has passed.
    fn sleep(&self, mut park: impl FnMut() -> bool) {
        self.sleeper.get_or_init(std::thread::current);
        if self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            while !park() && self.state.load(Ordering::Acquire) != NOTIFIED {}
        }
        // A notification that came meanwhile is used up here: the caller looks into its queue next.
        self.state.swap(AWAKE, Ordering::AcqRel);
        // Partner: the fence in `notify`.
        fence(Ordering::SeqCst);
    }

    #[cold]
    fn unpark(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        let wakeup = Wakeup::default();
        wakeup.wake();
        let before = Instant::now();
        wakeup.wait(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
