//! The disks that the directory lies on: file system, options, room, and how long a flush takes.
//!
//! A disk that does not answer is red: nothing else can be said of it, and a capture on it would hang.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bounded::within;
use super::config::{DoctorConfig, nearest_folder};
use super::finding::Finding;
use super::mounts::Mount;
use crate::capture::CaptureConfig;
use crate::store::filesystem::refuse_unsafe;
use crate::store::{FIRST_RECORDS, Space, StoreError, catalog, free_space};

/// Bytes that are written before each measured flush: a second of a busy product.
const FLUSHED_BYTES: usize = 256 << 10;
/// Flushes that are measured, at most.
const FLUSHES: usize = 5;
/// Time after which no further flush is begun.
const FLUSHING_TIME: Duration = Duration::from_secs(2);
/// The longest flush that is good: a write within 100 ms is what is promised.
const GOOD_FLUSH: Duration = Duration::from_millis(100);
/// The longest flush with which records are on disk in time.
const LONGEST_FLUSH: Duration = Duration::from_secs(1);
/// Free space below which somebody should look, in bytes, where no rates are known.
const GOOD_FREE: u64 = 10_000_000_000;
/// Days for which there should be inodes.
const GOOD_INODE_DAYS: u64 = 30;
/// Days whose files are there while a capture runs: today's and tomorrow's.
const OPEN_DAYS: u64 = 2;
/// Other disks that are looked at.
const MAX_OTHERS: usize = 16;

/// What was found of one disk.
#[derive(Debug)]
struct Disk {
    /// The directory, or what there is of the way to it; or a product's folder on another disk.
    folder: PathBuf,
    /// Why its file system is not known to be safe.
    unsafe_because: Option<String>,
    mount: Option<Mount>,
    /// Whether the system itself lies on it.
    is_of_system: bool,
    space: io::Result<Space>,
    /// Free inodes and all; nothing where the file system has no fixed number.
    inodes: Option<(u64, u64)>,
}

/// Looks at the disks of the directory.
pub(super) fn examine(config: &DoctorConfig, products: usize) -> Vec<Finding> {
    let dir = config.capture.data_dir.clone();
    let Some(folders) = within(config.timeout, move || folders(&dir, nearest_folder(&dir))) else {
        return vec![silent(&config.capture.data_dir, config.timeout)];
    };
    let is_one = folders.len() == 1;
    folders.into_iter().flat_map(|folder| examine_one(config, folder, products, is_one)).collect()
}

fn silent(folder: &Path, waited: Duration) -> Finding {
    let found = format!("{} does not answer within {} s", folder.display(), waited.as_secs());
    Finding::red("disk", found, "look at the disk: dmesg; a network file system whose server is gone does not answer either")
}

/// Gives a folder for each disk that the directory lies on.
fn folders(dir: &Path, nearest: PathBuf) -> Vec<PathBuf> {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let mut known = BTreeSet::from_iter(device(&nearest));
    let products = catalog::products(dir).unwrap_or_default().into_iter().map(|product| dir.join(product.as_str()));
    let others: Vec<PathBuf> = products.filter(|path| device(path).is_some_and(|device| known.insert(device))).take(MAX_OTHERS).collect();
    [nearest].into_iter().chain(others).collect()
}

fn examine_one(config: &DoctorConfig, folder: PathBuf, products: usize, is_one: bool) -> Vec<Finding> {
    let looked = folder.clone();
    let Some(disk) = within(config.timeout, move || look(folder)) else { return vec![silent(&looked, config.timeout)] };
    let written = disk.folder.clone();
    // By itself: a disk that takes no writes may still be read.
    let flushes = within(config.timeout, move || measure_flushes(&written));
    let capture = &config.capture;
    let products = u64::try_from(products).unwrap_or(u64::MAX);
    let (files, first) = (files_a_day(capture).saturating_mul(products), first_bytes(capture).saturating_mul(products));
    let mut findings = vec![
        judge_file_system(disk.mount.as_ref(), disk.unsafe_because.as_deref(), capture.force_fs),
        judge_mount(disk.mount.as_ref()),
        judge_place(disk.is_of_system, disk.mount.as_ref()),
        judge_space(disk.space.as_ref().ok().copied(), first),
        judge_inodes(disk.inodes, files),
        judge_flushes(flushes.as_ref(), &disk.folder, config.timeout),
    ];
    if !is_one {
        findings.iter_mut().for_each(|finding| finding.found = format!("{}: {}", disk.folder.display(), finding.found));
    }
    findings
}

