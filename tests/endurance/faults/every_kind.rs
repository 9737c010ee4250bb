//! Every kind of fault, each as often as asked, in one run: 0 missing, 0 doubled, 0 altered, and the journal tells exactly what was not sent.
//!
//! `COLTAPE_FAULT_SEED`, `COLTAPE_FAULT_TIMES`, `COLTAPE_FAULT_SECONDS` and `COLTAPE_FAULT_FEED` make it one long run; `scripts/faults.sh` sets them.

use std::fmt::Write as _;
use std::time::Duration;

use coltape::record::Means;
use coltape::simulate::{SimulateConfig, Wire};

use super::journal;
use super::run::{Run, Stopped, market};
use super::script::{Asked, Times, draw};
use super::tape::Verdict;
use crate::stage;

/// Products that trade to the end.
const PRODUCTS: usize = 20;
/// Trades a second of each.
const RATE: f64 = 40.0;
/// How long after the last fault the market goes on.
const CALM: Duration = Duration::from_secs(8);

struct Plan {
    wire: Wire,
    seed: u64,
    length: Duration,
    times: Times,
    /// How long the last gaps may take to be filled.
    patience: Duration,
}

fn prove(plan: &Plan) {
    let (script, asked) = draw(plan.seed, plan.length, plan.times);
    let count = PRODUCTS + usize::try_from(plan.times.delisted).unwrap();
    let config = SimulateConfig { wire: plan.wire, seed: plan.seed, rest_limit: Some(10), ..market(count, RATE, plan.length + CALM) };
    let run = Run::start(config, &script, &["--products-per-connection", "6", "--idle-timeout", "2s"]);
    run.await_market(plan.length + CALM + Duration::from_secs(30));
    let filled = run.await_all(plan.patience);
    let stopped = run.stop();
    let verdict = super::tape::judge(&stopped.data, &stopped.truth);
    let compared = journal::compare(&stopped.data, &stopped.truth);
    let why = |why: &str| stage::journal(&stopped.data, "gap_opened").iter().filter(|line| line["why"] == why).count();
    // In one piece, as other runs print too.
    println!(
        "\nseed {} of {}, {} s of faults; everything was there {:.1} s after the market's end\n{}\
         gaps: {} told by a jump, {} by a heartbeat\n\
         trades {}, by REST {}; told missing and filled: {} never sent, {} late, {} torn or shown again; untold of delisted products {}",
        plan.seed,
        plan.wire.name(),
        plan.length.as_secs(),
        filled.as_secs_f64(),
        table(&stopped, &asked, &verdict),
        why("jump"),
        why("heartbeat"),
        verdict.equal,
        verdict.by_rest,
        compared.told,
        compared.late,
        compared.torn,
        verdict.untold
    );
    stopped.assert_nothing_lost();
    compared.assert_clean();
    for kind in &asked {
        let came = stopped.truth.times(kind.label());
        assert!(came >= kind.times, "{} came {came} times of {}", kind.label(), kind.times);
    }
    assert!(
        why("jump") > 0 && (why("heartbeat") > 0) == (plan.wire == Wire::Exchange),
        "stalls are noticed while they last, where heartbeats name trades"
    );
    assert!(compared.told > 100, "faults that lose nothing prove nothing");
    let (holds, said) = stage::verify(&stopped.data, &["--ledger", stopped.ledger.to_str().unwrap()]);
    assert!(holds, "{said}");
}

/// Kind, how often asked and come, the trades it struck by itself, and what became of them.
fn table(stopped: &Stopped, asked: &[Asked], verdict: &Verdict) -> String {
    let mut out = format!("{:22} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8}", "kind", "asked", "came", "trades", "live", "by REST", "missing");
    out.push('\n');
    for kind in asked {
        let struck = |product: &str| stopped.truth.struck(kind.label(), product);
        let (mut trades, mut live, mut rest, mut missing) = (0, 0, 0, 0);
        for product in stopped.truth.products.keys() {
            let (expected, _) = stopped.truth.expected(product);
            for id in struck(product).intersection(&expected) {
                trades += 1;
                match verdict.means.get(&(product.clone(), *id)) {
                    Some(Means::Rest) => rest += 1,
                    Some(_) => live += 1,
                    None => missing += 1,
                }
            }
        }
        let came = stopped.truth.times(kind.label());
        let _ = writeln!(out, "{:22} {:>6} {came:>6} {trades:>8} {live:>8} {rest:>8} {missing:>8}", kind.label(), kind.times);
    }
    out
}

/// What fits into 20 s: connections are opened once a second, REST is asked eight times a second.
fn short(wire: Wire, seed: u64) -> Plan {
    let times = Times { frames: 20, connections: 2, rest: 4, outages: 3, delisted: 2 };
    Plan { wire, seed, length: Duration::from_secs(16), times, patience: Duration::from_secs(60) }
}

/// The run that the environment asks for, every kind of fault as often as the others.
fn asked(seconds: u64) -> Plan {
    let times = setting("COLTAPE_FAULT_TIMES", 20);
    Plan {
        wire: if std::env::var("COLTAPE_FAULT_FEED").is_ok_and(|feed| feed == "advanced") { Wire::Advanced } else { Wire::Exchange },
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
        // Three runs at once: they wait far more than they work.
        0 => std::thread::scope(|scope| {
            for (wire, seed) in [(Wire::Exchange, 1), (Wire::Exchange, 2), (Wire::Advanced, 3)] {
                scope.spawn(move || prove(&short(wire, seed)));
            }
        }),
        seconds => prove(&asked(seconds)),
    }
}
