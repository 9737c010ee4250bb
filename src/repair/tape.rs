//! [`take_from`]: taking missing trades and missing order ids from another box's tape. The other tape is only read.
//!
//! 1. Trades are taken whatever their ids. Days that are not here at all were brought before, as they are ([`super::restore`]): what is left of them
//!    here cannot be taken as a whole.
//! 2. Only what can be believed is taken: from days whose checksums hold and whose ids rise, trades that are plausible and lie in their own day.
//! 3. A tape with core columns knows prices and sizes as f32 only. It gives order ids to a fuller day, but no trades.
//! 4. Trades that differ are reported and left as they are, order ids included.
//! 5. A day here without a commit page is not written to: opening it for that would set its records aside.

use std::path::Path;

use crate::ids::{IdRange, IdSet};
use crate::record::Trade;
use crate::schema::{ColumnSet, Dataset, Layout, Trades};
use crate::store::event::GapFiller;
use crate::store::{DayState, Inserted, Snapshot, StoreError, catalog};
use crate::time::{UnixNanos, UtcDay};

use super::day_writer::{Prepared, WriteError};
use super::difference::{columns_that_differ, completed, from_tape};
use super::join::{Joined, has_rising_ids, join};
use super::product_repair::{Conflict, ProductRepair};
use super::restore::{has_whole_values, is_usable};

/// What was taken from one tape.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The ids of the trades that were taken.
    pub(super) ids: IdSet,
    /// Trades that the tape has and that were not taken, because it knows them less exactly than this one.
    pub(super) too_coarse: u64,
    /// Days here that are not written to.
    bare: Vec<UtcDay>,
}

/// Why the join of a day ended early.
enum Interruption {
    /// The day here was damaged and is empty now. What was read of it does not count: the join begins anew.
    Emptied,
    /// It failed.
    Failed(WriteError),
}

