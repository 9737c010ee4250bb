//! `coltape verify`: proves what can be proved of a data directory, live or at rest. It changes nothing.
//!
//! ```text
//!   snapshots ──▶ day        each day by itself: order, times, sides, roundings; the store checks the checksums
//!        │        sectors    the commit page of a sealed day
//!        ├──────▶ coverage   the whole chain of trade ids → a verdict for each product-day, explained by the journal (history)
//!        ├──────▶ tickers    TICKER_TRADES against MD, MD against TRADES
//!        └──────▶ reconcile  everything against the ledger of a simulated exchange, field by field
//! ```
//!
//! 1. Unverifiable is not clean. What cannot be shown is named with its reason, and never called whole.
//! 2. Something wrong or missing is a [`Finding`]. A report without findings holds, even where days are partial.
//! 3. Records are read through [`crate::store::Snapshot`] only. So of a live day only committed records are looked at.
//! 4. Products are verified one after the other. The memory needed is one bit for each record of a product, and with a ledger for each record of all.

mod coverage;
mod day;
mod finding;
mod history;
mod index;
mod ledger;
mod matching;
mod reconcile;
mod report;
mod report_text;
mod sectors;
mod tickers;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout, Trades, Value, with_layout};
use crate::store::{DayState, Snapshot, StoreError, catalog};
use crate::stored::u64_at;
use crate::time::{DateFormat, UnixNanos, UtcDay};

use coverage::{Coverage, DayIds, Runs, judge};
use history::{History, Journal};
use index::{DatasetDays, IndexedDay, IndexedDays};
use ledger::Ledger;
use reconcile::{ProductDays, Reconciler, Scope};

pub use coverage::{DayCoverage, Gap, Link, Verdict};
pub use day::DaySums;
pub use finding::{Finding, FindingKind, Findings, Location};
pub use ledger::{LedgerError, LedgerLineError};
pub use reconcile::LedgerSums;
pub use report::{DatasetDay, ProductDay, Report};
pub use report_text::{write_json, write_table};
pub use tickers::Pairing;

/// Bytes of a ledger that are read at once.
const LEDGER_READ_BYTES: usize = 1 << 20;

/// What to verify.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only this day. Coverage looks at its neighbours nevertheless.
    pub date: Option<UtcDay>,
    /// A simulator's ledger to check every field against.
    pub ledger: Option<PathBuf>,
    /// The time of now, by the wall clock: nothing can have happened later.
    pub now: UnixNanos,
}

impl VerifyConfig {
    /// Verifies a whole data directory, without a ledger.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, now: UnixNanos) -> Self {
        Self { dir: dir.into(), product: None, date: None, ledger: None, now }
    }

    /// Tells whether the day asked for, if one is, lies between two days, both included.
    fn covers(&self, from: UtcDay, to: UtcDay) -> bool {
        self.date.is_none_or(|only| from <= only && only <= to)
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
/// Where the directory or the ledger cannot be read at all. A day that cannot be read is a finding instead.
///
/// ```
/// use coltape::{UnixNanos, VerifyConfig, verify};
/// let dir = std::env::temp_dir().join("coltape-verify-example");
/// std::fs::create_dir_all(&dir)?;
/// let report = verify(&VerifyConfig::new(&dir, UnixNanos(0)))?;
/// assert!(report.holds() && report.days.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(config: &VerifyConfig) -> Result<Report, VerifyError> {
    let journal = Journal::read(&config.dir);
    let mut report = Report { unreadable_journal_lines: journal.unreadable, ..Report::default() };
    for time in &journal.unbalanced {
        report
            .findings
            .add(FindingKind::Sums, &Location::default(), || format!("the capture that stopped at {time} says that its sums do not hold"));
    }
    let mut days = BTreeMap::new();
    for product in catalog::products(&config.dir)? {
        if config.product.as_ref().is_some_and(|only| *only != product) {
            continue;
        }
        let opened = verify_product(config, &product, &journal.of(&product), &mut report)?;
        if config.ledger.is_some() {
            days.insert(product, opened);
        }
    }
    if let Some(path) = &config.ledger {
        let failed = |source| VerifyError::Ledger { path: path.clone(), source };
        let file = std::fs::File::open(path).map_err(|error| failed(error.into()))?;
        let scope = Scope { product: config.product.clone(), date: config.date };
        let mut ledger = Ledger::new(BufReader::with_capacity(LEDGER_READ_BYTES, file));
        report.ledger = Some(Reconciler::new(&mut days, scope).run(&mut ledger, &mut report.findings).map_err(failed)?);
    }
    Ok(report)
}

