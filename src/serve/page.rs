//! The page at `GET /`: HTML, style sheet and modules, embedded in the program. A browser makes everything else of the answers below `/v1/`.
//!
//! 1. The page asks nobody but this server: its Content-Security-Policy allows nothing else, no inline script and no inline style.
//! 2. The files say nothing about the tape and are the same for everyone, so they need no token. The page itself is answered with 401 where the token is missing
//!    or wrong; a browser then shows a field for it.
//! 3. A browser asks each time whether a file has changed (`ETag`): a server of another version never runs with modules of the last one.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::http::request::Request;
use super::http::response::Response;

/// What the page may load and connect to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("assets/", $name)) }
    };
}

const INDEX: File = file!("index.html", HTML);

/// The files below `/assets/`.
const FILES: [File; 20] = [
    file!("address.js", JAVASCRIPT),
    file!("api.js", JAVASCRIPT),
    file!("app.js", JAVASCRIPT),
    file!("arrow.js", JAVASCRIPT),
    file!("chart.js", JAVASCRIPT),
    file!("coverage.js", JAVASCRIPT),
    file!("dom.js", JAVASCRIPT),
    file!("format.js", JAVASCRIPT),
    file!("gaps.js", JAVASCRIPT),
    file!("icon.svg", SVG),
    file!("market.js", JAVASCRIPT),
    file!("model.js", JAVASCRIPT),
    file!("paint.js", JAVASCRIPT),
    file!("products.js", JAVASCRIPT),
    file!("series.js", JAVASCRIPT),
    file!("style.css", CSS),
    file!("tape.js", JAVASCRIPT),
    file!("trade.js", JAVASCRIPT),
    file!("uplot.js", JAVASCRIPT),
    file!("uplot.LICENSE", TEXT),
];

/// Answers with the page.
pub(super) fn index() -> Response {
    answer(&INDEX)
}

/// Answers with a file of the page, given by its name below `/assets/`.
pub(super) fn asset(name: &str) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => answer(file),
        None => Response::error(404, format!("the page has no file {name}"), "begin at /"),
    }
}

/// Gives a browser that lacks the token the page in place of a refusal: there it can be entered. The status stays.
pub(super) fn instead_of(refusal: Response, request: &Request) -> Response {
    let is_browser = request.path() == "/" && request.header_list("accept").any(|kind| kind.starts_with("text/html"));
    match refusal.status() {
        401 if is_browser => answer(&INDEX).with_status(401),
        _ => refusal,
    }
}

fn answer(file: &File) -> Response {
    let mut hasher = DefaultHasher::new();
    file.bytes.hash(&mut hasher);
    Response::bytes(file.content_type, file.bytes)
        .with_header("ETag", format!("\"{:016x}\"", hasher.finish()))
        .with_header("Cache-Control", "no-cache")
        .with_header("Content-Security-Policy", POLICY)
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("Referrer-Policy", "no-referrer")
}
