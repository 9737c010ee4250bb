//! [`Wake`]: wakes a client's thread that waits for its socket.
//!
//! A thread that waits for a socket cannot wait for a condition variable, so the wake-up is a descriptor, which one `poll` waits for beside the socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes one thread.
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

    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // It fails only where the counter is full, and then the thread is awake already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Forgets the wake-ups until now, so that the next `poll` waits again.
    pub(super) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// Gives the descriptor to wait for.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
