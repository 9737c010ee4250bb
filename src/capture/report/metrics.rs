//! What a capture counts and measures. Each number is written by the thread it belongs to and read by anyone.
//!
//! 1. All counters are relaxed atomics ([`super::counter`]). A new one is a row here and the call that counts it.
//! 2. `frames = used + control + ignored + rejected` for every connection. [`super::summary`] compares these sums.
//! 3. `received + fetched = written + late + duplicate + conflict + shed + rejected + waiting` for the trades of every product; at a stop nothing is waiting.
//!    `received = written + late + stale + shed + rejected` for its tickers.
//! 4. Each writer gathers latencies on its own and adds them to the shared histogram once a second: a message takes no lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};

use crate::capture::report::buckets::{BucketTally, Buckets};
use crate::capture::report::connection_state::{ConnectionState, LossCause};
use crate::capture::report::counter::{Counter, Peak, counters};
use crate::capture::report::gauges::Gauges;
use crate::capture::report::last_error::LastErrorNote;
use crate::capture::report::moment::Moment;
use crate::capture::report::newest::Newest;
use crate::capture::report::subscription_state::SubscriptionState;
use crate::capture::report::unbroken::Unbroken;
use crate::feed::FrameFate;
use crate::feed::clock_check::MarketClock;
use crate::product::ProductId;

/// Subjects whose last failure to write is kept.
const MAX_WRITE_FAILURES: usize = 4096;

/// Most redundant lines.
pub(crate) const MAX_LINES: usize = 4;

/// What became of the trades of one product.
#[derive(Debug, Default)]
pub(crate) struct TradeCounts {
    /// Trades from the decoder.
    pub received: Counter,
    /// Missing trades from REST or from another tape.
    pub fetched: Counter,
    /// Appended to the columns.
    pub written: Counter,
    /// Stored beside the columns, until the seal of the day puts them in their place.
    pub late: Counter,
    /// Already stored, with equal fields.
    pub duplicate: Counter,
    /// Already stored, with other fields. The first is kept, the other is journaled.
    pub conflict: Counter,
    /// Dropped because the product's queue or disk was full: a gap.
    pub shed: Counter,
    /// Kept with the rejects, because id and time do not fit those of other trades and nothing confirmed them.
    pub rejected: Counter,
}

/// What became of the tickers of one product.
#[derive(Debug, Default)]
pub(crate) struct TickerCounts {
    /// Tickers from the decoder.
    pub received: Counter,
    /// Appended to each dataset that stores something of them.
    pub written: Counter,
    /// Stored beside the columns of a sealed day.
    pub late: Counter,
    /// Dropped because neither sequence nor event time is newer than those stored: copies.
    pub stale: Counter,
    /// Dropped because the product's queue or disk was full.
    pub shed: Counter,
    /// Kept with the rejects, because sequence and time do not fit those of other tickers and nothing confirmed them.
    pub rejected: Counter,
}

/// What one of several redundant lines brought of one product.
#[derive(Debug, Default)]
pub(crate) struct LineCounts {
    /// Trades that it brought first.
    pub wins: Counter,
    /// Trades that another line had brought before.
    pub duplicates: Counter,
    /// Trades between its first and its last that it did not bring.
    pub losses: AtomicU64,
    /// Sum of the time from the first copy of a trade to this line's copy, in microseconds.
    pub lag_sum_micros: Counter,
    /// Copies in that sum.
    pub lagging: Counter,
    /// Longest such time, in microseconds.
    pub lag_max_micros: Peak,
}

/// The figures of one product.
#[derive(Debug, Default)]
pub(crate) struct ProductMetrics {
    /// Trades.
    pub trades: TradeCounts,
    /// Tickers.
    pub tickers: TickerCounts,
    /// What each redundant line brought, where there are several.
    pub lines: [LineCounts; MAX_LINES],
    /// Trades that wait for a missing one before them, or for a confirmation of their id.
    pub waiting: AtomicU64,
    /// Most messages seen in the queue.
    pub deepest_queue_msgs: Peak,
    /// Most messages seen in the queue since the watch last looked.
    pub recent_queue_msgs: Peak,
    /// Trade ids that are missing now.
    pub missing_ids: AtomicU64,
    /// Ranges of ids that are missing now.
    pub open_gaps: AtomicU64,
    /// Since when the oldest of them has been missing.
    pub oldest_gap: Moment,
    /// Doubted messages that nothing had settled when the capture ended.
    pub doubts_left: Counter,
    /// Gaps seen in this run.
    pub gaps: Counter,
    /// Whether messages of the product are being dropped because its queue is full.
    pub is_shedding: AtomicBool,
    /// Whether the product's files take no records.
    pub is_blocked: AtomicBool,
    /// The newest stored trade and ticker.
    pub newest: Newest,
    /// Since when this capture has the product without an interruption, whoever holds the directory.
    pub unbroken: Unbroken,
    /// Whether the exchange has taken the product up.
    pub subscription: SubscriptionState,
}

