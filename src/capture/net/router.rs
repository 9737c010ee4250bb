//! [`Router`]: takes each message of a connection to its product: into the columns where the product's writer delegates that, else into its queue.
//!
//! 1. Every trade and ticker is counted as received by its product. It ends in the columns or in the queue, or is counted as shed.
//! 2. A message goes behind the messages of this connection that may still wait in the queue.
//! 3. Of redundant Advanced lines, whose tickers carry no id, one at a time supplies a product's tickers. Another one takes over when its connection is lost.
//!    A line of the Exchange feed keeps its tickers until it is in step with the others.
//! 4. A heartbeat goes the same way, unless it repeats the one before and no trade has come since. One that names a trade that has not come goes on each time:
//!    a single one says little.
//! 5. Finding a known product allocates nothing and takes no lock. The registry is asked only for a label that is new.
//!
//! Lives on a connection's thread. [`crate::capture::write::queue`] describes the design.

mod elements;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use crate::capture::net::batch::{Batch, BatchDrain, ProductBatch};
use crate::capture::net::connection_error::ConnectionError;
use crate::capture::net::entry::{Beat, Entry, Uncounted, Way};
use crate::capture::net::raw_frames::FrameRingWriter;
use crate::capture::net::record_texts::RecordTexts;
use crate::capture::net::shedding::Shedding;
use crate::capture::report::metrics::ConnectionMetrics;
use crate::capture::service::journal::JournalHandle;
use crate::capture::write::delegate::Delegate;
use crate::capture::write::effort::Effort;
use crate::capture::write::queue::Pushed;
use crate::capture::write::registry::{Registry, Route};
use crate::capture::write::route_error::{MAX_UNASKED, RouteError};
use crate::capture::write::step::{Remaining, Step, StepTally};
use crate::capture::write::ticker_source::{Claim, Joining, LinePlace};
use crate::feed::{Control, RejectReason};
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace};
use crate::store::event::Event;
use crate::time::UnixNanos;

/// Rejected labels remembered, so that a hostile feed cannot fill the journal with them.
const MAX_REFUSED_LABELS: usize = 1024;

/// One connection's way to the writers.
pub(crate) struct Router {
    registry: Arc<Registry>,
    journal: JournalHandle,
    metrics: Arc<ConnectionMetrics>,
    entries: Vec<Entry>,
    by_label: HashMap<Box<[u8]>, Option<usize>, RandomState>,
    batch: Batch,
    /// Products for which something has come that was not delivered yet.
    pending: Vec<usize>,
    pending_since: Option<Instant>,
    raw_frames: FrameRingWriter,
    line: LinePlace,
    /// The products whose tickers are kept until this line is in step.
    joining_products: usize,
    wants_tickers: bool,
    delegate: Delegate,
    tally: StepTally,
    recv: UnixNanos,
    /// When the system was last asked for frames: the time for everything that needs no better one.
    read_at: Instant,
    place: RawPlace,
    controls: Vec<Control>,
    rejected: Option<RejectReason>,
    /// The same of the present frame, while those that were held back are taken.
    rejected_before: Option<RejectReason>,
    /// Texts of the record that comes next.
    texts: RecordTexts,
    /// Whether the ticker that comes next was sent on subscribing.
    is_snapshot: bool,
    /// Whether the last ticker names a trade that has not come, and no other trade has come since.
    awaits_trade: bool,
}

impl Router {
    /// Makes a router that knows the products its connection will subscribe to. `name` is the connection's, as in `0.1`.
    ///
    /// # Errors
    /// Where a product's writer or the connection's delegate cannot be started.
    pub(crate) fn new(
        name: &str,
        registry: Arc<Registry>,
        journal: JournalHandle,
        metrics: Arc<ConnectionMetrics>,
        line: LinePlace,
        products: &[ProductId],
    ) -> Result<Self, ConnectionError> {
        let delegate = registry.start_delegate(name);
        let mut router = Self {
            raw_frames: registry.raw_frames(),
            line,
            joining_products: 0,
            wants_tickers: registry.wants_tickers(),
            delegate: delegate.map_err(|source| ConnectionError::NoThread { name: format!("delegate:{name}"), source })?,
            tally: registry.tally(),
            registry,
            journal,
            metrics,
            entries: Vec::with_capacity(products.len()),
            by_label: HashMap::with_capacity_and_hasher(products.len() * 2, RandomState::default()),
            batch: Batch::default(),
            pending: Vec::with_capacity(products.len() + MAX_UNASKED),
            pending_since: None,
            recv: UnixNanos(0),
            read_at: Instant::now(),
            place: RawPlace::default(),
            controls: Vec::new(),
            rejected: None,
            rejected_before: None,
            texts: RecordTexts::default(),
            is_snapshot: false,
            awaits_trade: false,
        };
        for product in products {
            router.add(product)?;
        }
        Ok(router)
    }

