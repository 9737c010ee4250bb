//! [`AwakeTime`] and [`Deadline`]: time as the peer can be judged by it.
//!
//! A process that was stopped, swapped out or starved for seconds has not listened meanwhile. What it did not hear then is no silence of the peer's.
//!
//! 1. Between two looks at most [`LONGEST_STEP`] passes. Whoever waits therefore looks at least that often: a wait is cut into steps of [`WAIT_STEP`].
//! 2. Of a [`Deadline`] shorter than four such steps, a pause costs a quarter.
//! 3. [`AwakeTime`] reads no clock. [`Deadline`] reads the monotonic one.

use std::time::{Duration, Instant};

/// Longest time that is counted between two looks. More than that is a pause of this process.
pub(super) const LONGEST_STEP: Duration = Duration::from_secs(1);

/// Longest wait between two looks.
pub(super) const WAIT_STEP: Duration = Duration::from_millis(250);

/// Least wait between two looks, so that a short deadline does not keep a processor busy.
const LEAST_STEP: Duration = Duration::from_millis(1);

const _: () = assert!(WAIT_STEP.as_millis() * 2 <= LONGEST_STEP.as_millis());

/// Time that leaves out the pauses of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AwakeTime {
    looked: Duration,
    passed: Duration,
}

impl AwakeTime {
    /// Takes the present monotonic time. Gives the time that has passed since the first look, at most [`LONGEST_STEP`] more than at the last one.
    #[inline]
    pub(super) fn look(&mut self, now: Duration) -> Duration {
        self.look_within(now, LONGEST_STEP)
    }

    #[inline]
    fn look_within(&mut self, now: Duration, longest_step: Duration) -> Duration {
        self.passed += now.saturating_sub(self.looked).min(longest_step);
        self.looked = self.looked.max(now);
        self.passed
    }
}

/// By when something has to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    began: Instant,
    time: AwakeTime,
    within: Duration,
}

impl Deadline {
    /// Begins a stretch of time.
    #[must_use]
    pub(crate) fn within(within: Duration) -> Self {
        Self { began: Instant::now(), time: AwakeTime::default(), within }
    }

    /// Gives the time that is left; zero where it is over.
    pub(crate) fn left(&mut self) -> Duration {
        self.within.saturating_sub(self.time.look_within(self.began.elapsed(), LONGEST_STEP.min(self.within / 4)))
    }

    /// Begins a part of the time that is left, of at least `least` as far as there is so much.
    pub(super) fn part(&mut self, divided_by: u32, least: Duration) -> Self {
        let left = self.left();
        Self::within((left / divided_by.max(1)).max(least).min(left))
    }

    /// Counts what was used of a part, which kept the time meanwhile.
    pub(super) fn count_part(&mut self, part: &Self) {
        self.time.passed += part.began.elapsed().min(part.within);
        self.time.looked = self.began.elapsed();
    }

    /// Gives how long to wait before the next look; `None` where the time is over.
    pub(super) fn step(&mut self) -> Option<Duration> {
        match self.left() {
            Duration::ZERO => None,
            left => Some(left.min(WAIT_STEP).min((self.within / 8).max(LEAST_STEP))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_steps_count_in_full_and_a_pause_counts_as_one_step(steps in prop::collection::vec((0u64..1000, 0u64..1_000_000), 0..50)) {
            let (mut time, mut now, mut awake) = (AwakeTime::default(), Duration::ZERO, Duration::ZERO);
            for (step, pause) in steps {
                now += Duration::from_millis(step);
                awake += Duration::from_millis(step);
                prop_assert_eq!(time.look(now), awake);
                now += LONGEST_STEP + Duration::from_millis(pause);
                awake += LONGEST_STEP;
                prop_assert_eq!(time.look(now), awake);
                prop_assert_eq!(time.look(now), awake);
            }
        }
    }

    #[test]
    fn time_that_goes_back_adds_nothing() {
        let mut time = AwakeTime::default();
        assert_eq!(time.look(LONGEST_STEP), LONGEST_STEP);
        assert_eq!(time.look(Duration::ZERO), LONGEST_STEP);
        assert_eq!(time.look(LONGEST_STEP), LONGEST_STEP);
    }

    #[test]
    fn a_deadline_gives_steps_until_it_is_over() {
        let mut deadline = Deadline::within(Duration::from_secs(60));
        assert_eq!(deadline.step(), Some(WAIT_STEP));
        assert!(deadline.part(2, WAIT_STEP).left() <= Duration::from_secs(30));
        let part = Deadline {
            began: Instant::now().checked_sub(Duration::from_secs(7)).unwrap_or_else(Instant::now),
            ..Deadline::within(Duration::from_secs(5))
        };
        deadline.count_part(&part);
        assert!(deadline.left() <= Duration::from_secs(55) && deadline.left() > Duration::from_secs(50));
        let mut over = Deadline::within(Duration::ZERO);
        assert_eq!((over.step(), over.left()), (None, Duration::ZERO));
    }
}
