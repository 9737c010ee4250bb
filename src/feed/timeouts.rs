//! [`Timeouts`]: how long a socket waits, and how.

use std::time::Duration;

/// How long a socket waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For the TCP, TLS and WebSocket handshakes together. Resolving the name is the system's task and has its own time-out.
    pub connect: Duration,
    /// For a read to find a message.
    pub tick: Duration,
    /// For a write to be accepted.
    pub write: Duration,
    /// Whether a read polls without sleeping until a message comes.
    pub spins: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), tick: Duration::from_millis(100), write: Duration::from_secs(5), spins: false }
    }
}
