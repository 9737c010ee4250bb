//! [`HttpClient`]: `GET` requests to one server over HTTP/1.1, one after the other.
//!
//! REST needs no more. It goes through the same [`Connector`] as the WebSocket, so that names, proxies, TLS and time are handled alike.
//!
//! 1. One time-out bounds the whole call, the connection included; pauses of this process do not count. [`MAX_BODY_BYTES`] bound the answer, unpacked.
//! 2. The connection is kept for the next call for at most [`KEPT_FOR`]. Where a kept one turns out to be closed, another is made.
//! 3. A redirect is followed on the same scheme, host and port only.
//! 4. Of an answer that brings nothing (no 2xx) status and headers count, whatever its body is or does.
//! 5. An address that does not answer a request is tried last by later connections.

use std::io::Write;
use std::time::{Duration, Instant};

use super::awake::Deadline;
use super::connector::Connector;
use super::endpoint::Endpoint;
use super::http_body::{self, BodyError};
use super::redirect::{self, RedirectError};
use super::response_head::{HeadError, ResponseHead};
use super::socket_error::SocketError;
use super::transport::Transport;
use super::user_agent::AGENT;

/// Longest body of an answer, unpacked, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 8 << 20;

/// Longest body that is read of an answer that brings nothing, so that its connection can be kept, in bytes.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;

/// Part of the time that is left which such a body may take.
const ERROR_BODY_PART: u32 = 4;

/// How long a connection is kept without a request. Servers and middleboxes close idle ones after a minute or so.
const KEPT_FOR: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum HttpError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] SocketError),
    /// The request was not taken, or nothing that can be read came back.
    #[error("{url}: {source}")]
    Head { url: String, source: HeadError },
    /// The body cannot be used.
    #[error("{url}: {source}")]
    Body { url: String, source: BodyError },
    /// The server redirects to a place that is not followed.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
}

/// An answer.
pub(super) struct Answer {
    pub(super) head: ResponseHead,
    pub(super) body: Vec<u8>,
}

/// A client of one server. Belongs to one thread.
pub(super) struct HttpClient {
    endpoint: Endpoint,
    connector: Connector,
    timeout: Duration,
    kept: Option<(Transport, Instant)>,
}

impl HttpClient {
    /// Makes a client. Does not connect yet.
    pub(super) fn new(endpoint: Endpoint, connector: Connector, timeout: Duration) -> Self {
        Self { endpoint, connector, timeout, kept: None }
    }

    /// Asks for a path of the server, its query included. Any status is an answer.
    pub(super) fn get(&mut self, path: &str) -> Result<Answer, HttpError> {
        let mut deadline = Deadline::within(self.timeout);
        let (mut path, mut followed) = (path.to_owned(), 0);
        loop {
            let answer = self.get_once(&path, &mut deadline)?;
            if !redirect::redirects(answer.head.status) {
                return Ok(answer);
            }
            path = redirect::target(&self.endpoint, &path, answer.head.status, answer.head.header("location"), followed)?;
            followed += 1;
        }
    }

    fn get_once(&mut self, path: &str, deadline: &mut Deadline) -> Result<Answer, HttpError> {
        let kept = self.kept.take().filter(|(transport, since)| since.elapsed() < KEPT_FOR && !transport.is_stale());
        if let Some((transport, _)) = kept {
            match self.exchange(transport, path, deadline) {
                // The server closed it while the request was on its way.
                Err(HttpError::Head { source, .. }) if source.is_before_any_byte() => {}
                done => return done,
            }
        }
        let transport = self.connector.open(&self.endpoint, deadline, Ok)?;
        self.exchange(transport, path, deadline)
    }

    /// Sends a request and takes its answer. Keeps the connection where both sides do.
    fn exchange(&mut self, transport: Transport, path: &str, deadline: &mut Deadline) -> Result<Answer, HttpError> {
        let part = deadline.part(1, Duration::ZERO);
        let answer = self.exchange_within(transport, path, part);
        deadline.count_part(&part);
        answer
    }

    fn exchange_within(&mut self, mut transport: Transport, path: &str, deadline: Deadline) -> Result<Answer, HttpError> {
        let address = transport.tcp().peer_addr();
        transport.set_deadline(deadline);
        let url = || format!("{}{path}", self.endpoint.origin());
        let head = match self.ask(&mut transport, path) {
            Ok(head) => head,
            Err(source) => {
                if let (HeadError::Io(_), Ok(address)) = (&source, address) {
                    self.connector.note_unanswering(address);
                }
                return Err(HttpError::Head { url: url(), source });
            }
        };
        if !(200..=299).contains(&head.status) {
            let mut deadline = deadline;
            transport.set_deadline(deadline.part(ERROR_BODY_PART, Duration::ZERO));
            let body = http_body::read(&head, &mut transport, MAX_ERROR_BODY_BYTES);
            if body.is_ok_and(|body| body.keeps_connection) {
                self.kept = Some((transport, Instant::now()));
            }
            return Ok(Answer { head, body: Vec::new() });
        }
        let body = http_body::read(&head, &mut transport, MAX_BODY_BYTES).map_err(|source| HttpError::Body { url: url(), source })?;
        if body.keeps_connection {
            self.kept = Some((transport, Instant::now()));
        }
        Ok(Answer { head, body: body.bytes })
    }

    fn ask(&self, transport: &mut Transport, path: &str) -> Result<ResponseHead, HeadError> {
        let host = self.endpoint.authority();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n\r\n"
        );
        transport.write_all(request.as_bytes())?;
        transport.flush()?;
        ResponseHead::read(transport)
    }
}
