//! [`Falls`]: event times within a day that fall by more than the exchange's clock may, in order of ids.
//!
//! 1. Records that lie behind the latest one are a fall of the clock where [`CONFIRMATIONS`] in a row agree with each other, and as many before them agreed
//!    on the later time. A clock that is set forward and back again is such a fall.
//! 2. Otherwise the fewer ones are wrong: those behind, where the next record is back at the time before; those ahead, where the next ones stay behind.
//! 3. Of at most [`CONFIRMED_FALL_NANOS`], which a capture does not doubt, fewer ones are only *suspect*: a clock that steps for a second looks the same for
//!    a quiet product. They fall by more than [`CLOCK_FALL_NANOS`], and the records before and behind them agree with each other: their event times lie as
//!    far apart as their receive times. Where those are not known, they lie within [`CLOCK_FALL_NANOS`], and so do the receive times of the others as far as
//!    they are known. Whoever asks decides by what the tickers say.
//! 4. Those at the ends of a day have neighbours at one side only. Fewer than [`CONFIRMATIONS`] there are wrong where they fall by more than
//!    [`CONFIRMED_FALL_NANOS`], and not suspect otherwise.

use super::order::{CLOCK_FALL_NANOS, CONFIRMATIONS, CONFIRMED_FALL_NANOS, falls_by};
use crate::time::UnixNanos;

/// A record, by its number, and its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timed {
    /// The number of the record.
    pub number: usize,
    /// Its event time.
    pub time: UnixNanos,
    /// When it was received, where that is known.
    pub recv: Option<UnixNanos>,
}

/// Tells whether the clock of the exchange has not stepped from the records before to the next one. `all` are these, and those between and behind them.
fn is_steady<'a>(before: &[Timed], next: &Timed, all: impl Iterator<Item = &'a Timed>) -> bool {
    let (Some(first), Some(last)) = (before.first(), before.last()) else { return false };
    let is_near = |one: i128, other: i128| one.abs_diff(other) <= u128::from(CLOCK_FALL_NANOS);
    let apart = |one: UnixNanos, other: UnixNanos| i128::from(other.0) - i128::from(one.0);
    let passed = apart(last.time, next.time);
    match last.recv.zip(next.recv) {
        Some((received, next)) => is_near(passed, apart(received, next)),
        None => {
            let received = all.filter_map(|record| record.recv).fold(None, |range: Option<(UnixNanos, UnixNanos)>, recv| {
                Some(range.map_or((recv, recv), |(least, most)| (least.min(recv), most.max(recv))))
            });
            let is_soon = received.is_none_or(|(least, most)| is_near(apart(least, most), 0));
            is_soon && is_near(passed, 0) && is_near(apart(first.time, last.time), 0)
        }
    }
}

/// The latest event times before a record: a fall is measured from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Latest {
    /// The one that a wrong record falls from.
    far: Option<UnixNanos>,
    /// The one that a suspect record falls from.
    near: Option<UnixNanos>,
}

impl Latest {
    /// Tells whether a record falls from them.
    #[inline]
    pub(super) fn is_fallen_from(&self, time: UnixNanos) -> bool {
        self.near.is_some_and(|latest| falls_by(latest, time, CLOCK_FALL_NANOS))
            || self.far.is_some_and(|latest| falls_by(latest, time, CONFIRMED_FALL_NANOS))
    }

    /// Tells whether any of these records falls from them, or from a record before it.
    pub(super) fn is_any_fallen(self, times: &[u64]) -> bool {
        let falls = |latest: Option<UnixNanos>, most: u64| {
            let mut latest = latest.map_or(0, |latest| latest.0);
            times.iter().fold(false, |any, time| {
                latest = latest.max(*time);
                any | (latest - time > most)
            })
        };
        falls(self.near, CLOCK_FALL_NANOS) || (self.far > self.near && falls(self.far, CONFIRMED_FALL_NANOS))
    }

    /// Takes the time of a record that does not fall.
    #[inline]
    #[must_use]
    pub(super) fn with(self, time: UnixNanos) -> Self {
        Self { far: self.far.max(Some(time)), near: self.near.max(Some(time)) }
    }
}

/// The falls of a day.
#[derive(Debug)]
pub(super) struct Falls {
    far: Track,
    near: Track,
}

impl Default for Falls {
    fn default() -> Self {
        Self { far: Track::new(CONFIRMED_FALL_NANOS), near: Track::new(CLOCK_FALL_NANOS) }
    }
}

