//! `coltape verify`: the verdict goes to stdout, as a table or as JSON lines; the exit code says whether everything holds.

use std::io::{self, BufWriter, Write};

use super::args::VerifyArgs;
use super::{DONE, FAILED, Failure};
use crate::time::{Clock, UnixNanos};
use crate::verify::{VerifyConfig, report_text, verify};

/// Carries the command out.
///
/// # Errors
/// [`Failure::Failed`] where there is no such directory or day, or it or the ledger cannot be read.
pub fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone());
    if !dir.is_dir() {
        return Err(Failure::failed(format!("{} is no directory", dir.display())));
    }
    let date = args.date.map(UnixNanos::day);
    let config = VerifyConfig { dir, product: args.product.clone(), date, ledger: args.ledger.clone(), now: Clock::System.now() };
    let report = verify(&config).map_err(Failure::failed)?;
    if report.days.is_empty() && config.ledger.is_none() {
        return Err(Failure::failed(format!("{} holds no such day", config.dir.display())));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let write = if args.json { report_text::write_json } else { report_text::write_table };
    match write(&report, &mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::failed(error)),
        _ => {}
    }
    Ok(if report.holds() { DONE } else { FAILED })
}
