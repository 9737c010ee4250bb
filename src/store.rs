#![doc = include_str!("store/FORMAT.md")]

pub mod catalog;
mod check;
mod column;
mod commit;
mod day;
mod directory;
mod error;
pub mod event;
mod files;
pub mod filesystem;
pub mod gaps;
pub mod holes;
pub mod journal;
mod late;
mod lock;
mod map;
mod merge;
mod page;
mod place;
#[doc(hidden)]
pub mod probe;
mod provision;
mod reader;
mod recovery;
mod replace;
pub mod request;
mod rescue;
pub mod seal;
mod sync;

pub use check::Fault;
pub use column::MAX_RECORDS;
pub use day::{Day, InsertError, Inserted, Pages};
pub use directory::{DataDir, FIRST_RECORDS, StoreOptions, endpoint_of};
pub use error::{Remedy, StoreError};
pub use files::DayFiles;
pub use filesystem::{BootId, MapBudget, Space, map_budget};
pub use gaps::{StoredIds, gaps};
pub use holes::{Hole, Holes, holes};
pub use lock::holder_of;
pub use map::name_the_column_on_sigbus;
pub use place::{DayKey, OWN_FOLDER};
pub use provision::MAX_LEAD;
pub use reader::{DayState, Snapshot};
pub use recovery::{Opening, Trusted};
pub use seal::Sealed;
pub use sync::{SyncError, SyncReport, Syncer};

#[cfg(test)]
mod tests {
    use crate::schema::{ColumnSet, Dataset, Kind};

    /// The rows of a dataset's table on the page, as they should be.
    fn table(dataset: Dataset) -> String {
        let row = |column: &crate::schema::Column| {
            let kind = match column.kind {
                Kind::U32 => "u32",
                Kind::U64 => "u64",
                Kind::F32 => "f32",
                Kind::F64 => "f64",
                Kind::Uuid => "bytes",
            };
            let set = if column.set == ColumnSet::Core { "core" } else { "extended" };
            format!("| `{}` | {} | {kind} | {set} | {} |\n", column.name, column.kind.width(), column.doc)
        };
        dataset.columns().iter().map(row).collect()
    }

    #[test]
    fn the_page_of_the_format_has_the_columns_of_the_schema() {
        let page = include_str!("store/FORMAT.md");
        for dataset in Dataset::ALL {
            let (_, section) = page.split_once(&format!("## `{}`\n", dataset.folder())).expect("a section");
            let rows: String = section
                .lines()
                .skip_while(|line| !line.starts_with("|---"))
                .skip(1)
                .take_while(|line| line.starts_with('|'))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(rows, table(dataset), "{}", dataset.folder());
        }
    }
}
