//! The exchange's clock, as the messages show it: [`MarketClock`] says how far the box's clock is from it, [`ClockCheck`] finds that out.
//!
//! A message says when it was sent, and the box says when it was read. Where every message contradicts the box, the box is wrong: its clock is corrected by
//! what the messages say, and nothing that came is thrown away. Where one message contradicts the others, that message is wrong.
//!
//! 1. An offset is the time that a message names minus the time at which it was read: 0, and a little less for the way, where the box's clock is right. Only
//!    what is sent when it happens counts: heartbeats, live trades, envelopes. A `last_match` may be days old.
//! 2. The estimate is the [`CONFIRMATIONS`]rd highest offset of [`WINDOW_NANOS`]. So neither one absurd message moves it, nor two, nor a backlog that is read late.
//!    Where the highest disagree, it takes [`OUTVOTING`] messages: only then two that are too low cannot be the [`CONFIRMATIONS`]rd highest. A message that
//!    lies above the estimate puts it off: it may be the first behind a backlog. What is lower than the estimate before has to be said for as long again.
//! 3. A time more than an hour ahead of both clocks is a doubt. [`CONFIRMATIONS`] that name different times and agree with each other are believed at once:
//!    the box's clock was set back. As many that are not ahead refute it, and so do [`SETTLED_WITHIN_NANOS`] without an answer. As many in a row that agree
//!    with each other an hour below the estimate are believed at once, too: the clock was set forward.
//! 4. No I/O, no clock of its own: the time of receipt comes in. A message costs a subtraction and a few comparisons.
//!
//! A check belongs to one connection and its thread. All connections share one [`MarketClock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::record::LATEST_AHEAD_NANOS;
use crate::time::{NANOS_PER_SECOND, TimeCache, UnixNanos};

/// Messages that have to agree before what they say is believed.
pub(crate) const CONFIRMATIONS: usize = 3;

/// Messages among which so many agree that two absurd ones, too high or too low, are not the [`CONFIRMATIONS`]rd highest.
const OUTVOTING: usize = 2 * CONFIRMATIONS - 1;

/// How long offsets are gathered for one estimate: longer than a backlog takes to be read. In nanoseconds.
const WINDOW_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// How far the offsets of messages that agree with each other lie apart at most, in nanoseconds.
const AGREEMENT_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// How far above an estimate the message lies that contradicts it, in nanoseconds: more than messages take longer on their way than others.
const CONTRADICTION_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// How long a doubt lasts at most, in nanoseconds.
pub(crate) const SETTLED_WITHIN_NANOS: u64 = 10 * NANOS_PER_SECOND;

/// A box's clock that is further off than this is wrong, in nanoseconds. A clock that is nearer serves as it is: events need some time on their way.
pub(crate) const OFF_NANOS: u64 = 30 * NANOS_PER_SECOND;

/// Offsets ahead that are remembered until some agree.
const REMEMBERED: usize = 8;

/// How far the box's clock is from the exchange's, for all threads of a capture.
#[derive(Debug)]
pub(crate) struct MarketClock {
    /// [`UNKNOWN`] until a connection has found out.
    offset_nanos: AtomicI64,
}

/// No connection knows the offset.
const UNKNOWN: i64 = i64::MIN;

impl Default for MarketClock {
    fn default() -> Self {
        Self { offset_nanos: AtomicI64::new(UNKNOWN) }
    }
}

impl MarketClock {
    /// Gives the exchange's time minus the box's, in nanoseconds, as last estimated. Nothing where no message has shown it yet.
    #[must_use]
    pub(crate) fn offset(&self) -> Option<i64> {
        // Relaxed: a figure by itself; nothing else is read because of it.
        Some(self.offset_nanos.load(Ordering::Relaxed)).filter(|offset| *offset != UNKNOWN)
    }

    /// Gives the exchange's time where the box's is `now`: `now` itself, unless the box's clock is known to be wrong.
    #[must_use]
    pub(crate) fn now(&self, now: UnixNanos) -> UnixNanos {
        shifted(now, self.offset().unwrap_or(0))
    }

