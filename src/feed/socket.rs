//! [`Socket`]: one blocking WebSocket connection.
//!
//! 1. A read waits at most a tick and then gives [`Received::Idle`], so that its thread can do other things. Nothing of a half-read frame is lost.
//! 2. In the steady state a read allocates nothing and copies nothing: a message is given where it lies in the buffer that the system has filled
//!    ([`NextFrame`]). What is not a whole message in one frame goes through tungstenite. It slices messages out of one buffer, which is free again once the
//!    last message is dropped; so each message is dropped before the next read. A test proves it over loopback with a counting allocator.
//! 3. Bounded: messages of 128 MiB, frames of 32 MiB, writes buffered to 512 KiB and at most 1 MiB, handshakes by a deadline.
//! 4. Pings are answered, fragments are put together and closes are acknowledged here. A read gives whole messages, binary ones as text.
//! 5. A message that is not UTF-8 ends the connection, as RFC 6455 demands of both sides.
//!
//! 6. A redirect is followed on the same scheme, host and port only. Other answers are [`SocketError::Refused`], with the wait that the server asks for.
//!
//! A socket starts no thread and never connects again by itself: [`Session`](super::session::Session) decides that.

use std::io;
use std::ops::Range;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::awake::Deadline;
use super::connector::Connector;
use super::endpoint::Endpoint;
use super::json::MAX_PARSED_BYTES;
use super::next_frame::NextFrame;
use super::redirect;
use super::socket_error::SocketError;
use super::timeouts::Timeouts;
use super::transport::Transport;
use super::upgrade::upgrade;

/// Longest message, put together from its frames, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 128 << 20;
/// Longest frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 32 << 20;
/// Bytes of writes that are collected before they are sent.
const WRITE_BUFFER_BYTES: usize = 512 << 10;
/// Most bytes that wait to be written.
const MAX_WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Bytes that tungstenite reads at once. It zeroes the memory for them before each read, so more is not better. [`Transport`] asks the system for more.
const READ_PIECE_BYTES: usize = 4 << 10;

const _: () = assert!(MAX_FRAME_BYTES <= MAX_MESSAGE_BYTES && WRITE_BUFFER_BYTES < MAX_WRITE_BUFFER_BYTES);
// What is taken from the network is parsed: a message must not vanish between the two.
const _: () = assert!(MAX_MESSAGE_BYTES <= MAX_PARSED_BYTES);

/// The close code of a connection that ended without a close frame (RFC 6455, 7.4.1).
pub const CLOSED_ABNORMALLY: u16 = 1006;

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'s> {
    /// A whole message.
    Text(&'s [u8]),
    /// No message within a tick.
    Idle,
    /// The connection is lost: the server closed it, or the stream ended without that ([`CLOSED_ABNORMALLY`]).
    Closed {
        /// The server's close code; 1005 where it gave none.
        code: u16,
        /// The server's reason.
        reason: String,
    },
}

/// A connected WebSocket.
pub struct Socket {
    inner: WebSocket<Transport>,
    /// The message that the last read gave, or that has been read ahead.
    current: Option<Current>,
    /// Whether `current` has been read ahead: the next read gives it.
    is_ahead: bool,
    /// The error that reading ahead met: the next read gives it.
    error: Option<tungstenite::Error>,
    /// Bytes of all messages so far with the heads of their frames, if each came in one frame.
    message_bytes: u64,
    /// Whether an answer to a ping could not be sent yet.
    owes_answer: bool,
}

/// A message, and where it is.
enum Current {
    /// In the transport's buffer.
    Received(Range<usize>),
    /// In tungstenite's, which it keeps in use.
    Message(Message),
}

