//! Recorded tapes and the commands that make, read, check, repair and move them: `capture`, `query`, `plot`, `status`, `verify`, `repair`, `archive` and more.
//!
//! Tests of this binary run beside each other. One that looks at the whole process (its threads, its descriptors, its allocations) belongs to `hot_path`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

mod answers;
mod archive;
mod backtests;
mod built;
mod capture;
mod console;
mod doctor;
mod export;
mod guide;
mod install;
mod market;
#[path = "../feed/peers.rs"]
mod peers;
mod plot;
mod python;
mod query;
mod repair;
mod service;
mod status;
mod verify_days;
mod verify_ledger;
mod verify_tapes;
