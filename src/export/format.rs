//! [`FileFormat`]: what a format has to say to the plan: which files a product's days make, and how one is written.
//!
//! A format knows nothing of threads, of the manifest, of temporary files or of what has changed.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::config::ExportConfig;
use super::error::ExportError;
use super::facts::{Facts, ProductFacts};
use super::fixed::Precision;
use super::manifest::{Entry, FileKey};
use super::output::Output;
use super::plan::{ChosenDay, ProductPlan};
use super::stored_day::StoredDay;
use crate::product::ProductId;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedFile {
    /// What it holds, as the format calls it. With product and day it is the file's name in the manifest.
    pub content: &'static str,
    /// Its day.
    pub date: UtcDay,
    /// The stored days that it is made of. Those that have gone since are left out.
    pub sources: Vec<ChosenDay>,
    /// About how many records it has.
    pub rows: u64,
    /// The decimals of its numbers, where the format fixes them.
    pub precision: Precision,
}

/// What the files of a product are planned from.
pub(super) struct ProductDays<'a> {
    /// What is asked for.
    pub config: &'a ExportConfig,
    /// The days to be exported, in order; every one has records.
    pub plan: &'a ProductPlan,
    /// What is known of the product.
    pub facts: &'a ProductFacts,
    /// The files that are there already.
    pub entries: &'a BTreeMap<FileKey, Entry>,
}

/// A file whose stored days are open.
pub(super) struct OpenFile<'a> {
    /// What is asked for.
    pub config: &'a ExportConfig,
    /// The product.
    pub product: &'a ProductId,
    /// The plan.
    pub planned: &'a PlannedFile,
    /// The part of its day that it holds.
    pub part: TimeRange,
    /// The stored days, in the order of the plan, with the chosen records.
    pub days: Vec<StoredDay>,
    /// What is known of the file's day. Of a file of several datasets what is known of its trades.
    pub facts: Facts,
    /// Threads that may work on it: more than one where there are fewer files than threads.
    pub threads: NonZeroUsize,
}

impl OpenFile<'_> {
    /// Gives what is known of the day, as keys and texts: the metadata of Parquet and Arrow files.
    pub(super) fn metadata(&self) -> Vec<(String, String)> {
        let facts = &self.facts;
        let crc = self.days.first().map(|day| day.content().crcs_json()).unwrap_or_default();
        let texts = [
            ("coltape.verdict", facts.verdict.name().to_owned()),
            ("coltape.ids", facts.ids_json()),
            ("coltape.missing", facts.missing_json()),
            ("coltape.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("coltape.increments", facts.increments_json()),
            ("coltape.source_crc", crc),
        ];
        texts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    /// Records.
    pub rows: u64,
    /// Records without a receive time that took their event time for it, where the format wants one.
    pub untimed: u64,
    /// Records that were received, by the clocks, before they happened, where the format has both times.
    pub early: u64,
    /// Records that the format cannot hold, and that were left out.
    pub unfit: u64,
}

impl Written {
    /// Adds what else was written.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            untimed: self.untimed + other.untimed,
            early: self.early + other.early,
            unfit: self.unfit + other.unfit,
        }
    }
}

/// A format of files.
pub(super) trait FileFormat: Sync {
    /// Tells whether a file holds what was received on its day, not what happened on it. The times asked for are then those of receipt.
    fn is_by_receipt(&self) -> bool {
        false
    }

    /// Plans the files of a product.
    ///
    /// # Errors
    /// Where the plan depends on records that cannot be read.
    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError>;

    /// Says where a file lies below the folder of the data set.
    ///
    /// # Errors
    /// Where the path depends on records that do not fit.
    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError>;

    /// Writes a file. `done` is told of records that are written, for the display of progress.
    ///
    /// # Errors
    /// Where it cannot be written, or a value does not fit the format.
    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError>;
}

/// Plans one file for each dataset-day: what a partitioned data set wants.
pub(super) fn one_file_a_day(product: &ProductDays<'_>) -> Vec<PlannedFile> {
    let file = |(day, rows): &(ChosenDay, u64)| PlannedFile {
        content: day.dataset.name(),
        date: day.date,
        sources: vec![*day],
        rows: *rows,
        precision: Precision::default(),
    };
    product.plan.days.iter().map(file).collect()
}

/// Gives the path of such a file: `dataset=trades/product=BTC-USD/date=2025-06-07/part-0.parquet`.
pub(super) fn partition(file: &OpenFile<'_>, ending: &str) -> PathBuf {
    PathBuf::from(partition_path(file.planned.content, file.product, file.planned.date, ending))
}

/// Gives the path of the file of a dataset-day, below the folder of the data set.
pub(crate) fn partition_path(content: &str, product: &ProductId, date: UtcDay, ending: &str) -> String {
    format!("dataset={content}/product={product}/date={date}/part-0.{ending}")
}
