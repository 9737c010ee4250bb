//! The store: days through their lives, failing devices, power cuts, crashes, readers in other processes.
//!
//! Tests of this binary run beside each other, and some start this binary again as a child. One that measures page faults or mappings belongs to `hot_path`:
//! a flush is of the whole file system, so it makes the pages of its neighbours read-only.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic")]

mod crash_images;
mod days;
mod device;
mod flush;
mod golden;
mod kill;
mod limits;
mod live_reader;
mod model;
mod reading;
mod several_devices;
mod tape;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coltape::internals::store::{DataDir, StoreError, StoreOptions};

/// Opens a data directory that may have been open a moment ago: a child that another test has just made holds a copy of every lock of this process until it
/// runs its own program.
pub(crate) fn opened(path: &Path, options: StoreOptions, endpoint: &str) -> Arc<DataDir> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match DataDir::open(path, options.clone(), endpoint) {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            opened => return Arc::new(opened.unwrap()),
        }
    }
}
