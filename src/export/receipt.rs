//! The plan of formats whose files are by the day of receipt: which stored days a file is made of.
//!
//! 1. A stored day is looked at whatever times are asked for: any of its records may have been received on any later day. The times asked for choose files,
//!    by their day, and records, by the time of receipt.
//! 2. A file whose own day is left out, as it still grows or cannot be read, is not written; nor is the one after a day that cannot be read.
//! 3. A file that was made of a stored day that is gone now stays as it is.

use std::collections::BTreeMap;

use super::error::ExportError;
use super::fixed::Precision;
use super::format::{ChosenDay, PlannedFile, ProductDays};
use super::manifest::FileKey;
use super::received::{BLOCK_ROWS, Received, ReceivedQuote, ReceivedTrade, local_times};
use super::stored_day::StoredDay;
use crate::schema::Dataset;
use crate::store::DayKey;
use crate::time::UtcDay;

/// What a file of a format holds.
pub(super) struct Content {
    /// As the format calls it.
    pub name: &'static str,
    /// The records of which datasets.
    pub datasets: &'static [Dataset],
}

/// Plans one file for each day of receipt and content.
///
/// # Errors
/// Where a stored day cannot be read.
pub(super) fn files(product: &ProductDays<'_>, contents: &[Content]) -> Result<Vec<PlannedFile>, ExportError> {
    let surveys = surveys(product, false)?;
    Ok(planned(product, contents, &surveys, |date, _| product.config.range.overlaps_day(date)))
}

/// Plans files likewise, all with the decimals that the product's increments and values need. Files that are there already are planned too, whatever times
/// are asked for, as the decimals may be more than they were.
///
/// # Errors
/// As [`files`].
pub(super) fn files_of_one_precision(product: &ProductDays<'_>, contents: &[Content]) -> Result<Vec<PlannedFile>, ExportError> {
    let surveys = surveys(product, true)?;
    let precision = surveys.iter().fold(product.facts.precision(), |most, survey| most.max(survey.precision));
    let mut files =
        planned(product, contents, &surveys, |date, key| product.config.range.overlaps_day(date) || product.entries.contains_key(key));
    files.iter_mut().for_each(|file| file.precision = precision);
    Ok(files)
}

/// What a stored day contributes.
struct Survey {
    day: ChosenDay,
    /// How many of its records were received on which day.
    received: BTreeMap<UtcDay, u64>,
    /// The decimals that its values need.
    precision: Precision,
}

fn surveys(product: &ProductDays<'_>, has_decimals: bool) -> Result<Vec<Survey>, ExportError> {
    let mut surveys = Vec::new();
    for (day, _) in &product.plan.days {
        let key = DayKey { product: product.plan.product.clone(), dataset: day.dataset, date: day.date };
        if let Some(stored) = StoredDay::open_unchecked(&product.config.dir, &key)? {
            surveys.push(survey(*day, &stored, has_decimals));
        }
    }
    Ok(surveys)
}

fn survey(day: ChosenDay, stored: &StoredDay, has_decimals: bool) -> Survey {
    let mut survey = Survey { day, received: BTreeMap::new(), precision: Precision::default() };
    for block in stored.blocks(BLOCK_ROWS) {
        // Records of one day of receipt follow each other.
        let mut run: Option<(UtcDay, u64)> = None;
        for (local, _, _) in local_times(&block) {
            run = match run {
                Some((date, count)) if date == local.day() => Some((date, count + 1)),
                ended => {
                    survey.add(ended);
                    Some((local.day(), 1))
                }
            };
        }
        survey.add(run);
        let precision = &mut survey.precision;
        match day.dataset {
            Dataset::Trades if has_decimals => ReceivedTrade::read(&block, |trade| {
                precision.see_prices([trade.price]);
                precision.see_sizes([trade.size]);
            }),
            Dataset::Md if has_decimals => ReceivedQuote::read(&block, |quote| {
                precision.see_prices([quote.bid, quote.ask]);
                precision.see_sizes([quote.bid_size, quote.ask_size]);
            }),
            _ => {}
        }
    }
    survey
}

impl Survey {
    fn add(&mut self, run: Option<(UtcDay, u64)>) {
        if let Some((date, count)) = run {
            *self.received.entry(date).or_default() += count;
        }
    }
}

fn planned(
    product: &ProductDays<'_>,
    contents: &[Content],
    surveys: &[Survey],
    is_wanted: impl Fn(UtcDay, &FileKey) -> bool,
) -> Vec<PlannedFile> {
    let mut files = Vec::new();
    for content in contents {
        let mut by_date: BTreeMap<UtcDay, (Vec<ChosenDay>, u64)> = BTreeMap::new();
        for survey in surveys.iter().filter(|survey| content.datasets.contains(&survey.day.dataset)) {
            for (date, count) in &survey.received {
                let (sources, rows) = by_date.entry(*date).or_default();
                sources.push(survey.day);
                *rows += count;
            }
        }
        for (date, (sources, rows)) in by_date {
            let key = FileKey { product: product.plan.product.to_string(), content: content.name.to_owned(), date };
            let is_held = product.plan.held_back.contains(&date);
            if !is_held && is_wanted(date, &key) && has_all_sources(product, &key) {
                files.push(PlannedFile { content: content.name, date, sources, rows, precision: Precision::default() });
            }
        }
    }
    files
}

/// Tells whether the stored days that a file was made of are still there.
fn has_all_sources(product: &ProductDays<'_>, key: &FileKey) -> bool {
    let Some(entry) = product.entries.get(key) else { return true };
    let is_there =
        |(dataset, date): (String, UtcDay)| product.plan.days.iter().any(|(day, _)| day.date == date && day.dataset.name() == dataset);
    entry.sources().into_iter().all(is_there)
}
