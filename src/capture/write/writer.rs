//! A product's writer: drains its queue, believes or doubts each message, and puts it into the columns of its event day.
//!
//! 1. Every message, and every trade that REST supplied, ends in exactly one counter of [`ProductMetrics`].
//! 2. A batch is committed before the writer sleeps or waits for room: what is appended is visible at once.
//! 3. An id or sequence that lies absurdly far ahead waits for its confirmation; what was stored before never looks old because of it.
//! 4. Trades behind missing ones wait at most the gap wait (`Sequencer`); what is missing is wanted of REST until it has come.
//! 5. A writer that panics is started again once, from what is committed; the message in hand is taken again, and is a duplicate if it had been stored.
//!
//! 6. While its thread sleeps, a connection's threads may put down what comes in turn ([`crate::capture::write::slot`]): in the same order, counted and committed alike.
//!
//! Thread `write:{product}`: owns the product's open days and its chain of ids; reads its queue and what the backfill delivers; ends when every sender
//! is gone, the queue is empty and what is missing has had the gap wait to come in, or when a stop was asked for and its files would take nothing for
//! [`STOP_PATIENCE`].

mod delegated;
mod gaps;
mod thread;
mod tickers;

pub use thread::run;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::capture::context::CaptureContext;
use crate::capture::report::metrics::{LagTally, ProductMetrics, micros};
use crate::capture::report::redundancy::Redundancy;
use crate::capture::service::files;
use crate::capture::service::journal::LONGEST_REJECT_BYTES;
use crate::capture::service::rest_fetch::RestFetch;
use crate::capture::write::deliveries::Delivery;
use crate::capture::write::open_days::{Blocked, OpenDays};
use crate::capture::write::queue::{Pulled, QueueReceiver};
use crate::capture::write::resume::ResumePoint;
use crate::feed::quarantine::Quarantine;
use crate::feed::sequencer::{Held, ReceivedTrade, Sequencer};
use crate::product::ProductId;
use crate::record::{MarketMessage, Means, RawPlace, Ticker, Trade};
use crate::store::Inserted;
use crate::store::event::Event;
use crate::time::UnixNanos;

/// Messages between two commits at most.
const BATCH_MSGS: usize = 256;

/// How long a product whose files take nothing holds up a stop.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a blocked writer waits for the bell before it looks again.
const BLOCKED_WAIT: Duration = Duration::from_millis(100);

/// How often a writer does what has no hurry: old days, old doubts, histograms.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long an idle writer sleeps with no chore waiting.
const IDLE: Duration = Duration::from_secs(30);

/// Shortest sleep of a writer for which something is about to be due.
const BRIEFLY: Duration = Duration::from_millis(1);

/// One product's writer.
pub struct Writer {
    context: Arc<CaptureContext>,
    product: ProductId,
    metrics: Arc<ProductMetrics>,
    open_days: OpenDays,
    sequencer: Sequencer,
    /// The gaps' revision that the backfill has been told.
    wanted_revision: u64,
    deliveries: Receiver<Delivery>,
    /// Whether the trades since the time asked for have still to be looked for.
    is_to_search: bool,
    lines: Redundancy,
    last_sequence: u64,
    doubted_trades: Quarantine<ReceivedTrade>,
    doubted_ticker: Option<Ticker>,
    in_hand: Option<MarketMessage>,
    /// Whether others may put down what comes in turn.
    is_at_ease: bool,
    /// Whether a commit of others has found room to be asked for, or files gone, which the writer's thread has not seen yet.
    is_owed_a_look: bool,
    /// Whether the trade being written has waited for what was missing before it.
    is_behind_gap: bool,
    batch_recvs: Vec<UnixNanos>,
    batch_start: Option<Instant>,
    lag: LagTally,
    started: Instant,
    chores_at: Instant,
    blocked_since: Option<Instant>,
    /// Whether a stop has waited for a blocked record in vain: the next one is not waited for.
    is_out_of_patience: bool,
    prepared_for: Option<crate::time::UtcDay>,
}

