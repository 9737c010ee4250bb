//! [`ResponseHead`]: the head of an HTTP response: of a WebSocket upgrade, of REST, of a proxy.
//!
//! 1. It is read up to its end and no further: what follows belongs to the body, to the WebSocket or to TLS. The streams below have buffers, so that reading
//!    byte by byte makes no system call a byte.
//! 2. Any split into packets will do. Interim responses (1xx but 101) are passed over, as RFC 9110 (15.2) demands.
//! 3. Liberal as RFC 9112 allows: bare line feeds, folded lines, no reason phrase, empty lines before it, HTTP/1.0. A header that is none is passed over.
//! 4. Bounded: [`MAX_HEAD_BYTES`], [`MAX_HEADERS`], [`MAX_INTERIM`].

use std::io::{self, Read};

/// Longest head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most headers.
const MAX_HEADERS: usize = 256;

/// Most interim responses before the final one.
const MAX_INTERIM: usize = 16;

/// Bytes of an answer that is no HTTP that are shown.
const SHOWN_BYTES: usize = 40;

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The connection broke, or nothing came in time.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stream ended before the head.
    #[error("the connection was closed after {after} bytes of the answer")]
    Ended {
        /// How many bytes came.
        after: usize,
    },
    /// The head exceeds a bound.
    #[error("the answer's head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers")]
    TooLong,
    /// Interim responses without end.
    #[error("more than {MAX_INTERIM} interim responses")]
    Interim,
    /// The answer is TLS.
    #[error("the server speaks TLS on this port (want wss:// or https://)")]
    Tls,
    /// The answer is something else.
    #[error("the answer is no HTTP: {begins:?}")]
    NotHttp {
        /// Its first bytes.
        begins: String,
    },
}

impl HeadError {
    /// Tells whether the connection ended before any byte came: a server that closes an idle connection does that.
    pub(super) fn is_before_any_byte(&self) -> bool {
        match self {
            Self::Ended { after } => *after == 0,
            Self::Io(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted)
            }
            _ => false,
        }
    }
}

/// The head of the final response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    /// Whether it is HTTP/1.0, where a connection ends with its answer unless the server says otherwise.
    pub(super) is_http_1_0: bool,
    headers: Vec<(String, String)>,
}

impl ResponseHead {
    /// Reads heads until the final one.
    pub(super) fn read(stream: &mut impl Read) -> Result<Self, HeadError> {
        for _ in 0..=MAX_INTERIM {
            let head = Self::parse(&read_bytes(stream)?)?;
            if head.status == 101 || head.status >= 200 {
                return Ok(head);
            }
        }
        Err(HeadError::Interim)
    }

    fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let mut parser = httparse::ParserConfig::default();
        parser
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .ignore_invalid_headers_in_responses(true);
        match parser.parse_response(&mut response, bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
            Ok(httparse::Status::Partial) | Err(_) => return Err(not_http(bytes)),
        }
        let headers = response.headers.iter().map(|header| {
            let value = String::from_utf8_lossy(header.value);
            // A folded line counts as one space (RFC 9112, 5.2).
            let value = if value.contains(['\r', '\n']) {
                value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            } else {
                value.trim().to_owned()
            };
            (header.name.to_owned(), value)
        });
        let (status, version) = (response.code.unwrap_or_default(), response.version.unwrap_or_default());
        Ok(Self { status, is_http_1_0: version == 0, headers: headers.collect() })
    }

    /// Gives the first header of a name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Gives every header of a name.
    pub(super) fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Gives the elements of a list: of all headers of a name, in their order, in small letters.
    pub(super) fn elements(&self, name: &str) -> impl DoubleEndedIterator<Item = String> {
        let elements: Vec<String> =
            self.all(name).flat_map(|value| value.split(',')).map(|element| element.trim().to_ascii_lowercase()).collect();
        elements.into_iter().filter(|element| !element.is_empty())
    }

    /// Tells whether a list has an element.
    pub(super) fn has_element(&self, name: &str, wanted: &str) -> bool {
        self.elements(name).any(|element| element == wanted)
    }
}

