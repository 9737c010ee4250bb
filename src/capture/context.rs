//! [`CaptureContext`]: what all writers and connections of a capture share.

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

/// What all writers and connections of a capture share: settings, figures, and handles to the threads that serve them.
pub struct CaptureContext {
    /// The data directory, locked by this capture.
    pub dir: Arc<DataDir>,
    /// The datasets to keep.
    pub datasets: Datasets,
    /// The wall clock.
    pub clock: Clock,
    /// Figures of the whole capture.
    pub metrics: Arc<Metrics>,
    /// Journal, rejects, exact texts.
    pub journal: JournalHandle,
    /// Flushes.
    pub sync: SyncHandle,
    /// Space in files, and seals.
    pub provisioner: Provisioner,
    /// Trades from REST and repairs, for each writer.
    pub deliveries: Arc<Deliveries>,
    /// Missing trades by REST, where they are fetched.
    pub backfill: Option<RestFetch>,
    /// How long trades behind a gap wait for the missing ones.
    pub gap_wait: Duration,
    /// How many redundant lines there are.
    pub lines: usize,
    /// Whether the threads of a connection poll instead of sleeping.
    pub spins: bool,
    /// The processors for connections and writers.
    pub cores: Arc<Cores>,
    /// The newest frames of every connection.
    pub raw_frames: RawFrames,
    /// Ends the capture.
    pub stop: Stop,
}
