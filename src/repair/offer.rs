//! What another box's tape has to offer to this one, day by day, without putting it down: for the capture that holds the directory.

use std::path::Path;

use super::difference::{Difference, columns_that_differ, completed, from_tape};
use super::walk::{Met, rises, walk};
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Dataset, Trades};
use crate::store::{Hole, Snapshot, StoreError, catalog, holes};

/// One thing that another tape has to offer.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// A trade that is missing here, or that lacks its order ids here.
    Trade(Trade),
    /// A trade that it tells differently.
    Difference(Difference),
}

/// Goes through a product's days of another tape, and shows what lies between the first and the last trade stored in `dir` and is missing there, lacks its
/// order ids, or differs.
///
/// # Errors
/// Where a day of either tape cannot be read; those of `see`.
pub fn offers<E: From<StoreError>>(
    dir: &Path,
    product: &ProductId,
    tape: &Path,
    mut see: impl FnMut(Offer) -> Result<(), E>,
) -> Result<(), E> {
    let gaps = holes::holes(dir, product, None)?.gaps;
    let is_missing = |id: u64| {
        let at = gaps.partition_point(|gap: &Hole| gap.to < id);
        gaps.get(at).is_some_and(|gap| gap.from <= id)
    };
    for date in catalog::days(tape, product, Dataset::Trades)? {
        let Some(theirs) = Snapshot::<Trades>::open(tape, product, date)? else { continue };
        if !rises(&theirs) {
            return Err(StoreError::Damaged { path: tape.to_owned(), why: format!("{product} {date}: its ids do not rise") }.into());
        }
        let ours = Snapshot::<Trades>::open(dir, product, date)?;
        let set = ours.as_ref().map_or(theirs.column_set(), Snapshot::column_set);
        walk(ours.as_ref(), &theirs, |met| match met {
            Met::Theirs(told) if is_missing(told.trade_id) => see(Offer::Trade(from_tape(&told))),
            Met::Theirs(_) => Ok(()),
            Met::Both(stored, told) => {
                let columns = columns_that_differ(&stored, &told, set);
                if !columns.is_empty() {
                    let by = tape.display().to_string();
                    return see(Offer::Difference(Difference { product: product.clone(), date, stored, told, by, columns }));
                }
                completed(&stored, &told).map_or(Ok(()), |trade| see(Offer::Trade(trade)))
            }
        })?;
    }
    Ok(())
}
