//! [`Work`]: one product under repair.

use std::path::Path;

use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::ColumnSet;
use crate::store::event::{Event, GapFiller};
use crate::store::{Hole, Inserted, StoreError, holes};
use crate::time::{UnixNanos, UtcDay};

use super::binder::{Binder, BinderError};
use super::chain::Chain;
use super::difference::{Difference, columns_that_differ, shown};
use super::fetch::Fetcher;
use super::gather::{self, Brought, Lacking};
use super::notes::{Notes, range};
use super::report::Report;

/// Gaps looked at together: about as many as a million single lost trades.
const MOST_GAPS: usize = 1 << 20;
/// Conflicts journaled a product; beyond that they are counted in its `repaired`.
const MAX_CONFLICTS_JOURNALED: u64 = 10_000;

/// One product under repair. Without a binder nothing is written.
pub(super) struct Work<'a> {
    pub(super) dir: &'a Path,
    pub(super) product: &'a ProductId,
    pub(super) now: UnixNanos,
    /// The columns of days that are made anew.
    pub(super) new_columns: ColumnSet,
    pub(super) chain: Chain,
    pub(super) binder: Option<Binder>,
    pub(super) notes: &'a mut Notes,
    pub(super) report: &'a mut Report,
    pub(super) conflicts: u64,
}

/// Why a product's repair ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Binder(#[from] BinderError),
}

impl Work<'_> {
    pub(super) fn remark(&mut self, text: String) {
        log::warn!("{}: {text}", self.product);
        self.report.remarks.push(format!("{}: {text}", self.product));
    }

    /// Reports a trade that is told differently, and journals it.
    pub(super) fn differs(
        &mut self,
        date: UtcDay,
        stored: Trade,
        told: Trade,
        tape: &Path,
        columns: Vec<&'static str>,
    ) -> Result<(), WorkError> {
        self.differs_from(date, stored, told, &tape.display().to_string(), columns)
    }

    fn differs_from(&mut self, date: UtcDay, stored: Trade, told: Trade, by: &str, columns: Vec<&'static str>) -> Result<(), WorkError> {
        // Equal in all but the day that it is filed under.
        let columns = if columns.is_empty() { vec!["the day"] } else { columns };
        self.conflicts += 1;
        if self.conflicts <= MAX_CONFLICTS_JOURNALED {
            self.notes.journal(Event::Conflict {
                product: self.product.clone(),
                trade_id: stored.trade_id,
                stored: Some(shown(&stored)),
                sent: Some(shown(&told)),
                by: Some(by.to_owned()),
                columns: Some(columns.join(",")),
                text: None,
                raw: None,
            })?;
        }
        self.report.differs(Difference { product: self.product.clone(), date, stored, told, by: by.to_owned(), columns });
        Ok(())
    }

    /// Finds what is missing now.
    pub(super) fn gaps(&self) -> Result<Vec<Hole>, StoreError> {
        Ok(holes::holes_at_most(self.dir, self.product, None, MOST_GAPS)?.gaps)
    }

    /// Gets ids from REST and puts them into their days.
    pub(super) fn fill(&mut self, fetcher: &mut Fetcher, wanted: &[Hole], mut seen: impl FnMut(&Brought)) -> Result<Lacking, WorkError> {
        let product = self.product;
        let lacking = gather::gather(fetcher, product, wanted, |brought| {
            let mut run: Option<Hole> = None;
            for trade in &brought.trades {
                if !self.keep(trade)? {
                    continue;
                }
                match &mut run {
                    Some(run) if run.to + 1 == trade.trade_id => run.to = trade.trade_id,
                    _ => {
                        if let Some(run) = run.replace(Hole { from: trade.trade_id, to: trade.trade_id }) {
                            self.notes.gap_filled(product, run, GapFiller::Rest)?;
                        }
                    }
                }
            }
            if let Some(run) = run {
                self.notes.gap_filled(product, run, GapFiller::Rest)?;
            }
            for text in &brought.inexact {
                if let Some(trade) = brought.trades.iter().find(|trade| trade.trade_id == text.trade_id) {
                    self.notes.exact(trade.time, product, text.column, text.trade_id, &text.text)?;
                }
            }
            if let Some(binder) = &mut self.binder {
                binder.commit_and_sync()?;
            }
            seen(&brought);
            Ok::<(), WorkError>(())
        })?;
        for ids in &lacking.lacks {
            let (product, attempts) = (product.clone(), u64::from(gather::ATTEMPTS));
            self.notes.journal(Event::BackfillEmpty { product, ids: range(*ids), attempts })?;
        }
        if let Some((ids, error)) = &lacking.failed {
            for ids in ids {
                let (product, error) = (product.clone(), error.to_string());
                self.notes.journal(Event::BackfillFailed { product, ids: range(*ids), failures: None, error })?;
            }
        }
        Ok(lacking)
    }

    /// Puts a trade of REST down. Tells whether it was new.
    pub(super) fn keep(&mut self, trade: &Trade) -> Result<bool, WorkError> {
        let Some(binder) = &mut self.binder else { return Ok(false) };
        let date = trade.time.day();
        // Under another day, it would be stored twice.
        let (day, stored) = match self.chain.elsewhere(trade.trade_id, date)? {
            Some(found) => found,
            None => match binder.put(trade, self.notes)? {
                Inserted::Appended | Inserted::Late => {
                    self.report.day(self.product, date).from_rest += 1;
                    return Ok(true);
                }
                Inserted::Duplicate => return Ok(false),
                Inserted::Conflict(stored) => (date, stored),
            },
        };
        let columns = columns_that_differ(&stored, trade, binder.columns_of(day).unwrap_or(self.new_columns));
        // A folder of the core alone holds what the text was rounded to: that is no difference.
        if day != date || !columns.is_empty() {
            self.differs_from(day, stored, *trade, "REST", columns)?;
        }
        Ok(false)
    }

    /// Notes what is missing in the end.
    pub(super) fn miss(&mut self, gaps: &[Hole], why: impl Fn(Hole) -> String) {
        for ids in gaps {
            let date = self.chain.day_of(ids.from).or(self.chain.first_day());
            if let Some(date) = date {
                self.report.day(self.product, date).missing += ids.missing();
            }
            self.report.misses(self.product, *ids, || why(*ids));
        }
    }
}