/// The checked datasets of each day of a product.
type CheckedDays = BTreeMap<UtcDay, Vec<DatasetDay>>;

/// Verifies one product and gives its days, opened.
fn verify_product(config: &VerifyConfig, product: &ProductId, history: &History, report: &mut Report) -> Result<ProductDays, VerifyError> {
    let findings = &mut report.findings;
    let mut checked = CheckedDays::new();
    let mut trades = IndexedDays::new(product);
    let ids = check_trades(config, &mut trades, &mut checked, findings)?;
    let mut tickers: Vec<DatasetDays> = Vec::new();
    for dataset in Dataset::ALL.into_iter().filter(|dataset| dataset.is_of_tickers()) {
        tickers.push(with_layout!(dataset, L => check_days::<L>(config, product, &mut checked, findings)?.into()));
    }
    let md = tickers.iter().find_map(DatasetDays::of_md);
    let ticker_trades = tickers.iter().find_map(DatasetDays::of_ticker_trades);
    let mut coverage = judge(&ids, history);
    report_coverage(config, product, &coverage, findings);
    let gaps = std::mem::take(&mut coverage.gaps).into_iter();
    report.gaps.extend(gaps.filter(|gap| config.covers(gap.before.date, gap.after.date)).map(|gap| (product.clone(), gap)));
    for (date, datasets) in checked {
        let judged = coverage.days.iter().find(|day| day.date == date).cloned();
        let md_day = md.and_then(|days| days.day(date));
        let named = md_day
            .and_then(|day| tickers::check_named_trades(&day.snapshot, &mut trades, &Location::on(product, Dataset::Md, date), findings));
        let location = Location::on(product, Dataset::TickerTrades, date);
        let both = md_day.zip(ticker_trades.and_then(|days| days.day(date)));
        let pairing = both.map(|(md, trades)| tickers::pair(&md.snapshot, &trades.snapshot, &location, findings));
        let coverage = judged.unwrap_or_else(|| coverage::without_trades(date));
        report.days.push(ProductDay { product: product.clone(), date, coverage, datasets, named, pairing });
    }
    Ok(ProductDays { trades, tickers })
}

/// Checks a product's days of `TRADES` and gives the ids of every day. Only the days asked for are kept.
fn check_trades(
    config: &VerifyConfig,
    trades: &mut IndexedDays<Trades>,
    checked: &mut CheckedDays,
    findings: &mut Findings,
) -> Result<Vec<DayIds>, VerifyError> {
    let product = trades.product.clone();
    let mut ids = Vec::new();
    for date in catalog::days(&config.dir, &product, Dataset::Trades)? {
        // Coverage needs the ids of every day, but only of the days asked for findings are reported.
        let is_asked = config.covers(date, date);
        let mut ignored = Findings::default();
        let findings = if is_asked { &mut *findings } else { &mut ignored };
        let mut runs = Runs::default();
        let (day, snapshot) = check_day::<Trades>(config, &product, date, findings, |_, time, values| {
            runs.push(Link { date, id: u64_at(values, 0).unwrap_or(0), time });
        });
        ids.push(DayIds { date, runs: snapshot.is_some().then(|| runs.into_vec()), records: day.sums.records });
        if is_asked {
            checked.entry(date).or_default().push(day);
            trades.days.extend(snapshot.map(|snapshot| IndexedDay::new(date, snapshot)));
        }
    }
    Ok(ids)
}

