//! What a data directory holds: its products and days, found by the names of its files.
//!
//! 1. A day exists if its commit page does, or its time column: a sealed day needs nothing but its columns.
//! 2. Both spellings of a date are read. A name that is neither a product nor a date is skipped.

use std::collections::BTreeSet;
use std::path::Path;

use super::boot::BootId;
use super::commit::{Hot, PAGE, Phase};
use super::error::{At, StoreError};
use super::late::Payloads;
use super::own_file::{FileStamp, open_plain};
use super::page::Page;
use super::place::{DayKey, Place, columns_there, dataset_folder};
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::time::{DateFormat, UtcDay};

/// Lists the products of a data directory, in order.
///
/// # Errors
/// Where the directory cannot be read.
pub fn products(dir: &Path) -> Result<Vec<ProductId>, StoreError> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).at("list", dir)? {
        let entry = entry.at("list", dir)?;
        let product = entry.file_name().to_str().and_then(|name| ProductId::new(name).ok());
        let holds = |dataset: &Dataset| entry.path().join(dataset.folder()).is_dir();
        found.extend(product.filter(|_| Dataset::ALL.iter().any(holds)));
    }
    Ok(found.into_iter().collect())
}

/// Lists the days of a product's dataset, in order.
///
/// # Errors
/// Where the folder is there and cannot be read.
pub fn days(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<Vec<UtcDay>, StoreError> {
    let folder = dataset_folder(dir, product, dataset);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("list", &folder),
    };
    let time = dataset.columns().iter().map(|column| column.name).find(|name| matches!(*name, "time" | "trade_time"));
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.at("list", &folder)?.file_name();
        let parts = name.to_str().and_then(|name| name.strip_suffix(".bin")?.split_once('.'));
        if let Some((what, date)) = parts
            && (what == "commit" || Some(what) == time)
        {
            found.extend(UtcDay::parse(date).ok());
        }
    }
    Ok(found.into_iter().collect())
}

/// Lists the series of a product that a data directory has, the newest one last: under the product's own name, then `~2` and so on. The first one is there
/// whether or not anything is stored.
///
/// # Errors
/// Where the directory cannot be read.
pub(crate) fn series(dir: &Path, product: &ProductId) -> Result<Vec<ProductId>, StoreError> {
    let mut found = Vec::from_iter(ProductId::new(product.feed_name()).ok());
    for entry in std::fs::read_dir(dir).at("list", dir)? {
        let name = entry.at("list", dir)?.file_name();
        // Most names belong to other products: they are told apart without a look at the disk.
        let later = name.to_str().filter(|name| name.starts_with(product.feed_name())).and_then(|name| ProductId::new(name).ok());
        found.extend(later.filter(|later| later.is_series_of(product) && later.series() > 1));
    }
    found.sort_by_key(ProductId::series);
    Ok(found)
}

/// Looks at the files by which another state of a dataset-day is told from this one: its page, its keys, its late records. Of a day that no longer grows
/// they change when it is replaced, and when late records come.
pub(crate) fn stamps(dir: &Path, key: &DayKey) -> Vec<FileStamp> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let keys = key.dataset.key_column().and_then(|at| key.dataset.columns().get(at)).map(|column| place.column(column.name));
    [place.page(), place.late()].into_iter().chain(keys).map(|path| FileStamp::of(&path)).collect()
}

/// Tells whether a dataset-day has a commit page.
#[must_use]
pub(crate) fn has_day(dir: &Path, key: &DayKey) -> bool {
    Place::find(dir, key, DateFormat::Iso).page().exists()
}

