//! [`Target`]: the path and the parameters of a request, decoded once.
//!
//! 1. `/path?query`, and the absolute form `http://host/path?query`, whose host then counts instead of `Host` (RFC 9112, 3.2.2).
//! 2. A path is not normalised: `..` and `//` stay what they are, and no path becomes the name of a file.
//! 3. `%` without two hexadecimal digits, text that is no UTF-8, a control character and a fragment are refused. `+` in a query is a space, as forms have it.

use super::host::Authority;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub path: String,
    pub parameters: Vec<(String, String)>,
    /// The host of the absolute form.
    pub authority: Option<Authority>,
}

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadTarget {
    /// It is neither a path nor an absolute `http://` URL.
    Form,
    /// Its escapes are no text.
    Escape,
}

impl Target {
    /// Reads a target as a request line has it.
    ///
    /// # Errors
    /// Where it breaks a rule above.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTarget> {
        if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            return Err(BadTarget::Form);
        }
        let is_absolute = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let (authority, rest) = match text.get(7..).filter(|_| is_absolute) {
            Some(rest) => {
                let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some(Authority::parse(authority).ok_or(BadTarget::Form)?), rest)
            }
            None => (None, text),
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = match path {
            "" if authority.is_some() => "/",
            path if path.starts_with('/') => path,
            _ => return Err(BadTarget::Form),
        };
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        });
        Ok(Self { path: decode(path, false)?, parameters: parameters.collect::<Result<_, _>>()?, authority })
    }
}

/// Decodes `%41`, and `+` where it is a space.
fn decode(text: &str, plus_is_space: bool) -> Result<String, BadTarget> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match first {
            b'%' => {
                let (digits, behind) = behind.split_first_chunk::<2>().ok_or(BadTarget::Escape)?;
                let [byte] = <[u8; 1]>::try_from(hex::decode(digits).map_err(|_| BadTarget::Escape)?).map_err(|_| BadTarget::Escape)?;
                (byte, behind)
            }
            b'+' if plus_is_space => (b' ', behind),
            other => (*other, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    let decoded = String::from_utf8(bytes).map_err(|_| BadTarget::Escape)?;
    if decoded.chars().any(char::is_control) { Err(BadTarget::Escape) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> (String, Vec<(String, String)>, Option<Authority>) {
        let target = Target::parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
        (target.path, target.parameters, target.authority)
    }

    #[test]
    fn targets_are_decoded_once() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parts("/"), ("/".to_owned(), vec![], None));
        let (path, parameters, _) = parts("/a%20b/%2525?x=1&y=a+b%2Bc&z&=e&&x=2");
        assert_eq!(path, "/a b/%25");
        assert_eq!(parameters, [pair("x", "1"), pair("y", "a b+c"), pair("z", ""), pair("", "e"), pair("x", "2")]);
        assert_eq!(parts("/a+b").0, "/a+b");
        assert_eq!(parts("/a/../..//b").0, "/a/../..//b");
        let (path, parameters, authority) = parts("HTTP://Localhost:80/v1?a=b");
        assert_eq!((path.as_str(), parameters.len()), ("/v1", 1));
        assert_eq!(authority, Authority::parse("localhost:80"));
        assert_eq!(parts("http://box").0, "/");
        assert_eq!(parts("http://box?a=1").0, "/");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for bad in ["", "*", "a", "a:80", "https://a/", "http:///x", "http://u@a/", "/a#b", "/a b", "/é", "//\u{7f}", "?a"] {
            assert_eq!(Target::parse(bad), Err(BadTarget::Form), "{bad:?}");
        }
        for bad in ["/%", "/%4", "/%g1", "/%+1", "/%00", "/%0a", "/%ff", "/?%80", "/?a=%0d%0a", "/%c2%85"] {
            assert_eq!(Target::parse(bad), Err(BadTarget::Escape), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_control_character_comes_out(text in "\\PC{0,40}|/[ -~]{0,40}") {
            if let Ok(target) = Target::parse(&text) {
                let all = target.parameters.iter().flat_map(|(name, value)| [name, value]).chain([&target.path]);
                prop_assert!(all.into_iter().all(|text| !text.chars().any(char::is_control)));
                prop_assert!(target.path.starts_with('/'));
            }
        }

        #[test]
        fn what_was_escaped_comes_back(path in "[^\\p{C}]{0,12}", name in "[^\\p{C}]{1,12}", value in "[^\\p{C}]{0,12}") {
            let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let target = Target::parse(&format!("/{}?{}={}", escape(&path), escape(&name), escape(&value))).expect("a target");
            prop_assert_eq!(target.path, format!("/{path}"));
            prop_assert_eq!(target.parameters, vec![(name, value)]);
        }
    }
}
