//! [`StopRequest`]: how a new capture asks the one that holds a directory to end, so that it can take over.
//!
//! The file `_coltape/stop-request`. It holds the process id of whoever asks, for people.
//!
//! 1. Whoever asks keeps the file locked (`flock`) as long as it waits. The lock ends with its process, however that ends. So a request that is not locked
//!    is one that nobody waits for: it is removed, and nothing is done because of it.
//! 2. Taking a request removes the file, and so does withdrawing it. One of the two succeeds, never both.
//! 3. There is one request at a time. One that somebody waits for is never overwritten ([`StoreError::InUse`]).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;

use super::error::{At, StoreError};
use super::own_file::{self, FileId, Links};
use super::place::OWN_FOLDER;

/// Name of the file in `_coltape`.
const NAME: &str = "stop-request";

/// A request that somebody waits for. Dropping it withdraws it.
#[derive(Debug)]
pub(crate) struct StopRequest {
    path: PathBuf,
    id: FileId,
    /// Holds the lock.
    _file: File,
}

impl StopRequest {
    /// Asks whoever holds `dir` to end.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process asks already; where a system call fails.
    pub(crate) fn write(dir: &Path) -> Result<Self, StoreError> {
        let path = request_path(dir);
        let new = path.with_extension(format!("{}.tmp", std::process::id()));
        own_file::clear_way(&new, Links::InTheWay)?;
        let mut file = File::create(&new).at("make", &new)?;
        writeln!(file, "{}", std::process::id()).at("write", &new)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).at("lock", &new)?;
        let id = FileId::of_file(&file).at("look at", &new)?;
        let mut renamed = rustix::fs::renameat_with(CWD, &new, CWD, &path, RenameFlags::NOREPLACE);
        if renamed == Err(Errno::EXIST) && !is_awaited(&path) {
            remove(&path)?;
            renamed = rustix::fs::renameat_with(CWD, &new, CWD, &path, RenameFlags::NOREPLACE);
        }
        if renamed.is_err() {
            let _ = fs::remove_file(&new);
        }
        match renamed {
            Err(Errno::EXIST) => Err(StoreError::InUse { path }),
            renamed => renamed.at("rename", &new).map(|()| Self { path, id, _file: file }),
        }
    }

    /// Tells whether nobody has taken it.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        self.id.is_at(&self.path)
    }

    /// Removes the request if nobody has taken it. Tells whether it was still there.
    ///
    /// # Errors
    /// Where a system call fails.
    pub(crate) fn withdraw(&self) -> Result<bool, StoreError> {
        if self.is_waiting() { remove(&self.path) } else { Ok(false) }
    }
}

impl Drop for StopRequest {
    fn drop(&mut self) {
        if let Err(error) = self.withdraw() {
            log::warn!("{error}");
        }
    }
}

/// Takes the request that waits for the holder of `dir`. Tells whether somebody waits for the holder to end.
///
/// # Errors
/// Where a system call fails.
pub(crate) fn take(dir: &Path) -> Result<bool, StoreError> {
    let path = request_path(dir);
    if path.symlink_metadata().is_err() {
        return Ok(false);
    }
    let is_awaited = is_awaited(&path);
    Ok(remove(&path)? && is_awaited)
}

fn request_path(dir: &Path) -> PathBuf {
    dir.join(OWN_FOLDER).join(NAME)
}

/// Tells whether somebody holds the lock of a request.
fn is_awaited(path: &Path) -> bool {
    // Opening a pipe would wait.
    if !path.metadata().is_ok_and(|found| found.is_file()) {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// Removes a request. Tells whether it was there.
fn remove(path: &Path) -> Result<bool, StoreError> {
    if path.is_dir() {
        return own_file::clear_way(path, Links::InTheWay).map(|_| true);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.at("remove", path).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        own_file::make_own_folder(dir.path()).expect("made");
        dir
    }

    #[test]
    fn a_request_is_taken_or_withdrawn_and_never_both() {
        let dir = dir();
        assert!(!take(dir.path()).expect("looked"), "nobody asks");
        let request = StopRequest::write(dir.path()).expect("asked");
        assert!(request.is_waiting());
        assert!(matches!(StopRequest::write(dir.path()), Err(StoreError::InUse { .. })), "one at a time");
        assert!(take(dir.path()).expect("taken"));
        assert!(!request.is_waiting() && !request.withdraw().expect("looked"), "it has been taken");
        assert!(!take(dir.path()).expect("looked"), "once");
        let request = StopRequest::write(dir.path()).expect("asked again");
        assert!(request.withdraw().expect("withdrawn") && !take(dir.path()).expect("looked"));
    }

    #[test]
    fn a_request_that_nobody_waits_for_is_removed_and_ends_nothing() {
        let dir = dir();
        let path = request_path(dir.path());
        fs::write(&path, "7\n").expect("left by a process that was killed");
        assert!(!take(dir.path()).expect("looked") && !path.exists());
        fs::write(&path, "7\n").expect("left again");
        let request = StopRequest::write(dir.path()).expect("it is replaced");
        drop(request);
        assert!(!path.exists(), "a request ends with whoever asks");
        fs::create_dir(&path).expect("somebody's folder");
        assert!(!take(dir.path()).expect("looked") && !path.exists());
        let names = fs::read_dir(dir.path().join(OWN_FOLDER)).expect("listed").count();
        assert_eq!(names, 1, "the folder is kept under another name, and no file is left over");
    }
}
