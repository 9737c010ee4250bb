//! The life of a writer's thread: reads what is stored, drains until the queue has ended, and starts over once after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{BLOCKED_WAIT, Round, Writer};
use crate::capture::desk::Desk;
use crate::capture::metrics::ProductMetrics;
use crate::capture::provisioner;
use crate::capture::queue::{Pulled, QueueReceiver};
use crate::capture::seat::{Chair, Seat};
use crate::capture::stored::Stored;
use crate::product::ProductId;
use crate::record::MarketMessage;
use crate::store::journal::Event;

/// Runs a product's writer to the end of its queue.
///
/// # Errors
/// Where it panicked twice.
pub fn run(desk: &Arc<Desk>, product: &ProductId, metrics: &Arc<ProductMetrics>, seat: &Seat) -> Result<(), String> {
    let queue = seat.queue();
    desk.cores.settle();
    provisioner::seal_leftovers(&desk.dir, &desk.scribe, &desk.metrics, &desk.clock, product);
    let mut in_hand = None;
    for attempt in 1..=2 {
        let Some(stored) = await_stored(desk, product, metrics, queue) else {
            shed_all(metrics, queue);
            return Ok(());
        };
        let mut writer = Writer::new(Arc::clone(desk), product.clone(), Arc::clone(metrics), queue, stored);
        writer.in_hand = in_hand.take();
        seat.take().writer = Some(writer);
        let has_ended = drain(seat);
        let Chair { writer: Some(mut writer), .. } = std::mem::take(&mut *seat.take()) else { continue };
        if has_ended {
            return Ok(());
        }
        in_hand = writer.in_hand.take();
        // What waited is lost with the order it waited in: a gap, which the next start of the writer has fetched again.
        metrics.trades.shed.add(writer.waiting());
        metrics.waiting.store(0, Relaxed);
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

/// Drains a queue until it has ended; gives up, with `false`, where the writer or a connection's hand has panicked.
fn drain(seat: &Seat) -> bool {
    loop {
        let mut chair = seat.take();
        let Chair { writer: Some(writer), has_panicked: false } = &mut *chair else { return false };
        // Caught with the seat taken: nobody else sits down before it is known that what lies there is half done.
        let round = catch_unwind(AssertUnwindSafe(|| {
            let round = writer.round(seat.queue());
            if matches!(round, Round::Ended) {
                writer.end(seat.queue());
            }
            round
        }));
        match round {
            Ok(Round::Again) => {}
            Ok(Round::Ended) => return true,
            Ok(Round::Wait { longest }) => {
                drop(chair);
                seat.queue().wait(longest);
            }
            Err(_) => {
                chair.has_panicked = true;
                return false;
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
