//! [`SocketError`]: why there is no connection.

use std::io;
use std::time::Duration;

use super::redirect::RedirectError;
use super::retry_after::retry_after;
use super::tcp_race::Unreachable;
use super::tls::{RootsError, TlsFault};
use super::tunnel::TunnelError;
use super::upgrade::UpgradeFault;
use crate::time::UnixNanos;

/// Why a connection could not be made, or ended. After each of them but [`SocketError::Roots`] another connection may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The trusted roots cannot be used: no connection will succeed.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The name has no address.
    #[error("cannot resolve {host} (of {of}): {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Host and port, or the proxy, that it is the name of.
        of: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// None of the addresses answered.
    #[error("cannot connect to {to}: {source}")]
    Connect {
        /// Host and port.
        to: String,
        /// What each address said.
        source: Unreachable,
    },
    /// The proxy made no way.
    #[error("the proxy {proxy} does not connect to {to}: {source}")]
    Proxy {
        /// The proxy, without its user and password.
        proxy: String,
        /// Host and port.
        to: String,
        /// The step, and what the proxy said.
        source: TunnelError,
    },
    /// The TLS handshake failed.
    #[error("no TLS with {to}: {why}")]
    Tls {
        /// Host and port.
        to: String,
        /// Why.
        why: TlsFault,
    },
    /// The server answered the upgrade with an HTTP status.
    #[error("{endpoint} answered {status}, not a WebSocket")]
    Refused {
        /// The address.
        endpoint: String,
        /// The status.
        status: u16,
        /// The value of `Retry-After`, where the server asks to wait.
        retry_after: Option<String>,
        /// The value of `Date`.
        date: Option<String>,
    },
    /// The server redirects to a place that is not followed.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The WebSocket handshake failed.
    #[error("no WebSocket with {endpoint}: {source}")]
    Handshake {
        /// The address.
        endpoint: String,
        /// What went wrong.
        source: UpgradeFault,
    },
    /// The server sent a message or a frame that exceeds a limit.
    #[error("the server sent {what} of {size} bytes, more than the {limit} that are taken")]
    TooLong {
        /// A frame or a message.
        what: &'static str,
        /// Its size in bytes, as far as it is known.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke, or the server broke the protocol.
    #[error("{0}")]
    Lost(Box<tungstenite::Error>),
}

impl SocketError {
    /// Tells whether another connection may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Roots(_))
    }

    /// Gives how long the server asks to wait before the next connection, where it does. `now` is the wall clock.
    #[must_use]
    pub(crate) fn retry_after(&self, now: UnixNanos) -> Option<Duration> {
        match self {
            Self::Refused { retry_after: Some(value), date, .. } => retry_after(value, date.as_deref(), now),
            _ => None,
        }
    }

    /// Tells whether the server or the proxy has answered, so that another of its addresses would say the same.
    pub(super) const fn is_answer(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Redirect(_) | Self::Roots(_) => true,
            Self::Proxy { source, .. } => !matches!(source, TunnelError::Io { .. }),
            _ => false,
        }
    }

    /// Tells whether a proxy did not reach the address it was asked for.
    pub(super) const fn is_of_destination(&self) -> bool {
        matches!(self, Self::Proxy { source, .. } if source.is_of_address())
    }
}
