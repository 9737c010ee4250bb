//! [`Refused`]: why a request to the exchange's endpoints has no answer, or one that is broken off.

use std::path::Path;

use super::spelling::{quoted, text};
use crate::serve::folder::why_unreadable;
use crate::serve::http::response::{JSON, Response, StreamFailed};
use crate::serve::server::Server;
use crate::tape::TapeError;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Refused {
    Tape(TapeError),
    Client { status: u16, message: String, hint: String },
}

impl From<TapeError> for Refused {
    fn from(error: TapeError) -> Self {
        Self::Tape(error)
    }
}

impl Refused {
    pub(super) fn of(status: u16, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Client { status, message: message.into(), hint: hint.into() }
    }

    /// Makes the answer: the exchange's `message`, and `error` and `hint` as everywhere else.
    pub(super) fn into_response(self, dir: &Path) -> Response {
        let (status, message, error, hint) = match self {
            Self::Client { status, message, hint } => (status, message.clone(), message, hint),
            Self::Tape(error) => {
                log::warn!("serve: {error}");
                (500, "Internal server error".to_owned(), why_unreadable(dir, &error), "coltape verify says more".to_owned())
            }
        };
        let mut out = Vec::new();
        for (before, value) in [("{\"message\":", &message), (",\"error\":", &error), (",\"hint\":", &hint)] {
            text(&mut out, before);
            quoted(&mut out, value);
        }
        text(&mut out, "}");
        Response::bytes(JSON, out).with_status(status)
    }
}

/// Says why an answer is broken off that has begun.
pub(super) fn broken_off(server: &Server, refused: Refused) -> StreamFailed {
    let why = match &refused {
        Refused::Tape(error) => error.to_string(),
        Refused::Client { message, .. } => message.clone(),
    };
    StreamFailed::source(why, refused.into_response(server.dir()))
}
