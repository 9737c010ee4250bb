//! A trade of the market, and what a ticker shows beside it.

use super::format::Amount;
use crate::record::{OrderId, Side};
use crate::time::UnixNanos;

/// The best prices of an order book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) bid: Amount,
    pub(super) ask: Amount,
    pub(super) bid_size: Amount,
    pub(super) ask_size: Amount,
}

/// The day's figures that a ticker shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayStats {
    pub(super) open: Amount,
    pub(super) low: Amount,
    pub(super) high: Amount,
    pub(super) volume: Amount,
}

/// Last price, quote and day of a product at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) price: Amount,
    pub(super) quote: Quote,
    pub(super) day: DayStats,
}

/// Whether a trade has a ticker, and which of the two the Exchange feed sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TickerOrder {
    /// No ticker shows this trade: some trades of a long sweep have none.
    None,
    /// The ticker comes after the `match`.
    AfterTrade,
    /// The ticker comes before the `match`, as in a quarter of the recorded cases.
    BeforeTrade,
}

/// One trade and the quote after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trade {
    /// Index of the product in the configured list.
    pub(super) product: usize,
    pub(super) trade_id: u64,
    pub(super) time: UnixNanos,
    pub(super) price: Amount,
    pub(super) size: Amount,
    /// The taker's side.
    pub(super) side: Side,
    pub(super) maker: OrderId,
    pub(super) taker: OrderId,
    pub(super) sequence: u64,
    pub(super) quote: Quote,
    pub(super) day: DayStats,
    pub(super) ticker: TickerOrder,
}

impl Trade {
    /// Tells whether a ticker shows this trade.
    pub(super) fn has_ticker(&self) -> bool {
        self.ticker != TickerOrder::None
    }
}

/// What the market sends: trades and tickers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpdateKind {
    /// A trade.
    Trade,
    /// A ticker.
    Ticker,
}

impl UpdateKind {
    /// Gives the name that the ledger uses.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Ticker => "ticker",
        }
    }
}
