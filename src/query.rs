//! `coltape query`: prints stored records as a table, as CSV or as JSON Lines.
//!
//! ```text
//!   days ──▶ snapshots ──▶ filter (time, order) ──▶ products in order of time ──▶ cell by cell ──▶ table | CSV | JSON Lines
//!                 ▲ follow: what comes                                              exact: texts longer than an f64
//! ```
//!
//! 1. Live days are read, too: committed records are printed, late records in their place.
//! 2. The records between `--from` and `--to` are found by the index of the day's times, which is exact where times fall. Making it takes one look at all
//!    times of the day.
//! 3. The memory needed is that of one day's maps and one batch of lines, and with `--tail` two numbers for each record asked for.
//! 4. A sealed day that is printed whole is compared with its checksums first: an altered byte is an error, not a record. What prints a part of a day does
//!    not read the rest of it.
//! 5. An output whose reader has gone away is the end, not an error.

mod cell;
mod columns;
mod config;
mod error;
mod exact;
mod filter;
mod order;
mod printer;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::lookup::{self, LookupError};
use crate::product::ProductId;
use crate::schema::{Column, Kind, Layout, with_layout};
use crate::store::{DayKey, DayState, Snapshot, StoreError, catalog, holder_of};
use crate::tape::Tape;
use crate::tape::follow::{self, Follow};
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos, UtcDay};
use crate::time_range::TimeRange;

use columns::Choice;
pub use config::{Format, QueryConfig};
pub use error::{QueryError, QuestionError};
pub(crate) use exact::ExactTexts;
use filter::Filter;
use order::ProductDay;
use printer::RecordPrinter;

/// How long after the end asked for records from before it may still come, in nanoseconds.
const AFTER_END_NANOS: u64 = 10 * NANOS_PER_SECOND;

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
/// let error = query(&config, &|| true, &mut out).expect_err("an empty folder");
/// assert!(matches!(&error, QueryError::Tape(_)));
/// assert!(error.to_string().contains("is no tape"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn query(config: &QueryConfig, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
    query_with_notes(config, is_over, out, &mut |note| log::info!("{note}"))
}

/// As [`query`]. `note` is given what people should know about the answer: columns that a table does not show, products that have nothing of the time asked
/// for, and that nothing was found.
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
        let query = Query::<L>::new(config, note)?;
        if let Some(text) = query.hidden_columns() {
            note(&text);
        }
        query.run(is_over, out)
    });
    match printed {
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Ok(0) if !config.follow && config.limit != Some(0) && config.tail != Some(0) => {
            note("no record matches; the days asked for have others");
            Ok(0)
        }
        printed => printed,
    }
}

/// A checked question.
struct Query<'a, L: Layout> {
    config: &'a QueryConfig,
    filter: Filter,
    /// The days of each product that may hold records asked for.
    days: Vec<BTreeSet<UtcDay>>,
    choice: Choice,
    layout: std::marker::PhantomData<L>,
}

impl<'a, L: Layout> Query<'a, L> {
    fn new(config: &'a QueryConfig, note: &mut dyn FnMut(&str)) -> Result<Self, QueryError> {
        match config.order {
            Some(_) if !L::COLUMNS.iter().any(|column| column.kind == Kind::Uuid) => {
                return Err(QuestionError::NoOrderIds(L::DATASET).into());
            }
            Some(order) if order.is_nil() => return Err(QuestionError::NoOrder.into()),
            _ => {}
        }
        let filter = Filter { range: TimeRange { from: config.from, to: config.to }, order: config.order };
        let days = days_of(config, note)?;
        let stored = stored_columns::<L>(config, &days);
        let choice = Choice::of(config, stored, L::COLUMNS)?;
        Ok(Self { config, filter, days, choice, layout: std::marker::PhantomData })
    }

    /// Says which columns are stored and not printed, where there are any.
    fn hidden_columns(&self) -> Option<String> {
        let width = self.config.width.filter(|_| !self.choice.hidden.is_empty())?;
        Some(format!(
            "not shown on a terminal of {width} characters: {} (--columns A,B chooses; --format csv and jsonl have all)",
            self.choice.hidden.join(", ")
        ))
    }

