//! The desk: what all writers of one capture share.

use std::sync::Arc;
use std::time::Duration;

use super::backfill::Backfill;
use super::cores::Cores;
use super::deliveries::Deliveries;
use super::echo::Echoes;
use super::metrics::Metrics;
use super::provisioner::Provisioner;
use super::scribe::Scribe;
use super::stop::Stop;
use super::sync::SyncDesk;
use crate::schema::Dataset;
use crate::store::DataDir;
use crate::time::Clock;

/// Which datasets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datasets {
    /// `MD`.
    pub md: bool,
    /// `TICKER_TRADES`.
    pub ticker_trades: bool,
    /// `TRADES`.
    pub trades: bool,
}

impl Datasets {
    /// Every dataset.
    pub const ALL: Self = Self { md: true, ticker_trades: true, trades: true };

    /// Tells whether the ticker channel is needed.
    #[must_use]
    pub const fn wants_tickers(self) -> bool {
        self.md || self.ticker_trades
    }

    /// Lists them.
    pub fn iter(self) -> impl Iterator<Item = Dataset> {
        [(self.md, Dataset::Md), (self.ticker_trades, Dataset::TickerTrades), (self.trades, Dataset::Trades)]
            .into_iter()
            .filter_map(|(is_kept, dataset)| is_kept.then_some(dataset))
    }
}

/// Handles to the threads that serve the writers.
pub struct Desk {
    /// The data directory, locked by this capture.
    pub dir: Arc<DataDir>,
    /// What is kept.
    pub datasets: Datasets,
    /// Wall clock.
    pub clock: Clock,
    /// Figures of the whole capture.
    pub metrics: Arc<Metrics>,
    /// Journal, rejects, exact texts.
    pub scribe: Scribe,
    /// Flushing.
    pub sync: SyncDesk,
    /// Room, seals.
    pub provisioner: Provisioner,
    /// What writers get beside their queues.
    pub deliveries: Arc<Deliveries>,
    /// REST, where it is asked.
    pub backfill: Option<Backfill>,
    /// How long trades behind a gap wait to be written in order.
    pub gap_wait: Duration,
    /// Redundant lines.
    pub lines: usize,
    /// Whether connections and their hands look for something to do without ever sleeping.
    pub spins: bool,
    /// Where connections and writers run.
    pub cores: Arc<Cores>,
    /// The last frames of every connection.
    pub echoes: Echoes,
    /// The end.
    pub stop: Stop,
}
