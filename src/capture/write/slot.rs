//! A product's seat: its queue, its writer's state, and who may drain the one into the other.
//!
//! 1. One thread at a time: the writer's, or one of a connection's that finds it free. What a connection has just brought it puts down straight from its
//!    [`crate::capture::net::batch`] where nothing waits before it; the queue carries what somebody else is to see to.
//! 2. Those only try, and only do what is ordinary: the connection's own thread what makes it wait for nothing, its [`crate::capture::write::delegate`] what may wait for a
//!    page. Everything else (a day to be opened, a gap, a full disk) they leave to the writer's thread, which they wake.
//! 3. No message stays behind: whoever finds the seat taken calls the next one, who looks again.
//!
//! Waking a sleeping thread costs both sides 3 to 20 µs, appending a record a tenth of one. A wake-up a record would be most of what a calm tape costs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::capture::net::batch::BatchDrain;
use crate::capture::report::metrics::{LagTally, Metrics, micros};
use crate::capture::write::queue::QueueReceiver;
use crate::capture::write::writer::{ROW_BYTES, Writer};
use crate::store::Pages;
use crate::time::{Clock, UnixNanos};

/// What a thread that is not the writer's has put into the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Records appended and visible.
    pub records: u32,
    /// When the frame of the oldest of them was read; nothing without one.
    pub oldest: Option<UnixNanos>,
    /// Whether something is left to do.
    pub is_left: bool,
    /// Whether that is for the writer's thread alone.
    pub needs_writer: bool,
}

impl Step {
    /// Nothing was done: it is for the writer's thread, or another one sits there.
    pub const NOTHING: Self = Self { records: 0, oldest: None, is_left: true, needs_writer: true };
}

/// Figures of what one thread has lent.
pub struct StepTally {
    metrics: Arc<Metrics>,
    clock: Clock,
    lag: LagTally,
    records: u32,
    oldest: UnixNanos,
}

impl StepTally {
    /// Begins at nothing.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { metrics, clock, lag: LagTally::default(), records: 0, oldest: UnixNanos(u64::MAX) }
    }

    /// Takes what was lent to one product.
    #[inline]
    pub fn take(&mut self, step: &Step) {
        self.records += step.records;
        self.oldest = step.oldest.map_or(self.oldest, |recv| self.oldest.min(recv));
    }

    /// Counts what was taken since the last call, appending having begun at `began`, which is `began_wall` on the wall clock where that is known. All of
    /// it counts as late as the oldest, with most of which it came.
    #[inline]
    pub fn note(&mut self, began: Instant, began_wall: Option<UnixNanos>) {
        let (records, oldest) = (std::mem::take(&mut self.records), std::mem::replace(&mut self.oldest, UnixNanos(u64::MAX)));
        if records > 0 {
            let took = began.elapsed();
            let lag = match began_wall {
                Some(wall) => took + Duration::from_nanos(wall.since(oldest)),
                None => Duration::from_nanos(self.clock.now().since(oldest)),
            };
            self.lag.note(lag, records);
            self.metrics.recent_lag_micros.see(micros(lag));
            self.metrics.append_micros.see(micros(took));
            self.metrics.unflushed_bytes.fetch_add(u64::from(records) * ROW_BYTES, Relaxed);
        }
    }

    /// Adds the lags to those of the capture.
    pub fn publish(&mut self) {
        self.lag.publish(&self.metrics);
    }

    /// Does so unless another thread is at it.
    pub fn try_publish(&mut self) {
        self.lag.try_publish(&self.metrics);
    }
}

/// Where a product's queue is drained.
pub struct WriterSlot {
    queue: QueueReceiver,
    state: Mutex<SlotState>,
    /// Whether a hand has been called and has not come yet.
    is_called: AtomicBool,
}

/// Who sits there.
#[derive(Default)]
pub struct SlotState {
    /// The writer's state; nothing while it is being read from the files.
    pub writer: Option<Writer>,
    /// Whether a connection's hand has panicked: the writer's thread starts over.
    pub has_panicked: bool,
}

