//! [`Endpoint`]: the address of a WebSocket or of REST, checked before anything connects to it.

use std::fmt;
use tungstenite::http::Uri;

/// A `ws://` or `wss://` address, or for REST an `http://` or `https://` one.
///
/// ```
/// use coltape::internals::feed::endpoint::Endpoint;
/// let endpoint = Endpoint::parse("wss://ws-feed.exchange.coinbase.com").unwrap();
/// assert_eq!(endpoint.port(), 443);
/// assert!(Endpoint::parse("https://example.com").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

/// Why a text is not a WebSocket address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{url:?} is not an endpoint: {why}")]
pub struct EndpointError {
    url: String,
    why: &'static str,
}

impl Endpoint {
    /// Checks the address of a WebSocket.
    ///
    /// # Errors
    /// Where the address has another scheme, no host, a port that is none, or a user name.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        Self::of_schemes(url, ["ws", "wss"], "want ws:// or wss://")
    }

    /// Checks the address of REST.
    ///
    /// # Errors
    /// As [`Endpoint::parse`].
    pub(crate) fn parse_http(url: &str) -> Result<Self, EndpointError> {
        Self::of_schemes(url, ["http", "https"], "want http:// or https://")
    }

    fn of_schemes(url: &str, schemes: [&str; 2], why: &'static str) -> Result<Self, EndpointError> {
        let refused = |why| EndpointError { url: url.chars().take(200).collect(), why };
        let uri: Uri = url.parse().map_err(|_| refused("not a URL"))?;
        if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            return Err(refused(why));
        }
        Self::of_uri(uri).map_err(refused)
    }

    /// Takes an address apart. Says what is wrong with it where it is none.
    pub(super) fn of_uri(uri: Uri) -> Result<Self, &'static str> {
        let tls = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err("another scheme"),
        };
        let authority = uri.authority().ok_or("no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name");
        }
        // An IPv6 address has brackets in a URL and none everywhere else.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("no host");
        }
        let tail = authority.as_str().rsplit_once(':').filter(|(_, tail)| !tail.contains(']'));
        let port = match (authority.port_u16(), tail) {
            (Some(0), _) | (None, Some(_)) => return Err("no such port"),
            (Some(port), _) => port,
            (None, None) if tls => 443,
            (None, None) => 80,
        };
        Ok(Self { uri, host, port, tls })
    }

    /// Gives the name or address of the host, without brackets.
    #[must_use]
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Gives the port: the scheme's default where the address names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether the WebSocket runs over TLS.
    #[must_use]
    pub(crate) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Gives the scheme.
    pub(super) fn scheme(&self) -> &str {
        self.uri.scheme_str().unwrap_or_default()
    }

    /// Gives host and port as the address has them, for the header `Host`.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Gives the address without its path.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// Gives path and query, for a request.
    pub(super) fn path(&self) -> String {
        match self.uri.path_and_query() {
            Some(path) if path.as_str().starts_with('/') => path.as_str().to_owned(),
            // A query may follow the host.
            Some(path) => format!("/{path}", path = path.as_str()),
            None => "/".to_owned(),
        }
    }

    /// Tells whether the address has a query.
    pub(super) fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// Gives host and port, with the port that the scheme stands for where the address names none.
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_in_every_spelling() {
        for (url, host, port, tls) in [
            ("ws://127.0.0.1:9001", "127.0.0.1", 9001, false),
            ("wss://localhost/feed?x=1", "localhost", 443, true),
            ("ws://[::1]:80/", "::1", 80, false),
            ("wss://[::1]", "::1", 443, true),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.is_tls()), (host, port, tls), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused() {
        for bad in [
            "",
            "localhost",
            "http://x",
            "wss://",
            "ws://u:p@host",
            "ws://host:99999",
            "ws://host:0",
            "ws://host:",
            "ws:///path",
            "ws://a b",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
