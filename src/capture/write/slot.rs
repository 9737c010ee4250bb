//! [`WriterSlot`]: a product's queue, and the writer's state under a lock. The threads that run the writer's steps meet here: delegation, as
//! [`super::queue`] describes it.
//!
//! 1. The thread that holds the lock is the writer. The writer's own thread waits for it; every other thread only tries.
//! 2. A step that panics leaves half-done work behind. From then on only the writer's own thread touches the state: it starts over.
//! 3. The message that a thread panicked with is taken again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::capture::net::batch::BatchDrain;
use crate::capture::write::effort::Effort;
use crate::capture::write::queue::QueueReceiver;
use crate::capture::write::step::Step;
use crate::capture::write::writer::Writer;

/// A product's queue and its writer.
pub(crate) struct WriterSlot {
    queue: QueueReceiver,
    state: Mutex<SlotState>,
    /// Whether a delegate was called that has not come yet.
    is_delegate_called: AtomicBool,
}

/// The writer's state.
#[derive(Default)]
pub(crate) enum SlotState {
    /// There is none: it is being read from the files, or the writer has ended.
    #[default]
    Absent,
    /// Nobody is at work on it.
    Ready(Writer),
    /// A thread panicked while it worked on it.
    Poisoned(Writer),
}

impl SlotState {
    /// Marks a state that a thread has panicked with.
    pub(crate) fn poison(&mut self) {
        *self = match std::mem::take(self) {
            Self::Ready(writer) => Self::Poisoned(writer),
            other => other,
        };
    }
}

impl WriterSlot {
    /// Makes the slot of a queue, without a writer.
    #[must_use]
    pub(crate) fn new(queue: QueueReceiver) -> Self {
        Self { queue, state: Mutex::default(), is_delegate_called: AtomicBool::new(false) }
    }

    /// Shows the queue.
    #[must_use]
    pub(crate) fn queue(&self) -> &QueueReceiver {
        &self.queue
    }

    /// Locks the state for the writer's thread. Waits for a thread that runs a step, which takes microseconds.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Runs a step on the queue: stores its messages as far as `effort` goes, at most a batch, and makes them visible. `now` is the monotonic clock's time.
    pub(crate) fn run_step(&self, now: Instant, effort: Effort) -> Step {
        let Some(mut state) = self.state.try_lock() else { return Step::REFUSED };
        let SlotState::Ready(writer) = &mut *state else { return Step::REFUSED };
        if let Ok(step) = catch_unwind(AssertUnwindSafe(|| writer.step_on_queue(&self.queue, now, effort))) {
            return step;
        }
        state.poison();
        Step::REFUSED
    }

    /// Runs a step on messages that a connection has read and not queued: stores them as long as they are ready, takes them out of the batch, and makes
    /// them visible.
    #[inline]
    pub(crate) fn run_step_on_batch(&self, now: Instant, batch: &mut BatchDrain<'_>) -> Step {
        let Some(mut state) = self.state.try_lock() else { return Step::REFUSED };
        let SlotState::Ready(writer) = &mut *state else { return Step::REFUSED };
        if let Ok(step) = catch_unwind(AssertUnwindSafe(|| writer.step_on_batch(batch, now))) {
            return step;
        }
        // As from the queue: the message that it panicked with is taken again.
        writer.keep_current(batch.next());
        state.poison();
        Step::REFUSED
    }

    /// Wakes the writer's thread. If it is awake, it looks into the queue again before it sleeps.
    pub(crate) fn wake_writer(&self) {
        self.queue.wake();
    }

    /// Marks that a delegate is called. Tells whether none was called before.
    pub(crate) fn mark_called(&self) -> bool {
        // The queue orders the messages themselves. A call too many finds nothing. None is missing: the mark is cleared before the delegate looks.
        !self.is_delegate_called.swap(true, Ordering::AcqRel)
    }

    /// Tells whether a delegate was called that has not come yet. Only a hint: a thread that relies on its coming calls it, too.
    #[inline]
    #[must_use]
    pub(crate) fn is_called(&self) -> bool {
        self.is_delegate_called.load(Ordering::Relaxed)
    }

