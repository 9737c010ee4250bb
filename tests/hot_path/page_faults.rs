//! The append path and the system: which thread takes the page faults, and that no file is cut while it is mapped.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict};
use coltape::internals::store::{DataDir, Day, Snapshot, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(1.5);
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + id), price: number, size: number, ..Trades::EMPTY }
}

/// The page faults of this thread so far. The first store into a page that only has blocks counts as a major one.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [fields[7], fields[9]].iter().map(|count| count.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_fast_writer_finds_its_pages_present() {
    const RECORDS: u64 = 1 << 16;
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().force_fs(true);
    let dir = Arc::new(DataDir::open(folder.path(), options, "test").unwrap());
    let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap().0;
    let (mut id, mut taken) = (0, 0);
    while id < RECORDS {
        let files = Arc::clone(day.files());
        std::thread::spawn(move || files.provision().unwrap()).join().unwrap();
        let (room, before) = (day.room().min(RECORDS - id), faults());
        assert!(room > 0);
        for _ in 0..room {
            id += 1;
            day.insert(&trade(id)).unwrap();
        }
        day.commit();
        taken += faults() - before;
    }
    println!("{taken} faults");
    // Each page of the columns would cost one. What the first room has, a flush meanwhile and the stack may cost some.
    let pages = RECORDS * 96 / 4096;
    assert!(taken < pages / 4, "{taken} faults over {pages} pages");
    drop(day);
    let snapshot = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert_eq!(snapshot.count() as u64, RECORDS);
    assert!(snapshot.rows().zip(1..).all(|(row, id)| row == trade(id)));
}

#[test]
fn no_column_is_mapped_when_it_is_cut() {
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let (cuts, mapped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen_cuts, seen_mapped, path) = (Arc::clone(&cuts), Arc::clone(&mapped), folder.path().to_string_lossy().into_owned());
    let probe = Probe::new(move |step| {
        if step == Step::Changed("cut") {
            seen_cuts.fetch_add(1, Ordering::Relaxed);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            // The commit page stays mapped: it is never cut.
            let columns = maps.lines().filter(|line| line.contains(&path) && !line.contains("/commit."));
            seen_mapped.fetch_add(columns.count(), Ordering::Relaxed);
        }
        Verdict::Go
    });
    let options = StoreOptions::default().force_fs(true).probe(Some(probe));
    let dir = Arc::new(DataDir::open(folder.path(), options, "test").unwrap());
    let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap().0;
    (1..=10).for_each(|id| assert!(day.insert(&trade(id)).is_ok()));
    assert!(seal::seal(&dir, vec![day.close()]).iter().all(|outcome| outcome.sealed.is_ok()));
    assert_eq!(cuts.load(Ordering::Relaxed), Trades::COLUMNS.len());
    assert_eq!(mapped.load(Ordering::Relaxed), 0, "columns were still mapped while they were cut");
}

/// Tells whether a byte of a file is in the page cache; nothing where the file system does not say.
fn is_cached(path: &std::path::Path, at: u64) -> Option<bool> {
    let file = std::fs::File::open(path).unwrap();
    // Else asking for one page has the system read others ahead.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    let mut byte = [0];
    match rustix::io::preadv2(&file, &mut [std::io::IoSliceMut::new(&mut byte)], at, rustix::io::ReadWriteFlags::NOWAIT) {
        Ok(count) => Some(count == 1),
        Err(rustix::io::Errno::AGAIN) => Some(false),
        Err(_) => None,
    }
}

/// Tells whether the first 40 pages of a file are not in the page cache, but for a few: the system keeps one that it is busy with just then.
fn is_front_released(path: &std::path::Path) -> bool {
    (0..40).filter(|page| is_cached(path, page * 4096) == Some(true)).count() <= 4
}

/// The bytes of a folder's columns that are mapped into this process and present.
fn present(folder: &std::path::Path) -> u64 {
    let (folder, smaps) = (folder.to_string_lossy(), std::fs::read_to_string("/proc/self/smaps").unwrap());
    let (mut is_column, mut bytes) = (false, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Rss:") if is_column => bytes += words.next().unwrap().parse::<u64>().unwrap() * 1024,
            Some(first) if !first.ends_with(':') => is_column = line.contains(&*folder) && !line.contains("/commit."),
            _ => {}
        }
    }
    bytes
}

