//! The summary: everything a capture can say of itself when it has ended, and whether its sums hold.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::net::connections::Lines;
use crate::capture::report::metrics::{ConnectionMetrics, Metrics, ProductMetrics};
use crate::capture::report::watch::WatchFigures;
use crate::product::ProductId;

/// What one product's trades or tickers came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Handed over by the decoder.
    pub received: u64,
    /// Supplied by REST or another tape; always 0 for tickers.
    pub fetched: u64,
    /// Appended.
    pub written: u64,
    /// Stored beside the columns until the seal.
    pub late: u64,
    /// Stored already: duplicates of trades, stale tickers.
    pub duplicate: u64,
    /// Stored already with other fields; always 0 for tickers.
    pub conflict: u64,
    /// Given up on a full queue or disk.
    pub shed: u64,
    /// Not believed.
    pub rejected: u64,
}

impl Tally {
    /// Tells whether everything received ended somewhere.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.received + self.fetched == self.written + self.late + self.duplicate + self.conflict + self.shed + self.rejected
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            fetched: self.fetched + other.fetched,
            written: self.written + other.written,
            late: self.late + other.late,
            duplicate: self.duplicate + other.duplicate,
            conflict: self.conflict + other.conflict,
            shed: self.shed + other.shed,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// One product's row of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductSummary {
    /// Which.
    pub product: ProductId,
    /// Its trades.
    pub trades: Tally,
    /// Its tickers.
    pub tickers: Tally,
    /// Gaps seen in this run.
    pub gaps: u64,
    /// Trade ids missing at the end.
    pub missing_ids: u64,
    /// Most messages that waited, as seen once a second.
    pub deepest_queue_msgs: u64,
}

/// What all connections came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameTally {
    /// Frames read.
    pub frames: u64,
    /// At least one record taken from it.
    pub used: u64,
    /// About the connection.
    pub control: u64,
    /// Of channels that are not captured.
    pub ignored: u64,
    /// Not usable.
    pub rejected: u64,
    /// Trades that could not be read or are not plausible.
    pub rejected_trades: u64,
    /// Tickers likewise.
    pub rejected_tickers: u64,
    /// Bytes.
    pub bytes: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections lost.
    pub losses: u64,
    /// Holes in the Advanced feed's connection sequence.
    pub sequence_holes: u64,
    /// Most bytes seen waiting in a socket's receive queue.
    pub receive_queue_peak_bytes: u64,
}

impl FrameTally {
    /// Tells whether every frame ended in exactly one counter.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.frames == self.used + self.control + self.ignored + self.rejected
    }

    pub(in crate::capture) fn of(lines: &Lines) -> Self {
        let mut frames = Self::default();
        lines.for_each(|line| frames.add(&line.metrics));
        frames
    }

    fn add(&mut self, line: &ConnectionMetrics) {
        self.frames += line.frames.get();
        self.used += line.used.get();
        self.control += line.control.get();
        self.ignored += line.ignored.get();
        self.rejected += line.rejected.get();
        self.rejected_trades += line.rejected_trades.get();
        self.rejected_tickers += line.rejected_tickers.get();
        self.bytes += line.bytes.get();
        self.connects += line.connects.get();
        self.losses += line.losses.get();
        self.sequence_holes += line.sequence_holes.get();
        self.receive_queue_peak_bytes = self.receive_queue_peak_bytes.max(line.receive_queue_bytes.get());
    }
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    /// Records measured.
    pub records: u64,
    /// Frame read → committed, median.
    pub lag_p50: u64,
    /// 99th percentile.
    pub lag_p99: u64,
    /// Longest.
    pub lag_max: u64,
    /// Longest wait of a trade behind a gap, which is no lag.
    pub gap_wait_max: u64,
    /// Longest append → commit.
    pub append_max: u64,
    /// Longest flush cycle.
    pub flush_max: u64,
    /// Longest commit → durable.
    pub durable_max: u64,
}

/// What one of several redundant lines came to, over all products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionSummary {
    /// Trades that it brought first.
    pub wins: u64,
    /// Trades that were there already.
    pub duplicates: u64,
    /// Trades between its first and its last of a product that it did not bring.
    pub losses: u64,
    /// How long after the winner its copies came on average, in microseconds.
    pub lag_mean: u64,
    /// The longest of that.
    pub lag_max: u64,
}

