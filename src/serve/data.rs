//! `/v1/…`: what the tape holds, in five formats.
//!
//! ```text
//!   request ──▶ parameters: checked ──▶ ground: days as they are now, damage, verdict, tag ──▶ records | market | products | coverage ──▶ stream
//!                    └──▶ refusal: status, error, hint                                                live: events, as they are committed
//! ```
//!
//! 1. An answer is made while it is read, so memory does not grow with it. A failure after its head breaks the stream off.
//! 2. Every answer over days says how complete it is, and has an `ETag` where its days are sealed.
//! 3. Columns, names and types of records are those of the export, whatever the format.

mod coverage;
mod ground;
mod live;
mod market;
mod parameters;
mod parquet_file;
mod parquet_files;
mod product_days;
mod products;
mod records;
mod refusal;
mod table;
mod verdicts;

use std::sync::Arc;

use super::http::request::Request;
use super::http::response::Response;
use super::server::Server;
use crate::schema::Dataset;

pub(super) use live::{EVENTS, LiveHubs};
pub(super) use parquet_files::ParquetFiles;
pub(super) use verdicts::Verdicts;

use refusal::Refusal;

/// What stands below this path is answered here.
pub(super) const PREFIX: &str = "/v1/";

/// Answers a request for data.
pub(super) fn answer(server: &Arc<Server>, request: &Request) -> Response {
    let answered = match request.path() {
        "/v1/products" => products::answer(server, request),
        "/v1/coverage" => coverage::answer(server, request),
        "/v1/trades" => records::answer(server, request, Dataset::Trades),
        "/v1/tickers" => records::answer(server, request, Dataset::Md),
        "/v1/candles" => market::candles(server, request),
        "/v1/orders" => market::orders(server, request),
        "/v1/live" => live::answer(server, request),
        "/v1/stats" => market::stats(server, request),
        path => Err(Refusal::new(
            404,
            format!("there is nothing at {}", crate::escape::Escaped(path)),
            "there are /v1/products, /v1/coverage, /v1/trades, /v1/tickers, /v1/candles, /v1/orders, /v1/stats and /v1/live",
        )),
    };
    answered.unwrap_or_else(Refusal::response)
}
