//! [`Refusal`]: why a request for data gets an error instead, and which.
//!
//! No message names the folder of the server: paths in it are shown from the data directory on.

use std::fmt::Display;
use std::path::Path;

use crate::escape::Escaped;
use crate::export::ExportError;
use crate::export::stream::StreamError;
use crate::market::MarketError;
use crate::names::{did_you_mean, listed};
use crate::product::ProductId;
use crate::serve::folder::{why_unreadable, without_folder};
use crate::serve::http::response::{Response, StreamFailed};
use crate::serve::server::Server;
use crate::store::StoreError;
use crate::tape::TapeError;

/// What to do where a day cannot be read.
const DAMAGED: &str = "coltape verify says more, coltape repair may help; other days are answered as before";

/// An error that a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    error: String,
    hint: String,
}

impl Refusal {
    /// Makes an error.
    pub(super) fn new(status: u16, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into() }
    }

    /// Refuses a parameter. The hint says which values are allowed.
    pub(super) fn parameter(name: &str, value: &str, hint: impl Into<String>) -> Self {
        Self::new(400, format!("{name}={} is not allowed", Escaped(value)), hint)
    }

    /// Refuses a product that the tape does not have.
    pub(super) fn product(name: &str, known: &[ProductId]) -> Self {
        let names: Vec<&str> = known.iter().map(ProductId::as_str).collect();
        let names = if names.is_empty() { "there is no product yet".to_owned() } else { format!("there are {}", listed(&names)) };
        let hint = match did_you_mean(name, known.iter()) {
            Some(question) => format!("{question} {names}"),
            None => names,
        };
        Self::new(404, format!("there is no product {}", Escaped(name)), hint)
    }

    /// Says that something cannot be read.
    pub(super) fn unreadable(dir: &Path, error: impl Display) -> Self {
        Self::new(500, why_unreadable(dir, error), DAMAGED)
    }

    /// Says the same to do about something else.
    pub(super) fn reworded(self, status: u16, error: &str) -> Self {
        Self { status, error: error.to_owned(), ..self }
    }

    /// Makes the answer.
    pub(super) fn response(self) -> Response {
        Response::error(self.status, self.error, self.hint)
    }
}

/// Says why the tape does not give what is asked for.
pub(super) fn of_tape(server: &Server, error: &TapeError) -> Refusal {
    match error {
        TapeError::NoProduct { product, known, .. } => Refusal::product(product.as_str(), known),
        TapeError::EmptyRange { .. } => Refusal::new(400, "from and to: the range of time is empty", "to must lie after from"),
        TapeError::Archived(span) => {
            let (first, last) = (span.first, span.last);
            let error = format!("{} of {} are archived from {first} to {last}, and not here", span.dataset.folder(), span.product);
            let next = span.next.map(|next| format!("from={next} asks for what is here; ")).unwrap_or_default();
            Refusal::new(404, error, format!("{next}coltape restore brings them back, where the tape is"))
        }
        error => Refusal::unreadable(server.dir(), error),
    }
}

/// Says why a day cannot be sent.
pub(super) fn of_day(server: &Server, error: &ExportError) -> Refusal {
    match error {
        ExportError::DamagedDay { what } => Refusal::unreadable(server.dir(), what),
        ExportError::Store(error) => of_store(server, error),
        ExportError::Tape(error) => of_tape(server, error),
        error => Refusal::unreadable(server.dir(), error),
    }
}

fn of_store(server: &Server, error: &StoreError) -> Refusal {
    match error {
        StoreError::InUse { .. } => {
            Refusal::new(503, without_folder(server.dir(), &error.to_string()), "its files are being changed just now: ask again")
        }
        error => Refusal::unreadable(server.dir(), error),
    }
}

/// Says why a question about a market has no answer.
pub(super) fn of_market(server: &Server, error: &MarketError) -> Refusal {
    match error {
        MarketError::Tape(error) => of_tape(server, error),
        error => Refusal::unreadable(server.dir(), error),
    }
}

/// Says why an answer cannot be made.
pub(super) fn of_unmade(server: &Server, error: &StreamError) -> Refusal {
    match error {
        StreamError::Day(error) => of_day(server, error),
        StreamError::Replaced { .. } | StreamError::Misjudged { .. } => Refusal::new(503, error.to_string(), "ask again"),
        StreamError::Stopped => Refusal::new(503, "the server is stopping", "ask again when it is back"),
        StreamError::Encoding(_) => {
            Refusal::new(500, without_folder(server.dir(), &error.to_string()), "another format may do: see format=")
        }
        StreamError::Output(_) => Refusal::unreadable(server.dir(), error),
    }
}

/// Says how a stream ended that is not whole.
pub(super) fn of_stream(server: &Server, error: StreamError) -> StreamFailed {
    match error {
        StreamError::Output(error) => StreamFailed::Client(error),
        error => StreamFailed::source(&error, of_unmade(server, &error).response()),
    }
}