/// What comes after a round of draining.
enum Round {
    Again,
    Ended,
    Wait { longest: Duration },
}

impl Writer {
    fn new(
        context: Arc<CaptureContext>,
        product: ProductId,
        metrics: Arc<ProductMetrics>,
        queue: &QueueReceiver,
        stored: ResumePoint,
    ) -> Self {
        let now = Instant::now();
        let lacks = |since| !stored.reaches_back_to(since);
        let is_to_search = context.backfill.as_ref().and_then(RestFetch::since).is_some_and(lacks);
        let first = stored.first;
        if let Some(backfill) = &context.backfill {
            backfill.begin(&product);
        }
        let mut writer = Self {
            open_days: OpenDays::new(Arc::clone(&context), product.clone(), queue.wakeup()),
            sequencer: Sequencer::new(stored.last_trade_id, stored.missing, context.gap_wait),
            wanted_revision: 0,
            deliveries: context.deliveries.register(&product, &queue.wakeup()),
            is_to_search,
            lines: Redundancy::new(context.lines),
            context,
            product,
            metrics,
            last_sequence: stored.last_sequence.unwrap_or(0),
            doubted_trades: Quarantine::default(),
            doubted_ticker: None,
            in_hand: None,
            is_at_ease: false,
            is_owed_a_look: false,
            is_behind_gap: false,
            batch_recvs: Vec::with_capacity(BATCH_MSGS * 2),
            batch_start: None,
            lag: LagTally::default(),
            started: now,
            chores_at: now + HOUSEKEEPING,
            blocked_since: None,
            is_out_of_patience: false,
            prepared_for: None,
        };
        if let Some((id, _)) = first {
            writer.search_below(id);
        }
        writer.settle_gaps();
        writer.note_ease();
        writer
    }

    /// Gives the trades that are in no file and no counter yet.
    fn waiting(&self) -> u64 {
        u64::try_from(self.doubted_trades.len() + self.sequencer.waiting()).unwrap_or(u64::MAX)
    }

    /// Takes what is in the queue, at most a batch, and what else has come or is due, and makes it visible.
    fn round(&mut self, queue: &QueueReceiver) -> Round {
        if let Some(message) = self.in_hand {
            self.take(queue, message);
            self.in_hand = None;
        }
        let mut taken = 0;
        let is_ended = loop {
            match queue.pull() {
                Pulled::Message(message) => {
                    self.in_hand = Some(message);
                    self.take(queue, message);
                    self.in_hand = None;
                    taken += 1;
                    if taken == BATCH_MSGS {
                        break false;
                    }
                }
                Pulled::Empty => break false,
                Pulled::Ended => break true,
            }
        };
        let has_delivery = self.take_delivery(queue);
        self.mind_gaps(queue);
        self.commit();
        self.open_days.ask_for_room();
        self.is_owed_a_look = false;
        if is_ended {
            return Round::Ended;
        }
        if Instant::now() >= self.chores_at {
            self.do_chores();
        }
        self.note_ease();
        if taken == BATCH_MSGS || has_delivery {
            return Round::Again;
        }
        let idle = if self.doubted_trades.is_empty() { IDLE } else { HOUSEKEEPING };
        let longest = self.sequencer.time_until_due(self.started.elapsed()).map_or(idle, |due| due.clamp(BRIEFLY, idle));
        Round::Wait { longest }
    }

    fn take(&mut self, queue: &QueueReceiver, message: MarketMessage) {
        self.batch_start.get_or_insert_with(Instant::now);
        match message {
            MarketMessage::Trade(trade, place) => self.take_trade(queue, ReceivedTrade { trade, place }),
            MarketMessage::Ticker(ticker) => self.take_ticker(queue, ticker),
            MarketMessage::Heartbeat { last_trade_id, .. } => {
                for received in self.doubted_trades.confirm(last_trade_id) {
                    self.offer(queue, received);
                }
                self.sequencer.heartbeat(last_trade_id, self.started.elapsed());
            }
        }
    }

