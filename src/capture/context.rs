//! The desk: what all writers of one capture share.

use std::sync::Arc;
use std::time::Duration;

use crate::capture::cores::Cores;
use crate::capture::net::raw_frames::RawFrames;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::files::Provisioner;
use crate::capture::service::journal::JournalHandle;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::service::sync::SyncHandle;
use crate::capture::stop::Stop;
use crate::capture::write::deliveries::Deliveries;
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
pub struct CaptureContext {
    /// The data directory, locked by this capture.
    pub dir: Arc<DataDir>,
    /// What is kept.
    pub datasets: Datasets,
    /// Wall clock.
    pub clock: Clock,
    /// Figures of the whole capture.
    pub metrics: Arc<Metrics>,
    /// Journal, rejects, exact texts.
    pub journal: JournalHandle,
    /// Flushing.
    pub sync: SyncHandle,
    /// Room, seals.
    pub provisioner: Provisioner,
    /// What writers get beside their queues.
    pub deliveries: Arc<Deliveries>,
    /// REST, where it is asked.
    pub backfill: Option<RestFetch>,
    /// How long trades behind a gap wait to be written in order.
    pub gap_wait: Duration,
    /// Redundant lines.
    pub lines: usize,
    /// Whether connections and their hands look for something to do without ever sleeping.
    pub spins: bool,
    /// Where connections and writers run.
    pub cores: Arc<Cores>,
    /// The last frames of every connection.
    pub raw_frames: RawFrames,
    /// The end.
    pub stop: Stop,
}
