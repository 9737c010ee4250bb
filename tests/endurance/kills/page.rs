//! Commit pages and column files, read by the format alone, without the program's reader. They show what each day was doing when the kill came.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coltape::internals::product::ProductId;
use coltape::internals::schema::Dataset;
use coltape::internals::time::UtcDay;

pub(crate) const LIVE: u32 = 1;
pub(crate) const SEALED: u32 = 2;
pub(crate) const REPLACING: u32 = 3;

/// The contents of a commit page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) committed: u64,
    pub(crate) phase: u32,
    /// Whether a writer of some boot vouches for `committed`. While a day is opened again none does.
    pub(crate) is_vouched_for: bool,
}

fn path(data: &Path, product: &ProductId, dataset: Dataset, file: &str, date: UtcDay) -> PathBuf {
    data.join(product.as_str()).join(dataset.folder()).join(format!("{file}.{date}.bin"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Reads the page of a day; `None` where there is none yet.
pub(crate) fn read(data: &Path, product: &ProductId, dataset: Dataset, date: UtcDay) -> Option<Page> {
    let bytes = std::fs::read(path(data, product, dataset, "commit", date)).ok().filter(|bytes| bytes.len() == 4096)?;
    let is_whole = |sector: usize| crc32c::crc32c(&bytes[sector * 512..sector * 512 + 508]) == u32_at(&bytes, sector * 512 + 508);
    let state = [4, 5].into_iter().find(|sector| is_whole(*sector))?;
    let is_vouched_for = u64_at(&bytes, 560) | u64_at(&bytes, 568) != 0;
    Some(Page { committed: u64_at(&bytes, 512), phase: u32_at(&bytes, state * 512), is_vouched_for })
}

/// The states of the days that a kill left in a data directory, as counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayStates {
    /// Dataset-days by phase.
    pub(crate) live: u32,
    pub(crate) sealed: u32,
    /// Dataset-days whose replacement is announced.
    pub(crate) replacing: u32,
    /// New files of replacements, with their temporary names.
    pub(crate) new_files: u32,
    /// Live dataset-days whose columns have already been cut to their records.
    pub(crate) cut: u32,
    /// Live dataset-days of the first date after the second has begun.
    pub(crate) left_over: u32,
    /// Dataset-days of the newest date that are sealed.
    pub(crate) sealed_newest: u32,
}

/// Counts the dataset-days of these products and dates.
pub(crate) fn day_states(data: &Path, products: &[ProductId], dates: [UtcDay; 2]) -> DayStates {
    let mut states = DayStates::default();
    let mut first_live = 0;
    let mut has_second = false;
    for product in products {
        for dataset in Dataset::ALL {
            for (at, date) in dates.into_iter().enumerate() {
                let table = dataset.columns();
                let new = |name: &str| path(data, product, dataset, name, date).with_extension("bin.tmp").exists();
                states.new_files += table.iter().map(|column| u32::from(new(column.name))).sum::<u32>();
                let Some(page) = read(data, product, dataset, date) else { continue };
                has_second |= at == 1;
                states.live += u32::from(page.phase == LIVE);
                states.sealed += u32::from(page.phase == SEALED);
                states.replacing += u32::from(page.phase == REPLACING);
                states.sealed_newest += u32::from(page.phase == SEALED && at == 1);
                first_live += u32::from(page.phase == LIVE && at == 0);
                states.cut += u32::from(page.phase == LIVE && is_cut(data, product, dataset, date, &page));
            }
        }
    }
    states.left_over = if has_second { first_live } else { 0 };
    states
}

/// Lists the new files of replacements, the first of each, with the time of the last change. Another attempt makes another file.
pub(crate) fn new_files(data: &Path, products: &[ProductId], dates: [UtcDay; 2]) -> Vec<(PathBuf, Option<SystemTime>)> {
    let new = |product, date| path(data, product, Dataset::Trades, "trade_id", date).with_extension("bin.tmp");
    let all = products.iter().flat_map(|product| dates.map(|date| new(product, date)));
    all.filter_map(|path| std::fs::metadata(&path).ok().map(|found| (path, found.modified().ok()))).collect()
}

/// Tells whether the first column of a day has been cut to its records. That of a live day is always longer.
fn is_cut(data: &Path, product: &ProductId, dataset: Dataset, date: UtcDay, page: &Page) -> bool {
    let column = &dataset.columns()[0];
    let length = std::fs::metadata(path(data, product, dataset, column.name, date)).map_or(0, |found| found.len());
    length > 0 && length == page.committed * column.kind.width() as u64
}

/// Tells whether a day is being sealed or is sealed already.
pub(crate) fn is_sealing(data: &Path, products: &[ProductId], date: UtcDay) -> bool {
    let is_closed = |product, dataset| {
        let page = read(data, product, dataset, date);
        page.is_some_and(|page| page.phase != LIVE || is_cut(data, product, dataset, date, &page))
    };
    products.iter().any(|product| Dataset::ALL.into_iter().any(|dataset| is_closed(product, dataset)))
}