impl WriterSlot {
    /// Makes the seat of a queue, with nobody in it.
    #[must_use]
    pub fn new(queue: QueueReceiver) -> Self {
        Self { queue, state: Mutex::default(), is_called: AtomicBool::new(false) }
    }

    /// Shows the queue.
    #[must_use]
    pub fn queue(&self) -> &QueueReceiver {
        &self.queue
    }

    /// Takes the seat for the writer's thread. Waits for a connection that sits there, which is at it for microseconds.
    pub fn take(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Drains the queue as far as it holds what is ordinary, and stores to such pages only. `now` is the monotonic clock's time.
    pub fn run_step(&self, now: Instant, pages: Pages) -> Step {
        let Some(mut state) = self.state.try_lock() else { return Step::NOTHING };
        let SlotState { writer: Some(writer), has_panicked: false } = &mut *state else { return Step::NOTHING };
        let step = catch_unwind(AssertUnwindSafe(|| writer.take_what_is_ordinary(&self.queue, now, pages)));
        state.has_panicked = step.is_err();
        step.unwrap_or(Step::NOTHING)
    }

    /// Puts down what a connection has brought and nobody has queued, as far as it is ordinary and its pages are at hand; takes that off the pile.
    #[inline]
    pub fn append_batch(&self, now: Instant, incoming: &mut BatchDrain<'_>) -> Step {
        let Some(mut state) = self.state.try_lock() else { return Step::NOTHING };
        let SlotState { writer: Some(writer), has_panicked: false } = &mut *state else { return Step::NOTHING };
        if let Ok(step) = catch_unwind(AssertUnwindSafe(|| writer.take_what_was_brought(incoming, now))) {
            return step;
        }
        // As from the queue: the message in hand is taken again.
        writer.keep_pending(incoming.next());
        state.has_panicked = true;
        Step::NOTHING
    }

    /// Wakes the writer's thread, or has it look again before it sleeps.
    pub fn wake_writer(&self) {
        self.queue.wake();
    }

    /// Notes that a hand is called; tells whether it had not been.
    pub fn is_newly_called(&self) -> bool {
        // The messages are handed over by the queue; a call too many finds nothing, and one too few there is not: the flag is taken back before the look.
        !self.is_called.swap(true, Ordering::AcqRel)
    }

    /// Tells whether a hand has been called that has not come yet. Only a hint: who relies on its coming calls it, too.
    #[inline]
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.is_called.load(Ordering::Relaxed)
    }

    /// Notes that the hand has come: who calls from now on calls again.
    pub fn is_answered(&self) {
        self.is_called.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::context::Datasets;
    use crate::capture::service::sync::EAGER_BYTES;
    use crate::capture::write::delegate::Delegate;
    use crate::capture::write::deliveries::Delivery;
    use crate::capture::write::fixture::{DAY, WriterFixture, product, ticker, trade, until};
    use crate::decimal::Decimal;
    use crate::record::{MarketMessage, RawPlace, Side, Ticker, Trade};
    use crate::schema::{Md, TickerTrades};
    use crate::store::Snapshot;

    #[test]
    fn a_connection_appends_what_is_at_hand_and_leaves_the_rest() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        fixture.push(2);
        fixture.push(3);
        assert_eq!(fixture.lend(Pages::AtHand), (2, false, false));
        assert_eq!(fixture.seen(), [1, 2, 3], "visible at once");

        fixture.dir.flush().unwrap();
        fixture.push(4);
        assert_eq!(fixture.lend(Pages::AtHand), (0, true, false), "a flush has made the pages read-only");
        assert_eq!(fixture.seen(), [1, 2, 3]);
        assert_eq!(fixture.lend(Pages::Any), (1, false, false), "the message in hand comes first");
        fixture.push(5);
        assert_eq!(fixture.lend(Pages::AtHand), (1, false, false));

        fixture.push(8);
        assert_eq!(fixture.lend(Pages::AtHand), (0, true, false));
        assert_eq!(fixture.lend(Pages::Any), (0, true, true), "a gap is the writer's business");
        fixture.push(9);
        fixture.by_the_writer(9);
        assert_eq!(fixture.seen(), [1, 2, 3, 4, 5, 8, 9]);
        fixture.push(9);
        assert_eq!(fixture.lend(Pages::Any), (0, true, true), "so is a copy");
        fixture.push(10);
        fixture.by_the_writer(10);

        let tomorrows = Trade { time: DAY.next().start(), ..trade(11) };
        fixture.route.queue.push(MarketMessage::Trade(tomorrows, RawPlace::default()), Duration::ZERO);
        assert_eq!(fixture.lend(Pages::Any), (0, true, true), "and a day that is not open");
        fixture.route.slot.wake_writer();
        assert_eq!(fixture.end(), 9);
    }

