//! `coltape archive` and `coltape restore`: make a request of the arguments and print what was done, day by day.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::data_dir::DataDirArg;
use super::outcome::{DONE, FAILED, Failure};
use super::progress::ProgressDisplay;
use super::{output, units};
use crate::archive::{ArchiveConfig, ArchiveReport, MovedDay, RestoreConfig, archive, restore};
use crate::escape::Escaped;
use crate::export::{ExportCompression, ExportEncoding, ExportTypes};
use crate::lookup;
use crate::product::ProductId;
use crate::time::{Clock, UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;

/// How old days must be where nothing else is asked for.
const USUAL_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Failures that are shown; more are counted.
const SHOWN_FAILURES: usize = 20;

/// `coltape archive`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  coltape archive --out /mnt/cold --older-than 30d\n  coltape archive --out /mnt/cold --older-than 30d --apply\n  \
    coltape archive --out /mnt/cold --keep-free 200GiB --apply\n  coltape archive BTC-USD --out /mnt/cold --date 2025-06-07 --apply\n\n\
    Without --apply nothing is changed: it prints which days would be moved. A day is moved if it is sealed, verified as whole, old enough, and not the \
    newest of its product. A day that is named by --date is moved whatever its age and its verdict; it is sealed first.\n\n\
    Each day is exported as `coltape export` does, read back and compared value by value, and brought back once for a proof, byte by byte. Only then are \
    its files removed. What the Parquet files do not say of them lies in DIR/_coltape_archive. `verify` goes on to vouch for the day and says that it is \
    archived; `query`, `candles`, `stats`, `orders` and `plot` say so where it is asked for; `coltape restore` brings it back. A capture that holds the \
    directory goes on, and is asked to remove the files. A run that was interrupted is finished by the next one.\n\n\
    Exit 0: done, or nothing to do. Exit 1: a day could not be moved, and is here as before; or less is free than --keep-free asks for, although every day \
    has gone that may go. Exit 2: the command line is wrong."
)]
pub(crate) struct ArchiveArgs {
    /// Only these products [default: all]
    #[arg(value_name = "PRODUCT")]
    pub products: Vec<ProductId>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// The folder of the archive: new, empty, or the Parquet data set of an export
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Only this product; may be given several times
    #[arg(long, value_name = "PRODUCT")]
    pub product: Vec<ProductId>,
    /// Days that ended so long ago: 30d [default: 30d, unless --keep-free or --date says which]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub older_than: Option<Duration>,
    /// The oldest days, until so much is free on the disk of the data directory: 200GiB. Where that is not reached, exit 1
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub keep_free: Option<u64>,
    /// These days and no others, whatever their age and verdict
    #[arg(long, value_name = "DATE", value_delimiter = ',', value_parser = units::day)]
    pub date: Vec<UtcDay>,
    /// Also days that are not whole, of these verdicts: partial,open,unverifiable
    #[arg(long, value_name = "VERDICTS", value_delimiter = ',', value_parser = units::verdict)]
    pub also: Vec<Verdict>,
    /// Move the days. Without it they are only listed
    #[arg(long, aliases = ["yes", "no-dry-run"], conflicts_with = "dry_run")]
    pub apply: bool,
    /// List the days, as without --apply
    #[arg(long)]
    pub dry_run: bool,
    /// The types of the Parquet columns
    #[arg(long, value_enum, default_value_t)]
    pub types: ExportTypes,
    /// The encoding of the Parquet columns
    #[arg(long, value_enum, default_value_t)]
    pub encoding: ExportEncoding,
    /// The compression of the Parquet pages
    #[arg(long, value_enum, default_value_t)]
    pub compression: ExportCompression,
    /// Add Bloom filters of the order ids, as with export
    #[arg(long)]
    pub bloom: bool,
    /// How many threads export [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// How long to wait for the answer of a capture that holds the directory
    #[arg(long, value_name = "D", default_value = "10m", value_parser = units::positive_duration)]
    pub answer_wait: Duration,
}

/// `coltape restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coltape restore BTC-USD --from 2025-06-01 --to 2025-07-01\n  coltape restore --date 2025-06-07\n  \
    coltape restore BTC-USD --date 2025-06-07 --into /tmp/look\n\n\
    The files come back equal byte for byte; each one's checksum is compared before it gets its name. The days are then no longer archived, and the next \
    `coltape archive` may move them again. With --into they are written to another data directory and stay archived. The archive keeps what another data \
    directory may still need, and all of a folder that is named by --archive; that is said.\n\n\
    Exit 0: all days are back. Exit 1: a day could not be brought back, or none such is archived. Exit 2: the command line is wrong.")]
