//! The router: takes what the decoder hands over to the right product: past its queue into the columns where its writer sleeps and that makes the
//! connection wait for nothing, else into the queue; and wakes, when its line says so, who has to see to that.
//!
//! 1. Every trade and ticker handed over is counted as received by its product, and ends in the columns, in its queue, or is counted as shed. What comes
//!    while something of this connection's may wait in the queue goes behind it.
//! 2. A hole that shedding leaves is journaled when it begins and when it ends, with the first and last trade id given up.
//! 3. Of redundant Advanced lines, whose tickers carry no id, one at a time supplies a product's tickers: another takes over when its connection is lost.
//! 4. A heartbeat goes the same way, unless it says what the one before said and nothing has come since.
//! 5. Looking a known product up allocates nothing and takes no lock; the registry is asked only for a label not met before.
//!
//! Lives on a connection's thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::capture::net::batch::{Batch, BatchDrain, ProductBatch};
use crate::capture::net::raw_frames::FrameRingWriter;
use crate::capture::report::metrics::ConnectionMetrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::write::delegate::Delegate;
use crate::capture::write::queue::{BACK_PRESSURE, Pushed};
use crate::capture::write::registry::{Registry, Route};
use crate::capture::write::slot::{Step, StepTally};
use crate::capture::write::ticker_source::LinePlace;
use crate::feed::{Control, Handler, Item, RejectReason};
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::store::Pages;
use crate::store::event::Event;
use crate::time::{Timestamp, UnixNanos};

/// Rejected labels remembered, so that a hostile feed cannot fill the journal with them.
const MAX_REFUSED_LABELS: usize = 1024;

struct Entry {
    route: Route,
    /// What lies on the tray for it.
    product_batch: ProductBatch,
    /// Whether something may be left in its queue that this connection has pushed: what comes then goes behind it.
    is_queued: bool,
    /// Whether it stands in `touched`, and in `called`.
    is_touched: bool,
    is_called: bool,
    /// The trade that this connection brought last.
    last_trade_id: u64,
    /// The trade that the last heartbeat handed on named, and the one that this connection had brought by then.
    last_beat: (u64, u64),
    hole: Option<Hole>,
}

/// What one product has given up since its queue was full.
#[derive(Default)]
struct Hole {
    first_trade_id: u64,
    last_trade_id: u64,
    trades: u64,
    tickers: u64,
}

/// One connection's way to the queues.
pub struct Router {
    registry: Arc<Registry>,
    journal: JournalHandle,
    metrics: Arc<ConnectionMetrics>,
    entries: Vec<Entry>,
    by_label: HashMap<Box<[u8]>, Option<usize>, RandomState>,
    batch: Batch,
    /// Products with messages that nobody has been told of.
    touched: Vec<usize>,
    touched_since: Option<Instant>,
    /// Products with something left to do, which the hand is to be called to.
    called: Vec<usize>,
    raw_frames: FrameRingWriter,
    place_of_line: LinePlace,
    wants_tickers: bool,
    delegate: Delegate,
    tally: StepTally,
    recv: UnixNanos,
    /// When the system was last asked for frames: the clock of everything that needs no better.
    read_at: Instant,
    place: RawPlace,
    controls: Vec<Control>,
    rejected: Option<RejectReason>,
}

impl Router {
    /// Makes a router that knows the products its connection will subscribe to.
    ///
    /// # Errors
    /// Where a product's writer, or the connection's hand, cannot be started. `name` is the connection's, as in `0.1`.
    pub fn new(
        name: &str,
        registry: Arc<Registry>,
        journal: JournalHandle,
        metrics: Arc<ConnectionMetrics>,
        line: LinePlace,
        products: &[ProductId],
    ) -> Result<Self, String> {
        let mut router = Self {
            raw_frames: registry.raw_frames(),
            place_of_line: line,
            wants_tickers: registry.wants_tickers(),
            delegate: registry.delegate(name).map_err(|error| format!("delegate:{name}: no thread: {error}"))?,
            tally: registry.tally(),
            registry,
            journal,
            metrics,
            entries: Vec::with_capacity(products.len()),
            by_label: HashMap::with_capacity_and_hasher(products.len() * 2, RandomState::default()),
            batch: Batch::default(),
            touched: Vec::with_capacity(products.len() + crate::capture::write::registry::MAX_UNASKED),
            touched_since: None,
            called: Vec::with_capacity(products.len() + crate::capture::write::registry::MAX_UNASKED),
            recv: UnixNanos(0),
            read_at: Instant::now(),
            place: RawPlace::default(),
            controls: Vec::new(),
            rejected: None,
        };
        for product in products {
            router.add(product)?;
        }
        Ok(router)
    }

