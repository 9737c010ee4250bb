//! Flushes that fail: no thread misses a failure that the kernel reported to another; there is no flush after a failure that could not be repaired;
//! and what a reader had seen by then is there after a start on the same boot.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict, Why};
use coltape::internals::store::{
    BootId, DataDir, Day, InsertError, Inserted, Opening, Snapshot, StoreError, StoreOptions, Syncer, Trusted, seal,
};
use coltape::internals::time::{UnixNanos, UtcDay};
use parking_lot::Mutex;

const DAY: UtcDay = UtcDay(20_000);

fn product(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(1.5);
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + id), price: number, size: number, sequence: id * 3, ..Trades::EMPTY }
}

fn insert(day: &mut Day<Trades>, id: u64) -> Inserted<Trade> {
    loop {
        match day.insert(&trade(id)) {
            Err(InsertError::NoRoom) => day.files().provision().unwrap(),
            other => return other.unwrap(),
        }
    }
}

fn open(dir: &Arc<DataDir>, name: &str) -> (Day<Trades>, Opening) {
    Day::open(dir, &product(name), DAY, DAY.start()).unwrap()
}

fn dir(path: &Path, probe: Option<Probe>) -> Arc<DataDir> {
    crate::opened(path, StoreOptions::default().probe(probe), "test")
}

/// A probe that fails the flushes for these reasons while it is switched on.
fn failing(reasons: &'static [Why]) -> (Probe, Arc<AtomicBool>) {
    let is_on = Arc::new(AtomicBool::new(false));
    let looked_at = Arc::clone(&is_on);
    let probe = Probe::new(move |step| match step {
        Step::Flush(why) if reasons.contains(&why) && looked_at.load(Ordering::Relaxed) => Verdict::Fail,
        _ => Verdict::Go,
    });
    (probe, is_on)
}

fn ids(snapshot: &Snapshot<Trades>) -> Vec<u64> {
    snapshot.rows().map(|row| row.trade_id).collect()
}

#[test]
fn a_failure_reported_to_a_seal_is_repaired_by_the_sync_thread_too() {
    let folder = tempfile::tempdir().unwrap();
    let (probe, is_on) = failing(&[Why::SealData]);
    let dir = dir(folder.path(), Some(probe));
    let (mut going, _) = open(&dir, "A-USD");
    let (mut ending, _) = open(&dir, "B-USD");
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(going.files());
    for id in 1..=3 {
        insert(&mut going, id);
        insert(&mut ending, id);
    }
    going.commit();
    is_on.store(true, Ordering::Relaxed);
    let sealed = seal::seal(&dir, vec![ending.close()]).pop().unwrap().sealed.unwrap();
    assert_eq!(sealed.records, 3, "stored again, flushed and read back");
    is_on.store(false, Ordering::Relaxed);
    // The kernel has told its one failure to the seal; this flush succeeds, and must not be trusted.
    let report = syncer.cycle().unwrap();
    assert!(report.recovered && going.files().durable() == 3);
    insert(&mut going, 4);
    going.commit();
    assert!(!syncer.cycle().unwrap().recovered, "repaired once and for all");
}

#[test]
fn a_failure_reported_to_the_sync_thread_stops_a_seal_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let (others, is_on): (Arc<Mutex<Option<Syncer>>>, _) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let (cycle, fails) = (Arc::clone(&others), Arc::clone(&is_on));
    let probe = Probe::new(move |step| match step {
        // While the files are being cut, the sync thread has its cycle.
        Step::Changed("cut") => {
            let syncer = cycle.lock().take();
            if let Some(mut syncer) = syncer {
                assert!(syncer.cycle().unwrap().recovered);
            }
            Verdict::Go
        }
        Step::Flush(Why::Sync) if fails.load(Ordering::Relaxed) => Verdict::Fail,
        _ => Verdict::Go,
    });
    let dir = dir(folder.path(), Some(probe));
    let (mut going, _) = open(&dir, "A-USD");
    let (mut ending, _) = open(&dir, "B-USD");
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(going.files());
    insert(&mut going, 1);
    insert(&mut ending, 1);
    going.commit();
    is_on.store(true, Ordering::Relaxed);
    *others.lock() = Some(syncer);
    let failed = seal::seal(&dir, vec![ending.close()]).pop().unwrap().sealed.unwrap_err();
    assert!(matches!(failed, StoreError::Flush { .. }), "{failed}");
    assert!(others.lock().is_none(), "the cycle came in between");
    // The day is there, and is sealed when it is asked for again.
    let (again, opening) = open(&dir, "B-USD");
    assert_eq!(opening, Opening::Continued { records: 1, given_up: 0, trusted: Trusted::Durable });
    assert_eq!(seal::seal(&dir, vec![again.close()]).pop().unwrap().sealed.unwrap().records, 1);
}

