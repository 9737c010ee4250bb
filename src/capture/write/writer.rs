//! [`Writer`]: takes the messages of one product, checks and orders them, and stores them in the columns of their event day.
//!
//! 1. Every message, and every trade that REST supplied, ends in exactly one counter of [`ProductMetrics`].
//! 2. A batch is committed before the writer sleeps or waits for room: what is stored is visible at once.
//! 3. A message that does not fit those before it waits until something settles whether it is real ([`Doubts`]). What was stored before never looks old
//!    because of it. Trades whose ids begin anew are stored as another series, under another name ([`series`]).
//! 4. Trades behind missing ones wait at most the gap wait (`Sequencer`). REST is asked for what is missing until it has come.
//! 5. [`Writer::take`] is the one rule of what becomes of a message. The threads that the writer delegates to ([`super::queue`]) follow it with less effort:
//!    they store a message whose turn it is, or leave it as it is.
//!
//! Its thread ([`super::writer_thread`]) runs rounds; other threads run steps while that thread sleeps. One thread at a time has the writer.

#[cfg(test)]
mod absurd_tests;
mod doubts;
mod gaps;
mod series;
#[cfg(test)]
mod shed_tests;
mod steps;
mod tickers;
mod trades;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::capture::context::CaptureContext;
use crate::capture::report::metrics::{LagTally, ProductMetrics, micros};
use crate::capture::report::redundancy::Redundancy;
use crate::capture::service::files;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::write::deliveries::Delivery;
use crate::capture::write::doubt::{DoubtedTicker, DoubtedTrade, SEQUENCE_AGREEMENT};
use crate::capture::write::earlier::{HeldBack, PreviousSeries};
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::gap_ages::GapAges;
use crate::capture::write::open_days::OpenDays;
use crate::capture::write::queue::{Pulled, QueueReceiver};
use crate::capture::write::resume::ResumePoint;
use crate::capture::write::seam::TickerSeam;
use crate::capture::write::step::{Appended, ROW_BYTES, Remaining};
use crate::capture::write::wakeup::Wakeup;
use crate::feed::doubts::{AGREEMENT, Doubts};
use crate::feed::sequencer::Sequencer;
use crate::feed::ticker_marks::TickerMarks;
use crate::feed::trade_marks::TradeMarks;
use crate::product::ProductId;
use crate::record::{MarketMessage, Record};
use crate::time::{UnixNanos, UtcDay};

/// Messages between two commits at most.
const BATCH_MSGS: usize = 256;

/// How long a product whose files take nothing holds up a stop.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a blocked writer sleeps before it tries again, if nothing wakes it.
pub(super) const BLOCKED_WAIT: Duration = Duration::from_millis(100);

/// How often a writer does what is not urgent: closes old days, gives up old doubts, publishes its histogram.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long an idle writer sleeps.
const IDLE: Duration = Duration::from_secs(30);

/// The shortest sleep of a writer for which something is about to be due.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// One product's writer.
pub(crate) struct Writer {
    context: Arc<CaptureContext>,
    /// The series that is recorded: the product, or the product with a number behind it.
    product: ProductId,
    metrics: Arc<ProductMetrics>,
    wakeup: Arc<Wakeup>,
    open_days: OpenDays,
    sequencer: Sequencer,
    gap_ages: GapAges,
    /// The revision of the gaps that REST fetching knows.
    fetched_revision: u64,
    deliveries: Receiver<Delivery>,
    /// Whether the trades since the time asked for have still to be searched.
    is_search_due: bool,
    redundancy: Redundancy,
    trade_marks: TradeMarks,
    doubted_trades: Doubts<DoubtedTrade>,
    /// When REST was asked for the newest trade, so that it may settle a doubt.
    newest_asked_at: Option<Duration>,
    /// The id that the last heartbeat named before any trade was known.
    named_first: Option<u64>,
    ticker_marks: TickerMarks,
    /// Where a capture was taken over from: which tickers it has stored already.
    seam: Option<TickerSeam>,
    /// Whether the queue holds what waited for the directory of another capture: how long that waited is no lag of this one.
    is_catching_up: bool,
    doubted_tickers: Doubts<DoubtedTicker>,
    held_back: HeldBack,
    /// The series before, as long as lines that lag may bring trades of it.
    previous: Option<PreviousSeries>,
    /// Ids that the series before those miss.
    missing_before: u64,
    /// Doubted tickers without a sequence, counted: their order is what they agree by.
    unsequenced: u64,
    /// The message that is being taken. It stays here if that fails or panics, and is taken again.
    current: Option<MarketMessage>,
    /// Whether other threads may run steps: no message waits for anything that only the writer's thread does.
    may_delegate: bool,
    /// Whether the commit of a step found work for the writer's thread (room to ask for, removed files) that it has not seen yet.
    has_unseen_work: bool,
    /// What the running step has appended.
    appended: Appended,
    batch_recvs: Vec<UnixNanos>,
    batch_start: Option<Instant>,
    lag: LagTally,
    started: Instant,
    housekeeping_at: Instant,
    blocked_since: Option<Instant>,
    /// Whether a stop has waited for a blocked record in vain. The next blocked record is not waited for.
    is_out_of_patience: bool,
    prepared_for: Option<UtcDay>,
}