    fn take_trade(&mut self, queue: &QueueReceiver, received: ReceivedTrade) {
        let id = received.trade.trade_id;
        if !self.sequencer.chain().is_absurd(id) {
            self.offer(queue, received);
            return;
        }
        let held = self.doubted_trades.hold(id, self.started.elapsed(), received);
        self.context.journal.write(Event::TradeDoubted { product: self.product.clone(), trade_id: id });
        for received in held.believed {
            self.offer(queue, received);
        }
        self.give_up(held.given_up);
    }

    fn give_up(&mut self, doubted: impl IntoIterator<Item = ReceivedTrade>) {
        for ReceivedTrade { trade, .. } in doubted {
            self.metrics.trades.rejected.one();
            self.context.journal.reject("trade id too far ahead, never confirmed", describe(&self.product, &trade).as_bytes());
        }
    }

    /// Writes a trade if it is its turn, and what waited for it; otherwise has it wait.
    #[inline]
    fn offer(&mut self, queue: &QueueReceiver, received: ReceivedTrade) {
        if self.sequencer.is_in_turn(received.trade.trade_id) {
            self.put_trade(queue, &received);
            self.put_ready(queue);
        } else {
            self.hold(received);
        }
    }

    #[cold]
    fn hold(&mut self, received: ReceivedTrade) {
        match self.sequencer.hold(received, self.started.elapsed()) {
            Held::Waiting => {}
            Held::Duplicate => {
                self.metrics.trades.duplicate.one();
                self.lines.note_duplicate(&received.trade, &self.metrics.lines);
            }
            Held::Conflict(kept) => {
                self.metrics.trades.conflict.one();
                self.tell_conflict(&kept, &received.trade, received.place);
            }
        }
    }

    #[inline]
    fn put_ready(&mut self, queue: &QueueReceiver) {
        let started = self.started;
        while let Some(received) = self.sequencer.pop_ready(|| started.elapsed()) {
            self.put_waited(queue, received);
        }
    }

    /// Writes a trade that has waited: how long is a figure of its own, no lag.
    #[cold]
    fn put_waited(&mut self, queue: &QueueReceiver, received: ReceivedTrade) {
        if received.trade.recv.0 != 0 {
            let waited = Duration::from_nanos(self.context.clock.now().since(received.trade.recv));
            self.context.metrics.gap_wait_micros.see(micros(waited));
        }
        self.is_behind_gap = true;
        self.put_trade(queue, &received);
        self.is_behind_gap = false;
    }

    fn put_trade(&mut self, queue: &QueueReceiver, ReceivedTrade { trade, place }: &ReceivedTrade) {
        let counts = Arc::clone(&self.metrics);
        match self.patiently(queue, |open_days| open_days.insert_trade(trade)) {
            None => {
                counts.trades.shed.one();
                return;
            }
            Some(Inserted::Duplicate) => {
                counts.trades.duplicate.one();
                self.lines.note_duplicate(trade, &counts.lines);
            }
            Some(Inserted::Conflict(stored)) => {
                counts.trades.conflict.one();
                self.tell_conflict(&stored, trade, *place);
            }
            Some(Inserted::Appended) => {
                counts.trades.written.one();
                self.note_stored(trade);
            }
            Some(Inserted::Late) => {
                counts.trades.late.one();
                self.note_stored(trade);
            }
        }
        self.sequencer.mark_stored(trade.trade_id, trade.origin.means().unwrap_or(Means::Live));
    }

    #[inline]
    fn note_stored(&mut self, trade: &Trade) {
        self.note_received(trade.recv);
        self.lines.note_stored(trade, &self.metrics.lines);
        if self.is_to_search {
            self.search_below(trade.trade_id);
        }
    }

