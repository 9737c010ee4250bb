//! [`Plan`]: which days are exported.

use std::collections::BTreeSet;

use super::config::ExportConfig;
use super::error::{ExportError, ExportFailure};
use crate::product::ProductId;
use crate::schema::{Dataset, with_layout};
use crate::store::archived::ArchivedDays;
use crate::store::{DayKey, DayState, Snapshot, StoreError, catalog, holder_of};
use crate::tape::{Tape, TapeError};
use crate::time::UtcDay;

/// A day of a product that is to be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChosenDay {
    /// The day.
    pub date: UtcDay,
    /// The dataset.
    pub dataset: Dataset,
}

/// The days of a product, in order, with their records.
#[derive(Debug)]
pub(super) struct ProductPlan {
    pub product: ProductId,
    pub days: Vec<(ChosenDay, u64)>,
    /// The days that were left out because they still grow, likewise.
    pub growing: Vec<(ChosenDay, u64)>,
    /// Days of receipt of which records may stand in days that cannot be opened: these, and the days after them.
    pub held_back: BTreeSet<UtcDay>,
}

/// What is to be exported.
#[derive(Debug)]
pub(super) struct Plan {
    /// The products that have such days, in order.
    pub products: Vec<ProductPlan>,
    /// Days of a dataset that were left out because they still grow.
    pub live_days: u64,
    /// Days of a dataset that were left out because they are in an archive other than the folder of the data set.
    pub archived_days: u64,
    /// Days that cannot be opened.
    pub failed: Vec<ExportFailure>,
}

impl Plan {
    /// Looks at the days of the tape. A day without a record is left out.
    ///
    /// # Errors
    /// Where the tape cannot be listed, or does not have a product asked for.
    pub(super) fn make(config: &ExportConfig, tape: &Tape, is_by_receipt: bool) -> Result<Self, ExportError> {
        let known = tape.products()?;
        let mut products: Vec<ProductId> = if config.products.is_empty() { known.clone() } else { config.products.clone() };
        products.sort();
        products.dedup();
        let mut plan = Self { products: Vec::new(), live_days: 0, archived_days: 0, failed: Vec::new() };
        for product in products {
            if !known.contains(&product) {
                let dataset = config.datasets.iter().next().unwrap_or(Dataset::Trades);
                return Err(TapeError::NothingStored { path: config.dir.clone(), product, dataset, known, datasets: Vec::new() }.into());
            }
            let mut of_product = ProductPlan { product, days: Vec::new(), growing: Vec::new(), held_back: BTreeSet::new() };
            plan.add_days(config, tape, is_by_receipt, &mut of_product)?;
            if !of_product.days.is_empty() {
                plan.products.push(of_product);
            }
        }
        Ok(plan)
    }

    fn add_days(&mut self, config: &ExportConfig, tape: &Tape, is_by_receipt: bool, to: &mut ProductPlan) -> Result<(), ExportError> {
        let product = &to.product;
        for dataset in config.datasets.iter() {
            self.add_archived(config, product, dataset)?;
            let dates = tape.days(product, dataset)?.into_iter().filter(|date| config.takes_day(product, *date));
            for date in dates.filter(|date| is_by_receipt || config.range.overlaps_day(*date)) {
                match look_at(tape, product, dataset, date) {
                    Ok(None | Some((_, 0))) => {}
                    Ok(Some((DayState::Live, records))) if !config.live => {
                        to.growing.push((ChosenDay { date, dataset }, records));
                        self.live_days += 1;
                    }
                    Ok(Some((_, records))) => to.days.push((ChosenDay { date, dataset }, records)),
                    Err(error) => {
                        to.held_back.extend([date, date.next()]);
                        self.failed.push(ExportFailure { what: format!("{product} {} {date}", dataset.folder()), error: error.into() });
                    }
                }
            }
        }
        to.days.sort();
        to.growing.sort();
        Ok(())
    }
}

impl Plan {
    /// Counts the days that are in another archive than this data set. Where they were asked for by their time, that is a failure.
    fn add_archived(&mut self, config: &ExportConfig, product: &ProductId, dataset: Dataset) -> Result<(), ExportError> {
        let out = config.out.canonicalize().ok();
        let archived = ArchivedDays::read(&config.dir, product)?;
        let away = archived.away(&config.dir, product, dataset)?.into_iter();
        let asked = away.filter(|day| config.range.overlaps_day(day.key.date) && config.takes_day(product, day.key.date));
        for day in asked.filter(|day| out.as_ref() != Some(&day.archive)) {
            self.archived_days += 1;
            if config.range.from.is_some() {
                let what = format!("{product} {} {}", dataset.folder(), day.key.date);
                self.failed.push(ExportFailure { what, error: ExportError::Archived { archive: day.archive.clone() } });
            }
        }
        Ok(())
    }
}

/// Gives the state of a day and its records. Nothing of a day that is only just being made.
fn look_at(tape: &Tape, product: &ProductId, dataset: Dataset, date: UtcDay) -> Result<Option<(DayState, u64)>, StoreError> {
    let found = with_layout!(dataset, L => {
        let day = Snapshot::<L>::open(tape.dir(), product, date)?;
        day.map(|day| (day.state(), day.count() as u64))
    });
    if found.is_none() && holder_of(tape.dir())?.is_none() {
        catalog::must_be_empty(tape.dir(), &DayKey { product: product.clone(), dataset, date })?;
    }
    Ok(found)
}

/// Says why there is nothing to export.
pub(super) fn why_nothing(config: &ExportConfig, live_days: u64, archived_days: u64) -> String {
    if archived_days > 0 {
        return format!("{archived_days} days are archived and not here; `coltape restore` brings them back");
    }
    let names: Vec<&str> = config.datasets.iter().map(Dataset::name).collect();
    match live_days {
        0 if config.range.from.is_some() || config.range.to.is_some() => {
            format!("no day of {} has records in that time", names.join(" or "))
        }
        0 => format!("no day of {} has records", names.join(" or ")),
        1 => "the only day still grows (--live exports it as far as it goes)".to_owned(),
        days => format!("all {days} days still grow (--live exports them as far as they go)"),
    }
}
