//! Removing the files of an archived day, and putting them back.
//!
//! 1. Both are done by whoever holds the directory, while nobody opens or makes the day ([`DataDir::lock_day`]).
//! 2. A file is removed only if it has the bytes that the archive knows of it. A day that has changed meanwhile stays. A day that a capture has opened
//!    again has another page.
//! 3. The page is removed first, then the time column, each on disk before the next: a reader finds the whole day or none. The other columns follow.
//! 4. Files are put back under temporary names. When all of them are on disk with the right bytes they get their names, the time column and the page last.
//!    What lies there under one of the names is never replaced.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::archive_request::Act;
use super::archived::{ArchivedDay, KnownFile};
use super::directory::DataDir;
use super::error::{At, StoreError};
use super::event::Event;
use super::filesystem;
use super::place::{DayKey, Place};
use super::probe::Step;
use crate::time::DateFormat;

/// The name of the page's file, before its date.
pub(crate) const PAGE_NAME: &str = "commit";

/// What is here of an archived day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Nothing.
    Nothing,
    /// Some of its files, each as the archive knows it: a removal or a restore has ended early.
    Some,
    /// All of them.
    All,
}

/// Gives the place in the order of removal: the page, the time column, the others.
fn turn(file: &KnownFile) -> u8 {
    match file.name.as_str() {
        PAGE_NAME => 0,
        "time" | "trade_time" => 1,
        _ => 2,
    }
}

/// Tells quickly whether a file of an archived day is here, under either spelling of its date.
pub(crate) fn is_any_here(dir: &Path, day: &ArchivedDay) -> bool {
    let names = day.key.dataset.columns().iter().map(|column| column.name).chain([PAGE_NAME, "late"]);
    let places = [DateFormat::Iso, DateFormat::Dmy].map(|spelling| Place::new(dir, &day.key, spelling));
    names.into_iter().any(|name| places.iter().any(|place| place.column(name).symlink_metadata().is_ok()))
}

/// Looks what is here of an archived day.
///
/// # Errors
/// [`StoreError::NotArchived`] where a file is another than the archive knows, or none of the day's.
pub(crate) fn remains(dir: &Path, day: &ArchivedDay) -> Result<Remains, StoreError> {
    let mut found = 0;
    for spelling in [DateFormat::Iso, DateFormat::Dmy] {
        let place = Place::new(dir, &day.key, spelling);
        for path in place.files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "bin")) {
            let known = day.files.iter().find(|file| day.path(dir, file) == path);
            match known {
                Some(known) if known.is_at(&path)? => found += 1,
                _ => return Err(StoreError::NotArchived { path }),
            }
        }
    }
    Ok(match found {
        0 => Remains::Nothing,
        found if found == day.files.len() => Remains::All,
        _ => Remains::Some,
    })
}

/// Removes what is here of an archived day.
///
/// # Errors
/// As [`remains`], and where a file cannot be removed. What is left can be removed later.
fn remove(dir: &DataDir, day: &ArchivedDay) -> Result<(), StoreError> {
    let _guard = dir.lock_day(&day.key);
    if remains(dir.path(), day)? == Remains::Nothing {
        return Ok(());
    }
    let place = Place::new(dir.path(), &day.key, day.spelling);
    for now in 0..=2 {
        let mut is_any = false;
        for file in day.files.iter().filter(|file| turn(file) == now) {
            let path = day.path(dir.path(), file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                removed => removed.at("remove", &path)?,
            }
            is_any = true;
            dir.step(Step::Changed("file of an archived day removed"));
        }
        if is_any {
            filesystem::sync_folder(place.folder())?;
            dir.step(Step::Changed("removal on disk"));
        }
    }
    Ok(())
}

/// Gives the name under which a file is written before it is put back.
pub(crate) fn temporary(dir: &Path, day: &ArchivedDay, file: &KnownFile) -> PathBuf {
    Place::new(dir, &day.key, day.spelling).replacement(&file.name)
}

/// Gives the files of a day their names. They lie under their temporary names, on disk, or have their names already.
///
/// # Errors
/// [`StoreError::NotArchived`] where other files lie in their places, or a file is not what it should be. Where the system refuses.
fn put_back(dir: &DataDir, day: &ArchivedDay) -> Result<(), StoreError> {
    let _guard = dir.lock_day(&day.key);
    remains(dir.path(), day)?;
    let folder = Place::new(dir.path(), &day.key, day.spelling).folder().to_owned();
    for file in &day.files {
        let (new, path) = (temporary(dir.path(), day, file), day.path(dir.path(), file));
        if !path.exists() && !file.is_at(&new)? {
            return Err(StoreError::damaged(&new, "it is not what was archived"));
        }
    }
    for now in [2, 1, 0] {
        for file in day.files.iter().filter(|file| turn(file) == now) {
            let (new, path) = (temporary(dir.path(), day, file), day.path(dir.path(), file));
            if path.exists() {
                let _ = std::fs::remove_file(&new);
                continue;
            }
            match rustix::fs::renameat_with(CWD, &new, CWD, &path, RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::EXIST) => return Err(StoreError::NotArchived { path }),
                renamed => renamed.at("rename", &new)?,
            }
            dir.step(Step::Changed("file of an archived day put back"));
        }
        filesystem::sync_folder(&folder)?;
        dir.step(Step::Changed("files put back on disk"));
    }
    Ok(())
}

/// Says why a day is not removed or put back, and what to do, in a line for people.
pub(crate) fn why_not(act: Act, day: &ArchivedDay, error: &StoreError) -> String {
    let DayKey { product, date, .. } = &day.key;
    let remedy = match (act, error) {
        (Act::Remove, StoreError::NotArchived { .. }) => format!(
            ": the day has changed meanwhile, and stays here; `coltape restore {product} --date {date}` keeps it if it has all that was archived, and says what \
             to do if it has not"
        ),
        (Act::PutBack, StoreError::NotArchived { .. }) => {
            ": other records came meanwhile; the day stays archived, and the same command says how the two are put together".to_owned()
        }
        _ => String::new(),
    };
    format!("{}: {error}{remedy}", day.key)
}

/// Removes the files of a day, or puts them back. Gives the line for the journal.
///
/// # Errors
/// As [`remove`] and [`put_back`].
pub(crate) fn act_on(dir: &DataDir, act: Act, day: &ArchivedDay) -> Result<Event, StoreError> {
    let (records, archive) = (day.records, day.archive.display().to_string());
    match act {
        Act::Remove => {
            remove(dir, day)?;
            Ok(Event::DayArchived { day: day.key.clone(), records, archive })
        }
        Act::PutBack => {
            put_back(dir, day)?;
            Ok(Event::DayReturned { day: day.key.clone(), records, archive })
        }
    }
}