impl Falls {
    /// Takes the next record.
    #[inline]
    pub(super) fn see(&mut self, record: Timed) {
        self.far.see(record);
        self.near.see(record);
    }

    /// Gives the latest event times, where no record waits for a decision.
    pub(super) fn settled(&self) -> Option<Latest> {
        let is_settled = self.far.behind.is_empty() && self.near.behind.is_empty();
        is_settled.then_some(Latest { far: self.far.latest, near: self.near.latest })
    }

    /// Takes over records in a row that fall behind nothing: the latest event times and the last of them, at most [`CONFIRMATIONS`].
    pub(super) fn skip(&mut self, latest: Latest, last: &[Timed]) {
        for (track, latest) in [(&mut self.far, latest.far), (&mut self.near, latest.near)] {
            track.latest = latest;
            track.last.extend_from_slice(last);
            let more = track.last.len().saturating_sub(CONFIRMATIONS);
            track.last.drain(..more);
        }
    }

    /// Takes those found wrong since the last call.
    #[inline]
    pub(super) fn take_wrong(&mut self) -> impl Iterator<Item = Timed> + use<> {
        std::mem::take(&mut self.far.wrong).into_iter()
    }

    /// Takes those found suspect since the last call.
    #[inline]
    pub(super) fn take_suspect(&mut self) -> impl Iterator<Item = Timed> + use<> {
        std::mem::take(&mut self.near.wrong).into_iter()
    }

    /// Takes those that nothing has confirmed, at the end of the day.
    pub(super) fn take_last(&mut self) -> impl Iterator<Item = Timed> + use<> {
        std::mem::take(&mut self.far.behind).into_iter()
    }
}

/// The falls by more than a number of nanoseconds.
#[derive(Debug)]
struct Track {
    most: u64,
    latest: Option<UnixNanos>,
    /// The last records that are not behind, at most [`CONFIRMATIONS`].
    last: Vec<Timed>,
    /// Records in a row that are behind all before them, fewer than [`CONFIRMATIONS`].
    behind: Vec<Timed>,
    wrong: Vec<Timed>,
}

impl Track {
    const fn new(most: u64) -> Self {
        Self { most, latest: None, last: Vec::new(), behind: Vec::new(), wrong: Vec::new() }
    }

    const fn falls(&self, from: UnixNanos, to: UnixNanos) -> bool {
        falls_by(from, to, self.most)
    }

    const fn is_near(&self) -> bool {
        self.most < CONFIRMED_FALL_NANOS
    }

    #[inline]
    fn see(&mut self, record: Timed) {
        match self.latest {
            Some(latest) if self.falls(latest, record.time) => self.see_behind(record),
            _ => self.go_on(record),
        }
    }

    #[inline]
    fn go_on(&mut self, record: Timed) {
        if !self.behind.is_empty() {
            self.settle_behind(record);
        }
        self.latest = self.latest.max(Some(record.time));
        if self.last.len() == CONFIRMATIONS {
            self.last.rotate_left(1);
            self.last.pop();
        }
        self.last.push(record);
    }

    /// Decides about the fewer ones behind, now that a record is back at the time before.
    #[cold]
    fn settle_behind(&mut self, record: Timed) {
        let behind = std::mem::take(&mut self.behind);
        let is_wrong = |behind: &Timed| self.falls(record.time, behind.time) && (!self.is_near() || self.is_lone(behind, &record));
        let wrong: Vec<Timed> = behind.into_iter().filter(is_wrong).collect();
        self.wrong.extend(wrong);
    }

    /// Tells whether several records before one and the next one contradict it, by less than what is wrong by itself.
    fn is_lone(&self, behind: &Timed, next: &Timed) -> bool {
        let before = self.last.iter().filter(|before| self.falls(before.time, behind.time)).count();
        let is_far = self.latest.is_some_and(|latest| falls_by(latest, behind.time, CONFIRMED_FALL_NANOS));
        before > 1 && !is_far && is_steady(&self.last, next, self.last.iter().chain([behind, next]))
    }

