//! [`Survey`]: what can be said of the trades of a range of time without a look at every value: the rule of `verify`, for those who answer a question.
//!
//! It judges with the same [`Checks`], the same chain of ids and the same journal. It differs from `verify` in this alone:
//!
//! 1. Ids are looked at one by one in the range and beside it. Of the other days, and of the rest of a day, the first and the last one stand for all
//!    between them: a gap there is no concern of the range, and ids of it that lie there are found. Where ids do not rise in the file of another day, that
//!    file is damaged, and its wrong ids are no concern of the range either: they were never trades.
//! 2. The bytes of trades are compared with their checksums, and their event times with their receive times, over the whole of every day that the range
//!    touches. Another value that its writer has stored wrong is not looked for.
//! 3. Of tickers the files are looked at: whether they are there, with as many records as they must have, and whether their pages are right. What they hold
//!    shows nothing of trades.
//! 4. Whatever is found on a day speaks against the whole of it, wherever the range lies in it. There are four exceptions: a gap, the end of what was
//!    captured, records without a checksum yet, and a trade whose time does not fit its id. These have a place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::ahead::{AheadOfReceipt, Received};
use super::archived::{self, Archived};
use super::chain::{Link, Run, Runs};
use super::checks::{Checks, LAG_NANOS, add_faults, is_timely, open_day};
use super::config::VerifyConfig;
use super::coverage::{self, Coverage, DayCoverage, DayIds, Gap, Verdict, judge};
use super::day::ClockOfNow;
use super::falls::{Falls, Timed};
use super::finding::{Findings, Location};
use super::index::{IndexedDay, IndexedDays};
use super::order::CONFIRMATIONS;
use super::received::{received, shares};
use super::report::{CheckedDays, DatasetDay};
use super::stretches::{self, Depth};
use super::{known, named, tickers};
use crate::history::{History, Journal, Knowledge};
use crate::product::ProductId;
use crate::record::Means;
use crate::schema::{Dataset, Layout, Md, TickerTrades, Trades};
use crate::store::Snapshot;
use crate::tape::{DayEnds, Tape, TapeError};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// Records beside a range whose ids are looked at, on each side: event times may fall a little, so its neighbours by id may lie a few records away.
const MARGIN_RECORDS: usize = 1 << 16;

/// Records beside a range whose times are looked at, on each side: enough to decide about the ones at its ends.
const ORDER_MARGIN_RECORDS: usize = 4 * CONFIRMATIONS;

/// What can be said of the trades of a range of time.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The trade with the lowest id of all days, and the one with the highest.
    pub(crate) ends: Option<(Link, Link)>,
    /// The gaps between ids that were looked at, and those that the journal names, in order of ids.
    pub(crate) gaps: Vec<Gap>,
    /// Ids of days that the range touches that are stored twice.
    pub(crate) doubled: u64,
    /// The days that the range touches.
    pub(crate) days: Vec<SurveyedDay>,
    /// What speaks against every day of the product.
    pub(crate) of_all: Vec<String>,
}

#[cfg(test)]
impl Survey {
    /// Surveys trades that are given by their ids and times, on days that nothing else speaks against.
    pub(crate) fn of_trades(trades: &[(u64, u64)], history: &crate::history::History) -> Self {
        let mut dates: BTreeMap<UtcDay, Runs> = BTreeMap::new();
        let mut sorted: Vec<Link> =
            trades.iter().map(|(id, time)| (UnixNanos(*time), *id)).map(|(time, id)| Link { date: time.day(), id, time }).collect();
        sorted.sort_by_key(|link| link.id);
        sorted.iter().for_each(|link| dates.entry(link.date).or_default().push(*link));
        let ids: Vec<DayIds> = dates.into_iter().map(|(date, runs)| DayIds { date, runs: Some(runs.into_vec()), records: 1 }).collect();
        let coverage = judge(&ids, history);
        let doubled = coverage.overlaps.iter().map(|overlap| overlap.ids.count()).sum();
        Self { ends: sorted.first().copied().zip(sorted.last().copied()), gaps: coverage.gaps, doubled, ..Self::default() }
    }
}

