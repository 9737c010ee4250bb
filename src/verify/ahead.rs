//! [`AheadOfReceipt`]: records whose event time lies more than an hour after their receive time.
//!
//! Such records are wrong, unless several in a row say the same: then it is the clock of the machine that received them. So it is on days on which a capture
//! has said so.

use crate::record::LATEST_AHEAD_NANOS;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// Records in a row that agree on how far a clock is off: then it is the clock.
const CLOCK_CONFIRMATIONS: usize = 3;
/// How far they may differ, in nanoseconds.
const CLOCK_AGREES_NANOS: u64 = 3600 * NANOS_PER_SECOND;

/// A record that has a receive time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// The number of the record.
    pub number: usize,
    /// Its event time.
    pub time: UnixNanos,
    /// When it was received.
    pub recv: UnixNanos,
}

impl Received {
    /// Tells whether the event time lies too far after the receive time.
    #[inline]
    pub(super) const fn is_ahead(&self) -> bool {
        self.time.0 > self.recv.0.saturating_add(LATEST_AHEAD_NANOS)
    }

    fn agrees(&self, other: &Self) -> bool {
        self.time.since(self.recv).abs_diff(other.time.since(other.recv)) <= CLOCK_AGREES_NANOS
    }
}

/// The records of a day whose event times lie ahead, decided one after the other.
#[derive(Debug)]
pub(super) struct AheadOfReceipt {
    /// Whether a capture has said of the day that the clock of its machine was off.
    is_clock_off: bool,
    /// Records in a row that agree, as long as they are few.
    waiting: Vec<Received>,
    /// How many are no fault of theirs, as far as they are decided about.
    by_clock: u64,
}

impl AheadOfReceipt {
    pub(super) const fn new(is_clock_off: bool) -> Self {
        Self { is_clock_off, waiting: Vec::new(), by_clock: 0 }
    }

    /// Takes the next record. Gives those before it that are wrong.
    pub(super) fn see(&mut self, record: Received) -> Vec<Received> {
        if !record.is_ahead() {
            return self.settle();
        }
        let is_other = self.waiting.last().is_some_and(|before| !before.agrees(&record));
        let wrong = if is_other { self.settle() } else { Vec::new() };
        self.by_clock += 1;
        // Three say as much as a million.
        self.waiting.push(record);
        if self.waiting.len() > CLOCK_CONFIRMATIONS {
            self.waiting.remove(0);
        }
        wrong
    }

    /// Decides about those that wait. Gives those that are wrong.
    pub(super) fn settle(&mut self) -> Vec<Received> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.len() >= CLOCK_CONFIRMATIONS || self.is_clock_off {
            return Vec::new();
        }
        self.by_clock -= waiting.len() as u64;
        waiting
    }

    /// Tells whether no record waits.
    pub(super) const fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives the number of records that a clock has received too early.
    pub(super) const fn by_clock(&self) -> u64 {
        self.by_clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * NANOS_PER_SECOND;

    /// Gives the numbers of those that are wrong, and how many a clock explains. Each record lies so many hours ahead.
    fn decided(is_clock_off: bool, hours: &[u64]) -> (Vec<usize>, u64) {
        let mut ahead = AheadOfReceipt::new(is_clock_off);
        let mut wrong = Vec::new();
        for (number, hours) in hours.iter().enumerate() {
            let recv = UnixNanos((500_000 + number as u64) * HOUR);
            wrong.extend(ahead.see(Received { number, time: UnixNanos(recv.0 + hours * HOUR), recv }));
        }
        wrong.extend(ahead.settle());
        assert!(ahead.is_settled());
        (wrong.into_iter().map(|record| record.number).collect(), ahead.by_clock())
    }

    #[test]
    fn one_or_two_ahead_are_wrong_and_three_that_agree_are_the_clock() {
        assert_eq!(decided(false, &[0, 1, 0]), (vec![], 0));
        assert_eq!(decided(false, &[0, 2, 0, 5, 5]), (vec![1, 3, 4], 0));
        assert_eq!(decided(false, &[2, 2, 2, 0]), (vec![], 3));
        assert_eq!(decided(false, &[2, 2, 9, 9, 9, 9, 9, 0, 4]), (vec![0, 1, 8], 5));
        assert_eq!(decided(true, &[0, 2, 0, 5, 5]), (vec![], 3));
    }
}
