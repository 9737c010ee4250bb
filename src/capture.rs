//! The capture: the threads, and the place where feed and store meet.
//!
//! ```text
//!             one per connection                   one per product
//! Coinbase ──▶ connection ──▶ router ──▶ queue ──▶ writer ──▶ open days ──▶ columns + commit page
//!                  │                                ▲   │
//!                  └─ appends for a sleeping writer ┤   ├──▶ journal: journal, rejects, exact texts
//!                                                   │   ├──▶ provisioner: space, tomorrow's files, seals
//!              REST and repairs: missing trades ────┘   └──▶ sync: flushes, raises `durable`
//!
//!              watch: alerts, status line              recorder: frames as received
//! ```
//!
//! 1. A thread that serves several products never waits for one of them, except for the bounded back-pressure of [`write::queue`].
//! 2. [`run`] starts every thread and joins every thread, also where the start fails half-way. A thread that fails or panics stops the capture with its
//!    reason. Only a writer is started again, once.
//! 3. The order of the end is connections, queues, writers, watch, flushes and seals, journal. What was received until then is stored, sealed and counted.

pub(crate) mod alert_config;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod cores;
pub(crate) mod error;
pub(crate) mod limits;
pub(crate) mod maps;
pub(crate) mod net;
pub(crate) mod product_list;
mod product_listing;
mod product_sources;
pub(crate) mod report;
mod running;
pub(crate) mod service;
mod start;
pub(crate) mod stop;
mod take_over;
pub(crate) mod threads;
pub(crate) mod write;

pub use alert_config::AlertConfig;
pub use config::{CaptureConfig, RecordConfig};
pub use error::CaptureError;
pub use report::service_manager::ServiceManager;
pub use report::view::CaptureView;
pub use start::{run, run_with_view};
