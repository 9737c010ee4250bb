//! The plan of formats whose files are by the day of receipt: which stored days a file is made of.
//!
//! 1. A stored day is looked at whatever times are asked for: any of its records may have been received on any later day. The times asked for choose files,
//!    by their day, and records, by the time of receipt.
//! 2. A file whose own day is left out, as it still grows or cannot be read, is not written; nor is the one after a day that cannot be read.
//! 3. A file that was made of a stored day that is gone now stays as it is.
//! 4. Where all files of a product have the same decimals, those that an earlier export made of a day that still grows are written again when the decimals
//!    rise, with what the day has by then. The decimals never fall below those of a file that stays.

use std::collections::BTreeMap;

use super::error::ExportError;
use super::fixed::Precision;
use super::format::{PlannedFile, ProductDays};
use super::manifest::{Entry, FileKey};
use super::plan::{ChosenDay, ProductPlan};
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
    let surveys = surveys(product, &product.plan.days, false)?;
    Ok(Plan { product, contents, surveys: &surveys, with_growing: false }.files(|date, _| product.config.range.overlaps_day(date)))
}

/// Plans files likewise, all with the decimals that the product's increments and values need. Files that are there already are planned too, whatever times
/// are asked for, as the decimals may be more than they were.
///
/// # Errors
/// As [`files`].
pub(super) fn files_of_one_precision(product: &ProductDays<'_>, contents: &[Content]) -> Result<Vec<PlannedFile>, ExportError> {
    let mut surveys = surveys(product, &product.plan.days, true)?;
    let kept: Vec<Kept> = kept(product).collect();
    let all = surveys.iter().map(|survey| survey.precision).chain(kept.iter().map(|kept| kept.precision));
    let mut precision = all.fold(product.facts.precision(), Precision::max);
    let with_growing = kept.iter().any(|kept| kept.is_of_growing && kept.precision != precision);
    if with_growing {
        surveys.extend(self::surveys(product, &product.plan.growing, true)?);
        surveys.sort_by_key(|survey| survey.day);
        precision = surveys.iter().fold(precision, |most, survey| most.max(survey.precision));
    }
    let plan = Plan { product, contents, surveys: &surveys, with_growing };
    let mut files = plan.files(|date, key| product.config.range.overlaps_day(date) || product.entries.contains_key(key));
    files.iter_mut().for_each(|file| file.precision = precision);
    Ok(files)
}

/// A file that is not written, as a stored day that it is of is left out or gone.
struct Kept {
    precision: Precision,
    /// Whether it can be written from what is there, with the days that still grow.
    is_of_growing: bool,
}

fn kept<'a>(product: &ProductDays<'a>) -> impl Iterator<Item = Kept> + use<'a> {
    let (plan, name) = (product.plan, product.plan.product.to_string());
    let of_product = product.entries.iter().filter(move |(key, _)| key.product == name);
    of_product.filter_map(move |(key, entry)| {
        let (is_held, is_growing) = (plan.held_back.contains(&key.date), plan.growing.iter().any(|(day, _)| day.date == key.date));
        let is_kept = is_held || is_growing || !has_days(plan, entry, false);
        is_kept.then(|| Kept { precision: entry.precision(), is_of_growing: !is_held && has_days(plan, entry, true) })
    })
}

/// Tells whether the stored days that a file was made of are there, those that still grow included or not.
fn has_days(plan: &ProductPlan, entry: &Entry, with_growing: bool) -> bool {
    let growing = plan.growing.iter().filter(|_| with_growing);
    let days = plan.days.iter().chain(growing);
    entry.sources().into_iter().all(|(dataset, date)| days.clone().any(|(day, _)| day.date == date && day.dataset.name() == dataset))
}

/// What a stored day contributes.
struct Survey {
    day: ChosenDay,
    /// How many of its records were received on which day.
    received: BTreeMap<UtcDay, u64>,
    /// The decimals that its values need.
    precision: Precision,
}

fn surveys(product: &ProductDays<'_>, days: &[(ChosenDay, u64)], has_decimals: bool) -> Result<Vec<Survey>, ExportError> {
    let mut surveys = Vec::new();
    for (day, _) in days {
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

/// What files are planned from.
struct Plan<'a> {
    product: &'a ProductDays<'a>,
    contents: &'a [Content],
    surveys: &'a [Survey],
    /// Whether files that are there already are planned of days that still grow.
    with_growing: bool,
}

impl Plan<'_> {
    fn files(&self, is_wanted: impl Fn(UtcDay, &FileKey) -> bool) -> Vec<PlannedFile> {
        let mut files = Vec::new();
        for content in self.contents {
            let mut by_date: BTreeMap<UtcDay, (Vec<ChosenDay>, u64)> = BTreeMap::new();
            for survey in self.surveys.iter().filter(|survey| content.datasets.contains(&survey.day.dataset)) {
                for (date, count) in &survey.received {
                    let (sources, rows) = by_date.entry(*date).or_default();
                    sources.push(survey.day);
                    *rows += count;
                }
            }
            for (date, (sources, rows)) in by_date {
                let key = FileKey { product: self.product.plan.product.to_string(), content: content.name.to_owned(), date };
                if is_wanted(date, &key) && self.can_write(&key) {
                    files.push(PlannedFile { content: content.name, date, sources, rows, precision: Precision::default() });
                }
            }
        }
        files
    }

    /// Tells whether the days that a file needs are there.
    fn can_write(&self, key: &FileKey) -> bool {
        let (plan, entry) = (self.product.plan, self.product.entries.get(key));
        let is_growing = plan.growing.iter().any(|(day, _)| day.date == key.date);
        let is_left_out = plan.held_back.contains(&key.date) || (is_growing && !(self.with_growing && entry.is_some()));
        !is_left_out && entry.is_none_or(|entry| has_days(plan, entry, self.with_growing))
    }
}
