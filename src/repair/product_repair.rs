//! [`ProductRepair`]: one product that is repaired or backfilled.

use std::path::Path;

use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::progress::Observer;
use crate::record::Trade;
use crate::schema::ColumnSet;
use crate::store::event::{Event, GapFiller};
use crate::store::gaps::{Stretch, gaps_with};
use crate::store::{Inserted, StoreError};
use crate::time::{UnixNanos, UtcDay};

use super::day_index::DayIndex;
use super::day_writer::{DayWriter, WriteError};
use super::difference::{Difference, columns_that_differ, shown};
use super::fetch::{Fetched, Fetcher, Unfetched};
use super::journal::RepairJournal;
use super::known::KnownTrades;
use super::report::Report;
use crate::feed::fetch_plan::MAX_ANSWERS;

/// Gaps held at once: about as many as a million single lost trades.
pub(super) const MAX_GAPS: usize = 1 << 20;
/// Conflicts of a product that are journaled. Beyond that they are counted in its `repaired`.
const MAX_CONFLICTS_JOURNALED: u64 = 10_000;

/// One product that is repaired. In a dry run there is no writer, and nothing is written.
pub(super) struct ProductRepair<'a> {
    pub(super) dir: &'a Path,
    pub(super) product: &'a ProductId,
    pub(super) now: UnixNanos,
    /// The columns of new days.
    pub(super) new_columns: ColumnSet,
    pub(super) index: DayIndex,
    pub(super) writer: Option<DayWriter>,
    pub(super) journal: &'a mut RepairJournal,
    pub(super) report: &'a mut Report,
    pub(super) conflicts: u64,
    /// What days store that would be brought, in a dry run.
    pub(super) restored: Vec<Stretch>,
    /// What is known of trades that may not be stored.
    pub(super) known: &'a KnownTrades,
    /// Is told how far the work is.
    pub(super) observer: &'a Observer,
}

/// One trade that is stored differently, or under another day, than another tape or REST has it.
#[derive(Debug)]
pub(super) struct Conflict<'a> {
    pub(super) date: UtcDay,
    pub(super) stored: Trade,
    pub(super) other: Trade,
    /// The folder of the other tape, or `REST`.
    pub(super) by: &'a str,
    pub(super) columns: Vec<&'static str>,
}

