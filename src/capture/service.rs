//! What serves all writers: journal, REST, files, flushes, repairs, the list of products.

pub mod files;
pub mod journal;
pub mod products;
pub mod repair;
pub mod rest_fetch;
pub mod sync;
