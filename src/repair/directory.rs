//! [`repair`]: repairs a data directory, product by product.

use std::path::Path;
use std::sync::Arc;

use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, with_layout};
use crate::store::event::Event;
use crate::store::{DataDir, DayKey, Snapshot, StoreError, StoreOptions, catalog};

use super::config::RepairConfig;
use super::day_index::DayIndex;
use super::day_writer::{DayWriter, WriteError};
use super::endpoint::{check_tape, endpoint_to_be};
use super::error::RepairError;
use super::facts::FactCopy;
use super::fetch::{Fetcher, Unfetched};
use super::journal::RepairJournal;
use super::known::KnownTrades;
use super::plan::{self, ProductPlan, plan};
use super::product_repair::ProductRepair;
use super::report::{DayWork, Report};
use super::{restore, tape};

/// Repairs a data directory.
///
/// # Errors
/// Where the repair cannot begin: there is no such directory, product or tape, the directory is in use, the REST endpoint is none. What fails with one
/// product is in the report.
pub fn repair(config: &RepairConfig) -> Result<Report, RepairError> {
    for tape in &config.from {
        check_tape(config, tape)?;
    }
    let products = products(config)?;
    let mut fetcher = config.rest.as_ref().map(|rest| Fetcher::new(rest, &config.clock)).transpose()?;
    let style = newest_style(config, &products);
    let dir = if config.is_dry { None } else { Some(open(config, style)?) };
    let plan = plan(&config.dir, &config.from, &products)?;
    let mut journal = RepairJournal::dry(&config.clock);
    let mut known = KnownTrades::behind((&config.dir, dir.is_some()), &config.from, &products)?;
    if dir.is_some() {
        FactCopy { dir: &config.dir, tapes: &config.from, only: config.product.as_ref(), plan: &plan }.copy()?;
        known.journal(&config.dir)?;
        journal = RepairJournal::of(&config.dir, &config.clock);
    }
    known.add_journal(&config.dir, &products);
    let tapes: Vec<String> = config.from.iter().map(|tape| tape.display().to_string()).collect();
    journal.write(Event::RepairStarted { from: tapes.join(", "), rest: fetcher.is_some() })?;
    let mut report = Report { is_dry: config.is_dry, products: products.clone(), ..Report::default() };
    for product in &products {
        let mut repair = ProductRepair {
            dir: &config.dir,
            product,
            now: config.clock.now(),
            new_columns: style.columns,
            index: DayIndex::read(&config.dir, product)?,
            writer: dir.as_ref().map(|dir| DayWriter::new(dir, product, &config.clock)),
            journal: &mut journal,
            report: &mut report,
            conflicts: 0,
            restored: Vec::new(),
            known: &known,
            observer: &config.observer,
        };
        let done = match plan.get(product) {
            Some(plan) => repair_product(&mut repair, config, dir.as_ref(), plan, fetcher.as_mut()),
            None => Ok(()),
        };
        if let Err(error) = done {
            report.failures.push(format!("{product}: {error}"));
        }
    }
    // While the directory is held, a day that cannot be opened is tried again for seconds.
    drop(dir);
    report.failures.extend(unreadable_days(&config.dir, &products)?);
    Ok(report)
}

/// Names the days that cannot be opened: their ids may be known, but their records are not there.
fn unreadable_days(dir: &Path, products: &[ProductId]) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for product in products {
        for dataset in Dataset::ALL {
            for date in catalog::days(dir, product, dataset)? {
                let opened = with_layout!(dataset, L => Snapshot::<L>::open(dir, product, date).map(|day| day.is_some()));
                let is_empty = || catalog::must_be_empty(dir, &DayKey { product: product.clone(), dataset, date });
                if let Err(error) = opened.and_then(|is_open| if is_open { Ok(()) } else { is_empty() }) {
                    found.push(format!("{product}: a day of {} cannot be read: {error}", dataset.folder()));
                }
            }
        }
    }
    Ok(found)
}

/// Opens the directory for writing, and makes it where it is to be restored. A new one remembers the endpoint of the other tapes.
fn open(config: &RepairConfig, style: catalog::DayStyle) -> Result<Arc<DataDir>, RepairError> {
    let catalog::DayStyle { columns, date_format } = style;
    let options = StoreOptions { columns, date_format, force_fs: config.force_fs, probe: config.probe.clone(), ..StoreOptions::default() };
    let is_new = !config.dir.is_dir() || catalog::products(&config.dir)?.is_empty();
    let endpoint = if is_new { endpoint_to_be(config)? } else { None };
    Ok(Arc::new(match endpoint {
        Some(endpoint) => DataDir::open(&config.dir, options, &endpoint)?,
        None => DataDir::open_of_any_endpoint(&config.dir, options)?,
    }))
}

fn products(config: &RepairConfig) -> Result<Vec<ProductId>, RepairError> {
    let products = plan::products(&config.dir, &config.from, config.product.as_ref())?;
    match (&config.product, products.is_empty()) {
        (Some(only), true) => Err(RepairError::NoProduct { dir: config.dir.clone(), product: only.clone() }),
        (None, true) => Err(RepairError::NoTape { dir: config.dir.clone() }),
        (_, false) => Ok(products),
    }
}

