//! Checking a day's bytes against what its commit page says of them.
//!
//! 1. A sealed day is checked whole, a live one as far as it is durable: nothing is promised of the records behind.
//! 2. Faults are found and named, never repaired.

use std::path::PathBuf;

use super::error::{At, StoreError};
use super::own_file::{FileId, FileStamp};
use super::reader::Snapshot;
use super::reader::view::DayState;
use crate::schema::Layout;

/// Records whose memory is given back once they are checked.
const RELEASED_RECORDS: usize = 1 << 20;

/// What a check found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
}

/// The front of a day's columns whose checksums were right when they were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedFront {
    generation: u32,
    /// Which files they were, and of a day that no longer grows how these were: nobody but the writer of a live day changes its files.
    files: Vec<(FileId, Option<FileStamp>)>,
    records: u64,
    crcs: Vec<u32>,
}

impl<L: Layout> Snapshot<L> {
    /// Checks the day's bytes against its checksums: all of a sealed day, the durable ones of a live day.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let mut faults = self.check_sizes()?;
        self.check_columns(None, &mut faults);
        Ok(faults)
    }

    /// As [`Snapshot::check`], where a front of the columns has been checked before. Only what lies behind it is looked at, as far as the files are still
    /// the same. Gives what has been checked now, where nothing is wrong.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub(crate) fn check_behind(&self, before: Option<&CheckedFront>) -> Result<(Vec<Fault>, Option<CheckedFront>), StoreError> {
        let mut faults = self.check_sizes()?;
        let files = self.files_checked();
        let view = &self.view;
        let before = before.filter(|before| before.generation == view.generation && before.files == files);
        let checked = self.check_columns(before, &mut faults).filter(|_| faults.is_empty());
        let checked = checked.map(|(records, crcs)| CheckedFront { generation: view.generation, files, records, crcs });
        Ok((faults, checked))
    }

    fn files_checked(&self) -> Vec<(FileId, Option<FileStamp>)> {
        let is_final = matches!(self.view.state, DayState::Sealed { .. });
        self.view.columns.iter().map(|column| (column.id, is_final.then(|| FileStamp::of(&column.path)))).collect()
    }

    /// Checks what can be told without a look at the records: lengths, marks, and how many late records there are.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub(crate) fn check_sizes(&self) -> Result<Vec<Fault>, StoreError> {
        let view = &self.view;
        let mut faults = if view.state == DayState::Live { Vec::new() } else { self.wrong_lengths()? };
        let Some((page, state)) = view.page.as_ref().and_then(|page| Some((page, page.state()?))) else { return Ok(faults) };
        let durable = page.durable(&state);
        // Looked at behind what is durable, which never exceeds it. The hot sector has no checksum of its own.
        if view.state == DayState::Live && page.is_trusted() {
            let committed = page.committed();
            if committed < durable.extent.records {
                let what = format!("{committed} records are committed, {} durable", durable.extent.records);
                faults.push(Fault { path: view.place.page(), what });
            }
            if page.mark().is_none() {
                faults.push(Fault { path: view.place.page(), what: "no last key belongs to its count of records".to_owned() });
            }
        }
        // On another boot, or another machine, the hot sector promises nothing. The late records that were durable are still promised.
        let late_promised = view.late_promised.max(durable.late);
        if u32::try_from(view.late.len()).is_ok_and(|found| found < late_promised) {
            let what = format!("{} late records are whole, {late_promised} were committed", view.late.len());
            faults.push(Fault { path: view.place.late(), what });
        }
        Ok(faults)
    }

    /// Checks the columns behind a front whose checksums are known. Gives how many records were checked in all, and their checksums; nothing where that is
    /// not all, or no page promises any.
    fn check_columns(&self, before: Option<&CheckedFront>, faults: &mut Vec<Fault>) -> Option<(u64, Vec<u32>)> {
        let view = &self.view;
        let page = view.page.as_ref()?;
        let extent = page.durable(&page.state()?).extent;
        let before = before.filter(|before| before.records <= extent.records && before.crcs.len() == extent.crcs.len());
        let mut is_all = extent.crcs.len() == view.table.len();
        for (at, crc) in extent.crcs.iter().enumerate() {
            let Some(column) = view.table.get(at) else { continue };
            let size = |records: u64| usize::try_from(records).unwrap_or(usize::MAX).saturating_mul(column.kind.width());
            let (from, known) = before.map_or((0, 0), |before| (size(before.records), before.crcs.get(at).copied().unwrap_or(0)));
            // A live day may have grown since. Records that are not in view are not checked.
            let Some(bytes) = self.column_bytes(at).get(from..size(extent.records)) else {
                is_all = false;
                continue;
            };
            let first = from / column.kind.width();
            let parts = bytes.chunks(RELEASED_RECORDS * column.kind.width()).enumerate();
            let found = parts.fold(known, |crc, (part, bytes)| {
                let crc = crc32c::crc32c_append(crc, bytes);
                // A long day would fill the memory of the process. What is short is looked at again soon.
                if bytes.len() == RELEASED_RECORDS * column.kind.width() {
                    self.release(first + part * RELEASED_RECORDS..first + (part + 1) * RELEASED_RECORDS);
                }
                crc
            });
            if found != *crc {
                faults.push(Fault {
                    path: view.place.column(column.name),
                    what: format!("the checksum of its first {} records is another", extent.records),
                });
            }
        }
        is_all.then_some((extent.records, extent.crcs))
    }

    /// Gives how many records of the columns no checksum covers: those of a live day behind what is durable, and all of a day without a page. A late record
    /// has a checksum of its own.
    #[must_use]
    pub(crate) fn unproven(&self) -> u64 {
        let view = &self.view;
        let proven = view.page.as_ref().and_then(|page| Some(page.durable(&page.state()?).extent.records));
        match view.state {
            DayState::Sealed { .. } => 0,
            DayState::Live | DayState::Bare => (view.records as u64).saturating_sub(proven.unwrap_or(0)),
        }
    }

    /// Gives the checksums of a sealed day's columns as its page has them, in the order of the columns. Nothing of a day that may grow, or has no page.
    #[must_use]
    pub(crate) fn checksums(&self) -> Option<Vec<u32>> {
        let page = self.view.page.as_ref().filter(|_| matches!(self.view.state, DayState::Sealed { .. }))?;
        let extent = page.durable(&page.state()?).extent;
        let is_of_all = extent.records == self.view.records as u64 && extent.crcs.len() == self.view.table.len();
        is_of_all.then_some(extent.crcs)
    }

    /// Finds the columns of a day that no longer grows whose length is not that of its records.
    fn wrong_lengths(&self) -> Result<Vec<Fault>, StoreError> {
        let mut faults = Vec::new();
        for (column, mapped) in self.view.table.iter().zip(&self.view.columns) {
            // The new file of a day that is being replaced may have taken its own name since.
            let path = if mapped.path.exists() { mapped.path.clone() } else { self.view.place.column(column.name) };
            let (found, width) = (std::fs::metadata(&path).at("look at", &path)?.len(), column.kind.width() as u64);
            if found != self.view.records as u64 * width {
                faults.push(Fault { path, what: format!("{found} bytes are not {} records of {width}", self.view.records) });
            }
        }
        Ok(faults)
    }
}
