//! WebSocket frames of a server, whose payload is not masked (RFC 6455, section 5.2).
//!
//! What is sent to every client is made into a frame once. Frames of clients, and answers to their pings, are left to `tungstenite`.

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
}

/// Adds a frame.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    const FINAL: u8 = 0x80;
    out.push(FINAL | opcode as u8);
    match payload.len() {
        short @ 0..=125 => out.extend(u8::try_from(short)),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(payload);
}

/// Adds a close frame. The reason must fit a control frame.
pub(super) fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    const MOST: usize = 123;
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.bytes().take(MOST));
    write(out, Opcode::Close, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_one_three_or_nine_bytes() {
        for (length, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write(&mut out, Opcode::Text, &vec![b'x'; length]);
            assert!(out.starts_with(head) && out.len() == head.len() + length, "{length}");
        }
        let mut out = Vec::new();
        write_close(&mut out, 1001, &"x".repeat(200));
        assert_eq!(out.get(..4), Some(&[0x88, 125, 0x03, 0xe9][..]), "a control frame has at most 125 bytes");
    }
}
