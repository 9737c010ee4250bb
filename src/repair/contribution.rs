//! [`contributions`]: what another box's tape can contribute to this one, day by day, without storing it. For the capture that holds the directory.

use std::path::Path;

use super::difference::{Difference, columns_that_differ, completed, from_tape};
use super::join::{Joined, has_rising_ids, join};
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Trades};
use crate::store::{Snapshot, StoreError, catalog, gaps};

/// What another tape has at one id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Contribution {
    /// A trade that is missing here, or the stored trade with the order ids that it does not have here.
    Trade(Trade),
    /// A trade that the other tape records differently.
    Difference(Difference),
}

/// Shows what another tape has of a product: the trades that are missing between the first and the last one stored in `dir`, the order ids that are
/// missing in `dir`, and the trades that differ.
///
/// # Errors
/// Where a day of either tape cannot be read; those of `see`.
pub(crate) fn contributions<E: From<StoreError>>(
    dir: &Path,
    product: &ProductId,
    tape: &Path,
    mut see: impl FnMut(Contribution) -> Result<(), E>,
) -> Result<(), E> {
    let missing = gaps(dir, product, None)?.missing;
    for date in catalog::days(tape, product, Dataset::Trades)? {
        let Some(other) = Snapshot::<Trades>::open(tape, product, date)? else { continue };
        if !has_rising_ids(&other) {
            return Err(StoreError::Damaged { path: tape.to_owned(), why: format!("{product} {date}: its ids do not rise") }.into());
        }
        let stored = Snapshot::<Trades>::open(dir, product, date)?;
        let set = stored.as_ref().map_or(other.column_set(), Snapshot::column_set);
        join(stored.as_ref(), &other, |joined| match joined {
            Joined::OnlyOther(trade) if missing.contains(trade.trade_id) => see(Contribution::Trade(from_tape(&trade))),
            Joined::OnlyOther(_) => Ok(()),
            Joined::Both { stored, other } => {
                let columns = columns_that_differ(&stored, &other, set);
                if !columns.is_empty() {
                    let by = tape.display().to_string();
                    return see(Contribution::Difference(Difference { product: product.clone(), date, stored, other, by, columns }));
                }
                completed(&stored, &other).map_or(Ok(()), |trade| see(Contribution::Trade(trade)))
            }
        })?;
    }
    Ok(())
}
