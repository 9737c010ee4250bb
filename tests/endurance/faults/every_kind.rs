//! One run with every kind of fault, each as often as asked. No trade is missing, stored twice or altered, and the journal names exactly the trades that
//! were not sent.
//!
//! `COLTAPE_FAULT_SEED`, `COLTAPE_FAULT_TIMES`, `COLTAPE_FAULT_SECONDS` and `COLTAPE_FAULT_FEED` make it one long run. `scripts/faults.sh` sets them.

use std::fmt::Write as _;
use std::time::Duration;

use coltape::internals::record::Means;
use coltape::internals::simulate::SimulatedFeed;
use serde_json::Value;

use super::journal;
use super::run::{Run, Stopped, market};
use super::script::{Asked, Times, draw};
use super::tape::Verdict;
use crate::programs;

/// Products that trade to the end.
const PRODUCTS: usize = 20;
/// Trades a second of each.
const RATE: f64 = 40.0;
/// How long the market goes on after the last fault.
const CALM: Duration = Duration::from_secs(8);

struct Plan {
    feed: SimulatedFeed,
    seed: u64,
    length: Duration,
    times: Times,
    /// Longest that the last gaps may take to be filled.
    patience: Duration,
}

fn prove(plan: &Plan) {
    let (script, asked) = draw(plan.seed, plan.length, plan.times);
    let count = PRODUCTS + usize::try_from(plan.times.delisted).unwrap();
    let mut config = market(count, RATE, plan.length + CALM);
    config.feed = plan.feed;
    config.seed = plan.seed;
    config.rest_limit = Some(10);
    let run = Run::start(config, &script, &["--products-per-connection", "6", "--idle-timeout", "2s"]);
    run.await_market(plan.length + CALM + Duration::from_secs(120));
    let filled = run.await_all(plan.patience);
    let stopped = run.stop();
    let verdict = super::tape::compare(&stopped.data, &stopped.truth);
    let compared = journal::compare(&stopped.data, &stopped.truth);
    let why = |why: &str| programs::journal(&stopped.data, "gap_opened").iter().filter(|line| line["why"] == why).count();
    // One print, as other runs print at the same time.
    println!(
        "\nseed {} of {}, {} s of faults; everything was there {:.1} s after the market's end\n{}\
         gaps: {} told by a jump, {} by a heartbeat, {} by a ticker\n\
         trades {}, by REST {}; told missing and filled: {} never sent, {} late, {} cut off or shown again; not announced of delisted products {}",
        plan.seed,
        plan.feed.name(),
        plan.length.as_secs(),
        filled.as_secs_f64(),
        table(&stopped, &asked, &verdict),
        why("jump"),
        why("heartbeat"),
        why("ticker"),
        verdict.equal,
        verdict.by_rest,
        compared.told,
        compared.late,
        compared.cut_off,
        verdict.unannounced
    );
    stopped.assert_nothing_lost();
    compared.assert_clean();
    for kind in &asked {
        let fired = stopped.truth.times(kind.label());
        assert!(fired >= kind.times, "{} fired {fired} times of {}", kind.label(), kind.times);
    }
    assert!(
        why("jump") > 0 && (why("heartbeat") + why("ticker") > 0) == (plan.feed == SimulatedFeed::Exchange),
        "where heartbeats and tickers name trades, a stall is noticed while it lasts"
    );
    assert!(compared.told > 100, "the faults lost too few trades to prove anything");
    let (is_good, said) = programs::verify(&stopped.data, &["--ledger", stopped.ledger.to_str().unwrap()]);
    assert!(is_good || is_true_of_this_market(&stopped), "{said}");
}

