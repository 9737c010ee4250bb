//! [`QueryConfig`]: which records to print, and how.

use std::path::PathBuf;

use crate::product::ProductId;
use crate::record::OrderId;
use crate::schema::Dataset;
use crate::time::UnixNanos;

pub use crate::rows::Format;

/// Which records to print, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QueryConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// The products. The records of several are printed in order of time, and each begins with its product.
    pub products: Vec<ProductId>,
    /// The dataset.
    pub dataset: Dataset,
    /// The first event time.
    pub from: Option<UnixNanos>,
    /// The event time to stop before.
    pub to: Option<UnixNanos>,
    /// The columns, in this order. Where there are none, those of the dataset. `event_time` is the event time as people read it, and `product` the product.
    pub columns: Vec<String>,
    /// Print at most this number of records.
    pub limit: Option<u64>,
    /// Print only this number of records, the last ones.
    pub tail: Option<u64>,
    /// Whether to go on with what is captured from now on.
    pub follow: bool,
    /// Only trades in which this order was the maker's or the taker's.
    pub order: Option<OrderId>,
    /// How to print.
    pub format: Format,
    /// Whether to print stored values as they are.
    pub raw: bool,
    /// The width of the terminal in characters, where there is one.
    pub width: Option<usize>,
}

impl QueryConfig {
    /// The dataset that is printed where none is named.
    pub(crate) const DEFAULT_DATASET: Dataset = Dataset::Trades;

    /// Prints all of a product's trades, as a table.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, product: ProductId) -> Self {
        Self {
            dir: dir.into(),
            products: vec![product],
            dataset: Self::DEFAULT_DATASET,
            from: None,
            to: None,
            columns: Vec::new(),
            limit: None,
            tail: None,
            follow: false,
            order: None,
            format: Format::default(),
            raw: false,
            width: None,
        }
    }
}
