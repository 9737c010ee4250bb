//! The work on one file, and the threads that do it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::config::ExportConfig;
use super::error::{ExportError, ExportFailure};
use super::facts::{Facts, ProductFacts};
use super::fixed::Precision;
use super::folder::{Finished, FolderView};
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written};
use super::manifest::{Entry, FileKey, PRICE_DECIMALS, SIZE_DECIMALS};
use super::plan::ProductPlan;
use super::stored_day::StoredDay;
use crate::json::Object;
use crate::product::ProductId;
use crate::store::{DayKey, DayState};
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Counts up where this version gives other bytes for the same records.
const REVISION: u32 = 1;
/// Most results that wait to be taken.
const MAX_WAITING: usize = 64;

/// A file to be looked at.
pub(super) struct Job<'a> {
    product: &'a ProductId,
    planned: PlannedFile,
    facts: &'a ProductFacts,
    /// Its place in the list.
    number: usize,
    /// Threads that may work on it.
    threads: NonZeroUsize,
    /// About how many records it has.
    pub rows: u64,
}

impl Job<'_> {
    /// Names the file for people.
    pub(super) fn name(&self) -> String {
        format!("{} {} {}", self.product, self.planned.content, self.planned.date)
    }
}

/// Lists the files of all products, and the products whose files cannot be planned.
pub(super) fn jobs<'a>(
    config: &ExportConfig,
    format: &dyn FileFormat,
    folder: &FolderView,
    products: &'a [ProductPlan],
    facts: &'a BTreeMap<ProductId, ProductFacts>,
) -> (Vec<Job<'a>>, Vec<ExportFailure>) {
    let (mut planned, mut failed) = (BTreeMap::new(), Vec::new());
    each(
        config.jobs,
        products,
        |plan| {
            let Some(facts) = facts.get(&plan.product) else { return (plan, Ok(Vec::new())) };
            (plan, format.files(&ProductDays { config, plan, facts, entries: &folder.entries }))
        },
        |(plan, files)| {
            match files {
                Ok(files) => drop(planned.insert(&plan.product, files)),
                Err(error) => failed.push(ExportFailure { what: plan.product.to_string(), error }),
            }
            true
        },
    );
    let mut jobs = Vec::new();
    for (product, files) in planned {
        let Some(facts) = facts.get(product) else { continue };
        for planned in files {
            let rows = planned.rows;
            jobs.push(Job { product, planned, facts, number: jobs.len(), threads: NonZeroUsize::MIN, rows });
        }
    }
    let for_each = NonZeroUsize::new(threads(config.jobs).get() / jobs.len().max(1)).unwrap_or(NonZeroUsize::MIN);
    jobs.iter_mut().for_each(|job| job.threads = for_each);
    (jobs, failed)
}

/// What became of a file.
pub(super) enum Done {
    /// It would hold no record. Gives what was counted.
    Nothing(Written),
    /// It is what it should be.
    Unchanged {
        /// What the manifest has to say of it from now on, where that has changed.
        news: Option<(FileKey, Entry)>,
    },
    /// It is written and waits for its place.
    Written {
        /// The file.
        finished: Box<Finished>,
        /// What was counted.
        written: Written,
    },
}

