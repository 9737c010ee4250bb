//! [`TickerMarks`]: whether a ticker is newer than those stored, a copy of one of them, or to be doubted. No I/O, no clock.
//!
//! Sequences and event times rise together, and what is stored cannot be looked up, as tickers have no unique key in every column set. So copies are told by
//! both: a ticker that is neither newer by its sequence nor by its event time came before.
//!
//! 1. A sequence that falls although the ticker happened later is doubted, and so is one that leaps by more than [`JUMP_FACTOR`] times the longest jump of the
//!    last hour, or a time that does not fit ([`event_time`]).
//!    One that leaps further than the exchange can count in that time is believed only if others confirm it.
//! 2. The first ticker is believed. Where it was absurd, the real ones behind it are confirmed as a sequence that begins anew.
//! 3. A ticker without a sequence is judged by its time alone.

use super::doubts::Mark;
use super::event_time;
use crate::record::Ticker;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How many times the longest jump of the last hour a sequence may jump.
pub(crate) const JUMP_FACTOR: u64 = 1000;

/// Jumps that have to be known before they tell what is usual.
const KNOWN_JUMPS: u32 = 10;

/// The longest jump that is believed before that.
const UNKNOWN_JUMP: u64 = 1_000_000;

/// More sequences than a product counts in a second: the busiest products have had some thousands of order book messages a second.
const SEQUENCES_PER_SECOND: u64 = 100_000;

/// Half of the time for which a jump counts, in nanoseconds of event time.
const HALF_HOUR_NANOS: u64 = 1_800_000_000_000;

/// Why a ticker is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickerDoubt {
    /// Its sequence leaps ahead.
    Ahead,
    /// Its sequence falls although it happened later.
    Behind,
    /// Its event time does not fit.
    Time,
}

/// What a ticker is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickerJudgement {
    /// It is newer.
    Newer,
    /// It came before.
    Stale,
    /// It waits until something settles it.
    Doubted(TickerDoubt),
}

/// The longest jumps of the last hour.
#[derive(Debug, Clone, Copy, Default)]
struct Jumps {
    count: u32,
    /// In this half hour, and in the one before that had any.
    longest: [u64; 2],
    half_hour: u64,
}

impl Jumps {
    #[inline]
    fn note(&mut self, jump: u64, time: UnixNanos) {
        let half_hour = time.0 / HALF_HOUR_NANOS;
        if half_hour > self.half_hour {
            self.longest = [0, if self.longest[0] > 0 { self.longest[0] } else { self.longest[1] }];
            self.half_hour = half_hour;
        }
        self.longest[0] = self.longest[0].max(jump);
        self.count = self.count.saturating_add(1);
    }

    fn is_usual(&self, jump: u64) -> bool {
        let longest = self.longest[0].max(self.longest[1]).max(1);
        jump <= longest.saturating_mul(JUMP_FACTOR) || (self.count < KNOWN_JUMPS && jump <= UNKNOWN_JUMP)
    }
}

/// Where the stored tickers end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredEnd {
    /// The sequence of the last one, where 0 is none, and the newest event time.
    pub(crate) last: Mark,
    /// The lowest sequence stored at the newest event time.
    pub(crate) lowest: u64,
    /// The trade that the last one tells of; 0 where that is not known.
    pub(crate) trade_id: u64,
}

/// The edges of a product's tickers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TickerMarks {
    /// The last one with a sequence.
    last: Option<u64>,
    /// The one before it; nothing where that is not known.
    before: Option<u64>,
    newest: UnixNanos,
    /// When the sequences began anew: what happened before that came before.
    began: UnixNanos,
    /// The lowest sequence stored at the newest event time.
    lowest_of_newest: u64,
    /// The trade that the last ticker tells of; 0 where it names none.
    last_trade: u64,
    jumps: Jumps,
}

impl Default for TickerMarks {
    /// No ticker is stored: before the first one there was none.
    fn default() -> Self {
        Self {
            last: None,
            before: Some(0),
            newest: UnixNanos(0),
            began: UnixNanos(0),
            lowest_of_newest: 0,
            last_trade: 0,
            jumps: Jumps::default(),
        }
    }
}

impl TickerMarks {
    /// Continues behind what is stored.
    #[must_use]
    pub(crate) fn continuing(end: Option<StoredEnd>) -> Self {
        let Some(StoredEnd { last: Mark { key, time }, lowest, trade_id }) = end else { return Self::default() };
        let last = Some(key).filter(|key| *key != 0);
        // Nothing tells whether the last one was right, so nothing that comes now is held to be the right one before it.
        Self { last, before: None, newest: time, lowest_of_newest: lowest.min(key), last_trade: trade_id, ..Self::default() }
    }

    /// Begins with a series of trades that began at `time`.
    #[must_use]
    pub(crate) fn beginning(time: UnixNanos) -> Self {
        Self { began: time, ..Self::default() }
    }

    /// Gives the sequence of the last ticker that has one.
    #[must_use]
    pub(crate) const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Gives the trade that the last ticker with a sequence tells of; 0 where it names none, or that is not known.
    #[must_use]
    pub(crate) const fn last_trade(&self) -> u64 {
        self.last_trade
    }

