//! The writer's doubts: messages that do not fit those before them, until something settles whether they are real.
//!
//! 1. A held trade counts as waiting. Confirmed, it is stored; refuted, it is counted as rejected and kept with the rejects under [`REASON`].
//! 2. The first trade of a product waits [`FIRST_WAIT`] for others that agree with it. Where none contradicts it, it is believed then.
//! 3. A trade whose event time alone does not fit, and a ticker, are believed when their time is up and nothing has spoken against them: nothing else could
//!    tell that they are real. A trade with a strange id is not, nor a ticker whose sequence leaps further than the exchange can have counted.
//! 4. Where nothing has settled it for [`REST_WAIT`], and at a stop, REST is asked for the newest trade. Its id says what a heartbeat's says, and so the last
//!    trade of a quiet market is believed although nothing follows it. REST is never asked for the doubted id itself.
//! 5. At a stop what is not settled is rejected, and the journal names it. A ticker is believed that tells of the newest trade just as that came itself.

use std::time::{Duration, Instant};

use super::trades::describe;
use super::{SHORTEST_SLEEP, Writer};
use crate::capture::write::doubt::{DoubtedTicker, DoubtedTrade, REASON, Refuted, mark_of};
use crate::feed::continuity::ABSURD_JUMP;
use crate::feed::doubts::{AGREEMENT, DOUBT_TIMEOUT, Expired, Held, Mark, Run};
use crate::feed::gap_event::GapCause;
use crate::feed::sequencer::ReceivedTrade;
use crate::feed::ticker_marks::{TickerDoubt, TickerMarks};
use crate::feed::trade_marks::{TradeDoubt, TradeMarks};
use crate::ids::IdRange;
use crate::record::{Ticker, Trade};
use crate::store::event::Event;

/// How long the first trade of a product waits for others that agree with it.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// How long a trade is doubted before REST is asked for the newest one, and how long until it is asked again.
const REST_WAIT: Duration = Duration::from_secs(2);

impl Writer {
    /// Holds a trade that does not fit. A copy of one that is held already is one.
    #[cold]
    pub(super) fn doubt_trade(&mut self, received: ReceivedTrade, doubt: TradeDoubt) {
        let trade = received.trade;
        if self.doubted_trades.find(|held| held.received.trade.agrees_with(&trade)).is_some() {
            return self.note_duplicate(&trade);
        }
        if doubt != TradeDoubt::First {
            self.context.journal.write(Event::TradeDoubted { product: self.product.clone(), trade_id: trade.trade_id });
        }
        match self.doubted_trades.hold(mark_of(&trade), self.started.elapsed(), DoubtedTrade { received, doubt }) {
            Held::Waiting { given_up } => given_up.into_iter().for_each(|doubted| self.refuse(doubted, Refuted::Unconfirmed)),
            Held::Confirmed(run) => return self.believe(run),
        }
        if let Some(named) = self.named_first.filter(|named| doubt == TradeDoubt::First && trade.trade_id.abs_diff(*named) <= AGREEMENT)
            && let Some(run) = self.doubted_trades.confirm(named.max(trade.trade_id))
        {
            self.believe(run);
        }
    }

    /// Stores trades that are believed now: in another series where their ids have begun anew, else in this one. What is still held is judged again.
    #[cold]
    fn believe(&mut self, mut run: Run<DoubtedTrade>) {
        let marks = run.messages.iter().map(|doubted| (mark_of(&doubted.received.trade), doubted.doubt));
        let Some(first) = run.messages.first().map(|doubted| mark_of(&doubted.received.trade)) else { return };
        let is_begun = self.sequencer.chain().last().is_some();
        if is_begun && self.trade_marks.begins_anew(marks) && !self.begin_series(first) {
            return run.messages.into_iter().for_each(|doubted| self.refuse(doubted, Refuted::Unconfirmed));
        }
        if !is_begun {
            // Trades that came before these and that lie within a plausible gap below them are as real.
            let mut earlier = self.doubted_trades.take(|mark, _| mark.leads_to(first, ABSURD_JUMP));
            earlier.sort_by_key(|doubted| doubted.received.trade.trade_id);
            run.messages.splice(..0, earlier);
        }
        self.begin_batch();
        for DoubtedTrade { received, doubt } in &run.messages {
            self.store_confirmed(|writer| writer.offer(*received));
            if *doubt == TradeDoubt::Time {
                self.trade_marks.set_newest(received.trade.time);
            }
        }
        for id in run.expired {
            self.sequencer.mark_missing(IdRange::one(id), GapCause::Jump);
        }
        for doubted in self.doubted_trades.drain() {
            self.judge_trade(doubted.message.received);
        }
        self.release_tickers();
    }