    /// Gives the products of the capture.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Adds a product that is subscribed to from now on.
    ///
    /// # Errors
    /// Where its writer cannot be started.
    pub(crate) fn add(&mut self, product: &ProductId) -> Result<(), RouteError> {
        let route = self.registry.route(product)?;
        self.remember(product.as_str().as_bytes(), route);
        Ok(())
    }

    fn remember(&mut self, label: &[u8], route: Route) -> usize {
        if let Some(Some(index)) = self.by_label.get(label) {
            return *index;
        }
        let index = self.entries.len();
        self.entries.push(Entry {
            route,
            product_batch: ProductBatch::default(),
            way: Way::Batch,
            is_pending: false,
            uncounted: Uncounted::default(),
            last_trade_id: 0,
            has_trade: false,
            has_ticker: false,
            joining: Joining::New,
            last_beat: Beat::default(),
            shedding: Shedding::default(),
        });
        self.by_label.insert(label.into(), Some(index));
        index
    }

    /// Begins a frame that was read at `recv`, `read_at` on the monotonic clock.
    #[inline]
    pub(crate) fn begin(&mut self, frame: &[u8], recv: UnixNanos, read_at: Instant) {
        self.recv = recv;
        self.read_at = read_at;
        self.place = if is_ticker(frame) { RawPlace::default() } else { self.raw_frames.keep(frame) };
        self.rejected = None;
    }

    /// Gives the reason where an element of the frame could not be used.
    #[inline]
    #[must_use]
    pub(crate) fn rejected(&self) -> Option<RejectReason> {
        self.rejected
    }

    /// Tells whether a trade is on its way: the ticker that names it has come just now.
    pub(crate) const fn awaits_trade(&self) -> bool {
        self.awaits_trade
    }

