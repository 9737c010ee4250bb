//! The feed's layer, seen from outside: decoding, the recorded sessions, sessions in virtual time, sockets and REST against servers on loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod addresses;
mod answers;
mod certificates;
mod clock;
mod decode;
mod peers;
mod proxies;
mod recorded;
mod rest;
mod session;
mod shapes;
mod socket;
mod spelling;
mod upgrades;
