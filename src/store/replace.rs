//! Replacing the files of a day: with its late records in their place, under a new generation.
//!
//! 1. The new files are written beside the old ones, complete and flushed, before the page announces them.
//! 2. After the announcement a replacement is always finished: each new file is renamed over its old one, the folder flushed, the page sealed.
//! 3. Until the announcement is on disk the old files are untouched.
//! 4. The late file is removed last. If a crash leaves it, it is void, because its records are of the old generation.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::checksum::checksum;
use super::commit::{Extent, Hot, Phase, State};
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::files::DayFiles;
use super::late::{self, Payloads};
use super::merge::{Merge, Run};
use super::page::Page;
use super::place::Place;
use super::probe::{Step, Why};
use crate::schema::Column;

/// Bytes written at once.
const BUFFER: usize = 1 << 18;

/// Writes a day's new files: its records with the late ones in their place. Gives what they hold.
pub(crate) fn write(files: &DayFiles) -> Result<Extent, StoreError> {
    let (table, place) = (files.table, &files.place);
    let payloads = Payloads::read(&place.late(), table, files.generation, u64::from(files.late()))?;
    let records =
        usize::try_from(files.committed()).map_err(|_| StoreError::damaged(place.folder(), "more records than there is memory"))?;
    let payloads: Vec<&[u8]> = payloads.iter().collect();
    let key = files.key.dataset.key_column();
    let merge = match key.and_then(|at| files.columns.get(at)).zip(key) {
        Some((ids, at)) => {
            let late: Vec<u64> = payloads.iter().filter_map(|payload| key_of(table, payload, at)).collect();
            Merge::by_key(records, |record| ids.load_u64(record), &late)
        }
        None => Merge::behind(records, payloads.len()),
    };
    let last_late = payloads.iter().filter_map(|payload| key_of(table, payload, key?)).max().unwrap_or(0);
    let last_key = files.durable_extent().last_key.max(last_late);
    let runs = merge.runs();
    let mut crcs = Vec::with_capacity(table.len());
    for (at, (column, stored)) in table.iter().zip(&files.columns).enumerate() {
        let path = place.replacement(column.name);
        let mut out = BufWriter::with_capacity(BUFFER, File::create(&path).at("make", &path)?);
        let mut crc = 0;
        for run in &runs {
            let bytes = match run {
                Run::Columns(range) => stored.committed(range.clone()),
                Run::Late(number) => payloads.get(*number).and_then(|payload| late::value(table, payload, at)).unwrap_or_default(),
            };
            crc = crc32c::crc32c_append(crc, bytes);
            out.write_all(bytes).at("write", &path)?;
        }
        out.flush().at("write", &path)?;
        files.dir.step(Step::Changed("replacement written"));
        crcs.push(crc);
    }
    Ok(Extent { records: merge.len() as u64, last_key, crcs })
}

fn key_of(table: &[Column], payload: &[u8], column: usize) -> Option<u64> {
    late::value(table, payload, column)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Removes new files that will not be announced.
pub(crate) fn discard(place: &Place, table: &[Column]) {
    for column in table {
        // A file that cannot be removed is void; it is removed when the day is opened next.
        let _ = std::fs::remove_file(place.replacement(column.name));
    }
}

/// Renames every new file over its old one, except those that were renamed before.
pub(crate) fn rename(dir: &DataDir, place: &Place, table: &[Column]) -> Result<(), StoreError> {
    for column in table {
        let from = place.replacement(column.name);
        if from.exists() {
            std::fs::rename(&from, place.column(column.name)).at("rename", &from)?;
            dir.step(Step::Changed("renamed"));
        }
    }
    Ok(())
}

/// Gives the state of a day that has been replaced. The caller clears the hot sector.
pub(crate) fn replaced(state: &State) -> State {
    State { phase: Phase::Sealed, hot: Hot::TakesLate, generation: state.generation + 1, extent: state.extent.clone() }
}

/// Finishes a replacement that was announced and then interrupted.
pub(crate) fn roll_forward(dir: &DataDir, place: &Place, table: &[Column], page: &Page, state: &State) -> Result<State, StoreError> {
    for (column, crc) in table.iter().zip(&state.extent.crcs) {
        let len = state.extent.records * column.kind.width() as u64;
        let (new, old) = (place.replacement(column.name), place.column(column.name));
        let is_announced = |path: &std::path::Path| -> Result<bool, StoreError> {
            let fits = std::fs::metadata(path).is_ok_and(|found| found.len() == len);
            Ok(fits && checksum(path, len)? == Some(*crc))
        };
        if !is_announced(&new)? && !is_announced(&old)? {
            return Err(StoreError::damaged(&old, "neither it nor its replacement is what was announced"));
        }
        if new.exists() && !is_announced(&new)? {
            std::fs::remove_file(&new).at("remove", &new)?;
        }
    }
    rename(dir, place, table)?;
    dir.flush_for(Why::Names)?;
    let sealed = replaced(state);
    page.store_state(&sealed);
    dir.step(Step::Changed("sealed state"));
    dir.flush_for(Why::Replaced)?;
    remove_late(dir, place)?;
    Ok(sealed)
}

/// Removes the late file of a day that has been replaced.
pub(crate) fn remove_late(dir: &DataDir, place: &Place) -> Result<(), StoreError> {
    let path = place.late();
    if path.exists() {
        std::fs::remove_file(&path).at("remove", &path)?;
        dir.step(Step::Changed("late file removed"));
    }
    Ok(())
}
