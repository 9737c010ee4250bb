//! [`backfill`]: fetches a product's past by REST.
//!
//! 1. The first trade at or after a time is searched by bisection over the ids, and proved.
//! 2. The trade before it and the first one behind the end are fetched too: with them a day can be shown to be whole.
//! 3. What is stored is not fetched again. A backfill that was cut short goes on where it stopped.
//! 4. That a product's trading began with an id is claimed only of id 1, and only once it is stored. Where REST has nothing below another id, that is the limit
//!    of what it keeps: what was traded before cannot be fetched, and the report says so.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::progress::Observer;
use crate::schema::{ColumnSet, Dataset};
use crate::store::event::Event;
use crate::store::gaps::gaps_at_most;
use crate::store::{DataDir, StoreOptions, catalog};
use crate::time::{Clock, DateFormat, UnixNanos};

use super::config::RestConfig;
use super::day_index::DayIndex;
use super::day_writer::DayWriter;
use super::error::RepairError;
use super::fetch::Fetcher;
use super::journal::RepairJournal;
use super::known::KnownTrades;
use super::product_repair::{MAX_GAPS, ProductRepair};
use super::report::Report;

/// What to fetch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackfillConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose past.
    pub product: ProductId,
    /// First event time.
    pub from: UnixNanos,
    /// Event time to stop before; `None` = the newest trade of now.
    pub to: Option<UnixNanos>,
    /// REST.
    pub rest: RestConfig,
    /// The endpoint that a new directory remembers and that an old one must have; `None` = any.
    pub endpoint: Option<String>,
    /// Columns of new days; `None` = those of the product's newest day.
    pub columns: Option<ColumnSet>,
    /// How new days spell their date; `None` = as the product's newest day.
    pub date_format: Option<DateFormat>,
    /// Whether to write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// The wall clock.
    pub clock: Clock,
}

impl BackfillConfig {
    /// Fetches the trades of a product since a time into a data directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, product: ProductId, from: UnixNanos, rest: RestConfig) -> Self {
        Self {
            dir: dir.into(),
            product,
            from,
            to: None,
            rest,
            endpoint: None,
            columns: None,
            date_format: None,
            force_fs: false,
            clock: Clock::System,
        }
    }
}

/// How far a backfill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Ids that REST has answered for.
    pub done: u64,
    /// Ids to fetch in all.
    pub of: u64,
    /// Event time of the newest trade fetched.
    pub at: Option<UnixNanos>,
}

/// What a backfill did.
#[derive(Debug, Default)]
pub struct Backfilled {
    /// What was done by day, what is still missing, what differs.
    pub report: Report,
    /// The ids from the trade before the time asked for to the one behind its end; `None` where no trade lies between.
    pub ids: Option<IdRange>,
    /// How many of these were stored before.
    pub stored_before: u64,
    /// The id with which the product's trading began, where that is known: 1.
    pub began: Option<u64>,
    /// The lowest id that REST has, where the time asked for may lie before it: what was traded before that trade cannot be fetched.
    pub lowest_kept: Option<u64>,
}

