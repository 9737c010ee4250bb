//! Proofs that take long at full length: `scripts/faults.sh`, `scripts/outage.sh`, `scripts/kills.sh` and `scripts/months.sh` run them with larger numbers.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[allow(dead_code, reason = "fields that only a failure prints")]
mod faults;
mod kills;
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a test counts bytes")]
mod live_bytes;
mod months;

#[allow(dead_code, reason = "shared with the tests of `tape`, which use all of it")]
#[path = "../tape/capture/programs.rs"]
mod programs;