    #[test]
    fn a_page_that_was_not_stored_to_is_not_at_hand() {
        let fixture = WriterFixture::set();
        for id in 1..=255 {
            fixture.push(id);
        }
        fixture.by_the_writer(255);
        fixture.push(256);
        fixture.push(257);
        assert_eq!(fixture.lend(Pages::AtHand), (1, true, false), "record 256 is the first on a page of the order ids");
        assert_eq!(fixture.lend(Pages::Any), (1, false, false));
        fixture.push(258);
        assert_eq!(fixture.lend(Pages::AtHand), (1, false, false));
        assert_eq!(fixture.end(), 258);
    }

    #[test]
    fn what_is_brought_goes_past_the_queue_as_far_as_it_is_ordinary() {
        let fixture = WriterFixture::set();
        assert_eq!(fixture.bring(&[1]), (0, true, vec![1]), "no day is open");
        fixture.push(1);
        fixture.by_the_writer(1);
        assert_eq!(fixture.bring(&[2, 3]), (2, false, vec![]));
        assert!(fixture.seen() == [1, 2, 3] && fixture.route.queue.is_empty(), "visible at once, and never queued");
        assert_eq!(fixture.bring(&[4, 6, 5]), (1, true, vec![6, 5]), "a gap, and what stands behind it");
        assert_eq!(fixture.bring(&[4]), (0, true, vec![4]), "a copy");

        fixture.dir.flush().unwrap();
        assert_eq!(fixture.bring(&[5, 6]), (0, true, vec![5, 6]), "the pages are read-only");
        fixture.push(5);
        assert_eq!(fixture.lend(Pages::AtHand), (0, true, false));
        fixture.by_the_writer(5);
        fixture.dir.flush().unwrap();
        fixture.push(6);
        assert_eq!(fixture.lend(Pages::AtHand), (0, true, false), "it stays in hand");
        assert_eq!(fixture.bring(&[7]), (0, true, vec![7]), "behind what is in hand");
        assert_eq!(fixture.lend(Pages::Any), (1, false, false));
        assert_eq!(fixture.bring(&[7]), (1, false, vec![]));

        let taken = fixture.route.slot.take();
        assert_eq!(fixture.bring(&[8]), (0, true, vec![8]), "somebody sits there");
        drop(taken);
        fixture.route.slot.take().has_panicked = true;
        assert_eq!(fixture.bring(&[8]), (0, true, vec![8]), "nobody else touches what was left half done");
        fixture.route.slot.wake_writer();
        assert_eq!(fixture.end(), 7);
    }

