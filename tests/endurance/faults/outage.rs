//! An outage: all its trades are fetched within the rate limit, and live trades do not wait for them.
//!
//! `COLTAPE_OUTAGE_SECONDS` and `COLTAPE_OUTAGE_RATE` make it another run. `scripts/outage.sh` sets them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coltape::internals::schema::Dataset;
use coltape::internals::store::catalog;
use coltape::internals::time::{Clock, UnixNanos};

use super::run::{Run, market};
use super::tape;

/// Offset in a commit page, in bytes, of the number of records that are complete in every column.
const COMMITTED_AT: u64 = 512;

/// Follows the columns of a day with the format alone: the commit page's count, and the receive times up to it. Fetched trades are late records and are not
/// in these columns, so that a look costs little, however many there are.
struct Follower {
    page: File,
    receipts: PathBuf,
    seen: u64,
}

impl Follower {
    /// Follows all days of all products.
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

    /// Gives the age of each trade that has become visible since the last look, counted from its receipt. Leaves out trades received before `after`.
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
    /// Time from the outage's end until the last missing trade was stored.
    complete: Duration,
    /// Time from receipt to visible of live trades received after the first gap wait: nine of ten took less. A busy machine may let a few wait.
    behind: Duration,
}

fn measure(products: u32, rate: u32, outage: Duration, at_most: Duration) -> Outcome {
    // Live trades go on until everything is stored.
    let length = Duration::from_secs(6) + at_most;
    let mut config = market(products as usize, f64::from(rate), length);
    config.tickers = false;
    config.rest_limit = Some(8);
    let script = format!("outage:{}s@3s", outage.as_secs());
    let run = Run::start(config, &script, &["--rest-rate", "8", "--datasets", "trades"]);
    assert!(run.simulation.wait_started(Duration::from_secs(60)));
    let missed = u64::from(products * rate) * outage.as_secs() * 95 / 100;
    let deadline = Instant::now() + at_most + Duration::from_secs(60);
    // The outage is over when its trades have been made and live trades go on.
    while run.simulation.totals().trades_never_sent < missed {
        assert!(Instant::now() < deadline, "the outage never ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let over = Instant::now();
    // Live trades are followed from when they need not wait for the gap any more.
    let after = UnixNanos(Clock::System.now().0 + 3_000_000_000);
    let mut followers = Follower::all(&run);
    let is_done = AtomicBool::new(false);
    let (complete, waits) = std::thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut waits = Vec::new();
            // At least a second and a half of live trades is followed, however fast the gap is filled.
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
    let (mut waits, longest) = (waits.clone(), waits.iter().max().copied().unwrap());
    waits.sort_unstable();
    let behind = waits[waits.len() * 9 / 10];
    run.simulation.pause();
    run.await_all(Duration::from_secs(60));
    let stopped = run.stop();
    let verdict = stopped.assert_nothing_lost();
    println!(
        "{} trades, {} by REST in {} requests ({} refused); complete after {:.1} s; {} live trades followed meanwhile, nine of ten visible within {:.1} ms of receipt, all within {:.0} ms",
        verdict.equal,
        verdict.by_rest,
        stopped.totals.rest_requests,
        stopped.totals.rest_refused,
        complete.as_secs_f64(),
        waits.len(),
        behind.as_secs_f64() * 1000.0,
        longest.as_secs_f64() * 1000.0
    );
    assert!(verdict.by_rest >= missed);
    Outcome { trades: verdict.equal, complete, behind }
}

/// Tells whether a product has every id from its first to its last, and more than the outage alone has.
fn is_complete(run: &Run, product: &coltape::internals::product::ProductId, least: u64) -> bool {
    tape::span(&run.data, product.as_str()).is_some_and(|(first, last, count)| count == last - first + 1 && count > least)
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// A short outage, or that of `scripts/outage.sh`: ten minutes of ten products, which must be stored within two minutes.
#[test]
fn an_outage_is_filled_while_live_trades_flow() {
    let seconds = setting("COLTAPE_OUTAGE_SECONDS", 40);
    let products = u32::try_from(setting("COLTAPE_OUTAGE_PRODUCTS", 4)).unwrap();
    let rate = u32::try_from(setting("COLTAPE_OUTAGE_RATE", 100)).unwrap();
    let within = Duration::from_secs(setting("COLTAPE_OUTAGE_WITHIN", 60));
    let outcome = measure(products, rate, Duration::from_secs(seconds), within);
    assert!(outcome.complete < within && outcome.behind < Duration::from_secs(1), "{:?} {:?}", outcome.complete, outcome.behind);
    assert!(outcome.trades > u64::from(products * rate) * seconds * 95 / 100);
}
