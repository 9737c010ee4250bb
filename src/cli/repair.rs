//! `coltape repair`: prints what was done and what is still missing, line by line.

use std::path::{Path, PathBuf};

use super::args::{RepairArgs, RestArgs};
use super::next;
use super::outcome::{DONE, FAILED, Failure};
use super::progress::ProgressDisplay;
use super::{output, proxy};
use crate::escape::Escaped;
use crate::feed::tls::TlsRoots;
use crate::lookup;
use crate::repair::{Outcome, RepairConfig, RepairError, RestConfig, repair_or_ask, rest_url_of};

/// Carries the command out.
///
/// # Errors
/// [`Failure::Failed`] where there is no such directory, product or tape, or where the capture that holds the directory does not answer.
pub(crate) fn run(args: &RepairArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| args.data_dir.data_dir.clone());
    // A lost one is made anew from the other tapes.
    if !dir.is_dir() && (args.from.is_empty() || dir.exists()) {
        let what = if dir.exists() { "is no directory" } else { "does not exist; --from OTHER_DIR restores it from another tape" };
        return Err(Failure::failed(format!("{} {what}", Escaped(dir.display()))));
    }
    let dirs = std::iter::once(dir.as_path()).chain(args.from.iter().map(PathBuf::as_path));
    let rest = if args.no_rest { None } else { rest(&args.rest, dirs)? };
    if rest.is_none() && !args.no_rest {
        log::warn!("{} was not begun with Coinbase itself: without --rest-url no REST is asked", dir.display());
    }
    let progress = ProgressDisplay::new();
    let config = RepairConfig {
        observer: progress.observer(),
        product: args.product.clone(),
        from: args.from.clone(),
        rest,
        is_dry: args.dry_run,
        any_endpoint: args.any_endpoint,
        force_fs: args.force_fs,
        ..RepairConfig::new(dir)
    };
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let outcome = repair_or_ask(&config, args.answer_wait).map_err(|error| match &error {
        RepairError::NoProduct { dir, product } => match lookup::check_product(dir, product) {
            Err(here) => Failure::failed(format!("{error}: {here}")),
            Ok(()) => Failure::failed(error),
        },
        _ => Failure::failed(error),
    })?;
    drop(progress);
    let (lines, is_whole) = match outcome {
        Outcome::Repaired(report) => {
            let next = next::after_repair(&report, &config.dir, config.rest.is_some());
            (report.lines().into_iter().chain(next).collect(), report.is_whole())
        }
        Outcome::Answered(answer) => {
            if let Some(error) = answer.error {
                return Err(Failure::failed(format!("the capture says: {error}")));
            }
            (answer.lines, answer.whole)
        }
    };
    output::print_lines(lines.iter().map(String::as_str))?;
    Ok(if is_whole { DONE } else { FAILED })
}

/// Gives the REST endpoint: the one on the command line, else the one of the feed with which the first of the directories was begun that says so. `None` where that feed is a test's.
pub(super) fn rest<'a>(args: &RestArgs, dirs: impl IntoIterator<Item = &'a Path>) -> Result<Option<RestConfig>, Failure> {
    if !(args.rest_rate > 0.0 && args.rest_rate.is_finite()) {
        return Err(Failure::Usage(format!("--rest-rate {} is no rate", args.rest_rate)));
    }
    let url = match &args.rest_url {
        Some(url) => Some(url.clone()),
        None => rest_url_of(dirs).map_err(Failure::failed)?,
    };
    let Some(url) = url else { return Ok(None) };
    let proxies = proxy::proxies(args.proxy.as_deref(), &[&url])?;
    let roots = TlsRoots { ca_file: args.ca_file.clone() };
    Ok(Some(RestConfig { proxies, ..RestConfig::new(url, roots, args.rest_rate) }))
}
