//! [`answer`]: no answer that was made while pages of a mapped file were lost is told to be whole.
//!
//! A file that is cut while it is read, or a device that fails, leaves zeros in the place of what was there ([`outlive_lost_pages`]). Answers with records find
//! that by themselves, and name the day. This holds for all others: whatever was lost while an answer was made, it is an error, or is broken off. It may be a
//! file that the answer had no part in; who asks again is told which.
//!
//! [`outlive_lost_pages`]: crate::store::outlive_lost_pages

use super::http::request::Request;
use super::http::response::{Response, StreamFailed};
use crate::store::losses;

/// Has a request answered.
pub(super) fn answer(request: &Request, make: impl FnOnce(&Request) -> Response) -> Response {
    let before = losses();
    let response = make(request);
    if response.header("content-type") == Some(super::data::EVENTS) {
        // It ends when the server does, and each of its events was looked at.
        return response;
    }
    if losses() != before {
        return refusal();
    }
    response.with_stream(|write| {
        Box::new(move |out| {
            write(out)?;
            if losses() == before { Ok(()) } else { Err(StreamFailed::source("a file was cut while it was read", refusal())) }
        })
    })
}

fn refusal() -> Response {
    const HINT: &str =
        "ask again: the answer says which day it is, if it is one of these; coltape verify says more, coltape repair may help";
    Response::error(500, "a file of the tape was cut, or its device failed, while it was read", HINT)
}
