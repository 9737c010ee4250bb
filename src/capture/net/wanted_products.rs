//! [`WantedProducts`]: which products a connection is to subscribe to. It is replaced, never waited for.
//!
//! However often the list of products is read while a connection is stuck in its handshake, only the last reading counts.
//!
//! The version is raised behind the set's lock; whoever reads it looks into the set only where it has changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::product::ProductId;

/// The products of one connection.
#[derive(Debug, Default)]
pub(crate) struct WantedProducts {
    products: Mutex<BTreeSet<ProductId>>,
    version: AtomicU64,
}

impl WantedProducts {
    /// Replaces the set.
    pub(crate) fn replace(&self, products: BTreeSet<ProductId>) {
        *self.products.lock() = products;
        // Release: whoever sees the version finds this set or a later one. Partner: the acquire load in `newer_than`.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Gives the set where it has been replaced since `version`, with its version. No lock where it has not.
    pub(crate) fn newer_than(&self, version: u64) -> Option<(u64, BTreeSet<ProductId>)> {
        let now = self.version.load(Ordering::Acquire);
        (now != version).then(|| (now, self.products.lock().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<ProductId> {
        names.iter().map(|name| ProductId::new(name).expect("a product")).collect()
    }

    #[test]
    fn only_the_last_of_many_sets_counts_and_nobody_waits_for_its_reader() {
        let wanted = WantedProducts::default();
        assert_eq!(wanted.newer_than(0), None);
        for number in 0..100_000 {
            wanted.replace(set(&[if number % 2 == 0 { "A-USD" } else { "B-USD" }]));
        }
        let (version, products) = wanted.newer_than(0).expect("replaced");
        assert_eq!(products, set(&["B-USD"]));
        assert_eq!(wanted.newer_than(version), None);
    }
}