/// Tells whether all that `verify` finds is one trade out of order that the market's clock, which the script sets, made while it was off, and that REST alone
/// supplied: no other message tells when it happened. It is stored as it was made, as every field is compared.
fn is_true_of_this_market(stopped: &Stopped) -> bool {
    let (_, found) = programs::verify(&stopped.data, &["--ledger", stopped.ledger.to_str().unwrap(), "--json"]);
    let findings = found.lines().filter(|line| line.contains(r#""line":"finding""#));
    let findings: Vec<Value> = findings.map(|line| serde_json::from_str(line).unwrap()).collect();
    let [finding] = findings.as_slice() else { return false };
    finding["kind"] == "time_order" && is_of_a_trade_by_rest(stopped, finding)
}

/// Tells whether a finding is about the event time of a trade that REST alone supplied: it has no receive time, no ticker tells of it, and the exchange itself
/// made it later than the trade behind it, and that one behind the trade before.
fn is_of_a_trade_by_rest(stopped: &Stopped, finding: &Value) -> bool {
    let (Some(product), Some(text)) = (finding["product"].as_str(), finding["text"].as_str()) else { return false };
    let tickers = programs::query(&stopped.data, product, &["--dataset", "md"]);
    let made = |id: u64| stopped.truth.products[product].made.get(&id).map(|made| made.time_nanos);
    let is_made_so = |id: u64| matches!((made(id - 1), made(id), made(id + 1)), (Some(before), Some(own), Some(behind)) if before <= behind && behind < own);
    programs::query(&stopped.data, product, &[]).iter().any(|trade| {
        let (second, nanos) = (trade["trade_time"].as_i64().unwrap(), trade["trade_nanos"].as_i64().unwrap());
        let time = jiff::Timestamp::new(second, i32::try_from(nanos).unwrap()).unwrap();
        text.contains(&format!(": {time:.9}, "))
            && trade["trade_recv_nanos"] == 0
            && tickers.iter().all(|ticker| ticker["trade_id"] != trade["trade_id"])
            && is_made_so(trade["trade_id"].as_u64().unwrap())
    })
}

/// Makes a table of the kinds: how often each was asked for and fired, the trades that it affected by itself, and how they were stored.
fn table(stopped: &Stopped, asked: &[Asked], verdict: &Verdict) -> String {
    let mut out = format!("{:22} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8}", "kind", "asked", "fired", "trades", "live", "by REST", "missing");
    out.push('\n');
    for kind in asked {
        let affected = |product: &str| stopped.truth.affected(kind.label(), product);
        let (mut trades, mut live, mut rest, mut missing) = (0, 0, 0, 0);
        for product in stopped.truth.products.keys() {
            let (expected, _) = stopped.truth.expected(product);
            for id in affected(product).intersection(&expected) {
                trades += 1;
                match verdict.means.get(&(product.clone(), *id)) {
                    Some(Means::Rest) => rest += 1,
                    Some(_) => live += 1,
                    None => missing += 1,
                }
            }
        }
        let fired = stopped.truth.times(kind.label());
        let _ = writeln!(out, "{:22} {:>6} {fired:>6} {trades:>8} {live:>8} {rest:>8} {missing:>8}", kind.label(), kind.times);
    }
    out
}

/// A run of about 20 s. A capture opens one connection a second, and asks REST eight times a second.
fn short(feed: SimulatedFeed, seed: u64) -> Plan {
    let times = Times { frames: 20, connections: 2, rest: 4, outages: 3, delisted: 2 };
    Plan { feed, seed, length: Duration::from_secs(16), times, patience: Duration::from_secs(120) }
}

/// The run that the environment asks for, with the same number of faults of every kind.
fn asked(seconds: u64) -> Plan {
    let times = setting("COLTAPE_FAULT_TIMES", 20);
    Plan {
        feed: if std::env::var("COLTAPE_FAULT_FEED").is_ok_and(|feed| feed == "advanced") {
            SimulatedFeed::Advanced
        } else {
            SimulatedFeed::Exchange
        },
        seed: setting("COLTAPE_FAULT_SEED", 1),
        length: Duration::from_secs(seconds),
        times: Times { frames: times, connections: times, rest: times, outages: times, delisted: times },
        patience: Duration::from_secs(180),
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

#[test]
fn nothing_is_lost_whatever_goes_wrong() {
    match setting("COLTAPE_FAULT_SECONDS", 0) {
        // Three runs at once: they wait much more than they work.
        0 => std::thread::scope(|scope| {
            for (feed, seed) in [(SimulatedFeed::Exchange, 1), (SimulatedFeed::Exchange, 2), (SimulatedFeed::Advanced, 3)] {
                scope.spawn(move || prove(&short(feed, seed)));
            }
        }),
        seconds => prove(&asked(seconds)),
    }
}