    #[cold]
    fn see_behind(&mut self, record: Timed) {
        if !self.is_near() && self.behind.iter().any(|before| self.falls(before.time, record.time)) {
            self.wrong.append(&mut self.behind);
        }
        self.behind.push(record);
        if self.behind.len() < CONFIRMATIONS {
            return;
        }
        let times = || self.behind.iter().map(|record| record.time);
        let (Some(first), Some(latest), Some(next)) = (times().min(), times().max(), self.behind.first()) else { return };
        let (ahead, before): (Vec<Timed>, Vec<Timed>) = self.last.iter().copied().partition(|record| self.falls(record.time, first));
        if ahead.len() < CONFIRMATIONS {
            let is_wrong = |ahead: &Timed| {
                let is_far = falls_by(ahead.time, latest, CONFIRMED_FALL_NANOS);
                !self.is_near() || !is_far && is_steady(&before, next, self.last.iter().chain(&self.behind))
            };
            let wrong: Vec<Timed> = ahead.into_iter().filter(is_wrong).collect();
            self.wrong.extend(wrong);
        }
        self.last = std::mem::take(&mut self.behind);
        self.latest = Some(latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60 * 1_000_000_000;

    /// The numbers of those wrong, and of those suspect, among records of these event and receive times.
    fn found(records: impl IntoIterator<Item = (u64, Option<u64>)>) -> (Vec<usize>, Vec<usize>) {
        let mut falls = Falls::default();
        let (mut wrong, mut suspect) = (Vec::new(), Vec::new());
        for (number, (time, recv)) in records.into_iter().enumerate() {
            falls.see(Timed { number, time: UnixNanos(time), recv: recv.map(UnixNanos) });
            wrong.extend(falls.take_wrong().map(|record| record.number));
            suspect.extend(falls.take_suspect().map(|record| record.number));
        }
        wrong.extend(falls.take_last().map(|record| record.number));
        (wrong, suspect)
    }

    /// The numbers of those wrong among records at these minutes.
    fn wrong(minutes: &[u64]) -> Vec<usize> {
        found(minutes.iter().map(|minute| (minute * MINUTE, None))).0
    }

    /// The numbers of those suspect among records at these minutes, received at others.
    fn suspect(minutes: &[(u64, u64)]) -> Vec<usize> {
        found(minutes.iter().map(|(minute, recv)| (minute * MINUTE, Some(recv * MINUTE)))).1
    }

    /// The same, received a minute apart.
    fn suspect_of(minutes: &[u64]) -> Vec<usize> {
        suspect(&minutes.iter().copied().zip(5000..).collect::<Vec<_>>())
    }

    /// The numbers of those suspect among records at these seconds, of which nothing says when they were received.
    fn suspect_by_time(seconds: &[u64]) -> Vec<usize> {
        found(seconds.iter().map(|second| (second * MINUTE / 60, None))).1
    }

    #[test]
    fn few_that_others_contradict_are_wrong_and_a_stretch_that_agrees_is_a_clock() {
        let none: [usize; 0] = [];
        // An hour is only suspect.
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

    #[test]
    fn few_that_fall_by_minutes_are_suspect_where_both_sides_agree() {
        let none: [usize; 0] = [];
        // One and two, behind and ahead.
        assert_eq!(suspect_of(&[1000, 1001, 1002, 990, 1003, 1004]), [3]);
        assert_eq!(suspect_of(&[1000, 1001, 1002, 990, 991, 1005, 1006]), [3, 4]);
        assert_eq!(suspect_of(&[1000, 1001, 1002, 1030, 1003, 1004, 1005]), [3]);
        assert_eq!(suspect_of(&[1000, 1001, 1002, 1030, 1031, 1005, 1006, 1007]), [3, 4]);
        // A minute is nothing, and more than an hour is wrong by itself.
        assert_eq!(suspect_of(&[1000, 1001, 1002, 1001, 1003, 1004]), none);
        assert_eq!(suspect_of(&[1000, 1001, 1002, 900, 1003, 1004]), none);
        // A clock that is set forward and back, or back for good.
        assert_eq!(suspect_of(&[1000, 1001, 1002, 1030, 1031, 1032, 1003, 1004, 1005]), none);
        assert_eq!(suspect_of(&[1000, 1001, 1002, 970, 971, 972, 973]), none);
        // At the ends of a day nothing stands at the other side.
        assert_eq!(suspect_of(&[1000, 1001, 1002, 990]), none);
        assert_eq!(suspect_of(&[1030, 1001, 1002, 1003]), none);
    }

    #[test]
    fn without_receive_times_few_are_suspect_only_among_records_of_one_minute() {
        let none: [usize; 0] = [];
        assert_eq!(suspect_by_time(&[7000, 7010, 7020, 6900, 7030, 7040]), [3]);
        assert_eq!(suspect_by_time(&[7000, 7010, 7020, 7200, 7030, 7040, 7050]), [3]);
        // The clock may have been set back between the third and the fourth of one that trades once in a minute or two.
        assert_eq!(suspect_by_time(&[6900, 6960, 7020, 6900, 7030, 7040]), none);
        assert_eq!(suspect_by_time(&[7000, 7010, 7020, 6900, 7090, 7100]), none);
    }

    #[test]
    fn where_some_receive_times_are_known_they_must_lie_within_a_minute_too() {
        // The clock is set back by 20 minutes behind the fourth: what comes then is dated as the first ones, which REST supplied, as it did the fifth.
        let records = |received: [Option<u64>; 4]| {
            let [third, fourth, sixth, later] = received.map(|recv| recv.map(|second| second * MINUTE / 60));
            let times = [6899, 6899, 6900, 8056, 6839, 6839, 7995, 7995, 7995].map(|second| second * MINUTE / 60);
            times.into_iter().zip([None, None, third, fourth, None, sixth, later, later, later])
        };
        assert_eq!(found(records([Some(6900), Some(8056), Some(8056), Some(9213)])).1, Vec::<usize>::new());
        assert_eq!(found(records([Some(6900), None, Some(8056), Some(9213)])).1, Vec::<usize>::new());
        // Received with the others.
        let times = [7000, 7010, 7020, 7200, 7030, 7040, 7050].map(|second: u64| second * MINUTE / 60);
        let received = [None, Some(7010), None, Some(7021), None, Some(7040), Some(7050)];
        let records = times.into_iter().zip(received.map(|recv: Option<u64>| recv.map(|second| second * MINUTE / 60)));
        assert_eq!(found(records).1, [3]);
    }

    #[test]
    fn receive_times_show_a_clock_that_was_set_back_between_few_records() {
        let none: [usize; 0] = [];
        let steady = [(1000, 1000), (1001, 1001), (1002, 1002)];
        // Back by 100 minutes after 1002; the next records come hours apart, and the first of them lies behind.
        assert_eq!(suspect(&[&steady[..], &[(980, 1030), (1010, 1060), (1020, 1070)]].concat()), none);
        // Received with the others: it is the record that is wrong.
        assert_eq!(suspect(&[&steady[..], &[(980, 1003), (1010, 1010), (1020, 1020)]].concat()), [3]);
        // A record half an hour after the one before, and then the clock is set back by as much.
        assert_eq!(suspect(&[&steady[..], &[(1030, 1030), (1003, 1033), (1004, 1034), (1005, 1035)]].concat()), none);
        assert_eq!(suspect(&[&steady[..], &[(1030, 1003), (1003, 1003), (1004, 1004), (1005, 1005)]].concat()), [3]);
    }

    proptest! {
        #[test]
        fn one_misdated_by_minutes_is_suspect_wherever_it_lies_within_the_day(
            count in 9_usize..60,
            at in any::<proptest::sample::Index>(),
            off in 2_u64..50,
            is_ahead in any::<bool>(),
        ) {
            let at = 3 + at.index(count - 6);
            let mut seconds: Vec<u64> = (0..count as u64).map(|record| 1_000_000 + record * 2).collect();
            let received: Vec<u64> = seconds.iter().map(|second| second * MINUTE / 60).collect();
            let suspect_of = |seconds: &[u64], received: &[u64]| {
                found(seconds.iter().map(|second| second * MINUTE / 60).zip(received.iter().copied().map(Some))).1
            };
            prop_assert_eq!(suspect_by_time(&seconds), Vec::<usize>::new());
            prop_assert_eq!(suspect_of(&seconds, &received), Vec::<usize>::new());
            let second = &mut seconds[at];
            *second = if is_ahead { *second + off * 60 } else { *second - off * 60 };
            prop_assert_eq!(suspect_by_time(&seconds), [at]);
            prop_assert_eq!(suspect_of(&seconds, &received), [at]);
        }

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
            // They come a minute apart, whatever the clock says.
            let received: Vec<(u64, u64)> = minutes.iter().copied().zip(1_000_000..).collect();
            prop_assert_eq!(suspect(&received), Vec::<usize>::new());
        }
    }
}