/// Gives the most records that a day can hold by the length of its time column: of a day that grows a few more than it has. 0 where there is none.
pub(crate) fn records_at_most(dir: &Path, product: &ProductId, dataset: Dataset, date: UtcDay) -> u64 {
    let key = DayKey { product: product.clone(), dataset, date };
    let Some(time) = dataset.columns().iter().find(|column| matches!(column.name, "time" | "trade_time")) else { return 0 };
    let lengths = [DateFormat::Iso, DateFormat::Dmy].into_iter().filter_map(|format| {
        let found = std::fs::metadata(Place::new(dir, &key, format).column(time.name)).ok()?;
        Some(found.len() / time.kind.width() as u64)
    });
    lengths.max().unwrap_or(0)
}

/// Gives the key of a dataset's newest record that has one, over all its days: a trade id, or a ticker's sequence.
///
/// # Errors
/// Where a folder or page cannot be read.
pub fn last_key(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<Option<u64>, StoreError> {
    for date in days(dir, product, dataset)?.into_iter().rev() {
        let path = Place::find(dir, &DayKey { product: product.clone(), dataset, date }, DateFormat::Iso).page();
        let Ok(file) = open_plain(&path) else { continue };
        if file.metadata().at("look at", &path)?.len() < PAGE as u64 {
            continue;
        }
        let key = Page::map(&file, false, BootId::read(), &path).at("map", &path)?.last_key();
        if key != 0 {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Makes sure that a day which cannot be opened holds nothing.
///
/// # Errors
/// Where one of its files holds bytes: a reader that skipped the day would say nothing of the records in it.
pub(crate) fn must_be_empty(dir: &Path, key: &DayKey) -> Result<(), StoreError> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let columns = key.dataset.columns().iter().map(|column| place.column(column.name));
    if columns.chain([place.late()]).any(|path| std::fs::metadata(path).is_ok_and(|found| found.len() > 0)) {
        return Err(StoreError::damaged(
            &place.page(),
            "the day holds records and its page cannot be read, or a column is missing; `coltape verify` says more",
        ));
    }
    Ok(())
}

/// Gives the bytes of all files of a dataset-day, as far as they can be looked at.
pub(crate) fn bytes_of(dir: &Path, key: &DayKey) -> u64 {
    let files = Place::find(dir, key, DateFormat::Iso).files();
    files.iter().filter_map(|path| std::fs::metadata(path).ok()).fold(0, |sum, found| sum.saturating_add(found.len()))
}

/// How a day is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayStyle {
    /// Its set of columns.
    pub columns: ColumnSet,
    /// The spelling of its date.
    pub date_format: DateFormat,
}

/// Tells how a product's newest day of a dataset is written. Nothing where no day has its columns.
///
/// # Errors
/// Where the folder cannot be listed.
pub fn newest_style(dir: &Path, product: &ProductId, dataset: Dataset) -> Result<Option<DayStyle>, StoreError> {
    for date in days(dir, product, dataset)?.into_iter().rev() {
        for date_format in [DateFormat::Iso, DateFormat::Dmy] {
            let place = Place::new(dir, &DayKey { product: product.clone(), dataset, date }, date_format);
            if let Some((columns, _)) = columns_there(&place, dataset.columns()) {
                return Ok(Some(DayStyle { columns, date_format }));
            }
        }
    }
    Ok(None)
}

/// Tells whether a day is live, being replaced, or sealed and open for late records.
pub(crate) fn is_unsealed(dir: &Path, key: &DayKey) -> Result<bool, StoreError> {
    let place = Place::find(dir, key, DateFormat::Iso);
    let path = place.page();
    let file = match open_plain(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).at("open", &path),
    };
    if file.metadata().at("look at", &path)?.len() < PAGE as u64 {
        return Ok(true);
    }
    let page = Page::map(&file, false, BootId::read(), &path).at("map", &path)?;
    let (Some(identity), Some(state)) = (page.identity(), page.state()) else { return Ok(true) };
    if state.phase != Phase::Sealed || state.hot == Hot::TakesLate {
        return Ok(true);
    }
    let Ok(table) = identity.columns(key.dataset.columns(), &path) else { return Ok(true) };
    Ok(Payloads::read(&place.late(), table, state.generation, u64::MAX)?.len() > 0)
}
