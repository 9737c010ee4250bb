//! Connections: frames come in here, are decoded, and go to the product that they belong to.

pub mod batch;
pub mod connection;
pub mod connections;
pub mod raw_frames;
pub mod recorder;
pub mod router;
