//! [`Head`]: the few top-level fields that decide whether a frame is worth parsing, read without a parser.
//!
//! 1. The fields are found in any order, but the scan stops as soon as it has what the feed needs. In wire order that is within the first bytes.
//! 2. The scan proves nothing about the rest. A frame that is wanted is parsed in full afterwards; one that is not is skipped as it is.
//! 3. Where a name occurs twice the first one counts. No recursion, no allocation; each byte is looked at once.

use super::reject::RejectReason;
use crate::decimal::parse_whole;

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head<'f> {
    /// The text of the top-level `type`, as it is in the frame.
    pub(super) kind: Option<&'f [u8]>,
    /// The text of the top-level `channel`.
    pub(super) channel: Option<&'f [u8]>,
    /// The number of `sequence_num`.
    pub(super) sequence: Option<u64>,
    /// The text of the top-level `timestamp`, where it comes before the sequence number.
    pub(super) timestamp: Option<&'f [u8]>,
    /// What follows the `type`, from its comma on, where that comes first.
    pub(super) body: Option<&'f [u8]>,
}

/// Longest kind in use, `subscriptions`, and some to spare, in bytes. A longer one is read by [`Head::scan`].
const LONGEST_KIND_BYTES: usize = 24;

/// The bytes are not a JSON object as far as they were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnObject;

impl From<NotAnObject> for RejectReason {
    fn from(_: NotAnObject) -> Self {
        Self::NotJson
    }
}

impl<'f> Head<'f> {
    /// Finds the `type` of a message of the Exchange feed.
    #[inline]
    pub(super) fn scan_type(frame: &'f [u8]) -> Result<Self, NotAnObject> {
        match Self::leading_type(frame) {
            Some(head) => Ok(head),
            None => Self::scan(frame, |head| head.kind.is_some()),
        }
    }

    /// Finds `channel` and `sequence_num` of an envelope of the Advanced Trade feed, or the `type` of a message without one.
    pub(super) fn scan_envelope(frame: &'f [u8]) -> Result<Self, NotAnObject> {
        Self::scan(frame, |head| head.channel.is_some() && head.sequence.is_some())
    }

    /// Reads how every message of the Exchange feed begins: `{"type":"` and a kind without escapes.
    #[inline]
    fn leading_type(frame: &'f [u8]) -> Option<Self> {
        let rest = frame.strip_prefix(b"{\"type\":\"")?;
        let end = rest.iter().take(LONGEST_KIND_BYTES).position(|byte| matches!(byte, b'"' | b'\\'))?;
        let kind = rest.get(..end).filter(|_| rest.get(end) == Some(&b'"'))?;
        let body = rest.get(end + 1..).filter(|body| body.first() == Some(&b','));
        Some(Self { kind: Some(kind), body, ..Self::default() })
    }

    /// Reads fields until `is_enough` says so, or to the object's end.
    fn scan(frame: &'f [u8], is_enough: impl Fn(&Self) -> bool) -> Result<Self, NotAnObject> {
        let mut head = Self::default();
        let mut rest = Rest(frame);
        rest.expect(b'{')?;
        if rest.peek() == Some(b'}') {
            return Ok(head);
        }
        loop {
            let name = rest.string()?;
            rest.expect(b':')?;
            match (name, rest.peek()) {
                (b"type", Some(b'"')) if head.kind.is_none() => head.kind = Some(rest.string()?),
                (b"channel", Some(b'"')) if head.channel.is_none() => head.channel = Some(rest.string()?),
                (b"timestamp", Some(b'"')) if head.timestamp.is_none() => head.timestamp = Some(rest.string()?),
                (b"sequence_num", Some(b'0'..=b'9')) if head.sequence.is_none() => head.sequence = rest.number(),
                (b"sequence_num", Some(b'"')) if head.sequence.is_none() => head.sequence = parse_whole(rest.string()?),
                _ => rest.skip_value()?,
            }
            if is_enough(&head) {
                return Ok(head);
            }
            match rest.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(head),
                _ => return Err(NotAnObject),
            }
        }
    }
}

/// The bytes of a frame that have not been looked at.
struct Rest<'f>(&'f [u8]);

