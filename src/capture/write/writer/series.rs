//! Series that begin anew: a product whose trade ids start again lower is stored under another name from there on, with days, gaps and tickers of its own.
//!
//! 1. The series before is kept for [`PREVIOUS_KEPT`]: what lines that lag still bring of it is stored in it, or known as a copy. Its gaps are left as they
//!    are, and REST is not asked for them: their ids mean other trades there now.
//! 2. Tickers that name doubted trades are held back until those are settled, for [`HOLD_BACK`] at most. All that come after them wait behind them, so that
//!    their order is kept.

use std::time::{Duration, Instant};

use super::Writer;
use crate::capture::report::redundancy::Redundancy;
use crate::capture::service::products;
use crate::capture::write::doubt::{DoubtedTrade, SEQUENCE_AGREEMENT, mark_of};
use crate::capture::write::earlier::PreviousSeries;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::open_days::OpenDays;
use crate::feed::doubts::{AGREEMENT, Doubts, Mark};
use crate::feed::sequencer::{ReceivedTrade, Sequencer};
use crate::feed::ticker_marks::{TickerDoubt, TickerJudgement, TickerMarks};
use crate::feed::trade_marks::{TradeDoubt, TradeMarks};
use crate::product::ProductId;
use crate::record::{Means, Record, Ticker};
use crate::schema::Dataset;
use crate::store::event::Event;

/// How long the series before is kept.
const PREVIOUS_KEPT: Duration = Duration::from_secs(60);

/// How long tickers are held back.
const HOLD_BACK: Duration = Duration::from_secs(10);

/// How long a ticker that names a trade out of turn is held back although no trade is doubted: the trade may come after it.
const AWAIT_TRADE: Duration = Duration::from_secs(2);

/// Tickers that are held back at most.
const MAX_HELD_BACK: usize = 4096;

impl Writer {
    /// Has what comes from here on stored as another series. Tells whether there is a name for it.
    #[cold]
    pub(super) fn begin_series(&mut self, first: Mark) -> bool {
        let first_id = first.key;
        let Some(series) = self.product.next_series() else {
            log::error!("{}: its trade ids have begun anew, and no name is left for another series", self.product);
            return false;
        };
        self.write_left();
        self.report_gaps();
        self.close_previous_series();
        let before = std::mem::replace(&mut self.product, series.clone());
        let last_id = self.sequencer.chain().last().unwrap_or(0);
        log::warn!("{before}: trade ids have begun anew: {first_id} after {last_id}; from here on the product is stored as {series}");
        let event = Event::SeriesRestarted {
            product: ProductId::new(before.feed_name()).unwrap_or_else(|_| before.clone()),
            before: before.clone(),
            series: series.clone(),
            last_id,
            first_id,
        };
        products::note_series(self.context.dir(), &event, self.context.clock.now());
        self.context.journal.write(event);
        self.context.deliveries.unregister(&before);
        if let Some(backfill) = &self.context.backfill {
            backfill.begin(&before);
            backfill.begin(&series);
        }
        self.deliveries = self.context.deliveries.register(&series, &self.wakeup);
        let open_days = OpenDays::new(self.context.clone(), series, self.wakeup.clone());
        self.previous = Some(PreviousSeries {
            product: before,
            open_days: std::mem::replace(&mut self.open_days, open_days),
            sequencer: std::mem::replace(&mut self.sequencer, Sequencer::new(None, [], self.context.gap_wait)),
            until: Instant::now() + PREVIOUS_KEPT,
        });
        self.fetched_revision = 0;
        self.is_search_due = false;
        self.redundancy = Redundancy::new(self.context.lines);
        self.trade_marks = TradeMarks::default();
        self.ticker_marks = TickerMarks::beginning(first.time);
        self.held_back.last_trade_id = 0;
        for doubted in std::mem::replace(&mut self.doubted_tickers, Doubts::new(SEQUENCE_AGREEMENT)).drain() {
            self.held_back.tickers.push_back(doubted.message.ticker);
        }
        self.prepared_for = None;
        true
    }

    /// Stores a trade in the series before, where it belongs to that one, or knows it as a copy of one there. Tells whether it is done with.
    #[cold]
    pub(super) fn take_into_previous(&mut self, received: &ReceivedTrade) -> bool {
        let Some(previous) = &mut self.previous else { return false };
        let trade = &received.trade;
        let is_copy = previous.open_days.find_like(trade).is_some_and(|(_, is_same)| is_same);
        if is_copy {
            self.note_duplicate(trade);
            return true;
        }
        if !self.trade_marks.began_after(trade.time) {
            return false;
        }
        let outcome = previous.open_days.write(Record::Trade(trade), Effort::Any);
        previous.open_days.commit(Instant::now());
        previous.open_days.request_room();
        let counts = &self.metrics.trades;
        match outcome {
            Outcome::Written => counts.written.one_as_owner(),
            Outcome::Late => counts.late.one(),
            Outcome::Duplicate => counts.duplicate.one(),
            Outcome::Conflict => counts.conflict.one(),
            Outcome::NotKept | Outcome::NeedsPage | Outcome::NeedsWriter | Outcome::Blocked => counts.shed.one(),
        }
        if matches!(outcome, Outcome::Written | Outcome::Late) {
            previous.sequencer.mark_stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
        }
        if outcome == Outcome::Conflict
            && let Some((stored, _)) = previous.open_days.find_like(trade)
        {
            self.report_conflict(&stored, trade, received.place);
        }
        true
    }

