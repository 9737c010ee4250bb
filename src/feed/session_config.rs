//! [`SessionConfig`]: what one connection subscribes to, and when it is replaced.

use std::time::Duration;

use crate::product::ProductId;

/// What one connection subscribes to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The products at the start.
    pub products: Vec<ProductId>,
    /// Whether individual trades are subscribed to; otherwise tickers alone.
    pub trades: bool,
    /// Whether the list of all products is subscribed to.
    pub status: bool,
    /// A connection on which no frame comes for so long is replaced.
    pub idle_timeout: Duration,
    /// Seed of the back-off's jitter.
    pub seed: u64,
}

impl SessionConfig {
    /// Makes the configuration of a session that subscribes to trades and tickers of `products`.
    #[must_use]
    pub const fn new(products: Vec<ProductId>, idle_timeout: Duration, seed: u64) -> Self {
        Self { products, trades: true, status: false, idle_timeout, seed }
    }
}
