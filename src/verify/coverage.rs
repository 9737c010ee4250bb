//! Coverage: judges each day by a product's whole chain of trade ids, over all its days. No I/O.
//!
//! Trade ids rise by exactly 1 per product. So the ids between two stored ones that are not stored are missing, and those that the journal names as well:
//! by a heartbeat, a full queue, a conflict. Nothing else can be told from ids.
//!
//! 1. *Whole* is claimed only where both ends of the day are shown. An end is shown where the last id of an earlier day or the first id of a later day
//!    adjoins, or by id 1. That REST has nothing below an id is what it keeps, and shows nothing.
//! 2. A gap makes every day *open* that its ids may belong to. There is one exception: where no capture was running at any midnight between the trades
//!    before and after it, by the journal, the gap ends one *partial* day and begins another. Ids that the journal names are missing there, too.
//! 3. The first and the last captured day are *partial*, unless rule 1 holds for their outer end.
//! 4. A day without a record is *whole* where the ids of its neighbours adjoin across it. Otherwise it is *unverifiable*.
//! 5. Two days may interleave around midnight, as the exchange's clock may fall a little. The chain is one of ids, not of days.
//! 6. Ids that lie in the file of a day to which they do not belong (`order.rs`), and ids that two days hold, prove nothing: the days that they may belong
//!    to are *unverifiable*, unless trades are known to be missing in them.

use super::chain::{Link, Run};
use super::order::{self, Stray};
use crate::history::History;
use crate::ids::{IdRange, IdSet};
use crate::time::{UnixNanos, UtcDay};

pub use crate::verdict::Verdict;

/// What is known of one day before it is judged.
#[derive(Debug, Clone)]
pub(super) struct DayIds {
    /// The day.
    pub date: UtcDay,
    /// Its ids. `None` where it could not be read.
    pub runs: Option<Vec<Run>>,
    /// Records stored.
    pub records: u64,
}

impl DayIds {
    /// Gives its ids as ranges.
    pub(super) fn ranges(&self) -> impl Iterator<Item = IdRange> {
        self.runs.iter().flatten().filter_map(|run| IdRange::new(run.first.id, run.last.id))
    }
}

/// Missing ids: between two stored ones, or named by the journal before the first or behind the last stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The missing ids.
    pub ids: IdRange,
    /// The stored trade before them. `None` where there is none.
    pub before: Option<Link>,
    /// The stored trade after them. `None` where there is none.
    pub after: Option<Link>,
    /// The days that they may belong to, from the first to the last.
    pub dates: (UtcDay, UtcDay),
    /// The earliest and the latest time at which one of the trades may have happened.
    pub times: (UnixNanos, UnixNanos),
    /// Why they are missing, as far as the journal says, and what was tried.
    pub why: String,
    /// Whether they are missing only because no capture was running over a midnight (rule 2).
    pub is_absence: bool,
}

/// Ids that are stored twice, in two days or in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The ids.
    pub ids: IdRange,
    /// The day that has the higher last id.
    pub date: UtcDay,
    /// The day that has them, too.
    pub again_on: UtcDay,
}

/// A day with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCoverage {
    /// The day.
    pub date: UtcDay,
    /// Whether it is complete.
    pub verdict: Verdict,
    /// Records stored.
    pub records: u64,
    /// The trade of the lowest id and the trade of the highest one.
    pub ends: Option<(Link, Link)>,
    /// Missing ids that may belong to the day.
    pub missing: u64,
    /// Why it is not whole.
    pub reasons: Vec<String>,
}

/// A product's chain of ids, judged.
#[derive(Debug, Clone, Default)]
pub(super) struct Coverage {
    /// Each day, in order.
    pub days: Vec<DayCoverage>,
    /// Each gap, in order of ids. Absences are included.
    pub gaps: Vec<Gap>,
    /// Ids stored more than once.
    pub overlaps: Vec<Overlap>,
    /// Ids in the file of a day to which they do not belong.
    pub strays: Vec<Stray>,
}

