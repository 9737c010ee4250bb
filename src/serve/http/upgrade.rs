//! [`Connection`]: a connection that has become a WebSocket, and the check of the request for it (RFC 6455, 4.2).

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;

use super::request::Request;
use super::socket::ClientSocket;

/// A connection behind its answer 101. Reads never wait: [`io::ErrorKind::WouldBlock`] where nothing is there. Writes wait for the client within its bounds,
/// and fail for good where it takes too little.
///
/// `tungstenite::protocol::WebSocket::from_raw_socket(connection, Role::Server, …)` speaks over it.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: ClientSocket,
    /// What the client sent behind its request.
    ahead: Vec<u8>,
}

impl Connection {
    pub(super) fn new(socket: ClientSocket, ahead: Vec<u8>) -> Self {
        Self { socket, ahead }
    }

    /// Waits until there is something to read, or the client has left, but no longer than `longest`. Gives whether there is.
    pub(crate) fn wait_readable(&self, longest: Duration) -> bool {
        !self.ahead.is_empty() || self.socket.wait_readable(longest)
    }

    /// As [`Connection::wait_readable`], but no longer than until `other` can be read.
    pub(crate) fn wait_readable_or(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> bool {
        !self.ahead.is_empty() || self.socket.wait_readable_or(other, longest)
    }

    /// Gives the client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.socket.peer()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.socket.read(buffer);
        }
        let count = self.ahead.as_slice().read(buffer)?;
        self.ahead.drain(..count);
        Ok(count)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Gives the value of `Sec-WebSocket-Accept` for a request that asks for a WebSocket; nothing for any other.
pub(super) fn accept_key(request: &Request) -> Option<String> {
    let has = |name: &str, wanted: &str| request.header_list(name).any(|found| found.eq_ignore_ascii_case(wanted));
    let is_asked = request.is_http_1_1 && !request.is_head() && has("upgrade", "websocket") && has("connection", "upgrade");
    let key = request.header("sec-websocket-key").filter(|key| is_key(key))?;
    (is_asked && request.header("sec-websocket-version") == Some("13")).then(|| derive_accept_key(key.as_bytes()))
}

/// Tells whether a text is 16 bytes in base64.
fn is_key(text: &str) -> bool {
    let digits = text.strip_suffix("==").unwrap_or_default();
    digits.len() == 22 && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
