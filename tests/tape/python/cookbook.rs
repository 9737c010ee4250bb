//! The cookbook of `src/guide/reading.md`: each block is run, in its order, on a tape with a sealed day and a live one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coltape::internals::schema::Trades;
use coltape::internals::store::{DayState, Snapshot};
use coltape::internals::time::UtcDay;

use super::{interpreter, output_of, python, root};
use crate::capture::programs::{Capture, Simulator, await_that, coltape};
use crate::market::product;

const SEALED: &str = "2025-06-06";
const LIVE: &str = "2025-06-07";
/// A block that begins with this is run by a script.
const RUN_ELSEWHERE: &str = "# run by scripts/engines.sh";

/// A fenced block of the page.
struct Block {
    heading: String,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut heading, mut open) = (Vec::new(), String::new(), None::<Block>);
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { heading: heading.clone(), language: language.to_owned(), text: String::new() }),
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => block.text += &format!("{line}\n"),
            (None, None) if line.starts_with("# ") => heading = line.trim_start_matches("# ").to_owned(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// The two versions of DuckDB that the blocks are run with.
#[derive(Clone, Copy, PartialEq)]
enum DuckDb {
    One,
    Two,
}

/// A running simulator and capture, with a sealed day before a live one.
struct Tape {
    folder: tempfile::TempDir,
    _simulator: Simulator,
    _capture: Capture,
}

impl Tape {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let args = ["--products", "BTC-USD,ETH-USD", "--rate", "200", "--start", "2025-06-06T23:59:57Z", "--duration", "10m"];
        let simulator = Simulator::start(&args);
        let rest = simulator.endpoints["rest_url"].as_str().unwrap().to_owned();
        let url = simulator.websocket();
        let start = || Capture::start(&data, &["BTC-USD", "ETH-USD", "--url", &url, "--rest-url", &rest]);
        let day = |date: &str| Snapshot::<Trades>::open(&data, &product(), UtcDay::parse(date).unwrap()).ok().flatten();
        let first = start();
        await_that("the second day has begun", || day(LIVE).is_some_and(|day| day.count() > 50));
        first.stop();
        assert!(matches!(day(SEALED).unwrap().state(), DayState::Sealed { .. }));
        let capture = start();
        await_that("the second day is live", || day(LIVE).is_some_and(|day| day.state() == DayState::Live && day.count() > 100));
        Self { folder, _simulator: simulator, _capture: capture }
    }

    /// Runs a block as its reader would, in the folder that holds `data`. SQL is run by DuckDB 2 where `duckdb` says so.
    fn run(&self, block: &Block, duckdb: DuckDb) -> Output {
        let mut command = match block.language.as_str() {
            "sh" => {
                let mut shell = Command::new("bash");
                shell.args(["-euo", "pipefail", "-c", &block.text]);
                shell
            }
            "python" => {
                let mut script = python();
                script.args(["-c", &block.text]);
                script
            }
            "sql" => {
                let mut script = python();
                script.args(["-c", "import duckdb, sys\nresult = duckdb.sql(sys.argv[1])\nprint(*result.columns, sep='\\t')\nfor row in result.fetchall(): print(*row, sep='\\t')", &block.text]);
                script
            }
            other => panic!("nothing runs a block of {other}"),
        };
        if duckdb == DuckDb::Two {
            command.env("PYTHONPATH", root().join("target/venv/duckdb2"));
        }
        let path = std::env::var("PATH").unwrap();
        let programs = [Path::new(env!("CARGO_BIN_EXE_coltape")).parent().unwrap().to_owned(), interpreter().parent().unwrap().to_owned()];
        let paths = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path))).unwrap();
        command.env("PATH", paths).env_remove("COLTAPE_DATA_DIR").current_dir(self.folder.path()).output().unwrap()
    }

    /// Lists the files beside the tape, and what they hold.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let found = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        let mut found: Vec<_> = found.map(|entry| (entry.path(), entry.metadata().unwrap().len())).collect();
        found.sort();
        found
    }

    /// The VWAP of the sealed day, exact, of the decimals that `query` prints.
    fn exact_vwap(&self) -> f64 {
        let mut query = coltape();
        query.args([
            "query",
            "BTC-USD",
            "--from",
            SEALED,
            "--to",
            LIVE,
            "--columns",
            "trade_price_f64,trade_size_f64",
            "--format",
            "csv",
            "--data-dir",
        ]);
        let csv = output_of(query.arg(self.folder.path().join("data")));
        let sum = "import sys\nfrom fractions import Fraction as F\nrows = [[F(x) for x in line.split(',')] for line in sys.argv[1].split('\\n')[1:] if line]\nprint(repr(float(sum(p * s for p, s in rows) / sum(s for _, s in rows))))";
        output_of(python().args(["-c", sum, &csv])).trim().parse().unwrap()
    }
}

#[test]
fn every_block_of_the_cookbook_does_what_it_says() {
    let page = fs::read_to_string(root().join("src/guide/reading.md")).unwrap();
    let tape = Tape::start();
    let (mut vwaps, mut failures) = (Vec::new(), Vec::new());
    for block in blocks(&page).into_iter().filter(|block| !block.language.starts_with("rust")) {
        if block.text.starts_with(RUN_ELSEWHERE) {
            // Its syntax is checked all the same.
            output_of(python().args(["-c", "import ast, sys\nast.parse(sys.argv[1])", &block.text]));
            continue;
        }
        let before = tape.files();
        let output = tape.run(&block, DuckDb::One);
        let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        let has_result = !out.trim().is_empty() || tape.files().iter().any(|file| !before.contains(file) && file.1 > 0);
        if block.language == "sql" {
            let other = tape.run(&block, DuckDb::Two);
            assert_eq!(
                String::from_utf8_lossy(&other.stdout),
                out,
                "DuckDB 2 answers otherwise: {}",
                String::from_utf8_lossy(&other.stderr)
            );
        }
        if !output.status.success() || !has_result {
            failures.push(format!("== {}\n{}-- {}\n{out}{err}", block.heading, block.text, output.status));
        } else if block.heading == "VWAP" {
            let last = out.lines().last().unwrap().trim().to_owned();
            vwaps.push((block.text, last.parse::<f64>().unwrap_or_else(|_| panic!("no number: {out}"))));
        }
    }
    assert!(failures.is_empty(), "{} blocks fail\n{}", failures.len(), failures.join("\n"));
    let exact = tape.exact_vwap();
    assert_eq!(vwaps.len(), 6);
    for (text, vwap) in vwaps {
        assert!((vwap / exact - 1.0).abs() < 1e-12, "{vwap} is not {exact}\n{text}");
    }
}