    /// Stores what has waited for a confirmation. How long it waited is no lag.
    #[cold]
    pub(super) fn store_confirmed(&mut self, store: impl FnOnce(&mut Self)) {
        let noted = self.batch_recvs.len();
        store(self);
        self.batch_recvs.truncate(noted);
    }

    /// Counts a trade that goes on with the series against those that are doubted.
    #[cold]
    pub(super) fn contradict_trades(&mut self, going_on: Mark) {
        let is_denied = |mark: Mark, doubted: &DoubtedTrade| TradeMarks::denies(going_on, mark, doubted.doubt);
        for refuted in self.doubted_trades.contradict(is_denied) {
            self.refuse(refuted, Refuted::Contradicted);
        }
        self.release_tickers();
    }

    /// Takes the id that a heartbeat names: it confirms doubted trades near it, or contradicts the first trades of a product.
    #[cold]
    pub(super) fn settle_by_heartbeat(&mut self, id: u64) {
        let chain = self.sequencer.chain();
        if chain.last().is_none() {
            self.named_first = Some(id);
        }
        if TradeMarks::heartbeat_settles(chain, id) {
            if let Some(run) = self.doubted_trades.confirm(id) {
                self.believe(run);
            } else if chain.last().is_none() {
                for refuted in self.doubted_trades.contradict(|mark, _| mark.key.abs_diff(id) > AGREEMENT) {
                    self.refuse(refuted, Refuted::Contradicted);
                }
            }
        }
    }

    /// Takes the newest trade that REST has. It confirms a doubted trade that it is, or that its id is near; one that goes on with the series speaks against
    /// those that are doubted.
    #[cold]
    pub(super) fn settle_by_newest(&mut self, newest: Mark) {
        self.newest_asked_at = None;
        let is_it = |mark: Mark, doubted: &DoubtedTrade| mark == newest && doubted.doubt == TradeDoubt::Time;
        let messages = self.doubted_trades.take(is_it);
        if !messages.is_empty() {
            self.believe(Run { messages, expired: Vec::new() });
        } else if TradeMarks::heartbeat_settles(self.sequencer.chain(), newest.key) {
            self.settle_by_heartbeat(newest.key);
            self.sequencer.heartbeat(newest.key, self.started.elapsed());
        } else {
            self.contradict_trades(newest);
        }
    }

    /// Asks REST for the newest trade, where that may settle a doubt and it has not been asked just now. Tells whether it has been asked.
    fn ask_newest(&mut self, now: Duration) -> bool {
        let Some(backfill) = self.context.backfill.as_ref().filter(|_| !self.doubted_trades.is_empty()) else { return false };
        if self.newest_asked_at.is_none_or(|at| now.saturating_sub(at) >= REST_WAIT) {
            backfill.ask_newest(&self.product);
            self.newest_asked_at = Some(now);
        }
        true
    }

    /// At the end, waits the gap wait for REST to settle what is doubted.
    pub(super) fn await_newest(&mut self) {
        // The first trades of a product that agree with each other need nobody else.
        if self.sequencer.chain().last().is_none() || !self.ask_newest(self.started.elapsed()) {
            return;
        }
        let (start, gap_wait) = (Instant::now(), self.sequencer.gap_wait());
        while self.newest_asked_at.is_some() && start.elapsed() < gap_wait {
            self.wakeup.wait(gap_wait.saturating_sub(start.elapsed()).max(SHORTEST_SLEEP));
            while self.take_delivery() {}
        }
    }

