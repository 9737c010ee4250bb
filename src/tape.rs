//! [`Tape`]: a data directory as a reader sees it: products, datasets, days, and the records of a range of time over all its days.
//!
//! 1. It locks nothing and writes nothing. A directory that a capture writes to is read like any other.
//! 2. Every call looks at the directory as it is then. What it remembers besides the path (the journal, and which checksums were right) belongs to files
//!    that have not changed since. Copies of a tape remember together.
//! 3. A later series of a product (`BTC-USD~2`) is a product of its own here.

mod days;
mod error;
pub(crate) mod follow;
mod kept;
pub(crate) mod listed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::history::Knowledge;
use crate::product::ProductId;
use crate::schema::{Dataset, Layout};
use crate::store::archived::{ArchivedDay, ArchivedDays};
use crate::store::{Fault, OWN_FOLDER, Snapshot, StoreError, catalog};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;

pub(crate) use kept::DayEnds;
use kept::Kept;

pub use days::{DayPart, DayParts};
pub use error::{ArchivedSpan, TapeError};

/// A data directory, opened for reading.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # coltape::internals::sample::tape(folder.path())?;
/// # let dir = folder.path();
/// use coltape::{Dataset, Tape, TimeRange, Trades, UtcDay};
///
/// let tape = Tape::open(dir)?;
/// let products = tape.products()?;
/// let days = tape.days(&products[0], Dataset::Trades)?;
/// assert_eq!(days, [UtcDay::parse("2025-06-07")?, UtcDay::parse("2025-06-08")?]);
/// let trades: usize = tape.range::<Trades>(&products[0], TimeRange::ALL)?.map(|part| part.map(|part| part.count())).sum::<Result<_, _>>()?;
/// assert_eq!(trades, 48);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tape {
    dir: PathBuf,
    kept: Arc<Kept>,
}

impl PartialEq for Tape {
    fn eq(&self, other: &Self) -> bool {
        self.dir == other.dir
    }
}

impl Eq for Tape {}

