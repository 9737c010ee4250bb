//! The threads that serve all writers: journal, REST, files, flushes, repairs, product data.

pub mod files;
pub mod journal;
pub mod products;
pub mod repair;
pub mod rest_fetch;
pub mod sync;
