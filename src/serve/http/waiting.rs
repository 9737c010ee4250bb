//! [`Waiting`]: a connection that is not being answered.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use super::answer::Client;
use super::limits::{CLOSE_TIMEOUT, IDLE_TIMEOUT, Limits, MAX_HEAD_BYTES};

/// Most bytes that are read and dropped at once from a connection that is being closed.
const DROP_BYTES: usize = 256 << 10;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// The rest of a head.
    Head,
    /// The first byte of the next head.
    Idle,
    /// The client's end, after the last answer. What it still sends is dropped: a socket that is closed with unread bytes sends a reset, which may overtake
    /// the answer.
    End,
}

/// A connection that is not being answered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) client: Client,
    pub(super) waits_for: For,
    pub(super) deadline: Instant,
}

/// What a look at a connection showed.
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// Bytes of a head.
    Bytes,
    /// The client has left.
    Left,
}

impl Waiting {
    /// Takes a client that is new.
    pub(super) fn new(client: Client, limits: &Limits) -> Self {
        Self { client, waits_for: For::Head, deadline: Instant::now() + limits.head_timeout }
    }

    /// Takes a client that may send another request.
    pub(super) fn again(client: Client, limits: &Limits) -> Self {
        let now = Instant::now();
        let (waits_for, deadline) =
            if client.received.is_empty() { (For::Idle, now + IDLE_TIMEOUT) } else { (For::Head, now + limits.head_timeout) };
        Self { client, waits_for, deadline }
    }

    /// Takes a client that has its last answer. Ends what is sent to it.
    pub(super) fn closing(mut client: Client) -> Self {
        let _ = client.socket.stream().shutdown(std::net::Shutdown::Write);
        client.received = Vec::new();
        Self { client, waits_for: For::End, deadline: Instant::now() + CLOSE_TIMEOUT }
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, limits: &Limits) -> Seen {
        let mut buffer = [0; 4096];
        let (mut total, is_end) = (0, self.waits_for == For::End);
        let most = if is_end { DROP_BYTES } else { MAX_HEAD_BYTES.saturating_sub(self.client.received.len()) };
        while total < most {
            let free = buffer.len().min(most - total);
            match self.client.socket.read(buffer.get_mut(..free).unwrap_or_default()) {
                // What came before the end is looked at first: the request may be whole.
                Ok(0) if total > 0 && !is_end => break,
                Ok(0) => return Seen::Left,
                Ok(count) => {
                    total += count;
                    if !is_end {
                        self.client.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Seen::Left,
            }
        }
        if is_end || total == 0 {
            return Seen::Nothing;
        }
        if self.waits_for == For::Idle {
            self.waits_for = For::Head;
            self.deadline = Instant::now() + limits.head_timeout;
        }
        Seen::Bytes
    }
}
