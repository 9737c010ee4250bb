//! [`Coverage`]: what of a range of time a tape is known to hold: [`verify`](fn@crate::verify)'s rule, for a range.
//!
//! Trade ids rise by exactly 1 per product. So the ids between two stored ones that are not stored are missing, and their trades happened between the times
//! of the two. The journal knows more: ids that a heartbeat named, or that a full queue gave up; trades that came again with other fields; days that are
//! gone; what was doubted when a capture stopped; and whether the journal itself is whole.
//!
//! 1. *Whole* is claimed only where the chain of ids goes on beyond both ends of the range without a gap, or begins with id 1, and nothing speaks against a
//!    day that the range touches. So `verify` finds nothing wrong with those days' trades, and calls none of them unverifiable. (It may call them partial,
//!    or open: where they are, the range is not.)
//! 2. What is found on a day speaks against every range that touches the day, but for what has a place: a gap, the ends of what was captured, records that
//!    have no checksum yet, a trade whose time does not fit its id. The bytes of the days' trades are compared with their checksums.
//! 3. Of tickers only the files are looked at: no ticker shows that a trade is there. What tickers hold is for `verify`.
//! 4. A gap belongs to a range where one of its trades may have happened in it. Ids that the journal names behind the last stored trade may have happened
//!    at any time until they were named.
//! 5. How many ids of a gap fall into a part of its time is an estimate ([`MissingIds::count_within`]): they are spread evenly over the gap, so that each
//!    is counted in one part, and the parts add up.
//! 6. The cost: the journal and the checksums of the touched days are read once for a [`Tape`] and its copies, and again as far as files have changed; the
//!    ids of the range and of some records beside it, and the first and last id of every other day, are looked at each time.
//! 7. A later series of the product (`BTC-USD~2`) has a chain of its own and is not looked at.

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::tape::{Tape, TapeError};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;
use crate::verify::{Depth, Gap, Link, Shares, Survey, survey};

/// Gaps that a sentence names.
const MAX_NAMED: usize = 5;

/// A stored trade's place in the chain of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTrade {
    /// Its id.
    pub id: u64,
    /// Its event time.
    pub time: UnixNanos,
}

impl StoredTrade {
    pub(super) fn of(link: Link) -> Self {
        Self { id: link.id, time: link.time }
    }
}

/// Ids that are missing: between two stored trades, or named by the journal before the first or behind the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingIds {
    /// The ids.
    pub ids: IdRange,
    /// The stored trade with the next lower id. `None` where there is none.
    pub before: Option<StoredTrade>,
    /// The stored trade with the next higher id. `None` where there is none.
    pub after: Option<StoredTrade>,
    /// The earliest time at which one of the trades may have happened.
    pub first_time: UnixNanos,
    /// The latest time at which one may.
    pub last_time: UnixNanos,
    /// Why they are missing, as far as the journal says, and what was tried.
    pub why: String,
    /// Whether no capture was running over the midnights between the two trades: then they are not captured rather than lost.
    pub is_absence: bool,
}

impl MissingIds {
    /// Names ids that are missing between two stored trades. The exchange's clock may have been set back between the two.
    #[must_use]
    pub fn between(ids: IdRange, before: StoredTrade, after: StoredTrade) -> Self {
        let (first_time, last_time) = (before.time.min(after.time), before.time.max(after.time));
        Self { ids, before: Some(before), after: Some(after), first_time, last_time, why: String::new(), is_absence: false }
    }

    pub(super) fn of(gap: Gap) -> Self {
        let Gap { ids, before, after, times: (first_time, last_time), why, is_absence, .. } = gap;
        let stored = |link: Option<Link>| link.map(StoredTrade::of);
        Self { ids, before: stored(before), after: stored(after), first_time, last_time, why, is_absence }
    }

    /// Gives the earliest and the latest time at which one of the trades may have happened.
    #[must_use]
    pub const fn times(&self) -> (UnixNanos, UnixNanos) {
        (self.first_time, self.last_time)
    }

