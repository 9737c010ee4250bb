//! [`Page`]: trades of a product found by their ids, newest first, over all its days.

use super::products;
use super::record::{Row, Stored};
use super::source::check_bytes;
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{ColumnSet, Dataset, Trades};
use crate::store::{DayKey, Snapshot, catalog, holder_of};
use crate::tape::{Tape, TapeError};

/// Trades, the newest first.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) trades: Vec<Stored>,
    /// The days that they are of.
    days: Vec<Snapshot<Trades>>,
}

impl Page {
    /// Gives the newest of its trades.
    pub(super) fn newest(&self) -> Option<(&Stored, Trade)> {
        trade(self.trades.first())
    }

    /// Gives the oldest of its trades.
    pub(super) fn oldest(&self) -> Option<(&Stored, Trade)> {
        trade(self.trades.last())
    }

    /// Counts the records of its days.
    pub(super) fn records(&self) -> u64 {
        self.days.iter().map(|day| day.count() as u64).fold(0, u64::saturating_add)
    }

    /// Compares the bytes of its days with their checksums: an altered trade must not look like a stored one.
    ///
    /// # Errors
    /// Where they differ, or a day cannot be read.
    pub(super) fn check(&mut self, tape: &Tape) -> Result<(), TapeError> {
        self.days.iter_mut().try_for_each(|day| check_bytes(tape, day))
    }
}

fn trade(stored: Option<&Stored>) -> Option<(&Stored, Trade)> {
    match stored.map(|stored| (stored, stored.row)) {
        Some((stored, Row::Trade(trade))) => Some((stored, trade)),
        _ => None,
    }
}

/// Gives up to `limit` trades of a series with ids above `above` and below `below`, the newest first. They are not checked: [`Page::check`].
///
/// # Errors
/// Where a day cannot be read.
pub(super) fn newest_first(tape: &Tape, product: &ProductId, series: u32, above: u64, below: u64, limit: usize) -> Result<Page, TapeError> {
    let mut found = Page::default();
    let (Some(last), Some(stored)) = (below.checked_sub(1), products::stored_name(product, series)) else { return Ok(found) };
    let first = above.saturating_add(1);
    if first > last {
        return Ok(found);
    }
    for date in tape.days(&stored, Dataset::Trades)?.into_iter().rev() {
        let Some(day) = tape.day::<Trades>(&stored, date)? else {
            // Files that are being made are no day yet. Of a tape at rest, a day that has records must not be passed over.
            if holder_of(tape.dir())?.is_none() {
                catalog::must_be_empty(tape.dir(), &DayKey { product: stored.clone(), dataset: Dataset::Trades, date })?;
            }
            continue;
        };
        let is_core = day.column_set() == ColumnSet::Core;
        let (before, is_last) = (found.trades.len(), day.row(0).is_some_and(|trade| trade.trade_id < first));
        let trades = day.rows_in(day.id_range(first..=last)).rev().take(limit - before);
        found.trades.extend(trades.map(|trade| Stored { product: product.clone(), series, row: Row::Trade(trade), is_core }));
        if found.trades.len() > before {
            found.days.push(day);
        }
        // Ids rise from day to day.
        if found.trades.len() >= limit || is_last {
            break;
        }
    }
    Ok(found)
}

/// Gives the number of a product's newest series that has trades; 1 where none has.
///
/// # Errors
/// Where the directory cannot be read.
pub(super) fn newest_series(tape: &Tape, product: &ProductId) -> Result<u32, TapeError> {
    for stored in products::series(tape, product)?.into_iter().rev() {
        if !tape.days(&stored, Dataset::Trades)?.is_empty() {
            return Ok(stored.series());
        }
    }
    Ok(1)
}
