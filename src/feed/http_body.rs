//! [`read`]: the body of an HTTP response, as RFC 9112 (section 6.3) frames it, unpacked.
//!
//! 1. Chunked, with a length, or up to the end of the stream. Chunk extensions and trailers are passed over. A chunk's size decides, not its line ends.
//! 2. gzip and deflate are unpacked though they were not asked for; other codings are named in the error. Both as content and as transfer coding.
//! 3. Bounded: the bytes as sent and the bytes unpacked by the caller's limit, lines and trailers by [`MAX_LINES_BYTES`].
//! 4. A body that is cut short is an error. Only where the stream's end is its end that cannot be told: JSON that is cut short is none.

use std::io::{self, BufRead, Read};

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::response_head::ResponseHead;

/// Longest line of a chunk's size with its extensions, and all trailers together, in bytes.
const MAX_LINES_BYTES: usize = 64 << 10;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Most codings around one body.
const MAX_CODINGS: usize = 4;

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum BodyError {
    /// The connection broke, or the rest did not come in time.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stream ended before the body.
    #[error("the answer is cut short")]
    Short,
    /// The body exceeds the limit.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// Its framing cannot be understood.
    #[error("the answer's {0} cannot be understood")]
    Framing(&'static str),
    /// It is packed in a way that is not known.
    #[error("the answer is encoded as {0:?}; gzip and deflate are known")]
    Coding(String),
    /// It cannot be unpacked.
    #[error("the answer is no {coding}: {source}")]
    Packed {
        /// How it should be packed.
        coding: &'static str,
        /// What is wrong.
        source: io::Error,
    },
}

/// A body, and whether another answer may follow on the connection.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) keeps_connection: bool,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// Reads the body that follows a head. At most `limit` bytes, both packed and unpacked.
pub(super) fn read(head: &ResponseHead, stream: &mut impl Read, limit: usize) -> Result<Body, BodyError> {
    let is_kept = !head.has_element("connection", "close") && (!head.is_http_1_0 || head.has_element("connection", "keep-alive"));
    let mut transfer: Vec<String> = head.elements("transfer-encoding").filter(|coding| coding != "identity").collect();
    // Known before the body is read, so that an unknown coding is named even where the body cannot be.
    let content = codings(head.elements("content-encoding"))?;
    let (bytes, has_end) = if head.status == 204 || head.status == 304 {
        (Vec::new(), true)
    } else if transfer.last().is_some_and(|last| last == "chunked") {
        transfer.pop();
        (chunked(stream, limit)?, true)
    } else if let Some(length) = length(head).filter(|_| transfer.is_empty()).transpose()? {
        (of_length(stream, length, limit)?, true)
    } else {
        (until_end(stream, limit)?, false)
    };
    let transfer = codings(transfer.into_iter())?;
    let bytes = unpack(bytes, transfer.into_iter().chain(content), limit)?;
    Ok(Body { bytes, keeps_connection: is_kept && has_end })
}

/// Gives the length that the head states. Several equal ones are one (RFC 9112, 6.3).
fn length(head: &ResponseHead) -> Option<Result<usize, BodyError>> {
    let mut lengths = head.elements("content-length");
    let first = lengths.next()?;
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || lengths.any(|other| other != first) {
        return Some(Err(BodyError::Framing("Content-Length")));
    }
    // One that exceeds a usize exceeds the limit, too.
    Some(Ok(first.parse().unwrap_or(usize::MAX)))
}

/// Reads the names of codings, the innermost first.
fn codings(names: impl DoubleEndedIterator<Item = String>) -> Result<Vec<Coding>, BodyError> {
    let mut codings = Vec::new();
    for name in names.rev() {
        match name.as_str() {
            "identity" => {}
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            _ => return Err(BodyError::Coding(name.chars().take(100).collect())),
        }
        if codings.len() > MAX_CODINGS {
            return Err(BodyError::Framing("codings"));
        }
    }
    Ok(codings)
}

fn of_length(stream: &mut impl Read, length: usize, limit: usize) -> Result<Vec<u8>, BodyError> {
    if length > limit {
        return Err(BodyError::TooLong(limit));
    }
    let mut bytes = Vec::new();
    read_exactly(stream, &mut bytes, length)?;
    Ok(bytes)
}

fn chunked(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    loop {
        let line = line(stream, MAX_LINES_BYTES)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().filter(|text| !text.is_empty() && text.len() <= 16 && !text.starts_with('+'));
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or(BodyError::Framing("chunk size"))?;
        if size == 0 {
            break;
        }
        if size > limit.saturating_sub(bytes.len()) {
            return Err(BodyError::TooLong(limit));
        }
        read_exactly(stream, &mut bytes, size)?;
        if !self::line(stream, MAX_LINES_BYTES)?.is_empty() {
            return Err(BodyError::Framing("chunk"));
        }
    }
    // Trailers, up to the empty line.
    let mut left = MAX_LINES_BYTES;
    loop {
        let trailer = line(stream, left)?;
        left = left.saturating_sub(trailer.len() + 1);
        if trailer.is_empty() {
            return Ok(bytes);
        }
    }
}

fn until_end(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    match stream.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes) {
        Ok(_) => {}
        // TLS without a closing alert ends like this.
        Err(error) if !bytes.is_empty() && error.kind() != io::ErrorKind::TimedOut => {}
        Err(error) => return Err(error.into()),
    }
    if bytes.len() > limit { Err(BodyError::TooLong(limit)) } else { Ok(bytes) }
}

