//! `coltape export`: writes the records of days as files that other programs read, and keeps them up to date.
//!
//! ```text
//!   tape ──▶ plan: which days, which files ──▶ workers: open, compare, write a temporary file ──▶ folder: batches of renames, manifest
//!               verify ──▶ facts: verdict, ids, missing ids ─┘          ▲ format: Parquet, Arrow, CSV …
//! ```
//!
//! 1. A file is written where its records, what is known of its day, or the options have changed. Any other file is not touched.
//! 2. At every moment each file of the data set is whole: the old one or the new one. The manifest names only files that are what it says (`folder`).
//! 3. A day whose bytes are not what was written is not exported. It is named, and the other days are.
//! 4. An exported part of a day never takes the place of more of it: the file then keeps what it had and gets the new part beside it, with what is between.
//! 5. Threads: as many workers as there are jobs, `export:n`, take products, then files, from a list. They end with the call. The calling thread alone
//!    writes to the data set.

#![cfg_attr(not(feature = "export"), allow(dead_code, reason = "only Parquet, Arrow and Nautilus files need some of it"))]

#[cfg(feature = "export")]
mod arrow;
mod block;
mod config;
mod csv;
mod error;
mod facts;
mod fixed;
mod folder;
mod format;
mod hftbacktest;
mod manifest;
#[cfg(feature = "export")]
mod nautilus;
mod npz;
mod output;
#[cfg(feature = "export")]
mod parquet;
mod plan;
mod receipt;
mod received;
mod stored_day;
pub(crate) mod stream;
#[cfg_attr(not(feature = "export"), allow(dead_code, reason = "types and meanings are of the formats that this build does not have"))]
mod table;
mod tardis;
mod worker;

use std::collections::BTreeMap;

use crate::product::ProductId;
use crate::schema::Dataset;
use crate::tape::{Tape, TapeError};
use crate::time_range::TimeRange;
use crate::verify::{ProductVerifier, VerifyConfig};

pub use config::{ExportCompression, ExportConfig, ExportEncoding, ExportFormat, ExportTypes};
pub use error::{ExportError, ExportFailure};

use facts::ProductFacts;
#[cfg(feature = "export")]
pub(crate) use folder::check_parquet_folder;
use folder::{ExportFolder, Finished};
use format::FileFormat;
#[cfg(feature = "export")]
pub(crate) use format::partition_path;
use plan::{Plan, ProductPlan};
use worker::{Done, Job};

/// Most finished files that wait for their places.
const BATCH_FILES: usize = 256;
/// Most bytes of them.
const BATCH_BYTES: u64 = 8 << 30;

/// What an export came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Exported {
    /// Files that were written.
    pub files: u64,
    /// Their records.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that had not changed and were not touched.
    pub unchanged: u64,
    /// Days of a dataset that still grow and were left out.
    pub live_days: u64,
    /// Days of a dataset that are in an archive other than the folder of the data set, and were left out.
    pub archived_days: u64,
    /// Records without a receive time that took their event time for it, where the format wants one.
    pub untimed: u64,
    /// Records that were received, by the clocks, before they happened, where the format has both times.
    pub early: u64,
    /// Records that the format cannot hold, and that were left out.
    pub unfit: u64,
    /// What could not be exported, and why.
    pub failed: Vec<ExportFailure>,
}

/// Exports what is asked for. Files that have not changed since the last export are not touched.
///
/// # Errors
/// Where the directory is no tape, there is nothing to export, the folder holds something else or cannot be written to. A day that alone cannot be exported
/// is no error: it is in [`Exported::failed`].
///
/// ```
/// use coltape::{ExportConfig, ExportError, UnixNanos, export};
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir_all(folder.path().join("tape/BTC-USD/TRADES"))?;
/// let config = ExportConfig::new(folder.path().join("tape"), folder.path().join("out"), UnixNanos(0));
/// assert!(matches!(export(&config), Err(ExportError::Nothing { .. })));
/// assert!(!folder.path().join("out").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(config: &ExportConfig) -> Result<Exported, ExportError> {
    let format = format_of(config)?;
    if config.range.is_empty() {
        return Err(TapeError::EmptyRange { range: config.range }.into());
    }
    let by_receipt = format.is_by_receipt();
    if let Some(dataset) = config.datasets.iter().find(|dataset| by_receipt && !matches!(dataset, Dataset::Trades | Dataset::Md)) {
        return Err(ExportError::NoSuchDataset { format: config.format.name(), dataset: dataset.name() });
    }
    let plan = Plan::make(config, &Tape::open(&config.dir)?, by_receipt)?;
    let mut exported =
        Exported { live_days: plan.live_days, archived_days: plan.archived_days, failed: plan.failed, ..Exported::default() };
    if plan.products.is_empty() {
        return match exported.failed.is_empty() {
            true => Err(ExportError::Nothing { why: plan::why_nothing(config, exported.live_days, plan.archived_days) }),
            false => Ok(exported),
        };
    }
    let mut folder = ExportFolder::open(&config.out, &config.dir, config.format.name(), config.now)?;
    let facts = facts_of(config, &plan.products)?;
    let (jobs, failed) = worker::jobs(config, &*format, &folder.shared(), &plan.products, &facts);
    exported.failed.extend(failed);
    write_files(config, &*format, &jobs, &mut folder, &mut exported)?;
    // The days that were planned hold no record of what is asked for. Without a range, files of days that have gone from the tape stay.
    let is_nothing = exported.failed.is_empty() && exported.files + exported.unchanged + exported.unfit == 0;
    if is_nothing && (config.range != TimeRange::ALL || folder.manifest.files.is_empty()) {
        return Err(ExportError::Nothing { why: plan::why_nothing(config, exported.live_days, exported.archived_days) });
    }
    Ok(exported)
}

