//! [`RepairError`]: why a repair or a backfill could not be done.

use std::path::PathBuf;

use crate::feed::rest::RestError;
use crate::product::ProductId;
use crate::store::{StoreError, SyncError};
use crate::time::UnixNanos;

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The data directory cannot be used; [`StoreError::Locked`] where a capture holds it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed twice.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The REST endpoint cannot be used.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// REST did not give a page that everything depends on.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// REST contradicts itself about where the trades since a time begin, or shows nothing there that can be used.
    #[error("REST contradicts itself about which trade of {product} was the first since {time}, or shows none that can be used")]
    Contradiction {
        /// Whose trades.
        product: ProductId,
        /// The time.
        time: UnixNanos,
    },
    /// REST shows trades, and none of them can be used.
    #[error("REST shows the newest trades of {product} in a form that cannot be used")]
    Unusable {
        /// Whose trades.
        product: ProductId,
    },
    /// The capture that holds the directory was asked and did not answer.
    #[error("{0}")]
    Unanswered(String),
    /// Neither the directory nor another tape holds the product.
    #[error("neither {dir} nor another tape holds {product}", dir = .dir.display())]
    NoProduct {
        /// The directory.
        dir: PathBuf,
        /// The product.
        product: ProductId,
    },
    /// The product's trade ids have begun anew: REST has those of the newest series.
    #[error("the trade ids of {product} have begun anew, and REST has those of {newest} only: name {newest}")]
    SeriesOver {
        /// The series that was named.
        product: ProductId,
        /// The newest one.
        newest: ProductId,
    },
    /// The directory holds no tape, and no other one was named.
    #[error("{dir} holds no tape; --from DIR names another one to restore it from", dir = .dir.display())]
    NoTape {
        /// The directory.
        dir: PathBuf,
    },
    /// A tape to repair from cannot be used.
    #[error("{tape} {why}", tape = .tape.display())]
    Tape {
        /// Its folder.
        tape: PathBuf,
        /// Why not.
        why: String,
    },
}

/// REST was asked for a page again and again and did not give it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{last} (asked {tries} times)")]
pub struct GaveUp {
    /// How often it was asked.
    pub tries: u32,
    /// What it said last.
    pub last: RestError,
}
