//! [`bring_days`]: days that only other tapes have are brought whole, as sealed days.
//!
//! 1. A day's bytes come as they are, late records in their place. Of trades only the origin says that another box's tape had them.
//! 2. Only what can be believed is brought: from days whose checksums hold. Trades are looked at one by one. Where one of them is implausible, or lies in
//!    another day here, the whole day is left to [`super::tape`], which takes trade by trade.
//! 3. A day without a commit page stays one: nothing proves its bytes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ids::IdRange;
use crate::record::{Means, Trade};
use crate::schema::{Dataset, Layout, Trades, with_layout};
use crate::store::event::Event;
use crate::store::gaps::stretch;
use crate::store::import::{ChangedColumn, Import, ImportOptions, Imported, finish};
use crate::store::{DataDir, DayKey, DayState, Opening, Snapshot, StoreError};
use crate::time::UnixNanos;

use super::day_index;
use super::day_writer::WriteError;
use super::join::has_rising_ids;
use super::plan::{ProductPlan, WantedDay, why_unsound};
use super::product_repair::ProductRepair;
use super::report::BroughtDay;

/// Days finished together.
const FINISH_TOGETHER: usize = 16;

/// What keeps a day from being brought as a whole.
enum Obstacle {
    /// Its trades can be taken one by one.
    OneByOne,
    /// Its checksums do not hold: another tape may have it sound.
    Unsound,
}

/// Brings the days of a plan.
pub(super) fn bring_days(
    repair: &mut ProductRepair<'_>,
    dir: Option<&Arc<DataDir>>,
    tapes: &[PathBuf],
    plan: &ProductPlan,
) -> Result<(), WriteError> {
    plan.remarks.iter().for_each(|remark| repair.remark(remark));
    plan.failures.iter().for_each(|failure| repair.fail(failure));
    let mut batch = Batch { dir, imports: Vec::new(), days: Vec::new() };
    repair.observer.begin(plan.days.iter().filter_map(|day| day.candidates.first()).map(|best| best.records).sum());
    for day in &plan.days {
        let records = day.candidates.first().map_or(0, |best| best.records);
        repair.observer.advance(0, "records", || format!("{}: from other tapes", day.key));
        match with_layout!(day.key.dataset, L => bring_day::<L>(repair, tapes, day, &mut batch)) {
            Err(WriteError::Store(error)) if concerns_one_day(&error) => {
                repair.fail(&format!("{} {} is not brought: {error}", day.key.dataset.folder(), day.key.date));
            }
            Err(error) => {
                // What is written already is finished all the same.
                batch.finish(repair)?;
                return Err(error);
            }
            Ok(()) => {}
        }
        repair.observer.advance(records, "records", || format!("{}: from other tapes", day.key));
        if batch.days.len() >= FINISH_TOGETHER {
            batch.finish(repair)?;
        }
    }
    batch.finish(repair)?;
    if dir.is_some() {
        repair.read_index()?;
    }
    Ok(())
}

/// Tells whether other days can be brought nevertheless.
const fn concerns_one_day(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::InUse { .. } | StoreError::DayFull { .. } | StoreError::Io { .. })
}

/// Days whose files are written and that are not finished.
struct Batch<'a> {
    /// `None` in a dry run.
    dir: Option<&'a Arc<DataDir>>,
    imports: Vec<Import<'a>>,
    days: Vec<BroughtDay>,
}

impl<'a> Batch<'a> {
    /// Writes a day, or counts it in a dry run.
    fn add<L: Layout>(&mut self, repair: &mut ProductRepair<'_>, other: &Snapshot<L>, brought: BroughtDay) -> Result<(), WriteError> {
        if let Some(dir) = self.dir {
            let options = ImportOptions {
                date_format: dir.options().date_format,
                changed: (brought.day.dataset == Dataset::Trades && !brought.is_unproven).then_some(FROM_TAPE),
            };
            let import = Import::write(dir, other, options)?;
            if let Some(moved_to) = import.set_aside() {
                let opening = Opening::Quarantined { why: "it cannot be read".to_owned(), moved_to: moved_to.clone() };
                repair.journal.day_opened(import.key(), &opening)?;
            }
            self.imports.push(import);
        }
        self.days.push(brought);
        Ok(())
    }

    /// Finishes what is written, and reports it.
    fn finish(&mut self, repair: &mut ProductRepair<'_>) -> Result<(), WriteError> {
        let mut days = std::mem::take(&mut self.days);
        if let Some(dir) = self.dir {
            for (key, imported) in finish(dir, std::mem::take(&mut self.imports)) {
                match imported {
                    Ok(imported) => journal_import(repair, &days, &key, &imported)?,
                    Err(error) => {
                        days.retain(|day| day.day != key);
                        repair.fail(&format!("{} {} is not brought: {error}", key.dataset.folder(), key.date));
                    }
                }
            }
        }
        days.into_iter().for_each(|day| repair.report.add_brought(day));
        Ok(())
    }
}

