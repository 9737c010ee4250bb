//! One writer a product: its queue, its open days, and which threads may append to them. [`queue`] describes the design.

#[cfg(test)]
pub(in crate::capture) mod fixture;

pub mod delegate;
pub mod deliveries;
pub mod effort;
pub mod open_dataset;
pub mod open_days;
pub mod queue;
pub mod registry;
pub mod resume;
pub mod route_error;
pub mod slot;
pub mod step;
pub mod ticker_source;
pub mod wakeup;
pub mod writer;
pub mod writer_thread;
