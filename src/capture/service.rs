//! The threads that serve all writers: journal, REST, files, flushes, repairs, product data.

mod archive;
pub(crate) mod exact_texts;
pub(crate) mod files;
pub(crate) mod flush_pace;
pub(crate) mod journal;
pub(crate) mod products;
pub(crate) mod repair;
pub(crate) mod rest_fetch;
pub(crate) mod sync;
