//! [`Wire`]: the bytes under a WebSocket — TCP, or TLS over TCP — with a deadline while connecting and a way to read only what is at hand.
//!
//! 1. While [`Timed::until`] is set, every read and write ends by then, so that a peer that trickles cannot hold up a handshake.
//! 2. While only what is at hand is asked for ([`Wire::only_at_hand`]), a read gives what has been received already or `WouldBlock`; it makes no system call.
//! 3. The system is asked for [`SYSTEM_READ_BYTES`] at once, and so are several records of TLS. What is above takes them in small pieces: it zeroes the
//!    room for each of them first.
//! 4. Names are resolved anew each time: the addresses of a load balancer change.

use crate::feed::endpoint::Endpoint;
use crate::feed::socket::{SocketError, Timeouts};
use crate::feed::tls::TlsRoots;
use native_tls::TlsStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes asked of the system at once: some two hundred messages.
const SYSTEM_READ_BYTES: usize = 64 << 10;

/// Most bytes that a record of TLS holds, which is all that OpenSSL gives at once (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 << 10;

/// A connected byte stream.
pub(super) struct Wire {
    stream: Stream,
    /// Bytes given out since the handshakes.
    pub(super) given: u64,
}

enum Stream {
    Plain(Timed),
    /// With what has been decrypted and not given out.
    Tls(Box<TlsStream<Timed>>, Stock),
}

/// A TCP stream that may have a deadline.
#[derive(Debug)]
pub(super) struct Timed {
    tcp: TcpStream,
    /// When handshakes have to be done; nothing afterwards.
    until: Option<Instant>,
    received: Stock,
    /// For how long a read looks again and again instead of sleeping; nothing where it sleeps.
    spins_for: Option<Duration>,
    /// Whether reads must do without a system call.
    only_at_hand: bool,
}

/// Bytes that were read in one go and are given out in pieces.
#[derive(Debug)]
struct Stock {
    bytes: Box<[u8]>,
    left: Range<usize>,
}

impl Stock {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), left: 0..0 }
    }

    /// Gives out what is there, at most `into` takes; where nothing is, has it read anew.
    #[inline]
    fn give(&mut self, into: &mut [u8], read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
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

impl Wire {
    /// Connects, and shakes hands for TLS where the endpoint asks for it.
    pub(super) fn connect(endpoint: &Endpoint, roots: &TlsRoots, timeouts: &Timeouts) -> Result<Self, SocketError> {
        let until = Instant::now() + timeouts.connect;
        let connector = if endpoint.is_tls() { Some(roots.connector()?) } else { None };
        let tcp = first_that_answers(endpoint, until)?;
        let unusable = |source| SocketError::Connect { host: endpoint.host().to_owned(), source };
        tcp.set_nodelay(true).map_err(unusable)?;
        let timed = Timed { tcp, until: Some(until), received: Stock::new(SYSTEM_READ_BYTES), spins_for: None, only_at_hand: false };
        let stream = match connector {
            None => Stream::Plain(timed),
            Some(connector) => {
                let secured = connector.connect(endpoint.host(), timed);
                let secured = secured.map_err(|error| SocketError::Tls { host: endpoint.host().to_owned(), why: error.to_string() })?;
                Stream::Tls(Box::new(secured), Stock::new(RECORD_BYTES))
            }
        };
        Ok(Self { stream, given: 0 })
    }

    /// Ends the time of handshakes: from here on a read waits at most a tick.
    pub(super) fn settle(&mut self, timeouts: &Timeouts) -> io::Result<()> {
        self.given = 0;
        let timed = self.timed_mut();
        timed.until = None;
        timed.spins_for = timeouts.spins.then_some(timeouts.tick);
        timed.tcp.set_read_timeout(Some(timeouts.tick))?;
        timed.tcp.set_write_timeout(Some(timeouts.write))
    }

    /// Has reads do without a system call from now on, or not any more.
    pub(super) fn only_at_hand(&mut self, is_so: bool) {
        self.timed_mut().only_at_hand = is_so;
    }

    /// Tells whether nothing is at hand.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match &self.stream {
            Stream::Plain(timed) => timed.received.left.is_empty(),
            Stream::Tls(secured, decrypted) => {
                decrypted.left.is_empty()
                    && secured.get_ref().received.left.is_empty()
                    && !secured.buffered_read_size().is_ok_and(|size| size > 0)
            }
        }
    }

    /// Tells whether the last read of the system brought as much as was asked for, so that more may wait there.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        let timed = match &self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(secured, _) => secured.get_ref(),
        };
        timed.received.left.end == SYSTEM_READ_BYTES
    }

    /// Gives the TCP stream, for its descriptor.
    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(timed) => &timed.tcp,
            Stream::Tls(secured, _) => &secured.get_ref().tcp,
        }
    }

    fn timed_mut(&mut self) -> &mut Timed {
        match &mut self.stream {
            Stream::Plain(timed) => timed,
            Stream::Tls(secured, _) => secured.get_mut(),
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

/// Reads what has come, looking again and again for at most a tick.
fn look_for(tick: Duration, tcp: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    let start = Instant::now();
    loop {
        match recv(tcp, &mut *bytes, RecvFlags::DONTWAIT) {
            Ok((count, _)) => return Ok(count),
            Err(Errno::WOULDBLOCK) if start.elapsed() < tick => std::thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        let Self { tcp, until, received, spins_for, only_at_hand } = self;
        received.give(into, |bytes| {
            if *only_at_hand {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if left.is_some() {
                tcp.set_read_timeout(left)?;
            }
            match spins_for {
                Some(tick) => look_for(*tick, tcp, bytes),
                None => tcp.read(bytes).map_err(|error| in_time(*until, error)),
            }
        })
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
        let given = match &mut self.stream {
            Stream::Plain(timed) => timed.read(into),
            Stream::Tls(secured, decrypted) => decrypted.give(into, |bytes| secured.read(bytes)),
        }?;
        self.given += given as u64;
        Ok(given)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(timed) => timed.write(bytes),
            Stream::Tls(secured, _) => secured.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(timed) => timed.flush(),
            Stream::Tls(secured, _) => secured.flush(),
        }
    }
}
