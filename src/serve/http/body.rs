//! [`BodyWriter`]: a body of a length that is not known, written while it is made.
//!
//! 1. Bytes are gathered to chunks of [`CHUNK_BYTES`], or sent by `flush`. What is larger than a chunk is not copied, nor are [`BodyWriter::send_parts`].
//! 2. The head of the answer goes out with the first chunk. Until then a failure can still be answered with its status.
//! 3. Only [`BodyWriter::finish`] writes the last chunk. A body whose maker fails or panics never gets one, so its client sees that it is cut short.
//!    HTTP/1.0 has no chunks: there the connection is reset.
//! 4. After a write has failed, every other one fails too.

use std::io::{self, ErrorKind, IoSlice, Write};

use super::socket::ClientSocket;

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// The last chunk.
const END: &[u8] = b"0\r\n\r\n";

/// Writes a body. The thread waits where the client takes its time, and the write fails where it takes too much: see [`super::pace`].
#[derive(Debug)]
pub(crate) struct BodyWriter<'a> {
    socket: &'a mut ClientSocket,
    /// Until it is sent.
    head: Option<Vec<u8>>,
    is_chunked: bool,
    waiting: Vec<u8>,
    has_failed: bool,
}

impl<'a> BodyWriter<'a> {
    pub(super) fn new(socket: &'a mut ClientSocket, head: Vec<u8>, is_chunked: bool) -> Self {
        Self { socket, head: Some(head), is_chunked, waiting: Vec::new(), has_failed: false }
    }

    /// Tells whether the client has left. Only a look at it shows that while there is nothing to write.
    #[must_use]
    pub(crate) fn has_left(&self) -> bool {
        self.has_failed || self.socket.has_left()
    }

    /// Tells whether the head of the answer was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.head.is_none()
    }

    /// Sends what waits, and the last chunk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.send(&[&waiting], if self.is_chunked { END } else { b"" })
    }

    /// Sends what waits, and then a chunk that is made of these parts. They are not copied: for what many clients get.
    pub(crate) fn send_parts(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.send_waiting()?;
        }
        self.send(parts, b"")
    }

    /// Sends the head, if it was not sent, a chunk, and what comes behind it.
    fn send(&mut self, parts: &[&[u8]], behind: &[u8]) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "the client is gone"));
        }
        let (head, length) = (self.head.take().unwrap_or_default(), parts.iter().map(|part| part.len()).sum::<usize>());
        let (size, end) = if self.is_chunked && length > 0 { (format!("{length:x}\r\n"), "\r\n") } else { (String::new(), "") };
        let before = [head.as_slice(), size.as_bytes()];
        let all = before.into_iter().chain(parts.iter().copied()).chain([end.as_bytes(), behind]);
        let mut slices: Vec<IoSlice<'_>> = all.filter(|part| !part.is_empty()).map(IoSlice::new).collect();
        let sent = self.socket.write_parts(&mut slices);
        self.has_failed = sent.is_err();
        sent
    }

    fn send_waiting(&mut self) -> io::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let sent = self.send(&[&waiting], b"");
        waiting.clear();
        self.waiting = waiting;
        sent
    }
}

impl Write for BodyWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + bytes.len() > CHUNK_BYTES && !self.waiting.is_empty() {
            self.send_waiting()?;
        }
        if bytes.len() >= CHUNK_BYTES {
            self.send(&[bytes], b"")?;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// Sends what waits. The first flush sends the head too, even where nothing was written.
    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() && self.has_begun() && !self.has_failed { Ok(()) } else { self.send_waiting() }
    }
}
