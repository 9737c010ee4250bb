//! What should be there: the dataset-days that the journal knows, and the files that lie in the folders.
//!
//! 1. A day that was opened and has no file, or that was sealed or opened with records and has fewer now, is *gone*. Nothing removes records of a tape: a
//!    replacement only adds some.
//! 2. A sealed day that no line of the journal opened or sealed shows that the journal is incomplete.
//! 3. Files with the name of a column, a page or late records that hold bytes and belong to no day that is read are *strays*: what is left of a day whose
//!    page and time column are gone, or the same day in the other spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::finding::{FindingKind, Findings, Location};
use super::report::CheckedDays;
use crate::history::History;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::{DayState, catalog};
use crate::time::{DateFormat, UtcDay};

/// Finds the days asked for that the journal knows better than the files. Gives those of trades that are gone.
pub(super) fn check_known_days(
    dir: &Path,
    product: &ProductId,
    history: &History,
    is_asked: &dyn Fn(UtcDay) -> bool,
    checked: &mut CheckedDays,
    findings: &mut Findings,
) -> Vec<UtcDay> {
    let mut gone = Vec::new();
    for ((dataset, date), known) in history.days.iter().filter(|((_, date), _)| is_asked(*date)) {
        let records = known.records();
        let found = checked.get(date).and_then(|days| days.iter().find(|day| day.dataset == *dataset));
        let stored = match found {
            // Whatever it holds, it cannot be read, which is a finding already.
            Some(day) if day.state.is_none() => continue,
            Some(day) => day.sums.records,
            None => 0,
        };
        // A day that was opened has at least a page. One that a crash left without a record may be read as nothing.
        let has_files = found.is_some() || catalog::days(dir, product, *dataset).is_ok_and(|days| days.contains(date));
        if stored >= records && has_files {
            continue;
        }
        let location = Location::on(product, *dataset, *date);
        findings.add_many(FindingKind::Gone, (records - stored).max(1), &location, || match (found, records) {
            (Some(_), _) => format!("{stored} records are stored; the journal knows of {records}"),
            (None, 0) => "its files are gone; the journal knows that it was opened".to_owned(),
            (None, _) => format!("its files are gone; the journal knows of {records} records"),
        });
        if found.is_none() {
            checked.entry(*date).or_default();
            gone.extend((*dataset == Dataset::Trades).then_some(*date));
        }
    }
    gone
}

/// Finds the sealed days that hold records and that no line of the journal knows.
pub(super) fn check_journaled(product: &ProductId, history: &History, checked: &CheckedDays, findings: &mut Findings) {
    for (date, days) in checked {
        for day in days {
            let is_known = history.days.contains_key(&(day.dataset, *date));
            if !is_known && day.sums.records > 0 && matches!(day.state, Some(DayState::Sealed { .. } | DayState::Bare)) {
                let location = Location::on(product, day.dataset, *date);
                findings.add(FindingKind::Journal, &location, || "no line of the journal says that it was opened or sealed".to_owned());
            }
        }
    }
}

/// Finds the days that cannot be listed, and files that hold bytes and belong to no day that is read.
pub(super) fn check_strays(dir: &Path, product: &ProductId, dataset: Dataset, is_asked: &dyn Fn(UtcDay) -> bool, findings: &mut Findings) {
    let folder = dir.join(product.as_str()).join(dataset.folder());
    let listed = catalog::days(dir, product, dataset).unwrap_or_default();
    let columns = dataset.columns().iter().map(|column| column.name);
    let names: BTreeSet<&str> = columns.chain(["commit", "late"]).collect();
    let mut files: BTreeMap<UtcDay, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some((date, spelled)) = date_of(&name, &names) else { continue };
        if entry.path().metadata().is_ok_and(|found| found.len() > 0) {
            files.entry(date).or_default().entry(spelled).or_default().push(name);
        }
    }
    for (date, spellings) in files.into_iter().filter(|(date, _)| is_asked(*date)) {
        let location = Location::on(product, dataset, date);
        let read = read_spelling(&folder, date, listed.contains(&date));
        for (spelled, names) in spellings.into_iter().filter(|(spelled, _)| read.as_deref() != Some(spelled.as_str())) {
            let unread = if read.is_some() { "which is not the spelling that is read" } else { "without page and time column" };
            findings.add_many(FindingKind::Stray, names.len() as u64, &location, || {
                format!("{} files of {spelled}, {unread}: {}", names.len(), names.join(", "))
            });
        }
    }
}

/// Gives how the date of a day that is read is spelled.
fn read_spelling(folder: &Path, date: UtcDay, is_listed: bool) -> Option<String> {
    let spelled = [DateFormat::Iso, DateFormat::Dmy].map(|format| date.spelled(format));
    let has_page = |spelled: &String| folder.join(format!("commit.{spelled}.bin")).exists();
    let has_files = |spelled: &String| ["time", "trade_time"].into_iter().any(|name| folder.join(format!("{name}.{spelled}.bin")).exists());
    spelled
        .iter()
        .find(|spelled| has_page(spelled))
        .or_else(|| spelled.iter().find(|spelled| has_files(spelled)))
        .filter(|_| is_listed)
        .cloned()
}

/// Gives the date that stands in the name of a day's file, and how it is spelled; nothing where it is no such name.
fn date_of(name: &str, names: &BTreeSet<&str>) -> Option<(UtcDay, String)> {
    let (what, spelled) = name.strip_suffix(".bin")?.split_once('.')?;
    let date = UtcDay::parse(spelled).ok()?;
    names.contains(what).then(|| (date, spelled.to_owned()))
}
