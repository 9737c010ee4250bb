//! [`NextFrame`]: what the received bytes of a WebSocket begin with (RFC 6455, 5.2), as far as it decides who reads it.
//!
//! 1. Nearly every frame is a whole text message, unmasked, with its length in the fewest bytes. Such a one is read where it lies.
//! 2. Everything else is left to tungstenite: pings and closes, which need an answer, messages in several frames, frames larger than the buffer, and
//!    whatever breaks the protocol. Of a control frame it gets exactly the bytes, so that the next frame is looked at here again.

/// What received bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextFrame {
    /// A message in one frame, all of it: its head has so many bytes, its payload so many.
    Message { head: usize, payload: usize, is_text: bool },
    /// A part of such a message, or of a head.
    Unfinished,
    /// A frame that tungstenite reads, of so many bytes where that is known.
    Other { bytes: Option<u64> },
}

/// First byte of a message in one frame: text.
const TEXT: u8 = 0x81;
/// The same of bytes.
const BINARY: u8 = 0x82;
/// First byte of the control frames: close, ping, pong.
const CONTROL: std::ops::RangeInclusive<u8> = 0x88..=0x8a;
/// Longest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL_BYTES: u8 = 125;

impl NextFrame {
    /// Looks at received bytes, of which there are never more than `room`.
    #[inline]
    pub(super) fn of(bytes: &[u8], room: usize) -> Self {
        let [first, length, rest @ ..] = bytes else { return Self::Unfinished };
        if CONTROL.contains(first) && *length <= MAX_CONTROL_BYTES {
            return Self::Other { bytes: Some(2 + u64::from(*length)) };
        }
        if *first != TEXT && *first != BINARY {
            return Self::Other { bytes: None };
        }
        let (head, payload, least) = match length {
            0..126 => (2, u64::from(*length), 0),
            126 => match rest.first_chunk() {
                Some(length) => (4, u64::from(u16::from_be_bytes(*length)), 126),
                None => return Self::Unfinished,
            },
            127 => match rest.first_chunk() {
                Some(length) => (10, u64::from_be_bytes(*length), 1 << 16),
                None => return Self::Unfinished,
            },
            // Masked, which a server's frames must not be.
            _ => return Self::Other { bytes: None },
        };
        if payload < least {
            return Self::Other { bytes: None };
        }
        match usize::try_from(payload) {
            Ok(payload) if payload <= room.saturating_sub(head) => {
                let is_text = *first == TEXT;
                if bytes.len() - head >= payload { Self::Message { head, payload, is_text } } else { Self::Unfinished }
            }
            _ => Self::Other { bytes: (head as u64).checked_add(payload) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 16;

    fn framed(first: u8, head: &[u8], payload: usize) -> Vec<u8> {
        [&[first], head, &vec![b'x'; payload]].concat()
    }

    #[test]
    fn a_message_is_whole_with_its_last_byte_and_not_before() {
        for (head, payload) in [(vec![0], 0), (vec![125], 125), (vec![126, 0, 126], 126), (vec![126, 0xff, 0xfb], 0xfffb)] {
            let bytes = framed(TEXT, &head, payload);
            for cut in 0..bytes.len() {
                assert_eq!(NextFrame::of(&bytes[..cut], ROOM), NextFrame::Unfinished, "{head:?} {cut}");
            }
            let whole = |is_text| NextFrame::Message { head: 1 + head.len(), payload, is_text };
            assert_eq!(NextFrame::of(&bytes, ROOM), whole(true));
            assert_eq!(NextFrame::of(&[&bytes[..], b"more"].concat(), ROOM + 4), whole(true));
            assert_eq!(NextFrame::of(&framed(BINARY, &head, payload), ROOM), whole(false));
        }
    }

    #[test]
    fn what_does_not_fit_or_is_no_plain_message_is_left_to_tungstenite() {
        let of = |bytes: &[u8]| match NextFrame::of(bytes, ROOM) {
            NextFrame::Other { bytes } => bytes,
            found => panic!("{bytes:?}: {found:?}"),
        };
        assert_eq!(of(&[0x81, 126, 0xff, 0xfd]), Some(0x1_0001), "one byte more than there is room for");
        assert_eq!(of(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Some(0x1_000a));
        assert_eq!(of(&[&[0x81, 127][..], &[0xff; 8]].concat()), None, "no number of bytes");
        assert_eq!((of(b"\x88\x00"), of(b"\x89\x05he"), of(b"\x8a\x7d")), (Some(2), Some(7), Some(127)));
        // Fragments, reserved bits and kinds, masks, a control frame that is too long, lengths in more bytes than needed.
        for bytes in
            [&b"\x01\x02hi"[..], b"\x80\x02hi", b"\xc1\x02hi", b"\x83\x02hi", b"\x81\x82aaaahi", b"\x89\x7e\x00\x80", b"\x81\x7e\x00\x7d"]
        {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
        assert_eq!(of(b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), None);
    }
}
