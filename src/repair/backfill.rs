//! `coltape backfill`: a product's past, by REST.
//!
//! 1. The first trade at or after a time is found by bisection over the ids; times do not fall as ids rise.
//! 2. The trade before it and the first one behind the end are taken too: with them a day can be shown to be whole.
//! 3. What is stored is not fetched again, so that a backfill that was cut short goes on where it stopped.
//! 4. That a product's trading began with an id is claimed only where it is 1, or REST says twice that there is nothing below, and only once it is stored.

use std::path::PathBuf;
use std::sync::Arc;

use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{ColumnSet, Dataset};
use crate::store::event::Event;
use crate::store::{DataDir, Hole, StoreOptions, catalog, holes};
use crate::time::{Clock, DateFormat, UnixNanos};

use super::RepairError;
use super::binder::Binder;
use super::chain::Chain;
use super::fetch::{Fetcher, GaveUp, RestConfig};
use super::notes::Notes;
use super::report::Report;
use super::work::Work;

/// Gaps looked at together.
const MOST_GAPS: usize = 1 << 20;
/// How often a bisection that contradicts itself is begun anew.
const SEARCHES: u32 = 3;

/// What to fetch.
#[derive(Debug, Clone)]
pub struct BackfillConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose past.
    pub product: ProductId,
    /// First event time.
    pub from: UnixNanos,
    /// Event time to stop before; the newest trade of now where there is none.
    pub to: Option<UnixNanos>,
    /// Where REST is, and how often it may be asked.
    pub rest: RestConfig,
    /// What a new directory remembers as its endpoint, and an old one has to be of; nothing = whatever it is.
    pub endpoint: Option<String>,
    /// Columns of new days; as the product's newest where nothing is said.
    pub columns: Option<ColumnSet>,
    /// How new days spell their date; likewise.
    pub date_format: Option<DateFormat>,
    /// Write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// The wall clock.
    pub clock: Clock,
}

/// How far a backfill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Ids asked for.
    pub done: u64,
    /// Ids to ask for in all.
    pub of: u64,
    /// Event time of the newest trade fetched.
    pub at: Option<UnixNanos>,
}

/// What a backfill did.
#[derive(Debug, Default)]
pub struct Backfilled {
    /// Its work by day, what is missing still, what differs.
    pub report: Report,
    /// The ids from the trade before the time asked for to the one behind its end; nothing where no trade lies between.
    pub ids: Option<Hole>,
    /// Ids of these that were stored before.
    pub stored_before: u64,
    /// The id with which the product's trading began, where that is known.
    pub began: Option<u64>,
}

/// Fetches a product's past.
///
/// # Errors
/// Where the directory is in use or cannot be written to, or REST does not say which ids to fetch. Ids that it does not have are in the report.
pub fn backfill(config: &BackfillConfig, progress: &mut dyn FnMut(Progress)) -> Result<Backfilled, RepairError> {
    let fetcher = Fetcher::new(&config.rest, &config.clock)?;
    backfill_with(config, fetcher, progress)
}

fn backfill_with(config: &BackfillConfig, mut fetcher: Fetcher, progress: &mut dyn FnMut(Progress)) -> Result<Backfilled, RepairError> {
    let BackfillConfig { dir: path, product, clock, .. } = config;
    let (columns, date_format) = catalog::newest_style(path, product, Dataset::Trades)?.unwrap_or_default();
    let (columns, date_format) = (config.columns.unwrap_or(columns), config.date_format.unwrap_or(date_format));
    let options = StoreOptions { columns, date_format, force_fs: config.force_fs, ..StoreOptions::default() };
    let dir = Arc::new(match &config.endpoint {
        Some(endpoint) => DataDir::open(path, options, endpoint)?,
        None => DataDir::open_of_any_endpoint(path, options)?,
    });
    let mut notes = Notes::of(path, clock);
    notes.journal(Event::BackfillStarted { product: product.clone(), from: config.from, to: config.to })?;
    let mut done = Backfilled { report: Report { products: vec![product.clone()], ..Report::default() }, ..Backfilled::default() };
    let Some(span) = span(&mut fetcher, product, config.from, config.to)? else { return Ok(done) };
    let mut work = Work {
        dir: path,
        product,
        now: clock.now(),
        new_columns: columns,
        chain: Chain::read(path, product)?,
        binder: Some(Binder::new(&dir, product, clock)),
        notes: &mut notes,
        report: &mut done.report,
        conflicts: 0,
    };
    let wanted = lacking_within(config, span.ids)?;
    let of: u64 = wanted.iter().map(|hole| hole.missing()).sum();
    done.stored_before = span.ids.missing() - of;
    let mut at = None;
    progress(Progress { done: 0, of, at });
    let lacking = work.fill(&mut fetcher, &wanted, |brought| {
        at = brought.trades.last().map(|trade| trade.time).or(at);
        let behind: u64 =
            wanted.iter().filter(|hole| hole.from <= brought.upto).map(|hole| brought.upto.min(hole.to) - hole.from + 1).sum();
        progress(Progress { done: behind, of, at });
    })?;
    if let Some(binder) = &mut work.binder {
        binder.close(work.notes)?;
    }
    work.chain = Chain::read(path, product)?;
    let missing = lacking_within(config, span.ids)?;
    work.miss(&missing, |ids| lacking.why(ids).unwrap_or_else(|| "they are missing still".to_owned()));
    if span.is_beginning && work.chain.ends().is_some_and(|(first, _)| first == span.first) {
        done.began = Some(span.first);
        work.notes.journal(Event::TradingBegan { product: product.clone(), first_id: span.first })?;
    }
    let sums = work.report.sums();
    let (from_rest, missing, disagreements) = (sums.from_rest, sums.missing, work.conflicts);
    work.notes.journal(Event::Backfilled { product: product.clone(), from_rest, missing, disagreements })?;
    done.ids = Some(span.ids);
    Ok(done)
}

