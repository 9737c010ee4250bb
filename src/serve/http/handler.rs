//! [`Handler`]: what answers requests.

use super::request::Request;
use super::response::Response;

/// What happens to a request while as many clients are being answered as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// It waits for a moment, and is refused then.
    Usual,
    /// It asks for health: it has a thread of the few that are kept for that.
    Health,
    /// It asks for health, and the answer is small and needs no file: it is answered at once.
    Instant,
}

/// Answers requests, on the thread of the client that asks.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, request: Request) -> Response;

    /// Gives what happens to a request for a path while as many clients are being answered as may be.
    fn priority(&self, path: &str) -> Priority;
}