    fn run(&self, is_over: &dyn Fn() -> bool, out: &mut dyn Write) -> Result<u64, QueryError> {
        let dates: BTreeSet<UtcDay> = self.days.iter().flatten().copied().collect();
        // A follower needs the texts of every day to come.
        let first = dates.first().copied().or(self.config.follow.then_some(UtcDay(0)));
        let exact = ExactTexts::read(&self.config.dir, &self.config.products, first.filter(|_| !self.config.raw));
        let mut printer = RecordPrinter::new(self.config, &self.choice.columns, exact, out);
        printer.begin().map_err(QueryError::Output)?;
        let mut follow =
            self.config.follow.then(|| Tape::to_be(&self.config.dir).follow_all(self.config.products.clone(), self.filter.range));
        match self.config.tail {
            Some(tail) => self.print_tail(&dates, tail, &mut printer, follow.as_mut())?,
            None => self.print_all(&dates, &mut printer, follow.as_mut())?,
        }
        printer.end_batch().map_err(QueryError::Output)?;
        if let Some(follow) = follow {
            self.print_arrivals(follow, is_over, &mut printer)?;
        }
        Ok(printer.printed())
    }

    /// Prints what comes until `is_over` says so, or until as many have been printed as were asked for. A late record is printed when it comes.
    fn print_arrivals(&self, mut follow: Follow<L>, is_over: &dyn Fn() -> bool, printer: &mut RecordPrinter<'_>) -> Result<(), QueryError> {
        let is_past = || self.config.to.is_some_and(|to| Clock::System.now() > UnixNanos(to.0.saturating_add(AFTER_END_NANOS)));
        let mut values = Vec::new();
        loop {
            // Asked before the look, so that everything is printed that was there when it became true.
            let is_last = is_over() || is_past();
            follow.look(|arrivals| {
                // Their texts were written before they were committed.
                printer.refresh_exact();
                for record in arrivals.records() {
                    if record.load(&mut values) && self.filter.admits_values(L::COLUMNS, &values) {
                        printer.print_values::<L>(arrivals.product_number(), &values).map_err(QueryError::Output)?;
                    }
                }
                Ok::<(), QueryError>(())
            })?;
            printer.end_batch().map_err(QueryError::Output)?;
            if is_last || printer.is_full() {
                return Ok(());
            }
            std::thread::sleep(follow.pause());
        }
    }

    fn print_all(
        &self,
        dates: &BTreeSet<UtcDay>,
        printer: &mut RecordPrinter<'_>,
        mut follow: Option<&mut Follow<L>>,
    ) -> Result<(), QueryError> {
        for date in dates {
            if printer.is_full() {
                break;
            }
            let mut days = self.open(*date)?;
            if self.config.limit.is_none() && self.filter.is_whole(*date) {
                days.iter_mut().try_for_each(|day| check_sealed(&mut day.records))?;
            }
            let ended = order::for_each(&days, &self.filter, |at, number| {
                let Some(day) = days.get(at).filter(|_| !printer.is_full()) else { return ControlFlow::Break(None) };
                match printer.print(day.product, &day.records, number) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => ControlFlow::Break(Some(error)),
                }
            });
            if let ControlFlow::Break(Some(error)) = ended {
                return Err(QueryError::Output(error));
            }
            add_given(follow.as_deref_mut(), days);
        }
        Ok(())
    }

    fn print_tail(
        &self,
        dates: &BTreeSet<UtcDay>,
        tail: u64,
        printer: &mut RecordPrinter<'_>,
        mut follow: Option<&mut Follow<L>>,
    ) -> Result<(), QueryError> {
        let mut left = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut wanted = VecDeque::new();
        for date in dates.iter().rev() {
            // Late records of the days that are followed are printed when they come.
            if left == 0 && !(follow.is_some() && wanted.len() < follow::MAX_DAYS) {
                break;
            }
            let days = self.open(*date)?;
            let records = order::last(&days, &self.filter, left);
            left -= records.len();
            wanted.push_front((*date, days, records));
        }
        if let Some(follow) = &mut follow {
            let first = wanted.front().map(|(date, ..)| *date);
            dates.iter().filter(|date| first.is_none_or(|first| **date < first)).for_each(|date| follow.pass_over(*date));
        }
        for (_, days, records) in wanted {
            for (at, number) in records {
                let Some(day) = days.get(at) else { continue };
                printer.print(day.product, &day.records, number).map_err(QueryError::Output)?;
            }
            add_given(follow.as_deref_mut(), days);
        }
        Ok(())
    }

    /// Opens a day of each product that has it. Leaves out one that is being made, or in which nothing was ever stored.
    fn open(&self, date: UtcDay) -> Result<Vec<ProductDay<L>>, QueryError> {
        let mut opened = Vec::new();
        for (product, name) in self.config.products.iter().enumerate() {
            if !self.days.get(product).is_some_and(|days| days.contains(&date)) {
                continue;
            }
            opened.extend(open(&self.config.dir, name, date)?.map(|records| ProductDay { product, records }));
        }
        Ok(opened)
    }
}

