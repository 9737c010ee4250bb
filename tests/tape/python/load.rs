//! What readers cost the writer: its throughput at 100 000 records a second, with a reader in Rust and `coltape.py` beside it, and without. A
//! measurement, not a test of the suite: `scripts/readers.sh` runs it.
//!
//! Throughput is the number of records by the time spent appending and committing them. Pairs of runs take turns, and their medians are compared. Beside
//! it stands the same by the writer's processor time: where that does not fall and the other does, the machine was busy with something else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coltape::internals::schema::Trades;
use coltape::internals::store::Snapshot;

use super::live::{DAY, Writer, start_reader, trade};
use crate::capture::programs::await_that;
use crate::market::{insert, product};

/// Records of a run, and how many are appended at once.
const RECORDS: u64 = 100_000;
const BATCH: u64 = 100;
/// The time between two batches: 100 000 records a second.
const INTERVAL: Duration = Duration::from_millis(1);
/// By how much the median may fall.
const MOST: f64 = 0.05;
/// How long a reader waits that has found nothing new.
const PAUSE: Duration = Duration::from_millis(10);
/// Names the folder that the reader reads.
const FOLDER: &str = "COLTAPE_TEST_LOAD";
const DEADLINE: Duration = Duration::from_secs(60);

/// The reader in Rust: looks again and again, and holds every new one against what it must be.
#[test]
fn reader() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (folder, began) = (Path::new(&folder), Instant::now());
    let mut day = Snapshot::<Trades>::open(folder, &product(), DAY).unwrap().expect("a day");
    std::fs::write(folder.join("rust.began"), "").unwrap();
    let mut checked = 0;
    loop {
        assert!(began.elapsed() < DEADLINE, "nobody says stop");
        let is_over = folder.join("stop").exists();
        let is_new = day.refresh().unwrap();
        for number in checked..day.count() {
            let row = day.row(number).unwrap();
            assert_eq!(row, trade(number as u64 + 1), "record {number}");
        }
        checked = day.count();
        match (is_over, is_new) {
            (true, false) => break,
            (false, false) => std::thread::sleep(PAUSE),
            _ => {}
        }
    }
    assert_eq!(checked as u64, RECORDS);
}

fn start_rust_reader(folder: &Path) -> Child {
    let mut reader = Command::new(std::env::current_exe().unwrap());
    reader.args(["--exact", "python::load::reader"]).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Records per second of the time spent on appending and committing them.
#[derive(Clone, Copy)]
struct Throughput {
    by_clock: f64,
    by_processor: f64,
}

/// Appends the records of a run at their pace.
fn run(has_readers: bool) -> Throughput {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path());
    insert(&mut writer.day, &trade(1));
    writer.day.commit();
    let readers = if has_readers {
        vec![start_rust_reader(folder.path()), start_reader(folder.path(), &PAUSE.as_secs_f64().to_string())]
    } else {
        Vec::new()
    };
    let is_there = |name: &str| folder.path().join(name).exists();
    await_that("the readers have begun", || !has_readers || (is_there("rust.began") && is_there("python.began")));
    let (began, mut busy, mut used) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    let batches = (2..=RECORDS).collect::<Vec<u64>>();
    for (number, batch) in batches.chunks(BATCH as usize).enumerate() {
        let (from, used_before) = (Instant::now(), processor_time());
        for id in batch {
            insert(&mut writer.day, &trade(*id));
        }
        writer.day.commit();
        busy += from.elapsed();
        used += processor_time() - used_before;
        if number % 500 == 499 {
            writer.syncer.cycle().unwrap();
        }
        let next = INTERVAL * (number as u32 + 1);
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    std::fs::write(folder.path().join("stop"), "").unwrap();
    for reader in readers {
        let output = reader.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
    Throughput { by_clock: RECORDS as f64 / busy.as_secs_f64(), by_processor: RECORDS as f64 / used.as_secs_f64() }
}

/// The median of a figure of some runs.
fn median(runs: &[Throughput], of: fn(&Throughput) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement of a minute: scripts/readers.sh"]
fn readers_cost_the_writer_less_than_a_twentieth() {
    let pairs: usize = std::env::var("COLTAPE_READER_PAIRS").map_or(15, |text| text.parse().unwrap());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut out = std::io::stderr();
    for pair in 1..=pairs {
        // Each begins every other pair: what comes second may be warmer.
        for has_readers in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            let of = if has_readers { &mut beside } else { &mut alone };
            of.push(run(has_readers));
        }
        let (alone, beside) = (alone.last().unwrap(), beside.last().unwrap());
        let _ = writeln!(out, "pair {pair}: {:.0} records/s alone, {:.0} with readers", alone.by_clock, beside.by_clock);
    }
    let fall = |of: fn(&Throughput) -> f64| 1.0 - median(&beside, of) / median(&alone, of);
    let (by_clock, by_processor) = (fall(|run| run.by_clock), fall(|run| run.by_processor));
    let had_processor = median(&alone, |run| run.by_clock) / median(&alone, |run| run.by_processor);
    let _ = writeln!(
        out,
        "median of {pairs} pairs: with two readers it falls by {:.1} % ({:.1} % by processor time). Without them the writer had the processor {:.0} % of \
         that time: far below 100 the machine is too busy to measure by the clock",
        by_clock * 100.0,
        by_processor * 100.0,
        had_processor * 100.0
    );
    assert!(by_clock < MOST, "it falls by more than {:.0} %", MOST * 100.0);
}
