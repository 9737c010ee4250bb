//! [`Request`]: a request whose head was read and checked.

use std::net::SocketAddr;

use super::host::Authority;

/// The methods that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

/// A request. Its body is empty.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) parameters: Vec<(String, String)>,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) host: Option<Authority>,
    pub(super) is_http_1_1: bool,
    pub(super) keep_alive: bool,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Request {
    /// Gives the path, decoded. It begins with `/`, and nothing in it is normalised.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Gives the first value of a parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Gives all parameters, decoded, in the order of the query. The token is not among them.
    pub(crate) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// Takes a parameter out, with all its values. Gives the first.
    pub(crate) fn take_parameter(&mut self, name: &str) -> Option<String> {
        let value = self.parameter(name).map(str::to_owned);
        self.parameters.retain(|(found, _)| found != name);
        value
    }

    /// Gives the first value of a header field; its name is given in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Gives the elements of a header field that is a list, over all its lines.
    pub(crate) fn header_list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.iter().filter(move |(found, _)| found == name);
        lines.flat_map(|(_, value)| value.split(',')).map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty())
    }

    /// Tells whether only the head of the answer is asked for.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// Gives the host that the request was sent to. Only HTTP/1.0 may leave it out.
    pub(crate) fn host(&self) -> Option<&Authority> {
        self.host.as_ref()
    }

    /// Gives the client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Gives the address at which the client has reached the server.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }
}
