//! [`parse`]: the bytes of a request head, as far as they have come, become a [`Request`], a refusal, or a wish for more.
//!
//! `httparse` finds the parts. What it lets pass, and what two servers in a row may read in two ways (request smuggling), is refused here:
//!
//! 1. Each line ends with CR LF: a bare LF or CR is refused, and so are NUL, other control characters, a folded line and a space before a colon.
//! 2. `Host` stands there exactly once (HTTP/1.0 may leave it out) and is a host. That of an absolute target counts instead of it.
//! 3. No request has a body: `Transfer-Encoding` of any kind, a `Content-Length` that is no number, is there twice or is not 0.
//! 4. `GET` and `HEAD` only; HTTP/1.0 and HTTP/1.1 only; no `Expect`.
//! 5. 16 KiB and 100 fields at most.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Status};

use super::host::Authority;
use super::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use super::request::{Method, Request};
use super::response::Response;
use super::target::{BadTarget, Target};

/// What the bytes that have come are.
#[derive(Debug)]
pub(crate) enum Head {
    /// The beginning of a head, or nothing yet.
    Partial,
    /// A head, and how many bytes it is long.
    Whole(Box<Request>, usize),
    /// No head that is answered. The connection has to be closed after the refusal: where the next request begins is not known.
    Refused(Box<Response>),
}

/// Reads a head.
pub(crate) fn parse(bytes: &[u8], peer: SocketAddr, local: SocketAddr) -> Head {
    match read(bytes, peer, local) {
        Ok(Some((request, length))) => Head::Whole(Box::new(request), length),
        Ok(None) => Head::Partial,
        Err(refusal) => Head::Refused(refusal),
    }
}

type Refusal = Box<Response>;

fn refuse(status: u16, error: &str, hint: &str) -> Refusal {
    Box::new(Response::error(status, error, hint))
}

fn bad(error: &str) -> Refusal {
    refuse(400, error, "send a request as RFC 9112 has it")
}

fn too_large() -> Refusal {
    refuse(431, "the head of the request is too large", "send at most 16 KiB and 100 header fields")
}

fn read(bytes: &[u8], peer: SocketAddr, local: SocketAddr) -> Result<Option<(Request, usize)>, Refusal> {
    // One empty line before a request is passed over (RFC 9112, 2.2).
    let received = bytes.len();
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = bytes.get(skipped..).unwrap_or_default();
    if bytes.starts_with(b"\r\n") {
        return Err(bad("there is no request between empty lines"));
    }
    let end = bytes.windows(4).take(MAX_HEAD_BYTES).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
    let head = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    check_lines(head)?;
    if head.len() > MAX_HEAD_BYTES || (end.is_none() && received >= MAX_HEAD_BYTES) {
        return Err(too_large());
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Partial) if end.is_none() => return Ok(None),
        Ok(Status::Partial) => return Err(bad("the head of the request ends too early")),
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(httparse::Error::Version) if names_other_version(head) => {
            return Err(refuse(505, "the version of HTTP is not spoken here", "use HTTP/1.1"));
        }
        Err(error) => return Err(bad(&format!("the head of the request is malformed: {error}"))),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(bad("the head of the request has no first line"));
    };
    let headers: Vec<(String, String)> = parsed.headers.iter().map(field).collect();
    let is_http_1_1 = version == 1;
    let target = Target::parse(target).map_err(|why| match why {
        // Other methods have other targets.
        _ if !matches!(method, "GET" | "HEAD") => not_allowed(),
        BadTarget::Form => bad("the target of the request is no path"),
        BadTarget::Escape => bad("the target of the request has an escape that is no text"),
    })?;
    check_framing(&headers)?;
    let host = target.authority.or(check_host(&headers, is_http_1_1)?);
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err(not_allowed()),
    };
    if values(&headers, "content-length").any(|value| value.bytes().any(|byte| byte != b'0')) {
        return Err(bad("a request has no body here"));
    }
    if values(&headers, "expect").next().is_some() {
        return Err(refuse(417, "nothing is expected here", "leave the header Expect out"));
    }
    let asks = |option: &str| {
        let options = values(&headers, "connection").flat_map(|value| value.split(','));
        options.map(|found| found.trim_matches([' ', '\t'])).any(|found| found.eq_ignore_ascii_case(option))
    };
    let keep_alive = if is_http_1_1 { !asks("close") } else { asks("keep-alive") && !asks("close") };
    let (path, parameters) = (target.path, target.parameters);
    let request = Request { method, path, parameters, headers, host, is_http_1_1, keep_alive, peer, local };
    Ok(Some((request, skipped + head.len())))
}

fn not_allowed() -> Refusal {
    Box::new(Response::error(405, "the method is not allowed", "use GET or HEAD").with_header("Allow", "GET, HEAD"))
}

/// Each LF has a CR before it, and each CR an LF behind it, unless it is the last byte so far.
fn check_lines(head: &[u8]) -> Result<(), Refusal> {
    let mut before = 0;
    for byte in head {
        if (*byte == b'\n') != (before == b'\r') {
            return Err(bad("a line of the request does not end with CR LF"));
        }
        before = *byte;
    }
    Ok(())
}

/// Tells whether the first line ends with a version of HTTP. What has none is no request.
fn names_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    version.strip_prefix(b"HTTP/").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

fn field(header: &httparse::Header<'_>) -> (String, String) {
    let value = String::from_utf8_lossy(header.value);
    (header.name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
}

fn values<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// A length has one spelling, and a chunked body none: see rule 3.
fn check_framing(headers: &[(String, String)]) -> Result<(), Refusal> {
    if values(headers, "transfer-encoding").next().is_some() {
        return Err(bad("a request has no body here: Transfer-Encoding is refused"));
    }
    let mut lengths = values(headers, "content-length");
    let is_number = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if is_number(length) => Ok(()),
        (Some(_), None) => Err(bad("Content-Length is no number")),
        (Some(_), Some(_)) => Err(bad("Content-Length stands there twice")),
    }
}

fn check_host(headers: &[(String, String)], is_http_1_1: bool) -> Result<Option<Authority>, Refusal> {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if is_http_1_1 => Err(bad("the header Host is missing")),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(bad("the header Host stands there twice")),
        (Some(host), None) => Authority::parse(host).map(Some).ok_or_else(|| bad("the header Host names no host")),
    }
}

#[cfg(test)]
mod tests;
