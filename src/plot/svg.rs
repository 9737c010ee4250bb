//! [`Svg`]: writes elements. Every text and every attribute value from outside is escaped here.

use std::fmt::{self, Display, Write as _};

use crate::escape::Escaped;

/// An SVG document being written.
#[derive(Debug, Default)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// Gives what was written.
    pub(super) fn done(self) -> String {
        self.text
    }

    /// Adds markup as it is.
    pub(super) fn raw(&mut self, markup: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(markup);
    }

    /// Adds a text element. `attributes` are markup; the words are escaped.
    pub(super) fn words(&mut self, x: f64, y: f64, attributes: &str, words: &str) {
        self.raw(format_args!("<text x=\"{}\" y=\"{}\" {attributes}>{}</text>\n", Px(x), Px(y), Words(words)));
    }

    /// Adds a rectangle.
    pub(super) fn rect(&mut self, [x, y, width, height]: [f64; 4], attributes: &str) {
        self.raw(format_args!("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {attributes}/>\n", Px(x), Px(y), Px(width), Px(height)));
    }

    /// Adds a path, where it has any data.
    pub(super) fn path(&mut self, data: &str, attributes: &str) {
        if !data.is_empty() {
            self.raw(format_args!("<path d=\"{data}\" {attributes}/>\n"));
        }
    }
}

/// A length in pixels, with two decimals at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Px(pub(super) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { (self.0 * 100.0).round() / 100.0 } else { 0.0 };
        // No minus sign before a zero.
        write!(f, "{}", if value == 0.0 { 0.0 } else { value })
    }
}

/// A text in an element or an attribute. XML allows no control characters, not even written as numbers.
pub(super) struct Words<T>(pub(super) T);

impl<T: Display> Display for Words<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in Escaped(&self.0).to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_can_be_no_markup_and_hold_no_character_that_xml_forbids() {
        let shown = Words("<a href=\"x\">&'\u{0}\u{1b}\u{ffff}\n").to_string();
        assert_eq!(shown, "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\\u{0}\\u{1b}\u{fffd}\\n");
    }

    #[test]
    fn a_length_is_short() {
        let shown: Vec<String> = [1.0, 1.239, -0.001, f64::NAN].map(|value| Px(value).to_string()).into();
        assert_eq!(shown, ["1", "1.24", "0", "0"]);
    }
}
