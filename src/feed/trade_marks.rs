//! [`TradeMarks`]: whether a trade belongs to the series of ids that its product has, or is to be doubted. No I/O, no clock.
//!
//! Trade ids and event times rise together. A trade whose id is lower than the highest although it happened later than all others contradicts that; so does
//! an id that leaps, or a time that does.
//!
//! 1. A trade is doubted where its id lies more than [`ABSURD_JUMP`] from the highest and is not known to be missing; where its id is stored already with
//!    other fields, or is below the first, although it happened later; where its event time does not fit ([`event_time`]); and where no trade is known yet.
//! 2. What is stored already with equal fields is a copy, however old: a line that lags is no new series.
//! 3. An id that is known to be missing is wanted, whatever its distance.
//! 4. Doubts are settled in [`doubts`](super::doubts). Confirmed, trades of lower ids that happened later than all before are another series. All others belong
//!    to this one.

use super::continuity::{ABSURD_JUMP, Continuity};
use super::doubts::{AGREEMENT, Mark};
use super::event_time;
use crate::time::UnixNanos;

/// What is stored under the id of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Nothing.
    Nothing,
    /// The same trade.
    Same,
    /// The same trade with another event time: no other trade has its order ids, price, size and side.
    Retold,
    /// Another trade.
    Other,
}

/// Why a trade is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TradeDoubt {
    /// Nothing is known that it could be compared with.
    First,
    /// Its id lies too far ahead.
    Ahead,
    /// Its id lies behind others although it happened later, or lies too far behind.
    Behind,
    /// Its event time does not fit.
    Time,
}

/// What a trade is to the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It belongs to it: the next one, one that is missing, one that came early or late, or a copy.
    Belongs,
    /// Another trade of its id is stored, and nothing speaks for another series.
    Conflicts,
    /// It waits until something settles it.
    Doubted(TradeDoubt),
}

/// The edges of a series of trades.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TradeMarks {
    /// The lowest trade known.
    first: Option<Mark>,
    /// The newest event time.
    newest: UnixNanos,
}

impl TradeMarks {
    /// Continues a series of which the oldest trade in question and the newest event time are known.
    #[must_use]
    pub(crate) const fn continuing(first: Option<Mark>, newest: UnixNanos) -> Self {
        Self { first, newest }
    }

    /// Tells whether the series began after a trade happened.
    #[must_use]
    pub(crate) fn began_after(&self, time: UnixNanos) -> bool {
        self.first.is_some_and(|first| time < first.time)
    }

    /// Tells whether the time of the trade next in turn fits.
    #[inline]
    #[must_use]
    pub(crate) fn time_fits(&self, time: UnixNanos, recv: UnixNanos) -> bool {
        event_time::fits(time, self.newest, recv)
    }

    /// Judges a trade by its id and time. `stored` is asked only where it matters.
    #[must_use]
    pub(crate) fn judge(&self, chain: &Continuity, mark: Mark, recv: UnixNanos, stored: impl FnOnce() -> Stored) -> Judgement {
        let Some(last) = chain.last() else { return Judgement::Doubted(TradeDoubt::First) };
        if mark.key > last {
            return match mark.key - last {
                ahead if ahead > ABSURD_JUMP && !chain.missing().contains(mark.key) => Judgement::Doubted(TradeDoubt::Ahead),
                _ if !self.time_fits(mark.time, recv) => Judgement::Doubted(TradeDoubt::Time),
                _ => Judgement::Belongs,
            };
        }
        let is_later = mark.time > self.newest;
        match stored() {
            Stored::Same => Judgement::Belongs,
            Stored::Other if is_later => Judgement::Doubted(TradeDoubt::Behind),
            Stored::Other | Stored::Retold => Judgement::Conflicts,
            // A trade that comes as it happens and fills a gap is not hours old.
            Stored::Nothing if chain.missing().contains(mark.key) && recv.0 != 0 && !self.time_fits(mark.time, recv) => {
                Judgement::Doubted(TradeDoubt::Time)
            }
            Stored::Nothing if chain.missing().contains(mark.key) => Judgement::Belongs,
            Stored::Nothing => {
                let is_below_and_later = self.first.is_some_and(|first| mark.key < first.key && mark.time > first.time);
                let is_far = last - mark.key > ABSURD_JUMP;
                if is_later || is_below_and_later || is_far { Judgement::Doubted(TradeDoubt::Behind) } else { Judgement::Belongs }
            }
        }
    }

    /// Takes note of a trade that is stored and whose id is the highest, or the lowest.
    #[inline]
    pub(crate) fn note(&mut self, mark: Mark) {
        self.newest = self.newest.max(mark.time);
        if self.first.is_none_or(|first| mark.key < first.key) {
            self.first = Some(mark);
        }
    }

    /// Takes back the newest event time, after it was confirmed that times have fallen.
    pub(crate) const fn set_newest(&mut self, time: UnixNanos) {
        self.newest = time;
    }

    /// Tells whether a trade that goes on with the series contradicts a doubted one.
    #[must_use]
    pub(crate) fn denies(going_on: Mark, doubted: Mark, doubt: TradeDoubt) -> bool {
        match doubt {
            // Nothing can go on with a series that is not there.
            TradeDoubt::First => false,
            TradeDoubt::Ahead | TradeDoubt::Behind => going_on.time >= doubted.time,
            TradeDoubt::Time => going_on.key > doubted.key && !event_time::are_near(going_on.time, doubted.time),
        }
    }

