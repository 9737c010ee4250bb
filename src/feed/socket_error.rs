//! [`SocketError`]: why there is no connection.

use std::io;

use super::tls::RootsError;

/// Why a connection could not be made, or ended. After each of them but [`SocketError::Roots`] another connection may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The trusted roots cannot be used: no connection will succeed.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// None of the addresses answered.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// The name.
        host: String,
        /// What the last address said.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("no TLS with {host}: {why}")]
    Tls {
        /// The name.
        host: String,
        /// What OpenSSL said.
        why: String,
    },
    /// The server answered the upgrade with an HTTP status.
    #[error("{endpoint} answered {status}")]
    Refused {
        /// The address.
        endpoint: String,
        /// The status.
        status: u16,
    },
    /// The WebSocket handshake failed.
    #[error("no WebSocket with {endpoint}: {source}")]
    Handshake {
        /// The address.
        endpoint: String,
        /// What went wrong.
        source: Box<tungstenite::Error>,
    },
    /// The connection broke, or the server broke the protocol or exceeded a limit.
    #[error("connection lost: {0}")]
    Lost(Box<tungstenite::Error>),
}

impl SocketError {
    /// Tells whether another connection may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Roots(_))
    }
}
