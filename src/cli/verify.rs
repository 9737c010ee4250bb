//! `coltape verify`: prints the verdicts to stdout, as a table or as JSON Lines. The exit code says whether everything holds.

use std::io::{self, BufWriter, Write};

use super::args::VerifyArgs;
use super::outcome::{DONE, FAILED, Failure};
use super::output;
use crate::time::{Clock, UnixNanos};
use crate::verify::{VerifyConfig, verify, write_json, write_table};

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where there is no such directory or day, or the directory or the ledger cannot be read.
pub(crate) fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone());
    if !dir.is_dir() {
        return Err(Failure::failed(format!("{} is not a directory", dir.display())));
    }
    let mut config = VerifyConfig::new(dir, Clock::System.now());
    config.product.clone_from(&args.product);
    config.date = args.date.map(UnixNanos::day);
    config.ledger.clone_from(&args.ledger);
    let report = verify(&config).map_err(Failure::failed)?;
    if report.days.is_empty() && config.ledger.is_none() {
        return Err(Failure::failed(format!("{} holds no such day", config.dir.display())));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let write = if args.json { write_json } else { write_table };
    output::checked(write(&report, &mut out).and_then(|()| out.flush()))?;
    Ok(if report.holds() { DONE } else { FAILED })
}
