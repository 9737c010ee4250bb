//! The writer's gaps: what is missing is told, wanted of REST, taken when it comes, and given up on at no time.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{BRIEFLY, Writer};
use crate::capture::write::deliveries::Delivery;
use crate::capture::write::queue::QueueReceiver;
use crate::feed::sequencer::{GapCause, GapEvent, ReceivedTrade};
use crate::record::{Means, RawPlace};
use crate::store::event::{Event, GapFiller};

impl Writer {
    /// Has the trades looked for that lie between the time asked for and the first known id.
    #[cold]
    pub(super) fn search_below(&mut self, id: u64) {
        if let Some(backfill) = self.context.backfill.as_ref().filter(|_| self.is_to_search)
            && let Some(since) = backfill.since()
        {
            backfill.search(&self.product, since, id);
            self.is_to_search = false;
        }
    }

    /// Takes a page that the backfill or a repair has brought; tells whether there was one. More may wait: the live queue comes in between.
    pub(super) fn take_delivery(&mut self, queue: &QueueReceiver) -> bool {
        let Ok(delivery) = self.deliveries.try_recv() else { return false };
        self.batch_start.get_or_insert_with(Instant::now);
        match delivery {
            Delivery::Trades(trades) => {
                for trade in trades {
                    self.metrics.trades.fetched.one();
                    self.offer(queue, ReceivedTrade { trade, place: RawPlace::default() });
                }
            }
            Delivery::Missing(ids) => self.sequencer.mark_missing(ids, GapCause::Asked),
        }
        if let Some(backfill) = &self.context.backfill {
            self.wanted_revision = self.sequencer.chain().revision();
            backfill.taken(&self.product, self.sequencer.chain().missing());
        }
        true
    }

    /// Writes what has waited long enough, tells what has become a gap, and has it fetched.
    #[inline]
    pub(super) fn mind_gaps(&mut self, queue: &QueueReceiver) {
        if self.sequencer.waiting() > 0 {
            self.batch_start.get_or_insert_with(Instant::now);
            self.sequencer.report_gaps(self.started.elapsed());
            self.put_ready(queue);
        } else {
            self.sequencer.report_gaps(self.started.elapsed());
        }
        if self.has_gaps_to_settle() {
            self.settle_gaps();
        }
    }

    /// Tells whether the journal or the backfill is to be told of ids that are missing, or not any more.
    #[inline]
    pub(super) fn has_gaps_to_settle(&self) -> bool {
        self.sequencer.has_events() || self.sequencer.chain().revision() != self.wanted_revision
    }

    #[cold]
    pub(super) fn settle_gaps(&mut self) {
        for event in self.sequencer.take_events() {
            let product = self.product.clone();
            self.context.journal.write(match event {
                GapEvent::Opened { ids, cause } => {
                    self.metrics.gaps.one();
                    let (count, first, last, cause) = (ids.count(), ids.first(), ids.last(), cause.name());
                    log::warn!("{}: {count} trades missing, ids {first} to {last} ({cause})", self.product);
                    Event::GapOpened { product, ids, why: cause.into() }
                }
                GapEvent::Left { ids } => Event::GapLeft { product, ids },
                GapEvent::Filled { ids, means } => {
                    let by = match means {
                        Means::Rest => GapFiller::Rest,
                        Means::Tape => GapFiller::Tape,
                        Means::Live | Means::Snapshot => GapFiller::Line,
                    };
                    Event::GapFilled { product, ids, by }
                }
            });
        }
        let chain = self.sequencer.chain();
        self.metrics.missing_ids.store(chain.missing().count(), Relaxed);
        if chain.revision() != self.wanted_revision {
            self.wanted_revision = chain.revision();
            if let Some(backfill) = &self.context.backfill {
                backfill.want(&self.product, chain.missing());
            }
        }
    }

    /// At the end gives what is missing the gap wait to come in by REST; the next start goes on with what has not.
    pub(super) fn await_missing(&mut self, queue: &QueueReceiver) {
        if self.context.backfill.is_none() {
            return;
        }
        self.sequencer.report_all_gaps();
        self.settle_gaps();
        let start = Instant::now();
        while !self.sequencer.chain().missing().is_empty() && start.elapsed() < self.sequencer.gap_wait() {
            queue.wait(self.sequencer.gap_wait().saturating_sub(start.elapsed()).max(BRIEFLY));
            while self.take_delivery(queue) {}
            self.mind_gaps(queue);
            self.commit();
        }
    }
}
