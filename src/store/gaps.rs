//! [`gaps`]: the trade ids that are missing between the stored ones, over all days of a product.
//!
//! 1. The chain is one of ids, not of days. Days that interleave a little around midnight are put together; late records are stored records.
//! 2. The ids of a day rise and are unique, so a stretch of records is whole exactly if last − first + 1 is its count: a day is bisected, never scanned.
//! 3. What is given is bounded. Beyond the bound, gaps with the fewest ids between them are joined, so that no missing id is forgotten.
//! 4. A day that cannot be read stores nothing: its ids are missing, and the day is named.
//! 5. A day that is archived stores what it held: its ids are known, and nobody fetches them again.

use std::collections::BTreeMap;
use std::path::Path;

use super::archived::{ArchivedDay, ArchivedDays};
use super::catalog;
use super::error::StoreError;
use super::reader::Snapshot;
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::time::UtcDay;

/// Gaps that [`gaps`] gives at most.
pub(crate) const MAX_GAPS: usize = 1024;

/// Gaps held while days are put together.
const MAX_HELD: usize = 1 << 20;

/// What is stored of a product's chain of trade ids, and what is missing in it.
#[derive(Debug, Default)]
pub struct StoredIds {
    /// The ids missing between `first` and `last`. Where gaps were joined, some of them are stored all the same.
    pub missing: IdSet,
    /// The lowest id stored.
    pub first: Option<u64>,
    /// The highest id stored.
    pub last: Option<u64>,
    /// Days that could not be read, and why: what they hold counts as missing.
    pub unreadable: Vec<(UtcDay, StoreError)>,
}

/// Finds the missing ids of a product, over all its days or the last `days` that there are; at most 1024 gaps.
///
/// # Errors
/// Where the product's folder cannot be listed. A day that cannot be read is no error: see [`StoredIds::unreadable`].
pub fn gaps(dir: &Path, product: &ProductId, days: Option<usize>) -> Result<StoredIds, StoreError> {
    gaps_at_most(dir, product, days, MAX_GAPS)
}

/// Does the same as [`gaps`], with at most `most` gaps (at least one, at most about a million).
///
/// # Errors
/// As [`gaps`].
pub(crate) fn gaps_at_most(dir: &Path, product: &ProductId, days: Option<usize>, most: usize) -> Result<StoredIds, StoreError> {
    gaps_with(dir, product, days, &[], most)
}

/// Does the same as if some more days were stored.
///
/// # Errors
/// As [`gaps`].
pub(crate) fn gaps_with(
    dir: &Path,
    product: &ProductId,
    days: Option<usize>,
    more: &[Stretch],
    most: usize,
) -> Result<StoredIds, StoreError> {
    let archived = ArchivedDays::read(dir, product)?;
    let away: BTreeMap<UtcDay, &ArchivedDay> =
        archived.away(dir, product, Dataset::Trades)?.into_iter().map(|day| (day.key.date, day)).collect();
    let mut dates = catalog::days(dir, product, Dataset::Trades)?;
    dates.extend(away.keys());
    dates.sort_unstable();
    if let Some(days) = days {
        dates.drain(..dates.len().saturating_sub(days));
    }
    let (mut chain, mut unreadable) = (None, Vec::new());
    for date in dates {
        let found = match away.get(&date) {
            Some(day) => Ok(Stretch::of_runs(day.runs.iter().map(|run| run.ids))),
            None => Snapshot::<Trades>::open(dir, product, date).and_then(|day| day.as_ref().map_or(Ok(None), stretch)),
        };
        match found {
            Ok(Some(day)) => chain = Some(chain.map_or_else(|| day.clone(), |chain: Stretch| chain.with(&day))),
            Ok(None) => {}
            Err(error) => unreadable.push((date, error)),
        }
    }
    for day in more {
        chain = Some(chain.map_or_else(|| day.clone(), |chain: Stretch| chain.with(day)));
    }
    let Some(Stretch { ids, mut missing }) = chain else { return Ok(StoredIds { unreadable, ..StoredIds::default() }) };
    missing.join_nearest(most);
    Ok(StoredIds { missing, first: Some(ids.first()), last: Some(ids.last()), unreadable })
}

/// Finds what one day stores. `None` where it is empty.
///
/// # Errors
/// Where its ids do not rise.
pub(crate) fn stretch(day: &Snapshot<Trades>) -> Result<Option<Stretch>, StoreError> {
    let Some(end) = day.count().checked_sub(1) else { return Ok(None) };
    let id = |number| day.key_at(number).unwrap_or(0);
    let mut missing = IdSet::new();
    let ids = IdRange::new(id(0), id(end)).filter(|_| bisect(&id, 0..=end, &mut missing).is_some());
    match ids {
        Some(ids) => Ok(Some(Stretch { ids, missing })),
        None => Err(StoreError::damaged(&day.view.place.page(), "its ids do not rise")),
    }
}

