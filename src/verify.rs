//! `coltape verify`: proves what can be proved of a data directory, live or at rest, changing nothing.
//!
//! ```text
//!   snapshots ──▶ day      a day's columns against themselves: order, times, sides, roundings; checksums by the store
//!        │        sectors  a sealed day's commit page
//!        ├──────▶ coverage the whole chain of trade ids → a verdict a product-day, explained by the journal (history)
//!        ├──────▶ tickers  TICKER_TRADES against MD, MD against TRADES
//!        └──────▶ reconcile  everything against a simulated exchange's ledger, field by field
//! ```
//!
//! 1. Unverifiable is not clean: what cannot be shown is said, with its reason, and never called whole.
//! 2. Something wrong or missing is a [`finding`]; a report without findings holds, whatever is partial in it.
//! 3. Reads only through [`crate::store::Snapshot`], so that a live day's committed records are all it looks at. Writes and prints nothing.
//! 4. Product by product: memory is that of one product's marks, and with a ledger that of all.

pub mod coverage;
pub mod day;
pub mod filed;
pub mod finding;
pub mod history;
pub mod ledger;
mod matching;
pub mod reconcile;
pub mod report;
pub mod report_text;
pub mod sectors;
pub mod tickers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout, Md, TickerTrades, Trades, Value};
use crate::store::{DayState, Snapshot, StoreError, catalog};
use crate::time::{DateFormat, UnixNanos, UtcDay};

use coverage::{DayIds, Link, Runs, judge};
use filed::{Filed, FiledDay};
use finding::{Findings, Kind, Place};
use history::{History, Journal};
use ledger::{Ledger, LedgerError};
use reconcile::{ProductFiles, Reconciler, Scope};
use report::{DatasetDay, ProductDay, Report};

/// Bytes of a ledger that are read at once.
const LEDGER_READ_BYTES: usize = 1 << 20;

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only this day; coverage looks at its neighbours all the same.
    pub date: Option<UtcDay>,
    /// A simulator's ledger to hold every field against.
    pub ledger: Option<PathBuf>,
    /// The time of now: nothing can have happened later.
    pub now: UnixNanos,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The data directory cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Ledger {
        /// The ledger.
        path: PathBuf,
        /// What is wrong with it.
        source: LedgerError,
    },
}

/// Verifies a data directory.
///
/// # Errors
/// Where the directory or the ledger cannot be read at all. A day that cannot be read is a finding.
pub fn verify(config: &VerifyConfig) -> Result<Report, VerifyError> {
    let journal = Journal::read(&config.dir);
    let mut report = Report { unreadable_journal_lines: journal.unreadable, ..Report::default() };
    for time in &journal.unbalanced {
        report.findings.add(Kind::Sums, &Place::default(), || format!("the capture that stopped at {time} says that its sums do not hold"));
    }
    let mut files = BTreeMap::new();
    for product in catalog::products(&config.dir)? {
        if config.product.as_ref().is_some_and(|only| *only != product) {
            continue;
        }
        let opened = verify_product(config, &product, &journal.of(&product), &mut report)?;
        if config.ledger.is_some() {
            files.insert(product, opened);
        }
    }
    if let Some(path) = &config.ledger {
        let failed = |source| VerifyError::Ledger { path: path.clone(), source };
        let file = std::fs::File::open(path).map_err(|error| failed(error.into()))?;
        let scope = Scope {
            product: config.product.clone(),
            date: config.date,
            has_md: files.values().any(|files| !files.md.days.is_empty()),
            has_ticker_trades: files.values().any(|files| !files.ticker_trades.days.is_empty()),
        };
        let mut ledger = Ledger::new(BufReader::with_capacity(LEDGER_READ_BYTES, file));
        report.ledger = Some(Reconciler::new(&mut files, scope).run(&mut ledger, &mut report.findings).map_err(failed)?);
    }
    Ok(report)
}

