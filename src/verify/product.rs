//! Verifies one product: each of its days by itself, then what must be there, then all of them together.

use std::collections::BTreeMap;

use super::chain::{Link, Runs};
use super::config::{VerifyConfig, VerifyError};
use super::coverage::{self, Coverage, DayCoverage, DayIds, Verdict, judge};
use super::day::{self, ClockOfNow};
use super::finding::{FindingKind, Findings, Location};
use super::history::History;
use super::index::{DatasetDays, IndexedDay, IndexedDays};
use super::journal::Journal;
use super::reconcile::ProductDays;
use super::rejected::RejectedTrades;
use super::report::{CheckedDays, DatasetDay, ProductDay, Report};
use super::sums::DaySums;
use super::{known, sectors, tickers};
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout, Trades, with_layout};
use crate::store::{DayState, Snapshot, StoreError, catalog};
use crate::time::{DateFormat, NANOS_PER_SECOND, UnixNanos, UtcDay};

/// How long after the end of a day a trade of it may still arrive as it happens, in nanoseconds.
const LAG_NANOS: u64 = 3600 * NANOS_PER_SECOND;

/// What every day of a product is checked with.
struct Checks<'a> {
    config: &'a VerifyConfig,
    product: &'a ProductId,
    history: &'a History,
    clock: ClockOfNow,
}

/// Verifies one product and gives its days, opened.
pub(super) fn verify_product(
    config: &VerifyConfig,
    product: &ProductId,
    journal: &Journal,
    rejected: &RejectedTrades,
    report: &mut Report,
) -> Result<ProductDays, VerifyError> {
    let history = journal.of(product);
    let clock = ClockOfNow { now: config.now, was_off: journal.clock_was_off };
    let checks = Checks { config, product, history: &history, clock };
    let findings = &mut report.findings;
    let mut checked = CheckedDays::new();
    let mut trades = IndexedDays::new();
    let (mut ids, is_any_timely) = check_trades(&checks, &mut trades, &mut checked, findings)?;
    let mut tickers: Vec<DatasetDays> = Vec::new();
    for dataset in Dataset::of_tickers() {
        tickers.push(with_layout!(dataset, L => check_days::<L>(&checks, &mut checked, findings)?.into()));
    }
    let gone = known::check_known_days(config, product, &history, &mut checked, findings);
    ids.extend(gone.iter().map(|date| DayIds { date: *date, runs: None, records: 0 }));
    ids.sort_by_key(|day| day.date);
    if journal.knows_days() {
        known::check_journaled(product, &history, &checked, findings);
    }
    for dataset in Dataset::ALL {
        known::check_strays(config, product, dataset, findings);
    }
    let mut coverage = judge(&ids, &rejected.added_to(&history, product, &ids));
    report_coverage(&checks, &coverage, &ids, findings);
    for day in coverage.days.iter_mut().filter(|day| gone.contains(&day.date)) {
        (day.verdict, day.reasons) = (Verdict::Open, vec!["the journal knows of it, and its files are gone".to_owned()]);
    }
    let gaps = std::mem::take(&mut coverage.gaps).into_iter();
    report.gaps.extend(gaps.filter(|gap| config.covers(gap.dates.0, gap.dates.1)).map(|gap| (product.clone(), gap)));
    // Tickers may name trades of another day, so this comes before any verdict is lowered.
    let mut days: Vec<ProductDay> = Vec::new();
    let md = tickers.iter().find_map(DatasetDays::of_md);
    let ticker_trades = tickers.iter().find_map(DatasetDays::of_ticker_trades);
    tickers::settle_suspects(&trades, md, findings);
    for (date, datasets) in checked {
        let judged = coverage.days.iter().find(|day| day.date == date).cloned();
        let md_day = md.and_then(|days| days.day(date));
        let named = md_day
            .and_then(|day| tickers::check_named_trades(&day.snapshot, &mut trades, &Location::on(product, Dataset::Md, date), findings));
        let location = Location::on(product, Dataset::TickerTrades, date);
        let both = md_day.zip(ticker_trades.and_then(|days| days.day(date)));
        let pairing = both.map(|(md, trades)| tickers::pair(&md.snapshot, &trades.snapshot, &location, findings));
        let coverage = judged.unwrap_or_else(|| coverage::without_trades(date));
        days.push(ProductDay { product: product.clone(), date, coverage, datasets, named, pairing });
    }
    for day in &mut days {
        report_lost_journal(&checks, journal, day, findings);
        lower(&checks, journal, day, findings, &mut report.not_checked);
        if is_any_timely {
            lower_untimely(&checks, day);
        }
    }
    report.days.extend(days);
    Ok(ProductDays { trades, tickers })
}

