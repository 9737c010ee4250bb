//! [`Values`]: the values of a message by their places, whoever has read them: the parser, or the shape of an earlier message.
//!
//! Both give the same for the same message, so that everything behind is one code.

use crate::decimal::parse_whole;

/// The values of a message. Copied like a reference.
pub(super) trait Values<'i>: Copy {
    /// Gives a string's bytes.
    fn string(self, place: usize) -> Option<&'i [u8]>;

    /// Gives a whole number, written as a number or as a string of digits. The two feeds differ in that. A number with a point or an exponent gives nothing
    /// here, as the parser has rounded it; as a string it does, and [`super::spelling`] makes it one.
    fn whole(self, place: usize) -> Option<u64>;

    /// Tells whether a field is missing, `null` or an empty string.
    fn is_absent(self, place: usize) -> bool;
}

/// A value of a message that was read by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'i> {
    /// None, or `null`.
    Absent,
    /// A string without escapes, of ASCII alone.
    String(&'i [u8]),
    /// A whole number.
    Whole(u64),
}

/// Such values. The first one is absent.
#[derive(Clone, Copy)]
pub(super) struct ReadValues<'t, 'i>(pub(super) &'t [Value<'i>]);

impl<'i> Values<'i> for ReadValues<'_, 'i> {
    #[inline(always)]
    fn string(self, place: usize) -> Option<&'i [u8]> {
        match self.0.get(place) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    #[inline(always)]
    fn whole(self, place: usize) -> Option<u64> {
        match self.0.get(place)? {
            Value::Whole(value) => Some(*value),
            Value::String(text) => whole_of(text),
            Value::Absent => None,
        }
    }

    #[inline(always)]
    fn is_absent(self, place: usize) -> bool {
        matches!(self.0.get(place), None | Some(Value::Absent | Value::String(b"")))
    }
}

/// Reads a text that is a whole number in any spelling.
#[inline(always)]
pub(super) fn whole_of(text: &[u8]) -> Option<u64> {
    match digits(text) {
        Some(value) => Some(value),
        None => unusual_whole(text),
    }
}

/// Reads a text of digits that always fit a u64. Gives nothing for any other text.
#[inline]
fn digits(text: &[u8]) -> Option<u64> {
    const MOST: usize = 19;
    if text.is_empty() || text.len() > MOST {
        return None;
    }
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

/// Reads a whole number of many digits, or in another spelling.
#[cold]
fn unusual_whole(text: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    if text.iter().all(u8::is_ascii_digit) { std::str::from_utf8(text).ok()?.parse().ok() } else { parse_whole(text) }
}
