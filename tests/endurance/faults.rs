//! The faults proof: a tape that goes wrong in every way the simulator knows, a capture that must have all of it in the end, and the simulator's ledger
//! as the judge — of every field of every trade, and of what the capture's own journal says was missing.

pub(crate) mod every_kind;
pub(crate) mod journal;
pub(crate) mod lines;
pub(crate) mod outage;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod tape;
pub(crate) mod truth;