    /// Tells whether both trades beside one contradict its event time: they agree with each other, and it happened long before the one or long after the other.
    #[must_use]
    pub(crate) fn is_misdated(mark: Mark, before: Option<Mark>, after: Option<Mark>) -> bool {
        let (Some(before), Some(after)) = (before, after) else { return false };
        let slack = event_time::TIME_SLACK_NANOS;
        let agree = before.time.0 <= after.time.0.saturating_add(slack);
        agree && (mark.time.0.saturating_add(slack) < before.time.0 || mark.time.0 > after.time.0.saturating_add(slack))
    }

    /// Tells whether confirmed trades begin another series: their ids lie behind although they did not happen before the newest.
    #[must_use]
    pub(crate) fn begins_anew(&self, run: impl IntoIterator<Item = (Mark, TradeDoubt)>) -> bool {
        run.into_iter().all(|(mark, doubt)| doubt == TradeDoubt::Behind && mark.time >= self.newest)
    }

    /// Tells whether a heartbeat that names this id may confirm doubted trades: it names none that the series may have just now.
    #[must_use]
    pub(crate) fn heartbeat_settles(chain: &Continuity, id: u64) -> bool {
        chain.last().is_none_or(|last| last.abs_diff(id) > 10 * AGREEMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdRange;

    const NOW: u64 = 1_800_000_000_000_000_000;

    /// Ids 5 000 000 to 5 000 100, the last one at [`NOW`], a millisecond apart; 5 000 050 to 5 000 059 are missing.
    fn series() -> (TradeMarks, Continuity) {
        let mut chain = Continuity::after(Some(5_000_100));
        chain.mark_missing(IdRange::new(5_000_050, 5_000_059).expect("a range"));
        let first = Mark { key: 5_000_000, time: UnixNanos(NOW - 100_000_000) };
        (TradeMarks::continuing(Some(first), UnixNanos(NOW)), chain)
    }

    #[test]
    fn each_rule_has_its_judgement() {
        use Judgement::{Belongs, Conflicts, Doubted};
        let (marks, chain) = series();
        let hours = 7_200_000_000_000;
        for (key, time, stored, want) in [
            (5_000_101, NOW + 1, Stored::Nothing, Belongs),
            (5_000_101, NOW - hours, Stored::Nothing, Doubted(TradeDoubt::Time)),
            (5_000_101, NOW + hours, Stored::Nothing, Doubted(TradeDoubt::Time)),
            (6_000_100, NOW + 1, Stored::Nothing, Belongs),
            (6_000_101, NOW + 1, Stored::Nothing, Doubted(TradeDoubt::Ahead)),
            (u64::MAX, NOW + 1, Stored::Nothing, Doubted(TradeDoubt::Ahead)),
            (5_000_099, NOW - 1, Stored::Same, Belongs),
            (5_000_099, NOW + 1, Stored::Same, Belongs),
            (5_000_099, NOW - 1, Stored::Other, Conflicts),
            (5_000_099, NOW + 1, Stored::Other, Doubted(TradeDoubt::Behind)),
            (5_000_099, NOW + 1, Stored::Retold, Conflicts),
            (5_000_055, NOW - 1, Stored::Nothing, Belongs),
            (5_000_055, NOW + 1, Stored::Nothing, Belongs),
            (5_000_055, NOW - hours, Stored::Nothing, Doubted(TradeDoubt::Time)),
            (5_000_055, NOW + hours, Stored::Nothing, Doubted(TradeDoubt::Time)),
            (4_999_999, NOW - hours, Stored::Nothing, Belongs),
            (4_999_999, NOW - 1, Stored::Nothing, Doubted(TradeDoubt::Behind)),
            (4_000_099, NOW - hours, Stored::Nothing, Doubted(TradeDoubt::Behind)),
            (5, NOW + 1, Stored::Nothing, Doubted(TradeDoubt::Behind)),
        ] {
            let judged = marks.judge(&chain, Mark { key, time: UnixNanos(time) }, UnixNanos(NOW), || stored);
            assert_eq!(judged, want, "{key} at {time}, {stored:?}");
        }
        let first =
            TradeMarks::default().judge(&Continuity::default(), Mark { key: 7, time: UnixNanos(NOW) }, UnixNanos(NOW), || Stored::Nothing);
        assert_eq!(first, Doubted(TradeDoubt::First));
    }

    #[test]
    fn only_later_trades_of_lower_ids_begin_another_series() {
        let (marks, _) = series();
        let run = |times: [u64; 3], doubt| times.map(|time| (Mark { key: 5, time: UnixNanos(time) }, doubt));
        assert!(marks.begins_anew(run([NOW + 1, NOW + 2, NOW + 3], TradeDoubt::Behind)));
        assert!(!marks.begins_anew(run([NOW - 1, NOW + 2, NOW + 3], TradeDoubt::Behind)));
        assert!(!marks.begins_anew(run([NOW + 1, NOW + 2, NOW + 3], TradeDoubt::Ahead)));
    }

    #[test]
    fn a_trade_that_both_neighbours_contradict_is_misdated() {
        let mark = |time: u64| Mark { key: 1, time: UnixNanos(time) };
        let day = 86_400_000_000_000;
        let is_misdated = |time, before, after| TradeMarks::is_misdated(mark(time), before, after);
        assert!(is_misdated(NOW - day, Some(mark(NOW)), Some(mark(NOW))) && is_misdated(NOW + day, Some(mark(NOW)), Some(mark(NOW))));
        assert!(!is_misdated(NOW, Some(mark(NOW)), Some(mark(NOW))) && !is_misdated(NOW - day, None, Some(mark(NOW))));
        assert!(!is_misdated(NOW - day, Some(mark(NOW)), Some(mark(NOW - day))), "the neighbours contradict each other");
    }
}
