//! What an export of a day costs, reading, verifying, checksums, writing and the flush included: CPU time of all threads of the process on one job; then, with
//! a thread for each processor, the time that passes, once into memory, where no disk is waited for, and once to the disk.
//!
//! The rivals: `query` for CSV, copying the column files, which encodes nothing, and writing the very bytes of the exported file once more, with a flush.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use coltape::{Dataset, Datasets, Layout};
use coltape::{ExportConfig, ExportFormat, Format, ProductId, QueryConfig, Trades, UnixNanos, UtcDay, export, query};

use crate::day::{BenchDay, Draw};
use crate::rounds::{Contest, Entrant};

pub const NAME: &str = "export: a day of trades";
/// The contests of the time that passes, with a thread for each processor.
pub const ELAPSED: &str = "export into memory, in real time: a day of trades";
pub const ELAPSED_CPU: &str = "export into memory, CPU time of all threads: a day of trades";
pub const DISK: &str = "export to disk, in real time: a day of trades";
pub const PARQUET: &str = "coltape: export --format parquet, safe types";
pub const ARROW: &str = "coltape: export --format arrow";
pub const CSV: &str = "coltape: export --format csv";
const QUERY: &str = "coltape: query --format csv";
const COPY: &str = "the column files copied";
const PARQUET_BYTES: &str = "the bytes of that Parquet file written, and flushed";
pub const ARROW_BYTES: &str = "the bytes of that Arrow file written, and flushed";
const CSV_BYTES: &str = "the bytes of that CSV file written, and flushed";

