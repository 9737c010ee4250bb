#![doc = include_str!("store/FORMAT.md")]

pub(crate) mod archive_request;
pub(crate) mod archived;
mod boot;
pub(crate) mod catalog;
mod check;
mod checksum;
mod column;
mod commit;
mod day;
mod device;
pub(crate) mod dir_identity;
mod directory;
mod error;
pub(crate) mod event;
mod files;
pub(crate) mod filesystem;
mod flush;
pub mod gaps;
mod growth;
pub(crate) mod import;
pub(crate) mod journal;
mod late;
mod lock;
mod map;
mod mapping_table;
mod merge;
pub(crate) mod own_file;
mod page;
mod place;
#[doc(hidden)]
pub(crate) mod probe;
mod provision;
mod quarantine;
mod reader;
mod recovery;
pub(crate) mod removal;
mod replace;
pub(crate) mod replaced_file;
pub(crate) mod request;
mod restore;
mod salvage;
pub(crate) mod seal;
mod sigbus;
pub(crate) mod space;
pub(crate) mod stop_request;
mod sync;

pub use boot::BootId;
pub(crate) use boot::{MapSpace, map_budget};
pub(crate) use check::CheckedFront;
pub use check::Fault;
pub(crate) use day::Pages;
pub use day::{Day, InsertError, Inserted, Restored};
pub(crate) use directory::endpoint_of;
pub use directory::{DataDir, StoreOptions};
pub use error::StoreError;
pub use files::DayFiles;
pub use gaps::gaps;
pub(crate) use growth::FULL as MAX_DAY_RECORDS;
pub use growth::{FIRST_RECORDS, MAX_LEAD};
pub use lock::holder_of;
pub(crate) use lock::named_holder;
pub use place::{DayKey, OWN_FOLDER};
pub use reader::Snapshot;
#[doc(hidden)]
pub use reader::refresh::ReadCosts;
pub use reader::rows::{Rows, Run};
pub use reader::typed::{ColumnError, ColumnValue};
pub use reader::view::DayState;
pub use recovery::{Opening, Trusted};
pub use seal::Sealed;
pub use sigbus::name_the_column_on_sigbus;
pub(crate) use sigbus::{losses, outlive_lost_pages};
pub(crate) use space::{Space, free_space};
pub use sync::{SyncError, SyncReport, Syncer};

#[cfg(test)]
mod tests {
    use crate::schema::{ColumnSet, Dataset, Kind};

    /// The rows of a dataset's core on the page, as they should be. (The extended columns are documented by the schema itself.)
    fn core_rows(dataset: Dataset) -> String {
        let row = |column: &crate::schema::Column| {
            let kind = match column.kind {
                Kind::U32 => "u32",
                Kind::U64 => "u64",
                Kind::F32 => "f32",
                Kind::F64 => "f64",
                Kind::Uuid => "bytes",
            };
            format!("| `{}` | {} | {kind} | {} |\n", column.name, column.kind.width(), column.doc)
        };
        dataset.columns_of(ColumnSet::Core).iter().map(row).collect()
    }

    #[test]
    fn the_page_of_the_format_has_the_core_columns_of_the_schema() {
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
            assert_eq!(rows, core_rows(dataset), "{}", dataset.folder());
        }
    }
}