/// Checks the days asked for of a dataset and gives those that can be read.
fn check_days<L: Layout>(
    config: &VerifyConfig,
    product: &ProductId,
    checked: &mut CheckedDays,
    findings: &mut Findings,
) -> Result<IndexedDays<L>, VerifyError> {
    let mut days = IndexedDays::new(product);
    for date in catalog::days(&config.dir, product, L::DATASET)?.into_iter().filter(|date| config.covers(*date, *date)) {
        let (day, snapshot) = check_day::<L>(config, product, date, findings, |_, _, _| {});
        checked.entry(date).or_default().push(day);
        days.days.extend(snapshot.map(|snapshot| IndexedDay::new(date, snapshot)));
    }
    Ok(days)
}

/// Reports ids that are stored twice, and ids that are missing.
fn report_coverage(config: &VerifyConfig, product: &ProductId, coverage: &Coverage, findings: &mut Findings) {
    for overlap in coverage.overlaps.iter().filter(|overlap| config.covers(overlap.date, overlap.again_on)) {
        let location = Location::on(product, Dataset::Trades, overlap.again_on);
        findings
            .add_many(FindingKind::IdTwice, overlap.ids.count(), &location, || format!("{} stored on {} too", overlap.ids, overlap.date));
    }
    for gap in coverage.gaps.iter().filter(|gap| !gap.is_absence && config.covers(gap.before.date, gap.after.date)) {
        let location = Location::on(product, Dataset::Trades, gap.before.date);
        findings.add_many(FindingKind::Missing, gap.ids.count(), &location, || format!("{}: {}", gap.ids, gap.why));
    }
}

/// Checks one dataset-day. Gives it opened, where it can be read.
fn check_day<L: Layout>(
    config: &VerifyConfig,
    product: &ProductId,
    date: UtcDay,
    findings: &mut Findings,
    visit: impl FnMut(usize, UnixNanos, &[Value]),
) -> (DatasetDay, Option<Snapshot<L>>) {
    let location = Location::on(product, L::DATASET, date);
    let mut day = DatasetDay { dataset: L::DATASET, state: None, set: ColumnSet::Full, late: 0, sums: DaySums::default() };
    let snapshot = match Snapshot::<L>::open(&config.dir, product, date) {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => {
            findings.add(FindingKind::Unreadable, &location, || "its commit page is torn, and its columns alone are no day".to_owned());
            return (day, None);
        }
        Err(error) => {
            findings.add(FindingKind::Unreadable, &location, || error.to_string());
            return (day, None);
        }
    };
    day.state = Some(snapshot.state());
    day.set = snapshot.column_set();
    day.late = snapshot.late().len() as u64;
    match snapshot.check() {
        Ok(faults) => {
            for fault in faults {
                findings.add(FindingKind::Checksum, &location, || format!("{}: {}", fault.path.display(), fault.what));
            }
        }
        Err(error) => findings.add(FindingKind::Unreadable, &location, || error.to_string()),
    }
    if let DayState::Sealed { .. } = snapshot.state() {
        check_page(&config.dir, &location, findings);
    }
    day.sums = day::check(&snapshot, &location, config.now, findings, visit);
    (day, Some(snapshot))
}

/// Checks the commit page of a sealed day, in whichever spelling of the date it is.
fn check_page(dir: &Path, location: &Location, findings: &mut Findings) {
    let (Some(product), Some(dataset), Some(date)) = (&location.product, location.dataset, location.date) else { return };
    for format in [DateFormat::Iso, DateFormat::Dmy] {
        let path = dir.join(product.as_str()).join(dataset.folder()).join(format!("commit.{}.bin", date.spelled(format)));
        match sectors::faults(&path) {
            Ok(faults) => faults
                .into_iter()
                .for_each(|fault| findings.add(FindingKind::Checksum, location, || format!("{}: {fault}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => findings.add(FindingKind::Unreadable, location, || format!("{}: {error}", path.display())),
        }
    }
}
