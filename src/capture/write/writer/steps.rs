//! The steps that other threads run for a writer whose thread sleeps.

use std::time::Instant;

use super::{Drained, Writer};
use crate::capture::net::batch::BatchDrain;
use crate::capture::write::effort::Effort;
use crate::capture::write::queue::QueueReceiver;
use crate::capture::write::step::{Remaining, Step};

impl Writer {
    /// Takes messages from the queue as far as `effort` goes, at most a batch, and makes them visible.
    pub(in crate::capture::write) fn step_on_queue(&mut self, queue: &QueueReceiver, now: Instant, effort: Effort) -> Step {
        if !self.may_delegate {
            return Step::REFUSED;
        }
        let remaining = match self.drain(queue, effort) {
            Drained::Stopped(remaining) => remaining,
            _ if queue.has_shed() => Remaining::NeedsWriter,
            _ if queue.is_empty() => Remaining::Nothing,
            _ => Remaining::More,
        };
        self.finish_step(remaining, now)
    }

    /// Takes messages that a connection has read, as long as they are ready to be stored, and makes them visible.
    #[inline]
    pub(in crate::capture::write) fn step_on_batch(&mut self, batch: &mut BatchDrain<'_>, now: Instant) -> Step {
        if !self.may_delegate || self.current.is_some() {
            return Step::REFUSED;
        }
        let mut remaining = Remaining::Nothing;
        while let Some(message) = batch.peek() {
            remaining = self.take(message, Effort::OnlyIfReady);
            if remaining != Remaining::Nothing {
                break;
            }
            batch.advance();
        }
        self.finish_step(remaining, now)
    }

    #[inline]
    fn finish_step(&mut self, remaining: Remaining, now: Instant) -> Step {
        let appended = std::mem::take(&mut self.appended);
        // Remembered until the writer's thread has looked: the connection's thread wakes no writer, and its delegate may find nothing to append.
        self.has_unseen_work |= appended.records > 0 && self.open_days.commit(now);
        let is_named_due = || self.sequencer.is_named_due(|| now.saturating_duration_since(self.started));
        let needs_writer = self.has_unseen_work || self.has_gap_news() || is_named_due();
        Step { appended, remaining: if needs_writer { Remaining::NeedsWriter } else { remaining } }
    }

    /// Finds out whether other threads may run steps. That changes in rounds of the writer's thread alone.
    pub(super) fn review_delegation(&mut self) {
        self.may_delegate = !self.has_doubts()
            && self.previous.is_none()
            && self.seam.is_none()
            && !self.is_catching_up
            && self.sequencer.waiting() == 0
            && self.blocked_since.is_none()
            && !self.is_search_due;
    }
}
