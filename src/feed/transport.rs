//! [`Transport`]: the bytes under a WebSocket, TCP or TLS over TCP, with a deadline while connecting.
//!
//! 1. While a deadline is set, every read and write ends by then. A server that sends byte by byte cannot hold up a handshake.
//! 2. While reads are limited to the buffer ([`Transport::set_buffered_only`]), a read gives what has been received already, or `WouldBlock`. It makes no
//!    system call.
//! 3. The system is asked for [`SYSTEM_READ_BYTES`] at once, which may hold several TLS records. tungstenite takes them in small pieces, because it zeroes
//!    the memory for each piece first.
//! 4. Names are resolved anew for each connection: the addresses of a load balancer change.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::time::{Duration, Instant};

use native_tls::TlsStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::endpoint::Endpoint;
use super::socket_error::SocketError;
use super::timeouts::Timeouts;
use super::tls::TlsRoots;

/// Bytes asked of the system at once: some two hundred messages.
const SYSTEM_READ_BYTES: usize = 64 << 10;

/// Most bytes of a TLS record, which is all that OpenSSL gives at once (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 << 10;

/// A connected byte stream.
pub(super) struct Transport {
    stream: Stream,
    /// Bytes that reads have given since the handshakes.
    pub(super) read_bytes: u64,
}

enum Stream {
    Plain(BufferedTcp),
    Tls {
        stream: Box<TlsStream<BufferedTcp>>,
        /// What has been decrypted and not been read yet.
        decrypted: ReadBuffer,
    },
}

/// A TCP stream with a read buffer, that may have a deadline.
#[derive(Debug)]
pub(super) struct BufferedTcp {
    tcp: TcpStream,
    /// When the handshakes have to be done; `None` after them.
    deadline: Option<Instant>,
    received: ReadBuffer,
    /// For how long a read polls instead of sleeping; `None` where it sleeps.
    spins_for: Option<Duration>,
    /// Whether reads are limited to what has been received.
    buffered_only: bool,
}

/// Bytes that were read at once and are given in pieces.
#[derive(Debug)]
struct ReadBuffer {
    bytes: Box<[u8]>,
    left: Range<usize>,
}

impl ReadBuffer {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), left: 0..0 }
    }

    /// Gives what is left, at most as much as `into` takes. Where nothing is left, fills itself by `read` first.
    #[inline]
    fn read(&mut self, into: &mut [u8], read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.left.is_empty() {
            self.left = 0..read(&mut self.bytes)?.min(self.bytes.len());
        }
        let count = self.left.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), self.bytes.get(self.left.start..self.left.start + count)) {
            to.copy_from_slice(from);
        }
        self.left.start += count;
        Ok(count)
    }
}

impl Transport {
    /// Connects, and makes the TLS handshake where the endpoint asks for it.
    pub(super) fn connect(endpoint: &Endpoint, roots: &TlsRoots, timeouts: &Timeouts) -> Result<Self, SocketError> {
        let deadline = Instant::now() + timeouts.connect;
        let connector = if endpoint.is_tls() { Some(roots.connector()?) } else { None };
        let tcp = connect_first(endpoint, deadline)?;
        let unusable = |source| SocketError::Connect { host: endpoint.host().to_owned(), source };
        tcp.set_nodelay(true).map_err(unusable)?;
        let received = ReadBuffer::new(SYSTEM_READ_BYTES);
        let tcp = BufferedTcp { tcp, deadline: Some(deadline), received, spins_for: None, buffered_only: false };
        let stream = match connector {
            None => Stream::Plain(tcp),
            Some(connector) => {
                let stream = connector.connect(endpoint.host(), tcp);
                let stream = stream.map_err(|error| SocketError::Tls { host: endpoint.host().to_owned(), why: error.to_string() })?;
                Stream::Tls { stream: Box::new(stream), decrypted: ReadBuffer::new(RECORD_BYTES) }
            }
        };
        Ok(Self { stream, read_bytes: 0 })
    }

