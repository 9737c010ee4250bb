//! `coltape backfill`: prints what was fetched, and shows its progress on a terminal.

use super::args::BackfillArgs;
use super::next;
use super::outcome::{DONE, FAILED, Failure};
use super::progress::ProgressDisplay;
use super::{output, repair};
use crate::lookup;
use crate::progress::Step;
use crate::repair::RepairError;
use crate::repair::backfill::{BackfillConfig, Progress, backfill};
use crate::store::{StoreError, endpoint_of};

/// Carries the command out.
///
/// # Errors
/// [`Failure::Usage`] where no REST endpoint is known; [`Failure::Failed`] where the directory is in use or REST fails.
pub(crate) fn run(args: &BackfillArgs) -> Result<u8, Failure> {
    lookup::check_range(Some(args.from), args.to).map_err(Failure::failed)?;
    let dir = args.data_dir.data_dir.clone();
    let Some(rest) = repair::rest(&args.rest, [dir.as_path()])? else {
        return Err(Failure::Usage(format!(
            "{} was not begun with Coinbase itself: --rest-url has to say where to fetch from",
            dir.display()
        )));
    };
    // A new directory that is filled from Coinbase's own REST is one of Coinbase's own feed. `repair::rest` has looked at one that remembers its endpoint.
    let is_new = endpoint_of(&dir).map_err(Failure::failed)?.is_none();
    let feed = args.feed;
    let endpoint = (is_new && args.rest.rest_url.is_none()).then(|| format!("{} {}", feed.name(), feed.default_url()));
    let config = BackfillConfig {
        to: args.to,
        endpoint,
        columns: args.columns,
        date_format: args.date_format,
        force_fs: args.force_fs,
        ..BackfillConfig::new(dir, args.product.clone(), args.from, rest)
    };
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let display = ProgressDisplay::new();
    let done = backfill(&config, &mut |progress| display.show(&step(&config, progress)));
    drop(display);
    let done = match done {
        Err(RepairError::Store(error @ StoreError::Locked { .. })) => {
            return Err(Failure::failed(format!("{error}; `capture --backfill-from` fetches the past beside the present")));
        }
        done => done.map_err(Failure::failed)?,
    };
    let mut lines = vec![match done.ids {
        Some(ids) => format!("{} ids {} to {}: {} were stored already", config.product, ids.first(), ids.last(), done.stored_before),
        None => format!("{}: REST has no trades in that time", config.product),
    }];
    lines.extend(done.began.map(|began| format!("{} began trading with id {began}", config.product)));
    lines.extend(done.report.lines());
    lines.extend(next::after_backfill(&done.report, &config.dir));
    output::print_lines(lines.iter().map(String::as_str))?;
    Ok(if done.report.is_whole() { DONE } else { FAILED })
}

fn step(config: &BackfillConfig, progress: Progress) -> Step {
    let Progress { done, of, at } = progress;
    let at = at.map_or_else(String::new, |at| format!(", at {at}"));
    Step::new(format!("{}{at}", config.product), done, of, "ids")
}
