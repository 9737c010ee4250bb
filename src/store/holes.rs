//! [`holes`]: the trade ids that are missing between the stored ones, over all days of a product.
//!
//! 1. The chain is one of ids, not of days: days that interleave a little around midnight are put together, late records are stored records.
//! 2. Ids in a day rise and are unique, so a stretch is whole exactly if last − first + 1 is its count: a day is bisected, never scanned.
//! 3. What is told is bounded. Beyond that, gaps with the shortest stored stretch between them are joined, so that nothing missing is forgotten.
//! 4. A day that cannot be read stores nothing: its ids are missing, and it is named.

use std::path::Path;

use super::catalog;
use super::error::StoreError;
use super::reader::Snapshot;
use crate::product::ProductId;
use crate::schema::{Dataset, Trades};
use crate::time::UtcDay;

/// Gaps that [`holes`] tells of.
pub const MAX_HOLES: usize = 1024;

/// Gaps held while days are put together.
const HELD: usize = 1 << 20;

/// Ids missing between two stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// First id missing.
    pub from: u64,
    /// Last id missing.
    pub to: u64,
}

impl Hole {
    /// Gives how many ids are missing.
    #[must_use]
    pub const fn missing(self) -> u64 {
        self.to - self.from + 1
    }
}

/// What is stored of a product's chain of trade ids.
#[derive(Debug, Default)]
pub struct Holes {
    /// The ids missing between `first` and `last`: disjoint, in rising order. Where gaps were joined, some of the ids are stored all the same.
    pub gaps: Vec<Hole>,
    /// The lowest id stored.
    pub first: Option<u64>,
    /// The highest id stored.
    pub last: Option<u64>,
    /// Days that could not be read, and why: what they hold counts as missing.
    pub unreadable: Vec<(UtcDay, StoreError)>,
}

impl Holes {
    /// Gives how many ids are missing; where gaps were joined, at most so many.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.missing()).sum()
    }
}

/// Finds the ids missing of a product, over all its days or the last `back` that there are; at most [`MAX_HOLES`] gaps.
///
/// # Errors
/// Where the product's folder cannot be listed. A day that cannot be read is no error: see [`Holes::unreadable`].
pub fn holes(dir: &Path, product: &ProductId, back: Option<usize>) -> Result<Holes, StoreError> {
    holes_at_most(dir, product, back, MAX_HOLES)
}

/// As [`holes`], telling of at most `most` gaps (at least one, at most about a million).
///
/// # Errors
/// As [`holes`].
pub fn holes_at_most(dir: &Path, product: &ProductId, back: Option<usize>, most: usize) -> Result<Holes, StoreError> {
    let mut dates = catalog::days(dir, product, Dataset::Trades)?;
    if let Some(back) = back {
        dates.drain(..dates.len().saturating_sub(back));
    }
    let (mut chain, mut unreadable) = (None, Vec::new());
    for date in dates {
        match Snapshot::<Trades>::open(dir, product, date).and_then(|day| day.as_ref().map_or(Ok(None), stretch)) {
            Ok(Some(day)) => chain = Some(chain.map_or_else(|| day.clone(), |chain: Stretch| chain.with(&day))),
            Ok(None) => {}
            Err(error) => unreadable.push((date, error)),
        }
    }
    let Some(mut chain) = chain else { return Ok(Holes { unreadable, ..Holes::default() }) };
    join(&mut chain.gaps, most);
    Ok(Holes { gaps: chain.gaps, first: Some(chain.first), last: Some(chain.last), unreadable })
}

/// Finds what one day stores; nothing where it is empty.
fn stretch(day: &Snapshot<Trades>) -> Result<Option<Stretch>, StoreError> {
    let Some(end) = day.count().checked_sub(1) else { return Ok(None) };
    let id = |number| day.key_at(number).unwrap_or(0);
    let mut gaps = Vec::new();
    if bisect(&id, 0..=end, &mut gaps).is_none() {
        return Err(StoreError::damaged(&day.view.place.page(), "its ids do not rise"));
    }
    Ok(Some(Stretch { first: id(0), last: id(end), gaps }))
}

