//! What the files of `_coltape` tell of a tape that its days do not show: when no capture was running, which ids there were, what was lost and why, which
//! days there must be.
//!
//! ```text
//!   journal.{date}.jsonl ──▶ journal ──▶ product    what it says of each product, and what is wrong with it
//!   rejects.{date}.jsonl ──▶ rejected               trades that came and could not be used
//!   days of tickers      ──▶ named                  trades that happened, and behind which none is stored
//!                     both ──▶ kept                 read once, and again as far as files have changed
//! ```
//!
//! `verify` judges days by it, and so does every answer that says whether a time is whole: there is one rule for both.

pub(crate) mod clock_days;
mod damaged_lines;
pub(crate) mod journal;
pub(crate) mod kept;
pub(crate) mod named;
pub(crate) mod product;
pub(crate) mod rejected;
mod sessions;
mod stop_figures;

pub(crate) use clock_days::ClockDays;
pub(crate) use journal::Journal;
pub(crate) use kept::{KeptKnowledge, Knowledge};
pub(crate) use product::History;
