//! [`route`]: which part answers a path. One line for each prefix.
//!
//! Whatever comes here has passed [`super::access`]. A path never becomes the name of a file: a product in it is parsed, and looked for in the directory.

use std::sync::Arc;

use super::coinbase;
use super::data;
use super::health;
use super::http::handler::Priority;
use super::http::request::Request;
use super::http::response::Response;
use super::page;
use super::server::Server;

/// What stands below this path are files of the page, the same for everyone: a browser asks for them without the token.
pub(super) const ASSETS: &str = "/assets/";

/// Answers a request.
pub(super) fn route(server: &Arc<Server>, request: &Request) -> Response {
    match request.path() {
        "/" => page::index(),
        "/healthz" => health::alive(),
        "/readyz" => health::ready(server),
        "/metrics" => health::metrics(server),
        path if path.starts_with(ASSETS) => page::asset(path.strip_prefix(ASSETS).unwrap_or_default()),
        path if path.starts_with(data::PREFIX) => data::answer(server, request),
        path => coinbase::route(server, request).unwrap_or_else(|| {
            Response::error(404, format!("there is nothing at {path}"), "see coltape serve --help for the paths there are")
        }),
    }
}

/// Gives what happens to a request while as many clients are being answered as may be: health is told all the same.
pub(super) fn priority(path: &str) -> Priority {
    match path {
        "/healthz" | "/metrics" => Priority::Instant,
        // It looks at the directory, which may take its time.
        "/readyz" => Priority::Health,
        _ => Priority::Usual,
    }
}