    /// Takes over what another clock knows.
    pub(super) fn take_over(&self, offset: Option<i64>) {
        self.offset_nanos.store(offset.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    fn publish(&self, offset: i64) {
        self.offset_nanos.store(offset.max(UNKNOWN + 1), Ordering::Relaxed);
    }

    /// Sets the offset, as if messages had shown it.
    #[cfg(test)]
    pub(crate) fn set(&self, offset: i64) {
        self.publish(offset);
    }
}

/// Moves a time by an offset, unless that is too small to matter.
fn shifted(time: UnixNanos, offset: i64) -> UnixNanos {
    if offset.unsigned_abs() < OFF_NANOS { time } else { UnixNanos(time.0.saturating_add_signed(offset)) }
}

/// The times of one frame: when it was read, and the newest time that it names as the present.
#[derive(Debug, Default)]
pub(super) struct FrameTimes {
    /// Reads times, and remembers the last minute.
    pub(super) cache: TimeCache,
    /// When the frame was read, on the box's clock.
    pub(super) recv: UnixNanos,
    /// When it was read, on the exchange's clock as far as that is known.
    pub(super) market: UnixNanos,
    /// The later of both. A clock that is ahead makes no message implausible that it would have taken when it was right.
    pub(super) latest: UnixNanos,
    /// The newest time that the frame names as the present; 0 where it names none.
    named: UnixNanos,
}

impl FrameTimes {
    /// Begins a frame.
    #[inline]
    pub(super) fn begin(&mut self, recv: UnixNanos, market: UnixNanos) {
        (self.recv, self.market, self.latest, self.named) = (recv, market, market.max(recv), UnixNanos(0));
    }

    /// Takes note of a time that the exchange names as the present.
    #[inline(always)]
    pub(super) fn note_present(&mut self, time: UnixNanos) {
        self.named = self.named.max(time);
    }

    /// Takes note of a time that may be old. It says something about the clock only if it lies ahead.
    #[inline(always)]
    pub(super) fn note_past(&mut self, time: UnixNanos) {
        if self.is_ahead(time) {
            self.note_present(time);
        }
    }

    /// Tells whether a time lies further ahead than is plausible.
    #[inline(always)]
    pub(super) fn is_ahead(&self, time: UnixNanos) -> bool {
        time.0 > self.latest.0.saturating_add(LATEST_AHEAD_NANOS)
    }
}

/// Gives the time that a frame names minus the time at which it was read.
#[inline]
fn offset_of(times: &FrameTimes) -> i64 {
    times.named.0.cast_signed().saturating_sub(times.recv.0.cast_signed())
}

/// What a frame's times mean for the frames that are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Open,
    /// They are believed: the box's clock is wrong.
    Confirmed,
    /// They are wrong themselves.
    Refuted,
}

/// No offset was seen.
const NONE: i64 = i64::MIN;

/// Tells whether an offset is too high for another one to be right. An offset that is too low may be that of a message that came late.
const fn contradicts(offset: i64, other: i64) -> bool {
    offset > other.saturating_add_unsigned(CONTRADICTION_NANOS)
}

/// Finds out how far the box's clock is from the exchange's, from the frames of one connection.
#[derive(Debug)]
pub(super) struct ClockCheck {
    shared: Arc<MarketClock>,
    /// The exchange's time minus the box's. Nothing until enough messages have shown it.
    offset: Option<i64>,
    window_began: UnixNanos,
    /// An offset below this is of another clock, or of a message that is an hour old.
    least_of_clock: i64,
    /// The last such offset, and how many agree with it in a row.
    lower: (i64, usize),
    /// The highest offsets of the window, the highest first.
    highest: [i64; CONFIRMATIONS],
    /// Offsets of the window that were ranked. Those that are too low to count are not.
    ranked: usize,
    /// Offsets ahead that nothing has confirmed, the newest last, with the times named.
    ahead: Vec<(i64, UnixNanos)>,
    /// Messages since then that were not ahead.
    against: usize,
    /// Since when every message that was looked at is lower than what all connections go by.
    falls_since: Option<UnixNanos>,
}

impl ClockCheck {
    /// Begins with what other connections know.
    pub(super) fn new(shared: Arc<MarketClock>) -> Self {
        Self {
            shared,
            offset: None,
            window_began: UnixNanos(0),
            least_of_clock: NONE,
            lower: (NONE, 0),
            highest: [NONE; CONFIRMATIONS],
            ranked: 0,
            ahead: Vec::with_capacity(REMEMBERED),
            against: 0,
            falls_since: None,
        }
    }

    /// Gives the exchange's time where the box's is `recv`.
    #[inline]
    pub(super) fn market(&self, recv: UnixNanos) -> UnixNanos {
        match self.offset {
            Some(offset) if offset.unsigned_abs() < OFF_NANOS => recv,
            Some(offset) => shifted(recv, offset),
            None => self.shared.now(recv),
        }
    }

