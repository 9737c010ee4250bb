//! Two lines, each losing one frame in twenty and dying every few seconds, and no REST: what either of them had is there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coltape::simulate::{SimulateConfig, Wire};

use super::run::{Run, Stopped, market};
use super::tape;
use super::truth::Chain;

const LENGTH: Duration = Duration::from_secs(15);

fn run(wire: Wire, script: &str) -> Stopped {
    let config = SimulateConfig { wire, seed: 7, ..market(4, 50.0, LENGTH) };
    let run = Run::start(config, script, &["--lines", "2", "--no-backfill", "--idle-timeout", "2s"]);
    run.await_market(LENGTH + Duration::from_secs(30));
    // What was sent has arrived when two looks in a row find as much.
    let deadline = Instant::now() + Duration::from_secs(20);
    let look = || run.names.iter().map(|product| tape::count(&run.data, product.as_str())).sum::<usize>();
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(2500));
        let now = look();
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "still growing");
        before = now;
    }
    run.stop()
}

/// Holds what is stored against what at least one connection was sent.
fn assert_all_that_either_had(stopped: &Stopped) {
    stopped.ended.assert_good();
    let verdict = tape::judge(&stopped.data, &stopped.truth);
    assert!(verdict.doubled.is_empty() && verdict.altered.is_empty() && verdict.invented.is_empty(), "{verdict:?}");
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
    assert!(lost.is_empty(), "a line had them: {:?}", lost.iter().take(5).collect::<Vec<_>>());
    assert!(losses > 50 && stopped.totals.connections > 6, "{:?}", stopped.totals);
    assert!((unsent.len() as u64) < verdict.equal / 10, "two lines are better than one");
    assert_figures_add_up(stopped, verdict.equal);
}

/// Every stored trade was some line's first, every copy some line's second, and what the exchange took from a line that line counts as lost.
fn assert_figures_add_up(stopped: &Stopped, stored: u64) {
    let report = stopped.ended.report.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<serde_json::Value> = report.filter(|line| !line["line"].is_null()).collect();
    let sum = |name: &str| lines.iter().map(|line| line[name].as_u64().unwrap()).sum::<u64>();
    println!("{lines:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(sum("wins"), stored);
    assert_eq!(sum("duplicates") as f64, stopped.ended.figure("trades_duplicate"));
    assert!(lines.iter().all(|line| line["wins"].as_u64() > Some(stored / 10)), "each line was worth something: {lines:?}");
    // What a later connection was shown on subscribing was not lost after all.
    let of_product = |(product, chain): (&String, &Chain)| stopped.truth.struck("lose", product).difference(&chain.shown).count();
    let taken: usize = stopped.truth.products.iter().map(of_product).sum();
    assert!(sum("losses") >= taken as u64, "{taken} trades were kept from a line");
}

#[test]
fn what_either_of_two_lines_had_is_stored_once() {
    std::thread::scope(|scope| {
        for wire in [Wire::Exchange, Wire::Advanced] {
            scope.spawn(move || assert_all_that_either_had(&run(wire, "lose=0.05,close:1001@every:4s")));
        }
    });
}
