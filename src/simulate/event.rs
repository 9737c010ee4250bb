//! What reaches the exchange's thread from other threads.

use std::sync::Arc;

use super::faults::Fault;
use super::outbox::{Cut, Outbox};
use super::target::FaultTarget;
use crate::product::ProductId;

/// Events that may wait for the exchange's thread. A sender that finds the channel full waits.
///
/// The exchange's thread must never wait for a lock that a sender holds while it sends.
pub(super) const EVENTS: usize = 4096;

/// What other threads tell the exchange's thread.
#[derive(Debug)]
pub(super) enum Event {
    /// A client has connected.
    Connected {
        client: u64,
        /// Where its frames go.
        outbox: Arc<Outbox>,
    },
    /// A client has sent a text message.
    Received { client: u64, text: Vec<u8> },
    /// A client's connection has ended.
    Disconnected { client: u64 },
    /// A fault has fired in another thread.
    Fault(Fault, FaultTarget),
    /// A REST request has come.
    RestRequest {
        /// It was refused for the rate limit.
        is_refused: bool,
    },
    /// The simulator's user wants something.
    Command(Command),
}

/// What the simulator's user may do while it runs.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// End every connection.
    Disconnect(Cut),
    /// Stop trading a product.
    Delist(ProductId),
    /// Begin to trade a product that was not there.
    List(ProductId),
    /// Stop the event clock, and write the ledger up to there.
    Pause,
    /// Let the event clock go on from where it was stopped.
    Resume,
    /// Send this text to every client.
    SendText(String),
    /// End the exchange's thread.
    Stop,
}
