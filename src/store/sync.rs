//! [`Syncer`]: what is committed becomes durable, a cycle at a time.
//!
//! 1. A cycle: load every `committed` → flush the file system → write the `durable` slots, which reach the disk with the next flush.
//! 2. What is no longer at its path is not made durable: a directory that is gone ends it all, a day that is gone is left out.
//! 3. Days that have not changed are skipped; where nothing has changed and every slot is on disk there is no flush.
//! 4. A failed flush is reported once by the kernel and then forgotten. So everything that it may have lost is stored again, flushed, and
//!    read back past the cache before `durable` moves on. Meanwhile the pages say that `committed` is not to be trusted.
//! 5. A second failure is fatal, and so is a device that does not hold what was stored again (ext4 may go on taking blocks for unwritten whose
//!    first write failed): the capture stops and says so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::directory::DataDir;
use super::error::{At, StoreError};
use super::files::{DayFiles, Staged};
use super::filesystem;
use super::late::record_bytes;
use super::map;
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
    /// Records made durable, late ones included: MD, TICKER_TRADES, TRADES.
    pub records: [u64; 3],
    /// Whether a flush failed and what it may have lost was brought to disk after all.
    pub recovered: bool,
}

impl SyncReport {
    /// Gives the records made durable in a dataset.
    #[must_use]
    pub fn records_of(&self, dataset: Dataset) -> u64 {
        let [md, ticker_trades, trades] = self.records;
        match dataset {
            Dataset::Md => md,
            Dataset::TickerTrades => ticker_trades,
            Dataset::Trades => trades,
        }
    }
}

/// Why nothing can be made durable any more. The capture stops.
#[derive(Debug, thiserror::Error)]
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
}

/// Makes days durable. Lives on the sync thread.
#[derive(Debug)]
pub struct Syncer {
    dir: Arc<DataDir>,
    watched: Vec<Weak<DayFiles>>,
}

impl Syncer {
    /// Begins with no days.
    #[must_use]
    pub fn new(dir: Arc<DataDir>) -> Self {
        Self { dir, watched: Vec::new() }
    }

    /// Makes a day durable from now on, until everyone else has let go of it.
    pub fn watch(&mut self, files: &Arc<DayFiles>) {
        self.watched.push(Arc::downgrade(files));
    }

    /// Runs one cycle.
    ///
    /// # Errors
    /// Where the disk failed twice. There is no point in another cycle.
    pub fn cycle(&mut self) -> Result<SyncReport, SyncError> {
        let began = Instant::now();
        self.watched.retain(|day| day.strong_count() > 0);
        let days: Vec<Arc<DayFiles>> = self.watched.iter().filter_map(Weak::upgrade).collect();
        let mut changed: Vec<(&DayFiles, Staged)> = days.iter().filter_map(|day| Some((&**day, day.stage()?))).collect();
        self.dir.is_in_place().map_err(SyncError::Gone)?;
        changed.retain(|(day, _)| day.is_in_place());
        let days: Vec<&DayFiles> = days.iter().map(|day| &**day).filter(|day| !day.is_gone()).collect();
        let with_new_slots: Vec<&DayFiles> = days.iter().copied().filter(|day| day.slot_is_new()).collect();
        let failed = self.dir.failed_flushes();
        let mut report = SyncReport { days: changed.len() as u64, ..SyncReport::default() };
        if !changed.is_empty() || !with_new_slots.is_empty() || days.iter().any(|day| !day.is_sound_after(failed)) {
            let flush_began = Instant::now();
            report.recovered = flush(&self.dir, Why::Sync, &days, &changed)?;
            report.flush = flush_began.elapsed();
            report.flushed = true;
            for day in with_new_slots {
                day.slot_is_flushed();
            }
        }
        for (day, staged) in changed.drain(..) {
            let gained = day.settle(staged);
            day.give_back();
            let [md, ticker_trades, trades] = &mut report.records;
            *match day.key().dataset {
                Dataset::Md => md,
                Dataset::TickerTrades => ticker_trades,
                Dataset::Trades => trades,
            } += gained;
        }
        report.duration = began.elapsed();
        Ok(report)
    }
}