    /// Journals a conflict with the raw text of the trade's frame, as long as that is at hand.
    fn tell_conflict(&self, stored: &Trade, trade: &Trade, place: RawPlace) {
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

    /// Tries until the shelf takes a record; nothing where a stop found it blocked for too long.
    fn patiently<T>(&mut self, queue: &QueueReceiver, mut insert: impl FnMut(&mut OpenDays) -> Result<T, Blocked>) -> Option<T> {
        loop {
            match insert(&mut self.open_days) {
                Ok(done) => {
                    if self.blocked_since.take().is_some() {
                        self.metrics.is_blocked.store(false, Relaxed);
                        // The commit before each wait has ended the batch; this record is the first of another.
                        self.batch_start.get_or_insert_with(Instant::now);
                    }
                    return Some(done);
                }
                Err(Blocked) => {
                    let since = *self.blocked_since.get_or_insert_with(Instant::now);
                    self.metrics.is_blocked.store(true, Relaxed);
                    if self.context.stop.is_asked() && (self.is_out_of_patience || since.elapsed() >= STOP_PATIENCE) {
                        self.is_out_of_patience = true;
                        return None;
                    }
                    self.commit();
                    // A day whose files were removed never gets room again; its seal fails, and it begins anew.
                    self.open_days.close_old();
                    queue.wait(BLOCKED_WAIT);
                }
            }
        }
    }

    fn note_received(&mut self, recv: UnixNanos) {
        // What came by REST has no receive time and no lag; what waited behind a gap has a figure of its own. The room was reserved for a batch; a doubted run may bring more.
        if recv.0 != 0 && !self.is_behind_gap && self.batch_recvs.len() < self.batch_recvs.capacity() {
            self.batch_recvs.push(recv);
        }
    }

    /// Shows the capture how many trades wait, which may be none any more.
    fn show_waiting(&self) {
        self.metrics.waiting.store(self.waiting(), Relaxed);
    }

    fn commit(&mut self) {
        let Some(start) = self.batch_start.take() else { return };
        self.open_days.commit();
        self.show_waiting();
        let metrics = &self.context.metrics;
        metrics.append_micros.see(micros(start.elapsed()));
        let now = self.context.clock.now();
        let mut worst = 0;
        for recv in self.batch_recvs.drain(..) {
            let lag = Duration::from_nanos(now.since(recv));
            worst = worst.max(micros(lag));
            self.lag.note(lag, 1);
            metrics.unflushed_bytes.fetch_add(ROW_BYTES, Relaxed);
        }
        metrics.recent_lag_micros.see(worst);
    }

    fn do_chores(&mut self) {
        self.chores_at = Instant::now() + HOUSEKEEPING;
        let expired = self.doubted_trades.expire(self.started.elapsed());
        self.give_up(expired);
        self.open_days.close_old();
        self.prepare_tomorrow();
        self.lag.publish(&self.context.metrics);
    }

    /// Shortly before midnight has tomorrow's files made, so that the first record of the day waits for nothing.
    fn prepare_tomorrow(&mut self) {
        let now = self.context.clock.now();
        let (today, tomorrow) = (now.day(), now.day().next());
        let lead = files::prepare_lead(&self.product);
        if self.prepared_for == Some(tomorrow) || u128::from(tomorrow.start().since(now)) > lead.as_nanos() {
            return;
        }
        self.prepared_for = Some(tomorrow);
        for (mut key, records) in self.open_days.counts(today) {
            key.date = tomorrow;
            // An eighth of today's: about three hours' worth; it grows from there.
            self.context.provisioner.prepare(key, records / 8);
        }
    }

    fn end(&mut self, queue: &QueueReceiver) {
        debug_assert!(queue.is_empty(), "the queue has ended");
        while self.take_delivery(queue) {}
        self.await_missing(queue);
        while let Some(received) = self.sequencer.pop_any() {
            self.batch_start.get_or_insert_with(Instant::now);
            self.put_waited(queue, received);
        }
        self.settle_gaps();
        let doubted = self.doubted_trades.drain();
        self.give_up(doubted);
        if let Some(ticker) = self.doubted_ticker.take() {
            self.reject_ticker(&ticker);
        }
        self.batch_start.get_or_insert_with(Instant::now);
        self.commit();
        self.lag.publish(&self.context.metrics);
        self.open_days.open_left();
        self.open_days.close_all();
    }
}

/// Bytes of a full trade or ticker record, as a hint of how much waits to be flushed.
pub(super) const ROW_BYTES: u64 = 100;

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
