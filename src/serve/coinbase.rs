//! A Coinbase of one's own: the tape under the paths and in the protocols of the exchange, so that its clients work on it by a change of one URL.
//!
//! ```text
//!   /products…  /currencies  /time ──▶ rest
//!   /ws  /ws-advanced ──▶ socket ──▶ session ─┬─▶ replay ──▶ sources (one client's)
//!                                             └─▶ live ◀── follower (all clients')
//!   /replay  /replay-normalized ──▶ tardis ──▶ replay
//! ```
//!
//! 1. Every message is made of stored columns, so a tape of either feed serves both. What its source did not have is left out, not invented.
//! 2. A capture of `/ws?from=…` gives the same columns, receive times apart. So boxes can be chained.
//! 3. A client costs its own thread, one buffer, and while it replays one record of each source.
//!
//! Threads: `serve:live` ([`live`]), beside those of [`super::http`].

mod advanced;
mod chunk;
mod exchange;
mod follower;
mod frame;
mod glance;
mod handover;
pub(super) mod live;
mod messages;
mod moment;
mod pages;
mod products;
mod record;
mod refused;
mod replay;
mod request;
mod rest;
mod session;
mod socket;
mod source;
mod spelling;
mod subscriptions;
mod tardis;
mod wake;

use std::sync::Arc;

use super::http::request::Request;
use super::http::response::Response;
use super::server::Server;
use crate::time_range::TimeRange;
use refused::Refused;
use replay::Pace;
use request::Protocol;
use session::Settings;
use tardis::Form;

/// The fastest pace that is a number: faster is as fast as the client reads.
const MAX_SPEED: f64 = 1e9;

/// Answers a request for a path of the exchange, or of tardis-machine; nothing for any other path.
pub(super) fn route(server: &Arc<Server>, request: &Request) -> Option<Response> {
    Some(match request.path() {
        "/ws" => websocket(server, request, Protocol::Exchange),
        "/ws-advanced" => websocket(server, request, Protocol::Advanced),
        "/replay" => tardis::answer(server, request, Form::Native),
        "/replay-normalized" => tardis::answer(server, request, Form::Normalized),
        "/products" | "/currencies" | "/time" => rest::answer(server, request),
        path if path.starts_with("/products/") => rest::answer(server, request),
        _ => return None,
    })
}

fn websocket(server: &Arc<Server>, request: &Request, protocol: Protocol) -> Response {
    let settings = match settings(request, protocol) {
        Ok(settings) => settings,
        Err(refused) => return refused.into_response(server.dir()),
    };
    let tape = match server.tape() {
        Ok(tape) => tape,
        Err(error) => return Refused::Tape(error).into_response(server.dir()),
    };
    let server = Arc::clone(server);
    Response::upgrade(move |connection| socket::talk(&server, server.live(), tape, settings, connection))
}

fn settings(request: &Request, protocol: Protocol) -> Result<Settings, Refused> {
    const TIME: &str = "it is a time such as 2025-06-07T12:00:00Z, a date, or nanoseconds since the epoch";
    let time = |name: &str| match request.parameter(name).map(|given| (given, moment::parse(given))) {
        Some((given, None)) => Err(Refused::of(400, format!("{name}={given} is no time"), TIME)),
        Some((_, time)) => Ok(time),
        None => Ok(None),
    };
    let (from, to) = (time("from")?, time("to")?);
    let speed = match request.parameter("speed").map(|given| (given, given.parse::<f64>())) {
        Some((given, speed)) => match speed {
            Ok(speed) if speed >= 0.0 && speed.is_finite() => Some(speed),
            _ => {
                let hint = "1 is the recorded pace, 10 is ten times as fast, 0 is as fast as the client reads";
                return Err(Refused::of(400, format!("speed={given} is no speed"), hint));
            }
        },
        None => None,
    };
    if from.is_none() && (to.is_some() || speed.is_some()) {
        return Err(Refused::of(400, "to and speed are for a replay", "give from, too"));
    }
    let range = TimeRange { from, to };
    if range.is_empty() {
        return Err(Refused::of(400, "to must lie after from", TIME));
    }
    let pace = match speed {
        Some(speed) if speed > 0.0 && speed < MAX_SPEED => Pace::Times(speed),
        _ => Pace::Fastest,
    };
    Ok(Settings { protocol, range: from.map(|_| range), pace })
}
