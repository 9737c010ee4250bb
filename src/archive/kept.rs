//! [`Kept`]: what an archive keeps of days that are back beside the data set, and why.
//!
//! 1. It is removed only where no other directory can need it: the day came from the archive that its record names, and went to the directory that it was
//!    archived from.
//! 2. A record that says so may be a copy of another directory's, and that directory may lie on a disk that is not mounted, or on another box. So nothing
//!    follows from a path, nor from a directory that is not there.
//! 3. Nothing is removed from a folder that was named: that may be the copy which somebody keeps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::packing::archived_elsewhere;
use crate::store::archived::{ArchivedDay, ArchivedDays, REST_FOLDER, line_path};

/// Dataset-days of which an archive keeps what a restore needs.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// In the folder that was named.
    named: BTreeMap<PathBuf, usize>,
    /// In an archive, for a data directory that may still need it, by the path that this had.
    for_others: BTreeMap<(PathBuf, PathBuf), usize>,
}

impl Kept {
    /// Removes what lies beside the data set of a day that is back in `target`, or counts it where it stays. The exported file stays in any case: it is like
    /// any other from now on.
    pub(super) fn settle(&mut self, day: &ArchivedDay, target: &Path, named: Option<&Path>) {
        if let Some(folder) = named {
            if folder.join(line_path(&day.key)).exists() || folder.join(&day.rest.name).exists() {
                *self.named.entry(folder.to_owned()).or_default() += 1;
            }
            return;
        }
        match archived_elsewhere(&day.archive, &day.key) {
            Ok(None) => {}
            Ok(Some(line)) if line == *day && is_needed_by_none(day, target) => remove(day),
            line => {
                let dir = line.ok().flatten().map_or_else(|| day.dir.clone(), |line| line.dir);
                *self.for_others.entry((day.archive.clone(), dir)).or_default() += 1;
            }
        }
    }

    /// Says what stays where and why, in lines for people.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |archive: &Path, count: usize, why: &str| {
            let (days, folder) = (if count == 1 { "dataset-day" } else { "dataset-days" }, archive.join(REST_FOLDER));
            format!(
                "{} keeps {count} {days}, too: {why}; once no data directory needs them, remove their .rest and .json files in {}",
                archive.display(),
                folder.display()
            )
        };
        let named = self.named.iter().map(|(archive, count)| note(archive, *count, "a restore with --archive removes nothing"));
        let for_others = self.for_others.iter().map(|((archive, dir), count)| {
            note(
                archive,
                *count,
                &format!("they were archived from another directory, then at {}, which may still need them", dir.display()),
            )
        });
        named.chain(for_others).collect()
    }
}

/// Tells whether no other directory can need what an archive keeps of a day that is back.
fn is_needed_by_none(day: &ArchivedDay, target: &Path) -> bool {
    let record_there = || ArchivedDays::read(&day.dir, &day.key.product);
    // In a snapshot of its file system a directory has the same identity.
    let is_alone = || record_there().is_ok_and(|record| record.faults.is_empty() && record.get(day.key.dataset, day.key.date).is_none());
    day.is_of(target) && (day.dir == target || is_alone())
}

/// Removes what lies beside the data set. The line goes last: as long as it is there, nobody else writes a rest of that day.
fn remove(day: &ArchivedDay) {
    for path in [day.archive.join(&day.rest.name), day.archive.join(line_path(&day.key))] {
        if let Err(error) = std::fs::remove_file(&path) {
            log::warn!("{}: {} stays: {error}", day.key, path.display());
        }
    }
}