/// Checks a product's days of `TRADES`. Gives the ids of every day, and whether those of any came as they happened. Only the days asked for are kept.
fn check_trades(
    checks: &Checks<'_>,
    trades: &mut IndexedDays<Trades>,
    checked: &mut CheckedDays,
    findings: &mut Findings,
) -> Result<(Vec<DayIds>, bool), VerifyError> {
    let (mut ids, mut is_any_timely) = (Vec::new(), false);
    for date in catalog::days(&checks.config.dir, checks.product, Dataset::Trades)? {
        // Coverage needs the ids of every day, but only of the days asked for findings are reported.
        let is_asked = checks.config.covers(date, date);
        let mut ignored = Findings::default();
        let findings = if is_asked { &mut *findings } else { &mut ignored };
        let mut runs = Runs::default();
        let checked_day = check_day::<Trades>(checks, date, findings, |_, time, id| {
            runs.push(Link { date, id, time });
        });
        let Some((day, snapshot)) = checked_day else { continue };
        is_any_timely |= is_timely(date, &day.sums) == Some(true);
        ids.push(DayIds { date, runs: snapshot.is_some().then(|| runs.into_vec()), records: day.sums.records });
        if is_asked {
            checked.entry(date).or_default().push(day);
            trades.days.extend(snapshot.map(|snapshot| IndexedDay::new(date, snapshot)));
        }
    }
    Ok((ids, is_any_timely))
}

/// Checks the days asked for of a dataset and gives those that can be read.
fn check_days<L: Layout>(checks: &Checks<'_>, checked: &mut CheckedDays, findings: &mut Findings) -> Result<IndexedDays<L>, VerifyError> {
    let mut days = IndexedDays::new();
    let dates = catalog::days(&checks.config.dir, checks.product, L::DATASET)?;
    for date in dates.into_iter().filter(|date| checks.config.covers(*date, *date)) {
        let Some((day, snapshot)) = check_day::<L>(checks, date, findings, |_, _, _| {}) else { continue };
        checked.entry(date).or_default().push(day);
        days.days.extend(snapshot.map(|snapshot| IndexedDay::new(date, snapshot)));
    }
    Ok(days)
}

/// Reports ids that are stored twice or in the wrong day, ids that are missing, and trades that came again with other fields.
fn report_coverage(checks: &Checks<'_>, coverage: &Coverage, ids: &[DayIds], findings: &mut Findings) {
    let Checks { config, product, history, .. } = *checks;
    for overlap in coverage.overlaps.iter().filter(|overlap| config.covers(overlap.date, overlap.again_on)) {
        let location = Location::on(product, Dataset::Trades, overlap.again_on);
        findings
            .add_many(FindingKind::IdTwice, overlap.ids.count(), &location, || format!("{} stored on {} too", overlap.ids, overlap.date));
    }
    for stray in &coverage.strays {
        let dates = stray.beside.iter().copied().chain([stray.date]);
        if dates.clone().any(|date| config.covers(date, date)) {
            let location = Location::on(product, Dataset::Trades, stray.date);
            findings.add(FindingKind::TimeOrder, &location, || coverage::describe_stray(stray));
        }
    }
    for gap in coverage.gaps.iter().filter(|gap| !gap.is_absence && config.covers(gap.dates.0, gap.dates.1)) {
        let location = Location::on(product, Dataset::Trades, gap.dates.0);
        findings.add_many(FindingKind::Missing, gap.ids.count(), &location, || format!("{}: {}", gap.ids, gap.why));
    }
    let holds =
        |id: u64| ids.iter().find(|day| day.runs.iter().flatten().any(|run| run.first.id <= id && id <= run.last.id)).map(|day| day.date);
    for disputed in &history.disputed {
        let date = holds(disputed.id);
        if date.is_some_and(|date| !config.covers(date, date)) {
            continue;
        }
        let location = Location { date, ..Location::of(product, Dataset::Trades) };
        findings.add(FindingKind::Conflict, &location, || {
            format!("trade {} came again with other fields at {}: {}", disputed.id, disputed.time, disputed.text)
        });
    }
    if history.more_disputed > 0 {
        let location = Location::of(product, Dataset::Trades);
        findings
            .add_many(FindingKind::Conflict, history.more_disputed, &location, || "more trades came again with other fields".to_owned());
    }
}