    /// Tells whether one of the trades may have happened in a range of time.
    #[must_use]
    pub fn touches(&self, range: TimeRange) -> bool {
        let (first, last) = self.times();
        range.from.is_none_or(|from| last >= from) && range.to.is_none_or(|to| first < to)
    }

    /// Estimates how many of the trades happened in a range of time, by spreading them evenly between the trades before and after them.
    ///
    /// ```
    /// use coltape::{IdRange, MissingIds, StoredTrade, TimeRange, UnixNanos};
    /// let trade = |id, time| StoredTrade { id, time: UnixNanos(time) };
    /// let gap = MissingIds::between(IdRange::new(5, 7).unwrap(), trade(4, 100), trade(8, 200));
    /// let halves = [(100, 150), (150, 201)].map(|(from, to)| gap.count_within(TimeRange::new(UnixNanos(from), UnixNanos(to))));
    /// assert_eq!(halves, [1, 2]);
    /// ```
    #[must_use]
    pub fn count_within(&self, range: TimeRange) -> u64 {
        let before = |time: Option<UnixNanos>, none: u64| time.map_or(none, |time| self.count_before(time));
        before(range.to, self.ids.count()).saturating_sub(before(range.from, 0))
    }

    /// Counts those whose even place lies before a time. The place of number k of n is k / (n + 1) of the way.
    fn count_before(&self, time: UnixNanos) -> u64 {
        let ((first, last), count) = (self.times(), self.ids.count());
        let (span, part) = (u128::from(last.since(first)), u128::from(time.since(first)));
        if time <= first {
            return 0;
        }
        if span == 0 {
            return count;
        }
        let places = (part * (u128::from(count) + 1)).div_ceil(span) - 1;
        u64::try_from(places).unwrap_or(u64::MAX).min(count)
    }
}

/// Something that speaks against a claim that a range of time is whole, and is no gap and no end of what was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Doubt {
    /// The day that it is about. `None` where it is about all days.
    pub date: Option<UtcDay>,
    /// What the range is at best.
    pub verdict: Verdict,
    /// What it is.
    pub why: String,
}

/// What of a range of time a tape is known to hold of one product's trades.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// The range of time that was asked about.
    pub range: TimeRange,
    /// The gaps in which a trade of the range may be missing, in order of ids.
    pub gaps: Vec<MissingIds>,
    /// Where the tape begins, if that is in the range and not with id 1: nothing shows what was before.
    pub captured_from: Option<StoredTrade>,
    /// Where the tape ends, if that is in the range: nothing shows what came after.
    pub captured_to: Option<StoredTrade>,
    /// Whether any trade is stored, in the range or beside it.
    pub has_trades: bool,
    /// Ids that are stored twice. The chain of ids then proves nothing.
    pub disordered: u64,
    /// What else speaks against it, day by day.
    pub doubts: Vec<Doubt>,
}

