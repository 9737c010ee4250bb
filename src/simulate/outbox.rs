//! The outbox of one connection: the exchange's thread puts whole frames in, and the session's thread writes them to the socket.
//!
//! 1. The bytes in the outbox begin and end at the edge of a frame, except for half-frame faults.
//! 2. A client that reads too slowly first fills the kernel's buffers (back-pressure), then the outbox. When the outbox is full, the client is disconnected
//!    with `ErrSlowConsume`, as Coinbase does.
//! 3. A cut takes effect after everything that was put in before it.
//!
//! The lock is kept to append or swap a vector, never during I/O. An eventfd wakes the session's thread only where the outbox was empty.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

use super::frame;

/// How the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A WebSocket close frame with this code. Code 1006 cannot be sent: it ends the stream without a close frame.
    Close(u16),
    /// A TCP reset.
    Reset,
}

/// The frames that wait for one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: OwnedFd,
    /// Bytes that the session's thread has taken and not yet written.
    under_way: AtomicUsize,
    bound: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    cut: Option<Cut>,
}

impl Outbox {
    /// Makes an empty outbox for up to `bound` bytes.
    pub(super) fn new(bound: usize) -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { waiting: Mutex::default(), wake, under_way: AtomicUsize::new(0), bound })
    }

    /// Puts whole frames in, and empties `frames`. Gives `false` where the client was disconnected before, or is now for being too slow.
    pub(super) fn put(&self, frames: &mut Vec<u8>) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.cut.is_some() {
            frames.clear();
            return false;
        }
        let was_empty = waiting.bytes.is_empty();
        if waiting.bytes.len() + self.under_way.load(Ordering::Relaxed) + frames.len() > self.bound {
            waiting.bytes.clear();
            frame::write_close(&mut waiting.bytes, 1008, "ErrSlowConsume");
            waiting.cut = Some(Cut::Close(1008));
            frames.clear();
        } else if was_empty {
            std::mem::swap(&mut waiting.bytes, frames);
        } else {
            waiting.bytes.append(frames);
        }
        let is_open = waiting.cut.is_none();
        drop(waiting);
        if was_empty {
            self.wake();
        }
        is_open
    }

    /// Ends the connection after everything that was put in before has been written.
    pub(super) fn cut(&self, cut: Cut) {
        let mut waiting = self.waiting.lock();
        if waiting.cut.is_none() {
            if let Cut::Close(code) = cut
                && code != 1006
            {
                frame::write_close(&mut waiting.bytes, code, "");
            }
            waiting.cut = Some(cut);
        }
        drop(waiting);
        self.wake();
    }

    /// Swaps the waiting bytes with `empty`. Gives how the connection is to end after they have been written, if it is to end.
    pub(super) fn take(&self, empty: &mut Vec<u8>) -> Option<Cut> {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.bytes, empty);
        // Relaxed: only a count for the bound; the lock orders the bytes.
        self.under_way.store(empty.len(), Ordering::Relaxed);
        waiting.cut
    }

    /// Records that the bytes taken have been written.
    pub(super) fn set_written(&self) {
        self.under_way.store(0, Ordering::Relaxed);
    }

    /// Counts the bytes not yet written.
    pub(super) fn backlog(&self) -> usize {
        self.waiting.lock().bytes.len() + self.under_way.load(Ordering::Relaxed)
    }

    /// Wakes the session's thread.
    pub(super) fn wake(&self) {
        // It fails only where the counter is full, and then the thread is awake already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Resets the wake-up, so that the next poll waits again.
    pub(super) fn clear_wake(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }

    /// Gives the descriptor that a poll waits on for a wake-up.
    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_disconnects_the_client_and_takes_no_more() {
        let outbox = Outbox::new(10).expect("an eventfd");
        assert!(outbox.put(&mut vec![1; 6]));
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken), None);
        assert_eq!((taken.len(), outbox.backlog()), (6, 6));
        assert!(outbox.put(&mut vec![1; 4]), "exactly full is not too full");
        assert!(!outbox.put(&mut vec![1; 1]));
        assert!(!outbox.put(&mut vec![1; 1]));
        outbox.set_written();
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken), Some(Cut::Close(1008)));
        assert!(taken.ends_with(b"ErrSlowConsume"));
    }

    #[test]
    fn a_cut_takes_effect_after_what_was_put_in_before() {
        let outbox = Outbox::new(100).expect("an eventfd");
        assert!(outbox.put(&mut b"before".to_vec()));
        outbox.cut(Cut::Close(1001));
        assert!(!outbox.put(&mut b"after".to_vec()));
        let mut taken = Vec::new();
        assert_eq!(outbox.take(&mut taken), Some(Cut::Close(1001)));
        assert_eq!(taken, b"before\x88\x02\x03\xe9");
    }
}
