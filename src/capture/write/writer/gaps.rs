//! The writer's gaps: missing trades are journaled, asked of REST and taken when they come. They are never given up.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{SHORTEST_SLEEP, Writer};
use crate::capture::write::deliveries::Delivery;
use crate::capture::write::effort::Effort;
use crate::capture::write::queue::QueueReceiver;
use crate::feed::gap_event::{GapCause, GapEvent};
use crate::product::ProductId;
use crate::record::Means;
use crate::store::event::{Event, GapFiller};

impl Writer {
    /// Has REST searched for the trades between the time asked for and the first known id.
    #[cold]
    pub(super) fn search_below(&mut self, id: u64) {
        if let Some(backfill) = self.context.backfill.as_ref().filter(|_| self.is_search_due)
            && let Some(since) = backfill.since()
        {
            backfill.search(&self.product, since, id);
            self.is_search_due = false;
        }
    }

    /// Takes one delivery of REST fetching or of a repair. Tells whether there was one. More may wait: the queue comes in between.
    pub(super) fn take_delivery(&mut self) -> bool {
        let Ok(delivery) = self.deliveries.try_recv() else { return false };
        self.begin_batch();
        match delivery {
            Delivery::Trades(trades) => {
                self.take_fetched(&trades);
            }
            Delivery::Missing(ids) => self.sequencer.mark_missing(ids, GapCause::Asked),
            Delivery::Newest(newest) => {
                self.settle_by_newest(newest);
                return true;
            }
        }
        if let Some(backfill) = &self.context.backfill {
            self.fetched_revision = self.sequencer.chain().revision();
            backfill.taken(&self.product, &self.sequencer.chain().askable());
        }
        true
    }

    /// Writes the trades that have waited long enough, and reports the ids that have been missing long enough to be a gap.
    #[inline]
    pub(super) fn check_gaps(&mut self) {
        if self.sequencer.waiting() > 0 {
            self.begin_batch();
            self.sequencer.report_gaps(self.started.elapsed());
            self.write_ready(Effort::Any);
        } else if self.sequencer.chain().last().is_some() || self.doubted_trades.is_empty() {
            // The first trades of a product say themselves where its chain begins, as soon as they are believed.
            self.sequencer.report_gaps(self.started.elapsed());
        }
        if self.has_gap_news() {
            self.report_gaps();
        }
    }

    /// Tells whether the journal or REST fetching has to learn of ids that are missing, or are not any more.
    #[inline]
    pub(super) fn has_gap_news(&self) -> bool {
        self.sequencer.has_events() || self.sequencer.chain().revision() != self.fetched_revision
    }

    /// Journals what has changed about gaps, and tells REST fetching which ids are missing.
    #[cold]
    pub(super) fn report_gaps(&mut self) {
        let now = Instant::now();
        for event in self.sequencer.take_events() {
            if let GapEvent::Opened { ids, .. } = event {
                self.gap_ages.open(ids, now);
            }
            self.journal_gap(&self.product, event);
        }
        let chain = self.sequencer.chain();
        self.metrics.open_gaps.store(u64::try_from(chain.missing().ranges().len()).unwrap_or(u64::MAX), Relaxed);
        self.metrics.oldest_gap.set(self.gap_ages.oldest(chain.missing(), now));
        let of_previous = self.previous_missing();
        self.metrics.missing_ids.store(chain.missing().count().saturating_add(of_previous), Relaxed);
        if chain.revision() != self.fetched_revision {
            self.fetched_revision = chain.revision();
            if let Some(backfill) = &self.context.backfill {
                backfill.want(&self.product, &chain.askable());
            }
        }
    }

    /// Takes note of the trades that were given up because the queue was full, now that all before them are taken: they are missing.
    #[cold]
    pub(super) fn note_shed(&mut self, queue: &QueueReceiver) {
        if let Some(ids) = queue.take_shed() {
            self.sequencer.note_shed(ids);
        }
    }

    /// Journals one change about the gaps of a series.
    pub(super) fn journal_gap(&self, series: &ProductId, event: GapEvent) {
        let product = series.clone();
        self.context.journal.write(match event {
            GapEvent::Opened { ids, cause } => {
                self.metrics.gaps.one();
                let (count, first, last, cause) = (ids.count(), ids.first(), ids.last(), cause.name());
                let what = if count == 1 {
                    format!("1 trade is missing, id {first}")
                } else {
                    format!("{count} trades are missing, ids {first} to {last}")
                };
                let next = if self.context.backfill.is_some() { "REST is asked for what is missing" } else { "REST is not asked" };
                log::warn!("{series}: {what} ({cause}); {next}");
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

    /// At the end, waits the gap wait for REST to bring what is missing. The next start goes on with the rest.
    pub(super) fn await_missing(&mut self) {
        self.sequencer.report_all_gaps();
        self.report_gaps();
        if self.context.backfill.is_none() {
            return;
        }
        let (start, gap_wait) = (Instant::now(), self.sequencer.gap_wait());
        while !self.sequencer.chain().missing().is_empty() && start.elapsed() < gap_wait {
            let left = gap_wait.saturating_sub(start.elapsed());
            // A trade that came before the stop has waited for a part of the gap wait already.
            let until_due = self.sequencer.time_until_due(self.started.elapsed());
            self.wakeup.wait(until_due.map_or(left, |due| due.min(left)).max(SHORTEST_SLEEP));
            while self.take_delivery() {}
            self.check_gaps();
            self.commit();
        }
    }
}
