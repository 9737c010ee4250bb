//! The real `coltape serve`, and a client of its WebSockets.

use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use tungstenite::{Error, Message, WebSocket};

use crate::client::Answer;
use crate::programs::DEADLINE;
use crate::served::Served;

/// A running server; killed when dropped.
pub(crate) struct Serve(pub(crate) Served);

impl Serve {
    pub(crate) fn start(data: &Path) -> Self {
        Self(Served::start(data, &[]))
    }

    pub(crate) fn at(data: &Path, address: &str) -> Self {
        Self(Served::start(data, &["--listen", address]))
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub(crate) fn websocket(&self, path: &str) -> String {
        format!("ws://{}{path}", self.0.address)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        let answer = self.0.get(target);
        assert!(answer.is_whole, "{target}: the answer was broken off");
        answer
    }

    /// Asks for JSON. Gives the status, too.
    pub(crate) fn json(&self, target: &str) -> (u16, Value) {
        let answer = self.get(target);
        (answer.status, answer.json())
    }
}

/// Escapes a text for a query.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A client of a WebSocket.
pub(crate) struct Client {
    pub(crate) socket: WebSocket<TcpStream>,
}

impl Client {
    pub(crate) fn connect(url: &str) -> Self {
        let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(url, stream).unwrap_or_else(|error| panic!("{url}: {error}"));
        Self { socket }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// Subscribes to channels of the Exchange feed.
    pub(crate) fn subscribe(&mut self, channels: &[&str], products: &[&str]) {
        self.send(&serde_json::json!({"type": "subscribe", "channels": channels, "product_ids": products}).to_string());
    }

    /// Subscribes to a channel of the Advanced Trade feed.
    pub(crate) fn subscribe_advanced(&mut self, channel: &str, products: &[&str]) {
        self.send(&serde_json::json!({"type": "subscribe", "channel": channel, "product_ids": products}).to_string());
    }

    /// Gives the next text as it came; the code of the close frame at the end.
    pub(crate) fn next_text(&mut self) -> Result<String, u16> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(frame)) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::Protocol(_)) => return Err(1006),
                Err(Error::Io(error)) => panic!("nothing came: {error}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn next(&mut self) -> Result<Value, u16> {
        self.next_text().map(|text| serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
    }

    /// Gives messages until one is as wanted, that one included.
    pub(crate) fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let message = self.next().unwrap_or_else(|code| panic!("closed with {code}"));
            let is_last = is_wanted(&message);
            all.push(message);
            if is_last {
                return all;
            }
        }
    }

    /// Gives all messages until the server closes, and its code.
    pub(crate) fn rest(&mut self) -> (Vec<Value>, u16) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(message) => all.push(message),
                Err(code) => return (all, code),
            }
        }
    }
}
