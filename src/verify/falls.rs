//! [`Falls`]: event times within a day that fall by more than the exchange's clock may, in order of ids.
//!
//! What falls by less than a capture would doubt ([`CONFIRMED_FALL_NANOS`]) is as the exchange sent it, and in the file of its day.
//!
//! 1. Records that lie behind the latest one are a fall of the clock where [`CONFIRMATIONS`] in a row agree with each other, and as many before them agreed
//!    on the later time. A clock that is set forward and back again is such a fall.
//! 2. Otherwise the fewer ones are wrong: those behind, where the next record is back at the time before; those ahead, where the next ones stay behind.

use super::order::{CONFIRMATIONS, CONFIRMED_FALL_NANOS, falls_by};
use crate::time::UnixNanos;

const fn falls(from: UnixNanos, to: UnixNanos) -> bool {
    falls_by(from, to, CONFIRMED_FALL_NANOS)
}

/// A record, by its number, and its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timed {
    /// The number of the record.
    pub number: usize,
    /// Its event time.
    pub time: UnixNanos,
}

/// The falls of a day.
#[derive(Debug, Default)]
pub(super) struct Falls {
    latest: Option<UnixNanos>,
    /// The last records that are not behind, at most [`CONFIRMATIONS`].
    last: Vec<Timed>,
    /// Records in a row that are behind all before them, fewer than [`CONFIRMATIONS`].
    behind: Vec<Timed>,
    wrong: Vec<Timed>,
}

impl Falls {
    /// Takes the next record.
    #[inline]
    pub(super) fn see(&mut self, record: Timed) {
        match self.latest {
            Some(latest) if falls(latest, record.time) => self.see_behind(record),
            _ => self.go_on(record),
        }
    }

    /// Gives the latest event time that others confirm, where no record waits for a decision. There is none before the first record.
    pub(super) fn settled(&self) -> Option<Option<UnixNanos>> {
        self.behind.is_empty().then_some(self.latest)
    }

    /// Takes over records in a row that fall behind nothing: the latest event time and the last of them, at most [`CONFIRMATIONS`].
    pub(super) fn skip(&mut self, latest: Option<UnixNanos>, last: Vec<Timed>) {
        self.latest = latest;
        self.last.extend(last);
        let more = self.last.len().saturating_sub(CONFIRMATIONS);
        self.last.drain(..more);
    }

    fn go_on(&mut self, record: Timed) {
        self.wrong.extend(self.behind.drain(..).filter(|behind| falls(record.time, behind.time)));
        self.latest = self.latest.max(Some(record.time));
        if self.last.len() == CONFIRMATIONS {
            self.last.rotate_left(1);
            self.last.pop();
        }
        self.last.push(record);
    }

    #[cold]
    fn see_behind(&mut self, record: Timed) {
        if self.behind.iter().any(|before| falls(before.time, record.time)) {
            self.wrong.append(&mut self.behind);
        }
        self.behind.push(record);
        if self.behind.len() < CONFIRMATIONS {
            return;
        }
        let Some(first) = self.behind.iter().map(|record| record.time).min() else { return };
        let ahead: Vec<Timed> = self.last.iter().copied().filter(|record| falls(record.time, first)).collect();
        if ahead.len() < CONFIRMATIONS {
            self.wrong.extend(ahead);
        }
        self.last = std::mem::take(&mut self.behind);
        self.latest = self.last.iter().map(|record| record.time).max();
    }

    /// Takes those found wrong since the last call.
    #[inline]
    pub(super) fn take_wrong(&mut self) -> impl Iterator<Item = Timed> + use<> {
        std::mem::take(&mut self.wrong).into_iter()
    }

    /// Takes those that nothing has confirmed, at the end of the day.
    pub(super) fn take_last(&mut self) -> impl Iterator<Item = Timed> + use<> {
        std::mem::take(&mut self.behind).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The numbers of those wrong among records at these minutes.
    fn wrong(minutes: &[u64]) -> Vec<usize> {
        let mut falls = Falls::default();
        let mut wrong = Vec::new();
        for (number, minute) in minutes.iter().enumerate() {
            falls.see(Timed { number, time: UnixNanos(minute * 60_000_000_000) });
            wrong.extend(falls.take_wrong().map(|record| record.number));
        }
        wrong.extend(falls.take_last().map(|record| record.number));
        wrong
    }

    #[test]
    fn few_that_others_contradict_are_wrong_and_a_stretch_that_agrees_is_a_clock() {
        let none: [usize; 0] = [];
        // An hour is nothing.
        assert_eq!(wrong(&[1000, 1001, 1002, 942, 1003, 1004, 1005]), none);
        // One and two behind, at the end as well.
        assert_eq!(wrong(&[1000, 1001, 1002, 800, 1003, 1004]), [3]);
        assert_eq!(wrong(&[1000, 1001, 1002, 800, 801, 1003, 1004]), [3, 4]);
        assert_eq!(wrong(&[1000, 1001, 1002, 800]), [3]);
        // Behind, and behind one another.
        assert_eq!(wrong(&[1000, 1001, 1002, 800, 600, 400, 1003]), [3, 4, 5]);
        // One and two ahead, at the beginning as well.
        assert_eq!(wrong(&[1000, 1001, 1002, 1200, 1003, 1004, 1005]), [3]);
        assert_eq!(wrong(&[1000, 1001, 1002, 1200, 1201, 1003, 1004, 1005]), [3, 4]);
        assert_eq!(wrong(&[1200, 1003, 1004, 1005]), [0]);
        // The clock is set forward and back.
        assert_eq!(wrong(&[1000, 1001, 1002, 1200, 1201, 1202, 1003, 1004, 1005]), none);
        // It is set back for good.
        assert_eq!(wrong(&[1000, 1001, 1002, 800, 801, 802, 803]), none);
    }

    proptest! {
        #[test]
        fn one_misdated_record_is_found_wherever_it_lies(
            count in 7_usize..60,
            at in any::<proptest::sample::Index>(),
            off in prop_oneof![62_u64..100_000, 62_u64..200],
            is_ahead in any::<bool>(),
        ) {
            let at = 3 + at.index(count - 6);
            let mut minutes: Vec<u64> = (0..count as u64).map(|minute| 1_000_000 + minute / 7).collect();
            prop_assert_eq!(wrong(&minutes), Vec::<usize>::new());
            let minute = &mut minutes[at];
            *minute = if is_ahead { *minute + off + 9 } else { *minute - off };
            prop_assert_eq!(wrong(&minutes), [at]);
        }

        #[test]
        fn stretches_that_agree_with_themselves_are_a_clock(steps in proptest::collection::vec((0_u64..10_000, 3_usize..20), 1..8)) {
            let minutes: Vec<u64> = steps.iter().flat_map(|(step, count)| (0..*count as u64).map(move |at| 1_000_000 + step + at)).collect();
            prop_assert_eq!(wrong(&minutes), Vec::<usize>::new());
        }
    }
}
