//! What the router does with each element of a frame: it finds the product, counts, and takes the element.

use std::time::Instant;

use super::{Beat, Router};
use crate::capture::write::ticker_source::{Joining, Released, TickerSharing};
use crate::feed::{Control, FrameFate, Handler, Item, RejectReason};
use crate::record::{MarketMessage, Means, Ticker, Trade};
use crate::time::{Timestamp, UnixNanos};

impl Router {
    /// Takes a ticker that this line supplies, unless another one does.
    #[inline]
    fn take_ticker(&mut self, index: usize, ticker: &Ticker, is_snapshot: bool) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.uncounted.tickers += 1;
            if !entry.has_ticker {
                entry.note_first_ticker(ticker, is_snapshot);
            }
            if !is_snapshot {
                self.tally.note_delay(ticker.time, ticker.recv);
            }
            self.awaits_trade = entry.has_trade && ticker.trade_id > entry.last_trade_id;
        }
        // What is sent on subscribing is sent to this line alone.
        if self.line.tickers != TickerSharing::InTurn || is_snapshot || self.claim_tickers(index) {
            self.keep_texts(index, ticker);
            if is_snapshot {
                self.take(index, MarketMessage::TickerSnapshot { time: ticker.time });
            }
            self.take(index, MarketMessage::Ticker(*ticker));
        } else if let Some(entry) = self.entries.get_mut(index) {
            entry.count_received();
        }
    }

    #[inline]
    fn keep_texts(&mut self, index: usize, ticker: &Ticker) {
        if let Some(entry) = self.entries.get(index).filter(|_| !self.texts.is_empty()) {
            self.texts.keep(&self.journal, &entry.route.product, ticker.time);
        }
    }

    #[inline]
    fn is_in_step(&self, index: usize) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.joining == Joining::Done)
    }

    /// Keeps a ticker of a line that is not in step. One that is kept was not received as far as a take-over is concerned.
    #[cold]
    fn keep_ticker(&mut self, index: usize, ticker: &Ticker) {
        self.keep_texts(index, ticker);
        self.join(index, Some(ticker), self.read_at);
    }

    /// Looks whether the lines that this one waits for have been lost: no ticker may come that would tell.
    #[cold]
    pub(super) fn look_at_joining(&mut self) {
        let now = Instant::now();
        (0..self.entries.len()).for_each(|index| self.join(index, None, now));
    }

    fn join(&mut self, index: usize, ticker: Option<&Ticker>, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let route = &entry.route;
        let was_waiting = matches!(entry.joining, Joining::Waiting(_));
        let stored = route.metrics.newest.ticker_sequence();
        let released = route.ticker_source.join(self.line.number, &mut entry.joining, ticker, stored, now);
        let is_waiting = matches!(entry.joining, Joining::Waiting(_));
        self.joining_products = self.joining_products - usize::from(was_waiting) + usize::from(is_waiting);
        self.pass_on(index, &released);
    }

    /// Leaves a product's tickers to the other lines, behind what this one has brought. Those that it has kept are passed on where no other is in step.
    pub(super) fn leave_tickers(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        self.joining_products -= usize::from(matches!(entry.joining, Joining::Waiting(_)));
        let released = entry.route.ticker_source.give_up(self.line.number, &mut entry.joining);
        self.pass_on(index, &released);
        self.deliver();
        if let Some(entry) = self.entries.get(index) {
            entry.route.ticker_source.leave(self.line.number);
        }
    }

    fn pass_on(&mut self, index: usize, released: &Released) {
        if let Some(entry) = self.entries.get(index).filter(|_| released.left > 0) {
            entry.count_left(released.left);
        }
        if released.is_behind_queue {
            self.go_by_queue(index);
        }
        released.passed_on.iter().for_each(|ticker| self.take_ticker(index, ticker, false));
    }
}

impl Handler for Router {
    #[inline]
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        match self.find(product) {
            Some(index) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.uncounted.trades += 1;
                    if !entry.has_trade {
                        entry.note_first_trade(trade);
                    }
                    entry.last_trade_id = trade.trade_id;
                    self.awaits_trade = false;
                    if trade.origin.means() == Some(Means::Live) {
                        self.tally.note_delay(trade.time, trade.recv);
                    }
                    if !self.texts.is_empty() {
                        self.texts.keep(&self.journal, &entry.route.product, trade.time);
                    }
                }
                self.take(index, MarketMessage::Trade(*trade, self.place));
            }
            None => {
                self.texts.clear();
                self.reject_item(Item::Trade, RejectReason::Product);
            }
        }
    }

    #[inline]
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        let is_snapshot = std::mem::take(&mut self.is_snapshot);
        // The ticker channel is always subscribed to. With `--datasets trades` it only keeps the connection alive.
        if !self.wants_tickers {
            self.texts.clear();
            return;
        }
        match self.find(product) {
            Some(index) if self.line.tickers == TickerSharing::Together && !self.is_in_step(index) => self.keep_ticker(index, ticker),
            Some(index) => self.take_ticker(index, ticker, is_snapshot),
            None => self.reject_item(Item::Ticker, RejectReason::Product),
        }
        self.texts.clear();
    }

    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, _time: Option<Timestamp>) {
        // A heartbeat of a product that nobody asked for starts no writer.
        let Some(index) = product.and_then(|label| self.by_label.get(label)).copied().flatten() else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        let beat = Beat { named: last_trade_id, received: entry.last_trade_id };
        if std::mem::replace(&mut entry.last_beat, beat) != beat || beat.named > beat.received {
            self.take(index, MarketMessage::Heartbeat { last_trade_id, recv: self.recv });
        }
    }

    fn inexact(&mut self, _product: &[u8], column: &'static str, key: u64, text: &[u8]) {
        self.texts.add(column, key, text);
    }

    fn flaw(&mut self, why: RejectReason) {
        self.registry.note_flawed_trade();
        // What could not be read is kept as it came; of a rule that is broken the columns tell.
        if !matches!(why, RejectReason::Implausible(_)) {
            self.rejected = Some(why);
        }
    }

    fn snapshot(&mut self) {
        self.is_snapshot = true;
    }

    fn begin_held(&mut self, frame: &[u8], recv: UnixNanos) {
        self.rejected_before = self.rejected;
        self.begin(frame, recv, self.read_at);
    }

    fn end_held(&mut self, frame: &[u8], fate: FrameFate) {
        self.metrics.count_fate(fate);
        let reason = if let FrameFate::Rejected(reason) = fate { Some(reason) } else { self.rejected };
        if let Some(reason) = reason {
            self.journal.reject(reason.name(), frame);
        }
        self.rejected = self.rejected_before;
    }

    fn reject_item(&mut self, item: Item, why: RejectReason) {
        match item {
            Item::Trade => self.metrics.rejected_trades.one(),
            Item::Ticker => self.metrics.rejected_tickers.one(),
        }
        self.rejected = Some(why);
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}