/// Finds how new days are written: as the newest day of the first product that has one here, else on another tape.
fn newest_style(config: &RepairConfig, products: &[ProductId]) -> catalog::DayStyle {
    let style = |dir: &Path, product| {
        Dataset::ALL.into_iter().rev().find_map(|dataset| catalog::newest_style(dir, product, dataset).ok().flatten())
    };
    let mut dirs = std::iter::once(&config.dir).chain(&config.from);
    dirs.find_map(|dir| products.iter().find_map(|product| style(dir, product))).unwrap_or_default()
}

fn repair_product(
    repair: &mut ProductRepair<'_>,
    config: &RepairConfig,
    dir: Option<&Arc<DataDir>>,
    plan: &ProductPlan,
    fetcher: Option<&mut Fetcher>,
) -> Result<(), WriteError> {
    if let Some(writer) = &mut repair.writer
        && writer.seal_leftovers(repair.journal)? > 0
    {
        // Records that were visible only may not have survived a crash.
        repair.index = DayIndex::read(&config.dir, repair.product)?;
    }
    restore::bring_days(repair, dir, &config.from, plan)?;
    let (mut taken, mut too_coarse) = (IdSet::new(), 0);
    for tape in &config.from {
        let from_this = tape::take_from(repair, tape)?;
        taken.extend(from_this.ids);
        too_coarse += from_this.too_coarse;
    }
    repair.seal_days()?;
    let mut missing = repair.missing()?;
    if config.is_dry {
        missing = missing.difference(&taken);
    }
    let mut unfetched = Unfetched::default();
    let is_over = plan.is_over;
    let asks_rest = fetcher.is_some() && !is_over;
    let fetcher = fetcher.filter(|_| asks_rest);
    if let Some(fetcher) = fetcher.filter(|_| !missing.is_empty() && !config.is_dry) {
        unfetched = fill(repair, fetcher, &missing)?;
        if too_coarse > 0 {
            // Now that the trades are stored, the coarse tapes' order ids can be added to them.
            for tape in &config.from {
                tape::take_from(repair, tape)?;
            }
            repair.seal_days()?;
        }
        missing = repair.missing()?;
    }
    let why_unasked = match (asks_rest, config.is_dry) {
        (true, true) => "REST would be asked",
        (true, false) => "they are missing still",
        (false, _) if is_over => "the product's trade ids have begun anew since, so that REST cannot be asked",
        (false, _) if too_coarse > 0 => "other tapes know them less exactly than this one, and REST is not asked",
        (false, _) if config.from.is_empty() => "neither another tape nor REST is asked",
        (false, _) => "no other tape has them, and REST is not asked",
    };
    repair.report_missing(&missing, |ids| unfetched.why(ids).unwrap_or_else(|| why_unasked.to_owned()));
    journal_sums(repair)
}

/// Fetches missing ids from REST and seals their days.
fn fill(repair: &mut ProductRepair<'_>, fetcher: &mut Fetcher, missing: &IdSet) -> Result<Unfetched, WriteError> {
    let before = repair.quarantined();
    let mut unfetched = fetch(repair, fetcher, missing)?;
    repair.seal_days()?;
    if repair.quarantined() != before && unfetched.failed.is_empty() {
        // A damaged day is empty now: all its ids are missing.
        let missing = repair.missing()?;
        unfetched = fetch(repair, fetcher, &missing)?;
        repair.seal_days()?;
    }
    Ok(unfetched)
}

/// Fetches missing ids from REST. A long repair takes hours: the observer is told of every page.
fn fetch(repair: &mut ProductRepair<'_>, fetcher: &mut Fetcher, missing: &IdSet) -> Result<Unfetched, WriteError> {
    let (product, count) = (repair.product, missing.count());
    log::info!("{product}: {count} ids are missing; REST is asked");
    let (observer, mut answered) = (repair.observer, 0);
    observer.begin(count);
    repair.fetch(fetcher, missing, |fetched| {
        observer
            .advance(fetched.answered.saturating_sub(answered), "ids", || format!("{product}: from REST, up to id {}", fetched.last_id));
        answered = fetched.answered;
    })
}

fn journal_sums(repair: &mut ProductRepair<'_>) -> Result<(), WriteError> {
    let days = &repair.report.days;
    let days: Vec<DayWork> = days.iter().filter(|((product, _), _)| product == repair.product).map(|(_, day)| *day).collect();
    let sum = |of: fn(&DayWork) -> u64| days.iter().map(of).sum::<u64>();
    repair.journal.write(Event::Repaired {
        product: repair.product.clone(),
        from_tapes: sum(|day| day.from_tapes),
        from_rest: sum(|day| day.from_rest),
        completed: sum(|day| day.completed),
        disagreements: repair.conflicts,
        missing: sum(|day| day.missing),
    })?;
    Ok(())
}
