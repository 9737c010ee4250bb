//! [`Ahead`]: ids that heartbeats or tickers have named, of trades that have not come. No I/O, no clock.
//!
//! Whatever names a trade shows that it has happened. The trade itself may come a moment later, or never.
//!
//! 1. No single message moves a mark. One message is believed for an id up to [`AGREEMENT`] behind the last one known, as a trade is. An id further ahead is
//!    believed where [`CONFIRMATIONS`] messages name ids within [`NEAR_IDS`], and so are others as near to it: tickers may skip trades.
//! 2. Where no trade is known at all, that many tickers are needed, and the lowest id that they name is where the chain begins.
//! 3. At most [`MAX_AHEAD`] ids are held, in memory that is allocated once. What tickers name within [`TOGETHER`] is held as one, under the highest id.
//! 4. What heartbeats have named and nothing confirms is forgotten: they come every second. What tickers have named is held until trades have passed it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::feed::continuity::ABSURD_JUMP;
use crate::feed::doubts::{AGREEMENT, CONFIRMATIONS};
use crate::feed::gap_event::GapCause;

/// How long a heartbeat or a ticker may name an id whose trade has not come.
const HEARTBEAT_GRACE: Duration = Duration::from_secs(2);

/// Ids held at once.
const MAX_AHEAD: usize = 16;

/// How near to each other the ids are that confirm each other. `verify` holds the tickers of a tape to the same.
const NEAR_IDS: u64 = 10_000;

/// What tickers name within such a time is held as one: the ids of two times the grace always fit in.
const TOGETHER: Duration = Duration::from_millis(250);

const _: () = assert!(2 * HEARTBEAT_GRACE.as_millis() <= MAX_AHEAD as u128 * TOGETHER.as_millis());

/// An id that was named.
#[derive(Debug, Clone, Copy)]
struct Named {
    /// When the first message named it.
    at: Duration,
    id: u64,
    /// How many messages have named it, or one that is held together with it.
    messages: usize,
    by: GapCause,
}

/// Ids that were named and have not come.
#[derive(Debug)]
pub(super) struct Ahead {
    /// In rising order of id.
    named: VecDeque<Named>,
    /// The highest id of those that are believed and were reported.
    reported: Option<u64>,
    /// The highest id that several messages have agreed on and that was reported.
    agreed: Option<u64>,
}

/// What is believed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The last id before those that are missing, where no trade is known.
    pub(super) after: u64,
    /// The id that was named.
    pub(super) id: u64,
    /// What has named it.
    pub(super) by: GapCause,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { named: VecDeque::with_capacity(MAX_AHEAD), reported: None, agreed: None }
    }
}

impl Ahead {
    /// Tells whether none is held.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Takes an id that a message has named. `last` is the last id of the chain.
    #[cold]
    pub(super) fn name(&mut self, by: GapCause, id: u64, last: Option<u64>, now: Duration) {
        self.forget_through(last);
        if let Some(named) = self.named.iter_mut().find(|named| named.id == id) {
            named.messages = named.messages.saturating_add(1);
            return;
        }
        if self.base(last).is_some_and(|base| id <= base || id - base > ABSURD_JUMP) {
            return;
        }
        let place = self.named.partition_point(|named| named.id < id);
        let is_known = self.base(last).is_some();
        if let Some(before) = place.checked_sub(1).and_then(|before| self.named.get_mut(before))
            && is_known
            && (before.by, by) == (GapCause::Ticker, GapCause::Ticker)
            && id - before.id <= AGREEMENT
            && now.saturating_sub(before.at) < TOGETHER
        {
            (before.id, before.messages) = (id, before.messages.saturating_add(1));
            return;
        }
        if self.named.len() >= MAX_AHEAD {
            // The highest one says the least: what is right comes again.
            self.named.pop_back();
        }
        let place = place.min(self.named.len());
        self.named.insert(place, Named { at: now, id, messages: 1, by });
    }

    /// Forgets the ids that the chain has passed.
    fn forget_through(&mut self, last: Option<u64>) {
        while last.is_some_and(|last| self.named.front().is_some_and(|named| named.id <= last)) {
            self.named.pop_front();
        }
    }

    /// Gives the last id that is known, stored or missing.
    fn base(&self, last: Option<u64>) -> Option<u64> {
        self.reported.max(last)
    }