impl ProductMetrics {
    /// Notes how many messages wait in the queue.
    #[inline]
    pub(crate) fn note_queue(&self, waiting_msgs: u64) {
        self.deepest_queue_msgs.see(waiting_msgs);
        self.recent_queue_msgs.see(waiting_msgs);
    }
}

counters! {
    /// The figures of one connection.
    ConnectionMetrics
    /// What all connections came to.
    ConnectionTotals {
        /// Frames read.
        frames: Counter => Connections "frames",
        /// Frames from which at least one record was taken.
        used: Counter => Connections "frames_used",
        /// Frames about the connection: acknowledgements, errors, status, heartbeats.
        control: Counter => Connections "frames_control",
        /// Frames of channels that are not captured.
        ignored: Counter => Connections "frames_ignored",
        /// Frames that could not be used.
        rejected: Counter => Connections "frames_rejected",
        /// Bytes of all frames.
        bytes: Counter,
        /// Trades that could not be read or are implausible. They belong to no known product.
        rejected_trades: Counter,
        /// Tickers that could not be read or are implausible.
        rejected_tickers: Counter,
        /// Connections made.
        connects: Counter => Connections "connects",
        /// Connections that could not be made.
        connect_failures: Counter,
        /// Connections lost.
        losses: Counter => Connections "losses",
        /// Missing messages in the Advanced feed's numbering of a connection: times that some were missing.
        sequence_holes: Counter => Connections "sequence_holes",
        /// Frames that `--check-parse` has read both ways.
        parse_checked: Counter => Connections "parse_checked",
        /// Frames of which the two ways gave something different.
        parse_differences: Counter => Connections "parse_differences",
        /// Most bytes seen waiting in the receive queue of a socket.
        receive_queue_bytes: Peak => Connections "receive_queue_peak_bytes",
    }
    beside {
        /// Whether the connection is up.
        is_connected: AtomicBool = AtomicBool::new(false),
        /// Connections lost, by cause.
        losses_by_cause: [Counter; LossCause::ALL.len()] = Default::default(),
        /// Bytes that waited in the receive queue of the socket at the last look.
        waiting_bytes: AtomicU64 = AtomicU64::new(0),
        /// Looks of its thread at what else there is to do.
        ticks: Counter = Counter::default(),
        /// Whether it works, and why not.
        state: ConnectionState = ConnectionState::default(),
    }
}

