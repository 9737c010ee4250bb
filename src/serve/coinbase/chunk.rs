//! [`Chunk`]: what one look at the tape has found, with its texts for both feeds.

use std::ops::Range;
use std::time::Instant;

use super::record::Stored;
use crate::record::{Ticker, Trade};

/// A record in the log, and where its texts are.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) stored: Stored,
    /// Its frame on the Exchange feed.
    pub(super) exchange: Range<usize>,
    /// Its element of an event on the Advanced Trade feed.
    pub(super) advanced: Range<usize>,
}

/// What a round has found.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// When the round began that has found it.
    pub(super) looked: Option<Instant>,
    pub(super) records: Vec<Told>,
    /// Records of one product that follow each other.
    pub(super) runs: Vec<Range<usize>>,
    pub(super) exchange: Vec<u8>,
    pub(super) advanced: Vec<u8>,
}

/// The newest records of a product.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    pub(super) trade: Option<(Stored, Trade)>,
    pub(super) ticker: Option<(Stored, Ticker)>,
}