/// What comes after a round.
pub(super) enum Round {
    /// Another round at once.
    Again,
    /// Nothing: the queue has ended.
    Ended,
    /// A sleep.
    Sleep {
        /// How long at most.
        longest: Duration,
    },
}

/// Why a writer stopped taking messages from its queue.
enum Drained {
    /// The queue is empty.
    Empty,
    /// The queue is empty, and no sender is left.
    Ended,
    /// The batch is full.
    BatchFull,
    /// The effort was too small for a message.
    Stopped(Remaining),
}

impl Writer {
    /// Begins behind what is stored.
    pub(super) fn new(context: Arc<CaptureContext>, metrics: Arc<ProductMetrics>, wakeup: Arc<Wakeup>, stored: ResumePoint) -> Self {
        let (now, product) = (Instant::now(), stored.series.clone());
        let is_search_due = context.backfill.as_ref().and_then(RestFetch::since).is_some_and(|since| !stored.reaches_back_to(since));
        let is_catching_up = context.taken_over_at().is_some();
        let first_id = stored.first.map(|first| first.trade_id);
        if let Some(backfill) = &context.backfill {
            backfill.begin(&product);
        }
        if let Some(newest) = stored.newest_trade {
            metrics.newest.note_trade(newest.key, newest.time);
        }
        let mut writer = Self {
            open_days: OpenDays::new(Arc::clone(&context), product.clone(), Arc::clone(&wakeup)),
            sequencer: Sequencer::new(stored.last_trade_id, stored.missing, context.gap_wait),
            gap_ages: GapAges::default(),
            fetched_revision: 0,
            deliveries: context.deliveries.register(&product, &wakeup),
            is_search_due,
            redundancy: Redundancy::new(context.lines),
            context,
            product,
            metrics,
            wakeup,
            trade_marks: stored.trade_marks,
            doubted_trades: Doubts::new(AGREEMENT),
            newest_asked_at: None,
            named_first: None,
            ticker_marks: stored.ticker_marks,
            seam: stored.seam,
            is_catching_up,
            doubted_tickers: Doubts::new(SEQUENCE_AGREEMENT),
            held_back: HeldBack::default(),
            previous: None,
            missing_before: 0,
            unsequenced: 0,
            current: None,
            may_delegate: false,
            has_unseen_work: false,
            appended: Appended::default(),
            batch_recvs: Vec::with_capacity(BATCH_MSGS * 2),
            batch_start: None,
            lag: LagTally::default(),
            started: now,
            housekeeping_at: now + HOUSEKEEPING,
            blocked_since: None,
            is_out_of_patience: false,
            prepared_for: None,
        };
        // What waits behind another capture's end is taken first.
        writer.sequencer.ticker_before(writer.ticker_marks.last_trade(), if is_catching_up { IDLE } else { Duration::ZERO });
        if let Some(id) = first_id {
            writer.search_below(id);
        }
        writer.report_gaps();
        writer.review_delegation();
        writer
    }