/// Reads the bytes of one head, its empty line included.
fn read_bytes(stream: &mut impl Read) -> Result<Vec<u8>, HeadError> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let mut head = Vec::with_capacity(1024);
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(if head.is_empty() { HeadError::Ended { after: 0 } } else { ended(&head) }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        if head.is_empty() && matches!(byte, [b'\r' | b'\n']) {
            continue;
        }
        head.extend_from_slice(&byte);
        if head.len() == BEGIN.len() && head != BEGIN {
            return Err(not_http(&head));
        }
        if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
            return Ok(head);
        }
        if head.len() >= MAX_HEAD_BYTES {
            return Err(HeadError::TooLong);
        }
    }
}

fn ended(head: &[u8]) -> HeadError {
    if is_tls(head) { HeadError::Tls } else { HeadError::Ended { after: head.len() } }
}

/// Tells whether bytes begin as a TLS record: an alert or a handshake of SSL 3 or later.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

fn not_http(bytes: &[u8]) -> HeadError {
    if is_tls(bytes) {
        return HeadError::Tls;
    }
    let begins = String::from_utf8_lossy(bytes.get(..bytes.len().min(SHOWN_BYTES)).unwrap_or_default()).into_owned();
    HeadError::NotHttp { begins }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ResponseHead, HeadError> {
        ResponseHead::read(&mut text.as_bytes())
    }

    #[test]
    fn what_follows_the_head_is_left_in_the_stream() {
        let mut stream: &[u8] = b"\r\n\nHTTP/1.1 200\nA : b\n\nbody";
        let head = ResponseHead::read(&mut stream).expect("a head");
        assert_eq!((head.status, head.header("a"), stream), (200, Some("b"), &b"body"[..]));
    }

    #[test]
    fn interim_responses_are_passed_over_up_to_a_bound() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        assert_eq!(read(&format!("{interim}{interim}HTTP/1.1 101 S\r\n\r\n")).expect("a head").status, 101);
        assert!(matches!(read(&interim.repeat(1000)), Err(HeadError::Interim)));
    }

    #[test]
    fn lists_are_put_together_from_all_headers() {
        let head =
            read("HTTP/1.0 200 OK\r\nConnection: Keep-Alive,\r\n  , UPGRADE\r\nbad header\r\nconnection: x\r\n\r\n").expect("a head");
        assert_eq!(head.elements("CONNECTION").collect::<Vec<_>>(), ["keep-alive", "upgrade", "x"]);
        assert!(head.is_http_1_0 && head.has_element("connection", "upgrade") && !head.has_element("connection", "up"));
    }

    #[test]
    fn what_is_no_head_says_what_it_is() {
        assert!(matches!(read(""), Err(HeadError::Ended { after: 0 })));
        assert!(matches!(read("HTTP/1.1 200 OK\r\n"), Err(HeadError::Ended { after: 17 })));
        assert!(matches!(read("SSH-2.0-OpenSSH\r\n"), Err(HeadError::NotHttp { .. })));
        assert!(matches!(read("HTTP/1.1 abc\r\n\r\n"), Err(HeadError::NotHttp { .. })));
        assert!(matches!(read("HTTP/1.1 20\r\n\r\n"), Err(HeadError::NotHttp { .. })));
        assert!(matches!(read("\u{15}\u{3}\u{3}"), Err(HeadError::Tls)));
        assert!(matches!(read("\u{15}\u{3}\u{3}\0\u{2}\u{2}F"), Err(HeadError::Tls)));
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD_BYTES));
        assert!(matches!(read(&endless), Err(HeadError::TooLong)));
        assert!(matches!(read(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1))), Err(HeadError::TooLong)));
        assert!(!read("\u{1b}[31mred\r\n\r\n").expect_err("no HTTP").to_string().contains('\u{1b}'));
    }
}
