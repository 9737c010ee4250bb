//! `coltape verify`: proves what can be proved of a data directory, live or at rest. It changes nothing.
//!
//! ```text
//!   crate::history ▶ checks   which ids there were, which days, what was lost; and whether the journal itself is whole
//!   snapshots ──▶ day        each day by itself: order, times, sides, roundings; the store checks the checksums
//!        │        sectors    the commit page of a sealed day
//!        ├──────▶ known      the days and files that should be there
//!        ├──────▶ archived   the days that are in an archive
//!        ├──────▶ coverage   the whole chain of trade ids → a verdict for each product-day, by the history; `order`: whether ids and dates agree
//!        ├──────▶ tickers    TICKER_TRADES against MD, MD against TRADES; `named`: trades that tickers name and that are not there
//!        ├──────▶ texts      the exact texts against the records that they belong to
//!        ├──────▶ reconcile  everything against the ledger of a simulated exchange, field by field
//!        └──────▶ survey     a range of time by the same rule, without a look at every value: for those who answer a question
//! ```
//!
//! 1. Unverifiable is not clean. What cannot be shown is named with its reason, and never called whole.
//! 2. Something wrong or missing is a [`Finding`]. A report without findings holds, even where days are partial. A day with a finding is never whole.
//! 3. Records are read through [`crate::store::Snapshot`] only. So of a live day only committed records are looked at.
//! 4. Products are verified one after the other. The memory needed is one bit for each record of a product, and with a ledger for each record of all.

mod ahead;
mod archived;
mod chain;
mod checks;
mod config;
mod coverage;
mod day;
mod falls;
mod finding;
mod index;
mod known;
mod ledger;
mod matching;
mod named;
mod order;
mod plain;
mod product;
mod received;
mod reconcile;
mod report;
mod report_text;
mod sectors;
mod stretches;
mod sums;
mod survey;
mod texts;
mod tickers;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use crate::history::{Journal, Knowledge};
use crate::product::ProductId;
use crate::store::{self, OWN_FOLDER, catalog};

use ledger::Ledger;
use reconcile::{Reconciler, Scope};
use texts::Texts;

pub(crate) use archived::{facts_of, runs_of};
pub use chain::Link;
pub use config::{VerifyConfig, VerifyError};
pub use coverage::{DayCoverage, Gap, Verdict};
pub use finding::{Finding, FindingKind, Findings, Location};
pub use ledger::{LedgerError, LedgerLineError};
pub use reconcile::LedgerSums;
pub use report::{DatasetDay, ProductDay, Report};
pub use report_text::{write_json, write_table};
pub(crate) use stretches::Depth;
pub use sums::DaySums;
pub(crate) use survey::{Shares, Survey, SurveyedDay, survey};
pub use tickers::Pairing;

/// Bytes of a ledger that are read at once.
const LEDGER_READ_BYTES: usize = 1 << 20;

/// Verifies a data directory.
///
/// # Errors
/// Where it is no data directory, or it or the ledger cannot be read at all. A day that cannot be read is a finding instead.
///
/// ```
/// use coltape::{UnixNanos, VerifyConfig, VerifyError, verify};
/// let dir = tempfile::tempdir()?;
/// let config = VerifyConfig::new(dir.path(), UnixNanos(0));
/// assert!(matches!(verify(&config), Err(VerifyError::NotATape { .. })));
/// std::fs::create_dir_all(dir.path().join("BTC-USD/TRADES"))?;
/// let report = verify(&config)?;
/// assert!(report.holds() && report.days.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(config: &VerifyConfig) -> Result<Report, VerifyError> {
    let stored = catalog::products(&config.dir)?;
    if stored.is_empty() && !config.dir.join(OWN_FOLDER).is_dir() {
        return Err(VerifyError::NotATape { path: config.dir.clone() });
    }
    let knowledge = Knowledge::read(&config.dir);
    let journal = &knowledge.journal;
    let mut report = Report {
        unreadable_journal_lines: journal.unreadable,
        torn_journal_lines: journal.torn,
        unknown_journal_lines: journal.unknown,
        ..Report::default()
    };
    report_journal(config, journal, &mut report);
    if journal.clock_off.concern(None) {
        let what = "the clock of the machine was off while a capture ran: on the days concerned receive times are not held against event times, nor event times that differ by \
                    less than an hour against each other";
        report.not_checked.push(what.to_owned());
    }
    // Those that only the journal names may be gone.
    let products: BTreeSet<ProductId> =
        stored.into_iter().chain(journal.products().cloned()).chain(store::archived::products(&config.dir)).collect();
    let texts = Texts::read(&config.dir);
    if texts.more > 0 {
        report.not_checked.push(format!("{} exact texts: there are too many to hold all of them against their records", texts.more));
    }
    let mut days = BTreeMap::new();
    config.observer.begin(product::records_to_check(config)?);
    for product in products.into_iter().filter(|product| config.product.as_ref().is_none_or(|only| only == product)) {
        let opened = product::verify_product(config, &product, (&knowledge, &texts), &mut report)?;
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

/// Verifies the products of a data directory one by one. What belongs to all of them is read once.
pub(crate) struct ProductVerifier {
    knowledge: Knowledge,
    texts: Texts,
}

impl ProductVerifier {
    /// Reads the journal of a data directory.
    pub(crate) fn read(dir: &std::path::Path) -> Self {
        Self { knowledge: Knowledge::read(dir), texts: Texts::read(dir) }
    }

    /// Estimates how many records will be looked at.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn records(config: &VerifyConfig) -> Result<u64, VerifyError> {
        Ok(product::records_to_check(config)?)
    }

    /// Verifies one product: gives its days, gaps and findings.
    ///
    /// # Errors
    /// As [`verify`].
    pub(crate) fn verify(&self, config: &VerifyConfig, product: &ProductId) -> Result<Report, VerifyError> {
        let mut report = Report::default();
        product::verify_product(config, product, (&self.knowledge, &self.texts), &mut report)?;
        Ok(report)
    }
}

/// Reports what is wrong with the journal itself, and what captures say of themselves.
fn report_journal(config: &VerifyConfig, journal: &Journal, report: &mut Report) {
    let findings = &mut report.findings;
    for fault in &journal.faults {
        if fault.product.is_some() && config.product.is_some() && fault.product != config.product {
            continue;
        }
        let kind = if fault.is_of_sums { FindingKind::Sums } else { FindingKind::Journal };
        findings.add(kind, &Location { product: fault.product.clone(), ..Location::default() }, || fault.text.clone());
    }
    if journal.more_faults > 0 {
        findings.add_many(FindingKind::Journal, journal.more_faults, &Location::default(), || "more such lines".to_owned());
    }
    if journal.is_gone() {
        findings.add(FindingKind::Journal, &Location::default(), || {
            "there is no journal, though other files of a capture are there".to_owned()
        });
    }
    if !journal.is_there() {
        report
            .not_checked
            .push("the journal: there is none, so that nobody knows of conflicts, of trades given up, or of days that are gone".to_owned());
    }
}
