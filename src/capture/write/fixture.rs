//! A fixture for tests: one product with its writer, and nothing else. The test takes the part of its connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::context::{CaptureContext, Storage};
use crate::capture::cores::Cores;
use crate::capture::net::batch::{BATCH_CAPACITY_MSGS, Batch, BatchDrain, ProductBatch};
use crate::capture::net::raw_frames::RawFrames;
use crate::capture::report::metrics::Metrics;
use crate::capture::service::files::Provisioner;
use crate::capture::service::journal::JournalHandle;
use crate::capture::service::sync;
use crate::capture::stop::Stop;
use crate::capture::write::deliveries::Deliveries;
use crate::capture::write::effort::Effort;
use crate::capture::write::queue::Pushed;
use crate::capture::write::registry::{Registry, Route};
use crate::capture::write::slot::SlotState;
use crate::capture::write::step::{Remaining, Step};
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::schema::{Dataset, Datasets, Layout, Md, Trades};
use crate::store::{DataDir, Snapshot, StoreOptions};
use crate::time::{Clock, UnixNanos, UtcDay};

pub(in crate::capture) const DAY: UtcDay = UtcDay(20_000);
/// Shorter than the sleep of an idle writer, so that no test passes because the writer woke by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// One product with its writer, and nothing else.
pub(in crate::capture) struct WriterFixture {
    pub(in crate::capture) folder: tempfile::TempDir,
    pub(in crate::capture) dir: Arc<DataDir>,
    pub(in crate::capture) registry: Arc<Registry>,
    pub(in crate::capture) context: Arc<CaptureContext>,
    pub(in crate::capture) route: Route,
    journal_thread: std::thread::JoinHandle<Result<(), crate::store::StoreError>>,
}

pub(in crate::capture) fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

pub(in crate::capture) fn trade(trade_id: u64) -> Trade {
    let one = Decimal::new(1.0, 1.0, true);
    let time = UnixNanos(DAY.start().0 + 1_000_000 * trade_id);
    Trade { trade_id, time, price: one, size: one, recv: time, ..Trades::EMPTY }
}