impl<'f> Rest<'f> {
    /// Gives the next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.0 = self.0.get(1..)?;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), NotAnObject> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(NotAnObject) }
    }

    /// Takes a string. Gives what is between its quotes, escapes as they are.
    fn string(&mut self) -> Result<&'f [u8], NotAnObject> {
        self.expect(b'"')?;
        let (text, mut at) = (self.0, 0);
        loop {
            at += plain_bytes(text.get(at..).unwrap_or_default());
            match text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(NotAnObject),
            }
        }
        self.0 = text.get(at + 1..).unwrap_or_default();
        text.get(..at).ok_or(NotAnObject)
    }

    /// Takes digits. `None` where they exceed a u64.
    fn number(&mut self) -> Option<u64> {
        let mut value = Some(0u64);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            value = value.and_then(|value| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.0 = rest;
        }
        value
    }

    /// Skips one value of any type: brackets are counted, not matched.
    fn skip_value(&mut self) -> Result<(), NotAnObject> {
        let mut depth = 0u32;
        loop {
            match self.peek().ok_or(NotAnObject)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth = depth.checked_add(1).ok_or(NotAnObject)?;
                    self.next();
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.next();
                }
                b',' | b':' if depth > 0 => {
                    self.next();
                    continue;
                }
                b'}' | b']' | b',' | b':' => return Err(NotAnObject),
                _ => {
                    let end = self.0.iter().position(|byte| matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"'));
                    self.0 = self.0.get(end.unwrap_or(self.0.len())..).unwrap_or_default();
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Counts bytes at the beginning of a text that are neither a quote nor a backslash, eight at a time. There may be up to seven more.
#[inline(always)]
fn plain_bytes(text: &[u8]) -> usize {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = LOW << 7;
    // The upper bit of each byte that is 0. Bytes above the lowest such one may be wrong (Mycroft, 1987).
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut plain = 0;
    for word in text.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        let others = zeros(word ^ (LOW * 0x22)) | zeros(word ^ (LOW * 0x5c));
        if others != 0 {
            return plain + (others.trailing_zeros() / 8) as usize;
        }
        plain += 8;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(frame: &str) -> Result<Option<&str>, NotAnObject> {
        Head::scan_type(frame.as_bytes()).map(|head| head.kind.map(|kind| std::str::from_utf8(kind).unwrap()))
    }

    #[test]
    fn the_type_is_found_anywhere() {
        assert_eq!(kind(r#"{"type":"match","x":1}"#), Ok(Some("match")));
        assert_eq!(kind(r#" { "x" : [ {"type":"no"}, "}\"" , -1.5e3, null ] , "y":{"type":"no"}, "type" : "match" }"#), Ok(Some("match")));
        assert_eq!(kind(r#"{"type":null,"type":"match","type":"other"}"#), Ok(Some("match")));
        assert_eq!(kind(r#"{"message":"type","reason":"\"type\":\"match\""}"#), Ok(None));
        assert_eq!(kind("{}"), Ok(None));
    }

    #[test]
    fn the_fast_path_finds_what_the_scan_finds() {
        for (frame, is_fast) in [
            (r#"{"type":"match","trade_id":1}"#, true),
            (r#"{"type":"","x":1}"#, true),
            (r#"{"type":"subscriptions_of_the_next_year","x":1}"#, false),
            (r#"{"type":"ma\u0074ch"}"#, false),
            (r#"{"type":"match\"","x":1}"#, false),
            (r#"{ "type":"match"}"#, false),
            (r#"{"type":"match"#, false),
        ] {
            let (fast, scanned) = (Head::leading_type(frame.as_bytes()), Head::scan(frame.as_bytes(), |head| head.kind.is_some()));
            assert_eq!(fast.is_some(), is_fast, "{frame}");
            assert!(fast.is_none_or(|fast| Ok(Head { body: None, ..fast }) == scanned), "{frame}");
        }
    }

    #[test]
    fn what_ends_before_its_type_is_no_object() {
        for frame in ["", "null", "[]", "{", r#"{"type"#, r#"{"type":"match"#, r#"{"x":[[["#, r#"{"x":}"#, r#"{"x":1]"#, r#"{"x\"#, "{1:2}"]
        {
            assert_eq!(kind(frame), Err(NotAnObject), "{frame}");
        }
        // What follows the type is not looked at.
        assert_eq!(kind(r#"{"type":"l2update","changes":[["#), Ok(Some("l2update")));
    }

    #[test]
    fn the_sequence_is_found_before_and_after_the_events() {
        let scan = |frame: &'static str| Head::scan_envelope(frame.as_bytes()).unwrap();
        let wire = scan(r#"{"channel":"l2_data","client_id":"","timestamp":"t","sequence_num":17,"events":[["#);
        assert_eq!((wire.channel, wire.sequence, wire.timestamp), (Some(&b"l2_data"[..]), Some(17), Some(&b"t"[..])));
        assert_eq!(scan(r#"{"channel":"c","sequence_num":"1.7e1"}"#).sequence, Some(17));
        let inverted = scan(r#"{"events":[{"sequence_num":3,"channel":"x"}],"sequence_num":0,"channel":"ticker"}"#);
        assert_eq!((inverted.channel, inverted.sequence), (Some(&b"ticker"[..]), Some(0)));
        assert_eq!(scan(r#"{"channel":"c","sequence_num":18446744073709551616}"#).sequence, None);
        assert_eq!(scan(r#"{"type":"error","message":"m"}"#).kind, Some(&b"error"[..]));
        assert_eq!(
            scan(r#"{"type":"match","channel":"c","sequence_num":1}"#).channel,
            Some(&b"c"[..]),
            "a leading type does not end the scan"
        );
    }

    #[test]
    fn deep_nesting_is_read_without_recursion() {
        let frame = format!(r#"{{"x":{}{},"type":"match"}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(kind(&frame), Ok(Some("match")));
    }
}