    /// Takes what a frame says of the present.
    #[inline]
    pub(super) fn note(&mut self, times: &FrameTimes) -> Verdict {
        if times.named.0 == 0 {
            return Verdict::Open;
        }
        let offset = offset_of(times);
        let [.., least] = self.highest;
        let is_due = times.recv.0.wrapping_sub(self.window_began.0) >= WINDOW_NANOS;
        if offset <= least && offset >= self.least_of_clock && !is_due && self.ahead.is_empty() {
            return Verdict::Open;
        }
        self.weigh(offset, times)
    }

    #[cold]
    fn weigh(&mut self, offset: i64, times: &FrameTimes) -> Verdict {
        if times.is_ahead(times.named) {
            return self.doubt(offset, times.named);
        }
        if times.recv < self.window_began {
            // The box's clock was set back. What was gathered before is of another clock.
            self.begin_window(times.recv);
        }
        if self.note_lower(offset) {
            // The box's clock was set forward.
            self.begin_window(UnixNanos(0));
            self.believe(offset);
        }
        self.rank(offset);
        let is_due = self.offset.is_none() || times.recv.since(self.window_began) >= WINDOW_NANOS;
        self.note_fall(offset, times.recv);
        if is_due && let Some(estimate) = self.estimate().filter(|estimate| self.is_plain(*estimate, offset, times.recv)) {
            let lower = self.lower;
            self.believe(estimate);
            // This very message may be one of those that say otherwise.
            self.lower = lower;
            self.shared.publish(estimate);
            self.begin_window(times.recv);
        }
        if self.ahead.is_empty() {
            return Verdict::Open;
        }
        self.against += 1;
        if self.against >= CONFIRMATIONS {
            self.settle();
            return Verdict::Refuted;
        }
        Verdict::Open
    }

    /// Takes an offset that lies ahead: believes it if enough others agree with it.
    fn doubt(&mut self, offset: i64, named: UnixNanos) -> Verdict {
        self.remember_ahead(offset, named);
        let agreeing = self.ahead.iter().map(|(other, _)| *other).filter(|other| other.abs_diff(offset) <= AGREEMENT_NANOS);
        if agreeing.clone().count() < CONFIRMATIONS {
            return Verdict::Open;
        }
        // The others hear of it when the messages that follow say so, too.
        let estimate = agreeing.min().unwrap_or(offset);
        self.believe(estimate);
        self.settle();
        self.begin_window(UnixNanos(0));
        Verdict::Confirmed
    }

    /// Takes note of a frame that is held back still, after others were believed: what follows settles it, too.
    pub(super) fn remember(&mut self, times: &FrameTimes) {
        self.remember_ahead(offset_of(times), times.named);
    }

    fn remember_ahead(&mut self, offset: i64, named: UnixNanos) {
        // The same time again is no other witness: a clock goes on.
        if self.ahead.iter().all(|(_, other)| *other != named) {
            if self.ahead.len() >= REMEMBERED {
                self.ahead.remove(0);
            }
            self.ahead.push((offset, named));
        }
    }

    /// Forgets the doubts: they are settled, or nothing has settled them in time.
    pub(super) fn settle(&mut self) {
        self.ahead.clear();
        self.against = 0;
    }

    fn believe(&mut self, offset: i64) {
        self.offset = Some(offset);
        self.least_of_clock = offset.saturating_sub_unsigned(LATEST_AHEAD_NANOS);
        self.lower = (NONE, 0);
    }

    /// Takes note of an offset. Tells whether enough in a row are more than an hour below what is believed, and agree with each other.
    fn note_lower(&mut self, offset: i64) -> bool {
        let (last, count) = self.lower;
        let agreeing = if last.abs_diff(offset) <= AGREEMENT_NANOS { count + 1 } else { 1 };
        self.lower = if offset < self.least_of_clock { (offset, agreeing) } else { (NONE, 0) };
        self.lower.1 >= CONFIRMATIONS
    }

    /// Takes note of an offset that is lower than what all connections go by.
    fn note_fall(&mut self, offset: i64, recv: UnixNanos) {
        let is_lower = self.shared.offset().is_some_and(|known| contradicts(known, offset));
        let since = self.falls_since.filter(|since| is_lower && *since <= recv);
        self.falls_since = since.or(is_lower.then_some(recv));
    }

