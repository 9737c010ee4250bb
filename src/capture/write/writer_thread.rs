//! A writer's thread: reads what is stored, runs rounds until the queue has ended, and starts over once after a panic.
//!
//! 1. A writer that panics is started again once, from what is committed. The message that it panicked with is taken again; if it had been stored, it is a
//!    duplicate.
//! 2. A writer that panics twice ends the capture.
//!
//! Thread `write:{product}`: has the product's open days and its chain of ids; reads its queue and its deliveries. It ends when every sender is gone, the
//! queue is empty and what is missing has had the gap wait to come in. After a stop was asked for it waits for files that take nothing for
//! [`super::writer::STOP_PATIENCE`] at most.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::capture::context::CaptureContext;
use crate::capture::report::metrics::ProductMetrics;
use crate::capture::service::files;
use crate::capture::write::queue::{Pulled, QueueReceiver};
use crate::capture::write::resume::ResumePoint;
use crate::capture::write::slot::{SlotState, WriterSlot};
use crate::capture::write::writer::{BLOCKED_WAIT, Round, Writer};
use crate::product::ProductId;
use crate::record::MarketMessage;
use crate::store::catalog;
use crate::store::event::Event;

/// How often a writer is started.
const ATTEMPTS: usize = 2;

/// Why a writer ended before its queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WriterError {
    /// It panicked, was started again, and panicked again.
    #[error("{product}: the writer panicked twice")]
    PanickedTwice {
        /// The product.
        product: ProductId,
    },
}

/// How a run of rounds ended.
enum Ending {
    QueueEnded,
    Panicked,
}

/// Runs a product's writer to the end of its queue.
///
/// # Errors
/// [`WriterError::PanickedTwice`].
pub(crate) fn run(
    context: &Arc<CaptureContext>,
    product: &ProductId,
    metrics: &Arc<ProductMetrics>,
    slot: &WriterSlot,
) -> Result<(), WriterError> {
    let queue = slot.queue();
    context.cores.settle();
    for series in catalog::series(context.dir().path(), product).unwrap_or_else(|_| vec![product.clone()]) {
        files::seal_leftovers(context.dir(), &context.journal, &context.metrics, context.market_now().day(), &series);
    }
    let mut current = None;
    for attempt in 1..=ATTEMPTS {
        let Some(stored) = await_stored(context, product, metrics, queue) else {
            shed_all(metrics, queue);
            return Ok(());
        };
        let mut writer = Writer::new(Arc::clone(context), Arc::clone(metrics), queue.wakeup(), stored);
        writer.keep_current(current.take());
        *slot.lock() = SlotState::Ready(writer);
        let ending = run_rounds(slot);
        let (SlotState::Ready(mut writer) | SlotState::Poisoned(mut writer)) = std::mem::take(&mut *slot.lock()) else { continue };
        if matches!(ending, Ending::QueueEnded) {
            return Ok(());
        }
        current = writer.take_current();
        // The trades that waited are lost with the order they waited in: a gap, which the next start of the writer has fetched again.
        metrics.trades.shed.add(writer.waiting());
        metrics.tickers.shed.add(writer.waiting_tickers());
        metrics.waiting.store(0, Relaxed);
        // Whole records are worth keeping. Where this panics, too, recovery decides.
        let _ = catch_unwind(AssertUnwindSafe(|| writer.commit_records()));
        drop(writer);
        if attempt < ATTEMPTS {
            log::error!("{product}: the writer panicked and is started again");
            context.journal.write(Event::WriterRestarted { product: product.clone() });
        }
    }
    Err(WriterError::PanickedTwice { product: product.clone() })
}

/// Reads what is stored. A failure blocks this product alone: it is tried again until it succeeds. Gives nothing where a stop came first.
fn await_stored(context: &CaptureContext, product: &ProductId, metrics: &ProductMetrics, queue: &QueueReceiver) -> Option<ResumePoint> {
    let mut is_reported = false;
    loop {
        match ResumePoint::read(context, product) {
            Ok(stored) => {
                metrics.is_blocked.store(false, Relaxed);
                return Some(stored);
            }
            Err(_) if context.stop.is_asked() => return None,
            Err(error) => {
                metrics.is_blocked.store(true, Relaxed);
                if !std::mem::replace(&mut is_reported, true) {
                    context.metrics.note_write_failure(product.as_str(), &error);
                    log::error!("{product}: {error}");
                    let (product, error) = (product.clone(), error.to_string());
                    context.journal.write(Event::WriteFailed { product, dataset: None, date: None, error });
                }
                queue.wait(BLOCKED_WAIT);
            }
        }
    }
}

/// Runs rounds until the queue has ended, or the writer or a delegate has panicked.
fn run_rounds(slot: &WriterSlot) -> Ending {
    loop {
        let mut state = slot.lock();
        let SlotState::Ready(writer) = &mut *state else { return Ending::Panicked };
        // Caught under the lock: no other thread gets the state before it is marked.
        let round = catch_unwind(AssertUnwindSafe(|| {
            let round = writer.round(slot.queue());
            if matches!(round, Round::Ended) {
                writer.end(slot.queue());
            }
            round
        }));
        match round {
            Ok(Round::Again) => {}
            Ok(Round::Ended) => return Ending::QueueEnded,
            Ok(Round::Sleep { longest }) => {
                drop(state);
                slot.queue().wait(longest);
            }
            Err(_) => {
                state.poison();
                return Ending::Panicked;
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
            Pulled::Message(MarketMessage::Heartbeat { .. } | MarketMessage::TickerSnapshot { .. }) => {}
            Pulled::Empty => queue.wait(BLOCKED_WAIT),
            Pulled::Ended => return,
        }
    }
}
