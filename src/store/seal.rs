//! Sealing: a dataset-day that takes no more records becomes bare column files of exactly its records.
//!
//! 1. Flush, write the last slot → unmap and cut the columns → flush → state sealed, hot sector zeroed → flush → the page says that it is zero.
//!    A crash at any point leaves a live day or a sealed one.
//! 2. A day with late records is not cut but replaced (`replace.rs`): the new files have them in their place.
//! 3. Many days are sealed together, with the same few flushes of the file system as one day.
//! 4. If one day fails, the others are sealed all the same. A failed flush fails all of them.
//! 5. A day is sealed once nobody else holds it. That is waited for, with a deadline.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog;
use super::commit::{Extent, Hot, Phase, State};
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::files::{DayFiles, WriteMode};
use super::place::{DayKey, Place};
use super::probe::{Step, Why};
use super::sync::Pending;
use super::{page::Page, recovery, replace, sync};
use crate::product::ProductId;
use crate::schema::Column;
use crate::time::UnixNanos;

/// What a sealed day holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Records, late ones included.
    pub records: u64,
    /// Late records among them.
    pub merged: u32,
    /// Generation of its files.
    pub generation: u32,
}

/// What became of a day that was to be sealed.
#[derive(Debug)]
pub struct SealOutcome {
    /// The day.
    pub key: DayKey,
    /// What it holds, or why it is not sealed.
    pub sealed: Result<Sealed, StoreError>,
}

/// How long the sync thread may hold a day that is to be sealed: as long as a flush may last on a disk that others keep busy (19 s were seen).
const OWNERSHIP_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks whether it still does.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A day on its way to its seal.
pub(super) struct Sealing {
    pub(super) place: Place,
    pub(super) table: &'static [Column],
    pub(super) page: Page,
    pub(super) state: State,
    pub(super) merged: u32,
    /// Failed flushes after which the day was whole.
    pub(super) sound_after: u64,
}

/// Seals days. Gives an outcome for each, in the order given.
pub fn seal(dir: &DataDir, days: Vec<Arc<DayFiles>>) -> Vec<SealOutcome> {
    let deadline = Instant::now() + OWNERSHIP_TIMEOUT;
    let mut keys = Vec::with_capacity(days.len());
    let mut owned = Vec::with_capacity(days.len());
    for day in days {
        keys.push(day.key.clone());
        owned.push(take_ownership(day, deadline));
    }
    let sealed = seal_owned(dir, owned);
    keys.into_iter().zip(sealed).map(|(key, sealed)| SealOutcome { key, sealed }).collect()
}