/// Adds exactly so many bytes. Memory grows with what comes, not with what is announced.
fn read_exactly(stream: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> Result<(), BodyError> {
    let mut left = count;
    while left > 0 {
        let begin = bytes.len();
        bytes.resize(begin + left.min(PIECE_BYTES), 0);
        let piece = bytes.get_mut(begin..).unwrap_or_default();
        let read = match stream.read(piece) {
            Ok(0) => return Err(BodyError::Short),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error.into()),
        };
        bytes.truncate(begin + read);
        left -= read;
    }
    Ok(())
}

/// Reads a line, without its end.
fn line(stream: &mut impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(BodyError::Short),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        if byte == [b'\n'] {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(line);
        }
        if line.len() >= limit {
            return Err(BodyError::Framing("chunk"));
        }
        line.extend_from_slice(&byte);
    }
}

/// Takes off one coding after the other.
fn unpack(mut bytes: Vec<u8>, codings: impl Iterator<Item = Coding>, limit: usize) -> Result<Vec<u8>, BodyError> {
    for coding in codings {
        bytes = match coding {
            // An empty body is packed as nothing by some servers.
            _ if bytes.is_empty() => bytes,
            Coding::Gzip => gzip(&bytes, limit)?,
            // `deflate` is zlib's format; some servers send it without zlib's frame.
            Coding::Deflate => match unpacked("deflate", ZlibDecoder::new(bytes.as_slice()), limit) {
                Err(BodyError::Packed { .. }) => unpacked("deflate", DeflateDecoder::new(bytes.as_slice()), limit)?,
                done => done?,
            },
        };
    }
    Ok(bytes)
}

/// Unpacks all members of a gzip text. What follows the last one is padding.
fn gzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let (mut rest, mut bytes) = (packed, Vec::new());
    loop {
        let mut member = GzDecoder::new(rest);
        bytes.extend(unpacked("gzip", &mut member, limit.saturating_sub(bytes.len())).map_err(|error| match error {
            BodyError::TooLong(_) => BodyError::TooLong(limit),
            error => error,
        })?);
        let mut left = member.into_inner();
        match left.fill_buf() {
            Ok([0x1f, 0x8b, ..]) => rest = left,
            _ => return Ok(bytes),
        }
    }
}

fn unpacked(coding: &'static str, decoder: impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut bytes).map_err(|source| BodyError::Packed { coding, source })?;
    if bytes.len() > limit { Err(BodyError::TooLong(limit)) } else { Ok(bytes) }
}