pub(crate) struct RestoreArgs {
    /// Only these products [default: all]
    #[arg(value_name = "PRODUCT")]
    pub products: Vec<ProductId>,
    #[command(flatten)]
    pub data_dir: DataDirArg,
    /// Only this product; may be given several times
    #[arg(long, value_name = "PRODUCT")]
    pub product: Vec<ProductId>,
    /// Only these days
    #[arg(long, value_name = "DATE", value_delimiter = ',', value_parser = units::day)]
    pub date: Vec<UtcDay>,
    /// First event time: a date, RFC 3339, or how long ago: 7d
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub from: Option<UnixNanos>,
    /// Event time to stop before
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub to: Option<UnixNanos>,
    /// All days that are archived
    #[arg(long)]
    pub all: bool,
    /// Where the archive is now [default: where it was]
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Write the days to another data directory; here they stay archived
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// How long to wait for the answer of a capture that holds the directory
    #[arg(long, value_name = "D", default_value = "10m", value_parser = units::positive_duration)]
    pub answer_wait: Duration,
    /// Write to a file system that is not known to survive a full disk
    #[arg(long)]
    pub force_fs: bool,
}

/// Runs `coltape archive`.
///
/// # Errors
/// [`Failure::Failed`] where nothing can be done at all.
pub(crate) fn run_archive(args: &ArchiveArgs) -> Result<u8, Failure> {
    let dir = &args.data_dir.data_dir;
    lookup::check_tape(dir).map_err(Failure::failed)?;
    let mut config = ArchiveConfig::new(dir, &args.out, Clock::System.now());
    config.products = args.products.iter().chain(&args.product).cloned().collect();
    for product in &config.products {
        lookup::check_product(dir, product).map_err(Failure::failed)?;
    }
    config.dates.clone_from(&args.date);
    let is_usual = args.older_than.is_none() && args.keep_free.is_none() && args.date.is_empty();
    (config.older_than, config.keep_free) = (args.older_than.or(is_usual.then_some(USUAL_AGE)), args.keep_free);
    config.verdicts.extend(&args.also);
    config.apply = args.apply && !args.dry_run;
    (config.types, config.encoding, config.compression) = (args.types, args.encoding, args.compression);
    (config.bloom, config.jobs, config.answer_wait) = (args.bloom, args.jobs, args.answer_wait);
    let progress = ProgressDisplay::new();
    config.observer = progress.observer();
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let report = archive(&config).map_err(|error| Failure::failed(Escaped(error)))?;
    drop(progress);
    alone(&report)?;
    print(&report)?;
    if let Some(line) = shortfall(&report) {
        output::note(&format!("error: {line}"));
    }
    output::note(&summary_of_archive(&report));
    Ok(if report.failures.is_empty() && report.shortfall.is_none() { DONE } else { FAILED })
}

/// Runs `coltape restore`.
///
/// # Errors
/// [`Failure::Usage`] where no day is named, [`Failure::Failed`] where nothing can be done at all.
pub(crate) fn run_restore(args: &RestoreArgs) -> Result<u8, Failure> {
    let is_any_named = !args.products.is_empty() || !args.product.is_empty() || !args.date.is_empty() || args.from.is_some();
    if !is_any_named && args.to.is_none() && !args.all {
        return Err(Failure::Usage("which days? Name a product, --date or --from, or --all".to_owned()));
    }
    lookup::check_range(args.from, args.to).map_err(Failure::failed)?;
    let dir = &args.data_dir.data_dir;
    lookup::check_tape(dir).map_err(Failure::failed)?;
    let mut config = RestoreConfig::new(dir, Clock::System.now());
    config.products = args.products.iter().chain(&args.product).cloned().collect();
    config.dates.clone_from(&args.date);
    config.range = TimeRange { from: args.from, to: args.to };
    (config.archive, config.into) = (args.archive.clone(), args.into.clone());
    (config.force_fs, config.answer_wait) = (args.force_fs, args.answer_wait);
    let progress = ProgressDisplay::new();
    config.observer = progress.observer();
    crate::store::name_the_column_on_sigbus().map_err(Failure::failed)?;
    let report = restore(&config).map_err(|error| Failure::failed(Escaped(error)))?;
    drop(progress);
    alone(&report)?;
    print(&report)?;
    output::note(&summary_of_restore(&report));
    Ok(if report.failures.is_empty() { DONE } else { FAILED })
}

/// Makes a failure of a run of which nothing came but one.
fn alone(report: &ArchiveReport) -> Result<(), Failure> {
    match report.failures.as_slice() {
        [failure] if report.days.is_empty() && report.finished == 0 => Err(Failure::failed(Escaped(failure))),
        _ => Ok(()),
    }
}

