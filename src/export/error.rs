//! Why an export, or one of its files, could not be made.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::tape::TapeError;
use crate::verify::VerifyError;

/// Why something was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No stored day is to be exported.
    #[error("there is nothing to export: {why}")]
    Nothing {
        /// Why.
        why: String,
    },
    /// The folder holds something that no export has written.
    #[error("{} holds files that no export has written, as {}; name an empty or a new folder", path.display(), found.display())]
    OtherContents {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        found: PathBuf,
    },
    /// What is there is no folder.
    #[error("{} is no folder; name an empty or a new one", path.display())]
    NoFolder {
        /// What is there.
        path: PathBuf,
    },
    /// The folder holds an export in another format.
    #[error("{} holds an export in the format {holds:?}; name another folder for {asked}", path.display())]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// The format there.
        holds: String,
        /// The format asked for.
        asked: &'static str,
    },
    /// The folder is, or lies in, the data directory.
    #[error("{} lies in the data directory; name a folder outside of it", path.display())]
    InsideTheTape {
        /// The folder.
        path: PathBuf,
    },
    /// Another export writes to the folder.
    #[error("another export or archive is writing to {}; wait until it has ended", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("{}: {why}; export to a new folder", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A day has faults, and what is exported of it could not be trusted.
    #[error("{what}; `coltape verify` says more, `coltape repair` may help")]
    DamagedDay {
        /// What is wrong.
        what: String,
    },
    /// A day is archived, and its records are not here.
    #[error("it is archived in {}, and not here; `coltape restore` brings it back", archive.display())]
    Archived {
        /// The folder of the archive.
        archive: PathBuf,
    },
    /// A file of the data set is what an archived day is kept in.
    #[error("{} may be all that is left of an archived day of the directory then at {}, and is not replaced; `coltape restore` that day there first, or name another folder", path.display(), dir.display())]
    KeptByArchive {
        /// The file.
        path: PathBuf,
        /// The data directory that the day is of.
        dir: PathBuf,
    },
    /// A stored value does not fit the type of its exported column.
    #[error("{column} {value} does not fit the exported type")]
    Unfit {
        /// The column.
        column: &'static str,
        /// The stored value.
        value: u64,
    },
    /// The disk of the output folder is full.
    #[error("no space left for {}; what was exported before is untouched", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// A file of the output folder cannot be written, read or renamed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "write".
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A format's own writer failed.
    #[error("{}: {why}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        why: String,
    },
    /// The format has no place for a dataset.
    #[error("the format {format} has no place for {dataset}: it takes trades and md (--dataset)")]
    NoSuchDataset {
        /// The format.
        format: &'static str,
        /// The dataset.
        dataset: &'static str,
    },
    /// The program was built without this format.
    #[error("this build has no {format} export: build with the feature `export`, which is on by default")]
    NotBuilt {
        /// The format.
        format: &'static str,
    },
    /// The data directory is none, or does not hold what is asked for.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A day cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// A file or a day that could not be exported.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExportFailure {
    /// Which.
    pub what: String,
    /// Why.
    pub error: ExportError,
}

impl ExportError {
    /// Makes an error of a failed system call. A full disk is named as such.
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Io { what, path: path.to_owned(), source },
        }
    }

    /// Tells whether other files would fail for the same reason.
    pub(super) fn ends_all(&self) -> bool {
        matches!(self, Self::NoSpace { .. } | Self::Io { .. } | Self::NotBuilt { .. } | Self::Manifest { .. })
    }
}

/// Adds to an I/O error what was being done, and to which file: `.at("open", path)`.
pub(super) trait At<T> {
    /// Adds it.
    ///
    /// # Errors
    /// The error, with what was added.
    fn at(self, what: &'static str, path: &Path) -> Result<T, ExportError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, ExportError> {
        self.map_err(|source| ExportError::io(what, path, source))
    }
}
