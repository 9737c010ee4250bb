//! [`Template`]: the shape of a message that came before, by which the next one of that shape is read without a parser.
//!
//! A template is the text between the values, and for each value its kind and the field that it fills. It is learned from a message, never written into the
//! code: a feed that adds a key, or sends another order, is learned as it comes.
//!
//! 1. A text that a template takes is JSON, and gives the values that the parser would give. The text between the values is that of a message that was JSON.
//!    A string is taken up to its quote if no escape, no control character and nothing but ASCII stands in it, a number if it is digits only, without a
//!    leading zero, and fits a u64. Anything else is left to the parser.
//! 2. What is learned is flat: names and plain values. `null`, `true` and `false` belong to the text between the values.
//! 3. Bounded: at most [`MAX_SLOTS`] values and [`MAX_LITERAL_BYTES`] bytes between them. No allocation while a text is read.

use super::values::Value;
use crate::swar::{self, TENS, leading_digits};

/// Most values of a template. The longest message in use, a ticker, has 17.
const MAX_SLOTS: usize = 64;

/// Most bytes of a template that are not values.
const MAX_LITERAL_BYTES: usize = 4 << 10;

/// Longest text whose length is remembered.
const LONGEST_USUAL: usize = 3 * swar::PIECE;

/// Digits that always fit a u64.
const MAX_DIGITS: usize = 19;

/// What stands in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A string without escapes, between its quotes.
    Text,
    /// Digits.
    Whole,
}

/// A value of a message.
#[derive(Debug, Clone)]
struct Slot {
    /// The text before it, since the value before.
    literal: Literal,
    kind: Kind,
    usual: Option<UsualLength>,
    /// Which of the wanted fields it fills; `None` where nobody wants it.
    field: Option<usize>,
}

/// The length that a text of many bytes had, and probably has again: ids, times. Where it ends is known then without a look at each byte before.
#[derive(Debug, Clone, Copy)]
struct UsualLength(usize);

impl UsualLength {
    fn of(text: &[u8]) -> Option<Self> {
        (swar::PIECE..=LONGEST_USUAL).contains(&text.len()).then_some(Self(text.len()))
    }

    /// Tells whether a text of this length stands at `at`, up to its quote.
    #[inline(always)]
    fn is_plain(self, bytes: &[u8], at: usize) -> bool {
        let Some((text, [b'"', ..])) = bytes.get(at..).and_then(|rest| rest.split_at_checked(self.0)) else { return false };
        let (pieces, _) = text.as_chunks::<{ swar::PIECE }>();
        let Some(last) = text.last_chunk::<{ swar::PIECE }>() else { return false };
        pieces.iter().fold(swar::ends_of_string(last), |ends, piece| ends | swar::ends_of_string(piece)) == 0
    }
}

/// The shape of a message, or of a part of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    slots: Vec<Slot>,
    /// The text behind the last value.
    end: Literal,
}

impl Template {
    /// Reads the part of `text` from `at` on. Puts the values into `fields`, by the numbers that were given when the template was learned; the other fields
    /// stay as they are. Gives where the part ends; `None` where it has another shape.
    #[inline]
    pub(super) fn read<'i>(&self, text: &'i [u8], at: usize, fields: &mut [Value<'i>]) -> Option<usize> {
        let mut at = at;
        for slot in &self.slots {
            let start = slot.literal.end(text, at)?;
            let value = match slot.kind {
                Kind::Text => {
                    at = match slot.usual {
                        Some(usual) if usual.is_plain(text, start) => start + usual.0,
                        _ => string_end(text, start)?,
                    };
                    Value::String(text.get(start..at)?)
                }
                Kind::Whole => {
                    let (number, end) = whole(text, start)?;
                    at = end;
                    Value::Whole(number)
                }
            };
            if let Some(field) = slot.field {
                *fields.get_mut(field)? = value;
            }
        }
        self.end.end(text, at)
    }
}

