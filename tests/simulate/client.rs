//! A small client of the simulator, and a reader of its ledger.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use coltape::internals::simulate::{SimulateConfig, SimulatedFeed, Simulation, products};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a client is sent behind the last frame of a market.
const END: &str = r#"{"type":"the market is over"}"#;

/// Makes a configuration with `count` products and no faults.
pub(crate) fn config(count: usize) -> SimulateConfig {
    let mut config = SimulateConfig::default();
    config.products = products(count).expect("names");
    config
}

/// Makes a configuration with `count` products, and changes it.
pub(crate) fn config_with(count: usize, change: impl FnOnce(&mut SimulateConfig)) -> SimulateConfig {
    let mut config = config(count);
    change(&mut config);
    config
}

/// A WebSocket client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    pub(crate) fn connect(simulation: &Simulation) -> Self {
        let url = &simulation.endpoints().websocket_url;
        let stream = TcpStream::connect(url.trim_start_matches("ws://")).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (socket, _) = tungstenite::client(url, stream).expect("a handshake");
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        Self { socket }
    }

    pub(crate) fn ask(&mut self, request: &Value) {
        self.socket.send(Message::text(request.to_string())).expect("sends");
    }

    /// Subscribes, in the form of the Exchange feed.
    pub(crate) fn subscribe(&mut self, channels: &[&str], products: &[&str]) {
        self.ask(&json!({"type": "subscribe", "channels": channels, "product_ids": products}));
    }

    /// Subscribes to trades, tickers and heartbeats of every product, in the feed's own form.
    pub(crate) fn subscribe_all(&mut self, config: &SimulateConfig) {
        let names: Vec<&str> = config.products.iter().map(|product| product.as_str()).collect();
        if config.feed == SimulatedFeed::Exchange {
            self.subscribe(&["matches", "ticker", "heartbeat"], &names);
        } else {
            for channel in ["market_trades", "ticker", "heartbeats"] {
                self.ask(&json!({"type": "subscribe", "channel": channel, "product_ids": names}));
            }
        }
    }

    /// Gives the next text; `None` where none comes for a moment, an error where the connection has ended.
    pub(crate) fn next(&mut self) -> Result<Option<String>, tungstenite::Error> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(Some(text.to_string())),
                Ok(Message::Close(frame)) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Err(tungstenite::Error::Io(std::io::Error::other(format!("closed {code}"))));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads frames until `is_enough` is true of them. Fails the test where it never is.
    pub(crate) fn read_until(&mut self, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        while !is_enough(&frames) {
            assert!(Instant::now() < deadline, "too few frames: {}, the last {:?}", frames.len(), frames.last());
            frames.extend(self.next().expect("an open connection"));
        }
        frames
    }

    /// Reads until the simulation's market is over and everything of it has come.
    pub(crate) fn read_to_end(&mut self, simulation: &Simulation) -> Vec<String> {
        let mut frames = Vec::new();
        std::thread::scope(|scope| {
            let over = scope.spawn(|| simulation.wait());
            loop {
                let is_over = over.is_finished();
                match self.next().expect("an open connection") {
                    Some(frame) if frame == END => break,
                    Some(frame) => frames.push(frame),
                    // Again and again, as a connection that a fault has silenced does not get it.
                    None if is_over => simulation.send_text(END),
                    None => {}
                }
            }
        });
        frames
    }

    /// Reads until the connection ends. Gives the frames, and how it ended.
    pub(crate) fn read_to_cut(&mut self) -> (Vec<String>, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        loop {
            match self.next() {
                Ok(frame) => frames.extend(frame),
                Err(error) => return (frames, error.to_string()),
            }
            assert!(Instant::now() < deadline, "the connection does not end");
        }
    }
}

/// Reads a frame as JSON.
pub(crate) fn parse(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap_or_else(|error| panic!("{error} in {frame}"))
}

/// Keeps the frames of one type (Exchange) or channel (Advanced).
pub(crate) fn of_kind(frames: &[String], kind: &str) -> Vec<Value> {
    frames.iter().map(|frame| parse(frame)).filter(|value| value["type"] == kind || value["channel"] == kind).collect()
}

/// Reads the ledger's lines of one kind.
pub(crate) fn ledger(path: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a ledger");
    text.lines().map(parse).filter(|line| line["kind"] == kind).collect()
}

/// Sends a GET request by HTTP/1.1. Gives the status line with the headers, and the body.
pub(crate) fn get(simulation: &Simulation, target: &str) -> (String, Vec<u8>) {
    let url = simulation.endpoints().rest_url.as_deref().expect("REST");
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sends");
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let head_end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length: usize = header(&head, "Content-Length").and_then(|value| value.parse().ok()).expect("a length");
            if bytes.len() >= end + 4 + length {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        let count = stream.read(&mut buffer).expect("an answer");
        if count == 0 {
            let end = head_end.expect("a head");
            return (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end + 4..].to_vec());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Gives a header's value.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