/// Finds a day on which records were received and of which there is no journal.
fn report_lost_journal(checks: &Checks<'_>, journal: &Journal, day: &ProductDay, findings: &mut Findings) {
    let was_received = day.datasets.iter().any(|kept| kept.sums.is_received_on_its_day);
    if journal.knows_days() && was_received && !journal.has_lines_of(day.date) && !checks.clock.was_off {
        let location = Location { product: Some(checks.product.clone()), dataset: None, date: Some(day.date) };
        findings.add(FindingKind::Journal, &location, || {
            format!("records were received on this day, and journal.{}.jsonl is missing or says nothing", day.date)
        });
    }
}

/// Lowers the verdict of a day for all that was found or could not be checked. Names what could not be checked.
fn lower(checks: &Checks<'_>, journal: &Journal, day: &mut ProductDay, findings: &Findings, not_checked: &mut Vec<String>) {
    let (product, date) = (checks.product, day.date);
    let coverage: &mut DayCoverage = &mut day.coverage;
    for name in findings.datasets_of(product, date) {
        coverage.lower(Verdict::Unverifiable, format!("{name}: something is wrong, see the findings"));
    }
    let mut unclear: BTreeMap<Verdict, Vec<String>> = BTreeMap::new();
    let mut tell = |verdict: Verdict, reason: String| unclear.entry(verdict).or_default().push(reason);
    for kept in &day.datasets {
        let name = kept.dataset.folder();
        if kept.state == Some(DayState::Bare) {
            not_checked.push(format!("{product} {name} {date}: there is no commit page, so that its checksums are not known"));
            tell(Verdict::Unverifiable, format!("{name}: without its commit page nothing shows that its files are as they were written"));
        } else if kept.unproven > 0 {
            not_checked.push(format!("{product} {name} {date}: the newest {} records have no checksum yet", kept.unproven));
            tell(Verdict::Partial, format!("{name}: the newest {} records have no checksum yet", kept.unproven));
        }
    }
    for why in checks.history.unknown_of(date) {
        tell(Verdict::Unverifiable, why.to_owned());
    }
    if !journal.is_there() {
        tell(Verdict::Unverifiable, "there is no journal: nobody knows of conflicts or of trades given up".to_owned());
    }
    // Reasons against a claim that is not made would only hide those that count.
    if coverage.verdict == Verdict::Whole {
        for (verdict, reasons) in unclear {
            reasons.into_iter().for_each(|reason| coverage.lower(verdict, reason));
        }
    }
}

/// Tells whether the trades of a day came as they happened, as far as any did: nothing where none did.
fn is_timely(date: UtcDay, sums: &DaySums) -> Option<bool> {
    sums.first_live.map(|first| first.0 <= date.next().start().0.saturating_add(LAG_NANOS))
}

/// Lowers the verdict of a day whose trades came as if they just happened, but only when the day was long over, while those of other days came in time.
/// Where none came in time the machine's clock runs otherwise than the market's, and nothing follows from it.
fn lower_untimely(checks: &Checks<'_>, day: &mut ProductDay) {
    let trades = day.datasets.iter().find(|kept| kept.dataset == Dataset::Trades);
    let is_untimely = trades.is_some_and(|kept| is_timely(day.date, &kept.sums) == Some(false));
    if is_untimely && !checks.clock.was_off && day.coverage.verdict == Verdict::Whole {
        let reason = "its trades came as if they just happened, but when the day was long over: their times, or that clock, are wrong";
        day.coverage.lower(Verdict::Unverifiable, reason.to_owned());
    }
}