/// Fetches a product's past.
///
/// # Errors
/// Where the directory is in use or cannot be written to, or REST does not say which ids to fetch. Ids that REST does not have are in the report.
pub fn backfill(config: &BackfillConfig, progress: &mut dyn FnMut(Progress)) -> Result<Backfilled, RepairError> {
    let mut fetcher = Fetcher::new(&config.rest, &config.clock)?;
    let BackfillConfig { dir: path, product, clock, .. } = config;
    if path.exists()
        && let Some(newest) = catalog::series(path, product)?.pop().filter(|newest| newest.series() > product.series())
    {
        return Err(RepairError::SeriesOver { product: product.clone(), newest });
    }
    let newest = catalog::newest_style(path, product, Dataset::Trades)?.unwrap_or_default();
    let (columns, date_format) = (config.columns.unwrap_or(newest.columns), config.date_format.unwrap_or(newest.date_format));
    let options = StoreOptions { columns, date_format, force_fs: config.force_fs, ..StoreOptions::default() };
    let dir = Arc::new(match &config.endpoint {
        Some(endpoint) => DataDir::open(path, options, endpoint)?,
        None => DataDir::open_of_any_endpoint(path, options)?,
    });
    let mut journal = RepairJournal::of(path, clock);
    journal.write(Event::BackfillStarted { product: product.clone(), from: config.from, to: config.to })?;
    let mut done = Backfilled { report: Report { products: vec![product.clone()], ..Report::default() }, ..Backfilled::default() };
    let Some(span) = span(&mut fetcher, product, config.from, config.to)? else { return Ok(done) };
    let mut repair = ProductRepair {
        dir: path,
        product,
        now: clock.now(),
        new_columns: columns,
        index: DayIndex::read(path, product)?,
        writer: Some(DayWriter::new(&dir, product, clock)),
        journal: &mut journal,
        report: &mut done.report,
        conflicts: 0,
        restored: Vec::new(),
        known: &KnownTrades::default(),
        observer: &Observer::default(),
    };
    let wanted = missing_within(config, span.ids)?;
    let of = wanted.count();
    done.stored_before = span.ids.count() - of;
    let mut at = None;
    progress(Progress { done: 0, of, at });
    let unfetched = repair.fetch(&mut fetcher, &wanted, |fetched| {
        at = at.max(fetched.trades.last().map(|trade| trade.time));
        progress(Progress { done: fetched.answered, of, at });
    })?;
    repair.seal_days()?;
    let missing = missing_within(config, span.ids)?;
    repair.report_missing(&missing, |ids| unfetched.why(ids).unwrap_or_else(|| "they are missing still".to_owned()));
    if let Some(first) = span.began.filter(|first| repair.index.ids().is_some_and(|stored| stored.first() == *first)) {
        repair.journal.write(Event::TradingBegan { product: product.clone(), first_id: first })?;
        done.began = Some(first);
    }
    if let Some(lowest_id) = span.lowest_kept {
        repair.journal.write(Event::RestRetention { product: product.clone(), lowest_id })?;
        let text = format!(
            "REST has no trade below id {lowest_id}: what was traded before it cannot be fetched, and no day is shown to be the first"
        );
        repair.report.remarks.push(format!("{product}: {text}"));
        done.lowest_kept = Some(lowest_id);
    }
    let sums = repair.report.sums();
    let (from_rest, missing, disagreements) = (sums.from_rest, sums.missing, repair.conflicts);
    repair.journal.write(Event::Backfilled { product: product.clone(), from_rest, missing, disagreements })?;
    done.ids = Some(span.ids);
    Ok(done)
}

/// The ids of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// From the trade before the first one to the one behind the last.
    ids: IdRange,
    /// The first trade's id, where the product's trading began with it.
    began: Option<u64>,
    /// The lowest id that REST has, where it has nothing older than the time.
    lowest_kept: Option<u64>,
}

/// Finds the ids of a stretch of time; `None` where no trade lies in it.
fn span(fetcher: &mut Fetcher, product: &ProductId, from: UnixNanos, to: Option<UnixNanos>) -> Result<Option<Span>, RepairError> {
    let Some(newest) = fetcher.newest(product)?.filter(|newest| newest.time >= from) else { return Ok(None) };
    let since = fetcher.first_since(product, from, newest.trade_id)?;
    let behind = match to.filter(|to| newest.time >= *to) {
        Some(to) => Some(fetcher.first_since(product, to, newest.trade_id)?.first),
        None => None,
    };
    if behind == Some(since.first) {
        return Ok(None);
    }
    let last = behind.unwrap_or(newest.trade_id).max(since.first);
    let ids = IdRange::new(since.before.unwrap_or(since.first), last);
    Ok(ids.map(|ids| Span { ids, began: since.began(), lowest_kept: since.lowest_kept() }))
}

/// Gives the ids of a range that are not stored.
fn missing_within(config: &BackfillConfig, ids: IdRange) -> Result<IdSet, RepairError> {
    let stored = gaps_at_most(&config.dir, &config.product, None, MAX_GAPS)?;
    let mut missing: IdSet = [ids].into_iter().collect();
    if let (Some(first), Some(last)) = (stored.first, stored.last) {
        IdRange::new(first, last).into_iter().for_each(|chain| missing.remove(chain));
    }
    missing.extend(stored.missing.within(ids));
    Ok(missing)
}
