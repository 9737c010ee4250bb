//! The summary: everything that a capture says about itself at its end, and whether its sums hold.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::capture::config::defaults;
use crate::capture::net::connections::Connections;
use crate::capture::report::connection_state::ConnectionOutage;
use crate::capture::report::machine;
use crate::capture::report::metrics::{CaptureTotals, ConnectionTotals, Lag, Metrics, ProductMetrics, TickerCounts, TradeCounts};
use crate::capture::report::subscription_state::SubscriptionLook;
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

    /// Counts what came from the exchange and what was fetched.
    #[must_use]
    pub const fn came(&self) -> u64 {
        self.received + self.fetched
    }

    /// Counts what is stored now, copies of what was stored before included.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.written + self.late + self.duplicate
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

/// What the exchange made of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProductSubscription {
    /// It acknowledged the product.
    Acknowledged,
    /// It refused the product, and goes on to.
    Refused {
        /// What it said, and what may be meant instead.
        why: String,
    },
    /// It neither acknowledged nor refused it.
    Unanswered {
        /// For how long the product was asked for.
        waited: Duration,
    },
    /// Nobody asked for it, or nobody did at the end.
    Unwanted,
}

impl ProductSubscription {
    fn of(look: SubscriptionLook, why: impl FnOnce(&str) -> String) -> Self {
        match look {
            SubscriptionLook { wanted_for: None, .. } => Self::Unwanted,
            SubscriptionLook { refusal: Some(refusal), .. } => Self::Refused { why: why(&refusal.why) },
            SubscriptionLook { was_acknowledged: true, .. } => Self::Acknowledged,
            SubscriptionLook { wanted_for: Some(waited), .. } => Self::Unanswered { waited },
        }
    }

    pub(super) const fn is_unwanted(&self) -> bool {
        matches!(self, Self::Unwanted)
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
    /// What the exchange made of it.
    pub subscription: ProductSubscription,
    /// What is wrong with its name, where the exchange does not list it.
    pub advice: Option<String>,
}

impl ProductSummary {
    fn of(product: &ProductId, figures: &ProductMetrics, metrics: &Metrics) -> Self {
        Self {
            product: product.clone(),
            trades: Tally::of_trades(&figures.trades),
            tickers: Tally::of_tickers(&figures.tickers),
            gaps: figures.gaps.get(),
            missing_ids: figures.missing_ids.load(Relaxed),
            doubts_left: figures.doubts_left.get(),
            deepest_queue_msgs: figures.deepest_queue_msgs.get(),
            advice: metrics.advice(product),
            subscription: ProductSubscription::of(figures.subscription.look(Instant::now()), |said| metrics.why_refused(product, said)),
        }
    }

    /// Tells whether anything of it was received or fetched.
    #[must_use]
    pub const fn has_received(&self) -> bool {
        self.trades.came() + self.tickers.came() > 0
    }

    pub(super) const fn is_subscribed(&self) -> bool {
        matches!(self.subscription, ProductSubscription::Acknowledged)
    }

    /// Gives the product with what the exchange said, where it refused it.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match &self.subscription {
            ProductSubscription::Refused { why } => Some(format!("{} ({why})", self.product)),
            _ => None,
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
        connections.for_each(|connection, _| totals.gather(&connection.metrics));
        totals
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
    /// From frame to commit; `None` where nothing was committed.
    pub lag: Option<Lag>,
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
    /// Connections that did not work at the end, where no other line has their products.
    pub outages: Vec<ConnectionOutage>,
    /// How long a product may take to be subscribed to, and a connection to come back, before that counts as a shortcoming.
    pub start_patience: Duration,
    /// Whether tickers were to be stored.
    pub wants_tickers: bool,
    /// The WebSocket endpoint.
    pub endpoint: String,
    /// The command that fetches what is missing.
    pub repair_command: String,
    /// The command that checks what is stored.
    pub verify_command: String,
}

impl Summary {
    pub(crate) fn gather(products: &[ProductFigures], connections: ConnectionTotals, metrics: &Metrics, lines: usize) -> Self {
        let mut totals = CaptureTotals::default();
        totals.gather(metrics);
        Self {
            products: products.iter().map(|product| ProductSummary::of(&product.product, &product.metrics, metrics)).collect(),
            lines: if lines > 1 { (0..lines).map(|line| LineSummary::of(products, line)).collect() } else { Vec::new() },
            connections,
            totals,
            lag: Lag::of(&metrics.lag_micros.lock()),
            watch: WatchFigures::default(),
            cpu_seconds: machine::cpu_seconds(),
            elapsed: Duration::ZERO,
            failure: None,
            unsealed: 0,
            rejects: metrics.rejects.lock().iter().map(|(reason, count)| RejectCount { reason, count: *count }).collect(),
            outages: Vec::new(),
            start_patience: defaults::START_PATIENCE,
            wants_tickers: true,
            endpoint: String::new(),
            repair_command: String::new(),
            verify_command: String::new(),
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