/// Counts the files of one product's day.
fn files_a_day(capture: &CaptureConfig) -> u64 {
    let files: usize = capture.datasets.iter().map(|dataset| dataset.columns_of(capture.columns).len() + 1).sum();
    u64::try_from(files).unwrap_or(u64::MAX)
}

/// Counts the bytes that a product's days begin with.
fn first_bytes(capture: &CaptureConfig) -> u64 {
    let width: usize =
        capture.datasets.iter().flat_map(|dataset| dataset.columns_of(capture.columns)).map(|column| column.kind.width()).sum();
    u64::try_from(width).unwrap_or(u64::MAX).saturating_mul(FIRST_RECORDS).saturating_mul(OPEN_DAYS)
}

fn look(folder: PathBuf) -> Disk {
    let unsafe_because = match refuse_unsafe(&folder) {
        Ok(()) => None,
        Err(StoreError::UnsafeFileSystem { name, .. }) => Some(name),
        Err(error) => Some(error.to_string()),
    };
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let counted = rustix::fs::statvfs(&folder).ok().filter(|found| found.f_files > 0);
    Disk {
        unsafe_because,
        mount: folder.canonicalize().ok().and_then(|path| Mount::of(&path)),
        is_of_system: device(&folder) == device(Path::new("/")),
        space: free_space(&folder),
        inodes: counted.map(|found| (found.f_favail, found.f_files)),
        folder,
    }
}

/// Writes to a file without a name and flushes its file system, a few times.
fn measure_flushes(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".coltape-doctor-{}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    // Nothing is left behind, however the process ends.
    fs::remove_file(&path)?;
    let (block, began, mut taken) = (vec![0x5a; FLUSHED_BYTES], Instant::now(), Vec::new());
    while taken.is_empty() || taken.len() < FLUSHES && began.elapsed() < FLUSHING_TIME {
        file.write_all(&block)?;
        let start = Instant::now();
        rustix::fs::syncfs(&file)?;
        taken.push(start.elapsed());
    }
    Ok(taken)
}

fn judge_file_system(mount: Option<&Mount>, unsafe_because: Option<&str>, force_fs: bool) -> Finding {
    const CHECK: &str = "file system";
    const CHANGE: &str = "record to ext4 or xfs";
    match (unsafe_because, mount) {
        (Some(name), _) if force_fs => Finding::yellow(CHECK, format!("{name}, where a full disk kills the capture (--force-fs)"), CHANGE),
        (Some(name), _) => Finding::red(
            CHECK,
            format!("{name}, where a full disk kills the capture"),
            format!("{CHANGE}; --force-fs records there all the same"),
        ),
        (None, Some(mount)) if mount.kind == "tmpfs" => {
            Finding::yellow(CHECK, "tmpfs, which is memory: a power cut loses everything", CHANGE)
        }
        (None, Some(mount)) => Finding::green(CHECK, format!("{} on {}", mount.kind, mount.point.display())),
        (None, None) => Finding::yellow(CHECK, "it is safe, but not known where it is mounted", "look at /proc/self/mountinfo"),
    }
}

