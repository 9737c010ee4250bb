//! [`Handover`] and [`Filter`]: how a client goes over from a replay of its own to the log that all clients read, without a gap and without a double.
//!
//! ```text
//!   log    ──────┬───────────────┬──────────────▶
//!              since          boundary
//!   replay ──────────────────┤ everything that was committed when `since` was known, and some more
//! ```
//!
//! 1. `since`: a place behind a round that began when the products were already wanted. What is in the log before it was committed before it, so the replay,
//!    which looks once more from then on, has it.
//! 2. `boundary`: a place behind a round that began after the replay's last look. What the replay has given is in the log before it, if it is in it at all.
//! 3. Between the two a record is passed over if the replay has given it: a trade by its id; a ticker, which has none, if it stands before the last one that
//!    was given.

use std::collections::HashMap;

use super::chunk::Told;
use super::live::{Found, Live, Round};
use super::record::Row;
use super::replay::{Kind, Replay};
use crate::product::ProductId;
use crate::record::Ticker;

/// How far a client is on its way into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    /// It has not begun, or is over.
    None,
    /// The products are wanted. They are followed when the round is done.
    Asked(Round),
    /// The replay takes what was committed before `since`.
    Draining { since: u64 },
    /// It has. The round tells the boundary.
    Confirming { since: u64, round: Round },
}

impl Handover {
    /// Gives the place that the client must not read beyond before the boundary is known.
    pub(super) const fn since(self) -> Option<u64> {
        match self {
            Self::Draining { since } | Self::Confirming { since, .. } => Some(since),
            Self::None | Self::Asked(_) => None,
        }
    }
}

/// Where in the log a ticker is: its chunk, and its place there.
type LogPlace = (u64, usize);

/// Tells which records of the log a replay has given before.
#[derive(Debug)]
pub(super) struct Filter {
    replay: Replay,
    boundary: u64,
    /// Tickers up to here were given.
    given_tickers: HashMap<(ProductId, u32), LogPlace>,
}

/// Finds where in the log the last tickers are that a replay has given. Nothing where the log has lost a part of it.
pub(super) fn find_given(live: &Live, replay: &Replay, since: u64, boundary: u64) -> Option<HashMap<(ProductId, u32), LogPlace>> {
    let last: HashMap<(ProductId, u32), Ticker> =
        replay.last_tickers().map(|(product, series, ticker)| ((product.clone(), series), *ticker)).collect();
    let mut places = HashMap::new();
    for number in since..boundary {
        let Found::Chunks(chunks) = live.find(number) else { return None };
        let chunk = chunks.first()?;
        for (at, told) in chunk.records.iter().enumerate() {
            let Row::Ticker(ticker) = told.stored.row else { continue };
            let subject = (told.stored.product.clone(), told.stored.series);
            if last.get(&subject).is_some_and(|last| is_same(last, &ticker)) {
                places.insert(subject, (number, at));
            }
        }
    }
    Some(places)
}

impl Filter {
    /// Takes over what a replay has given.
    pub(super) fn new(replay: Replay, boundary: u64, given_tickers: HashMap<(ProductId, u32), LogPlace>) -> Self {
        Self { replay, boundary, given_tickers }
    }

    /// Tells whether no record of this chunk or a later one was given before.
    pub(super) fn is_over(&self, chunk: u64) -> bool {
        chunk >= self.boundary
    }

    /// Lists what was replayed.
    pub(super) fn subjects(&self) -> Vec<(ProductId, Kind)> {
        self.replay.subjects().map(|(product, kind)| (product.clone(), kind)).collect()
    }

    /// Tells whether the replay has given this record of the log.
    pub(super) fn was_given(&self, chunk: u64, at: usize, told: &Told) -> bool {
        let stored = &told.stored;
        match &stored.row {
            Row::Trade(trade) => self.replay.has_given_trade(&stored.product, stored.series, trade),
            Row::Ticker(_) => {
                let place = self.given_tickers.get(&(stored.product.clone(), stored.series));
                place.is_some_and(|place| (chunk, at) <= *place)
            }
        }
    }
}

/// Tells whether two tickers are the same record. Numbers that a feed did not send are no numbers, and equal to none.
fn is_same(left: &Ticker, right: &Ticker) -> bool {
    let key = |ticker: &Ticker| (ticker.time, ticker.recv, ticker.sequence, ticker.trade_id, ticker.side);
    let numbers = |ticker: &Ticker| {
        [ticker.price.as_f64, ticker.best_bid.as_f64, ticker.best_ask.as_f64, ticker.best_bid_size, ticker.best_ask_size].map(f64::to_bits)
    };
    key(left) == key(right) && numbers(left) == numbers(right)
}
