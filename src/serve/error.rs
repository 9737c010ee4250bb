//! [`ServeError`]: why a server does not start.

use std::io;
use std::net::SocketAddr;

use crate::tape::TapeError;

/// A server does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The directory is no tape.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// Anyone on the network could read the tape.
    #[error("{address} can be reached from other machines: give a file with a token (--token-file FILE), or listen on 127.0.0.1 or [::1]")]
    NoToken {
        /// The address.
        address: SocketAddr,
    },
    /// A name or an origin is none.
    #[error("{text:?} is no {what}")]
    Name {
        /// What it should be, with an example.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// The token cannot be sent in a header.
    #[error("the token is no token: give 8 to 1024 letters, digits or signs of ASCII, without a space")]
    Token,
    /// It cannot be listened there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A thread or a descriptor is missing.
    #[error("the server cannot be started: {0}")]
    Start(#[source] io::Error),
    /// Its own thread died.
    #[error("the server has ended by itself: the log says why")]
    Ended,
}
