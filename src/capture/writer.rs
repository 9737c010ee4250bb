//! A product's writer: drains its queue, believes or doubts each message, and puts it into the columns of its event day.
//!
//! 1. Every message ends in exactly one counter of [`ProductMetrics`].
//! 2. A batch is committed before the writer sleeps or waits for room: what is appended is visible at once.
//! 3. An id or sequence that lies absurdly far ahead waits for its confirmation; what was stored before never looks old because of it.
//! 4. A writer that panics is started again once, from what is committed; the message in hand is taken again, and is a duplicate if it had been stored.
//!
//! Thread `write:{product}`: owns the product's open days and its chain of ids; reads its queue; ends when every sender is gone and the queue is
//! empty, or when a stop was asked for and its files would take nothing for [`STOP_PATIENCE`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::desk::Desk;
use super::metrics::{ProductMetrics, latency_histogram, micros};
use super::provisioner;
use super::queue::{Pulled, QueueReceiver};
use super::scribe::LONGEST_REJECT_BYTES;
use super::shelf::{Blocked, Shelf};
use crate::feed::continuity::{Continuity, Quarantine, Seen};
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::schema::Dataset;
use crate::store::journal::Event;
use crate::store::{Inserted, StoreError, catalog};
use crate::time::UnixNanos;

/// Messages between two commits at most.
const BATCH_MSGS: usize = 256;

/// How long a product whose files take nothing holds up a stop.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How long a blocked writer waits for the bell before it looks again.
const BLOCKED_WAIT: Duration = Duration::from_millis(100);

/// How often a writer does what has no hurry: old days, old doubts, histograms.
const CHORES: Duration = Duration::from_secs(1);

/// How long an idle writer sleeps with no chore waiting.
const IDLE: Duration = Duration::from_secs(10);

/// Jump of the ticker's sequence beyond which a single message is not believed: 2^40, years of the busiest product.
const ABSURD_SEQUENCE_JUMP: u64 = 1 << 40;

/// One product's writer.
pub struct Writer {
    desk: Arc<Desk>,
    product: ProductId,
    metrics: Arc<ProductMetrics>,
    shelf: Shelf,
    chain: Continuity,
    last_sequence: u64,
    doubted_trades: Quarantine<(Trade, RawPlace)>,
    doubted_ticker: Option<Ticker>,
    in_hand: Option<MarketMessage>,
    batch_recvs: Vec<UnixNanos>,
    batch_start: Option<Instant>,
    lag: Histogram<u32>,
    started: Instant,
    chores_at: Instant,
    blocked_since: Option<Instant>,
    prepared_for: Option<crate::time::UtcDay>,
}

/// Runs a product's writer to the end of its queue.
///
/// # Errors
/// Where it panicked twice.
pub fn run(desk: &Arc<Desk>, product: &ProductId, metrics: &Arc<ProductMetrics>, queue: &QueueReceiver) -> Result<(), String> {
    provisioner::seal_leftovers(&desk.dir, &desk.scribe, &desk.metrics, &desk.clock, product);
    let mut in_hand = None;
    for attempt in 1..=2 {
        let Some(stored) = await_stored(desk, product, metrics, queue) else {
            shed_all(metrics, queue);
            return Ok(());
        };
        let mut writer = Writer::new(Arc::clone(desk), product.clone(), Arc::clone(metrics), queue, stored);
        writer.in_hand = in_hand.take();
        if catch_unwind(AssertUnwindSafe(|| writer.drain(queue))).is_ok() {
            return Ok(());
        }
        in_hand = writer.in_hand.take();
        // Whole inserts are worth keeping; a shelf that panics again is left to recovery.
        let _ = catch_unwind(AssertUnwindSafe(|| writer.shelf.commit()));
        drop(writer);
        if attempt == 1 {
            log::error!("{product}: the writer panicked and is started again");
            desk.scribe.journal(Event::new("writer_restarted").product(product));
        }
    }
    Err(format!("{product}: the writer panicked twice"))
}

/// What is stored of a product before this run.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    last_trade_id: Option<u64>,
    last_sequence: Option<u64>,
}