    /// Judges a ticker by its time of receipt as it is.
    #[cfg(test)]
    fn judge(&self, ticker: &Ticker) -> TickerJudgement {
        self.judge_at(ticker, ticker.recv)
    }

    /// Judges a ticker. `latest` is its time of receipt, on a clock that is right.
    #[inline]
    #[must_use]
    pub(crate) fn judge_at(&self, ticker: &Ticker, latest: UnixNanos) -> TickerJudgement {
        if ticker.time < self.began {
            return TickerJudgement::Stale;
        }
        let fits = event_time::fits(ticker.time, self.newest, latest);
        match self.last {
            Some(last) if ticker.sequence > last => {
                if !self.jumps.is_usual(ticker.sequence - last) {
                    TickerJudgement::Doubted(TickerDoubt::Ahead)
                } else if fits {
                    TickerJudgement::Newer
                } else {
                    TickerJudgement::Doubted(TickerDoubt::Time)
                }
            }
            Some(last) if ticker.sequence != 0 => self.judge_lower(ticker, last),
            // Without one before it every time fits.
            _ if fits || self.newest.0 == 0 => TickerJudgement::Newer,
            _ => TickerJudgement::Doubted(TickerDoubt::Time),
        }
    }

    #[cold]
    fn judge_lower(&self, ticker: &Ticker, last: u64) -> TickerJudgement {
        // Of one moment, as the fills of one order are, the trades tell which came first.
        let is_of_earlier_trade = ticker.trade_id != 0 && ticker.trade_id < self.last_trade;
        let is_among_newest = (self.lowest_of_newest..=last).contains(&ticker.sequence) || is_of_earlier_trade;
        let came_before = ticker.time < self.newest || ticker.time == self.newest && is_among_newest;
        if came_before { TickerJudgement::Stale } else { TickerJudgement::Doubted(TickerDoubt::Behind) }
    }

    /// Takes note of a ticker that is stored and was not doubted.
    #[inline]
    pub(crate) fn note(&mut self, ticker: &Ticker) {
        if ticker.sequence != 0 {
            if let Some(last) = self.last {
                self.jumps.note(ticker.sequence.saturating_sub(last), ticker.time);
                self.before = Some(last);
            }
            self.last = Some(ticker.sequence);
            self.last_trade = ticker.trade_id;
        }
        if ticker.time > self.newest {
            (self.newest, self.lowest_of_newest) = (ticker.time, ticker.sequence);
        }
    }

    /// Takes note of a ticker that was doubted, is believed now and is stored: sequences and times go on from it.
    pub(crate) const fn restart(&mut self, ticker: &Ticker) {
        if ticker.sequence != 0 {
            self.before = Some(0);
            self.last_trade = ticker.trade_id;
            if let Some(last) = self.last
                && ticker.sequence <= last
            {
                self.began = ticker.time;
            }
            self.last = Some(ticker.sequence);
        }
        (self.newest, self.lowest_of_newest) = (ticker.time, ticker.sequence);
    }

    /// Tells whether a doubted ticker stands between the one before the last and a newer one, by sequence and by time.
    #[must_use]
    pub(crate) fn is_between(&self, doubted: &Ticker, newer: &Ticker) -> bool {
        let Some(before) = self.before else { return false };
        (before.saturating_add(1)..newer.sequence).contains(&doubted.sequence) && (self.newest..=newer.time).contains(&doubted.time)
    }

    /// Tells whether a ticker that nothing has confirmed or contradicted may be believed: a sequence that leaps further than the exchange can have counted
    /// since the newest ticker is wrong, however quiet the market is.
    #[must_use]
    pub(crate) fn may_be_right(&self, doubted: &Ticker, doubt: TickerDoubt) -> bool {
        let Some(last) = self.last.filter(|_| doubt == TickerDoubt::Ahead) else { return true };
        let seconds = doubted.time.0.saturating_sub(self.newest.0) / NANOS_PER_SECOND;
        doubted.sequence.saturating_sub(last) <= UNKNOWN_JUMP.saturating_add(seconds.saturating_mul(SEQUENCES_PER_SECOND))
    }

