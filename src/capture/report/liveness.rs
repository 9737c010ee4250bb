//! [`Liveness`]: which threads of the capture have stopped doing their work, found by what they count.
//!
//! 1. A thread hangs where it has work, and the count of what it has done has not changed for a time. One without work is not judged.
//! 2. A thread that waits for something that is known is not hanging: a product whose disk is full, a connection that is being made.
//! 3. It reads counters that are there anyway and costs the threads nothing. The clock comes in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a thread shows of its work at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sign {
    /// The thread's name.
    pub thread: String,
    /// Whether it has work to do.
    pub has_work: bool,
    /// What it has done so far, in any unit that grows.
    pub done: u64,
    /// How much longer than others it may take.
    pub patience: Duration,
}

/// A thread that hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hanging {
    /// Its name.
    pub thread: String,
    /// For how long it has done nothing.
    pub lasts: Duration,
}

/// What was seen of every thread.
#[derive(Debug)]
pub(crate) struct Liveness {
    limit: Duration,
    seen: BTreeMap<String, (u64, Instant)>,
}

impl Liveness {
    /// Begins with nothing seen. A thread with work may do nothing for `limit`.
    #[must_use]
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, seen: BTreeMap::new() }
    }

    /// Takes the signs of all threads. Gives those that hang, the longest first.
    pub(crate) fn look(&mut self, signs: Vec<Sign>, now: Instant) -> Vec<Hanging> {
        let mut seen = BTreeMap::new();
        let mut hanging = Vec::new();
        for Sign { thread, has_work, done, patience } in signs {
            let since = match self.seen.get(&thread) {
                Some((before, since)) if has_work && *before == done => *since,
                _ => now,
            };
            let lasts = now.saturating_duration_since(since);
            if lasts > self.limit + patience {
                hanging.push(Hanging { thread: thread.clone(), lasts });
            }
            seen.insert(thread, (done, since));
        }
        self.seen = seen;
        hanging.sort_by(|one, other| other.lasts.cmp(&one.lasts).then_with(|| one.thread.cmp(&other.thread)));
        hanging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn sign(has_work: bool, done: u64) -> Vec<Sign> {
        vec![Sign { thread: "write:BTC-USD".to_owned(), has_work, done, patience: Duration::ZERO }]
    }

    #[test]
    fn a_thread_hangs_only_where_it_has_work_and_does_nothing_for_longer_than_the_limit() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut liveness = Liveness::new(LIMIT);
        assert!(liveness.look(sign(true, 7), at(0)).is_empty());
        assert!(liveness.look(sign(true, 7), at(10)).is_empty(), "the limit itself is allowed");
        let hanging = liveness.look(sign(true, 7), at(11));
        assert_eq!(hanging, [Hanging { thread: "write:BTC-USD".to_owned(), lasts: Duration::from_secs(11) }]);
        assert!(liveness.look(sign(true, 8), at(12)).is_empty(), "it goes on");
        assert!(liveness.look(sign(true, 8), at(22)).is_empty());
        assert!(liveness.look(sign(false, 8), at(23)).is_empty(), "without work there is nothing to do");
        assert!(liveness.look(sign(true, 8), at(33)).is_empty(), "its work is new");
        assert_eq!(liveness.look(sign(true, 8), at(34)).len(), 1);
        assert!(liveness.look(Vec::new(), at(99)).is_empty() && liveness.look(sign(true, 8), at(199)).is_empty(), "another thread");
    }

    #[test]
    fn the_thread_that_hangs_longest_comes_first_and_one_with_patience_later() {
        let start = Instant::now();
        let mut liveness = Liveness::new(LIMIT);
        let sign =
            |thread: &str, patience| Sign { thread: thread.to_owned(), has_work: true, done: 0, patience: Duration::from_secs(patience) };
        liveness.look(vec![sign("sync", 0)], start);
        liveness.look(vec![sign("sync", 0), sign("line:0.0", 0), sign("patient", 20)], start + Duration::from_secs(5));
        let names = |seconds, liveness: &mut Liveness| -> Vec<String> {
            let signs = vec![sign("sync", 0), sign("line:0.0", 0), sign("patient", 20)];
            liveness.look(signs, start + Duration::from_secs(seconds)).into_iter().map(|hanging| hanging.thread).collect()
        };
        assert_eq!(names(16, &mut liveness), ["sync", "line:0.0"]);
        assert_eq!(names(36, &mut liveness), ["sync", "line:0.0", "patient"]);
    }
}