    /// Tells whether messages about the connection wait.
    #[inline]
    #[must_use]
    pub(crate) fn has_control(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Takes the next message about the connection.
    pub(crate) fn take_control(&mut self) -> Option<Control> {
        if self.controls.is_empty() { None } else { Some(self.controls.remove(0)) }
    }

    /// Gives since when messages wait to be delivered; nothing where none does.
    #[inline]
    #[must_use]
    pub(crate) fn pending_since(&self) -> Option<Instant> {
        self.pending_since
    }

    /// Delivers the batch: appends it for every product whose writer is asleep, as far as an append does not block. The rest goes into the queues, and the
    /// delegate is called for it.
    #[inline]
    pub(crate) fn deliver(&mut self) {
        if self.pending_since.take().is_none() {
            return;
        }
        let mut calls = 0;
        for turn in 0..self.pending.len() {
            let Some(index) = self.pending.get(turn).copied() else { break };
            if self.deliver_one(index) == Remaining::Nothing {
                continue;
            }
            self.push_rest(index);
            // Called behind the last push: a push may block, and a slot that is marked as called is left alone by all other connections meanwhile.
            if let Some(call) = self.pending.get_mut(calls) {
                *call = index;
                calls += 1;
            }
        }
        self.batch.clear();
        self.tally.count(self.read_at, Some(self.recv));
        if calls > 0 {
            // Before the first call: the slots that wait now have waited since an earlier one.
            self.delegate.bypass_if_stuck(self.read_at);
            for entry in self.pending.iter().take(calls).filter_map(|index| self.entries.get(*index)) {
                self.delegate.call(&entry.route.slot);
            }
            self.delegate.wake();
        }
        self.pending.clear();
    }

    /// Runs a step for one product; tells what remains.
    #[inline]
    fn deliver_one(&mut self, index: usize) -> Remaining {
        let Some(entry) = self.entries.get_mut(index) else { return Remaining::Nothing };
        entry.is_pending = false;
        entry.count_received();
        let slot = &entry.route.slot;
        let step = match entry.way {
            Way::Batch => slot.run_step_on_batch(self.read_at, &mut BatchDrain::new(&self.batch, &mut entry.product_batch)),
            Way::Queue => {
                // Where a delegate is on its way the queue is left to it.
                let step = if slot.is_called() { Step::REFUSED } else { slot.run_step(self.read_at, Effort::OnlyIfReady) };
                // The shedding ends with a push.
                if step.remaining == Remaining::Nothing && !entry.shedding.is_active() {
                    entry.way = Way::Batch;
                }
                step
            }
        };
        self.tally.add(step.appended);
        step.remaining
    }

    /// Pushes what is left of a product's batch into its queue.
    fn push_rest(&mut self, index: usize) {
        while let Some(entry) = self.entries.get_mut(index)
            && let Some(message) = BatchDrain::new(&self.batch, &mut entry.product_batch).next()
        {
            self.push(index, message);
        }
    }

    /// Delivers what has come, and looks after the delegate. Called now and then, also where the connection is quiet.
    pub(crate) fn tick(&mut self) {
        if self.joining_products > 0 {
            self.look_at_joining();
        }
        self.deliver();
        // The present time: a quiet connection reads nothing, and its delegate may be stuck all the same.
        self.delegate.bypass_if_stuck(Instant::now());
    }

    /// Adds the lags counted here to those of the capture, unless another thread holds their lock.
    pub(crate) fn publish_lag(&mut self) {
        self.tally.try_publish();
    }

    #[inline]
    fn find(&mut self, label: &[u8]) -> Option<usize> {
        match self.by_label.get(label) {
            Some(known) => *known,
            None => self.find_new(label),
        }
    }

    #[cold]
    fn find_new(&mut self, label: &[u8]) -> Option<usize> {
        let route = match ProductId::from_feed(label) {
            Ok(product) => self.registry.unasked_route(&product).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match route {
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

    /// Takes a message: into the batch, or behind those that may wait in the queue.
    #[inline]
    fn take(&mut self, index: usize, message: MarketMessage) {
        if self.batch.is_full() {
            self.deliver();
        }
        let Some(entry) = self.entries.get_mut(index) else { return };
        if !entry.is_pending {
            entry.is_pending = true;
            self.pending.push(index);
            self.pending_since.get_or_insert(self.read_at);
        }
        match entry.way {
            Way::Batch => self.batch.push(&mut entry.product_batch, message),
            Way::Queue => self.push(index, message),
        }
    }

    /// Pushes a message into its product's queue.
    fn push(&mut self, index: usize, message: MarketMessage) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.way = Way::Queue;
        // From here on another thread may count it as written.
        entry.count_received();
        let pushed = entry.route.queue.push(message);
        if matches!(message, MarketMessage::Heartbeat { .. }) && !pushed.is_queued() {
            // It was not passed on: the next one that says the same is.
            entry.last_beat = Beat::default();
        } else if pushed != Pushed::Queued || entry.shedding.is_active() {
            entry.shedding.note(&entry.route, &message, pushed, &self.journal);
        }
    }

    /// Has a product's next messages go behind all that waits in its queue, whichever line has left it there.
    #[cold]
    fn go_by_queue(&mut self, index: usize) {
        // What this line has brought before goes first.
        self.deliver();
        if let Some(entry) = self.entries.get_mut(index) {
            entry.way = Way::Queue;
        }
    }

    /// Tells whether this line supplies a product's tickers. Counts a ticker that it does not supply as stale.
    fn claim_tickers(&mut self, index: usize) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        match entry.route.ticker_source.claim(self.line.number) {
            Claim::Held => true,
            Claim::New => {
                let (product, to_line) = (entry.route.product.clone(), u64::from(self.line.number));
                self.journal.write(Event::TickerSeam { product, to_line });
                self.go_by_queue(index);
                true
            }
            Claim::Denied => {
                entry.route.metrics.tickers.stale.one();
                false
            }
        }
    }

    /// Notes which products the exchange has acknowledged on this connection.
    pub(crate) fn note_acknowledged(&mut self, acknowledged: &BTreeSet<ProductId>) {
        self.registry.note_acknowledged(acknowledged);
        let line = self.line.number;
        for entry in &self.entries {
            if acknowledged.contains(&entry.route.product) {
                entry.route.metrics.unbroken.begin(line);
            }
        }
        for index in 0..self.entries.len() {
            let is_lost =
                |entry: &Entry| !acknowledged.contains(&entry.route.product) && entry.route.metrics.unbroken.is_subscribed_on(line);
            if self.entries.get(index).is_some_and(is_lost) {
                self.leave(index);
            }
        }
    }

    /// Notes that the connection is lost. The tickers are left to the other lines, which are not to overtake what this one has brought.
    pub(crate) fn interrupt(&mut self) {
        self.deliver();
        for index in 0..self.entries.len() {
            if let Some(entry) = self.entries.get(index) {
                entry.route.ticker_source.release(self.line.number);
            }
            self.leave(index);
        }
    }

    /// Notes that this line does not bring a product any more.
    fn leave(&mut self, index: usize) {
        self.leave_tickers(index);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.interrupt(self.line.number);
        }
    }
}

/// Tells whether a frame says with its first bytes that it has tickers and no trade. Only the text of a trade is looked for later.
#[inline]
fn is_ticker(frame: &[u8]) -> bool {
    frame.starts_with(b"{\"type\":\"ticker\"") || frame.starts_with(b"{\"channel\":\"ticker\"")
}

impl Drop for Router {
    fn drop(&mut self) {
        (0..self.entries.len()).for_each(|index| self.leave_tickers(index));
        self.tick();
        self.tally.publish();
        self.entries.iter_mut().for_each(|entry| entry.shedding.end(&entry.route, &self.journal));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use super::*;
    use crate::capture::net::batch::BATCH_CAPACITY_MSGS;
    use crate::capture::write::fixture::{WriterFixture, product, ticker, trade, until};
    use crate::capture::write::queue::BACK_PRESSURE;
    use crate::capture::write::ticker_source::TickerSharing;
    use crate::feed::Handler as _;
    use crate::record::Trade;

    fn router(fixture: &WriterFixture) -> Router {
        let line = LinePlace { number: 0, tickers: TickerSharing::Alone };
        Router::new("0.0", Arc::clone(&fixture.registry), fixture.context.journal.clone(), Arc::default(), line, &[product()]).unwrap()
    }

    #[test]
    fn an_exact_text_is_in_its_file_before_its_record_is_passed_on_whichever_way_it_goes() {
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        let kept = || {
            let path = fixture.folder.path().join("_coltape").join(format!("exact.{}.jsonl", trade(1).time.day()));
            std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
        };
        let seen_at = std::cell::Cell::new(0);
        // More than a batch, so that some are delivered while others are taken; then so many that the queue is used.
        for id in 1..=3 * BATCH_CAPACITY_MSGS as u64 {
            router.begin(b"{}", trade(id).recv, Instant::now());
            router.inexact(b"BTC-USD", "trade_price_f64", id, b"0.12345678901234567891");
            assert_eq!(kept(), seen_at.get(), "it is written with its record, whose day it needs");
            router.trade(b"BTC-USD", &trade(id));
            seen_at.set(kept());
            assert_eq!(seen_at.get() as u64, id, "the text of {id}");
            if id % 100 == 0 {
                router.deliver();
            }
        }
        drop(router);
        assert_eq!(fixture.end(), 3 * BATCH_CAPACITY_MSGS as u64);
    }

    #[test]
    fn every_message_reaches_its_product_in_order_whichever_way_it_goes() {
        const MESSAGES: u64 = 20_000;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        let (metrics, mut trades) = (Arc::clone(&fixture.route.metrics), 0);
        let mut how_often = 0;
        for number in 1..=MESSAGES {
            if number % 500 == 1 {
                // Now and then so much comes before anything is delivered that it is taken in several rounds.
                how_often = [2, 20, 300][rng.usize(..3)];
            }
            router.begin(b"{}", trade(number).recv, Instant::now());
            // A trade finds its place by its id, whatever way it goes. A ticker that was overtaken is given up as stale.
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
                chance if (10..10 + how_often).contains(&chance) => router.deliver(),
                chance if chance >= 1000 - how_often / 2 => router.tick(),
                _ => {}
            }
            if number.is_multiple_of(500) || number == MESSAGES {
                router.tick();
                // From now on nothing else wakes a thread.
                let taken = || metrics.trades.written.get() + metrics.tickers.written.get() + metrics.tickers.stale.get();
                until("everything is taken", || taken() == number);
            }
        }
        // A record is counted before it is visible, by the thread that has the lock.
        drop(fixture.route.slot.lock());
        assert!(fixture.visible_ids().into_iter().eq(1..=trades), "all are visible, in order");
        assert_eq!((metrics.tickers.stale.get(), metrics.tickers.written.get()), (0, MESSAGES - trades), "none was overtaken");
        assert_eq!((fixture.context.metrics.gap_wait_micros.get(), metrics.trades.duplicate.get(), metrics.gaps.get()), (0, 0, 0));
        drop(router);
        assert_eq!(fixture.end(), trades);
    }

