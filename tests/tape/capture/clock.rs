//! A box whose clock is wrong, or that records a market of another day: every trade is stored, the alert says so, and no day is sealed while it receives.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coltape::internals::capture::stop::Stop;
use coltape::internals::capture::{self, CaptureConfig};
use coltape::internals::feed::Feed;
use coltape::internals::product::ProductId;
use coltape::internals::schema::Trades;
use coltape::internals::store::Snapshot;
use coltape::internals::time::{Clock, UnixNanos};
use coltape::{SimulateConfig, SimulatedFeed, Simulation};

use super::programs::{await_that, journal};
use super::scripted::{Server, match_frame};

/// Noon of a day in 2024, when the market of these tests begins.
const NOON: u64 = 1_709_985_600_000_000_000;

/// The market's clock, and that of a box which is off by some seconds.
struct Clocks {
    began: Instant,
    off_s: AtomicI64,
    is_over: AtomicBool,
    boxes: Arc<AtomicU64>,
}

impl Clocks {
    fn start(off_s: i64) -> Arc<Self> {
        let clocks = Arc::new(Self {
            began: Instant::now(),
            off_s: AtomicI64::new(off_s),
            is_over: AtomicBool::new(false),
            boxes: Arc::new(AtomicU64::new(NOON.saturating_add_signed(off_s * 1_000_000_000))),
        });
        let ticking = Arc::clone(&clocks);
        std::thread::spawn(move || {
            while !ticking.is_over.load(Ordering::Relaxed) {
                let off = ticking.off_s.load(Ordering::Relaxed) * 1_000_000_000;
                ticking.boxes.store(ticking.market().0.saturating_add_signed(off), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        clocks
    }

    fn market(&self) -> UnixNanos {
        UnixNanos(NOON + u64::try_from(self.began.elapsed().as_nanos()).unwrap())
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn alerts(data: &Path, event: &str) -> BTreeSet<String> {
    journal(data, event).iter().map(|line| line["alert"].as_str().unwrap().to_owned()).collect()
}

fn stored_ids(data: &Path, product: &ProductId) -> Vec<u64> {
    let days = coltape::dates(data, product, coltape::Dataset::Trades).unwrap_or_default();
    // A day that is just being made has no page yet.
    let open = |date| Snapshot::<Trades>::open(data, product, date).unwrap();
    days.into_iter().filter_map(open).flat_map(|day| day.rows().map(|trade| trade.trade_id).collect::<Vec<_>>()).collect()
}

/// Records a simulated market with a clock that is off by so much.
fn record(feed: SimulatedFeed, off_s: i64) {
    let what = format!("{} off by {off_s} s", feed.name());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let clocks = Clocks::start(off_s);
    let mut simulate = SimulateConfig::default();
    (simulate.feed, simulate.rate_per_product, simulate.start) = (feed, 50.0, Some(clocks.market()));
    let product = simulate.products[0].clone();
    let exchange = Simulation::start(simulate).unwrap();
    let feed = if feed == SimulatedFeed::Exchange { Feed::Exchange } else { Feed::Advanced };
    let mut config = CaptureConfig::new(feed, &exchange.endpoints().websocket_url, [product.clone()], &data);
    config.rest_url = exchange.endpoints().rest_url.clone();
    config.clock = Clock::Manual(Arc::clone(&clocks.boxes));
    config.force_fs = true;
    let stop = Stop::default();
    let capture = {
        let stop = stop.clone();
        std::thread::spawn(move || capture::run(&config, &stop).unwrap())
    };
    if off_s == 0 {
        await_that("some trades are stored", || stored_ids(&data, &product).len() > 100);
    } else {
        await_that(&format!("{what}: the alert"), || alerts(&data, "alert_raised").contains("clock_off"));
        await_that(&format!("{what}: some trades are stored"), || stored_ids(&data, &product).len() > 100);
    }
    stop.ask();
    let summary = capture.join().unwrap();
    exchange.stop().unwrap();
    assert!(summary.is_good(), "{what}: {summary:?}");
    assert_eq!((summary.trades().rejected, summary.rejects.len()), (0, 0), "{what}: {:?}", summary.rejects);
    let ids = stored_ids(&data, &product);
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{what}: {ids:?}");
    assert_eq!(ids.len() as u64, summary.trades().written + summary.trades().late, "{what}");
    assert_eq!(alerts(&data, "alert_raised").contains("clock_off"), off_s != 0, "{what}");
    assert!(!alerts(&data, "alert_raised").contains("write_failure"), "{what}");
    let (opened, sealed) = (journal(&data, "day_opened").len(), journal(&data, "day_sealed").len());
    assert!(opened <= 3 && sealed <= 3, "{what}: each of three dataset-days is opened and sealed once: {opened} {sealed}");
}

#[test]
fn a_box_with_a_wrong_clock_stores_every_trade_of_both_feeds_and_says_so() {
    // One minute to ten years, to either side.
    let offsets = [60, 7_200, 86_400, 31_536_000, 315_360_000];
    let offsets: Vec<i64> = offsets.into_iter().flat_map(|off| [off, -off]).chain([0]).collect();
    for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
        std::thread::scope(|scope| offsets.iter().for_each(|off| drop(scope.spawn(move || record(feed, *off)))));
    }
}

/// Starts an exchange that sends a trade every few milliseconds, and a capture of it.
fn steady(clocks: &Arc<Clocks>, folder: &Path) -> (Server, Stop, std::thread::JoinHandle<capture_summary::Summary>) {
    let market = Arc::clone(clocks);
    let server = Server::start(move |_, mut session| {
        let products = session.await_subscription();
        session.acknowledge(&products);
        for id in 1.. {
            session.send(match_frame("BTC-USD", id, &market.market().to_string()));
            std::thread::sleep(Duration::from_millis(5));
            if market.is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    let mut config = CaptureConfig::new(Feed::Exchange, &server.url, [ProductId::new("BTC-USD").unwrap()], folder);
    config.clock = Clock::Manual(Arc::clone(&clocks.boxes));
    (config.force_fs, config.alerts.hold) = (true, Duration::from_secs(1));
    let stop = Stop::default();
    let asked = stop.clone();
    let capture = std::thread::spawn(move || capture::run(&config, &asked).unwrap());
    (server, stop, capture)
}

mod capture_summary {
    pub(super) use coltape::Summary;
}

#[test]
fn a_clock_that_is_set_while_a_capture_runs_costs_no_trade() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = ProductId::new("BTC-USD").unwrap();
    let clocks = Clocks::start(0);
    let (_server, stop, capture) = steady(&clocks, &data);
    let count = || stored_ids(&data, &product).len();
    await_that("the first trades are stored", || count() > 20);
    for (turn, off_s) in [-7_200, 7_200, -31_536_000, 600].into_iter().enumerate() {
        clocks.off_s.store(off_s, Ordering::Relaxed);
        let raised = || journal(&data, "alert_raised").iter().filter(|line| line["alert"] == "clock_off").count();
        let cleared = || journal(&data, "alert_cleared").iter().filter(|line| line["alert"] == "clock_off").count();
        await_that(&format!("{off_s}: the alert"), || raised() == turn + 1);
        let before = count();
        await_that("trades are stored all the same", || count() > before + 20);
        clocks.off_s.store(0, Ordering::Relaxed);
        await_that(&format!("{off_s}: the end of the alert"), || cleared() == turn + 1);
    }
    stop.ask();
    let summary = capture.join().unwrap();
    clocks.is_over.store(true, Ordering::Relaxed);
    assert!(summary.is_good() && summary.rejects.is_empty(), "{summary:?}");
    let ids = stored_ids(&data, &product);
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "{ids:?}");
    super::alerts::note_seen("clock_off");
    assert!(journal(&data, "clock_off").len() >= 8, "{:?}", journal(&data, "clock_off"));
}

#[test]
fn a_day_that_receives_records_is_not_sealed_though_it_is_yesterday_for_the_box() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = ProductId::new("BTC-USD").unwrap();
    let clocks = Clocks::start(86_400);
    let (_server, stop, capture) = steady(&clocks, &data);
    await_that("some hundred trades are stored", || stored_ids(&data, &product).len() > 600);
    assert_eq!((journal(&data, "day_sealed").len(), journal(&data, "day_opened").len()), (0, 1));
    stop.ask();
    let summary = capture.join().unwrap();
    clocks.is_over.store(true, Ordering::Relaxed);
    assert!(summary.is_good(), "{summary:?}");
    assert_eq!((summary.trades().late, journal(&data, "day_sealed").len()), (0, 1));
    assert!(!alerts(&data, "alert_raised").contains("write_failure"));
    let ids = stored_ids(&data, &product);
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "{ids:?}");
}
