//! The WebSocket door: a thread that accepts, and a thread a client that moves bytes.
//!
//! 1. A session's thread knows nothing of markets: text goes to the floor as an [`Event`], what the floor answers lies in the client's [`Outbox`].
//! 2. The socket does not block: one `poll` waits for it and for the box at once. Pings are answered here.
//! 3. Every thread ends within [`POLL`] of the stop flag and is joined by who started it.
//!
//! Threads: `sim:door` accepts; `sim:client:N` serves one client until it goes, is cut off, or the simulator stops.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;
use openssl::ssl::SslAcceptor;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::exchange::Event;
use super::faults::FaultKind;
use super::frame::{self, Opcode, Reader};
use super::ledger::Scene;
use super::outbox::{Cut, Outbox};
use super::schedule::Schedule;
use super::stream::Stream;

/// How long a thread may sleep before it looks at the stop flag again.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client has to answer a close frame: this many polls.
const CLOSE_POLLS: u32 = 20;

/// What the door needs to serve clients.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) events: Sender<Event>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tls: Option<SslAcceptor>,
    pub(super) schedule: Arc<Mutex<Schedule>>,
    /// Bytes that may wait for one client.
    pub(super) bound: usize,
}

/// Accepts connections until the stop flag is set, handing each to `serve` on a thread of its own.
pub(super) fn accept_loop(listener: &TcpListener, stop: &AtomicBool, name: &str, serve: impl Fn(u64, TcpStream) + Clone + Send + 'static) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut count = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&timespec(POLL)));
        let Ok((socket, _)) = listener.accept() else { continue };
        threads.retain(|thread| !thread.is_finished());
        let (serve, id) = (serve.clone(), count);
        count += 1;
        match std::thread::Builder::new().name(format!("{name}:{id}")).spawn(move || serve(id, socket)) {
            Ok(thread) => threads.push(thread),
            Err(error) => log::warn!("simulator: no thread for a client: {error}"),
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

impl Server {
    /// Serves one client from handshake to end.
    pub(super) fn serve(&self, id: u64, socket: TcpStream) {
        if let Some(fault) = self.schedule.lock().draw_of(FaultKind::RefuseConnection) {
            let _ = self.events.send(Event::Fault(fault, Scene::of_client(id)));
            return;
        }
        let opened = self.open(socket);
        let Ok((stream, outbox)) = opened.inspect_err(|error| log::debug!("simulator: client {id} did not come in: {error}")) else {
            return;
        };
        if self.events.send(Event::Opened(id, Arc::clone(&outbox))).is_ok() {
            if let Err(error) = self.run(id, stream, &outbox) {
                log::debug!("simulator: client {id} is gone: {error}");
            }
            let _ = self.events.send(Event::Closed(id));
        }
    }

    fn open(&self, socket: TcpStream) -> std::io::Result<(Stream, Arc<Outbox>)> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let stream = Stream::accept(socket, self.tls.as_ref())?;
        let websocket = tungstenite::accept(stream).map_err(|error| std::io::Error::other(error.to_string()))?;
        let stream = websocket.into_inner();
        stream.socket().set_nonblocking(true)?;
        Ok((stream, Arc::new(Outbox::new(self.bound)?)))
    }

    fn run(&self, id: u64, mut stream: Stream, outbox: &Outbox) -> std::io::Result<()> {
        let mut reader = Reader::default();
        let (mut under_way, mut written) = (Vec::new(), 0);
        let mut cut = None;
        loop {
            outbox.clear_wake();
            if !self.read(id, &mut stream, &mut reader, outbox)? {
                return Ok(());
            }
            if written == under_way.len() {
                under_way.clear();
                written = 0;
                cut = outbox.take(&mut under_way);
            }
            let is_blocked = write_some(&mut stream, &under_way, &mut written)?;
            if written == under_way.len() && written > 0 {
                outbox.written();
                continue;
            }
            match cut {
                Some(cut) if written == under_way.len() => return self.end(id, stream, reader, cut),
                _ if self.stop.load(Ordering::Relaxed) => return Ok(()),
                _ => wait(&stream, outbox, is_blocked),
            }
        }
    }

    /// Reads what has come. Says `false` where the client has left.
    fn read(&self, id: u64, stream: &mut Stream, reader: &mut Reader, outbox: &Outbox) -> std::io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            reader.feed(buffer.get(..count).unwrap_or_default());
            while let Some((opcode, payload)) = reader.next().map_err(std::io::Error::other)? {
                let mut answer = Vec::new();
                match opcode {
                    Opcode::Text => drop(self.events.send(Event::Asked(id, payload))),
                    Opcode::Ping => frame::write(&mut answer, Opcode::Pong, &payload),
                    Opcode::Close => {
                        outbox.cut(Cut::Close(1000));
                        continue;
                    }
                    Opcode::Pong | Opcode::Binary | Opcode::Continuation => {}
                }
                if !answer.is_empty() {
                    outbox.put(&mut answer);
                }
            }
        }
    }

    /// Ends the connection as told: everything before has been written.
    fn end(&self, id: u64, mut stream: Stream, mut reader: Reader, cut: Cut) -> std::io::Result<()> {
        match cut {
            Cut::Reset => rustix::net::sockopt::set_socket_linger(stream.socket(), Some(Duration::ZERO))?,
            Cut::Close(code) => {
                stream.socket().shutdown(Shutdown::Write)?;
                // Closing a socket with unread bytes would reset it, and a reset may overtake the close frame: read until the client is gone.
                let ignored = Outbox::new(0)?;
                for _ in 0..CLOSE_POLLS {
                    if code == 1006 || self.stop.load(Ordering::Relaxed) || !self.read(id, &mut stream, &mut reader, &ignored)? {
                        break;
                    }
                    let mut fds = [PollFd::new(stream.socket(), PollFlags::IN)];
                    let _ = poll(&mut fds, Some(&timespec(POLL)));
                }
            }
        }
        Ok(())
    }
}

/// Writes until everything is written or the socket would block; says which.
fn write_some(stream: &mut Stream, bytes: &[u8], written: &mut usize) -> std::io::Result<bool> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn wait(stream: &Stream, outbox: &Outbox, for_writing: bool) {
    let interest = if for_writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let wake = outbox.wake_fd();
    let mut fds = [PollFd::from_borrowed_fd(stream.socket().as_fd(), interest), PollFd::from_borrowed_fd(wake, PollFlags::IN)];
    // An interrupted or timed-out wait is only an early look.
    let _ = poll(&mut fds, Some(&timespec(POLL)));
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: i64::from(duration.subsec_nanos()) }
}
