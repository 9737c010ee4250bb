//! `coltape serve` as its clients see it: who may ask, what they get of a tape, hostile clients, starts and stops, and the page in a browser.
//!
//! Tests of this binary run beside each other. Each has a server of its own.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

mod access;
mod browser;
mod client;
mod coinbase;
mod cut;
mod data;
mod hostile;
mod lifecycle;
#[path = "../tape/market.rs"]
mod market;
mod metrics;
mod monitoring;
mod page;
#[path = "../tape/capture/programs.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod programs;
mod served;
