//! [`Sequencer`]: in which order a product's trades are written, which ids are missing, and what the journal says about them. No I/O, no clock.
//!
//! `now` is monotonic time since any fixed moment.
//!
//! 1. A trade that is next in turn, or has a lower id, is written at once. A trade that is ahead waits for the ids missing before it, at most for the gap
//!    wait.
//! 2. Ids that stay missing for [`GAP_GRACE`] are a gap: reported once, and requested from REST until filled. What another line or the next message brings
//!    sooner is only disorder.
//! 3. An id that heartbeats or tickers have named for two seconds without its trade reports a gap at the end of the chain ([`ahead`]). A stalled
//!    channel is thus noticed without its next trade, and so is the last trade before a stop.
//! 4. Trades of lower ids that happened later than a waiting one contradict it. It is refuted where ids are still missing before it, or where another trade
//!    of its id has come: a message with a wrong id neither opens a gap nor takes the place of the trade whose id it is. One whose id is near has the gap
//!    wait, and is missing when it is refuted, so that REST decides. One that waits in a row with others, of rising ids and times, is right: the exchange's
//!    clock was set back.
//! 5. Ids far behind the highest are a gap only where more than one message says so. A lone message has to wait for the gap wait first.
//! 6. Every id is reported missing at most once before it is reported filled: the gaps in the journal, taken together, are the ids that were missing.
//!
//! All that there is to change about the gap wait is in this file; its length is a setting of the capture.

mod ahead;

use std::time::Duration;

use self::ahead::Ahead;
use super::continuity::{ABSURD_JUMP, Continuity, Seen};
use super::doubts::{AGREEMENT, CONFIRMATIONS, Mark};
use super::gap_event::{GapCause, GapEvent};
use super::reorder::ReorderWindow;
use crate::ids::IdRange;
use crate::record::{Means, RawPlace, Trade};

/// How long an id may be missing before that is a gap. Another line, or the next message, usually brings it sooner.
pub(crate) const GAP_GRACE: Duration = Duration::from_millis(250);

/// Waiting trades at either end of the window that are compared with a trade that is stored. Those between them wait behind the same gaps.
const COMPARED: usize = 8;

/// Lone messages passed over in the search for one that others speak for.
const SEARCHED: usize = 64;

/// A trade, and where the frame that brought it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ReceivedTrade {
    /// The trade.
    pub(crate) trade: Trade,
    /// Its frame; the default where no frame brought it.
    pub(crate) place: RawPlace,
}

/// What became of a trade that is ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Held {
    /// It waits.
    Waiting,
    /// A trade of its id waits already and agrees with it. The one with the order ids is kept.
    Duplicate,
    /// A trade of its id waits already and differs from it. That one is kept, and given here.
    Conflict(Trade),
}

/// A trade that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    received: ReceivedTrade,
    /// Trades of lower ids that happened later and were stored since it waits, up to [`CONFIRMATIONS`].
    against: usize,
}

/// The order of one product's trades.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    chain: Continuity,
    waiting: ReorderWindow<Waiting>,
    gap_wait: Duration,
    /// Every missing id up to this one has been reported.
    reported_through: u64,
    /// What was named and has not come.
    ahead: Ahead,
    /// The last ids that were filled, in one run and by the same means. They are reported together.
    filled: Option<(IdRange, Means)>,
    events: Vec<GapEvent>,
    has_stored: bool,
}

impl Sequencer {
    /// Continues after `last`, the highest stored id, with the gaps below it. Trades wait behind missing ids for at most `gap_wait`.
    #[must_use]
    pub(crate) fn new(last: Option<u64>, gaps: impl IntoIterator<Item = IdRange>, gap_wait: Duration) -> Self {
        let mut sequencer = Self { chain: Continuity::after(last), gap_wait, ..Self::default() };
        gaps.into_iter().for_each(|ids| sequencer.mark_missing(ids, GapCause::Restart));
        sequencer
    }

    /// Gives the chain of ids.
    #[must_use]
    pub(crate) const fn chain(&self) -> &Continuity {
        &self.chain
    }

    /// Gives how long a trade waits at most for the ids missing before it.
    #[must_use]
    pub(crate) const fn gap_wait(&self) -> Duration {
        self.gap_wait
    }

    /// Gives how many trades wait.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Shows the waiting trade of an id.
    #[must_use]
    pub(crate) fn waiting_trade(&self, id: u64) -> Option<&Trade> {
        self.waiting.get(id).map(|waiting| &waiting.received.trade)
    }

