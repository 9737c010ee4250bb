//! [`StreamError`]: why a stream ended early.

use std::io;

use crate::export::ExportError;
use crate::store::DayKey;

/// Why a stream ended before it was whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// A day cannot be read, or its bytes are not what was written.
    #[error(transparent)]
    Day(#[from] ExportError),
    /// A day was replaced or removed since the head of the answer spoke of it.
    #[error("{what} was replaced or removed while it was sent")]
    Replaced {
        /// Which.
        what: String,
    },
    /// A large day was sent, and a look at all of it shows another completeness than the head of the answer.
    #[error("what is known of the completeness of {what} is not what the head of the answer says")]
    Misjudged {
        /// Of what.
        what: String,
    },
    /// The encoder of the format failed.
    #[error("encoding: {0}")]
    Encoding(String),
    /// The output takes no more.
    #[error("output: {0}")]
    Output(#[from] io::Error),
    /// The server stops.
    #[error("stopping")]
    Stopped,
}

impl StreamError {
    /// A day is not any more what it was.
    pub(super) fn replaced(key: &DayKey) -> Self {
        Self::Replaced { what: format!("{} {} {}", key.product, key.dataset.folder(), key.date) }
    }
}
