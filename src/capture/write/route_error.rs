//! [`RouteError`]: why a product has no route to a writer.

use std::io;

use crate::product::ProductId;

/// Labels taken that were not asked for.
pub(crate) const MAX_UNASKED: usize = 64;

/// Why a product has no route.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The registry is closed.
    #[error("the capture is ending")]
    Ending,
    /// [`MAX_UNASKED`] labels that were not asked for have been taken.
    #[error("{MAX_UNASKED} products that nobody asked for are recorded already")]
    TooManyUnasked,
    /// The machine has no thread left.
    #[error("{product}: no thread for its writer: {source}")]
    NoThread {
        /// The product.
        product: ProductId,
        /// Why.
        source: io::Error,
    },
}