/// Prints the days to stdout, and what failed to stderr.
fn print(report: &ArchiveReport) -> Result<(), Failure> {
    let width = report.days.iter().map(|day| day.product.as_str().len()).max().unwrap_or(0);
    let line = |day: &MovedDay| {
        let in_archive = if day.archived_bytes > 0 { format!("  {:>9} in the archive", size(day.archived_bytes)) } else { String::new() };
        format!(
            "{:width$}  {}  {:12} {:>11} records  {:>9}{in_archive}",
            day.product,
            day.date,
            day.verdict.name(),
            day.records,
            size(day.bytes)
        )
    };
    let lines: Vec<String> = report.days.iter().map(line).collect();
    output::print_lines(lines.iter().map(String::as_str))?;
    for failure in report.failures.iter().take(SHOWN_FAILURES) {
        output::note(&format!("error: {failure}"));
    }
    for note in &report.notes {
        output::note(&format!("note: {note}"));
    }
    if let more @ 1.. = report.failures.len().saturating_sub(SHOWN_FAILURES) {
        output::note(&format!("error: {more} more"));
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn summary_of_archive(report: &ArchiveReport) -> String {
    let days = counted(report.days.len(), "day");
    let to = report.to.display();
    let mut parts = vec![match (report.is_dry, report.days.is_empty()) {
        (_, true) => "no day to archive".to_owned(),
        (true, false) => format!("{days} ({}) would be moved to {to}; --apply moves them", size(report.bytes())),
        (false, false) => format!("{days} moved to {to}: {} freed, {} there", size(report.bytes()), size(report.archived_bytes())),
    }];
    if report.finished > 0 {
        let done = if report.is_dry { "can be finished (--apply)" } else { "finished" };
        parts.push(format!("{} of an earlier run {done}", counted(usize::try_from(report.finished).unwrap_or(usize::MAX), "dataset-day")));
    }
    parts.extend(report.left.iter().map(|(why, count)| format!("{count} left here: {why}")));
    if !report.failures.is_empty() {
        parts.push(format!("{} failed", report.failures.len()));
    }
    parts.join("; ")
}

/// Says how much room is wanting.
fn shortfall(report: &ArchiveReport) -> Option<String> {
    let short = report.shortfall?;
    let [wanted, free, missing] = [short.wanted, short.free, short.missing()].map(size);
    let why = if report.failures.is_empty() { ", as no other day may be moved" } else { "" };
    Some(if report.is_dry {
        format!("{wanted} are to be free (--keep-free), and about {free} would be: it would still be short of {missing}{why}")
    } else {
        format!("{wanted} are to be free (--keep-free), and {free} are free: {missing} are short{why}")
    })
}

fn summary_of_restore(report: &ArchiveReport) -> String {
    let mut text = format!("{} back in {} ({})", counted(report.days.len(), "day"), report.to.display(), size(report.bytes()));
    if !report.failures.is_empty() {
        text.push_str(&format!("; {} dataset-days failed", report.failures.len()));
    }
    text
}

/// Writes a size as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Shortfall;

    #[test]
    fn the_last_line_says_what_was_done_and_what_was_not() {
        let mut report = ArchiveReport { is_dry: true, to: "/cold".into(), ..ArchiveReport::default() };
        assert_eq!(summary_of_archive(&report), "no day to archive");
        report.left.insert("not sealed", 2);
        report.days.push(MovedDay {
            product: ProductId::new("BTC-USD").expect("a product"),
            date: UtcDay(20_246),
            verdict: Verdict::Whole,
            records: 7,
            bytes: 2_000,
            archived_bytes: 0,
        });
        assert_eq!(summary_of_archive(&report), "1 day (2.0 kB) would be moved to /cold; --apply moves them; 2 left here: not sealed");
        report.is_dry = false;
        report.failures.push("why".to_owned());
        assert_eq!(summary_of_archive(&report), "1 day moved to /cold: 2.0 kB freed, 0 B there; 2 left here: not sealed; 1 failed");
        assert_eq!(shortfall(&report), None);
        report.shortfall = Some(Shortfall { wanted: 3_000_000, free: 1_000_000 });
        let said = shortfall(&report).unwrap_or_default();
        assert!(said.contains("3.0 MB are to be free") && said.contains("1.0 MB are free: 2.0 MB are short"), "{said}");
        assert_eq!(summary_of_restore(&report), "1 day back in /cold (2.0 kB); 1 dataset-days failed");
    }
}
