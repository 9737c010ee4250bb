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
