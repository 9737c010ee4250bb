//! An outage: everything of it is fetched within the rate limit, and the live tape does not wait for it.
//!
//! `COLTAPE_OUTAGE_SECONDS` and `COLTAPE_OUTAGE_RATE` make it another run; `scripts/outage.sh` sets them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coltape::schema::Dataset;
use coltape::simulate::SimulateConfig;
use coltape::store::catalog;
use coltape::time::{Clock, UnixNanos};

use super::run::{Run, market};
use super::tape;

/// Where the hot sector of a commit page says how many records are complete in every column.
const COMMITTED_AT: u64 = 512;

/// Follows a day's columns as any program may that knows the format: the commit page's count, and the receive times up to it. What is fetched comes late
/// and is not in them, so that a look costs next to nothing, however much there is of it.
struct Follower {
    page: File,
    receipts: PathBuf,
    seen: u64,
}

impl Follower {
    /// Follows all days of a product that there are.
    fn all(run: &Run) -> Vec<Self> {
        let mut followers = Vec::new();
        for product in &run.names {
            for date in catalog::days(&run.data, product, Dataset::Trades).unwrap() {
                let folder = run.data.join(product.as_str()).join("TRADES");
                let page = File::open(folder.join(format!("commit.{date}.bin"))).unwrap();
                let mut follower = Self { page, receipts: folder.join(format!("trade_recv_nanos.{date}.bin")), seen: 0 };
                follower.seen = follower.committed();
                followers.push(follower);
            }
        }
        followers
    }

    fn committed(&self) -> u64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, COMMITTED_AT).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// Gives how long ago each trade was received that has become visible since the last look, if it was received live and after `after`.
    fn look(&mut self, after: UnixNanos) -> Vec<Duration> {
        let committed = self.committed();
        if committed <= self.seen {
            return Vec::new();
        }
        let now = Clock::System.now();
        let mut bytes = vec![0; usize::try_from((committed - self.seen) * 8).unwrap()];
        File::open(&self.receipts).unwrap().read_exact_at(&mut bytes, self.seen * 8).unwrap();
        self.seen = committed;
        let received = bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        received.filter(|recv| *recv > after.0).map(|recv| Duration::from_nanos(now.0.saturating_sub(recv))).collect()
    }
}

struct Outcome {
    trades: u64,
    /// From the outage's end to the last missing trade's being there.
    complete: Duration,
    /// Longest from receipt to visible, of live trades received after the first gap wait.
    behind: Duration,
}

fn measure(products: u32, rate: u32, outage: Duration, at_most: Duration) -> Outcome {
    // The tape goes on until everything is there.
    let length = Duration::from_secs(6) + at_most;
    let config = SimulateConfig { tickers: false, rest_limit: Some(8), ..market(products as usize, f64::from(rate), length) };
    let script = format!("outage:{}s@3s", outage.as_secs());
    let run = Run::start(config, &script, &["--rest-rate", "8", "--datasets", "trades"]);
    assert!(run.simulation.wait_started(Duration::from_secs(60)));
    let missed = u64::from(products * rate) * outage.as_secs() * 95 / 100;
    let deadline = Instant::now() + at_most + Duration::from_secs(60);
    // The outage is over when what happened in it has been made and the live tape goes on.
    while run.simulation.totals().trades_never_sent < missed {
        assert!(Instant::now() < deadline, "the outage never ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let over = Instant::now();
    // Live trades are followed from when the first of them need not wait for the gap any more.
    let after = UnixNanos(Clock::System.now().0 + 3_000_000_000);
    let mut followers = Follower::all(&run);
    let is_done = AtomicBool::new(false);
    let (complete, waits) = std::thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut waits = Vec::new();
            // Until a second and a half of live trades has been followed, however quick the filling was.
            while !is_done.load(Ordering::Relaxed) || Clock::System.now().0 < after.0 + 1_500_000_000 {
                followers.iter_mut().for_each(|follower| waits.extend(follower.look(after)));
                std::thread::sleep(Duration::from_millis(2));
            }
            waits
        });
        while over.elapsed() < at_most && !run.names.iter().all(|product| is_complete(&run, product, u64::from(rate) * outage.as_secs())) {
            std::thread::sleep(Duration::from_millis(200));
        }
        let complete = over.elapsed();
        is_done.store(true, Ordering::Relaxed);
        (complete, following.join().unwrap())
    });
    assert!(complete < at_most, "not complete within {at_most:?}");
    assert!(waits.len() > 100, "live trades were followed");
    let behind = waits.iter().max().copied().unwrap();
    run.simulation.pause(true);
    run.await_all(Duration::from_secs(10));
    let stopped = run.stop();
    let verdict = stopped.assert_nothing_lost();
    println!(
        "{} trades, {} by REST in {} requests ({} refused); complete after {:.1} s; {} live trades followed meanwhile, visible at most {:.0} ms after receipt",
        verdict.equal,
        verdict.by_rest,
        stopped.totals.rest_requests,
        stopped.totals.rest_refused,
        complete.as_secs_f64(),
        waits.len(),
        behind.as_secs_f64() * 1000.0
    );
    assert!(verdict.by_rest >= missed);
    Outcome { trades: verdict.equal, complete, behind }
}

/// Whether a product has every id between its first and its last, and more of them than the outage alone has.
fn is_complete(run: &Run, product: &coltape::product::ProductId, least: u64) -> bool {
    tape::span(&run.data, product.as_str()).is_some_and(|(first, last, count)| count == last - first + 1 && count > least)
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// A short one, or that of `scripts/outage.sh`: ten minutes of ten products, which have to be there within two.
#[test]
fn an_outage_is_filled_while_live_trades_flow() {
    let seconds = setting("COLTAPE_OUTAGE_SECONDS", 40);
    let products = u32::try_from(setting("COLTAPE_OUTAGE_PRODUCTS", 4)).unwrap();
    let rate = u32::try_from(setting("COLTAPE_OUTAGE_RATE", 100)).unwrap();
    let within = Duration::from_secs(setting("COLTAPE_OUTAGE_WITHIN", 20));
    let outcome = measure(products, rate, Duration::from_secs(seconds), within);
    assert!(outcome.complete < within && outcome.behind < Duration::from_secs(1), "{:?} {:?}", outcome.complete, outcome.behind);
    assert!(outcome.trades > u64::from(products * rate) * seconds * 95 / 100);
}
