//! [`Stop`]: the one flag that ends a capture, and the reason where it ends by failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct State {
    is_asked: AtomicBool,
    failure: Mutex<Option<String>>,
    changed: Condvar,
}

/// Asks every thread to end. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

impl Stop {
    /// Asks for a clean stop.
    pub fn ask(&self) {
        let _guard = self.0.failure.lock();
        // Release: what the asker did before is seen by who finds the flag set.
        self.0.is_asked.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    /// Asks for a stop because something failed. The first reason is kept.
    pub fn fail(&self, reason: String) {
        log::error!("{reason}");
        self.0.failure.lock().get_or_insert(reason);
        self.ask();
    }

    /// Tells whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        // Acquire: pairs with the release in `ask`.
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// Gives the reason where the stop is a failure.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().clone()
    }

    /// Waits until a stop is asked for, at most `longest`; tells whether it was.
    #[must_use]
    pub fn wait(&self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let mut guard = self.0.failure.lock();
        while !self.is_asked() {
            if self.0.changed.wait_until(&mut guard, deadline).timed_out() {
                return self.is_asked();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_asks_for_the_stop_and_keeps_its_first_reason() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::ZERO));
        stop.fail("first".to_owned());
        stop.fail("second".to_owned());
        assert!(stop.wait(Duration::from_secs(60)));
        assert_eq!(stop.failure().as_deref(), Some("first"));
    }
}