    /// Ends the time of the handshakes. From here on a read waits at most a tick.
    pub(super) fn end_handshakes(&mut self, timeouts: &Timeouts) -> io::Result<()> {
        self.read_bytes = 0;
        let buffered = self.buffered_mut();
        buffered.deadline = None;
        buffered.spins_for = timeouts.spins.then_some(timeouts.tick);
        buffered.tcp.set_read_timeout(Some(timeouts.tick))?;
        buffered.tcp.set_write_timeout(Some(timeouts.write))
    }

    /// Limits reads to what has been received, so that they make no system call, or ends that.
    pub(super) fn set_buffered_only(&mut self, is_limited: bool) {
        self.buffered_mut().buffered_only = is_limited;
    }

    /// Tells whether all that has been received has been read.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.received.left.is_empty(),
            Stream::Tls { stream, decrypted } => {
                decrypted.left.is_empty()
                    && stream.get_ref().received.left.is_empty()
                    && !stream.buffered_read_size().is_ok_and(|size| size > 0)
            }
        }
    }

    /// Tells whether the last read from the system filled the buffer, so that the system probably has more.
    #[inline]
    pub(super) fn was_last_read_full(&self) -> bool {
        self.buffered().received.left.end == SYSTEM_READ_BYTES
    }

    /// Gives the TCP stream, for its descriptor.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.buffered().tcp
    }

    #[inline]
    fn buffered(&self) -> &BufferedTcp {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls { stream, .. } => stream.get_ref(),
        }
    }

    fn buffered_mut(&mut self) -> &mut BufferedTcp {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls { stream, .. } => stream.get_mut(),
        }
    }
}

/// Connects to the first of a host's addresses that answers, in the order of the resolver.
fn connect_first(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, SocketError> {
    let host = || endpoint.host().to_owned();
    let addresses = (endpoint.host(), endpoint.port()).to_socket_addrs().map_err(|source| SocketError::Resolve { host: host(), source })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
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

impl BufferedTcp {
    /// Gives the time that is left to the deadline; an error where none is left.
    fn time_left(&self) -> io::Result<Option<Duration>> {
        let Some(deadline) = self.deadline else { return Ok(None) };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
            left => Ok(Some(left)),
        }
    }
}

/// Turns `WouldBlock` into `TimedOut` during a handshake, which would otherwise try again.
fn timed_out(deadline: Option<Instant>, error: io::Error) -> io::Error {
    if deadline.is_some() && error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// Reads what has come, polling for at most a tick.
fn poll_read(tick: Duration, tcp: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    let start = Instant::now();
    loop {
        match recv(tcp, &mut *bytes, RecvFlags::DONTWAIT) {
            Ok((count, _)) => return Ok(count),
            Err(Errno::WOULDBLOCK) if start.elapsed() < tick => std::thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Read for BufferedTcp {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.time_left()?;
        let Self { tcp, deadline, received, spins_for, buffered_only } = self;
        received.read(into, |bytes| {
            if *buffered_only {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if left.is_some() {
                tcp.set_read_timeout(left)?;
            }
            match spins_for {
                Some(tick) => poll_read(*tick, tcp, bytes),
                None => tcp.read(bytes).map_err(|error| timed_out(*deadline, error)),
            }
        })
    }
}

impl Write for BufferedTcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(left) = self.time_left()? {
            self.tcp.set_write_timeout(Some(left))?;
        }
        self.tcp.write(bytes).map_err(|error| timed_out(self.deadline, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Read for Transport {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(into),
            Stream::Tls { stream, decrypted } => decrypted.read(into, |bytes| stream.read(bytes)),
        }?;
        self.read_bytes += count as u64;
        Ok(count)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write(bytes),
            Stream::Tls { stream, .. } => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls { stream, .. } => stream.flush(),
        }
    }
}