    /// A router of a redundant line of the Exchange feed.
    fn redundant(fixture: &WriterFixture, number: u8) -> Router {
        let line = LinePlace { number, tickers: TickerSharing::Together };
        let (journal, registry) = (fixture.context.journal.clone(), Arc::clone(&fixture.registry));
        Router::new(&format!("{number}.0"), registry, journal, Arc::default(), line, &[product()]).unwrap()
    }

    fn bring_ticker(router: &mut Router, sequence: u64) {
        router.begin(b"{}", ticker(sequence).recv, Instant::now());
        router.ticker(b"BTC-USD", &ticker(sequence));
    }

    #[test]
    fn a_line_that_joins_overtakes_no_ticker_that_the_other_line_has_not_brought_yet() {
        let fixture = WriterFixture::new();
        let (mut first, mut second) = (redundant(&fixture, 0), redundant(&fixture, 1));
        let metrics = &fixture.route.metrics;
        let holds = |router: &mut Router, written, stale, what: &str| {
            router.tick();
            until(what, || (metrics.tickers.written.get(), metrics.tickers.stale.get()) == (written, stale));
            assert!(metrics.tickers.received.get() == written + stale, "{what}");
        };
        bring_ticker(&mut first, 1);
        holds(&mut first, 1, 0, "the first line is in step at once");
        bring_ticker(&mut second, 4);
        holds(&mut second, 1, 0, "the second one is ahead");
        [2, 3].into_iter().for_each(|sequence| bring_ticker(&mut first, sequence));
        holds(&mut first, 3, 0, "none was overtaken");
        bring_ticker(&mut second, 5);
        holds(&mut second, 3, 0, "the first one has still to bring what the second began with");
        bring_ticker(&mut first, 4);
        holds(&mut first, 4, 0, "now it has");
        bring_ticker(&mut second, 6);
        holds(&mut second, 6, 1, "the second one is in step, and passes on what it has kept behind that");
        [5, 6].into_iter().for_each(|sequence| bring_ticker(&mut first, sequence));
        holds(&mut first, 6, 3, "copies");
        // A connection that is made anew joins again, unless it is the only one.
        second.interrupt();
        bring_ticker(&mut second, 8);
        holds(&mut second, 6, 3, "ahead again");
        first.interrupt();
        holds(&mut second, 7, 3, "nobody else supplies what it has kept");
        drop((first, second));
        fixture.end();
    }