    #[test]
    fn the_writer_of_files_that_are_gone_is_woken() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        let product = fixture.folder.path().join("BTC-USD");
        std::fs::remove_dir_all(&product).unwrap();
        // As if so much waited that a flush is due, which finds it out.
        fixture.context.metrics.unflushed_bytes.store(EAGER_BYTES, Relaxed);
        let mut last = 1;
        until("its day begins anew", || {
            last += 1;
            // So few that room, for which the writer is woken as well, does not run short.
            std::thread::sleep(Duration::from_millis(20));
            fixture.push(last);
            if fixture.lend(Pages::Any).2 {
                fixture.route.slot.wake_writer();
            }
            product.exists()
        });
        assert!(last < 400, "not for want of room, at {last} records");
        assert_eq!(fixture.end(), last);
    }

    #[test]
    fn what_is_brought_does_not_overtake_what_is_in_hand() {
        let fixture = WriterFixture::set();
        let metrics = &fixture.route.metrics;
        let queue = |ticker| fixture.route.queue.push(MarketMessage::Ticker(ticker), Duration::ZERO);
        let by_the_writer = |written| {
            fixture.route.slot.wake_writer();
            until("the writer takes it", || metrics.tickers.written.get() == written);
            drop(fixture.route.slot.take());
        };
        queue(ticker(1));
        by_the_writer(1);
        assert_eq!(fixture.bring_tickers(&[ticker(2)]), 1);
        queue(Ticker { time: DAY.next().start(), ..ticker(3) });
        assert_eq!(fixture.lend(Pages::AtHand), (0, true, false), "its day is not open: it stays in hand");
        assert_eq!(fixture.bring_tickers(&[ticker(4)]), 0, "where it was put down, the one in hand would count as stale");
        by_the_writer(3);
        assert_eq!(fixture.bring_tickers(&[ticker(4)]), 1);
        assert_eq!((metrics.tickers.written.get(), metrics.tickers.stale.get()), (4, 0));
        fixture.end();
    }

    #[test]
    fn a_ticker_stands_in_both_its_datasets_whenever_a_flush_begins() {
        const TICKERS: u64 = 100_000;
        let fixture = WriterFixture::of(Datasets::ALL);
        let one = Decimal::new(1.0, 1.0, true);
        let with_trade = |sequence| Ticker { trade_id: sequence, price: one, volume: one, side: Some(Side::Buy), ..ticker(sequence) };
        let queue = |sequence| fixture.route.queue.push(MarketMessage::Ticker(with_trade(sequence)), Duration::ZERO);
        queue(1);
        fixture.route.slot.wake_writer();
        until("the writer takes it", || fixture.route.metrics.tickers.written.get() == 1);
        drop(fixture.route.slot.take());
        let (is_over, mut at_hand) = (AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    fixture.dir.flush().unwrap();
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            let mut last = 1;
            while last < TICKERS {
                let some: Vec<Ticker> = (last + 1..=TICKERS).take(64).map(with_trade).collect();
                let append_batch = fixture.bring_tickers(&some);
                at_hand += append_batch;
                last += u64::from(append_batch);
                if append_batch < 64 && last < TICKERS {
                    last += 1;
                    queue(last);
                    if fixture.lend(Pages::Any).2 {
                        fixture.route.slot.wake_writer();
                        until("the writer takes it", || fixture.route.metrics.tickers.written.get() == last);
                        drop(fixture.route.slot.take());
                    }
                }
            }
            is_over.store(true, Relaxed);
        });
        assert!(at_hand > 0, "some go past the queue");
        let md = Snapshot::<Md>::open(fixture.folder.path(), &product(), DAY).unwrap().unwrap();
        let ticker_trades = Snapshot::<TickerTrades>::open(fixture.folder.path(), &product(), DAY).unwrap().unwrap();
        assert_eq!((md.rows().count() as u64, ticker_trades.rows().count() as u64), (TICKERS, TICKERS));
        fixture.end();
    }

    #[test]
    fn room_that_a_connection_finds_short_is_asked_for() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        let mut last = 1;
        let is_short = |last: &mut u64| {
            *last += 1;
            let (records, is_left, left) = fixture.bring(&[*last]);
            if !left.is_empty() {
                // A page that is not at hand.
                fixture.push(*last);
                assert_eq!(fixture.lend(Pages::Any).0, 1);
            }
            records == 1 && is_left
        };
        while !is_short(&mut last) {
            assert!(last < 100_000, "room runs short");
        }
        assert_eq!(fixture.lend(Pages::Any), (0, true, true), "the hand that is called for it wakes the writer");
        fixture.route.slot.wake_writer();
        until("the writer has asked", || !fixture.lend(Pages::Any).2);
        assert_eq!(fixture.end(), last);
    }

    #[test]
    fn a_record_that_was_held_up_is_visible_without_another() {
        let fixture = WriterFixture::set();
        until("what is stored was read", || fixture.route.slot.take().writer.is_some());
        let in_the_way = fixture.folder.path().join("BTC-USD");
        std::fs::write(&in_the_way, "").unwrap();
        fixture.push(1);
        fixture.route.slot.wake_writer();
        until("its day cannot be opened", || fixture.route.metrics.is_blocked.load(Relaxed));
        std::fs::remove_file(&in_the_way).unwrap();
        until("it is visible", || fixture.seen() == [1]);
        assert_eq!(fixture.end(), 1);
    }

    #[test]
    fn every_page_that_is_brought_is_taken_without_another_call() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        let taken = fixture.route.slot.take();
        for id in 2..=3 {
            fixture.context.deliveries.send(&product(), Delivery::Trades(vec![trade(id)])).unwrap();
        }
        drop(taken);
        until("both are taken", || fixture.seen() == [1, 2, 3]);
        assert_eq!(fixture.end(), 3);
    }

    #[test]
    fn who_finds_the_seat_taken_does_nothing() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        let taken = fixture.route.slot.take();
        fixture.push(2);
        assert_eq!(fixture.lend(Pages::Any), (0, true, true));
        drop(taken);
        assert_eq!(fixture.lend(Pages::Any), (1, false, false));
        assert_eq!(fixture.end(), 2);
    }

    #[test]
    fn a_hand_that_panicked_has_the_writer_start_over_with_the_message_in_hand() {
        let fixture = WriterFixture::set();
        fixture.push(1);
        fixture.by_the_writer(1);
        {
            let mut state = fixture.route.slot.take();
            state.has_panicked = true;
        }
        fixture.push(2);
        assert_eq!(fixture.lend(Pages::Any), (0, true, true), "nobody else touches what was left half done");
        fixture.by_the_writer(2);
        assert_eq!(fixture.seen(), [1, 2]);
        let journal = || std::fs::read_dir(fixture.folder.path().join("_coltape")).unwrap().flatten();
        let told = || journal().any(|file| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("writer_restarted")));
        until("it is journaled", told);
        assert_eq!(fixture.end(), 2);
    }

    #[test]
    fn no_message_stays_behind_between_a_connection_its_hand_and_the_writer() {
        const TRADES: u64 = 20_000;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixture = WriterFixture::set();
        let delegate =
            Delegate::start("0.0", fixture.registry.tally(), Arc::clone(&fixture.context.cores), false, &fixture.context.stop).unwrap();
        for id in 1..=TRADES {
            fixture.push(id);
            if rng.u32(..3) == 0 && fixture.route.slot.run_step(Instant::now(), Pages::AtHand).is_left {
                delegate.call(&fixture.route.slot);
                delegate.wake();
            }
            match rng.u32(..1000) {
                0 => fixture.dir.flush().unwrap(),
                1..5 => fixture.route.slot.wake_writer(),
                5..10 => std::thread::sleep(Duration::from_micros(rng.u64(..200))),
                _ => {}
            }
            if id.is_multiple_of(500) || id == TRADES {
                if fixture.route.slot.run_step(Instant::now(), Pages::AtHand).is_left {
                    delegate.call(&fixture.route.slot);
                    delegate.wake();
                }
                // Nothing else wakes anybody now.
                until("everything is taken", || fixture.route.queue.is_empty() && fixture.route.metrics.trades.written.get() == id);
            }
        }
        // Counted before it is visible, by whoever sits there.
        drop(fixture.route.slot.take());
        assert!(fixture.seen().into_iter().eq(1..=TRADES), "all are visible, in order");
        drop(delegate);
        assert_eq!(fixture.end(), TRADES);
    }
}
