//! A client as the exchange's thread sees it: its subscriptions, and the frames that are not yet in its outbox.
//!
//! A silent connection keeps its subscriptions, and its messages keep their numbers. [`Client::send`] discards them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::channels::Channels;
use super::frame::{self, Opcode};
use super::outbox::{Cut, Outbox};
use super::schedule::RepeatedFault;
use crate::ids::IdRange;

/// A repeated fault of a connection, and when it fires next.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingFault {
    pub(super) due: Instant,
    pub(super) fault: RepeatedFault,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    outbox: Arc<Outbox>,
    /// Frames that are not yet in the outbox.
    pending: Vec<u8>,
    /// The channels of each product, by the product's index.
    pub(super) by_product: Vec<Channels>,
    /// The channels of the connection as a whole.
    pub(super) of_connection: Channels,
    /// The number of the next message on the Advanced feed.
    pub(super) sequence_num: u64,
    pub(super) opened: Instant,
    /// Whether it has sent a request.
    pub(super) has_asked: bool,
    /// Until when nothing is sent to it, on the clock of the simulator's process.
    pub(super) silent_until: Option<Instant>,
    /// The trades of each product that it did not receive during a silence.
    pub(super) missed: BTreeMap<usize, IdRange>,
    pub(super) faults: Vec<PendingFault>,
    /// Frames of a recording that it has received.
    pub(super) replayed: usize,
    /// When the replay began for it.
    pub(super) replay_from: Option<Instant>,
    /// Whether the server has ended the connection.
    pub(super) is_cut: bool,
    /// Messages sent to it.
    pub(super) frames: u64,
}

impl Client {
    pub(super) fn new(id: u64, outbox: Arc<Outbox>, products: usize, now: Instant) -> Self {
        Self {
            id,
            outbox,
            pending: Vec::new(),
            by_product: vec![Channels::default(); products],
            of_connection: Channels::default(),
            sequence_num: 0,
            opened: now,
            has_asked: false,
            silent_until: None,
            missed: BTreeMap::new(),
            faults: Vec::new(),
            replayed: 0,
            replay_from: None,
            is_cut: false,
            frames: 0,
        }
    }

    /// Tells whether it is open and subscribed to this channel of this product.
    pub(super) fn is_subscribed(&self, product: usize, channel: Channels) -> bool {
        !self.is_cut && self.by_product.get(product).is_some_and(|channels| channels.has(channel))
    }

    /// Tells whether it is open and subscribed to this channel of the connection.
    pub(super) fn is_connection_subscribed(&self, channel: Channels) -> bool {
        !self.is_cut && self.of_connection.has(channel)
    }

    /// Tells whether nothing is sent to it.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_until.is_some()
    }

    /// Adds a message. Gives `false` where the connection is silent, and the message is lost.
    pub(super) fn send(&mut self, payload: &[u8]) -> bool {
        if self.is_silent() {
            return false;
        }
        frame::write(&mut self.pending, Opcode::Text, payload);
        self.frames += 1;
        true
    }

    /// Records trades that a silence kept from it.
    pub(super) fn add_missed(&mut self, product: usize, ids: IdRange) {
        let missed = self.missed.entry(product).or_insert(ids);
        *missed = missed.span(ids);
    }

    /// Adds the first half of a message. The connection must be cut right after.
    pub(super) fn send_half(&mut self, payload: &[u8]) {
        frame::header(&mut self.pending, Opcode::Text, payload.len());
        self.pending.extend_from_slice(payload.get(..payload.len() / 2).unwrap_or_default());
    }

    /// Gives the number of the next message, and counts it as used.
    pub(super) fn next_sequence_num(&mut self) -> u64 {
        let number = self.sequence_num;
        self.sequence_num += 1;
        number
    }

    /// Puts all pending frames into the outbox. Gives `false` where the client has just been disconnected for being too slow.
    pub(super) fn flush(&mut self) -> bool {
        if self.is_cut || self.pending.is_empty() {
            self.pending.clear();
            return true;
        }
        self.is_cut = !self.outbox.put(&mut self.pending);
        !self.is_cut
    }

    /// Ends the connection after the pending frames.
    pub(super) fn cut(&mut self, cut: Cut) {
        self.flush();
        self.outbox.cut(cut);
        self.is_cut = true;
    }

    /// Counts the bytes that are not yet written to the socket.
    pub(super) fn backlog(&self) -> usize {
        self.outbox.backlog() + self.pending.len()
    }
}
