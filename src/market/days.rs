//! Opens the days that an answer is made of. A day that cannot be opened and holds records is an error, and never passed over.

use crate::product::ProductId;
use crate::schema::Layout;
use crate::store::{DayKey, Snapshot, catalog, holder_of};
use crate::tape::{Tape, TapeError};
use crate::time::UtcDay;

/// Opens a day; nothing where there is none, or where one is only just being made.
///
/// # Errors
/// Where the day cannot be read.
pub(super) fn open<L: Layout>(tape: &Tape, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, TapeError> {
    let day = tape.day::<L>(product, date)?;
    if day.is_none() && holder_of(tape.dir())?.is_none() {
        catalog::must_be_empty(tape.dir(), &DayKey { product: product.clone(), dataset: L::DATASET, date })?;
    }
    Ok(day)
}
