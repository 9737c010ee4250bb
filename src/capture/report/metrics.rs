//! Counters and figures, written by the thread they belong to and read by anyone.
//!
//! 1. All counters are relaxed atomics: they order nothing, and their sums are only held against each other when the threads that write them have ended.
//! 2. `frames = used + control + ignored + rejected` for every connection; the sums are held in [`crate::capture::report::summary`].
//! 3. `received + fetched = written + late + duplicate + conflict + shed + rejected + waiting` for the trades of every product, waiting being 0 at a stop;
//!    `received = written + late + stale + shed + rejected` for its tickers.
//! 4. Latencies are gathered by each writer on its own and merged into the shared histogram once a second: no lock a message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};

use crate::capture::report::redundancy::{LineCounts, MAX_LINES};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds 1.
    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The largest value seen.
#[derive(Debug, Default)]
pub struct Peak(AtomicU64);

impl Peak {
    /// Takes a value into account.
    #[inline]
    pub fn see(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.fetch_max(value, Relaxed);
        }
    }

    /// Reads the largest.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Reads the largest since the last call of this, and starts again.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }
}

/// What became of the trades of one product.
#[derive(Debug, Default)]
pub struct TradeCounts {
    /// Trades handed over by the decoder.
    pub received: Counter,
    /// Missing trades that REST, or another tape, supplied.
    pub fetched: Counter,
    /// Appended to the columns.
    pub written: Counter,
    /// Stored beside the columns, to be put in place when the day is sealed.
    pub late: Counter,
    /// Stored already, with equal fields.
    pub duplicate: Counter,
    /// Stored already, with other fields: journaled, the first kept.
    pub conflict: Counter,
    /// Given up because the product's queue was full or its disk would not take them: a gap.
    pub shed: Counter,
    /// Of an id that lay absurdly far ahead and that nothing confirmed.
    pub rejected: Counter,
}

/// What became of the tickers of one product.
#[derive(Debug, Default)]
pub struct TickerCounts {
    /// Tickers handed over by the decoder.
    pub received: Counter,
    /// Appended to `MD` (and to `TICKER_TRADES` where they carry a trade).
    pub written: Counter,
    /// Stored beside the columns of a sealed day.
    pub late: Counter,
    /// Of a sequence at or below the last one stored.
    pub stale: Counter,
    /// Given up as above: a counted hole.
    pub shed: Counter,
    /// Of a sequence that lay absurdly far ahead and that nothing confirmed.
    pub rejected: Counter,
}

/// The figures of one product.
#[derive(Debug, Default)]
pub struct ProductMetrics {
    /// Trades.
    pub trades: TradeCounts,
    /// Tickers.
    pub tickers: TickerCounts,
    /// What each of several lines brought.
    pub lines: [LineCounts; MAX_LINES],
    /// Trades held back until what is missing before them has come, or their id is confirmed.
    pub waiting: AtomicU64,
    /// Messages in the queue when last looked at, and the most ever seen there.
    pub deepest_queue_msgs: Peak,
    /// Trade ids known to be missing and not yet filled.
    pub missing_ids: AtomicU64,
    /// Gaps seen in this run.
    pub gaps: Counter,
    /// Set while the product sheds.
    pub is_shedding: AtomicBool,
    /// Set while the product's files will not take records.
    pub is_blocked: AtomicBool,
}

/// The figures of one connection.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// Frames read.
    pub frames: Counter,
    /// Frames of which at least one record was handed over.
    pub used: Counter,
    /// Acknowledgements, errors, status, heartbeats.
    pub control: Counter,
    /// Frames of channels nobody asked for.
    pub ignored: Counter,
    /// Frames that could not be used.
    pub rejected: Counter,
    /// Bytes of all frames.
    pub bytes: Counter,
    /// Trades that could not be read or are not plausible, so that no product is known to count them under.
    pub rejected_trades: Counter,
    /// Tickers likewise.
    pub rejected_tickers: Counter,
    /// Times a connection stood.
    pub connects: Counter,
    /// Times a connection was lost.
    pub losses: Counter,
    /// Holes in the Advanced feed's connection sequence.
    pub sequence_holes: Counter,
    /// Whether the connection stands now.
    pub is_connected: AtomicBool,
    /// Bytes waiting in the socket's receive queue: the most seen.
    pub receive_queue_bytes: Peak,
}

/// Highest latency a histogram holds, in microseconds: 100 s. Longer ones count as this.
const LONGEST_MICROS: u64 = 100_000_000;

