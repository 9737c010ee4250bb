//! A data directory whose folders and files lie on several devices, by links and mounts: each is flushed and each flush is checked.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{Layout, Md, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict, Why};
use coltape::internals::store::{BootId, DataDir, Day, InsertError, Opening, Snapshot, StoreError, StoreOptions, Syncer, seal};
use coltape::internals::time::{UnixNanos, UtcDay};
use parking_lot::Mutex;

const DAY: UtcDay = UtcDay(20_000);

fn product(name: &str) -> ProductId {
    ProductId::new(name).unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(1.5);
    Trade { trade_id: id, time: UnixNanos(DAY.start().0 + id), price: number, size: number, sequence: id, ..Trades::EMPTY }
}

fn insert(day: &mut Day<Trades>, id: u64) {
    while let Err(InsertError::NoRoom) = day.insert(&trade(id)) {
        day.files().provision().unwrap();
    }
}

fn open(dir: &Arc<DataDir>, name: &str) -> Day<Trades> {
    Day::open(dir, &product(name), DAY, DAY.start()).unwrap().0
}

fn device_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().dev()
}

/// A folder for data and a folder on another device, which needs no root: memory.
struct Two {
    data: tempfile::TempDir,
    other: tempfile::TempDir,
}

impl Two {
    fn new() -> Option<Self> {
        let data = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir_in("/dev/shm").ok().filter(|other| device_of(other.path()) != device_of(data.path()));
        if other.is_none() {
            let _ = writeln!(std::io::stderr(), "skipped: /dev/shm is no other device");
        }
        Some(Self { data, other: other? })
    }
}

/// What lies on the other device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    Product,
    Dataset,
    Column,
    Late,
}

/// Puts a part of a product on the other device, as a user does before the product's first record, or between two runs.
fn put(two: &Two, name: &str, part: Elsewhere) {
    let (data, other) = (two.data.path(), two.other.path());
    match part {
        Elsewhere::Product => {
            std::fs::create_dir(other.join(name)).unwrap();
            symlink(other.join(name), data.join(name)).unwrap();
        }
        Elsewhere::Dataset => {
            std::fs::create_dir(other.join(name)).unwrap();
            std::fs::create_dir_all(data.join(name)).unwrap();
            symlink(other.join(name), data.join(name).join("TRADES")).unwrap();
        }
        Elsewhere::Column | Elsewhere::Late => {
            // A day that was begun, of which somebody has moved a file.
            let dir = crate::opened(data, StoreOptions::default(), "test");
            let mut day = open(&dir, name);
            (2..=20).chain([1]).for_each(|id| insert(&mut day, id));
            day.commit();
            let moved = day.files().column_path(if part == Elsewhere::Late { "late" } else { "maker_order_id" });
            drop(day);
            let new = other.join(moved.file_name().unwrap());
            std::fs::copy(&moved, &new).unwrap();
            std::fs::remove_file(&moved).unwrap();
            symlink(&new, &moved).unwrap();
        }
    }
}

type Flushed = Arc<Mutex<Vec<(Why, Vec<u64>)>>>;

/// Notes which devices each flush is of, and lets the flushes of one device fail so many times.
fn watching(fails: u64, times: &Arc<AtomicU64>) -> (Probe, Flushed) {
    let flushed: Flushed = Arc::default();
    let (seen, times) = (Arc::clone(&flushed), Arc::clone(times));
    let probe = Probe::new(move |step| {
        match step {
            Step::Flush(why) => seen.lock().push((why, Vec::new())),
            Step::Device(id) => {
                seen.lock().last_mut().unwrap().1.push(id);
                let left = times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(u64::from(id == fails)));
                if id == fails && left.is_ok() {
                    return Verdict::Fail;
                }
            }
            _ => {}
        }
        Verdict::Go
    });
    (probe, flushed)
}

