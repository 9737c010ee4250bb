//! [`Relief`]: what is done when memory runs short. Before it becomes an alert, what was written is flushed ahead of its time, and its page cache is given back
//! (the emergency flush). Queues keep their budget: it was taken at the start.
//!
//! Memory runs short where the capture holds three quarters of what it may, or where the box has less than twice the share left that it must have. An alert
//! follows where that does not suffice.

use std::time::Duration;

use crate::capture::alert_config::AlertConfig;
use crate::capture::report::alerts::Condition;
use crate::capture::report::machine::{BoxMemory, Memory};

/// Time between two emergency flushes.
const PAUSE: Duration = Duration::from_secs(5);

/// How long memory must have run short before it is an alert: an emergency flush is over by then, and its effect measured.
const TIME_TO_SUFFICE: Duration = Duration::from_secs(4);

/// What the watch has to do about memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether to ask for an emergency flush now.
    pub flushes: bool,
    /// Whether memory has begun to run short with this look.
    pub begins: bool,
    /// Whether the capture holds too much.
    pub held: Condition,
    /// Whether the box has too little left.
    pub left: Condition,
}

/// Whether memory runs short, and since when.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    short_since: Option<Duration>,
    flushed_at: Option<Duration>,
}

impl Relief {
    /// Judges the memory. `now` is monotonic time since any fixed moment. What is not known does not run short.
    pub(crate) fn look(&mut self, memory: Option<Memory>, of_box: Option<BoxMemory>, config: &AlertConfig, now: Duration) -> Verdict {
        let (held, limit) = (memory.map_or(0, Memory::held), config.memory_bytes);
        let share = u64::from(config.box_memory_percent);
        let needed = of_box.map_or(0, |of_box| of_box.total / 100 * share);
        let available = of_box.map_or(u64::MAX, |of_box| of_box.available);
        let is_short = held > limit / 4 * 3 || available < needed.saturating_mul(2);
        if !is_short {
            (self.short_since, self.flushed_at) = (None, None);
        }
        let begins = is_short && self.short_since.is_none();
        let short_for = if is_short { now.saturating_sub(*self.short_since.get_or_insert(now)) } else { Duration::ZERO };
        let flushes = is_short && self.flushed_at.is_none_or(|at| now.saturating_sub(at) >= PAUSE);
        if flushes {
            self.flushed_at = Some(now);
        }
        let has_had_time = short_for >= TIME_TO_SUFFICE;
        let held = match Condition::of(held, limit, limit / 10 * 9, || format!("{} MB are held", held / 1_000_000)) {
            Condition::Bad(_) if !has_had_time => Condition::Between,
            condition => condition,
        };
        // The other way round: the less is left, the worse. It is over when there is a hundredth of the box more.
        let left = if available >= needed.saturating_add(of_box.map_or(0, |of_box| of_box.total / 100)) {
            Condition::Good
        } else if available < needed && has_had_time {
            Condition::Bad(format!("{} MB of the box's memory are left", available / 1_000_000))
        } else {
            Condition::Between
        };
        Verdict { flushes, begins, held, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(megabytes: u64) -> Option<Memory> {
        Some(Memory { anonymous: megabytes * 1_000_000, ..Memory::default() })
    }

    fn second(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    #[test]
    fn memory_that_runs_short_is_flushed_first_and_an_alert_where_that_does_not_suffice() {
        let (mut relief, config) = (Relief::default(), AlertConfig::default());
        let mut look = |megabytes, at| relief.look(holding(megabytes), None, &config, second(at));
        assert_eq!(look(1500, 0), Verdict { flushes: false, begins: false, held: Condition::Good, left: Condition::Good });
        assert_eq!(look(1501, 1), Verdict { flushes: true, begins: true, held: Condition::Good, left: Condition::Good });
        assert_eq!(
            look(2001, 2),
            Verdict { flushes: false, begins: false, held: Condition::Between, left: Condition::Good },
            "not at once"
        );
        assert_eq!(look(2001, 5).held, Condition::Bad("2001 MB are held".to_owned()));
        assert!(look(2001, 6).flushes, "it is tried again");
        assert_eq!((look(1900, 7).held, look(1800, 8).held), (Condition::Between, Condition::Good));
        assert!(!look(1000, 9).flushes);
        assert!(look(1700, 10).begins, "another time is another flush, however soon");
    }

    #[test]
    fn a_box_that_has_little_left_is_relieved_and_an_alert_where_that_does_not_suffice() {
        let (mut relief, config) = (Relief::default(), AlertConfig::default());
        let mut look = |percent: u64, at| {
            let of_box = BoxMemory { total: 100_000_000_000, available: 1_000_000_000 * percent };
            relief.look(holding(1), Some(of_box), &config, second(at))
        };
        assert_eq!(look(10, 0), Verdict { flushes: false, begins: false, held: Condition::Good, left: Condition::Good });
        assert_eq!(look(9, 1), Verdict { flushes: true, begins: true, held: Condition::Good, left: Condition::Good });
        assert_eq!(look(4, 2).left, Condition::Between);
        assert_eq!(look(4, 6).left, Condition::Bad("4000 MB of the box's memory are left".to_owned()));
        assert_eq!((look(5, 7).left, look(6, 8).left), (Condition::Between, Condition::Good));
    }

    #[test]
    fn what_is_not_known_does_not_run_short() {
        let verdict = Relief::default().look(None, None, &AlertConfig::default(), second(1));
        assert_eq!(verdict, Verdict { flushes: false, begins: false, held: Condition::Good, left: Condition::Good });
    }
}
