//! [`Shedding`]: what a connection gives up of one product whose queue is full.
//!
//! The writer learns which trades were given up, and asks for them as soon as its queue is empty ([`crate::capture::write::queue`]). It is journaled when the shedding begins and when it ends, with the first and last trade id given up. When a queue is full, and for how long, is
//! decided in [`crate::capture::write::queue`].

use std::sync::atomic::Ordering::Relaxed;

use crate::capture::service::journal::JournalHandle;
use crate::capture::write::queue::Pushed;
use crate::capture::write::registry::Route;
use crate::record::MarketMessage;
use crate::store::event::Event;

/// What was given up since the queue was full.
#[derive(Debug, Default)]
struct Shed {
    first_trade_id: u64,
    last_trade_id: u64,
    trades: u64,
    tickers: u64,
}

/// One product's shedding on one connection.
#[derive(Debug, Default)]
pub(super) struct Shedding(Option<Shed>);

impl Shedding {
    /// Tells whether the product sheds.
    #[inline]
    #[must_use]
    pub(super) const fn is_active(&self) -> bool {
        self.0.is_some()
    }

    /// Notes what came of a push: counts a message that was given up, and ends the shedding with one that was queued.
    #[cold]
    pub(super) fn note(&mut self, route: &Route, message: &MarketMessage, pushed: Pushed, journal: &JournalHandle) {
        if pushed.is_queued() {
            // It may have been another line's push that found the queue half empty.
            self.end(route, journal);
            return;
        }
        if self.0.is_none() {
            route.metrics.is_shedding.store(true, Relaxed);
            log::error!("{}: queue full, shedding until it is half empty", route.product);
            journal.write(Event::ShedStarted { product: route.product.clone() });
        }
        let shed = self.0.get_or_insert_default();
        match message {
            MarketMessage::Trade(trade, _) => {
                route.metrics.trades.shed.one();
                route.queue.note_shed(trade.trade_id);
                shed.trades += 1;
                shed.last_trade_id = trade.trade_id;
                if shed.first_trade_id == 0 {
                    shed.first_trade_id = trade.trade_id;
                }
            }
            MarketMessage::Ticker(_) => {
                route.metrics.tickers.shed.one();
                shed.tickers += 1;
            }
            MarketMessage::Heartbeat { .. } | MarketMessage::TickerSnapshot { .. } => {}
        }
    }

    /// Ends the shedding, if there is one, and reports it.
    pub(super) fn end(&mut self, route: &Route, journal: &JournalHandle) {
        let Some(shed) = self.0.take() else { return };
        route.metrics.is_shedding.store(false, Relaxed);
        log::warn!("{}: shed {} trades and {} tickers", route.product, shed.trades, shed.tickers);
        journal.write(Event::ShedEnded {
            product: route.product.clone(),
            first_trade_id: shed.first_trade_id,
            last_trade_id: shed.last_trade_id,
            trades: shed.trades,
            tickers: shed.tickers,
        });
    }
}
