//! [`MarketError`]: why a question about a market has no answer.

use std::io;

use crate::product::ProductId;
use crate::tape::TapeError;
use crate::time::UtcDay;

/// Why a question about a market has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarketError {
    /// The tape has no such product, nothing of that time, or cannot be read.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The days of the range hold no trade of it.
    #[error("no trade of {product} in that time; what is stored: coltape query {product} --tail 1")]
    NoTrades {
        /// The product.
        product: ProductId,
    },
    /// A day holds a trade of another day, so it is damaged.
    #[error("{product} TRADES {date} holds a trade of another day, near id {id}: a column is damaged; coltape verify says more")]
    Misplaced {
        /// The product.
        product: ProductId,
        /// The day.
        date: UtcDay,
        /// The trade's id.
        id: u64,
    },
    /// The output cannot be written to.
    #[error("output: {0}")]
    Output(io::Error),
}
