//! How fast the program is. Each figure stands beside those of other ways to do the same, measured in the same run.
//!
//! `cargo bench` holds every contest under criterion, and a short pipeline. `cargo bench -- rounds [N] [PART]` holds them in N alternating
//! rounds (9) and prints one table with the targets; PART is a piece of a contest's name. `scripts/bench.sh` wraps that.
//! `cargo bench -- probe DESIGN PRODUCTS MESSAGES [RATE]` runs one design by itself and tells its threads' shares: something to hold a profiler to.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod corpus;
mod designs;
mod parse;
mod pipeline;
mod queue;
mod read;
mod rivals;
mod rounds;
mod sender;
mod targets;
mod write;

use std::time::Duration;

use coltape::internals::schema::ColumnSet;
use criterion::{Criterion, Throughput};
use rounds::{Contest, Measured};

/// Makes a contest when its turn has come: what it holds on to would disturb the others.
type Make = fn() -> Vec<Contest>;

const CONTESTS: [(&str, Make); 10] = [
    ("parse: match", || vec![parse::matches()]),
    ("parse: ticker", || vec![parse::tickers()]),
    ("parse: Advanced batch of 1", || vec![parse::batches(1)]),
    ("parse: Advanced batch of 100", || vec![parse::batches(100)]),
    ("write: core", || vec![write::contest(ColumnSet::Core)]),
    ("write: full", || vec![write::contest(ColumnSet::Full)]),
    ("queue: to 1 ", || queue::contests(1).into()),
    ("queue: to 12", || queue::contests(12).into()),
    ("queue: to 400", || queue::contests(400).into()),
    ("read", || vec![read::contest()]),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.split_first() {
        Some((first, rest)) if first == "design" => designs::run(&designs::Task::from_args(rest)),
        Some((first, rest)) if first == "probe" => pipeline::probe(rest),
        Some((first, rest)) if first == "rounds" => {
            let rounds = rest.first().map_or(9, |text| text.parse().unwrap());
            if !in_rounds(rounds, rest.get(1).map_or("", String::as_str)) {
                std::process::exit(1);
            }
        }
        _ => under_criterion(),
    }
}

/// Holds the contests whose name contains `only`; tells whether every target measured is met.
fn in_rounds(rounds: usize, only: &str) -> bool {
    let mut measured = Measured::default();
    targets::print_machine(rounds);
    for (name, make) in CONTESTS {
        if name.contains(only) || only.contains(name) {
            make().iter_mut().for_each(|contest| contest.hold(rounds, &mut measured));
        }
    }
    pipeline::hold(rounds, only, &mut measured);
    measured.print();
    targets::judge(&measured)
}

fn under_criterion() {
    let mut criterion = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    criterion = criterion.configure_from_args();
    for (_, make) in CONTESTS {
        for mut contest in make() {
            let mut group = criterion.benchmark_group(contest.name);
            group.throughput(Throughput::Elements(contest.elements));
            for entrant in &mut contest.entrants {
                group.bench_function(entrant.name, |bencher| bencher.iter_custom(|runs| (0..runs).map(|_| (entrant.run)()).sum()));
            }
            group.finish();
        }
    }
    criterion.final_summary();
    // Somebody who asks for one contest does not wait for the pipeline.
    if std::env::args().skip(1).any(|arg| !arg.starts_with("--")) {
        return;
    }
    let mut measured = Measured::default();
    pipeline::hold(1, "pipeline: 12 products, as fast", &mut measured);
    measured.print();
}
