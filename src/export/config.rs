//! What `export` is asked for.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::product::ProductId;
use crate::progress::Observer;
use crate::schema::{Dataset, Datasets};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExportFormat {
    /// A Hive-partitioned Parquet data set.
    #[default]
    Parquet,
    /// Arrow IPC files, partitioned likewise.
    Arrow,
    /// CSV files with the stored columns, partitioned likewise.
    Csv,
    /// The gzipped CSV files of Tardis.dev, by day of receipt.
    TardisCsv,
    /// A catalog of nautilus_trader, by day of receipt.
    Nautilus,
    /// Archives of hftbacktest's events, by day of receipt.
    HftBacktest,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: &[Self] = &[Self::Parquet, Self::Arrow, Self::Csv, Self::TardisCsv, Self::Nautilus, Self::HftBacktest];

    /// Names the format as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::TardisCsv => "tardis-csv",
            Self::Nautilus => "nautilus",
            Self::HftBacktest => "hftbacktest",
        }
    }

    /// Says in a line what it is, for help texts.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Parquet => "A Hive-partitioned data set for DuckDB, Polars, pyarrow, Spark, ClickHouse",
            Self::Arrow => "Arrow IPC files, partitioned likewise, with the same columns",
            Self::Csv => "CSV files, partitioned likewise, with the columns of `query --format csv`",
            Self::TardisCsv => "The gzipped CSV files of Tardis.dev, by day of receipt",
            Self::Nautilus => "A catalog of nautilus_trader 1.231, by day of receipt",
            Self::HftBacktest => "Archives (.npz) of hftbacktest's events, by day of receipt",
        }
    }
}

/// Which types the columns of Parquet and Arrow files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportTypes {
    /// Types that every engine reads: times in microseconds beside integers in nanoseconds, order ids without an annotation.
    #[default]
    Safe,
    /// Times in nanoseconds, order ids annotated as UUIDs. Spark 4.3 refuses both.
    Rich,
}

impl ExportTypes {
    /// Names the types as the command line spells them.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Rich => "rich",
        }
    }
}

/// How the values of Parquet columns are encoded before they are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportEncoding {
    /// The smallest: DELTA_BINARY_PACKED for integers, BYTE_STREAM_SPLIT for doubles.
    #[default]
    Best,
    /// PLAIN, for readers of before 2020.
    Plain,
}

impl ExportEncoding {
    /// Names the encoding as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Plain => "plain",
        }
    }
}

/// How the pages of Parquet files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportCompression {
    /// Zstandard, level 1.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// Not at all.
    None,
}

impl ExportCompression {
    /// Names the compression as the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::None => "none",
        }
    }
}

/// What to export, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExportConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// The folder of the data set: empty, new, or one of an earlier export in this format.
    pub out: PathBuf,
    /// The format of the files.
    pub format: ExportFormat,
    /// Only these products. Empty = all.
    pub products: Vec<ProductId>,
    /// The event times to export. A day that lies in it in part is exported in part.
    pub range: TimeRange,
    /// Which datasets.
    pub datasets: Datasets,
    /// The types of Parquet and Arrow columns.
    pub types: ExportTypes,
    /// The encoding of Parquet columns.
    pub encoding: ExportEncoding,
    /// The compression of Parquet pages.
    pub compression: ExportCompression,
    /// Whether Parquet files have Bloom filters of the order ids.
    pub bloom: bool,
    /// Whether days that still grow are exported too, as far as they go.
    pub live: bool,
    /// How many threads work. `None` = one for each processor.
    pub jobs: Option<NonZeroUsize>,
    /// The time of now, by the wall clock.
    pub now: UnixNanos,
    /// Is told how far it is, in records.
    pub observer: Observer,
    /// Only these days, where only some are wanted.
    pub(crate) only: Option<BTreeSet<(ProductId, UtcDay)>>,
}

impl ExportConfig {
    /// The datasets that are exported unless others are asked for.
    pub const DEFAULT_DATASETS: [Dataset; 2] = [Dataset::Trades, Dataset::Md];

    /// Exports the trades and tickers of a data directory as Parquet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, out: impl Into<PathBuf>, now: UnixNanos) -> Self {
        Self {
            dir: dir.into(),
            out: out.into(),
            format: ExportFormat::default(),
            products: Vec::new(),
            range: TimeRange::ALL,
            datasets: Datasets::of(&Self::DEFAULT_DATASETS),
            types: ExportTypes::default(),
            encoding: ExportEncoding::default(),
            compression: ExportCompression::default(),
            bloom: false,
            live: false,
            jobs: None,
            now,
            observer: Observer::default(),
            only: None,
        }
    }

    /// Tells whether a day is among those wanted.
    pub(super) fn takes_day(&self, product: &ProductId, date: UtcDay) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&(product.clone(), date)))
    }

    /// Gives what decides about the bytes of a file beside its records, in words.
    #[must_use]
    pub(super) fn options(&self) -> String {
        match self.format {
            ExportFormat::Parquet => {
                let bloom = if self.bloom { ", bloom" } else { "" };
                format!("{}, {}, {}{bloom}", self.types.name(), self.encoding.name(), self.compression.name())
            }
            ExportFormat::Arrow => self.types.name().to_owned(),
            ExportFormat::Nautilus => format!("{}, {}", self.encoding.name(), self.compression.name()),
            ExportFormat::Csv | ExportFormat::TardisCsv | ExportFormat::HftBacktest => String::new(),
        }
    }
}
