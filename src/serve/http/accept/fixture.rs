//! A server over real sockets, with a handler of its own, for the tests of this folder.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Handler, HttpServer, Limits, Priority, Request, Response, Stopping, Traffic};
use crate::serve::http::response::StreamFailed;

/// Longest wait for anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
pub(super) const SEND_TIMEOUT: Duration = Duration::from_millis(400);

struct Site {
    stopping: Stopping,
    file: File,
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Response {
        let stopping = self.stopping.clone();
        match request.path() {
            "/health" | "/instant" => Response::bytes("text/plain", b"ok".as_slice()),
            "/bytes" => Response::bytes("text/plain", b"0123456789".as_slice()).with_header("ETag", "\"tag\""),
            "/file" => Response::file("text/plain", self.file.try_clone().expect("a file"), 200_000),
            "/short-file" => Response::file("text/plain", self.file.try_clone().expect("a file"), 200_001),
            "/empty" => Response::empty(204),
            "/stream" => Response::stream("text/plain", |writer| {
                for _ in 0..3000 {
                    writer.write_all(b"0123456789")?;
                }
                writer.write_all(&[b'x'; 100_000])?;
                Ok(writer.write_all(b"end")?)
            }),
            "/nothing" => Response::stream("text/plain", |_| Ok(())),
            "/fails-at-once" => Response::stream("text/plain", |_| {
                Err(StreamFailed::source("planned", Response::error(500, "the day is damaged", "repair it")))
            }),
            "/fails-later" => Response::stream("text/plain", |writer| {
                writer.write_all(&[b'x'; 100_000])?;
                writer.write_all(b"begun")?;
                Err(StreamFailed::source("planned", Response::error(500, "too late", "")))
            }),
            "/panics" => panic!("as planned"),
            "/panics-in-stream" => Response::stream("text/plain", |_| panic!("as planned")),
            "/panics-later" => Response::stream("text/plain", |writer| {
                writer.write_all(b"begun")?;
                writer.flush()?;
                panic!("as planned")
            }),
            "/endless" => Response::stream("text/plain", move |writer| {
                let block = vec![b'x'; 64 << 10];
                while !stopping.is_asked() {
                    writer.write_all(&block)?;
                }
                Ok(())
            }),
            "/stubborn" => Response::stream("text/plain", |writer| {
                loop {
                    writer.write_all(&[b'x'; 1000])?;
                }
            }),
            "/live" => Response::stream("text/event-stream", move |writer| {
                writer.flush()?;
                while !stopping.wait(Duration::from_millis(5)) && !writer.has_left() {}
                Ok(())
            }),
            "/socket" => Response::upgrade(|mut connection| {
                let mut buffer = [0; 100];
                loop {
                    let _ = connection.wait_readable(Duration::from_secs(1));
                    match connection.read(&mut buffer) {
                        Ok(0) => return,
                        Ok(count) => connection.write_all(&buffer[..count]).expect("written"),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }),
            _ => Response::error(404, "nothing", "here"),
        }
    }

    fn priority(&self, path: &str) -> Priority {
        match path {
            "/health" => Priority::Health,
            "/instant" => Priority::Instant,
            _ => Priority::Usual,
        }
    }
}

pub(super) struct Running {
    address: SocketAddr,
    pub(super) http: Option<HttpServer>,
    pub(super) traffic: Arc<Traffic>,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(super) fn start(max_clients: usize) -> Self {
        Self::start_with(Limits { max_clients, send_timeout: SEND_TIMEOUT, head_timeout: Duration::from_millis(400) })
    }

    pub(super) fn start_with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..200_000u32).map(|at| (at % 89) as u8 + 32).collect();
        std::fs::write(&path, bytes).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stopping, traffic) = (Stopping::default(), Arc::<Traffic>::default());
        let handler = Arc::new(Site { stopping: stopping.clone(), file: File::open(&path).expect("a file") });
        let http = HttpServer::start(listener, limits, handler, &stopping, &traffic).expect("started");
        Self { address, http: Some(http), traffic, _folder: folder }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream
    }

    pub(super) fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).expect("sent");
        stream
    }

    /// Sends a request, reads until the server closes. Gives the answer, and whether the connection was reset.
    pub(super) fn ask(&self, text: &str) -> (String, bool) {
        let mut stream = self.send(text);
        let mut bytes = Vec::new();
        let is_reset = stream.read_to_end(&mut bytes).is_err();
        (String::from_utf8_lossy(&bytes).into_owned(), is_reset)
    }

    pub(super) fn get(&self, path: &str) -> String {
        self.ask(&get(path, "Connection: close\r\n")).0
    }

    pub(super) fn await_that(&self, what: &str, mut is_true: impl FnMut(&Traffic) -> bool) {
        let since = Instant::now();
        while !is_true(&self.traffic) {
            assert!(since.elapsed() < DEADLINE, "{what}: {:?}", self.traffic);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn stop(&mut self) -> Duration {
        let since = Instant::now();
        assert!(self.http.take().expect("running").stop());
        since.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(http) = self.http.take() {
            http.stop();
        }
    }
}

pub(super) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

pub(super) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:.100}"))
}

pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Puts chunks together. Gives nothing where the last one is missing.
pub(super) fn unchunked(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut whole = Vec::new();
    loop {
        let Some(end) = body.windows(2).position(|pair| pair == b"\r\n") else { return (whole, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).expect("a size"), 16).expect("a size");
        let Some(chunk) = body.get(end + 2..end + 2 + size) else { return (whole, false) };
        whole.extend_from_slice(chunk);
        body = &body[end + 2 + size + 2..];
        if size == 0 {
            return (whole, body.is_empty());
        }
    }
}
