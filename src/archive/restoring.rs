//! The steps of `restore`: find the days, unpack them beside their places, let them be put back, and forget that they are archived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::config::RestoreConfig;
use super::error::{ArchiveError, At};
use super::files;
use super::holder::{Holder, Outcome};
use super::kept::Kept;
use super::report::{ArchiveReport, MovedDay};
use super::unpacking::{Target, unpack};
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::store::archive_request::Act;
use crate::store::archived::{self, ArchivedDay, ArchivedDays, REST_FOLDER, RecordLock};
use crate::store::probe::Step;
use crate::store::removal::{self, Remains};
use crate::store::{DataDir, DayState, Snapshot, StoreError, StoreOptions, endpoint_of, space};
use crate::tape::Tape;
use crate::time::UtcDay;
use crate::verify::runs_of;

/// Product-days that are put back together.
const BATCH_DAYS: usize = 5;

/// Does the work. See [`crate::restore`].
///
/// # Errors
/// As [`super::restore`].
pub(super) fn restore(config: &RestoreConfig) -> Result<ArchiveReport, ArchiveError> {
    Tape::open(&config.dir)?;
    let _lock = if config.into.is_none() { Some(RecordLock::take(&config.dir)?) } else { None };
    let wanted = wanted(config)?;
    let target = config.into.as_ref().unwrap_or(&config.dir);
    let mut report = ArchiveReport { to: target.clone(), ..ArchiveReport::default() };
    if let Some(into) = &config.into {
        let endpoint = endpoint_of(&config.dir)?.unwrap_or_default();
        let options = StoreOptions::default().force_fs(config.force_fs);
        // Made, with what it needs to be a data directory.
        drop(DataDir::open(into, options, &endpoint)?);
    }
    // Two at once would write the same files there.
    let _target_lock = config.into.as_deref().map(RecordLock::take).transpose()?;
    let target = target.canonicalize().at("look at", target)?;
    let mut work = Restoring {
        config,
        holder: Holder::new(&target, config.force_fs, config.probe.clone(), config.answer_wait, config.now),
        target: &target,
        kept: Kept::default(),
    };
    config.observer.begin(wanted.values().map(|days| days.len() as u64).sum());
    for (product, days) in &wanted {
        let days: Vec<&[ArchivedDay]> = days.chunk_by(|one, next| one.key.date == next.key.date).collect();
        for batch in days.chunks(BATCH_DAYS) {
            if let Err(error) = work.bring(product, batch, &mut report) {
                report.failures.push(format!("{product}: {error}"));
                if error.ends_all() {
                    report.notes = work.kept.notes();
                    return Ok(report);
                }
            }
        }
    }
    report.notes = work.kept.notes();
    Ok(report)
}

/// Finds the days asked for.
fn wanted(config: &RestoreConfig) -> Result<BTreeMap<ProductId, Vec<ArchivedDay>>, ArchiveError> {
    let (mut wanted, mut known): (BTreeMap<ProductId, Vec<ArchivedDay>>, Vec<String>) = (BTreeMap::new(), Vec::new());
    let mut lost = config.archive.as_deref().map(lines_of).unwrap_or_default();
    let products: BTreeSet<ProductId> = archived::products(&config.dir).into_iter().chain(lost.keys().cloned()).collect();
    for product in products {
        let mut archived = ArchivedDays::read(&config.dir, &product)?;
        if let (None, Some(fault)) = (&config.into, archived.faults.pop()) {
            return Err(StoreError::damaged(&config.dir, fault).into());
        }
        // Days of which the record is lost: the archive that is named knows them, too.
        for day in lost.remove(&product).unwrap_or_default() {
            let key = (day.key.dataset, day.key.date);
            if !removal::is_any_here(&config.dir, &day) {
                archived.days.entry(key).or_insert(day);
            }
        }
        let dates: Vec<UtcDay> = archived.days.keys().map(|(_, date)| *date).collect();
        if let (Some(first), Some(last)) = (dates.iter().min(), dates.iter().max()) {
            known.push(format!("{product} from {first} to {last}"));
        }
        let is_asked = |product: &ProductId| config.products.is_empty() || config.products.contains(product);
        let is_date = |date: &UtcDay| (config.dates.is_empty() || config.dates.contains(date)) && config.range.overlaps_day(*date);
        let mut days: Vec<ArchivedDay> = archived.days.into_values().filter(|day| is_asked(&product) && is_date(&day.key.date)).collect();
        days.sort_by_key(|day| (day.key.date, day.key.dataset));
        if !days.is_empty() {
            wanted.insert(product, days);
        }
    }
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let said = if known.is_empty() { "has nothing archived".to_owned() } else { format!("has archived {}", known.join(", ")) };
    Err(ArchiveError::NothingArchived { path: config.dir.clone(), said })
}

