//! [`GapEvent`]: what a writer learns about the missing ids of its product, for the journal.

use crate::ids::IdRange;
use crate::record::Means;

/// How it was found that ids are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapCause {
    /// A trade with a higher id came.
    Jump,
    /// A heartbeat named a newer trade than came.
    Heartbeat,
    /// A ticker named a newer trade than came.
    Ticker,
    /// They passed while nothing was recorded.
    Restart,
    /// They were given up because the queue was full.
    Shed,
    /// They were asked for.
    Asked,
}

impl GapCause {
    /// Gives the name that the journal uses.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Jump => "jump",
            Self::Heartbeat => "heartbeat",
            Self::Ticker => "ticker",
            Self::Restart => "restart",
            Self::Shed => "shed",
            Self::Asked => "asked",
        }
    }
}

/// What the journal is to say about missing ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapEvent {
    /// Ids are missing.
    Opened {
        /// Which.
        ids: IdRange,
        /// How that was found.
        cause: GapCause,
    },
    /// A trade was written although these ids before it are missing.
    Left {
        /// Which.
        ids: IdRange,
    },
    /// Missing ids came.
    Filled {
        /// Which.
        ids: IdRange,
        /// What brought them.
        means: Means,
    },
}
