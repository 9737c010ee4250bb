//! Power cuts: whatever a disk keeps of what was not flushed, recovery finds a front of what was recorded, at least as long as was
//! promised, and no record that was never recorded, while appending, syncing, sealing, replacing, opening again and recovering.
//!
//! `COLTAPE_CRASH_IMAGES` sets how many images are tried, `COLTAPE_CRASH_SEED` with which seed,
//! `COLTAPE_CRASH_LIFE` from which life on: together they repeat a failure.

mod disk;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coltape::internals::product::ProductId;
use coltape::internals::schema::{ColumnSet, TickerTrades, Trades};
use coltape::internals::store::probe::{Probe, Step, Verdict, Why};
use coltape::internals::store::{BootId, DataDir, Day, InsertError, Inserted, Opening, Snapshot, StoreOptions, Syncer, seal};
use coltape::internals::time::UnixNanos;
use disk::{Image, Shot};
use world::{DAY, Subject, World};

/// Images tried for each moment between two flushes.
const IMAGES_PER_EPOCH: usize = 12;

/// Bugs that the tests plant to see that they would be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plant {
    Nothing,
    /// Durable slots are written without the flush before them.
    SlotBeforeData,
    /// The folder is not flushed between renaming and the seal that relies on it.
    FolderNotFlushed,
    /// One slot is overwritten again and again.
    OneSlot,
    /// A seal is written while the cut files are not on disk.
    SealBeforeFiles,
    /// A sealed day grows before its page says so on disk.
    GrowthBeforeReopening,
    /// A seal is relied on before it is on disk.
    SealNotFlushed,
}

/// What has happened in the folder since the last flush. One a thread: the probe runs on the thread that does the work.
struct Trace {
    root: PathBuf,
    versions: Vec<Shot>,
    before_flush: Option<(Shot, World)>,
    world: World,
    plant: Plant,
    /// Epochs that have ended, with what must be found after a crash in them.
    epochs: Vec<(Vec<Shot>, World)>,
}

