//! Coverage: from a product's whole chain of trade ids, over all its days, to a [`Verdict`] a day. No I/O.
//!
//! Trade ids rise by exactly 1 per product, so what lies between two stored ids and is not stored is missing, and nothing else can be told.
//!
//! 1. *Whole* is claimed only where both ends of the day are shown: the last id of an earlier day or the first of a later one adjoins, or the
//!    product's trading is known to have begun or ended there (id 1, or the journal's word).
//! 2. Ids missing between two stored ones make every day that they may belong to *open*. One exception: a hole over a midnight at which, by the
//!    journal, no capture was running, is the end of one *partial* day and the beginning of another.
//! 3. The first and the last captured day are *partial* unless rule 1 holds for their outer end.
//! 4. A day without a record is *whole* where its neighbours' ids adjoin across it, else *unverifiable*.
//! 5. Two days may interleave around midnight where the exchange's clock falls by a little: the chain is one of ids, not of days.

use super::history::History;
use crate::time::{UnixNanos, UtcDay};

/// What can be said of a day's completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every trade of the day is there.
    Whole,
    /// Every trade of a stretch of the day is there; of the rest nothing is claimed.
    Partial,
    /// Trades are known to be missing.
    Open,
    /// Nothing can be shown.
    Unverifiable,
}

impl Verdict {
    /// Names the verdict as reports show it.
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

/// Ids without a hole between them, all in one day's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Link,
    /// The last.
    pub last: Link,
}

/// Gathers the runs of one day from its ids in stored order.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// Takes the next trade.
    pub fn see(&mut self, link: Link) {
        match self.runs.last_mut() {
            Some(run) if run.last.id.checked_add(1) == Some(link.id) => run.last = link,
            _ => self.runs.push(Run { first: link, last: link }),
        }
    }

    /// Gives the runs.
    #[must_use]
    pub fn done(self) -> Vec<Run> {
        self.runs
    }
}

/// What is known of one day before it is judged.
#[derive(Debug, Clone)]
pub struct DayIds {
    /// The day.
    pub date: UtcDay,
    /// Its ids, or nothing where it could not be read.
    pub runs: Option<Vec<Run>>,
    /// Records stored.
    pub records: u64,
}

/// Ids missing between two stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The stored trade before it.
    pub before: Link,
    /// The stored trade after it.
    pub after: Link,
    /// Why, as far as the journal says, and what was tried.
    pub why: String,
    /// Whether it is only that nobody captured over a midnight (rule 2).
    pub is_absence: bool,
}

impl Hole {
    /// Gives the first id missing.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.before.id + 1
    }

    /// Gives the last id missing.
    #[must_use]
    pub const fn to(&self) -> u64 {
        self.after.id - 1
    }

    /// Gives how many ids are missing.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.after.id - self.before.id - 1
    }
}

/// An id that two days hold, or one day twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// First id stored again.
    pub from: u64,
    /// Last id stored again.
    pub to: u64,
    /// The days.
    pub dates: (UtcDay, UtcDay),
}

/// A day and what can be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCoverage {
    /// The day.
    pub date: UtcDay,
    /// Whether it is complete.
    pub verdict: Verdict,
    /// Records stored.
    pub records: u64,
    /// The trade of the lowest id and that of the highest.
    pub ends: Option<(Link, Link)>,
    /// Ids missing that may belong to the day.
    pub missing: u64,
    /// Why it is not whole.
    pub reasons: Vec<String>,
}

/// A product's chain of ids, judged.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Each day, in order.
    pub days: Vec<DayCoverage>,
    /// Each hole, in order of ids; absences included.
    pub holes: Vec<Hole>,
    /// Ids stored more than once.
    pub overlaps: Vec<Overlap>,
}

impl Coverage {
    /// Gives the ids missing, each counted once; absences are not.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.holes.iter().filter(|hole| !hole.is_absence).map(Hole::missing).sum()
    }
}

/// Judges a product's days, given in order of date.
#[must_use]
pub fn judge(days: &[DayIds], history: &History) -> Coverage {
    let mut chain: Vec<Run> = days.iter().flat_map(|day| day.runs.iter().flatten().copied()).collect();
    chain.sort_by_key(|run| (run.first.id, run.last.id));
    let mut coverage = Coverage::default();
    let mut highest: Option<Link> = None;
    for run in &chain {
        if let Some(before) = highest {
            if run.first.id <= before.id {
                let to = run.last.id.min(before.id);
                coverage.overlaps.push(Overlap { from: run.first.id, to, dates: (before.date, run.first.date) });
            } else if run.first.id > before.id + 1 {
                let (from, to) = (before.id + 1, run.first.id - 1);
                let is_absence = history.was_absent_between(before.date, run.first.date);
                let why = history.explain(from, to, before.time, run.first.time);
                coverage.holes.push(Hole { before, after: run.first, why, is_absence });
            }
        }
        if highest.is_none_or(|before| run.last.id > before.id) {
            highest = Some(run.last);
        }
    }
    let ends = chain.first().map(|run| run.first).zip(highest);
    coverage.days = days.iter().map(|day| judge_day(day, &coverage.holes, ends, history)).collect();
    coverage
}

/// Judges a day of which no trades are kept.
#[must_use]
pub fn without_trades(date: UtcDay) -> DayCoverage {
    let reasons = vec!["no trades are kept, and tickers may skip some".to_owned()];
    DayCoverage { date, verdict: Verdict::Unverifiable, records: 0, ends: None, missing: 0, reasons }
}

fn judge_day(day: &DayIds, holes: &[Hole], chain: Option<(Link, Link)>, history: &History) -> DayCoverage {
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
    // A hole may hold trades of every day from that of the trade before it to that of the trade after it.
    let touching = holes.iter().filter(|hole| hole.before.date <= day.date && day.date <= hole.after.date);
    for hole in touching {
        if hole.is_absence {
            judged.verdict = judged.verdict.max(Verdict::Partial);
            judged.reasons.push(describe_absence(day, hole));
        } else {
            judged.verdict = judged.verdict.max(Verdict::Open);
            judged.missing += hole.missing();
            judged.reasons.push(format!("{} missing: {}", ids(hole.from(), hole.to()), hole.why));
        }
    }
    let Some((first, last)) = judged.ends else {
        // Neighbours that adjoin across the day show that it had no trade; outside the chain nothing shows anything.
        if judged.verdict != Verdict::Whole || day.date < chain.0.date || day.date > chain.1.date {
            judged.verdict = Verdict::Unverifiable;
            judged.reasons.push("no trade is stored".to_owned());
        }
        return judged;
    };
    if first.id == chain.0.id && first.id != 1 && history.began != Some(first.id) {
        judged.verdict = judged.verdict.max(Verdict::Partial);
        judged.reasons.push(format!("captured from {} (id {}): nothing shows what was before", first.time, first.id));
    }
    if last.id == chain.1.id && history.ended != Some(last.id) {
        judged.verdict = judged.verdict.max(Verdict::Partial);
        judged.reasons.push(format!("captured to {} (id {}): nothing shows what came after", last.time, last.id));
    }
    judged
}

/// Names one id or several.
pub(super) fn ids(from: u64, to: u64) -> String {
    if from == to { format!("id {from}") } else { format!("ids {from} to {to}") }
}

fn describe_absence(day: &DayIds, hole: &Hole) -> String {
    let why = &hole.why;
    if hole.before.date == day.date {
        format!("captured to {} (id {}): {why}", hole.before.time, hole.before.id)
    } else if hole.after.date == day.date {
        format!("captured from {} (id {}): {why}", hole.after.time, hole.after.id)
    } else {
        format!("not captured: {why}")
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
