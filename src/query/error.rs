//! [`QueryError`]: why records could not be printed.

use std::io;
use std::path::PathBuf;

use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::StoreError;

/// Why records could not be printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The question makes no sense.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The directory has no such records.
    #[error("no {} of {product} in {}, which holds {}", dataset.folder(), dir.display(), names(known))]
    NothingStored {
        /// The data directory.
        dir: PathBuf,
        /// The product asked for.
        product: ProductId,
        /// The dataset asked for.
        dataset: Dataset,
        /// The products that the directory holds.
        known: Vec<ProductId>,
    },
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
    /// The range of time is empty.
    #[error("--from must lie before --to")]
    EmptyRange,
    /// No column has that name.
    #[error("there is no column {name}; there are {}", known.join(", "))]
    UnknownColumn {
        /// The name asked for.
        name: String,
        /// The columns that are stored.
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

fn names(products: &[ProductId]) -> String {
    let names: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