    /// Tells whether a trade is to be written at once.
    #[inline]
    #[must_use]
    pub(crate) fn is_in_turn(&self, id: u64) -> bool {
        self.chain.is_in_turn(id)
    }

    /// Tells whether enough trades of ids just below one wait, so that it follows on them.
    #[cold]
    #[must_use]
    pub(crate) fn is_led_to(&self, id: u64) -> bool {
        self.waiting.count_within(id.saturating_sub(AGREEMENT), id.saturating_sub(1)) >= CONFIRMATIONS
    }

    /// Lets a trade wait that is ahead.
    pub(crate) fn hold(&mut self, received: ReceivedTrade, now: Duration) -> Held {
        let trade = &received.trade;
        let Some(held) = self.waiting.get_mut(trade.trade_id) else {
            self.waiting.hold(trade.trade_id, now, Waiting { received, against: 0 });
            return Held::Waiting;
        };
        if !held.received.trade.agrees_with(trade) {
            return Held::Conflict(held.received.trade);
        }
        if trade.completes(&held.received.trade) {
            held.received = received;
        }
        Held::Duplicate
    }

    /// Takes the waiting trade whose turn it is: no id is missing before it and nothing contradicts it, or it has waited for the gap wait.
    #[inline]
    pub(crate) fn pop_ready(&mut self, now: impl FnOnce() -> Duration) -> Option<ReceivedTrade> {
        if self.waiting.is_empty() {
            return None;
        }
        self.pop_next().or_else(|| self.pop_due(now()))
    }

    fn pop_next(&mut self) -> Option<ReceivedTrade> {
        let last = self.chain.last().unwrap_or(u64::MAX);
        let is_contradicted = self.waiting.first().is_some_and(|waiting| self.is_contradicted(waiting));
        if is_contradicted { None } else { self.waiting.pop_next(last).map(|waiting| waiting.received) }
    }

    #[cold]
    fn pop_due(&mut self, now: Duration) -> Option<ReceivedTrade> {
        let due = if self.waiting.is_full() { self.waiting.highest() } else { self.waiting.due(now, self.gap_wait) };
        self.waiting.pop_through(due?).map(|waiting| waiting.received)
    }

    /// Notes that a trade of the chain has been stored: trades that wait with higher ids and happened before it are contradicted.
    #[inline]
    pub(crate) fn contradict(&mut self, stored: Mark) {
        if !self.waiting.is_empty() {
            self.contradict_waiting(stored);
        }
    }

    #[cold]
    fn contradict_waiting(&mut self, stored: Mark) {
        let contradict = |waiting: &mut Waiting| {
            let trade = &waiting.received.trade;
            if trade.trade_id > stored.key && trade.time < stored.time {
                waiting.against = (waiting.against + 1).min(CONFIRMATIONS);
            } else if trade.trade_id == stored.key.saturating_add(1) {
                // The trade in front of it agrees with it.
                waiting.against = 0;
            }
        };
        self.waiting.at_both_ends(COMPARED, contradict);
    }

    /// Takes a waiting trade that is refuted: enough trades contradict it; or one does, and its time is up while ids are missing before it, or the trade
    /// whose id it has is stored.
    #[inline]
    pub(crate) fn pop_refuted(&mut self, now: impl FnOnce() -> Duration) -> Option<ReceivedTrade> {
        if self.waiting.is_empty() { None } else { self.pop_contradicted(now()) }
    }

    #[cold]
    fn pop_contradicted(&mut self, now: Duration) -> Option<ReceivedTrade> {
        let last = self.chain.last()?;
        let due = self.waiting.due(now, self.gap_wait).unwrap_or(0);
        let is_refuted = |id: u64, waiting: &Waiting| {
            let is_ahead = id > last.saturating_add(1);
            let is_far = id > last.saturating_add(AGREEMENT);
            let is_over = id <= last || is_ahead && id <= due || is_far && waiting.against >= CONFIRMATIONS;
            is_over && (id <= last && waiting.against > 0 || self.is_contradicted(waiting))
        };
        let refuted = self.waiting.find_at_either_end(COMPARED, is_refuted)?;
        self.take_refuted(refuted, last)
    }

    /// Takes a refuted trade out. A near id above the chain may be that of a real trade, however wrong its time seems: it is missing until REST tells.
    fn take_refuted(&mut self, id: u64, last: u64) -> Option<ReceivedTrade> {
        let waiting = self.waiting.take(id)?;
        if id > last && id - last <= AGREEMENT {
            self.mark_missing(IdRange::one(id), GapCause::Jump);
        }
        Some(waiting.received)
    }

