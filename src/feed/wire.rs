//! [`Wire`]: the bytes under a WebSocket — TCP, or TLS over TCP — with a deadline while connecting and a way to read only what is at hand.
//!
//! 1. While [`Timed::until`] is set, every read and write ends by then, so that a peer that trickles cannot hold up a handshake.
//! 2. While [`Wire::at_hand`] is set, a read gives what TLS has already decrypted or `WouldBlock`; it makes no system call.
//! 3. A read takes a bounded number of bytes, so that the buffer above need not grow.
//! 4. Names are resolved anew each time: the addresses of a load balancer change.

use crate::feed::endpoint::Endpoint;
use crate::feed::socket::{SocketError, Timeouts};
use crate::feed::tls::TlsRoots;
use native_tls::TlsStream;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Most bytes taken in one read: a whole record of TLS, which is all that OpenSSL gives at once anyway.
pub(super) const READ_AT_ONCE_BYTES: usize = 16 << 10;

/// A connected byte stream.
pub(super) struct Wire {
    stream: Stream,
    /// Whether reads must do without a system call.
    pub(super) at_hand: bool,
}

enum Stream {
    Plain(Timed),
    Tls(Box<TlsStream<Timed>>),
}

/// A TCP stream that may have a deadline.
#[derive(Debug)]
pub(super) struct Timed {
    tcp: TcpStream,
    /// When handshakes have to be done; nothing afterwards.
    until: Option<Instant>,
}

impl Wire {
    /// Connects, and shakes hands for TLS where the endpoint asks for it.
    pub(super) fn connect(endpoint: &Endpoint, roots: &TlsRoots, timeouts: &Timeouts) -> Result<Self, SocketError> {
        let until = Instant::now() + timeouts.connect;
        let connector = if endpoint.is_tls() { Some(roots.connector()?) } else { None };
        let tcp = first_that_answers(endpoint, until)?;
        let unusable = |source| SocketError::Connect { host: endpoint.host().to_owned(), source };
        tcp.set_nodelay(true).map_err(unusable)?;
        let timed = Timed { tcp, until: Some(until) };
        let stream = match connector {
            None => Stream::Plain(timed),
            Some(connector) => {
                let secured = connector.connect(endpoint.host(), timed);
                Stream::Tls(Box::new(
                    secured.map_err(|error| SocketError::Tls { host: endpoint.host().to_owned(), why: error.to_string() })?,
                ))
            }
        };
        Ok(Self { stream, at_hand: false })
    }

    /// Ends the time of handshakes: from here on a read waits at most a tick.
    pub(super) fn settle(&mut self, timeouts: &Timeouts) -> io::Result<()> {
        let timed = match &mut self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(secured) => secured.get_mut(),
        };
        timed.until = None;
        timed.tcp.set_read_timeout(Some(timeouts.tick))?;
        timed.tcp.set_write_timeout(Some(timeouts.write))
    }

    /// Gives the TCP stream, for its descriptor.
    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(timed) => &timed.tcp,
            Stream::Tls(secured) => &secured.get_ref().tcp,
        }
    }
}

/// Tries a host's addresses in the resolver's order.
fn first_that_answers(endpoint: &Endpoint, until: Instant) -> Result<TcpStream, SocketError> {
    let host = || endpoint.host().to_owned();
    let addresses = (endpoint.host(), endpoint.port()).to_socket_addrs().map_err(|source| SocketError::Resolve { host: host(), source })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            last = io::ErrorKind::TimedOut.into();
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(SocketError::Connect { host: host(), source: last })
}

impl Timed {
    /// Gives the time that is left, or an error where none is.
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(until) = self.until else { return Ok(None) };
        match until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
            left => Ok(Some(left)),
        }
    }
}

/// Says of a handshake's read that its time was up; a mere `WouldBlock` would be taken for an invitation to try again.
fn in_time(until: Option<Instant>, error: io::Error) -> io::Error {
    if until.is_some() && error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.tcp.set_read_timeout(Some(left))?;
        }
        self.tcp.read(into).map_err(|error| in_time(self.until, error))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.tcp.set_write_timeout(Some(left))?;
        }
        self.tcp.write(bytes).map_err(|error| in_time(self.until, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(READ_AT_ONCE_BYTES);
        let into = into.get_mut(..most).unwrap_or_default();
        match &mut self.stream {
            Stream::Plain(_) if self.at_hand => Err(io::ErrorKind::WouldBlock.into()),
            Stream::Plain(timed) => timed.read(into),
            Stream::Tls(secured) => {
                let decrypted = if self.at_hand { secured.buffered_read_size().unwrap_or(0) } else { 0 };
                if self.at_hand && decrypted == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                secured.read(into)
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(timed) => timed.write(bytes),
            Stream::Tls(secured) => secured.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(timed) => timed.flush(),
            Stream::Tls(secured) => secured.flush(),
        }
    }
}
