//! [`Socket`]: one blocking WebSocket connection.
//!
//! 1. A read waits at most a tick, then says [`Received::Idle`], so that its thread can look at other things; nothing of a half-read frame is lost by it.
//! 2. In the steady state a read allocates nothing: tungstenite slices messages out of one buffer, which is free again once the last
//!    message is dropped — so it is dropped before the next is asked for. Proven over loopback by a counting allocator. Only a message
//!    much longer than any before it makes the buffer grow.
//! 3. Bounded: messages of 128 MiB, frames of 32 MiB, writes buffered to 512 KiB and at most 1 MiB, handshakes by a deadline.
//! 4. Pings are answered, fragments put together and closes acknowledged here; what is received is whole messages, binary ones as text.
//! 5. A message that is no UTF-8 ends the connection, as RFC 6455 demands of both sides.
//!
//! It starts no thread, and never tries again by itself: that is the session's business.

use crate::feed::endpoint::Endpoint;
use crate::feed::tls::{RootsError, TlsRoots};
use crate::feed::wire::Wire;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::http::header::USER_AGENT;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Longest message, put together from its frames, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 128 << 20;
/// Longest frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 32 << 20;
/// What is written is gathered up to this many bytes.
pub const WRITE_BUFFER_BYTES: usize = 512 << 10;
/// Most bytes that wait to be written.
pub const MAX_WRITE_BUFFER_BYTES: usize = 1 << 20;
/// What tungstenite is given at once, in bytes. It zeroes the room for it before each read, so more is not better; the system is asked for more at
/// once below it.
pub const READ_PIECE_BYTES: usize = 4 << 10;

const _: () = assert!(MAX_FRAME_BYTES <= MAX_MESSAGE_BYTES && WRITE_BUFFER_BYTES < MAX_WRITE_BUFFER_BYTES);
/// What the program calls itself.
pub(super) const AGENT: &str = concat!("coltape/", env!("CARGO_PKG_VERSION"));

/// The close code that stands for *the connection ended without a close frame* (RFC 6455, 7.4.1).
pub const CLOSED_ABNORMALLY: u16 = 1006;

/// How long the socket waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For TCP, TLS and WebSocket handshakes together. Resolving the name is the system's and has its own.
    pub connect: Duration,
    /// For a read to find something.
    pub tick: Duration,
    /// For a write to be taken.
    pub write: Duration,
    /// Whether a read looks for something again and again instead of sleeping until it comes.
    pub spins: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), tick: Duration::from_millis(100), write: Duration::from_secs(5), spins: false }
    }
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'s> {
    /// A whole message.
    Text(&'s [u8]),
    /// Nothing to decode within a tick.
    Idle,
    /// The connection has ended in an orderly way, or the stream simply ended ([`CLOSED_ABNORMALLY`]). Either way it is lost.
    Closed {
        /// The peer's close code; 1005 where it gave none.
        code: u16,
        /// The peer's words.
        reason: String,
    },
}

/// Why a connection could not be made or went on no longer. All but bad roots are worth another try, on a new connection.
#[derive(Debug, thiserror::Error)]
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
    /// No secure connection came about.
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
    /// No WebSocket came about.
    #[error("no WebSocket with {endpoint}: {source}")]
    Handshake {
        /// The address.
        endpoint: String,
        /// What went wrong.
        source: Box<tungstenite::Error>,
    },
    /// The connection broke, or the peer broke the protocol or a bound.
    #[error("connection lost: {0}")]
    Lost(Box<tungstenite::Error>),
}

impl SocketError {
    /// Tells whether another try can succeed.
    #[must_use]
    pub const fn is_worth_another_try(&self) -> bool {
        !matches!(self, Self::Roots(_))
    }
}

/// A connected WebSocket.
pub struct Socket {
    inner: WebSocket<Wire>,
    /// The message last given out. It holds on to the read buffer.
    current: Option<Message>,
    /// Whether `current` was read ahead and has not been given out yet.
    is_ahead: bool,
    /// What ended a look ahead, to be told by the next read.
    trouble: Option<tungstenite::Error>,
    /// Bytes of all messages so far with their frames' heads, as far as they came in one frame each.
    taken: u64,
}

impl Socket {
    /// Connects: resolves the name anew, shakes hands for TLS and WebSocket.
    ///
    /// # Errors
    /// Names the step that failed.
    pub fn connect(endpoint: &Endpoint, roots: &TlsRoots, timeouts: &Timeouts) -> Result<Self, SocketError> {
        let wire = Wire::connect(endpoint, roots, timeouts)?;
        let failed = |source| match source {
            tungstenite::Error::Http(response) => {
                SocketError::Refused { endpoint: endpoint.to_string(), status: response.status().as_u16() }
            }
            source => SocketError::Handshake { endpoint: endpoint.to_string(), source: Box::new(source) },
        };
        let mut request = endpoint.uri().into_client_request().map_err(failed)?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_PIECE_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let (mut inner, _) = tungstenite::client::client_with_config(request, wire, Some(config)).map_err(|error| match error {
            HandshakeError::Failure(error) => failed(error),
            HandshakeError::Interrupted(_) => failed(io::Error::from(io::ErrorKind::TimedOut).into()),
        })?;
        inner.get_mut().settle(timeouts).map_err(|error| SocketError::Lost(Box::new(error.into())))?;
        Ok(Self { inner, current: None, is_ahead: false, trouble: None, taken: 0 })
    }

