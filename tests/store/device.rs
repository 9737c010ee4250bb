//! A device that fails for a while, a real one: ext4 on a loop device whose backing store is full. The kernel reports the failed flush once;
//! the next one would succeed with the data lost. What is called durable must be on the device all the same, or the capture stops.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coltape::internals::decimal::Decimal;
use coltape::internals::product::ProductId;
use coltape::internals::record::Trade;
use coltape::internals::schema::{Layout, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict};
use coltape::internals::store::{Day, InsertError, Opening, Snapshot, StoreError, StoreOptions, SyncError, Syncer, Trusted, seal};
use coltape::internals::time::{UnixNanos, UtcDay};

const DAY: UtcDay = UtcDay(20_000);
/// Enough for more blocks than the backing store has by chance.
const RECORDS: u64 = 60_000;
/// Records of the time before the device fails.
const BEFORE: u64 = 600;

fn product() -> ProductId {
    ProductId::new("BTC-USD").unwrap()
}

fn trade(id: u64) -> Trade {
    let number = Decimal::from_f32(1.5);
    Trade {
        trade_id: id,
        time: UnixNanos(DAY.start().0 + id),
        price: number,
        size: number,
        sequence: id,
        recv: UnixNanos(id),
        ..Trades::EMPTY
    }
}

/// A small file system inside a file on another one, which can be filled up below it.
struct Shaky {
    backing: PathBuf,
    disk: PathBuf,
    /// A setting of the device, and what it was.
    before: Option<(PathBuf, String)>,
    _folder: tempfile::TempDir,
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

impl Shaky {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (backing, disk) = (folder.path().join("backing"), folder.path().join("disk"));
        std::fs::create_dir(&backing).unwrap();
        std::fs::create_dir(&disk).unwrap();
        let mut shaky = Self { backing, disk, before: None, _folder: folder };
        let image = shaky.backing.join("image");
        let (image_name, point) = (image.to_str().unwrap().to_owned(), shaky.disk.to_str().unwrap().to_owned());
        let made = runs("mount", &["-t", "tmpfs", "-o", "size=48m", "none", shaky.backing.to_str().unwrap()])
            && std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).is_ok()
            && runs("mkfs.ext4", &["-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", &image_name])
            && runs("mount", &["-o", "loop,errors=continue,data_err=ignore", &image_name, &point])
            && shaky.fails_honestly().is_ok();
        if !made {
            let _ = writeln!(std::io::stderr(), "skipped: no ext4 on a loop device can be mounted here");
            return None;
        }
        Some(shaky)
    }

    /// Has each request be a page. A loop device says of a request that all of it was written where only its first pages were (Linux 6.18, `lo_complete_rq`).
    fn fails_honestly(&mut self) -> std::io::Result<()> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let of_disk = mounts.lines().find(|line| line.split(' ').nth(1) == self.disk.to_str());
        let device = of_disk.and_then(|line| line.strip_prefix("/dev/")?.split(' ').next()).unwrap_or_default();
        let setting = PathBuf::from(format!("/sys/block/{device}/queue/max_sectors_kb"));
        self.before = Some((setting.clone(), std::fs::read_to_string(&setting)?));
        std::fs::write(setting, "4")
    }

    fn ballast(&self) -> PathBuf {
        self.backing.join("ballast")
    }

    /// Leaves the backing store without a free block.
    fn fill(&self) {
        let _ = std::fs::write(self.ballast(), vec![1; 48 << 20]);
    }
}

impl Drop for Shaky {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.ballast());
        if let Some((setting, before)) = &self.before {
            let _ = std::fs::write(setting, before.trim());
        }
        for point in [&self.disk, &self.backing] {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}

fn insert(day: &mut Day<Trades>, id: u64) {
    while let Err(InsertError::NoRoom) = day.insert(&trade(id)) {
        day.files().provision().unwrap();
    }
}

#[test]
fn what_a_failing_device_lost_is_not_called_durable_before_the_device_holds_it() {
    let Some(shaky) = Shaky::new() else { return };
    let (failed, ballast) = (Arc::new(AtomicUsize::new(0)), shaky.ballast());
    let seen = Arc::clone(&failed);
    let probe = Probe::new(move |step| {
        if step == Step::Changed("storing again") {
            seen.fetch_add(1, Ordering::Relaxed);
            // The device has recovered.
            let _ = std::fs::remove_file(&ballast);
        }
        Verdict::Go
    });
    let dir = crate::opened(&shaky.disk, StoreOptions::default().probe(Some(probe)), "test");
    Day::<Trades>::prepare(&dir, &product(), DAY, 80_000).unwrap();
    let (mut day, _) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
    let mut syncer = Syncer::new(Arc::clone(&dir));
    syncer.watch(day.files());
    // Until the journal has been round once, so that the device holds every block of it.
    for id in 1..=BEFORE {
        insert(&mut day, id);
        day.commit();
        std::fs::write(shaky.disk.join(format!("touch{}", id % 7)), format!("{id}")).unwrap();
        syncer.cycle().unwrap();
    }
    // Before anything more comes: the system may write pages out whenever it likes.
    shaky.fill();
    (BEFORE + 1..=RECORDS).for_each(|id| insert(&mut day, id));
    day.commit();
    match syncer.cycle() {
        Ok(report) => {
            assert!(report.recovered, "the device did fail");
            syncer.cycle().unwrap();
            println!("made good at once");
            assert_eq!(day.files().durable(), RECORDS);
            drop((day, syncer, dir));
        }
        // Where the kernel took the failed blocks for written, storing again does not help; reading back notices, and the capture stops.
        Err(stopped) => {
            assert!(matches!(&stopped, SyncError::Disk { then, .. } if matches!(**then, StoreError::Damaged { .. })), "{stopped}");
            assert_eq!((day.files().is_trusted(), day.files().durable()), (false, BEFORE));
            println!("stopped with {BEFORE} records durable");
            // What is not flushed any more is not sealed. The day is closed, and the capture ends.
            let sealed = seal::seal(&dir, vec![day.close()]).pop().unwrap().sealed;
            assert!(matches!(sealed, Err(StoreError::Flush { .. })), "{sealed:?}");
            drop((syncer, dir));
            // The next one, on the same boot, finds everything that was seen, and brings it to the device.
            let dir = crate::opened(&shaky.disk, StoreOptions::default(), "test");
            let (day, opening) = Day::<Trades>::open(&dir, &product(), DAY, DAY.start()).unwrap();
            assert_eq!(opening, Opening::Continued { records: RECORDS, given_up: 0, trusted: Trusted::Committed });
            let mut syncer = Syncer::new(Arc::clone(&dir));
            syncer.watch(day.files());
            syncer.cycle().unwrap();
            syncer.cycle().unwrap();
            assert_eq!(day.files().durable(), RECORDS);
        }
    }
    assert!(failed.load(Ordering::Relaxed) >= 1);
    // Past every cache.
    assert!(runs("umount", &[shaky.disk.to_str().unwrap()]));
    assert!(runs("mount", &["-o", "loop", shaky.backing.join("image").to_str().unwrap(), shaky.disk.to_str().unwrap()]));
    let seen = Snapshot::<Trades>::open_on(None, &shaky.disk, &product(), DAY).unwrap().unwrap();
    assert!(seen.count() as u64 == RECORDS && seen.rows().zip(1..).all(|(row, id)| row == trade(id)));
    assert_eq!(seen.check().unwrap(), []);
}
