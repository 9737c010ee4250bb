//! [`Stop`]: the flag that ends a capture, and the reason if the end is a failure.

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

/// Asks every thread to end. All clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

impl Stop {
    /// Asks for a clean stop.
    pub fn ask(&self) {
        let _guard = self.0.failure.lock();
        // Release: a thread that reads `true` sees everything that was done before the call.
        self.0.is_asked.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    /// Asks for a stop because something failed. The first reason is kept.
    pub fn fail(&self, reason: String) {
        log::error!("{reason}");
        self.0.failure.lock().get_or_insert(reason);
        self.ask();
    }

    /// Has the capture end as a failure when it ends, for a reason that does not end it now. The first reason is kept.
    pub(crate) fn blame(&self, reason: String) {
        self.0.failure.lock().get_or_insert(reason);
    }

    /// Gives a guard that makes the capture fail if the calling thread panics while it holds the guard.
    #[must_use]
    pub(crate) fn on_panic(&self) -> OnPanic {
        OnPanic(self.clone())
    }

    /// Tells whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        // Acquire: its partner is the release store in `ask`.
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// Gives the reason if the stop is a failure.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().clone()
    }

    /// Waits until a stop is asked for, but no longer than `longest`. Gives whether it was.
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

/// Makes the capture fail if the thread that holds it panics.
#[derive(Debug)]
pub(crate) struct OnPanic(Stop);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(format!("the thread {} died", std::thread::current().name().unwrap_or("without a name")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_a_failure_and_one_that_ends_is_not() {
        let stop = Stop::default();
        let run = |dies: bool| {
            let held = stop.clone();
            let thread = std::thread::Builder::new().name("line:0.0".to_owned()).spawn(move || {
                let _on_panic = held.on_panic();
                assert!(!dies, "as wanted");
            });
            thread.unwrap().join().is_err()
        };
        assert!(!run(false) && !stop.is_asked());
        assert!(run(true) && stop.is_asked());
        assert_eq!(stop.failure().as_deref(), Some("the thread line:0.0 died"));
    }

    #[test]
    fn a_failure_asks_for_the_stop_and_keeps_its_first_reason() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::ZERO));
        stop.blame("first".to_owned());
        assert!(!stop.wait(Duration::ZERO), "blame ends nothing");
        stop.fail("second".to_owned());
        assert!(stop.wait(Duration::from_secs(60)));
        assert_eq!(stop.failure().as_deref(), Some("first"));
    }
}