/// Reads the lines that lie in an archive beside the data set. One that is damaged is passed over.
fn lines_of(archive: &Path) -> BTreeMap<ProductId, Vec<ArchivedDay>> {
    let mut found: BTreeMap<ProductId, Vec<ArchivedDay>> = BTreeMap::new();
    let list =
        |folder: &Path| -> Vec<PathBuf> { std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect() };
    let datasets = list(&archive.join(REST_FOLDER)).into_iter().flat_map(|product| list(&product));
    for path in datasets.flat_map(|dataset| list(&dataset)).filter(|path| path.extension().is_some_and(|end| end == "json")) {
        match std::fs::read_to_string(&path).ok().as_deref().and_then(ArchivedDay::parse) {
            Some(day) => found.entry(day.key.product.clone()).or_default().push(day),
            None => log::warn!("{} is damaged", path.display()),
        }
    }
    found
}

struct Restoring<'a> {
    config: &'a RestoreConfig,
    holder: Holder<'a>,
    /// Where the files are brought to, by its full path.
    target: &'a Path,
    /// What the archives keep of the days that are back.
    kept: Kept,
}

impl Restoring<'_> {
    fn step(&self, what: &'static str) {
        if let Some(probe) = &self.config.probe {
            probe.see(Step::Changed(what));
        }
    }

    fn archive_of(&self, day: &ArchivedDay) -> PathBuf {
        self.config.archive.clone().unwrap_or_else(|| day.archive.clone())
    }

    /// Brings some product-days of a product.
    fn bring(&mut self, product: &ProductId, days: &[&[ArchivedDay]], report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let (mut ready, mut surpassed) = (Vec::new(), Vec::new());
        for datasets in days {
            let room = self.unpack_all(datasets, &mut ready, &mut surpassed, report);
            if room == Room::IsUsedUp {
                break;
            }
        }
        let outcome = if ready.is_empty() { Outcome::default() } else { self.holder.act(Act::PutBack, product, &ready)? };
        report.failures.extend(outcome.failed);
        let mut back: Vec<ArchivedDay> = outcome.done.iter().filter_map(|place| ready.get(*place)).cloned().collect();
        back.append(&mut surpassed);
        if self.config.into.is_none() {
            // A day of which a dataset is not back stays archived as a whole. The next run finds the others here.
            let is_back = |day: &ArchivedDay| back.iter().any(|back| back.key == day.key);
            let halves: BTreeSet<UtcDay> = ready.iter().filter(|day| !is_back(day)).map(|day| day.key.date).collect();
            back.retain(|day| !halves.contains(&day.key.date));
        }
        if self.config.into.is_none() && !back.is_empty() {
            let mut record = ArchivedDays::read(&self.config.dir, product)?;
            for day in &back {
                record.days.remove(&(day.key.dataset, day.key.date));
            }
            self.step("days are back");
            record.write(&self.config.dir, product)?;
            self.step("record written");
            for day in &back {
                self.kept.settle(day, self.target, self.config.archive.as_deref());
            }
        }
        add_to(report, product, &back);
        Ok(())
    }

    /// Writes the files of a product-day's datasets beside their places: of all, or of none. To another directory go those that can be unpacked: the day stays
    /// archived, and is not split.
    fn unpack_all(
        &self,
        datasets: &[ArchivedDay],
        ready: &mut Vec<ArchivedDay>,
        surpassed: &mut Vec<ArchivedDay>,
        report: &mut ArchiveReport,
    ) -> Room {
        let (mut room, mut failed) = (Room::IsLeft, Vec::new());
        let (had_ready, had_surpassed) = (ready.len(), surpassed.len());
        for day in datasets {
            self.config.observer.advance(1, "days", || day.key.to_string());
            if room == Room::IsLeft {
                match self.unpack(day) {
                    Ok(Found::Unpacked) => ready.push(day.clone()),
                    Ok(Found::Surpassed) => surpassed.push(day.clone()),
                    Err(error) => {
                        self.discard(day);
                        if error.ends_all() {
                            room = Room::IsUsedUp;
                        }
                        failed.push(format!("{}: {error}", day.key));
                    }
                }
            }
            self.step("day unpacked");
        }
        if self.config.into.is_none() && !failed.is_empty() {
            let left = ready.len() + surpassed.len() - had_ready - had_surpassed;
            surpassed.truncate(had_surpassed);
            ready.drain(had_ready..).for_each(|day| self.discard(&day));
            if let (Some(last), 1.., Room::IsLeft) = (failed.last_mut(), left, room) {
                last.push_str("; the other datasets of that day stay archived with it: --into OTHER_DIR writes those that can be");
            }
        }
        report.failures.append(&mut failed);
        room
    }

    /// Removes what was unpacked of a day and is not put back.
    fn discard(&self, day: &ArchivedDay) {
        for file in &day.files {
            let _ = std::fs::remove_file(removal::temporary(self.target, day, file));
        }
    }

    /// Writes the files of a day beside their places. A day that is here already needs none.
    fn unpack(&self, day: &ArchivedDay) -> Result<Found, ArchiveError> {
        if removal::is_any_here(self.target, day) {
            match removal::remains(self.target, day) {
                Ok(Remains::All) => return Ok(Found::Unpacked),
                Ok(_) => {}
                Err(_) if self.config.into.is_none() && holds_all(self.target, day)? => return Ok(Found::Surpassed),
                Err(error) => return Err(other_records(day, &error)),
            }
        }
        let archive = self.archive_of(day);
        if !archive.is_dir() {
            let why = format!("the archive {} is not there", archive.display());
            return Err(ArchiveError::DamagedArchive { why });
        }
        if let Some(why) = day.fault_in(&archive)? {
            return Err(ArchiveError::DamagedArchive { why });
        }
        // On disk before the archive forgets the day.
        let below = Path::new(day.key.product.as_str()).join(day.key.dataset.folder());
        files::make_folder(self.target, &below)?;
        let folder = self.target.join(below);
        let room = space::free_space(&folder).at("ask for the room of", &folder)?;
        if day.bytes() > room.usable() {
            return Err(StoreError::NoSpace { path: folder, needed: day.bytes(), free: room.free }.into());
        }
        unpack(&archive, day, Target::Folders(self.target))?;
        Ok(Found::Unpacked)
    }
}