    /// Tells whether an estimate is more than what a backlog says: the present message, of which `offset` is, does not contradict it, and where it is lower
    /// than what all connections go by, nothing has contradicted it for a window's length.
    fn is_plain(&self, estimate: i64, offset: i64, recv: UnixNanos) -> bool {
        let falls = self.shared.offset().is_some_and(|known| contradicts(known, estimate));
        let lasts = self.falls_since.map_or(0, |since| recv.since(since));
        !contradicts(offset, estimate) && (!falls || lasts >= WINDOW_NANOS)
    }

    fn begin_window(&mut self, recv: UnixNanos) {
        self.window_began = recv;
        self.highest = [NONE; CONFIRMATIONS];
        self.ranked = 0;
    }

    /// Gives what the window's messages say, once there are enough of them.
    fn estimate(&self) -> Option<i64> {
        let [highest, .., estimate] = self.highest;
        let is_agreed = highest.abs_diff(estimate) <= AGREEMENT_NANOS || self.ranked >= OUTVOTING;
        (estimate != NONE && is_agreed).then_some(estimate)
    }

    /// Puts an offset among the highest of the window.
    fn rank(&mut self, mut offset: i64) {
        self.ranked = self.ranked.saturating_add(1);
        for place in &mut self.highest {
            if offset > *place {
                std::mem::swap(place, &mut offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = NANOS_PER_SECOND;
    const START: u64 = 1_786_309_548 * SECOND;

    /// What a box sees whose clock is off: the exchange's present, and what the box makes of it.
    struct Box {
        market: Arc<MarketClock>,
        check: ClockCheck,
        times: FrameTimes,
    }

    impl Box {
        fn new() -> Self {
            let market = Arc::<MarketClock>::default();
            Self { check: ClockCheck::new(Arc::clone(&market)), market, times: FrameTimes::default() }
        }

        /// Reads a message that names `named` when its own clock shows `recv`.
        fn read(&mut self, named: u64, recv: u64) -> Verdict {
            self.times.begin(UnixNanos(recv), self.check.market(UnixNanos(recv)));
            self.times.note_present(UnixNanos(named));
            self.check.note(&self.times)
        }

        fn offset_s(&self) -> Option<i64> {
            self.market.offset().map(|offset| offset.div_euclid(SECOND.cast_signed()))
        }
    }

    /// One minute to ten years, in seconds.
    const OFFSETS_S: [i64; 8] = [60, 600, 3_599, 3_601, 7_200, 86_400, 31_536_000, 315_360_000];

    #[test]
    fn a_clock_that_is_off_is_found_out_within_three_messages_and_when_it_is_mended_within_ten_seconds() {
        for off in OFFSETS_S.into_iter().flat_map(|off| [off, -off]) {
            let mut seen = Box::new();
            let recv = |now: u64, off: i64| now.saturating_add_signed(-off * SECOND.cast_signed());
            let verdicts: Vec<Verdict> = (0..3).map(|n| seen.read(START + n * SECOND, recv(START + n * SECOND, off))).collect();
            let expected = if off > 3_600 { Verdict::Confirmed } else { Verdict::Open };
            assert_eq!(verdicts, [Verdict::Open, Verdict::Open, expected], "{off}");
            (3..6).for_each(|n| _ = seen.read(START + n * SECOND, recv(START + n * SECOND, off)));
            assert_eq!(seen.offset_s(), Some(off), "{off}");
            let now = UnixNanos(recv(START, off));
            assert_eq!(seen.market.now(now), UnixNanos(START), "{off}");
            // Mended: the clock is set right.
            (6..16).for_each(|n| _ = seen.read(START + n * SECOND, START + n * SECOND));
            assert_eq!(seen.offset_s(), Some(0), "{off}");
            assert_eq!(seen.market.now(UnixNanos(START)), UnixNanos(START));
        }
    }

    #[test]
    fn a_time_that_is_repeated_is_no_clock() {
        let mut seen = Box::new();
        let (now, absurd) = (|n: u64| START + n * SECOND / 100, START + 70 * 31_536_000 * SECOND);
        for n in 0..5_000 {
            assert_ne!(seen.read(absurd, now(n)), Verdict::Confirmed);
            if n % 50 == 0 {
                assert_ne!(seen.read(now(n), now(n)), Verdict::Confirmed);
            }
        }
        assert_eq!(seen.offset_s(), Some(0));
    }

    #[test]
    fn a_backlog_that_is_read_late_is_no_wrong_clock() {
        let mut seen = Box::new();
        (0..10).for_each(|n| _ = seen.read(START + n * SECOND, START + n * SECOND));
        // The process stood still for ten minutes, then reads what has come meanwhile within a second.
        let woken = START + 610 * SECOND;
        (10..610).for_each(|n| _ = seen.read(START + n * SECOND, woken + n * SECOND / 1000));
        (611..630).for_each(|n| _ = seen.read(START + n * SECOND, START + n * SECOND));
        assert_eq!(seen.offset_s(), Some(0));
    }

    proptest! {
        #[test]
        fn no_backlog_moves_the_clock_at_any_moment(
            off in prop::sample::select(vec![0, 60, -60, 7_200, -86_400]), backlog_s in 31u64..20_000, lost_s in 0u64..600,
            before_s in 3u64..30, messages in 1u64..100, pauses_ms in prop::collection::vec(1u64..12_000, 1..40), burst_ms in 1u64..4_000,
        ) {
            let mut seen = Box::new();
            let recv = |now: u64| now.saturating_add_signed(-off * SECOND.cast_signed());
            (0..before_s).for_each(|n| _ = seen.read(START + n * SECOND, recv(START + n * SECOND)));
            for now in (0..5).map(|n| START + (before_s + n) * SECOND) {
                let _ = seen.read(now, recv(now));
            }
            prop_assert_eq!(seen.offset_s(), Some(off));
            // The process stands still, then reads in a burst what came until the connection was lost.
            let stopped = START + (before_s + 5) * SECOND;
            let woken = stopped + (backlog_s + lost_s) * SECOND;
            for n in 0..messages {
                let _ = seen.read(stopped + n * backlog_s * SECOND / messages, recv(woken + n * burst_ms * (SECOND / 1000) / messages));
                prop_assert_eq!(seen.offset_s(), Some(off), "in the backlog, at {}", n);
            }
            let mut now = woken + burst_ms * (SECOND / 1000);
            for pause in pauses_ms {
                now += pause * (SECOND / 1000);
                let _ = seen.read(now, recv(now));
                prop_assert_eq!(seen.offset_s(), Some(off), "behind the backlog");
            }
        }
    }

    #[test]
    fn an_offset_that_is_no_more_than_the_way_of_messages_changes_no_time() {
        let market = MarketClock::default();
        assert_eq!((market.offset(), market.now(UnixNanos(START))), (None, UnixNanos(START)));
        for off in [0, -1, OFF_NANOS.cast_signed() - 1, 1 - OFF_NANOS.cast_signed()] {
            market.set(off);
            assert_eq!(market.now(UnixNanos(START)), UnixNanos(START), "{off}");
        }
        market.set(OFF_NANOS.cast_signed());
        assert_eq!(market.now(UnixNanos(START)), UnixNanos(START + OFF_NANOS));
        market.set(i64::MIN);
        assert_eq!((market.offset(), market.now(UnixNanos(START))), (Some(i64::MIN + 1), UnixNanos(0)));
    }

    proptest! {
        #[test]
        fn neither_one_nor_two_absurd_times_move_the_clock(
            off in prop::sample::select(OFFSETS_S.to_vec()), is_behind: bool, at in 0usize..40, how_many in 1usize..3,
            jumps in prop::array::uniform2((0u32..19, any::<bool>())),
        ) {
            let off = if is_behind { off } else { -off };
            let mut seen = Box::new();
            for (place, n) in (0..40u64).enumerate() {
                let now = START + n * SECOND;
                let recv = now.saturating_add_signed(-off * SECOND.cast_signed());
                if place == at {
                    for (exponent, is_ahead) in jumps.into_iter().take(how_many) {
                        let jump = 10i64.pow(exponent);
                        let verdict = seen.read(now.saturating_add_signed(if is_ahead { jump } else { -jump }), recv);
                        // One that is off by seconds is as good a witness as another.
                        prop_assert!(verdict != Verdict::Confirmed || jump.unsigned_abs() <= AGREEMENT_NANOS);
                    }
                }
                let verdict = seen.read(now, recv);
                prop_assert!(verdict != Verdict::Confirmed || n < 5, "{n}");
            }
            prop_assert_eq!(seen.offset_s(), Some(off));
        }

        #[test]
        fn no_times_cause_a_panic(times in prop::collection::vec((any::<u64>(), any::<u64>()), 0..50)) {
            let mut seen = Box::new();
            for (named, recv) in times {
                let _ = seen.read(named, recv);
                let _ = seen.market.now(UnixNanos(recv));
            }
        }
    }
}