/// Opens a file's days, compares them with what the manifest says, and writes the file if they differ.
///
/// # Errors
/// Where a day cannot be read or trusted, or the file cannot be written.
pub(super) fn run(config: &ExportConfig, format: &dyn FileFormat, folder: &FolderView, job: &Job<'_>) -> Result<Done, ExportError> {
    let planned = &job.planned;
    let key = FileKey { product: job.product.to_string(), content: planned.content.to_owned(), date: planned.date };
    let old = folder.entries.get(&key);
    let part = part_of(config.range, planned.date, old.map(|old| old.part));
    let mut days = Vec::new();
    for source in &planned.sources {
        let key = DayKey { product: job.product.clone(), dataset: source.dataset, date: source.date };
        let Some(mut day) = StoredDay::open(&config.dir, &key)? else { continue };
        if !format.is_by_receipt() {
            day.choose(part);
        }
        days.push(day);
    }
    let facts = match format.is_by_receipt() {
        true => job.facts.of_receipt(planned.date, &days),
        false => days.first().map(|day| job.facts.of(day)),
    };
    let Some(facts) = facts.filter(|_| days.iter().any(|day| day.rows() > 0)) else { return Ok(Done::Nothing(Written::default())) };
    let (fingerprint, described) = (fingerprint(config, planned, part, &facts, &days), describe(&facts, planned, &days));
    let advance = |rows| config.observer.advance(rows, "records", || job.name());
    if let Some(old) = old.filter(|old| old.fingerprint == fingerprint)
        && let Some(modified) = folder.check(old)?
    {
        advance(job.rows);
        let entry = Entry { part, modified, facts: described, ..old.clone() };
        return Ok(Done::Unchanged { news: (entry != *old).then_some((key, entry)) });
    }
    let file = OpenFile { config, product: job.product, planned, part, days, facts, threads: job.threads };
    let path = format.path(&file)?;
    for source in &planned.sources {
        folder.check_archived(config, &DayKey { product: job.product.clone(), dataset: source.dataset, date: source.date }, &path)?;
    }
    let (entry, temporary, written) = write(format, folder, job, &file, path, &advance)?;
    if written.rows == 0 {
        let _ = std::fs::remove_file(&temporary);
        return Ok(Done::Nothing(written));
    }
    let entry = Entry { part, fingerprint, facts: described, ..entry };
    // A stored day has changed, but none of the records that the file holds: it is not touched.
    if let Some(old) = old.filter(|old| (&old.path, old.bytes, old.crc) == (&entry.path, entry.bytes, entry.crc))
        && let Some(modified) = folder.check(old)?
    {
        let _ = std::fs::remove_file(&temporary);
        return Ok(Done::Unchanged { news: Some((key, Entry { modified, ..entry })) });
    }
    Ok(Done::Written { finished: Box::new(Finished { key, entry, temporary }), written })
}

