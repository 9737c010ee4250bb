//! Two lines without REST. Each loses one frame in twenty, and its connections end every few seconds. Every trade that one of them received is stored.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coltape::internals::simulate::SimulatedFeed;

use super::run::{Run, Stopped, market};
use super::tape;
use super::truth::Chain;

const LENGTH: Duration = Duration::from_secs(15);

fn run(feed: SimulatedFeed, script: &str) -> Stopped {
    let mut config = market(4, 50.0, LENGTH);
    config.feed = feed;
    config.seed = 7;
    let run = Run::start(config, script, &["--lines", "2", "--no-backfill", "--idle-timeout", "2s"]);
    run.await_market(LENGTH + Duration::from_secs(120));
    // Everything has arrived when two counts in a row are equal.
    let deadline = Instant::now() + Duration::from_secs(60);
    let stored = || run.names.iter().map(|product| tape::count(&run.data, product.as_str())).sum::<usize>();
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(2500));
        let now = stored();
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "the number of trades still grows");
        before = now;
    }
    run.stop()
}

/// Compares what is stored with what at least one connection received.
fn assert_all_received_are_stored(stopped: &Stopped) {
    // Now and then both lines lose a trade, and there is no REST.
    let leaves: &[&str] = if stopped.ended.figure("missing_ids") > 0.0 { &["missing"] } else { &[] };
    stopped.ended.assert_leaves(leaves);
    let verdict = tape::compare(&stopped.data, &stopped.truth);
    assert!(verdict.duplicated.is_empty() && verdict.altered.is_empty() && verdict.invented.is_empty(), "{verdict:?}");
    let unsent: BTreeSet<(String, u64)> = stopped
        .truth
        .products
        .keys()
        .flat_map(|product| stopped.truth.unsent(product).into_iter().map(move |id| (product.clone(), id)))
        .collect();
    let lost: Vec<_> = verdict.missing.iter().filter(|missing| !unsent.contains(*missing)).collect();
    let losses = stopped.truth.times("lose");
    println!(
        "{} stored, {} frames lost by a line, {} trades by both, {} connections",
        verdict.equal,
        losses,
        unsent.len(),
        stopped.totals.connections
    );
    assert!(lost.is_empty(), "a line received them: {:?}", lost.iter().take(5).collect::<Vec<_>>());
    assert!(losses > 50 && stopped.totals.connections > 6, "{:?}", stopped.totals);
    // How many go to neither line depends on how long a busy machine takes to connect again. Most must have been sent, or nothing was tested.
    assert!((unsent.len() as u64) < verdict.equal, "both lines lost too many");
    assert_figures_add_up(stopped, verdict.equal);
}

/// Checks the figures of the lines: every stored trade is the win of one line, every duplicate is counted by the line that came second, and each line counts
/// the trades that the exchange kept from it as lost.
fn assert_figures_add_up(stopped: &Stopped, stored: u64) {
    let report = stopped.ended.report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<serde_json::Value> = report.filter(|line| !line["line"].is_null()).collect();
    let sum = |name: &str| lines.iter().map(|line| line[name].as_u64().unwrap()).sum::<u64>();
    println!("{lines:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(sum("wins"), stored);
    assert_eq!(sum("duplicates") as f64, stopped.ended.figure("trades_duplicate"));
    assert!(lines.iter().all(|line| line["wins"].as_u64() > Some(stored / 50)), "each line has wins: {lines:?}");
    // Trades that a later connection was shown on subscribing are not lost.
    let of_product = |(product, chain): (&String, &Chain)| stopped.truth.affected("lose", product).difference(&chain.shown).count();
    let kept_back: usize = stopped.truth.products.iter().map(of_product).sum();
    assert!(sum("losses") >= kept_back as u64, "{kept_back} trades were kept from a line");
}

#[test]
fn what_one_of_two_lines_received_is_stored_once() {
    std::thread::scope(|scope| {
        for feed in [SimulatedFeed::Exchange, SimulatedFeed::Advanced] {
            scope.spawn(move || assert_all_received_are_stored(&run(feed, "lose=0.05,close:1001@every:4s")));
        }
    });
}