/// Adds the gaps between the records of `range` to `missing`. Nothing where the ids do not rise.
fn bisect(id: &impl Fn(usize) -> u64, range: std::ops::RangeInclusive<usize>, missing: &mut IdSet) -> Option<()> {
    let (low, high) = range.into_inner();
    let (first, last) = (id(low), id(high));
    let count = last.checked_sub(first)?.checked_sub((high - low) as u64)?;
    match high - low {
        _ if count == 0 => {}
        1 => {
            missing.extend(IdRange::between(first, last));
            if missing.ranges().len() >= 2 * MAX_HELD {
                missing.join_nearest(MAX_HELD);
            }
        }
        distance => {
            let middle = low + distance / 2;
            bisect(id, low..=middle, missing)?;
            bisect(id, middle..=high, missing)?;
        }
    }
    Some(())
}

/// The ids that a day, or several, store: all of `ids` but the missing ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    ids: IdRange,
    missing: IdSet,
}

impl Stretch {
    /// Makes one of stretches of ids that are stored without a gap.
    fn of_runs(runs: impl Iterator<Item = IdRange>) -> Option<Self> {
        runs.map(|ids| Self { ids, missing: IdSet::new() }).reduce(|chain, run| chain.with(&run))
    }

    /// Gives what the two store together: missing is what is missing in both.
    fn with(mut self, other: &Self) -> Self {
        let ids = self.ids.span(other.ids);
        if other.ids.first() > self.ids.last() {
            // The usual day: all its ids come after all those before.
            self.missing.extend(IdRange::between(self.ids.last(), other.ids.first()));
            self.missing.extend(&other.missing);
        } else {
            self.missing = self.not_stored().intersection(&other.not_stored()).within(ids).collect();
        }
        self.ids = ids;
        self.missing.join_nearest(MAX_HELD);
        self
    }

    /// Gives all ids that are not stored, those outside the stretch included.
    fn not_stored(&self) -> IdSet {
        self.ids.below().into_iter().chain(&self.missing).chain(self.ids.above()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Trade;
    use crate::store::{BootId, DataDir, Day, InsertError, Inserted, StoreOptions, Syncer, seal};
    use crate::time::UnixNanos;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    const DAY: UtcDay = UtcDay(20_000);

    fn product() -> ProductId {
        ProductId::new("BTC-USD").expect("a product")
    }

    fn open(dir: &Arc<DataDir>, date: UtcDay) -> Day<Trades> {
        Day::open(dir, &product(), date, UnixNanos(date.start().0 + 1)).expect("a day").0
    }

    fn dir(path: &Path) -> Arc<DataDir> {
        Arc::new(DataDir::open(path, StoreOptions::default(), "exchange wss://test").expect("a data directory"))
    }

    fn put(day: &mut Day<Trades>, ids: impl IntoIterator<Item = u64>) -> u32 {
        let mut late = 0;
        for id in ids {
            let price = crate::decimal::parse(b"1").expect("a price");
            let row = Trade { trade_id: id, time: day.date().start(), price, size: price, ..NOTHING };
            let done = loop {
                match day.insert(&row) {
                    Err(InsertError::NoRoom) => day.files().provision().expect("room"),
                    done => break done.expect("stored"),
                }
            };
            late += u32::from(done == Inserted::Late);
        }
        day.commit();
        late
    }

    const NOTHING: Trade = <Trades as crate::schema::Layout>::EMPTY;

    fn pairs(found: &StoredIds) -> Vec<(u64, u64)> {
        found.missing.iter().map(|gap| (gap.first(), gap.last())).collect()
    }

    fn range(first: u64, last: u64) -> IdRange {
        IdRange::new(first, last).expect("first is not above last")
    }

    fn set(ranges: &[(u64, u64)]) -> IdSet {
        ranges.iter().map(|(first, last)| range(*first, *last)).collect()
    }

    #[test]
    fn late_records_and_days_that_interleave_are_one_chain() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = dir(folder.path());
        let none = gaps(folder.path(), &product(), None).expect("found");
        assert_eq!((pairs(&none), none.first, none.last), (vec![], None, None));
        let (mut one, mut two) = (open(&dir, DAY), open(&dir, DAY.next()));
        put(&mut one, [5, 6, 9, 12, 15]);
        assert_eq!(put(&mut one, [8]), 1);
        put(&mut two, [11, 13, 14, 20]);
        let found = gaps(folder.path(), &product(), None).expect("found");
        assert_eq!(
            (pairs(&found), found.first, found.last, found.missing.count()),
            (vec![(7, 7), (10, 10), (16, 19)], Some(5), Some(20), 6)
        );
        let newest = gaps(folder.path(), &product(), Some(1)).expect("found");
        assert_eq!((pairs(&newest), newest.first), (vec![(12, 12), (15, 19)], Some(11)));
        drop(seal::seal(&dir, vec![one.close()]));
        assert_eq!(pairs(&gaps(folder.path(), &product(), None).expect("found")), pairs(&found), "sealed");
    }

    #[test]
    fn of_a_day_that_a_crash_left_only_what_is_durable_is_stored() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { boot_id: Some(BootId([7; 16])), ..StoreOptions::default() };
        let dir = Arc::new(DataDir::open(folder.path(), options, "exchange wss://test").expect("a data directory"));
        let (mut before, mut day) = (open(&dir, DAY), open(&dir, DAY.next()));
        put(&mut before, 1..=3);
        put(&mut day, 4..=8);
        let mut syncer = Syncer::new(Arc::clone(&dir));
        syncer.watch(before.files());
        syncer.watch(day.files());
        syncer.cycle().expect("synced");
        put(&mut day, [10, 11]);
        let found = gaps(folder.path(), &product(), None).expect("found");
        assert_eq!((pairs(&found), found.last), (vec![], Some(8)));
    }

