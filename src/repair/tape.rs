//! Taking from another box's tape: what is missing here, and order ids that are lacking here. It is only read.
//!
//! 1. Taken are trades of days that are here, whatever their id, and of days that are missing here altogether between the first stored id and the last.
//! 2. Taken is only what can be believed: days whose checksums hold and whose ids rise, trades that are plausible and lie in their own day.
//! 3. A tape that holds the core alone knows prices and sizes as f32 only: it gives order ids to a fuller tape, but no trades.
//! 4. What the two tell differently is reported and left as it is, order ids included.

use std::path::Path;

use crate::record::Trade;
use crate::schema::{ColumnSet, Dataset, Layout, Trades};
use crate::store::event::{Event, GapFiller, Line};
use crate::store::journal::{self, EXACT_TEXTS};
use crate::store::{Hole, Inserted, Snapshot, catalog};
use crate::time::UtcDay;

use super::chain;
use super::difference::{columns_that_differ, completed, from_tape};
use super::walk::{Met, rises, walk};
use super::work::{Work, WorkError};

/// Days after the event day on which a text may have been written down.
const LATER_DAYS: u32 = 31;

/// What a pass over one tape led to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Runs of ids taken, in rising order a day.
    pub(super) runs: Vec<Hole>,
    /// Trades that the tape has and that were not taken, as it knows them less exactly than this one.
    pub(super) too_coarse: u64,
}

/// A day's walk has to begin anew: the day here was damaged and is empty now.
struct Anew;

/// Takes what `tape` has of the product.
pub(super) fn take_from(work: &mut Work<'_>, tape: &Path) -> Result<Taken, WorkError> {
    let mut taken = Taken::default();
    let dates = catalog::days(tape, work.product, Dataset::Trades)?;
    for date in &dates {
        let theirs = match Snapshot::<Trades>::open(tape, work.product, *date) {
            Ok(Some(theirs)) => theirs,
            Ok(None) => continue,
            Err(error) => {
                work.remark(format!("{} {date} is not used: {error}", tape.display()));
                continue;
            }
        };
        if !is_wanted(work, *date, &theirs) {
            continue;
        }
        if is_told_alike(work, *date, &theirs) {
            continue;
        }
        let faults = theirs.check()?;
        if let Some(fault) = faults.first() {
            work.remark(format!("{} {date} is not used: {}: {}", tape.display(), fault.path.display(), fault.what));
            continue;
        }
        if !rises(&theirs) {
            work.remark(format!("{} {date} is not used: its ids do not rise", tape.display()));
            continue;
        }
        while take_day(work, tape, *date, &theirs, &mut taken)?.is_err() {}
    }
    if let (Some(first), Some(last)) = (dates.first(), dates.last()) {
        copy_texts(work, tape, &mut taken, *first, *last)?;
    }
    Ok(taken)
}

/// Tells at a glance whether a day lies here byte by byte as there, but for what tells how the trades came: the usual case where little was lost.
fn is_told_alike(work: &Work<'_>, date: UtcDay, theirs: &Snapshot<Trades>) -> bool {
    let Ok(Some(ours)) = Snapshot::<Trades>::open(work.dir, work.product, date) else { return false };
    let came = ["trade_recv_nanos", "trade_origin"];
    let is_plain = |day: &Snapshot<Trades>| day.late().is_empty();
    let is_alike = |at: usize| ours.column_bytes(at) == theirs.column_bytes(at);
    is_plain(&ours)
        && is_plain(theirs)
        && ours.column_set() == theirs.column_set()
        && Trades::COLUMNS.iter().enumerate().all(|(at, column)| came.contains(&column.name) || is_alike(at))
}

/// Tells whether a day of the other tape belongs into this one.
fn is_wanted(work: &Work<'_>, date: UtcDay, theirs: &Snapshot<Trades>) -> bool {
    let Some((first, last)) = chain::ends(theirs) else { return false };
    work.chain.has_day(date) || work.chain.ends().is_some_and(|(from, to)| from < last && first < to)
}

