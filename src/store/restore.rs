//! Storing a day again whose files somebody removed, renamed or replaced while it was open. Their maps still hold every record.
//!
//! 1. Whatever lies at the day's paths now is not trusted: it goes to quarantine.
//! 2. Columns and late records are copied byte by byte, with the same generation. Blocks are allocated first, beside the disk's reserve.
//! 3. The page is made last, so a crash in between leaves files without a page, which hold nothing for a reader.
//! 4. Nothing of the new files is durable until the next flush.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{At, StoreError};
use super::files::DayFiles;
use super::filesystem;
use super::page::Mark;
use super::probe::Step;
use super::recovery::{self, Begun};

/// What an open day holds.
pub(crate) struct Held {
    /// Records in the columns, all of them committed.
    pub(crate) count: usize,
    pub(crate) last_key: u64,
    pub(crate) late_count: u32,
    /// The late file's bytes.
    pub(crate) late: Vec<u8>,
}

/// Writes new files with all that a day holds. Gives them, and where the files are now that lay in their place.
pub(crate) fn write(old: &DayFiles, held: &Held) -> Result<(DayFiles, Option<PathBuf>), StoreError> {
    let (dir, place) = (&old.dir, &old.place);
    let moved_to = recovery::clear(dir, &old.key, place)?;
    let written = old
        .table
        .iter()
        .zip(&old.columns)
        .try_for_each(|(column, stored)| copy(&place.column(column.name), stored.committed(0..held.count)))
        .and_then(|()| if held.late.is_empty() { Ok(()) } else { copy(&place.late(), &held.late) });
    if let Err(error) = written {
        // A disk that is too full must not lose more room to half a copy.
        place.files().iter().for_each(|path| drop(std::fs::remove_file(path)));
        return Err(error);
    }
    dir.step(Step::Changed("stored again"));
    let begun = Begun {
        key: old.key.clone(),
        place: place.clone(),
        set: old.set,
        table: old.table,
        generation: old.generation,
        mark: Mark { count: held.count as u64, key: held.last_key },
        late: held.late_count,
    };
    Ok((recovery::make_page(dir, begun)?, moved_to))
}

fn copy(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(path).at("make", path)?;
    filesystem::allocate_beside_reserve(&file, 0, bytes.len() as u64, path)?;
    file.write_all(bytes).at("write", path)
}
