//! [`Wake`]: wakes threads of clients that wait for their sockets.
//!
//! A thread that waits for a socket cannot wait for a condition variable, so the wake-up is a descriptor, which one `poll` waits for beside the socket. It is
//! given once, and every thread that waits for it, or comes to wait for it later, goes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the threads that wait for it.
#[derive(Debug)]
pub(super) struct Wake(OwnedFd);

impl Wake {
    /// Makes it.
    ///
    /// # Errors
    /// Where there is no descriptor left.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Wakes them.
    pub(super) fn wake(&self) {
        // It fails only where the counter is full, and then they are awake already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Gives the descriptor to wait for.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
