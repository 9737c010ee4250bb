//! Where a dataset-day lies: [`DayKey`], and the paths of its files.
//!
//! 1. Only checked words become paths: a [`ProductId`], a [`Dataset`]'s folder, a column's name, a date.
//! 2. Both spellings of a date are read; a day that exists keeps its spelling, whatever the options say.
//! 3. Files that are not part of the tape lie below `_coltape`. No product can have that name.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::product::ProductId;
use crate::schema::{Column, ColumnSet, Dataset, columns_of_version_1};
use crate::time::{DateFormat, UtcDay};

/// The folder for what is not part of the tape: lock, journals, quarantine.
pub const OWN_FOLDER: &str = "_coltape";

/// Names one dataset-day.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DayKey {
    /// Whose.
    pub product: ProductId,
    /// Of which dataset.
    pub dataset: Dataset,
    /// Of which day of event time.
    pub date: UtcDay,
}

impl fmt::Display for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.product, self.dataset.folder(), self.date)
    }
}

/// The paths of one dataset-day's files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    folder: PathBuf,
    date: String,
}

impl Place {
    /// Gives the place where the day would lie with dates spelled so.
    pub(crate) fn new(dir: &Path, key: &DayKey, format: DateFormat) -> Self {
        Self { folder: dataset_folder(dir, &key.product, key.dataset), date: key.date.spelled(format) }
    }

    /// Gives the place where the day lies, in whichever spelling; `preferred` where it does not exist.
    pub(crate) fn find(dir: &Path, key: &DayKey, preferred: DateFormat) -> Self {
        let other = match preferred {
            DateFormat::Iso => DateFormat::Dmy,
            DateFormat::Dmy => DateFormat::Iso,
        };
        let (first, second) = (Self::new(dir, key, preferred), Self::new(dir, key, other));
        if !first.page().exists() && second.page().exists() { second } else { first }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn page(&self) -> PathBuf {
        self.file("commit")
    }

    pub(crate) fn late(&self) -> PathBuf {
        self.file("late")
    }

    pub(crate) fn column(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    /// Gives the name under which a column's replacement is written.
    pub(crate) fn replacement(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}.bin.tmp", self.date))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}.bin", self.date))
    }

    /// Lists every file of the day that there is, the page last.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let (plain, new) = (format!(".{}.bin", self.date), format!(".{}.bin.tmp", self.date));
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(&plain) || name.ends_with(&new))
            })
            .collect();
        files.sort();
        let page = self.page();
        files.sort_by_key(|path| *path == page);
        files
    }
}

/// Finds the columns that a folder without a page holds, by their files: a front of the table, with at least the core. If a column is missing in front
/// of others only the core counts.
pub(crate) fn columns_there(place: &Place, table: &'static [Column]) -> Option<(ColumnSet, &'static [Column])> {
    let is_there = |column: &Column| place.column(column.name).exists();
    let count = table.iter().take_while(|column| is_there(column)).count();
    let has_others_behind = table.iter().skip(count).any(is_there);
    // Without a page only the files tell. Fewer extended columns than any version had are what is left of a copy: its exact columns are not to be trusted.
    let is_of_a_version = !has_others_behind && count >= columns_of_version_1(table);
    let all = if is_of_a_version { ColumnSet::Full.front(table, count) } else { None };
    let core = ColumnSet::Core.of(table);
    match all {
        Some(held) if held.len() > core.len() || core.len() == table.len() => Some((ColumnSet::Full, held)),
        _ => (count >= core.len()).then_some((ColumnSet::Core, core)),
    }
}

/// Gives a product's folder for a dataset.
pub(crate) fn dataset_folder(dir: &Path, product: &ProductId, dataset: Dataset) -> PathBuf {
    dir.join(product.as_str()).join(dataset.folder())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_found_in_either_spelling_and_keeps_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = DayKey {
            product: ProductId::new("BTC-USD").expect("a product"),
            dataset: Dataset::Trades,
            date: UtcDay::parse("2025-06-07").expect("a day"),
        };
        let dmy = Place::new(dir.path(), &key, DateFormat::Dmy);
        assert!(dmy.column("trade_id").ends_with("BTC-USD/TRADES/trade_id.07.06.25.bin"));
        assert!(Place::find(dir.path(), &key, DateFormat::Iso).page().ends_with("commit.2025-06-07.bin"));
        std::fs::create_dir_all(dmy.folder()).expect("a folder");
        std::fs::write(dmy.page(), b"").expect("a page");
        std::fs::write(dmy.column("trade_id"), b"").expect("a column");
        std::fs::write(dmy.column("trade_id").with_file_name("trade_id.08.06.25.bin"), b"").expect("another day's");
        assert_eq!(Place::find(dir.path(), &key, DateFormat::Iso).page(), dmy.page());
        assert_eq!(dmy.files(), [dmy.column("trade_id"), dmy.page()]);
    }

    #[test]
    fn the_columns_of_a_bare_folder_are_a_front_of_the_table_or_its_core() {
        let dir = tempfile::tempdir().expect("a folder");
        let held = |dataset: Dataset, is_there: &dyn Fn(usize) -> bool| {
            let key = DayKey { product: ProductId::new("BTC-USD").expect("a product"), dataset, date: UtcDay(20_000) };
            let place = Place::new(dir.path(), &key, DateFormat::Iso);
            std::fs::create_dir_all(place.folder()).expect("a folder");
            for (at, column) in dataset.columns().iter().enumerate() {
                let _ = std::fs::remove_file(place.column(column.name));
                if is_there(at) {
                    std::fs::write(place.column(column.name), b"").expect("a column");
                }
            }
            columns_there(&place, dataset.columns()).map(|(set, columns)| (set, columns.len()))
        };
        let (full, core) = (ColumnSet::Full, ColumnSet::Core);
        let all = Dataset::Trades.columns().len();
        assert_eq!(held(Dataset::Trades, &|_| true), Some((full, all)));
        assert_eq!(held(Dataset::Trades, &|at| at < 12), Some((core, 8)), "no version had so few extended columns: some were lost");
        assert_eq!(held(Dataset::Trades, &|at| at < 8), Some((core, 8)));
        assert_eq!(held(Dataset::Trades, &|at| at != 9), Some((core, 8)), "a column was lost");
        assert_eq!(held(Dataset::Trades, &|at| at != 7), None);
        assert_eq!(held(Dataset::Trades, &|at| at < 7), None);
        assert_eq!(held(Dataset::TickerTrades, &|at| at < 6).map(|(_, columns)| columns), Some(6), "its core is all that version 1 has");
    }
}
