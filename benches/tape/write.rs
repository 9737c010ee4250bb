//! Records into columns: appended and made visible in batches as a writer does it, beside the same columns through buffered files and into plain memory.
//! What counts is the writing thread's CPU time.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{ColumnSet, Dataset, Layout, Sink, Trades};
use coltape::internals::store::{DataDir, Day, DayFiles, InsertError, StoreOptions};

use crate::corpus::{CORPUS, Maker, RECV, time_of};
use crate::rivals::value;
use crate::rounds::{Contest, Entrant, thread_cpu};

/// Records of one run.
const RECORDS: usize = 1 << 17;

/// Records between two commits, as the writer has it.
const BATCH: usize = 256;

/// Records of the memory that is written over again and again: more than the caches hold.
const MEMORY_RECORDS: usize = 1 << 18;

/// Fresh pages that were made present before.
pub const AHEAD: &str = "coltape, provisioned ahead";
/// Fresh pages that another thread makes present meanwhile.
pub const MEANWHILE: &str = "coltape, provisioned by another thread meanwhile";
/// Buffered files.
pub const BUFFERED: &str = "a BufWriter of 128 KiB a column";
/// Nothing but the stores.
pub const MEMORY: &str = "plain memory";

fn trades() -> Vec<Trade> {
    let mut maker = Maker::new(4);
    (0..CORPUS).filter_map(|at| Some(value::matched(maker.matched("BTC-USD", at as u64 + 1, time_of(at)).as_bytes(), RECV)?.1)).collect()
}

/// Where a bench writes: a disk's file system, as memory would flatter the files.
pub fn folder() -> tempfile::TempDir {
    let base = std::env::var_os("COLTAPE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("coltape-bench.").tempdir_in(base).unwrap()
}

struct Setting {
    _folder: tempfile::TempDir,
    dir: Arc<DataDir>,
}

impl Setting {
    fn new(set: ColumnSet) -> Self {
        let folder = folder();
        let options = StoreOptions::default().columns(set).force_fs(true);
        let dir = Arc::new(DataDir::open(folder.path(), options, "bench").unwrap());
        Self { _folder: folder, dir }
    }

    fn day(&self) -> Day<Trades> {
        Day::<Trades>::open(&self.dir, &ProductId::new("BTC-USD").unwrap(), RECV.day(), RECV).unwrap().0
    }
}

fn ahead(set: ColumnSet, trades: &'static [Trade]) -> Entrant {
    let run = move || {
        let setting = Setting::new(set);
        let mut day = setting.day();
        let (mut took, mut id) = (Duration::ZERO, 0);
        while id < RECORDS as u64 {
            day.files().provision().unwrap();
            let room = day.room().min(RECORDS as u64 - id);
            let began = thread_cpu();
            for _ in 0..room {
                let trade = Trade { trade_id: id + 1, ..trades[id as usize % CORPUS] };
                day.insert(&trade).unwrap();
                id += 1;
                if id.is_multiple_of(BATCH as u64) {
                    day.commit();
                }
            }
            day.commit();
            took += thread_cpu() - began;
        }
        took
    };
    Entrant { name: AHEAD, run: Box::new(run) }
}

/// Makes room whenever the writer asks, as the provisioner does.
fn make_room(files: &DayFiles, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        if files.needs_room() { files.provision().unwrap() } else { std::thread::sleep(Duration::from_micros(20)) }
    }
}

fn meanwhile(set: ColumnSet, trades: &'static [Trade]) -> Entrant {
    let run = move || {
        let setting = Setting::new(set);
        let mut day = setting.day();
        let (files, is_over) = (Arc::clone(day.files()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| make_room(&files, &is_over));
            let began = thread_cpu();
            for id in 0..RECORDS as u64 {
                let trade = Trade { trade_id: id + 1, ..trades[id as usize % CORPUS] };
                while let Err(error) = day.insert(&trade) {
                    assert!(matches!(error, InsertError::NoRoom), "{error}");
                    std::thread::yield_now();
                }
                if (id + 1).is_multiple_of(BATCH as u64) {
                    day.commit();
                }
            }
            let took = thread_cpu() - began;
            is_over.store(true, Ordering::Release);
            took
        })
    };
    Entrant { name: MEANWHILE, run: Box::new(run) }
}

/// Writes each value to its column's buffered file. The columns are those of the table, in its order.
struct Buffered(Vec<BufWriter<File>>);

