//! What `verify` is asked for, and why it could not do it.

use std::path::PathBuf;

use super::ledger::LedgerError;
use crate::product::ProductId;
use crate::progress::Observer;
use crate::store::{OWN_FOLDER, StoreError};
use crate::time::{UnixNanos, UtcDay};

/// What to verify.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only this day. Coverage looks at its neighbours nevertheless.
    pub date: Option<UtcDay>,
    /// A simulator's ledger to check every field against.
    pub ledger: Option<PathBuf>,
    /// The time of now, by the wall clock: nothing can have happened later.
    pub now: UnixNanos,
    /// Is told how far it is, in records.
    pub observer: Observer,
    /// Whether the files of archived days are compared with their checksums.
    pub(crate) checks_archives: bool,
}

impl VerifyConfig {
    /// Verifies a whole data directory, without a ledger.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, now: UnixNanos) -> Self {
        Self { dir: dir.into(), product: None, date: None, ledger: None, now, observer: Observer::default(), checks_archives: true }
    }

    /// Tells whether the day asked for, if one is, lies between two days, both included.
    #[must_use]
    pub(super) fn covers(&self, from: UtcDay, to: UtcDay) -> bool {
        self.date.is_none_or(|only| from <= only && only <= to)
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The data directory cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory is none that coltape has written to.
    #[error("{} is not a coltape data directory: it holds no {} folder and no product's folder; give the one that a capture writes to", path.display(), OWN_FOLDER)]
    NotATape {
        /// The directory.
        path: PathBuf,
    },
    /// The ledger cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Ledger {
        /// The ledger.
        path: PathBuf,
        /// What is wrong with it.
        source: LedgerError,
    },
}
