//! A reader in another process, looking as fast as it can while a day grows, takes late records, is sealed, replaced and opened again,
//! sees whole committed records only. With a writer that announces records before it has stored them the same reader must say so.
//!
//! The test runs itself again as the reader.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::TimeRange;
use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::{OrderId, Side, Trade};
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::{DataDir, Day, InsertError, Snapshot, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);
const FOLDER: &str = "COLTAPE_TEST_READ";
/// How the reader ends when it has seen something that never was.
const TORN: i32 = 43;
/// How it ends when all was well.
const WELL: i32 = 42;
const RECORDS: u64 = 200_000;
const DEADLINE: Duration = Duration::from_secs(60);

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

/// Every column follows from the id, and none of it is zero.
fn trade(id: u64) -> Trade {
    let order = |salt: u64| OrderId((id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt | 1).to_be_bytes().repeat(2).try_into().unwrap());
    Trade {
        trade_id: id,
        time: UnixNanos(DAY.start().0 + 1_000_000_000 + id * 300_001),
        price: Decimal::new(id as f64 + 0.25, id as f32 + 0.25, true),
        size: Decimal::new(id as f64 + 0.5, id as f32 + 0.5, true),
        side: Side::Buy,
        maker_order_id: order(0x1234),
        taker_order_id: order(0xABCD),
        sequence: id * 3,
        recv: UnixNanos(id * 5),
        ..Trades::EMPTY
    }
}

/// The reader: looks until it is told to stop, holding every new record against what it must be.
#[test]
fn reader() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (folder, began) = (Path::new(&folder), Instant::now());
    let mut day = loop {
        assert!(began.elapsed() < DEADLINE, "no day appears");
        if let Some(day) = Snapshot::<Trades>::open(folder, &product(), DAY).unwrap() {
            break day;
        }
    };
    let (mut checked, mut looks) = (0, 0u64);
    while !folder.join("stop").exists() || day.refresh().unwrap() {
        assert!(began.elapsed() < DEADLINE, "nobody says stop");
        day.refresh().unwrap();
        looks += 1;
        if day.count() < checked {
            eprintln!("{} records after {checked}", day.count());
            std::process::exit(TORN);
        }
        // The last thousand again each time: a late record may have come among them.
        for at in checked.saturating_sub(1000)..day.count() {
            let row = day.row(at).unwrap();
            if row.trade_id == 0 || row != trade(row.trade_id) {
                eprintln!("record {at} of {}: {row:?}", day.count());
                std::process::exit(TORN);
            }
        }
        checked = day.count();
        // The newest record is found by its time, whatever has become of the day since the index of times was made.
        if let Some(newest) = checked.checked_sub(1).and_then(|at| day.row(at)) {
            let found = day.time_pieces(TimeRange::new(newest.time, UnixNanos(newest.time.0 + 1)));
            if found.as_slice() != std::slice::from_ref(&(checked - 1..checked)) {
                eprintln!("record {} of {checked} is found at {found:?}", checked - 1);
                std::process::exit(TORN);
            }
        }
    }
    let ids: Vec<u64> = day.rows().map(|row| row.trade_id).collect();
    assert!(ids.is_sorted() && looks > 10, "{looks} looks");
    println!("{looks} looks, {} records", ids.len());
    std::process::exit(if ids.len() as u64 == RECORDS { WELL } else { TORN });
}

fn start_reader(folder: &Path) -> Child {
    let mut reader = Command::new(std::env::current_exe().unwrap());
    reader.args(["--exact", "live_reader::reader"]).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn ended(reader: &mut Child) -> Option<i32> {
    reader.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
}

struct Writer {
    dir: Arc<DataDir>,
    syncer: Syncer,
    day: Day<Trades>,
}

impl Writer {
    fn begin(folder: &Path) -> Self {
        let dir = crate::opened(folder, StoreOptions::default(), "test");
        let (day, _) = Day::open(&dir, &product(), DAY, DAY.start()).unwrap();
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        Self { dir, syncer, day }
    }

    fn insert(&mut self, id: u64) {
        while let Err(InsertError::NoRoom) = self.day.insert(&trade(id)) {
            self.day.files().provision().unwrap();
        }
    }

    fn seal_and_open_again(self) -> Self {
        let Self { dir, mut syncer, day } = self;
        let sealed = seal::seal(&dir, vec![day.close()]);
        assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
        let (day, _) = Day::open(&dir, &product(), DAY, DAY.start()).unwrap();
        syncer.watch(day.files());
        Self { dir, syncer, day }
    }
}

#[test]
fn a_reader_in_another_process_sees_whole_committed_records_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path());
    let mut reader = start_reader(folder.path());
    let began = Instant::now();
    let mut missing = Vec::new();
    for id in 1..=RECORDS {
        // Some come late: at times before a seal, which then replaces the day.
        if id % 5003 == 0 {
            missing.push(id)
        } else {
            writer.insert(id)
        }
        if id % 50 == 0 {
            writer.day.commit();
            // Not faster than 100 000 a second: the reader is to see many states.
            while began.elapsed() < Duration::from_micros(id * 10) {
                std::hint::spin_loop();
            }
        }
        if id % 8000 == 0 {
            writer.syncer.cycle().unwrap();
        }
        if id % 30_000 == 0 || id == RECORDS {
            if id % 60_000 == 0 || id == RECORDS {
                missing.drain(..).for_each(|late| writer.insert(late));
            }
            writer = writer.seal_and_open_again();
        }
        assert!(id % 1000 != 0 || ended(&mut reader).is_none(), "the reader gave up after {id} records");
    }
    writer.day.commit();
    std::fs::write(folder.path().join("stop"), "").unwrap();
    assert_eq!(reader.wait().unwrap().code(), Some(WELL));
}

#[test]
fn a_commit_before_the_columns_is_noticed_by_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::begin(folder.path());
    let mut reader = start_reader(folder.path());
    let (began, mut id) = (Instant::now(), 0);
    let code = loop {
        assert!(began.elapsed() < DEADLINE, "the planted bug was not noticed");
        writer.day.files().provision().unwrap();
        writer.day.plant_early_commit(writer.day.count() + 100);
        for _ in 0..100 {
            id += 1;
            writer.insert(id);
        }
        writer.day.commit();
        if let Some(code) = ended(&mut reader) {
            break code;
        }
    };
    assert_eq!(code, TORN);
}

#[test]
fn a_reader_that_meets_a_day_while_it_is_made_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(product().as_str()).join("TRADES");
    std::fs::create_dir_all(&place).unwrap();
    for column in Trades::COLUMNS {
        std::fs::write(place.join(format!("{}.{DAY}.bin", column.name)), "").unwrap();
    }
    let mut early = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(early.count(), 0);
    let page = place.join(format!("commit.{DAY}.bin"));
    std::fs::write(&page, "").unwrap();
    assert!(!early.refresh().unwrap(), "a page without a word in it says nothing new");
    std::fs::remove_dir_all(&place).unwrap();
    assert!(!early.refresh().unwrap(), "a capture that begins it anew takes away what an earlier one left");
    let dir = crate::opened(folder.path(), StoreOptions::default(), "test");
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    day.insert(&trade(1)).unwrap();
    day.commit();
    assert!(early.refresh().unwrap());
    assert_eq!(early.count(), 1);
    drop(day.close());
    std::fs::remove_file(&page).unwrap();
    let mut other = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert!(other.count() > 0);
    std::fs::remove_dir_all(&place).unwrap();
    assert!(other.refresh().is_err(), "a day that is gone is gone");
}
