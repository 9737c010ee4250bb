//! [`respelled`]: brings a JSON text into the spelling that the feeds send, so that one reader is enough for all spellings.
//!
//! 1. A number becomes a string of the same characters. So no digit is lost, whichever of the two a sender chose, and however long it is: a JSON parser would
//!    give the nearest float, or refuse it.
//! 2. An escape that JSON does not ask for (`\u0031`, `\/`) becomes the character that it stands for.
//! 3. White space between values is left out. Everything else stays, wrong or not: what is no JSON before is none after.
//!
//! Cold: it is used for a message that cannot be read as it is, and for REST.

use super::json::MAX_PARSED_BYTES;

/// Gives the text respelled. `None` where it would be longer than what is parsed.
#[cold]
pub(super) fn respelled(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'"' => rest = string(rest, &mut out),
            b' ' | b'\t' | b'\n' | b'\r' => rest = tail,
            b'-' | b'0'..=b'9' => {
                let end = rest.iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let (token, tail) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
                let quote: &[u8] = if is_number(token) { b"\"" } else { b"" };
                out.extend_from_slice(quote);
                out.extend_from_slice(token);
                out.extend_from_slice(quote);
                // Two words without a comma between them must not become one.
                if tail.first().is_some_and(u8::is_ascii_whitespace) {
                    out.push(b' ');
                }
                rest = tail;
            }
            other => {
                out.push(*other);
                if other.is_ascii_alphabetic() && tail.first().is_some_and(u8::is_ascii_whitespace) {
                    out.push(b' ');
                }
                rest = tail;
            }
        }
    }
    (out.len() <= MAX_PARSED_BYTES).then_some(out)
}

/// Copies the string at the beginning of `text`, without needless escapes. Gives what follows it.
fn string<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let mut rest = text.get(1..).unwrap_or_default();
    out.push(b'"');
    loop {
        match rest {
            [] => return rest,
            [b'"', tail @ ..] => {
                out.push(b'"');
                return tail;
            }
            [b'\\', b'/', tail @ ..] => {
                out.push(b'/');
                rest = tail;
            }
            [b'\\', b'u', a, b, c, d, tail @ ..] => {
                match escaped([*a, *b, *c, *d]) {
                    Some(plain) => out.push(plain),
                    None => out.extend_from_slice(&[b'\\', b'u', *a, *b, *c, *d]),
                }
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                out.extend_from_slice(&[b'\\', *escaped]);
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// Gives the printable ASCII character that four hex digits stand for, unless JSON asks for its escape.
fn escaped(digits: [u8; 4]) -> Option<u8> {
    let mut code = [0; 2];
    hex::decode_to_slice(digits, &mut code).ok()?;
    match code {
        [0, plain @ b' '..=b'~'] if !matches!(plain, b'"' | b'\\') => Some(plain),
        _ => None,
    }
}

/// Tells whether a token is a number by the grammar of JSON (RFC 8259, section 6).
fn is_number(token: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let token = token.strip_prefix(b"-").unwrap_or(token);
    let whole = digits(token);
    if whole == 0 || (whole > 1 && token.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = token.get(whole..).unwrap_or_default();
    if let [b'.', fraction @ ..] = rest {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        let length = digits(exponent);
        if length == 0 {
            return false;
        }
        rest = exponent.get(length..).unwrap_or_default();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        String::from_utf8(respelled(text.as_bytes()).expect("short")).expect("text")
    }

    #[test]
    fn numbers_become_strings_and_needless_escapes_vanish() {
        for (text, expected) in [
            (r#"{"a":1,"b":-1.50e+3,"c":[0, 1e400 ]}"#, r#"{"a":"1","b":"-1.50e+3","c":["0","1e400" ]}"#),
            (r#" { "\u0061" : "\u0031\/\u0022\u005c\u00e4\n\\u0031" } "#, r#"{"a":"1/\u0022\u005c\u00e4\n\\u0031"}"#),
            (r#"{"a":"1 2","b":true , "c":null}"#, r#"{"a":"1 2","b":true ,"c":null}"#),
            ("18446744073709551616", r#""18446744073709551616""#),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_none_afterwards() {
        for text in [
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "--1",
            "1 2",
            "[1 2]",
            "tr ue",
            "\"a",
            "\"a\\",
            "\"\\u00",
            "{\"a\":1-2}",
            "1.2.3",
            "nul l",
            "1e5 6",
        ] {
            let text = shown(text);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}:,\"\\\\u0-9a-f+eE. \\-]{0,60}") {
            for text in [bytes.as_slice(), json.as_bytes()] {
                prop_assert!(respelled(text).is_some());
            }
        }
    }
}