/// Trades of the day that is exported.
pub const TRADES: u64 = 2_000_000;
pub const DATE: UtcDay = UtcDay(20_000);
const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// Writes a day of trades with every column, as a busy product has them: prices that move by cents, sizes of 8 decimals, random order ids.
pub fn make(dir: &Path) -> PathBuf {
    let place = dir.join("BTC-USD").join(Dataset::Trades.folder());
    std::fs::create_dir_all(&place).unwrap();
    std::fs::create_dir_all(dir.join("_coltape")).unwrap();
    let mut files: Vec<_> = Trades::COLUMNS
        .iter()
        .map(|column| BufWriter::with_capacity(1 << 20, File::create(place.join(format!("{}.{DATE}.bin", column.name))).unwrap()))
        .collect();
    let (mut draw, mut cents, mut sequence) = (Draw(0x9E37_79B9_7F4A_7C15), 10_000_000u64, 1u64 << 33);
    let mut taker = [0; 16];
    for at in 0..TRADES {
        let drawn = draw.next();
        let time = DATE.start().0 + at * (NANOS_PER_DAY / TRADES) / 1_000 * 1_000;
        cents = cents + drawn / 7 % 3 - 1;
        sequence += 1 + drawn % 20;
        let (price, size) = (cents as f64 / 100.0, ((drawn >> 40) + 1) as f64 / 1e8);
        let mut maker = [0; 16];
        maker[..8].copy_from_slice(&draw.next().to_le_bytes());
        maker[8..].copy_from_slice(&draw.next().to_le_bytes());
        if drawn % 2 == 0 {
            taker = maker.map(|byte| byte.rotate_left(3));
        }
        let values: [&[u8]; 13] = [
            &(800_000_000 + at).to_le_bytes(),
            &((time / 1_000_000_000) as u32).to_le_bytes(),
            &((time % 1_000_000_000) as u32).to_le_bytes(),
            &(price as f32).to_le_bytes(),
            &(size as f32).to_le_bytes(),
            &((drawn >> 20) as u32 & 1).to_le_bytes(),
            &maker,
            &taker,
            &price.to_le_bytes(),
            &size.to_le_bytes(),
            &sequence.to_le_bytes(),
            &(time + 5_000_000 + drawn % 20_000_000).to_le_bytes(),
            &0u32.to_le_bytes(),
        ];
        files.iter_mut().zip(values).for_each(|(file, value)| file.write_all(value).unwrap());
    }
    files.iter_mut().for_each(|file| file.flush().unwrap());
    place
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Measures work.
type Clock = fn(&mut dyn FnMut()) -> Duration;

fn elapsed(work: &mut dyn FnMut()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn timed(work: &mut dyn FnMut()) -> Duration {
    let began = process_cpu();
    work();
    process_cpu() - began
}

fn disk() -> PathBuf {
    std::env::var_os("COLTAPE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Where files are kept in memory, if the machine has such a place.
fn memory() -> PathBuf {
    let usual = Some(PathBuf::from("/dev/shm")).filter(|place| place.is_dir());
    std::env::var_os("COLTAPE_BENCH_MEMORY").map(PathBuf::from).or(usual).unwrap_or_else(disk)
}

/// A folder with the tape.
fn folder(base: &Path) -> Rc<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("coltape-bench.").tempdir_in(base).unwrap();
    make(&folder.path().join("tape"));
    Rc::new(folder)
}

/// Exports the tape of a folder. The time is measured by `clock`.
fn exported(
    folder: &Rc<tempfile::TempDir>,
    (name, format): (&'static str, ExportFormat),
    jobs: Option<NonZeroUsize>,
    clock: Clock,
) -> Entrant {
    let folder = Rc::clone(folder);
    let run = move || {
        let out = folder.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        let mut config = ExportConfig::new(folder.path().join("tape"), &out, UnixNanos(DATE.next().start().0));
        (config.format, config.jobs, config.datasets) = (format, jobs, Datasets::of(&[Dataset::Trades]));
        clock(&mut || assert_eq!(export(&config).unwrap().rows, TRADES))
    };
    Entrant { name, run: Box::new(run) }
}

/// Writes the bytes of an exported file to a new one, and flushes it.
fn written_again(folder: &Rc<tempfile::TempDir>, name: &'static str, format: ExportFormat, clock: Clock) -> Entrant {
    let folder = Rc::clone(folder);
    let out = folder.path().join("once");
    let mut config = ExportConfig::new(folder.path().join("tape"), &out, UnixNanos(DATE.next().start().0));
    (config.format, config.datasets) = (format, Datasets::of(&[Dataset::Trades]));
    assert_eq!(export(&config).unwrap().rows, TRADES);
    let partition = out.join(format!("dataset=trades/product=BTC-USD/date={DATE}"));
    let exported = std::fs::read_dir(partition).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(exported).unwrap();
    std::fs::remove_dir_all(out).unwrap();
    let run = move || {
        let path = folder.path().join("again");
        let _ = std::fs::remove_file(&path);
        clock(&mut || {
            let mut file = File::create(&path).unwrap();
            bytes.chunks(1 << 18).for_each(|part| file.write_all(part).unwrap());
            file.sync_all().unwrap();
        })
    };
    Entrant { name, run: Box::new(run) }
}

/// The formats, each beside the writing of its own bytes.
fn beside_writing(base: &Path, (name, per): (&'static str, &'static str), clock: Clock) -> Contest {
    let folder = folder(base);
    let formats =
        [(PARQUET, PARQUET_BYTES, ExportFormat::Parquet), (ARROW, ARROW_BYTES, ExportFormat::Arrow), (CSV, CSV_BYTES, ExportFormat::Csv)];
    let entrants = formats
        .into_iter()
        .flat_map(|(name, again, format)| [exported(&folder, (name, format), None, clock), written_again(&folder, again, format, clock)]);
    Contest { name, per, elements: TRADES, entrants: entrants.collect() }
}

/// The contest of the time that passes, in memory.
pub fn elapsed_contest(_: &Rc<BenchDay>) -> Contest {
    beside_writing(&memory(), (ELAPSED, "ns / record"), elapsed)
}

/// The contest of CPU time on as many threads.
pub fn elapsed_cpu_contest(_: &Rc<BenchDay>) -> Contest {
    beside_writing(&memory(), (ELAPSED_CPU, "ns CPU / record"), timed)
}

/// The contest of the time that passes, on disk.
pub fn disk_contest(_: &Rc<BenchDay>) -> Contest {
    beside_writing(&disk(), (DISK, "ns / record"), elapsed)
}

/// The contest of CPU time, on one thread. It has a day of its own: the one that the others share has no order ids.
pub fn contest(_: &Rc<BenchDay>) -> Contest {
    let folder = folder(&disk());
    let columns = folder.path().join("tape/BTC-USD").join(Dataset::Trades.folder());
    let by_cpu = |entrant| exported(&folder, entrant, NonZeroUsize::new(1), timed);
    let (asked, copied) = (Rc::clone(&folder), Rc::clone(&folder));
    let queried = move || {
        let mut config = QueryConfig::new(asked.path().join("tape"), ProductId::new("BTC-USD").unwrap());
        config.format = Format::Csv;
        let mut out = BufWriter::new(File::create(asked.path().join("query.csv")).unwrap());
        timed(&mut || assert_eq!(query(&config, &|| true, &mut out).unwrap(), TRADES))
    };
    let copy = move || {
        let out = copied.path().join("copy");
        std::fs::create_dir_all(&out).unwrap();
        timed(&mut || {
            for entry in std::fs::read_dir(&columns).unwrap() {
                let path = entry.unwrap().path();
                std::fs::write(out.join(path.file_name().unwrap()), std::fs::read(&path).unwrap()).unwrap();
            }
        })
    };
    let entrants = vec![
        by_cpu((PARQUET, ExportFormat::Parquet)),
        by_cpu((ARROW, ExportFormat::Arrow)),
        by_cpu((CSV, ExportFormat::Csv)),
        Entrant { name: QUERY, run: Box::new(queried) },
        Entrant { name: COPY, run: Box::new(copy) },
    ];
    Contest { name: NAME, per: "ns CPU / record", elements: TRADES, entrants }
}
