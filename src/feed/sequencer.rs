//! [`Sequencer`]: in which order a product's trades are written, which ids are missing, and what the journal has to say of it. No I/O, no clock.
//!
//! 1. A trade that is next in turn, or lies behind, is written at once. One that lies ahead waits for what is missing before it, at most the gap wait.
//! 2. Ids that stay missing for [`GAP_GRACE`] are a gap: told once, and wanted of REST until filled. What another line or the next message heals sooner
//!    is mere disorder.
//! 3. Heartbeats that stay ahead for [`HEARTBEAT_GRACE`] tell a gap at the tail: a stalled channel is noticed without waiting for its next trade.
//! 4. Every id is told missing at most once before it is told filled: the journal's gaps, taken together, are the ids that were missing.

use std::collections::VecDeque;
use std::time::Duration;

use super::continuity::{ABSURD_JUMP, Continuity, Gap};
use super::reorder::ReorderWindow;
use crate::record::{Means, RawPlace, Trade};

/// How long an id may be missing before that is a gap: another line, or the next message, brings it sooner.
pub const GAP_GRACE: Duration = Duration::from_millis(250);

/// How long a heartbeat may run ahead of the trade that it names.
pub const HEARTBEAT_GRACE: Duration = Duration::from_secs(2);

/// Heartbeats remembered that run ahead.
const MAX_AHEAD: usize = 16;

/// A trade, and where its frame stands.
pub type Sent = (Trade, RawPlace);

/// Why ids are taken for missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A trade came from beyond them.
    Jump,
    /// The exchange named a newer trade than it sent.
    Heartbeat,
    /// They passed while nothing was recorded.
    Restart,
    /// They were asked for.
    Asked,
}

impl Why {
    /// Names the reason as the journal spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jump => "jump",
            Self::Heartbeat => "heartbeat",
            Self::Restart => "restart",
            Self::Asked => "asked",
        }
    }
}

/// What the journal is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapNote {
    /// These ids are missing.
    Opened(Gap, Why),
    /// Trades are written behind these ids, which are still missing.
    Left(Gap),
    /// These ids came in.
    Filled(Gap, Means),
}

/// What became of a trade that lies ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Held {
    /// It waits.
    Waits,
    /// One that agrees with it waits already; the one with the order ids is kept.
    Duplicate,
    /// One that differs waits already, and is kept.
    Conflict(Trade),
}

/// One product's order.
#[derive(Debug, Default)]
pub struct Sequencer {
    chain: Continuity,
    window: ReorderWindow<Sent>,
    gap_wait: Duration,
    /// Up to this id every missing one has been told.
    told_through: u64,
    ahead: VecDeque<(Duration, u64)>,
    filled: Option<(Gap, Means)>,
    notes: Vec<GapNote>,
    has_stored: bool,
}

impl Sequencer {
    /// Goes on behind `last`, the newest stored id, with the holes before it.
    #[must_use]
    pub fn new(last: Option<u64>, holes: impl IntoIterator<Item = Gap>, gap_wait: Duration) -> Self {
        let mut sequencer = Self { chain: Continuity::after(last), gap_wait, ..Self::default() };
        holes.into_iter().for_each(|hole| sequencer.miss(hole, Why::Restart));
        sequencer
    }

    /// Shows the chain of ids.
    #[must_use]
    pub const fn chain(&self) -> &Continuity {
        &self.chain
    }

