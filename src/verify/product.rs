//! Verifies one product: each of its days by itself, then what must be there, then all of them together.

use std::borrow::Cow;
use std::path::Path;

use super::archived::Archived;
use super::chain::{Link, Runs};
use super::checks::{Checks, add_faults, is_timely, open_day};
use super::config::{VerifyConfig, VerifyError};
use super::coverage::{self, DayIds, Verdict, judge};
use super::day::{self, ClockOfNow};
use super::finding::{Findings, Location};
use super::index::{DatasetDays, IndexedDay, IndexedDays};
use super::reconcile::ProductDays;
use super::report::{CheckedDays, DatasetDay, ProductDay, Report};
use super::texts::Texts;
use super::{known, named, tickers};
use crate::history::{History, Knowledge};
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, Trades, match_layout, with_layout};
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::{UnixNanos, UtcDay};

/// Verifies one product and gives its days, opened.
pub(super) fn verify_product(
    config: &VerifyConfig,
    product: &ProductId,
    (knowledge, texts): (&Knowledge, &Texts),
    report: &mut Report,
) -> Result<ProductDays, VerifyError> {
    // Before the first file is opened: whoever holds it then may add records while they are read.
    let was_held = named::is_held(&config.dir);
    let Knowledge { journal, rejected, .. } = knowledge;
    let history = knowledge.of(product);
    let checks = Checks { config, product, history: &history, clock: ClockOfNow { now: config.now, off: &journal.clock_off } };
    let is_asked = |date: UtcDay| config.covers(date, date);
    let findings = &mut report.findings;
    let archived = Archived::read(&config.dir, product)?;
    archived.check(config, findings, &mut report.not_checked);
    let mut checked = archived.checked(is_asked);
    let mut trades = IndexedDays::new();
    let (mut ids, mut is_any_timely) = check_trades(&checks, &mut trades, &mut checked, findings)?;
    is_any_timely |= checked.iter().any(|(date, days)| of_trades(days).is_some_and(|day| is_timely(*date, &day.sums) == Some(true)));
    ids.extend(archived.ids());
    let mut tickers: Vec<DatasetDays> = Vec::new();
    for dataset in Dataset::of_tickers() {
        tickers.push(with_layout!(dataset, L => check_days::<L>(&checks, &mut checked, findings)?.into()));
    }
    let gone = known::check_known_days(&config.dir, product, &history, &is_asked, &mut checked, findings);
    ids.extend(gone.iter().map(|date| DayIds { date: *date, runs: None, records: 0 }));
    ids.sort_by_key(|day| day.date);
    if journal.knows_days() {
        known::check_journaled(product, &history, &checked, findings);
    }
    check_strays(&checks, &archived, findings);
    let mut told = rejected.added_to(&history, product, ids.iter().flat_map(DayIds::ranges));
    if !was_held {
        told = add_named(&config.dir, told, &ids, &trades, &tickers);
    }
    let mut coverage = judge(&ids, &told);
    checks.report_chain(&coverage, &ids, findings);
    for day in coverage.days.iter_mut().filter(|day| gone.contains(&day.date)) {
        (day.verdict, day.reasons) = (Verdict::Open, vec!["the journal knows of it, and its files are gone".to_owned()]);
    }
    let gaps = std::mem::take(&mut coverage.gaps).into_iter();
    report.gaps.extend(gaps.filter(|gap| config.covers(gap.dates.0, gap.dates.1)).map(|gap| (product.clone(), gap)));
    // Tickers may name trades of another day, so this comes before any verdict is lowered.
    let mut days: Vec<ProductDay> = Vec::new();
    check_texts(config, product, (texts, &history), (&mut trades, &mut tickers), findings)?;
    let md = tickers.iter().find_map(DatasetDays::of_md);
    let ticker_trades = tickers.iter().find_map(DatasetDays::of_ticker_trades);
    tickers::settle_suspects(&trades, md, &checks.clock, findings);
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
        archived.complete(day);
        checks.report_lost_journal(journal, day.date, &day.datasets, findings);
        checks.lower(journal, day, findings, &mut report.not_checked);
        if is_any_timely {
            checks.lower_untimely(&day.datasets, &mut day.coverage);
        }
    }
    report.days.extend(days);
    Ok(ProductDays { trades, tickers })
}

/// Finds files of the product that belong to no day that is read.
fn check_strays(checks: &Checks<'_>, archived: &Archived, findings: &mut Findings) {
    for dataset in Dataset::ALL {
        let is_stray = |date| checks.config.covers(date, date) && !archived.has(dataset, date);
        known::check_strays(&checks.config.dir, checks.product, dataset, &is_stray, findings);
    }
}

/// Gives what the journal tells, with the trades added that tickers name behind the last stored one. Nobody held the directory when the days were opened.
fn add_named<'h>(
    dir: &Path,
    told: Cow<'h, History>,
    ids: &[DayIds],
    trades: &IndexedDays<Trades>,
    tickers: &[DatasetDays],
) -> Cow<'h, History> {
    let Some(last) = named::last_of(ids).filter(|_| !named::is_held(dir)) else { return told };
    let Some((day, md)) = trades.day(last.date).zip(tickers.iter().find_map(DatasetDays::of_md)) else { return told };
    let md = md.days.iter().filter(|day| day.date >= last.date).map(|day| &day.snapshot);
    named::added_to(told, last, &day.snapshot, md)
}

/// Holds the records of a product against their exact texts.
fn check_texts(
    config: &VerifyConfig,
    product: &ProductId,
    (texts, history): (&Texts, &History),
    (trades, tickers): (&mut IndexedDays<Trades>, &mut [DatasetDays]),
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    // The texts do not say to which series of ids their records belong.
    if catalog::series(&config.dir, product)?.len() > 1 || history.more_disputed > 0 {
        return Ok(());
    }
    texts.check(product, history, trades, findings);
    for days in tickers.iter_mut().filter(|_| history.restarted_sequences.is_empty()) {
        match_layout!(DatasetDays, days, days => texts.check(product, history, days, findings));
    }
    Ok(())
}

/// Finds the trades among the datasets of a day.
fn of_trades(days: &[DatasetDay]) -> Option<&DatasetDay> {
    days.iter().find(|day| day.dataset == Dataset::Trades)
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

/// Checks one dataset-day. Gives it opened, where it can be read. Gives nothing of a day that is only just being made.
fn check_day<L: Layout>(
    checks: &Checks<'_>,
    date: UtcDay,
    findings: &mut Findings,
    mut visit: impl FnMut(usize, UnixNanos, u64),
) -> Option<(DatasetDay, Option<Snapshot<L>>)> {
    let location = Location::on(checks.product, L::DATASET, date);
    let (mut day, opened) = open_day::<L>(checks, date, findings)?;
    let Some(snapshot) = opened else { return Some((day, None)) };
    add_faults(snapshot.check(), &location, findings);
    let (observer, what) = (&checks.config.observer, || location.to_string());
    let (mut observed, records) = (0, snapshot.count() as u64);
    day.sums = day::check(&snapshot, &location, checks.clock, &checks.history.restarted_sequences, findings, |number, time, key| {
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
