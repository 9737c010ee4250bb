//! What `archive` and `restore` are asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::export::{ExportCompression, ExportEncoding, ExportTypes};
use crate::product::ProductId;
use crate::progress::Observer;
use crate::store::probe::Probe;
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;

/// How long a capture that holds the directory has for its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(600);

/// Which days to archive, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ArchiveConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// The folder of the archive: a Parquet data set of `export`, empty, or new.
    pub out: PathBuf,
    /// Only these products. Empty = all.
    pub products: Vec<ProductId>,
    /// These days by name, whatever their age and their verdict, and no others. Empty = those that the rest of the fields choose.
    pub dates: Vec<UtcDay>,
    /// Days that ended so long ago, or longer. `None` = none for their age.
    pub older_than: Option<Duration>,
    /// As many more of the oldest days as it takes to leave so many bytes free on the disk of the data directory.
    pub keep_free: Option<u64>,
    /// Days of which verdicts are chosen.
    pub verdicts: Vec<Verdict>,
    /// Whether to do it. Otherwise it is only said what would be done.
    pub apply: bool,
    /// The types of the Parquet columns.
    pub types: ExportTypes,
    /// The encoding of the Parquet columns.
    pub encoding: ExportEncoding,
    /// The compression of the Parquet pages.
    pub compression: ExportCompression,
    /// Whether Parquet files have Bloom filters of the order ids.
    pub bloom: bool,
    /// How many threads export. `None` = one for each processor.
    pub jobs: Option<NonZeroUsize>,
    /// How long to wait for a capture that holds the directory.
    pub answer_wait: Duration,
    /// The time of now, by the wall clock.
    pub now: UnixNanos,
    /// Is told how far it is, in records.
    pub observer: Observer,
    /// Sees every step; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

impl ArchiveConfig {
    /// Chooses whole days by nothing yet: set [`ArchiveConfig::older_than`], [`ArchiveConfig::keep_free`] or [`ArchiveConfig::dates`].
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, out: impl Into<PathBuf>, now: UnixNanos) -> Self {
        Self {
            dir: dir.into(),
            out: out.into(),
            products: Vec::new(),
            dates: Vec::new(),
            older_than: None,
            keep_free: None,
            verdicts: vec![Verdict::Whole],
            apply: false,
            types: ExportTypes::default(),
            encoding: ExportEncoding::default(),
            compression: ExportCompression::default(),
            bloom: false,
            jobs: None,
            answer_wait: ANSWER_WAIT,
            now,
            observer: Observer::default(),
            probe: None,
        }
    }
}

/// Which days to bring back, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Where the archive is now. `None` = where it was.
    pub archive: Option<PathBuf>,
    /// Only these products. Empty = all.
    pub products: Vec<ProductId>,
    /// Only these days. Empty = all.
    pub dates: Vec<UtcDay>,
    /// Only days that this range of time touches.
    pub range: TimeRange,
    /// Another data directory to write the days to. They stay archived then.
    pub into: Option<PathBuf>,
    /// Whether to write to a file system that is not known to survive a full disk.
    pub force_fs: bool,
    /// How long to wait for a capture that holds the directory.
    pub answer_wait: Duration,
    /// The time of now, by the wall clock.
    pub now: UnixNanos,
    /// Is told how far it is, in days.
    pub observer: Observer,
    /// Sees every step; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

impl RestoreConfig {
    /// Brings back all that is archived.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, now: UnixNanos) -> Self {
        Self {
            dir: dir.into(),
            archive: None,
            products: Vec::new(),
            dates: Vec::new(),
            range: TimeRange::ALL,
            into: None,
            force_fs: false,
            answer_wait: ANSWER_WAIT,
            now,
            observer: Observer::default(),
            probe: None,
        }
    }
}