/// Text that every message of a shape has. It is compared 32 bytes at once, with those that do not belong to it masked out: whatever its length is, that
/// takes no loop.
#[derive(Debug, Clone, Default)]
struct Literal {
    /// Its first bytes, then zeros.
    words: [u64; WORDS],
    /// All ones where those bytes are.
    masks: [u64; WORDS],
    text: Box<[u8]>,
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// Words that are compared at once.
const WORDS: usize = 4;
/// Their bytes.
const WINDOW: usize = WORDS * WORD;

impl Literal {
    fn new(text: &[u8]) -> Self {
        let word_at = |word: usize, mask: bool| {
            let mut bytes = [0; WORD];
            let from = text.get(word * WORD..).unwrap_or_default();
            bytes.iter_mut().zip(from).for_each(|(to, byte)| *to = if mask { u8::MAX } else { *byte });
            u64::from_ne_bytes(bytes)
        };
        Self {
            words: std::array::from_fn(|word| word_at(word, false)),
            masks: std::array::from_fn(|word| word_at(word, true)),
            text: text.into(),
        }
    }

    /// Gives where it ends in `text` if it stands there at `at`.
    #[inline(always)]
    fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let length = self.text.len();
        let rest = text.get(at..)?;
        let is_equal = match rest.first_chunk::<WINDOW>() {
            Some(window) if length <= WINDOW => {
                let words = window.as_chunks::<WORD>().0.iter().zip(self.words.iter().zip(&self.masks));
                words.fold(0, |sum, (bytes, (word, mask))| sum | (u64::from_ne_bytes(*bytes) & mask) ^ word) == 0
            }
            _ => rest.get(..length).is_some_and(|part| equal(part, &self.text)),
        };
        is_equal.then_some(at + length)
    }
}

/// Tells whether two texts are equal. Near the end of a message they have a few bytes: a call of the library's comparison takes longer than the comparison.
#[inline(always)]
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differ = |one: &[u8; WORD], other: &[u8; WORD]| u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other);
    // The last word overlaps the one before it.
    match (one.last_chunk::<WORD>(), other.last_chunk::<WORD>()) {
        (Some(one_end), Some(other_end)) => {
            let words = one.as_chunks::<WORD>().0.iter().zip(other.as_chunks::<WORD>().0);
            one.len() == other.len() && words.fold(differ(one_end, other_end), |sum, (one, other)| sum | differ(one, other)) == 0
        }
        _ => one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0,
    }
}

/// Gives where the string ends whose first character stands at `at`: the place of its quote. `None` where an escape, a control character or a character
/// beyond ASCII comes first.
#[inline(always)]
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    while let Some(piece) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let ends = swar::ends_of_string(piece);
        if ends != 0 {
            at += ends.trailing_zeros() as usize;
            return (bytes.get(at) == Some(&b'"')).then_some(at);
        }
        at += swar::PIECE;
    }
    let end = bytes.get(at..)?.iter().position(|byte| swar::is_end_of_string(*byte))?;
    (bytes.get(at + end) == Some(&b'"')).then_some(at + end)
}

/// Reads the digits at `at`. Gives the number, and where they end.
#[inline(always)]
fn whole(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = bytes.get(at..)?;
    let (value, count) = match rest.split_first_chunk::<WORD>() {
        Some((first, behind)) => {
            let (first, count) = leading_digits(u64::from_le_bytes(*first));
            match behind.first_chunk::<WORD>() {
                // Most ids have a few digits more than eight.
                Some(second) if count == WORD => {
                    let (second, more) = leading_digits(u64::from_le_bytes(*second));
                    if more == WORD { digit_by_digit(rest)? } else { (first * TENS.get(more)? + second, WORD + more) }
                }
                None if count == WORD => digit_by_digit(rest)?,
                _ => (first, count),
            }
        }
        None => digit_by_digit(rest)?,
    };
    let has_leading_zero = count > 1 && rest.first() == Some(&b'0');
    // What follows is compared with the template's text, so that no exponent or fraction is cut off.
    (count > 0 && !has_leading_zero).then_some((value, at + count))
}