fn format_of(config: &ExportConfig) -> Result<Box<dyn FileFormat>, ExportError> {
    Ok(match config.format {
        #[cfg(feature = "export")]
        ExportFormat::Parquet => Box::new(parquet::Parquet::new(config)),
        #[cfg(feature = "export")]
        ExportFormat::Arrow => Box::new(arrow::Arrow::new(config.types)),
        #[cfg(feature = "export")]
        ExportFormat::Nautilus => Box::new(nautilus::Nautilus::new(config)),
        #[cfg(not(feature = "export"))]
        ExportFormat::Parquet | ExportFormat::Arrow | ExportFormat::Nautilus => {
            return Err(ExportError::NotBuilt { format: config.format.name() });
        }
        ExportFormat::Csv => Box::new(csv::Csv),
        ExportFormat::TardisCsv => Box::new(tardis::TardisCsv),
        ExportFormat::HftBacktest => Box::new(hftbacktest::HftBacktest),
    })
}

/// Verifies the products, each by itself: what is known of their days.
fn facts_of(config: &ExportConfig, products: &[ProductPlan]) -> Result<BTreeMap<ProductId, ProductFacts>, ExportError> {
    let mut verify = VerifyConfig::new(&config.dir, config.now);
    verify.checks_archives = false;
    verify.observer = config.observer.clone();
    let mut records = 0;
    for product in products {
        verify.product = Some(product.product.clone());
        records += ProductVerifier::records(&verify)?;
    }
    verify.product = None;
    config.observer.begin(records);
    let verifier = ProductVerifier::read(&config.dir);
    let increments = facts::read_increments(&config.dir);
    let mut all = BTreeMap::new();
    let mut failed = None;
    worker::each(
        config.jobs,
        products,
        |product| {
            let report = verifier.verify(&verify, &product.product)?;
            Ok((product.product.clone(), ProductFacts::new(&report, facts::increments_of(&increments, &product.product))))
        },
        |judged: Result<_, ExportError>| match judged {
            Ok((product, facts)) => {
                all.insert(product, facts);
                true
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        },
    );
    failed.map_or(Ok(all), Err)
}

/// Writes the files that have changed. Files that are finished take their places also where a later one ends the export.
fn write_files(
    config: &ExportConfig,
    format: &dyn FileFormat,
    jobs: &[Job<'_>],
    folder: &mut ExportFolder,
    exported: &mut Exported,
) -> Result<(), ExportError> {
    config.observer.begin(jobs.iter().map(|job| job.rows).sum());
    let mut batch = Batch::default();
    let mut ended = None;
    let shared = folder.shared();
    worker::each(
        config.jobs,
        jobs,
        |job| (job, worker::run(config, format, &shared, job)),
        |(job, done)| {
            match done {
                Ok(Done::Nothing(written)) => exported.unfit += written.unfit,
                Ok(Done::Unchanged { news }) => {
                    exported.unchanged += 1;
                    batch.news.extend(news);
                }
                Ok(Done::Written { finished, written }) => {
                    exported.files += 1;
                    exported.rows += written.rows;
                    exported.untimed += written.untimed;
                    exported.early += written.early;
                    exported.unfit += written.unfit;
                    exported.bytes += finished.entry.bytes;
                    batch.bytes += finished.entry.bytes;
                    batch.finished.push(*finished);
                }
                Err(error) if error.ends_all() => {
                    ended = Some(error);
                    return false;
                }
                Err(error) => exported.failed.push(ExportFailure { what: job.name(), error }),
            }
            if batch.finished.len() >= BATCH_FILES || batch.bytes >= BATCH_BYTES {
                ended = batch.commit(folder, config).err();
            }
            ended.is_none()
        },
    );
    let committed = batch.commit(folder, config);
    ended.map_or(committed, Err)
}

/// What waits for the next replacement of the manifest.
#[derive(Default)]
struct Batch {
    finished: Vec<Finished>,
    bytes: u64,
    /// What the manifest has to say of files that are not touched.
    news: Vec<(manifest::FileKey, manifest::Entry)>,
}

impl Batch {
    fn commit(&mut self, folder: &mut ExportFolder, config: &ExportConfig) -> Result<(), ExportError> {
        if self.finished.is_empty() && self.news.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        folder.manifest.files.extend(self.news.drain(..));
        folder.commit(std::mem::take(&mut self.finished), config.now)
    }
}
