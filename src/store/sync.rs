//! [`Syncer`]: what is committed becomes durable, a cycle at a time.
//!
//! 1. A cycle: load every `committed` → unmap what is dirty → flush the file system → write the `durable` slots, which reach the disk with the next flush:
//!    that of the next cycle, or one that is for them ([`Syncer::flush_slots`]).
//! 2. Each cycle looks whether the files are still at their path, also those of days that have not changed. A directory that is gone ends the cycles. A day
//!    of which a file is gone is left out, and named once ([`Syncer::take_gone`]).
//! 3. Days that have not changed are skipped. If nothing has changed and every slot is on disk, there is no flush.
//! 4. The kernel reports a failed flush once and then forgets it. So everything that it may have lost is stored again, flushed, and
//!    read back past the cache before `durable` rises. Meanwhile the pages say that `committed` must not be trusted.
//! 5. A second failure is fatal. So is a device that does not hold what was stored again: ext4 may treat blocks as unwritten for ever after their
//!    first write failed. The capture stops and says so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::commit::Checkpoint;
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::files::DayFiles;
use super::filesystem;
use super::late::record_bytes;
use super::map::{FrozenMark, WriteMap};
use super::place::DayKey;
use super::probe::{Step, Why};
use crate::schema::Dataset;

/// What a cycle did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncReport {
    /// How long it took in all.
    pub duration: Duration,
    /// How long the flush took; zero where there was none.
    pub flush: Duration,
    /// Whether there was a flush.
    pub flushed: bool,
    /// Dataset-days that had changed.
    pub days: u64,
    /// Records made durable, late ones included, in the order of [`Dataset::ALL`].
    pub records: [u64; Dataset::ALL.len()],
    /// Whether a flush failed and everything that it may have lost is on disk all the same.
    pub recovered: bool,
}

impl SyncReport {
    /// Gives the records made durable in a dataset.
    #[must_use]
    pub fn records_of(&self, dataset: Dataset) -> u64 {
        self.records.get(dataset.index()).copied().unwrap_or(0)
    }
}

/// Why nothing can be made durable any more. The capture stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A flush failed twice, or the device does not hold what was stored.
    #[error("the disk does not take what is recorded: first {first}; then {then}")]
    Disk {
        /// The first failure.
        first: Box<StoreError>,
        /// What failed after everything had been stored again.
        then: Box<StoreError>,
    },
    /// The data directory is not there any more.
    #[error(transparent)]
    Gone(StoreError),
    /// Another process holds the data directory: it came in through a lock file that somebody had removed.
    #[error(transparent)]
    Held(StoreError),
}

/// Makes days durable. Belongs to the sync thread.
#[derive(Debug)]
pub struct Syncer {
    dir: Arc<DataDir>,
    watched: Vec<Weak<DayFiles>>,
    gone: Vec<DayKey>,
}

impl Syncer {
    /// Begins with no days.
    #[must_use]
    pub fn new(dir: Arc<DataDir>) -> Self {
        Self { dir, watched: Vec::new(), gone: Vec::new() }
    }

    /// Makes a day durable from now on, until everyone else has dropped it.
    pub fn watch(&mut self, files: &Arc<DayFiles>) {
        self.watched.push(Arc::downgrade(files));
    }

    /// Names the days of which files were found removed or replaced since the last call.
    pub fn take_gone(&mut self) -> Vec<DayKey> {
        std::mem::take(&mut self.gone)
    }

    /// Gives the page cache of everything that is on disk back to the system: memory has run short. What is read again comes from the disk.
    pub fn release_cache(&self) {
        self.watched.iter().filter_map(Weak::upgrade).filter(|day| !day.is_gone()).for_each(|day| day.release_all_cache());
    }