impl ConnectionSummary {
    fn of(products: &[(ProductId, Arc<ProductMetrics>)], line: usize) -> Self {
        let (mut sum, mut lagging, mut all) = (0, 0, Self::default());
        for counts in products.iter().filter_map(|(_, figures)| figures.lines.get(line)) {
            all.wins += counts.wins.get();
            all.duplicates += counts.duplicates.get();
            all.losses += counts.losses.load(std::sync::atomic::Ordering::Relaxed);
            all.lag_max = all.lag_max.max(counts.lag_max_micros.get());
            sum += counts.lag_sum_micros.get();
            lagging += counts.lagging.get();
        }
        all.lag_mean = u64::checked_div(sum, lagging).unwrap_or(0);
        all
    }
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Summary {
    /// By product, in the order of their names.
    pub products: Vec<ProductSummary>,
    /// By redundant line; empty where there is but one.
    pub lines: Vec<ConnectionSummary>,
    /// Requests to REST: sent, failed.
    pub rest: (u64, u64),
    /// All connections together.
    pub frames: FrameTally,
    /// Latencies.
    pub latencies: Latencies,
    /// Flush cycles: all, with trades, with tickers.
    pub flushes: (u64, u64, u64),
    /// Memory and alerts.
    pub watch: WatchFigures,
    /// CPU seconds of the process.
    pub cpu_seconds: Option<f64>,
    /// How long it ran.
    pub elapsed: Duration,
    /// Why it ended, where that was a failure.
    pub failure: Option<String>,
    /// Days that could not be sealed.
    pub unsealed: u64,
    /// Rejects by reason.
    pub rejects: Vec<(&'static str, u64)>,
    /// Journal lines and the like that were lost.
    pub unwritten_lines: u64,
    /// Frames that `--record` could not keep.
    pub unrecorded_frames: u64,
    /// Decimal texts kept verbatim.
    pub inexact_texts: u64,
    /// Write failures.
    pub write_failures: u64,
}

impl Summary {
    pub(in crate::capture) fn gather(
        products: &[(ProductId, Arc<ProductMetrics>)],
        frames: FrameTally,
        metrics: &Metrics,
        lines: usize,
    ) -> Self {
        let lag = metrics.lag_micros.lock();
        let latencies = Latencies {
            records: lag.len(),
            lag_p50: lag.value_at_quantile(0.5),
            lag_p99: lag.value_at_quantile(0.99),
            lag_max: lag.max(),
            gap_wait_max: metrics.gap_wait_micros.get(),
            append_max: metrics.append_micros.get(),
            flush_max: metrics.flush_micros.get(),
            durable_max: metrics.durable_micros.get(),
        };
        Self {
            products: products.iter().map(|(product, figures)| ProductSummary::of(product, figures)).collect(),
            lines: if lines > 1 { (0..lines).map(|line| ConnectionSummary::of(products, line)).collect() } else { Vec::new() },
            rest: (metrics.rest_requests.get(), metrics.rest_failures.get()),
            frames,
            latencies,
            flushes: (metrics.flushes.get(), metrics.trade_flushes.get(), metrics.ticker_flushes.get()),
            watch: WatchFigures::default(),
            cpu_seconds: crate::capture::report::machine::cpu_seconds(),
            elapsed: Duration::ZERO,
            failure: None,
            unsealed: 0,
            rejects: metrics.rejects.lock().iter().map(|(reason, count)| (*reason, *count)).collect(),
            unwritten_lines: metrics.unwritten_lines.get(),
            unrecorded_frames: metrics.unrecorded_frames.get(),
            inexact_texts: metrics.inexact_texts.get(),
            write_failures: metrics.write_failures.get(),
        }
    }

    /// Sums the trades of all products.
    #[must_use]
    pub fn trades(&self) -> Tally {
        self.products.iter().fold(Tally::default(), |sum, product| sum.plus(product.trades))
    }

    /// Sums the tickers of all products.
    #[must_use]
    pub fn tickers(&self) -> Tally {
        self.products.iter().fold(Tally::default(), |sum, product| sum.plus(product.tickers))
    }

    /// Tells whether every frame, trade and ticker ended in exactly one counter.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.frames.balances() && self.products.iter().all(|product| product.trades.balances() && product.tickers.balances())
    }

    /// Tells whether the capture did what it promises: no failure, all sealed, sums hold.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.unsealed == 0 && self.balances()
    }
}

impl ProductSummary {
    fn of(product: &ProductId, figures: &ProductMetrics) -> Self {
        let (t, k) = (&figures.trades, &figures.tickers);
        Self {
            product: product.clone(),
            trades: Tally {
                received: t.received.get(),
                fetched: t.fetched.get(),
                written: t.written.get(),
                late: t.late.get(),
                duplicate: t.duplicate.get(),
                conflict: t.conflict.get(),
                shed: t.shed.get(),
                rejected: t.rejected.get(),
            },
            tickers: Tally {
                received: k.received.get(),
                fetched: 0,
                written: k.written.get(),
                late: k.late.get(),
                duplicate: k.stale.get(),
                conflict: 0,
                shed: k.shed.get(),
                rejected: k.rejected.get(),
            },
            gaps: figures.gaps.get(),
            missing_ids: figures.missing_ids.load(std::sync::atomic::Ordering::Relaxed),
            deepest_queue_msgs: figures.deepest_queue_msgs.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_record_or_frame_breaks_its_sum() {
        let tally = Tally { received: 3, written: 1, duplicate: 1, ..Tally::default() };
        assert!(!tally.balances() && Tally { shed: 1, ..tally }.balances());
        let frames = FrameTally { frames: 2, used: 1, ..FrameTally::default() };
        assert!(!frames.balances() && FrameTally { ignored: 1, ..frames }.balances());
    }
}
