//! The lock that keeps a second writer out of a data directory.
//!
//! 1. `flock` on `_coltape/lock`: it ends with the process, however the process ends, so no stale lock is ever left.
//! 2. The file's text is the holder's process id, for the error message of a second writer. The lock does not depend on it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::error::{At, StoreError};

/// Holds a data directory for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock of the data directory `dir`, whose file is `path`.
    pub(crate) fn take(dir: &Path, path: &Path) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).at("open", path)?;
        if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(error).at("lock", path);
            }
            return Err(StoreError::Locked { path: dir.to_owned(), pid: holder(&mut file) });
        }
        file.set_len(0).at("write", path)?;
        file.rewind().at("write", path)?;
        writeln!(file, "{}", std::process::id()).at("write", path)?;
        Ok(Self { file })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Said aloud, as closing the file is not enough: a child that is just being started holds a copy of the descriptor until it runs its own program.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// More bytes than the longest process id has.
const PID_BYTES: u64 = 20;

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(PID_BYTES).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "?".to_owned(),
    }
}

/// Tells which process holds a data directory: the id in its lock file, or nothing where none does.
///
/// # Errors
/// Where the lock file exists and cannot be opened.
pub fn holder_of(dir: &Path) -> Result<Option<String>, StoreError> {
    let path = dir.join(super::place::OWN_FOLDER).join("lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("open", &path),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
            Ok(None)
        }
        Err(_) => Ok(Some(holder(&mut file))),
    }
}
