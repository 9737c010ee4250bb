//! [`repair`]: repairs a data directory, product by product.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::store::event::Event;
use crate::store::{DataDir, StoreOptions, catalog};

use super::config::RepairConfig;
use super::day_index::DayIndex;
use super::day_writer::{DayWriter, WriteError};
use super::endpoint::check_tape;
use super::error::RepairError;
use super::fetch::{Fetcher, Unfetched};
use super::journal::RepairJournal;
use super::product_repair::ProductRepair;
use super::report::{DayWork, Report};
use super::tape;

/// Time between two log lines of a long repair.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Repairs a data directory.
///
/// # Errors
/// Where the repair cannot begin: there is no such directory, product or tape, the directory is in use, the REST endpoint is none. What fails with one
/// product is in the report.
pub fn repair(config: &RepairConfig) -> Result<Report, RepairError> {
    let products = products(config)?;
    for tape in &config.from {
        check_tape(config, tape)?;
    }
    let mut fetcher = config.rest.as_ref().map(|rest| Fetcher::new(rest, &config.clock)).transpose()?;
    let catalog::DayStyle { columns, date_format } = newest_style(&config.dir, &products);
    let (dir, mut journal) = if config.is_dry {
        (None, RepairJournal::dry(&config.clock))
    } else {
        let options =
            StoreOptions { columns, date_format, force_fs: config.force_fs, probe: config.probe.clone(), ..StoreOptions::default() };
        (Some(Arc::new(DataDir::open_of_any_endpoint(&config.dir, options)?)), RepairJournal::of(&config.dir, &config.clock))
    };
    let tapes: Vec<String> = config.from.iter().map(|tape| tape.display().to_string()).collect();
    journal.write(Event::RepairStarted { from: tapes.join(", "), rest: fetcher.is_some() })?;
    let mut report = Report { is_dry: config.is_dry, products: products.clone(), ..Report::default() };
    for product in &products {
        let mut repair = ProductRepair {
            dir: &config.dir,
            product,
            now: config.clock.now(),
            new_columns: columns,
            index: DayIndex::read(&config.dir, product)?,
            writer: dir.as_ref().map(|dir| DayWriter::new(dir, product, &config.clock)),
            journal: &mut journal,
            report: &mut report,
            conflicts: 0,
        };
        if let Err(error) = repair_product(&mut repair, config, fetcher.as_mut()) {
            report.failures.push(format!("{product}: {error}"));
        }
    }
    Ok(report)
}

fn products(config: &RepairConfig) -> Result<Vec<ProductId>, RepairError> {
    let mut products = catalog::products(&config.dir)?;
    if let Some(only) = &config.product {
        products.retain(|product| product == only);
        if products.is_empty() {
            return Err(RepairError::NoProduct { dir: config.dir.clone(), product: only.clone() });
        }
    }
    Ok(products)
}

/// Finds how new days are written: as the newest day of the first product that has one.
fn newest_style(dir: &Path, products: &[ProductId]) -> catalog::DayStyle {
    let found = products.iter().find_map(|product| catalog::newest_style(dir, product, Dataset::Trades).ok().flatten());
    found.unwrap_or_default()
}

fn repair_product(repair: &mut ProductRepair<'_>, config: &RepairConfig, fetcher: Option<&mut Fetcher>) -> Result<(), WriteError> {
    if let Some(writer) = &mut repair.writer
        && writer.seal_leftovers(repair.journal)? > 0
    {
        // Records that were visible only may not have survived a crash.
        repair.index = DayIndex::read(&config.dir, repair.product)?;
    }
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
    // The exchange's ids mean other trades since a later series began.
    let is_over = catalog::series(&config.dir, repair.product)?.last().is_some_and(|newest| newest != repair.product);
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

/// Fetches missing ids from REST, and logs now and then how far it is: a long repair takes hours.
fn fetch(repair: &mut ProductRepair<'_>, fetcher: &mut Fetcher, missing: &IdSet) -> Result<Unfetched, WriteError> {
    let (product, count) = (repair.product, missing.count());
    log::info!("{product}: {count} ids are missing; REST is asked");
    let last = missing.iter().last().map_or(0, IdRange::last);
    let mut logged = Instant::now();
    repair.fetch(fetcher, missing, |fetched| {
        if logged.elapsed() >= LOG_INTERVAL {
            logged = Instant::now();
            log::info!("{product}: REST has been asked up to id {} of {last}", fetched.last_id);
        }
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