fn judge_mount(mount: Option<&Mount>) -> Finding {
    const CHECK: &str = "mount";
    let Some(mount) = mount else { return Finding::yellow(CHECK, "its options are not known", "look at /proc/self/mountinfo") };
    let remount = |options: &str| format!("mount -o remount,{options} {}, and the same in /etc/fstab", mount.point.display());
    if mount.has("ro") {
        return Finding::red(CHECK, "read-only (ro)", format!("{}; after errors of the disk: dmesg", remount("rw")));
    }
    if mount.has("nobarrier") || mount.has("barrier=0") {
        return Finding::red(CHECK, "nobarrier: a power cut may lose what was flushed", remount("barrier"));
    }
    if mount.has("sync") || mount.has("dirsync") {
        return Finding::yellow(CHECK, "sync: every write waits for the disk", remount("async"));
    }
    if !["noatime", "relatime"].iter().any(|option| mount.has(option)) {
        return Finding::yellow(CHECK, "strictatime: every reader causes writes", remount("noatime"));
    }
    Finding::green(CHECK, mount.options.join(","))
}

fn judge_place(is_of_system: bool, mount: Option<&Mount>) -> Finding {
    const CHECK: &str = "own disk";
    if is_of_system {
        return Finding::yellow(
            CHECK,
            "the system's file system: each flush also writes what others wrote, and their files can fill it",
            "give the directory a file system of its own, above all for hundreds of products",
        );
    }
    Finding::green(CHECK, mount.map_or_else(|| "yes".to_owned(), |mount| mount.point.display().to_string()))
}

fn judge_space(space: Option<Space>, needed: u64) -> Finding {
    const CHECK: &str = "space";
    let Some(space) = space else { return Finding::yellow(CHECK, "not known", "look at the disk: df") };
    let found = format!("{} free of {}", gigabytes(space.free), gigabytes(space.total));
    let usable = space.usable();
    if usable < needed {
        let change =
            format!("free {}: a full disk sheds records", gigabytes(needed.saturating_add(space.reserve()).saturating_sub(space.free)));
        Finding::red(CHECK, format!("{found}; {} stay reserved", gigabytes(space.reserve())), change)
    } else if usable < GOOD_FREE {
        Finding::yellow(CHECK, found, "free more than 10 GB, or archive days")
    } else {
        Finding::green(CHECK, found)
    }
}

fn judge_inodes(inodes: Option<(u64, u64)>, files_a_day: u64) -> Finding {
    const CHECK: &str = "inodes";
    let Some((free, all)) = inodes else { return Finding::green(CHECK, "no fixed number") };
    let found = format!("{free} free of {all}; a day needs {files_a_day}");
    let change = "make the file system with more inodes (mkfs.ext4 -i 16384), or remove files";
    if free < files_a_day.saturating_mul(OPEN_DAYS) {
        Finding::red(CHECK, found, change)
    } else if free < files_a_day.saturating_mul(GOOD_INODE_DAYS) {
        Finding::yellow(CHECK, found, change)
    } else {
        Finding::green(CHECK, found)
    }
}

/// Judges measured flushes; nothing where the disk did not answer in time.
fn judge_flushes(flushes: Option<&io::Result<Vec<Duration>>>, folder: &Path, waited: Duration) -> Finding {
    const CHECK: &str = "flush";
    let taken = match flushes {
        None => return Finding { check: CHECK, ..silent(folder, waited) },
        Some(Ok(taken)) => taken,
        Some(Err(error)) => {
            let change = "give the user of the capture this folder (chown), or another --data-dir";
            return Finding::red(CHECK, format!("{} cannot be written to: {error}", folder.display()), change);
        }
    };
    let longest = taken.iter().max().copied().unwrap_or_default();
    let found = format!("longest of {} took {} ms", taken.len(), longest.as_millis());
    if longest >= LONGEST_FLUSH {
        Finding::red(CHECK, found, "a faster disk, or one that nothing else writes to: records have to be on disk within 2 s")
    } else if longest > GOOD_FLUSH {
        Finding::yellow(CHECK, found, "a disk that flushes within 100 ms, of its own; while something else writes a lot, ask again later")
    } else {
        Finding::green(CHECK, found)
    }
}

