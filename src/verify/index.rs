//! [`IndexedDays`]: the days of one product's dataset, in which records are looked up: by key, or by time where a dataset has no key.
//!
//! 1. Nothing is assumed of damaged files: a day whose keys do not rise is looked up through a sorted index.
//! 2. Every record has a mark that says whether it has been matched. No record is matched twice.
//! 3. Looking up in rising order of keys costs a comparison, not a search.

use crate::schema::{Dataset, Layout, Md, TickerTrades, Value, layout_enum, match_layout};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UtcDay;

/// What the records of a day are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexedBy {
    /// The values of this 8-byte column.
    Column(usize),
    /// The event time, in nanoseconds.
    Time,
}

/// The position of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The index of its day among the product's days.
    pub day: usize,
    /// Its number in the merged order of the day.
    pub record: usize,
}

/// One day.
#[derive(Debug)]
pub(super) struct IndexedDay<L: Layout> {
    /// The day.
    pub date: UtcDay,
    /// Its records.
    pub snapshot: Snapshot<L>,
    by: IndexedBy,
    /// The records in order of their keys. `None` where they are stored in that order.
    order: Option<Vec<u32>>,
    /// One bit a record: whether it has been matched.
    marks: Vec<u64>,
    /// Where the last look-up ended.
    hint: usize,
}

/// A product's days of a dataset.
#[derive(Debug)]
pub(super) struct IndexedDays<L: Layout> {
    /// Each day that can be read, in order.
    pub days: Vec<IndexedDay<L>>,
}

layout_enum! {
    /// A product's days of a dataset that is known only at run time.
    #[derive(Debug)]
    pub(super) enum DatasetDays of IndexedDays
}

impl DatasetDays {
    /// Gives the dataset.
    #[must_use]
    pub(super) fn dataset(&self) -> Dataset {
        match_layout!(DatasetDays, self, days => days.dataset())
    }

    /// Tells whether there is no day that can be read.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        match_layout!(DatasetDays, self, days => days.days.is_empty())
    }

    /// Gives the days, if they are of `MD`.
    #[must_use]
    pub(super) fn of_md(&self) -> Option<&IndexedDays<Md>> {
        if let Self::Md(days) = self { Some(days) } else { None }
    }

    /// Gives the days, if they are of `TICKER_TRADES`.
    #[must_use]
    pub(super) fn of_ticker_trades(&self) -> Option<&IndexedDays<TickerTrades>> {
        if let Self::TickerTrades(days) = self { Some(days) } else { None }
    }
}

impl<L: Layout> IndexedDay<L> {
    /// Indexes a day. No record is marked.
    #[must_use]
    pub(super) fn new(date: UtcDay, snapshot: Snapshot<L>) -> Self {
        let count = snapshot.count();
        let mut day = Self { date, by: index_of(&snapshot), snapshot, order: None, marks: vec![0; count.div_ceil(64)], hint: 0 };
        if !day.is_in_order() {
            // A day holds at most 2^28 records.
            let mut order: Vec<u32> = (0..count).filter_map(|record| u32::try_from(record).ok()).collect();
            order.sort_by_key(|record| day.key(*record as usize));
            day.order = Some(order);
        }
        day
    }

    /// Tells whether the records are stored in order of their keys.
    fn is_in_order(&self) -> bool {
        match self.by {
            IndexedBy::Column(column) if self.snapshot.late().is_empty() => {
                let keys = self.snapshot.column_bytes(column).as_chunks::<8>().0;
                let pairs = keys.iter().zip(keys.iter().skip(1));
                pairs.fold(true, |all, (key, next)| all & (u64::from_le_bytes(*key) <= u64::from_le_bytes(*next)))
            }
            _ => (1..self.snapshot.count()).all(|record| self.key(record - 1) <= self.key(record)),
        }
    }

    /// Gives what the day's records are looked up by.
    #[must_use]
    pub(super) fn indexed_by(&self) -> IndexedBy {
        self.by
    }

    /// Gives the key of a stored record.
    #[must_use]
    pub(super) fn key(&self, record: usize) -> u64 {
        match self.by {
            IndexedBy::Column(column) if self.snapshot.late().is_empty() => {
                stored::chunk(self.snapshot.column_bytes(column), record).map_or(0, u64::from_le_bytes)
            }
            IndexedBy::Column(_) => self.snapshot.row(record).map_or(0, |row| L::key(&row)),
            IndexedBy::Time => self.snapshot.row(record).map_or(0, |row| L::time(&row).0),
        }
    }

