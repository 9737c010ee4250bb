//! `repair` and `backfill`: from other boxes' tapes and from REST, through a death in the middle, and with a capture in the way.

mod asked;
mod boxes;
mod killed;
mod past;
mod restore;
pub(crate) mod tape;
mod union;