impl Buffered {
    fn put(&mut self, column: usize, bytes: &[u8]) {
        if let Some(file) = self.0.get_mut(column) {
            file.write_all(bytes).unwrap();
        }
    }
}

impl Sink for Buffered {
    #[inline(always)]
    fn u32(&mut self, column: usize, value: u32) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn u64(&mut self, column: usize, value: u64) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn f32(&mut self, column: usize, value: f32) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn f64(&mut self, column: usize, value: f64) {
        self.put(column, &value.to_le_bytes());
    }
    #[inline(always)]
    fn uuid(&mut self, column: usize, value: [u8; 16]) {
        self.put(column, &value);
    }
}

fn buffered(set: ColumnSet, trades: &'static [Trade]) -> Entrant {
    let run = move || {
        let folder = folder();
        let columns = Dataset::Trades.columns_of(set).iter();
        let file = |name: &str| BufWriter::with_capacity(128 << 10, File::create(folder.path().join(name)).unwrap());
        let mut files = Buffered(columns.map(|column| file(column.name)).collect());
        let began = thread_cpu();
        for id in 0..RECORDS as u64 {
            let trade = Trade { trade_id: id + 1, ..trades[id as usize % CORPUS] };
            Trades::store(&trade, &mut files);
        }
        for file in &mut files.0 {
            file.flush().unwrap();
        }
        thread_cpu() - began
    };
    Entrant { name: BUFFERED, run: Box::new(run) }
}

/// Stores each value into its column's memory, which is present.
struct Memory {
    narrow: Vec<Vec<u32>>,
    wide: Vec<Vec<u64>>,
    uuids: Vec<Vec<[u8; 16]>>,
    columns: usize,
    record: usize,
}

impl Memory {
    fn new(columns: usize) -> Self {
        let filled = |column: usize| column < columns;
        // Every kind has a slot for every column, filled or not: the index is a constant where it is used.
        Self {
            narrow: (0..16).map(|at| vec![1; if filled(at) { MEMORY_RECORDS } else { 0 }]).collect(),
            wide: (0..16).map(|at| vec![1; if filled(at) { MEMORY_RECORDS } else { 0 }]).collect(),
            uuids: (0..16).map(|at| vec![[1; 16]; if filled(at) { MEMORY_RECORDS } else { 0 }]).collect(),
            columns,
            record: 0,
        }
    }
}

impl Sink for Memory {
    #[inline(always)]
    fn u32(&mut self, column: usize, value: u32) {
        if column < self.columns {
            self.narrow[column][self.record] = value;
        }
    }
    #[inline(always)]
    fn u64(&mut self, column: usize, value: u64) {
        if column < self.columns {
            self.wide[column][self.record] = value;
        }
    }
    #[inline(always)]
    fn f32(&mut self, column: usize, value: f32) {
        self.u32(column, value.to_bits());
    }
    #[inline(always)]
    fn f64(&mut self, column: usize, value: f64) {
        self.u64(column, value.to_bits());
    }
    #[inline(always)]
    fn uuid(&mut self, column: usize, value: [u8; 16]) {
        if column < self.columns {
            self.uuids[column][self.record] = value;
        }
    }
}

fn memory(set: ColumnSet, trades: &'static [Trade]) -> Entrant {
    let mut memory = Memory::new(Dataset::Trades.columns_of(set).len());
    let run = move || {
        let began = thread_cpu();
        for id in 0..RECORDS as u64 {
            let trade = Trade { trade_id: id + 1, ..trades[id as usize % CORPUS] };
            Trades::store(&trade, &mut memory);
            memory.record = (memory.record + 1) % MEMORY_RECORDS;
        }
        black_box(&memory.narrow);
        thread_cpu() - began
    };
    Entrant { name: MEMORY, run: Box::new(run) }
}

/// The contest over the records of a set of columns.
pub fn contest(set: ColumnSet) -> Contest {
    let trades: &'static [Trade] = Box::leak(trades().into_boxed_slice());
    let name = match set {
        ColumnSet::Core => "write: core record, 8 columns, 60 bytes",
        ColumnSet::Full => "write: full record, 13 columns, 96 bytes",
    };
    let entrants = vec![ahead(set, trades), meanwhile(set, trades), buffered(set, trades), memory(set, trades)];
    Contest { name, per: "ns CPU / record", elements: RECORDS as u64, entrants }
}