    /// Takes a product that is asked for from now on.
    ///
    /// # Errors
    /// Where its writer cannot be started.
    pub fn add(&mut self, product: &ProductId) -> Result<(), String> {
        let route = self.registry.route(product)?;
        self.remember(product.as_str().as_bytes(), route);
        Ok(())
    }

    fn remember(&mut self, label: &[u8], route: Route) -> usize {
        if let Some(Some(at)) = self.by_label.get(label) {
            return *at;
        }
        let at = self.entries.len();
        let product_batch = ProductBatch::default();
        self.entries.push(Entry {
            route,
            product_batch,
            is_queued: false,
            is_touched: false,
            is_called: false,
            last_trade_id: 0,
            last_beat: (0, 0),
            hole: None,
        });
        self.by_label.insert(label.into(), Some(at));
        at
    }

    /// Begins a frame that was read at `recv`, `read_at` on the monotonic clock.
    #[inline]
    pub fn begin(&mut self, frame: &[u8], recv: UnixNanos, read_at: Instant) {
        self.recv = recv;
        self.read_at = read_at;
        self.place = self.raw_frames.keep(frame);
        self.rejected = None;
    }

    /// Gives the reason where an element of the frame could not be used.
    #[inline]
    #[must_use]
    pub fn rejected(&self) -> Option<RejectReason> {
        self.rejected
    }

    /// Tells whether messages about the connection wait.
    #[inline]
    #[must_use]
    pub fn has_control(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Takes the next message about the connection.
    pub fn take_control(&mut self) -> Option<Control> {
        if self.controls.is_empty() { None } else { Some(self.controls.remove(0)) }
    }

    /// Gives since when messages wait to be handed over; nothing where none do.
    #[inline]
    #[must_use]
    pub fn touched_since(&self) -> Option<Instant> {
        self.touched_since
    }

    /// Tells whether somebody is to be called, with [`Router::ring`].
    #[inline]
    #[must_use]
    pub const fn has_called(&self) -> bool {
        !self.called.is_empty()
    }

    /// Puts down what has come, for every writer that sleeps and as far as that costs no wait. What is left goes into the queues and waits for
    /// [`Router::ring`].
    #[inline]
    pub fn append_batch(&mut self) {
        if self.touched_since.take().is_none() {
            return;
        }
        for turn in 0..self.touched.len() {
            let Some(at) = self.touched.get(turn).copied() else { break };
            self.append_one(at);
        }
        self.touched.clear();
        self.batch.clear();
        self.tally.note(self.read_at, Some(self.recv));
    }

    #[inline]
    fn append_one(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.is_touched = false;
        let step = if entry.is_queued {
            // Where the hand is on its way it is left to it.
            let slot = &entry.route.slot;
            let step = if slot.is_called() { Step::NOTHING } else { slot.run_step(self.read_at, Pages::AtHand) };
            // A hole ends with a push.
            entry.is_queued = step.is_left || entry.hole.is_some();
            step
        } else {
            entry.route.slot.append_batch(self.read_at, &mut BatchDrain::new(&self.batch, &mut entry.product_batch))
        };
        self.tally.take(&step);
        if step.is_left {
            self.leave(at);
        }
    }

    /// Pushes what is left of a pile into its product's queue, and has somebody called.
    fn leave(&mut self, at: usize) {
        while let Some(entry) = self.entries.get_mut(at)
            && let Some(message) = BatchDrain::new(&self.batch, &mut entry.product_batch).next()
        {
            self.push(at, message);
        }
        if let Some(entry) = self.entries.get_mut(at)
            && !std::mem::replace(&mut entry.is_called, true)
        {
            self.called.push(at);
        }
    }

    /// Adds the lags seen here to those of the capture, unless another thread is at it.
    pub fn publish_lag(&mut self) {
        self.tally.try_publish();
    }

    /// Hands over what is left, and has the hand see to the rest.
    pub fn wake(&mut self) {
        self.append_batch();
        // The time of now: a quiet connection reads nothing, and its hand may be stuck all the same.
        self.delegate.pass_by_if_stuck(Instant::now());
        if self.called.is_empty() {
            return;
        }
        for at in self.called.drain(..) {
            let Some(entry) = self.entries.get_mut(at) else { continue };
            entry.is_called = false;
            self.delegate.call(&entry.route.slot);
        }
        self.delegate.wake();
    }

    #[inline]
    fn find(&mut self, label: &[u8]) -> Option<usize> {
        match self.by_label.get(label) {
            Some(known) => *known,
            None => self.meet(label),
        }
    }

    #[cold]
    fn meet(&mut self, label: &[u8]) -> Option<usize> {
        let found =
            ProductId::from_bytes(label).map_err(|error| error.to_string()).and_then(|product| self.registry.unasked_route(&product));
        match found {
            Ok(route) => Some(self.remember(label, route)),
            Err(reason) => {
                if self.by_label.len() < MAX_REFUSED_LABELS {
                    log::warn!("{reason}");
                    self.by_label.insert(label.into(), None);
                }
                None
            }
        }
    }

    /// Takes a message that has come: onto the tray, unless it has to go behind what is in the queue.
    #[inline]
    fn bring(&mut self, at: usize, message: MarketMessage) {
        if self.batch.is_full() {
            // Not only handed over: who is called and not rung for would wait until the frames come to an end.
            self.wake();
        }
        let Some(entry) = self.entries.get_mut(at) else { return };
        // Who is called already looks into the queue.
        let mut is_seen_to = entry.is_touched;
        if entry.is_queued {
            is_seen_to |= entry.is_called;
        } else {
            self.batch.push(&mut entry.product_batch, message);
        }
        let is_queued = entry.is_queued;
        if !is_seen_to {
            entry.is_touched = true;
            self.touched.push(at);
            self.touched_since.get_or_insert(self.read_at);
        }
        if is_queued {
            self.push(at, message);
        }
    }

    /// Pushes a message into its product's queue.
    fn push(&mut self, at: usize, message: MarketMessage) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.is_queued = true;
        let is_beat = matches!(message, MarketMessage::Heartbeat { .. });
        let pushed = entry.route.queue.push(message, if is_beat { Duration::ZERO } else { BACK_PRESSURE });
        if is_beat && !matches!(pushed, Pushed::Queued | Pushed::QueuedAgain) {
            // Not handed on: the next one that says the same is.
            entry.last_beat = (0, 0);
        } else if pushed != Pushed::Queued || entry.hole.is_some() {
            self.note_push(at, message, pushed);
        }
    }

