//! [`StoreError`]: what can go wrong with the files, and where.
//!
//! 1. Every variant names the path it is about; an I/O error also names what was being done.
//! 2. The variant says what can be done. Nobody parses a message.
//!    Try again later: `NoSpace`, `InUse`, `Archiving`. Leave this dataset-day alone and go on with the others: `Damaged`, `DayFull`, `NotArchived`, `Io`. Stop: the others.
//! 3. `ENOSPC` is always [`StoreError::NoSpace`], never a signal and never a plain I/O error.
//! 4. What a limit of the system refuses is [`StoreError::Limit`], which says how the limit is raised.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

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
    /// A limit of the process, the user or the file system refused something.
    #[error("{what} {}: {source}: {remedy}", path.display())]
    Limit {
        /// What was being done, as in "open".
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// Which limit that is, and how to raise it.
        remedy: &'static str,
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
    #[error("{} is full: a day holds at most {records} records in this process", path.display())]
    DayFull {
        /// The page.
        path: PathBuf,
        /// The most records. A limit of address space lowers it.
        records: u64,
    },
    /// A day cannot be sealed while somebody still writes to it, or a file is waiting to be taken by somebody else.
    #[error("{} is still in use", path.display())]
    InUse {
        /// The page.
        path: PathBuf,
    },
    /// Another process archives days of this directory, or restores some.
    #[error("another `coltape archive` or `coltape restore`{} is at work in {}: run the command again when it has ended", process(.pid.as_deref()), path.display())]
    Archiving {
        /// The data directory.
        path: PathBuf,
        /// The other process' id, where the system tells.
        pid: Option<String>,
    },
    /// A file of an archived day is here, and is another than the one that was archived.
    #[error("{} is not the file that was archived", path.display())]
    NotArchived {
        /// The file.
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

/// Names a process within a sentence, where it is known.
fn process(pid: Option<&str>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
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
            let (source, path): (io::Error, _) = (error.into(), path.to_owned());
            if source.kind() == io::ErrorKind::StorageFull {
                let free = super::space::free_space(path.parent().unwrap_or(&path)).map_or(0, |space| space.free);
                return StoreError::NoSpace { path, needed: 0, free };
            }
            match remedy(what, &source) {
                Some(remedy) => StoreError::Limit { what, path, source, remedy },
                None => StoreError::Io { what, path, source },
            }
        })
    }
}

/// What an allocation of blocks is called in an error.
pub(crate) const ALLOCATE: &str = "allocate";
/// What a mapping of a file is called in an error.
pub(crate) const MAP: &str = "map";

/// Says which limit has refused something, and how it is raised; nothing where it was no limit.
fn remedy(what: &str, source: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(source)? {
        Errno::FBIG => Some("the largest file that this process may write: `ulimit -f unlimited`, or LimitFSIZE=infinity of systemd"),
        Errno::MFILE => Some("the files that this process may open: `ulimit -n`, or LimitNOFILE= of systemd"),
        Errno::NFILE => Some("the files that all processes may open: fs.file-max (sysctl)"),
        Errno::DQUOT => Some("the disk quota of this user: ask for more, or free some of it"),
        Errno::NOMEM if what == MAP => {
            Some("address space or memory maps: `ulimit -v unlimited` (LimitAS=infinity of systemd), or vm.max_map_count (sysctl)")
        }
        Errno::OPNOTSUPP if what == ALLOCATE => Some("this file system cannot set space aside (fallocate): record to another disk"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_refuses_says_which_and_how_it_is_raised() {
        let refused = |what, errno: Errno| Err::<(), _>(errno).at(what, Path::new("/data/x")).expect_err("an error").to_string();
        for (what, errno, word) in [
            ("lengthen", Errno::FBIG, "ulimit -f"),
            ("open", Errno::MFILE, "ulimit -n"),
            ("open", Errno::NFILE, "fs.file-max"),
            ("write", Errno::DQUOT, "quota"),
            (MAP, Errno::NOMEM, "ulimit -v"),
            (ALLOCATE, Errno::OPNOTSUPP, "fallocate"),
        ] {
            let said = refused(what, errno);
            assert!(said.starts_with(&format!("{what} /data/x: ")) && said.contains(word) && said.contains("os error"), "{said}");
        }
        assert_eq!(refused("open", Errno::ACCESS), "open /data/x: Permission denied (os error 13)");
        assert!(!refused("open", Errno::NOMEM).contains("ulimit"));
    }
}
