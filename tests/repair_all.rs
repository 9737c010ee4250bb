//! `repair` and `backfill`: from other boxes' tapes and from REST, through a death in the middle, and with a capture in the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

#[path = "repair/asked.rs"]
mod asked;
#[path = "repair/boxes.rs"]
mod boxes;
#[path = "repair/killed.rs"]
mod killed;
#[path = "tape/market.rs"]
mod market;
#[path = "repair/past.rs"]
mod past;
#[path = "repair/tape.rs"]
mod tape;