    /// Offers each record of a key to `accepts`, until it takes one. Gives the record taken.
    pub(super) fn find(&mut self, key: u64, mut accepts: impl FnMut(&Self, usize) -> bool) -> Option<usize> {
        let count = self.snapshot.count();
        let mut at = self.hint;
        let before = at.checked_sub(1).map_or(0, |before| self.key(self.nth(before)));
        if at >= count || before >= key || self.key(self.nth(at)) < key {
            at = self.lower_bound(key);
        }
        while at < count {
            let record = self.nth(at);
            if self.key(record) != key {
                break;
            }
            if accepts(self, record) {
                self.hint = at + 1;
                return Some(record);
            }
            at += 1;
        }
        self.hint = at;
        None
    }

    fn nth(&self, at: usize) -> usize {
        self.order.as_ref().map_or(at, |order| order.get(at).map_or(at, |record| *record as usize))
    }

    fn lower_bound(&self, key: u64) -> usize {
        let (mut low, mut high) = (0, self.snapshot.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(self.nth(middle)) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Tells whether a record has been matched.
    #[must_use]
    pub(super) fn is_marked(&self, record: usize) -> bool {
        self.marks.get(record / 64).is_some_and(|word| word >> (record % 64) & 1 == 1)
    }

    /// Marks a record as matched.
    pub(super) fn mark(&mut self, record: usize) {
        if let Some(word) = self.marks.get_mut(record / 64) {
            *word |= 1 << (record % 64);
        }
    }
}

impl<L: Layout> IndexedDays<L> {
    /// Begins without a day.
    #[must_use]
    pub(super) const fn new() -> Self {
        Self { days: Vec::new() }
    }

    /// Gives the dataset.
    #[must_use]
    #[expect(clippy::unused_self, reason = "the type of the days says which dataset they are of")]
    pub(super) const fn dataset(&self) -> Dataset {
        L::DATASET
    }

    /// Gives a day, if it can be read.
    #[must_use]
    pub(super) fn day(&self, date: UtcDay) -> Option<&IndexedDay<L>> {
        self.days.iter().find(|day| day.date == date)
    }

    /// Finds a record of a key that `accepts` takes. Looks first in the day where it should be.
    pub(super) fn find(&mut self, key: u64, date: UtcDay, mut accepts: impl FnMut(&IndexedDay<L>, usize) -> bool) -> Option<Position> {
        self.days_from(date).into_iter().find_map(|at| {
            let record = self.days.get_mut(at)?.find(key, &mut accepts)?;
            Some(Position { day: at, record })
        })
    }

    /// Lists the indexes of all days, the one of `date` first.
    pub(super) fn days_from(&self, date: UtcDay) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.days.len()).collect();
        order.sort_by_key(|at| self.days.get(*at).is_none_or(|day| day.date != date));
        order
    }

    /// Loads the values of a record.
    pub(super) fn load(&self, position: Position, values: &mut Vec<Value>) -> bool {
        self.days.get(position.day).is_some_and(|day| stored::load(&day.snapshot, position.record, values))
    }

    /// Marks a record as matched and gives its day.
    pub(super) fn mark(&mut self, position: Position) -> Option<UtcDay> {
        let day = self.days.get_mut(position.day)?;
        day.mark(position.record);
        Some(day.date)
    }
}

/// Chooses what a day is looked up by: its key column, where it has one with values in it.
fn index_of<L: Layout>(snapshot: &Snapshot<L>) -> IndexedBy {
    let Some(column) = stored::key_column(stored::columns_of(snapshot)) else { return IndexedBy::Time };
    let mut values = Vec::new();
    // A feed that sends no sequence leaves 0 in every record.
    let has_key = |number| stored::load(snapshot, number, &mut values) && stored::u64_at(&values, column).is_some_and(|key| key != 0);
    if L::DATASET == Dataset::Trades || (0..snapshot.count()).any(has_key) { IndexedBy::Column(column) } else { IndexedBy::Time }
}

/// Gives the key under which a record would be found in a day that is indexed so.
pub(super) fn key_of_row<L: Layout>(by: IndexedBy, row: &L::Row) -> u64 {
    match by {
        IndexedBy::Column(_) => L::key(row),
        IndexedBy::Time => L::time(row).0,
    }
}
