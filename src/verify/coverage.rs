//! Coverage: judges each day by a product's whole chain of trade ids, over all its days. No I/O.
//!
//! Trade ids rise by exactly 1 per product. So the ids between two stored ones that are not stored are missing. Nothing else can be told from ids.
//!
//! 1. *Whole* is claimed only where both ends of the day are shown. An end is shown where the last id of an earlier day or the first id of a later day
//!    adjoins, or where trading is known to have begun or ended: by id 1, or by the journal.
//! 2. A gap makes every day *open* that its ids may belong to. There is one exception: where no capture was running at any midnight between the trades
//!    before and after it, by the journal, the gap ends one *partial* day and begins another.
//! 3. The first and the last captured day are *partial*, unless rule 1 holds for their outer end.
//! 4. A day without a record is *whole* where the ids of its neighbours adjoin across it. Otherwise it is *unverifiable*.
//! 5. Two days may interleave around midnight, as the exchange's clock may fall a little. The chain is one of ids, not of days.

use super::history::History;
use crate::ids::IdRange;
use crate::time::{UnixNanos, UtcDay};

/// What can be said of a day's completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every trade of the day is there.
    Whole,
    /// Every trade of a part of the day is there. Nothing is claimed of the rest.
    Partial,
    /// Trades are known to be missing.
    Open,
    /// Nothing can be shown.
    Unverifiable,
}

impl Verdict {
    /// Gives the verdict's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Open => "open",
            Self::Unverifiable => "unverifiable",
        }
    }
}

/// A trade's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The day whose file holds it.
    pub date: UtcDay,
    /// Its id.
    pub id: u64,
    /// Its event time.
    pub time: UnixNanos,
}

/// Consecutive ids in the file of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Its first trade.
    pub first: Link,
    /// Its last trade.
    pub last: Link,
}

/// Collects the runs of one day from its trades in stored order.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// Adds the next trade.
    pub(super) fn push(&mut self, link: Link) {
        match self.runs.last_mut() {
            Some(run) if run.last.id.checked_add(1) == Some(link.id) => run.last = link,
            _ => self.runs.push(Run { first: link, last: link }),
        }
    }

    /// Gives the runs.
    #[must_use]
    pub(super) fn into_vec(self) -> Vec<Run> {
        self.runs
    }
}

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

/// Ids missing between two stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The missing ids.
    pub ids: IdRange,
    /// The stored trade before them.
    pub before: Link,
    /// The stored trade after them.
    pub after: Link,
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
}

/// Judges a product's days, given in order of date.
#[must_use]
pub(super) fn judge(days: &[DayIds], history: &History) -> Coverage {
    let mut chain: Vec<Run> = days.iter().flat_map(|day| day.runs.iter().flatten().copied()).collect();
    chain.sort_by_key(|run| (run.first.id, run.last.id));
    let mut coverage = Coverage::default();
    let mut highest: Option<Link> = None;
    for run in &chain {
        if let Some(before) = highest {
            let after = run.first;
            if let Some(ids) = IdRange::new(after.id, run.last.id.min(before.id)) {
                coverage.overlaps.push(Overlap { ids, date: before.date, again_on: after.date });
            } else if let Some(ids) = IdRange::between(before.id, after.id) {
                let is_absence = history.was_absent_between(before.date, after.date);
                let why = history.explain(ids, before.time, after.time);
                coverage.gaps.push(Gap { ids, before, after, why, is_absence });
            }
        }
        if highest.is_none_or(|before| run.last.id > before.id) {
            highest = Some(run.last);
        }
    }
    let ends = chain.first().map(|run| run.first).zip(highest);
    coverage.days = days.iter().map(|day| judge_day(day, &coverage.gaps, ends, history)).collect();
    coverage
}

/// Judges a day whose trades are not kept.
#[must_use]
pub(super) fn without_trades(date: UtcDay) -> DayCoverage {
    let reasons = vec!["no trades are kept, and tickers may skip some".to_owned()];
    DayCoverage { date, verdict: Verdict::Unverifiable, records: 0, ends: None, missing: 0, reasons }
}

fn judge_day(day: &DayIds, gaps: &[Gap], chain: Option<(Link, Link)>, history: &History) -> DayCoverage {
    let mut judged =
        DayCoverage { date: day.date, verdict: Verdict::Whole, records: day.records, ends: None, missing: 0, reasons: Vec::new() };
    let (Some(runs), Some(chain)) = (&day.runs, chain) else {
        judged.verdict = Verdict::Unverifiable;
        judged.reasons.push(if day.runs.is_some() { "no trade is stored" } else { "it cannot be read" }.to_owned());
        return judged;
    };
    let first = runs.iter().map(|run| run.first).min_by_key(|link| link.id);
    let last = runs.iter().map(|run| run.last).max_by_key(|link| link.id);
    judged.ends = first.zip(last);
    // The missing trades may be of any day from that of the trade before them to that of the trade after them.
    let touching = gaps.iter().filter(|gap| gap.before.date <= day.date && day.date <= gap.after.date);
    for gap in touching {
        if gap.is_absence {
            judged.verdict = judged.verdict.max(Verdict::Partial);
            judged.reasons.push(describe_absence(day, gap));
        } else {
            judged.verdict = judged.verdict.max(Verdict::Open);
            judged.missing += gap.ids.count();
            judged.reasons.push(format!("{} missing: {}", gap.ids, gap.why));
        }
    }
    let Some((first, last)) = judged.ends else {
        // Neighbours that adjoin across the day show that it had no trade. Outside the chain nothing shows that.
        if judged.verdict != Verdict::Whole || day.date < chain.0.date || day.date > chain.1.date {
            judged.verdict = Verdict::Unverifiable;
            judged.reasons.push("no trade is stored".to_owned());
        }
        return judged;
    };
    if first.id == chain.0.id && first.id != 1 && history.first_id_ever != Some(first.id) {
        judged.verdict = judged.verdict.max(Verdict::Partial);
        judged.reasons.push(format!("captured from {} (id {}): nothing shows what was before", first.time, first.id));
    }
    if last.id == chain.1.id && history.last_id_ever != Some(last.id) {
        judged.verdict = judged.verdict.max(Verdict::Partial);
        judged.reasons.push(format!("captured to {} (id {}): nothing shows what came after", last.time, last.id));
    }
    judged
}

fn describe_absence(day: &DayIds, gap: &Gap) -> String {
    let why = &gap.why;
    if gap.before.date == day.date {
        format!("captured to {} (id {}): {why}", gap.before.time, gap.before.id)
    } else if gap.after.date == day.date {
        format!("captured from {} (id {}): {why}", gap.after.time, gap.after.id)
    } else {
        format!("not captured: {why}")
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