thread_local! {
    static TRACE: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

impl Trace {
    fn see(&mut self, step: Step) -> Verdict {
        match step {
            Step::Flush(why) => {
                let planted = match self.plant {
                    Plant::SlotBeforeData => why == Why::Sync,
                    Plant::FolderNotFlushed => why == Why::Names,
                    Plant::SealBeforeFiles => why == Why::SealFiles,
                    Plant::GrowthBeforeReopening => why == Why::Reopened,
                    Plant::SealNotFlushed => why == Why::SealState,
                    Plant::Nothing | Plant::OneSlot => false,
                };
                if planted {
                    return Verdict::Skip;
                }
                self.shoot();
                self.before_flush = Some((self.versions.last().unwrap().clone(), self.world.clone()));
            }
            Step::Device(_) => {}
            Step::Flushed(why) => self.flushed(why),
            Step::Changed(what) => {
                match what {
                    "durable slot" => self.world.slot_written(),
                    "sealed state" => self.world.era_begun(),
                    _ => {}
                }
                self.shoot();
            }
            Step::Slot if self.plant == Plant::OneSlot => return Verdict::Skip,
            Step::Slot => {}
        }
        Verdict::Go
    }

    fn shoot(&mut self) {
        let shot = Shot::of(&self.root, self.versions.last());
        self.versions.push(shot);
    }

    fn flushed(&mut self, why: Why) {
        let (flushed, mut world) = self.before_flush.take().unwrap();
        if matches!(why, Why::Reopened | Why::Spare) {
            // Only the page has been flushed: it joins what was on disk, the rest stays as open as it was.
            let page = flushed.name_of("commit.").unwrap();
            self.end_epoch();
            let mut base = self.versions.swap_remove(0);
            base.take_over(&flushed, &page);
            self.versions = vec![base, flushed];
            return;
        }
        self.end_epoch();
        // What recovery has not yet written into a slot is promised by the slot it was recovered from.
        world.promise = world.pending;
        self.world.promise = world.promise;
        self.versions = vec![flushed];
    }

    fn end_epoch(&mut self) {
        self.epochs.push((self.versions.clone(), self.world.clone()));
    }
}

fn with_trace<T>(act: impl FnOnce(&mut Trace) -> T) -> T {
    TRACE.with(|trace| act(trace.borrow_mut().as_mut().unwrap()))
}

fn probe() -> Probe {
    Probe::new(|step| TRACE.with(|trace| trace.borrow_mut().as_mut().map_or(Verdict::Go, |trace| trace.see(step))))
}

fn product() -> ProductId {
    ProductId::new("X").unwrap()
}

fn noon() -> UnixNanos {
    UnixNanos(DAY.start().0 + 43_200_000_000_000)
}

fn data_dir(path: &Path, boot: u8) -> Arc<DataDir> {
    let options = StoreOptions::default().columns(ColumnSet::Core).first_records(24).boot_id(Some(BootId([boot; 16]))).probe(Some(probe()));
    crate::opened(path, options, "")
}

/// A run of the capture over one day: random steps, every one of them seen by the trace.
struct Run<S: Subject> {
    dir: Arc<DataDir>,
    syncer: Syncer,
    day: Option<Day<S>>,
    next_key: u64,
    salt: u64,
    /// Keys that were jumped over and have not come since.
    missing: BTreeSet<u64>,
    /// Rows that came without order ids, as from REST, and whose better copies have not come since: their salts.
    bare: BTreeMap<u64, u64>,
}

impl<S: Subject> Run<S> {
    fn begin(dir: Arc<DataDir>, next_key: u64, salt: u64) -> Self {
        Self { syncer: Syncer::new(Arc::clone(&dir)), dir, day: None, next_key, salt, missing: BTreeSet::new(), bare: BTreeMap::new() }
    }

    fn day(&mut self) -> &mut Day<S> {
        if self.day.is_none() {
            let (day, opening) = Day::<S>::open(&self.dir, &product(), DAY, noon()).unwrap();
            assert!(!matches!(opening, Opening::Quarantined { .. }), "{opening:?} without a crash");
            self.syncer.watch(day.files());
            self.day = Some(day);
        }
        self.day.as_mut().unwrap()
    }

    fn insert(&mut self, key: u64) {
        self.salt += 1;
        self.missing.remove(&key);
        self.insert_row(&S::make(key, self.salt));
    }

    fn insert_row(&mut self, row: &S::Row) -> Inserted<S::Row> {
        let day = self.day();
        let inserted = loop {
            match day.insert(row) {
                Err(InsertError::NoRoom) => day.files().provision().unwrap(),
                other => break other.unwrap(),
            }
        };
        with_trace(|trace| {
            match inserted {
                Inserted::Appended => trace.world.era().base.push(S::sign(row)),
                Inserted::Late => trace.world.era().late.push(S::sign(row)),
                Inserted::Duplicate | Inserted::Conflict(_) => {}
            }
            trace.shoot();
        });
        inserted
    }

    /// Leaves a gap and goes on behind it: the keys within are missing until they are fetched.
    fn jump(&mut self, rng: &mut fastrand::Rng) {
        let to = self.next_key + rng.u64(1..12);
        self.missing.extend(self.next_key..to);
        self.next_key = to + 1;
        self.insert(to);
    }

    /// Takes a page of what is missing, newest first, as REST gives it: without order ids.
    fn fetch(&mut self, rng: &mut fastrand::Rng) {
        let page: Vec<u64> = self.missing.iter().rev().skip(rng.usize(..3)).take(rng.usize(1..8)).copied().collect();
        for key in page {
            self.salt += 1;
            self.missing.remove(&key);
            let row = S::bare(S::make(key, self.salt));
            assert_eq!(self.insert_row(&row), Inserted::Late, "a gap is filled behind what came after it");
            self.bare.insert(key, self.salt);
        }
    }

    /// Takes copies of fetched records that bring their order ids.
    fn complete(&mut self, rng: &mut fastrand::Rng) {
        let copies: Vec<(u64, u64)> =
            self.bare.iter().skip(rng.usize(..3)).take(rng.usize(1..4)).map(|(key, salt)| (*key, *salt)).collect();
        for (key, salt) in copies {
            self.bare.remove(&key);
            assert_eq!(self.insert_row(&S::make(key, salt)), Inserted::Late, "a better copy is kept");
        }
    }

    fn commit(&mut self) {
        self.day().commit();
        committed();
    }

    fn step(&mut self, rng: &mut fastrand::Rng) {
        match rng.u32(..100) {
            0..15 if S::LATE => {
                match rng.u32(..3) {
                    0 => self.jump(rng),
                    1 => self.fetch(rng),
                    _ => self.complete(rng),
                }
                if rng.bool() {
                    self.commit();
                }
            }
            0..45 => {
                for _ in 0..rng.u32(1..6) {
                    let late = S::LATE && self.next_key > 3 && rng.u32(..8) == 0;
                    let key = if late { rng.u64(1..self.next_key) } else { self.next_key + rng.u64(..2) };
                    self.next_key = self.next_key.max(key + 1);
                    self.insert(key);
                }
                // Sometimes a cycle comes between storing and committing.
                if rng.u32(..4) != 0 {
                    self.commit();
                }
            }
            45..75 => {
                self.day();
                self.syncer.cycle().unwrap();
                if rng.bool() {
                    assert!(!self.syncer.flush_slots().unwrap());
                }
            }
            75..80 => {
                self.commit();
                self.day = None;
                self.day();
            }
            80..92 => self.seal(),
            _ => self.late_after_seal(rng),
        }
    }

    fn seal(&mut self) {
        self.commit();
        let replaces = self.day().late_count() > 0;
        let files = self.day.take().unwrap().close();
        if replaces {
            // The era begins before its files are written: until they are announced the old one is as good.
            with_trace(|trace| trace.world.replaced());
        }
        let sealed = seal::seal(&self.dir, vec![files]);
        assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
    }

    fn late_after_seal(&mut self, rng: &mut fastrand::Rng) {
        self.seal();
        let (mut day, _) = Day::<S>::open(&self.dir, &product(), DAY, UnixNanos(u64::MAX)).unwrap();
        if S::LATE {
            for _ in 0..rng.u32(..4) {
                self.salt += 1;
                let key = rng.u64(1..self.next_key + 3);
                self.missing.remove(&key);
                let row = S::make(key, self.salt);
                if day.insert(&row).unwrap() == Inserted::Late {
                    with_trace(|trace| trace.world.era().late.push(S::sign(&row)));
                }
                self.next_key += 3;
            }
        }
        day.commit();
        committed();
        self.syncer.watch(day.files());
        self.syncer.cycle().unwrap();
        if day.late_count() > 0 {
            with_trace(|trace| trace.world.replaced());
        }
        let sealed = seal::seal(&self.dir, vec![day.close()]);
        assert!(sealed.iter().all(|outcome| outcome.sealed.is_ok()), "{sealed:?}");
    }
}

/// Notes a commit.
fn committed() {
    with_trace(|trace| {
        trace.world.commit();
        trace.shoot();
    });
}

/// What a recovery found.
struct Found {
    base: Vec<[u64; 4]>,
    late: Vec<[u64; 4]>,
}

fn recover<S: Subject>(root: &Path, boot: u8) -> Result<(Arc<DataDir>, Found), String> {
    let dir = data_dir(root, boot);
    let (day, opening) = Day::<S>::open(&dir, &product(), DAY, noon()).map_err(|error| error.to_string())?;
    if let Opening::Quarantined { why, .. } = opening {
        return Err(format!("quarantined: {why}"));
    }
    drop(day);
    let seen =
        Snapshot::<S>::open_on(Some(BootId([boot; 16])), root, &product(), DAY).map_err(|error| error.to_string())?.ok_or("no day")?;
    let base = (0..seen.base_count()).map(|at| S::sign(&seen.base_row(at).unwrap())).collect();
    let late = seen.late().iter().map(S::sign).collect();
    Ok((dir, Found { base, late }))
}

fn begin_trace(root: &Path, world: World, plant: Plant) {
    let first = Shot::of(root, None);
    let trace = Trace { root: root.to_owned(), versions: vec![first], before_flush: None, world, plant, epochs: Vec::new() };
    TRACE.with(|slot| *slot.borrow_mut() = Some(trace));
}

fn end_trace() -> Vec<(Vec<Shot>, World)> {
    TRACE.with(|slot| {
        let mut trace = slot.borrow_mut().take().unwrap();
        trace.end_epoch();
        trace.epochs
    })
}

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Tries images of a finished trace until there have been enough. `depth` crashes may follow on a recovery.
fn try_epochs<S: Subject>(
    epochs: &[(Vec<Shot>, World)],
    depth: u8,
    plant: Plant,
    tried: &AtomicU64,
    most: u64,
    rng: &mut fastrand::Rng,
) -> Result<(), String> {
    for (versions, world) in epochs {
        for _ in 0..IMAGES_PER_EPOCH {
            if tried.fetch_add(1, Ordering::Relaxed) >= most {
                return Ok(());
            }
            let moment = rng.usize(1..=versions.len());
            let image = disk::image(&versions[..moment], rng);
            try_image::<S>(&image, world, depth, plant, tried, most, rng)?;
        }
    }
    Ok(())
}

fn try_image<S: Subject>(
    image: &Image,
    world: &World,
    depth: u8,
    plant: Plant,
    tried: &AtomicU64,
    most: u64,
    rng: &mut fastrand::Rng,
) -> Result<(), String> {
    if let Some(name) = disk::says_zero_and_is_not(image) {
        return Err(format!("{}: a hot sector is said to be zero and is not", name.display()));
    }
    let root = folder();
    disk::write(image, root.path());
    let boot = 10 - depth;
    let goes_on = depth > 0 && rng.u32(..40) == 0;
    if goes_on {
        begin_trace(root.path(), world.clone(), plant);
    }
    let recovered = recover::<S>(root.path(), boot);
    if !goes_on {
        let (_, found) = recovered?;
        return world.judge(&found.base, &found.late);
    }
    let epochs = end_trace();
    let (dir, found) = recovered?;
    world.judge(&found.base, &found.late)?;
    // Crashes within the recovery: what was promised before still is.
    let during: Vec<_> = epochs.into_iter().map(|(versions, _)| (versions, world.clone())).collect();
    drop(dir);
    try_epochs::<S>(&during, 0, plant, tried, most, rng)?;
    // And a life after it, with other records than those that were given up.
    begin_trace(root.path(), World::of(found.base, found.late), plant);
    let mut run = Run::<S>::begin(data_dir(root.path(), boot), 1000, rng.u64(1 << 20..1 << 30));
    for _ in 0..12 {
        run.step(rng);
    }
    drop(run);
    let epochs = end_trace();
    try_epochs::<S>(&epochs, 0, plant, tried, most, rng)
}

/// Runs a capture from nothing and tries crashes at every moment of it.
fn one_life<S: Subject>(plant: Plant, tried: &AtomicU64, most: u64, rng: &mut fastrand::Rng) -> Result<(), String> {
    let root = folder();
    begin_trace(root.path(), World::of(Vec::new(), Vec::new()), plant);
    let mut run = Run::<S>::begin(data_dir(root.path(), 1), 1, 1);
    for _ in 0..30 {
        run.step(rng);
    }
    drop(run);
    let epochs = end_trace();
    try_epochs::<S>(&epochs, 1, plant, tried, most, rng)
}

fn lives(plant: Plant, most: u64, seed: u64) -> Result<u64, String> {
    let (tried, life) = (AtomicU64::new(0), AtomicU64::new(setting("COLTAPE_CRASH_LIFE").unwrap_or(0)));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let work = || -> Result<(), String> {
        while tried.load(Ordering::Relaxed) < most {
            let number = life.fetch_add(1, Ordering::Relaxed);
            let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(number));
            let done = if number % 4 == 3 {
                one_life::<TickerTrades>(plant, &tried, most, &mut rng)
            } else {
                one_life::<Trades>(plant, &tried, most, &mut rng)
            };
            if let Err(wrong) = done {
                tried.store(most, Ordering::Relaxed);
                return Err(format!("seed {seed}, life {number}: {wrong}"));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })?;
    Ok(tried.load(Ordering::Relaxed).min(most))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_a_power_cut_leaves_a_front_of_what_was_recorded_is_recovered() {
    let seed = setting("COLTAPE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("COLTAPE_CRASH_SEED={seed}");
    let tried = lives(Plant::Nothing, setting("COLTAPE_CRASH_IMAGES").unwrap_or(10_000), seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{tried} images");
}

#[test]
fn planted_bugs_are_found() {
    let plants = [
        Plant::SlotBeforeData,
        Plant::FolderNotFlushed,
        Plant::OneSlot,
        Plant::SealBeforeFiles,
        Plant::GrowthBeforeReopening,
        Plant::SealNotFlushed,
    ];
    for plant in plants {
        let found = lives(plant, 20_000, 1);
        println!("{plant:?}: {found:?}");
        assert!(found.is_err(), "{plant:?} was not found");
    }
}
