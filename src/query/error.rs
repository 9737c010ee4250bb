//! [`QueryError`]: why records could not be printed.

use std::io;

use crate::schema::Dataset;
use crate::store::StoreError;
use crate::tape::TapeError;

/// Why records could not be printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The question makes no sense.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The directory has no such records.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A day cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written to.
    #[error("output: {0}")]
    Output(io::Error),
}

/// Why a question makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// Only trades have order ids.
    #[error("{} has no order ids; ask for trades", .0.name())]
    NoOrderIds(Dataset),
    /// The id of all zeros stands for an order that the feed did not name.
    #[error("the order id of all zeros says that the feed sent none; no order has it")]
    NoOrder,
    /// No column has that name.
    #[error("there is no column {}; there are {}", if name.trim().is_empty() { "without a name" } else { name }, known.join(", "))]
    UnknownColumn {
        /// The name asked for.
        name: String,
        /// The columns that are stored, and those that every dataset has.
        known: Vec<&'static str>,
    },
    /// The column exists, but the folder does not have it.
    #[error("{name} is not stored: the folder holds core columns alone")]
    ColumnNotStored {
        /// The name asked for.
        name: String,
    },
    /// The column exists, but the folder was begun by a version that did not have it.
    #[error("{name} is not stored: the folder was begun before there was that column")]
    ColumnAddedLater {
        /// The name asked for.
        name: String,
    },
}
