//! The simulator, seen from outside: through its sockets, its REST endpoints and its ledger.
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[path = "simulate/client.rs"]
mod client;
#[path = "simulate/flow.rs"]
mod flow;
#[path = "simulate/kinds.rs"]
mod kinds;
#[path = "simulate/rest.rs"]
mod rest;
#[path = "simulate/shapes.rs"]
mod shapes;
#[path = "simulate/trouble.rs"]
mod trouble;
