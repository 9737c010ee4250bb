//! `coltape query`: prints stored records as a table, as CSV or as JSON Lines.
//!
//! ```text
//!   days ──▶ snapshots ──▶ filter (time, order) ──▶ stored values ──▶ cell by cell ──▶ table | CSV | JSON Lines
//!                 ▲ follow: refresh, next day                exact: texts longer than an f64
//! ```
//!
//! 1. Live days are read, too: committed records are printed, late records in their place.
//! 2. Every record is compared with `--from` and `--to` by its own time. There is no search by time, as times may fall a little. Looking at all times of
//!    the busiest day (4 bytes each) takes some 20 ms.
//! 3. The memory needed is that of one day's maps and one batch of lines, and with `--tail` one number for each record asked for.
//! 4. An output whose reader has gone away is the end, not an error.

mod cell;
mod columns;
mod config;
mod error;
mod exact;
mod filter;
mod follow;
mod printer;

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::schema::{Column, Dataset, Kind, Layout, with_layout};
use crate::store::{DayKey, Snapshot, catalog, holder_of};
use crate::time::UtcDay;

pub use config::{Format, QueryConfig};
pub use error::{QueryError, QuestionError};
pub(crate) use exact::ExactTexts;
use filter::Filter;
use follow::Follower;
use printer::RecordPrinter;

/// Prints the records asked for, and gives how many were printed. With [`QueryConfig::follow`] it goes on until `is_over` says so.
///
/// # Errors
/// Where the question makes no sense, a day cannot be read, or the output cannot be written to. It is not an error that the output's reader has gone away.
///
/// ```
/// use coltape::{Format, ProductId, QueryConfig, QueryError, query};
/// let dir = std::env::temp_dir().join("coltape-query-example");
/// std::fs::create_dir_all(&dir)?;
/// let mut config = QueryConfig::new(&dir, ProductId::new("BTC-USD")?);
/// config.format = Format::Csv;
/// let mut out = Vec::new();
/// assert!(matches!(query(&config, &|| true, &mut out), Err(QueryError::NothingStored { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn query(config: &QueryConfig, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
    query_with_notes(config, is_over, out, &mut |note| log::info!("{note}"))
}

/// As [`query`]. `note` is given what people should know about the table: the columns that it does not show.
///
/// # Errors
/// As [`query`].
pub fn query_with_notes(
    config: &QueryConfig,
    is_over: &dyn Fn() -> bool,
    out: &mut dyn Write,
    note: &mut dyn FnMut(&str),
) -> Result<u64, QueryError> {
    let printed = with_layout!(config.dataset, L => {
        let query = Query::<L>::new(config)?;
        if let Some(text) = query.hidden_columns() {
            note(&text);
        }
        query.run(is_over, out)
    });
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
    /// The stored columns that are not printed.
    hidden: Vec<&'static str>,
    layout: std::marker::PhantomData<L>,
}

impl<'a, L: Layout> Query<'a, L> {
    fn new(config: &'a QueryConfig) -> Result<Self, QueryError> {
        if config.order.is_some() && !L::COLUMNS.iter().any(|column| column.kind == Kind::Uuid) {
            return Err(QuestionError::NoOrderIds(L::DATASET).into());
        }
        if config.from.zip(config.to).is_some_and(|(from, to)| from >= to) {
            return Err(QuestionError::EmptyRange.into());
        }
        let filter = Filter { from: config.from, to: config.to, order: config.order };
        let all = catalog::days(&config.dir, &config.product, L::DATASET)?;
        if all.is_empty() {
            let known = catalog::products(&config.dir)?;
            let (dir, product) = (config.dir.clone(), config.product.clone());
            let mut datasets = Vec::new();
            for dataset in Dataset::ALL {
                if !catalog::days(&config.dir, &config.product, dataset)?.is_empty() {
                    datasets.push(dataset);
                }
            }
            let nothing = QueryError::NothingStored { dir, product, dataset: L::DATASET, known, datasets };
            if !config.follow {
                return Err(nothing);
            }
            log::warn!("{nothing}; waiting for it");
        }
        let dates: Vec<UtcDay> = all.into_iter().filter(|date| filter.may_hold(*date)).collect();
        let stored = stored_columns::<L>(config, &dates);
        let columns = columns::choose(config, stored, L::COLUMNS)?;
        let hidden = columns::hidden(config, stored, &columns);
        Ok(Self { config, filter, dates, columns, hidden, layout: std::marker::PhantomData })
    }

    /// Says which columns are stored and not printed, where there are any.
    fn hidden_columns(&self) -> Option<String> {
        let width = self.config.width.filter(|_| !self.hidden.is_empty())?;
        Some(format!(
            "not shown on a terminal of {width} characters: {} (--columns A,B chooses; --format csv and jsonl have all)",
            self.hidden.join(", ")
        ))
    }

    fn run(&self, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
        let exact = if self.config.raw { ExactTexts::default() } else { self.exact_texts() };
        let mut printer = RecordPrinter::new(self.config, &self.columns, &exact, out);
        printer.begin().map_err(QueryError::Output)?;
        let mut follower = Follower::<L>::new(self.config, &self.filter);
        match self.config.tail {
            Some(tail) => self.print_tail(tail, &mut printer, &mut follower)?,
            None => self.print_all(&mut printer, &mut follower)?,
        }
        printer.end_batch().map_err(QueryError::Output)?;
        if self.config.follow {
            follower.run(is_over, &mut printer)?;
        }
        Ok(printer.printed())
    }

    fn print_all(&self, printer: &mut RecordPrinter<'_>, follower: &mut Follower<'_, L>) -> Result<(), QueryError> {
        for date in &self.dates {
            if printer.is_full() {
                break;
            }
            let Some(snapshot) = self.open(*date)? else { continue };
            for record in 0..snapshot.count() {
                if printer.is_full() {
                    break;
                }
                if self.filter.admits(&snapshot, record) {
                    printer.print(&snapshot, record).map_err(QueryError::Output)?;
                }
            }
            follower.add_printed(*date, snapshot);
        }
        Ok(())
    }

    fn print_tail(&self, tail: u64, printer: &mut RecordPrinter<'_>, follower: &mut Follower<'_, L>) -> Result<(), QueryError> {
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
            // Following needs two days, and tomorrow's files are made ahead.
            if left == 0 && (!self.config.follow || (has_records && wanted.len() >= follow::MAX_DAYS)) {
                break;
            }
        }
        for (date, snapshot, records) in wanted {
            for record in records {
                printer.print(&snapshot, record).map_err(QueryError::Output)?;
            }
            follower.add_printed(date, snapshot);
        }
        Ok(())
    }

    /// Opens a day that was listed. Gives nothing where it is being made, or where nothing was ever stored in it.
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

/// Gives the columns that at least one of the days asked for has. Every day has a front of the table, so the longest has them all.
fn stored_columns<L: Layout>(config: &QueryConfig, dates: &[UtcDay]) -> &'static [Column] {
    let mut most: &'static [Column] = &[];
    for date in dates.iter().rev() {
        let Ok(Some(day)) = Snapshot::<L>::open(&config.dir, &config.product, *date) else { continue };
        if day.columns().len() > most.len() {
            most = day.columns();
        }
        if most.len() == L::COLUMNS.len() {
            break;
        }
    }
    if most.is_empty() { L::COLUMNS } else { most }
}