/// Spells bytes for people.
pub(super) fn gigabytes(bytes: u64) -> String {
    let (whole, unit) = if bytes >= 1_000_000_000 { (bytes / 10_000_000, "GB") } else { (bytes / 10_000, "MB") };
    format!("{}.{:02} {unit}", whole / 100, whole % 100)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Colour::{self, Green, Red, Yellow};
    use super::*;

    fn mount(kind: &str, options: &str) -> Mount {
        Mount { point: "/mnt/md".into(), kind: kind.to_owned(), options: options.split(',').map(str::to_owned).collect() }
    }

    #[test]
    fn a_file_system_that_kills_the_writer_is_red_unless_it_is_asked_for() {
        let (ext4, memory) = (mount("ext4", "rw"), mount("tmpfs", "rw"));
        let of = |mount, name, force| judge_file_system(mount, name, force).colour;
        assert_eq!(of(Some(&ext4), None, false), Green);
        assert_eq!(of(Some(&memory), None, false), Yellow);
        assert_eq!(of(None, None, false), Yellow);
        assert_eq!(of(Some(&ext4), Some("btrfs"), false), Red);
        assert_eq!(of(Some(&ext4), Some("btrfs"), true), Yellow);
    }

    #[test]
    fn options_that_lose_or_wait_are_found() {
        for (options, colour) in [
            ("rw,relatime", Green),
            ("rw,noatime,discard", Green),
            ("rw", Yellow),
            ("rw,strictatime", Yellow),
            ("rw,noatime,sync", Yellow),
            ("rw,noatime,dirsync", Yellow),
            ("ro,noatime", Red),
            ("rw,noatime,nobarrier", Red),
            ("rw,noatime,barrier=0", Red),
        ] {
            let found = judge_mount(Some(&mount("ext4", options)));
            assert_eq!(found.colour, colour, "{options}");
            assert!(colour == Green || found.change.contains("/mnt/md"), "{found:?}");
        }
        assert_eq!(judge_mount(None).colour, Yellow);
        assert_eq!([judge_place(true, None).colour, judge_place(false, None).colour], [Yellow, Green]);
    }

    #[test]
    fn a_disk_without_room_for_the_first_records_is_red() {
        let of = |free: u64| judge_space(Some(Space { free, total: 1 << 40, used: 0 }), 1 << 20).colour;
        let reserve = Space { free: 0, total: 1 << 40, used: 0 }.reserve();
        assert_eq!([0, reserve + (1 << 20) - 1, reserve + (1 << 20)].map(of), [Red, Red, Yellow]);
        assert_eq!([reserve + GOOD_FREE - 1, reserve + GOOD_FREE].map(of), [Yellow, Green]);
        assert_eq!(judge_space(None, 0).colour, Yellow);
        let of = |free: u64| judge_inodes(Some((free, 1 << 20)), 38).colour;
        assert_eq!([0, 75, 76, 38 * 30 - 1, 38 * 30].map(of), [Red, Red, Yellow, Yellow, Green]);
        assert_eq!(judge_inodes(None, 38).colour, Green);
    }

    #[test]
    fn a_slow_flush_is_yellow_and_one_that_is_too_late_or_fails_is_red() {
        let of = |millis: &[u64]| {
            judge_flushes(Some(&Ok(millis.iter().copied().map(Duration::from_millis).collect())), Path::new("/d"), GOOD_FLUSH).colour
        };
        let colours: Vec<Colour> = [&[1, 2, 100][..], &[1, 101], &[999], &[1000, 1]].into_iter().map(of).collect();
        assert_eq!(colours, [Green, Yellow, Yellow, Red]);
        let failed = judge_flushes(Some(&Err(io::ErrorKind::PermissionDenied.into())), Path::new("/d"), GOOD_FLUSH);
        assert!(failed.colour == Red && failed.found.contains("/d"), "{failed:?}");
        let silent = judge_flushes(None, Path::new("/d"), LONGEST_FLUSH);
        assert!(silent.colour == Red && silent.check == "flush" && silent.found.contains("within 1 s"), "{silent:?}");
    }

    #[test]
    fn what_was_measured_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = measure_flushes(folder.path()).expect("measured");
        assert!((1..=FLUSHES).contains(&taken.len()));
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0);
        assert!(measure_flushes(Path::new("/proc")).is_err());
    }
}
