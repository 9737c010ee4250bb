//! [`QueryError`]: why records could not be printed.

use std::io;
use std::path::PathBuf;

use crate::names::did_you_mean;
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
    #[error("no {} of {product} in {}, {}", dataset.folder(), dir.display(), held(product, datasets, known))]
    NothingStored {
        /// The data directory.
        dir: PathBuf,
        /// The product asked for.
        product: ProductId,
        /// The dataset asked for.
        dataset: Dataset,
        /// The products that the directory holds.
        known: Vec<ProductId>,
        /// The datasets that it holds of the product.
        datasets: Vec<Dataset>,
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

/// Says what a directory holds instead of what was asked for.
fn held(product: &ProductId, datasets: &[Dataset], known: &[ProductId]) -> String {
    if !datasets.is_empty() {
        let folders: Vec<&str> = datasets.iter().map(|dataset| dataset.folder()).collect();
        let options: Vec<String> = datasets.iter().map(|dataset| format!("--dataset {}", dataset.name())).collect();
        return format!("which holds {} of it: ask with {}", folders.join(" and "), options.join(" or "));
    }
    let names: Vec<&str> = known.iter().map(ProductId::as_str).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    match did_you_mean(product.as_str(), known.iter()) {
        Some(question) => format!("which holds {names}; {question}"),
        None => format!("which holds {names}"),
    }
}
