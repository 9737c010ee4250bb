//! `coltape query`: reads records back, as a table, CSV or JSON Lines.
//!
//! ```text
//!   days ──▶ snapshots ──▶ filter (time, order) ──▶ stored values ──▶ cell by cell ──▶ table | CSV | JSON Lines
//!                 ▲ follow: refresh, next day                exact: texts longer than an f64
//! ```
//!
//! 1. Works on live days: what is committed is shown, late records in their place.
//! 2. Every record is held against `--from` and `--to` by its own time. There is no search by time: times may fall by a little, and looking at all
//!    times of the busiest day (4 bytes each) takes some 20 ms.
//! 3. Memory is that of one day's maps, one batch of lines, and with `--tail` one number a record asked for.
//! 4. Writes to what it is given and prints nothing itself. A reader that has gone away is the end, not a failure.

pub mod cell;
pub mod exact;
pub mod filter;
pub mod follow;
pub mod lines;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::product::ProductId;
use crate::record::OrderId;
use crate::schema::{Column, ColumnSet, Dataset, Layout, Md, TickerTrades, Trades};
use crate::store::{DayKey, Snapshot, StoreError, catalog, holder_of};
use crate::time::{UnixNanos, UtcDay};

use exact::ExactTexts;
use filter::Filter;
use lines::Lines;

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned, for people.
    Table,
    /// Comma-separated, one header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What to print.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose records.
    pub product: ProductId,
    /// Of which dataset.
    pub dataset: Dataset,
    /// First event time.
    pub from: Option<UnixNanos>,
    /// Event time to stop before.
    pub to: Option<UnixNanos>,
    /// Columns in this order; none = the dataset's.
    pub columns: Vec<String>,
    /// At most so many records.
    pub limit: Option<u64>,
    /// The last so many records.
    pub tail: Option<u64>,
    /// Whether to go on with what is captured from now on.
    pub follow: bool,
    /// Only trades that this order made or took.
    pub order: Option<OrderId>,
    /// How to print.
    pub format: Format,
    /// Stored values as they are.
    pub raw: bool,
    /// Width of the terminal in characters, where there is one.
    pub width: Option<usize>,
}

/// Why records could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question makes no sense.
    #[error("{0}")]
    Question(String),
    /// There is nothing of the kind.
    #[error("{0}")]
    Nothing(String),
    /// A day cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lines cannot be written.
    #[error("output: {0}")]
    Output(io::Error),
}

/// Prints what is asked for. `is_over` ends following; the number of records printed is given.
///
/// # Errors
/// Where the question makes no sense, a day cannot be read or the output takes no more. A reader that has gone away is no error.
pub fn query(config: &QueryConfig, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
    let printed = match config.dataset {
        Dataset::Trades => Query::<Trades>::new(config)?.run(is_over, out),
        Dataset::Md => Query::<Md>::new(config)?.run(is_over, out),
        Dataset::TickerTrades => Query::<TickerTrades>::new(config)?.run(is_over, out),
    };
    match printed {
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        printed => printed,
    }
}

/// A checked question.
struct Query<'a, L: Layout> {
    config: &'a QueryConfig,
    filter: Filter,
    dates: Vec<UtcDay>,
    columns: Vec<&'static Column>,
    layout: std::marker::PhantomData<L>,
}

impl<'a, L: Layout> Query<'a, L> {
    fn new(config: &'a QueryConfig) -> Result<Self, QueryError> {
        if config.order.is_some() && L::DATASET != Dataset::Trades {
            return Err(QueryError::Question(format!("{} has no order ids; ask for trades", L::DATASET.name())));
        }
        if config.from.zip(config.to).is_some_and(|(from, to)| from >= to) {
            return Err(QueryError::Question("--from must lie before --to".to_owned()));
        }
        let filter = Filter { from: config.from, to: config.to, order: config.order };
        let all = catalog::days(&config.dir, &config.product, L::DATASET)?;
        if all.is_empty() {
            let known: Vec<String> = catalog::products(&config.dir)?.iter().map(ToString::to_string).collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            let (product, folder) = (&config.product, L::DATASET.folder());
            let nothing = format!("no {folder} of {product} in {}, which holds {known}", config.dir.display());
            if !config.follow {
                return Err(QueryError::Nothing(nothing));
            }
            log::warn!("{nothing}; waiting for it");
        }
        let dates: Vec<UtcDay> = all.into_iter().filter(|date| filter.may_hold(*date)).collect();
        let set = stored_set::<L>(config, &dates);
        let columns = lines::choose(config, L::DATASET.columns_of(set), L::COLUMNS).map_err(QueryError::Question)?;
        Ok(Self { config, filter, dates, columns, layout: std::marker::PhantomData })
    }

