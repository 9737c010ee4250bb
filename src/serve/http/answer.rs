//! [`answer`]: has a request answered, and writes the answer.
//!
//! 1. A handler that panics is answered with 500; a body whose maker panics or fails is broken off, or answered with an error where nothing was sent yet.
//! 2. `If-None-Match` and `Range` are looked at here, for every answer that has an `ETag`, or is of bytes or a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::body::{BodyWriter, CHUNK_BYTES};
use super::handler::Handler;
use super::range::{self, Wanted};
use super::request::Request;
use super::response::{Body, Response, StreamFailed, WriteBody, reason};
use super::socket::ClientSocket;
use super::stopping::Stopping;
use super::traffic::Traffic;
use super::upgrade::{Connection, accept_key};
use crate::time::{Clock, UnixNanos};

/// A client: its socket, and what it has sent that was not looked at.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: ClientSocket,
    pub(super) received: Vec<u8>,
}

/// What becomes of a connection after an answer.
pub(super) enum Outcome {
    /// The next request may come.
    Keep(Client),
    /// No other request is answered.
    Close(Client),
    /// The socket is closed.
    Gone,
}

/// What answers depend on, beside the request.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) handler: &'a dyn Handler,
    pub(super) traffic: &'a Traffic,
    pub(super) stopping: &'a Stopping,
    /// No second request is answered on the connection.
    pub(super) is_last: bool,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By its length.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// By the end of the connection.
    Close,
    /// There is no body, and none could be.
    None,
}

/// How the head of an answer is written.
#[derive(Debug, Clone, Copy)]
struct HeadStyle {
    is_http_1_1: bool,
    keep_alive: bool,
}

/// Answers a request.
pub(super) fn answer(mut client: Client, request: Request, setting: Setting<'_>) -> Outcome {
    let (is_head, keep) = (request.is_head(), request.keep_alive && !setting.is_last && !setting.stopping.is_asked());
    let style = HeadStyle { is_http_1_1: request.is_http_1_1, keep_alive: keep };
    let (key, range, asked) = (accept_key(&request), wanted_range(&request), cached(&request));
    let response = make(setting.handler, request, setting.traffic);
    let response = if is_known(&response, &asked) { not_modified(response) } else { response };
    let response = match response.body {
        Body::Upgrade(talk) => match key {
            Some(key) => {
                setting.traffic.answer(101);
                return upgrade(client, &key, response.headers, talk);
            }
            None => no_websocket(),
        },
        _ => response,
    };
    let sent = match response.body {
        Body::Stream(write) => stream(&mut client.socket, response.status, &response.headers, write, is_head, style, setting.traffic),
        _ => {
            let response = if response.status == 200 && !is_head { part(response, range) } else { response };
            setting.traffic.answer(response.status);
            fixed(&mut client.socket, response, is_head, style).map(|()| style.keep_alive)
        }
    };
    match sent {
        Ok(true) => Outcome::Keep(client),
        Ok(false) => Outcome::Close(client),
        Err(error) => {
            log::debug!("serve: the answer to {} ended early: {error}", client.socket.peer());
            Outcome::Gone
        }
    }
}

/// Has the handler make an answer. One that panics has made a 500.
pub(super) fn make(handler: &dyn Handler, request: Request, traffic: &Traffic) -> Response {
    catch_unwind(AssertUnwindSafe(|| handler.answer(request))).unwrap_or_else(|_| panicked(traffic))
}

/// Gives the bytes of a small answer behind which the connection is closed.
pub(super) fn last_answer(response: Response, is_head: bool) -> Vec<u8> {
    let Response { status, headers, body } = response;
    let body = match body {
        Body::Bytes(bytes) => bytes,
        _ => Default::default(),
    };
    let style = HeadStyle { is_http_1_1: true, keep_alive: false };
    let mut bytes = head(status, &headers, Framing::Length(body.len() as u64), style);
    if !is_head {
        bytes.extend_from_slice(&body);
    }
    bytes
}

fn panicked(traffic: &Traffic) -> Response {
    traffic.panic();
    Response::error(500, "the server has a fault of its own", "its log says more; other requests are answered as before")
}

