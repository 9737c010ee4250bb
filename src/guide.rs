//! The guide: how to run a capture, how to read what it stores, how old days are archived, how several boxes work together, how to use the library, what it costs, and the format of the files.

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[doc = include_str!("guide/reading.md")]
pub mod reading {}

#[doc = include_str!("guide/export.md")]
pub mod export {}

#[doc = include_str!("guide/serving.md")]
pub mod serving {}

#[doc = include_str!("guide/exchange.md")]
pub mod exchange {}

#[doc = include_str!("guide/archive.md")]
pub mod archive {}

#[doc = include_str!("guide/scaling.md")]
pub mod scaling {}

#[doc = include_str!("guide/library.md")]
pub mod library {}

#[doc = include_str!("guide/figures.md")]
pub mod figures {}

#[doc = include_str!("store/FORMAT.md")]
pub mod format {}