    #[test]
    fn lines_that_lag_and_are_made_anew_lose_no_ticker_of_one_that_stays() {
        const TICKERS: u64 = 3000;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixture = WriterFixture::new();
        let metrics = &fixture.route.metrics;
        let mut lines: Vec<(Router, u64)> = (0..3).map(|number| (redundant(&fixture, number), 0)).collect();
        let (mut sent, mut slow) = (1, 0);
        // In any order. A line that has brought nothing is not waited for.
        let mut order = [0, 1, 2];
        rng.shuffle(&mut order);
        for number in order {
            lines[number].1 = 1;
            bring_ticker(&mut lines[number].0, 1);
        }
        while sent < TICKERS {
            sent += rng.u64(..3);
            // One line is slow for a while, one that comes anew may be far ahead of it.
            if rng.u32(..200) == 0 {
                slow = rng.usize(..3);
            }
            for (number, (router, brought)) in lines.iter_mut().enumerate() {
                if number != 0 && rng.u32(..100) == 0 {
                    router.interrupt();
                    *brought = sent - rng.u64(..=sent.min(20));
                }
                let most = if number == slow { rng.u64(..2) } else { rng.u64(..9) };
                for _ in 0..most.min(sent - *brought) {
                    *brought += 1;
                    bring_ticker(router, *brought);
                }
                match rng.u32(..20) {
                    0..6 => router.tick(),
                    6..12 => router.deliver(),
                    12 => fixture.route.slot.wake_writer(),
                    13 => fixture.dir.flush().unwrap(),
                    _ => {}
                }
            }
        }
        // The first line is never made anew: it brings every one.
        while lines[0].1 < sent {
            lines[0].1 += 1;
            let next = lines[0].1;
            bring_ticker(&mut lines[0].0, next);
        }
        drop(lines);
        until("every one is judged", || metrics.tickers.written.get() + metrics.tickers.stale.get() == metrics.tickers.received.get());
        assert_eq!(metrics.tickers.written.get(), sent);
        fixture.end();
    }

