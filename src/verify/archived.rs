//! Days whose files are in an archive: `verify` still vouches for them, by what it found when they were archived.
//!
//! 1. Their ids take part in the chain like those of any other day. So a day beside them is judged as if they were here.
//! 2. The verdict is the worse of two: the one of the chain as it is now, and the one that the day had when its records could be looked at.
//! 3. The files of the archive are compared with their checksums, where the archive is there. Where it is not, that is named.
//! 4. Files of an archived day that lie here as well are a finding, unless they are all of the day and equal: then the day counts as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use simd_json::prelude::*;

use super::chain::{Link, Run};
use super::config::VerifyConfig;
use super::coverage::{DayCoverage, DayIds};
use super::finding::{FindingKind, Findings, Location};
use super::report::{CheckedDays, DatasetDay, ProductDay};
use super::sums::DaySums;
use super::tickers::Pairing;
use crate::json::Object;
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::archived::{ArchivedDay, ArchivedDays, ArchivedRun};
use crate::store::removal::{self, Remains};
use crate::store::{DayState, StoreError};
use crate::time::{UnixNanos, UtcDay};
use crate::verdict::Verdict;

/// The archived days of a product.
#[derive(Debug, Default)]
pub(super) struct Archived {
    days: ArchivedDays,
    /// Those whose files are not here as well.
    away: BTreeSet<(Dataset, UtcDay)>,
}

impl Archived {
    /// Reads them.
    ///
    /// # Errors
    /// Where they or a folder cannot be read.
    pub(super) fn read(dir: &Path, product: &ProductId) -> Result<Self, StoreError> {
        let days = ArchivedDays::read(dir, product)?;
        let mut away = BTreeSet::new();
        for dataset in Dataset::ALL {
            away.extend(days.away(dir, product, dataset)?.into_iter().map(|day| (dataset, day.key.date)));
        }
        Ok(Self { days, away })
    }

    /// Tells whether a dataset-day is archived, whether or not it is here as well.
    pub(super) fn has(&self, dataset: Dataset, date: UtcDay) -> bool {
        self.days.get(dataset, date).is_some()
    }

    fn away(&self) -> impl Iterator<Item = &ArchivedDay> {
        self.away.iter().filter_map(|(dataset, date)| self.days.get(*dataset, *date))
    }

    /// Gives the days that are not here, as far as they are asked for, as checked ones.
    pub(super) fn checked(&self, is_asked: impl Fn(UtcDay) -> bool) -> CheckedDays {
        let mut checked = CheckedDays::new();
        for day in self.away().filter(|day| is_asked(day.key.date)) {
            checked.entry(day.key.date).or_default().push(dataset_day(day));
        }
        checked
    }

    /// Gives the ids of the days of trades that are not here.
    pub(super) fn ids(&self) -> impl Iterator<Item = DayIds> {
        self.away().filter(|day| day.key.dataset == Dataset::Trades).map(|day| {
            let date = day.key.date;
            let link = |id, time| Link { date, id, time };
            let run = |run: &ArchivedRun| Run { first: link(run.ids.first(), run.times.0), last: link(run.ids.last(), run.times.1) };
            DayIds { date, runs: Some(day.runs.iter().map(run).collect()), records: day.records }
        })
    }

    /// Completes what is said of a product-day of which datasets are not here: its verdict, and what its tickers named.
    pub(super) fn complete(&self, day: &mut ProductDay) {
        for archived in self.of_day(day.date) {
            let facts = Facts::read(&archived.facts);
            day.named = day.named.or(facts.named);
            day.pairing = day.pairing.or(facts.pairing);
        }
        self.lower(&mut day.coverage);
    }

    /// Lowers the verdict on a day to the one that it had when its records could be looked at.
    pub(super) fn lower(&self, day: &mut DayCoverage) {
        for archived in self.of_day(day.date).filter(|archived| archived.verdict > Verdict::Whole) {
            for reason in &archived.reasons {
                day.lower(archived.verdict, reason.clone());
            }
        }
    }

    /// Gives the datasets of a day that are not here.
    fn of_day(&self, date: UtcDay) -> impl Iterator<Item = &ArchivedDay> {
        let away = move |dataset| self.days.get(dataset, date).filter(|_| self.away.contains(&(dataset, date)));
        Dataset::ALL.into_iter().filter_map(away)
    }

    /// Checks what is here of days that cannot be read here.
    pub(super) fn check_here(&self, dir: &Path, is_asked: impl Fn(UtcDay) -> bool, findings: &mut Findings) {
        for day in self.away().filter(|day| is_asked(day.key.date)) {
            check_remains(dir, day, &Location::on(&day.key.product, day.key.dataset, day.key.date), findings);
        }
    }

    /// Checks the archive, and what is here of the days that are in it.
    pub(super) fn check(&self, config: &VerifyConfig, findings: &mut Findings, not_checked: &mut Vec<String>) {
        for fault in &self.days.faults {
            let location = Location { product: config.product.clone(), ..Location::default() };
            findings.add(FindingKind::Gone, &location, || format!("{fault}: a day that it told of is not known to be archived"));
        }
        let mut not_there: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for day in self.days.days.values().filter(|day| config.covers(day.key.date, day.key.date)) {
            let location = Location::on(&day.key.product, day.key.dataset, day.key.date);
            check_remains(&config.dir, day, &location, findings);
            if !config.checks_archives || !self.away.contains(&(day.key.dataset, day.key.date)) {
                continue;
            }
            if !day.archive.is_dir() {
                *not_there.entry(day.archive.clone()).or_default() += 1;
                continue;
            }
            let fault = day.fault_in(&day.archive);
            if let Some(text) = fault.unwrap_or_else(|error| Some(error.to_string())) {
                findings.add(FindingKind::Gone, &location, || format!("it is archived, and {text}"));
            }
        }
        for (archive, days) in not_there {
            let product = self.days.days.values().next().map(|day| day.key.product.to_string()).unwrap_or_default();
            not_checked.push(format!(
                "{product}: the archive {} is not there: {days} dataset-days are vouched for by what was found when they were archived",
                archive.display()
            ));
        }
    }
}

