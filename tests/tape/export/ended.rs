//! An export that ends early, by a kill or a full disk: every file is the old or the new one, and the manifest names only what it describes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coltape::internals::record::Trade;
use coltape::internals::schema::Trades;
use coltape::internals::store::StoreOptions;
use coltape::internals::time::{UnixNanos, UtcDay};

use super::{FileState, SECOND, assert_manifest_holds, export, exported, files, refused, said};
use crate::capture::programs::await_that;
use crate::market::{FIRST_DAY, data_dir, prints, product, store};

const DAYS: u64 = 12;

/// Stores days that follow each other.
fn store_days(tape: &Path, trades_a_day: u64) {
    let step = 86_000 * SECOND / trades_a_day;
    for day in 0..DAYS {
        let start = UtcDay(FIRST_DAY.0 + u32::try_from(day).unwrap()).start();
        let all = prints(1 + day * trades_a_day, trades_a_day, UnixNanos(start.0 + SECOND), step);
        let trades: Vec<Trade> = all.iter().map(|print| print.trade).collect();
        store::<Trades>(&data_dir(tape, StoreOptions::default()), &product(), &trades);
    }
}

/// The bytes of each file.
fn bytes(files: &BTreeMap<PathBuf, FileState>) -> BTreeMap<PathBuf, Vec<u8>> {
    files.iter().map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
}

/// Asserts that each file is the old one or the new one, and that the manifest holds. Gives how many are new.
fn assert_old_or_new(out: &Path, old: &BTreeMap<PathBuf, Vec<u8>>, new: &BTreeMap<PathBuf, Vec<u8>>) -> usize {
    let found = bytes(&files(out));
    assert_eq!(found.keys().collect::<Vec<_>>(), old.keys().collect::<Vec<_>>());
    for (path, file) in &found {
        assert!(old.get(path) == Some(file) || new.get(path) == Some(file), "{} is neither the old nor the new one", path.display());
    }
    assert_manifest_holds(out);
    found.iter().filter(|(path, file)| new.get(*path) == Some(file)).count()
}

#[test]
fn a_kill_at_any_moment_leaves_old_or_new_files_and_the_next_export_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out, whole) = (folder.path().join("tape"), folder.path().join("out"), folder.path().join("whole"));
    store_days(&tape, 3_000);
    exported(&tape, &whole, &["--types", "rich"]);
    exported(&tape, &out, &[]);
    let (old, new) = (bytes(&files(&out)), bytes(&files(&whole)));
    let mut seed = 7u64;
    let mut killed = 0;
    for round in 0..24 {
        let mut child = export(&tape, &out, &["--types", "rich", "--jobs", "2"]).stderr(Stdio::null()).spawn().unwrap();
        // Every other time from when the first temporary file is there, anywhere; else while files take their places.
        let unfinished = out.join("_coltape_export.tmp");
        let first = out.join(old.keys().next().unwrap());
        let inode = || fs::metadata(&first).unwrap().ino();
        let before = inode();
        if round % 2 == 0 {
            await_that("a temporary file", || unfinished.join("0").exists() || child.try_wait().unwrap().is_some());
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for _ in 0..seed >> 44 {
                std::hint::spin_loop();
            }
        } else {
            while inode() == before && child.try_wait().unwrap().is_none() {}
        }
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        assert_old_or_new(&out, &old, &new);
        if round % 4 == 3 {
            exported(&tape, &out, &["--types", "rich"]);
            assert_eq!(bytes(&files(&out)), new);
            assert_eq!(assert_manifest_holds(&out).len(), usize::try_from(DAYS).unwrap());
            assert!(!unfinished.exists());
            exported(&tape, &out, &[]);
            assert_eq!(bytes(&files(&out)), old);
        }
    }
    assert!(killed >= 12, "{killed} of 24 exports were killed before their end");
}

/// A small file system in memory, unmounted when dropped.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(point: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(point).unwrap();
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(point).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(point.to_owned()));
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: nothing can be mounted here\n");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_an_export_and_leaves_the_old_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, whole) = (folder.path().join("tape"), folder.path().join("whole"));
    store_days(&tape, 3_000);
    exported(&tape, &whole, &["--compression", "none"]);
    let new = bytes(&files(&whole));
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "3m") else { return };
    let out = disk.0.join("out");
    exported(&tape, &out, &[]);
    let old = bytes(&files(&out));
    let room = |left: u64| {
        let filler = disk.0.join("filler");
        let _ = fs::remove_file(&filler);
        let free = rustix::fs::statfs(&disk.0).unwrap();
        let free = u64::try_from(free.f_bsize).unwrap() * free.f_bfree;
        fs::write(filler, vec![0; usize::try_from(free.saturating_sub(left)).unwrap()]).unwrap();
    };
    for left in [0, 4 << 10, 64 << 10, 300 << 10, 700 << 10] {
        room(left);
        let why = refused(&tape, &out, &["--compression", "none"]);
        assert!(why.starts_with("no space left for ") && why.contains("untouched"), "{left}: {why}");
        assert_old_or_new(&out, &old, &new);
        assert!(!out.join("_coltape_export.tmp").exists(), "the room is given back");
    }
    fs::remove_file(disk.0.join("filler")).unwrap();
    exported(&tape, &out, &[]);
    assert_eq!(bytes(&files(&out)), old);
    drop(disk);
}

#[test]
fn two_exports_into_one_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (tape, out) = (folder.path().join("tape"), folder.path().join("out"));
    store_days(&tape, 30);
    exported(&tape, &out, &[]);
    let held = fs::File::open(&out).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let why = refused(&tape, &out, &[]);
    assert!(why.contains("another export or archive is writing to"), "{why}");
    drop(held);
    assert!(said(&export(&tape, &out, &[]).output().unwrap()).ends_with("12 files unchanged\n"));
}