    #[test]
    fn a_message_goes_behind_those_that_are_queued() {
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        let bring = |router: &mut Router, sequence| {
            router.begin(b"{}", ticker(sequence).recv, Instant::now());
            router.ticker(b"BTC-USD", &ticker(sequence));
            router.deliver();
        };
        let metrics = &fixture.route.metrics;
        bring(&mut router, 1);
        router.tick();
        until("the first is written", || metrics.tickers.written.get() == 1);
        let taken = fixture.route.slot.lock();
        bring(&mut router, 2);
        router.tick();
        until("the delegate has come, and found the lock taken", || !fixture.route.slot.is_called());
        assert_eq!(fixture.route.queue.len(), 1);
        // The writer takes a moment to wake: the connection is the first to get the lock.
        drop(taken);
        bring(&mut router, 3);
        router.tick();
        until("all are taken", || metrics.tickers.written.get() + metrics.tickers.stale.get() == 3);
        assert_eq!(metrics.tickers.stale.get(), 0, "none was overtaken");
        drop(router);
        fixture.end();
    }

    #[test]
    fn more_than_a_batch_holds_is_delivered_on_the_way() {
        const TRADES: u64 = BATCH_CAPACITY_MSGS as u64 + 1;
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        for id in 1..=TRADES {
            router.begin(b"{}", trade(id).recv, Instant::now());
            router.trade(b"BTC-USD", &trade(id));
        }
        until("what filled the batch is written", || fixture.route.metrics.trades.written.get() + 1 >= TRADES);
        // The router's end delivers the rest.
        drop(router);
        assert_eq!(fixture.end(), TRADES);
    }

