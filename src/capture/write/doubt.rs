//! What a writer knows of a message that it doubts, and why it is not believed in the end.

use crate::feed::doubts::{AGREEMENT, Expired, Mark};
use crate::feed::sequencer::ReceivedTrade;
use crate::feed::ticker_marks::TickerDoubt;
use crate::feed::trade_marks::TradeDoubt;
use crate::record::{Ticker, Trade};

/// Greatest distance between the sequences of two tickers in a row that agree with each other.
pub(crate) const SEQUENCE_AGREEMENT: u64 = 1000 * AGREEMENT;

/// The reason under which refuted messages are kept.
pub(crate) const REASON: &str = "doubt";

/// A trade that is doubted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoubtedTrade {
    /// The trade.
    pub(crate) received: ReceivedTrade,
    /// Why.
    pub(crate) doubt: TradeDoubt,
}

/// A ticker that is doubted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoubtedTicker {
    /// The ticker.
    pub(crate) ticker: Ticker,
    /// Why.
    pub(crate) doubt: TickerDoubt,
}

/// Why a doubted message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuted {
    /// Others contradict it.
    Contradicted,
    /// Nothing confirmed it in time.
    Unconfirmed,
    /// The capture ended before anything settled it.
    Stopped,
}

impl Refuted {
    /// Gives the word that the journal has for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contradicted => "contradicted",
            Self::Unconfirmed => "unconfirmed",
            Self::Stopped => "stopped",
        }
    }

    /// Tells why a message is given up: `otherwise` where nothing contradicts it.
    pub(crate) const fn of<T>(expired: &Expired<T>, otherwise: Self) -> Self {
        if expired.is_contradicted { Self::Contradicted } else { otherwise }
    }
}

/// Gives what of a trade is compared with others.
#[inline]
pub(crate) const fn mark_of(trade: &Trade) -> Mark {
    Mark { key: trade.trade_id, time: trade.time }
}