fn write(
    format: &dyn FileFormat,
    folder: &FolderView,
    job: &Job<'_>,
    file: &OpenFile<'_>,
    path: PathBuf,
    advance: &dyn Fn(u64),
) -> Result<(Entry, PathBuf, Written), ExportError> {
    let (mut output, temporary) = folder.begin(job.number, &path)?;
    let written = format.write(file, &mut output, advance).and_then(|written| Ok((written, output.finish()?)));
    match written {
        Ok((written, (bytes, crc, modified))) => {
            let (part, fingerprint, facts) = (TimeRange::ALL, String::new(), String::new());
            Ok((Entry { path, rows: written.rows, bytes, crc, modified, part, fingerprint, facts }, temporary, written))
        }
        Err(error) => {
            // A full disk needs the room for the manifest. What cannot be removed the next export removes.
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Gives the part of a day that a file holds: what is asked for, and what it held before, with what is between.
fn part_of(asked: TimeRange, date: UtcDay, held: Option<TimeRange>) -> TimeRange {
    let clipped = TimeRange { from: asked.from.filter(|from| *from > date.start()), to: asked.to.filter(|to| *to < date.next().start()) };
    held.map_or(clipped, |held| TimeRange {
        from: clipped.from.zip(held.from).map(|(asked, held)| asked.min(held)),
        to: clipped.to.zip(held.to).map(|(asked, held)| asked.max(held)),
    })
}

/// Gives a text that is another one where the file's bytes would be.
fn fingerprint(config: &ExportConfig, planned: &PlannedFile, part: TimeRange, facts: &Facts, days: &[StoredDay]) -> String {
    let contents: Vec<_> = days.iter().map(|day| (day.dataset(), day.key().date, day.content())).collect();
    let text = format!(
        "{REVISION}|{}|{}|{:?}|{part:?}|{}|{}|{}|{}|{contents:?}",
        config.format.name(),
        config.options(),
        planned.precision,
        facts.verdict.name(),
        facts.ids_json(),
        facts.missing_json(),
        facts.increments_json()
    );
    // FNV-1a: the same on every machine and in every version.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Gives what the manifest says of the day.
fn describe(facts: &Facts, planned: &PlannedFile, days: &[StoredDay]) -> String {
    let sources: Vec<String> = days.iter().map(source_json).collect();
    let object = Object::default().text("verdict", facts.verdict.name()).raw("reasons", &facts.reasons_json());
    let object = object.raw("ids", &facts.ids_json()).raw("missing", &facts.missing_json()).raw("increments", &facts.increments_json());
    let object = object.raw("sources", &format!("[{}]", sources.join(",")));
    if planned.precision == Precision::default() {
        return object.done();
    }
    object.plain(PRICE_DECIMALS, planned.precision.price).plain(SIZE_DECIMALS, planned.precision.size).done()
}

fn source_json(day: &StoredDay) -> String {
    let (state, generation) = match day.state() {
        DayState::Live => ("live", None),
        DayState::Sealed { generation } => ("sealed", Some(generation)),
        DayState::Bare => ("bare", None),
    };
    let content = day.content();
    let object = Object::default().text("dataset", day.dataset().name()).text("date", &day.key().date.to_string()).text("state", state);
    let object = object.optional("generation", generation).plain("records", content.records).plain("late", content.late);
    object.raw("crc32c", &content.crcs_json()).done()
}

/// Gives how many threads there are for `jobs` files at a time: without that, one a processor.
fn threads(jobs: Option<NonZeroUsize>) -> NonZeroUsize {
    jobs.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Does work on each of a list, on several threads, and takes the results as they come, on this one. `take` says whether to go on.
pub(super) fn each<'a, T: Sync, R: Send>(
    jobs: Option<NonZeroUsize>,
    list: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
    mut take: impl FnMut(R) -> bool,
) {
    let threads = threads(jobs).get().min(list.len().max(1));
    // Relaxed: each number is taken once, whatever the order, and the flag carries no data.
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = crossbeam_channel::bounded(MAX_WAITING);
    std::thread::scope(|scope| {
        for number in 0..threads {
            let (sender, next, is_over, work) = (sender.clone(), &next, &is_over, &work);
            let body = move || {
                while !is_over.load(Ordering::Relaxed) {
                    let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().name(format!("export:{number}")).spawn_scoped(scope, body) {
                // The others do the work; without any, this thread does.
                log::warn!("no thread export:{number}: {error}");
                break;
            }
        }
        drop(sender);
        for result in &results {
            if !take(result) {
                is_over.store(true, Ordering::Relaxed);
                break;
            }
        }
        // Results that nobody wants any more: a worker may wait for room to send one.
        results.iter().for_each(drop);
    });
    // Nothing is left here, unless there was no thread at all.
    while !is_over.load(Ordering::Relaxed) {
        let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
        is_over.store(!take(work(item)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    #[test]
    fn every_item_is_worked_on_once_and_a_stop_ends_the_work() {
        let list: Vec<u32> = (0..1000).collect();
        for jobs in [None, NonZeroUsize::new(1), NonZeroUsize::new(7)] {
            let mut taken = Vec::new();
            each(
                jobs,
                &list,
                |item| *item,
                |item| {
                    taken.push(item);
                    true
                },
            );
            taken.sort_unstable();
            assert_eq!(taken, list);
            let mut count = 0;
            each(
                jobs,
                &list,
                |item| *item,
                |_| {
                    count += 1;
                    count < 5
                },
            );
            assert_eq!(count, 5);
        }
    }

    #[test]
    fn a_file_never_holds_less_of_its_day_than_before() {
        let date = UtcDay(100);
        let at = |hours: u64| UnixNanos(date.start().0 + hours * 3_600_000_000_000);
        let asked = TimeRange::new(at(2), at(4));
        assert_eq!(part_of(TimeRange::new(UnixNanos(0), at(48)), date, None), TimeRange::ALL);
        assert_eq!(part_of(asked, date, None), asked);
        assert_eq!(part_of(asked, date, Some(TimeRange::ALL)), TimeRange::ALL);
        assert_eq!(part_of(asked, date, Some(TimeRange::new(at(6), at(7)))), TimeRange::new(at(2), at(7)));
        assert_eq!(part_of(TimeRange { to: None, ..asked }, date, Some(asked)), TimeRange { to: None, ..asked });
    }
}