    #[test]
    fn of_two_lines_that_shed_each_reports_its_own_end() {
        let fixture = WriterFixture::new();
        let taken = fixture.route.slot.lock();
        let mut routers = [router(&fixture), router(&fixture)];
        let mut next = 0;
        let mut bring = |router: &mut Router| {
            next += 1;
            router.begin(b"{}", trade(next).recv, Instant::now());
            router.trade(b"BTC-USD", &trade(next));
            router.deliver();
            router.entries.iter().any(|entry| entry.shedding.is_active())
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
    fn what_was_shed_is_asked_for_without_another_trade() {
        const SHED: u64 = 300;
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        let taken = fixture.route.slot.lock();
        let (mut last, mut shed) = (0, 0);
        while shed < SHED {
            last += 1;
            router.begin(b"{}", trade(last).recv, Instant::now());
            router.trade(b"BTC-USD", &trade(last));
            router.deliver();
            shed = fixture.route.metrics.trades.shed.get();
        }
        drop(taken);
        fixture.route.slot.wake_writer();
        until("what was shed is missing", || fixture.route.metrics.missing_ids.load(Relaxed) == SHED);
        until("the rest is written", || fixture.route.metrics.trades.written.get() == last - SHED);
        assert_eq!((fixture.visible_ids().last(), fixture.route.metrics.gaps.get()), (Some(&(last - SHED)), 1));
        drop(router);
        fixture.end();
    }

    #[test]
    fn an_absurd_id_that_is_shed_has_nothing_asked_for() {
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        let taken = fixture.route.slot.lock();
        let mut last = 0;
        while fixture.route.metrics.trades.shed.get() < 5 {
            last += 1;
            let is_absurd = fixture.route.metrics.trades.shed.get() == 2;
            let shown = if is_absurd { Trade { trade_id: 1 << 60, ..trade(last) } } else { trade(last) };
            router.begin(b"{}", trade(last).recv, Instant::now());
            router.trade(b"BTC-USD", &shown);
            router.deliver();
        }
        drop(taken);
        fixture.route.slot.wake_writer();
        until("the rest is written", || fixture.route.metrics.trades.written.get() == last - 5);
        drop(fixture.route.slot.lock());
        assert!(fixture.route.metrics.missing_ids.load(Relaxed) <= 5);
        drop(router);
        fixture.end();
    }

    #[test]
    fn a_heartbeat_ahead_of_the_trades_shows_a_gap_and_one_behind_them_does_not() {
        let fixture = WriterFixture::new();
        let mut router = router(&fixture);
        router.begin(b"{}", trade(1).recv, Instant::now());
        router.trade(b"BTC-USD", &trade(1));
        router.tick();
        until("it is written", || fixture.route.metrics.trades.written.get() == 1);
        drop(fixture.route.slot.lock());
        router.heartbeat(Some(b"BTC-USD"), 1, None);
        router.tick();
        until("it is taken", || fixture.route.queue.is_empty());
        router.heartbeat(Some(b"BTC-USD"), 3, None);
        router.heartbeat(Some(b"BTC-USD"), 3, None);
        router.tick();
        until("the gap is reported", || fixture.route.metrics.missing_ids.load(Relaxed) == 2);
        assert_eq!(fixture.route.metrics.gaps.get(), 1);
        drop(router);
        assert_eq!(fixture.end(), 1);
    }

    /// One connection is blocked by the full queue of one product. Tells whether a trade of another product, which a second line brings, becomes visible
    /// while the first connection is still blocked.
    fn is_visible_beside_a_full_queue() -> bool {
        let fixture = WriterFixture::new();
        let full = ProductId::new("ETH-USD").unwrap();
        let full_route = fixture.registry.route(&full).unwrap();
        let line = |number: u8| {
            let (line, products) = (LinePlace { number, tickers: TickerSharing::Alone }, [product(), full.clone()]);
            Router::new(
                &format!("{number}.0"),
                Arc::clone(&fixture.registry),
                fixture.context.journal.clone(),
                Arc::default(),
                line,
                &products,
            )
            .unwrap()
        };
        let (mut first, mut second) = (line(0), line(1));
        fixture.push(1);
        fixture.run_writer(1);
        // A page has to be waited for: the connections leave the next trade to their delegates.
        fixture.dir.flush().unwrap();
        let taken = full_route.slot.lock();
        let message = || MarketMessage::Trade(trade(1), RawPlace::default());
        while full_route.queue.push_within(message(), Duration::ZERO).is_queued() {}
        let is_visible = std::thread::scope(|scope| {
            let blocked = scope.spawn(move || {
                first.begin(b"{}", trade(2).recv, Instant::now());
                first.trade(b"BTC-USD", &trade(2));
                first.trade(b"ETH-USD", &trade(2));
                first.deliver();
                first
            });
            until("the first connection has pushed its trade", || !fixture.route.queue.is_empty() || blocked.is_finished());
            // It is at the full queue next, or soon.
            std::thread::sleep(BACK_PRESSURE / 10);
            second.begin(b"{}", trade(2).recv, Instant::now());
            second.trade(b"BTC-USD", &trade(2));
            second.deliver();
            until("it is visible", || fixture.visible_ids().last() == Some(&2) || blocked.is_finished());
            let is_visible = !blocked.is_finished();
            drop(blocked.join().unwrap());
            is_visible
        });
        drop(taken);
        full_route.slot.wake_writer();
        drop((second, full_route));
        fixture.end();
        is_visible
    }

    #[test]
    fn a_product_whose_queue_is_full_does_not_hold_up_what_another_line_brings_of_another() {
        // Either may happen by chance: a busy machine lets the bounded block of a full queue pass, or the writer is awake and takes the trade itself.
        let visible = (0..10).filter(|_| is_visible_beside_a_full_queue()).count();
        assert!(visible >= 5, "{visible} of 10");
    }
}
