//! An outage: everything of it is fetched within the rate limit, and the live tape does not wait for it.
//!
//! `COLTAPE_OUTAGE_SECONDS` and `COLTAPE_OUTAGE_RATE` make it another run; `scripts/outage.sh` sets them.

use std::time::{Duration, Instant};

use coltape::schema::{Dataset, Trades};
use coltape::simulate::SimulateConfig;
use coltape::store::{Snapshot, catalog};
use coltape::time::Clock;

use super::run::{Run, market};
use super::tape;

/// Follows a product's live trades; gives the longest time from receipt to being seen, of those received since `since` was passed.
struct Follower {
    day: Snapshot<Trades>,
    seen: usize,
    longest: Duration,
    live: u64,
}

impl Follower {
    fn look(&mut self, after: coltape::time::UnixNanos) {
        if !self.day.refresh().unwrap() {
            return;
        }
        let now = Clock::System.now();
        for number in self.seen..self.day.base_count() {
            let Some(trade) = self.day.base_row(number) else { break };
            if trade.recv.0 > after.0 {
                self.longest = self.longest.max(Duration::from_nanos(now.since(trade.recv)));
                self.live += 1;
            }
        }
        self.seen = self.day.base_count();
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
    let after = coltape::time::UnixNanos(Clock::System.now().0 + 3_000_000_000);
    let mut followers: Vec<Follower> = Vec::new();
    for product in &run.names {
        for date in catalog::days(&run.data, product, Dataset::Trades).unwrap() {
            let day = Snapshot::<Trades>::open(&run.data, product, date).unwrap().unwrap();
            followers.push(Follower { seen: day.base_count(), day, longest: Duration::ZERO, live: 0 });
        }
    }
    let mut filled = 0;
    let mut next_count = Instant::now();
    while filled < run.names.len() {
        assert!(over.elapsed() < at_most, "not complete within {at_most:?}: {filled} of {} products", run.names.len());
        followers.iter_mut().for_each(|follower| follower.look(after));
        if Instant::now() >= next_count {
            filled = run.names.iter().filter(|product| is_complete(&run, product, u64::from(rate) * outage.as_secs())).count();
            next_count = Instant::now() + Duration::from_millis(500);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let complete = over.elapsed();
    // Live trades until a second after the gap wait, however quick the filling was.
    while Clock::System.now().0 < after.0 + 1_500_000_000 {
        followers.iter_mut().for_each(|follower| follower.look(after));
        std::thread::sleep(Duration::from_millis(5));
    }
    let behind = followers.iter().map(|follower| follower.longest).max().unwrap();
    assert!(followers.iter().map(|follower| follower.live).sum::<u64>() > 100, "live trades were followed");
    run.simulation.pause(true);
    run.await_all(Duration::from_secs(10));
    let stopped = run.stop();
    let verdict = stopped.assert_nothing_lost();
    println!(
        "{} trades, {} by REST in {} requests ({} refused); complete after {:.1} s; live trades seen at most {:.0} ms after receipt",
        verdict.equal,
        verdict.by_rest,
        stopped.totals.rest_requests,
        stopped.totals.rest_refused,
        complete.as_secs_f64(),
        behind.as_secs_f64() * 1000.0
    );
    assert!(verdict.by_rest >= missed);
    Outcome { trades: verdict.equal, complete, behind }
}

/// Whether a product has every id between its first and its last, and more of them than the outage alone has.
fn is_complete(run: &Run, product: &coltape::product::ProductId, least: u64) -> bool {
    tape::span(&run.data, product.as_str()).is_some_and(|(first, last, count)| count == last - first + 1 && count > least)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

#[test]
fn a_short_outage_is_filled_while_live_trades_flow() {
    let outcome = measure(4, 100, Duration::from_secs(40), Duration::from_secs(20));
    assert!(outcome.behind < Duration::from_secs(1), "{:?}", outcome.behind);
}

#[test]
#[ignore = "minutes long: scripts/outage.sh runs it"]
fn ten_minutes_of_a_thousand_trades_a_second_are_filled_within_two() {
    let seconds = setting("COLTAPE_OUTAGE_SECONDS").unwrap_or(600);
    let rate = setting("COLTAPE_OUTAGE_RATE").map_or(100, |rate| u32::try_from(rate).unwrap());
    let outcome = measure(10, rate, Duration::from_secs(seconds), Duration::from_secs(120));
    assert!(outcome.complete < Duration::from_secs(120) && outcome.behind < Duration::from_secs(1), "{:?}", outcome.behind);
    assert!(outcome.trades > u64::from(10 * rate) * seconds * 95 / 100);
}
