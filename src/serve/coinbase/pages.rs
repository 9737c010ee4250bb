//! Trades of a product found by their ids, newest first, over all its days.

use super::products;
use super::record::{Row, Stored};
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Trades};
use crate::store::{DayKey, catalog, holder_of};
use crate::tape::{Tape, TapeError};

/// Gives up to `limit` trades of a series with ids above `above` and below `below`, the newest first.
///
/// # Errors
/// Where a day cannot be read.
pub(super) fn newest_first(
    tape: &Tape,
    product: &ProductId,
    series: u32,
    above: u64,
    below: u64,
    limit: usize,
) -> Result<Vec<Stored>, TapeError> {
    let mut found = Vec::new();
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
        let trades = day.rows_in(day.id_range(first..=last)).rev().take(limit - found.len());
        found.extend(trades.map(|trade| Stored { product: product.clone(), series, row: Row::Trade(trade), is_core }));
        // Ids rise from day to day.
        if found.len() >= limit || day.row(0).is_some_and(|trade| trade.trade_id < first) {
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
