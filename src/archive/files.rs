//! The files of an archive: brought to disk before they count, and read from the disk before they are believed.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{ArchiveError, At};
use crate::export::ExportError;
use crate::store::filesystem;

/// Makes a folder and those above it, where they are missing, and brings their names to disk: what is written there is not to be lost with them.
///
/// # Errors
/// Where it cannot be made.
pub(super) fn make_with_those_above(folder: &Path) -> Result<(), ArchiveError> {
    let whole = std::path::absolute(folder).at("make", folder)?;
    let missing: Vec<&Path> = whole.ancestors().take_while(|above| !above.is_dir()).collect();
    std::fs::create_dir_all(&whole).at("make", &whole)?;
    for above in missing.into_iter().filter_map(Path::parent) {
        filesystem::sync_folder(above)?;
    }
    Ok(())
}

/// Makes a folder below another one, and brings it and those above it to disk.
///
/// # Errors
/// Where it cannot be made.
pub(super) fn make_folder(top: &Path, below: &Path) -> Result<(), ArchiveError> {
    let folder = top.join(below);
    std::fs::create_dir_all(&folder).at("make", &folder)?;
    for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(top)) {
        filesystem::sync_folder(above)?;
    }
    Ok(())
}

/// Gives a file its name once its bytes are on disk, and brings the name to disk.
///
/// # Errors
/// Where it cannot be brought to disk.
pub(super) fn finish(file: &File, temporary: &Path, path: &Path) -> Result<(), ArchiveError> {
    file.sync_all().at("flush", temporary)?;
    std::fs::rename(temporary, path).at("rename", temporary)?;
    Ok(filesystem::sync_folder(path.parent().unwrap_or(path))?)
}

/// Asks the system to forget what it knows of a file's bytes, so that they are read from the disk. A system that keeps them still reads what it has.
pub(super) fn forget(path: &Path) {
    if let Ok(file) = File::open(path)
        && let Ok(found) = file.metadata()
    {
        let _ = filesystem::drop_cache(&file, 0, found.len());
    }
}

/// The archive, kept from exports while what they wrote is looked at.
pub(super) struct ArchiveLock {
    folder: File,
}

impl Drop for ArchiveLock {
    fn drop(&mut self) {
        // Said aloud: a child that is just being started holds a copy of the descriptor until it runs its own program.
        let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
    }
}

impl ArchiveLock {
    /// Takes the lock that exports take.
    ///
    /// # Errors
    /// Where another export or archive writes to the folder.
    pub(super) fn take(archive: &Path) -> Result<Self, ArchiveError> {
        let folder = File::open(archive).at("open", archive)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ExportError::Busy { path: archive.to_owned() }.into()),
            Err(error) => log::warn!("{} cannot be locked ({error}): only one export or archive may write to it", archive.display()),
        }
        Ok(Self { folder })
    }
}

/// Gives the name of a file that is not finished.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
