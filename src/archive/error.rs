//! [`ArchiveError`]: why days could not be archived or restored.

use std::io;
use std::path::{Path, PathBuf};

use crate::export::ExportError;
use crate::product::ProductId;
use crate::store::StoreError;
use crate::tape::TapeError;
use crate::verify::VerifyError;

/// Why days could not be archived or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// No such day is archived.
    #[error("no such day is archived: {} {said}", path.display())]
    NothingArchived {
        /// The data directory.
        path: PathBuf,
        /// What it has archived instead.
        said: String,
    },
    /// A product was named that the directory does not know.
    #[error("no {product} in {}", path.display())]
    NoProduct {
        /// The data directory.
        path: PathBuf,
        /// The product.
        product: ProductId,
    },
    /// The archive gives something else back than what is stored.
    #[error("{what}: {why}")]
    Differs {
        /// Which file of which day.
        what: String,
        /// What differs.
        why: String,
    },
    /// A day is not as it was when it was verified.
    #[error("{what} {why}; it stays, and the next run looks again")]
    Changed {
        /// Which day.
        what: String,
        /// What has changed.
        why: String,
    },
    /// A day cannot be archived.
    #[error("{what} {why}")]
    Unfit {
        /// Which day.
        what: String,
        /// Why not.
        why: String,
    },
    /// The archive is not what it was.
    #[error("{why}; the day is not restored: --archive DIR names another copy of the archive")]
    DamagedArchive {
        /// What is wrong with it.
        why: String,
    },
    /// The folder holds nothing of what was archived there: its disk is not mounted, as a rule.
    #[error("{} holds none of the {days} days that were archived there: mount its disk, or name another folder", path.display())]
    ArchiveGone {
        /// The folder.
        path: PathBuf,
        /// How many dataset-days were archived there.
        days: usize,
    },
    /// A Parquet file cannot be read.
    #[error("{}: {why}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        why: String,
    },
    /// A capture holds the directory and does not answer.
    #[error("{0}")]
    Unanswered(String),
    /// A file of the archive cannot be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "write".
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory is none.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A day cannot be read, or its files cannot be removed or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The days cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl ArchiveError {
    /// Says that the program was built without Parquet.
    #[cfg(not(feature = "export"))]
    pub(super) fn not_built(dir: &Path) -> Self {
        let why = "cannot be archived or restored by this build: build with the feature `export`, which is on by default".to_owned();
        Self::Unfit { what: dir.display().to_string(), why }
    }

    /// Tells whether other days would fail for the same reason.
    #[cfg(feature = "export")]
    pub(super) fn ends_all(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Store(StoreError::NoSpace { .. }) | Self::Unanswered(_) | Self::Export(_) => true,
            _ => false,
        }
    }
}

/// Adds to an I/O error what was being done, and to which file: `.at("open", path)`.
#[cfg(feature = "export")]
pub(super) trait At<T> {
    /// Adds it.
    ///
    /// # Errors
    /// The error, with what was added.
    fn at(self, what: &'static str, path: &Path) -> Result<T, ArchiveError>;
}

#[cfg(feature = "export")]
impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, ArchiveError> {
        self.map_err(|source| ArchiveError::Io { what, path: path.to_owned(), source })
    }
}
