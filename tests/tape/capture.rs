//! The whole program, end to end: `coltape simulate` or a scripted server, `coltape capture`, and the files that are read back.

pub(crate) mod absurd;
pub(crate) mod alerts;
pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod disturbed;
pub(crate) mod exact;
pub(crate) mod fetching;
pub(crate) mod gaps;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod marks;
pub(crate) mod midnight;
pub(crate) mod named;
pub(crate) mod network;
pub(crate) mod products;
pub(crate) mod programs;
pub(crate) mod recorded;
pub(crate) mod rest;
pub(crate) mod scripted;
pub(crate) mod seam;
pub(crate) mod sizes;
pub(crate) mod take_over;
