//! One writer a product: its queue, its open days, and which threads may append to them. [`queue`] describes the design.

#[cfg(test)]
pub(in crate::capture) mod fixture;

pub(crate) mod delegate;
pub(crate) mod deliveries;
pub(crate) mod doubt;
pub(crate) mod earlier;
pub(crate) mod effort;
mod gap_ages;
pub(crate) mod open_dataset;
mod open_day;
pub(crate) mod open_days;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod resume;
pub(crate) mod route_error;
mod seals;
pub(crate) mod seam;
pub(crate) mod slot;
pub(crate) mod spill;
pub(crate) mod step;
pub(crate) mod ticker_source;
pub(crate) mod wakeup;
pub(crate) mod writer;
pub(crate) mod writer_thread;
