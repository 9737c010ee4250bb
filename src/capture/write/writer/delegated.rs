//! What others do for a writer that sleeps: they append the records that come in turn.

use std::time::Instant;

use super::{BATCH_MSGS, Writer};
use crate::capture::net::batch::BatchDrain;
use crate::capture::write::queue::{Pulled, QueueReceiver};
use crate::capture::write::slot::Step;
use crate::record::{MarketMessage, Means, Ticker, Trade};
use crate::store::Pages;
use crate::time::UnixNanos;

impl Writer {
    /// Drains the queue as long as every message is an ordinary one, at most a batch, and makes it visible. The first that is not, or whose pages are
    /// not such, stays in hand.
    pub fn take_what_is_ordinary(&mut self, queue: &QueueReceiver, now: Instant, pages: Pages) -> Step {
        if !self.is_at_ease {
            return Step::NOTHING;
        }
        let mut step = Step::default();
        for _ in 0..BATCH_MSGS {
            let message = match self.in_hand {
                Some(message) => message,
                None => {
                    let Pulled::Message(message) = queue.pull() else { break };
                    self.in_hand = Some(message);
                    message
                }
            };
            if !self.put_now(&message, pages, &mut step) {
                // With any page allowed only the writer's thread can do more.
                step.needs_writer = pages == Pages::Any;
                break;
            }
            self.in_hand = None;
        }
        step.is_left |= !queue.is_empty();
        self.show(step, now)
    }

    /// Takes off a pile as long as every message is an ordinary one whose pages are at hand, and makes it visible.
    pub fn take_what_was_brought(&mut self, incoming: &mut BatchDrain<'_>, now: Instant) -> Step {
        if !self.is_at_ease || self.in_hand.is_some() {
            return Step::NOTHING;
        }
        let mut step = Step::default();
        while let Some(message) = incoming.first() {
            if !self.put_now(message, Pages::AtHand, &mut step) {
                break;
            }
            incoming.pass();
        }
        self.show(step, now)
    }

    /// Has a message taken again, with which the writer panicked.
    pub const fn keep_pending(&mut self, message: Option<MarketMessage>) {
        self.in_hand = message;
    }

    /// Puts down a message if that is an ordinary one; tells whether it did.
    #[inline]
    fn put_now(&mut self, message: &MarketMessage, pages: Pages, step: &mut Step) -> bool {
        let recv = match message {
            MarketMessage::Trade(trade, _) => self.put_trade_now(trade, pages).then_some(trade.recv),
            MarketMessage::Ticker(ticker) => self.put_ticker_now(ticker, pages).then_some(ticker.recv),
            MarketMessage::Heartbeat { last_trade_id, .. } => {
                if self.sequencer.chain().last().is_some_and(|last| *last_trade_id <= last) {
                    return true;
                }
                None
            }
        };
        let Some(recv) = recv else {
            step.is_left = true;
            return false;
        };
        step.records += 1;
        step.oldest = Some(step.oldest.map_or(recv, |oldest: UnixNanos| oldest.min(recv)));
        true
    }

    /// Makes visible what was put down.
    #[inline]
    fn show(&mut self, mut step: Step, now: Instant) -> Step {
        // Remembered: a connection's thread wakes no writer, its hand does, which may find nothing to append.
        self.is_owed_a_look |= step.records > 0 && self.open_days.commit_at(now);
        step.needs_writer |= self.is_owed_a_look || self.has_gaps_to_settle();
        step.is_left |= step.needs_writer;
        step
    }

    /// Notes whether no message is owed anything that only the writer's thread does. That changes on the writer's thread alone.
    pub(super) fn note_ease(&mut self) {
        self.is_at_ease = self.doubted_ticker.is_none()
            && self.doubted_trades.is_empty()
            && self.sequencer.waiting() == 0
            && self.blocked_since.is_none()
            && !self.is_to_search;
    }

    fn put_trade_now(&mut self, trade: &Trade, pages: Pages) -> bool {
        let is_next = self.sequencer.chain().last().is_some_and(|last| last.checked_add(1) == Some(trade.trade_id));
        if !is_next || !self.open_days.put_trade_now(trade, pages) {
            return false;
        }
        self.metrics.trades.written.one();
        self.lines.note_stored(trade, &self.metrics.lines);
        self.sequencer.mark_stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
        true
    }

    fn put_ticker_now(&mut self, ticker: &Ticker, pages: Pages) -> bool {
        let sequence = ticker.sequence;
        let is_stale = sequence != 0 && sequence <= self.last_sequence;
        if is_stale || self.is_absurd(sequence) || !self.open_days.put_ticker_now(ticker, pages) {
            return false;
        }
        self.metrics.tickers.written.one();
        self.last_sequence = self.last_sequence.max(sequence);
        true
    }
}