/// What becomes of the origin of trades: they are another box's, and their line and feed stay.
const FROM_TAPE: ChangedColumn = ChangedColumn { name: "trade_origin", change: |origin| (origin & !0xf) | Means::Tape as u32 };

fn journal_import(repair: &mut ProductRepair<'_>, days: &[BroughtDay], key: &DayKey, imported: &Imported) -> Result<(), StoreError> {
    let from = days.iter().find(|day| day.day == *key).map_or_else(String::new, |day| day.from.display().to_string());
    let records = match imported {
        Imported::Sealed(sealed) => sealed.records,
        Imported::Bare(records) => *records,
    };
    repair.journal.write(Event::DayBrought { day: key.clone(), records, from })?;
    match imported {
        Imported::Sealed(sealed) => repair.journal.day_sealed(key, sealed),
        Imported::Bare(_) => Ok(()),
    }
}

/// Brings a day from the first tape that has it sound.
fn bring_day<L: Layout>(
    repair: &mut ProductRepair<'_>,
    tapes: &[PathBuf],
    wanted: &WantedDay,
    batch: &mut Batch<'_>,
) -> Result<(), WriteError> {
    let DayKey { dataset, date, .. } = wanted.key;
    let is_of_trades = dataset == Dataset::Trades;
    for candidate in &wanted.candidates {
        let Some(tape) = tapes.get(candidate.tape) else { continue };
        let Some(other) = Snapshot::<L>::open(tape, repair.product, date)? else { continue };
        let trades = if is_of_trades { Snapshot::<Trades>::open(tape, repair.product, date)? } else { None };
        // Of tickers the plan has looked at the bytes, as it chose between tapes.
        let obstacle = match &trades {
            None => None,
            Some(trades) if why_unsound(trades).is_some() => Some(Obstacle::Unsound),
            Some(trades) => (!are_clean(repair, trades)).then_some(Obstacle::OneByOne),
        };
        match obstacle {
            None => {
                let is_unproven = other.state() == DayState::Bare;
                if is_unproven {
                    let folder = dataset.folder();
                    repair.remark(&format!("{folder} {date} has no commit page in {}: its bytes cannot be checked", tape.display()));
                }
                let brought = BroughtDay { day: wanted.key.clone(), from: tape.clone(), records: other.count() as u64, is_unproven };
                if let Some(trades) = &trades {
                    day_index::ids_of(trades).into_iter().for_each(|ids| repair.index.note(date, ids));
                    if batch.dir.is_none() {
                        repair.restored.extend(stretch(trades)?);
                    }
                }
                return batch.add(repair, &other, brought);
            }
            Some(Obstacle::OneByOne) => return Ok(()),
            // It is said where trades are taken.
            Some(Obstacle::Unsound) => {}
        }
    }
    Ok(())
}

/// Tells whether a day of trades can be brought as it is.
fn are_clean(repair: &ProductRepair<'_>, other: &Snapshot<Trades>) -> bool {
    let date = other.key().date;
    let is_apart = |ids: IdRange| !repair.index.overlaps_another(ids, date);
    let mut now = repair.now;
    has_rising_ids(other)
        && day_index::ids_of(other).is_none_or(is_apart)
        && has_whole_values(other)
        && other.rows().all(|trade| {
            now = now.max(trade.recv);
            trade.time.day() == date && is_usable(&trade, now)
        })
}

/// Tells whether a trade of another tape can be stored here.
pub(super) fn is_usable(trade: &Trade, now: UnixNanos) -> bool {
    match trade.validate(now) {
        Ok(()) => true,
        // A capture stores such a trade with a mark. One without the mark was altered.
        Err(why) => trade.origin.is_flawed() && !why.is_of_identity(),
    }
}

/// Tells whether the values of a day are of their types: a side that is one, nanoseconds below a second. Reading a row would make others of them.
pub(super) fn has_whole_values(day: &Snapshot<Trades>) -> bool {
    let all = |name: &str, is_whole: fn(u32) -> bool| {
        let bytes = day.columns().iter().position(|column| column.name == name).map_or(&[] as &[u8], |at| day.column_bytes(at));
        bytes
            .chunks_exact(size_of::<u32>())
            .filter_map(|value| value.first_chunk().copied())
            .all(|value| is_whole(u32::from_le_bytes(value)))
    };
    all("trade_side", |side| side <= 1) && all("trade_nanos", |nanos| nanos < 1_000_000_000)
}