/// The ids of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// With the trade before and the one behind.
    ids: Hole,
    /// The first one in time.
    first: u64,
    /// Whether there is nothing before it.
    is_beginning: bool,
}

/// Finds the ids of a stretch of time; nothing where no trade lies in it.
fn span(fetcher: &mut Fetcher, product: &ProductId, from: UnixNanos, to: Option<UnixNanos>) -> Result<Option<Span>, RepairError> {
    let Some(newest) = last_below(fetcher, product, None)? else { return Ok(None) };
    let Some((first, before)) = first_since(fetcher, product, from, newest)? else { return Ok(None) };
    let end = match to {
        Some(to) => first_since(fetcher, product, to, newest)?.map_or(newest, |(end, _)| end),
        None => newest,
    };
    if to.is_some_and(|to| first.time >= to) {
        return Ok(None);
    }
    let from = before.map_or(first.trade_id, |before| before.trade_id);
    let ids = Hole { from, to: end.trade_id.max(first.trade_id) };
    Ok(Some(Span { ids, first: first.trade_id, is_beginning: before.is_none() }))
}

/// Finds the first trade at or after `time` and the one before it, which is missing only where REST says twice that there is none. Nothing where even the
/// newest is older.
fn first_since(
    fetcher: &mut Fetcher,
    product: &ProductId,
    time: UnixNanos,
    newest: Trade,
) -> Result<Option<(Trade, Option<Trade>)>, RepairError> {
    if newest.time < time {
        return Ok(None);
    }
    let mut high = newest;
    for _ in 0..SEARCHES {
        // Nothing at or below `low` is of `time` or later.
        let mut low = 0;
        while high.trade_id - low > 1 {
            let middle = low + (high.trade_id - low) / 2;
            match last_below(fetcher, product, Some(middle + 1))? {
                Some(trade) if trade.trade_id > low && trade.time >= time => high = trade,
                _ => low = middle,
            }
        }
        // The proof, whatever the search was told.
        if high.trade_id == 1 {
            return Ok(Some((high, None)));
        }
        match last_below(fetcher, product, Some(high.trade_id))? {
            Some(before) if before.time >= time => high = before,
            before => return Ok(Some((high, before))),
        }
    }
    Err(RepairError::Tape(format!("REST contradicts itself about which trade of {product} was the first since {time}")))
}

/// Gets the last trade below an id, or the newest. That there is none is believed when it is said twice.
fn last_below(fetcher: &mut Fetcher, product: &ProductId, after: Option<u64>) -> Result<Option<Trade>, GaveUp> {
    for _ in 0..2 {
        if let Some(trade) = fetcher.page(product, after, 1)?.trades.last() {
            return Ok(Some(*trade));
        }
    }
    Ok(None)
}

/// Gives the ids of a stretch that are not stored.
fn lacking_within(config: &BackfillConfig, ids: Hole) -> Result<Vec<Hole>, RepairError> {
    let stored = holes::holes_at_most(&config.dir, &config.product, None, MOST_GAPS)?;
    let (Some(first), Some(last)) = (stored.first, stored.last) else { return Ok(vec![ids]) };
    let below = first.checked_sub(1).map(|to| Hole { from: 0, to });
    let above = last.checked_add(1).map(|from| Hole { from, to: u64::MAX });
    let lacks = below.into_iter().chain(stored.gaps).chain(above);
    let within = lacks.map(|hole| Hole { from: hole.from.max(ids.from), to: hole.to.min(ids.to) });
    Ok(within.filter(|hole| hole.from <= hole.to).collect())
}