counters! {
    /// The figures of the whole capture.
    Metrics
    /// What the whole capture came to.
    CaptureTotals {
        /// Requests sent to REST.
        rest_requests: Counter => Rest "rest_requests",
        /// Requests to REST that failed.
        rest_failures: Counter => Rest "rest_failures",
        /// Elements of REST's answers that could not be used. They are kept with the rejects.
        rest_unusable: Counter => Rest "rest_unusable",
        /// Longest wait of a trade for a missing one before it, from the read of its frame, in microseconds.
        gap_wait_micros: Peak => Latency "gap_wait_max_ms" / 1000.0,
        /// Longest time from the first append of a batch to its commit, in microseconds.
        append_micros: Peak => Latency "append_max_ms" / 1000.0,
        /// Longest flush cycle, in microseconds.
        flush_micros: Peak => Latency "flush_max_ms" / 1000.0,
        /// Longest time from commit to durable, in microseconds. The sync thread measures it from the start of the cycle before.
        durable_micros: Peak => Latency "durable_max_ms" / 1000.0,
        /// Flush cycles that had something to write.
        flushes: Counter => Flush "flushes",
        /// Flush cycles that made trades durable.
        trade_flushes: Counter => Flush "trade_flushes",
        /// Flush cycles that made tickers durable.
        ticker_flushes: Counter => Flush "ticker_flushes",
        /// Bytes of the records that were made durable.
        flushed_bytes: Counter => Flush "flushed_bytes",
        /// Flushes ahead of their time, because memory ran short.
        emergency_flushes: Counter => Flush "emergency_flushes",
        /// Allocations, flushes and writes that failed.
        write_failures: Counter => Loss "write_failures",
        /// Dataset-days that were stored again because somebody had removed or replaced files of them.
        restored_days: Counter => Loss "restored_days",
        /// Lines of the journal, rejects and exact texts that were dropped because their thread could not keep up, or because the disk did not take them.
        unwritten_lines: Counter => Loss "unwritten_lines",
        /// Frames that `--record` could not keep.
        unrecorded_frames: Counter => Loss "unrecorded_frames",
        /// Trades that were stored although they break a rule of plausibility that is not their identity.
        flawed_trades: Counter => Loss "flawed_trades",
        /// Decimal texts that were kept as text, because the column's value does not give them back.
        inexact_texts: Counter => Loss "inexact_texts",
        /// Messages in doubt that nothing had confirmed or refuted at the end.
        unsettled_doubts: Counter => Loss "unsettled_doubts",
    }
    beside {
        /// Time from the read of a frame to the commit of its records, in microseconds, over all products.
        lag_micros: Mutex<Histogram<u32>> = Mutex::new(latency_histogram()),
        /// The same, as Prometheus reads it.
        lag: Buckets = Buckets::default(),
        /// Time from the first append of a batch to its commit.
        append: Buckets = Buckets::default(),
        /// Time of a flush cycle that had something to write.
        flush: Buckets = Buckets::default(),
        /// Time from the exchange's stamp on a live trade or ticker to the read of its frame, by the box's clock.
        delay: Buckets = Buckets::default(),
        /// When the last flush cycle that succeeded began: what was committed before is on disk.
        durable: Moment = Moment::default(),
        /// What the watch has measured last.
        gauges: Gauges = Gauges::default(),
        /// Alerts whose command failed, took too long or was left out.
        alert_command_failures: Counter = Counter::default(),
        /// Longest lag since the watch last asked, in microseconds.
        recent_lag_micros: Peak = Peak::default(),
        /// Bytes committed since the last flush began.
        unflushed_bytes: AtomicU64 = AtomicU64::new(0),
        /// Cycles of the sync thread, those that had nothing to flush included.
        sync_cycles: Counter = Counter::default(),
        /// How far the box's clock is from the exchange's.
        market: Arc<MarketClock> = Arc::default(),
        /// Rejected elements and frames by reason.
        rejects: Mutex<BTreeMap<&'static str, u64>> = Mutex::default(),
        /// Products that the exchange does not list, with what may be meant.
        unlisted: Mutex<BTreeMap<ProductId, String>> = Mutex::default(),
        /// The last thing that went wrong.
        last_error: LastErrorNote = LastErrorNote::default(),
        /// The last failure to write, by what it is about: a product, a day, or the flush.
        last_write_failures: Mutex<BTreeMap<String, String>> = Mutex::default(),
    }
}

impl ConnectionMetrics {
    /// Counts a connection that was lost.
    pub(crate) fn count_loss(&self, cause: LossCause) {
        self.losses.one();
        if let Some(count) = self.losses_by_cause.get(cause as usize) {
            count.one();
        }
    }

    /// Counts a frame that was read. Only the connection's thread calls this.
    #[inline]
    pub(crate) fn count_frame(&self, bytes: u64) {
        self.frames.one_as_owner();
        self.bytes.add_as_owner(bytes);
    }

    /// Counts how a frame ended. One that is held back is counted when it has its fate. Only the connection's thread calls this.
    #[inline]
    pub(crate) fn count_fate(&self, fate: FrameFate) {
        match fate {
            FrameFate::Used => self.used.one_as_owner(),
            FrameFate::Control => self.control.one_as_owner(),
            FrameFate::Ignored => self.ignored.one_as_owner(),
            FrameFate::Rejected(_) => self.rejected.one_as_owner(),
            FrameFate::Held => {}
        }
    }
}

impl Metrics {
    /// Counts how long a batch took from its first append to its commit.
    #[inline]
    pub(crate) fn note_append(&self, took: Duration) {
        let micros = micros(took);
        self.append_micros.see(micros);
        self.append.see(micros);
    }

    /// Counts a reject under its reason. Off the hot path.
    pub(crate) fn count_reject(&self, reason: &'static str) {
        *self.rejects.lock().entry(reason).or_insert(0) += 1;
    }

    /// Says what is wrong with a product's name, where the exchange does not list it. Without a list, only its letters can be judged.
    #[must_use]
    pub(crate) fn advice(&self, product: &ProductId) -> Option<String> {
        let in_capitals = product.as_str().to_ascii_uppercase();
        let is_spelt_wrong = in_capitals != product.as_str();
        self.unlisted.lock().get(product).cloned().or_else(|| is_spelt_wrong.then(|| format!("did you mean {in_capitals}?")))
    }

    /// Gives why a product is refused: what the exchange said, and what is wrong with the name.
    #[must_use]
    pub(crate) fn why_refused(&self, product: &ProductId, said: &str) -> String {
        self.advice(product).map_or_else(|| said.to_owned(), |advice| format!("{said}; {advice}"))
    }