/// Makes a latency histogram in microseconds, two significant digits.
///
/// # Panics
/// Never: the bounds are constants that the library accepts.
#[must_use]
#[expect(clippy::expect_used, reason = "constant bounds, shown valid by every test that makes one")]
pub fn latency_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 2).expect("constant bounds are valid")
}

/// Rounds a latency up to whole microseconds within what a histogram holds.
#[must_use]
pub fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_MICROS).clamp(1, LONGEST_MICROS)
}

/// Lags gathered by one thread, to be added to those of all: no lock a message.
#[derive(Debug)]
pub struct LagTally(Histogram<u32>);

impl Default for LagTally {
    fn default() -> Self {
        Self(latency_histogram())
    }
}

impl LagTally {
    /// Counts records that became visible `lag` after their frame was read.
    #[inline]
    pub fn note(&mut self, lag: Duration, records: u32) {
        let _ = self.0.record_n(micros(lag), records);
    }

    /// Tells whether there is nothing to publish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was gathered to the capture's figures.
    pub fn publish(&mut self, metrics: &Metrics) {
        if !self.0.is_empty() {
            self.add_to(metrics.lag_micros.lock());
        }
    }

    /// Does so without waiting: where another thread is at it, the next call does.
    pub fn try_publish(&mut self, metrics: &Metrics) {
        if let Some(shared) = metrics.lag_micros.try_lock().filter(|_| !self.0.is_empty()) {
            self.add_to(shared);
        }
    }

    fn add_to(&mut self, mut shared: MutexGuard<'_, Histogram<u32>>) {
        // Equal bounds: nothing is left out.
        let _ = shared.add(&self.0);
        drop(shared);
        self.0.reset();
    }
}

/// Figures of the whole capture.
#[derive(Debug)]
pub struct Metrics {
    /// Frame read → committed, in microseconds, all products.
    pub lag_micros: Mutex<Histogram<u32>>,
    /// Longest lag since the status line last asked, in microseconds.
    pub recent_lag_micros: Peak,
    /// Longest that a trade waited for what was missing before it, from its frame on, in microseconds.
    pub gap_wait_micros: Peak,
    /// Longest first append → commit of a batch, in microseconds.
    pub append_micros: Peak,
    /// Longest flush cycle, in microseconds.
    pub flush_micros: Peak,
    /// Flush cycles that had something to write.
    pub flushes: Counter,
    /// Of those, the ones that made trades durable.
    pub trade_flushes: Counter,
    /// Of those, the ones that made tickers durable.
    pub ticker_flushes: Counter,
    /// Longest time from commit to durable, in microseconds, as far as the sync thread can tell: from the end of the cycle before.
    pub durable_micros: Peak,
    /// Bytes committed and not yet asked to be flushed.
    pub unflushed_bytes: AtomicU64,
    /// Write failures: allocations, flushes, opens.
    pub write_failures: Counter,
    /// Journal lines, rejects and exact texts that were lost because their thread could not keep up.
    pub unwritten_lines: Counter,
    /// Frames that `--record` could not keep.
    pub unrecorded_frames: Counter,
    /// Decimal texts kept verbatim.
    pub inexact_texts: Counter,
    /// Requests sent to REST.
    pub rest_requests: Counter,
    /// Of those, the ones that failed.
    pub rest_failures: Counter,
    /// Rejected elements and frames by reason.
    pub rejects: Mutex<std::collections::BTreeMap<&'static str, u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            lag_micros: Mutex::new(latency_histogram()),
            recent_lag_micros: Peak::default(),
            gap_wait_micros: Peak::default(),
            append_micros: Peak::default(),
            flush_micros: Peak::default(),
            flushes: Counter::default(),
            trade_flushes: Counter::default(),
            ticker_flushes: Counter::default(),
            durable_micros: Peak::default(),
            unflushed_bytes: AtomicU64::new(0),
            write_failures: Counter::default(),
            unwritten_lines: Counter::default(),
            unrecorded_frames: Counter::default(),
            inexact_texts: Counter::default(),
            rest_requests: Counter::default(),
            rest_failures: Counter::default(),
            rejects: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts a reject under its reason. Cold.
    pub fn count_reject(&self, reason: &'static str) {
        *self.rejects.lock().entry(reason).or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_beyond_the_scale_count_as_its_end() {
        let mut histogram = latency_histogram();
        for latency in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1_000_000)] {
            histogram.record(micros(latency)).expect("within bounds");
        }
        assert_eq!(histogram.len(), 3);
    }
}