    /// Clears the mark: the delegate has come. A later call is a new one.
    pub(crate) fn clear_called(&self) {
        self.is_delegate_called.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use super::*;
    use crate::capture::service::flush_pace::EAGER_BYTES;
    use crate::capture::write::delegate::Delegate;
    use crate::capture::write::deliveries::Delivery;
    use crate::capture::write::fixture::{DAY, WriterFixture, product, ticker, trade, until};
    use crate::capture::write::step::Remaining::{NeedsPage, NeedsWriter, Nothing};
    use crate::decimal::Decimal;
    use crate::record::{MarketMessage, RawPlace, Side, Ticker, Trade};
    use crate::schema::{Datasets, Md, TickerTrades};
    use crate::store::Snapshot;

    #[test]
    fn a_step_stores_what_is_ready_and_leaves_the_rest() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        fixture.push(2);
        fixture.push(3);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (2, Nothing));
        assert_eq!(fixture.visible_ids(), [1, 2, 3], "visible at once");

        fixture.dir.flush().unwrap();
        fixture.push(4);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (0, NeedsPage), "a flush has made the pages read-only");
        assert_eq!(fixture.visible_ids(), [1, 2, 3]);
        assert_eq!(fixture.step(Effort::PageWait), (1, Nothing), "the message that the step stopped at comes first");
        fixture.push(5);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (1, Nothing));

        fixture.push(8);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (0, NeedsWriter));
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter), "a gap is left to the writer");
        fixture.push(9);
        fixture.run_writer(9);
        assert_eq!(fixture.visible_ids(), [1, 2, 3, 4, 5, 8, 9]);
        fixture.push(9);
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter), "so is a copy");
        fixture.push(10);
        fixture.run_writer(10);

        let tomorrows = Trade { time: DAY.next().start(), recv: DAY.next().start(), ..trade(11) };
        fixture.route.queue.push_within(MarketMessage::Trade(tomorrows, RawPlace::default()), Duration::ZERO);
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter), "and a day that is not open");
        fixture.route.slot.wake_writer();
        assert_eq!(fixture.end(), 9);
    }

    #[test]
    fn a_page_that_was_never_stored_to_is_not_ready() {
        let fixture = WriterFixture::new();
        for id in 1..=255 {
            fixture.push(id);
        }
        fixture.run_writer(255);
        fixture.push(256);
        fixture.push(257);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (1, NeedsPage), "record 256 is the first on a page of the order ids");
        assert_eq!(fixture.step(Effort::PageWait), (1, Nothing));
        fixture.push(258);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (1, Nothing));
        assert_eq!(fixture.end(), 258);
    }

    #[test]
    fn a_batch_goes_past_the_queue_as_far_as_it_is_ready() {
        let fixture = WriterFixture::new();
        assert_eq!(fixture.step_on_batch(&[1]), (0, NeedsWriter, vec![1]), "no day is open");
        fixture.push(1);
        fixture.run_writer(1);
        assert_eq!(fixture.step_on_batch(&[2, 3]), (2, Nothing, vec![]));
        assert!(fixture.visible_ids() == [1, 2, 3] && fixture.route.queue.is_empty(), "visible at once, and never queued");
        assert_eq!(fixture.step_on_batch(&[4, 6, 5]), (1, NeedsWriter, vec![6, 5]), "a gap, and what stands behind it");
        assert_eq!(fixture.step_on_batch(&[4]), (0, NeedsWriter, vec![4]), "a copy");

        fixture.dir.flush().unwrap();
        assert_eq!(fixture.step_on_batch(&[5, 6]), (0, NeedsPage, vec![5, 6]), "the pages are read-only");
        fixture.push(5);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (0, NeedsPage));
        fixture.run_writer(5);
        fixture.dir.flush().unwrap();
        fixture.push(6);
        assert_eq!(fixture.step(Effort::OnlyIfReady), (0, NeedsPage), "it is kept for the next step");
        assert_eq!(fixture.step_on_batch(&[7]), (0, NeedsWriter, vec![7]), "behind the message that is kept");
        assert_eq!(fixture.step(Effort::PageWait), (1, Nothing));
        assert_eq!(fixture.step_on_batch(&[7]), (1, Nothing, vec![]));

        let taken = fixture.route.slot.lock();
        assert_eq!(fixture.step_on_batch(&[8]), (0, NeedsWriter, vec![8]), "another thread has the lock");
        drop(taken);
        fixture.route.slot.lock().poison();
        assert_eq!(fixture.step_on_batch(&[8]), (0, NeedsWriter, vec![8]), "no other thread touches what was left half done");
        fixture.route.slot.wake_writer();
        assert_eq!(fixture.end(), 7);
    }

    #[test]
    fn the_writer_of_removed_files_is_woken() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        let product = fixture.folder.path().join("BTC-USD");
        std::fs::remove_dir_all(&product).unwrap();
        // As if so much waited that a flush is due: the flush finds out.
        fixture.context.metrics.unflushed_bytes.store(EAGER_BYTES, Relaxed);
        let mut last = 1;
        until("its day begins anew", || {
            last += 1;
            // So few that room does not run short: the writer would be woken for that, too.
            std::thread::sleep(Duration::from_millis(20));
            fixture.push(last);
            if fixture.step(Effort::PageWait).1 == NeedsWriter {
                fixture.route.slot.wake_writer();
            }
            product.exists()
        });
        assert!(last < 400, "room ran short at {last} records");
        assert_eq!(fixture.end(), last);
    }

    #[test]
    fn a_batch_does_not_overtake_the_message_that_is_kept() {
        let fixture = WriterFixture::new();
        let metrics = &fixture.route.metrics;
        let queue = |ticker| fixture.route.queue.push_within(MarketMessage::Ticker(ticker), Duration::ZERO);
        let run_writer = |written| {
            fixture.route.slot.wake_writer();
            until("the writer takes it", || metrics.tickers.written.get() == written);
            drop(fixture.route.slot.lock());
        };
        queue(ticker(1));
        run_writer(1);
        assert_eq!(fixture.step_on_tickers(&[ticker(2)]), 1);
        let tomorrows = |sequence| Ticker { time: DAY.next().start(), recv: DAY.next().start(), ..ticker(sequence) };
        queue(tomorrows(3));
        assert_eq!(fixture.step(Effort::OnlyIfReady), (0, NeedsWriter), "its day is not open");
        assert_eq!(fixture.step_on_tickers(&[tomorrows(4)]), 0, "if it were stored, the one that is kept would count as stale");
        run_writer(3);
        assert_eq!(fixture.step_on_tickers(&[tomorrows(4)]), 1);
        assert_eq!((metrics.tickers.written.get(), metrics.tickers.stale.get()), (4, 0));
        fixture.end();
    }

    #[test]
    fn a_ticker_is_in_both_its_datasets_whenever_a_flush_begins() {
        const TICKERS: u64 = 100_000;
        let fixture = WriterFixture::with(Datasets::ALL);
        let one = Decimal::new(1.0, 1.0, true);
        let with_trade = |sequence| Ticker { trade_id: sequence, price: one, volume: one, side: Some(Side::Buy), ..ticker(sequence) };
        let queue = |sequence| fixture.route.queue.push_within(MarketMessage::Ticker(with_trade(sequence)), Duration::ZERO);
        queue(1);
        fixture.route.slot.wake_writer();
        until("the writer takes it", || fixture.route.metrics.tickers.written.get() == 1);
        drop(fixture.route.slot.lock());
        let (is_over, mut past_the_queue) = (AtomicBool::new(false), 0);
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
                let appended = fixture.step_on_tickers(&some);
                past_the_queue += appended;
                last += u64::from(appended);
                if appended < 64 && last < TICKERS {
                    last += 1;
                    queue(last);
                    if fixture.step(Effort::PageWait).1 == NeedsWriter {
                        fixture.route.slot.wake_writer();
                        until("the writer takes it", || fixture.route.metrics.tickers.written.get() == last);
                        drop(fixture.route.slot.lock());
                    }
                }
            }
            is_over.store(true, Relaxed);
        });
        assert!(past_the_queue > 0, "some go past the queue");
        let md = Snapshot::<Md>::open(fixture.folder.path(), &product(), DAY).unwrap().unwrap();
        let ticker_trades = Snapshot::<TickerTrades>::open(fixture.folder.path(), &product(), DAY).unwrap().unwrap();
        assert_eq!((md.rows().count() as u64, ticker_trades.rows().count() as u64), (TICKERS, TICKERS));
        fixture.end();
    }

    #[test]
    fn room_that_a_step_finds_short_is_asked_for() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        let mut last = 1;
        let is_short = |last: &mut u64| {
            *last += 1;
            let (records, remaining, left) = fixture.step_on_batch(&[*last]);
            if !left.is_empty() {
                // A page that is not ready.
                fixture.push(*last);
                assert_eq!(fixture.step(Effort::PageWait).0, 1);
            }
            records == 1 && remaining != Nothing
        };
        while !is_short(&mut last) {
            assert!(last < 100_000, "room runs short");
        }
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter), "the delegate that is called for it wakes the writer");
        fixture.route.slot.wake_writer();
        until("the writer has asked", || fixture.step(Effort::PageWait).1 != NeedsWriter);
        assert_eq!(fixture.end(), last);
    }

    #[test]
    fn a_record_that_was_blocked_becomes_visible_without_another() {
        let fixture = WriterFixture::new();
        until("what is stored was read", || matches!(*fixture.route.slot.lock(), SlotState::Ready(_)));
        let in_the_way = fixture.folder.path().join("BTC-USD");
        std::fs::write(&in_the_way, "").unwrap();
        fixture.push(1);
        fixture.route.slot.wake_writer();
        until("its day cannot be opened", || fixture.route.metrics.is_blocked.load(Relaxed));
        std::fs::remove_file(&in_the_way).unwrap();
        until("it is visible", || fixture.visible_ids() == [1]);
        assert_eq!(fixture.end(), 1);
    }

    #[test]
    fn every_delivery_is_taken_without_another_call() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        let taken = fixture.route.slot.lock();
        for id in 2..=3 {
            fixture.context.deliveries.send(&product(), Delivery::Trades(vec![trade(id)])).unwrap();
        }
        drop(taken);
        until("both are taken", || fixture.visible_ids() == [1, 2, 3]);
        assert_eq!(fixture.end(), 3);
    }

    #[test]
    fn a_thread_that_finds_the_lock_taken_does_nothing() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        let taken = fixture.route.slot.lock();
        fixture.push(2);
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter));
        drop(taken);
        assert_eq!(fixture.step(Effort::PageWait), (1, Nothing));
        assert_eq!(fixture.end(), 2);
    }

    #[test]
    fn after_a_panic_the_writer_starts_over() {
        let fixture = WriterFixture::new();
        fixture.push(1);
        fixture.run_writer(1);
        fixture.route.slot.lock().poison();
        fixture.push(2);
        assert_eq!(fixture.step(Effort::PageWait), (0, NeedsWriter), "no other thread touches what was left half done");
        fixture.run_writer(2);
        assert_eq!(fixture.visible_ids(), [1, 2]);
        let journal = || std::fs::read_dir(fixture.folder.path().join("_coltape")).unwrap().flatten();
        let told = || journal().any(|file| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("writer_restarted")));
        until("it is journaled", told);
        assert_eq!(fixture.end(), 2);
    }

    #[test]
    fn no_message_stays_behind_between_a_connection_its_delegate_and_the_writer() {
        const TRADES: u64 = 20_000;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixture = WriterFixture::new();
        let delegate =
            Delegate::start("0.0", fixture.registry.tally(), Arc::clone(&fixture.context.cores), false, &fixture.context.stop).unwrap();
        for id in 1..=TRADES {
            fixture.push(id);
            if rng.u32(..3) == 0 && fixture.step(Effort::OnlyIfReady).1 != Nothing {
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
                if fixture.step(Effort::OnlyIfReady).1 != Nothing {
                    delegate.call(&fixture.route.slot);
                    delegate.wake();
                }
                // From now on nothing else wakes a thread.
                until("everything is taken", || fixture.route.queue.is_empty() && fixture.route.metrics.trades.written.get() == id);
            }
        }
        // A record is counted before it is visible, by the thread that has the lock.
        drop(fixture.route.slot.lock());
        assert!(fixture.visible_ids().into_iter().eq(1..=TRADES), "all are visible, in order");
        drop(delegate);
        assert_eq!(fixture.end(), TRADES);
    }
}
