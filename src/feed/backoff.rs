//! How long to wait before the next try: [`Backoff`] for one connection, [`ConnectGate`] for all of them, [`doubled`] for requests.
//!
//! All that there is to change about back-off is in this file. Nothing here sleeps or reads a clock; `now` is monotonic time since any fixed moment.

use parking_lot::Mutex;
use std::time::Duration;

/// First wait after a connection was lost.
pub(crate) const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait, jitter included.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// At most one connection is started in this time: Coinbase drops clients that connect faster.
pub(crate) const BETWEEN_CONNECTIONS: Duration = Duration::from_secs(1);

/// Waits that double from 1 s to 60 s, each up to a quarter longer at random, so that connections lost together do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    /// Starts with the first wait. `seed` decides the jitter.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self { base: FIRST_WAIT, random: fastrand::Rng::with_seed(seed) }
    }

    /// Gives the next wait, and doubles the one after it.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.base.mul_f64(1.0 + self.random.f64() / 4.0);
        // A quarter more than 48 s is 60 s.
        self.base = (self.base * 2).min(LONGEST_WAIT * 4 / 5);
        wait
    }

    /// Goes back to the first wait, because the connection has proven good.
    pub(crate) fn reset(&mut self) {
        self.base = FIRST_WAIT;
    }
}

/// Gives the wait after the first, second, third … failure in a row: `first`, twice as long, four times as long …, at most `longest`. No jitter.
#[must_use]
pub(crate) fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest)
}

/// Spaces the connections of the whole process.
#[derive(Debug, Default)]
pub(crate) struct ConnectGate {
    free_at: Mutex<Duration>,
}

impl ConnectGate {
    /// Reserves the next free moment. Gives how long the caller has to wait before it connects.
    pub(crate) fn reserve(&self, now: Duration) -> Duration {
        let mut free_at = self.free_at.lock();
        let at = now.max(*free_at);
        *free_at = at + BETWEEN_CONNECTIONS;
        at - now
    }

    /// Lets no connection be started before a moment, because the server has asked for that.
    pub(crate) fn hold(&self, until: Duration) {
        let mut free_at = self.free_at.lock();
        *free_at = until.max(*free_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_sixty_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(1);
        for seconds in [1, 2, 4, 8, 16, 32, 48, 48, 48] {
            let (wait, base) = (backoff.wait(), Duration::from_secs(seconds));
            assert!(wait >= base && wait <= base * 5 / 4 && wait <= LONGEST_WAIT, "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() < Duration::from_secs(2));
    }

    #[test]
    fn two_seeds_do_not_wait_alike() {
        assert_ne!(Backoff::new(1).wait(), Backoff::new(2).wait());
    }

    #[test]
    fn waits_without_jitter_double_up_to_the_longest() {
        let seconds = |failures| doubled(Duration::from_secs(10), failures, Duration::from_secs(600)).as_secs();
        assert_eq!([0, 1, 2, 3, 6, 7, u32::MAX].map(seconds), [10, 10, 20, 40, 320, 600, 600]);
    }

    #[test]
    fn the_gate_lets_one_connection_through_a_second() {
        let (gate, ms) = (ConnectGate::default(), Duration::from_millis);
        assert_eq!(gate.reserve(ms(5000)), ms(0));
        assert_eq!(gate.reserve(ms(5000)), ms(1000));
        assert_eq!(gate.reserve(ms(5001)), ms(1999));
        assert_eq!(gate.reserve(ms(9000)), ms(0));
        gate.hold(ms(14_000));
        gate.hold(ms(12_000));
        assert_eq!((gate.reserve(ms(9500)), gate.reserve(ms(9500))), (ms(4500), ms(5500)));
    }
}
