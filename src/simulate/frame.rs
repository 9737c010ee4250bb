//! WebSocket frames on the server's side: it writes headers before payloads, and reads the masked frames of clients.
//!
//! The module writes frames itself so that thousands of them leave in one `write`, and so that a fault can end in the middle of one. The handshake is done
//! by tungstenite.
//!
//! 1. The server writes each message as one unmasked, unfragmented frame (RFC 6455, 5.2).
//! 2. A client's frame must be masked and at most [`MAX_REQUEST_BYTES`] long. Anything else ends the session.
//! 3. Bytes that are not yet a whole frame are kept; [`Reader::next`] loses none.

/// Longest message of a client, in bytes. A request that names 900 products three times has about 50 KB.
pub(super) const MAX_REQUEST_BYTES: usize = 1 << 20;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    /// The rest of a fragmented message.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The peer ends the connection.
    Close,
    /// The peer asks for a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    const ALL: [(u8, Self); 6] =
        [(0, Self::Continuation), (1, Self::Text), (2, Self::Binary), (8, Self::Close), (9, Self::Ping), (10, Self::Pong)];

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(_, opcode)| *opcode == self).map_or(1, |(code, _)| *code)
    }
}

/// Appends one whole frame.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the header of a frame. The caller appends the payload of `length` bytes.
pub(super) fn header(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    out.push(FIN | opcode.code());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a close frame.
pub(super) fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    write(out, Opcode::Close, &payload);
}

/// A client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client broke the WebSocket protocol")]
pub(super) struct ProtocolError;

/// Makes frames of the bytes that a client sends.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Adds bytes that were read from the socket.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the next whole frame, unmasked; `None` where more bytes are needed.
    ///
    /// # Errors
    /// The frame is unmasked, too long or of no known kind.
    pub(super) fn next(&mut self) -> Result<Option<(Opcode, Vec<u8>)>, ProtocolError> {
        let [first, second, rest @ ..] = self.bytes.as_slice() else { return Ok(None) };
        let opcode = Opcode::ALL.iter().find(|(code, _)| *code == first & 0x0f).map(|(_, opcode)| *opcode).ok_or(ProtocolError)?;
        if second & MASKED == 0 {
            return Err(ProtocolError);
        }
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest),
            (126 | 127, _) => return Ok(None),
            (short, rest) => (u64::from(short), rest),
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_REQUEST_BYTES).ok_or(ProtocolError)?;
        let [m0, m1, m2, m3, rest @ ..] = rest else { return Ok(None) };
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let mask = [*m0, *m1, *m2, *m3];
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let used = self.bytes.len() - rest.len() + length;
        self.bytes.drain(..used);
        Ok(Some((opcode, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![FIN | opcode];
        match payload.len() {
            short @ 0..126 => out.push(MASKED | u8::try_from(short).expect("short")),
            medium @ 126..65536 => {
                out.push(MASKED | 126);
                out.extend(u16::try_from(medium).expect("medium").to_be_bytes());
            }
            long => {
                out.push(MASKED | 127);
                out.extend((long as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 250];
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    #[test]
    fn a_frame_is_read_at_every_length_boundary_and_byte_by_byte() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            let mut reader = Reader::default();
            let bytes = masked(1, &payload);
            let (last, before) = bytes.split_last().expect("not empty");
            for byte in before {
                reader.feed(&[*byte]);
                if length < 200 {
                    assert_eq!(reader.next(), Ok(None));
                }
            }
            reader.feed(&[*last]);
            reader.feed(&masked(9, b"x"));
            assert_eq!(reader.next(), Ok(Some((Opcode::Text, payload))));
            assert_eq!(reader.next(), Ok(Some((Opcode::Ping, b"x".to_vec()))));
            assert_eq!(reader.next(), Ok(None));
        }
    }

    #[test]
    fn an_unmasked_or_too_long_frame_ends_the_session() {
        let mut reader = Reader::default();
        reader.feed(&[0x81, 1, b'x']);
        assert_eq!(reader.next(), Err(ProtocolError));
        let mut reader = Reader::default();
        reader.feed(&[0x81, MASKED | 127, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(reader.next(), Err(ProtocolError));
    }

    #[test]
    fn headers_have_the_length_form_of_the_standard() {
        let header_of = |length| {
            let mut out = Vec::new();
            header(&mut out, Opcode::Text, length);
            out
        };
        assert_eq!(header_of(125), [0x81, 125]);
        assert_eq!(header_of(126), [0x81, 126, 0, 126]);
        assert_eq!(header_of(65_535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(header_of(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
