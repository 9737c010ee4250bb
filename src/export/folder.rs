//! [`ExportFolder`]: the folder of a data set: who may write to it, and how its files are replaced.
//!
//! 1. One export at a time: `flock` on the folder, which ends with the process.
//! 2. New files are written to [`TEMPORARY`] below the folder, and flushed. What a killed export left there the next one removes.
//! 3. Finished files take their places in batches: a manifest that does not name them, a rename for each, a manifest that names them. Both manifests are
//!    written and flushed before the first rename, so that a full disk cannot end a batch halfway.
//! 4. A file that moves to another name first takes the place of the old one: at every moment there is one of them.
//! 5. Nothing is removed that the manifest does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::config::{ExportConfig, ExportFormat};
use super::error::{At, ExportError};
use super::manifest::{self, Entry, FileKey, Manifest};
use super::output::{Output, modified};
use crate::store::DayKey;
use crate::store::archived::{self, ArchivedDay, ArchivedDays, REST_FOLDER};
use crate::time::UnixNanos;

/// The folder of unfinished files. Readers of data sets skip names with an underscore in front.
const TEMPORARY: &str = "_coltape_export.tmp";

/// A finished file that waits for its place.
#[derive(Debug)]
pub(super) struct Finished {
    /// Which file it is.
    pub key: FileKey,
    /// What it is.
    pub entry: Entry,
    /// Where it lies now.
    pub temporary: PathBuf,
}

/// The folder as the threads that write files see it: as it was when the export began.
#[derive(Debug)]
pub(super) struct FolderView {
    path: PathBuf,
    /// The files that the manifest named.
    pub entries: BTreeMap<FileKey, Entry>,
}

impl FolderView {
    /// Begins a temporary file. `number` is unlike that of any other of this export; `path` is the place it is for.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn begin(&self, number: usize, path: &Path) -> Result<(Output, PathBuf), ExportError> {
        let temporary = self.path.join(TEMPORARY).join(number.to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).at("make", &temporary)?;
        Ok((Output::new(file, &self.path.join(path)), temporary))
    }

    /// Makes sure that a file of the data set is not all that is left of an archived day: of another data directory, or of a day of this one that has begun
    /// anew since. Only `archive` itself replaces one, with the files of the same day of the same directory.
    ///
    /// # Errors
    /// Where it is, or nobody can tell.
    pub(super) fn check_archived(&self, config: &ExportConfig, key: &DayKey, file: &Path) -> Result<(), ExportError> {
        let path = self.path.join(archived::line_path(key));
        if config.format != ExportFormat::Parquet || !path.exists() {
            return Ok(());
        }
        let line = std::fs::read_to_string(&path).at("read", &path)?;
        let kept = |dir: PathBuf| Err(ExportError::KeptByArchive { path: self.path.join(file), dir });
        let Some(day) = ArchivedDay::parse(&line) else { return kept(PathBuf::from("a directory that cannot be told")) };
        let is_of_this = config.dir.canonicalize().is_ok_and(|dir| day.is_of(&dir));
        // `archive` has looked at the record of this directory. Where the record has no such day, a restore that was killed has left the line behind.
        let may_replace =
            is_of_this && (config.only.is_some() || ArchivedDays::read(&config.dir, &key.product)?.get(key.dataset, key.date).is_none());
        if may_replace { Ok(()) } else { kept(day.dir) }
    }

    /// Tells whether a file is as the manifest says. `None` where it is not; else when it was written, which only a copy changes.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn check(&self, entry: &Entry) -> Result<Option<i64>, ExportError> {
        let path = self.path.join(&entry.path);
        let found = match std::fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("look at", &path),
        };
        if !found.is_file() || found.len() != entry.bytes {
            return Ok(None);
        }
        let modified = modified(&found);
        let is_same = modified == entry.modified || crc_of(&path).at("read", &path)? == entry.crc;
        Ok(is_same.then_some(modified))
    }
}

