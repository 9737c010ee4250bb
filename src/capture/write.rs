//! One writer a product: its queue, its open days, and who may append to them.

pub mod delegate;
pub mod deliveries;
#[cfg(test)]
pub(in crate::capture) mod fixture;
pub mod open_days;
pub mod queue;
pub mod registry;
pub mod resume;
pub mod slot;
pub mod ticker_source;
pub mod writer;