#[test]
fn a_flush_is_one_of_every_device_that_a_folder_or_a_file_lies_on() {
    for part in [Elsewhere::Product, Elsewhere::Dataset, Elsewhere::Column, Elsewhere::Late] {
        let Some(two) = Two::new() else { return };
        let none = Arc::new(AtomicU64::new(0));
        let (probe, flushed) = watching(0, &none);
        if matches!(part, Elsewhere::Column | Elsewhere::Late) {
            put(&two, "B-USD", part);
        }
        let dir = crate::opened(two.data.path(), StoreOptions::default().probe(Some(probe)), "test");
        let mut syncer = Syncer::new(Arc::clone(&dir));
        let mut here = open(&dir, "A-USD");
        syncer.watch(here.files());
        insert(&mut here, 1);
        here.commit();
        syncer.cycle().unwrap();
        if matches!(part, Elsewhere::Product | Elsewhere::Dataset) {
            // Added while it runs.
            put(&two, "B-USD", part);
        }
        assert_eq!(dir.devices(), 1, "{part:?}: nothing lies on the other one yet");
        let mut there = open(&dir, "B-USD");
        syncer.watch(there.files());
        let first = there.count() + 2;
        for id in first..first + 10 {
            insert(&mut there, id);
        }
        there.commit();
        flushed.lock().clear();
        syncer.cycle().unwrap();
        let both = [device_of(two.data.path()), device_of(two.other.path())];
        assert_eq!(flushed.lock().as_slice(), [(Why::Sync, both.to_vec())], "{part:?}");
        assert_eq!(there.files().durable(), there.count());
        for sealed in seal::seal(&dir, vec![here.close(), there.close()]) {
            sealed.sealed.unwrap();
        }
        assert!(flushed.lock().iter().all(|(_, devices)| *devices == both), "{part:?}: {:?}", flushed.lock());
        assert!(flushed.lock().len() >= 3, "a seal flushes several times");
        // A folder that is there at the start is known at the start.
        drop((syncer, dir));
        let dir = DataDir::open(two.data.path(), StoreOptions::default(), "test").unwrap();
        let known = if matches!(part, Elsewhere::Product | Elsewhere::Dataset) { 2 } else { 1 };
        assert_eq!(dir.devices(), known, "{part:?}");
        let free = dir.free_space().unwrap().free;
        let of = |path: &Path| {
            let found = rustix::fs::statvfs(path).unwrap();
            found.f_bavail * found.f_frsize
        };
        if known == 2 {
            let least = of(two.data.path()).min(of(two.other.path()));
            assert!(free.abs_diff(least) < 1 << 30, "the room is that of the fuller device: {free}, {least}");
        }
    }
}

#[test]
fn a_device_whose_flush_fails_is_named_and_nothing_is_durable_anywhere_before_it_is_mended() {
    for fails_here in [true, false] {
        for failures in [1, 2] {
            let Some(two) = Two::new() else { return };
            put(&two, "B-USD", Elsewhere::Product);
            let failing = device_of(if fails_here { two.data.path() } else { two.other.path() });
            let times = Arc::new(AtomicU64::new(0));
            let (probe, flushed) = watching(failing, &times);
            let dir = crate::opened(two.data.path(), StoreOptions::default().probe(Some(probe)), "test");
            let mut syncer = Syncer::new(Arc::clone(&dir));
            let mut days = ["A-USD", "B-USD"].map(|name| open(&dir, name));
            for day in &mut days {
                syncer.watch(day.files());
                (1..=3).for_each(|id| insert(day, id));
                day.commit();
            }
            times.store(failures, Ordering::Relaxed);
            flushed.lock().clear();
            let outcome = syncer.cycle();
            let durable = days.each_ref().map(|day| day.files().durable());
            if failures == 1 {
                assert!(outcome.unwrap().recovered);
                assert_eq!(durable, [3, 3], "stored again, flushed and read back");
            } else {
                let error = outcome.unwrap_err().to_string();
                let path = if fails_here { two.data.path() } else { two.other.path() };
                assert!(error.contains(&*path.to_string_lossy()), "{error}");
                assert_eq!(durable, [0, 0]);
            }
            // The other device was flushed all the same.
            assert!(flushed.lock().iter().all(|(_, devices)| devices.len() == 2), "{:?}", flushed.lock());
        }
    }
}

