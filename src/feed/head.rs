//! The kind of a frame without parsing it: the few top-level fields that decide whether a frame is worth a parser.
//!
//! 1. Fields are looked for in any order, but the scan stops as soon as it has what the feed needs; in wire order that is within the first bytes.
//! 2. It proves nothing about the rest: a frame that is wanted is parsed in full afterwards, one that is not is passed over as it is.
//! 3. Where a name stands twice the first one counts. No recursion, no allocation, each byte looked at once.

use crate::feed::Feed;

/// What the head of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head<'f> {
    /// The text of the top-level `type`, as it stands in the frame.
    pub(super) kind: Option<&'f [u8]>,
    /// The text of the top-level `channel`.
    pub(super) channel: Option<&'f [u8]>,
    /// The digits of `sequence_num`.
    pub(super) sequence: Option<u64>,
    /// What follows the `type`, from its comma on, where that stands first.
    pub(super) body: Option<&'f [u8]>,
}

/// Longest kind in use, `subscriptions`, and some to spare, in bytes. A longer one is read all the same.
const LONGEST_KIND_BYTES: usize = 24;

/// Says that the bytes are no JSON object as far as they were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnObject;

impl<'f> Head<'f> {
    /// Scans a frame of a feed.
    #[inline]
    pub(super) fn scan(feed: Feed, frame: &'f [u8]) -> Result<Self, NotAnObject> {
        match Self::of_exchange_at_once(feed, frame) {
            Some(head) => Ok(head),
            None => Self::scan_any(feed, frame),
        }
    }

    /// Reads what every message of the Exchange feed begins with: `{"type":"` and a kind without escapes.
    #[inline]
    fn of_exchange_at_once(feed: Feed, frame: &'f [u8]) -> Option<Self> {
        if feed != Feed::Exchange {
            return None;
        }
        let rest = frame.strip_prefix(b"{\"type\":\"")?;
        let end = rest.iter().take(LONGEST_KIND_BYTES).position(|byte| matches!(byte, b'"' | b'\\'))?;
        let kind = rest.get(..end).filter(|_| rest.get(end) == Some(&b'"'))?;
        let body = rest.get(end + 1..).filter(|body| body.first() == Some(&b','));
        Some(Self { kind: Some(kind), body, ..Self::default() })
    }

    fn scan_any(feed: Feed, frame: &'f [u8]) -> Result<Self, NotAnObject> {
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
                (b"sequence_num", Some(b'0'..=b'9')) if head.sequence.is_none() => head.sequence = rest.number(),
                _ => rest.skip_value()?,
            }
            let enough = match feed {
                Feed::Exchange => head.kind.is_some(),
                Feed::Advanced => head.channel.is_some() && head.sequence.is_some(),
            };
            if enough {
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

/// What of a frame has not been looked at.
struct Rest<'f>(&'f [u8]);

impl<'f> Rest<'f> {
    /// Gives the next byte that is no white space, without taking it.
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

    /// Takes a string and gives what stands between its quotes, escapes as they are.
    fn string(&mut self) -> Result<&'f [u8], NotAnObject> {
        self.expect(b'"')?;
        let (text, mut at) = (self.0, 0);
        loop {
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

    /// Takes digits; nothing where they exceed a u64.
    fn number(&mut self) -> Option<u64> {
        let mut value = Some(0u64);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            value = value.and_then(|value| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.0 = rest;
        }
        value
    }

    /// Passes over one value of any type: brackets are counted, not matched.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(frame: &str) -> Result<Option<&str>, NotAnObject> {
        Head::scan(Feed::Exchange, frame.as_bytes()).map(|head| head.kind.map(|kind| std::str::from_utf8(kind).unwrap()))
    }

    #[test]
    fn the_type_is_found_wherever_it_stands() {
        assert_eq!(kind(r#"{"type":"match","x":1}"#), Ok(Some("match")));
        assert_eq!(kind(r#" { "x" : [ {"type":"no"}, "}\"" , -1.5e3, null ] , "y":{"type":"no"}, "type" : "match" }"#), Ok(Some("match")));
        assert_eq!(kind(r#"{"type":null,"type":"match","type":"other"}"#), Ok(Some("match")));
        assert_eq!(kind(r#"{"message":"type","reason":"\"type\":\"match\""}"#), Ok(None));
        assert_eq!(kind("{}"), Ok(None));
    }

    #[test]
    fn the_short_way_finds_what_the_long_one_finds() {
        for (frame, is_short) in [
            (r#"{"type":"match","trade_id":1}"#, true),
            (r#"{"type":"","x":1}"#, true),
            (r#"{"type":"subscriptions_of_the_next_year","x":1}"#, false),
            (r#"{"type":"ma\u0074ch"}"#, false),
            (r#"{"type":"match\"","x":1}"#, false),
            (r#"{ "type":"match"}"#, false),
            (r#"{"type":"match"#, false),
        ] {
            let (short, long) =
                (Head::of_exchange_at_once(Feed::Exchange, frame.as_bytes()), Head::scan_any(Feed::Exchange, frame.as_bytes()));
            assert_eq!(short.is_some(), is_short, "{frame}");
            assert!(short.is_none_or(|short| Ok(Head { body: None, ..short }) == long), "{frame}");
        }
        assert_eq!(Head::of_exchange_at_once(Feed::Advanced, br#"{"type":"match"}"#), None);
    }

    #[test]
    fn what_ends_before_its_kind_is_no_object() {
        for frame in ["", "null", "[]", "{", r#"{"type"#, r#"{"type":"match"#, r#"{"x":[[["#, r#"{"x":}"#, r#"{"x":1]"#, r#"{"x\"#, "{1:2}"]
        {
            assert_eq!(kind(frame), Err(NotAnObject), "{frame}");
        }
        // What follows the kind is nobody's business here.
        assert_eq!(kind(r#"{"type":"l2update","changes":[["#), Ok(Some("l2update")));
    }

    #[test]
    fn the_sequence_is_found_before_and_behind_the_events() {
        let scan = |frame: &'static str| Head::scan(Feed::Advanced, frame.as_bytes()).unwrap();
        let wire = scan(r#"{"channel":"l2_data","client_id":"","timestamp":"t","sequence_num":17,"events":[["#);
        assert_eq!((wire.channel, wire.sequence), (Some(&b"l2_data"[..]), Some(17)));
        let turned = scan(r#"{"events":[{"sequence_num":3,"channel":"x"}],"sequence_num":0,"channel":"ticker"}"#);
        assert_eq!((turned.channel, turned.sequence), (Some(&b"ticker"[..]), Some(0)));
        assert_eq!(scan(r#"{"channel":"c","sequence_num":18446744073709551616}"#).sequence, None);
        assert_eq!(scan(r#"{"type":"error","message":"m"}"#).kind, Some(&b"error"[..]));
    }

    #[test]
    fn nesting_however_deep_is_walked_without_recursion() {
        let frame = format!(r#"{{"x":{}{},"type":"match"}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(kind(&frame), Ok(Some("match")));
    }
}