/// A capture whose flush fails for good, with five records and two late ones that a reader has seen and one record that is durable.
fn ended_by_a_failure(path: &Path) -> UtcDay {
    let (probe, is_on) = failing(&[Why::Sync, Why::Again]);
    let dir = dir(path, Some(probe));
    let (mut day, _) = open(&dir, "A-USD");
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    insert(&mut day, 10);
    day.commit();
    syncer.cycle().unwrap();
    syncer.cycle().unwrap();
    for id in [20, 30, 5] {
        insert(&mut day, id);
    }
    day.commit();
    is_on.store(true, Ordering::Relaxed);
    syncer.cycle().unwrap_err();
    // The writer drains its queue before it closes its day.
    for id in [40, 50, 15] {
        insert(&mut day, id);
    }
    day.commit();
    // The device is well again, and every flush would succeed: none is done.
    is_on.store(false, Ordering::Relaxed);
    let failed = seal::seal(&dir, vec![day.close()]).pop().unwrap().sealed.unwrap_err();
    assert!(matches!(failed, StoreError::Flush { .. }), "{failed}");
    dir.flush().unwrap_err();
    DAY
}

const SEEN: [u64; 7] = [5, 10, 15, 20, 30, 40, 50];

#[test]
fn after_a_failure_for_good_a_start_on_the_same_boot_finds_all_that_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let date = ended_by_a_failure(folder.path());
    let snapshot = || Snapshot::<Trades>::open(folder.path(), &product("A-USD"), date).unwrap().unwrap();
    assert_eq!(ids(&snapshot()), [10], "a reader trusts what was durable");
    let dir = dir(folder.path(), None);
    let (day, opening) = open(&dir, "A-USD");
    assert_eq!(opening, Opening::Continued { records: 5, given_up: 0, trusted: Trusted::Committed });
    assert_eq!((day.late_count(), day.files().durable(), ids(&snapshot())), (2, 1, SEEN.to_vec()));
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    syncer.cycle().unwrap();
    assert_eq!(day.files().durable(), 5);
    assert_eq!(snapshot().check().unwrap(), []);
    assert_eq!(seal::seal(&dir, vec![day.close()]).pop().unwrap().sealed.unwrap().records, 7);
    assert_eq!(ids(&snapshot()), SEEN);
    let listed: Vec<String> = std::fs::read_dir(folder.path().join("A-USD/TRADES"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(listed.iter().all(|name| !name.ends_with(".tmp")), "{listed:?}");
}

#[test]
fn what_was_seen_is_not_trusted_on_another_boot_or_where_the_cache_has_lost_it() {
    for damaged in [None, Some("trade_sequence"), Some("late")] {
        let folder = tempfile::tempdir().unwrap();
        let date = ended_by_a_failure(folder.path());
        let mut options = StoreOptions::default();
        match damaged {
            None => options.boot_id = Some(BootId([9; 16])),
            Some(name) => {
                // As a page of the cache that was read from the device again.
                let path = folder.path().join(format!("A-USD/TRADES/{name}.{date}.bin"));
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[30] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let dir = crate::opened(folder.path(), options, "test");
        let (day, opening) = open(&dir, "A-USD");
        let Opening::Continued { records: 1, given_up, trusted: Trusted::Durable } = opening else { panic!("{damaged:?}: {opening:?}") };
        assert!(given_up >= 4 && day.late_count() <= 2, "{damaged:?}: {given_up} given up");
    }
}

#[test]
fn a_directory_that_goes_away_is_named_and_a_days_files_that_go_away_stop_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let dir = dir(&path, None);
    let (mut kept, _) = open(&dir, "A-USD");
    let (mut removed, _) = open(&dir, "B-USD");
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(kept.files());
    syncer.watch(removed.files());
    std::fs::remove_dir_all(path.join("B-USD")).unwrap();
    for id in 1..=3 {
        insert(&mut kept, id);
        insert(&mut removed, id);
    }
    kept.commit();
    removed.commit();
    syncer.cycle().unwrap();
    assert_eq!((kept.files().durable(), removed.files().durable()), (3, 0), "files that are gone are not made durable");
    assert!(removed.files().is_gone() && !kept.files().is_gone());
    // What somebody has put in its place is not cut.
    let placed = path.join("B-USD/TRADES").join(format!("trade_id.{DAY}.bin"));
    std::fs::create_dir_all(placed.parent().unwrap()).unwrap();
    std::fs::write(&placed, [7; 4096]).unwrap();
    let failed = seal::seal(&dir, vec![removed.close()]).pop().unwrap().sealed.unwrap_err();
    assert!(matches!(&failed, StoreError::Gone { path: at } if *at == path.join("B-USD/TRADES")), "{failed}");
    assert_eq!(std::fs::read(&placed).unwrap(), [7; 4096]);
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    std::fs::create_dir(&path).unwrap();
    insert(&mut kept, 4);
    kept.commit();
    let gone = syncer.cycle().unwrap_err().to_string();
    assert!(gone.contains(&*path.to_string_lossy()) && gone.contains("is gone"), "{gone}");
}

/// Counts the flushes, and fails those that come while it is switched on.
fn counting() -> (Probe, Arc<AtomicBool>, Arc<Mutex<usize>>) {
    let (is_on, flushes): (_, Arc<Mutex<usize>>) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let (fails, count) = (Arc::clone(&is_on), Arc::clone(&flushes));
    let probe = Probe::new(move |step| match step {
        Step::Flush(Why::Sync) if fails.swap(false, Ordering::Relaxed) => Verdict::Fail,
        Step::Flushed(_) => {
            *count.lock() += 1;
            Verdict::Go
        }
        _ => Verdict::Go,
    });
    (probe, is_on, flushes)
}

#[test]
fn slots_that_are_flushed_at_once_need_no_flush_of_the_next_cycle() {
    let folder = tempfile::tempdir().unwrap();
    let (probe, fails, flushes) = counting();
    let dir = dir(folder.path(), Some(probe));
    let (mut day, _) = open(&dir, "A-USD");
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    let count = || *flushes.lock();
    assert!(!syncer.flush_slots().unwrap());
    assert_eq!(count(), 0, "there is no slot yet");
    for (id, at_once) in [(1, false), (2, true), (3, true)] {
        insert(&mut day, id);
        day.commit();
        let before = count();
        assert!(syncer.cycle().unwrap().flushed);
        if at_once {
            assert!(!syncer.flush_slots().unwrap());
        }
        assert_eq!((count() - before, day.files().durable()), (1 + usize::from(at_once), id));
        // Nothing has changed since.
        assert_eq!(syncer.cycle().unwrap().flushed, !at_once);
        assert_eq!(count() - before, 2);
    }
    insert(&mut day, 4);
    day.commit();
    syncer.cycle().unwrap();
    insert(&mut day, 5);
    day.commit();
    fails.store(true, Ordering::Relaxed);
    assert!(syncer.flush_slots().unwrap(), "what that flush may have lost was stored again");
    assert_eq!(day.files().durable(), 4, "no slot names what was not known to be flushed");
    assert!(day.files().is_trusted());
    assert!(!syncer.cycle().unwrap().recovered);
    assert_eq!(day.files().durable(), 5);
}
