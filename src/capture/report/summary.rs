//! The summary: everything that a capture says about itself at its end, and whether its sums hold.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::capture::net::connections::Connections;
use crate::capture::report::machine;
use crate::capture::report::metrics::{CaptureTotals, ConnectionTotals, Metrics, ProductMetrics, TickerCounts, TradeCounts};
use crate::capture::report::watch::WatchFigures;
use crate::capture::write::registry::ProductFigures;
use crate::product::ProductId;

/// What became of one product's trades or tickers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records from the decoder.
    pub received: u64,
    /// Records from REST or another tape; always 0 for tickers.
    pub fetched: u64,
    /// Appended to the columns.
    pub written: u64,
    /// Stored beside the columns until the seal.
    pub late: u64,
    /// Already stored: duplicates of trades, stale tickers.
    pub duplicate: u64,
    /// Already stored with other fields; always 0 for tickers.
    pub conflict: u64,
    /// Dropped because a queue or a disk was full.
    pub shed: u64,
    /// Dropped as implausible.
    pub rejected: u64,
}

impl Tally {
    /// Tells whether every record ended in exactly one counter.
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

    fn of_trades(counts: &TradeCounts) -> Self {
        Self {
            received: counts.received.get(),
            fetched: counts.fetched.get(),
            written: counts.written.get(),
            late: counts.late.get(),
            duplicate: counts.duplicate.get(),
            conflict: counts.conflict.get(),
            shed: counts.shed.get(),
            rejected: counts.rejected.get(),
        }
    }

    fn of_tickers(counts: &TickerCounts) -> Self {
        Self {
            received: counts.received.get(),
            fetched: 0,
            written: counts.written.get(),
            late: counts.late.get(),
            duplicate: counts.stale.get(),
            conflict: 0,
            shed: counts.shed.get(),
            rejected: counts.rejected.get(),
        }
    }
}

/// One product's row of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductSummary {
    /// Which product.
    pub product: ProductId,
    /// Its trades.
    pub trades: Tally,
    /// Its tickers.
    pub tickers: Tally,
    /// Gaps seen in this run.
    pub gaps: u64,
    /// Trade ids missing at the end.
    pub missing_ids: u64,
    /// Messages whose id, sequence or time did not fit and that nothing had settled when the capture ended. They are kept with the rejects.
    pub doubts_left: u64,
    /// Most messages seen in the queue. The watch looks once a second.
    pub deepest_queue_msgs: u64,
}

impl ProductSummary {
    fn of(product: &ProductId, figures: &ProductMetrics) -> Self {
        Self {
            product: product.clone(),
            trades: Tally::of_trades(&figures.trades),
            tickers: Tally::of_tickers(&figures.tickers),
            gaps: figures.gaps.get(),
            missing_ids: figures.missing_ids.load(Relaxed),
            doubts_left: figures.doubts_left.get(),
            deepest_queue_msgs: figures.deepest_queue_msgs.get(),
        }
    }
}

impl ConnectionTotals {
    /// Tells whether every frame ended in exactly one counter.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.frames == self.used + self.control + self.ignored + self.rejected
    }

    pub(in crate::capture) fn of(connections: &Connections) -> Self {
        let mut totals = Self::default();
        connections.for_each(|connection| totals.gather(&connection.metrics));
        totals
    }
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
    fn of(metrics: &Metrics) -> Self {
        let lag = metrics.lag_micros.lock();
        Self { p50: lag.value_at_quantile(0.5), p99: lag.value_at_quantile(0.99), max: lag.max() }
    }
}

/// What one of several redundant lines brought, over all products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineSummary {
    /// Trades that it brought first.
    pub wins: u64,
    /// Trades that another line had brought before.
    pub duplicates: u64,
    /// Trades between its first and its last of a product that it did not bring.
    pub losses: u64,
    /// Mean time from the first copy of a trade to this line's copy, in microseconds.
    pub lag_mean: u64,
    /// Longest such time, in microseconds.
    pub lag_max: u64,
}

impl LineSummary {
    fn of(products: &[ProductFigures], line: usize) -> Self {
        let (mut sum, mut lagging, mut all) = (0, 0, Self::default());
        for counts in products.iter().filter_map(|product| product.metrics.lines.get(line)) {
            all.wins += counts.wins.get();
            all.duplicates += counts.duplicates.get();
            all.losses += counts.losses.load(Relaxed);
            all.lag_max = all.lag_max.max(counts.lag_max_micros.get());
            sum += counts.lag_sum_micros.get();
            lagging += counts.lagging.get();
        }
        all.lag_mean = u64::checked_div(sum, lagging).unwrap_or(0);
        all
    }
}

/// How often something was rejected for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectCount {
    /// The reason, as the rejects file spells it.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// What a capture says about itself at its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Summary {
    /// The products, in the order of their names.
    pub products: Vec<ProductSummary>,
    /// The redundant lines; empty where there is only one.
    pub lines: Vec<LineSummary>,
    /// All connections together.
    pub connections: ConnectionTotals,
    /// The whole capture.
    pub totals: CaptureTotals,
    /// From frame to commit.
    pub lag: Lag,
    /// Memory and alerts.
    pub watch: WatchFigures,
    /// CPU seconds of the process, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// How long it ran.
    pub elapsed: Duration,
    /// Why it ended, where that was a failure.
    pub failure: Option<String>,
    /// Days that could not be sealed.
    pub unsealed: u64,
    /// What was rejected, by reason.
    pub rejects: Vec<RejectCount>,
}

impl Summary {
    pub(in crate::capture) fn gather(products: &[ProductFigures], connections: ConnectionTotals, metrics: &Metrics, lines: usize) -> Self {
        let mut totals = CaptureTotals::default();
        totals.gather(metrics);
        Self {
            products: products.iter().map(|product| ProductSummary::of(&product.product, &product.metrics)).collect(),
            lines: if lines > 1 { (0..lines).map(|line| LineSummary::of(products, line)).collect() } else { Vec::new() },
            connections,
            totals,
            lag: Lag::of(metrics),
            watch: WatchFigures::default(),
            cpu_seconds: machine::cpu_seconds(),
            elapsed: Duration::ZERO,
            failure: None,
            unsealed: 0,
            rejects: metrics.rejects.lock().iter().map(|(reason, count)| RejectCount { reason, count: *count }).collect(),
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
        self.connections.balances() && self.products.iter().all(|product| product.trades.balances() && product.tickers.balances())
    }

    /// Tells whether the capture kept its promises: no failure, every day sealed, every sum holds.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.unsealed == 0 && self.balances()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_record_or_frame_breaks_its_sum() {
        let tally = Tally { received: 3, written: 1, duplicate: 1, ..Tally::default() };
        assert!(!tally.balances() && Tally { shed: 1, ..tally }.balances());
        let totals = ConnectionTotals { frames: 2, used: 1, ..ConnectionTotals::default() };
        assert!(!totals.balances() && ConnectionTotals { ignored: 1, ..totals }.balances());
    }
}