/// Finds files of an archived day that are here and are not all of it.
fn check_remains(dir: &Path, day: &ArchivedDay, location: &Location, findings: &mut Findings) {
    if !removal::is_any_here(dir, day) {
        return;
    }
    match removal::remains(dir, day) {
        Ok(Remains::Nothing | Remains::All) => {}
        Ok(Remains::Some) => findings.add(FindingKind::Stray, location, || {
            "it is archived, and some of its files are still here: an archive or a restore has ended early; the same command finishes it".to_owned()
        }),
        Err(error) => findings.add(FindingKind::Stray, location, || {
            format!(
                "it is archived in {}, and other records of it are here ({error}): `coltape restore --into OTHER_DIR`, `coltape repair --from OTHER_DIR` and \
                 `coltape restore` again put them together",
                day.archive.display()
            )
        }),
    }
}

/// Lowers the verdict of what is said from the records of a day that is archived: an answer cannot have them.
pub(super) fn lower_answer(datasets: &[DatasetDay], day: &mut DayCoverage) {
    for kept in datasets {
        if let Some(archive) = &kept.archive {
            let name = kept.dataset.folder();
            day.lower(Verdict::Unverifiable, format!("{name}: archived in {}, `coltape restore` brings it back", archive.display()));
        }
    }
}

fn dataset_day(day: &ArchivedDay) -> DatasetDay {
    DatasetDay {
        dataset: day.key.dataset,
        state: Some(day.generation.map_or(DayState::Bare, |generation| DayState::Sealed { generation })),
        set: day.set,
        late: 0,
        unproven: if day.generation.is_some() { 0 } else { day.records },
        sums: DaySums { records: day.records, ..Facts::read(&day.facts).sums },
        archive: Some(day.archive.clone()),
    }
}

/// What is kept of a day's sums.
#[derive(Debug, Default)]
struct Facts {
    sums: DaySums,
    named: Option<u64>,
    pairing: Option<Pairing>,
}

/// Gives what is to be kept of a dataset-day beside its records and ids, as a JSON object.
pub(crate) fn facts_of(day: &ProductDay, kept: &DatasetDay) -> String {
    let sums = &kept.sums;
    let is_of = |dataset: Dataset| kept.dataset == dataset;
    Object::default()
        .plain("regressions", sums.regressions)
        .plain("with_order_ids", sums.with_order_ids)
        .plain("with_recv", sums.with_recv)
        .optional("rounded", sums.rounded)
        .optional("first_time", sums.times.map(|times| times.0.0))
        .optional("last_time", sums.times.map(|times| times.1.0))
        .plain("flagged", sums.flagged)
        .plain("clock_behind", sums.clock_behind)
        .optional("first_live", sums.first_live.map(|time| time.0))
        .plain("is_received_on_its_day", sums.is_received_on_its_day)
        .optional("named", day.named.filter(|_| is_of(Dataset::Md)))
        .optional("pairs", day.pairing.filter(|_| is_of(Dataset::TickerTrades)).map(|pairing| pairing.pairs))
        .optional("unpaired", day.pairing.filter(|_| is_of(Dataset::TickerTrades)).map(|pairing| pairing.unpaired))
        .done()
}

impl Facts {
    /// Reads what was kept. What cannot be read is 0 or nothing.
    fn read(text: &str) -> Self {
        let mut text = text.to_owned().into_bytes();
        let Ok(value) = simd_json::to_borrowed_value(&mut text) else { return Self::default() };
        let number = |name: &str| value.get_u64(name);
        let count = |name: &str| number(name).unwrap_or(0);
        let sums = DaySums {
            records: 0,
            regressions: count("regressions"),
            with_order_ids: count("with_order_ids"),
            with_recv: count("with_recv"),
            rounded: number("rounded"),
            times: number("first_time").map(UnixNanos).zip(number("last_time").map(UnixNanos)),
            flagged: count("flagged"),
            clock_behind: count("clock_behind"),
            first_live: number("first_live").map(UnixNanos),
            is_received_on_its_day: value.get_bool("is_received_on_its_day").unwrap_or(false),
        };
        let pairing = number("pairs").zip(number("unpaired")).map(|(pairs, unpaired)| Pairing { pairs, unpaired });
        Self { sums, named: number("named"), pairing }
    }
}

/// Gives the ids of a day of trades, with the times at the ends of each stretch. `None` where there are more than are kept.
pub(crate) fn runs_of(day: &crate::store::Snapshot<crate::schema::Trades>, most: usize) -> Option<Vec<ArchivedRun>> {
    let mut runs = super::chain::Runs::default();
    super::stretches::add(day, 0..day.count(), super::stretches::Depth::Full, &mut runs);
    let runs = runs.into_vec();
    if runs.len() > most {
        return None;
    }
    let run = |run: &Run| {
        let ids = crate::ids::IdRange::new(run.first.id, run.last.id)?;
        Some(ArchivedRun { ids, times: (run.first.time, run.last.time) })
    };
    runs.iter().map(run).collect()
}
