//! The lock that keeps a second writer out of a data directory.
//!
//! 1. `flock` on the data directory itself: nothing that happens to the files in it lets a second writer in. It ends with the process, however the process
//!    ends, so no stale lock is ever left.
//! 2. `flock` on `_coltape/lock` as well, where earlier versions look. If that file is removed or replaced, it is made and locked again
//!    ([`DirLock::keep`]).
//! 3. The file's text is the holder's process id, for the error message of a second writer. The lock does not depend on it.
//! 4. A reader that asks who holds the directory holds the lock itself for a moment. So a writer tries for [`PATIENCE`] before it gives up.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{At, StoreError};
use super::own_file::{self, FileId, Links};
use super::place::OWN_FOLDER;

/// Name of the lock file in `_coltape`.
const NAME: &str = "lock";
/// How long a lock that is taken may be that of a reader.
const PATIENCE: Duration = Duration::from_millis(100);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Holds a data directory for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    path: PathBuf,
    dir: File,
    file: Mutex<LockFile>,
}

/// The lock file as it was locked.
#[derive(Debug)]
struct LockFile {
    file: File,
    id: FileId,
}

/// Whether a lock was to be had.
enum Attempt {
    Taken,
    HeldByAnother,
}

impl DirLock {
    /// Takes the lock of the data directory `path`, which is open as `dir`.
    pub(crate) fn take(path: &Path, dir: File) -> Result<Self, StoreError> {
        match attempt(&dir) {
            Ok(Attempt::Taken) => {}
            Ok(Attempt::HeldByAnother) => return Err(locked(path)),
            // Some network file systems lock files only.
            Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                log::warn!("{} cannot be locked; only {OWN_FOLDER}/{NAME} is", path.display());
            }
            Err(error) => return Err(error).at("lock", path),
        }
        let file = LockFile::take(path)?;
        Ok(Self { path: path.to_owned(), dir, file: Mutex::new(file) })
    }

    /// Makes and locks the lock file again, if it was removed or replaced. Tells whether it was.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where an older version of the program has come in through the new file meanwhile.
    pub(crate) fn keep(&self) -> Result<bool, StoreError> {
        let mut held = self.file.lock();
        if held.id.is_at(&self.path.join(OWN_FOLDER).join(NAME)) {
            return Ok(false);
        }
        *held = LockFile::take(&self.path)?;
        Ok(true)
    }
}

impl LockFile {
    fn take(dir: &Path) -> Result<Self, StoreError> {
        let (mut file, path) = own_file::open(dir, NAME, Links::InTheWay)?;
        match attempt(&file) {
            Ok(Attempt::Taken) => {}
            Ok(Attempt::HeldByAnother) => return Err(locked(dir)),
            Err(error) => return Err(error).at("lock", &path),
        }
        file.set_len(0).at("write", &path)?;
        file.rewind().at("write", &path)?;
        writeln!(file, "{}", std::process::id()).at("write", &path)?;
        let id = FileId::of_file(&file).at("look at", &path)?;
        Ok(Self { file, id })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Said aloud, as closing a file is not enough: a child that is just being started holds a copy of the descriptor until it runs its own program.
        let _ = rustix::fs::flock(&self.file.get_mut().file, FlockOperation::Unlock);
        let _ = rustix::fs::flock(&self.dir, FlockOperation::Unlock);
    }
}

/// Tries to take a lock.
fn attempt(file: impl AsFd) -> Result<Attempt, Errno> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Attempt::Taken),
            Err(Errno::WOULDBLOCK) if Instant::now() >= deadline => return Ok(Attempt::HeldByAnother),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
}

fn locked(dir: &Path) -> StoreError {
    StoreError::Locked { path: dir.to_owned(), pid: holder(dir) }
}

/// Names the process that holds a directory, or says that it is not known.
fn holder(dir: &Path) -> String {
    holder_by_kernel(dir).or_else(|| holder_by_file(dir)).unwrap_or_else(|| "?".to_owned())
}

/// Finds the holder of the lock of a directory itself in `/proc/locks`: `1: FLOCK ADVISORY WRITE pid major:minor:inode from to`, proc_locks(5).
pub(super) fn holder_by_kernel(dir: &Path) -> Option<String> {
    let found = std::fs::metadata(dir).ok()?;
    let device = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let [major, minor, inode] = place.split(':').collect::<Vec<_>>()[..] else { return None };
        let is_it = u32::from_str_radix(major, 16) == Ok(device.0)
            && u32::from_str_radix(minor, 16) == Ok(device.1)
            && inode.parse() == Ok(found.ino());
        (is_it && is_process_id(pid)).then(|| pid.to_owned())
    })
}

/// More bytes than the longest process id has.
const PID_BYTES: u64 = 20;

/// Gives the process id that the last holder of a directory wrote into the lock file, as that process saw itself. It may have ended long ago.
#[must_use]
pub(crate) fn named_holder(dir: &Path) -> Option<String> {
    // Opening a pipe would wait.
    dir.join(OWN_FOLDER).join(NAME).metadata().ok().filter(std::fs::Metadata::is_file)?;
    holder_by_file(dir)
}

fn holder_by_file(dir: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(dir.join(OWN_FOLDER).join(NAME)).ok()?.take(PID_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|text| is_process_id(text))
}

/// Tells whether a text is a process id. Of a process in another namespace the kernel gives 0 or less.
fn is_process_id(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|pid| pid > 0)
}

/// Tells which process holds a data directory; nothing where none does.
///
/// # Errors
/// Where the directory or its lock file exists and cannot be opened.
pub fn holder_of(dir: &Path) -> Result<Option<String>, StoreError> {
    for path in [dir.to_owned(), dir.join(OWN_FOLDER).join(NAME)] {
        // Opening a pipe would wait.
        if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            continue;
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).at("open", &path),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => return Ok(Some(holder(dir))),
            Ok(()) => {
                let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
            }
            // A file system that cannot lock this: nobody holds it.
            Err(_) => {}
        }
    }
    Ok(None)
}
