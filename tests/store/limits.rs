//! At the edge of the disk: a full one is an error and never a signal, and a device that goes away is named before the process dies.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{ColumnSet, Dataset, Layout, TickerTrades, Trades};
use coltape::internals::store::event::Event;
use coltape::internals::store::journal::{self, JournalFile};
use coltape::internals::store::{
    self, DataDir, Day, DayState, InsertError, Inserted, MAX_LEAD, Opening, Snapshot, StoreError, StoreOptions, Syncer, Trusted, seal,
};
use coltape::internals::time::{UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);
const SIGBUS: i32 = 7;

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(1.5);
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + id), price: number, size: number, ..Trades::EMPTY }
}

/// A small file system of its own, unmounted at the end. Nothing where it cannot be made (no root, no tools).
struct Mounted {
    point: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mounted {
    fn new(kind: &str, bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (point, image) = (folder.path().join("disk"), folder.path().join("image"));
        std::fs::create_dir(&point).unwrap();
        let runs = |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|done| done.status.success());
        let mounted = match kind {
            "tmpfs" => runs("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "none", point.to_str().unwrap()]),
            _ => {
                std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
                let image = image.to_str().unwrap();
                runs("mkfs.ext4", &["-q", "-F", image]) && runs("mount", &["-o", "loop", image, point.to_str().unwrap()])
            }
        };
        if !mounted {
            let _ = writeln!(std::io::stderr(), "skipped: no {kind} can be mounted here");
            return None;
        }
        Some(Self { point, _folder: folder })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

/// Appends until there is no room, provisioning as long as that helps. Gives what ended it.
fn append_all(day: &mut Day<Trades>, syncer: &mut Syncer) -> StoreError {
    loop {
        let id = day.count() + 1;
        match day.insert(&trade(id)) {
            Ok(inserted) => assert_eq!(inserted, Inserted::Appended),
            Err(InsertError::NoRoom) => match day.files().provision() {
                Ok(()) => {}
                Err(full) => return full,
            },
            Err(error) => panic!("{error}"),
        }
        if id.is_multiple_of(1000) {
            day.commit();
            syncer.cycle().unwrap();
        }
    }
}

fn fill(kind: &str, bytes: u64) {
    let Some(disk) = Mounted::new(kind, bytes) else { return };
    let dir = crate::opened(&disk.point, StoreOptions::default(), "test");
    Day::<Trades>::prepare(&dir, &product(), DAY, 12_000).unwrap();
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    // Somebody else takes the disk to its last block: what is allocated can still be stored to.
    let other = disk.point.join("other");
    assert!(std::fs::write(&other, vec![1; usize::try_from(bytes).unwrap()]).is_err(), "the disk is full");
    let full = append_all(&mut day, &mut syncer);
    assert!(matches!(full, StoreError::NoSpace { .. }), "{full}");
    assert!(day.count() >= 8_000, "only {} records", day.count());
    std::fs::remove_file(other).unwrap();
    // And now the disk is ours, to what is left alone.
    let full = append_all(&mut day, &mut syncer);
    assert!(matches!(full, StoreError::NoSpace { .. }), "{full}");
    day.commit();
    let stored = day.count();
    assert!(stored > 20_000, "only {stored} records fitted");
    assert!(matches!(day.insert(&trade(stored + 1)), Err(InsertError::NoRoom)), "nothing changed");
    syncer.cycle().unwrap();
    assert_eq!(day.files().durable(), stored);
    drop((day, syncer, dir));
    let dir = crate::opened(&disk.point, StoreOptions::default(), "test");
    let seen = Snapshot::<Trades>::open(&disk.point, &product(), DAY).unwrap().unwrap();
    assert_eq!((seen.count() as u64, seen.row(seen.count() - 1)), (stored, Some(trade(stored))));
    let key = seen.key().clone();
    assert_eq!(seal::seal_at_rest(&dir, &key).unwrap().records, stored, "a full disk can be sealed");
}

#[test]
fn a_full_disk_of_memory_is_an_error_and_no_signal() {
    fill("tmpfs", 6 << 20);
}

#[test]
fn a_full_ext4_is_an_error_and_no_signal() {
    fill("ext4", 24 << 20);
}

#[test]
fn late_records_and_journals_leave_the_reserve_alone_and_an_event_is_still_written_down() {
    let Some(disk) = Mounted::new("tmpfs", 6 << 20) else { return };
    let dir = crate::opened(&disk.point, StoreOptions::default(), "test");
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    assert_eq!(day.insert(&trade(1_000_000)).unwrap(), Inserted::Appended);
    let mut written = 0;
    let full = loop {
        match day.insert(&trade(written + 1)) {
            Ok(inserted) => assert_eq!(inserted, Inserted::Late),
            Err(InsertError::Store(full)) => break full,
            Err(error) => panic!("{error}: a late record needs no room in the columns"),
        }
        written += 1;
    };
    assert!(matches!(&full, StoreError::NoSpace { path, .. } if path.ends_with(format!("late.{DAY}.bin"))), "{full}");
    let space = dir.free_space().unwrap();
    assert!(space.free >= space.reserve() && space.reserve() > 0, "{space:?} after {written} late records");
    // Somebody else takes the disk down to a few blocks. What the journal has not taken ahead, its lines find in the reserve.
    let left = space.free - 16_384;
    std::fs::write(disk.point.join("other"), vec![1; usize::try_from(left).unwrap()]).unwrap();
    let mut journal = JournalFile::new(&disk.point, "journal");
    journal.append(DAY.start(), &Event::SyncFailed { error: full.to_string() }).unwrap();
    assert_eq!(journal::read(&disk.point, "journal", DAY, DAY).count(), 1);
    assert!(dir.free_space().unwrap().free <= 16_384);
    assert!(written > 10_000, "only {written}");
}

/// A day of so many records whose bytes nobody ever wrote: the files' lengths and its page say so.
fn synthetic(folder: &Path, records: u64, is_sealed: bool) {
    let dir = crate::opened(folder, StoreOptions::default().columns(ColumnSet::Core), "test");
    let (day, _) = Day::<TickerTrades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    let path = day.files().column_path("commit");
    for column in Dataset::TickerTrades.columns_of(ColumnSet::Core) {
        let file = std::fs::OpenOptions::new().write(true).open(day.files().column_path(column.name)).unwrap();
        file.set_len(records * column.kind.width() as u64).unwrap();
    }
    drop(day);
    let mut page = std::fs::read(&path).unwrap();
    let mut put = |at: usize, value: u64| page[at..at + 8].copy_from_slice(&value.to_le_bytes());
    // `committed`, and both entries of count and key.
    for (at, value) in [(512, records), (528, records), (536, 7), (544, records), (552, 7)] {
        put(at, value);
    }
    if is_sealed {
        for sector in [4 * 512, 5 * 512] {
            put(sector, 2);
            put(sector + 8, records);
            put(sector + 16, 7);
        }
    }
    for sector in [4 * 512, 5 * 512] {
        let crc = crc32c::crc32c(&page[sector..sector + 508]).to_le_bytes();
        page[sector + 508..sector + 512].copy_from_slice(&crc);
    }
    // In place: the page counts on this boot and under this inode.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&page).unwrap();
}

/// The processor time that this thread has used: other work of the machine does not count.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap())
}

/// The shortest processor times in which a snapshot of the day and the day itself opened.
fn opening_times(records: u64, is_sealed: bool) -> (Duration, Duration) {
    let times = (0..3).map(|_| {
        let folder = tempfile::tempdir().unwrap();
        synthetic(folder.path(), records, is_sealed);
        let start = processor_time();
        let seen = Snapshot::<TickerTrades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
        let snapshot = processor_time() - start;
        assert_eq!((seen.count() as u64, seen.state() == DayState::Live), (records, !is_sealed));
        drop(seen);
        let dir = crate::opened(folder.path(), StoreOptions::default(), "test");
        let start = processor_time();
        // Late in time, where a sealed day takes late records only: nothing is allocated for records that only this test made up.
        let (day, opening) = Day::<TickerTrades>::open(&dir, &product(), DAY, UnixNanos(u64::MAX)).unwrap();
        let opened = processor_time() - start;
        let want =
            if is_sealed { Opening::Sealed { records } } else { Opening::Continued { records, given_up: 0, trusted: Trusted::Committed } };
        assert_eq!((opening, day.count()), (want, records));
        (snapshot, opened)
    });
    times.reduce(|best, next| (best.0.min(next.0), best.1.min(next.1))).unwrap()
}

#[test]
fn a_day_of_a_hundred_million_records_opens_as_fast_as_one_of_a_hundred() {
    for is_sealed in [false, true] {
        let (few, many) = (opening_times(100, is_sealed), opening_times(100_000_000, is_sealed));
        println!("sealed {is_sealed}: a hundred {few:?}, a hundred million {many:?}");
        for (few, many) in [(few.0, many.0), (few.1, many.1)] {
            assert!(many < few * 10 + Duration::from_millis(100), "{few:?} and {many:?}");
        }
    }
}

const LARGEST: &str = "COLTAPE_TEST_LARGEST";
const LARGEST_BYTES: u64 = 1 << 20;

/// The child: its files may not grow beyond a limit.
#[test]
fn limited_child() {
    let Ok(folder) = std::env::var(LARGEST) else { return };
    // As the program does: the signal is caught, and the system call fails.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).unwrap();
    let limit = rustix::process::Rlimit { current: Some(LARGEST_BYTES), maximum: Some(LARGEST_BYTES) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    let dir = crate::opened(Path::new(&folder), StoreOptions::default(), "test");
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    let refused = append_all(&mut day, &mut syncer);
    assert!(matches!(refused, StoreError::Limit { .. }) && refused.to_string().contains("ulimit -f"), "{refused}");
    day.commit();
    syncer.cycle().unwrap();
    let stored = day.count();
    assert!(stored >= LARGEST_BYTES / 16 - MAX_LEAD && day.files().durable() == stored, "{stored}");
    assert_eq!(seal::seal(&dir, vec![day.close()]).pop().unwrap().sealed.unwrap().records, stored);
}

#[test]
fn a_column_that_reaches_the_largest_file_is_an_error_that_names_the_limit_and_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::limited_child"])
        .env(LARGEST, folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{:?} {}", done.status, String::from_utf8_lossy(&done.stdout));
}

#[test]
fn a_day_with_little_address_space_holds_less_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let open = |records: u64| {
        let options = StoreOptions::default().map_records(records);
        let dir = crate::opened(folder.path(), options, "test");
        let (day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
        (dir, day)
    };
    let fill = |dir: &Arc<DataDir>, day: &mut Day<Trades>| {
        let mut syncer = Syncer::new(Arc::clone(dir));
        syncer.watch(day.files());
        let full = append_all(day, &mut syncer);
        day.commit();
        full
    };
    let (dir, mut day) = open(5000);
    let full = fill(&dir, &mut day);
    assert!(matches!(&full, StoreError::DayFull { records: 5000, .. }) && full.to_string().contains("5000"), "{full}");
    assert_eq!(day.count(), 5000);
    drop((day, dir));
    // Opened with less it is mapped for what it has, and for as much again.
    let (dir, mut day) = open(1000);
    assert!(matches!(fill(&dir, &mut day), StoreError::DayFull { records: 10_000, .. }));
    assert_eq!(day.count(), 10_000);
    assert_eq!(seal::seal(&dir, vec![day.close()]).pop().unwrap().sealed.unwrap().records, 10_000);
}

const CUT: &str = "COLTAPE_TEST_CUT";

/// The child: its column is cut behind its back, as a failing device would.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CUT) else { return };
    store::name_the_column_on_sigbus().unwrap();
    let dir = crate::opened(Path::new(&folder), StoreOptions::default(), "test");
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    let path = day.files().column_path("taker_order_id");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let _ = day.insert(&trade(1));
    unreachable!("storing beyond a file's end is a signal");
}

#[test]
fn a_column_that_goes_away_is_named_before_the_process_dies() {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new(std::env::current_exe().unwrap()).args(["--exact", "limits::child"]).env(CUT, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("SIGBUS") && said.contains(&format!("taker_order_id.{DAY}.bin")), "{said}");
    assert_eq!(done.status.signal(), Some(SIGBUS));
}
