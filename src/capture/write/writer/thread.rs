//! The life of a writer's thread: reads what is stored, drains until the queue has ended, and starts over once after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{BLOCKED_WAIT, Round, Writer};
use crate::capture::context::CaptureContext;
use crate::capture::report::metrics::ProductMetrics;
use crate::capture::service::files;
use crate::capture::write::queue::{Pulled, QueueReceiver};
use crate::capture::write::resume::ResumePoint;
use crate::capture::write::slot::{SlotState, WriterSlot};
use crate::product::ProductId;
use crate::record::MarketMessage;
use crate::store::event::Event;

/// Runs a product's writer to the end of its queue.
///
/// # Errors
/// Where it panicked twice.
pub fn run(context: &Arc<CaptureContext>, product: &ProductId, metrics: &Arc<ProductMetrics>, slot: &WriterSlot) -> Result<(), String> {
    let queue = slot.queue();
    context.cores.settle();
    files::seal_leftovers(&context.dir, &context.journal, &context.metrics, &context.clock, product);
    let mut in_hand = None;
    for attempt in 1..=2 {
        let Some(stored) = await_stored(context, product, metrics, queue) else {
            shed_all(metrics, queue);
            return Ok(());
        };
        let mut writer = Writer::new(Arc::clone(context), product.clone(), Arc::clone(metrics), queue, stored);
        writer.in_hand = in_hand.take();
        slot.take().writer = Some(writer);
        let has_ended = drain(slot);
        let SlotState { writer: Some(mut writer), .. } = std::mem::take(&mut *slot.take()) else { continue };
        if has_ended {
            return Ok(());
        }
        in_hand = writer.in_hand.take();
        // What waited is lost with the order it waited in: a gap, which the next start of the writer has fetched again.
        metrics.trades.shed.add(writer.waiting());
        metrics.waiting.store(0, Relaxed);
        // Whole inserts are worth keeping; a shelf that panics again is left to recovery.
        let _ = catch_unwind(AssertUnwindSafe(|| writer.open_days.commit()));
        drop(writer);
        if attempt == 1 {
            log::error!("{product}: the writer panicked and is started again");
            context.journal.write(Event::WriterRestarted { product: product.clone() });
        }
    }
    Err(format!("{product}: the writer panicked twice"))
}

/// Reads what is stored, again and again while that fails: the trouble is this product's alone. Nothing where a stop came first.
fn await_stored(context: &CaptureContext, product: &ProductId, metrics: &ProductMetrics, queue: &QueueReceiver) -> Option<ResumePoint> {
    let mut is_told = false;
    loop {
        match ResumePoint::read(context, product) {
            Ok(stored) => {
                metrics.is_blocked.store(false, Relaxed);
                return Some(stored);
            }
            Err(_) if context.stop.is_asked() => return None,
            Err(error) => {
                metrics.is_blocked.store(true, Relaxed);
                if !std::mem::replace(&mut is_told, true) {
                    context.metrics.write_failures.one();
                    log::error!("{product}: {error}");
                    let (product, error) = (product.clone(), error.to_string());
                    context.journal.write(Event::WriteFailed { product, dataset: None, date: None, error });
                }
                queue.wait(BLOCKED_WAIT);
            }
        }
    }
}

/// Drains a queue until it has ended; gives up, with `false`, where the writer or a connection's hand has panicked.
fn drain(slot: &WriterSlot) -> bool {
    loop {
        let mut state = slot.take();
        let SlotState { writer: Some(writer), has_panicked: false } = &mut *state else { return false };
        // Caught with the seat taken: nobody else sits down before it is known that what lies there is half done.
        let round = catch_unwind(AssertUnwindSafe(|| {
            let round = writer.round(slot.queue());
            if matches!(round, Round::Ended) {
                writer.end(slot.queue());
            }
            round
        }));
        match round {
            Ok(Round::Again) => {}
            Ok(Round::Ended) => return true,
            Ok(Round::Wait { longest }) => {
                drop(state);
                slot.queue().wait(longest);
            }
            Err(_) => {
                state.has_panicked = true;
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