    /// Gives the number of trades that are in no file and no counter yet.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.doubted_trades.len() + self.sequencer.waiting()).unwrap_or(u64::MAX)
    }

    /// Gives the number of tickers that are in no file and no counter yet.
    pub(super) fn waiting_tickers(&self) -> u64 {
        u64::try_from(self.doubted_tickers.len() + self.held_back.len()).unwrap_or(u64::MAX)
    }

    /// Tells whether messages wait for something that settles whether they are real.
    fn has_doubts(&self) -> bool {
        !self.doubted_trades.is_empty() || !self.doubted_tickers.is_empty() || !self.held_back.is_empty()
    }

    /// Has a message taken next.
    pub(super) const fn keep_current(&mut self, message: Option<MarketMessage>) {
        self.current = message;
    }

    /// Gives the message that was being taken when a thread panicked.
    pub(super) const fn take_current(&mut self) -> Option<MarketMessage> {
        self.current.take()
    }

    /// Takes what is in the queue, at most a batch, and what else has come or is due. Makes it visible.
    pub(super) fn round(&mut self, queue: &QueueReceiver) -> Round {
        let waiting = u64::try_from(queue.len()).unwrap_or(u64::MAX);
        self.metrics.note_queue(waiting);
        let drained = self.drain(queue, Effort::Any);
        if !matches!(drained, Drained::BatchFull | Drained::Stopped(_)) && queue.has_shed() {
            self.note_shed(queue);
        }
        let has_delivery = self.take_delivery();
        self.check_gaps();
        self.commit();
        if matches!(drained, Drained::Empty) {
            self.end_take_over();
        }
        self.open_days.request_room();
        self.has_unseen_work = false;
        if matches!(drained, Drained::Ended) {
            return Round::Ended;
        }
        if Instant::now() >= self.housekeeping_at {
            self.do_housekeeping();
            // What was doubted and is believed now is stored.
            self.check_gaps();
            self.commit();
            self.open_days.request_room();
        }
        self.review_delegation();
        if matches!(drained, Drained::BatchFull) || has_delivery {
            return Round::Again;
        }
        let has_days_to_seal = self.metrics.subscription.is_given_up() && self.open_days.is_any_open();
        let idle = if self.has_doubts() || has_days_to_seal { HOUSEKEEPING } else { IDLE };
        let longest = self.sequencer.time_until_due(self.started.elapsed()).map_or(idle, |due| due.clamp(SHORTEST_SLEEP, idle));
        Round::Sleep { longest }
    }

    /// Ends what is special behind another capture: the queue is empty, so what had waited for the directory is stored.
    fn end_take_over(&mut self) {
        self.is_catching_up = false;
        if self.seam.as_ref().is_some_and(|seam| seam.is_over(self.context.clock.now())) {
            self.seam = None;
        }
    }

    /// Takes messages from the queue as far as `effort` goes, at most a batch. The message that it stops at is taken first the next time.
    #[inline]
    fn drain(&mut self, queue: &QueueReceiver, effort: Effort) -> Drained {
        for _ in 0..BATCH_MSGS {
            let message = match self.current {
                Some(message) => message,
                None => match queue.pull() {
                    Pulled::Message(message) => *self.current.insert(message),
                    Pulled::Empty => return Drained::Empty,
                    Pulled::Ended => return Drained::Ended,
                },
            };
            if effort == Effort::Any {
                self.begin_batch();
            }
            match self.take(&message, effort) {
                Remaining::Nothing => self.current = None,
                remaining => return Drained::Stopped(remaining),
            }
        }
        Drained::BatchFull
    }

    /// Takes a message: stores it, has it wait, or counts why not. With less effort than [`Effort::Any`] a message that cannot simply be stored changes
    /// nothing; the answer says what it needs.
    #[inline]
    fn take(&mut self, message: &MarketMessage, effort: Effort) -> Remaining {
        match message {
            MarketMessage::Trade(trade, place) => self.take_trade(trade, *place, effort),
            MarketMessage::Ticker(ticker) => self.take_ticker(ticker, effort),
            MarketMessage::TickerSnapshot { time } => self.take_ticker_snapshot(*time, effort),
            MarketMessage::Heartbeat { last_trade_id, .. } => self.take_heartbeat(*last_trade_id, effort),
        }
    }

    /// Stores a record in its day. With [`Effort::Any`] a record that is blocked is tried again until it is stored, or given up at a stop.
    #[inline]
    fn write(&mut self, record: Record<'_>, effort: Effort) -> Outcome {
        let outcome = self.open_days.write(record, effort);
        if outcome == Outcome::Blocked {
            return self.write_patiently(record);
        }
        if self.blocked_since.is_some() {
            self.note_unblocked();
        }
        outcome
    }

    /// Tries again until the record is stored; gives [`Outcome::Blocked`] where a stop found the files blocked for too long.
    #[cold]
    fn write_patiently(&mut self, record: Record<'_>) -> Outcome {
        loop {
            let since = *self.blocked_since.get_or_insert_with(Instant::now);
            self.metrics.is_blocked.store(true, Relaxed);
            if self.context.stop.is_asked() && (self.is_out_of_patience || since.elapsed() >= STOP_PATIENCE) {
                self.is_out_of_patience = true;
                return Outcome::Blocked;
            }
            self.commit();
            // A day whose files were removed never gets room again. Its seal fails, and it begins anew.
            self.open_days.close_old();
            self.wakeup.wait(BLOCKED_WAIT);
            let outcome = self.open_days.write(record, Effort::Any);
            if outcome != Outcome::Blocked {
                self.note_unblocked();
                return outcome;
            }
        }
    }

    #[cold]
    fn note_unblocked(&mut self) {
        self.blocked_since = None;
        self.metrics.is_blocked.store(false, Relaxed);
        // The commit before each wait has ended the batch. This record is the first of another one.
        self.begin_batch();
    }

    /// Notes when the batch began, unless one has begun.
    #[inline]
    fn begin_batch(&mut self) {
        self.batch_start.get_or_insert_with(Instant::now);
    }

    /// Notes when the frame of a stored record was read: its lag is counted with the commit.
    #[inline]
    fn note_received(&mut self, recv: UnixNanos, effort: Effort) {
        if effort < Effort::Any {
            self.appended.add(recv);
        } else if recv.0 != 0 && self.batch_recvs.len() < self.batch_recvs.capacity() {
            // What came by REST has no receive time and no lag. The vector's room is for a batch; a confirmed run of doubted trades may bring more.
            self.batch_recvs.push(recv);
        }
    }

    /// Makes the batch visible, and counts its lags.
    pub(super) fn commit(&mut self) {
        let Some(start) = self.batch_start.take() else { return };
        self.open_days.commit(Instant::now());
        self.metrics.waiting.store(self.waiting(), Relaxed);
        let metrics = &self.context.metrics;
        metrics.note_append(start.elapsed());
        let now = self.context.clock.now();
        let mut worst = 0;
        if self.is_catching_up {
            let rows = u64::try_from(self.batch_recvs.drain(..).len()).unwrap_or(u64::MAX);
            metrics.unflushed_bytes.fetch_add(ROW_BYTES.saturating_mul(rows), Relaxed);
        }
        for recv in self.batch_recvs.drain(..) {
            let lag = Duration::from_nanos(now.since(recv));
            worst = worst.max(micros(lag));
            self.lag.note(lag, 1);
            metrics.unflushed_bytes.fetch_add(ROW_BYTES, Relaxed);
        }
        metrics.recent_lag_micros.see(worst);
    }

    /// Makes visible what is stored, and nothing else: after a panic the rest is not to be relied on.
    pub(super) fn commit_records(&mut self) {
        self.open_days.commit(Instant::now());
    }

    fn do_housekeeping(&mut self) {
        self.housekeeping_at = Instant::now() + HOUSEKEEPING;
        self.settle_old_doubts();
        self.forget_previous_series();
        self.open_days.close_old();
        if self.metrics.subscription.is_given_up() {
            self.open_days.close_given_up();
        }
        self.prepare_tomorrow();
        self.lag.publish(&self.context.metrics);
    }

    /// Has tomorrow's files made shortly before midnight, so that the first record of the day waits for nothing.
    fn prepare_tomorrow(&mut self) {
        let now = self.context.market_now();
        let (today, tomorrow) = (now.day(), now.day().next());
        let lead = files::prepare_lead(&self.product);
        if self.prepared_for == Some(tomorrow) || u128::from(tomorrow.start().since(now)) > lead.as_nanos() {
            return;
        }
        for (mut key, records) in self.open_days.counts(today) {
            // A product that has stored nothing today is looked at again.
            self.prepared_for = Some(tomorrow);
            key.date = tomorrow;
            // An eighth of today's: about three hours' worth. The files grow from there.
            self.context.provisioner().prepare(key, records / 8);
        }
    }

    /// Ends the writer: waits for missing trades, stores or gives up what waits, closes the days.
    pub(super) fn end(&mut self, queue: &QueueReceiver) {
        debug_assert!(queue.is_empty(), "the queue has ended");
        while self.take_delivery() {}
        self.note_shed(queue);
        self.begin_batch();
        self.await_newest();
        self.settle_doubts_at_end();
        self.await_missing();
        self.write_left();
        self.report_gaps();
        self.begin_batch();
        self.commit();
        self.lag.publish(&self.context.metrics);
        self.close_previous_series();
        self.open_days.open_left();
        self.open_days.close_all();
    }
}
