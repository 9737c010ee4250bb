//! [`Authority`]: a host and a port, as `Host`, an absolute target and an `Origin` name them.

use std::net::{IpAddr, Ipv6Addr};

/// Longest host, in bytes: that of a name in DNS.
const MAX_HOST_BYTES: usize = 255;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// In small letters; the address of IPv6 without its brackets.
    pub host: String,
    /// Nothing where the port is that of the scheme.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port`, `[::1]` or `[::1]:port`. Nothing where it is none of them.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
                (Some(host).filter(|host| is_name && !host.is_empty())?, rest)
            }
        };
        let port = match port.strip_prefix(':') {
            // An empty port is that of the scheme.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if port.is_empty() => None,
            _ => return None,
        };
        (host.len() <= MAX_HOST_BYTES).then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    /// Gives the host as an address, where it is one.
    #[must_use]
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }
}

/// Reads an `Origin`, `http://host:port`. Gives its authority, with the port that the scheme stands for.
#[must_use]
pub(crate) fn origin(text: &str) -> Option<Authority> {
    let (rest, port) = match text.strip_prefix("http://") {
        Some(rest) => (rest, 80),
        None => (text.strip_prefix("https://")?, 443),
    };
    let authority = Authority::parse(rest)?;
    Some(Authority { port: Some(authority.port.unwrap_or(port)), ..authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_anything_else_is_not() {
        let read = |text: &str| Authority::parse(text).map(|found| (found.host, found.port));
        let found = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(read("LocalHost"), found("localhost", None));
        assert_eq!(read("localhost:8080"), found("localhost", Some(8080)));
        assert_eq!(read("localhost:"), found("localhost", None));
        assert_eq!(read("127.0.0.1:1"), found("127.0.0.1", Some(1)));
        assert_eq!(read("[::1]:8080"), found("::1", Some(8080)));
        assert_eq!(read("[::1]"), found("::1", None));
        for bad in ["", ":80", "a:65536", "a:+1", "a:8 0", "a b", "a/b", "u@a", "::1", "[::1", "[x]", "[::1]x", "a:1:2", "[]", "a\0", "é"]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(read(&"a".repeat(255)).map(|(host, _)| host.len()), Some(255));
        assert_eq!(read(&"a".repeat(256)), None);
        assert_eq!(origin("https://Box.example").map(|found| (found.host, found.port)), found("box.example", Some(443)));
        assert_eq!(origin("http://localhost:3000").map(|found| (found.host, found.port)), found("localhost", Some(3000)));
        for bad in ["null", "", "ftp://a", "http://", "http://a/", "file://", "a"] {
            assert_eq!(origin(bad), None, "{bad:?}");
        }
    }
}
