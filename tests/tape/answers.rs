//! `candles`, `stats` and `orders`: what they answer, against a computation of the test's own from the ledger, in integers.

pub(crate) mod candles;
pub(crate) mod command;
pub(crate) mod exactly;
mod kept;
pub(crate) mod orders;
pub(crate) mod recorded;
mod sql;
pub(crate) mod stats;
