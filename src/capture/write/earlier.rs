//! What a writer keeps while it is unsettled where a series of trade ids ends: tickers that are held back, and the series before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::capture::write::open_days::OpenDays;
use crate::feed::sequencer::Sequencer;
use crate::product::ProductId;
use crate::record::Ticker;

/// Tickers that wait until it is settled to which series they belong.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    /// The tickers, in the order they came.
    pub(crate) tickers: VecDeque<Ticker>,
    /// When the first of them came.
    pub(crate) since: Duration,
    /// The trade that the last stored ticker names.
    pub(crate) last_trade_id: u64,
}

impl HeldBack {
    /// Tells whether none is held back.
    #[inline]
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.tickers.is_empty()
    }

    /// Gives how many are held back.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.tickers.len()
    }

    /// Takes note of a ticker that is stored.
    #[inline]
    pub(crate) const fn note(&mut self, ticker: &Ticker) {
        if ticker.trade_id != 0 {
            self.last_trade_id = ticker.trade_id;
        }
    }
}

/// The series before the one that is recorded.
pub(crate) struct PreviousSeries {
    /// Its name.
    pub(crate) product: ProductId,
    /// Its open days.
    pub(crate) open_days: OpenDays,
    /// Its ids.
    pub(crate) sequencer: Sequencer,
    /// When it is let go of.
    pub(crate) until: Instant,
}