/// Whether the trades with order ids and with receive times are counted, which needs a look at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shares {
    Counted,
    LeftOut,
}

/// A day that the range touches.
#[derive(Debug)]
pub(crate) struct SurveyedDay {
    /// What speaks against a claim that a range of the day is whole. Gaps and the ends of what was captured are not among it.
    pub(crate) doubts: DayCoverage,
    /// The verdict on the day itself.
    pub(crate) judged: DayCoverage,
    /// Its trades, where there are any files of them.
    pub(crate) trades: Option<DatasetDay>,
}

/// Looks at the trades of a range of time.
///
/// # Errors
/// Where the directory cannot be listed. A day that cannot be read is something that speaks against it.
pub(crate) fn survey(tape: &Tape, product: &ProductId, range: TimeRange, (shares, depth): (Shares, Depth)) -> Result<Survey, TapeError> {
    let was_held = named::is_held(tape.dir());
    let knowledge = tape.knowledge();
    let history = knowledge.of(product);
    let config = VerifyConfig::new(tape.dir(), UnixNanos(0));
    let clock = ClockOfNow { now: UnixNanos(0), off: &knowledge.journal.clock_off };
    let checks = Checks { config: &config, product, history: &history, clock };
    let mut look = Look {
        tape,
        checks: &checks,
        range,
        shares,
        depth,
        findings: Findings::default(),
        checked: CheckedDays::new(),
        unproven: BTreeMap::new(),
    };
    let dates = tape.days(product, Dataset::Trades)?;
    let mut ids = look.chain(&dates);
    let away = Archived::read(tape.dir(), product)?;
    ids.extend(away.ids());
    for (date, days) in away.checked(|date| range.overlaps_day(date)) {
        look.checked.entry(date).or_default().extend(days);
    }
    for dataset in [Dataset::Md, Dataset::TickerTrades] {
        for date in tape.days(product, dataset)?.into_iter().filter(|date| range.overlaps_day(*date)) {
            match dataset {
                Dataset::Md => look.tickers::<Md>(date),
                _ => look.tickers::<TickerTrades>(date),
            }
        }
    }
    look.settle_suspects();
    let gone = look.known(&knowledge.journal, &away);
    ids.extend(gone.iter().map(|date| DayIds { date: *date, runs: None, records: 0 }));
    ids.sort_by_key(|day| day.date);
    let told = knowledge.rejected.added_to(&history, product, ids.iter().flat_map(DayIds::ranges));
    let told = look.add_named(told, &ids, was_held)?;
    let mut coverage = judge(&ids, &told);
    let gaps = std::mem::take(&mut coverage.gaps);
    checks.report_chain(&coverage, &ids, &mut look.findings);
    let of_any = |date: UtcDay| range.overlaps_day(date);
    let doubled = coverage.overlaps.iter().filter(|overlap| of_any(overlap.date) || of_any(overlap.again_on));
    let doubled = doubled.fold(0_u64, |sum, overlap| sum.saturating_add(overlap.ids.count()));
    let links = || ids.iter().flat_map(|day| day.runs.iter().flatten());
    let first = links().map(|run| run.first).min_by_key(|link| link.id);
    let last = links().map(|run| run.last).max_by_key(|link| link.id);
    let of_all = against_all(&checks, &ids, &look.findings);
    let days = look.judge(&knowledge, &coverage, &away, &gone, &dates);
    Ok(Survey { ends: first.zip(last), gaps, doubled, days, of_all })
}

/// What is looked at for one range.
struct Look<'a> {
    tape: &'a Tape,
    checks: &'a Checks<'a>,
    range: TimeRange,
    shares: Shares,
    depth: Depth,
    findings: Findings,
    checked: CheckedDays,
    /// Records in the range that have no checksum yet, where that is not so of every record of the day without one.
    unproven: BTreeMap<UtcDay, u64>,
}

