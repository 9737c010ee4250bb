//! The whole program, end to end: `coltape simulate` or a scripted server on one side, `coltape capture` on the other, the files read back.

pub(crate) mod absurd;
pub(crate) mod disk;
pub(crate) mod gaps;
pub(crate) mod lifecycle;
pub(crate) mod midnight;
pub(crate) mod products;
pub(crate) mod recorded;
pub(crate) mod rest;
pub(crate) mod scripted;
pub(crate) mod stage;