fn no_websocket() -> Response {
    Response::error(426, "this path is a WebSocket", "connect with a WebSocket client: version 13, over HTTP/1.1")
        .with_header("Upgrade", "websocket")
        .with_header("Sec-WebSocket-Version", "13")
}

fn upgrade(mut client: Client, key: &str, headers: Vec<(&'static str, String)>, talk: super::response::Talk) -> Outcome {
    let mut text = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".to_owned();
    let _ = write!(text, "Sec-WebSocket-Accept: {key}\r\n");
    fields(&mut text, &headers);
    text.push_str("\r\n");
    if client.socket.write_all(text.as_bytes()).is_ok() {
        talk(Connection::new(client.socket, client.received));
    }
    Outcome::Gone
}

/// Gives the values of `If-None-Match`.
fn cached(request: &Request) -> Vec<String> {
    request.header_list("if-none-match").map(str::to_owned).collect()
}

/// Tells whether the client has the answer already: it compares weakly (RFC 9110, 13.1.2).
fn is_known(response: &Response, asked: &[String]) -> bool {
    let strong = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let Some(tag) = response.header("etag").filter(|_| response.status == 200) else { return false };
    asked.iter().any(|asked| asked == "*" || strong(asked) == strong(tag))
}

fn not_modified(response: Response) -> Response {
    let mut empty = Response::empty(304);
    empty.headers = response.headers;
    empty.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    empty
}

/// Gives the range that a request asks for, and the tag under which it does.
fn wanted_range(request: &Request) -> Option<(String, Option<String>)> {
    let range = request.header("range")?;
    Some((range.to_owned(), request.header("if-range").map(str::to_owned)))
}

/// Cuts an answer to the range that is asked for.
fn part(response: Response, range: Option<(String, Option<String>)>) -> Response {
    let length = match &response.body {
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::File(_, length) => *length,
        _ => return response,
    };
    let Some((range, condition)) = range else { return response };
    // A tag that is weak, or another, asks for the whole; so does a date.
    if condition.is_some_and(|tag| tag.starts_with("W/") || response.header("etag") != Some(tag.as_str())) {
        return response;
    }
    let part = match range::of(&range, length) {
        Wanted::Whole => return response,
        Wanted::Nothing => {
            return Response::error(416, format!("no byte of {length} is in the range"), "ask for a range inside of the body")
                .with_header("Content-Range", format!("bytes */{length}"));
        }
        Wanted::Part(part) => part,
    };
    let shown = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
    let Response { headers, body, .. } = response;
    let body = match body {
        Body::Bytes(bytes) => {
            let (start, end) = (usize::try_from(part.start).unwrap_or(usize::MAX), usize::try_from(part.end).unwrap_or(usize::MAX));
            Body::Bytes(bytes.get(start..end).unwrap_or_default().to_vec().into())
        }
        Body::File(mut file, length) => match file.seek(SeekFrom::Start(part.start)) {
            Ok(_) => Body::File(file, part.end.min(length).saturating_sub(part.start)),
            Err(error) => return Response::error(500, format!("a file cannot be read: {error}"), "ask again"),
        },
        other => other,
    };
    Response { status: 206, headers, body }.with_header("Content-Range", shown)
}

/// Writes an answer whose length is known.
fn fixed(socket: &mut ClientSocket, response: Response, is_head: bool, style: HeadStyle) -> io::Result<()> {
    let Response { status, mut headers, body } = response;
    if status == 200 && matches!(body, Body::Bytes(_) | Body::File(..)) {
        headers.push(("Accept-Ranges", "bytes".to_owned()));
    }
    let framing = match &body {
        Body::Bytes(bytes) => Framing::Length(bytes.len() as u64),
        Body::File(_, length) => Framing::Length(*length),
        _ if matches!(status, 204 | 304) => Framing::None,
        _ => Framing::Length(0),
    };
    let mut bytes = head(status, &headers, framing, style);
    match body {
        _ if is_head => socket.write_all(&bytes),
        Body::Bytes(body) if body.len() < CHUNK_BYTES => {
            bytes.extend_from_slice(&body);
            socket.write_all(&bytes)
        }
        Body::Bytes(body) => socket.write_all(&bytes).and_then(|()| socket.write_all(&body)),
        Body::File(file, length) => socket.write_all(&bytes).and_then(|()| send_file(socket, file, length)),
        _ => socket.write_all(&bytes),
    }
}

fn send_file(socket: &mut ClientSocket, file: File, length: u64) -> io::Result<()> {
    let mut source = file.take(length);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = length;
    while left > 0 {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
        }
        socket.write_all(buffer.get(..count).unwrap_or_default())?;
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

/// Writes an answer while it is made. Gives whether the connection can be kept.
fn stream(
    socket: &mut ClientSocket,
    status: u16,
    headers: &[(&'static str, String)],
    write: WriteBody,
    is_head: bool,
    style: HeadStyle,
    traffic: &Traffic,
) -> io::Result<bool> {
    let is_chunked = style.is_http_1_1;
    let style = HeadStyle { keep_alive: style.keep_alive && is_chunked, ..style };
    let head = head(status, headers, if is_chunked { Framing::Chunked } else { Framing::Close }, style);
    if is_head {
        traffic.answer(status);
        return socket.write_all(&head).map(|()| style.keep_alive);
    }
    let mut writer = BodyWriter::new(socket, head, is_chunked);
    let made = catch_unwind(AssertUnwindSafe(|| write(&mut writer)));
    let instead = match made {
        Ok(Ok(())) => {
            traffic.answer(status);
            return writer.finish().map(|()| style.keep_alive);
        }
        Ok(Err(StreamFailed::Client(error))) => {
            traffic.answer(status);
            return Err(error);
        }
        Ok(Err(StreamFailed::Source { why, instead })) => {
            log::warn!("serve: an answer cannot be made: {why}");
            *instead
        }
        Err(_) => panicked(traffic),
    };
    if !writer.has_begun() {
        traffic.answer(instead.status);
        return fixed(socket, instead, false, style).map(|()| style.keep_alive);
    }
    traffic.answer(status);
    traffic.break_off();
    // What was made before the failure is right: a client that reads it as it comes gets it.
    let _ = writer.flush();
    if !is_chunked {
        socket.reset();
        return Err(io::Error::other("the answer was broken off"));
    }
    Ok(false)
}

fn head(status: u16, headers: &[(&'static str, String)], framing: Framing, style: HeadStyle) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} {}\r\nDate: {}\r\n", reason(status), date(Clock::System.now()));
    fields(&mut text, headers);
    let has = |name: &str| headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    if !has("cache-control") {
        text.push_str("Cache-Control: no-cache\r\n");
    }
    text.push_str("X-Content-Type-Options: nosniff\r\n");
    match framing {
        Framing::Length(length) => drop(write!(text, "Content-Length: {length}\r\n")),
        Framing::Chunked => text.push_str("Transfer-Encoding: chunked\r\n"),
        Framing::Close | Framing::None => {}
    }
    text.push_str(match (style.keep_alive, style.is_http_1_1) {
        (false, _) => "Connection: close\r\n",
        (true, false) => "Connection: keep-alive\r\n",
        (true, true) => "",
    });
    text.push_str("\r\n");
    text.into_bytes()
}

fn fields(text: &mut String, headers: &[(&'static str, String)]) {
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
}

/// Shows a time as `Date` has it: `Sat, 07 Jun 2025 12:34:56 GMT`.
fn date(time: UnixNanos) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let shown = time.to_string();
    let field = |from: usize, to: usize| shown.get(from..to).unwrap_or_default();
    let day = DAYS.get((time.seconds() / 86_400 % 7) as usize).copied().unwrap_or_default();
    let month = field(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))).copied().unwrap_or_default();
    format!("{day}, {} {month} {} {} GMT", field(8, 10), field(0, 4), field(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_standard() {
        // The sample of RFC 9110, and the first second.
        assert_eq!(date(UnixNanos(784_111_777_000_000_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(UnixNanos(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(UnixNanos(1_709_164_800_999_999_999)), "Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