impl Look<'_> {
    /// Gives the ids of every day: one by one in the range and beside it, the ends of the others.
    fn chain(&mut self, dates: &[UtcDay]) -> Vec<DayIds> {
        let mut ids = Vec::new();
        let mut ends: BTreeMap<UtcDay, DayEnds> = BTreeMap::new();
        for date in dates {
            if self.range.overlaps_day(*date) {
                ids.extend(self.trades(*date));
                continue;
            }
            match self.tape.ends_of_day(self.checks.product, *date) {
                Ok(Some(found)) => drop(ends.insert(*date, found)),
                Ok(None) => {}
                Err(_) => ids.push(DayIds { date: *date, runs: None, records: 0 }),
            }
        }
        let with_trades = || ends.iter().filter(|(_, found)| found.ends.is_some()).map(|(date, _)| *date);
        let before = self.range.from.and_then(|from| with_trades().rfind(|date| *date < from.day()));
        let after = self.range.to.and_then(|to| with_trades().find(|date| date.start() >= to));
        for (date, found) in &ends {
            let mut runs = Runs::default();
            if before == Some(*date) || after == Some(*date) {
                let Ok(Some(day)) = Snapshot::<Trades>::open(self.tape.dir(), self.checks.product, *date) else {
                    ids.push(DayIds { date: *date, runs: None, records: 0 });
                    continue;
                };
                let margin = day.count().min(MARGIN_RECORDS);
                let numbers = if before == Some(*date) { day.count() - margin..day.count() } else { 0..margin };
                add_ids(&day, numbers, self.depth, &mut runs);
            } else if let Some([first, last]) = found.ends {
                runs.push_run(Run { first: link(*date, first), last: link(*date, last) });
            }
            ids.push(DayIds { date: *date, runs: Some(runs.into_vec()), records: found.count });
        }
        ids
    }

    /// Looks at a day of trades that the range touches, and gives its ids.
    fn trades(&mut self, date: UtcDay) -> Option<DayIds> {
        let location = Location::on(self.checks.product, Dataset::Trades, date);
        let (mut day, opened) = open_day::<Trades>(self.checks, date, &mut self.findings)?;
        let Some(snapshot) = opened else {
            self.checked.entry(date).or_default().push(day);
            return Some(DayIds { date, runs: None, records: 0 });
        };
        if self.depth == Depth::Full {
            add_faults(self.tape.check_day(&snapshot), &location, &mut self.findings);
        }
        day.sums.records = snapshot.count() as u64;
        let late = snapshot.late().iter().map(|trade| (trade.recv, trade.origin.means() == Some(Means::Live)));
        (day.sums.is_received_on_its_day, day.sums.first_live) = received(&snapshot, "trade_recv_nanos", date, self.depth, late);
        if self.shares == Shares::Counted {
            (day.sums.with_order_ids, day.sums.with_recv) = shares(&snapshot);
        }
        let inside = match self.depth {
            _ if self.range.covers_day(date) => 0..snapshot.count(),
            Depth::Full => snapshot.time_range(self.range),
            Depth::Ends => snapshot.time_range_at_a_glance(self.range),
        };
        // Late records have checksums of their own; how many of them lie behind the range does not matter.
        let behind = (snapshot.count() - inside.end.min(snapshot.count())).saturating_sub(snapshot.late().len()) as u64;
        let behind = if inside.is_empty() { 0 } else { behind };
        // Without a record in the range, all of the day is beside it.
        let inside = if inside.is_empty() { 0..snapshot.count() } else { inside };
        if self.depth == Depth::Full {
            check_order(&snapshot, beside(&inside, ORDER_MARGIN_RECORDS, snapshot.count()), &location, &mut self.findings);
            self.check_receipt(&snapshot, &location);
        }
        let mut runs = Runs::default();
        add_ids(&snapshot, beside(&inside, MARGIN_RECORDS, snapshot.count()), self.depth, &mut runs);
        if behind >= day.unproven {
            self.unproven.insert(date, 0);
        }
        let records = day.sums.records;
        self.checked.entry(date).or_default().push(day);
        Some(DayIds { date, runs: Some(runs.into_vec()), records })
    }

    /// Looks whether every event time of a day lies before its receive time, as far as the clocks allow.
    fn check_receipt(&mut self, day: &Snapshot<Trades>, location: &Location) {
        // This is so of nearly every day.
        if !stretches::is_any_ahead(day) {
            return;
        }
        let mut ahead = AheadOfReceipt::new(self.checks.clock.off.concern(location.date));
        let mut wrong = Vec::new();
        for (number, trade) in day.rows().enumerate().filter(|(_, trade)| trade.recv.0 > 0) {
            wrong.extend(ahead.see(Received { number, time: trade.time, recv: trade.recv }));
        }
        wrong.extend(ahead.settle());
        wrong.into_iter().for_each(|record| self.findings.add_ahead(location, record));
    }

    /// Looks at the files of a day of tickers that the range touches.
    fn tickers<L: Layout>(&mut self, date: UtcDay) {
        let Some((mut day, opened)) = open_day::<L>(self.checks, date, &mut self.findings) else { return };
        if let Some(snapshot) = opened {
            add_faults(snapshot.check_sizes(), &Location::on(self.checks.product, L::DATASET, date), &mut self.findings);
            day.sums.records = snapshot.count() as u64;
            day.sums.is_received_on_its_day = received(&snapshot, "recv_nanos", date, self.depth, []).0;
        }
        // Which of them have a checksum shows nothing of trades.
        day.unproven = 0;
        self.checked.entry(date).or_default().push(day);
    }

    /// Adds the trades that tickers name behind the last stored one, where the range reaches its day.
    fn add_named<'h>(&self, told: Cow<'h, History>, ids: &[DayIds], was_held: bool) -> Result<Cow<'h, History>, TapeError> {
        let (dir, product) = (self.tape.dir(), self.checks.product);
        let reached = named::last_of(ids).filter(|last| self.range.overlaps_day(last.date));
        let Some(last) = reached.filter(|_| !was_held && !named::is_held(dir)) else { return Ok(told) };
        let Ok(Some(day)) = Snapshot::<Trades>::open(dir, product, last.date) else { return Ok(told) };
        let dates = self.tape.days(product, Dataset::Md)?.into_iter().filter(|date| *date >= last.date);
        // One that cannot be read is found elsewhere.
        let md: Vec<Snapshot<Md>> = dates.filter_map(|date| Snapshot::open(dir, product, date).ok().flatten()).collect();
        Ok(named::added_to(told, last, &day, &md))
    }

    /// Decides about trades whose event times others contradict, by what the tickers say.
    fn settle_suspects(&mut self) {
        let dates = self.findings.dates_of_suspects();
        if dates.is_empty() {
            return;
        }
        let (dir, product) = (self.tape.dir(), self.checks.product);
        let (mut trades, mut md) = (IndexedDays::<Trades>::new(), IndexedDays::<Md>::new());
        for date in dates {
            let (own, of_tickers) = (Snapshot::open(dir, product, date), Snapshot::open(dir, product, date));
            trades.days.extend(own.ok().flatten().map(|day| IndexedDay::new(date, day)));
            md.days.extend(of_tickers.ok().flatten().map(|day| IndexedDay::new(date, day)));
        }
        tickers::settle_suspects(&trades, Some(&md), &self.checks.clock, &mut self.findings);
    }

    /// Looks for what the journal knows better than the files. Gives the days of trades that are gone.
    fn known(&mut self, journal: &Journal, away: &Archived) -> Vec<UtcDay> {
        let Self { checks, range, findings, checked, .. } = self;
        let (dir, product) = (checks.config.dir.as_path(), checks.product);
        let is_asked = |date: UtcDay| range.overlaps_day(date);
        let gone = known::check_known_days(dir, product, checks.history, &is_asked, checked, findings);
        if journal.knows_days() {
            known::check_journaled(product, checks.history, checked, findings);
        }
        for dataset in Dataset::ALL {
            let is_stray = |date| is_asked(date) && !away.has(dataset, date);
            known::check_strays(dir, product, dataset, &is_stray, findings);
        }
        away.check_here(dir, is_asked, findings);
        gone
    }

    /// Judges the days that the range touches. `dates` are those of trades.
    fn judge(mut self, knowledge: &Knowledge, coverage: &Coverage, away: &Archived, gone: &[UtcDay], dates: &[UtcDay]) -> Vec<SurveyedDay> {
        let journal = &knowledge.journal;
        let checked = std::mem::take(&mut self.checked);
        for (date, datasets) in &checked {
            self.checks.report_lost_journal(journal, *date, datasets, &mut self.findings);
        }
        let is_any_timely = self.is_any_timely(&checked, dates);
        let mut days = Vec::new();
        for (date, datasets) in checked {
            let found = coverage.days.iter().find(|day| day.date == date);
            let mut judged = found.cloned().unwrap_or_else(|| coverage::without_trades(date));
            let mut doubts = DayCoverage { verdict: Verdict::Whole, ends: None, missing: 0, reasons: Vec::new(), ..judged.clone() };
            if gone.contains(&date) {
                let reason = "the journal knows of it, and its files are gone".to_owned();
                (judged.verdict, judged.reasons) = (Verdict::Open, vec![reason.clone()]);
                doubts.lower(Verdict::Open, reason);
                doubts.verdict = Verdict::Open;
            } else if found.is_none() {
                doubts = judged.clone();
            }
            coverage::lower_for_ids(&mut doubts, coverage);
            let mut proven = datasets.clone();
            for kept in proven.iter_mut().filter(|kept| kept.dataset == Dataset::Trades) {
                kept.unproven = self.unproven.get(&date).copied().unwrap_or(kept.unproven);
            }
            // The day is what it was when it was archived. An answer from its records would be without them.
            away.lower(&mut judged);
            archived::lower_answer(&datasets, &mut doubts);
            for (day, datasets) in [(&mut doubts, &proven), (&mut judged, &datasets)] {
                self.lower_for_findings(day);
                self.checks.lower_for_unclear(journal, datasets, day);
                if is_any_timely {
                    self.checks.lower_untimely(datasets, day);
                }
            }
            let trades = datasets.into_iter().find(|kept| kept.dataset == Dataset::Trades);
            days.push(SurveyedDay { doubts, judged, trades });
        }
        days
    }

    /// Lowers the verdict of a day for what was found, in its own words.
    fn lower_for_findings(&self, day: &mut DayCoverage) {
        for name in self.findings.datasets_of(self.checks.product, day.date) {
            let of_day = self.findings.listed().iter().filter(|found| found.location.date == Some(day.date));
            let said: Vec<&str> = of_day
                .filter(|found| found.location.dataset.map_or("the day", Dataset::folder) == name)
                .map(|found| found.text.as_str())
                .collect();
            let said = if said.is_empty() { "something is wrong; `coltape verify` says what".to_owned() } else { said.join("; ") };
            day.lower(Verdict::Unverifiable, format!("{name}: {said}"));
        }
    }

    /// Tells whether the trades of any day came as they happened. Other days are looked at only where that matters: where those of a day of the range did not.
    fn is_any_timely(&self, checked: &CheckedDays, dates: &[UtcDay]) -> bool {
        let of_day = |(date, datasets): (&UtcDay, &Vec<DatasetDay>)| {
            datasets.iter().find(|kept| kept.dataset == Dataset::Trades).and_then(|kept| is_timely(*date, &kept.sums))
        };
        let found: Vec<bool> = checked.iter().filter_map(of_day).collect();
        if self.checks.clock.off.concern(None) || !found.contains(&false) || found.contains(&true) {
            return found.contains(&true);
        }
        dates.iter().filter(|date| !checked.contains_key(date)).any(|date| {
            let Ok(Some(day)) = Snapshot::<Trades>::open(self.tape.dir(), self.checks.product, *date) else { return false };
            let late = day.late().iter().map(|trade| (trade.recv, trade.origin.means() == Some(Means::Live)));
            let (_, first_live) = received(&day, "trade_recv_nanos", *date, self.depth, late);
            first_live.is_some_and(|first| first.0 <= date.next().start().0.saturating_add(LAG_NANOS))
        })
    }
}