/// The folder of a data set, locked.
#[derive(Debug)]
pub(super) struct ExportFolder {
    path: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// Holds the lock.
    handle: File,
}

impl ExportFolder {
    /// Opens or makes the folder and locks it.
    ///
    /// # Errors
    /// Where it holds something else, another export writes to it, or it cannot be read or made.
    pub(super) fn open(path: &Path, tape: &Path, format: &'static str, now: UnixNanos) -> Result<Self, ExportError> {
        if is_inside(path, tape) {
            return Err(ExportError::InsideTheTape { path: path.to_owned() });
        }
        if path.exists() && !path.is_dir() {
            return Err(ExportError::NoFolder { path: path.to_owned() });
        }
        std::fs::create_dir_all(path).at("make", path)?;
        let handle = File::open(path).at("open", path)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ExportError::Busy { path: path.to_owned() }),
            // Some network file systems lock no folders.
            Err(error) => log::warn!("{} cannot be locked ({error}): only one export may write to it", path.display()),
        }
        let found = Manifest::read(path)?;
        let manifest = match found {
            Some(found) if found.format == format => found,
            Some(found) if found.files.is_empty() => Manifest::new(format),
            Some(found) => return Err(ExportError::OtherFormat { path: path.to_owned(), holds: found.format, asked: format }),
            None => {
                must_be_empty(path)?;
                Manifest::new(format)
            }
        };
        let mut folder = Self { path: path.to_owned(), manifest, handle };
        folder.remove_temporary()?;
        let has_forgotten = folder.forget_missing();
        std::fs::create_dir(folder.path.join(TEMPORARY)).at("make", &folder.path.join(TEMPORARY))?;
        if has_forgotten || !folder.path.join(manifest::NAME).exists() {
            let written = folder.write_manifest(&folder.manifest, now)?;
            folder.place_manifest(&written)?;
        }
        Ok(folder)
    }

    /// Takes those files out of the manifest that somebody has removed or cut. Tells whether there were any.
    fn forget_missing(&mut self) -> bool {
        let (path, before) = (&self.path, self.manifest.files.len());
        let is_there = |entry: &Entry| std::fs::metadata(path.join(&entry.path)).is_ok_and(|found| found.len() == entry.bytes);
        self.manifest.files.retain(|_, entry| is_there(entry));
        let missing = before - self.manifest.files.len();
        if missing > 0 {
            log::warn!("{}: {missing} of its {before} files are gone or have another length", self.path.display());
        }
        missing > 0
    }

    /// Gives what the threads that write files need of the folder.
    pub(super) fn shared(&self) -> FolderView {
        FolderView { path: self.path.clone(), entries: self.manifest.files.clone() }
    }

    /// Puts finished files into their places, and changes what the manifest says of others.
    ///
    /// # Errors
    /// Where a manifest cannot be written, or a file cannot be renamed. The manifest then names none of the files.
    pub(super) fn commit(&mut self, finished: Vec<Finished>, now: UnixNanos) -> Result<(), ExportError> {
        let mut before = self.manifest.clone();
        let mut moves = Vec::new();
        for Finished { key, entry, temporary } in finished {
            let old = self.manifest.files.get(&key).map(|old| old.path.clone());
            before.files.remove(&key);
            moves.push((temporary, old.filter(|old| *old != entry.path), entry.path.clone()));
            self.manifest.files.insert(key, entry);
        }
        let after = self.write_manifest(&self.manifest, now)?;
        if !moves.is_empty() {
            let silent = self.write_manifest(&before, now)?;
            let folders: BTreeSet<PathBuf> = moves.iter().filter_map(|(_, _, new)| Some(self.path.join(new.parent()?))).collect();
            for folder in &folders {
                std::fs::create_dir_all(folder).at("make", folder)?;
            }
            self.place_manifest(&silent)?;
            for (temporary, old, new) in &moves {
                self.place(temporary, old.as_deref(), new)?;
            }
            self.sync_folders(&folders)?;
        }
        self.place_manifest(&after)
    }

    fn place(&self, temporary: &Path, old: Option<&Path>, new: &Path) -> Result<(), ExportError> {
        let new = self.path.join(new);
        let old = old.map(|old| self.path.join(old)).filter(|old| old.is_file());
        let Some(old) = old else { return std::fs::rename(temporary, &new).at("rename to", &new) };
        std::fs::rename(temporary, &old).at("rename to", &old)?;
        std::fs::rename(&old, &new).at("rename to", &new)
    }

    /// Brings the names in folders to disk, and those of the folders themselves.
    fn sync_folders(&self, folders: &BTreeSet<PathBuf>) -> Result<(), ExportError> {
        let above = folders.iter().flat_map(|folder| folder.ancestors().take_while(|above| above.starts_with(&self.path)));
        let all: BTreeSet<&Path> = above.collect();
        for folder in all {
            File::open(folder).and_then(|folder| folder.sync_all()).at("flush", folder)?;
        }
        Ok(())
    }

    /// Writes a manifest beside the one that is there.
    fn write_manifest(&self, manifest: &Manifest, now: UnixNanos) -> Result<PathBuf, ExportError> {
        let number = (0..).map(|number| self.path.join(TEMPORARY).join(format!("manifest.{number}"))).find(|path| !path.exists());
        let path = number.unwrap_or_default();
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(manifest.text(now).as_bytes())?;
            file.sync_all()
        });
        written.at("write", &path)?;
        Ok(path)
    }

    fn place_manifest(&self, written: &Path) -> Result<(), ExportError> {
        let path = self.path.join(manifest::NAME);
        std::fs::rename(written, &path).at("rename to", &path)?;
        self.handle.sync_all().at("flush", &self.path)
    }

    fn remove_temporary(&self) -> Result<(), ExportError> {
        let path = self.path.join(TEMPORARY);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &path),
            _ => Ok(()),
        }
    }
}

