//! [`Coverage`]: what of a range of time a tape is known to hold, told from the ids of the trades alone.
//!
//! Trade ids rise by exactly 1 per product. So the ids between two stored ones that are not stored are missing, and their trades happened between the times
//! of the two. The trades before the range and behind it are looked at as well: they show whether the range is reached.
//!
//! 1. *Whole* is claimed only where the chain of ids goes on beyond both ends of the range without a gap, or begins with id 1. This is the rule of `verify`.
//!    What only the journal knows (an id that a heartbeat named after the last trade, a conflict) is left to `verify`; the time behind the last stored trade
//!    is never whole here.
//! 2. A gap belongs to a range where one of its trades may have happened in it.
//! 3. How many ids of a gap fall into a part of its time is an estimate ([`MissingIds::count_within`]): they are spread evenly over the gap, so that each
//!    is counted in one part, and the parts add up.
//! 4. The cost is one look at the ids of the range and of some records beside it; the times are looked at where a gap is.
//! 5. A later series of the product (`BTC-USD~2`) has a chain of its own and is not looked at.

use std::ops::Range;

use super::days;
use super::verdict::Verdict;
use crate::ids::IdRange;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::{Run, Snapshot};
use crate::tape::{Tape, TapeError};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Records beside a range that are looked at, on each side: event times may fall a little, so its neighbours by id may lie a few records away.
const MARGIN_RECORDS: usize = 1 << 16;

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

/// Ids that are missing between two stored trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingIds {
    /// The ids.
    pub ids: IdRange,
    /// The stored trade with the id below them.
    pub before: StoredTrade,
    /// The stored trade with the id above them.
    pub after: StoredTrade,
}

impl MissingIds {
    /// Gives the earliest and the latest time at which one of the trades may have happened. The exchange's clock may have been set back between the two.
    #[must_use]
    pub fn times(&self) -> (UnixNanos, UnixNanos) {
        (self.before.time.min(self.after.time), self.before.time.max(self.after.time))
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
    /// let gap = MissingIds { ids: IdRange::new(5, 7).unwrap(), before: trade(4, 100), after: trade(8, 200) };
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
    /// Ids that are stored twice or do not rise. The chain of ids then proves nothing; `verify` says more.
    pub disordered: u64,
}

impl Coverage {
    /// Looks at the ids of a range of time and of the trades beside it.
    ///
    /// # Errors
    /// Where a day of the range, or the one before or after it that has trades, cannot be read.
    pub fn of(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        let dates = tape.days(product, Dataset::Trades)?;
        let mut chain = Chain::default();
        let before = dates.iter().rev().filter(|date| range.from.is_some_and(|from| **date < from.day()));
        add_nearest(tape, product, before, &mut chain, |count| count.saturating_sub(MARGIN_RECORDS)..count)?;
        for date in dates.iter().filter(|date| range.overlaps_day(**date)) {
            if let Some(day) = days::open::<Trades>(tape, product, *date)? {
                chain.add(&day, numbers_around(&day, range));
            }
        }
        let after = dates.iter().filter(|date| range.to.is_some_and(|to| date.start() >= to));
        add_nearest(tape, product, after, &mut chain, |count| 0..count.min(MARGIN_RECORDS))?;
        Ok(chain.judge(range))
    }

    /// Judges the range: *open* where ids are missing, *partial* where the tape begins or ends in it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.gaps.is_empty() {
            Verdict::Open
        } else if !self.has_trades || self.disordered > 0 {
            Verdict::Unverifiable
        } else if self.captured_from.is_some() || self.captured_to.is_some() {
            Verdict::Partial
        } else {
            Verdict::Whole
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
        if !self.has_trades {
            return Some("no trade is stored".to_owned());
        }
        let mut said = Vec::new();
        if !self.gaps.is_empty() {
            let count: u64 = self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.ids.count()));
            let named: Vec<String> = self.gaps.iter().take(MAX_NAMED).map(named).collect();
            let more = self.gaps.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(", and {more} more gaps") } else { String::new() };
            said.push(format!("{count} trades missing: {}{more}", named.join(", ")));
        }
        if self.disordered > 0 {
            said.push(format!("{} ids stored twice or out of order (`coltape verify` says more)", self.disordered));
        }
        said.extend(self.captured_from.map(|first| format!("captured from {} (id {})", first.time, first.id)));
        said.extend(self.captured_to.map(|last| format!("captured to {} (id {})", last.time, last.id)));
        (!said.is_empty()).then(|| said.join("; "))
    }
}

fn named(gap: &MissingIds) -> String {
    let (first, last) = gap.times();
    format!("{} between {first} and {last}", gap.ids)
}

