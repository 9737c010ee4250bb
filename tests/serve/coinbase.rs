//! A Coinbase of one's own: the tape under the paths and in the protocols of the exchange.

mod captured;
mod client;
mod damaged;
mod followed;
mod load;
mod protocol;
mod rest;
mod shapes;
mod tapes;
mod tardis;

pub(crate) use client::{Client, escaped};
