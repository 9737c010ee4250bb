//! [`Pace`]: whether a client takes what is written to it.
//!
//! Only the time counts in which a write waits for the client. A client is too slow
//!
//! 1. where it has taken nothing for `send_timeout`: *stalled*;
//! 2. where it has taken less than [`LEAST_BYTES_PER_S`] over `send_timeout` of such time: *trickling*. A limit on each write alone would let a client that
//!    takes one byte every few seconds keep its thread for ever.

use std::time::Duration;

/// The least rate at which a client has to take its answer, in bytes per second.
pub(crate) const LEAST_BYTES_PER_S: u64 = 16 * 1024;

/// Why a client is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooSlow {
    /// It has taken nothing.
    Stalled,
    /// It has taken too little.
    Trickling,
}

/// What a client has taken, and how long writes have waited for it.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    send_timeout: Duration,
    /// Waited since the last byte was taken.
    without_byte: Duration,
    /// Waited, and bytes taken, since this window of time began.
    waited: Duration,
    taken: u64,
}

impl Pace {
    /// Starts to watch a client.
    pub(crate) fn new(send_timeout: Duration) -> Self {
        Self { send_timeout, without_byte: Duration::ZERO, waited: Duration::ZERO, taken: 0 }
    }

    /// Notes that the client has taken bytes.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.without_byte = Duration::ZERO;
        self.taken = self.taken.saturating_add(bytes as u64);
    }

    /// Notes that a write has waited for the client. Gives why it is too slow, if it is.
    pub(crate) fn wait(&mut self, waited: Duration) -> Option<TooSlow> {
        self.without_byte += waited;
        self.waited += waited;
        if self.without_byte >= self.send_timeout {
            return Some(TooSlow::Stalled);
        }
        if self.waited < self.send_timeout {
            return None;
        }
        let least = u128::from(LEAST_BYTES_PER_S) * self.waited.as_millis() / 1000;
        if u128::from(self.taken) < least {
            return Some(TooSlow::Trickling);
        }
        (self.waited, self.taken) = (Duration::ZERO, 0);
        None
    }

    /// Gives how long the next wait may be at most.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.send_timeout.saturating_sub(self.without_byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_that_takes_nothing_is_stalled_when_its_time_is_over() {
        let mut pace = Pace::new(10 * SECOND);
        for _ in 0..9 {
            assert_eq!(pace.wait(SECOND), None);
        }
        assert_eq!(pace.longest_wait(), SECOND);
        assert_eq!(pace.wait(SECOND), Some(TooSlow::Stalled));
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_cut_off_too() {
        let mut pace = Pace::new(10 * SECOND);
        for second in 1..=10 {
            let expected = (second == 10).then_some(TooSlow::Trickling);
            assert_eq!(pace.wait(SECOND), expected);
            pace.take(100);
        }
    }

    #[test]
    fn a_client_at_the_least_rate_goes_on_for_ever_and_one_below_it_does_not() {
        let rounds = |bytes: usize| {
            let mut pace = Pace::new(10 * SECOND);
            (0..1000)
                .take_while(|_| {
                    pace.take(bytes);
                    pace.wait(SECOND).is_none()
                })
                .count()
        };
        let least = usize::try_from(LEAST_BYTES_PER_S).expect("small");
        assert_eq!(rounds(least), 1000);
        assert_eq!(rounds(least - 1), 9);
    }

    #[test]
    fn what_was_taken_long_ago_does_not_count_for_ever() {
        let mut pace = Pace::new(10 * SECOND);
        pace.take(1 << 40);
        let waits = (0..).take_while(|_| {
            pace.take(1);
            pace.wait(SECOND).is_none()
        });
        assert_eq!(waits.count(), 19, "the first window has many bytes, the second has ten");
    }
}
