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
mod plain_server;
#[allow(dead_code, reason = "shared with the other benches, which set other bounds")]
#[path = "../tape/rounds.rs"]
mod rounds;
mod sealed_day;

use rounds::{Contest, Measured, quartiles, short};

type Make = fn() -> Contest;

const CONTESTS: [(&str, Make); 2] = [(answers::NAME, answers::contest), (first_byte::NAME, first_byte::contest)];

/// Figures that have to be held: the most that they may be.
const MOST: [(&str, &str, &str, f64); 7] = [
    ("Arrow: at least 10 million records per second", answers::NAME, answers::ARROW, 1e9 / 10e6),
    ("CSV: at least 2.5 million records per second", answers::NAME, answers::CSV, 1e9 / 2.5e6),
    ("JSON Lines: at least 1.5 million records per second", answers::NAME, answers::JSONL, 1e9 / 1.5e6),
    ("first byte of all trades as JSON Lines in at most 20 ms", first_byte::NAME, first_byte::JSONL, 20e6),
    ("first byte of all trades as Arrow in at most 20 ms", first_byte::NAME, first_byte::ARROW, 20e6),
    ("first byte of all trades as CSV, newest first, in at most 20 ms", first_byte::NAME, first_byte::NEWEST, 20e6),
    ("first byte of ten trades by their ids in at most 20 ms", first_byte::NAME, first_byte::IDS, 20e6),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench" && arg != "serve").collect();
    let rounds = args.iter().skip_while(|arg| *arg != "rounds").nth(1).map_or(5, |text| text.parse().unwrap());
    let only = args.first().filter(|arg| *arg != "rounds").map_or("", String::as_str);
    let mut measured = Measured::default();
    for (name, make) in CONTESTS {
        if name.contains(only) {
            make().hold(rounds, &mut measured);
        }
    }
    measured.print();
    println!("\ntargets: median of the rounds (quartiles)");
    let mut are_met = true;
    for (text, contest, name, most) in MOST {
        let Some(series) = measured.find(contest, name) else { continue };
        let [low, middle, high] = quartiles(&series.values);
        let told = if middle <= most { "met" } else { "NOT MET" };
        println!("  {told:<8} {text:<76} {} ({} to {}) {}", short(middle), short(low), short(high), series.unit);
        are_met &= middle <= most;
    }
    if !are_met {
        std::process::exit(1);
    }
}
