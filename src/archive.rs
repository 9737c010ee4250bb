//! `coltape archive` and `coltape restore`: days are moved into a Parquet data set, and brought back equal byte for byte.
//!
//! ```text
//!   verify ──▶ choice: whole, sealed, old ──▶ export: Parquet ──▶ packing: read back, compare value by value, write the rest
//!                                                                     │
//!   restore ◀── unpacking: Parquet and rest are the files again       ▼
//!                                        the record (store) ──▶ removal: by this process, or by the capture that holds the directory
//! ```
//!
//! 1. Nothing is removed before the archive has shown that it gives every file of the day back, byte for byte, and before the record of the day is on disk.
//! 2. The data set is one of `coltape export`, for every program that reads those. What it does not say of the files (the f32 beside an f64, the commit
//!    page, a few bits) lies in the folder `_coltape_archive` beside it.
//! 3. A product-day is moved as a whole: all its datasets, or none.
//! 4. A run that ended early is finished by the next one. At every moment a day is here or in the archive, or in both.
//! 5. One thread; the export has its own.

#[cfg(feature = "export")]
mod choice;
mod config;
mod error;
#[cfg(feature = "export")]
mod files;
#[cfg(feature = "export")]
mod holder;
#[cfg(feature = "export")]
mod kept;
#[cfg(feature = "export")]
mod packing;
#[cfg(feature = "export")]
mod parquet_day;
#[cfg(feature = "export")]
mod rebuilt;
mod report;
#[cfg(feature = "export")]
mod restoring;
#[cfg(feature = "export")]
mod unpacking;
#[cfg(feature = "export")]
mod work;

pub use config::{ArchiveConfig, RestoreConfig};
pub use error::ArchiveError;
pub use report::{ArchiveReport, MovedDay, Shortfall};

/// Moves days into an archive, or says which would be moved.
///
/// # Errors
/// Where nothing can be done: the directory is no tape, or another process archives. What fails with one day is in the report.
///
/// ```
/// use coltape::{ArchiveConfig, UnixNanos, archive};
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir_all(folder.path().join("tape/BTC-USD/TRADES"))?;
/// let config = ArchiveConfig::new(folder.path().join("tape"), folder.path().join("cold"), UnixNanos(0));
/// assert!(archive(&config)?.days.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn archive(config: &ArchiveConfig) -> Result<ArchiveReport, ArchiveError> {
    #[cfg(feature = "export")]
    return work::archive(config);
    #[cfg(not(feature = "export"))]
    return Err(ArchiveError::not_built(&config.dir));
}

/// Brings days back from an archive.
///
/// # Errors
/// Where nothing can be done: the directory is no tape, or no such day is archived. What fails with one day is in the report.
///
/// ```
/// use coltape::{ArchiveError, RestoreConfig, UnixNanos, restore};
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir_all(folder.path().join("BTC-USD/TRADES"))?;
/// let config = RestoreConfig::new(folder.path(), UnixNanos(0));
/// assert!(matches!(restore(&config), Err(ArchiveError::NothingArchived { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn restore(config: &RestoreConfig) -> Result<ArchiveReport, ArchiveError> {
    #[cfg(feature = "export")]
    return restoring::restore(config);
    #[cfg(not(feature = "export"))]
    return Err(ArchiveError::not_built(&config.dir));
}