    /// Settles what has waited long enough.
    pub(super) fn settle_old_doubts(&mut self) {
        let now = self.started.elapsed();
        if self.sequencer.chain().last().is_none() {
            let waited = self.doubted_trades.oldest().map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest));
            if waited >= DOUBT_TIMEOUT || waited >= FIRST_WAIT && self.doubted_trades.are_of_one_mind() {
                self.settle_first_trades(Refuted::Unconfirmed);
            }
        } else {
            for expired in self.doubted_trades.expire(now, DOUBT_TIMEOUT) {
                self.settle_expired_trade(expired);
            }
            if self.doubted_trades.oldest().is_some_and(|oldest| now.saturating_sub(oldest) >= REST_WAIT) {
                self.ask_newest(now);
            }
        }
        for expired in self.doubted_tickers.expire(now, DOUBT_TIMEOUT) {
            self.settle_expired_ticker(expired, Refuted::Unconfirmed);
        }
        self.release_tickers();
    }

    /// Believes the first trades of a product that most agree on. The others are refuted.
    #[cold]
    fn settle_first_trades(&mut self, otherwise: Refuted) {
        let messages = self.doubted_trades.take_longest_run();
        let others = self.doubted_trades.drain();
        self.believe(Run { messages, expired: Vec::new() });
        for expired in others {
            if self.sequencer.chain().last().is_none() || expired.is_contradicted {
                let why = Refuted::of(&expired, otherwise);
                self.refuse(expired.message, why);
            } else {
                self.judge_trade(expired.message.received);
            }
        }
    }

    #[cold]
    fn settle_expired_trade(&mut self, expired: Expired<DoubtedTrade>) {
        if !expired.is_contradicted && expired.message.doubt == TradeDoubt::Time {
            self.doubted_trades.forget_expired();
            self.begin_batch();
            self.offer(expired.message.received);
            self.trade_marks.set_newest(expired.message.received.trade.time);
        } else {
            let why = Refuted::of(&expired, Refuted::Unconfirmed);
            self.refuse(expired.message, why);
        }
    }

    /// Settles everything that is doubted, at the end.
    pub(super) fn settle_doubts_at_end(&mut self) {
        if self.sequencer.chain().last().is_none() && !self.doubted_trades.is_empty() {
            self.settle_first_trades(Refuted::Stopped);
        }
        for expired in self.doubted_trades.drain() {
            let why = Refuted::of(&expired, Refuted::Stopped);
            self.refuse(expired.message, why);
        }
        self.release_held_back();
        for expired in self.doubted_tickers.drain() {
            self.settle_expired_ticker(expired, Refuted::Stopped);
        }
    }

    /// Counts a doubted trade that is not believed. One whose id is stored with other fields, and that nothing contradicts, is a conflict.
    #[cold]
    pub(super) fn refuse(&mut self, DoubtedTrade { received, .. }: DoubtedTrade, why: Refuted) {
        let ReceivedTrade { trade, place } = received;
        if why != Refuted::Contradicted && self.open_days.find_like(&trade).is_some() {
            self.note_conflict(&trade, place);
        } else {
            self.reject_trade(&trade, why);
        }
    }

    /// Counts a trade as rejected, and keeps it with the rejects.
    #[cold]
    pub(super) fn reject_trade(&mut self, trade: &Trade, why: Refuted) {
        self.metrics.trades.rejected.one();
        self.context.journal.reject(REASON, describe(&self.product, trade).as_bytes());
        self.report_refuted(trade.trade_id, why);
    }

    pub(super) fn report_refuted(&mut self, key: u64, why: Refuted) {
        if why == Refuted::Stopped {
            self.metrics.doubts_left.one();
        }
        log::warn!(
            "{}: a message with id or sequence {key} does not fit the others and is kept with the rejects ({})",
            self.product,
            why.name()
        );
        self.context.journal.write(Event::DoubtRefuted { product: self.product.clone(), key, why: why.name().into() });
    }

    /// Holds a ticker that does not fit. A copy of one that is held already is stale.
    #[cold]
    pub(super) fn doubt_ticker(&mut self, ticker: &Ticker, doubt: TickerDoubt) {
        let is_copy =
            |held: &DoubtedTicker| ticker.sequence != 0 && held.ticker.sequence == ticker.sequence && held.ticker.time == ticker.time;
        if self.doubted_tickers.find(is_copy).is_some() {
            self.metrics.tickers.stale.one();
            return;
        }
        // Tickers without a sequence agree by their order.
        self.unsequenced += u64::from(ticker.sequence == 0);
        let key = if ticker.sequence == 0 { self.unsequenced } else { ticker.sequence };
        let mark = Mark { key, time: ticker.time };
        match self.doubted_tickers.hold(mark, self.started.elapsed(), DoubtedTicker { ticker: *ticker, doubt }) {
            Held::Waiting { given_up } => {
                given_up.into_iter().for_each(|doubted| self.refuse_ticker(&doubted.ticker, Refuted::Unconfirmed))
            }
            Held::Confirmed(run) => self.believe_tickers(&run.messages),
        }
    }

    /// Stores tickers that are believed now, unless the trades that they name may belong to another series: then they wait for that to be settled.
    #[cold]
    fn believe_tickers(&mut self, run: &[DoubtedTicker]) {
        if run.iter().any(|doubted| self.is_of_doubted_trade(&doubted.ticker)) {
            run.iter().for_each(|doubted| self.hold_back(&doubted.ticker));
        } else {
            run.iter().for_each(|doubted| self.write_believed(&doubted.ticker));
        }
        for other in self.doubted_tickers.drain() {
            self.judge_ticker(&other.message.ticker);
        }
    }

    /// Counts a newer ticker against those that are doubted. One that stands between the one before the last and the newer one is believed: then it was the
    /// last one whose sequence was wrong.
    #[cold]
    pub(super) fn contradict_tickers(&mut self, newer: &Ticker) {
        let marks = self.ticker_marks;
        let is_between =
            |_: Mark, doubted: &DoubtedTicker| doubted.doubt == TickerDoubt::Behind && marks.is_between(&doubted.ticker, newer);
        for doubted in self.doubted_tickers.take(is_between) {
            self.write_believed(&doubted.ticker);
        }
        let is_denied = |_: Mark, doubted: &DoubtedTicker| TickerMarks::denies(newer, &doubted.ticker, doubted.doubt);
        for refuted in self.doubted_tickers.contradict(is_denied) {
            self.refuse_ticker(&refuted.ticker, Refuted::Contradicted);
        }
    }

    #[cold]
    fn settle_expired_ticker(&mut self, expired: Expired<DoubtedTicker>, otherwise: Refuted) {
        let ticker = expired.message.ticker;
        let may_be_right = self.ticker_marks.may_be_right(&ticker, expired.message.doubt);
        // At a stop nothing follows that could confirm it. Its trade, which came by another channel, can.
        let is_left =
            otherwise == Refuted::Stopped && (expired.message.doubt == TickerDoubt::Ahead || !self.agrees_with_newest_trade(&ticker));
        if expired.is_contradicted || !may_be_right || is_left {
            self.refuse_ticker(&ticker, Refuted::of(&expired, otherwise));
        } else {
            self.doubted_tickers.forget_expired();
            self.write_believed(&ticker);
        }
    }

    pub(super) fn refuse_ticker(&mut self, ticker: &Ticker, why: Refuted) {
        self.metrics.tickers.rejected.one();
        let raw = format!(
            "{{\"product_id\":\"{}\",\"ticker\":true,\"sequence\":{},\"trade_id\":{},\"time\":\"{}\",\"price\":\"{}\"}}",
            self.product, ticker.sequence, ticker.trade_id, ticker.time, ticker.price.as_f64
        );
        self.context.journal.reject(REASON, raw.as_bytes());
        self.report_refuted(ticker.sequence, why);
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::write::fixture::{WriterFixture, trade, until};
    use crate::record::{MarketMessage, RawPlace, Trade};
    use crate::time::UnixNanos;

    #[test]
    fn how_long_a_first_trade_waits_for_others_is_no_lag() {
        let fixture = WriterFixture::new();
        let lag = || fixture.context.metrics.recent_lag_micros.take();
        let store = |id: u64| {
            fixture.route.queue.push(MarketMessage::Trade(Trade { recv: UnixNanos(1), ..trade(id) }, RawPlace::default()));
            fixture.route.slot.wake_writer();
            until("it is stored", || fixture.route.metrics.trades.written.get() == id);
            drop(fixture.route.slot.lock());
        };
        store(1);
        assert_eq!(lag(), 0, "nothing confirmed it for two seconds");
        store(2);
        assert!(lag() > 0, "one that nothing was in the way of");
    }
}