    /// Runs one cycle.
    ///
    /// # Errors
    /// [`SyncError::Disk`] where a flush failed and what it may have lost could not be stored again: every later cycle fails as well.
    /// [`SyncError::Gone`] where the directory is not at its path any more.
    pub fn cycle(&mut self) -> Result<SyncReport, SyncError> {
        let began = Instant::now();
        self.watched.retain(|day| day.strong_count() > 0);
        let days: Vec<Arc<DayFiles>> = self.watched.iter().filter_map(Weak::upgrade).collect();
        let mut changed: Vec<Pending<'_>> = days.iter().filter_map(|day| Pending::of(day)).collect();
        self.dir.check_in_place().map_err(SyncError::Gone)?;
        let lost = days.iter().filter(|day| !day.is_gone() && !day.check_in_place());
        self.gone.extend(lost.map(|day| day.key().clone()));
        changed.retain(|pending| !pending.day.is_gone());
        let days: Vec<&DayFiles> = days.iter().map(|day| &**day).filter(|day| !day.is_gone()).collect();
        let with_new_slots: Vec<&DayFiles> = days.iter().copied().filter(|day| day.slot_is_new()).collect();
        let failed = self.dir.failed_flushes();
        let mut report = SyncReport { days: changed.len() as u64, ..SyncReport::default() };
        changed.iter().for_each(Pending::unmap);
        if !changed.is_empty() || !with_new_slots.is_empty() || days.iter().any(|day| !day.is_sound_after(failed)) {
            let flush_began = Instant::now();
            report.recovered = flush(&self.dir, Why::Sync, &days, &changed)?;
            report.flush = flush_began.elapsed();
            report.flushed = true;
            for day in with_new_slots {
                day.note_slot_flushed();
            }
        }
        for Pending { day, checkpoint } in changed.drain(..) {
            let gained = day.complete(checkpoint);
            day.release_cache();
            if let Some(records) = report.records.get_mut(day.key().dataset.index()) {
                *records += gained;
            }
        }
        report.duration = began.elapsed();
        Ok(report)
    }

    /// Flushes the durable slots that are not on disk yet, instead of leaving them to the next cycle. Tells whether a flush had failed, and everything that it
    /// may have lost is on disk all the same.
    ///
    /// # Errors
    /// As [`Syncer::cycle`].
    pub fn flush_slots(&mut self) -> Result<bool, SyncError> {
        let days: Vec<Arc<DayFiles>> = self.watched.iter().filter_map(Weak::upgrade).collect();
        let days: Vec<&DayFiles> = days.iter().map(|day| &**day).filter(|day| !day.is_gone()).collect();
        let with_new_slots: Vec<&DayFiles> = days.iter().copied().filter(|day| day.slot_is_new()).collect();
        if with_new_slots.is_empty() {
            return Ok(false);
        }
        let recovered = flush(&self.dir, Why::Sync, &days, &[])?;
        with_new_slots.into_iter().for_each(DayFiles::note_slot_flushed);
        Ok(recovered)
    }
}

/// A day that has changed, and its checkpoint that becomes durable with the next flush.
pub(super) struct Pending<'a> {
    pub(super) day: &'a DayFiles,
    pub(super) checkpoint: Checkpoint,
}

impl<'a> Pending<'a> {
    /// Takes a day's checkpoint; nothing where all of the day is durable.
    pub(super) fn of(day: &'a DayFiles) -> Option<Self> {
        Some(Self { day, checkpoint: day.checkpoint()? })
    }

    /// Unmaps the pages that the flush will write, where there are many of them.
    fn unmap(&self) {
        self.day.unmap_dirty_pages(self.checkpoint.extent.records);
    }
}