    /// Tells whether trades of lower ids contradict a waiting one, and nothing speaks for it: it is not in a row of [`CONFIRMATIONS`] that wait with
    /// adjoining ids and times that rise with them.
    fn is_contradicted(&self, waiting: &Waiting) -> bool {
        waiting.against > 0 && !self.is_in_row(&waiting.received.trade)
    }

    #[cold]
    fn is_in_row(&self, trade: &Trade) -> bool {
        let rises = |lower: &Trade, higher: &Trade| lower.time <= higher.time;
        let (mut count, mut lowest, mut highest) = (1, trade, trade);
        while count < CONFIRMATIONS {
            let below = lowest.trade_id.checked_sub(1).and_then(|id| self.waiting_trade(id)).filter(|below| rises(below, lowest));
            let above = highest.trade_id.checked_add(1).and_then(|id| self.waiting_trade(id)).filter(|above| rises(highest, above));
            match (below, above) {
                (None, None) => return false,
                (Some(below), _) => lowest = below,
                (None, Some(above)) => highest = above,
            }
            count += 1;
        }
        true
    }

    /// Takes the lowest waiting trade at the end, whether or not ids are missing before it.
    pub(crate) fn pop_any(&mut self) -> Option<ReceivedTrade> {
        self.waiting.pop_through(u64::MAX).map(|waiting| waiting.received)
    }

    /// Takes a waiting trade that is contradicted and before which ids are missing, at the end.
    pub(crate) fn pop_contradicted_at_end(&mut self) -> Option<ReceivedTrade> {
        let last = self.chain.last()?;
        let is_refuted =
            |id: u64, waiting: &Waiting| id <= last && waiting.against > 0 || id != last.saturating_add(1) && self.is_contradicted(waiting);
        let refuted = self.waiting.find_at_either_end(usize::MAX, is_refuted)?;
        self.take_refuted(refuted, last)
    }

    /// Takes note that a trade is stored.
    #[inline]
    pub(crate) fn mark_stored(&mut self, id: u64, means: Means) {
        let before = self.chain.last();
        let seen = self.chain.see(id);
        if seen.filled || !seen.opened.is_empty() || before.is_some_and(|last| id > last.saturating_add(1)) {
            self.add_events(before, id, seen, means);
        }
        self.has_stored = true;
    }

    #[cold]
    fn add_events(&mut self, before: Option<u64>, id: u64, seen: Seen, means: Means) {
        let cause = self.cause_of_jump();
        self.events.extend(seen.opened.into_iter().map(|ids| GapEvent::Opened { ids, cause }));
        let left = before.and_then(|last| IdRange::between(last, id));
        self.events.extend(left.map(|ids| GapEvent::Left { ids }));
        if !seen.filled {
            return;
        }
        let follows = self.filled.as_mut().is_some_and(|(ids, by)| *by == means && ids.push(id));
        if !follows {
            let run = self.filled.replace((IdRange::one(id), means));
            self.events.extend(run.map(|(ids, means)| GapEvent::Filled { ids, means }));
        }
    }

    const fn cause_of_jump(&self) -> GapCause {
        if self.has_stored { GapCause::Jump } else { GapCause::Restart }
    }

    /// Marks ids as missing.
    pub(crate) fn mark_missing(&mut self, ids: IdRange, cause: GapCause) {
        let opened = self.chain.mark_missing(ids);
        self.events.extend(opened.into_iter().map(|ids| GapEvent::Opened { ids, cause }));
    }

    /// Takes note of ids that were received and given up. Those above the chain that do not wait are missing; ids below it are known to be, or stored.
    pub(crate) fn note_shed(&mut self, ids: IdRange) {
        let Some(last) = self.chain.last() else { return };
        if ids.last() <= last || ids.first().saturating_sub(last) > ABSURD_JUMP {
            return;
        }
        for missing in self.waiting.gaps(last, ids.last()) {
            self.mark_missing(missing, GapCause::Shed);
        }
    }

    /// Takes note of a heartbeat.
    #[inline]
    pub(crate) fn heartbeat(&mut self, last_trade_id: u64, now: Duration) {
        let last = self.chain.last();
        if last.is_some_and(|last| last_trade_id > last) {
            self.ahead.name(GapCause::Heartbeat, last_trade_id, last, now);
        }
    }

    /// Takes note of the trade that a ticker names, which is stored.
    #[inline]
    pub(crate) fn ticker(&mut self, trade_id: u64, now: impl FnOnce() -> Duration) {
        let last = self.chain.last();
        if trade_id > last.unwrap_or(0) {
            self.ahead.name(GapCause::Ticker, trade_id, last, now());
        }
    }

