//! [`Response`]: an answer before it is written.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io;

use super::body::BodyWriter;
use super::upgrade::Connection;
use crate::json::Object;

/// Writes a body while it is made.
pub(crate) type WriteBody = Box<dyn FnOnce(&mut BodyWriter<'_>) -> Result<(), StreamFailed> + Send>;
/// Talks over a connection that has become a WebSocket.
pub(crate) type Talk = Box<dyn FnOnce(Connection) + Send>;

/// Type of a JSON body.
pub(crate) const JSON: &str = "application/json";

/// What an answer holds.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// Bytes in memory. A range of them can be asked for.
    Bytes(Cow<'static, [u8]>),
    /// A file of this many bytes, sent from its beginning. A range can be asked for.
    File(File, u64),
    /// What a function writes, of a length that is not known. An error or a panic breaks the connection off without a last chunk.
    Stream(WriteBody),
    /// No body: the connection becomes a WebSocket. The answer is 101 where the request asks for that, else 426.
    Upgrade(Talk),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", String::from_utf8_lossy(bytes)),
            Self::File(_, length) => write!(f, "File({length})"),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Upgrade(_) => f.write_str("Upgrade"),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// Why a body was not written to its end.
#[derive(Debug)]
pub(crate) enum StreamFailed {
    /// The client took no more, or was cut off.
    Client(io::Error),
    /// What the body is made of failed. Where nothing was sent yet, the client gets the answer instead.
    Source {
        /// Why, for the log.
        why: String,
        /// What to answer while that is still possible.
        instead: Box<Response>,
    },
}

impl StreamFailed {
    /// Makes a failure of the source. If nothing was sent yet, the client gets `instead`, which is an error.
    pub(crate) fn source(why: impl Display, instead: Response) -> Self {
        Self::Source { why: why.to_string(), instead: Box::new(instead) }
    }
}

/// Writers give an [`io::Error`]; the only thing written to is the client.
impl From<io::Error> for StreamFailed {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl Response {
    /// Makes an error: `{"error":…,"hint":…}`.
    pub(crate) fn error(status: u16, error: impl Into<String>, hint: impl Into<String>) -> Self {
        let text = Object::default().text("error", &error.into()).text("hint", &hint.into()).done();
        Self::bytes(JSON, text.into_bytes()).with_status(status)
    }

    /// Makes an answer of bytes.
    pub(crate) fn bytes(content_type: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        Self::new(content_type, Body::Bytes(bytes.into()))
    }

    /// Makes an answer of JSON.
    pub(crate) fn json(text: String) -> Self {
        Self::bytes(JSON, text.into_bytes())
    }

    /// Makes an answer of a file of this many bytes. Its place in the folder may be gone.
    pub(crate) fn file(content_type: &str, file: File, length: u64) -> Self {
        Self::new(content_type, Body::File(file, length))
    }

    /// Makes an answer that is written while it is made.
    pub(crate) fn stream(content_type: &str, write: impl FnOnce(&mut BodyWriter<'_>) -> Result<(), StreamFailed> + Send + 'static) -> Self {
        Self::new(content_type, Body::Stream(Box::new(write)))
    }

    /// Makes an answer that turns the connection into a WebSocket.
    pub(crate) fn upgrade(talk: impl FnOnce(Connection) + Send + 'static) -> Self {
        Self { status: 101, headers: Vec::new(), body: Body::Upgrade(Box::new(talk)) }
    }

    /// Makes an answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    fn new(content_type: &str, body: Body) -> Self {
        Self { status: 200, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    /// Adds a header field. Control characters in its value are left out.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        value.retain(|character| !character.is_control());
        self.headers.push((name, value));
        self
    }

    /// Has another function write the body of a stream: it is given the one that did.
    #[must_use]
    pub(crate) fn with_stream(mut self, wrap: impl FnOnce(WriteBody) -> WriteBody) -> Self {
        self.body = match self.body {
            Body::Stream(write) => Body::Stream(wrap(write)),
            other => other,
        };
        self
    }

    /// Sets the status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Gives the status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Gives the value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Gives the words that belong to a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Answer",
    }
}