/// Flushes the pending checkpoints, and stores again what a failed flush may have lost: this one, or another thread's since the days were last known to
/// be whole. Tells whether that was needed.
///
/// # Errors
/// Where it could not be stored again. Then there is no flush any more.
pub(super) fn flush(dir: &DataDir, why: Why, days: &[&DayFiles], pending: &[Pending<'_>]) -> Result<bool, SyncError> {
    let first = match dir.flush_for(why) {
        Ok(failed) if days.iter().all(|day| day.is_sound_after(failed)) => return Ok(false),
        Ok(_) => dir.flush_failed(std::io::Error::other("another thread's flush had failed")),
        Err(first) => first,
    };
    log::error!("{first}; storing again what may be lost");
    match store_again(dir, days, pending) {
        Ok(failed) => {
            days.iter().for_each(|day| day.note_repaired(failed));
            Ok(true)
        }
        Err(then) => {
            dir.end_flushing();
            for day in days {
                let of_day = pending.iter().find(|pending| std::ptr::eq(pending.day, *day));
                day.note_unflushed(of_day.map(|pending| &pending.checkpoint));
            }
            Err(SyncError::Disk { first: Box::new(first), then: Box::new(then) })
        }
    }
}

/// Makes dirty again what a failed flush may have lost, flushes it, and checks that the device holds the pending checkpoints. Gives the number of failed
/// flushes that are repaired by this.
fn store_again(dir: &DataDir, days: &[&DayFiles], pending: &[Pending<'_>]) -> Result<u64, StoreError> {
    dir.step(Step::Changed("storing again"));
    for day in days {
        // Stores to the page, so that it is dirty, too: the newest slot may be lost.
        day.page.mistrust();
        for Tail { path, from } in tails(day) {
            match std::fs::OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => dirty_again(&file, from, &path)?,
                // A day without late records.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at("open", &path),
            }
        }
    }
    let failed = dir.flush_for(Why::Again)?;
    for pending in pending {
        // The checkpoint was taken before the failure, from the cache. The bytes that are there now may have been read from the device since.
        if !pending.day.has_bytes_of(&pending.checkpoint.extent) {
            return Err(StoreError::damaged(pending.day.path(), "the cache has lost what could not be written"));
        }
        check_on_device(pending)?;
    }
    Ok(failed)
}

/// The part of a file, from a byte to its end, that is not known to be on disk.
struct Tail {
    path: PathBuf,
    from: u64,
}

/// Gives the tails of a day's files. What is stored and not yet committed may be lost as well.
fn tails(day: &DayFiles) -> Vec<Tail> {
    let durable = day.durable();
    let columns = day.columns.iter().map(|column| Tail { path: column.path().to_owned(), from: durable * column.width() as u64 });
    columns.chain([Tail { path: day.place.late(), from: 0 }]).collect()
}

/// Bytes of the smallest page there is.
const SMALLEST_PAGE: usize = 4096;

/// Makes every page of a file dirty again from a byte on without changing it, so that the next flush writes what a failed one may have lost.
fn dirty_again(file: &File, from: u64, path: &Path) -> Result<(), StoreError> {
    // The kernel also remembers the failure with the file and would report it to the next reader. It is known already, so this result does not matter.
    let _ = file.sync_data();
    let to = file.metadata().at("look at", path)?.len();
    let (from, to) = (offset(from, path)?, offset(to, path)?);
    if from >= to {
        return Ok(());
    }
    let map = WriteMap::new(file, to, 1, FrozenMark::default(), path).at("store again", path)?;
    // The last word of the part begins 4 bytes before its end, at the latest.
    (from - from % SMALLEST_PAGE..to.saturating_sub(3)).step_by(SMALLEST_PAGE).for_each(|at| map.dirty(at));
    Ok(())
}

/// Makes sure, past the cache, that the device holds a checkpoint.
fn check_on_device(pending: &Pending<'_>) -> Result<(), StoreError> {
    let Pending { day, checkpoint } = pending;
    let check = |path: &Path, offset: u64, bytes: &[u8]| {
        let holds = filesystem::device_holds(path, offset, bytes).at("read back", path)?;
        if holds { Ok(()) } else { Err(StoreError::damaged(path, "the device does not hold what was stored and flushed")) }
    };
    let durable = day.durable();
    let (from, to) = (offset(durable, day.path())?, offset(checkpoint.extent.records, day.path())?);
    for column in &day.columns {
        check(column.path(), durable * column.width() as u64, column.committed(from..to))?;
    }
    if checkpoint.late > 0 {
        let path = day.place.late();
        let mut bytes = std::fs::read(&path).at("read", &path)?;
        bytes.truncate(record_bytes(day.table).saturating_mul(offset(u64::from(checkpoint.late), &path)?));
        check(&path, 0, &bytes)?;
    }
    Ok(())
}

fn offset(number: u64, path: &Path) -> Result<usize, StoreError> {
    usize::try_from(number).map_err(|_| StoreError::damaged(path, "more records than there is memory"))
}