    /// Tells whether this line supplies a product's tickers; counts those that it does not as stale.
    fn supplies_tickers(&mut self, at: usize) -> bool {
        let Some(entry) = self.entries.get(at) else { return false };
        let (has_turn, is_new) = entry.route.ticker_source.take(self.place_of_line.number);
        if is_new {
            let (product, to_line) = (entry.route.product.clone(), u64::from(self.place_of_line.number));
            self.journal.write(Event::TickerSeam { product, to_line });
        }
        if !has_turn {
            entry.route.metrics.tickers.stale.one();
        }
        has_turn
    }

    /// Leaves the tickers to the other lines: this one's connection is lost.
    pub fn let_go_of_tickers(&mut self) {
        for entry in &self.entries {
            entry.route.ticker_source.let_go(self.place_of_line.number);
        }
    }

    #[cold]
    fn note_push(&mut self, at: usize, message: MarketMessage, pushed: Pushed) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        match pushed {
            // Another line's push may have been the one that found the queue half empty.
            Pushed::Queued | Pushed::QueuedAgain => end_hole(entry, &self.journal),
            Pushed::ShedFirst | Pushed::Shed | Pushed::Closed => {
                let metrics = &entry.route.metrics;
                if entry.hole.is_none() {
                    metrics.is_shedding.store(true, Relaxed);
                    log::error!("{}: queue full, shedding until it is half empty", entry.route.product);
                    self.journal.write(Event::ShedStarted { product: entry.route.product.clone() });
                }
                let hole = entry.hole.get_or_insert_default();
                match message {
                    MarketMessage::Trade(trade, _) => {
                        metrics.trades.shed.one();
                        hole.trades += 1;
                        hole.last_trade_id = trade.trade_id;
                        if hole.first_trade_id == 0 {
                            hole.first_trade_id = trade.trade_id;
                        }
                    }
                    MarketMessage::Ticker(_) => {
                        metrics.tickers.shed.one();
                        hole.tickers += 1;
                    }
                    MarketMessage::Heartbeat { .. } => {}
                }
            }
        }
    }
}