/// The same for many digits, and near the end of a text.
#[inline(never)]
fn digit_by_digit(text: &[u8]) -> Option<(u64, usize)> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = text.get(..count).filter(|_| count <= MAX_DIGITS)?;
    Some((digits.iter().fold(0, |value, byte| value * 10 + u64::from(byte - b'0')), count))
}

/// Learns templates from a message, from its beginning on. `None` from any function: the message has a shape that is not learned.
pub(super) struct Lesson<'t> {
    bytes: &'t [u8],
    at: usize,
    template: Template,
    /// Bytes of its text so far.
    literal_bytes: usize,
    /// Where the text that is not in the template yet begins.
    begin: usize,
}

/// What ends the fields of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its brace.
    Object,
    /// A field whose value is an array that is not empty, after its bracket.
    Array,
}

impl<'t> Lesson<'t> {
    /// Begins at the beginning of a text.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { bytes: text, at: 0, template: Template::default(), literal_bytes: 0, begin: 0 }
    }

    /// Takes one of these bytes.
    pub(super) fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        self.skip_space();
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        wanted.contains(&byte).then_some(byte)
    }

    /// Takes an object's fields, after its brace or before a comma. Values of `names` fill the fields from `first` on; a message in which one of them
    /// occurs twice is not learned.
    pub(super) fn fields(&mut self, names: &[&str], first: usize) -> Option<(End, &'t str)> {
        let mut taken = 0u64;
        loop {
            self.skip_space();
            let name = self.string()?;
            self.take(b":")?;
            self.skip_space();
            let at = names.iter().position(|wanted| *wanted == name);
            let bit = at.map_or(0, |at| 1 << at);
            if taken & bit != 0 {
                return None;
            }
            taken |= bit;
            let field = at.map(|at| first + at);
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    self.end_literal(Kind::Text, field)?;
                    let begin = self.at;
                    self.at = string_end(self.bytes, begin)?;
                    if let Some(slot) = self.template.slots.last_mut() {
                        slot.usual = UsualLength::of(self.bytes.get(begin..self.at)?);
                    }
                    self.begin = self.at;
                    self.at += 1;
                }
                b'0'..=b'9' => {
                    self.end_literal(Kind::Whole, field)?;
                    self.at = whole(self.bytes, self.at)?.1;
                    self.begin = self.at;
                }
                b'[' => {
                    self.at += 1;
                    return Some((End::Array, name));
                }
                _ => self.word(field)?,
            }
            if self.take(b",}")? == b'}' {
                return Some((End::Object, name));
            }
        }
    }

    /// Takes `null`, `true` or `false`. A wanted field is `null`, or the message is not learned.
    fn word(&mut self, field: Option<usize>) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let word = ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
        self.at += word.len();
        (word == "null" || field.is_none()).then_some(())
    }

    fn string(&mut self) -> Option<&'t str> {
        self.take(b"\"")?;
        let end = string_end(self.bytes, self.at)?;
        let text = std::str::from_utf8(self.bytes.get(self.at..end)?).ok()?;
        self.at = end + 1;
        Some(text)
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes what the template's text is up to a value that begins here.
    fn end_literal(&mut self, kind: Kind, field: Option<usize>) -> Option<()> {
        let literal = self.bytes.get(self.begin..self.at)?;
        self.literal_bytes += literal.len();
        self.template.slots.push(Slot { literal: Literal::new(literal), kind, usual: None, field });
        (self.template.slots.len() <= MAX_SLOTS && self.literal_bytes <= MAX_LITERAL_BYTES && literal.is_ascii()).then_some(())
    }

    /// Ends a template here. The next one begins here.
    pub(super) fn finish(&mut self) -> Option<Template> {
        let literal = self.bytes.get(self.begin..self.at)?;
        self.begin = self.at;
        let mut template = std::mem::take(&mut self.template);
        template.end = Literal::new(literal);
        let bytes = std::mem::take(&mut self.literal_bytes) + literal.len();
        (bytes <= MAX_LITERAL_BYTES && literal.is_ascii()).then_some(template)
    }

    /// Takes the end of the text, in front of which only spaces may stand.
    pub(super) fn end(&mut self) -> Option<()> {
        self.skip_space();
        (self.at == self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive_whole(bytes: &[u8]) -> Option<(u64, usize)> {
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = std::str::from_utf8(&bytes[..count]).expect("digits");
        let is_taken = (1..=MAX_DIGITS).contains(&count) && (count == 1 || bytes[0] != b'0');
        is_taken.then(|| (digits.parse().expect("fits"), count))
    }

    fn naive_string_end(bytes: &[u8]) -> Option<usize> {
        let end =
            bytes.iter().position(|byte| matches!(byte, b'"' | b'\\') || byte.is_ascii_control() && *byte != 0x7f || !byte.is_ascii())?;
        (bytes[end] == b'"').then_some(end)
    }

    #[test]
    fn every_byte_behind_any_number_of_digits_ends_them() {
        for count in 0..=22 {
            for byte in 0..=u8::MAX {
                for behind in 0..10 {
                    let text = [&b"1234567890123456789012"[..count], &[byte], &b"7777777777"[..behind]].concat();
                    assert_eq!(whole(&text, 0), naive_whole(&text), "{}", text.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_text_of_the_usual_length_ends_where_any_text_does() {
        for length in 0..=LONGEST_USUAL + 1 {
            let text = vec![b'a'; length];
            let Some(usual) = UsualLength::of(&text) else {
                assert!(!(swar::PIECE..=LONGEST_USUAL).contains(&length), "{length}");
                continue;
            };
            let message = [b"..", text.as_slice(), b"\",\"next\":1"].concat();
            assert!(usual.is_plain(&message, 2));
            for place in 0..=message.len() {
                assert!(!usual.is_plain(&message[..place.min(2 + length)], 2), "{length}: cut off before its quote");
                for byte in [b'"', b'\\', 0x1f, 0x80, 0xff, b'b', 0x7f] {
                    let mut other = message.clone();
                    if let Some(at) = other.get_mut(place) {
                        *at = byte;
                    }
                    let is_usual = usual.is_plain(&other, 2);
                    assert_eq!(is_usual, string_end(&other, 2) == Some(2 + length), "{length} {place} {byte}");
                }
            }
        }
    }

    #[test]
    fn a_literal_stands_only_where_every_byte_of_it_does() {
        for length in 0..40 {
            let text: Vec<u8> = (1..=length).collect();
            let literal = Literal::new(&text);
            // With so many bytes behind it; the first of them is of no account.
            for behind in [0, 1, 7, 31, 32, 40] {
                let message = [b"..", text.as_slice(), &vec![b'"'; behind]].concat();
                assert_eq!(literal.end(&message, 2), Some(2 + text.len()), "{length} {behind}");
                for place in 0..text.len() {
                    let mut other = message.clone();
                    other[2 + place] ^= 1 << (place % 8);
                    assert_eq!(literal.end(&other, 2), None, "{length} {behind} {place}");
                }
                let short = &message[..1 + text.len()];
                assert_eq!(literal.end(short, 2), None, "{length}: a byte too short");
                assert_eq!(literal.end(&message, message.len() + 1), None);
            }
        }
    }

    proptest! {
        #[test]
        fn a_string_ends_at_its_quote_wherever_it_stands(
            text in prop::collection::vec(prop_oneof![6 => any::<u8>(), 20 => b'a'..=b'z', 1 => Just(b'"'), 1 => Just(b'\\')], 0..60), at in 0usize..20
        ) {
            let rest = text.get(at..).unwrap_or_default();
            prop_assert_eq!(string_end(&text, at), naive_string_end(rest).map(|end| at + end));
        }

        #[test]
        fn digits_are_read_as_the_library_reads_them(text in "[0-9]{0,21}[^0-9]?[0-9]{0,9}", at in 0usize..3) {
            let rest = text.as_bytes().get(at..).unwrap_or_default();
            prop_assert_eq!(whole(text.as_bytes(), at), naive_whole(rest).map(|(number, count)| (number, at + count)));
        }
    }
}
