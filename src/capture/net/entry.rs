//! [`Entry`]: what a connection keeps of each product that it brings.

use crate::capture::net::batch::ProductBatch;
use crate::capture::net::shedding::Shedding;
use crate::capture::write::registry::Route;
use crate::capture::write::ticker_source::Joining;
use crate::record::{Ticker, Trade};

/// Which way a product's next message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Into the batch: no message of this connection waits in the queue.
    Batch,
    /// Into the queue: messages of this connection may wait there.
    Queue,
}

/// What a heartbeat said, and what had come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beat {
    /// The trade that it named.
    pub(super) named: u64,
    /// The last trade of this connection.
    pub(super) received: u64,
}

/// Trades and tickers that are counted as received when they are delivered: several at once, and before any of them is counted as anything else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Uncounted {
    pub(super) trades: u64,
    pub(super) tickers: u64,
}

/// One product, as a connection sees it.
pub(super) struct Entry {
    pub(super) route: Route,
    /// The product's messages in the batch.
    pub(super) product_batch: ProductBatch,
    pub(super) way: Way,
    /// Whether the product stands in the list of those that something has come for.
    pub(super) is_pending: bool,
    /// What has come and is not counted as received yet.
    pub(super) uncounted: Uncounted,
    /// The last trade of this connection.
    pub(super) last_trade_id: u64,
    /// Whether the first trade and the first ticker since the connection was made are noted.
    pub(super) has_trade: bool,
    pub(super) has_ticker: bool,
    /// How this line stands to the redundant ones.
    pub(super) joining: Joining,
    /// The last heartbeat that was passed on.
    pub(super) last_beat: Beat,
    pub(super) shedding: Shedding,
}

impl Entry {
    /// Counts what has come as received.
    #[inline]
    pub(super) fn count_received(&mut self) {
        let Uncounted { trades, tickers } = std::mem::take(&mut self.uncounted);
        if trades > 0 {
            self.route.metrics.trades.received.add(trades);
        }
        if tickers > 0 {
            self.route.metrics.tickers.received.add(tickers);
        }
    }

    /// Notes the first trade since the connection was made.
    #[cold]
    pub(super) fn note_first_trade(&mut self, trade: &Trade) {
        self.has_trade = true;
        self.route.metrics.unbroken.note_trade(trade.trade_id);
    }

    /// Notes the first ticker since the connection was made, unless nobody else was sent it. One of a product that never traded has no time of its own.
    #[cold]
    pub(super) fn note_first_ticker(&mut self, ticker: &Ticker, is_snapshot: bool) {
        let has_time = ticker.trade_id != 0 || ticker.sequence == 0;
        if has_time && !is_snapshot {
            self.has_ticker = true;
            self.route.metrics.unbroken.note_ticker(ticker.time);
        }
    }

    /// Notes that a line does not bring the product any more.
    pub(super) fn interrupt(&mut self, line: u8) {
        (self.has_trade, self.has_ticker) = (false, false);
        self.route.metrics.unbroken.interrupt(line);
    }

    /// Counts tickers that are left to other lines.
    #[cold]
    pub(super) fn count_left(&self, tickers: u64) {
        self.route.metrics.tickers.received.add(tickers);
        self.route.metrics.tickers.stale.add(tickers);
    }
}
