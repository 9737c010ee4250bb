//! Connections: frames come in here, are decoded, and go to the product that they belong to.

pub mod batch;
pub mod connection;
pub mod connection_error;
pub mod connection_settings;
mod connection_thread;
pub mod connections;
pub mod raw_frames;
pub mod recorder;
pub mod router;
mod shedding;
