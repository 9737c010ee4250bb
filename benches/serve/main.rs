//! How fast a day is served, beside a plain server that sends the same bytes from a file, and beside engines that read the exported Parquet file.
//!
//! `cargo bench --bench serve -- [PART] [rounds N]`: PART is a piece of a contest's name, N the number of alternating rounds (5). COLTAPE_BENCH_DIR says where
//! the days are written (6 GB), COLTAPE_BENCH_TRADES how many trades the large one has. The engines take part where `scripts/setup_python.sh` was run.
//!
//! Server and client are threads of this process, and each has a processor: the time is that of the clock.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod answers;
mod client;
#[allow(dead_code, reason = "shared with the other bench, which opens the day, too")]
#[path = "../read/day.rs"]
mod day;
#[allow(dead_code, reason = "shared with the other bench: the day that it makes")]
#[path = "../read/export.rs"]
mod export;
mod first_byte;
mod memory;
mod plain_server;
#[allow(dead_code, reason = "shared with the other benches, which set other bounds")]
#[path = "../tape/rounds.rs"]
mod rounds;
mod sealed_day;

use std::rc::Rc;

use rounds::{Measured, quartiles, short};
use sealed_day::SealedDay;

/// A target: what it says, its contest and entrant, and the most that the figure may be.
struct Target {
    text: String,
    contest: &'static str,
    name: &'static str,
    most: f64,
}

fn targets() -> Vec<Target> {
    let rates = [(answers::ARROW, 10.0), (answers::CSV, 2.5), (answers::JSONL, 1.5)].map(|(name, millions)| Target {
        text: format!("{name}: at least {millions} million records per second"),
        contest: answers::NAME,
        name,
        most: 1e3 / millions,
    });
    let first = first_byte::ASKED.map(|(name, _, is_records)| Target {
        text: format!("first byte of {} in at most 20 ms: {name}", if is_records { "the body" } else { "the answer" }),
        contest: first_byte::NAME,
        name,
        most: 20e6,
    });
    let memory = memory::ASKED.map(|(name, ..)| Target {
        text: format!("at most 16 MB of memory for a gigabyte: {name}"),
        contest: memory::NAME,
        name,
        most: 16.0,
    });
    rates.into_iter().chain(first).chain(memory).collect()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench" && arg != "serve").collect();
    let rounds = args.iter().skip_while(|arg| *arg != "rounds").nth(1).map_or(5, |text| text.parse().unwrap());
    let only = args.first().filter(|arg| *arg != "rounds").map_or("", String::as_str);
    let mut measured = Measured::default();
    if answers::NAME.contains(only) {
        answers::contest().hold(rounds, &mut measured);
    }
    let of_day = [first_byte::NAME, memory::NAME].map(|name| name.contains(only));
    if of_day.contains(&true) {
        let day = Rc::new(SealedDay::make());
        if of_day[0] {
            first_byte::hold(&day, rounds, &mut measured);
        }
        if of_day[1] {
            memory::hold(&day, &mut measured);
        }
    }
    measured.print();
    println!("\ntargets: median of the rounds (quartiles)");
    let mut are_met = true;
    for Target { text, contest, name, most } in targets() {
        let Some(series) = measured.find(contest, name) else { continue };
        let [low, middle, high] = quartiles(&series.values);
        let told = if middle <= most { "met" } else { "NOT MET" };
        println!("  {told:<8} {text:<82} {} ({} to {}) {}", short(middle), short(low), short(high), series.unit);
        are_met &= middle <= most;
    }
    if !are_met {
        std::process::exit(1);
    }
}
