//! How far a run is, as the exchange's thread shows it to others: [`Progress`].

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::totals::Totals;

/// The totals so far, and whether the run has started and is done; shared between threads.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the exchange's thread publishes.
#[derive(Debug, Default, Clone)]
pub(super) struct State {
    pub(super) totals: Totals,
    /// The event clock runs, or has run.
    pub(super) has_started: bool,
    /// The market is over and all its frames have left for the sockets.
    pub(super) is_done: bool,
}

impl Progress {
    /// Publishes a new state.
    pub(super) fn publish(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }

    /// Gives the totals published last.
    pub(super) fn totals(&self) -> Totals {
        self.state.lock().totals.clone()
    }

    /// Tells whether the market is over and all its frames have left.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().is_done
    }

    /// Waits until the event clock runs, for `at_most`. Tells whether it runs.
    pub(super) fn wait_started(&self, at_most: Duration) -> bool {
        self.wait(Some(at_most), |state| state.has_started)
    }

    /// Waits until the market is over and all its frames have left.
    pub(super) fn wait_done(&self) {
        self.wait(None, |state| state.is_done);
    }

    fn wait(&self, at_most: Option<Duration>, is_reached: impl Fn(&State) -> bool) -> bool {
        let deadline = at_most.map(|at_most| Instant::now() + at_most);
        let mut state = self.state.lock();
        while !is_reached(&state) {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return is_reached(&state);
                    }
                }
            }
        }
        true
    }
}
