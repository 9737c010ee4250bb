//! A WebSocket server that does exactly what a test says, connection by connection, where the simulator would behave too well.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// One accepted connection.
pub(crate) struct Session {
    socket: WebSocket<TcpStream>,
    is_over: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn send(&mut self, text: impl Into<String>) {
        // In some tests the client goes away.
        let _ = self.socket.send(Message::text(text.into()));
    }

    pub(crate) fn send_bytes(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::binary(bytes));
    }

    /// Sends a text in frames of at most so many bytes.
    pub(crate) fn send_in_frames(&mut self, text: &str, bytes: usize) {
        let count = text.len().div_ceil(bytes).max(1);
        for (at, part) in text.as_bytes().chunks(bytes).enumerate() {
            let kind = if at == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(part.to_vec(), OpCode::Data(kind), at + 1 == count);
            let _ = self.socket.send(Message::Frame(frame));
        }
    }

    /// Sends a part of a text.
    pub(crate) fn send_part(&mut self, is_first: bool, bytes: Vec<u8>, is_last: bool) {
        let kind = if is_first { Data::Text } else { Data::Continue };
        let _ = self.socket.send(Message::Frame(Frame::message(bytes, OpCode::Data(kind), is_last)));
    }

    /// Gives the next message of the client. Gives none when the client has gone or the test is over.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
                        && !self.is_over.load(Ordering::Relaxed) => {}
                Err(_) => return None,
            }
        }
    }

    /// Tells whether the client has gone or the test is over. Does not wait.
    pub(crate) fn has_gone(&mut self) -> bool {
        !self.socket.can_write() || self.is_over.load(Ordering::Relaxed)
    }

    /// Waits a moment for a message. Gives `None` when the client has gone or the test is over.
    pub(crate) fn receive_at_once(&mut self) -> Option<()> {
        match self.socket.read() {
            Ok(Message::Close(_)) => None,
            Ok(_) => Some(()),
            Err(tungstenite::Error::Io(error)) => {
                let is_idle = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                (is_idle && !self.is_over.load(Ordering::Relaxed)).then_some(())
            }
            Err(_) => None,
        }
    }

    /// Waits for a subscription. Gives its products.
    pub(crate) fn await_subscription(&mut self) -> Vec<String> {
        let request = self.receive().unwrap_or_default();
        assert!(request["type"] == "subscribe" || request.is_null(), "{request}");
        let mut products: Vec<String> = Vec::new();
        for channel in request["channels"].as_array().into_iter().flatten() {
            for name in channel["product_ids"].as_array().into_iter().flatten() {
                products.push(name.as_str().unwrap().to_owned());
            }
        }
        products.sort();
        products.dedup();
        products
    }

    /// Acknowledges a subscription of these products on every channel.
    pub(crate) fn acknowledge(&mut self, products: &[String]) {
        let channel = |name: &str| json!({"name": name, "product_ids": products, "account_ids": null});
        let channels = ["ticker", "matches", "heartbeat"].map(channel);
        self.send(json!({"type": "subscriptions", "channels": channels}).to_string());
    }

    pub(crate) fn close(self, code: u16) {
        self.close_with(CloseFrame { code: code.into(), reason: "".into() });
    }

    pub(crate) fn close_with(mut self, frame: CloseFrame) {
        let _ = self.socket.close(Some(frame));
        while self.receive().is_some() {}
    }

    /// Keeps the connection open until the client goes away.
    pub(crate) fn linger(mut self) {
        while self.receive().is_some() {}
    }
}

/// The server.
pub(crate) struct Server {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that runs `script` for each connection, numbered from 0, on a thread of its own.
    pub(crate) fn start(script: impl Fn(usize, Session) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (connections, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over, script) = (Arc::clone(&connections), Arc::clone(&is_over), Arc::new(script));
        let thread = std::thread::spawn(move || {
            let mut sessions = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
                let at = count.fetch_add(1, Ordering::Relaxed);
                let (script, over) = (Arc::clone(&script), Arc::clone(&over));
                sessions.push(std::thread::spawn(move || {
                    let Ok(socket) = tungstenite::accept(stream) else { return };
                    socket.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                    script(at, Session { socket, is_over: over });
                }));
            }
            sessions.into_iter().for_each(|session| session.join().unwrap());
        });
        Self { url, connections, is_over, thread: Some(thread) }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let joined = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            joined.unwrap();
        }
    }
}

/// A `match` frame as the Exchange feed sends it; the maker's side is `sell`.
pub(crate) fn match_frame(product: &str, id: u64, time: &str) -> String {
    format!(
        "{{\"type\":\"match\",\"trade_id\":{id},\"maker_order_id\":\"27fff20b-af29-4f45-8744-56dd1ef57dc0\",\
         \"taker_order_id\":\"1da6ce16-c8da-4732-9f71-6049f4c6aaf8\",\"side\":\"sell\",\"size\":\"0.04\",\"price\":\"14.7775\",\
         \"product_id\":\"{product}\",\"sequence\":{},\"time\":\"{time}\"}}",
        id + 1000
    )
}

/// A `ticker` frame that belongs to [`match_frame`] of the same id.
pub(crate) fn ticker_frame(product: &str, id: u64, time: &str) -> String {
    format!(
        "{{\"type\":\"ticker\",\"sequence\":{},\"product_id\":\"{product}\",\"price\":\"14.7775\",\"open_24h\":\"14.6\",\"volume_24h\":\"94.2\",\
         \"low_24h\":\"14.3\",\"high_24h\":\"16.5\",\"volume_30d\":\"229.5\",\"best_bid\":\"14.7550\",\"best_bid_size\":\"1.5\",\
         \"best_ask\":\"14.8060\",\"best_ask_size\":\"2.5\",\"side\":\"buy\",\"time\":\"{time}\",\"trade_id\":{id},\"last_size\":\"0.04\"}}",
        id + 1000
    )
}
