//! [`Limits`]: what a client may cost.

use std::time::Duration;

/// Longest request head, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header fields of a request.
pub(crate) const MAX_HEADERS: usize = 100;
/// Most connections that wait: their head is not whole, or they are idle, or they are being closed.
pub(crate) const MAX_WAITING: usize = 1024;
/// Fewest connections that may wait, however few descriptors there are.
pub(crate) const MIN_WAITING: usize = 16;
/// How long a connection may be idle between two requests.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the rest of what a client sends is read and dropped after its last answer, so that the answer reaches it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long answers in flight may take when the server stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a thread may take after that to notice that its answer is not to go on.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);

/// What a client may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most clients that are answered at once.
    pub max_clients: usize,
    /// Longest time in which a client takes nothing of what is written to it.
    pub send_timeout: Duration,
    /// Time to send the head of a request.
    pub head_timeout: Duration,
}
