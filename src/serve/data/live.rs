//! `/v1/live`: records as server-sent events, each as soon as it is committed.
//!
//! 1. The `id` of an event is the trade id. A client that comes back with the last one it has got (`Last-Event-ID`, or `after_id`) gets what it has missed,
//!    each record once, also those that came late ([`resume`]).
//! 2. One thread follows a product for all its clients ([`follow`], [`hub`]), so each record is made into an event once.
//! 3. A client that reads too slowly is cut off by the HTTP server, as everywhere. Nobody waits for it.

mod client;
mod event;
mod follow;
mod hub;
mod resume;

use std::io::Write;
use std::sync::Arc;

use super::parameters::Parameters;
use super::refusal::{Refusal, of_stream, of_tape};
use crate::schema::Dataset;
use crate::serve::http::request::Request;
use crate::serve::http::response::{Response, StreamFailed};
use crate::serve::server::Server;
use client::{Client, Ended};
use event::EventId;
use resume::Resume;

pub(crate) use hub::LiveHubs;

/// Type of an answer that goes on.
pub(in crate::serve) const EVENTS: &str = "text/event-stream";
/// What is sent first: a client that is cut off comes back after this many milliseconds.
const GREETING: &[u8] = b"retry: 1000\n\n";

/// Answers with events, until the client leaves or the server stops.
///
/// # Errors
/// Where the request makes no sense, or the product cannot be followed.
pub(super) fn answer(server: &Arc<Server>, request: &Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of(request, &["product", "dataset", "after_id"])?;
    // The paths of records say tickers, the commands say md.
    let datasets = [(Dataset::Trades.name(), Dataset::Trades), ("tickers", Dataset::Md), (Dataset::Md.name(), Dataset::Md)];
    let dataset = parameters.one_of("dataset", &datasets)?.unwrap_or(Dataset::Trades);
    // What the browser has got last is newer than the address that its page was written with.
    let last = match request.header("last-event-id").filter(|id| !id.is_empty()) {
        Some(id) => Some(EventId::parse(id).ok_or_else(|| {
            Refusal::new(400, format!("Last-Event-ID {} is none", crate::escape::Escaped(id)), "send the id of the last event as it came")
        })?),
        None => parameters.count("after_id")?.map(EventId::Trade),
    };
    let tape = server.tape().map_err(|error| of_tape(server, &error))?;
    let product = parameters.product(server, &tape)?;
    let resume = last.map(|last| Resume::check(server, &tape, &product, dataset, last)).transpose()?;
    let hub = follow::hub(server, &tape, &product, dataset)?;
    let server = Arc::clone(server);
    let response = Response::stream(EVENTS, move |out| {
        let _follower = server.counters().follow();
        // Whatever comes once the client has the head of the answer is an event for it.
        let mut client = Client { server: &server, hub: &hub, next: hub.next(), sent: None };
        out.write_all(GREETING)?;
        out.flush()?;
        let ended = match resume {
            Some(resume) => resume.catch_up(&mut client, out).and_then(|()| client.run(out)),
            None => client.run(out),
        };
        ended.map_err(|error| match error {
            Ended::Failed(error) => of_stream(&server, error),
            Ended::Hub(why) => StreamFailed::source(why, Refusal::unreadable(server.dir(), "the tape").response()),
        })
    });
    Ok(response.with_header("Cache-Control", "no-store").with_header("X-Accel-Buffering", "no"))
}