/// A ticker without a trade: only its sequence tells its place in the order.
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
    pub(in crate::capture) fn new() -> Self {
        Self::with(Datasets::of(&[Dataset::Md, Dataset::Trades]))
    }

    pub(in crate::capture) fn with(datasets: Datasets) -> Self {
        let fixture = Self::make(tempfile::tempdir().unwrap(), datasets, 1);
        // Without it the first trade would wait for others that agree with it.
        fixture.route.queue.push_within(MarketMessage::Heartbeat { last_trade_id: 1, recv: DAY.start() }, Duration::ZERO);
        fixture.route.slot.wake_writer();
        until("the heartbeat is taken", || fixture.route.queue.is_empty());
        until("the round is over", || matches!(*fixture.route.slot.lock(), SlotState::Ready(_)));
        fixture
    }

    /// Goes on in a folder that an earlier fixture left.
    pub(in crate::capture) fn in_folder(folder: tempfile::TempDir, lines: usize) -> Self {
        Self::make(folder, Datasets::of(&[Dataset::Md, Dataset::Trades]), lines)
    }

    fn make(folder: tempfile::TempDir, datasets: Datasets, lines: usize) -> Self {
        let mut opened = None;
        // The threads of an earlier fixture may still hold the folder for a moment.
        until("the folder is free", || {
            let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
            opened = DataDir::open(folder.path(), options, "test").ok();
            opened.is_some()
        });
        let dir = Arc::new(opened.unwrap());
        let (metrics, stop) = (Arc::new(Metrics::default()), Stop::default());
        let clock = Clock::Manual(Arc::new((DAY.start().0 + 43_200_000_000_000).into()));
        let (journal, start) = JournalHandle::new(Arc::clone(&metrics), clock.clone());
        let journal_thread = start.start(Arc::clone(&dir), &stop).unwrap();
        // Flushes come when the test wants them.
        let never = Duration::from_secs(3600);
        let (sync, _) = sync::start(Arc::clone(&dir), never, Arc::clone(&metrics), journal.clone(), &stop).unwrap();
        let (provisioner, _) = Provisioner::start(Arc::clone(&dir), Arc::clone(&metrics), journal.clone(), &stop).unwrap();
        let context = Arc::new(CaptureContext {
            storage: Storage { dir: Arc::clone(&dir), taken_over_at: None, sync, provisioner }.into(),
            datasets,
            clock,
            metrics,
            journal,
            deliveries: Arc::new(Deliveries::default()),
            backfill: None,
            gap_wait: Duration::from_millis(50),
            lines,
            spins: false,
            cores: Arc::new(Cores::default()),
            raw_frames: RawFrames::default(),
            stop,
        });
        let registry = Arc::new(Registry::new(Arc::clone(&context), 2 * BATCH_CAPACITY_MSGS));
        let route = registry.route(&product()).unwrap();
        Self { folder, dir, registry, context, route, journal_thread }
    }

    pub(in crate::capture) fn push(&self, id: u64) {
        assert_eq!(self.route.queue.push_within(MarketMessage::Trade(trade(id), RawPlace::default()), Duration::ZERO), Pushed::Queued);
    }

    /// Runs a step on the queue. Gives the records that it appended and what remains.
    pub(in crate::capture) fn step(&self, effort: Effort) -> (u32, Remaining) {
        let step = self.route.slot.run_step(Instant::now(), effort);
        (step.appended.records, step.remaining)
    }

    /// Runs a step on a batch of trades, as a connection does. Gives also the ids that are left in the batch.
    pub(in crate::capture) fn step_on_batch(&self, ids: &[u64]) -> (u32, Remaining, Vec<u64>) {
        let (step, left) = self.run_step_on_batch(ids.iter().map(|id| MarketMessage::Trade(trade(*id), RawPlace::default())));
        let id = |message| if let MarketMessage::Trade(trade, _) = message { trade.trade_id } else { 0 };
        (step.appended.records, step.remaining, left.into_iter().map(id).collect())
    }

    /// Runs a step on a batch of tickers. Gives the records that it appended.
    pub(in crate::capture) fn step_on_tickers(&self, tickers: &[Ticker]) -> u32 {
        self.run_step_on_batch(tickers.iter().copied().map(MarketMessage::Ticker)).0.appended.records
    }

    fn run_step_on_batch(&self, messages: impl Iterator<Item = MarketMessage>) -> (Step, Vec<MarketMessage>) {
        let (mut batch, mut product_batch) = (Batch::default(), ProductBatch::default());
        messages.for_each(|message| batch.push(&mut product_batch, message));
        let mut drain = BatchDrain::new(&batch, &mut product_batch);
        let step = self.route.slot.run_step_on_batch(Instant::now(), &mut drain);
        (step, drain.collect())
    }

    /// Gives the trade ids that a reader finds.
    pub(in crate::capture) fn visible_ids(&self) -> Vec<u64> {
        let day = Snapshot::<Trades>::open(self.folder.path(), &product(), DAY).unwrap();
        day.map_or(Vec::new(), |day| day.rows().map(|row| row.trade_id).collect())
    }

    /// Wakes the writer's thread, and waits until it has taken everything and its round is over.
    pub(in crate::capture) fn run_writer(&self, last: u64) {
        self.route.slot.wake_writer();
        until("the writer takes it", || self.visible_ids().last() == Some(&last));
        // The writer's thread holds the lock until its round is over.
        drop(self.route.slot.lock());
    }

    /// Ends the writer. Gives the folder, and how many trades and tickers ended in a counter.
    pub(in crate::capture) fn end_and_keep(self) -> (tempfile::TempDir, (u64, u64)) {
        let Self { registry, context, route, folder, dir, journal_thread } = self;
        drop(route);
        let closed = registry.close();
        assert!(closed.failures.is_empty(), "{:?}", closed.failures);
        drop((context, registry, dir));
        journal_thread.join().expect("the journal's thread ended").expect("the journal is written");
        let sums = closed.products.iter().map(|product| {
            let (trades, tickers) = (&product.metrics.trades, &product.metrics.tickers);
            let of_trades = [&trades.written, &trades.late, &trades.duplicate, &trades.conflict, &trades.shed, &trades.rejected];
            let of_tickers = [&tickers.written, &tickers.late, &tickers.stale, &tickers.shed, &tickers.rejected];
            (of_trades.iter().map(|count| count.get()).sum::<u64>(), of_tickers.iter().map(|count| count.get()).sum::<u64>())
        });
        let sums = sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (folder, sums)
    }

    /// Ends the writer. Gives the number of trades that it has written.
    pub(in crate::capture) fn end(self) -> u64 {
        let Self { registry, context, route, .. } = self;
        drop(route);
        let closed = registry.close();
        assert!(closed.failures.is_empty(), "{:?}", closed.failures);
        drop(context);
        closed.products.iter().map(|product| product.metrics.trades.written.get()).sum()
    }
}
