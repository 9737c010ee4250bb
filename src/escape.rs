//! [`Escaped`]: text from outside, shown so that it cannot steer a terminal or forge a line.
//!
//! Names of files, messages of the exchange, reasons of a peer that closes and lines of a journal may hold anything: escape sequences that move the cursor
//! or set a title, line feeds that make two lines of one, marks that turn the order of letters round. What shows such text wraps it in [`Escaped`].
//!
//! 1. What comes out is one line. Each of its characters is either one that stood in the text, or ASCII that can be printed.
//! 2. `\t`, `\n` and `\r` are written so; another control or format character as `\u{1b}`. Everything else, a backslash too, stays as it is, so that a
//!    JSON text or a path can still be read. It cannot be told whether a `\n` was in the text already: this is for people, not for reading back.
//! 3. Text without such a character is passed on in one piece. Nothing is allocated.

use std::fmt::{self, Display, Write};

/// Shows a value with each control and format character escaped. With a width it is padded.
///
/// ```
/// use coltape::internals::Escaped;
/// assert_eq!(Escaped("rate\nlimit \u{1b}[31m").to_string(), r"rate\nlimit \u{1b}[31m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<T>(
    /// The value. What its [`Display`] writes is escaped.
    pub T,
);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() && f.precision().is_none() {
            return write!(Escaper(f), "{}", self.0);
        }
        let mut shown = String::new();
        write!(Escaper(&mut shown), "{}", self.0)?;
        f.pad(&shown)
    }
}

/// Escapes what is written through it.
struct Escaper<W>(W);

impl<W: Write> Write for Escaper<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, bad)) = rest.char_indices().find(|(_, character)| is_hidden(*character)) {
            let (before, after) = rest.split_at(at);
            self.0.write_str(before)?;
            match bad {
                '\t' => self.0.write_str("\\t")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                other => write!(self.0, "{}", other.escape_unicode())?,
            }
            rest = after.get(bad.len_utf8()..).unwrap_or_default();
        }
        self.0.write_str(rest)
    }
}

/// Tells whether a character shows nothing of itself and may change how others are shown: the control characters, and those of Unicode's category
/// *Format* and its two separators of lines and paragraphs.
#[must_use]
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_character_stays_or_becomes_ascii_that_can_be_printed() {
        for character in '\0'..=char::MAX {
            let shown = Escaped(character).to_string();
            let stays = shown.chars().eq([character]);
            let is_escaped = shown.starts_with('\\') && shown.len() > 1 && shown.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(stays != is_escaped, "{character:?} is shown as {shown:?}");
            // The standard library escapes whatever cannot be printed, and combining marks and the like, which are letters of a text. All that it takes
            // for printable is.
            let is_plain_to_std = character.escape_debug().eq([character]);
            assert!(!is_plain_to_std || stays, "{character:?} can be printed and is escaped");
            assert!(!(stays && character.is_control()), "{character:?}");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let cases = [
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            // The one-byte form of ESC [, which a terminal takes too.
            ("\u{9b}2J", r"\u{9b}2J"),
            ("one\r\ntwo\tthree\0", r"one\r\ntwo\tthree\u{0}"),
            // Letters shown from right to left; a line separator; a byte order mark.
            ("\u{202e}cod.exe\u{2028}\u{feff}", r"\u{202e}cod.exe\u{2028}\u{feff}"),
            ("\u{7f}", r"\u{7f}"),
        ];
        for (text, shown) in cases {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }

    #[test]
    fn what_can_be_read_stays_as_it_is_and_a_width_pads() {
        for text in ["", "BTC-USD", r#"{"a":"\n"}"#, r"C:\x", "é 漢字 e\u{301} 🙂 − …"] {
            assert_eq!(Escaped(text).to_string(), text);
        }
        assert_eq!(format!("[{:6}] [{:>8}]", Escaped("a\n"), Escaped("\u{1}")), r"[a\n   ] [   \u{1}]");
    }

    proptest! {
        #[test]
        fn any_value_is_shown_as_one_line_however_it_is_written(parts in proptest::collection::vec(any::<String>(), 0..6)) {
            let joined = parts.concat();
            // A value that is written in several pieces, as a format is.
            struct Pieces<'a>(&'a [String]);
            impl Display for Pieces<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.iter().try_for_each(|part| f.write_str(part))
                }
            }
            let shown = Escaped(Pieces(&parts)).to_string();
            prop_assert!(!shown.chars().any(is_hidden), "{shown:?}");
            let one_by_one: String = joined.chars().map(|character| Escaped(character).to_string()).collect();
            prop_assert_eq!(shown, one_by_one);
        }
    }
}
