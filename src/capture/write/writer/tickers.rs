//! The writer's tickers: merged by sequence and time. One that came before is passed over; one that does not fit those before it is doubted.
//!
//! A ticker names a trade: where that does not come, it is missing. While trades are doubted whose ids may have begun anew, tickers that name them are held
//! back, so that they are stored in the same series as the trades ([`super::series`]).

use super::Writer;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::step::Remaining;
use crate::feed::ticker_marks::{TickerDoubt, TickerJudgement};
use crate::record::{Record, Ticker, Trade};
use crate::schema::{Dataset, Layout, Trades};
use crate::store::event::Event;
use crate::time::UnixNanos;

impl Writer {
    /// Takes note that the ticker of this time, which follows, was sent to this capture alone.
    #[cold]
    pub(super) fn take_ticker_snapshot(&mut self, time: UnixNanos, effort: Effort) -> Remaining {
        match &mut self.seam {
            None => Remaining::Nothing,
            Some(_) if effort < Effort::Any => Remaining::NeedsWriter,
            Some(seam) => {
                seam.note_snapshot(time);
                Remaining::Nothing
            }
        }
    }

    /// Stores a ticker, unless the capture before this one has. With less effort than [`Effort::Any`] only a newer one is stored.
    #[inline]
    pub(super) fn take_ticker(&mut self, ticker: &Ticker, effort: Effort) -> Remaining {
        if let Some(seam) = &mut self.seam {
            if effort < Effort::Any {
                return Remaining::NeedsWriter;
            }
            if seam.takes_copy(ticker) {
                self.metrics.tickers.stale.one();
                return Remaining::Nothing;
            }
        }
        let judgement = self.ticker_marks.judge_at(ticker, self.context.latest_at(ticker.recv));
        let is_plain = judgement == TickerJudgement::Newer && !self.is_out_of_turn(ticker);
        if is_plain && self.held_back.is_empty() && self.doubted_tickers.is_quiet() {
            return self.write_ticker(ticker, effort);
        }
        if effort < Effort::Any {
            return Remaining::NeedsWriter;
        }
        self.judge_ticker(ticker);
        Remaining::Nothing
    }

    /// Tells whether a ticker names a trade before that of the last ticker: its trade may be of another series.
    #[inline]
    fn is_out_of_turn(&self, ticker: &Ticker) -> bool {
        ticker.trade_id != 0 && ticker.trade_id < self.held_back.last_trade_id
    }

    /// Takes a ticker that is not simply the next one.
    #[cold]
    pub(super) fn judge_ticker(&mut self, ticker: &Ticker) {
        let judgement = self.ticker_marks.judge_at(ticker, self.context.latest_at(ticker.recv));
        if judgement == TickerJudgement::Stale || judgement == TickerJudgement::Doubted(TickerDoubt::Behind) && self.tells_again(ticker) {
            self.metrics.tickers.stale.one();
        } else if !self.held_back.is_empty() || self.may_be_of_another_series(ticker) {
            self.hold_back(ticker);
        } else if let TickerJudgement::Doubted(doubt) = judgement {
            self.doubt_ticker(ticker, doubt);
        } else {
            self.contradict_tickers(ticker);
            self.write_ticker(ticker, Effort::Any);
        }
    }

    /// Tells whether a ticker tells again of a trade that is stored and older than the newest: it came before, whatever event time it gives now.
    fn tells_again(&mut self, ticker: &Ticker) -> bool {
        if ticker.trade_id == 0 || ticker.trade_id >= self.held_back.last_trade_id.max(self.sequencer.chain().last().unwrap_or(0)) {
            return false;
        }
        self.trade_of(ticker).is_some()
    }

    /// Tells whether a ticker tells of the newest trade exactly as that came by itself. Then it came now, whatever its sequence says.
    pub(super) fn agrees_with_newest_trade(&mut self, ticker: &Ticker) -> bool {
        let is_newest = ticker.trade_id != 0 && ticker.trade_id >= self.held_back.last_trade_id;
        is_newest && self.trade_of(ticker).is_some_and(|trade| trade.time == ticker.time)
    }

    /// Gives the trade that a ticker tells of, where that is stored or waits and has the same price, size and side.
    fn trade_of(&mut self, ticker: &Ticker) -> Option<Trade> {
        let told = Trade { trade_id: ticker.trade_id, time: ticker.time, ..Trades::EMPTY };
        let waiting = self.sequencer.waiting_trade(ticker.trade_id).copied();
        let trade = waiting.or_else(|| self.open_days.find_like(&told).map(|(stored, _)| stored))?;
        let is_told = trade.price.as_f32.to_bits() == ticker.price.as_f32.to_bits()
            && trade.size.as_f32.to_bits() == ticker.volume.as_f32.to_bits()
            && Some(trade.side) == ticker.side;
        is_told.then_some(trade)
    }

    /// Stores a ticker that was doubted and is believed now. Where its sequence is not above the last one, the sequences have begun anew.
    pub(super) fn write_believed(&mut self, ticker: &Ticker) {
        if let Some(last) = self.ticker_marks.last().filter(|last| ticker.sequence != 0 && ticker.sequence <= *last) {
            let (date, first) = (ticker.time.day(), ticker.sequence);
            log::warn!("{}: the sequence of its tickers has begun anew: {first} after {last}", self.product);
            let product = self.product.clone();
            self.context.journal.write(Event::SequenceRestarted { product, date, last_sequence: last, first_sequence: first });
            self.open_days.begin_stretch();
        }
        self.begin_batch();
        self.store_confirmed(|writer| _ = writer.write_ticker(ticker, Effort::Any));
        self.ticker_marks.restart(ticker);
    }

    #[inline]
    pub(super) fn write_ticker(&mut self, ticker: &Ticker, effort: Effort) -> Remaining {
        let outcome = self.write(Record::Ticker(ticker), effort);
        let counts = &self.metrics.tickers;
        match outcome {
            Outcome::NeedsPage => return Remaining::NeedsPage,
            Outcome::NeedsWriter => return Remaining::NeedsWriter,
            Outcome::Written => counts.written.one_as_owner(),
            Outcome::Late => counts.late.one(),
            Outcome::Duplicate | Outcome::Conflict | Outcome::NotKept => counts.stale.one(),
            Outcome::Blocked => {
                counts.shed.one();
                return Remaining::Nothing;
            }
        }
        self.ticker_marks.note(ticker);
        self.held_back.note(ticker);
        if self.context.datasets.contains(Dataset::Trades) {
            self.sequencer.ticker(ticker.trade_id, || self.started.elapsed());
        }
        self.metrics.newest.note_ticker(ticker.sequence, ticker.time);
        if matches!(outcome, Outcome::Written | Outcome::Late) {
            self.note_received(ticker.recv, effort);
        }
        Remaining::Nothing
    }
}
