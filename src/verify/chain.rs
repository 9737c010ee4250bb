//! A product's chain of trade ids: [`Link`]s, one a trade, and the runs of consecutive ones that a day's file holds.

use crate::time::{UnixNanos, UtcDay};

/// A trade's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The day whose file holds it.
    pub date: UtcDay,
    /// Its id.
    pub id: u64,
    /// Its event time.
    pub time: UnixNanos,
}

/// Consecutive ids in the file of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Its first trade.
    pub first: Link,
    /// Its last trade.
    pub last: Link,
}

/// Collects the runs of one day from its trades in stored order.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// Adds the next trade.
    pub(super) fn push(&mut self, link: Link) {
        self.push_run(Run { first: link, last: link });
    }

    /// Adds the next trades.
    pub(super) fn push_run(&mut self, next: Run) {
        match self.runs.last_mut() {
            Some(run) if run.last.id.checked_add(1) == Some(next.first.id) => run.last = next.last,
            _ => self.runs.push(next),
        }
    }

    /// Gives the runs.
    #[must_use]
    pub(super) fn into_vec(self) -> Vec<Run> {
        self.runs
    }
}