/// Puts the gaps between the records of `range` behind `gaps`. Nothing where the ids do not rise.
fn bisect(id: &impl Fn(usize) -> u64, range: std::ops::RangeInclusive<usize>, gaps: &mut Vec<Hole>) -> Option<()> {
    let (low, high) = range.into_inner();
    let (first, last) = (id(low), id(high));
    let missing = last.checked_sub(first)?.checked_sub((high - low) as u64)?;
    match high - low {
        _ if missing == 0 => {}
        1 => {
            gaps.push(Hole { from: first + 1, to: last - 1 });
            if gaps.len() >= 2 * HELD {
                join(gaps, HELD);
            }
        }
        distance => {
            let middle = low + distance / 2;
            bisect(id, low..=middle, gaps)?;
            bisect(id, middle..=high, gaps)?;
        }
    }
    Some(())
}

/// The ids from `first` to `last`, but for the gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    first: u64,
    last: u64,
    gaps: Vec<Hole>,
}

impl Stretch {
    /// Gives what the two store together: missing is what both lack.
    fn with(mut self, other: &Self) -> Self {
        if other.first > self.last {
            // The usual day: all its ids come after all those before.
            self.gaps.extend(between(self.last, other.first));
            self.gaps.extend(&other.gaps);
            self.last = other.last;
        } else {
            let (first, last) = (self.first.min(other.first), self.last.max(other.last));
            let mut gaps = Vec::with_capacity(self.gaps.len() + other.gaps.len());
            let (mut ours, mut theirs) = (self.lacks().peekable(), other.lacks().peekable());
            while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
                let (from, to) = (a.from.max(b.from), a.to.min(b.to));
                if from <= to && to >= first && from <= last {
                    gaps.push(Hole { from: from.max(first), to: to.min(last) });
                }
                if a.to < b.to {
                    ours.next()
                } else {
                    theirs.next()
                };
            }
            drop((ours, theirs));
            self = Self { first, last, gaps };
        }
        join(&mut self.gaps, HELD);
        self
    }

    /// Goes through all ids that are not stored, those outside the stretch included.
    fn lacks(&self) -> impl Iterator<Item = Hole> {
        let below = self.first.checked_sub(1).map(|to| Hole { from: 0, to });
        let above = self.last.checked_add(1).map(|from| Hole { from, to: u64::MAX });
        below.into_iter().chain(self.gaps.iter().copied()).chain(above)
    }
}

/// Gives the ids between two, where there are any.
fn between(low: u64, high: u64) -> Option<Hole> {
    (high - low > 1).then(|| Hole { from: low + 1, to: high - 1 })
}

