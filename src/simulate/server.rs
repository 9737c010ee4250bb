//! The WebSocket server: a thread that accepts connections, and a thread for each client that moves its bytes.
//!
//! 1. A session's thread knows nothing of markets. It sends the client's text to the exchange's thread as an [`Event`], and writes what lies in the client's
//!    [`Outbox`].
//! 2. The socket does not block. One `poll` waits for the socket and for the outbox. Pings are answered here.
//! 3. Every thread ends within [`POLL`] of the stop flag. The thread that started it joins it.
//! 4. No lock is kept while an event is sent: the channel may be full until the exchange's thread, which takes the same locks, has made room.
//!
//! Threads: `sim:websocket` accepts; `sim:client:N` serves one client until it leaves, is disconnected, or the simulator stops.

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

use super::event::Event;
use super::faults::{Fault, FaultKind};
use super::frame::{self, Opcode, Reader};
use super::outbox::{Cut, Outbox};
use super::schedule::Schedule;
use super::stream::Stream;
use super::target::FaultTarget;

/// Longest that a thread sleeps before it looks at the stop flag again.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// Longest that a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Polls that a client has to answer a close frame.
const CLOSE_POLLS: u32 = 20;

/// What the threads of both servers share.
#[derive(Clone)]
pub(super) struct ServerContext {
    pub(super) events: Sender<Event>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tls: Option<SslAcceptor>,
    /// The faults of requests.
    pub(super) schedule: Arc<Mutex<Schedule>>,
}

impl ServerContext {
    /// Tells whether the simulator stops.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Draws for an opportunity of one kind of fault. The lock is free again when this returns.
    pub(super) fn draw(&self, kind: FaultKind) -> Option<Fault> {
        self.schedule.lock().draw_of(kind)
    }

    /// Sends an event to the exchange's thread. Gives `false` where that thread has ended, and nobody counts any more.
    pub(super) fn send(&self, event: Event) -> bool {
        self.events.send(event).is_ok()
    }
}

/// The WebSocket server.
#[derive(Clone)]
pub(super) struct WebSocketServer {
    pub(super) context: ServerContext,
    /// Bytes that may wait for one client.
    pub(super) bound_bytes: usize,
}

/// Accepts connections until the stop flag is set. Calls `serve` for each on a thread of its own.
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
            Err(error) => log::warn!("simulator: a client is refused, as no thread can be started for it: {error}"),
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

impl WebSocketServer {
    /// Serves one client from the handshake to the end.
    pub(super) fn serve(&self, id: u64, socket: TcpStream) {
        if let Some(fault) = self.context.draw(FaultKind::RefuseConnection) {
            self.context.send(Event::Fault(fault, FaultTarget::of_client(id)));
            return;
        }
        let opened = self.open(socket);
        let Ok((stream, outbox)) = opened.inspect_err(|error| log::debug!("simulator: the handshake of client {id} failed: {error}"))
        else {
            return;
        };
        if self.context.send(Event::Connected { client: id, outbox: Arc::clone(&outbox) }) {
            if let Err(error) = self.run(id, stream, &outbox) {
                log::debug!("simulator: the connection of client {id} ended: {error}");
            }
            self.context.send(Event::Disconnected { client: id });
        }
    }

    fn open(&self, socket: TcpStream) -> std::io::Result<(Stream, Arc<Outbox>)> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let stream = Stream::accept(socket, self.context.tls.as_ref())?;
        let websocket = tungstenite::accept(stream).map_err(|error| std::io::Error::other(error.to_string()))?;
        let stream = websocket.into_inner();
        stream.socket().set_nonblocking(true)?;
        Ok((stream, Arc::new(Outbox::new(self.bound_bytes)?)))
    }

    fn run(&self, id: u64, mut stream: Stream, outbox: &Outbox) -> std::io::Result<()> {
        let mut reader = Reader::default();
        let (mut taken, mut written) = (Vec::new(), 0);
        let mut cut = None;
        loop {
            outbox.clear_wake();
            if !self.read(id, &mut stream, &mut reader, outbox)? {
                return Ok(());
            }
            if written == taken.len() {
                taken.clear();
                written = 0;
                cut = outbox.take(&mut taken);
            }
            let is_blocked = write_some(&mut stream, &taken, &mut written)?;
            if written == taken.len() && written > 0 {
                outbox.set_written();
                continue;
            }
            match cut {
                Some(cut) if written == taken.len() => return self.end(id, stream, reader, cut),
                _ if self.context.is_stopping() => return Ok(()),
                _ => wait(&stream, outbox, is_blocked),
            }
        }
    }

    /// Reads what the client has sent. Gives `false` where the client has left.
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
                    Opcode::Text => {
                        self.context.send(Event::Received { client: id, text: payload });
                    }
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

    /// Ends the connection as `cut` says, after everything before has been written.
    fn end(&self, id: u64, mut stream: Stream, mut reader: Reader, cut: Cut) -> std::io::Result<()> {
        match cut {
            Cut::Reset => rustix::net::sockopt::set_socket_linger(stream.socket(), Some(Duration::ZERO))?,
            Cut::Close(code) => {
                stream.socket().shutdown(Shutdown::Write)?;
                // A socket that is closed with unread bytes sends a reset, which may overtake the close frame. So read until the client has left.
                let ignored = Outbox::new(0)?;
                for _ in 0..CLOSE_POLLS {
                    if code == 1006 || self.context.is_stopping() || !self.read(id, &mut stream, &mut reader, &ignored)? {
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

/// Writes until everything is written or the socket would block. Tells whether the socket would block.
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
    // A wait that is interrupted or times out does no harm: the caller looks again.
    let _ = poll(&mut fds, Some(&timespec(POLL)));
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: i64::from(duration.subsec_nanos()) }
}