    /// Takes note of the trade that the last ticker names that was stored before.
    pub(crate) fn ticker_before(&mut self, trade_id: u64, now: Duration) {
        let last = self.chain.last();
        if last.is_some_and(|last| trade_id > last) {
            self.ahead.name(GapCause::Restart, trade_id, last, now);
        }
    }

    /// Tells whether an id was named whose trade should have come by now.
    #[inline]
    #[must_use]
    pub(crate) fn is_named_due(&self, now: impl FnOnce() -> Duration) -> bool {
        !self.ahead.is_empty() && self.ahead.is_due(self.chain.last(), now())
    }

    /// Reports the ids that have been missing long enough to be a gap.
    #[inline]
    pub(crate) fn report_gaps(&mut self, now: Duration) {
        if !self.waiting.is_empty() || !self.ahead.is_empty() {
            self.report_due(now);
        }
    }

    /// Reports every missing id, however recent, at the end: no message will bring it any more.
    pub(crate) fn report_all_gaps(&mut self) {
        let last = self.chain.last();
        let waiting = last.zip(self.waiting.highest()).map(|(last, highest)| (last, highest, self.cause_of_jump()));
        let named = self.ahead.take_highest(last).map(|told| (last.unwrap_or(told.after), told.id, told.by));
        for (after, through, cause) in waiting.into_iter().chain(named) {
            for ids in self.waiting.gaps(after, through) {
                self.mark_missing(ids, cause);
            }
        }
    }

    #[cold]
    fn report_due(&mut self, now: Duration) {
        let Some(last) = self.chain.last() else { return self.report_named(now) };
        let due = self.waiting.due(now, self.grace());
        if let Some(through) = due.and_then(|through| self.supported(last, through))
            && through > self.reported_through
        {
            self.reported_through = through;
            for ids in self.waiting.gaps(last, through) {
                self.mark_missing(ids, self.cause_of_jump());
            }
        }
        self.report_named(now);
    }

    /// Reports the ids that were named and have not come.
    fn report_named(&mut self, now: Duration) {
        let last = self.chain.last();
        while let Some(told) = self.ahead.pop_due(last, now) {
            for ids in self.waiting.gaps(last.unwrap_or(told.after), told.id) {
                self.mark_missing(ids, told.by);
            }
        }
        self.ahead.forget_mistakes(last, now);
    }

    /// Gives the highest waiting id up to `through` that more than one message speaks for.
    fn supported(&self, last: u64, through: u64) -> Option<u64> {
        let mut through = through;
        for _ in 0..SEARCHED {
            let is_named = self.ahead.has_heartbeat_behind(through);
            let is_agreed =
                self.waiting.count_within(through.saturating_sub(AGREEMENT), through.saturating_add(AGREEMENT)) >= CONFIRMATIONS;
            if through.saturating_sub(last) <= AGREEMENT || is_named || is_agreed {
                return Some(through);
            }
            through = self.waiting.highest_below(through)?;
        }
        None
    }

    /// Gives how long an id may be missing before that is a gap: never longer than trades wait for it.
    fn grace(&self) -> Duration {
        GAP_GRACE.min(self.gap_wait)
    }

    /// Gives how long nothing will be due if no message comes; `None` where nothing waits.
    pub(crate) fn time_until_due(&mut self, now: Duration) -> Option<Duration> {
        let named = self.ahead.next_due(now);
        // What only one message speaks for is not reported before its time is up.
        let last = self.chain.last().unwrap_or(0);
        let reportable = self.waiting.highest().and_then(|highest| self.supported(last, highest));
        let is_reported = reportable.is_none_or(|highest| highest <= self.reported_through);
        let grace = self.grace();
        let trade = self.waiting.oldest().map(|oldest| {
            let (reported, written) = (oldest + grace, oldest + self.gap_wait);
            // What came after the oldest is reported a little later than it could be.
            if is_reported { written } else { written.min(reported.max(now + GAP_GRACE / 4)) }
        });
        let next = match (named, trade) {
            (Some(a), Some(b)) => a.min(b),
            (one, other) => one.or(other)?,
        };
        Some(next.saturating_sub(now))
    }

    /// Takes what the journal is to say since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<GapEvent> {
        self.events.extend(self.filled.take().map(|(ids, means)| GapEvent::Filled { ids, means }));
        std::mem::take(&mut self.events)
    }

    /// Tells whether the journal is to say anything.
    #[inline]
    #[must_use]
    pub(crate) fn has_events(&self) -> bool {
        self.filled.is_some() || !self.events.is_empty()
    }
}

#[cfg(test)]
mod order_tests;