    /// Counts a failure to allocate, flush or write, and keeps its text for the alert. `subject` is a product, a day, or a part of the program.
    #[cold]
    pub(crate) fn note_write_failure(&self, subject: &str, error: &dyn std::fmt::Display) {
        self.write_failures.one();
        let mut failures = self.last_write_failures.lock();
        // Products and days; a bound only against what nobody thought of.
        if failures.len() < MAX_WRITE_FAILURES || failures.contains_key(subject) {
            failures.insert(subject.to_owned(), error.to_string());
        }
    }
}

/// Highest latency that a histogram holds, in microseconds: 100 s. A longer one counts as this.
const LONGEST_MICROS: u64 = 100_000_000;

/// Makes a histogram of latencies in microseconds with two significant digits.
///
/// # Panics
/// Never: the bounds are constants that the library accepts.
#[must_use]
#[expect(clippy::expect_used, reason = "constant bounds, shown valid by every test that makes one")]
pub(crate) fn latency_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 2).expect("constant bounds are valid")
}

/// Rounds a latency up to whole microseconds, limited to what a histogram holds.
#[must_use]
pub(crate) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_MICROS).clamp(1, LONGEST_MICROS)
}

/// The time from the read of a frame to the commit of its records, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Longest.
    pub max: u64,
}

impl Lag {
    /// Reads a histogram; `None` where it is empty.
    pub(crate) fn of(lag: &Histogram<u32>) -> Option<Self> {
        (!lag.is_empty()).then(|| Self { p50: lag.value_at_quantile(0.5), p99: lag.value_at_quantile(0.99), max: lag.max() })
    }
}

/// Latencies that one thread gathers before it adds them to those of the capture, so that a message takes no lock.
#[derive(Debug)]
pub(crate) struct LagTally {
    exact: Histogram<u32>,
    buckets: BucketTally,
}

impl Default for LagTally {
    fn default() -> Self {
        Self { exact: latency_histogram(), buckets: BucketTally::default() }
    }
}

impl LagTally {
    /// Counts records that were committed `lag` after their frame was read.
    #[inline]
    pub(crate) fn note(&mut self, lag: Duration, records: u32) {
        let micros = micros(lag);
        let _ = self.exact.record_n(micros, records);
        self.buckets.note(micros, u64::from(records));
    }

    /// Adds what was gathered to the capture's figures.
    pub(crate) fn publish(&mut self, metrics: &Metrics) {
        if !self.exact.is_empty() {
            self.add_to(metrics, metrics.lag_micros.lock());
        }
    }

    /// Adds what was gathered unless another thread holds the lock. Then the next call adds it.
    pub(crate) fn try_publish(&mut self, metrics: &Metrics) {
        if let Some(shared) = metrics.lag_micros.try_lock().filter(|_| !self.exact.is_empty()) {
            self.add_to(metrics, shared);
        }
    }

    fn add_to(&mut self, metrics: &Metrics, mut shared: MutexGuard<'_, Histogram<u32>>) {
        // The bounds are equal, so nothing is left out.
        let _ = shared.add(&self.exact);
        drop(shared);
        self.exact.reset();
        metrics.lag.take(&mut self.buckets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::report::counter::{Figure, Section};

    #[test]
    fn a_latency_beyond_the_scale_counts_as_its_end() {
        let mut histogram = latency_histogram();
        for latency in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1_000_000)] {
            histogram.record(micros(latency)).expect("within bounds");
        }
        assert_eq!(histogram.len(), 3);
    }

    #[test]
    fn totals_sum_counters_and_take_the_larger_peak() {
        let connections = [ConnectionMetrics::default(), ConnectionMetrics::default()];
        for (connection, count) in connections.iter().zip([3, 5]) {
            connection.frames.add(count);
            connection.receive_queue_bytes.see(1000 * count);
        }
        let mut totals = ConnectionTotals::default();
        connections.iter().for_each(|connection| totals.gather(connection));
        assert_eq!((totals.frames, totals.receive_queue_bytes), (8, 5000));
    }

    #[test]
    fn a_figure_has_the_reports_name_and_unit_and_stands_in_its_section() {
        let totals = CaptureTotals { append_micros: 1500, inexact_texts: 2, ..CaptureTotals::default() };
        let latencies = totals.figures(Section::Latency);
        assert_eq!(latencies.get(1).copied(), Some(Figure { name: "append_max_ms", value: 1.5 }));
        assert!(totals.figures(Section::Loss).contains(&Figure { name: "inexact_texts", value: 2.0 }));
        assert_eq!(totals.figures(Section::Connections), []);
    }
}
