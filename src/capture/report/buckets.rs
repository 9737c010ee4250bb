//! [`Buckets`]: how often something took how long, in buckets with fixed ends, as Prometheus reads them. And [`BucketTally`]: the same for one thread,
//! which adds it to the shared one now and then, so that a message costs two plain additions.
//!
//! All numbers are relaxed atomics: they order nothing. A reader may see the count of a moment ago beside the sum of now.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper ends of the buckets, in microseconds: 50 µs to 60 s, two to three in each power of ten. Longer times are in one more bucket.
pub(crate) const ENDS_MICROS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 15_000_000, 60_000_000,
];

/// Number of buckets, the one without an end included.
pub(crate) const COUNT: usize = ENDS_MICROS.len() + 1;

/// The first bucket that a number of so many bits may be in: at most three more have to be looked at.
const FIRST_OF_BITS: [usize; u64::BITS as usize + 1] = {
    let mut first = [0; u64::BITS as usize + 1];
    let mut bits = 1;
    while bits < first.len() {
        let mut at = 0;
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        {
            while at < ENDS_MICROS.len() && ENDS_MICROS[at] < 1 << (bits - 1) {
                at += 1;
            }
            first[bits] = at;
        }
        bits += 1;
    }
    first
};

#[inline]
fn place(micros: u64) -> usize {
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    let first = FIRST_OF_BITS.get(bits).copied().unwrap_or(0);
    let further = ENDS_MICROS.get(first..).and_then(|ends| ends.iter().position(|end| micros <= *end));
    further.map_or(ENDS_MICROS.len(), |further| first + further)
}

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    counts: [AtomicU64; COUNT],
    sum_micros: AtomicU64,
}

impl Buckets {
    /// Counts one time.
    #[inline]
    pub(crate) fn see(&self, micros: u64) {
        if let Some(count) = self.counts.get(place(micros)) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// Adds what a thread has gathered, and empties that.
    pub(crate) fn take(&self, tally: &mut BucketTally) {
        for (count, gathered) in self.counts.iter().zip(&mut tally.counts) {
            if *gathered > 0 {
                count.fetch_add(std::mem::take(gathered), Relaxed);
            }
        }
        self.sum_micros.fetch_add(std::mem::take(&mut tally.sum_micros), Relaxed);
    }

    /// Reads the count of each bucket, and the sum of all times in microseconds.
    #[must_use]
    pub(crate) fn read(&self) -> ([u64; COUNT], u64) {
        let mut counts = [0; COUNT];
        for (read, count) in counts.iter_mut().zip(&self.counts) {
            *read = count.load(Relaxed);
        }
        (counts, self.sum_micros.load(Relaxed))
    }
}

/// What one thread has gathered.
#[derive(Debug, Default)]
pub(crate) struct BucketTally {
    counts: [u64; COUNT],
    sum_micros: u64,
}

impl BucketTally {
    /// Counts a time, `times` times.
    #[inline]
    pub(crate) fn note(&mut self, micros: u64, times: u64) {
        if let Some(count) = self.counts.get_mut(place(micros)) {
            *count += times;
        }
        self.sum_micros = self.sum_micros.saturating_add(micros.saturating_mul(times));
    }

    /// Counts a time in nanoseconds.
    #[inline]
    pub(crate) fn note_one(&mut self, nanos: u64) {
        self.note(nanos / 1000, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_whose_end_it_does_not_pass() {
        assert!(ENDS_MICROS.windows(2).all(|pair| pair[0] < pair[1]));
        let buckets = Buckets::default();
        for micros in [0, 50, 51, 60_000_000, 60_000_001] {
            buckets.see(micros);
        }
        let (counts, sum) = buckets.read();
        assert_eq!((counts[0], counts[1], counts[COUNT - 2], counts[COUNT - 1], sum), (2, 1, 1, 1, 120_000_102));
    }

    #[test]
    fn the_bucket_is_the_first_whose_end_is_not_passed() {
        let powers = (0..u64::BITS).map(|bit| 1 << bit);
        for micros in powers.chain(ENDS_MICROS).flat_map(|near| [near - 1, near, near + 1]).chain([0, u64::MAX]) {
            assert_eq!(place(micros), ENDS_MICROS.iter().filter(|end| micros > **end).count(), "{micros}");
        }
    }

    #[test]
    fn what_a_thread_gathers_is_added_once() {
        let (buckets, mut tally) = (Buckets::default(), BucketTally::default());
        tally.note(60, 3);
        tally.note_one(100_000_000_999);
        buckets.take(&mut tally);
        buckets.take(&mut tally);
        buckets.see(70);
        let (counts, sum) = buckets.read();
        assert_eq!((counts.iter().sum::<u64>(), counts[1], counts[COUNT - 1], sum), (5, 4, 1, 100_000_250));
    }
}