    #[test]
    fn a_day_that_cannot_be_read_stores_nothing_and_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = dir(folder.path());
        for (date, ids) in [(DAY, 1..=3), (DAY.next(), 4..=6), (DAY.next().next(), 7..=9)] {
            let mut day = open(&dir, date);
            put(&mut day, ids);
            drop(seal::seal(&dir, vec![day.close()]));
        }
        drop(dir);
        let column = folder.path().join(format!("BTC-USD/TRADES/trade_size.{}.bin", DAY.next()));
        std::fs::File::options().write(true).open(&column).expect("opened").set_len(4).expect("cut");
        let found = gaps(folder.path(), &product(), None).expect("found");
        assert_eq!((pairs(&found), found.first, found.last), (vec![(4, 6)], Some(1), Some(9)));
        assert_eq!(found.unreadable.len(), 1);
        assert_eq!(found.unreadable[0].0, DAY.next());
    }

    #[test]
    fn ids_that_do_not_rise_are_no_chain() {
        let ids = [3u64, 4, 4, 9];
        assert_eq!(bisect(&|at| ids[at], 0..=3, &mut IdSet::new()), None);
        assert_eq!(bisect(&|at| [9, 3][at], 0..=1, &mut IdSet::new()), None);
    }

    #[test]
    fn a_long_day_is_looked_at_in_few_places() {
        let looks = std::cell::Cell::new(0u32);
        let id = |at: usize| {
            looks.set(looks.get() + 1);
            at as u64 + if at >= 77_000_000 { 50 } else { 7 }
        };
        let mut missing = IdSet::new();
        bisect(&id, 0..=99_999_999, &mut missing).expect("rising");
        assert_eq!(missing.ranges(), [range(77_000_007, 77_000_049)]);
        assert!(looks.get() < 120, "{} looks", looks.get());
    }

    fn stretch_of(ids: &BTreeSet<u64>) -> Option<Stretch> {
        let list: Vec<u64> = ids.iter().copied().collect();
        let mut missing = IdSet::new();
        bisect(&|at| list[at], 0..=list.len().checked_sub(1)?, &mut missing).expect("rising");
        Some(Stretch { ids: range(list[0], *list.last()?), missing })
    }

    proptest! {
        #[test]
        fn the_gaps_are_those_of_a_set(days in prop::collection::vec(prop::collection::btree_set(0u64..120, 0..60), 1..5)) {
            let mut chain: Option<Stretch> = None;
            for day in days.iter().filter_map(stretch_of) {
                chain = Some(chain.map_or_else(|| day.clone(), |chain| chain.with(&day)));
            }
            let stored: BTreeSet<u64> = days.iter().flatten().copied().collect();
            let (Some(first), Some(last)) = (stored.first(), stored.last()) else { return Ok(()) };
            let chain = chain.expect("something is stored");
            prop_assert_eq!((chain.ids.first(), chain.ids.last()), (*first, *last));
            let found: Vec<u64> = chain.missing.iter().flat_map(IdRange::ids).collect();
            let missing: Vec<u64> = (*first..=*last).filter(|id| !stored.contains(id)).collect();
            prop_assert_eq!(found, missing);
        }

        #[test]
        fn days_at_the_ends_of_all_numbers_are_put_together(low in 0u64..3, high in (u64::MAX - 3)..=u64::MAX) {
            let all = Stretch { ids: range(low, high), missing: set(&[(low + 1, high - 1)]) };
            let inner = Stretch { ids: IdRange::one(low + 5), missing: IdSet::new() };
            let want = set(&[(low + 1, low + 4), (low + 6, high - 1)]);
            prop_assert_eq!(&all.clone().with(&inner).missing, &want);
            prop_assert_eq!(&inner.with(&all).missing, &want);
        }
    }
}
