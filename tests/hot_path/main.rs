//! What the hot path costs the system: allocations, page faults, mappings, page cache.
//!
//! These tests look at the whole process, so the binary has an allocator of its own that counts, and its tests run one at a time.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod allocations;
mod allocator;
mod decoding;
mod page_faults;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each test. Two captures would have threads of the same names, and a flush is of the whole file system: it makes the pages of another test
/// read-only.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test of this binary runs.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
