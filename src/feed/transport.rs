//! [`Transport`]: the bytes under a WebSocket, TCP or TLS over TCP, with a deadline while connecting.
//!
//! 1. While a deadline is set, every read and write ends by then. A server that sends byte by byte cannot hold up a handshake. Pauses of this process do not
//!    count, and what has been received is read before the time is judged.
//! 2. While reads are limited to the buffer ([`Transport::set_buffered_only`]), a read gives what has been received already, or `WouldBlock`. It makes no
//!    system call.
//! 3. The system is asked for [`SYSTEM_READ_BYTES`] at once, which may hold several TLS records. Whole messages are read where they lie in the buffer
//!    ([`Transport::received`]). tungstenite takes the rest in small pieces, because it zeroes the memory for each piece first.
//! 4. A signal ends no read and no write with an error.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use native_tls::{HandshakeError, TlsConnector, TlsStream};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::awake::{Deadline, WAIT_STEP};
use super::timeouts::Timeouts;
use super::tls::TlsFault;

/// Bytes asked of the system at once: some two hundred messages.
const SYSTEM_READ_BYTES: usize = 64 << 10;

/// Most bytes of a TLS record, which is all that OpenSSL gives at once (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 << 10;

/// A connected byte stream.
pub(super) struct Transport {
    stream: Stream,
    /// Bytes that reads have given since the handshakes.
    pub(super) read_bytes: u64,
    /// Bytes that reads give before the next frame has to be looked at; nothing where they give all.
    limit: Option<u64>,
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
    /// When the handshakes, or a request, have to be done; `None` for a WebSocket after its handshake.
    deadline: Option<Deadline>,
    received: ReadBuffer,
    /// For how long a read polls instead of sleeping; `None` where it sleeps.
    spins_for: Option<Duration>,
    /// For how long a write may wait where there is no deadline.
    write_within: Duration,
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
            self.fill(read)?;
        }
        let count = self.left.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), self.bytes.get(self.left.start..self.left.start + count)) {
            to.copy_from_slice(from);
        }
        self.left.start += count;
        Ok(count)
    }

    /// Adds to what is left by `read`. What was left stands at the buffer's beginning then. Gives how many bytes came; there has to be room for one.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let kept = self.left.len();
        if self.left.start > 0 {
            self.bytes.copy_within(self.left.clone(), 0);
            self.left = 0..kept;
        }
        let room = self.bytes.get_mut(kept..).unwrap_or_default();
        debug_assert!(!room.is_empty(), "nothing would be taken for the end of the stream");
        let most = room.len();
        let count = read(room)?.min(most);
        self.left.end = kept + count;
        Ok(count)
    }
}

impl Transport {
    /// Goes without TLS.
    pub(super) fn plain(tcp: BufferedTcp) -> Self {
        Self { stream: Stream::Plain(tcp), read_bytes: 0, limit: None }
    }

    /// Makes the TLS handshake.
    ///
    /// # Errors
    /// Where it fails.
    pub(super) fn tls(tcp: BufferedTcp, connector: &TlsConnector, host: &str) -> Result<Self, TlsFault> {
        let stream = connector.connect(host, tcp).map_err(|error| match error {
            HandshakeError::Failure(error) => TlsFault::read(&error.to_string()),
            HandshakeError::WouldBlock(_) => TlsFault::Other("the handshake took too long".to_owned()),
        })?;
        Ok(Self { stream: Stream::Tls { stream: Box::new(stream), decrypted: ReadBuffer::new(RECORD_BYTES) }, read_bytes: 0, limit: None })
    }

    /// Ends the time of the handshakes. From here on a read waits at most a tick.
    pub(super) fn end_handshakes(&mut self, timeouts: &Timeouts) -> io::Result<()> {
        self.read_bytes = 0;
        let buffered = self.buffered_mut();
        buffered.deadline = None;
        buffered.spins_for = timeouts.spins.then_some(timeouts.tick);
        buffered.write_within = timeouts.write;
        buffered.tcp.set_read_timeout(Some(timeouts.tick))?;
        buffered.tcp.set_write_timeout(Some(WAIT_STEP))
    }