fn take_ownership(mut day: Arc<DayFiles>, deadline: Instant) -> Result<DayFiles, StoreError> {
    loop {
        match Arc::try_unwrap(day) {
            Ok(owned) => return Ok(owned),
            Err(shared) if Instant::now() >= deadline => return Err(StoreError::InUse { path: shared.place.page() }),
            Err(shared) => day = shared,
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn seal_owned(dir: &DataDir, days: Vec<Result<DayFiles, StoreError>>) -> Vec<Result<Sealed, StoreError>> {
    let flushed = flush_data(dir, &days);
    let mut steps: Vec<Result<Sealing, StoreError>> = days
        .into_iter()
        .map(|day| match (&flushed, day) {
            (Ok(()), Ok(day)) => close(dir, day),
            (Err(failed), Ok(_)) => Err(same_failure(failed)),
            (_, Err(error)) => Err(error),
        })
        .collect();
    // The order of the flushes: cut files and new files, then the states that describe them, then the names, then the states of replaced days.
    flush_all(dir, Why::SealFiles, &mut steps);
    announce(dir, steps)
}

/// Does what remains once the new files are on disk: from the states that describe them to the end.
pub(super) fn announce(dir: &DataDir, mut steps: Vec<Result<Sealing, StoreError>>) -> Vec<Result<Sealed, StoreError>> {
    for sealing in steps.iter().flatten() {
        sealing.page.store_state(&sealing.state);
        dir.step(Step::Changed("state"));
        clear_hot(dir, sealing);
    }
    flush_all(dir, Why::SealState, &mut steps);
    if steps.iter().flatten().any(|sealing| sealing.state.phase == Phase::Replacing) {
        for step in &mut steps {
            try_step(step, |sealing| replace::rename(dir, &sealing.place, sealing.table));
        }
        flush_all(dir, Why::Names, &mut steps);
        for sealing in steps.iter_mut().flatten().filter(|sealing| sealing.state.phase == Phase::Replacing) {
            sealing.state = replace::replaced(&sealing.state);
            sealing.page.store_state(&sealing.state);
            dir.step(Step::Changed("sealed state"));
            clear_hot(dir, sealing);
        }
        flush_all(dir, Why::Replaced, &mut steps);
    }
    // The zeroes are on disk, so the pages may say so. This has no flush of its own: a page that does not say so yet is sealed again at the next start.
    for sealing in steps.iter_mut().flatten() {
        sealing.state.hot = Hot::Clear;
        sealing.page.store_state(&sealing.state);
        dir.step(Step::Changed("hot sector declared clear"));
    }
    for step in &mut steps {
        try_step(step, |sealing| replace::remove_late(dir, &sealing.place));
    }
    let done =
        |sealing: Sealing| Sealed { records: sealing.state.extent.records, merged: sealing.merged, generation: sealing.state.generation };
    steps.into_iter().map(|step| step.map(done)).collect()
}

/// Zeroes the hot sector of a day whose state is sealed. Readers look at the state first, so they do not take the zeroes for a count.
fn clear_hot(dir: &DataDir, sealing: &Sealing) {
    if sealing.state.phase == Phase::Sealed {
        sealing.page.clear_hot();
        dir.step(Step::Changed("hot sector cleared"));
    }
}

/// Makes all that is committed durable, and writes the last slots.
fn flush_data(dir: &DataDir, days: &[Result<DayFiles, StoreError>]) -> Result<(), StoreError> {
    let open: Vec<&DayFiles> = days.iter().flatten().collect();
    let pending: Vec<Pending<'_>> = open.iter().filter_map(|day| Pending::of(day)).collect();
    let failed = dir.failed_flushes();
    if pending.is_empty() && open.iter().all(|day| day.is_sound_after(failed)) {
        return Ok(());
    }
    match sync::flush(dir, Why::SealData, &open, &pending) {
        Ok(_) => {
            for Pending { day, checkpoint } in pending {
                day.complete(checkpoint);
            }
            Ok(())
        }
        Err(error) => {
            open.iter().for_each(|day| day.write_witness());
            Err(dir.flush_failed(std::io::Error::other(error.to_string())))
        }
    }
}

/// Unmaps a day's columns and cuts them, or writes their replacements. Gives the state that the page gets next.
fn close(dir: &DataDir, day: DayFiles) -> Result<Sealing, StoreError> {
    if !day.check_in_place() {
        // The files that lie there now are somebody else's, and must not be cut.
        return Err(StoreError::Gone { path: day.path().to_owned() });
    }
    let (table, merged, generation, sound_after) = (day.table, day.late(), day.generation, day.sound_after());
    if merged > 0 {
        let extent = replace::write(&day).inspect_err(|_| replace::discard(&day.place, table))?;
        let DayFiles { place, page, .. } = day;
        return Ok(Sealing {
            place,
            table,
            page,
            state: State { phase: Phase::Replacing, hot: Hot::Used, generation, extent },
            merged,
            sound_after,
        });
    }
    let (extent, mode) = (day.durable_extent(), day.mode);
    let DayFiles { place, page, columns, .. } = day;
    // The last holders of the maps: the writer dropped its own when it closed the day.
    drop(columns);
    if mode == WriteMode::Append {
        cut(dir, &place, table, &extent)?;
    }
    Ok(Sealing { place, table, page, state: State { phase: Phase::Sealed, hot: Hot::TakesLate, generation, extent }, merged, sound_after })
}

fn cut(dir: &DataDir, place: &Place, table: &[Column], extent: &Extent) -> Result<(), StoreError> {
    for column in table {
        let path = place.column(column.name);
        let file = std::fs::OpenOptions::new().write(true).open(&path).at("open", &path)?;
        // Also gives back the blocks that were allocated ahead.
        file.set_len(extent.records * column.kind.width() as u64).at("cut", &path)?;
        dir.step(Step::Changed("cut"));
    }
    Ok(())
}

fn flush_all(dir: &DataDir, why: Why, steps: &mut [Result<Sealing, StoreError>]) {
    if !steps.iter().any(Result::is_ok) {
        return;
    }
    let flushed = dir.flush_for(why);
    for step in steps {
        try_step(step, |sealing| {
            let failed = match &flushed {
                Ok(failed) if *failed == sealing.sound_after => return Ok(()),
                Ok(_) => dir.flush_failed(std::io::Error::other("another thread's flush had failed")),
                Err(failed) => same_failure(failed),
            };
            // Also makes the page dirty again: what was stored to it may be lost.
            sealing.page.mistrust();
            Err(failed)
        });
    }
}

/// Does the next act of a day's sealing. If it fails, the failure is the day's outcome.
fn try_step(step: &mut Result<Sealing, StoreError>, act: impl FnOnce(&Sealing) -> Result<(), StoreError>) {
    if let Ok(sealing) = step
        && let Err(error) = act(sealing)
    {
        *step = Err(error);
    }
}

/// Gives the failure of a flush once more, for another day.
fn same_failure(failed: &StoreError) -> StoreError {
    match failed {
        StoreError::Flush { path, source } => {
            StoreError::Flush { path: path.clone(), source: std::io::Error::new(source.kind(), source.to_string()) }
        }
        other => StoreError::damaged(Path::new(""), other.to_string()),
    }
}

/// Lists a product's days that an earlier run left live, or sealed and open for late records.
///
/// # Errors
/// Where a folder cannot be read.
pub fn unsealed(dir: &Path, product: &ProductId) -> Result<Vec<DayKey>, StoreError> {
    let mut found = Vec::new();
    for dataset in crate::schema::Dataset::ALL {
        for date in catalog::days(dir, product, dataset)? {
            let key = DayKey { product: product.clone(), dataset, date };
            if catalog::is_unsealed(dir, &key)? {
                found.push(key);
            }
        }
    }
    found.sort_by_key(|key| key.date);
    Ok(found)
}

/// Seals a day that nobody has open.
///
/// # Errors
/// Where its files are damaged, the disk is full or a flush fails.
pub fn seal_at_rest(dir: &Arc<DataDir>, key: &DayKey) -> Result<Sealed, StoreError> {
    // At the end of time every sealed day is an old one, so that none is opened again.
    let (files, _) = recovery::open(dir, key, key.dataset.columns(), UnixNanos(u64::MAX))?;
    let mut sealed = seal_owned(dir, vec![Ok(files)]);
    sealed.pop().unwrap_or_else(|| Err(StoreError::damaged(dir.path(), "no day was sealed")))
}
