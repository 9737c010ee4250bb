//! [`StoreError`]: what can go wrong with the files, and where.
//!
//! 1. Every variant names the path it is about; an I/O error also names what was being done.
//! 2. The variant says what can be done. Nobody parses a message.
//!    Try again later: `NoSpace`, `InUse`. Leave this dataset-day alone and go on with the others: `Damaged`, `DayFull`, `Io`. Stop: the others.
//! 3. `ENOSPC` is always [`StoreError::NoSpace`], never a signal and never a plain I/O error.

use std::io;
use std::path::{Path, PathBuf};

/// What the store reports when it cannot do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "open".
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has no room left, or would be left with too little.
    #[error("no space left for {} ({needed} more bytes wanted, {free} free)", path.display())]
    NoSpace {
        /// For which file.
        path: PathBuf,
        /// Bytes that were wanted; 0 where that is not known.
        needed: u64,
        /// Bytes that were free.
        free: u64,
    },
    /// Another process writes to this directory.
    #[error("{} is being written by another capture (process {pid})", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process' id as it stands in the lock file, or a question mark.
        pid: String,
    },
    /// The file system is not one that survives a full disk.
    #[error("{} lies on {name}, where a full disk kills the writer; --force-fs writes there all the same", path.display())]
    UnsafeFileSystem {
        /// The directory.
        path: PathBuf,
        /// The file system's name or number.
        name: String,
    },
    /// The directory holds another endpoint's tape.
    #[error("{} holds the tape of {remembered}, not of {asked}", path.display())]
    OtherEndpoint {
        /// The directory.
        path: PathBuf,
        /// The endpoint it was begun with.
        remembered: String,
        /// The endpoint of now.
        asked: String,
    },
    /// The files of a dataset-day contradict each other.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The page or column.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A day reached the most records that a file is mapped for.
    #[error("{} is full: a day holds at most {} records", path.display(), super::growth::MAX_RECORDS)]
    DayFull {
        /// The page.
        path: PathBuf,
    },
    /// A day cannot be sealed while somebody still writes to it, or a file is waiting to be taken by somebody else.
    #[error("{} is still in use", path.display())]
    InUse {
        /// The page.
        path: PathBuf,
    },
    /// The data directory, or a day's folder, was removed, renamed or mounted over while it was written to.
    #[error("{} is gone: it was removed, renamed or mounted over while it was being written", path.display())]
    Gone {
        /// The directory or folder.
        path: PathBuf,
    },
    /// A flush failed: nothing that was stored since the flush before it may be called durable.
    #[error("flush of {}: {source}", path.display())]
    Flush {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

/// Adds to an I/O error what was being done, and to which file: `.at("open", path)`.
pub(crate) trait At<T> {
    /// Turns the error into a [`StoreError`].
    fn at(self, what: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| {
            let source: io::Error = error.into();
            if source.kind() == io::ErrorKind::StorageFull {
                let free = super::space::free_space(path.parent().unwrap_or(path)).map_or(0, |space| space.free);
                StoreError::NoSpace { path: path.to_owned(), needed: 0, free }
            } else {
                StoreError::Io { what, path: path.to_owned(), source }
            }
        })
    }
}