/// Flushes what is staged, and makes good what a failed flush may have lost: this one, or another thread's since the days were last known to be
/// whole. Tells whether that was needed.
///
/// # Errors
/// Where it could not be made good. Nothing is flushed any more then.
pub(super) fn flush(dir: &DataDir, why: Why, days: &[&DayFiles], staged: &[(&DayFiles, Staged)]) -> Result<bool, SyncError> {
    let first = match dir.flush_for(why) {
        Ok(failed) if days.iter().all(|day| day.is_sound_after(failed)) => return Ok(false),
        Ok(_) => dir.flush_failed(std::io::Error::other("that of another thread had failed")),
        Err(first) => first,
    };
    log::error!("{first}; storing again what may be lost");
    match bring_to_disk(dir, days, staged) {
        Ok(failed) => {
            days.iter().for_each(|day| day.made_good(failed));
            Ok(true)
        }
        Err(then) => {
            dir.end_flushing();
            for day in days {
                day.suspect(staged.iter().find(|(of, _)| std::ptr::eq(*of, *day)).map(|(_, staged)| staged));
            }
            Err(SyncError::Disk { first: Box::new(first), then: Box::new(then) })
        }
    }
}

/// Makes dirty again what a failed flush may have lost, flushes, and makes sure of what is about to be called durable. Gives the number of
/// failed flushes that this made good.
fn bring_to_disk(dir: &DataDir, days: &[&DayFiles], changed: &[(&DayFiles, Staged)]) -> Result<u64, StoreError> {
    dir.step(Step::Changed("storing again"));
    for day in days {
        // Stores to the page, so that it is dirty, too: the newest slot may be lost.
        day.page.mistrust();
        for (path, from) in suspects(day) {
            match std::fs::OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => dirty_again(&file, from, &path)?,
                // A day without late records.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at("open", &path),
            }
        }
    }
    let failed = dir.flush_for(Why::Again)?;
    for (day, staged) in changed {
        // What was staged before the failure was still in the cache; what is there now may have been read from the device since.
        if !day.has_bytes_of(&staged.extent) {
            return Err(StoreError::damaged(day.path(), "the cache has lost what could not be written"));
        }
        is_on_device(day, staged)?;
    }
    Ok(failed)
}

/// Gives the files of a day and from where on they are not known to be on disk. Also what is stored and not yet committed may be lost.
fn suspects(day: &DayFiles) -> Vec<(PathBuf, u64)> {
    let durable = day.durable();
    let columns = day.columns.iter().map(|column| (column.path().to_owned(), durable * column.width() as u64));
    columns.chain([(day.place.late(), 0)]).collect()
}

fn dirty_again(file: &File, from: u64, path: &Path) -> Result<(), StoreError> {
    // The failure is also remembered with the file, and would be told to whoever reads it back. It is known: whatever this says, all is stored again below.
    let _ = file.sync_data();
    let to = file.metadata().at("look at", path)?.len();
    map::dirty_again(file, offset(from, path)?..offset(to, path)?, path).at("store again", path)
}

/// Makes sure, past the cache, that the device holds what was staged.
fn is_on_device(day: &DayFiles, staged: &Staged) -> Result<(), StoreError> {
    let durable = day.durable();
    let (from, to) = (offset(durable, day.path())?, offset(staged.extent.records, day.path())?);
    let mut parts: Vec<(PathBuf, u64, Vec<u8>)> = day
        .columns
        .iter()
        .map(|column| (column.path().to_owned(), durable * column.width() as u64, column.committed(from..to).to_vec()))
        .collect();
    if staged.late > 0 {
        let path = day.place.late();
        let mut bytes = std::fs::read(&path).at("read", &path)?;
        bytes.truncate(record_bytes(day.table()).saturating_mul(offset(u64::from(staged.late), &path)?));
        parts.push((path, 0, bytes));
    }
    for (path, offset, bytes) in parts {
        if !filesystem::device_holds(&path, offset, &bytes).at("read back", &path)? {
            return Err(StoreError::damaged(&path, "the device does not hold what was stored and flushed"));
        }
    }
    Ok(())
}

fn offset(number: u64, path: &Path) -> Result<usize, StoreError> {
    usize::try_from(number).map_err(|_| StoreError::damaged(path, "more records than there is memory"))
}