impl Coverage {
    /// Looks at what is known of a range of time.
    ///
    /// # Errors
    /// Where the directory cannot be listed. A day that cannot be read is a [`Doubt`].
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Coverage, ProductId, Tape, TimeRange};
    /// let coverage = Coverage::of(&Tape::open(dir)?, &ProductId::new("BTC-USD")?, TimeRange::ALL)?;
    /// if let Some(why) = coverage.shortcoming() {
    ///     println!("{}: {why}", coverage.verdict().name());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        Ok(Self::told(survey(tape, product, range, (Shares::LeftOut, Depth::Full))?, range))
    }

    /// Looks at the ends of what the days' ids show, in a small part of the time. It claims nothing: what it gives is to be compared with [`Coverage::of`]
    /// before it is relied on.
    ///
    /// # Errors
    /// As [`Coverage::of`].
    pub(crate) fn at_a_glance(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        Ok(Self::told(survey(tape, product, range, (Shares::LeftOut, Depth::Ends))?, range))
    }

    /// Tells what a survey shows of a range of time.
    fn told(survey: Survey, range: TimeRange) -> Self {
        let Survey { ends, gaps, doubled, days, of_all } = survey;
        let (lowest, highest) = (ends.map(|(first, _)| StoredTrade::of(first)), ends.map(|(_, last)| StoredTrade::of(last)));
        let of_all = of_all.into_iter().map(|why| Doubt { date: None, verdict: Verdict::Unverifiable, why });
        let of_days = days.into_iter().flat_map(|day| {
            let (date, verdict) = (day.doubts.date, day.doubts.verdict);
            day.doubts.reasons.into_iter().map(move |why| Doubt { date: Some(date), verdict, why })
        });
        Self {
            range,
            gaps: gaps.into_iter().map(MissingIds::of).filter(|gap| gap.touches(range)).collect(),
            captured_from: lowest.filter(|first| first.id > 1 && range.from.is_none_or(|from| first.time >= from)),
            captured_to: highest.filter(|last| range.to.is_none_or(|to| last.time < to)),
            has_trades: ends.is_some(),
            disordered: doubled,
            doubts: of_all.chain(of_days).collect(),
        }
    }

    /// Judges the range: *open* where ids or days are missing, *unverifiable* where something contradicts or cannot be shown, *partial* where the tape begins
    /// or ends in it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let worst = self.doubts.iter().map(|doubt| doubt.verdict).max().unwrap_or(Verdict::Whole);
        let has_doubt = |verdict: Verdict| self.doubts.iter().any(|doubt| doubt.verdict == verdict);
        if self.gaps.iter().any(|gap| !gap.is_absence) || has_doubt(Verdict::Open) {
            Verdict::Open
        } else if !self.has_trades || self.disordered > 0 {
            Verdict::Unverifiable
        } else if !self.gaps.is_empty() || self.captured_from.is_some() || self.captured_to.is_some() {
            worst.max(Verdict::Partial)
        } else {
            worst
        }
    }

    /// Tells whether every trade of the range is shown to be there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.verdict() == Verdict::Whole
    }

    /// Estimates how many ids of the range are missing: those of a gap that reaches beyond the range are spread evenly over its time.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.count_within(self.range)))
    }

    /// Says why the range is not whole; nothing where it is.
    #[must_use]
    pub fn shortcoming(&self) -> Option<String> {
        let mut said = Vec::new();
        if !self.gaps.is_empty() {
            let count: u64 = self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.ids.count()));
            let named: Vec<String> = self.gaps.iter().take(MAX_NAMED).map(named).collect();
            let trades = if count == 1 { "trade" } else { "trades" };
            said.push(format!("{count} {trades} missing: {}{}", named.join(", "), more(self.gaps.len(), "gaps")));
        }
        if !self.has_trades {
            said.push("no trade is stored".to_owned());
        }
        if self.disordered > 0 {
            said.push(format!("{} ids stored twice", self.disordered));
        }
        for doubt in self.doubts.iter().take(MAX_NAMED) {
            said.push(match doubt.date {
                Some(date) => format!("{date}: {}", doubt.why),
                None => doubt.why.clone(),
            });
        }
        if self.doubts.len() > MAX_NAMED {
            said.push(format!("{} more reasons, which `coltape verify` tells", self.doubts.len() - MAX_NAMED));
        }
        said.extend(self.captured_from.map(|first| format!("captured from {} (id {})", first.time, first.id)));
        said.extend(self.captured_to.map(|last| format!("captured to {} (id {})", last.time, last.id)));
        (!said.is_empty()).then(|| said.join("; "))
    }
}

fn named(gap: &MissingIds) -> String {
    let (first, last) = gap.times();
    let why = if gap.why.is_empty() { String::new() } else { format!(" ({})", gap.why) };
    format!("{} between {first} and {last}{why}", gap.ids)
}

/// Says how many are not named.
fn more(count: usize, what: &str) -> String {
    let more = count.saturating_sub(MAX_NAMED);
    if more > 0 { format!(", and {more} more {what}") } else { String::new() }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