/// Checks one dataset-day. Gives it opened, where it can be read. Gives nothing of a day that is only just being made.
fn check_day<L: Layout>(
    checks: &Checks<'_>,
    date: UtcDay,
    findings: &mut Findings,
    mut visit: impl FnMut(usize, UnixNanos, u64),
) -> Option<(DatasetDay, Option<Snapshot<L>>)> {
    let Checks { config, product, clock, .. } = *checks;
    let location = Location::on(product, L::DATASET, date);
    let mut day = DatasetDay { dataset: L::DATASET, state: None, set: ColumnSet::Full, late: 0, unproven: 0, sums: DaySums::default() };
    let snapshot = match Snapshot::<L>::open(&config.dir, product, date) {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            if is_empty(checks, L::DATASET, date) {
                return None;
            }
            findings.add(FindingKind::Unreadable, &location, || "its commit page is torn, and its columns alone are no day".to_owned());
            return Some((day, None));
        }
        Err(error) => {
            findings.add(FindingKind::Unreadable, &location, || error.to_string());
            return Some((day, None));
        }
    };
    day.state = Some(snapshot.state());
    day.set = snapshot.column_set();
    day.late = snapshot.late().len() as u64;
    day.unproven = snapshot.unproven();
    match snapshot.check() {
        Ok(faults) => {
            for fault in faults {
                findings.add(FindingKind::Checksum, &location, || format!("{}: {}", fault.path.display(), fault.what));
            }
        }
        Err(error) => findings.add(FindingKind::Unreadable, &location, || error.to_string()),
    }
    if let DayState::Sealed { .. } = snapshot.state() {
        check_page(checks, &location, findings);
    }
    if snapshot.state() == DayState::Bare && checks.history.days.contains_key(&(L::DATASET, date)) {
        findings.add(FindingKind::Gone, &location, || "its commit page is gone; the journal knows that it had one".to_owned());
    }
    let (observer, what) = (&checks.config.observer, || location.to_string());
    let (mut observed, records) = (0, snapshot.count() as u64);
    day.sums = day::check(&snapshot, &location, clock, &checks.history.restarted_sequences, findings, |number, time, key| {
        if number > 0 && number.is_multiple_of(OBSERVED_RECORDS) {
            observed += OBSERVED_RECORDS as u64;
            observer.advance(OBSERVED_RECORDS as u64, "records", what);
        }
        visit(number, time, key);
    });
    observer.advance(records.saturating_sub(observed), "records", what);
    Some((day, Some(snapshot)))
}

/// Records between two reports of progress within a day.
const OBSERVED_RECORDS: usize = 1 << 16;

/// Estimates how many records will be looked at: as many as the days' time columns have room for.
pub(super) fn records_to_check(config: &VerifyConfig) -> Result<u64, StoreError> {
    let mut records = 0;
    for product in catalog::products(&config.dir)?.iter().filter(|product| config.product.as_ref().is_none_or(|only| only == *product)) {
        for dataset in Dataset::ALL {
            for date in catalog::days(&config.dir, product, dataset)? {
                records += catalog::records_at_most(&config.dir, product, dataset, date);
            }
        }
    }
    Ok(records)
}

/// Tells whether a day that cannot be opened holds no byte of a record: it is being made, or a crash left it so.
fn is_empty(checks: &Checks<'_>, dataset: Dataset, date: UtcDay) -> bool {
    let folder = checks.config.dir.join(checks.product.as_str()).join(dataset.folder());
    let names = dataset.columns().iter().map(|column| column.name).chain(["late"]);
    let mut paths = names.flat_map(|name| [DateFormat::Iso, DateFormat::Dmy].map(|format| format!("{name}.{}.bin", date.spelled(format))));
    paths.all(|name| std::fs::metadata(folder.join(name)).map_or(true, |found| found.len() == 0))
}

/// Checks the commit page of a sealed day, in whichever spelling of the date it is.
fn check_page(checks: &Checks<'_>, location: &Location, findings: &mut Findings) {
    let (Some(dataset), Some(date)) = (location.dataset, location.date) else { return };
    for format in [DateFormat::Iso, DateFormat::Dmy] {
        let folder = checks.config.dir.join(checks.product.as_str()).join(dataset.folder());
        let path = folder.join(format!("commit.{}.bin", date.spelled(format)));
        match sectors::faults(&path) {
            Ok(faults) => faults
                .into_iter()
                .for_each(|fault| findings.add(FindingKind::Checksum, location, || format!("{}: {fault}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.add(FindingKind::Unreadable, location, || format!("{}: {error}", path.display())),
        }
    }
}
