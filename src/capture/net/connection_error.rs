//! Why a connection could not be started, or cannot go on.

use std::io;

use crate::capture::write::route_error::RouteError;
use crate::feed::socket_error::SocketError;

/// Why a connection could not be started, or ended. The capture stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// A product's writer.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The machine has no thread left.
    #[error("{name}: no thread: {source}")]
    NoThread {
        /// The thread.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The endpoint cannot be connected to, and never will.
    #[error("{name}: {source}")]
    Connect {
        /// The connection.
        name: String,
        /// Why.
        source: SocketError,
    },
}
