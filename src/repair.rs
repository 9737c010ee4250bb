//! `coltape repair` and `coltape backfill`: getting what is missing, from another box's tape and from REST.
//!
//! ```text
//!   holes ──▶ tape    another tape, side by side with this one (walk): missing trades, lacking order ids, differences
//!        └──▶ gather  REST, in windows of 1000 ids (fetch: pace and patience)
//!                └──▶ binder   into their days; days sealed again, through the store's own crash-safe steps
//! ```
//!
//! 1. What is stored is never changed: trades are added, order ids put where there were none. What differs is reported.
//! 2. A claim is made only of what was looked at: what could not be fetched is missing, with the reason.
//! 3. The directory is held by its lock. Where a capture holds it, that is asked ([`crate::store::request`]).
//! 4. Only trades: tickers have no ids to tell what is missing by, and nobody serves past ones.

pub mod ask;
pub mod backfill;
mod binder;
mod chain;
pub mod difference;
pub mod fetch;
mod gather;
mod notes;
pub mod offer;
pub mod report;
mod tape;
mod walk;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::feed::rest::RestError;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset};
use crate::store::event::Event;
use crate::store::probe::Probe;
use crate::store::{DataDir, Hole, StoreError, StoreOptions, catalog, endpoint_of};
use crate::time::{Clock, DateFormat};

use binder::Binder;
pub use binder::BinderError;
use chain::Chain;
use fetch::{Fetcher, RestConfig};
use notes::Notes;
use report::Report;
use work::{Work, WorkError};

/// How often a long repair says how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What to repair, and from what.
#[derive(Debug, Clone)]
pub struct RepairConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Only this product.
    pub product: Option<ProductId>,
    /// Other boxes' tapes, in the order in which they are asked.
    pub from: Vec<PathBuf>,
    /// REST; nothing = it is not asked.
    pub rest: Option<RestConfig>,
    /// Look only, change nothing.
    pub is_dry: bool,
    /// Take from tapes of other endpoints, too.
    pub any_endpoint: bool,
    /// Write to a file system that is not known to be safe.
    pub force_fs: bool,
    /// The wall clock.
    pub clock: Clock,
    /// Sees every step of the store; tests only.
    #[doc(hidden)]
    pub probe: Option<Probe>,
}

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The data directory; [`StoreError::Locked`] where a capture holds it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Trades could not be put down.
    #[error(transparent)]
    Binder(#[from] BinderError),
    /// The REST endpoint.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A page of REST that everything depends on.
    #[error(transparent)]
    GaveUp(#[from] fetch::GaveUp),
    /// The capture that holds the directory was asked, and nothing came of it.
    #[error("{0}")]
    Asked(String),
    /// There is no such tape, or not of that product, or of another endpoint.
    #[error("{0}")]
    Tape(String),
}

impl From<WorkError> for RepairError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Store(error) => Self::Store(error),
            WorkError::Binder(error) => Self::Binder(error),
        }
    }
}

/// Gives the REST endpoint of the feed that a directory was begun with: Coinbase's where it is Coinbase's own, none where it is a test's.
///
/// # Errors
/// Where the file that says so cannot be read.
pub fn rest_url_of(dir: &Path) -> Result<Option<String>, StoreError> {
    Ok(match endpoint_of(dir)? {
        Some(endpoint) => own_feed(&endpoint).map(|feed| feed.default_rest_url().to_owned()),
        None => Some(Feed::Exchange.default_rest_url().to_owned()),
    })
}

/// Tells which of Coinbase's own feeds an endpoint is.
fn own_feed(endpoint: &str) -> Option<Feed> {
    Feed::ALL.into_iter().find(|feed| endpoint == format!("{} {}", feed.name(), feed.default_url()))
}

/// Repairs a data directory.
///
/// # Errors
/// Where it cannot be begun: no such directory, product or tape, a directory that is in use, an endpoint that is none. What goes wrong with one product
/// is in the report.
pub fn repair(config: &RepairConfig) -> Result<Report, RepairError> {
    let products = products(config)?;
    for tape in &config.from {
        check_tape(config, tape)?;
    }
    let mut fetcher = config.rest.as_ref().map(|rest| Fetcher::new(rest, &config.clock)).transpose()?;
    let (columns, date_format) = habits(&config.dir, &products);
    let (dir, mut notes) = if config.is_dry {
        (None, Notes::none(&config.clock))
    } else {
        let options =
            StoreOptions { columns, date_format, force_fs: config.force_fs, probe: config.probe.clone(), ..StoreOptions::default() };
        (Some(Arc::new(DataDir::open_of_any_endpoint(&config.dir, options)?)), Notes::of(&config.dir, &config.clock))
    };
    let tapes: Vec<String> = config.from.iter().map(|tape| tape.display().to_string()).collect();
    notes.journal(Event::RepairStarted { from: tapes.join(", "), rest: fetcher.is_some() })?;
    let mut report = Report { is_dry: config.is_dry, products: products.clone(), ..Report::default() };
    for product in &products {
        let chain = Chain::read(&config.dir, product)?;
        let binder = dir.as_ref().map(|dir| Binder::new(dir, product, &config.clock));
        let mut work = Work {
            dir: &config.dir,
            product,
            now: config.clock.now(),
            new_columns: columns,
            chain,
            binder,
            notes: &mut notes,
            report: &mut report,
            conflicts: 0,
        };
        if let Err(error) = repair_product(&mut work, config, fetcher.as_mut()) {
            report.failures.push(format!("{product}: {error}"));
        }
    }
    Ok(report)
}

