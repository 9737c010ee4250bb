//! The writer's trades: stored in the order of their ids. A trade that lies ahead waits; one that lies absurdly far ahead is doubted.

use std::time::Duration;

use super::Writer;
use crate::capture::report::metrics::micros;
use crate::capture::service::journal::LONGEST_REJECT_BYTES;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::step::Remaining;
use crate::feed::sequencer::{Held, ReceivedTrade};
use crate::product::ProductId;
use crate::record::{Means, RawPlace, Record, Trade};
use crate::store::event::Event;

/// Where a trade's id stands to those that are stored.
enum Position {
    /// It is the one behind the highest.
    Next,
    /// It is not above the highest, or no trade is stored.
    Behind,
    /// Ids before it are missing.
    Ahead,
    /// It lies too far ahead to be believed at once.
    Absurd,
}

impl Writer {
    fn position(&self, trade_id: u64) -> Position {
        let chain = self.sequencer.chain();
        if chain.last().is_some_and(|last| last.checked_add(1) == Some(trade_id)) {
            Position::Next
        } else if chain.is_absurd(trade_id) {
            Position::Absurd
        } else if chain.is_in_turn(trade_id) {
            Position::Behind
        } else {
            Position::Ahead
        }
    }

    /// Stores a trade, or has it wait. With less effort than [`Effort::Any`] only the next trade is stored.
    #[inline]
    pub(super) fn take_trade(&mut self, trade: &Trade, place: RawPlace, effort: Effort) -> Remaining {
        match self.position(trade.trade_id) {
            Position::Next => {
                let remaining = self.write_trade(trade, place, effort);
                self.write_ready(effort);
                remaining
            }
            _ if effort < Effort::Any => Remaining::NeedsWriter,
            Position::Behind | Position::Ahead => {
                self.offer(ReceivedTrade { trade: *trade, place });
                Remaining::Nothing
            }
            Position::Absurd => {
                self.doubt_trade(ReceivedTrade { trade: *trade, place });
                Remaining::Nothing
            }
        }
    }

    /// Takes what the exchange says is the newest trade. It may confirm doubted trades, or show that trades are missing.
    #[inline]
    pub(super) fn take_heartbeat(&mut self, last_trade_id: u64, effort: Effort) -> Remaining {
        let is_known = self.sequencer.chain().last().is_some_and(|last| last_trade_id <= last);
        if is_known && self.doubted_trades.is_empty() {
            return Remaining::Nothing;
        }
        if effort < Effort::Any {
            return Remaining::NeedsWriter;
        }
        for received in self.doubted_trades.confirm(last_trade_id) {
            self.offer(received);
        }
        self.sequencer.heartbeat(last_trade_id, self.started.elapsed());
        Remaining::Nothing
    }

    /// Writes a trade whose turn it is, and those that waited for it. A trade that lies ahead waits.
    pub(super) fn offer(&mut self, received: ReceivedTrade) {
        if self.sequencer.is_in_turn(received.trade.trade_id) {
            self.write_trade(&received.trade, received.place, Effort::Any);
            self.write_ready(Effort::Any);
        } else {
            self.hold(received);
        }
    }

    #[cold]
    fn doubt_trade(&mut self, received: ReceivedTrade) {
        let id = received.trade.trade_id;
        let held = self.doubted_trades.hold(id, self.started.elapsed(), received);
        self.context.journal.write(Event::TradeDoubted { product: self.product.clone(), trade_id: id });
        for received in held.believed {
            self.offer(received);
        }
        self.give_up(held.given_up);
    }

    /// Counts and keeps doubted trades as rejected.
    pub(super) fn give_up(&self, doubted: impl IntoIterator<Item = ReceivedTrade>) {
        for ReceivedTrade { trade, .. } in doubted {
            self.metrics.trades.rejected.one();
            self.context.journal.reject("trade id too far ahead, never confirmed", describe(&self.product, &trade).as_bytes());
        }
    }

    #[cold]
    fn hold(&mut self, received: ReceivedTrade) {
        match self.sequencer.hold(received, self.started.elapsed()) {
            Held::Waiting => {}
            Held::Duplicate => self.note_duplicate(&received.trade),
            Held::Conflict(kept) => {
                self.metrics.trades.conflict.one();
                self.report_conflict(&kept, &received.trade, received.place);
            }
        }
    }