impl ProductRepair<'_> {
    pub(super) fn remark(&mut self, text: &str) {
        log::warn!("{}: {text}", self.product);
        self.report.remarks.push(format!("{}: {text}", self.product));
    }

    /// Reports something that could not be done: the repair has not done all its work.
    pub(super) fn fail(&mut self, text: &str) {
        log::warn!("{}: {text}", self.product);
        self.report.failures.push(format!("{}: {text}", self.product));
    }

    /// Reads anew which ids are stored.
    pub(super) fn read_index(&mut self) -> Result<(), StoreError> {
        self.index = DayIndex::read(self.dir, self.product)?;
        Ok(())
    }

    /// Reports and journals a trade that differs.
    pub(super) fn report_conflict(&mut self, conflict: Conflict<'_>) -> Result<(), StoreError> {
        let Conflict { date, stored, other, by, columns } = conflict;
        // All columns agree: only the day differs.
        let columns = if columns.is_empty() { vec!["the day"] } else { columns };
        self.conflicts += 1;
        if self.conflicts <= MAX_CONFLICTS_JOURNALED {
            self.journal.write(Event::Conflict {
                product: self.product.clone(),
                trade_id: stored.trade_id,
                stored: Some(shown(&stored)),
                sent: Some(shown(&other)),
                by: Some(by.to_owned()),
                columns: Some(columns.join(",")),
                text: None,
                raw: None,
            })?;
        }
        self.report.add_difference(Difference { product: self.product.clone(), date, stored, other, by: by.to_owned(), columns });
        Ok(())
    }

    /// Finds the ids that are missing now: between the stored ones, and outside of them those of which it is known that they are there.
    pub(super) fn missing(&self) -> Result<IdSet, StoreError> {
        let stored = gaps_with(self.dir, self.product, None, &self.restored, MAX_GAPS)?;
        let mut missing = self.known.outside(self.product, &stored);
        missing.extend(&stored.missing);
        Ok(missing)
    }

    /// Gives how many damaged days were moved to quarantine.
    pub(super) fn quarantined(&self) -> u32 {
        self.writer.as_ref().map_or(0, DayWriter::quarantined)
    }

    /// Seals every open day, and reads anew what is stored.
    pub(super) fn seal_days(&mut self) -> Result<(), WriteError> {
        if let Some(writer) = &mut self.writer {
            writer.close(self.journal)?;
        }
        Ok(self.read_index()?)
    }

    /// Fetches ids from REST and stores the trades.
    pub(super) fn fetch(&mut self, fetcher: &mut Fetcher, wanted: &IdSet, mut see: impl FnMut(&Fetched)) -> Result<Unfetched, WriteError> {
        let product = self.product;
        let unfetched = fetcher.fetch(product, wanted, |fetched| {
            self.store_fetched(&fetched)?;
            see(&fetched);
            Ok::<(), WriteError>(())
        })?;
        for ids in &unfetched.absent {
            self.journal.write(Event::BackfillEmpty { product: product.clone(), ids, attempts: u64::from(MAX_ANSWERS) })?;
        }
        for failed in &unfetched.failed {
            for ids in &failed.ids {
                let (product, error) = (product.clone(), failed.error.to_string());
                self.journal.write(Event::BackfillFailed { product, ids, failures: None, error })?;
            }
        }
        Ok(unfetched)
    }

    fn store_fetched(&mut self, fetched: &Fetched) -> Result<(), WriteError> {
        // Before their trades: a repair that is killed in between is run again, and finds those stored.
        for text in &fetched.inexact {
            if let Some(trade) = fetched.trades.iter().find(|trade| trade.trade_id == text.trade_id) {
                self.journal.exact(trade.time, self.product, text.column, text.trade_id, &text.text)?;
            }
        }
        let mut run: Option<IdRange> = None;
        for trade in &fetched.trades {
            if !self.store(trade)? {
                continue;
            }
            if let Some(run) = &mut run
                && run.push(trade.trade_id)
            {
                continue;
            }
            if let Some(filled) = run.replace(IdRange::one(trade.trade_id)) {
                self.journal.gap_filled(self.product, filled, GapFiller::Rest)?;
            }
        }
        if let Some(filled) = run {
            self.journal.gap_filled(self.product, filled, GapFiller::Rest)?;
        }
        for element in &fetched.unusable {
            self.journal.reject(element.fault.name(), &element.raw)?;
        }
        if let Some(writer) = &mut self.writer {
            writer.commit_and_sync()?;
        }
        Ok(())
    }

    /// Stores a trade of REST. Tells whether it was new.
    fn store(&mut self, trade: &Trade) -> Result<bool, WriteError> {
        let Some(writer) = &mut self.writer else { return Ok(false) };
        let date = trade.time.day();
        // A trade that is stored under another day would be stored twice.
        let (day, stored) = match self.index.find_elsewhere(trade.trade_id, date)? {
            Some(found) => found,
            None => match writer.insert(trade, self.journal)? {
                Inserted::Appended | Inserted::Late => {
                    self.report.day(self.product, date).from_rest += 1;
                    return Ok(true);
                }
                Inserted::Duplicate => return Ok(false),
                Inserted::Conflict(stored) => (date, stored),
            },
        };
        let columns = columns_that_differ(&stored, trade, writer.columns_of(day).unwrap_or(self.new_columns));
        // A folder with core columns holds what the text was rounded to: that is no difference.
        if day != date || !columns.is_empty() {
            self.report_conflict(Conflict { date: day, stored, other: *trade, by: "REST", columns })?;
        }
        Ok(false)
    }

    /// Reports the ids that are missing in the end.
    pub(super) fn report_missing(&mut self, missing: &IdSet, why: impl Fn(IdRange) -> String) {
        for ids in missing {
            if let Some(date) = self.index.day_of(ids.first()).or(self.index.first_day()) {
                let day = self.report.day(self.product, date);
                day.missing = day.missing.saturating_add(ids.count());
            }
            self.report.add_missing(self.product, ids, || why(ids));
        }
    }
}