    /// Sets by when all reads and writes have to be done.
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.buffered_mut().deadline = Some(deadline);
    }

    /// Tells whether the server has closed the connection, or sent something that nobody asked for.
    pub(super) fn is_stale(&self) -> bool {
        let mut byte = [0];
        !self.is_empty() || !matches!(recv(self.tcp(), &mut byte, RecvFlags::DONTWAIT | RecvFlags::PEEK), Err(Errno::WOULDBLOCK))
    }

    /// Limits reads to what has been received, so that they make no system call, or ends that.
    pub(super) fn set_buffered_only(&mut self, is_limited: bool) {
        self.buffered_mut().buffered_only = is_limited;
    }

    /// Shows what has been received, decrypted and not been read.
    #[inline]
    pub(super) fn received(&self) -> &[u8] {
        let buffer = self.buffer();
        buffer.bytes.get(buffer.left.clone()).unwrap_or_default()
    }

    /// Gives the most bytes that can be received without being read.
    pub(super) fn room(&self) -> usize {
        self.buffer().bytes.len()
    }

    /// Takes the first `head + payload` received bytes as read. Gives the place of the payload, for [`Transport::payload`].
    #[inline]
    pub(super) fn take(&mut self, head: usize, payload: usize) -> Range<usize> {
        self.read_bytes += (head + payload) as u64;
        let left = &mut self.buffer_mut().left;
        let start = left.start + head;
        left.start = (start + payload).min(left.end);
        start..start + payload
    }

    /// Shows a payload. It stays until more is received.
    #[inline]
    pub(super) fn payload(&self, place: Range<usize>) -> &[u8] {
        self.buffer().bytes.get(place).unwrap_or_default()
    }

    /// Receives more, behind what has not been read. Gives 0 at the end of the stream.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.receive(),
            Stream::Tls { stream, decrypted } => decrypted.fill(|bytes| stream.read(bytes)),
        }
    }

    /// Has reads give the next `bytes` and then nothing before [`Transport::received`] was looked at again; with nothing, all.
    pub(super) fn limit(&mut self, bytes: Option<u64>) {
        self.limit = bytes;
    }

    #[inline]
    fn buffer(&self) -> &ReadBuffer {
        match &self.stream {
            Stream::Plain(tcp) => &tcp.received,
            Stream::Tls { decrypted, .. } => decrypted,
        }
    }

    #[inline]
    fn buffer_mut(&mut self) -> &mut ReadBuffer {
        match &mut self.stream {
            Stream::Plain(tcp) => &mut tcp.received,
            Stream::Tls { decrypted, .. } => decrypted,
        }
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

impl BufferedTcp {
    /// Takes a connection whose handshakes have to be done by a deadline.
    pub(super) fn new(tcp: TcpStream, deadline: Deadline) -> Self {
        let received = ReadBuffer::new(SYSTEM_READ_BYTES);
        Self { tcp, deadline: Some(deadline), received, spins_for: None, write_within: Duration::MAX, buffered_only: false }
    }
}

/// Reads what has come by a deadline. Once that is over, what has been received is read all the same.
#[cold]
fn read_by(deadline: &mut Deadline, tcp: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        let Some(step) = deadline.step() else {
            return match recv(tcp, &mut *bytes, RecvFlags::DONTWAIT) {
                Ok((count, _)) => Ok(count),
                Err(Errno::WOULDBLOCK | Errno::INTR) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
                Err(error) => Err(error.into()),
            };
        };
        tcp.set_read_timeout(Some(step))?;
        match (&*tcp).read(bytes) {
            Err(error) if is_interrupted(&error) => {}
            done => return done,
        }
    }
}

/// Writes by a deadline.
#[cold]
fn write_by(deadline: &mut Deadline, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    while let Some(step) = deadline.step() {
        tcp.set_write_timeout(Some(step))?;
        match (&*tcp).write(bytes) {
            Err(error) if is_interrupted(&error) => {}
            done => return done,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was accepted in time"))
}

/// Tells whether an error says only that time has passed, or that a signal came.
fn is_interrupted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Turns `Interrupted` into `WouldBlock`: OpenSSL takes it for a broken connection otherwise.
fn without_signals(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted { io::ErrorKind::WouldBlock.into() } else { error }
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

impl BufferedTcp {
    /// Receives more, behind what has not been read.
    fn receive(&mut self) -> io::Result<usize> {
        let Self { tcp, deadline, received, spins_for, buffered_only, .. } = self;
        received.fill(|bytes| ask_system(tcp, deadline.as_mut(), *spins_for, *buffered_only, bytes))
    }
}

/// Reads from the system as the stream is set.
fn ask_system(
    mut tcp: &TcpStream,
    deadline: Option<&mut Deadline>,
    spins_for: Option<Duration>,
    buffered_only: bool,
    bytes: &mut [u8],
) -> io::Result<usize> {
    if buffered_only {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    if let Some(deadline) = deadline {
        return read_by(deadline, tcp, bytes);
    }
    match spins_for {
        Some(tick) => poll_read(tick, tcp, bytes),
        None => tcp.read(bytes).map_err(without_signals),
    }
}

impl Read for BufferedTcp {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self { tcp, deadline, received, spins_for, buffered_only, .. } = self;
        received.read(into, |bytes| ask_system(tcp, deadline.as_mut(), *spins_for, *buffered_only, bytes))
    }
}

impl Write for BufferedTcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.deadline {
            Some(deadline) => write_by(deadline, &self.tcp, bytes),
            None => match self.tcp.write(bytes) {
                Err(error) if is_interrupted(&error) => write_by(&mut Deadline::within(self.write_within), &self.tcp, bytes),
                done => done,
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Read for Transport {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Nothing left of the limit: who asks for more all the same gets it, as 0 would be the end of the stream.
        let limit = self.limit.take().filter(|limit| *limit > 0);
        let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        let read = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(into),
            Stream::Tls { stream, decrypted } => decrypted.read(into, |bytes| stream.read(bytes)),
        };
        let count = *read.as_ref().unwrap_or(&0) as u64;
        self.limit = limit.map(|limit| limit.saturating_sub(count));
        self.read_bytes += count;
        read
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("known")).expect("connects");
        (client, listener.accept().expect("accepts").0)
    }

    #[test]
    fn what_has_been_received_is_read_although_the_time_is_over() {
        let (client, mut server) = pair();
        server.write_all(b"late").expect("written");
        let mut byte = [0];
        while client.peek(&mut byte).expect("a byte") == 0 {}
        let mut tcp = BufferedTcp::new(client, Deadline::within(Duration::ZERO));
        let mut text = [0; 4];
        tcp.read_exact(&mut text).expect("it was there");
        assert_eq!(&text, b"late");
        assert_eq!(tcp.read(&mut text).expect_err("nothing more").kind(), io::ErrorKind::TimedOut);
        assert_eq!(tcp.write(b"x").expect_err("too late").kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_write_that_nobody_takes_ends_at_the_deadline() {
        let (client, _server) = pair();
        let mut tcp = BufferedTcp::new(client, Deadline::within(Duration::from_millis(100)));
        let error = std::iter::repeat_with(|| tcp.write(&[0; 65536])).find_map(Result::err).expect("the buffers fill up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
