//! The simulator, tested from outside: through its sockets, its REST endpoints and its ledger.

#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

mod client;
mod flow;
mod kinds;
mod rest;
mod sessions;
mod shapes;
