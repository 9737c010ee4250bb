//! A stage for tests: one product with its writer, and nothing else. The test is its connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cores::Cores;
use super::deliveries::Deliveries;
use super::desk::{Datasets, Desk};
use super::echo::Echoes;
use super::metrics::Metrics;
use super::provisioner::Provisioner;
use super::queue::Pushed;
use super::registry::{Registry, Route};
use super::scribe::Scribe;
use super::seat::Lent;
use super::stop::Stop;
use super::sync;
use super::tray::{Brought, Pile, TRAY_MSGS, Tray};
use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::schema::{Layout, Md, Trades};
use crate::store::{DataDir, Pages, Snapshot, StoreOptions};
use crate::time::{Clock, UnixNanos, UtcDay};

pub(super) const DAY: UtcDay = UtcDay(20_000);
/// Shorter than the sleep of an idle writer, which looks at everything.
const PATIENCE: Duration = Duration::from_secs(20);

/// One product with its writer, and nothing else: the test is its connection.
pub(super) struct Stage {
    pub(super) folder: tempfile::TempDir,
    pub(super) dir: Arc<DataDir>,
    pub(super) registry: Arc<Registry>,
    pub(super) desk: Arc<Desk>,
    pub(super) route: Route,
}

pub(super) fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

pub(super) fn trade(trade_id: u64) -> Trade {
    let one = Decimal::new(1.0, 1.0, true);
    let time = UnixNanos(DAY.start().0 + 1_000_000 * trade_id);
    Trade { trade_id, time, price: one, size: one, recv: time, ..Trades::EMPTY }
}

/// A ticker between trades: its place in the order is known by its sequence alone.
pub(super) fn ticker(sequence: u64) -> Ticker {
    let time = trade(sequence).time;
    Ticker { sequence, time, recv: time, ..Md::EMPTY }
}

pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Stage {
    pub(super) fn set() -> Self {
        Self::of(Datasets { md: true, ticker_trades: false, trades: true })
    }

    pub(super) fn of(datasets: Datasets) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { force_fs: true, ..StoreOptions::default() };
        let dir = Arc::new(DataDir::open(folder.path(), options, "test").unwrap());
        let (metrics, stop) = (Arc::new(Metrics::default()), Stop::default());
        let clock = Clock::Manual(Arc::new((DAY.start().0 + 43_200_000_000_000).into()));
        let (scribe, _) = Scribe::start(Arc::clone(&dir), Arc::clone(&metrics), clock.clone(), stop.clone()).unwrap();
        // Flushes come when the test wants them.
        let never = Duration::from_secs(3600);
        let (sync, _) = sync::start(Arc::clone(&dir), never, Arc::clone(&metrics), scribe.clone(), stop.clone()).unwrap();
        let (provisioner, _) = Provisioner::start(Arc::clone(&dir), Arc::clone(&metrics), scribe.clone(), stop.clone()).unwrap();
        let desk = Arc::new(Desk {
            dir: Arc::clone(&dir),
            datasets,
            clock,
            metrics,
            scribe,
            sync,
            provisioner,
            deliveries: Arc::new(Deliveries::default()),
            backfill: None,
            gap_wait: Duration::from_millis(50),
            lines: 1,
            spins: false,
            cores: Arc::new(Cores::default()),
            echoes: Echoes::default(),
            stop,
        });
        let registry = Arc::new(Registry::new(Arc::clone(&desk), 2 * TRAY_MSGS));
        let route = registry.route(&product()).unwrap();
        Self { folder, dir, registry, desk, route }
    }

    pub(super) fn push(&self, id: u64) {
        assert_eq!(self.route.queue.push(MarketMessage::Trade(trade(id), RawPlace::default()), Duration::ZERO), Pushed::Queued);
    }

    pub(super) fn lend(&self, pages: Pages) -> (u32, bool, bool) {
        let lent = self.route.seat.lend_a_hand(Instant::now(), pages);
        (lent.records, lent.is_left, lent.needs_writer)
    }

    /// Brings trades as a connection does; gives also the ids that are left.
    pub(super) fn bring(&self, ids: &[u64]) -> (u32, bool, Vec<u64>) {
        let (lent, left) = self.put_down(ids.iter().map(|id| MarketMessage::Trade(trade(*id), RawPlace::default())));
        let id = |message| if let MarketMessage::Trade(trade, _) = message { trade.trade_id } else { 0 };
        (lent.records, lent.is_left, left.into_iter().map(id).collect())
    }

    /// Brings tickers; gives how many were put down.
    pub(super) fn bring_tickers(&self, tickers: &[Ticker]) -> u32 {
        self.put_down(tickers.iter().copied().map(MarketMessage::Ticker)).0.records
    }

    fn put_down(&self, messages: impl Iterator<Item = MarketMessage>) -> (Lent, Vec<MarketMessage>) {
        let (mut tray, mut pile) = (Tray::default(), Pile::default());
        messages.for_each(|message| tray.lay(&mut pile, message));
        let mut brought = Brought::new(&tray, &mut pile);
        let lent = self.route.seat.put_down(Instant::now(), &mut brought);
        (lent, brought.collect())
    }

    /// The ids that a reader finds.
    pub(super) fn seen(&self) -> Vec<u64> {
        let day = Snapshot::<Trades>::open(self.folder.path(), &product(), DAY).unwrap();
        day.map_or(Vec::new(), |day| day.rows().map(|row| row.trade_id).collect())
    }

    /// Has the writer's thread take what is there, and waits until it sleeps again.
    pub(super) fn by_the_writer(&self, last: u64) {
        self.route.seat.wake_writer();
        until("the writer takes it", || self.seen().last() == Some(&last));
        // The lock is free once more when the round is over.
        drop(self.route.seat.take());
    }

    pub(super) fn end(self) -> u64 {
        let Self { registry, desk, route, .. } = self;
        drop(route);
        let (figures, failures) = registry.close();
        assert!(failures.is_empty(), "{failures:?}");
        drop(desk);
        figures.iter().map(|(_, metrics)| metrics.trades.written.get()).sum()
    }
}
