//! `coltape export`: makes a request of the arguments and says in a line what was done.

use super::args::ExportArgs;
use super::outcome::{DONE, FAILED, Failure};
use super::progress::ProgressDisplay;
use super::{input, output};
use crate::escape::Escaped;
use crate::export::{ExportConfig, ExportError, Exported, export};
use crate::lookup;
use crate::time::Clock;
use crate::time_range::TimeRange;

/// Failed days that are named; more are counted.
const NAMED_FAILURES: usize = 10;

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] where there is nothing to export, or the folder cannot be written to.
pub(crate) fn run(args: &ExportArgs) -> Result<u8, Failure> {
    lookup::check_range(args.from, args.to).map_err(Failure::failed)?;
    lookup::check_tape(&args.data_dir.data_dir).map_err(Failure::failed)?;
    for product in &args.products {
        lookup::check_product(&args.data_dir.data_dir, product).map_err(Failure::failed)?;
    }
    let mut config = ExportConfig::new(&args.data_dir.data_dir, &args.out, Clock::System.now());
    config.format = args.format;
    config.products.clone_from(&args.products);
    config.range = TimeRange { from: args.from, to: args.to };
    config.datasets = args.dataset.iter().copied().collect();
    (config.types, config.encoding, config.compression) = (args.types, args.encoding, args.compression);
    (config.bloom, config.live, config.jobs) = (args.bloom, args.live, args.jobs);
    let progress = ProgressDisplay::new();
    config.observer = progress.observer();
    let exported = match export(&config) {
        Err(ExportError::Nothing { why }) => return Err(nothing(args, &why)),
        exported => exported.map_err(|error| Failure::failed(Escaped(error)))?,
    };
    drop(progress);
    for failure in exported.failed.iter().take(NAMED_FAILURES) {
        output::note(&format!("not exported: {}: {}", failure.what, failure.error));
    }
    if let more @ 1.. = exported.failed.len().saturating_sub(NAMED_FAILURES) {
        output::note(&format!("not exported: {more} more"));
    }
    output::note(&summary(&exported, &config));
    Ok(if exported.failed.is_empty() { DONE } else { FAILED })
}

/// Says why there is nothing to export: where one product was named, what there is of it instead.
fn nothing(args: &ExportArgs, why: &str) -> Failure {
    if let ([product], Some(dataset)) = (args.products.as_slice(), args.dataset.first())
        && let Err(failure) = input::check(&args.data_dir.data_dir, product, *dataset, args.from, args.to)
    {
        return failure;
    }
    Failure::failed(Escaped(format!("there is nothing to export: {why}")))
}

/// Says what was done.
fn summary(exported: &Exported, config: &ExportConfig) -> String {
    let counted = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut parts = Vec::new();
    if exported.files > 0 || exported.unchanged == 0 {
        let records = counted(exported.rows, "record", "records");
        parts.push(format!("{} written ({records}, {})", counted(exported.files, "file", "files"), size(exported.bytes)));
    }
    if exported.unchanged > 0 {
        parts.push(format!("{} unchanged", counted(exported.unchanged, "file", "files")));
    }
    if exported.live_days > 0 {
        parts.push(format!(
            "{} left out (--live exports them)",
            counted(exported.live_days, "day that still grows", "days that still grow")
        ));
    }
    if exported.archived_days > 0 {
        let days = counted(exported.archived_days, "day that is archived elsewhere", "days that are archived elsewhere");
        parts.push(format!("{days} left out (coltape restore brings them back)"));
    }
    if exported.untimed > 0 {
        let trades = counted(exported.untimed, "record without a receive time has", "records without a receive time have");
        parts.push(format!("{trades} the event time instead"));
    }
    if exported.early > 0 {
        parts.push(format!("{} received, by the clocks, before they happened", counted(exported.early, "record was", "records were")));
    }
    if exported.unfit > 0 {
        parts.push(format!("{} left out, as the format cannot hold them", counted(exported.unfit, "record was", "records were")));
    }
    if !exported.failed.is_empty() {
        parts.push(format!("{} not exported", exported.failed.len()));
    }
    format!("{}: {}", config.out.display(), parts.join(", "))
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
    use crate::time::UnixNanos;

    #[test]
    fn the_last_line_says_what_was_written_and_what_was_not() {
        let config = ExportConfig::new("data", "out", UnixNanos(0));
        let said = |change: fn(&mut Exported)| {
            let mut exported = Exported::default();
            change(&mut exported);
            summary(&exported, &config)
        };
        assert_eq!(said(|done| (done.files, done.rows, done.bytes) = (1, 1, 999)), "out: 1 file written (1 record, 999 B)");
        assert_eq!(said(|done| done.unchanged = 2), "out: 2 files unchanged");
        let live = said(|done| (done.files, done.rows, done.bytes, done.unchanged, done.live_days) = (3, 70, 1_500_000, 1, 1));
        assert_eq!(
            live,
            "out: 3 files written (70 records, 1.5 MB), 1 file unchanged, 1 day that still grows left out (--live exports them)"
        );
    }
}