    /// Gives how many ids the series before misses.
    pub(super) fn previous_missing(&self) -> u64 {
        let of_kept = self.previous.as_ref().map_or(0, |previous| previous.sequencer.chain().missing().count());
        self.missing_before.saturating_add(of_kept)
    }

    /// Closes the series before when its time is up.
    pub(super) fn forget_previous_series(&mut self) {
        if let Some(previous) = &mut self.previous {
            previous.open_days.close_old();
            if Instant::now() >= previous.until {
                self.close_previous_series();
            }
        }
    }

    /// Closes the series before: its days are sealed when they are over, or at a stop.
    pub(super) fn close_previous_series(&mut self) {
        self.missing_before = self.previous_missing();
        let Some(mut previous) = self.previous.take() else { return };
        for event in previous.sequencer.take_events() {
            self.journal_gap(&previous.product, event);
        }
        previous.open_days.open_left();
        previous.open_days.close_all();
    }

    /// Tells whether a ticker names a trade near a doubted one whose ids may have begun anew.
    pub(super) fn is_of_doubted_trade(&self, ticker: &Ticker) -> bool {
        let is_near = |id: u64| ticker.trade_id != 0 && id.abs_diff(ticker.trade_id) <= AGREEMENT;
        let is_of = |held: &DoubtedTrade| held.doubt == TradeDoubt::Behind && is_near(mark_of(&held.received.trade).key);
        self.doubted_trades.find(is_of).is_some()
    }

    /// Tells whether a ticker may belong to a series that has just begun: it names a doubted trade, or one before that of the last ticker.
    pub(super) fn may_be_of_another_series(&self, ticker: &Ticker) -> bool {
        let keeps_trades = self.context.datasets.contains(Dataset::Trades);
        keeps_trades && ticker.trade_id != 0 && (ticker.trade_id < self.held_back.last_trade_id || self.is_of_doubted_trade(ticker))
    }

    /// Holds a ticker back.
    #[cold]
    pub(super) fn hold_back(&mut self, ticker: &Ticker) {
        if self.held_back.is_empty() {
            self.held_back.since = self.started.elapsed();
        }
        let is_copy = |held: &Ticker| ticker.sequence != 0 && held.sequence == ticker.sequence && held.time == ticker.time;
        if self.held_back.tickers.iter().any(is_copy) {
            self.metrics.tickers.stale.one();
            return;
        }
        self.held_back.tickers.push_back(*ticker);
        if self.held_back.len() >= MAX_HELD_BACK {
            self.release_held_back();
        }
    }

    /// Stores the tickers that were held back, when it is settled where they belong, or their time is up.
    pub(super) fn release_tickers(&mut self) {
        if self.held_back.is_empty() {
            return;
        }
        let waited = self.started.elapsed().saturating_sub(self.held_back.since);
        let is_begun = self.previous.is_some() && self.ticker_marks.last().is_none();
        let is_settled = self.doubted_trades.is_empty() && waited >= AWAIT_TRADE;
        if is_begun || is_settled || waited >= HOLD_BACK {
            self.release_held_back();
        }
    }

    /// Judges again the tickers that were held back. One whose sequence and trade both lie behind, although the ids of trades have not begun anew, came
    /// before, whatever its event time.
    pub(super) fn release_held_back(&mut self) {
        for ticker in std::mem::take(&mut self.held_back.tickers) {
            self.begin_batch();
            let is_of_earlier_trade = ticker.trade_id < self.held_back.last_trade_id && self.doubted_trades.is_empty();
            match self.ticker_marks.judge_at(&ticker, self.context.latest_at(ticker.recv)) {
                TickerJudgement::Newer => self.store_confirmed(|writer| _ = writer.write_ticker(&ticker, Effort::Any)),
                TickerJudgement::Stale => self.metrics.tickers.stale.one(),
                TickerJudgement::Doubted(TickerDoubt::Behind) if is_of_earlier_trade => self.metrics.tickers.stale.one(),
                TickerJudgement::Doubted(doubt) => self.doubt_ticker(&ticker, doubt),
            }
        }
    }
}
