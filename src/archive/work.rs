//! The steps of `archive`: finish what an earlier run has left, look at every product, choose, and move the chosen days, some at a time.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::choice::{Candidate, Choice, Disk, choose};
use super::config::ArchiveConfig;
use super::error::{ArchiveError, At};
use super::files::{self, ArchiveLock};
use super::holder::Holder;
use super::packing::{Packing, archived_elsewhere, pack};
use super::report::{ArchiveReport, MovedDay, Shortfall};
use crate::export::{ExportConfig, ExportError, check_parquet_folder, export, partition_path};
use crate::product::ProductId;
use crate::schema::{Dataset, Datasets, with_layout};
use crate::store::archive_request::Act;
use crate::store::archived::{self, ArchivedDay, ArchivedDays, RecordLock};
use crate::store::event::Event;
use crate::store::probe::Step;
use crate::store::removal::{self, Remains};
use crate::store::{DayKey, Snapshot, catalog, seal, space};
use crate::tape::Tape;
use crate::time::UtcDay;
use crate::verify::{ProductVerifier, VerifyConfig};

/// Product-days that are exported, proven and removed together. Until they are removed they take room in both places.
const BATCH_DAYS: usize = 16;

/// Does the work. See [`crate::archive`].
///
/// # Errors
/// As [`super::archive`].
pub(super) fn archive(config: &ArchiveConfig) -> Result<ArchiveReport, ArchiveError> {
    let tape = Tape::open(&config.dir)?;
    let mut report = ArchiveReport { is_dry: !config.apply, to: config.out.clone(), ..ArchiveReport::default() };
    let products = products(config, &tape)?;
    check_parquet_folder(&config.out, &config.dir)?;
    check_mounted(config, &products)?;
    let _lock = if config.apply { Some(RecordLock::take(&config.dir)?) } else { None };
    if config.apply {
        files::make_with_those_above(&config.out)?;
    }
    let dir = config.dir.canonicalize().at("look at", &config.dir)?;
    let mut work = Work { config, dir: &dir, holder: Holder::new(&dir, true, config.probe.clone(), config.answer_wait, config.now) };
    for product in &products {
        work.finish_earlier(product, &mut report)?;
    }
    if config.apply && !config.dates.is_empty() {
        work.seal_named(&products, &mut report)?;
    }
    let free = if config.apply {
        work.move_chosen(&products, &mut report)?
    } else {
        let choice = work.choose(&products)?;
        report.days.extend(choice.days.values().flatten().map(|day| moved(day, 0)));
        report.left = choice.left;
        choice.free
    };
    report.shortfall = Shortfall::between(config.keep_free, free);
    Ok(report)
}

/// Asks how many bytes are free on the disk of the data directory.
fn free_of(dir: &Path) -> Result<u64, ArchiveError> {
    Ok(space::free_space(dir).at("ask for the room of", dir)?.free)
}

/// Lists the products asked for.
fn products(config: &ArchiveConfig, tape: &Tape) -> Result<Vec<ProductId>, ArchiveError> {
    let mut known: BTreeSet<ProductId> = tape.products()?.into_iter().collect();
    known.extend(archived::products(&config.dir));
    if let Some(product) = config.products.iter().find(|product| !known.contains(product)) {
        return Err(ArchiveError::NoProduct { path: config.dir.clone(), product: product.clone() });
    }
    known.retain(|product| config.products.is_empty() || config.products.contains(product));
    Ok(known.into_iter().collect())
}

/// Makes sure that the folder holds something of what was archived there. Where its disk is not mounted, days would move to the disk below.
fn check_mounted(config: &ArchiveConfig, products: &[ProductId]) -> Result<(), ArchiveError> {
    let Ok(out) = std::path::absolute(&config.out) else { return Ok(()) };
    let out = out.canonicalize().unwrap_or(out);
    let mut days = 0;
    for product in products {
        for day in ArchivedDays::read(&config.dir, product)?.days.values().filter(|day| day.archive == out) {
            if out.join(&day.rest.name).exists() {
                return Ok(());
            }
            days += 1;
        }
    }
    if days == 0 { Ok(()) } else { Err(ArchiveError::ArchiveGone { path: out, days }) }
}