fn repair_product(work: &mut Work<'_>, config: &RepairConfig, mut fetcher: Option<&mut Fetcher>) -> Result<(), WorkError> {
    if let Some(binder) = &mut work.binder
        && binder.seal_leftovers(work.notes)? > 0
    {
        // What a crash left may have lost what was visible only.
        work.chain = Chain::read(&config.dir, work.product)?;
    }
    let mut taken = Vec::new();
    let mut too_coarse = 0;
    for tape in &config.from {
        let from_this = tape::take_from(work, tape)?;
        taken.extend(from_this.runs);
        too_coarse += from_this.too_coarse;
    }
    close(work)?;
    let mut gaps = work.gaps()?;
    if config.is_dry {
        taken.sort_by_key(|run| run.from);
        gaps = without_runs(&gaps, &taken);
    }
    let mut lacking = gather::Lacking::default();
    if let Some(fetcher) = fetcher.as_mut().filter(|_| !gaps.is_empty() && !config.is_dry) {
        let before = quarantined(work);
        lacking = fill(work, fetcher, &gaps)?;
        close(work)?;
        gaps = work.gaps()?;
        if quarantined(work) != before && lacking.failed.is_none() {
            // A day that was damaged is empty now: all of it is missing.
            lacking = fill(work, fetcher, &gaps)?;
            close(work)?;
            gaps = work.gaps()?;
        }
        if too_coarse > 0 {
            // Now that the trades are there, the coarse tapes' order ids can be put to them.
            for tape in &config.from {
                tape::take_from(work, tape)?;
            }
            close(work)?;
        }
    }
    let unasked = match (&fetcher, config.is_dry) {
        (Some(_), true) => "REST would be asked",
        (None, _) if too_coarse > 0 => "other tapes know them less exactly than this one, and REST is not asked",
        (None, _) if config.from.is_empty() => "neither another tape nor REST is asked",
        (None, _) => "no other tape has them, and REST is not asked",
        (Some(_), false) => "they are missing still",
    };
    work.miss(&gaps, |ids| lacking.why(ids).unwrap_or_else(|| unasked.to_owned()));
    let done: Vec<_> = work.report.days.iter().filter(|((product, _), _)| product == work.product).map(|(_, day)| *day).collect();
    let sum = |of: fn(&report::DayWork) -> u64| done.iter().map(of).sum::<u64>();
    work.notes.journal(Event::Repaired {
        product: work.product.clone(),
        from_tapes: sum(|day| day.from_tapes),
        from_rest: sum(|day| day.from_rest),
        completed: sum(|day| day.completed),
        disagreements: work.conflicts,
        missing: sum(|day| day.missing),
    })?;
    Ok(())
}

/// Fills gaps from REST, and says now and then how far it has come: a long one takes hours.
fn fill(work: &mut Work<'_>, fetcher: &mut Fetcher, gaps: &[Hole]) -> Result<gather::Lacking, WorkError> {
    let of: u64 = gaps.iter().map(|gap| gap.missing()).sum();
    let product = work.product;
    log::info!("{product}: {of} ids are missing; REST is asked");
    let mut said = Instant::now();
    work.fill(fetcher, gaps, |brought| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let at = gaps.last().map_or(0, |gap| gap.to);
            log::info!("{product}: REST has been asked up to id {} of {at}", brought.upto);
        }
    })
}

fn quarantined(work: &Work<'_>) -> u32 {
    work.binder.as_ref().map_or(0, |binder| binder.quarantined)
}

fn close(work: &mut Work<'_>) -> Result<(), WorkError> {
    if let Some(binder) = &mut work.binder {
        binder.close(work.notes)?;
    }
    work.chain = Chain::read(work.dir, work.product)?;
    Ok(())
}

/// Gives the holes that are left when runs (rising) are filled.
fn without_runs(holes: &[Hole], runs: &[Hole]) -> Vec<Hole> {
    let mut left = Vec::with_capacity(holes.len());
    let mut runs = runs.iter().peekable();
    for hole in holes {
        let mut from = hole.from;
        while let Some(run) = runs.peek().filter(|run| run.from <= hole.to) {
            if run.from > from {
                left.push(Hole { from, to: run.from - 1 });
            }
            from = from.max(run.to.saturating_add(1));
            if run.to > hole.to {
                break;
            }
            runs.next();
        }
        if from <= hole.to {
            left.push(Hole { from, to: hole.to });
        }
    }
    left
}

fn products(config: &RepairConfig) -> Result<Vec<ProductId>, RepairError> {
    let mut products = catalog::products(&config.dir)?;
    if let Some(only) = &config.product {
        products.retain(|product| product == only);
        if products.is_empty() {
            return Err(RepairError::Tape(format!("{} holds no {only}", config.dir.display())));
        }
    }
    Ok(products)
}

/// Makes sure that another tape is one, and of the same market.
fn check_tape(config: &RepairConfig, tape: &Path) -> Result<(), RepairError> {
    let refused = |why: String| Err(RepairError::Tape(why));
    let is_same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
    if is_same(tape, &config.dir) {
        return refused(format!("{} is the directory that is to be repaired", tape.display()));
    }
    if catalog::products(tape)?.is_empty() {
        return refused(format!("{} holds no tape", tape.display()));
    }
    if let (Some(own), Some(other)) = (endpoint_of(&config.dir)?, endpoint_of(tape)?)
        && own != other
        && (own_feed(&own).is_none() || own_feed(&other).is_none())
        && !config.any_endpoint
    {
        return refused(format!("{} holds the tape of {other}, not of {own} (--any-endpoint takes from it all the same)", tape.display()));
    }
    Ok(())
}

/// Finds how a directory's days are written: as the newest day of the first product that has one.
fn habits(dir: &Path, products: &[ProductId]) -> (ColumnSet, DateFormat) {
    let found = products.iter().find_map(|product| catalog::newest_style(dir, product, Dataset::Trades).ok().flatten());
    found.unwrap_or_default()
}
