//! [`join`]: two tapes of one day, side by side in the order of their ids.

use crate::record::Trade;
use crate::schema::Trades;
use crate::store::Snapshot;

/// A trade of the other tape, and the one with the same id of this tape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Joined {
    /// Only the other tape has it.
    OnlyOther(Trade),
    /// Both have it.
    Both { stored: Trade, other: Trade },
}

/// Goes through the trades of `other` in rising id. Trades that only `stored` has are passed over.
///
/// # Errors
/// Those of `see`. The join ends then.
pub(super) fn join<E>(
    stored: Option<&Snapshot<Trades>>,
    other: &Snapshot<Trades>,
    mut see: impl FnMut(Joined) -> Result<(), E>,
) -> Result<(), E> {
    let count = stored.map_or(0, Snapshot::count);
    let stored_id = |number: usize| stored.and_then(|day| day.key_at(number));
    let mut at = 0;
    for number in 0..other.count() {
        let (Some(id), Some(trade)) = (other.key_at(number), other.row(number)) else { continue };
        while at < count && stored_id(at).is_some_and(|stored| stored < id) {
            at += 1;
        }
        let same = if stored_id(at) == Some(id) { stored.and_then(|day| day.row(at)) } else { None };
        see(same.map_or(Joined::OnlyOther(trade), |stored| Joined::Both { stored, other: trade }))?;
    }
    Ok(())
}

/// Tells whether the ids of a day rise. A day whose ids do not cannot be joined.
pub(super) fn has_rising_ids(day: &Snapshot<Trades>) -> bool {
    (1..day.count()).all(|number| day.key_at(number - 1) < day.key_at(number))
}
