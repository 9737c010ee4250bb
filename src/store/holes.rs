//! The missing ids as a list of pairs: what `repair` reads, until it takes them from [`gaps`](super::gaps) itself.

use std::path::Path;

use super::error::StoreError;
use super::gaps::{self, StoredIds};
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::time::UtcDay;

/// Ids missing between two stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// First id missing.
    pub from: u64,
    /// Last id missing.
    pub to: u64,
}

impl Hole {
    /// Gives how many ids are missing.
    #[must_use]
    pub const fn missing(self) -> u64 {
        self.to - self.from + 1
    }
}

impl From<IdRange> for Hole {
    fn from(ids: IdRange) -> Self {
        Self { from: ids.first(), to: ids.last() }
    }
}

/// What is stored of a product's chain of trade ids.
#[derive(Debug, Default)]
pub struct Holes {
    /// The ids missing between `first` and `last`: disjoint, in rising order.
    pub gaps: Vec<Hole>,
    /// The lowest id stored.
    pub first: Option<u64>,
    /// The highest id stored.
    pub last: Option<u64>,
    /// Days that could not be read, and why: what they hold counts as missing.
    pub unreadable: Vec<(UtcDay, StoreError)>,
}

impl Holes {
    /// Gives how many ids are missing; where gaps were joined, at most so many.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.missing()).sum()
    }
}

/// As [`gaps::gaps`].
///
/// # Errors
/// As [`gaps::gaps`].
pub fn holes(dir: &Path, product: &ProductId, days: Option<usize>) -> Result<Holes, StoreError> {
    holes_at_most(dir, product, days, gaps::MAX_GAPS)
}

/// As [`gaps::gaps_at_most`].
///
/// # Errors
/// As [`gaps::gaps`].
pub fn holes_at_most(dir: &Path, product: &ProductId, days: Option<usize>, most: usize) -> Result<Holes, StoreError> {
    let StoredIds { missing, first, last, unreadable } = gaps::gaps_at_most(dir, product, days, most)?;
    Ok(Holes { gaps: missing.into_iter().map(Hole::from).collect(), first, last, unreadable })
}
