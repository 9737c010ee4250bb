//! [`Stopping`]: whether the server is to stop, and until when answers may go on.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::limits::{STOP_GRACE, STOP_TIMEOUT};

#[derive(Debug, Default)]
struct State {
    asked: OnceLock<Instant>,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Tells every thread of the server when to end. All clones share one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(Arc<State>);

impl Stopping {
    /// Asks for the stop.
    pub(crate) fn ask(&self) {
        let _guard = self.0.lock.lock();
        let _ = self.0.asked.set(Instant::now());
        self.0.changed.notify_all();
    }

    /// Tells whether the stop was asked for: streams end, new requests are refused.
    #[must_use]
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.get().is_some()
    }

    /// Tells whether the time for answers in flight is over too.
    #[must_use]
    pub(crate) fn is_overdue(&self) -> bool {
        self.0.asked.get().is_some_and(|asked| asked.elapsed() >= STOP_TIMEOUT)
    }

    /// Tells whether the time is over in which the threads notice that.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.0.asked.get().is_some_and(|asked| asked.elapsed() >= STOP_TIMEOUT + STOP_GRACE)
    }

    /// Waits until the stop is asked for, but no longer than `longest`. Gives whether it was.
    #[must_use]
    pub(crate) fn wait(&self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let mut guard = self.0.lock.lock();
        while !self.is_asked() {
            if self.0.changed.wait_until(&mut guard, deadline).timed_out() {
                return self.is_asked();
            }
        }
        true
    }
}
