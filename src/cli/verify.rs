//! `coltape verify`: prints the verdicts to stdout, as a table or as JSON Lines. The exit code says whether everything holds.

use std::io::{self, BufWriter, Write};

use super::args::VerifyArgs;
use super::next;
use super::outcome::{DONE, FAILED, Failure};
use super::output;
use super::progress::ProgressDisplay;
use crate::escape::Escaped;
use crate::lookup;
use crate::time::{Clock, UnixNanos};
use crate::verify::{FindingKind, VerifyConfig, verify, write_json, write_table};

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where it is no data directory, or holds no such day, or the directory or the ledger cannot be read.
pub(crate) fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone());
    if !dir.is_dir() {
        let why = if dir.exists() { "it is no directory" } else { "there is no such directory" };
        let dir = Escaped(dir.display());
        return Err(Failure::failed(format!("{dir} is not a coltape data directory: {why}; give the one that a capture writes to")));
    }
    let mut config = VerifyConfig::new(dir, Clock::System.now());
    config.product.clone_from(&args.product);
    config.date = args.date.map(UnixNanos::day);
    config.ledger.clone_from(&args.ledger);
    let progress = ProgressDisplay::new();
    config.observer = progress.observer();
    let report = verify(&config).map_err(|error| Failure::failed(Escaped(error)))?;
    drop(progress);
    if report.days.is_empty() && report.findings.is_empty() && config.ledger.is_none() {
        return Err(nothing_verified(&config));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let write = if args.json { write_json } else { write_table };
    output::checked(write(&report, &mut out).and_then(|()| out.flush()))?;
    if let Some(next) = next::after_verify(report.findings.count(FindingKind::Missing), &config.dir) {
        output::note(&next);
    }
    Ok(if report.holds() { DONE } else { FAILED })
}

/// Says why nothing was verified, and what there is instead.
fn nothing_verified(config: &VerifyConfig) -> Failure {
    if let Some(product) = &config.product
        && let Err(error) = lookup::check_product(&config.dir, product)
    {
        return Failure::failed(error);
    }
    let dir = Escaped(config.dir.display());
    let Some(date) = config.date else { return Failure::failed(format!("{dir} holds no day: nothing was verified")) };
    Failure::failed(format!("{dir} holds no such day, {date}: nothing was verified; coltape verify {dir} lists the days that there are"))
}