/// Follows days from here on, where anybody does.
fn add_given<L: Layout>(follow: Option<&mut Follow<L>>, days: Vec<ProductDay<L>>) {
    if let Some(follow) = follow {
        days.into_iter().for_each(|day| follow.add_given(day.product, day.records));
    }
}

/// Opens a day that was listed; nothing where it is being made, or where nothing was ever stored in it.
fn open<L: Layout>(dir: &std::path::Path, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, StoreError> {
    let snapshot = Snapshot::open(dir, product, date)?;
    if snapshot.is_none() && holder_of(dir)?.is_none() {
        catalog::must_be_empty(dir, &DayKey { product: product.clone(), dataset: L::DATASET, date })?;
    }
    Ok(snapshot)
}

/// Lists the days of each product that may hold records asked for.
fn days_of(config: &QueryConfig, note: &mut dyn FnMut(&str)) -> Result<Vec<BTreeSet<UtcDay>>, QueryError> {
    lookup::check_range(config.from, config.to)?;
    if !config.follow || !config.dir.is_dir() {
        lookup::check_tape(&config.dir)?;
    }
    let range = TimeRange { from: config.from, to: config.to };
    let (mut days, mut nothing_then) = (Vec::new(), Vec::new());
    for product in &config.products {
        let found = lookup::days(&config.dir, product, config.dataset, config.from, config.to);
        days.push(match found {
            Ok(found) => BTreeSet::from_iter(found),
            // A follower waits for what is not there yet. What is there without a record may get one.
            Err(
                error @ (LookupError::NoTape { .. }
                | LookupError::NothingStored { .. }
                | LookupError::NothingThen { .. }
                | LookupError::EmptyDays { .. }),
            ) if config.follow => {
                note(&format!("{error}; waiting for it"));
                let listed = catalog::days(&config.dir, product, config.dataset)?;
                listed.into_iter().filter(|date| range.overlaps_day(*date)).collect()
            }
            // Only the newest records are asked for: those behind the archived days.
            Err(LookupError::Archived(span))
                if config.from.is_none() && (config.follow || (config.tail.is_some() && span.next.is_some())) =>
            {
                note(&LookupError::Archived(span.clone()).to_string());
                let listed = catalog::days(&config.dir, product, config.dataset)?;
                listed.into_iter().filter(|date| *date > span.last && range.overlaps_day(*date)).collect()
            }
            Err(error @ (LookupError::NothingThen { .. } | LookupError::EmptyDays { .. })) => {
                nothing_then.push(error);
                BTreeSet::new()
            }
            Err(error) => return Err(error.into()),
        });
    }
    if nothing_then.len() == config.products.len()
        && let Some(error) = nothing_then.pop()
    {
        return Err(error.into());
    }
    nothing_then.iter().for_each(|error| note(&error.to_string()));
    Ok(days)
}

/// Compares a sealed day with its checksums.
///
/// # Errors
/// Where a byte is another.
fn check_sealed<L: Layout>(day: &mut Snapshot<L>) -> Result<(), QueryError> {
    while matches!(day.state(), DayState::Sealed { .. }) {
        let Some(fault) = day.check()?.into_iter().next() else { break };
        // The checksums may be those of the files that replaced these meanwhile.
        if !day.refresh()? {
            return Err(StoreError::damaged(&fault.path, fault.what).into());
        }
    }
    Ok(())
}

/// Gives the columns that at least one of the days asked for has. Every day has a front of the table, so the longest has them all.
fn stored_columns<L: Layout>(config: &QueryConfig, days: &[BTreeSet<UtcDay>]) -> &'static [Column] {
    let mut most: &'static [Column] = &[];
    for (product, date) in config.products.iter().zip(days).flat_map(|(product, days)| days.iter().rev().map(move |date| (product, date))) {
        let Ok(Some(day)) = Snapshot::<L>::open(&config.dir, product, *date) else { continue };
        if day.columns().len() > most.len() {
            most = day.columns();
        }
        if most.len() == L::COLUMNS.len() {
            break;
        }
    }
    if most.is_empty() { L::COLUMNS } else { most }
}
