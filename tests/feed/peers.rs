//! Servers on loopback that behave as addresses do: one answers, one refuses, one is dead, one accepts and says nothing.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "each test binary uses a part, and a test may panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What an address does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    Refusing,
    /// Swallows the SYN.
    Dead,
    /// Accepts, and never answers.
    Silent,
}

/// An address, with what makes it behave as it does.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    _kept: Vec<OwnedFd>,
    server: Option<Server>,
    silent: Option<TcpListener>,
}

/// An address that refuses every connection as long as the socket is kept: nobody else is given the port.
pub(crate) fn refusing() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    (socket, address)
}

impl Peer {
    /// Makes an address. A good one serves each connection with `serve`.
    pub(crate) fn new(kind: Kind, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let mut kept = Vec::new();
        match kind {
            Kind::Good => {
                let server = Server::start(serve);
                Self { address: server.address, _kept: kept, server: Some(server), silent: None }
            }
            Kind::Refusing => {
                let (socket, address) = refusing();
                kept.push(socket);
                Self { address, _kept: kept, server: None, silent: None }
            }
            Kind::Silent => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.set_nonblocking(true).unwrap();
                let address = listener.local_addr().unwrap();
                Self { address, _kept: kept, server: None, silent: Some(listener) }
            }
            Kind::Dead => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                // A queue for one connection: once it is full, Linux drops every further SYN.
                rustix::net::listen(&listener, 0).unwrap();
                let address = listener.local_addr().unwrap();
                kept.push(listener.into());
                while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                    kept.push(filler.into());
                    assert!(kept.len() < 20, "the queue never fills up: this address is not dead");
                }
                Self { address, _kept: kept, server: None, silent: None }
            }
        }
    }

    /// How many connections have come to a silent one since the last call.
    pub(crate) fn new_visits(&self) -> usize {
        self.silent.as_ref().map_or(0, |listener| std::iter::from_fn(|| listener.accept().ok()).count())
    }

    /// How many connections a good one has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.accepted.load(Ordering::Relaxed))
    }
}

/// A TCP server. Each connection has a thread.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, is_over, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let (count, over) = (Arc::clone(&accepted), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                stream.set_nodelay(true).unwrap();
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, accepted, is_over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads a request, up to its empty line. Gives an empty text where the client goes away.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8(request).unwrap()
}

/// Gives the value of a request's header.
pub(crate) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Accepts a WebSocket, sends a text, and stays until the client goes away.
pub(crate) fn serve_websocket(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    let _ = socket.send(tungstenite::Message::text("hello"));
    while socket.read().is_ok() {}
}

/// Answers each request of a connection with the list of one product.
pub(crate) fn serve_products(mut stream: TcpStream) {
    while !read_request(&mut stream).is_empty() {
        let body = r#"[{"id":"BTC-USD","status":"online"}]"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// Copies both ways until both sides have ended.
pub(crate) fn splice(one: TcpStream, other: TcpStream) {
    let (mut from, mut to) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (other, one);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = back.join();
}
