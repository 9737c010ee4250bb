//! [`target`]: where a redirect leads, if it may be followed: to the same scheme, host and port only.
//!
//! An answer from another host, or one over a connection that is not secure, is not the answer that was asked for: a captive portal or a proxy redirects,
//! too. No I/O.

use tungstenite::http::Uri;
use tungstenite::http::uri::PathAndQuery;

use super::endpoint::Endpoint;

/// Most redirects that one request follows.
pub(super) const MAX_REDIRECTS: usize = 5;

/// Longest part of a location that an error shows, in characters.
const SHOWN_CHARACTERS: usize = 200;

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{from} redirects ({status}) to {to}, which is not followed: {why}")]
pub struct RedirectError {
    /// What was asked.
    pub from: String,
    /// The status.
    pub status: u16,
    /// Where it leads, as the server says it; escaped.
    pub to: String,
    /// Why it is not followed.
    pub why: &'static str,
}

/// Tells whether a status redirects.
pub(super) const fn redirects(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Gives the path and query to ask next. `path` is the one that was asked, `followed` how many redirects have been followed before.
pub(super) fn target(
    endpoint: &Endpoint,
    path: &str,
    status: u16,
    location: Option<&str>,
    followed: usize,
) -> Result<String, RedirectError> {
    let refused = |why| RedirectError {
        from: format!("{}{path}", endpoint.origin()),
        status,
        to: location.map_or_else(
            || "nowhere".to_owned(),
            |location| location.chars().take(SHOWN_CHARACTERS).collect::<String>().escape_debug().to_string(),
        ),
        why,
    };
    let Some(location) = location.map(|location| location.split('#').next().unwrap_or_default()) else {
        return Err(refused("it names no location"));
    };
    if followed >= MAX_REDIRECTS {
        return Err(refused("too many redirects"));
    }
    let scheme = location.split_once("://").filter(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    let absolute = match scheme {
        Some(("", _)) | None if location.starts_with("//") => format!("{}:{location}", endpoint.scheme()),
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => return joined(path, location).ok_or_else(|| refused("the location is no path")),
    };
    let uri: Uri = absolute.parse().map_err(|_| refused("the location is no URL"))?;
    let other = Endpoint::of_uri(uri).map_err(|_| refused("the location is no address of a server"))?;
    if other.is_tls() != endpoint.is_tls() {
        return Err(refused("it has another scheme"));
    }
    if !other.host().eq_ignore_ascii_case(endpoint.host()) {
        return Err(refused("it is another host"));
    }
    if other.port() != endpoint.port() {
        return Err(refused("it is another port"));
    }
    Ok(other.path())
}

/// Puts a relative location and the path that was asked together (RFC 3986, 5.2).
fn joined(path: &str, location: &str) -> Option<String> {
    let base = path.split('?').next().unwrap_or_default();
    let joined = if location.starts_with('/') {
        location.to_owned()
    } else if location.is_empty() {
        path.to_owned()
    } else if location.starts_with('?') {
        format!("{base}{location}")
    } else {
        let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    let (path, query) = joined.split_once('?').map_or((joined.as_str(), None), |(path, query)| (path, Some(query)));
    let mut segments: Vec<&str> = Vec::new();
    for (at, segment) in path.split('/').enumerate().skip(1) {
        let is_last = at == path.matches('/').count();
        match segment {
            ".." => drop(segments.pop()),
            "." => {}
            segment => {
                segments.push(segment);
                continue;
            }
        }
        if is_last {
            segments.push("");
        }
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let whole = format!("/{}{query}", segments.join("/"));
    whole.parse::<PathAndQuery>().ok().map(|whole| whole.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(location: &str) -> Result<String, &'static str> {
        let endpoint = Endpoint::parse_http("https://api.example:8443/base").expect("an endpoint");
        target(&endpoint, "/products/BTC-USD/trades?limit=10", 301, Some(location), 0).map_err(|error| error.why)
    }

    #[test]
    fn a_location_on_the_same_server_is_followed_in_every_spelling() {
        for (location, path) in [
            ("https://api.example:8443/x?y=1", "/x?y=1"),
            ("HTTPS://API.example:8443/x#part", "/x"),
            ("https://api.example:8443", "/"),
            ("https://api.example:8443?y=1", "/?y=1"),
            ("//api.example:8443/x", "/x"),
            ("/x?y=https://other/", "/x?y=https://other/"),
            ("x", "/products/BTC-USD/x"),
            ("../x/./y", "/products/x/y"),
            ("../../../..", "/"),
            ("..", "/products/"),
            ("?limit=1", "/products/BTC-USD/trades?limit=1"),
            ("", "/products/BTC-USD/trades?limit=10"),
        ] {
            assert_eq!(to(location), Ok(path.to_owned()), "{location}");
        }
    }

    #[test]
    fn another_server_scheme_or_port_is_refused_by_its_name() {
        for (location, why) in [
            ("http://api.example:8443/x", "scheme"),
            ("https://other.example:8443/x", "host"),
            ("//other.example:8443/x", "host"),
            ("https://api.example/x", "port"),
            ("https://api.example:8444/x", "port"),
            ("ftp://api.example:8443/x", "server"),
            ("https://u:p@api.example:8443/x", "server"),
            ("https:///x", "URL"),
            ("/a b", "path"),
            ("/x\r\nHost: other", "path"),
        ] {
            assert!(to(location).expect_err(location).contains(why), "{location}: {:?}", to(location));
        }
        let endpoint = Endpoint::parse("ws://127.0.0.1:80/feed").expect("an endpoint");
        assert_eq!(target(&endpoint, "/feed", 308, Some("http://127.0.0.1/other"), 0).as_deref(), Ok("/other"));
        let error = target(&endpoint, "/feed", 302, None, 0).expect_err("nowhere");
        assert_eq!(error.to_string(), "ws://127.0.0.1:80/feed redirects (302) to nowhere, which is not followed: it names no location");
        assert!(target(&endpoint, "/feed", 302, Some("/x"), MAX_REDIRECTS).expect_err("too many").why.contains("too many"));
        assert!(!target(&endpoint, "/", 302, Some("http://x/\u{1b}[31m"), 0).expect_err("escaped").to_string().contains('\u{1b}'));
    }
}
