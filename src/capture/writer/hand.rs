//! What others do for a writer that sleeps: they append the records that come in turn.

use std::time::Instant;

use super::{BATCH_MSGS, Writer};
use crate::capture::queue::{Pulled, QueueReceiver};
use crate::capture::seat::Lent;
use crate::record::{MarketMessage, Means, Ticker, Trade};
use crate::store::Pages;
use crate::time::UnixNanos;

impl Writer {
    /// Drains the queue as long as every message is an ordinary one, at most a batch, and makes it visible. The first that is not, or whose pages are
    /// not such, stays in hand.
    pub fn take_what_is_ordinary(&mut self, queue: &QueueReceiver, now: Instant, pages: Pages) -> Lent {
        if !self.is_at_ease() {
            return Lent::NOTHING;
        }
        let mut lent = Lent { records: 0, oldest: None, is_left: false, needs_writer: false };
        for _ in 0..BATCH_MSGS {
            let message = match self.in_hand {
                Some(message) => message,
                None => {
                    let Pulled::Message(message) = queue.pull() else { break };
                    self.in_hand = Some(message);
                    message
                }
            };
            let recv = match &message {
                MarketMessage::Trade(trade, _) => self.put_trade_now(trade, pages).then_some(trade.recv),
                MarketMessage::Ticker(ticker) => self.put_ticker_now(ticker, pages).then_some(ticker.recv),
                MarketMessage::Heartbeat { last_trade_id, .. } => {
                    if self.sequencer.chain().last().is_some_and(|last| *last_trade_id <= last) {
                        self.in_hand = None;
                        continue;
                    }
                    None
                }
            };
            let Some(recv) = recv else {
                // With any page allowed only the writer's thread can do more.
                lent.is_left = true;
                lent.needs_writer = pages == Pages::Any;
                break;
            };
            self.in_hand = None;
            lent.records += 1;
            lent.oldest = Some(lent.oldest.map_or(recv, |oldest: UnixNanos| oldest.min(recv)));
        }
        let wants_room = lent.records > 0 && self.shelf.commit_at(now);
        lent.needs_writer |= wants_room || self.has_gaps_to_settle();
        lent.is_left |= lent.needs_writer || !queue.is_empty();
        lent
    }

    /// Tells whether no message is owed anything that only the writer's thread does.
    fn is_at_ease(&self) -> bool {
        self.doubted_ticker.is_none()
            && self.doubted_trades.is_empty()
            && self.sequencer.held() == 0
            && self.blocked_since.is_none()
            && !self.is_to_search
    }

    fn put_trade_now(&mut self, trade: &Trade, pages: Pages) -> bool {
        let is_next = self.sequencer.chain().last().is_some_and(|last| last.checked_add(1) == Some(trade.trade_id));
        if !is_next || !self.shelf.put_trade_now(trade, pages) {
            return false;
        }
        self.metrics.trades.written.one();
        self.lines.note_stored(trade, &self.metrics.lines);
        self.sequencer.stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
        true
    }

    fn put_ticker_now(&mut self, ticker: &Ticker, pages: Pages) -> bool {
        let sequence = ticker.sequence;
        let is_stale = sequence != 0 && sequence <= self.last_sequence;
        if is_stale || self.is_absurd(sequence) || !self.shelf.put_ticker_now(ticker, pages) {
            return false;
        }
        self.metrics.tickers.written.one();
        self.last_sequence = self.last_sequence.max(sequence);
        true
    }
}
