//! A stage for tests: one product with its writer, and nothing else. The test is its connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::context::{CaptureContext, Datasets};
use crate::capture::cores::Cores;
use crate::capture::net::batch::{BATCH_CAPACITY_MSGS, Batch, BatchDrain, ProductBatch};
use crate::capture::net::raw_frames::RawFrames;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::files::Provisioner;
use crate::capture::service::journal::JournalHandle;
use crate::capture::service::sync;
use crate::capture::stop::Stop;
use crate::capture::write::deliveries::Deliveries;
use crate::capture::write::queue::Pushed;
use crate::capture::write::registry::{Registry, Route};
use crate::capture::write::slot::Step;
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::schema::{Layout, Md, Trades};
use crate::store::{DataDir, Pages, Snapshot, StoreOptions};
use crate::time::{Clock, UnixNanos, UtcDay};

pub(in crate::capture) const DAY: UtcDay = UtcDay(20_000);
/// Shorter than the sleep of an idle writer, which looks at everything.
const PATIENCE: Duration = Duration::from_secs(20);

/// One product with its writer, and nothing else: the test is its connection.
pub(in crate::capture) struct WriterFixture {
    pub(in crate::capture) folder: tempfile::TempDir,
    pub(in crate::capture) dir: Arc<DataDir>,
    pub(in crate::capture) registry: Arc<Registry>,
    pub(in crate::capture) context: Arc<CaptureContext>,
    pub(in crate::capture) route: Route,
}

pub(in crate::capture) fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

pub(in crate::capture) fn trade(trade_id: u64) -> Trade {
    let one = Decimal::new(1.0, 1.0, true);
    let time = UnixNanos(DAY.start().0 + 1_000_000 * trade_id);
    Trade { trade_id, time, price: one, size: one, recv: time, ..Trades::EMPTY }
}

/// A ticker between trades: its place in the order is known by its sequence alone.
pub(in crate::capture) fn ticker(sequence: u64) -> Ticker {
    let time = trade(sequence).time;
    Ticker { sequence, time, recv: time, ..Md::EMPTY }
}

pub(in crate::capture) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl WriterFixture {
    pub(in crate::capture) fn set() -> Self {
        Self::of(Datasets { md: true, ticker_trades: false, trades: true })
    }

    pub(in crate::capture) fn of(datasets: Datasets) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
        let dir = Arc::new(DataDir::open(folder.path(), options, "test").unwrap());
        let (metrics, stop) = (Arc::new(Metrics::default()), Stop::default());
        let clock = Clock::Manual(Arc::new((DAY.start().0 + 43_200_000_000_000).into()));
        let (journal, _) = JournalHandle::start(Arc::clone(&dir), Arc::clone(&metrics), clock.clone(), &stop).unwrap();
        // Flushes come when the test wants them.
        let never = Duration::from_secs(3600);
        let (sync, _) = sync::start(Arc::clone(&dir), never, Arc::clone(&metrics), journal.clone(), &stop).unwrap();
        let (provisioner, _) = Provisioner::start(Arc::clone(&dir), Arc::clone(&metrics), journal.clone(), &stop).unwrap();
        let context = Arc::new(CaptureContext {
            dir: Arc::clone(&dir),
            datasets,
            clock,
            metrics,
            journal,
            sync,
            provisioner,
            deliveries: Arc::new(Deliveries::default()),
            backfill: None,
            gap_wait: Duration::from_millis(50),
            lines: 1,
            spins: false,
            cores: Arc::new(Cores::default()),
            raw_frames: RawFrames::default(),
            stop,
        });
        let registry = Arc::new(Registry::new(Arc::clone(&context), 2 * BATCH_CAPACITY_MSGS));
        let route = registry.route(&product()).unwrap();
        Self { folder, dir, registry, context, route }
    }

    pub(in crate::capture) fn push(&self, id: u64) {
        assert_eq!(self.route.queue.push(MarketMessage::Trade(trade(id), RawPlace::default()), Duration::ZERO), Pushed::Queued);
    }

    pub(in crate::capture) fn lend(&self, pages: Pages) -> (u32, bool, bool) {
        let step = self.route.slot.run_step(Instant::now(), pages);
        (step.records, step.is_left, step.needs_writer)
    }

    /// Brings trades as a connection does; gives also the ids that are left.
    pub(in crate::capture) fn bring(&self, ids: &[u64]) -> (u32, bool, Vec<u64>) {
        let (step, left) = self.append_batch(ids.iter().map(|id| MarketMessage::Trade(trade(*id), RawPlace::default())));
        let id = |message| if let MarketMessage::Trade(trade, _) = message { trade.trade_id } else { 0 };
        (step.records, step.is_left, left.into_iter().map(id).collect())
    }

    /// Brings tickers; gives how many were put down.
    pub(in crate::capture) fn bring_tickers(&self, tickers: &[Ticker]) -> u32 {
        self.append_batch(tickers.iter().copied().map(MarketMessage::Ticker)).0.records
    }

    fn append_batch(&self, messages: impl Iterator<Item = MarketMessage>) -> (Step, Vec<MarketMessage>) {
        let (mut batch, mut product_batch) = (Batch::default(), ProductBatch::default());
        messages.for_each(|message| batch.push(&mut product_batch, message));
        let mut incoming = BatchDrain::new(&batch, &mut product_batch);
        let step = self.route.slot.append_batch(Instant::now(), &mut incoming);
        (step, incoming.collect())
    }

    /// The ids that a reader finds.
    pub(in crate::capture) fn seen(&self) -> Vec<u64> {
        let day = Snapshot::<Trades>::open(self.folder.path(), &product(), DAY).unwrap();
        day.map_or(Vec::new(), |day| day.rows().map(|row| row.trade_id).collect())
    }

    /// Has the writer's thread take what is there, and waits until it sleeps again.
    pub(in crate::capture) fn by_the_writer(&self, last: u64) {
        self.route.slot.wake_writer();
        until("the writer takes it", || self.seen().last() == Some(&last));
        // The lock is free once more when the round is over.
        drop(self.route.slot.take());
    }

    pub(in crate::capture) fn end(self) -> u64 {
        let Self { registry, context, route, .. } = self;
        drop(route);
        let (figures, failures) = registry.close();
        assert!(failures.is_empty(), "{failures:?}");
        drop(context);
        figures.iter().map(|(_, metrics)| metrics.trades.written.get()).sum()
    }
}