/// Adds the nearest day that has trades, of days that are given the nearest first.
fn add_nearest<'d>(
    tape: &Tape,
    product: &ProductId,
    dates: impl Iterator<Item = &'d UtcDay>,
    chain: &mut Chain,
    numbers: impl Fn(usize) -> Range<usize>,
) -> Result<(), TapeError> {
    for date in dates {
        if let Some(day) = days::open::<Trades>(tape, product, *date)?
            && day.count() > 0
        {
            chain.add(&day, numbers(day.count()));
            return Ok(());
        }
    }
    Ok(())
}

/// Gives the numbers of a day's records of a range of time, and of those beside them.
fn numbers_around(day: &Snapshot<Trades>, range: TimeRange) -> Range<usize> {
    // The whole day needs no look at its times.
    let inside = if range.covers_day(day.key().date) { 0..0 } else { day.time_range(range) };
    if inside.is_empty() {
        return 0..day.count();
    }
    inside.start.saturating_sub(MARGIN_RECORDS)..inside.end.saturating_add(MARGIN_RECORDS).min(day.count())
}

/// Consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: StoredTrade,
    last: StoredTrade,
}

/// The ids of some days as stretches without a gap.
#[derive(Debug, Default)]
struct Chain {
    stretches: Vec<Stretch>,
}

impl Chain {
    /// Adds records of a day, by their numbers in its merged order.
    fn add(&mut self, day: &Snapshot<Trades>, numbers: Range<usize>) {
        let none: &[u32] = &[];
        let ids = day.column::<u64>("trade_id").unwrap_or_default();
        let seconds = day.column("trade_time").unwrap_or(none);
        let nanos = day.column("trade_nanos").unwrap_or(none);
        let at = |record: usize| {
            let part = |column: &[u32]| column.get(record).copied().unwrap_or(0);
            UnixNanos::from_parts(part(seconds), part(nanos))
        };
        for run in day.runs(numbers) {
            match run {
                Run::Late(trade) => {
                    let stored = StoredTrade { id: trade.trade_id, time: trade.time };
                    self.push(Stretch { first: stored, last: stored });
                }
                Run::Columns(records) => {
                    let mut from = records.start;
                    while let Some(rest) = ids.get(from..records.end)
                        && let Some(first) = rest.first()
                    {
                        let end = from + consecutive(rest);
                        let stored = |id: u64, record: usize| StoredTrade { id, time: at(record) };
                        let last = first + (end - from - 1) as u64;
                        self.push(Stretch { first: stored(*first, from), last: stored(last, end - 1) });
                        from = end;
                    }
                }
            }
        }
    }

    fn push(&mut self, stretch: Stretch) {
        match self.stretches.last_mut() {
            Some(last) if last.last.id.checked_add(1) == Some(stretch.first.id) => last.last = stretch.last,
            _ => self.stretches.push(stretch),
        }
    }

    /// Tells what the chain shows of a range of time.
    fn judge(mut self, range: TimeRange) -> Coverage {
        // Two days may interleave around midnight: the chain is one of ids, not of days.
        self.stretches.sort_by_key(|stretch| (stretch.first.id, stretch.last.id));
        let mut coverage = Coverage { range, gaps: Vec::new(), captured_from: None, captured_to: None, has_trades: false, disordered: 0 };
        let mut highest: Option<StoredTrade> = None;
        for Stretch { first, last } in &self.stretches {
            if let Some(before) = highest {
                if let Some(again) = IdRange::new(first.id, last.id.min(before.id)) {
                    coverage.disordered = coverage.disordered.saturating_add(again.count());
                } else if let Some(ids) = IdRange::between(before.id, first.id) {
                    let gap = MissingIds { ids, before, after: *first };
                    coverage.gaps.extend(Some(gap).filter(|gap| gap.touches(range)));
                }
            }
            if highest.is_none_or(|before| last.id > before.id) {
                highest = Some(*last);
            }
        }
        let lowest = self.stretches.first().map(|stretch| stretch.first);
        coverage.has_trades = lowest.is_some();
        coverage.captured_from = lowest.filter(|first| first.id > 1 && range.from.is_none_or(|from| first.time >= from));
        coverage.captured_to = highest.filter(|last| range.to.is_none_or(|to| last.time < to));
        coverage
    }
}

/// Counts the ids at the front that rise by 1 each, the first one included.
fn consecutive(ids: &[u64]) -> usize {
    const BLOCK: usize = 512;
    let mut next = ids.first().copied().unwrap_or(0);
    let mut count = 0;
    for block in ids.chunks(BLOCK) {
        // Without a branch, so that several ids are compared at once.
        let differs = block.iter().zip(0u64..).fold(0, |differs, (id, at)| differs | (id ^ next.wrapping_add(at)));
        if differs != 0 {
            let expected = (0u64..).map(|at| next.wrapping_add(at));
            return count + block.iter().zip(expected).take_while(|(id, expected)| *id == expected).count();
        }
        count += block.len();
        next = next.wrapping_add(block.len() as u64);
    }
    count
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