fn take_day(
    work: &mut Work<'_>,
    tape: &Path,
    date: UtcDay,
    theirs: &Snapshot<Trades>,
    taken: &mut Taken,
) -> Result<Result<(), Anew>, WorkError> {
    // One that cannot be read is set aside when it is opened for writing.
    let ours = Snapshot::<Trades>::open(work.dir, work.product, date).unwrap_or_default();
    let our_set = ours.as_ref().map_or(work.new_columns, Snapshot::column_set);
    let set = if our_set == ColumnSet::Core { ColumnSet::Core } else { theirs.column_set() };
    let is_too_coarse = our_set == ColumnSet::Full && theirs.column_set() == ColumnSet::Core;
    let (bounds, is_here) = (work.chain.ends(), work.chain.has_day(date));
    let (mut run, mut unusable): (Option<Hole>, u64) = (None, 0);
    let outcome = walk(ours.as_ref(), theirs, |met| {
        let (change, is_new) = match met {
            Met::Theirs(told) => {
                if !is_here && bounds.is_none_or(|(first, last)| told.trade_id < first || told.trade_id > last) {
                    return Ok(());
                }
                if told.time.day() != date || told.validate(work.now).is_err() {
                    unusable += 1;
                    return Ok(());
                }
                if let Some((other, stored)) = work.chain.elsewhere(told.trade_id, date).map_err(|error| Err(error.into()))? {
                    // Stored under another day: the two disagree about its time, or this tape has it in the wrong place.
                    return work.differs(other, stored, told, tape, columns_that_differ(&stored, &told, set)).map_err(Err);
                }
                if is_too_coarse {
                    taken.too_coarse += 1;
                    return Ok(());
                }
                (from_tape(&told), true)
            }
            Met::Both(stored, told) => {
                let columns = columns_that_differ(&stored, &told, set);
                if !columns.is_empty() {
                    return work.differs(date, stored, told, tape, columns).map_err(Err);
                }
                match completed(&stored, &told) {
                    Some(trade) => (trade, false),
                    None => return Ok(()),
                }
            }
        };
        put(work, tape, date, &change, is_new, &mut run, taken)
    });
    if let Some(run) = run {
        taken.runs.push(run);
        work.notes.gap_filled(work.product, run, GapFiller::Tape)?;
    }
    if unusable > 0 {
        work.remark(format!("{} {date}: {unusable} trades that are implausible or of another day are not used", tape.display()));
    }
    if let Some(binder) = &mut work.binder {
        binder.commit_and_sync()?;
    }
    work.chain.look(date);
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(Ok(anew)) => Ok(Err(anew)),
        Err(Err(error)) => Err(error),
    }
}

/// Puts a trade down, or in a dry run counts it. Its day is opened first: what was read of it counts only if it is not damaged.
fn put(
    work: &mut Work<'_>,
    tape: &Path,
    date: UtcDay,
    trade: &Trade,
    is_new: bool,
    run: &mut Option<Hole>,
    taken: &mut Taken,
) -> Result<(), Result<Anew, WorkError>> {
    let failed = |error: super::binder::BinderError| Err(error.into());
    if let Some(binder) = &mut work.binder {
        if binder.prepare(date, work.notes).map_err(failed)? {
            return Err(Ok(Anew));
        }
        match binder.put(trade, work.notes).map_err(failed)? {
            Inserted::Appended | Inserted::Late => {}
            Inserted::Duplicate => return Ok(()),
            Inserted::Conflict(stored) => {
                let set = binder.columns_of(date).unwrap_or_default();
                let columns = columns_that_differ(&stored, trade, set);
                return work.differs(date, stored, *trade, tape, columns).map_err(Err);
            }
        }
    }
    let day = work.report.day(work.product, date);
    if !is_new {
        day.completed += 1;
        return Ok(());
    }
    day.from_tapes += 1;
    match run {
        Some(run) if run.to.checked_add(1) == Some(trade.trade_id) => run.to = trade.trade_id,
        _ => {
            let before = run.replace(Hole { from: trade.trade_id, to: trade.trade_id });
            if let Some(before) = before {
                taken.runs.push(before);
                work.notes.gap_filled(work.product, before, GapFiller::Tape).map_err(|error| Err(error.into()))?;
            }
        }
    }
    Ok(())
}

/// Copies the decimal texts of the trades taken that no f64 holds.
fn copy_texts(work: &mut Work<'_>, tape: &Path, taken: &mut Taken, first: UtcDay, last: UtcDay) -> Result<(), WorkError> {
    if taken.runs.is_empty() {
        return Ok(());
    }
    taken.runs.sort_by_key(|run| run.from);
    let is_taken = |id: u64| taken.runs.get(taken.runs.partition_point(|run| run.to < id)).is_some_and(|run| run.from <= id);
    for line in journal::events(tape, EXACT_TEXTS, first, UtcDay(last.0.saturating_add(LATER_DAYS))) {
        let Ok(Line { time, event: Some(Event::Exact { product, column, key, text }) }) = line else { continue };
        if product == *work.product && column.starts_with("trade_") && is_taken(key) {
            work.notes.exact(time, work.product, &column, key, &text)?;
        }
    }
    Ok(())
}