/// Says what speaks against every day: trades that came again with other fields, and nobody knows on which day they are.
fn against_all(checks: &Checks<'_>, ids: &[DayIds], findings: &Findings) -> Vec<String> {
    let is_of_a_day = |id: u64| ids.iter().any(|day| day.ranges().any(|range| range.contains(id)));
    let disputed = checks.history.disputed.iter().filter(|disputed| !is_of_a_day(disputed.id)).count() as u64;
    let disputed = disputed.saturating_add(checks.history.more_disputed);
    let told: Vec<String> =
        findings.listed().iter().filter(|found| found.location.date.is_none()).map(|found| found.text.clone()).collect();
    // Only so many findings are kept with their words.
    if told.is_empty() && disputed > 0 {
        return vec![format!("{disputed} trades came again with other fields; `coltape verify` says more")];
    }
    told
}

fn link(date: UtcDay, (id, time): (u64, UnixNanos)) -> Link {
    Link { date, id, time }
}

/// Gives the numbers of some records, and of those beside them.
fn beside(numbers: &Range<usize>, margin: usize, count: usize) -> Range<usize> {
    numbers.start.saturating_sub(margin)..numbers.end.saturating_add(margin).min(count)
}

/// Adds the ids of a day: one by one those with these numbers in the merged order, and the ends of what lies before and behind.
fn add_ids(day: &Snapshot<Trades>, numbers: Range<usize>, depth: Depth, runs: &mut Runs) {
    let date = day.key().date;
    let at = |number: usize| day.key_at(number).zip(day.time_at(number)).map(|found| link(date, found));
    let rest = |numbers: Range<usize>| {
        let last = numbers.end.checked_sub(1).filter(|_| !numbers.is_empty());
        at(numbers.start).zip(last.and_then(at)).map(|(first, last)| Run { first, last })
    };
    let (before, behind) = (rest(0..numbers.start), rest(numbers.end..day.count()));
    before.into_iter().for_each(|run| runs.push_run(run));
    stretches::add(day, numbers, depth, runs);
    behind.into_iter().for_each(|run| runs.push_run(run));
}

/// Looks whether event times rise with their ids, as far as the exchange's clock does.
fn check_order(day: &Snapshot<Trades>, numbers: Range<usize>, location: &Location, findings: &mut Findings) {
    // This is so of nearly every day.
    if !stretches::is_any_behind(day, numbers.clone()) {
        return;
    }
    let mut falls = Falls::default();
    let mut wrong = Vec::new();
    for (number, trade) in numbers.filter_map(|number| Some((number, day.row(number)?))) {
        falls.see(Timed { number, time: trade.time, recv: Some(trade.recv).filter(|recv| recv.0 > 0) });
        wrong.extend(falls.take_wrong());
        falls.take_suspect().for_each(|Timed { number, time, .. }| findings.suspect(location, number, time));
    }
    wrong.extend(falls.take_last());
    for Timed { number, time, .. } in wrong {
        findings.add_time_order(location, number, time);
    }
}
