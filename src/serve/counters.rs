//! [`Counters`]: what the endpoints count, beside the HTTP server.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Upper ends of the buckets of [`Counters::lag`], in microseconds.
pub(crate) const LAG_BUCKETS_US: [u64; 12] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000];

/// What the endpoints count. All orderings are relaxed, as in [`super::http::traffic`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rows: AtomicU64,
    followers: AtomicUsize,
    lag: [AtomicU64; LAG_BUCKETS_US.len() + 1],
    lag_sum_us: AtomicU64,
}

impl Counters {
    /// Counts records that were sent.
    pub(crate) fn send_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts how long a live record had been committed when it was sent, as far as the server can tell: since the look that found it.
    pub(crate) fn note_lag(&self, lag: Duration) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        let bucket = LAG_BUCKETS_US.iter().position(|end| micros <= *end).unwrap_or(LAG_BUCKETS_US.len());
        if let Some(count) = self.lag.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.lag_sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a client that follows the tape, for as long as the guard is kept.
    pub(crate) fn follow(&self) -> Follower<'_> {
        self.followers.fetch_add(1, Ordering::Relaxed);
        Follower(self)
    }

    /// Gives how many records were sent.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Gives how many clients follow the tape.
    pub(crate) fn followers(&self) -> usize {
        self.followers.load(Ordering::Relaxed)
    }

    /// Gives the number of live records in each bucket, the last one above all ends, and their sum in microseconds.
    pub(crate) fn lag(&self) -> (Vec<u64>, u64) {
        (self.lag.iter().map(|count| count.load(Ordering::Relaxed)).collect(), self.lag_sum_us.load(Ordering::Relaxed))
    }
}

/// A client that follows the tape.
#[derive(Debug)]
pub(crate) struct Follower<'a>(&'a Counters);

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::Relaxed);
    }
}
