//! The days of one product's dataset, opened for looking records up: by key, or by time where a dataset has no key.
//!
//! 1. A day whose keys do not rise is looked up through a sorted index; nothing is assumed of damaged files.
//! 2. Every record has a mark: matched or not. A record is matched once.
//! 3. Looking up in rising order of keys costs a comparison, not a search.

use super::day::long;
use crate::product::ProductId;
use crate::schema::{Dataset, Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::{UnixNanos, UtcDay};

/// What records are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The values of this 8-byte column.
    Column(usize),
    /// The event time, in nanoseconds.
    Time,
}

/// A record's place: which day of the product, and its number in the merged order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Index of the day.
    pub day: usize,
    /// Number of the record.
    pub record: usize,
}

/// One day.
#[derive(Debug)]
pub struct FiledDay<L: Layout> {
    /// Which.
    pub date: UtcDay,
    /// Its records.
    pub snapshot: Snapshot<L>,
    by: By,
    /// Records in order of their keys, where that is not the order they are stored in.
    order: Option<Vec<u32>>,
    marks: Vec<u64>,
    hint: usize,
}

/// A product's days of a dataset.
#[derive(Debug)]
pub struct Filed<L: Layout> {
    /// Whose.
    pub product: ProductId,
    /// Each day that can be read, in order.
    pub days: Vec<FiledDay<L>>,
}

impl<L: Layout> FiledDay<L> {
    /// Files a day's records by their key.
    #[must_use]
    pub fn new(date: UtcDay, snapshot: Snapshot<L>) -> Self {
        let count = snapshot.count();
        let mut day = Self { date, by: key_of(&snapshot), snapshot, order: None, marks: vec![0; count.div_ceil(64)], hint: 0 };
        let is_sorted = (1..count).all(|record| day.key(record - 1) <= day.key(record));
        if !is_sorted {
            // A day holds at most 2^28 records.
            let mut order: Vec<u32> = (0..count).filter_map(|record| u32::try_from(record).ok()).collect();
            order.sort_by_key(|record| day.key(*record as usize));
            day.order = Some(order);
        }
        day
    }

    /// Tells what the day is looked up by.
    #[must_use]
    pub fn by(&self) -> By {
        self.by
    }

    /// Gives a record's key.
    #[must_use]
    pub fn key(&self, record: usize) -> u64 {
        match self.by {
            By::Column(column) if self.snapshot.late().is_empty() => {
                stored::chunk(self.snapshot.column_bytes(column), record).map_or(0, u64::from_le_bytes)
            }
            By::Column(_) => self.snapshot.row(record).map_or(0, |row| L::key(&row)),
            By::Time => self.snapshot.row(record).map_or(0, |row| L::time(&row).0),
        }
    }

    /// Calls `see` with each record of a key, until it says that it has what it wants.
    pub fn each(&mut self, key: u64, mut see: impl FnMut(&Self, usize) -> bool) -> bool {
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
            if see(self, record) {
                self.hint = at + 1;
                return true;
            }
            at += 1;
        }
        self.hint = at;
        false
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
    pub fn is_marked(&self, record: usize) -> bool {
        self.marks.get(record / 64).is_some_and(|word| word >> (record % 64) & 1 == 1)
    }

    /// Marks a record as matched.
    pub fn mark(&mut self, record: usize) {
        if let Some(word) = self.marks.get_mut(record / 64) {
            *word |= 1 << (record % 64);
        }
    }
}

impl<L: Layout> Filed<L> {
    /// Finds a record of a key that `wants` likes, looking first in the day where it should be.
    pub fn find(&mut self, key: u64, date: UtcDay, mut wants: impl FnMut(&FiledDay<L>, usize) -> bool) -> Option<Spot> {
        let should = self.days.iter().position(|day| day.date == date);
        let others = (0..self.days.len()).filter(|at| Some(*at) != should);
        for at in should.into_iter().chain(others) {
            let mut found = None;
            if let Some(day) = self.days.get_mut(at) {
                day.each(key, |day, record| {
                    let likes = wants(day, record);
                    found = likes.then_some(record);
                    likes
                });
            }
            if let Some(record) = found {
                return Some(Spot { day: at, record });
            }
        }
        None
    }

    /// Loads a record's values.
    pub fn load(&self, spot: Spot, values: &mut Vec<Value>) -> bool {
        self.days.get(spot.day).is_some_and(|day| stored::load(&day.snapshot, spot.record, values))
    }

    /// Marks a record as matched and gives its day.
    pub fn mark(&mut self, spot: Spot) -> Option<UtcDay> {
        let day = self.days.get_mut(spot.day)?;
        day.mark(spot.record);
        Some(day.date)
    }
}

/// Tells what a day can be looked up by: its key column, where it has one and something stands in it.
fn key_of<L: Layout>(snapshot: &Snapshot<L>) -> By {
    let name = match L::DATASET {
        Dataset::Trades => "trade_id",
        Dataset::Md => "sequence",
        Dataset::TickerTrades => return By::Time,
    };
    let place = stored::columns_of(snapshot).iter().position(|column| column.name == name && column.kind == Kind::U64);
    let Some(column) = place else { return By::Time };
    let mut values = Vec::new();
    // A feed that sends no sequence leaves 0 in every record.
    let is_used = |number| stored::load(snapshot, number, &mut values) && long(&values, column).is_some_and(|key| key != 0);
    if L::DATASET == Dataset::Trades || (0..snapshot.count()).any(is_used) { By::Column(column) } else { By::Time }
}

/// Gives the key by which a ledger's record is looked up in a day.
#[must_use]
pub fn key_in<L: Layout>(by: By, row: &L::Row) -> u64 {
    match by {
        By::Column(_) => L::key(row),
        By::Time => time_key(L::time(row)),
    }
}

fn time_key(time: UnixNanos) -> u64 {
    time.0
}
