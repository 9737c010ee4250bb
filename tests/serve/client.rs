//! A small HTTP client that hides nothing: it gives the answer as it came, and whether it came to its end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for a byte.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// All of the body came: its length is as told, or its last chunk is there.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is an error of the contract: a status, what is wrong and what to do. Gives what is wrong.
    pub(crate) fn assert_error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let (json, filled) = (self.json(), |field: &serde_json::Value| field.as_str().is_some_and(|text| !text.is_empty()));
        assert!(filled(&json["error"]) && filled(&json["hint"]) && self.is_whole, "{json}");
        json["error"].as_str().unwrap().to_owned()
    }

    /// Reads an answer from the bytes of a connection. Gives what comes behind it. Nothing where its head is not whole.
    pub(crate) fn parse(bytes: &[u8], is_head: bool) -> Option<(Self, &[u8])> {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {line}")))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new(), is_whole: true };
        let rest = &bytes[end + 4..];
        if is_head || matches!(status, 101 | 204 | 304) {
            return Some((answer, rest));
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            let rest = answer.read_chunks(rest);
            return Some((answer, rest));
        }
        let length = answer.header("content-length").map_or(rest.len(), |length| length.parse().unwrap());
        answer.is_whole = rest.len() >= length;
        answer.body = rest[..length.min(rest.len())].to_vec();
        Some((answer, &rest[length.min(rest.len())..]))
    }

    fn read_chunks<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        self.is_whole = false;
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
            self.body.extend_from_slice(chunk);
            let Some(behind) = rest.get(end + 2 + size..).and_then(|rest| rest.strip_prefix(b"\r\n")) else { break };
            rest = behind;
            if size == 0 {
                self.is_whole = true;
                return rest;
            }
        }
        &[]
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Sends bytes on a connection of its own. Gives what comes until the server closes it.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // The server may refuse, and close, while the rest is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Sends bytes that are one request, and reads its answer.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let answer = exchange(address, bytes);
    let is_head = bytes.starts_with(b"HEAD ");
    let parsed = Answer::parse(&answer, is_head).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&answer)));
    parsed.0
}

/// Asks for a target. Headers may name another host.
pub(crate) fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut text = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    raw(address, (text + "\r\n").as_bytes())
}