    /// Gives how many trades wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.window.len()
    }

    /// Tells whether a trade is to be written at once.
    #[inline]
    #[must_use]
    pub fn is_in_turn(&self, id: u64) -> bool {
        self.chain.is_in_turn(id)
    }

    /// Has a trade wait that lies ahead.
    pub fn hold(&mut self, sent: Sent, now: Duration) -> Held {
        let trade = &sent.0;
        let Some(held) = self.window.get_mut(trade.trade_id) else {
            self.window.hold(trade.trade_id, now, sent);
            return Held::Waits;
        };
        if !held.0.agrees_with(trade) {
            return Held::Conflict(held.0);
        }
        if trade.completes(&held.0) {
            *held = sent;
        }
        Held::Duplicate
    }

    /// Gives the waiting trade whose turn it is: because nothing is missing before it, or because it has waited long enough.
    #[inline]
    pub fn next_ready(&mut self, now: impl FnOnce() -> Duration) -> Option<Sent> {
        if self.window.is_empty() {
            return None;
        }
        self.window.next_after(self.chain.last().unwrap_or(u64::MAX)).or_else(|| self.next_due(now()))
    }

    #[cold]
    fn next_due(&mut self, now: Duration) -> Option<Sent> {
        let due = if self.window.is_full() { self.window.highest() } else { self.window.due(now, self.gap_wait) };
        self.window.pop_through(due?)
    }

    /// Gives a waiting trade at the end, whether or not anything is missing before it.
    pub fn next_left(&mut self) -> Option<Sent> {
        self.window.pop_through(u64::MAX)
    }

    /// Takes note that a trade is stored.
    #[inline]
    pub fn stored(&mut self, id: u64, means: Means) {
        let before = self.chain.last();
        let seen = self.chain.see(id);
        if seen.filled || !seen.opened.is_empty() || before.is_some_and(|last| id > last.saturating_add(1)) {
            let why = self.why_jump();
            self.note_seen(before, id, seen.opened, seen.filled.then_some(means), why);
        }
        self.has_stored = true;
    }

    #[cold]
    fn note_seen(&mut self, before: Option<u64>, id: u64, opened: Vec<Gap>, filled: Option<Means>, why: Why) {
        self.notes.extend(opened.into_iter().map(|gap| GapNote::Opened(gap, why)));
        if let Some(last) = before
            && id > last.saturating_add(1)
        {
            self.notes.push(GapNote::Left(Gap { from: last + 1, to: id - 1 }));
        }
        let Some(means) = filled else { return };
        match &mut self.filled {
            Some((run, by)) if run.to.checked_add(1) == Some(id) && *by == means => run.to = id,
            run => {
                let told = run.replace((Gap { from: id, to: id }, means));
                self.notes.extend(told.map(|(gap, by)| GapNote::Filled(gap, by)));
            }
        }
    }

    const fn why_jump(&self) -> Why {
        if self.has_stored { Why::Jump } else { Why::Restart }
    }

    /// Takes ids for missing.
    pub fn miss(&mut self, gap: Gap, why: Why) {
        let opened = self.chain.miss(gap);
        self.notes.extend(opened.into_iter().map(|gap| GapNote::Opened(gap, why)));
    }

    /// Takes note of a heartbeat.
    #[inline]
    pub fn heartbeat(&mut self, last_trade_id: u64, now: Duration) {
        let Some(last) = self.chain.last() else { return };
        if last_trade_id > last {
            self.note_ahead(last, last_trade_id, now);
        }
    }

    #[cold]
    fn note_ahead(&mut self, last: u64, id: u64, now: Duration) {
        // A single word is not enough for a jump that would not be believed of a trade.
        if id - last <= ABSURD_JUMP && self.ahead.len() < MAX_AHEAD && self.ahead.back().is_none_or(|(_, ahead)| id > *ahead) {
            self.ahead.push_back((now, id));
        }
    }

    /// Tells the ids that have been missing long enough to be a gap.
    #[inline]
    pub fn tell_gaps(&mut self, now: Duration) {
        if !self.window.is_empty() || !self.ahead.is_empty() {
            self.tell_due(now);
        }
    }

    /// Tells every id that is missing, however lately: at the end nothing else will bring it.
    pub fn tell_gaps_now(&mut self) {
        let Some(last) = self.chain.last() else { return };
        let through = self.ahead.back().map(|(_, id)| *id).max(self.window.highest());
        self.ahead.clear();
        for gap in through.map(|through| self.window.gaps(last, through)).unwrap_or_default() {
            let why = self.why_jump();
            self.miss(gap, why);
        }
    }

    #[cold]
    fn tell_due(&mut self, now: Duration) {
        let Some(last) = self.chain.last() else { return };
        if let Some(through) = self.window.due(now, GAP_GRACE.min(self.gap_wait))
            && through > self.told_through
        {
            self.told_through = through;
            let why = self.why_jump();
            for gap in self.window.gaps(last, through) {
                self.miss(gap, why);
            }
        }
        while let Some((since, through)) = self.ahead.front().copied() {
            if through > last {
                if now.saturating_sub(since) < HEARTBEAT_GRACE {
                    break;
                }
                for gap in self.window.gaps(last, through) {
                    self.miss(gap, Why::Heartbeat);
                }
            }
            self.ahead.pop_front();
        }
    }

    /// Gives how long nothing will be due if nothing comes; nothing where nothing waits.
    pub fn patience(&mut self, now: Duration) -> Option<Duration> {
        let ahead = self.ahead.front().map(|(since, _)| *since + HEARTBEAT_GRACE);
        let is_told = self.window.highest().is_none_or(|highest| highest <= self.told_through);
        let held = self.window.oldest().map(|oldest| {
            let (told, written) = (oldest + GAP_GRACE.min(self.gap_wait), oldest + self.gap_wait);
            // What came after the oldest is told a little later than it could be.
            if is_told { written } else { written.min(told.max(now + GAP_GRACE / 4)) }
        });
        let next = match (ahead, held) {
            (Some(a), Some(b)) => a.min(b),
            (one, other) => one.or(other)?,
        };
        Some(next.saturating_sub(now))
    }

    /// Takes what the journal is to say since the last call.
    pub fn take_notes(&mut self) -> Vec<GapNote> {
        if let Some((gap, by)) = self.filled.take() {
            self.notes.push(GapNote::Filled(gap, by));
        }
        std::mem::take(&mut self.notes)
    }

    /// Tells whether the journal is to say anything.
    #[inline]
    #[must_use]
    pub fn has_notes(&self) -> bool {
        self.filled.is_some() || !self.notes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::record::{OrderId, Origin, Side};
    use crate::time::UnixNanos;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const WAIT: Duration = Duration::from_secs(2);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sent(trade_id: u64, means: Means) -> Sent {
        let one = Decimal::new(1.0, 1.0, true);
        let maker_order_id = if means == Means::Live { OrderId([7; 16]) } else { OrderId::NIL };
        let (time, origin) = (UnixNanos(trade_id * 1_000_000_000), Origin::new(means, 0, false));
        let trade = Trade {
            trade_id,
            time,
            price: one,
            size: one,
            side: Side::Buy,
            maker_order_id,
            taker_order_id: maker_order_id,
            sequence: 0,
            recv: UnixNanos(0),
            origin,
        };
        (trade, RawPlace::default())
    }

    /// Offers a trade as a writer does; gives the ids written.
    fn offer(sequencer: &mut Sequencer, id: u64, means: Means, now: Duration) -> Vec<u64> {
        let mut written = Vec::new();
        if sequencer.is_in_turn(id) {
            written.push(id);
            sequencer.stored(id, means);
        } else {
            sequencer.hold(sent(id, means), now);
        }
        written.extend(ready(sequencer, now));
        written
    }

    fn ready(sequencer: &mut Sequencer, now: Duration) -> Vec<u64> {
        let mut written = Vec::new();
        while let Some((trade, _)) = sequencer.next_ready(|| now) {
            written.push(trade.trade_id);
            sequencer.stored(trade.trade_id, trade.origin.means().expect("known"));
        }
        sequencer.tell_gaps(now);
        written
    }

    #[test]
    fn disorder_that_heals_soon_is_no_gap() {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        assert!(offer(&mut sequencer, 12, Means::Live, ms(0)).is_empty());
        assert!(offer(&mut sequencer, 13, Means::Live, ms(100)).is_empty());
        assert_eq!(sequencer.patience(ms(100)), Some(ms(150)));
        assert_eq!(offer(&mut sequencer, 11, Means::Live, ms(249)), [11, 12, 13]);
        assert!(!sequencer.has_notes() && sequencer.patience(ms(249)).is_none());
    }

    #[test]
    fn trades_behind_a_gap_wait_for_rest_and_then_no_longer_than_the_gap_wait() {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        offer(&mut sequencer, 11, Means::Live, ms(0));
        offer(&mut sequencer, 15, Means::Live, ms(0));
        assert!(ready(&mut sequencer, ms(250)).is_empty());
        assert_eq!(sequencer.take_notes(), [GapNote::Opened(Gap { from: 12, to: 14 }, Why::Jump)]);
        assert_eq!(offer(&mut sequencer, 12, Means::Rest, ms(400)), [12]);
        assert_eq!(offer(&mut sequencer, 13, Means::Rest, ms(400)), [13]);
        assert_eq!(sequencer.take_notes(), [GapNote::Filled(Gap { from: 12, to: 13 }, Means::Rest)]);
        assert!(ready(&mut sequencer, ms(1999)).is_empty());
        assert_eq!(ready(&mut sequencer, ms(2000)), [15]);
        assert_eq!(sequencer.take_notes(), [GapNote::Left(Gap { from: 14, to: 14 })]);
        assert_eq!(offer(&mut sequencer, 16, Means::Live, ms(2001)), [16], "only the first of them waited");
        assert_eq!(offer(&mut sequencer, 14, Means::Live, ms(9000)), [14]);
        assert_eq!(sequencer.take_notes(), [GapNote::Filled(Gap { from: 14, to: 14 }, Means::Live)]);
        assert_eq!(sequencer.chain().missing(), 0);
    }

    #[test]
    fn a_heartbeat_that_stays_ahead_tells_a_gap_and_an_absurd_one_does_not() {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        offer(&mut sequencer, 11, Means::Live, ms(0));
        sequencer.heartbeat(12, ms(0));
        offer(&mut sequencer, 12, Means::Live, ms(5));
        ready(&mut sequencer, ms(5000));
        assert!(!sequencer.has_notes(), "it ran ahead slightly");
        sequencer.heartbeat(14, ms(6000));
        sequencer.heartbeat(16, ms(7000));
        sequencer.heartbeat(1 << 60, ms(7000));
        ready(&mut sequencer, ms(7999));
        assert!(!sequencer.has_notes());
        ready(&mut sequencer, ms(8000));
        assert_eq!(sequencer.take_notes(), [GapNote::Opened(Gap { from: 13, to: 14 }, Why::Heartbeat)]);
        ready(&mut sequencer, ms(9000));
        assert_eq!(sequencer.take_notes(), [GapNote::Opened(Gap { from: 15, to: 16 }, Why::Heartbeat)]);
        assert_eq!((offer(&mut sequencer, 13, Means::Rest, ms(9001)), sequencer.chain().missing()), (vec![13], 3));
    }

    #[test]
    fn a_restart_goes_on_with_its_holes() {
        let mut sequencer = Sequencer::new(Some(100), [Gap { from: 50, to: 51 }], WAIT);
        assert_eq!(sequencer.take_notes(), [GapNote::Opened(Gap { from: 50, to: 51 }, Why::Restart)]);
        offer(&mut sequencer, 200, Means::Live, ms(0));
        ready(&mut sequencer, ms(250));
        assert_eq!(sequencer.take_notes(), [GapNote::Opened(Gap { from: 101, to: 199 }, Why::Restart)]);
        assert_eq!(sequencer.chain().missing(), 101);
    }

    #[test]
    fn of_two_copies_that_wait_the_one_with_order_ids_is_kept() {
        let mut sequencer = Sequencer::new(Some(10), [], WAIT);
        assert_eq!(sequencer.hold(sent(12, Means::Rest), ms(0)), Held::Waits);
        assert_eq!(sequencer.hold(sent(12, Means::Live), ms(1)), Held::Duplicate);
        let mut other = sent(12, Means::Live);
        other.0.side = Side::Sell;
        assert!(matches!(sequencer.hold(other, ms(1)), Held::Conflict(_)));
        let kept = sequencer.next_left().map(|(trade, _)| trade.origin.means());
        assert_eq!((kept, sequencer.held()), (Some(Some(Means::Live)), 0));
    }

    proptest! {
        #[test]
        fn everything_is_written_once_and_in_order_within_the_wait(
            ids in prop::collection::btree_set(1u64..120, 1..80), swaps in prop::collection::vec((0usize..80, 0usize..80), 0..30), steps in prop::collection::vec(0u64..400, 80),
        ) {
            let mut order: Vec<u64> = ids.iter().copied().collect();
            for (a, b) in swaps {
                let len = order.len();
                order.swap(a % len, b % len);
            }
            let mut sequencer = Sequencer::new(Some(0), [], WAIT);
            let (mut now, mut written, mut told) = (ms(0), Vec::new(), BTreeSet::new());
            let mut came = std::collections::BTreeMap::new();
            for (id, step) in order.iter().zip(steps) {
                now += ms(step);
                came.insert(*id, now);
                written.extend(offer(&mut sequencer, *id, Means::Live, now));
                for held in came.iter().filter(|(id, _)| !written.contains(id)) {
                    prop_assert!(now - *held.1 < WAIT, "{} waits since {:?}", held.0, held.1);
                }
            }
            written.extend(ready(&mut sequencer, now + WAIT));
            let mut sorted = written.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, ids.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(sequencer.held(), 0);
            for note in sequencer.take_notes() {
                match note {
                    GapNote::Opened(gap, _) => (gap.from..=gap.to).for_each(|id| assert!(told.insert(id), "{id} told twice")),
                    GapNote::Filled(gap, _) => (gap.from..=gap.to).for_each(|id| assert!(told.remove(&id), "{id} was not told missing")),
                    GapNote::Left(_) => {}
                }
            }
            let last = *ids.iter().next_back().expect("one");
            prop_assert_eq!(told.into_iter().collect::<Vec<_>>(), (1..last).filter(|id| !ids.contains(id)).collect::<Vec<_>>());
        }
    }
}
