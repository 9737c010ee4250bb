//! Connections: frames come in here, are decoded, and go to the product that they belong to.

pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod connection_error;
pub(crate) mod connection_settings;
mod connection_thread;
pub(crate) mod connections;
mod entry;
pub(crate) mod listing;
pub(crate) mod raw_frames;
mod record_texts;
pub(crate) mod recorder;
pub(crate) mod router;
mod shedding;
pub(crate) mod wanted_products;
