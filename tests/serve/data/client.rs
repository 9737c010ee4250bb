//! A small HTTP client that tells a whole answer from one that was broken off.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::programs::DEADLINE;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether its end was told.
    pub(super) is_whole: bool,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn verdict(&self) -> &str {
        self.header("X-Coltape-Verdict").unwrap_or("none")
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Gives the text of an answer that must be one, and whole.
    pub(super) fn whole(&self) -> &str {
        assert_eq!((self.status, self.is_whole), (200, true), "{}", self.text());
        self.text()
    }

    pub(super) fn error(&self) -> (u16, String) {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert!(self.is_whole && body["hint"].is_string(), "{body}");
        (self.status, format!("{}; {}", body["error"].as_str().unwrap(), body["hint"].as_str().unwrap()))
    }
}

fn connect(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    BufReader::new(stream)
}

fn read_head(stream: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "{lines:?}");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())).unwrap();
    (status, lines[1..].iter().map(header).collect())
}

/// Reads a chunk. Gives nothing at the end that is told, and an error at one that is not.
fn read_chunk(stream: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>, ()> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(count) if count > 0 => {}
        _ => return Err(()),
    }
    let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).unwrap()];
    stream.read_exact(&mut chunk).map_err(|_| ())?;
    let mut end = [0; 2];
    stream.read_exact(&mut end).map_err(|_| ())?;
    Ok((!chunk.is_empty()).then_some(chunk))
}

/// Asks, and reads the whole answer.
pub(super) fn get(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut stream = connect(address, method, path, headers);
    let (status, headers) = read_head(&mut stream);
    let mut reply = Reply { status, headers, body: Vec::new(), is_whole: true };
    if method == "HEAD" {
        return reply;
    }
    if reply.header("Transfer-Encoding") == Some("chunked") {
        loop {
            match read_chunk(&mut stream) {
                Ok(Some(chunk)) => reply.body.extend(chunk),
                Ok(None) => return reply,
                Err(()) => {
                    reply.is_whole = false;
                    return reply;
                }
            }
        }
    }
    let length: usize = reply.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    stream.take(length as u64).read_to_end(&mut reply.body).unwrap();
    reply.is_whole = reply.body.len() == length;
    reply
}

/// An event: its id and its data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) data: serde_json::Value,
}

/// A stream of events.
pub(super) struct Events {
    stream: BufReader<TcpStream>,
    waiting: String,
}

impl Events {
    pub(super) fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = connect(address, "GET", path, headers);
        let (status, headers) = read_head(&mut stream);
        assert_eq!(status, 200);
        assert!(headers.iter().any(|(name, value)| name == "Content-Type" && value == "text/event-stream"), "{headers:?}");
        Self { stream, waiting: String::new() }
    }

    /// Waits for the next event, or the end of the stream. An end that is not told is an error.
    pub(super) fn next(&mut self) -> Result<Option<Event>, ()> {
        loop {
            if let Some((block, rest)) = self.waiting.split_once("\n\n") {
                let event = event_of(block);
                self.waiting = rest.to_owned();
                if let Some(event) = event {
                    return Ok(Some(event));
                }
                continue;
            }
            match read_chunk(&mut self.stream)? {
                Some(chunk) => self.waiting += std::str::from_utf8(&chunk).unwrap(),
                None => return Ok(None),
            }
        }
    }

    /// Gives the next events.
    pub(super) fn take(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.next().expect("the stream goes on").expect("an event")).collect()
    }
}

fn event_of(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = field("data: ")?;
    Some(Event { id: field("id: ").unwrap_or_default(), data: serde_json::from_str(&data).unwrap() })
}
