//! Two tapes of one day, gone through side by side in the order of their ids.

use crate::record::Trade;
use crate::schema::Trades;
use crate::store::Snapshot;

/// What stands at an id that the other tape has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Met {
    /// Only the other tape has it.
    Theirs(Trade),
    /// Both have it: ours, theirs.
    Both(Trade, Trade),
}

/// Goes through the ids of `theirs` in rising order. What only `ours` has is passed over.
///
/// # Errors
/// Those of `see`; it is asked no more then.
pub(super) fn walk<E>(
    ours: Option<&Snapshot<Trades>>,
    theirs: &Snapshot<Trades>,
    mut see: impl FnMut(Met) -> Result<(), E>,
) -> Result<(), E> {
    let count = ours.map_or(0, Snapshot::count);
    let own_id = |number: usize| ours.and_then(|day| day.key_at(number));
    let mut at = 0;
    for number in 0..theirs.count() {
        let (Some(id), Some(told)) = (theirs.key_at(number), theirs.row(number)) else { continue };
        while at < count && own_id(at).is_some_and(|own| own < id) {
            at += 1;
        }
        let stored = if own_id(at) == Some(id) { ours.and_then(|day| day.row(at)) } else { None };
        see(stored.map_or(Met::Theirs(told), |stored| Met::Both(stored, told)))?;
    }
    Ok(())
}

/// Tells whether a day's ids rise: without that nothing can be said of it.
pub(super) fn rises(day: &Snapshot<Trades>) -> bool {
    (1..day.count()).all(|number| day.key_at(number - 1) < day.key_at(number))
}
