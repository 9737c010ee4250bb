//! How fast a stored day is read, each figure beside that of another way to do the same, measured in the same run.
//!
//! `cargo bench --bench read -- [PART] [rounds N]`: PART is a piece of a contest's name, N the number of alternating rounds (9). COLTAPE_BENCH_DIR says where
//! the day is written (2 GB for its 50 million trades), COLTAPE_BENCH_TRADES how many trades it has, and COLTAPE_BENCH_MEMORY where files lie in memory.
//! /dev/shm usually has pages of 4 kB, and to make these costs more than an export does. With large ones, as root:
//! `unshare -m sh -c 'mount -t tmpfs -o huge=always none /mnt && COLTAPE_BENCH_MEMORY=/mnt cargo bench --bench read -- export'`.
//!
//! To add a contest: a module beside `scan`, a line in `CONTESTS`, and a line in `TARGETS` for what has to be held. The day is made once for all.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod candles;
mod day;
mod export;
mod lookup;
#[allow(dead_code, reason = "shared with the other bench, which sets other bounds")]
#[path = "../tape/rounds.rs"]
mod rounds;
mod scan;

use std::rc::Rc;

use day::BenchDay;
use rounds::Bound::AtLeast;
use rounds::{Bound, Contest, Measured, Target, quartiles, short};

/// Makes a contest from the day that all share.
type Make = fn(&Rc<BenchDay>) -> Contest;

const CONTESTS: [(&str, Make); 7] = [
    (lookup::NAME, lookup::contest),
    (scan::NAME, scan::contest),
    (candles::NAME, candles::contest),
    (export::NAME, export::contest),
    (export::ELAPSED, export::elapsed_contest),
    (export::ELAPSED_CPU, export::elapsed_cpu_contest),
    (export::DISK, export::disk_contest),
];

type Series = (&'static str, &'static str);

/// Ratios that have to be held.
const TARGETS: [(&str, Series, Series, Bound); 3] = [
    ("scan of a column at least 70 % as fast as of a plain slice", (scan::NAME, scan::PLAIN), (scan::NAME, scan::COLUMN), AtLeast(0.7)),
    ("the same run by run in the merged order", (scan::NAME, scan::PLAIN), (scan::NAME, scan::RUNS), AtLeast(0.7)),
    (
        "Arrow to disk at least 80 % as fast as the writing of the same bytes",
        (export::DISK, export::ARROW_BYTES),
        (export::DISK, export::ARROW),
        AtLeast(0.8),
    ),
];

/// Figures that have to be held as they are: the most that they may be.
const MOST: [(&str, Series, f64); 6] = [
    ("a range of time is found in at most 50 us", (lookup::NAME, lookup::RANGE), 50_000.0),
    ("candles of 10 million trades in at most 100 ms: 10 ns a trade", (candles::NAME, candles::MINUTES), 10.0),
    ("Parquet: at least 3 million records per CPU second", (export::NAME, export::PARQUET), 1e9 / 3e6),
    ("CSV: at least 3 million records per CPU second", (export::NAME, export::CSV), 1e9 / 3e6),
    ("CSV into memory: at least 3 million records a second", (export::ELAPSED, export::CSV), 1e9 / 3e6),
    ("Arrow into memory: at least 15 million records a second", (export::ELAPSED, export::ARROW), 1e9 / 15e6),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench" && arg != "read").collect();
    let rounds = args.iter().skip_while(|arg| *arg != "rounds").nth(1).map_or(9, |text| text.parse().unwrap());
    let only = args.first().filter(|arg| *arg != "rounds").map_or("", String::as_str);
    let day = Rc::new(BenchDay::make());
    let mut measured = Measured::default();
    for (name, make) in CONTESTS {
        if name.contains(only) {
            make(&day).hold(rounds, &mut measured);
        }
    }
    measured.print();
    if !judge(&measured) {
        std::process::exit(1);
    }
}

/// Prints whether each target that was measured is met; tells whether all are.
fn judge(measured: &Measured) -> bool {
    println!("\ntargets: median of the rounds (quartiles)");
    let judged = TARGETS.map(|(text, above, below, bound)| Target { text, above, below, bound }.judge(measured));
    let mut are_met = judged.into_iter().flatten().all(|is_met| is_met);
    for (text, (contest, name), most) in MOST {
        let Some(series) = measured.find(contest, name) else { continue };
        let [low, middle, high] = quartiles(&series.values);
        let told = if middle <= most { "met" } else { "NOT MET" };
        println!("  {told:<8} {text:<92} {} ({} to {}) {}", short(middle), short(low), short(high), series.unit);
        are_met &= middle <= most;
    }
    are_met
}
