//! [`Chunk`]: what one look at the tape has found, with its texts for both feeds.

use std::ops::Range;
use std::time::Instant;

use super::record::Stored;
use super::replay::Kind;
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

/// Records of one product that follow each other.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) records: Range<usize>,
    pub(super) has_trades: bool,
    pub(super) has_tickers: bool,
}

impl Run {
    /// Begins with a record.
    pub(super) fn of(number: usize, kind: Kind) -> Self {
        Self { records: number..number + 1, has_trades: kind == Kind::Trades, has_tickers: kind == Kind::Tickers }
    }

    /// Adds the next record.
    pub(super) fn push(&mut self, kind: Kind) {
        self.records.end += 1;
        self.has_trades |= kind == Kind::Trades;
        self.has_tickers |= kind == Kind::Tickers;
    }
}

/// What a round has found.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// When the round began that has found it.
    pub(super) looked: Option<Instant>,
    pub(super) records: Vec<Told>,
    pub(super) runs: Vec<Run>,
    pub(super) exchange: Vec<u8>,
    pub(super) advanced: Vec<u8>,
}

/// The newest records of a product.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    pub(super) trade: Option<(Stored, Trade)>,
    pub(super) ticker: Option<(Stored, Ticker)>,
}
