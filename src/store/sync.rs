//! [`Syncer`]: what is committed becomes durable, a cycle at a time.
//!
//! 1. A cycle: load every `committed` → flush the file system → write the `durable` slots, which reach the disk with the next flush.
//! 2. Days that have not changed are skipped; where nothing has changed and every slot is on disk there is no flush.
//! 3. A failed flush is reported once by the kernel and then forgotten. So everything that it may have lost is stored again, flushed, and
//!    read back past the cache before `durable` moves on. Meanwhile the pages say that `committed` is not to be trusted.
//! 4. A second failure is fatal, and so is a device that does not hold what was stored again (ext4 may go on taking blocks for unwritten whose
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

/// A flush failed twice, or the device does not hold what was stored: nothing can be made durable any more. The capture stops.
#[derive(Debug, thiserror::Error)]
#[error("the disk does not take what is recorded: first {first}; then {then}")]
pub struct SyncError {
    /// The first failure.
    pub first: Box<StoreError>,
    /// What failed after everything had been stored again.
    pub then: Box<StoreError>,
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
        let with_new_slots: Vec<&DayFiles> = days.iter().map(|day| &**day).filter(|day| day.slot_is_new()).collect();
        let mut report = SyncReport { days: changed.len() as u64, ..SyncReport::default() };
        if !changed.is_empty() || !with_new_slots.is_empty() {
            let flush_began = Instant::now();
            if let Err(first) = self.dir.flush_for(Why::Sync) {
                log::error!("{first}; storing again what may be lost");
                self.bring_to_disk(&days, &changed).map_err(|then| SyncError { first: Box::new(first), then: Box::new(then) })?;
                report.recovered = true;
            }
            report.flush = flush_began.elapsed();
            report.flushed = true;
            for day in with_new_slots {
                day.slot_is_flushed();
            }
        }
        for (day, staged) in changed.drain(..) {
            let gained = day.settle(staged);
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

    /// Makes dirty again what a failed flush may have lost, flushes, and makes sure of what is about to be called durable.
    fn bring_to_disk(&self, days: &[Arc<DayFiles>], changed: &[(&DayFiles, Staged)]) -> Result<(), StoreError> {
        self.dir.step(Step::Changed("storing again"));
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
        self.dir.flush_for(Why::Again)?;
        for (day, staged) in changed {
            is_on_device(day, staged)?;
        }
        for day in days {
            day.page.trust();
        }
        Ok(())
    }
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