    /// Writes the trades that wait and whose turn it is, or that have waited long enough. With less effort than [`Effort::Any`] none waits.
    #[inline]
    pub(super) fn write_ready(&mut self, effort: Effort) {
        if effort < Effort::Any {
            return;
        }
        let started = self.started;
        while let Some(received) = self.sequencer.pop_ready(|| started.elapsed()) {
            self.write_waited(received);
        }
    }

    /// Writes all trades that wait, at the end.
    pub(super) fn write_left(&mut self) {
        while let Some(received) = self.sequencer.pop_any() {
            self.begin_batch();
            self.write_waited(received);
        }
    }

    /// Writes a trade that has waited. How long it waited is a figure of its own, not a lag.
    #[cold]
    fn write_waited(&mut self, ReceivedTrade { trade, place }: ReceivedTrade) {
        if trade.recv.0 != 0 {
            let waited = Duration::from_nanos(self.context.clock.now().since(trade.recv));
            self.context.metrics.gap_wait_micros.see(micros(waited));
        }
        let outcome = self.write(Record::Trade(&trade), Effort::Any);
        self.note_outcome(&trade, place, outcome);
    }

    /// Writes a trade whose turn it is.
    #[inline]
    fn write_trade(&mut self, trade: &Trade, place: RawPlace, effort: Effort) -> Remaining {
        match self.write(Record::Trade(trade), effort) {
            Outcome::NeedsPage => return Remaining::NeedsPage,
            Outcome::NeedsWriter => return Remaining::NeedsWriter,
            outcome => {
                if matches!(outcome, Outcome::Written | Outcome::Late) {
                    self.note_received(trade.recv, effort);
                }
                self.note_outcome(trade, place, outcome);
            }
        }
        Remaining::Nothing
    }

    /// Counts what came of a trade, and moves the chain of ids on.
    #[inline]
    fn note_outcome(&mut self, trade: &Trade, place: RawPlace, outcome: Outcome) {
        let counts = &self.metrics.trades;
        match outcome {
            Outcome::Written => {
                counts.written.one();
                self.note_stored(trade);
            }
            Outcome::Late => {
                counts.late.one();
                self.note_stored(trade);
            }
            Outcome::Duplicate => self.note_duplicate(trade),
            Outcome::Conflict => {
                counts.conflict.one();
                if let Some(stored) = self.open_days.find_trade(trade.time.day(), trade.trade_id) {
                    self.report_conflict(&stored, trade, place);
                }
            }
            // Trades are always kept, and whoever asks for all effort gets no request for more.
            Outcome::NotKept | Outcome::NeedsPage | Outcome::NeedsWriter | Outcome::Blocked => {
                counts.shed.one();
                return;
            }
        }
        self.sequencer.mark_stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
    }

    #[inline]
    fn note_stored(&mut self, trade: &Trade) {
        self.redundancy.note_stored(trade, &self.metrics.lines);
        if self.is_search_due {
            self.search_below(trade.trade_id);
        }
    }

    #[cold]
    fn note_duplicate(&mut self, trade: &Trade) {
        self.metrics.trades.duplicate.one();
        self.redundancy.note_duplicate(trade, &self.metrics.lines);
    }

    /// Journals a conflict, with the raw text of the trade's frame as long as that is kept.
    #[cold]
    fn report_conflict(&self, stored: &Trade, trade: &Trade, place: RawPlace) {
        log::warn!("{}: trade {} came again with other fields; the first is kept", self.product, trade.trade_id);
        let raw = self.context.raw_frames.read(place);
        self.context.journal.write(Event::Conflict {
            product: self.product.clone(),
            trade_id: trade.trade_id,
            stored: Some(describe(&self.product, stored)),
            sent: Some(describe(&self.product, trade)),
            by: None,
            columns: None,
            text: None,
            raw: raw.map(|raw| String::from_utf8_lossy(raw.get(..LONGEST_REJECT_BYTES).unwrap_or(&raw)).into_owned()),
        });
    }
}

/// Shows a trade's fields as one line of JSON-like text, exact to the last digit, for people who look into a conflict.
fn describe(product: &ProductId, trade: &Trade) -> String {
    format!(
        "{{\"product_id\":\"{product}\",\"trade_id\":{},\"time\":\"{}\",\"price\":\"{}\",\"size\":\"{}\",\"side\":\"{}\",\"maker_order_id\":\"{}\",\
         \"taker_order_id\":\"{}\",\"sequence\":{},\"origin\":{}}}",
        trade.trade_id,
        trade.time,
        trade.price.as_f64,
        trade.size.as_f64,
        trade.side.name(),
        trade.maker_order_id,
        trade.taker_order_id,
        trade.sequence,
        trade.origin.0,
    )
}
