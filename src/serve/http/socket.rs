//! [`ClientSocket`]: a client's socket. Reads never wait; writes wait, within bounds.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::pace::{Pace, TooSlow};
use super::stopping::Stopping;
use super::traffic::{CutOff, Traffic};

/// Longest wait for a client without a look at whether the server stops.
const SLICE: Duration = Duration::from_millis(100);
/// Bytes of the kernel's send buffer: what may wait for one client, beside one chunk of its answer. The kernel takes twice as many for its own use.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// A client's socket. Each kind of client writes through it, so that each is cut off where it takes too little.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    pace: Pace,
    traffic: Arc<Traffic>,
    stopping: Stopping,
}

impl ClientSocket {
    /// Takes an accepted socket.
    ///
    /// # Errors
    /// Where the client has left already.
    pub(super) fn new(stream: TcpStream, send_timeout: Duration, traffic: &Arc<Traffic>, stopping: &Stopping) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // A system that refuses the size has one of its own.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        traffic.connect();
        Ok(Self { stream, peer, local, pace: Pace::new(send_timeout), traffic: Arc::clone(traffic), stopping: stopping.clone() })
    }

    /// Gives the client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Gives the address at which the client has reached the server.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Gives the socket itself, to be waited for.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Waits until the client has sent something, or has left, but no longer than `longest`. Gives whether it has.
    pub(crate) fn wait_readable(&self, longest: Duration) -> bool {
        self.poll(PollFlags::IN, longest)
    }

    /// As [`ClientSocket::wait_readable`], but no longer than until `other` can be read.
    pub(super) fn wait_readable_or(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> bool {
        let Some(other) = other else { return self.wait_readable(longest) };
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN), PollFd::from_borrowed_fd(other, PollFlags::IN)];
        // A wait that is interrupted does no harm: the caller looks again.
        let _ = poll(&mut fds, Some(&timespec(longest)));
        fds.first().is_some_and(|of_client| !of_client.revents().is_empty())
    }

    /// Tells whether the client has left: it has closed its side, or reset the connection. What it has sent before is not looked at.
    #[must_use]
    pub(crate) fn has_left(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        let seen = fds.first().map_or(PollFlags::empty(), PollFd::revents);
        seen.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// Sends what can be sent without a wait.
    pub(super) fn send_now(&self, bytes: &[u8]) {
        if let Ok(count) = (&self.stream).write(bytes) {
            self.traffic.send(count);
        }
    }

    /// Writes all parts, one behind the other, without putting them together. Waits for the client within its bounds.
    pub(super) fn write_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !parts.is_empty() {
            let count = self.write_some(|mut stream| stream.write_vectored(parts))?;
            IoSlice::advance_slices(&mut parts, count);
        }
        Ok(())
    }

    /// Writes at least a byte.
    fn write_some(&mut self, write: impl Fn(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            self.check_stop()?;
            match write(&self.stream) {
                Ok(count) => {
                    self.pace.take(count);
                    self.traffic.send(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the connection with a reset, so that the client cannot take what it has for the whole.
    pub(super) fn reset(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    fn poll(&self, interest: PollFlags, longest: Duration) -> bool {
        let mut fds = [PollFd::new(&self.stream, interest)];
        // A wait that is interrupted does no harm: the caller looks again.
        matches!(poll(&mut fds, Some(&timespec(longest))), Ok(1..))
    }

    /// Fails where the time to stop is over.
    fn check_stop(&self) -> io::Result<()> {
        if !self.stopping.is_overdue() {
            return Ok(());
        }
        self.traffic.cut_off(CutOff::Stopped);
        self.reset();
        Err(io::Error::new(ErrorKind::ConnectionAborted, "the server stops"))
    }

    /// Waits until the client takes more.
    fn wait_writable(&mut self) -> io::Result<()> {
        let since = Instant::now();
        self.poll(PollFlags::OUT, SLICE.min(self.pace.longest_wait()));
        let Some(slow) = self.pace.wait(since.elapsed()) else { return Ok(()) };
        let (reason, why) = match slow {
            TooSlow::Stalled => (CutOff::Stalled, "the client takes nothing"),
            TooSlow::Trickling => (CutOff::Trickling, "the client takes too little"),
        };
        self.traffic.cut_off(reason);
        log::info!("serve: {} is cut off: {why}", self.peer);
        self.reset();
        Err(io::Error::new(ErrorKind::TimedOut, why))
    }
}

/// Gives a time span as poll(2) takes it, rounded up to a millisecond so that it is not over too early.
pub(super) fn timespec(span: Duration) -> Timespec {
    let span = span + Duration::from_micros(999);
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: i64::from(span.subsec_nanos()) }
}

impl Read for ClientSocket {
    /// Reads what is there. [`ErrorKind::WouldBlock`] where nothing is.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for ClientSocket {
    /// Writes at least a byte. Waits for the client within its bounds.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(|mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.traffic.disconnect();
    }
}
