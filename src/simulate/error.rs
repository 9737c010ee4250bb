//! Why a simulator fails.

use std::io;
use std::path::Path;

/// Why a simulator did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[error("simulator: {what}: {source}")]
#[non_exhaustive]
pub struct SimulateError {
    what: String,
    source: io::Error,
}

/// Makes an I/O error one of the simulator; `what` names the part that failed.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> SimulateError {
    let what = what.into();
    |source| SimulateError { what, source }
}

/// Adds the file's path to an I/O error.
pub(super) fn with_path(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
