//! The proof against faults: the simulator makes every fault that it has, and in the end the capture must have every trade.
//!
//! The simulator's ledger decides. Every field of every stored trade is compared with it, and so is what the capture's journal says was missing.

pub(crate) mod every_kind;
pub(crate) mod journal;
pub(crate) mod lines;
pub(crate) mod outage;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod tape;
pub(crate) mod truth;