/// Joins gaps until there are at most `most`, those with the least stored between them first.
fn join(gaps: &mut Vec<Hole>, most: usize) {
    let excess = gaps.len().saturating_sub(most.max(1));
    if excess == 0 {
        return;
    }
    let mut behind: Vec<(u64, usize)> =
        gaps.iter().zip(gaps.iter().skip(1)).enumerate().map(|(at, (gap, next))| (next.from - gap.to, at + 1)).collect();
    behind.select_nth_unstable(excess - 1);
    behind.truncate(excess);
    let mut joins: Vec<usize> = behind.into_iter().map(|(_, at)| at).collect();
    joins.sort_unstable();
    let mut joins = joins.into_iter().peekable();
    let mut kept: Vec<Hole> = Vec::with_capacity(gaps.len() - excess);
    for (at, gap) in gaps.iter().enumerate() {
        match kept.last_mut() {
            Some(last) if joins.next_if_eq(&at).is_some() => last.to = gap.to,
            _ => kept.push(*gap),
        }
    }
    *gaps = kept;
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

    fn gaps(found: &Holes) -> Vec<(u64, u64)> {
        found.gaps.iter().map(|gap| (gap.from, gap.to)).collect()
    }

    #[test]
    fn late_records_and_days_that_interleave_are_one_chain() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = dir(folder.path());
        let none = holes(folder.path(), &product(), None).expect("found");
        assert_eq!((gaps(&none), none.first, none.last), (vec![], None, None));
        let (mut one, mut two) = (open(&dir, DAY), open(&dir, DAY.next()));
        put(&mut one, [5, 6, 9, 12, 15]);
        assert_eq!(put(&mut one, [8]), 1);
        put(&mut two, [11, 13, 14, 20]);
        let found = holes(folder.path(), &product(), None).expect("found");
        assert_eq!((gaps(&found), found.first, found.last, found.missing()), (vec![(7, 7), (10, 10), (16, 19)], Some(5), Some(20), 6));
        let newest = holes(folder.path(), &product(), Some(1)).expect("found");
        assert_eq!((gaps(&newest), newest.first), (vec![(12, 12), (15, 19)], Some(11)));
        drop(seal::seal(&dir, vec![one.close()]));
        assert_eq!(gaps(&holes(folder.path(), &product(), None).expect("found")), gaps(&found), "sealed");
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
        let found = holes(folder.path(), &product(), None).expect("found");
        assert_eq!((gaps(&found), found.last), (vec![], Some(8)));
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
        let found = holes(folder.path(), &product(), None).expect("found");
        assert_eq!((gaps(&found), found.first, found.last), (vec![(4, 6)], Some(1), Some(9)));
        assert_eq!(found.unreadable.len(), 1);
        assert_eq!(found.unreadable[0].0, DAY.next());
    }

    #[test]
    fn ids_that_do_not_rise_are_no_chain() {
        let ids = [3u64, 4, 4, 9];
        assert_eq!(bisect(&|at| ids[at], 0..=3, &mut Vec::new()), None);
        assert_eq!(bisect(&|at| [9, 3][at], 0..=1, &mut Vec::new()), None);
    }

    #[test]
    fn a_long_day_is_looked_at_in_few_places() {
        let looks = std::cell::Cell::new(0u32);
        let id = |at: usize| {
            looks.set(looks.get() + 1);
            at as u64 + if at >= 77_000_000 { 50 } else { 7 }
        };
        let mut gaps = Vec::new();
        bisect(&id, 0..=99_999_999, &mut gaps).expect("rising");
        assert_eq!(gaps, [Hole { from: 77_000_007, to: 77_000_049 }]);
        assert!(looks.get() < 120, "{} looks", looks.get());
    }

    fn runs(ids: &BTreeSet<u64>) -> Option<Stretch> {
        let list: Vec<u64> = ids.iter().copied().collect();
        let mut gaps = Vec::new();
        bisect(&|at| list[at], 0..=list.len().checked_sub(1)?, &mut gaps).expect("rising");
        Some(Stretch { first: list[0], last: *list.last()?, gaps })
    }

    proptest! {
        #[test]
        fn the_gaps_are_those_of_a_set(days in prop::collection::vec(prop::collection::btree_set(0u64..120, 0..60), 1..5), most in 1usize..6) {
            let mut chain: Option<Stretch> = None;
            for day in days.iter().filter_map(runs) {
                chain = Some(chain.map_or_else(|| day.clone(), |chain| chain.with(&day)));
            }
            let stored: BTreeSet<u64> = days.iter().flatten().copied().collect();
            let (Some(first), Some(last)) = (stored.first(), stored.last()) else { return Ok(()) };
            let chain = chain.expect("something is stored");
            prop_assert_eq!((chain.first, chain.last), (*first, *last));
            let told: Vec<u64> = chain.gaps.iter().flat_map(|gap| gap.from..=gap.to).collect();
            let missing: Vec<u64> = (*first..=*last).filter(|id| !stored.contains(id)).collect();
            prop_assert_eq!(told, missing.clone());
            prop_assert!(chain.gaps.windows(2).all(|pair| pair[0].to + 1 < pair[1].from), "disjoint and apart");
            let mut joined = chain.gaps.clone();
            join(&mut joined, most);
            prop_assert_eq!(joined.len(), chain.gaps.len().min(most));
            prop_assert!(missing.iter().all(|id| joined.iter().any(|gap| gap.from <= *id && *id <= gap.to)));
            prop_assert!(joined.iter().all(|gap| chain.gaps.iter().any(|own| own.from == gap.from) && chain.gaps.iter().any(|own| own.to == gap.to)));
        }

        #[test]
        fn the_ends_of_all_numbers_are_no_trouble(low in 0u64..3, high in (u64::MAX - 3)..=u64::MAX) {
            let all = Stretch { first: low, last: high, gaps: vec![Hole { from: low + 1, to: high - 1 }] };
            let inner = Stretch { first: low + 5, last: low + 5, gaps: Vec::new() };
            let want = vec![Hole { from: low + 1, to: low + 4 }, Hole { from: low + 6, to: high - 1 }];
            prop_assert_eq!(all.clone().with(&inner).gaps, want.clone());
            prop_assert_eq!(inner.with(&all).gaps, want);
        }
    }
}
