//! A client as the floor sees it: what it takes, and the frames on their way to it.
//!
//! A client that is being silent to takes what it has asked for, numbers included, and is sent nothing: its frames end in [`Client::send`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::frame::{self, Opcode};
use super::outbox::{Cut, Outbox};
use super::schedule::Doom;

/// A set of channels, as bits: a client has one such set a product, and one for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Channels(u8);

impl Channels {
    /// `matches` or `market_trades`.
    pub(super) const TRADES: Self = Self(1);
    /// `ticker`.
    pub(super) const TICKER: Self = Self(2);
    /// `heartbeat`, or the connection's `heartbeats`.
    pub(super) const HEARTBEAT: Self = Self(4);
    /// `status`.
    pub(super) const STATUS: Self = Self(8);

    /// Whether it has any of `other`.
    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds `other`, or takes it out.
    pub(super) fn set(&mut self, other: Self, is_in: bool) {
        self.0 = if is_in { self.0 | other.0 } else { self.0 & !other.0 };
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    outbox: Arc<Outbox>,
    staged: Vec<u8>,
    /// What it takes of each product, by the product's place.
    pub(super) takes: Vec<Channels>,
    /// What it takes as a connection.
    pub(super) itself: Channels,
    /// The number of its next message on the Advanced feed.
    pub(super) sequence_num: u64,
    pub(super) opened: Instant,
    pub(super) has_asked: bool,
    /// Until when, on the simulator's own clock, nothing is said to it.
    pub(super) silent_until: Option<Instant>,
    /// First and last trade of each product that a silence kept from it.
    pub(super) missed: BTreeMap<usize, (u64, u64)>,
    /// What will befall it, and when.
    pub(super) dooms: Vec<(Instant, Doom)>,
    /// How far it is in a replay.
    pub(super) replayed: usize,
    pub(super) replay_from: Option<Instant>,
    pub(super) is_cut: bool,
    /// Frames handed to it.
    pub(super) frames: u64,
}

impl Client {
    pub(super) fn new(id: u64, outbox: Arc<Outbox>, products: usize, now: Instant) -> Self {
        Self {
            id,
            outbox,
            staged: Vec::new(),
            takes: vec![Channels::default(); products],
            itself: Channels::default(),
            sequence_num: 0,
            opened: now,
            has_asked: false,
            silent_until: None,
            missed: BTreeMap::new(),
            dooms: Vec::new(),
            replayed: 0,
            replay_from: None,
            is_cut: false,
            frames: 0,
        }
    }

    /// Whether it is open and takes this channel of this product.
    pub(super) fn wants(&self, product: usize, channel: Channels) -> bool {
        !self.is_cut && self.takes.get(product).is_some_and(|takes| takes.has(channel))
    }

    /// Whether it is open and takes this channel as a connection.
    pub(super) fn wants_itself(&self, channel: Channels) -> bool {
        !self.is_cut && self.itself.has(channel)
    }

    /// Whether nothing is said to it.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_until.is_some()
    }

    /// Puts a message on its way; says `false` where the connection is silent and the message lost.
    pub(super) fn send(&mut self, payload: &[u8]) -> bool {
        if self.is_silent() {
            return false;
        }
        frame::write(&mut self.staged, Opcode::Text, payload);
        self.frames += 1;
        true
    }

    /// Notes trades that a silence keeps from it.
    pub(super) fn miss(&mut self, product: usize, first: u64, last: u64) {
        let missed = self.missed.entry(product).or_insert((first, last));
        *missed = (missed.0.min(first), missed.1.max(last));
    }

    /// Puts the first half of a message on its way; the connection is to be cut right after.
    pub(super) fn send_half(&mut self, payload: &[u8]) {
        frame::header(&mut self.staged, Opcode::Text, payload.len());
        self.staged.extend_from_slice(payload.get(..payload.len() / 2).unwrap_or_default());
    }

    /// Takes the number of the next message.
    pub(super) fn next_sequence_num(&mut self) -> u64 {
        let number = self.sequence_num;
        self.sequence_num += 1;
        number
    }

    /// Hands all staged frames to the session's thread. Says `false` where the client just turned out to be too slow.
    pub(super) fn flush(&mut self) -> bool {
        if self.is_cut || self.staged.is_empty() {
            self.staged.clear();
            return true;
        }
        self.is_cut = !self.outbox.put(&mut self.staged);
        !self.is_cut
    }

    /// Ends the connection after what is staged.
    pub(super) fn cut(&mut self, cut: Cut) {
        self.flush();
        self.outbox.cut(cut);
        self.is_cut = true;
    }

    /// Counts bytes not yet written to the socket.
    pub(super) fn backlog(&self) -> usize {
        self.outbox.backlog() + self.staged.len()
    }
}