    /// Tells whether a newer ticker contradicts a doubted one.
    #[must_use]
    pub(crate) fn denies(newer: &Ticker, doubted: &Ticker, doubt: TickerDoubt) -> bool {
        match doubt {
            TickerDoubt::Ahead | TickerDoubt::Behind => newer.time >= doubted.time,
            TickerDoubt::Time => !event_time::are_near(newer.time, doubted.time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Layout, Md};

    const NOW: u64 = 1_800_000_000_000_000_000;

    fn ticker(sequence: u64, millis: u64) -> Ticker {
        let time = UnixNanos(NOW + millis * 1_000_000);
        Ticker { sequence, time, recv: time, ..Md::EMPTY }
    }

    fn after(sequences: std::ops::Range<u64>) -> TickerMarks {
        let mut marks = TickerMarks::default();
        sequences.enumerate().for_each(|(at, sequence)| marks.note(&ticker(sequence, at as u64)));
        marks
    }

    #[test]
    fn each_rule_has_its_judgement() {
        use TickerJudgement::{Doubted, Newer, Stale};
        let marks = after(1000..1100);
        for (sequence, millis, want) in [
            (1100, 100, Newer),
            (1099 + JUMP_FACTOR, 100, Newer),
            (1100 + JUMP_FACTOR, 100, Doubted(TickerDoubt::Ahead)),
            (u64::MAX, 100, Doubted(TickerDoubt::Ahead)),
            (1099, 99, Stale),
            (1098, 98, Stale),
            (1098, 99, Doubted(TickerDoubt::Behind)),
            (5, 98, Stale),
            (5, 100, Doubted(TickerDoubt::Behind)),
            (0, 100, Newer),
        ] {
            assert_eq!(marks.judge(&ticker(sequence, millis)), want, "{sequence} at {millis}");
        }
        let yesterday = Ticker { time: UnixNanos(NOW - 86_400_000_000_000), ..ticker(1100, 100) };
        assert_eq!(marks.judge(&yesterday), Doubted(TickerDoubt::Time));
        assert_eq!(marks.judge(&Ticker { sequence: 0, ..yesterday }), Doubted(TickerDoubt::Time));
        assert_eq!(TickerMarks::default().judge(&ticker(1 << 60, 0)), Newer, "the first");
    }

    #[test]
    fn what_is_usual_is_what_the_last_hour_had() {
        let mut marks = after(1000..1100);
        marks.note(&ticker(1600, 200));
        assert_eq!(marks.judge(&ticker(1600 + 500 * JUMP_FACTOR, 300)), TickerJudgement::Newer);
        let half_hour = HALF_HOUR_NANOS / 1_000_000;
        for half in 1..=2 {
            marks.note(&ticker(1600 + half, 300 + half * half_hour));
        }
        assert_eq!(marks.judge(&ticker(1602 + 2 * JUMP_FACTOR, 400 + 2 * half_hour)), TickerJudgement::Doubted(TickerDoubt::Ahead));
    }

    #[test]
    fn a_copy_of_what_was_stored_before_a_restart_of_the_capture_begins_nothing_anew() {
        let last = Mark { key: 1099, time: ticker(1099, 99).time };
        let marks = TickerMarks::continuing(Some(StoredEnd { last, lowest: 1097, trade_id: 50 }));
        for copy in [ticker(1099, 99), ticker(1098, 99), ticker(1097, 99), ticker(1098, 98), ticker(3, 98)] {
            assert_eq!(marks.judge(&copy), TickerJudgement::Stale, "{}", copy.sequence);
        }
        assert_eq!(
            marks.judge(&Ticker { trade_id: 49, ..ticker(1096, 99) }),
            TickerJudgement::Stale,
            "of an earlier trade of the same moment"
        );
        // What may not have been stored of the same moment waits. The next ticker does not tell that the last one was wrong.
        assert_eq!(marks.judge(&ticker(1096, 99)), TickerJudgement::Doubted(TickerDoubt::Behind));
        assert!(!marks.is_between(&ticker(1096, 99), &ticker(1100, 100)), "nothing is known of what was before the last one");
    }

    #[test]
    fn fills_of_one_order_that_come_in_disorder_begin_nothing_anew() {
        let of = |sequence, trade_id| Ticker { trade_id, ..ticker(sequence, 100) };
        let mut marks = after(1000..1100);
        marks.note(&of(1110, 60));
        for (sequence, trade_id) in [(1102, 52), (1104, 54), (1109, 59)] {
            assert_eq!(marks.judge(&of(sequence, trade_id)), TickerJudgement::Stale);
        }
        // The same trade with another sequence: one of both is wrong.
        assert_eq!(marks.judge(&of(1102, 60)), TickerJudgement::Doubted(TickerDoubt::Behind));
    }

    #[test]
    fn a_lone_sequence_further_ahead_than_time_allows_is_never_right() {
        let marks = after(1000..1100);
        let may_be = |sequence, seconds: u64| marks.may_be_right(&ticker(sequence, 99 + 1000 * seconds), TickerDoubt::Ahead);
        assert!(may_be(1099 + UNKNOWN_JUMP, 0) && !may_be(1100 + UNKNOWN_JUMP, 0));
        assert!(may_be(1099 + UNKNOWN_JUMP + 10 * SEQUENCES_PER_SECOND, 10) && !may_be(1 << 50, 86_400) && !may_be(u64::MAX, 10));
        assert!(marks.may_be_right(&ticker(5, 200), TickerDoubt::Behind));
    }

    #[test]
    fn after_a_restart_of_the_sequence_it_rises_from_there() {
        let mut marks = after(1000..1100);
        marks.restart(&ticker(5, 100));
        assert_eq!(marks.judge(&ticker(6, 101)), TickerJudgement::Newer);
        assert_eq!(marks.judge(&ticker(1098, 98)), TickerJudgement::Stale, "a line that lags");
    }
}
