//! The program's own files in `_coltape`, which somebody may remove, rename, cut or replace while they are written: log rotation does.
//!
//! 1. A file that is being written is compared with the one at its path ([`FileId`]). If they differ, the file is begun anew.
//! 2. What is no plain file and lies in the way is renamed, never removed and never written to ([`clear_way`]).
//! 3. What is no plain file is not read either ([`open_plain`]): a pipe would block its reader for ever, and a device has no end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::{At, StoreError};
use super::place::OWN_FOLDER;

/// Most things that are moved out of the way of one file.
const MAX_ASIDE: u32 = 10_000;

/// Which file a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }

    /// Gives the id of an open file.
    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self::of(&found))
    }

    /// Tells whether the file lies at a path. A link to it counts.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| Self::of(&found) == self)
    }
}

/// A file as it was when it was looked at. Where nothing of it differs, nobody has written to it since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileStamp {
    path: PathBuf,
    /// Its id, length and time of change; nothing where it is not there.
    found: Option<(FileId, u64, i64, i64)>,
}

impl FileStamp {
    /// Looks at the file at a path.
    pub(crate) fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        Self { path: path.to_owned(), found: found.map(|found| (FileId::of(&found), found.len(), found.mtime(), found.mtime_nsec())) }
    }
}

/// Opens a plain file for reading. A link to one counts.
///
/// # Errors
/// Where it is not there, cannot be opened, or is a folder, a pipe or a device.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    // So that a pipe without a writer does not block the call itself. It changes nothing for a plain file.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if found.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a folder, a pipe or a device, and no file"))
    }
}

/// Reads a plain file from its beginning to its end.
///
/// # Errors
/// As [`open_plain`], and where it cannot be read.
pub(crate) fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which links are followed to a plain file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Followed,
    InTheWay,
}

/// Renames what lies at the path of a plain file and is none: a folder, a pipe, a device, a link to any of them or to nothing. Gives its new name.
pub(crate) fn clear_way(path: &Path, links: Links) -> Result<Option<PathBuf>, StoreError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("look at", path),
    };
    let is_plain = match links {
        _ if found.is_file() => true,
        Links::Followed if found.is_symlink() => std::fs::metadata(path).is_ok_and(|target| target.is_file()),
        _ => false,
    };
    if is_plain { Ok(None) } else { set_aside(path).map(Some) }
}

/// Renames what lies at the path of a folder and is none.
pub(crate) fn clear_way_of_folder(path: &Path) -> Result<(), StoreError> {
    if path.symlink_metadata().is_ok() && !path.is_dir() {
        set_aside(path)?;
    }
    Ok(())
}

/// Makes a folder, and the one that it lies in. A plain file in the way of either is renamed; a link to a disk that is not there is an error, since what is
/// meant for that disk must not end up on another one.
pub(crate) fn make_folder_of_folder(path: &Path) -> Result<(), StoreError> {
    for folder in path.parent().into_iter().chain([path]) {
        if folder.is_symlink() && !folder.is_dir() {
            return Err(io::Error::other("it is a link to a folder that is not there")).at("make", folder);
        }
        clear_way_of_folder(folder)?;
    }
    std::fs::create_dir_all(path).at("make", path)
}

/// Renames a file to the first free name of its kind.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1..MAX_ASIDE).map(|number| path.with_file_name(format!("{name}.aside-{number}")));
    let free = free.into_iter().find(|new| new.symlink_metadata().is_err()).ok_or_else(|| StoreError::InUse { path: path.to_owned() })?;
    std::fs::rename(path, &free).at("rename", path)?;
    Ok(free)
}

/// Makes the folder `_coltape` of a data directory where it is missing. What lies in its way is renamed.
pub(crate) fn make_own_folder(dir: &Path) -> Result<PathBuf, StoreError> {
    let own = dir.join(OWN_FOLDER);
    if !own.is_dir() {
        clear_way_of_folder(&own)?;
        // Not the directory above it: where that is gone, nobody is to find a new one.
        match std::fs::create_dir(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.at("make", &own)?,
        }
    }
    Ok(own)
}

/// Opens a file of one's own for reading and writing, and makes it where it is missing. Its folder and its path are cleared if need be.
pub(crate) fn open(dir: &Path, name: &str, links: Links) -> Result<(File, PathBuf), StoreError> {
    let path = make_own_folder(dir)?.join(name);
    clear_way(&path, links)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
    Ok((file, path))
}

/// Replaces a file of one's own: it is written under another name first, so that a reader sees the old one or the new one. It is not flushed.
///
/// # Errors
/// Where the system refuses. The old file stays.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let path = make_own_folder(dir)?.join(name);
    let new = path.with_file_name(format!("{name}.tmp"));
    for path in [&path, &new] {
        clear_way(path, Links::InTheWay)?;
    }
    std::fs::write(&new, bytes).at("write", &new)?;
    std::fs::rename(&new, &path).at("rename", &new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_file_is_renamed_and_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal");
        let target = dir.path().join("target");
        std::fs::write(&target, "kept").expect("written");
        let link = |to: &str| std::os::unix::fs::symlink(to, &path).expect("linked");
        assert_eq!(clear_way(&path, Links::Followed).expect("looked"), None, "nothing is there");
        std::fs::write(&path, "a file").expect("written");
        assert_eq!(clear_way(&path, Links::InTheWay).expect("looked"), None, "a plain file");
        std::fs::remove_file(&path).expect("removed");
        link("target");
        assert_eq!(clear_way(&path, Links::Followed).expect("looked"), None, "a link to a plain file");
        assert!(clear_way(&path, Links::InTheWay).expect("looked").is_some_and(|new| new.ends_with("journal.aside-1")));
        for (number, to) in [(2, "nowhere/else"), (3, "/dev/null"), (4, ".")] {
            link(to);
            let new = clear_way(&path, Links::Followed).expect("looked").expect("renamed");
            assert!(new.ends_with(format!("journal.aside-{number}")) && path.symlink_metadata().is_err(), "{to}");
        }
        std::fs::create_dir(&path).expect("made");
        assert!(clear_way(&path, Links::Followed).expect("looked").is_some());
        assert_eq!(std::fs::read_to_string(&target).expect("read"), "kept");
    }

    #[test]
    fn the_own_folder_is_made_whatever_lies_in_its_way() {
        let dir = tempfile::tempdir().expect("a folder");
        let own = dir.path().join(OWN_FOLDER);
        std::fs::write(&own, "a file").expect("written");
        let (_, path) = open(dir.path(), "lock", Links::InTheWay).expect("opened");
        assert!(own.is_dir() && path.is_file());
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(&own, &elsewhere).expect("renamed");
        std::os::unix::fs::symlink("elsewhere", &own).expect("linked");
        open(dir.path(), "lock", Links::InTheWay).expect("opened");
        assert!(own.is_symlink() && elsewhere.join("lock").is_file(), "a link to a folder is followed");
        assert!(make_own_folder(&dir.path().join("gone")).is_err(), "a directory that is gone is not made");
    }
}
