//! [`TapeError`]: why a tape cannot be read, and what to do.

use std::path::PathBuf;

use crate::names::{did_you_mean, listed};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::StoreError;
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Why a tape cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapeError {
    /// The directory is none, or no capture has written to it.
    #[error("{} {why}", path.display())]
    NoTape {
        /// The directory.
        path: PathBuf,
        /// What it is instead, and what to do.
        why: String,
    },
    /// The tape has no such product, or not that dataset of it.
    #[error("no {} of {product} in {}, {}", dataset.folder(), path.display(), held(product, datasets, known))]
    NothingStored {
        /// The data directory.
        path: PathBuf,
        /// The product asked for.
        product: ProductId,
        /// The dataset asked for.
        dataset: Dataset,
        /// The products that there are.
        known: Vec<ProductId>,
        /// The datasets that there are of the product.
        datasets: Vec<Dataset>,
    },
    /// The tape has no such product.
    #[error("no {product} in {}, {}", path.display(), held(product, &[], known))]
    NoProduct {
        /// The data directory.
        path: PathBuf,
        /// The product asked for.
        product: ProductId,
        /// The products that there are.
        known: Vec<ProductId>,
    },
    /// The tape has the product and the dataset, and nothing of that time.
    #[error("no {} of {product} in that time; there are days from {first} to {last}", dataset.folder())]
    NothingThen {
        /// The product.
        product: ProductId,
        /// The dataset.
        dataset: Dataset,
        /// The first day that there is.
        first: UtcDay,
        /// The last day that there is.
        last: UtcDay,
    },
    /// Days of that time are archived: an answer would be without them.
    #[error("{}", archived_text(.0))]
    Archived(Box<ArchivedSpan>),
    /// The tape has days of that time, and none of them has a record.
    #[error("no {} of {product}: its days of that time are empty; `coltape verify` says which days have records", dataset.folder())]
    EmptyDays {
        /// The product.
        product: ProductId,
        /// The dataset.
        dataset: Dataset,
    },
    /// A range of time ends before it begins.
    #[error("the time to stop before, {}, must lie after the first one, {}", shown(range.to), shown(range.from))]
    EmptyRange {
        /// The range asked for.
        range: TimeRange,
    },
    /// A day cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Days of a product's dataset that are archived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchivedSpan {
    /// The data directory.
    pub path: PathBuf,
    /// The product.
    pub product: ProductId,
    /// The dataset.
    pub dataset: Dataset,
    /// How many of the days asked for are archived.
    pub days: u64,
    /// The first of them.
    pub first: UtcDay,
    /// The last of them.
    pub last: UtcDay,
    /// The folder of the archive that the last of them is in.
    pub archive: PathBuf,
    /// The first day behind them that is here.
    pub next: Option<UtcDay>,
}

/// Says that days are archived, and what to do.
fn archived_text(span: &ArchivedSpan) -> String {
    let ArchivedSpan { path, product, dataset, days, first, last, archive, next } = span;
    let which = if first == last { first.to_string() } else { format!("{first} to {last} ({days} days)") };
    let instead = next.map(|next| format!("; --from {next} asks for what is here")).unwrap_or_default();
    format!(
        "{} of {product}, {which}: archived in {}; `coltape restore {product} --from {first} --to {} --data-dir {}` brings them back{instead}",
        dataset.folder(),
        archive.display(),
        last.next(),
        path.display()
    )
}

fn shown(time: Option<UnixNanos>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

/// Says what a directory holds instead of what was asked for.
fn held(product: &ProductId, datasets: &[Dataset], known: &[ProductId]) -> String {
    if !datasets.is_empty() {
        let folders: Vec<&str> = datasets.iter().map(|dataset| dataset.folder()).collect();
        let options: Vec<String> = datasets.iter().map(|dataset| format!("--dataset {}", dataset.name())).collect();
        return format!("which holds {} of it: ask with {}", folders.join(" and "), options.join(" or "));
    }
    let names: Vec<&str> = known.iter().map(ProductId::as_str).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { listed(&names) };
    match did_you_mean(product.as_str(), known.iter()) {
        Some(question) => format!("which holds {names}; {question}"),
        None => format!("which holds {names}"),
    }
}