    /// Waits at most a tick for a message.
    ///
    /// # Errors
    /// Where the connection is lost.
    #[inline]
    pub fn read(&mut self) -> Result<Received<'_>, SocketError> {
        if !std::mem::take(&mut self.is_ahead) {
            self.current = None;
            if let Err(error) = self.next_message() {
                return ended(error);
            }
        }
        match &self.current {
            Some(Message::Text(text)) => Ok(Received::Text(text.as_bytes())),
            Some(Message::Binary(bytes)) => Ok(Received::Text(bytes)),
            Some(Message::Close(frame)) => {
                // The acknowledgement waits to be written; whether it arrives does not matter any more.
                let _ = self.inner.flush();
                let (code, reason) = match frame {
                    Some(CloseFrame { code, reason }) => (u16::from(*code), reason.to_string()),
                    None => (u16::from(CloseCode::Status), String::new()),
                };
                Ok(Received::Closed { code, reason })
            }
            _ => Ok(Received::Idle),
        }
    }

    /// Tells whether another message can be had without a system call.
    #[inline]
    pub fn has_buffered(&mut self) -> bool {
        if !self.is_ahead && self.trouble.is_none() && !self.is_all_taken() {
            self.current = None;
            self.inner.get_mut().only_at_hand(true);
            match self.next_message() {
                Ok(()) => self.is_ahead = self.current.is_some(),
                // Told by the next read, which then asks the system nothing.
                Err(error) => self.trouble = Some(error),
            }
            self.inner.get_mut().only_at_hand(false);
        }
        self.is_ahead || self.trouble.is_some()
    }

    /// Tells whether the system probably holds more: the last read brought as much as was asked for.
    #[inline]
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.inner.get_ref().is_behind()
    }

    /// Tells whether all that was received has been given out, so that nothing need be looked for. Not always known: then it says no.
    #[inline]
    fn is_all_taken(&self) -> bool {
        let wire = self.inner.get_ref();
        self.taken == wire.given && wire.is_empty()
    }

    /// Waits until there is something to read, at most so long; tells whether there is. What is at hand without the system is not looked at.
    #[must_use]
    pub fn is_readable_within(&self, at_most: Duration) -> bool {
        let mut asked = [PollFd::new(self.inner.get_ref().tcp(), PollFlags::IN)];
        // A wait that a signal cuts short, or that the system refuses, is one in which nothing came.
        Timespec::try_from(at_most).is_ok_and(|at_most| poll(&mut asked, Some(&at_most)).is_ok_and(|ready| ready > 0))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where the connection is lost, or does not take the message in time.
    pub fn send_text(&mut self, text: &str) -> Result<(), SocketError> {
        self.inner.send(Message::text(text)).map_err(|error| SocketError::Lost(Box::new(error)))
    }

    /// Says goodbye (1000) without waiting for the answer. Dropping the socket then ends the connection.
    pub fn close(&mut self) {
        // A peer that does not hear it will notice the end of the stream.
        let _ = self.inner.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    }

    /// Gives the bytes that wait in the system's receive queue; 0 where the system does not say.
    #[must_use]
    pub fn receive_queue_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.inner.get_ref().tcp()).unwrap_or(0)
    }

    /// Puts the next message into `current`, nothing where none comes.
    fn next_message(&mut self) -> Result<(), tungstenite::Error> {
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        let read = self.inner.read();
        if let Ok(message) = &read {
            self.taken += framed_bytes(message.len());
        }
        match read {
            // A ping's answer is queued by now, and goes out with the next read at the latest.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => match self.inner.flush() {
                Err(tungstenite::Error::Io(error)) if !is_quiet(&error) => Err(error.into()),
                _ => Ok(()),
            },
            Ok(message) => {
                self.current = Some(message);
                Ok(())
            }
            Err(tungstenite::Error::Io(error)) if is_quiet(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Gives the bytes of a message that came in one frame: an unmasked head (RFC 6455, 5.2) before it.
const fn framed_bytes(length: usize) -> u64 {
    let head = if length < 126 {
        2
    } else if length <= 0xffff {
        4
    } else {
        10
    };
    head + length as u64
}

/// Tells whether an error only says that nothing came within the tick, or that a signal did.
fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cold]
fn ended(error: tungstenite::Error) -> Result<Received<'static>, SocketError> {
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Ok(Received::Closed { code: CLOSED_ABNORMALLY, reason: "the stream ended without a close frame".to_owned() })
        }
        error => Err(SocketError::Lost(Box::new(error))),
    }
}