    fn run(&self, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
        let exact = if self.config.raw { ExactTexts::default() } else { self.exact_texts() };
        let mut lines = Lines::new(self.config, &self.columns, &exact, out);
        lines.begin().map_err(QueryError::Output)?;
        let mut follow = follow::Follow::<L>::new(self.config, &self.filter);
        match self.config.tail {
            Some(tail) => self.print_tail(tail, &mut lines, &mut follow)?,
            None => self.print_all(&mut lines, &mut follow)?,
        }
        lines.end_batch().map_err(QueryError::Output)?;
        if self.config.follow {
            follow.run(is_over, &mut lines)?;
        }
        Ok(lines.printed())
    }

    fn print_all(&self, lines: &mut Lines<'_>, follow: &mut follow::Follow<'_, L>) -> Result<(), QueryError> {
        for date in &self.dates {
            if lines.is_full() {
                break;
            }
            let Some(snapshot) = self.open(*date)? else { continue };
            for record in 0..snapshot.count() {
                if lines.is_full() {
                    break;
                }
                if self.filter.admits(&snapshot, record) {
                    lines.print(&snapshot, record).map_err(QueryError::Output)?;
                }
            }
            follow.seen(*date, snapshot);
        }
        Ok(())
    }

    fn print_tail(&self, tail: u64, lines: &mut Lines<'_>, follow: &mut follow::Follow<'_, L>) -> Result<(), QueryError> {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut wanted = VecDeque::new();
        let (mut left, mut has_records) = (tail, false);
        for date in self.dates.iter().rev() {
            let Some(snapshot) = self.open(*date)? else { continue };
            let mut records: Vec<usize> =
                (0..snapshot.count()).rev().filter(|record| self.filter.admits(&snapshot, *record)).take(left).collect();
            records.reverse();
            left -= records.len();
            has_records |= snapshot.count() > 0;
            wanted.push_front((*date, snapshot, records));
            // Two days are followed, and tomorrow's files are made ahead.
            if left == 0 && (!self.config.follow || (has_records && wanted.len() >= follow::MAX_DAYS)) {
                break;
            }
        }
        for (date, snapshot, records) in wanted {
            for record in records {
                lines.print(&snapshot, record).map_err(QueryError::Output)?;
            }
            follow.seen(date, snapshot);
        }
        Ok(())
    }

    /// Opens a day of those listed; nothing where it is being made, or nothing was ever stored in it.
    fn open(&self, date: UtcDay) -> Result<Option<Snapshot<L>>, QueryError> {
        let (dir, product) = (&self.config.dir, &self.config.product);
        let snapshot = Snapshot::open(dir, product, date)?;
        if snapshot.is_none() && holder_of(dir)?.is_none() {
            catalog::must_be_empty(dir, &DayKey { product: product.clone(), dataset: L::DATASET, date })?;
        }
        Ok(snapshot)
    }

    fn exact_texts(&self) -> ExactTexts {
        let Some(first) = self.dates.first() else { return ExactTexts::default() };
        ExactTexts::read(&self.config.dir, &self.config.product, *first)
    }
}

/// Tells which columns the days asked for have: all that one of them has.
fn stored_set<L: Layout>(config: &QueryConfig, dates: &[UtcDay]) -> ColumnSet {
    let days = dates.iter().rev().filter_map(|date| Snapshot::<L>::open(&config.dir, &config.product, *date).ok().flatten());
    let mut sets = days.map(|day| day.column_set()).peekable();
    if sets.peek().is_none() || sets.any(|set| set == ColumnSet::Full) { ColumnSet::Full } else { ColumnSet::Core }
}