fn end_hole(entry: &mut Entry, journal: &JournalHandle) {
    let Some(hole) = entry.hole.take() else { return };
    entry.route.metrics.is_shedding.store(false, Relaxed);
    log::warn!("{}: shed {} trades and {} tickers", entry.route.product, hole.trades, hole.tickers);
    journal.write(Event::ShedEnded {
        product: entry.route.product.clone(),
        first_trade_id: hole.first_trade_id,
        last_trade_id: hole.last_trade_id,
        trades: hole.trades,
        tickers: hole.tickers,
    });
}

impl Drop for Router {
    fn drop(&mut self) {
        self.wake();
        self.tally.publish();
        self.entries.iter_mut().for_each(|entry| end_hole(entry, &self.journal));
    }
}

impl Handler for Router {
    #[inline]
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        match self.find(product) {
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.route.metrics.trades.received.one();
                    entry.last_trade_id = trade.trade_id;
                }
                self.bring(at, MarketMessage::Trade(*trade, self.place));
            }
            None => self.reject_item(Item::Trade, RejectReason::Product),
        }
    }

    #[inline]
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        // The ticker channel is always subscribed to; with `--datasets trades` it keeps the connection lively and no more.
        if !self.wants_tickers {
            return;
        }
        match self.find(product) {
            Some(at) => {
                if let Some(entry) = self.entries.get(at) {
                    entry.route.metrics.tickers.received.one();
                }
                if !self.place_of_line.shares_tickers || self.supplies_tickers(at) {
                    self.bring(at, MarketMessage::Ticker(*ticker));
                }
            }
            None => self.reject_item(Item::Ticker, RejectReason::Product),
        }
    }

    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, _time: Option<Timestamp>) {
        // A beat of a product that nobody asked for starts no writer.
        let Some(at) = product.and_then(|label| self.by_label.get(label)).copied().flatten() else { return };
        let Some(entry) = self.entries.get_mut(at) else { return };
        let beat = (last_trade_id, entry.last_trade_id);
        // Where it says what the one before said, and nothing has come since, it is not worth a look.
        if std::mem::replace(&mut entry.last_beat, beat) != beat {
            self.bring(at, MarketMessage::Heartbeat { last_trade_id, recv: self.recv });
        }
    }

    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]) {
        if let Some(Some(at)) = self.by_label.get(product).copied()
            && let Some(entry) = self.entries.get(at)
        {
            self.journal.exact(&entry.route.product, column, key, text);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::net::batch::BATCH_CAPACITY_MSGS;
    use crate::capture::write::fixture::{WriterFixture, product, ticker, trade, until};

    fn router(fixture: &WriterFixture) -> Router {
        let line = LinePlace { number: 0, shares_tickers: false };
        Router::new("0.0", Arc::clone(&fixture.registry), fixture.context.journal.clone(), Arc::default(), line, &[product()]).unwrap()
    }

    #[test]
    fn every_message_reaches_its_product_in_order_whichever_way_it_goes() {
        const MESSAGES: u64 = 20_000;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixture = WriterFixture::set();
        let mut router = router(&fixture);
        let (metrics, mut trades) = (Arc::clone(&fixture.route.metrics), 0);
        let mut how_often = 0;
        for number in 1..=MESSAGES {
            if number % 500 == 1 {
                // Now and then so much comes before anybody looks that it is taken in several rounds.
                how_often = [2, 20, 300][rng.usize(..3)];
            }
            router.begin(b"{}", trade(number).recv, Instant::now());
            // A trade finds its place by its id, whoever brings it; a ticker that was overtaken is given up as stale.
            if rng.bool() {
                trades += 1;
                router.trade(b"BTC-USD", &trade(trades));
            } else {
                router.ticker(b"BTC-USD", &ticker(number));
            }
            if rng.u32(..20) == 0 && trades > 1 {
                router.heartbeat(Some(b"BTC-USD"), trades - rng.u64(..2), None);
            }
            match rng.u32(..1000) {
                0 => fixture.dir.flush().unwrap(),
                1..5 => fixture.route.slot.wake_writer(),
                5..10 => std::thread::sleep(Duration::from_micros(rng.u64(..200))),
                chance if (10..10 + how_often).contains(&chance) => router.append_batch(),
                chance if chance >= 1000 - how_often / 2 => router.wake(),
                _ => {}
            }
            if number.is_multiple_of(500) || number == MESSAGES {
                router.wake();
                // Nothing else wakes anybody now.
                let taken = || metrics.trades.written.get() + metrics.tickers.written.get() + metrics.tickers.stale.get();
                until("everything is taken", || taken() == number);
            }
        }
        // Counted before it is visible, by whoever sits there.
        drop(fixture.route.slot.take());
        assert!(fixture.seen().into_iter().eq(1..=trades), "all are visible, in order");
        assert_eq!((metrics.tickers.stale.get(), metrics.tickers.written.get()), (0, MESSAGES - trades), "none was overtaken");
        assert_eq!((fixture.context.metrics.gap_wait_micros.get(), metrics.trades.duplicate.get(), metrics.gaps.get()), (0, 0, 0));
        drop(router);
        assert_eq!(fixture.end(), trades);
    }

    #[test]
    fn what_comes_goes_behind_what_is_queued() {
        let fixture = WriterFixture::set();
        let mut router = router(&fixture);
        let bring = |router: &mut Router, sequence| {
            router.begin(b"{}", ticker(sequence).recv, Instant::now());
            router.ticker(b"BTC-USD", &ticker(sequence));
            router.append_batch();
        };
        let metrics = &fixture.route.metrics;
        bring(&mut router, 1);
        router.wake();
        until("the first is written", || metrics.tickers.written.get() == 1);
        let taken = fixture.route.slot.take();
        bring(&mut router, 2);
        router.wake();
        until("the hand has come, and found the seat taken", || !fixture.route.slot.is_called());
        assert_eq!(fixture.route.queue.len(), 1);
        // The writer takes a moment to wake: the connection is the first to find the seat free.
        drop(taken);
        bring(&mut router, 3);
        router.wake();
        until("all are taken", || metrics.tickers.written.get() + metrics.tickers.stale.get() == 3);
        assert_eq!(metrics.tickers.stale.get(), 0, "none was overtaken");
        drop(router);
        fixture.end();
    }

    #[test]
    fn more_than_a_tray_holds_is_handed_over_on_the_way() {
        const TRADES: u64 = BATCH_CAPACITY_MSGS as u64 + 1;
        let fixture = WriterFixture::set();
        let mut router = router(&fixture);
        for id in 1..=TRADES {
            router.begin(b"{}", trade(id).recv, Instant::now());
            router.trade(b"BTC-USD", &trade(id));
        }
        assert!(!router.has_called(), "who cannot be served here has been called");
        until("what filled the tray is written", || fixture.route.metrics.trades.written.get() + 1 >= TRADES);
        // What is left is handed over by its end.
        drop(router);
        assert_eq!(fixture.end(), TRADES);
    }

    #[test]
    fn of_two_lines_that_shed_each_ends_its_own_hole() {
        let fixture = WriterFixture::set();
        let taken = fixture.route.slot.take();
        let mut routers = [router(&fixture), router(&fixture)];
        let mut next = 0;
        let mut bring = |router: &mut Router| {
            next += 1;
            router.begin(b"{}", trade(next).recv, Instant::now());
            router.trade(b"BTC-USD", &trade(next));
            router.append_batch();
            router.entries.iter().any(|entry| entry.hole.is_some())
        };
        let [first, second] = &mut routers;
        while !bring(first) {}
        assert!(bring(second), "the product sheds");
        drop(taken);
        fixture.route.slot.wake_writer();
        until("the queue is empty", || fixture.route.queue.is_empty());
        assert!(!bring(first));
        assert!(!bring(second));
        assert!(!fixture.route.metrics.is_shedding.load(Relaxed));
        drop(routers);
        fixture.end();
    }

    #[test]
    fn a_beat_ahead_of_the_trades_is_told_and_one_behind_them_is_not() {
        let fixture = WriterFixture::set();
        let mut router = router(&fixture);
        router.begin(b"{}", trade(1).recv, Instant::now());
        router.trade(b"BTC-USD", &trade(1));
        router.wake();
        until("it is written", || fixture.route.metrics.trades.written.get() == 1);
        drop(fixture.route.slot.take());
        router.heartbeat(Some(b"BTC-USD"), 1, None);
        router.wake();
        until("it is taken", || fixture.route.queue.is_empty());
        router.heartbeat(Some(b"BTC-USD"), 3, None);
        router.heartbeat(Some(b"BTC-USD"), 3, None);
        router.wake();
        until("the gap is told", || fixture.route.metrics.missing_ids.load(Relaxed) == 2);
        assert_eq!(fixture.route.metrics.gaps.get(), 1);
        drop(router);
        assert_eq!(fixture.end(), 1);
    }
}