impl Socket {
    /// Connects: resolves the name, makes the TLS and WebSocket handshakes.
    ///
    /// # Errors
    /// Where a step fails. The error names the step.
    pub fn connect(endpoint: &Endpoint, connector: impl Into<Connector>, timeouts: &Timeouts) -> Result<Self, SocketError> {
        let connector: Connector = connector.into();
        let mut deadline = Deadline::within(timeouts.connect);
        let (mut path, mut followed) = (endpoint.path(), 0);
        let mut transport = loop {
            let (head, transport) =
                connector.open(endpoint, &mut deadline, |mut transport| match upgrade(&mut transport, endpoint, &path) {
                    Ok(head) => Ok((head, transport)),
                    Err(source) => Err(SocketError::Handshake { endpoint: endpoint.to_string(), source }),
                })?;
            match head.status {
                101 => break transport,
                status if redirect::redirects(status) => {
                    path = redirect::target(endpoint, &path, status, head.header("location"), followed)?;
                    followed += 1;
                }
                status => {
                    let header = |name| head.header(name).map(str::to_owned);
                    let (retry_after, date) = (header("retry-after"), header("date"));
                    return Err(SocketError::Refused { endpoint: endpoint.to_string(), status, retry_after, date });
                }
            }
        };
        transport.end_handshakes(timeouts).map_err(|error| SocketError::Lost(Box::new(error.into())))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_PIECE_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let inner = WebSocket::from_raw_socket(transport, Role::Client, Some(config));
        Ok(Self { inner, current: None, is_ahead: false, error: None, message_bytes: 0, owes_answer: false })
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
            Some(Current::Received(place)) => Ok(Received::Text(self.inner.get_ref().payload(place.clone()))),
            Some(Current::Message(Message::Text(text))) => Ok(Received::Text(text.as_bytes())),
            Some(Current::Message(Message::Binary(bytes))) => Ok(Received::Text(bytes)),
            Some(Current::Message(Message::Close(frame))) => {
                // This sends the acknowledgement. Whether it arrives does not matter any more.
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

    /// Reads the next message ahead if that takes no system call. Tells whether the next read gives one at once.
    #[inline]
    pub fn read_ahead(&mut self) -> bool {
        if !self.is_ahead && self.error.is_none() && !self.is_exhausted() {
            self.current = None;
            self.inner.get_mut().set_buffered_only(true);
            match self.next_message() {
                Ok(()) => self.is_ahead = self.current.is_some(),
                // The next read gives it, without a system call.
                Err(error) => self.error = Some(error),
            }
            self.inner.get_mut().set_buffered_only(false);
        }
        self.is_ahead || self.error.is_some()
    }

    /// Tells whether the last read from the system filled the buffer, so that the system probably has more.
    #[inline]
    #[must_use]
    pub(crate) fn was_last_read_full(&self) -> bool {
        self.inner.get_ref().was_last_read_full()
    }

    /// Gives how many bytes came that belong to no whole message yet. It only grows while a message is under way, and by a few bytes for each further frame
    /// of a message.
    #[must_use]
    pub(crate) fn unfinished_bytes(&self) -> u64 {
        let transport = self.inner.get_ref();
        (transport.read_bytes + transport.received().len() as u64).saturating_sub(self.message_bytes)
    }

    /// Tells whether every byte received belongs to a message that has been read. Where a message came in several frames it says no.
    #[inline]
    fn is_exhausted(&self) -> bool {
        self.is_between_frames() && self.inner.get_ref().is_empty()
    }

    /// Waits for at most so long until the system has something to read. Tells whether it has. What is buffered already does not count.
    #[must_use]
    pub(crate) fn is_readable_within(&self, at_most: Duration) -> bool {
        let mut asked = [PollFd::new(self.inner.get_ref().tcp(), PollFlags::IN)];
        // Where a signal ends the wait, or the system refuses it, nothing came.
        Timespec::try_from(at_most).is_ok_and(|at_most| poll(&mut asked, Some(&at_most)).is_ok_and(|ready| ready > 0))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where the connection is lost, or does not accept the message in time.
    pub fn send_text(&mut self, text: &str) -> Result<(), SocketError> {
        self.inner.send(Message::text(text)).map_err(|error| SocketError::Lost(Box::new(error)))
    }

    /// Sends a close frame (1000) without waiting for the answer. Dropping the socket then ends the connection.
    pub fn close(&mut self) {
        // A server that does not get it will notice the end of the stream.
        let _ = self.inner.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
    }

    /// Gives the bytes that wait in the system's receive queue; 0 where that is not known.
    #[must_use]
    pub fn receive_queue_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.inner.get_ref().tcp()).unwrap_or(0)
    }

    /// Puts the next message into `current`, if one comes.
    fn next_message(&mut self) -> Result<(), tungstenite::Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if std::mem::take(&mut self.owes_answer) {
            self.answer()?;
        }
        if self.is_between_frames() && self.take_received()? {
            return Ok(());
        }
        let read = self.inner.read();
        if let Ok(message) = &read {
            self.message_bytes += framed_bytes(message.len());
        }
        match read {
            // tungstenite has queued the answer to a ping; the next read sends it at the latest.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => self.answer(),
            Ok(message) => {
                self.current = Some(Current::Message(message));
                Ok(())
            }
            Err(tungstenite::Error::Io(error)) if is_quiet(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells whether tungstenite has nothing of a frame, nor of a message in several frames: the next byte begins one. After a message in several frames it
    /// says no for the rest of the connection, since [`framed_bytes`] counts too few.
    #[inline]
    fn is_between_frames(&self) -> bool {
        self.message_bytes == self.inner.get_ref().read_bytes && self.inner.can_read()
    }

    /// Takes the next message where it lies in the buffer, receiving more if need be. Tells whether there is nothing left to do: a message was taken, or none
    /// came. Otherwise the next frame is tungstenite's.
    #[inline]
    fn take_received(&mut self) -> Result<bool, tungstenite::Error> {
        loop {
            let transport = self.inner.get_mut();
            let received = transport.received();
            match NextFrame::of(received, transport.room()) {
                NextFrame::Message { head, payload, is_text } => {
                    let frame = head + payload;
                    let is_whole = !is_text || received.get(head..frame).is_some_and(is_utf8);
                    if !is_whole {
                        transport.limit(Some(frame as u64));
                        return Ok(false);
                    }
                    self.message_bytes += frame as u64;
                    self.current = Some(Current::Received(transport.take(head, payload)));
                    return Ok(true);
                }
                NextFrame::Other { bytes } => {
                    transport.limit(bytes);
                    return Ok(false);
                }
                NextFrame::Unfinished => match transport.receive() {
                    // tungstenite knows what that means.
                    Ok(0) => {
                        transport.limit(None);
                        return Ok(false);
                    }
                    Ok(_) => {}
                    Err(error) if is_quiet(&error) => return Ok(true),
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Sends what tungstenite has queued in answer to a ping.
    fn answer(&mut self) -> Result<(), tungstenite::Error> {
        match self.inner.flush() {
            Err(tungstenite::Error::Io(error)) if !is_quiet(&error) => Err(error.into()),
            sent => {
                self.owes_answer = sent.is_err();
                Ok(())
            }
        }
    }
}

/// Tells whether a text is UTF-8. Nearly every message is ASCII, which is found out faster.
#[inline]
fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_ok()
}

/// Gives the bytes of a message that came in one frame, with its unmasked head (RFC 6455, 5.2).
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

/// Tells whether an error means only that nothing came within the tick, or that a signal came.
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
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size: limit }) => {
            let what = if limit == MAX_FRAME_BYTES { "a frame" } else { "a message" };
            Err(SocketError::TooLong { what, size, limit })
        }
        error => Err(SocketError::Lost(Box::new(error))),
    }
}
