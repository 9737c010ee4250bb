//! The writer's trades: stored in the order of their ids. A trade that lies ahead waits; one that does not fit those before it is doubted.

use std::time::Duration;

use super::Writer;
use crate::capture::report::metrics::micros;
use crate::capture::service::journal::LONGEST_REJECT_BYTES;
use crate::capture::write::doubt::{Refuted, mark_of};
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::step::Remaining;
use crate::feed::doubts::{AGREEMENT, Mark};
use crate::feed::sequencer::{Held, ReceivedTrade};
use crate::feed::trade_marks::{Judgement, Stored, TradeDoubt, TradeMarks};
use crate::product::ProductId;
use crate::record::{Means, RawPlace, Record, Trade};
use crate::store::event::Event;

impl Writer {
    /// Stores a trade, or has it wait. With less effort than [`Effort::Any`] only the next trade is stored.
    #[inline]
    pub(super) fn take_trade(&mut self, trade: &Trade, place: RawPlace, effort: Effort) -> Remaining {
        let is_next = self.sequencer.chain().last().is_some_and(|last| last.checked_add(1) == Some(trade.trade_id));
        // A line that lags may bring a trade of the series before.
        if is_next && self.previous.is_none() && self.trade_marks.time_fits(trade.time, self.context.latest_at(trade.recv)) {
            if !self.doubted_trades.is_quiet() {
                if effort < Effort::Any {
                    return Remaining::NeedsWriter;
                }
                self.contradict_trades(mark_of(trade));
            }
            let remaining = self.write_trade(trade, place, effort);
            self.write_ready(effort);
            return remaining;
        }
        if effort < Effort::Any {
            return Remaining::NeedsWriter;
        }
        self.judge_trade(ReceivedTrade { trade: *trade, place });
        Remaining::Nothing
    }

    /// Takes a trade that is not simply the next one.
    #[cold]
    pub(super) fn judge_trade(&mut self, received: ReceivedTrade) {
        if self.previous.is_some() && self.take_into_previous(&received) {
            return;
        }
        let (trade, mark) = (received.trade, mark_of(&received.trade));
        let open_days = &mut self.open_days;
        let stored = || match open_days.find_like(&trade) {
            None => Stored::Nothing,
            Some((_, true)) => Stored::Same,
            Some((stored, false)) if stored.is_retold_by(&trade) => Stored::Retold,
            Some((_, false)) => Stored::Other,
        };
        let latest = self.context.latest_at(trade.recv);
        match self.trade_marks.judge(self.sequencer.chain(), mark, latest, stored) {
            Judgement::Belongs => {
                if self.sequencer.chain().last().is_some_and(|last| trade.trade_id > last && trade.trade_id - last <= AGREEMENT) {
                    self.contradict_trades(mark);
                }
                self.offer(received);
            }
            Judgement::Conflicts => self.note_conflict(&trade, received.place),
            // Behind trades that wait for a wide gap to be filled it is as real as they are.
            Judgement::Doubted(TradeDoubt::Ahead)
                if self.sequencer.is_led_to(trade.trade_id) && self.trade_marks.time_fits(trade.time, latest) =>
            {
                self.offer(received);
            }
            Judgement::Doubted(doubt) => self.doubt_trade(received, doubt),
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
        self.settle_by_heartbeat(last_trade_id);
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

    /// Takes trades that REST or another tape supplied for ids that are missing, in rising id. One that both its neighbours contradict is refused.
    pub(super) fn take_fetched(&mut self, trades: &[Trade]) {
        for (at, trade) in trades.iter().enumerate() {
            self.metrics.trades.fetched.one();
            let is_beside = |other: &&Trade| other.trade_id.abs_diff(trade.trade_id) <= AGREEMENT;
            let before = at.checked_sub(1).and_then(|at| trades.get(at)).filter(is_beside).map(mark_of);
            let before = before.or_else(|| self.mark_at(trade.trade_id.checked_sub(1)?));
            let after = trades.get(at + 1).filter(is_beside).map(mark_of).or_else(|| self.mark_at(trade.trade_id.checked_add(1)?));
            if TradeMarks::is_misdated(mark_of(trade), before, after) {
                self.reject_trade(trade, Refuted::Contradicted);
            } else {
                self.offer(ReceivedTrade { trade: *trade, place: RawPlace::default() });
            }
        }
    }

    /// Gives the time of the trade of an id that is stored in an open day, or waits.
    fn mark_at(&mut self, id: u64) -> Option<Mark> {
        let waiting = self.sequencer.waiting_trade(id).map(mark_of);
        waiting.or_else(|| self.open_days.find_trade(id).as_ref().map(mark_of))
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
        loop {
            if let Some(refuted) = self.sequencer.pop_refuted(|| started.elapsed()) {
                self.refuse_waiting(&refuted);
            } else if let Some(received) = self.sequencer.pop_ready(|| started.elapsed()) {
                self.write_waited(received);
            } else {
                return;
            }
        }
    }

    /// Writes all trades that wait, at the end.
    pub(super) fn write_left(&mut self) {
        while let Some(refuted) = self.sequencer.pop_contradicted_at_end() {
            self.refuse_waiting(&refuted);
        }
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
                counts.written.one_as_owner();
                self.note_stored(trade);
            }
            Outcome::Late => {
                counts.late.one();
                self.note_stored(trade);
            }
            Outcome::Duplicate => self.note_duplicate(trade),
            Outcome::Conflict => self.note_conflict(trade, place),
            // Trades are always kept, and whoever asks for all effort gets no request for more.
            Outcome::NotKept | Outcome::NeedsPage | Outcome::NeedsWriter | Outcome::Blocked => {
                counts.shed.one();
                return;
            }
        }
        self.sequencer.mark_stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
        if matches!(outcome, Outcome::Written | Outcome::Late) {
            self.sequencer.contradict(mark_of(trade));
        }
    }

    /// Counts and journals a trade whose id is stored with other fields, or on another day.
    #[cold]
    pub(super) fn note_conflict(&mut self, trade: &Trade, place: RawPlace) {
        self.metrics.trades.conflict.one();
        if let Some((stored, _)) = self.open_days.find_like(trade) {
            self.report_conflict(&stored, trade, place);
        }
    }

    /// Counts a trade that waited and is refuted. Where the trade whose id it has is stored by now, it may be a copy of it.
    #[cold]
    fn refuse_waiting(&mut self, ReceivedTrade { trade, .. }: &ReceivedTrade) {
        if self.open_days.find_like(trade).is_some_and(|(_, is_same)| is_same) {
            self.note_duplicate(trade);
        } else {
            self.reject_trade(trade, Refuted::Contradicted);
        }
    }

    #[inline]
    fn note_stored(&mut self, trade: &Trade) {
        self.trade_marks.note(mark_of(trade));
        self.metrics.newest.note_trade(trade.trade_id, trade.time);
        self.redundancy.note_stored(trade, &self.metrics.lines);
        if self.is_search_due {
            self.search_below(trade.trade_id);
        }
    }

    #[cold]
    pub(super) fn note_duplicate(&mut self, trade: &Trade) {
        self.metrics.trades.duplicate.one();
        self.redundancy.note_duplicate(trade, &self.metrics.lines);
    }

    /// Journals a conflict, with the raw text of the trade's frame as long as that is kept.
    #[cold]
    pub(super) fn report_conflict(&self, stored: &Trade, trade: &Trade, place: RawPlace) {
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
pub(super) fn describe(product: &ProductId, trade: &Trade) -> String {
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