/// Verifies one product and leaves its days open.
fn verify_product(config: &VerifyConfig, product: &ProductId, history: &History, report: &mut Report) -> Result<ProductFiles, VerifyError> {
    let findings = &mut report.findings;
    let mut product_days = BTreeMap::new();
    let dates = catalog::days(&config.dir, product, Dataset::Trades)?;
    let mut ids: Vec<DayIds> = dates.into_iter().map(|date| DayIds { date, runs: None, records: 0 }).collect();
    let mut trades = Filed { product: product.clone(), days: Vec::new() };
    for day in &mut ids {
        // Coverage needs the ids of every day, but only the days asked for are checked.
        let is_asked = config.date.is_none_or(|only| only == day.date);
        let mut ignored = Findings::default();
        let found = if is_asked { &mut *findings } else { &mut ignored };
        let mut runs = Runs::default();
        let link = |time, values: &[Value]| Link { date: day.date, id: day::long(values, 0).unwrap_or(0), time };
        let (kept, snapshot) = check_day::<Trades>(config, product, day.date, found, |_, time, values| runs.push(link(time, values)));
        day.records = kept.sums.records;
        day.runs = snapshot.is_some().then(|| runs.into_vec());
        if is_asked {
            product_days.entry(day.date).or_insert_with(Vec::new).push(kept);
            trades.days.extend(snapshot.map(|snapshot| FiledDay::new(day.date, snapshot)));
        }
    }
    let md = open_tickers::<Md>(config, product, &mut product_days, findings)?;
    let ticker_trades = open_tickers::<TickerTrades>(config, product, &mut product_days, findings)?;
    let coverage = judge(&ids, history);
    let is_asked = |from: UtcDay, to: UtcDay| config.date.is_none_or(|only| from <= only && only <= to);
    for overlap in coverage.overlaps.iter().filter(|overlap| is_asked(overlap.date, overlap.again_on)) {
        let place = Place::on(product, Dataset::Trades, overlap.again_on);
        findings.add_many(Kind::IdTwice, overlap.ids.count(), &place, || format!("{} stored on {} too", overlap.ids, overlap.date));
    }
    for gap in coverage.gaps.into_iter().filter(|gap| is_asked(gap.before.date, gap.after.date)) {
        if !gap.is_absence {
            let place = Place::on(product, Dataset::Trades, gap.before.date);
            findings.add_many(Kind::Missing, gap.ids.count(), &place, || format!("{}: {}", gap.ids, gap.why));
        }
        report.gaps.push((product.clone(), gap));
    }
    for (date, datasets) in product_days {
        let judged = coverage.days.iter().find(|day| day.date == date).cloned();
        let md_day = md.days.iter().find(|day| day.date == date);
        let named = md_day.and_then(|day| tickers::join(&day.snapshot, &mut trades, &Place::on(product, Dataset::Md, date), findings));
        let tickers_day = ticker_trades.days.iter().find(|day| day.date == date);
        let place = Place::on(product, Dataset::TickerTrades, date);
        let paired = md_day.zip(tickers_day).map(|(md, tickers)| tickers::pair(&md.snapshot, &tickers.snapshot, &place, findings));
        let coverage = judged.unwrap_or_else(|| coverage::without_trades(date));
        report.days.push(ProductDay { product: product.clone(), date, coverage, datasets, named, paired });
    }
    Ok(ProductFiles { trades, md, ticker_trades })
}

fn open_tickers<L: Layout>(
    config: &VerifyConfig,
    product: &ProductId,
    product_days: &mut BTreeMap<UtcDay, Vec<DatasetDay>>,
    findings: &mut Findings,
) -> Result<Filed<L>, VerifyError> {
    let mut filed = Filed { product: product.clone(), days: Vec::new() };
    let dates: BTreeSet<UtcDay> = catalog::days(&config.dir, product, L::DATASET)?.into_iter().collect();
    for date in dates.into_iter().filter(|date| config.date.is_none_or(|only| only == *date)) {
        let (kept, snapshot) = check_day::<L>(config, product, date, findings, |_, _, _| {});
        product_days.entry(date).or_default().push(kept);
        filed.days.extend(snapshot.map(|snapshot| FiledDay::new(date, snapshot)));
    }
    Ok(filed)
}

/// Checks one dataset-day; gives it open where it can be read.
fn check_day<L: Layout>(
    config: &VerifyConfig,
    product: &ProductId,
    date: UtcDay,
    findings: &mut Findings,
    see: impl FnMut(usize, UnixNanos, &[Value]),
) -> (DatasetDay, Option<Snapshot<L>>) {
    let place = Place::on(product, L::DATASET, date);
    let mut kept = DatasetDay { dataset: L::DATASET, state: None, set: ColumnSet::Full, late: 0, sums: day::Sums::default() };
    let snapshot = match Snapshot::<L>::open(&config.dir, product, date) {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            findings.add(Kind::Unreadable, &place, || "its commit page is torn, and its columns alone are no day".to_owned());
            return (kept, None);
        }
        Err(error) => {
            findings.add(Kind::Unreadable, &place, || error.to_string());
            return (kept, None);
        }
    };
    kept.state = Some(snapshot.state());
    kept.set = snapshot.column_set();
    kept.late = snapshot.late().len() as u64;
    match snapshot.check() {
        Ok(faults) => {
            for fault in faults {
                findings.add(Kind::Checksum, &place, || format!("{}: {}", fault.path.display(), fault.what));
            }
        }
        Err(error) => findings.add(Kind::Unreadable, &place, || error.to_string()),
    }
    if let DayState::Sealed { .. } = snapshot.state() {
        check_page(&config.dir, &place, findings);
    }
    kept.sums = day::check(&snapshot, &place, config.now, findings, see);
    (kept, Some(snapshot))
}

fn check_page(dir: &Path, place: &Place, findings: &mut Findings) {
    let (Some(product), Some(dataset), Some(date)) = (&place.product, place.dataset, place.date) else { return };
    for format in [DateFormat::Iso, DateFormat::Dmy] {
        let path = dir.join(product.as_str()).join(dataset.folder()).join(format!("commit.{}.bin", date.spelled(format)));
        match sectors::faults(&path) {
            Ok(faults) => {
                faults.into_iter().for_each(|fault| findings.add(Kind::Checksum, place, || format!("{}: {fault}", path.display())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.add(Kind::Unreadable, place, || format!("{}: {error}", path.display())),
        }
    }
}