impl DayCoverage {
    /// Lowers the verdict, for a reason. Days with missing trades stay what they are: that says more.
    pub(super) fn lower(&mut self, to: Verdict, reason: String) {
        if self.verdict < Verdict::Open {
            self.verdict = self.verdict.max(to);
        }
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// Judges a product's days, given in order of date.
#[must_use]
pub(super) fn judge(days: &[DayIds], history: &History) -> Coverage {
    let mut chain: Vec<Run> = days.iter().flat_map(|day| day.runs.iter().flatten().copied()).collect();
    chain.sort_by_key(|run| (run.first.id, run.last.id));
    let mut coverage = Coverage { strays: order::strays(&chain), ..Coverage::default() };
    let mut highest: Option<Link> = None;
    for run in &chain {
        let after = run.first;
        match highest {
            None => add_named(&mut coverage.gaps, IdRange::one(after.id).below(), None, Some(after), history),
            Some(before) => {
                if let Some(ids) = IdRange::new(after.id, run.last.id.min(before.id)) {
                    coverage.overlaps.push(Overlap { ids, date: before.date, again_on: after.date });
                } else if let Some(ids) = IdRange::between(before.id, after.id) {
                    add_gap(&mut coverage.gaps, ids, before, after, history);
                }
            }
        }
        if highest.is_none_or(|before| run.last.id > before.id) {
            highest = Some(run.last);
        }
    }
    let above = highest.map_or(Some(IdRange::ALL), |last| IdRange::one(last.id).above());
    add_named(&mut coverage.gaps, above, highest, None, history);
    let ends = chain.first().map(|run| run.first).zip(highest);
    coverage.days = days.iter().map(|day| judge_day(day, &coverage, ends, history)).collect();
    coverage
}

/// Adds the ids missing between two stored ones. Where no capture was running over a midnight only those that the journal names are known to be missing.
fn add_gap(gaps: &mut Vec<Gap>, ids: IdRange, before: Link, after: Link, history: &History) {
    let dates = (before.date.min(after.date), before.date.max(after.date));
    let gap = |ids: IdRange, is_absence: bool| {
        let why = history.explain(ids, before.time, after.time);
        let times = (before.time.min(after.time), before.time.max(after.time));
        Gap { ids, before: Some(before), after: Some(after), dates, times, why, is_absence }
    };
    if !history.was_absent_between(before.date, after.date) {
        gaps.push(gap(ids, false));
        return;
    }
    let mut parts: Vec<Gap> = history.named.within(ids).map(|ids| gap(ids, false)).collect();
    parts.extend(history.named.absent_within(ids).map(|ids| gap(ids, true)));
    parts.sort_by_key(|gap| gap.ids);
    gaps.extend(parts);
}

/// Adds the ids before or behind all stored ones that the journal names.
fn add_named(gaps: &mut Vec<Gap>, ids: Option<IdRange>, before: Option<Link>, after: Option<Link>, history: &History) {
    let Some(ids) = ids else { return };
    let named = history.named_at.day();
    let dates = match (before, after) {
        // Behind the last one: until the journal named them.
        (Some(before), _) => (before.date, before.date.max(named)),
        (None, Some(after)) => (after.date.min(named), after.date),
        (None, None) => (named, named),
    };
    let from = before.map_or(UnixNanos(0), |link| link.time);
    let to = after.map_or(history.named_at, |link| link.time);
    // What passed before the first stored trade was never there to be recorded.
    let passed = before.is_some() || after.is_none();
    let missing: IdSet = history.named.within(ids).chain(history.passed.within(ids).filter(|_| passed)).collect();
    let times = (from.max(dates.0.start()), to.max(from).max(dates.0.start()));
    for ids in &missing {
        gaps.push(Gap { ids, before, after, dates, times, why: history.explain(ids, from, to.max(from)), is_absence: false });
    }
}

/// Judges a day whose trades are not kept.
#[must_use]
pub(super) fn without_trades(date: UtcDay) -> DayCoverage {
    let reasons = vec!["no trades are kept, and tickers may skip some".to_owned()];
    DayCoverage { date, verdict: Verdict::Unverifiable, records: 0, ends: None, missing: 0, reasons }
}

fn judge_day(day: &DayIds, coverage: &Coverage, chain: Option<(Link, Link)>, history: &History) -> DayCoverage {
    let mut judged =
        DayCoverage { date: day.date, verdict: Verdict::Whole, records: day.records, ends: None, missing: 0, reasons: Vec::new() };
    // The missing trades may be of any day from that of the trade before them to that of the trade after them.
    for gap in coverage.gaps.iter().filter(|gap| gap.dates.0 <= day.date && day.date <= gap.dates.1) {
        if gap.is_absence {
            judged.lower(Verdict::Partial, describe_absence(day, gap));
        } else {
            judged.missing = judged.missing.saturating_add(gap.ids.count());
            judged.lower(Verdict::Open, format!("{} missing: {}", gap.ids, gap.why));
        }
    }
    let Some(runs) = &day.runs else {
        judged.verdict = Verdict::Unverifiable;
        judged.reasons.push("it cannot be read".to_owned());
        return judged;
    };
    let Some(chain) = chain else {
        judged.lower(Verdict::Unverifiable, "no trade is stored".to_owned());
        return judged;
    };
    let first = runs.iter().map(|run| run.first).min_by_key(|link| link.id);
    let last = runs.iter().map(|run| run.last).max_by_key(|link| link.id);
    judged.ends = first.zip(last);
    lower_for_ids(&mut judged, coverage);
    let Some((first, last)) = judged.ends else {
        // Neighbours that adjoin across the day show that it had no trade. Outside the chain nothing shows that.
        if judged.verdict != Verdict::Whole || day.date < chain.0.date || day.date > chain.1.date {
            judged.verdict = Verdict::Unverifiable;
            judged.reasons.push("no trade is stored".to_owned());
        }
        return judged;
    };
    if first.id == chain.0.id && first.id != 1 {
        let shown = match history.kept_from {
            Some(kept_from) if kept_from >= first.id => format!("REST has nothing below id {kept_from}, which is what it keeps"),
            _ => "nothing shows what was before".to_owned(),
        };
        judged.lower(Verdict::Partial, format!("captured from {} (id {}): {shown}", first.time, first.id));
    }
    if last.id == chain.1.id {
        judged.lower(Verdict::Partial, format!("captured to {} (id {}): nothing shows what came after", last.time, last.id));
    }
    judged
}

/// Lowers the verdict of a day for ids that prove nothing of it (rule 6).
pub(super) fn lower_for_ids(judged: &mut DayCoverage, coverage: &Coverage) {
    let date = judged.date;
    for stray in coverage.strays.iter().filter(|stray| stray.date == date || stray.beside.contains(&date)) {
        judged.lower(Verdict::Unverifiable, describe_stray(stray));
    }
    for overlap in coverage.overlaps.iter().filter(|overlap| overlap.date == date || overlap.again_on == date) {
        judged.lower(Verdict::Unverifiable, format!("{} stored on {} and on {}", overlap.ids, overlap.date, overlap.again_on));
    }
}

/// Says that ids lie in the file of a day to which they do not belong.
pub(super) fn describe_stray(stray: &Stray) -> String {
    let beside: Vec<String> = stray.beside.iter().map(ToString::to_string).collect();
    format!("{} lie on {}, those beside them on {}: ids and times do not agree", stray.ids, stray.date, beside.join(" and "))
}

fn describe_absence(day: &DayIds, gap: &Gap) -> String {
    let why = &gap.why;
    match (gap.before, gap.after) {
        (Some(before), _) if before.date == day.date => format!("captured to {} (id {}): {why}", before.time, before.id),
        (_, Some(after)) if after.date == day.date => format!("captured from {} (id {}): {why}", after.time, after.id),
        _ => format!("not captured: {why}"),
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
