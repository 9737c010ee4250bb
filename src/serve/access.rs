//! [`Access`]: who may ask.
//!
//! 1. `Host` has to name the address at which the connection came in, `localhost`, or a name of `--host`: 421. Otherwise a page from anywhere could have its
//!    name resolved to loopback and read the tape (DNS rebinding).
//! 2. A request with an `Origin` comes from a page. Only the server's own pages, those of a name of `--host` and those of `--allow-origin` may ask: 403.
//! 3. With a token, each request carries it, compared in constant time: 401. The files of the page are the same for everyone and need none.
//! 4. An answer has CORS headers only for an origin of `--allow-origin`.

use std::hint::black_box;
use std::net::IpAddr;

use super::config::ServeConfig;
use super::error::ServeError;
use super::http::host::{Authority, origin};
use super::http::request::Request;
use super::http::response::Response;

/// Shortest token, in bytes.
const MIN_TOKEN_BYTES: usize = 8;
/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 1024;
/// The parameter that carries the token.
const TOKEN: &str = "token";
/// Headers that a page of another origin may read.
const EXPOSED: &str = "ETag, X-Coltape-Verdict, CB-BEFORE, CB-AFTER";

/// Who may ask.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<String>,
    /// As it was given: any address, where that is listened on.
    listen: IpAddr,
    /// In small letters.
    hosts: Vec<String>,
    /// As browsers spell them.
    origins: Vec<String>,
}

impl Access {
    /// Checks the settings.
    ///
    /// # Errors
    /// Where a name is no name, an origin no origin, the token no token, or the address needs a token and has none.
    pub(super) fn new(config: &ServeConfig) -> Result<Self, ServeError> {
        if config.token.is_none() && !config.listen.ip().to_canonical().is_loopback() {
            return Err(ServeError::NoToken { address: config.listen });
        }
        if config.token.as_deref().is_some_and(|token| !is_token(token)) {
            return Err(ServeError::Token);
        }
        let hosts = config.hosts.iter().map(|name| match Authority::parse(name) {
            Some(Authority { host, port: None }) => Ok(host),
            _ => Err(ServeError::Name { what: "name of a host, as box.example (--host)", text: name.clone() }),
        });
        let origins = config.allow_origins.iter().map(|text| match origin(text) {
            Some(_) => Ok(text.to_ascii_lowercase()),
            None => Err(ServeError::Name { what: "origin, as https://box.example:8443 (--allow-origin)", text: text.clone() }),
        });
        Ok(Self {
            token: config.token.clone(),
            listen: config.listen.ip().to_canonical(),
            hosts: hosts.collect::<Result<_, _>>()?,
            origins: origins.collect::<Result<_, _>>()?,
        })
    }

    /// Checks a request, and takes the token out of its parameters. Gives the origin whose pages may read the answer.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn check(&self, request: &mut Request, needs_token: bool) -> Result<Option<String>, Box<Response>> {
        let refuse = |status, error: &str, hint: &str| Err(Box::new(Response::error(status, error, hint)));
        if !self.is_own_host(request) {
            return refuse(421, "the request is for another host", "use the address that the server prints, or name the host with --host");
        }
        let origin = request.header("origin").map(str::to_ascii_lowercase);
        let allowed = origin.as_ref().filter(|origin| self.origins.contains(origin)).cloned();
        if let Some(origin) = &origin
            && allowed.is_none()
            && !self.is_own_origin(origin, request)
        {
            return refuse(
                403,
                "the request comes from a page of another origin",
                "name the origin with --allow-origin if its pages may read the tape",
            );
        }
        let given = request.take_parameter(TOKEN);
        if needs_token && !self.is_known(request, given.as_deref()) {
            let refusal = Response::error(401, "the token is missing or wrong", "send Authorization: Bearer TOKEN, or ?token=TOKEN");
            return Err(Box::new(self.mark(refusal.with_header("WWW-Authenticate", "Bearer realm=\"coltape\""), allowed)));
        }
        Ok(allowed)
    }

    /// Adds to an answer what browsers look at.
    pub(super) fn mark(&self, response: Response, allowed: Option<String>) -> Response {
        let response = if self.origins.is_empty() { response } else { response.with_header("Vary", "Origin") };
        match allowed {
            Some(origin) => {
                response.with_header("Access-Control-Allow-Origin", origin).with_header("Access-Control-Expose-Headers", EXPOSED)
            }
            None => response.with_header("Cross-Origin-Resource-Policy", "same-origin"),
        }
    }

    fn is_own_host(&self, request: &Request) -> bool {
        // Only HTTP/1.0 comes without a host, and no browser speaks it.
        let Some(host) = request.host() else { return true };
        let is_address = host.address().is_some_and(|address| address == self.listen || address == request.local().ip().to_canonical());
        is_address || host.host == "localhost" || self.hosts.contains(&host.host)
    }

    fn is_own_origin(&self, text: &str, request: &Request) -> bool {
        let Some(origin) = origin(text) else { return false };
        let is_same = request.host().is_some_and(|host| {
            // Behind a proxy for TLS the port of the scheme may be left out of `Host`.
            let port = host.port.unwrap_or(if text.starts_with("https://") { 443 } else { 80 });
            host.host == origin.host && origin.port == Some(port)
        });
        is_same || self.hosts.contains(&origin.host)
    }

    fn is_known(&self, request: &Request, parameter: Option<&str>) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = request.header("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
        });
        // Both are compared, so that the time does not depend on which one was given.
        let (bearer, parameter) = (is_same(bearer.unwrap_or_default(), token), is_same(parameter.unwrap_or_default(), token));
        bearer | parameter
    }
}

/// Tells whether a text can be a token, as `Authorization` carries it.
fn is_token(text: &str) -> bool {
    (MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Compares in a time that depends on the length of what is given alone: neither on where it differs, nor on the token.
fn is_same(given: &str, token: &str) -> bool {
    let (given, token) = (given.as_bytes(), token.as_bytes());
    let mut difference = given.len() ^ token.len();
    for (at, byte) in given.iter().enumerate() {
        let other = token.get(at % token.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(black_box(byte ^ other));
    }
    black_box(difference) == 0
}
