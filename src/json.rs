//! [`Object`]: a JSON object that is written field by field, for a line of output.
//!
//! A text may come from outside and be shown on a terminal. So every character that shows nothing of itself is escaped, also those that JSON would let
//! pass.

use std::fmt::Write;

use crate::escape::is_hidden;

/// A JSON object being written.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Self {
        Self { text: "{".to_owned() }
    }
}

impl Object {
    /// Adds a text.
    #[must_use]
    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        let quoted = quoted(value);
        self.raw(key, &quoted)
    }

    /// Adds a number or a truth value.
    #[must_use]
    pub(crate) fn plain(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.raw(key, &value.to_string())
    }

    /// Adds a value, `null` where there is none.
    #[must_use]
    pub(crate) fn optional(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        let shown = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        self.raw(key, &shown)
    }

    /// Adds a list of texts.
    #[must_use]
    pub(crate) fn texts(self, key: &str, values: &[String]) -> Self {
        let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.raw(key, &format!("[{}]", quoted.join(",")))
    }

    /// Adds another object.
    #[must_use]
    pub(crate) fn object(self, key: &str, value: Self) -> Self {
        let done = value.done();
        self.raw(key, &done)
    }

    /// Adds a value that is JSON already.
    #[must_use]
    pub(crate) fn raw(mut self, key: &str, value: &str) -> Self {
        let comma = if self.text.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{comma}{}:{value}", quoted(key));
        self
    }

    /// Gives the object as text.
    #[must_use]
    pub(crate) fn done(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// Writes a text as a JSON string.
#[must_use]
pub(crate) fn quoted(text: &str) -> String {
    // A string can always be written.
    let quoted = simd_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned());
    if !quoted.chars().any(is_hidden) {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len() + 16);
    for character in quoted.chars() {
        if is_hidden(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Tells whether a JSON text nests at most `most` levels deep. The parser takes a stack frame for each level.
#[must_use]
pub(crate) fn is_shallow(text: &[u8], most: usize) -> bool {
    let (mut depth, mut is_in_text, mut is_escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_text => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            b'{' | b'[' if !is_in_text => {
                depth += 1;
                if depth > most {
                    return false;
                }
            }
            b'}' | b']' if !is_in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_object_is_read_back() {
        let inner = Object::default().plain("n", 7).optional("none", None::<u8>);
        let line = Object::default()
            .text("a\"b", "c\\\n\u{1}é")
            .plain("yes", true)
            .texts("list", &["x".to_owned(), "y\"".to_owned()])
            .object("o", inner)
            .done();
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read, serde_json::json!({"a\"b": "c\\\n\u{1}é", "yes": true, "list": ["x", "y\""], "o": {"n": 7, "none": null}}));
        assert_eq!(Object::default().done(), "{}");
    }

    #[test]
    fn whatever_a_text_holds_the_line_shows_it_and_steers_no_terminal() {
        for character in '\0'..=char::MAX {
            let text = format!("a{character}b");
            let shown = quoted(&text);
            assert!(!shown.chars().any(is_hidden), "{character:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).ok(), Some(text), "{character:?}");
        }
    }
}
