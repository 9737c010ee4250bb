//! What a step of delegation did ([`Step`]), and the figures of the thread that ran it ([`StepTally`]). See [`super::queue`].

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::capture::report::buckets::BucketTally;
use crate::capture::report::metrics::{LagTally, Metrics, micros};
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos};

/// Bytes of a full trade or ticker record: a hint of how much waits to be flushed.
pub(crate) const ROW_BYTES: u64 = 100;

/// Longest time that a message is taken to be under way, in nanoseconds.
const LONGEST_DELAY_NANOS: u64 = 3600 * NANOS_PER_SECOND;

/// What is left to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// Nothing.
    Nothing,
    /// More messages of the same kind: the step took as many as one step takes, or another message came meanwhile.
    More,
    /// A message that has to wait for a page.
    NeedsPage,
    /// Work that only the writer's own thread does.
    NeedsWriter,
}

/// The records that a step appended and made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Appended {
    /// How many.
    pub records: u32,
    /// When the frame of the oldest was read; nothing without a record.
    pub oldest: Option<UnixNanos>,
}

impl Appended {
    /// Adds a record whose frame was read at `recv`.
    #[inline]
    pub(crate) fn add(&mut self, recv: UnixNanos) {
        self.records += 1;
        self.oldest = Some(self.oldest.map_or(recv, |oldest| oldest.min(recv)));
    }
}

/// What a thread other than the writer's did for a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The records that are stored now.
    pub appended: Appended,
    /// What is left to do.
    pub remaining: Remaining,
}

impl Step {
    /// Nothing was done: another thread is at it, or the writer delegates nothing now.
    pub(crate) const REFUSED: Self = Self { appended: Appended { records: 0, oldest: None }, remaining: Remaining::NeedsWriter };
}

/// Figures of the steps that one thread ran.
pub(crate) struct StepTally {
    metrics: Arc<Metrics>,
    clock: Clock,
    lag: LagTally,
    delay: BucketTally,
    records: u32,
    oldest: UnixNanos,
}

impl StepTally {
    /// Begins with no step.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { metrics, clock, lag: LagTally::default(), delay: BucketTally::default(), records: 0, oldest: UnixNanos(u64::MAX) }
    }

    /// Adds the records of a step.
    #[inline]
    pub(crate) fn add(&mut self, appended: Appended) {
        self.records += appended.records;
        self.oldest = appended.oldest.map_or(self.oldest, |recv| self.oldest.min(recv));
    }

    /// Counts the records added since the last call. Appending began at `began`, which is `began_wall` on the wall clock where that is known. All of
    /// them get the lag of the oldest, since most of them came with it.
    #[inline]
    pub(crate) fn count(&mut self, began: Instant, began_wall: Option<UnixNanos>) {
        let (records, oldest) = (std::mem::take(&mut self.records), std::mem::replace(&mut self.oldest, UnixNanos(u64::MAX)));
        if records > 0 {
            let took = began.elapsed();
            let lag = match began_wall {
                Some(wall) => took + Duration::from_nanos(wall.since(oldest)),
                None => Duration::from_nanos(self.clock.now().since(oldest)),
            };
            self.lag.note(lag, records);
            self.metrics.recent_lag_micros.see(micros(lag));
            self.metrics.note_append(took);
            self.metrics.unflushed_bytes.fetch_add(u64::from(records) * ROW_BYTES, Relaxed);
        }
    }

    /// Counts how long a live record was under way from the exchange to this box, by their clocks. What seems to have taken longer than
    /// [`LONGEST_DELAY_NANOS`] has another time than that at which it was sent.
    #[inline]
    pub(crate) fn note_delay(&mut self, sent: UnixNanos, recv: UnixNanos) {
        let nanos = recv.since(sent);
        if nanos <= LONGEST_DELAY_NANOS {
            self.delay.note_one(nanos);
        }
    }

    /// Adds the lags to those of the capture.
    pub(crate) fn publish(&mut self) {
        self.lag.publish(&self.metrics);
        self.metrics.delay.take(&mut self.delay);
    }

    /// Adds the lags to those of the capture, unless another thread holds their lock.
    pub(crate) fn try_publish(&mut self) {
        self.lag.try_publish(&self.metrics);
        self.metrics.delay.take(&mut self.delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_has_another_time_than_that_at_which_it_was_sent_is_no_delay() {
        let metrics = Arc::<Metrics>::default();
        let mut tally = StepTally::new(Arc::clone(&metrics), Clock::System);
        let now = UnixNanos(1_786_309_548 * NANOS_PER_SECOND);
        let ago = |seconds: u64| UnixNanos(now.0 - seconds * NANOS_PER_SECOND);
        // A year ago, an hour and a second ago; an hour ago, and in the future.
        [31_536_000, 3601, 3600].map(ago).into_iter().chain([UnixNanos(now.0 + 1)]).for_each(|sent| tally.note_delay(sent, now));
        tally.publish();
        let (_, sum_micros) = metrics.delay.read();
        assert_eq!(sum_micros, 3_600_000_000);
    }
}