impl Tape {
    /// Opens a data directory that a capture writes to, or has written to.
    ///
    /// # Errors
    /// Where there is no such directory, or it is no tape: it has neither a folder of a product nor one of a capture's own.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::Tape;
    ///
    /// let tape = Tape::open(dir)?;
    /// assert_eq!(tape.products()?[0].as_str(), "BTC-USD");
    /// let error = Tape::open(dir.join("BTC-USD")).unwrap_err();
    /// assert!(error.to_string().ends_with("give the directory above it"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, TapeError> {
        let dir = dir.into();
        let products = products_of(&dir)?;
        if !products.is_empty() || dir.join(OWN_FOLDER).is_dir() {
            return Ok(Self { dir, kept: Arc::default() });
        }
        let is_product = Dataset::ALL.iter().any(|dataset| dir.join(dataset.folder()).is_dir());
        Err(if is_product {
            no_tape(dir, "is the folder of one product: give the directory above it")
        } else {
            no_tape(dir, "is no tape: it has no folder of a product; give the directory that a capture writes to (--data-dir)")
        })
    }

    /// Gives what the files of `_coltape` tell now.
    pub(crate) fn knowledge(&self) -> Arc<Knowledge> {
        self.kept.knowledge(&self.dir)
    }

    /// Checks a day's bytes against its checksums, as [`Snapshot::check`] does. What has been checked before is not looked at again.
    ///
    /// # Errors
    /// Where a file cannot be looked at.
    pub(crate) fn check_day<L: Layout>(&self, day: &Snapshot<L>) -> Result<Vec<Fault>, StoreError> {
        self.kept.check_day(day)
    }

    /// Checks a day's bytes likewise. Whoever gives records to others does so first: an altered one must not look like a stored one.
    ///
    /// # Errors
    /// Where a file cannot be looked at, or its bytes are not what was written.
    pub(crate) fn check_bytes<L: Layout>(&self, day: &Snapshot<L>) -> Result<(), StoreError> {
        match self.check_day(day)?.into_iter().next() {
            Some(fault) => Err(StoreError::damaged(&fault.path, fault.what)),
            None => Ok(()),
        }
    }

    /// Gives the ends of a day's trades; nothing where there is no such day.
    ///
    /// # Errors
    /// Where the day cannot be read.
    pub(crate) fn ends_of_day(&self, product: &ProductId, date: UtcDay) -> Result<Option<DayEnds>, StoreError> {
        self.kept.ends_of_day(&self.dir, product, date)
    }

    /// Takes a directory for one that a capture writes to, or will write to: there need not be anything yet.
    pub(crate) fn to_be(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), kept: Arc::default() }
    }

    /// Gives the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lists the products, in order.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// # use coltape::Tape;
    /// let names: Vec<String> = Tape::open(dir)?.products()?.iter().map(ToString::to_string).collect();
    /// assert_eq!(names, ["BTC-USD"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn products(&self) -> Result<Vec<ProductId>, TapeError> {
        products_of(&self.dir)
    }

    /// Lists the datasets that there are days of, for a product.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Dataset, ProductId, Tape};
    /// assert_eq!(Tape::open(dir)?.datasets(&ProductId::new("BTC-USD")?)?, [Dataset::Md, Dataset::Trades]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn datasets(&self, product: &ProductId) -> Result<Vec<Dataset>, TapeError> {
        let mut found = Vec::new();
        for dataset in Dataset::ALL {
            if !self.days(product, dataset)?.is_empty() {
                found.push(dataset);
            }
        }
        Ok(found)
    }

    /// Lists the days of a product's dataset, in order; nothing where there is no such product. Tomorrow may be among them: its files are made ahead.
    ///
    /// # Errors
    /// Where the folder is there and cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Dataset, ProductId, Tape};
    /// let tape = Tape::open(dir)?;
    /// assert_eq!(tape.days(&ProductId::new("BTC-USD")?, Dataset::Trades)?.len(), 2);
    /// assert!(tape.days(&ProductId::new("ETH-USD")?, Dataset::Trades)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn days(&self, product: &ProductId, dataset: Dataset) -> Result<Vec<UtcDay>, TapeError> {
        Ok(catalog::days(&self.dir, product, dataset)?)
    }

    /// Lists the days of a product's dataset that a range of time touches, in order.
    ///
    /// # Errors
    /// Where the range is empty, the tape has no such product or dataset, or no day of the range, or some of its days are archived. The error says what there
    /// is instead.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Dataset, ProductId, Tape, TimeRange, UtcDay};
    /// let tape = Tape::open(dir)?;
    /// let day = TimeRange::day(UtcDay::parse("2025-06-08")?);
    /// assert_eq!(tape.days_in(&ProductId::new("BTC-USD")?, Dataset::Trades, day)?.len(), 1);
    /// let error = tape.days_in(&ProductId::new("BTC-USDD")?, Dataset::Trades, day).unwrap_err();
    /// assert!(error.to_string().ends_with("which holds BTC-USD; did you mean BTC-USD?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn days_in(&self, product: &ProductId, dataset: Dataset, range: TimeRange) -> Result<Vec<UtcDay>, TapeError> {
        if range.is_empty() {
            return Err(TapeError::EmptyRange { range });
        }
        let all = self.days(product, dataset)?;
        let archived = self.archived_days(product, dataset)?;
        if let Some(span) = self.archived_span(product, dataset, range, &all)? {
            return Err(TapeError::Archived(Box::new(span)));
        }
        let ends = |least: bool| {
            let ends = if least { [all.first(), archived.first()] } else { [all.last(), archived.last()] };
            let ends = ends.into_iter().flatten().copied();
            if least { ends.min() } else { ends.max() }
        };
        let (Some(first), Some(last)) = (ends(true), ends(false)) else {
            let (known, datasets) = (self.products()?, self.datasets(product)?);
            return Err(TapeError::NothingStored { path: self.dir.clone(), product: product.clone(), dataset, known, datasets });
        };
        let dates: Vec<UtcDay> = all.into_iter().filter(|date| range.overlaps_day(*date)).collect();
        if dates.is_empty() {
            return Err(TapeError::NothingThen { product: product.clone(), dataset, first, last });
        }
        Ok(dates)
    }

    /// Lists the days of a product's dataset that are archived and not here, in order. [`Tape::days`] does not list them, and [`Tape::days_in`] is an error
    /// where one of them is asked for.
    ///
    /// # Errors
    /// Where what is known of archived days is there and cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Dataset, ProductId, Tape};
    /// assert!(Tape::open(dir)?.archived_days(&ProductId::new("BTC-USD")?, Dataset::Trades)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn archived_days(&self, product: &ProductId, dataset: Dataset) -> Result<Vec<UtcDay>, TapeError> {
        let archived = ArchivedDays::read(&self.dir, product)?;
        Ok(archived.away(&self.dir, product, dataset)?.into_iter().map(|day| day.key.date).collect())
    }

    /// Makes sure that no day of a range of time is archived that holds something behind a trade id.
    ///
    /// # Errors
    /// [`TapeError::Archived`]; where what is known of archived days cannot be read.
    pub(crate) fn check_archived(&self, product: &ProductId, dataset: Dataset, range: TimeRange, after: u64) -> Result<(), TapeError> {
        let archived = ArchivedDays::read(&self.dir, product)?;
        let of_trades = archived.away(&self.dir, product, Dataset::Trades)?;
        let is_behind = |day: &&ArchivedDay| day.runs.iter().any(|run| run.ids.last() > after);
        let first = of_trades.into_iter().find(is_behind).map(|day| day.key.date.start());
        let from = if after == 0 { range.from } else { range.from.max(Some(first.unwrap_or(UnixNanos(u64::MAX)))) };
        match self.archived_span(product, dataset, TimeRange { from, ..range }, &self.days(product, dataset)?)? {
            Some(span) => Err(TapeError::Archived(Box::new(span))),
            None => Ok(()),
        }
    }

    /// Finds the archived days of a range of time. `here` are the days that are not archived.
    fn archived_span(
        &self,
        product: &ProductId,
        dataset: Dataset,
        range: TimeRange,
        here: &[UtcDay],
    ) -> Result<Option<ArchivedSpan>, TapeError> {
        let archived = ArchivedDays::read(&self.dir, product)?;
        let asked: Vec<&ArchivedDay> =
            archived.away(&self.dir, product, dataset)?.into_iter().filter(|day| range.overlaps_day(day.key.date)).collect();
        let (Some(first), Some(last)) = (asked.first(), asked.last()) else { return Ok(None) };
        let behind = |date: &&UtcDay| **date > last.key.date && range.overlaps_day(**date);
        Ok(Some(ArchivedSpan {
            path: self.dir.clone(),
            product: product.clone(),
            dataset,
            days: asked.len() as u64,
            first: first.key.date,
            last: last.key.date,
            archive: last.archive.clone(),
            next: here.iter().find(behind).copied(),
        }))
    }

    /// Opens a day, live or at rest; nothing where there is none.
    ///
    /// # Errors
    /// Where files are missing or too short, or cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{Md, ProductId, Tape, UtcDay};
    /// let day = Tape::open(dir)?.day::<Md>(&ProductId::new("BTC-USD")?, UtcDay::parse("2025-06-07")?)?.ok_or("no such day")?;
    /// assert_eq!(day.count(), 24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn day<L: Layout>(&self, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, TapeError> {
        Ok(Snapshot::open(&self.dir, product, date)?)
    }

    /// Iterates over the days that a range of time touches, in order, with the records of the range in each: [`DayPart::pieces`].
    ///
    /// # Errors
    /// As [`Tape::days_in`]. What goes wrong with one day comes in its turn, from the iterator.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{ProductId, Tape, TimeRange, Trades, UnixNanos, UtcDay};
    ///
    /// let midnight = UtcDay::parse("2025-06-08")?.start();
    /// let two_hours = TimeRange::new(UnixNanos(midnight.0 - 3_600_000_000_000), UnixNanos(midnight.0 + 3_600_000_000_000));
    /// let mut ids = Vec::new();
    /// for part in Tape::open(dir)?.range::<Trades>(&ProductId::new("BTC-USD")?, two_hours)? {
    ///     ids.extend(part?.rows().map(|trade| trade.trade_id));
    /// }
    /// assert_eq!(ids, [24, 25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range<L: Layout>(&self, product: &ProductId, range: TimeRange) -> Result<DayParts<L>, TapeError> {
        let dates = self.days_in(product, L::DATASET, range)?;
        Ok(DayParts::new(self.dir.clone(), product.clone(), dates, range))
    }

    /// Iterates over the days here that a range of time touches, also where others are archived: for records beside those asked for.
    pub(crate) fn stored_range<L: Layout>(&self, product: &ProductId, range: TimeRange) -> Result<DayParts<L>, TapeError> {
        let dates = self.days(product, L::DATASET)?.into_iter().filter(|date| range.overlaps_day(*date)).collect();
        Ok(DayParts::new(self.dir.clone(), product.clone(), dates, range))
    }
}

/// Lists the products of a data directory, and says what is wrong where there is none: it may have gone away since it was opened.
fn products_of(dir: &Path) -> Result<Vec<ProductId>, TapeError> {
    catalog::products(dir).map_err(|error| match std::fs::metadata(dir) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            no_tape(dir.to_owned(), "does not exist: give the directory that a capture writes to (--data-dir)")
        }
        Ok(found) if !found.is_dir() => no_tape(dir.to_owned(), "is not a directory: give the one that a capture writes to (--data-dir)"),
        _ => error.into(),
    })
}

fn no_tape(path: PathBuf, why: &str) -> TapeError {
    TapeError::NoTape { path, why: why.to_owned() }
}
