//! [`upgrade`]: the client's side of the WebSocket handshake (RFC 6455, 4.1).
//!
//! tungstenite has one, too. It refuses an answer that comes in many small packets, an interim response (103) before it, and lists such as
//! `Connection: keep-alive, Upgrade`; all of these are sent. Key and proof are tungstenite's.
//!
//! 1. A status other than 101 is no error here: the caller decides what to do about it.
//! 2. Nothing is read beyond the handshake's end.

use std::io::{Read, Write};

use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::endpoint::Endpoint;
use super::response_head::{HeadError, ResponseHead};
use super::user_agent::AGENT;

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFault {
    /// There is no answer that can be read.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The answer does not say that the protocol is changed to WebSocket.
    #[error("the answer has no header \"{0}\"")]
    Missing(&'static str),
    /// The proof that the server has read the request is wrong.
    #[error("the answer's Sec-WebSocket-Accept is wrong: it is to another request, or from a cache")]
    Proof,
    /// The server uses what was not asked for.
    #[error("the server uses {name} {value:?}, which was not asked for")]
    Unasked {
        /// The header.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

/// Asks for a WebSocket. Gives the answer's head; where that is 101, the stream is a WebSocket from here on.
pub(super) fn upgrade(stream: &mut (impl Read + Write), endpoint: &Endpoint, path: &str) -> Result<ResponseHead, UpgradeFault> {
    let (key, host) = (generate_key(), endpoint.authority());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
         User-Agent: {AGENT}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(HeadError::from)?;
    let head = ResponseHead::read(stream)?;
    if head.status == 101 {
        check(&head, &key)?;
    }
    Ok(head)
}

fn check(head: &ResponseHead, key: &str) -> Result<(), UpgradeFault> {
    if !head.has_element("upgrade", "websocket") {
        return Err(UpgradeFault::Missing("Upgrade: websocket"));
    }
    if !head.has_element("connection", "upgrade") {
        return Err(UpgradeFault::Missing("Connection: Upgrade"));
    }
    match head.header("sec-websocket-accept") {
        None => return Err(UpgradeFault::Missing("Sec-WebSocket-Accept")),
        Some(proof) if proof != derive_accept_key(key.as_bytes()) => return Err(UpgradeFault::Proof),
        Some(_) => {}
    }
    // An extension changes what the frames mean.
    for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
        if let Some(value) = head.all(name).find(|value| !value.is_empty()) {
            return Err(UpgradeFault::Unasked { name, value: value.chars().take(200).collect() });
        }
    }
    Ok(())
}
