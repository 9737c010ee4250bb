//! How long to wait before connecting: [`Backoff`] for one line, [`ConnectGate`] for all of them.
//!
//! Neither sleeps nor reads a clock; `now` is monotonic time since any fixed moment.

use parking_lot::Mutex;
use std::time::Duration;

/// First wait after a connection was lost.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait, jitter included.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// At most one connection is begun in this time: Coinbase cuts off who connects faster.
pub const BETWEEN_CONNECTIONS: Duration = Duration::from_secs(1);

/// Waits that double from 1 s to 60 s, up to a quarter longer by chance, so that lines lost together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    /// Starts with the first wait; the jitter follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { base: FIRST_WAIT, random: fastrand::Rng::with_seed(seed) }
    }

    /// Gives the next wait and doubles the one after it.
    pub fn wait(&mut self) -> Duration {
        let wait = self.base.mul_f64(1.0 + self.random.f64() / 4.0);
        // A quarter more than 48 s is 60 s.
        self.base = (self.base * 2).min(LONGEST_WAIT * 4 / 5);
        wait
    }

    /// Goes back to the first wait: the connection has proven good.
    pub fn reset(&mut self) {
        self.base = FIRST_WAIT;
    }
}

/// Spaces out the connections of all lines of the process.
#[derive(Debug, Default)]
pub struct ConnectGate {
    free_at: Mutex<Duration>,
}

impl ConnectGate {
    /// Takes the next free moment and gives how long to wait for it; the caller connects then, and not before.
    pub fn reserve(&self, now: Duration) -> Duration {
        let mut free_at = self.free_at.lock();
        let at = now.max(*free_at);
        *free_at = at + BETWEEN_CONNECTIONS;
        at - now
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
    fn the_gate_lets_one_through_a_second() {
        let (gate, ms) = (ConnectGate::default(), Duration::from_millis);
        assert_eq!(gate.reserve(ms(5000)), ms(0));
        assert_eq!(gate.reserve(ms(5000)), ms(1000));
        assert_eq!(gate.reserve(ms(5001)), ms(1999));
        assert_eq!(gate.reserve(ms(9000)), ms(0));
    }
}