#[test]
fn the_pages_that_a_flush_writes_are_unmapped_together_where_they_are_many() {
    let _alone = crate::alone();
    for (records, is_unmapped) in [(1000, false), (50_000, true)] {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default().force_fs(true), "test").unwrap());
        let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap().0;
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(day.files());
        let store = |day: &mut Day<Trades>, ids: std::ops::RangeInclusive<u64>| {
            for id in ids {
                while day.insert(&trade(id)).is_err() {
                    day.commit();
                    day.files().provision().unwrap();
                }
            }
            day.commit();
        };
        store(&mut day, 1..=records);
        let before = present(folder.path());
        assert!(before >= records * 96, "{before} bytes");
        syncer.cycle().unwrap();
        let behind = present(folder.path());
        assert_eq!(behind < before / 10, is_unmapped, "{behind} of {before} bytes");
        store(&mut day, records + 1..=records + 10);
        syncer.cycle().unwrap();
        assert_eq!(day.files().durable(), records + 10);
        let snapshot = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
        assert!(snapshot.rows().zip(1..=records + 10).all(|(row, id)| row == trade(id)) && snapshot.count() as u64 == records + 10);
    }
}

#[test]
fn the_cache_of_old_durable_records_is_released_and_read_again() {
    const RECORDS: u64 = 20_000;
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().force_fs(true).cached_bytes(64 << 10);
    let dir = Arc::new(DataDir::open(folder.path(), options, "test").unwrap());
    let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap().0;
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    for id in 1..=RECORDS {
        while day.insert(&trade(id)).is_err() {
            day.files().provision().unwrap();
        }
    }
    day.commit();
    let column = day.files().column_path("maker_order_id");
    let last = (RECORDS - 1) * 16;
    if is_cached(&column, 0).is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: this file system does not say what is cached");
        return;
    }
    assert_eq!((is_cached(&column, 0), is_cached(&column, last)), (Some(true), Some(true)));
    syncer.cycle().unwrap();
    assert_eq!(day.files().durable(), RECORDS);
    assert!(is_front_released(&column) && is_cached(&column, last) == Some(true), "the front is given back, the end is not");
    // The writer's own look-ups, a reader, and what is appended later find all of it.
    assert_eq!(day.find(1), Some(trade(1)));
    day.insert(&trade(RECORDS + 1)).unwrap();
    day.commit();
    syncer.cycle().unwrap();
    let snapshot = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert!(snapshot.rows().zip(1..=RECORDS + 1).all(|(row, id)| row == trade(id)));
    assert_eq!(snapshot.count() as u64, RECORDS + 1);
}

#[test]
fn where_memory_runs_short_the_cache_of_everything_on_disk_is_released_but_for_the_last_pages() {
    const RECORDS: u64 = 20_000;
    let _alone = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    // So much is kept in the cache that nothing of this day would be given back.
    let dir = Arc::new(DataDir::open(folder.path(), StoreOptions::default().force_fs(true), "test").unwrap());
    let mut day = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap().0;
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    for id in 1..=RECORDS {
        while day.insert(&trade(id)).is_err() {
            day.files().provision().unwrap();
        }
    }
    day.commit();
    let column = day.files().column_path("maker_order_id");
    let last = (RECORDS - 1) * 16;
    if is_cached(&column, 0).is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: this file system does not say what is cached");
        return;
    }
    syncer.release_cache();
    assert_eq!(is_cached(&column, 0), Some(true), "nothing is on disk yet");
    syncer.cycle().unwrap();
    assert_eq!((is_cached(&column, 0), is_cached(&column, last)), (Some(true), Some(true)));
    syncer.release_cache();
    assert!(is_front_released(&column) && is_cached(&column, last) == Some(true));
    day.insert(&trade(RECORDS + 1)).unwrap();
    day.commit();
    syncer.cycle().unwrap();
    let snapshot = Snapshot::<Trades>::open(folder.path(), &product(), DAY).unwrap().unwrap();
    assert!(snapshot.rows().zip(1..=RECORDS + 1).all(|(row, id)| row == trade(id)) && snapshot.count() as u64 == RECORDS + 1);
}
