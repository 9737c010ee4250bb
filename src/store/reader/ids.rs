//! Trades found by their ids, which rise in the merged order.

use std::ops::{Range, RangeInclusive};

use super::Snapshot;
use crate::schema::Trades;

impl Snapshot<Trades> {
    /// Finds the trade with this id and gives its number in the merged order.
    ///
    /// A day whose ids do not rise is damaged, and `verify` says so; there a trade may not be found.
    #[must_use]
    pub fn number_of_id(&self, id: u64) -> Option<usize> {
        let number = self.first_from_id(id);
        (self.key_at(number) == Some(id)).then_some(number)
    }

    /// Finds the trades with these ids and gives their numbers in the merged order.
    #[must_use]
    pub fn id_range(&self, ids: RangeInclusive<u64>) -> Range<usize> {
        let start = self.first_from_id(*ids.start());
        let end = ids.end().checked_add(1).map_or(self.count(), |after| self.first_from_id(after));
        start..end.max(start)
    }

    /// Gives the number of the first trade whose id is `id` or more; the number of trades where there is none.
    fn first_from_id(&self, id: u64) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key_at(middle).is_some_and(|key| key < id) { low = middle + 1 } else { high = middle }
        }
        low
    }
}