impl Stored {
    fn read(desk: &Desk, product: &ProductId) -> Result<Self, StoreError> {
        let last = |dataset| catalog::last_key(desk.dir.path(), product, dataset);
        Ok(Self {
            last_trade_id: if desk.datasets.trades { last(Dataset::Trades)? } else { None },
            last_sequence: if desk.datasets.md { last(Dataset::Md)? } else { last(Dataset::TickerTrades)? },
        })
    }
}

/// Reads what is stored, again and again while that fails: the trouble is this product's alone. Nothing where a stop came first.
fn await_stored(desk: &Desk, product: &ProductId, metrics: &ProductMetrics, queue: &QueueReceiver) -> Option<Stored> {
    let mut is_told = false;
    loop {
        match Stored::read(desk, product) {
            Ok(stored) => {
                metrics.is_blocked.store(false, Relaxed);
                return Some(stored);
            }
            Err(_) if desk.stop.is_asked() => return None,
            Err(error) => {
                metrics.is_blocked.store(true, Relaxed);
                if !std::mem::replace(&mut is_told, true) {
                    desk.metrics.write_failures.one();
                    log::error!("{product}: {error}");
                    desk.scribe.journal(Event::new("write_failed").product(product).text("error", &error.to_string()));
                }
                queue.wait(BLOCKED_WAIT);
            }
        }
    }
}

/// Counts what is left of a queue that nothing can take.
fn shed_all(metrics: &ProductMetrics, queue: &QueueReceiver) {
    loop {
        match queue.pull() {
            Pulled::Message(MarketMessage::Trade(..)) => metrics.trades.shed.one(),
            Pulled::Message(MarketMessage::Ticker(_)) => metrics.tickers.shed.one(),
            Pulled::Message(MarketMessage::Heartbeat { .. }) => {}
            Pulled::Empty => queue.wait(BLOCKED_WAIT),
            Pulled::Ended => return,
        }
    }
}

impl Writer {
    fn new(desk: Arc<Desk>, product: ProductId, metrics: Arc<ProductMetrics>, queue: &QueueReceiver, stored: Stored) -> Self {
        let now = Instant::now();
        Self {
            shelf: Shelf::new(Arc::clone(&desk), product.clone(), queue.bell()),
            desk,
            product,
            metrics,
            chain: Continuity::after(stored.last_trade_id),
            last_sequence: stored.last_sequence.unwrap_or(0),
            doubted_trades: Quarantine::default(),
            doubted_ticker: None,
            in_hand: None,
            batch_recvs: Vec::with_capacity(BATCH_MSGS * 2),
            batch_start: None,
            lag: latency_histogram(),
            started: now,
            chores_at: now + CHORES,
            blocked_since: None,
            prepared_for: None,
        }
    }

    fn drain(&mut self, queue: &QueueReceiver) {
        if let Some(message) = self.in_hand {
            self.take(queue, message);
        }
        loop {
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
            self.commit();
            if is_ended {
                break;
            }
            if Instant::now() >= self.chores_at {
                self.do_chores();
            }
            if taken < BATCH_MSGS {
                queue.wait(if self.lag.is_empty() && self.doubted_trades.is_empty() { IDLE } else { CHORES });
            }
        }
        self.end(queue);
    }

    fn take(&mut self, queue: &QueueReceiver, message: MarketMessage) {
        self.batch_start.get_or_insert_with(Instant::now);
        match message {
            MarketMessage::Trade(trade, place) => self.take_trade(queue, (trade, place)),
            MarketMessage::Ticker(ticker) => self.take_ticker(queue, ticker),
            MarketMessage::Heartbeat { last_trade_id, .. } => {
                for trade in self.doubted_trades.confirm(last_trade_id) {
                    self.metrics.waiting.fetch_sub(1, Relaxed);
                    self.put_trade(queue, &trade);
                }
            }
        }
    }

    fn take_trade(&mut self, queue: &QueueReceiver, sent: (Trade, RawPlace)) {
        let trade = &sent.0;
        if !self.chain.is_absurd(trade.trade_id) {
            self.put_trade(queue, &sent);
            return;
        }
        self.metrics.waiting.fetch_add(1, Relaxed);
        let held = self.doubted_trades.hold(trade.trade_id, self.started.elapsed(), sent);
        self.desk.scribe.journal(Event::new("trade_doubted").product(&self.product).number("trade_id", trade.trade_id));
        for trade in held.believed {
            self.metrics.waiting.fetch_sub(1, Relaxed);
            self.put_trade(queue, &trade);
        }
        self.give_up(held.given_up);
    }