    /// Tells whether enough messages have named an id.
    fn is_told(&self, named: &Named, base: Option<u64>) -> bool {
        base.is_some_and(|base| named.id.saturating_sub(base) <= AGREEMENT) || self.is_agreed(named.id)
    }

    /// Tells whether several messages name ids near one, or have named one that was reported.
    fn is_agreed(&self, id: u64) -> bool {
        self.agreed.is_some_and(|agreed| agreed.abs_diff(id) <= NEAR_IDS) || self.agreeing(id) >= CONFIRMATIONS
    }

    /// Counts the messages that name ids near one.
    fn agreeing(&self, id: u64) -> usize {
        self.named.iter().filter(|named| named.id.abs_diff(id) <= NEAR_IDS).fold(0, |sum, named| sum.saturating_add(named.messages))
    }

    /// Gives what is believed of an id. Without a chain, it begins with the lowest id that is near.
    fn told(&self, named: &Named, last: Option<u64>) -> Option<Told> {
        let base = self.base(last);
        if !self.is_told(named, base) {
            return None;
        }
        let begins =
            || self.named.iter().map(|other| other.id).find(|id| self.agreeing(*id) >= CONFIRMATIONS && named.id.abs_diff(*id) <= NEAR_IDS);
        Some(Told { after: base.or_else(begins)?, id: named.id, by: named.by })
    }

    /// Tells whether an id is believed whose trade has not come for the grace.
    pub(super) fn is_due(&self, last: Option<u64>, now: Duration) -> bool {
        let is_ahead = |named: &&Named| last.is_none_or(|last| named.id > last) && is_late(named, now);
        self.named.iter().filter(is_ahead).any(|named| self.told(named, last).is_some())
    }

    /// Takes the lowest id that is believed and whose trade has not come for the grace.
    pub(super) fn pop_due(&mut self, last: Option<u64>, now: Duration) -> Option<Told> {
        self.forget_through(last);
        let due = self.named.iter().enumerate().filter(|(_, named)| is_late(named, now));
        let (at, told) = due.filter_map(|(at, named)| Some((at, self.told(named, last)?))).next()?;
        self.note_reported(at, told.id);
        Some(told)
    }

    fn note_reported(&mut self, at: usize, id: u64) {
        if self.is_agreed(id) {
            self.agreed = self.agreed.max(Some(id));
        }
        self.reported = self.reported.max(Some(id));
        self.named.drain(..=at);
    }

    /// Forgets what heartbeats have named and nobody again by now: it was a mistake.
    pub(super) fn forget_mistakes(&mut self, last: Option<u64>, now: Duration) {
        let base = self.base(last);
        let is_recent = |named: &Named| now.saturating_sub(named.at) < 2 * HEARTBEAT_GRACE;
        if self.named.iter().any(|named| named.by == GapCause::Heartbeat && !is_recent(named)) {
            let told: Vec<u64> = self.named.iter().filter(|named| self.is_told(named, base)).map(|named| named.id).collect();
            self.named.retain(|named| named.by != GapCause::Heartbeat || is_recent(named) || told.contains(&named.id));
        }
    }

    /// Gives the highest id that is believed, however recently it was named, and forgets all.
    pub(super) fn take_highest(&mut self, last: Option<u64>) -> Option<Told> {
        self.forget_through(last);
        let mut highest = None;
        while let Some((at, told)) = self.named.iter().enumerate().find_map(|(at, named)| Some((at, self.told(named, last)?))) {
            self.note_reported(at, told.id);
            highest = Some(Told { after: highest.map_or(told.after, |first: Told| first.after), ..told });
        }
        self.named.clear();
        highest
    }

    /// Tells whether a heartbeat has named an id just behind this one.
    pub(super) fn has_heartbeat_behind(&self, id: u64) -> bool {
        self.named.iter().any(|named| named.by == GapCause::Heartbeat && named.id >= id && named.id - id <= AGREEMENT)
    }

    /// Gives when the next id will have been named for the grace.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        self.named.iter().map(|named| named.at + HEARTBEAT_GRACE).filter(|at| *at > now).min()
    }
}

fn is_late(named: &Named, now: Duration) -> bool {
    now.saturating_sub(named.at) >= HEARTBEAT_GRACE
}