/// Removes the exported files of a day that is here: one of them does not say what is stored.
fn forget_export(archive: &Path, candidate: &Candidate) {
    for kept in candidate.here() {
        let name = partition_path(kept.dataset.name(), &candidate.day.product, candidate.day.date, "parquet");
        let _ = std::fs::remove_file(archive.join(name));
    }
}

/// Gives the device that a path lies on, or will lie on.
fn device_of(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|above| std::fs::metadata(above).ok()).map(|found| found.dev())
}

/// Says why a day cannot be sealed as it is.
fn why_unsound(dir: &Path, key: &DayKey) -> Option<String> {
    let faults = with_layout!(key.dataset, L => Snapshot::<L>::open(dir, &key.product, key.date).and_then(|day| day.map(|day| day.check()).transpose()));
    match faults {
        Ok(Some(faults)) => faults.first().map(|fault| format!("{}: {}", fault.path.display(), fault.what)),
        Ok(None) => Some("its commit page is torn".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn moved(day: &Candidate, archived_bytes: u64) -> MovedDay {
    let (product, date, verdict) = (day.day.product.clone(), day.day.date, day.day.coverage.verdict);
    MovedDay { product, date, verdict, records: day.records(), bytes: day.bytes, archived_bytes }
}

struct Work<'a> {
    config: &'a ArchiveConfig,
    /// The data directory, by its full path.
    dir: &'a Path,
    holder: Holder<'a>,
}

impl Work<'_> {
    fn step(&self, what: &'static str) {
        if let Some(probe) = &self.config.probe {
            probe.see(Step::Changed(what));
        }
    }

    /// Removes what is here still of days that are archived.
    fn finish_earlier(&mut self, product: &ProductId, report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let archived = ArchivedDays::read(self.dir, product)?;
        report.failures.extend(archived.faults.iter().map(|fault| format!("{product}: {fault}")));
        let mut left = Vec::new();
        for day in archived.days.values().filter(|day| removal::is_any_here(self.dir, day)) {
            match removal::remains(self.dir, day) {
                Ok(Remains::Nothing) => {}
                Ok(Remains::Some | Remains::All) => match day.fault_in(&day.archive)? {
                    None => left.push(day.clone()),
                    Some(fault) => report.failures.push(format!("{}: it stays here: {fault}", day.key)),
                },
                Err(error) => report.failures.push(format!(
                    "{}: it is archived, and other records of it are here ({error}); `coltape restore --into OTHER_DIR`, `coltape repair --from \
                     OTHER_DIR` and `coltape restore` again put them together",
                    day.key
                )),
            }
        }
        if self.config.apply && !left.is_empty() {
            let outcome = self.holder.act(Act::Remove, product, &left)?;
            report.failures.extend(outcome.failed);
            report.finished += outcome.done.len() as u64;
        } else {
            report.finished += left.len() as u64;
        }
        Ok(())
    }

    /// Seals the days that are named and not sealed, where no capture holds the directory.
    fn seal_named(&mut self, products: &[ProductId], report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let mut unsealed: Vec<DayKey> = Vec::new();
        for product in products {
            unsealed.extend(seal::unsealed(self.dir, product)?.into_iter().filter(|key| self.config.dates.contains(&key.date)));
        }
        if unsealed.is_empty() {
            return Ok(());
        }
        let Some((dir, mut journal)) = self.holder.hold()? else {
            let text = |key: &DayKey| format!("{key}: it is not sealed, and a capture holds the directory");
            report.failures.extend(unsealed.iter().map(text));
            return Ok(());
        };
        for key in unsealed {
            // A day that cannot be recovered would move to quarantine.
            if let Some(why) = why_unsound(self.dir, &key) {
                report.failures.push(format!("{key}: it cannot be sealed: {why}"));
                continue;
            }
            match seal::seal_at_rest(&dir, &key) {
                Ok(sealed) => journal.append(
                    self.config.now,
                    &Event::DaySealed {
                        day: key,
                        records: sealed.records,
                        late_merged: u64::from(sealed.merged),
                        generation: u64::from(sealed.generation),
                    },
                )?,
                Err(error) => report.failures.push(format!("{key}: it cannot be sealed: {error}")),
            }
        }
        Ok(journal.finish()?)
    }

    /// Verifies the products and chooses the days.
    fn choose(&self, products: &[ProductId]) -> Result<Choice, ArchiveError> {
        let mut verify = VerifyConfig::new(self.dir, self.config.now);
        verify.checks_archives = false;
        let mut records = 0;
        for product in products {
            verify.product = Some(product.clone());
            records += ProductVerifier::records(&verify)?;
        }
        verify.observer = self.config.observer.clone();
        self.config.observer.begin(records);
        let verifier = ProductVerifier::read(self.dir);
        let mut candidates = Vec::new();
        for product in products {
            verify.product = Some(product.clone());
            for day in verifier.verify(&verify, product)?.days {
                let mut candidate = Candidate { day, bytes: 0, unsealed: Vec::new() };
                let keys: Vec<DayKey> = candidate.here().map(|kept| self.key(product, kept.dataset, candidate.day.date)).collect();
                if keys.is_empty() {
                    continue;
                }
                for key in keys {
                    candidate.bytes += self.bytes_of(&key);
                    if catalog::is_unsealed(self.dir, &key)? {
                        candidate.unsealed.push(key);
                    }
                }
                candidates.push(candidate);
            }
        }
        let free = free_of(self.dir)?;
        let holds_archive = device_of(self.dir).is_some_and(|device| device_of(&self.config.out) == Some(device));
        Ok(choose(self.config, candidates, Disk { free, holds_archive }))
    }

    fn key(&self, product: &ProductId, dataset: Dataset, date: UtcDay) -> DayKey {
        DayKey { product: product.clone(), dataset, date }
    }

    fn bytes_of(&self, key: &DayKey) -> u64 {
        catalog::bytes_of(self.dir, key)
    }

    /// Chooses days and moves them. Gives the bytes that are free then.
    fn move_chosen(&mut self, products: &[ProductId], report: &mut ArchiveReport) -> Result<u64, ArchiveError> {
        loop {
            let (days, failures) = (report.days.len(), report.failures.len());
            let choice = self.choose(products)?;
            self.move_all(&choice, report);
            report.left = choice.left;
            let free = free_of(self.dir)?;
            // How much a day frees is an estimate: where it was too high, more of them go.
            let is_short = choice.has_more && self.config.keep_free.is_some_and(|wanted| free < wanted);
            if !is_short || report.days.len() == days || report.failures.len() > failures {
                return Ok(free);
            }
        }
    }

    /// Moves the chosen days.
    fn move_all(&mut self, choice: &Choice, report: &mut ArchiveReport) {
        let batches = choice.days.iter().flat_map(|(product, days)| days.chunks(BATCH_DAYS).map(move |batch| (product, batch)));
        for (product, batch) in batches {
            if let Err(error) = self.move_days(product, batch, report) {
                report.failures.push(format!("{product}: {error}"));
                if error.ends_all() {
                    return;
                }
            }
        }
    }

    /// Moves some days of a product.
    fn move_days(&mut self, product: &ProductId, days: &[Candidate], report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let days = self.without_kept(product, days, report)?;
        if days.is_empty() {
            return Ok(());
        }
        self.step("days chosen");
        self.export(product, &days, report)?;
        self.step("days exported");
        let archive = self.config.out.canonicalize().at("look at", &self.config.out)?;
        let _lock = ArchiveLock::take(&archive)?;
        // Another directory may have archived the same days here before the lock was taken. Its files are not to be touched.
        let days = self.without_kept(product, days, report)?;
        let packing = Packing { dir: self.dir, archive: &archive, now: self.config.now };
        let mut packed: Vec<(&Candidate, Vec<ArchivedDay>)> = Vec::new();
        for candidate in days {
            let all: Result<Vec<ArchivedDay>, ArchiveError> = candidate.here().map(|kept| pack(&packing, &candidate.day, kept)).collect();
            match all {
                Ok(all) => packed.push((candidate, all)),
                Err(error) if error.ends_all() => return Err(error),
                Err(error) => {
                    report.failures.push(error.to_string());
                    // The day is here. The next run exports it anew.
                    if matches!(error, ArchiveError::Differs { .. } | ArchiveError::Parquet { .. }) {
                        forget_export(&archive, candidate);
                    }
                }
            }
            self.step("day packed");
        }
        if packed.is_empty() {
            return Ok(());
        }
        let mut record = ArchivedDays::read(self.dir, product)?;
        let lines = packed.iter().flat_map(|(_, days)| days);
        record.days.extend(lines.clone().map(|day| ((day.key.dataset, day.key.date), day.clone())));
        record.write(self.dir, product)?;
        self.step("record written");
        let lines: Vec<ArchivedDay> = lines.cloned().collect();
        let outcome = self.holder.act(Act::Remove, product, &lines)?;
        let done: BTreeSet<&DayKey> = outcome.done.iter().filter_map(|place| lines.get(*place)).map(|day| &day.key).collect();
        report.failures.extend(outcome.failed);
        for (candidate, days) in &packed {
            if days.iter().all(|day| done.contains(&day.key)) {
                let in_archive = |day: &ArchivedDay| day.rest.bytes + day.data.as_ref().map_or(0, |data| data.bytes);
                report.days.push(moved(candidate, days.iter().map(in_archive).sum()));
            }
        }
        Ok(())
    }

    /// Leaves out the days of which the archive holds other files: nothing else may be left of those.
    fn without_kept<'d>(
        &self,
        product: &ProductId,
        days: impl IntoIterator<Item = &'d Candidate>,
        report: &mut ArchiveReport,
    ) -> Result<Vec<&'d Candidate>, ArchiveError> {
        let record = ArchivedDays::read(self.dir, product)?;
        let mut free = Vec::new();
        for candidate in days {
            let mut is_kept = false;
            for kept in candidate.here() {
                let key = self.key(product, kept.dataset, candidate.day.date);
                // It was said already that other records are here of a day that is archived.
                if record.get(key.dataset, key.date).is_some() {
                    is_kept = true;
                    continue;
                }
                match archived_elsewhere(&self.config.out, &key) {
                    Ok(Some(day)) if !day.is_of(self.dir) => {
                        let (out, dir) = (self.config.out.display(), day.dir.display());
                        report
                            .failures
                            .push(format!("{key}: {out} holds that day of another directory, then at {dir}: name another folder"));
                        is_kept = true;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        report.failures.push(format!("{key}: {error}"));
                        is_kept = true;
                    }
                }
            }
            if !is_kept {
                free.push(candidate);
            }
        }
        Ok(free)
    }

    /// Exports days to the archive.
    fn export(&self, product: &ProductId, days: &[&Candidate], report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let config = self.config;
        let mut export_config = ExportConfig::new(self.dir, &config.out, config.now);
        export_config.products = vec![product.clone()];
        export_config.datasets = Datasets::of(&Dataset::ALL);
        (export_config.types, export_config.encoding, export_config.compression) = (config.types, config.encoding, config.compression);
        (export_config.bloom, export_config.jobs) = (config.bloom, config.jobs);
        export_config.observer = config.observer.clone();
        export_config.only = Some(days.iter().map(|candidate| (product.clone(), candidate.day.date)).collect());
        match export(&export_config) {
            Ok(exported) => {
                report.failures.extend(exported.failed.iter().map(|failure| format!("{}: {}", failure.what, failure.error)));
                Ok(())
            }
            // Days without a record have no file in the data set.
            Err(ExportError::Nothing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