impl From<WriteError> for Interruption {
    fn from(error: WriteError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Interruption {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes what `tape` has of the product.
pub(super) fn take_from(repair: &mut ProductRepair<'_>, tape: &Path) -> Result<Taken, WriteError> {
    let mut taken = Taken::default();
    let dates = catalog::days(tape, repair.product, Dataset::Trades)?;
    repair.observer.begin(dates.len() as u64);
    let archived = dates.iter().filter(|date| repair.index.is_archived(**date)).count();
    if archived > 0 {
        let text = format!(
            "{archived} days are archived here: nothing is taken for them from {}; `coltape restore` brings them back",
            tape.display()
        );
        repair.remark(&text);
    }
    for date in &dates {
        if repair.index.is_archived(*date) {
            continue;
        }
        repair.observer.advance(1, "days", || format!("{} {date}: compared with {}", repair.product, tape.display()));
        let other = match Snapshot::<Trades>::open(tape, repair.product, *date) {
            Ok(Some(other)) => other,
            Ok(None) => {
                say_unused(repair, tape, *date, "its commit page is torn");
                continue;
            }
            Err(error) => {
                say_unused(repair, tape, *date, &error.to_string());
                continue;
            }
        };
        if other.count() == 0 || is_stored_alike(repair, *date, &other) {
            continue;
        }
        if let Some(why) = why_unusable(&other)? {
            say_unused(repair, tape, *date, &why);
            continue;
        }
        let day = OtherDay { tape, by: tape.display().to_string(), date: *date, other: &other };
        while let Join::Anew = day.take(repair, &mut taken)? {}
    }
    Ok(taken)
}

/// Reports a day of the other tape that cannot be used. Where the day is here, the ids that are missing tell what that costs.
fn say_unused(repair: &mut ProductRepair<'_>, tape: &Path, date: UtcDay, why: &str) {
    let text = format!("{} {date} is not used: {why}", tape.display());
    if repair.index.has_day(date) { repair.remark(&text) } else { repair.fail(&text) }
}

/// Tells quickly whether a day is stored here byte by byte as there, except for how the trades came: the usual case where little was lost.
fn is_stored_alike(repair: &ProductRepair<'_>, date: UtcDay, other: &Snapshot<Trades>) -> bool {
    let Ok(Some(stored)) = Snapshot::<Trades>::open(repair.dir, repair.product, date) else { return false };
    let came = ["trade_recv_nanos", "trade_origin"];
    let has_no_late = |day: &Snapshot<Trades>| day.late().is_empty();
    let is_alike = |at: usize| stored.column_bytes(at) == other.column_bytes(at);
    has_no_late(&stored)
        && has_no_late(other)
        && stored.column_set() == other.column_set()
        && Trades::COLUMNS.iter().enumerate().all(|(at, column)| came.contains(&column.name) || is_alike(at))
}

/// Says why nothing is taken from a day of the other tape; `None` where it can be used.
pub(super) fn why_unusable(other: &Snapshot<Trades>) -> Result<Option<String>, StoreError> {
    if let Some(fault) = other.check()?.first() {
        return Ok(Some(format!("{}: {}", fault.path.display(), fault.what)));
    }
    if !has_rising_ids(other) {
        return Ok(Some("its ids do not rise".to_owned()));
    }
    Ok((!has_whole_values(other)).then(|| "it holds a side or a time that is none".to_owned()))
}

/// How the join of a day ended.
enum Join {
    Done,
    /// It has to begin anew.
    Anew,
}

/// One day of the other tape.
struct OtherDay<'a> {
    tape: &'a Path,
    /// The tape as reports name it.
    by: String,
    date: UtcDay,
    other: &'a Snapshot<Trades>,
}

/// What is known of the same day here.
struct StoredDay {
    /// The columns in which the two can be compared.
    compared: ColumnSet,
    /// Whether the other tape knows prices and sizes less exactly.
    is_finer: bool,
}

/// What the join of a day has led to so far.
#[derive(Default)]
struct DayProgress {
    /// The present run of ids that were taken.
    run: Option<IdRange>,
    unusable: u64,
    /// The latest time of receipt so far: the other box's clock was past it.
    received: UnixNanos,
}

/// What is to be done with a trade of the other tape.
enum Change {
    /// It is new here.
    Add(Trade),
    /// The stored trade gets order ids.
    Complete(Trade),
}

impl OtherDay<'_> {
    /// Takes what the day has, until it is through or the day here turns out to be damaged.
    fn take(&self, repair: &mut ProductRepair<'_>, taken: &mut Taken) -> Result<Join, WriteError> {
        // A day that cannot be read goes to quarantine when it is opened for writing.
        let stored = Snapshot::<Trades>::open(repair.dir, repair.product, self.date).unwrap_or_default();
        if stored.as_ref().is_some_and(|day| day.state() == DayState::Bare && day.count() > 0) {
            let text =
                format!("TRADES {} has no commit page: nothing is written to it; move it away to have the day brought anew", self.date);
            if !taken.bare.contains(&self.date) {
                taken.bare.push(self.date);
                repair.fail(&text);
            }
            return Ok(Join::Done);
        }
        let others = self.other.column_set();
        // A day that is new here gets the columns that it has there.
        let columns = match &stored {
            Some(stored) => stored.column_set(),
            None if repair.index.has_day(self.date) => repair.new_columns,
            None => others,
        };
        if let Some(writer) = &mut repair.writer {
            writer.set_new_columns(Some(columns));
        }
        let day = StoredDay {
            compared: if columns == ColumnSet::Core { ColumnSet::Core } else { others },
            is_finer: columns == ColumnSet::Full && others == ColumnSet::Core,
        };
        let mut progress = DayProgress::default();
        let outcome = join(stored.as_ref(), self.other, |joined| match self.change(repair, &day, joined, taken, &mut progress)? {
            None => Ok(()),
            Some(change) => self.apply(repair, &change, &mut progress, taken),
        });
        self.end_run(repair, progress.run, taken)?;
        if progress.unusable > 0 {
            let (tape, date, unusable) = (self.tape.display(), self.date, progress.unusable);
            repair.remark(&format!("{tape} {date}: {unusable} trades that are implausible or of another day are not used"));
        }
        if let Some(writer) = &mut repair.writer {
            writer.commit_and_sync()?;
            writer.set_new_columns(None);
        }
        repair.index.refresh(self.date);
        match outcome {
            Ok(()) => Ok(Join::Done),
            Err(Interruption::Emptied) => Ok(Join::Anew),
            Err(Interruption::Failed(error)) => Err(error),
        }
    }

    /// Says what is to be done with a trade. Reports it where it differs.
    fn change(
        &self,
        repair: &mut ProductRepair<'_>,
        day: &StoredDay,
        joined: Joined,
        taken: &mut Taken,
        progress: &mut DayProgress,
    ) -> Result<Option<Change>, Interruption> {
        let conflict = |date, stored, other| {
            let columns = columns_that_differ(&stored, &other, day.compared);
            Conflict { date, stored, other, by: &self.by, columns }
        };
        match joined {
            Joined::OnlyOther(trade) => {
                progress.received = progress.received.max(trade.recv);
                if trade.time.day() != self.date || !is_usable(&trade, repair.now.max(progress.received)) {
                    progress.unusable += 1;
                    return Ok(None);
                }
                if let Some((date, stored)) = repair.index.find_elsewhere(trade.trade_id, self.date)? {
                    // The two disagree about its time, or this tape has it in the wrong place.
                    repair.report_conflict(conflict(date, stored, trade))?;
                    return Ok(None);
                }
                if day.is_finer {
                    taken.too_coarse += 1;
                    return Ok(None);
                }
                Ok(Some(Change::Add(from_tape(&trade))))
            }
            Joined::Both { stored, other } => {
                let conflict = conflict(self.date, stored, other);
                if !conflict.columns.is_empty() {
                    repair.report_conflict(conflict)?;
                    return Ok(None);
                }
                Ok(completed(&stored, &other).map(Change::Complete))
            }
        }
    }

    /// Stores a change, or counts it in a dry run. The day is opened first: what was read of it counts only if it is not damaged.
    fn apply(
        &self,
        repair: &mut ProductRepair<'_>,
        change: &Change,
        progress: &mut DayProgress,
        taken: &mut Taken,
    ) -> Result<(), Interruption> {
        let (Change::Add(trade) | Change::Complete(trade)) = change;
        if let Some(writer) = &mut repair.writer {
            if writer.prepare(self.date, repair.journal)? == Prepared::Emptied {
                return Err(Interruption::Emptied);
            }
            match writer.insert(trade, repair.journal)? {
                Inserted::Appended | Inserted::Late => {}
                Inserted::Duplicate => return Ok(()),
                Inserted::Conflict(stored) => {
                    let columns = columns_that_differ(&stored, trade, writer.columns_of(self.date).unwrap_or_default());
                    repair.report_conflict(Conflict { date: self.date, stored, other: *trade, by: &self.by, columns })?;
                    return Ok(());
                }
            }
        }
        let day = repair.report.day(repair.product, self.date);
        match change {
            Change::Complete(_) => day.completed += 1,
            Change::Add(trade) => {
                day.from_tapes += 1;
                let is_next = progress.run.as_mut().is_some_and(|run| run.push(trade.trade_id));
                if !is_next {
                    let run = progress.run.replace(IdRange::one(trade.trade_id));
                    self.end_run(repair, run, taken)?;
                }
            }
        }
        Ok(())
    }

    /// Journals a run of ids that were taken.
    fn end_run(&self, repair: &mut ProductRepair<'_>, run: Option<IdRange>, taken: &mut Taken) -> Result<(), StoreError> {
        let Some(run) = run else { return Ok(()) };
        taken.ids.insert(run);
        repair.journal.gap_filled(repair.product, run, GapFiller::Tape)
    }
}
