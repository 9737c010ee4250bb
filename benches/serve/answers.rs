//! All trades of a day in each format, beside the same bytes from a file, and beside engines that read the day's Parquet file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use coltape::{Dataset, Datasets, ExportConfig, ExportFormat, ServeConfig, Serving, UnixNanos};

use crate::client::{Portion, ask};
use crate::export::{DATE, TRADES, make};
use crate::plain_server;
use crate::rounds::{Contest, Entrant};

pub const NAME: &str = "answers: all trades of a day";
pub const ARROW: &str = "coltape: Arrow";
pub const CSV: &str = "coltape: CSV";
pub const JSONL: &str = "coltape: JSON Lines";

/// The formats, with the same bytes from a file.
const FORMATS: [(&str, &str, &str); 3] = [
    (ARROW, "arrow", "plain server: the same Arrow from a file"),
    (CSV, "csv", "plain server: the same CSV from a file"),
    (JSONL, "jsonl", "plain server: the same JSON Lines from a file"),
];

/// Programs that read the Parquet file, given as the first argument, and print how many nanoseconds that took.
const ENGINES: [(&str, &str); 2] = [
    (
        "Polars: the Parquet file",
        "import sys, time, polars\nt = time.perf_counter_ns()\nn = polars.read_parquet(sys.argv[1]).height\nprint(time.perf_counter_ns() - t, n)",
    ),
    (
        "DuckDB: the Parquet file, to Arrow",
        "import sys, time, duckdb\nt = time.perf_counter_ns()\nn = duckdb.sql(f\"from '{sys.argv[1]}'\").to_arrow_table().num_rows\nprint(time.perf_counter_ns() - t, n)",
    ),
];

pub fn contest() -> Contest {
    let base = std::env::var_os("COLTAPE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new().prefix("coltape-bench.").tempdir_in(base).unwrap();
    let tape = folder.path().join("tape");
    make(&tape);
    let serving = Rc::new(Serving::start(ServeConfig::new(&tape)).unwrap());
    let still = folder.path().join("still");
    std::fs::create_dir(&still).unwrap();
    let plain = plain_server::start(still.clone());
    let mut entrants = Vec::new();
    for (name, format, plain_name) in FORMATS {
        let target = format!("/v1/trades?product=BTC-USD&format={format}");
        let length = ask(serving.address(), &target, Portion::Whole).bytes;
        // The bytes themselves do not matter to either server: the file has as many.
        std::fs::write(still.join(format), vec![b'x'; length as usize]).unwrap();
        let kept = Rc::clone(&serving);
        let served = move || {
            let received = ask(kept.address(), &target, Portion::Whole);
            assert_eq!(received.bytes, length);
            received.whole
        };
        entrants.push(Entrant { name, run: Box::new(served) });
        entrants.push(Entrant { name: plain_name, run: Box::new(move || ask(plain, &format!("/{format}"), Portion::Whole).whole) });
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if python.exists() {
        let parquet = exported(&tape, &folder.path().join("out"));
        for (name, program) in ENGINES {
            let (python, parquet) = (python.clone(), parquet.clone());
            entrants.push(Entrant { name, run: Box::new(move || engine(&python, program, &parquet)) });
        }
    }
    // The folder is needed as long as the entrants are.
    let first = std::mem::replace(&mut entrants[0].run, Box::new(|| Duration::ZERO));
    let mut first = (first, folder);
    entrants[0].run = Box::new(move || {
        // All of it: a closure takes only the fields that it names, and the folder would end here.
        let first = &mut first;
        (first.0)()
    });
    Contest { name: NAME, per: "ns / record", elements: TRADES, entrants }
}

fn exported(tape: &Path, out: &Path) -> PathBuf {
    let mut config = ExportConfig::new(tape, out, UnixNanos(DATE.next().start().0));
    (config.format, config.jobs, config.datasets) = (ExportFormat::Parquet, NonZeroUsize::new(1), Datasets::of(&[Dataset::Trades]));
    coltape::export(&config).unwrap();
    out.join(format!("dataset=trades/product=BTC-USD/date={DATE}/part-0.parquet"))
}

/// Runs an engine on one thread. Gives the time that it took to read, without that of its start.
fn engine(python: &Path, program: &str, parquet: &Path) -> Duration {
    let output = Command::new(python).args(["-c", program]).arg(parquet).env("POLARS_MAX_THREADS", "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    let nanos = numbers.next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(numbers.next(), Some(TRADES));
    Duration::from_nanos(nanos)
}