    fn give_up(&mut self, doubted: impl IntoIterator<Item = (u64, (Trade, RawPlace))>) {
        for (_, (trade, _)) in doubted {
            self.metrics.waiting.fetch_sub(1, Relaxed);
            self.metrics.trades.rejected.one();
            self.desk.scribe.reject("trade id too far ahead, never confirmed", describe(&self.product, &trade).as_bytes());
        }
    }

    fn put_trade(&mut self, queue: &QueueReceiver, (trade, place): &(Trade, RawPlace)) {
        let counts = Arc::clone(&self.metrics);
        let counts = &counts.trades;
        match self.patiently(queue, |shelf| shelf.insert_trade(trade)) {
            None => {
                counts.shed.one();
                return;
            }
            Some(Inserted::Duplicate) => {
                counts.duplicate.one();
                return;
            }
            Some(Inserted::Conflict(stored)) => {
                counts.conflict.one();
                log::warn!("{}: trade {} came again with other fields; the first is kept", self.product, trade.trade_id);
                self.tell_conflict(&stored, trade, *place);
                return;
            }
            Some(Inserted::Appended) => counts.written.one(),
            Some(Inserted::Late) => counts.late.one(),
        }
        self.note_received(trade.recv);
        match self.chain.see(trade.trade_id) {
            Seen::Next | Seen::Behind | Seen::Filled(None) => {}
            Seen::Opened(gap) => {
                self.metrics.gaps.one();
                log::warn!("{}: {} trades missing, ids {} to {}", self.product, gap.missing(), gap.from, gap.to);
                self.desk.scribe.journal(self.gap_event("gap_opened", gap.from, gap.to));
            }
            Seen::Filled(Some(gap)) => self.desk.scribe.journal(self.gap_event("gap_filled", gap.from, gap.to)),
        }
        self.metrics.missing_ids.store(self.chain.missing(), Relaxed);
    }

    /// Journals a conflict with the raw text of the trade's frame, as long as that is at hand.
    fn tell_conflict(&self, stored: &Trade, trade: &Trade, place: RawPlace) {
        let event = Event::new("conflict")
            .product(&self.product)
            .number("trade_id", trade.trade_id)
            .text("stored", &describe(&self.product, stored))
            .text("sent", &describe(&self.product, trade));
        self.desk.scribe.journal(match self.desk.echoes.read(place) {
            Some(raw) => event.bytes("raw", raw.get(..LONGEST_REJECT_BYTES).unwrap_or(&raw)),
            None => event,
        });
    }

    fn gap_event(&self, name: &'static str, from: u64, to: u64) -> Event {
        Event::new(name).product(&self.product).number("from_id", from).number("to_id", to)
    }

    fn take_ticker(&mut self, queue: &QueueReceiver, ticker: Ticker) {
        let sequence = ticker.sequence;
        if sequence != 0 && sequence <= self.last_sequence {
            self.metrics.tickers.stale.one();
            return;
        }
        let is_absurd = sequence.saturating_sub(self.last_sequence) > ABSURD_SEQUENCE_JUMP;
        let doubted = if sequence == 0 { None } else { self.doubted_ticker.take() };
        if let Some(doubted) = doubted {
            // Two messages that far ahead agree with each other: the first was right. Otherwise it was absurd.
            if is_absurd && sequence > doubted.sequence && sequence - doubted.sequence <= ABSURD_SEQUENCE_JUMP {
                self.put_ticker(queue, &doubted);
                self.put_ticker(queue, &ticker);
                return;
            }
            self.reject_ticker(&doubted);
        }
        if is_absurd {
            self.doubted_ticker = Some(ticker);
        } else {
            self.put_ticker(queue, &ticker);
        }
    }

    fn reject_ticker(&self, ticker: &Ticker) {
        self.metrics.tickers.rejected.one();
        let raw = format!("{} ticker sequence {} trade {}", self.product, ticker.sequence, ticker.trade_id);
        self.desk.scribe.reject("ticker sequence too far ahead, never confirmed", raw.as_bytes());
    }

