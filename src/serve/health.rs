//! `/healthz`, `/readyz` and `/metrics` of the server.

use super::folder::without_folder;
use super::http::response::{JSON, Response};
use super::metrics;
use super::server::Server;
use crate::exposition::CONTENT_TYPE;
use crate::json::quoted;

/// Answers that the server is alive.
pub(super) fn alive() -> Response {
    Response::bytes("text/plain; charset=utf-8", b"ok\n".as_slice()).with_header("Cache-Control", "no-store")
}

/// Answers whether requests can be answered: 200, or 503 with a list of what is not ready.
pub(super) fn ready(server: &Server) -> Response {
    let mut missing = Vec::new();
    if let Err(error) = server.tape().and_then(|tape| tape.products()) {
        missing.push(without_folder(server.dir(), &format!("the tape: {error}")));
    }
    if server.stopping() {
        missing.push("the server: it stops".to_owned());
    }
    readiness(&missing)
}

/// Answers 200 where nothing is missing, else 503 with the list.
pub(super) fn readiness(missing: &[String]) -> Response {
    let list: Vec<String> = missing.iter().map(|text| quoted(text)).collect();
    let status = if missing.is_empty() { 200 } else { 503 };
    Response::bytes(JSON, format!("[{}]\n", list.join(",")).into_bytes()).with_status(status).with_header("Cache-Control", "no-store")
}

/// Answers with the metrics.
pub(super) fn metrics(server: &Server) -> Response {
    Response::bytes(CONTENT_TYPE, metrics::text(server).into_bytes()).with_header("Cache-Control", "no-store")
}