#[test]
fn a_damaged_day_on_another_device_moves_to_quarantine_and_the_product_goes_on() {
    let Some(two) = Two::new() else { return };
    put(&two, "B-USD", Elsewhere::Product);
    let dir = crate::opened(two.data.path(), StoreOptions::default(), "test");
    let mut day = open(&dir, "B-USD");
    insert(&mut day, 1);
    day.commit();
    let column = day.files().column_path("trade_price");
    drop(day);
    let kept = std::fs::read(&column).unwrap();
    std::fs::File::options().write(true).open(&column).unwrap().set_len(0).unwrap();
    let (day, opening) = Day::<Trades>::open(&dir, &product("B-USD"), DAY, DAY.start()).unwrap();
    let Opening::Quarantined { moved_to, .. } = opening else { panic!("{opening:?}") };
    assert_eq!(day.count(), 0);
    assert_eq!(device_of(&moved_to), device_of(two.data.path()));
    assert!(moved_to.join(column.file_name().unwrap()).exists() && !kept.is_empty());
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

/// File systems made for a test, unmounted at the end in reverse order.
struct Mounts(Vec<PathBuf>);

impl Mounts {
    fn mount(&mut self, args: &[&str], point: &Path) -> bool {
        std::fs::create_dir_all(point).unwrap();
        let is_mounted = runs("mount", &[args, &[point.to_str().unwrap()]].concat());
        if is_mounted {
            self.0.push(point.to_owned());
        } else {
            let _ = writeln!(std::io::stderr(), "skipped: nothing can be mounted here");
        }
        is_mounted
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for point in self.0.drain(..).rev() {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

#[test]
fn what_is_durable_on_a_mounted_disk_is_on_that_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (data, image, copy) = (folder.path().join("data"), folder.path().join("image"), folder.path().join("copy"));
    let mut mounts = Mounts(Vec::new());
    std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    if !runs("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])
        || !mounts.mount(&["-o", "loop", image.to_str().unwrap()], &data.join("B-USD"))
    {
        return;
    }
    let dir = crate::opened(&data, StoreOptions::default(), "test");
    let (mut day, mut tickers) = (open(&dir, "B-USD"), Day::<Md>::open(&dir, &product("B-USD"), DAY, DAY.start()).unwrap().0);
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    syncer.watch(tickers.files());
    for id in 1..=500 {
        insert(&mut day, id);
        let ticker = coltape::internals::record::Ticker { sequence: id, time: trade(id).time, ..Md::EMPTY };
        while let Err(InsertError::NoRoom) = tickers.insert(&ticker) {
            tickers.files().provision().unwrap();
        }
    }
    day.commit();
    tickers.commit();
    // The second cycle brings the durable slots of the first to the disk.
    syncer.cycle().unwrap();
    syncer.cycle().unwrap();
    assert_eq!((day.files().durable(), tickers.files().durable()), (500, 500));
    // The power goes: what the disk holds is all that there is.
    std::fs::copy(&image, &copy).unwrap();
    let after = folder.path().join("after");
    if !mounts.mount(&["-o", "loop", copy.to_str().unwrap()], &after.join("B-USD")) {
        return;
    }
    let options = StoreOptions::default().boot_id(Some(BootId([7; 16])));
    let dir = crate::opened(&after, options, "test");
    let found = Snapshot::<Trades>::open_on(Some(BootId([7; 16])), &after, &product("B-USD"), DAY).unwrap().expect("a day");
    assert_eq!(found.rows().map(|row| row.trade_id).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    assert_eq!(Day::<Md>::open(&dir, &product("B-USD"), DAY, DAY.start()).unwrap().0.count(), 500);
}

#[test]
fn a_folder_on_a_file_system_that_is_not_known_to_be_safe_is_refused_by_its_name_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let (data, disk) = (folder.path().join("data"), folder.path().join("disk"));
    let mut mounts = Mounts(Vec::new());
    if !mounts.mount(&["-t", "ramfs", "none"], &disk) {
        return;
    }
    let dir = crate::opened(&data, StoreOptions::default(), "test");
    std::fs::create_dir(disk.join("B-USD")).unwrap();
    symlink(disk.join("B-USD"), data.join("B-USD")).unwrap();
    // While it runs: that product alone.
    let refused = Day::<Trades>::open(&dir, &product("B-USD"), DAY, DAY.start()).unwrap_err();
    assert!(matches!(refused, StoreError::UnsafeFileSystem { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(disk.join("B-USD/TRADES")).map_or(0, Iterator::count), 0, "nothing was written there");
    insert(&mut open(&dir, "A-USD"), 1);
    drop(dir);
    // At the start: as a whole, if there is a day's folder.
    std::fs::create_dir_all(disk.join("B-USD/TRADES")).unwrap();
    let refused = DataDir::open(&data, StoreOptions::default(), "test").unwrap_err();
    assert!(matches!(&refused, StoreError::UnsafeFileSystem { path, .. } if path.starts_with(data.join("B-USD"))), "{refused}");
    assert_eq!(DataDir::open(&data, StoreOptions::default().force_fs(true), "test").unwrap().devices(), 2);
}