impl Drop for ExportFolder {
    fn drop(&mut self) {
        // The next export removes what is left.
        let _ = self.remove_temporary();
        // Said aloud: a child that is just being started holds a copy of the descriptor until it runs its own program.
        let _ = rustix::fs::flock(&self.handle, FlockOperation::Unlock);
    }
}

fn crc_of(path: &Path) -> io::Result<u32> {
    let (mut file, mut crc, mut bytes) = (File::open(path)?, 0, vec![0; 1 << 20]);
    loop {
        match io::Read::read(&mut file, &mut bytes) {
            Ok(0) => return Ok(crc),
            Ok(read) => crc = crc32c::crc32c_append(crc, bytes.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes sure that days of a tape could be exported to a folder as Parquet. Nothing is made.
///
/// # Errors
/// Where it holds something else, lies in the data directory, or cannot be read.
pub(crate) fn check_parquet_folder(path: &Path, tape: &Path) -> Result<(), ExportError> {
    let asked = ExportFormat::Parquet.name();
    if is_inside(path, tape) {
        return Err(ExportError::InsideTheTape { path: path.to_owned() });
    }
    match Manifest::read(path)? {
        Some(found) if found.format != asked && !found.files.is_empty() => {
            Err(ExportError::OtherFormat { path: path.to_owned(), holds: found.format, asked })
        }
        None if path.symlink_metadata().is_ok() => must_be_empty(path),
        _ => Ok(()),
    }
}

/// Makes sure that a folder without a manifest holds nothing but what a killed export may have left.
fn must_be_empty(path: &Path) -> Result<(), ExportError> {
    for entry in std::fs::read_dir(path).at("list", path)? {
        let name = entry.at("list", path)?.file_name();
        if name != TEMPORARY && name != REST_FOLDER {
            return Err(ExportError::OtherContents { path: path.to_owned(), found: name.into() });
        }
    }
    Ok(())
}

/// Tells whether a folder that may not be there yet is the data directory or lies in it.
fn is_inside(path: &Path, tape: &Path) -> bool {
    let Ok(tape) = tape.canonicalize() else { return false };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|above| above.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(&tape))
}