/// Whether other days may be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    IsLeft,
    /// None would have room.
    IsUsedUp,
}

/// What was found of a day where it is to be brought to.
enum Found {
    /// It is unpacked, or here already.
    Unpacked,
    /// The day here has all its trades and others.
    Surpassed,
}

/// Tells whether a day here has every trade of an archived one: `repair` has put them together.
fn holds_all(dir: &Path, day: &ArchivedDay) -> Result<bool, ArchiveError> {
    if day.key.dataset != Dataset::Trades {
        return Ok(false);
    }
    let Some(here) = Snapshot::<Trades>::open(dir, &day.key.product, day.key.date)? else { return Ok(false) };
    let is_sound = here.state() != DayState::Bare && here.check()?.is_empty();
    let held: IdSet = runs_of(&here, usize::MAX).unwrap_or_default().into_iter().map(|run| run.ids).collect();
    Ok(is_sound && day.runs.iter().all(|run| held.absent_within(run.ids).next().is_none()))
}

fn other_records(day: &ArchivedDay, error: &StoreError) -> ArchiveError {
    let why = format!(
        "has other records here ({error}): `coltape restore --into OTHER_DIR`, `coltape repair --from OTHER_DIR` and `coltape restore` again put them together"
    );
    ArchiveError::Unfit { what: day.key.to_string(), why }
}

/// Adds dataset-days to a report, product-day by product-day.
fn add_to(report: &mut ArchiveReport, product: &ProductId, days: &[ArchivedDay]) {
    for day in days {
        let archived_bytes = day.rest.bytes + day.data.as_ref().map_or(0, |data| data.bytes);
        let found = report.days.iter_mut().find(|moved| moved.product == *product && moved.date == day.key.date);
        match found {
            Some(moved) => {
                moved.records += day.records;
                moved.bytes += day.bytes();
                moved.archived_bytes += archived_bytes;
                // The verdict is that of the trades.
                if day.key.dataset == Dataset::Trades {
                    moved.verdict = day.verdict;
                }
            }
            None => report.days.push(MovedDay {
                product: product.clone(),
                date: day.key.date,
                verdict: day.verdict,
                records: day.records,
                bytes: day.bytes(),
                archived_bytes,
            }),
        }
    }
}
