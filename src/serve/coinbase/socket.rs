//! [`talk`]: moves the bytes of one client of `/ws` or `/ws-advanced`.
//!
//! 1. `tungstenite` reads the client's frames and answers its pings. What it writes is gathered with the frames of [`Session`], and all of it is written at
//!    once. A write waits for the client within the bounds of [`Connection`], and fails where it takes too little.
//! 2. One `poll` waits for the client and for the log. The time until the next heartbeat, and [`LONGEST_WAIT`], bound it.
//! 3. A client that is silent gets a ping; one that does not answer is gone.
//! 4. When the server stops, the client gets close 1001.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::frame;
use super::live::Live;
use super::session::{Ending, Session, Settings};
use crate::serve::http::traffic::CutOff;
use crate::serve::http::upgrade::Connection;
use crate::serve::server::Server;
use crate::tape::Tape;

/// Longest message of a client, in bytes: a request for some thousands of products.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;
/// Longest wait without a look at whether the server stops.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// How long a client may be silent before it gets a ping, and between two pings.
const PING: Duration = Duration::from_secs(20);
/// How long a client may be silent before it is taken for gone.
const GONE: Duration = Duration::from_secs(65);
/// How long a client has to answer a close frame.
const CLOSE: Duration = Duration::from_secs(1);

/// A connection whose writes are gathered.
struct Wire {
    connection: Connection,
    out: Vec<u8>,
    heard: Instant,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.connection.read(buffer)?;
        self.heard = Instant::now();
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Wire {
    /// Writes what was gathered.
    fn send(&mut self) -> std::io::Result<()> {
        let sent = self.connection.write_all(&self.out);
        self.out.clear();
        sent
    }
}

/// Why the loop ends.
enum End {
    /// The client has left.
    Left,
    /// The server ends it.
    Ended(Ending),
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

/// Serves one client until it leaves, is ended, or the server stops.
pub(super) fn talk(server: &Server, live: &Live, tape: Tape, settings: Settings, connection: Connection) {
    let peer = connection.peer();
    let mut session = match Session::new(tape, live, settings) {
        Ok(session) => session,
        Err(error) => return log::warn!("serve: {peer} cannot be served: {error}"),
    };
    let _counted = server.counters().follow();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let wire = Wire { connection, out: Vec::new(), heard: Instant::now() };
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
    let ending = match run(server, &mut session, &mut socket) {
        End::Left => return,
        End::Ended(ending) => ending,
    };
    log::info!("serve: {peer} is ended: {}", ending.reason);
    if ending.is_slow {
        server.traffic().cut_off(CutOff::Behind);
    }
    close(socket.get_mut(), &ending);
}

fn run(server: &Server, session: &mut Session<'_>, socket: &mut WebSocket<Wire>) -> End {
    let (mut pinged, mut has_more) = (Instant::now(), true);
    loop {
        let signal = session.signal();
        if server.stopping() {
            return Ending::new(1001, "the server stops").into();
        }
        if has_more && session.takes_requests() {
            match read(session, socket) {
                Ok(more) => has_more = more,
                Err(end) => return end,
            }
        }
        let wire = socket.get_mut();
        let next = match session.fill(&mut wire.out) {
            Ok(next) => next,
            Err(ending) => return ending.into(),
        };
        let now = Instant::now();
        let silent = now.saturating_duration_since(wire.heard);
        if silent >= GONE {
            return Ending::new(1008, "no answer to a ping").into();
        }
        if silent >= PING && now.saturating_duration_since(pinged) >= PING {
            frame::write(&mut wire.out, frame::Opcode::Ping, b"");
            pinged = now;
        }
        let has_sent = !wire.out.is_empty();
        if wire.send().is_err() {
            return End::Left;
        }
        server.counters().send_rows(session.take_rows());
        if let Some(lag) = session.take_lag() {
            server.counters().note_lag(lag);
        }
        // Behind a write that took its time there may be more.
        if !has_sent || next > Instant::now() {
            let longest = if has_more && session.takes_requests() {
                Duration::ZERO
            } else {
                next.saturating_duration_since(Instant::now()).min(LONGEST_WAIT)
            };
            has_more |= wire.connection.wait_readable_or(signal.as_ref().map(|signal| signal.descriptor()), longest);
        } else {
            has_more = true;
        }
    }
}

/// Takes what the client has sent, up to the end of a request. Tells whether there may be more.
fn read(session: &mut Session<'_>, socket: &mut WebSocket<Wire>) -> Result<bool, End> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let out = &mut socket.get_mut().out;
                if let Err(error) = session.take(&text, out) {
                    log::warn!("serve: {error}");
                    return Err(Ending::new(1011, "the tape cannot be read").into());
                }
                // What the request asks for is begun before the next one is looked at.
                return Ok(true);
            }
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                // The answer to the close frame.
                let _ = socket.flush();
                let _ = socket.get_mut().send();
                return Err(End::Left);
            }
            Ok(Message::Binary(_)) => return Err(Ending::new(1003, "text is wanted").into()),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // Answers to pings.
                let _ = socket.flush();
                return Ok(false);
            }
            Err(Error::Capacity(_)) => return Err(Ending::new(1009, "the message is too long").into()),
            Err(Error::Protocol(_) | Error::Utf8(_)) => return Err(Ending::new(1002, "this is no WebSocket frame").into()),
            Err(_) => return Err(End::Left),
        }
    }
}

/// Sends a close frame, and waits for a moment until the client has read it: a socket that is closed with unread bytes is reset, which may overtake the
/// frame.
fn close(wire: &mut Wire, ending: &Ending) {
    frame::write_close(&mut wire.out, ending.code, ending.reason);
    if wire.send().is_err() {
        return;
    }
    let until = Instant::now() + CLOSE;
    let mut ignored = [0; 4096];
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        wire.connection.wait_readable(left);
        match wire.connection.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