    fn put_ticker(&mut self, queue: &QueueReceiver, ticker: &Ticker) {
        let inserted = self.patiently(queue, |shelf| shelf.insert_ticker(ticker));
        let counts = &self.metrics.tickers;
        match inserted {
            None => counts.shed.one(),
            Some(Inserted::Duplicate | Inserted::Conflict(_)) => counts.stale.one(),
            Some(Inserted::Appended) => counts.written.one(),
            Some(Inserted::Late) => counts.late.one(),
        }
        if inserted.is_some() {
            self.last_sequence = self.last_sequence.max(ticker.sequence);
            self.note_received(ticker.recv);
        }
    }

    /// Tries until the shelf takes a record; nothing where a stop found it blocked for too long.
    fn patiently<T>(&mut self, queue: &QueueReceiver, mut insert: impl FnMut(&mut Shelf) -> Result<T, Blocked>) -> Option<T> {
        loop {
            match insert(&mut self.shelf) {
                Ok(done) => {
                    if self.blocked_since.take().is_some() {
                        self.metrics.is_blocked.store(false, Relaxed);
                    }
                    return Some(done);
                }
                Err(Blocked) => {
                    let since = *self.blocked_since.get_or_insert_with(Instant::now);
                    self.metrics.is_blocked.store(true, Relaxed);
                    if self.desk.stop.is_asked() && since.elapsed() >= STOP_PATIENCE {
                        return None;
                    }
                    self.commit();
                    queue.wait(BLOCKED_WAIT);
                }
            }
        }
    }

    fn note_received(&mut self, recv: UnixNanos) {
        // What came by REST has no receive time and no lag. The room was reserved for a batch; a doubted run may bring more.
        if recv.0 != 0 && self.batch_recvs.len() < self.batch_recvs.capacity() {
            self.batch_recvs.push(recv);
        }
    }

    fn commit(&mut self) {
        let Some(start) = self.batch_start.take() else { return };
        self.shelf.commit();
        let metrics = &self.desk.metrics;
        metrics.append_micros.see(micros(start.elapsed()));
        let now = self.desk.clock.now();
        let mut worst = 0;
        for recv in self.batch_recvs.drain(..) {
            let lag = micros(Duration::from_nanos(now.since(recv)));
            worst = worst.max(lag);
            self.lag.saturating_record(lag);
            metrics.unflushed_bytes.fetch_add(ROW_BYTES, Relaxed);
        }
        metrics.recent_lag_micros.see(worst);
    }

    fn do_chores(&mut self) {
        self.chores_at = Instant::now() + CHORES;
        let expired = self.doubted_trades.expire(self.started.elapsed());
        self.give_up(expired);
        self.shelf.close_old();
        self.prepare_tomorrow();
        self.publish_lag();
    }

    /// Shortly before midnight has tomorrow's files made, so that the first record of the day waits for nothing.
    fn prepare_tomorrow(&mut self) {
        let now = self.desk.clock.now();
        let (today, tomorrow) = (now.day(), now.day().next());
        let lead = provisioner::prepare_lead(&self.product);
        if self.prepared_for == Some(tomorrow) || u128::from(tomorrow.start().since(now)) > lead.as_nanos() {
            return;
        }
        self.prepared_for = Some(tomorrow);
        for (mut key, records) in self.shelf.counts(today) {
            key.date = tomorrow;
            // An eighth of today's: about three hours' worth; it grows from there.
            self.desk.provisioner.prepare(key, records / 8);
        }
    }

    fn publish_lag(&mut self) {
        if self.lag.is_empty() {
            return;
        }
        let mut shared = self.desk.metrics.lag_micros.lock();
        if let Err(error) = shared.add(&self.lag) {
            log::error!("lag histogram: {error}");
        }
        drop(shared);
        self.lag.reset();
    }

    fn end(&mut self, queue: &QueueReceiver) {
        let doubted = self.doubted_trades.drain();
        self.give_up(doubted);
        if let Some(ticker) = self.doubted_ticker.take() {
            self.reject_ticker(&ticker);
        }
        debug_assert!(queue.is_empty(), "the queue has ended");
        self.commit();
        self.publish_lag();
        self.shelf.close_all();
    }
}

/// Bytes of a full trade or ticker record, as a hint of how much waits to be flushed.
const ROW_BYTES: u64 = 100;

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
