//! [`FetchRequest`]: one request for past trades, as a plan gives it out.

use crate::feed::rest::MAX_PAGE_TRADES;
use crate::ids::IdRange;
use crate::product::ProductId;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchRequest {
    /// Whose trades.
    pub(crate) product: ProductId,
    /// Which of them.
    pub(crate) target: FetchTarget,
    /// Tells the answer to it from one that comes too late.
    pub(super) number: u64,
}

/// Which trades a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchTarget {
    /// Those of these ids, at most 1000.
    Window(IdRange),
    /// The newest one up to an id.
    NewestUpTo {
        /// The id.
        id: u64,
        /// How many are asked for: more than one where the newest cannot be used.
        limit: u16,
    },
    /// The newest one of all.
    Newest {
        /// How many are asked for: more than one where the newest cannot be used.
        limit: u16,
    },
}

impl FetchRequest {
    /// Gives the id below which trades are asked for; `None` where it is the newest of all.
    #[must_use]
    pub(crate) const fn after(&self) -> Option<u64> {
        match self.target {
            FetchTarget::Window(window) => Some(window.last().saturating_add(1)),
            FetchTarget::NewestUpTo { id, .. } => Some(id.saturating_add(1)),
            FetchTarget::Newest { .. } => None,
        }
    }

    /// Gives the most trades that are asked for.
    #[must_use]
    pub(crate) fn limit(&self) -> u16 {
        match self.target {
            FetchTarget::Window(window) => u16::try_from(window.count()).unwrap_or(MAX_PAGE_TRADES).min(MAX_PAGE_TRADES),
            FetchTarget::NewestUpTo { limit, .. } | FetchTarget::Newest { limit } => limit,
        }
    }

    /// Gives the ids that it is about, where it names some.
    #[must_use]
    pub(crate) const fn ids(&self) -> Option<IdRange> {
        match self.target {
            FetchTarget::Window(window) => Some(window),
            FetchTarget::NewestUpTo { id, .. } => Some(IdRange::one(id)),
            FetchTarget::Newest { .. } => None,
        }
    }
}
