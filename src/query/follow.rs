//! [`Follow`]: goes on printing what is captured, over midnights, until it is told to end.
//!
//! 1. The two newest days are followed: after midnight trades of yesterday may still come.
//! 2. What is new is told by the counts of the columns and of the late records. A late record is printed when it comes, not in its place.
//! 3. When a day's files are replaced, its late records move into the columns; what was printed is then told by the keys of trades and the number of
//!    tickers. A late trade that comes and is merged between two looks is not printed; a query without `--follow` has it.
//! 4. Polls: nothing tells a reader of another process that something was committed.

use std::time::Duration;

use super::filter::Filter;
use super::lines::{Lines, time_of};
use super::{QueryConfig, QueryError};
use crate::schema::{Dataset, Layout, Value};
use crate::store::{Snapshot, catalog};
use crate::stored;
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos, UtcDay};

/// Between two looks.
const POLL: Duration = Duration::from_millis(50);
/// Nanoseconds after the end asked for in which records of before it may still come.
const AFTER_END: u64 = 10 * NANOS_PER_SECOND;
/// Days looked at.
pub const MAX_DAYS: usize = 2;

/// A day and what of it was printed.
struct Followed<L: Layout> {
    date: UtcDay,
    snapshot: Snapshot<L>,
    /// Records of the columns printed.
    base: usize,
    /// Late records printed.
    late: usize,
    /// Key of the last record of the columns printed.
    last_key: u64,
    highest_key: u64,
}

/// The newest days of a product.
pub struct Follow<'a, L: Layout> {
    config: &'a QueryConfig,
    filter: &'a Filter,
    days: Vec<Followed<L>>,
    newest: Option<UtcDay>,
}

impl<'a, L: Layout> Follow<'a, L> {
    /// Begins with nothing printed.
    #[must_use]
    pub fn new(config: &'a QueryConfig, filter: &'a Filter) -> Self {
        Self { config, filter, days: Vec::new(), newest: None }
    }

    /// Takes a day all of whose records count as printed.
    pub fn seen(&mut self, date: UtcDay, snapshot: Snapshot<L>) {
        if !self.config.follow {
            return;
        }
        let mut day = Followed::new(date, snapshot);
        day.note_printed();
        self.add(day);
    }

    fn add(&mut self, day: Followed<L>) {
        self.newest = self.newest.max(Some(day.date));
        self.days.push(day);
        if self.days.len() > MAX_DAYS {
            self.days.remove(0);
        }
    }

    /// Prints what comes until `is_over`, or until as many were printed as were asked for.
    ///
    /// # Errors
    /// Where a day cannot be read or the output takes no more.
    pub fn run(&mut self, is_over: &dyn Fn() -> bool, lines: &mut Lines<'_>) -> Result<(), QueryError> {
        loop {
            // Asked before the look: what was there when it became true is printed.
            let is_last = is_over() || self.config.to.is_some_and(|to| Clock::System.now() > UnixNanos(to.0.saturating_add(AFTER_END)));
            self.look(lines)?;
            lines.end_batch().map_err(QueryError::Output)?;
            if is_last || lines.is_full() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    fn look(&mut self, lines: &mut Lines<'_>) -> Result<(), QueryError> {
        for day in &mut self.days {
            if day.snapshot.refresh()? {
                day.print_new(self.filter, lines)?;
            }
        }
        for date in catalog::days(&self.config.dir, &self.config.product, L::DATASET)? {
            // Tomorrow's files are made ahead and are empty until then; a page that is being made is no day yet.
            if self.newest.is_some_and(|newest| date <= newest) || !self.filter.may_hold(date) {
                continue;
            }
            if let Some(snapshot) = Snapshot::<L>::open(&self.config.dir, &self.config.product, date)? {
                let mut day = Followed::new(date, snapshot);
                day.print_new(self.filter, lines)?;
                self.add(day);
            }
        }
        Ok(())
    }
}

impl<L: Layout> Followed<L> {
    /// Begins with nothing of a day printed.
    fn new(date: UtcDay, snapshot: Snapshot<L>) -> Self {
        Self { date, snapshot, base: 0, late: 0, last_key: 0, highest_key: 0 }
    }

    /// Counts everything in view as printed.
    fn note_printed(&mut self) {
        (self.base, self.late) = (self.snapshot.base_count(), self.snapshot.late().len());
        self.last_key = self.key_before(self.base);
        let late = self.snapshot.late().iter().map(L::key).max().unwrap_or(0);
        self.highest_key = self.highest_key.max(self.last_key).max(late);
    }

    fn key_before(&self, record: usize) -> u64 {
        record.checked_sub(1).and_then(|record| self.snapshot.base_row(record)).map_or(0, |row| L::key(&row))
    }

    fn print_new(&mut self, filter: &Filter, lines: &mut Lines<'_>) -> Result<(), QueryError> {
        let snapshot = &self.snapshot;
        let mut values = Vec::new();
        let mut print = |values: &[Value]| {
            let is_asked = filter.admits_values::<L>(time_of::<L>(values), values);
            if is_asked { lines.print_values::<L>(values).map_err(QueryError::Output) } else { Ok(()) }
        };
        if snapshot.late().len() < self.late || self.key_before(self.base) != self.last_key {
            // The files were replaced: what was late before lies in the columns now, trades in their place, tickers behind the others.
            let printed = self.base + self.late;
            for number in 0..snapshot.count() {
                let key = snapshot.row(number).map_or(0, |row| L::key(&row));
                let is_new = if L::DATASET == Dataset::Trades { key > self.highest_key } else { number >= printed };
                if is_new && stored::load(snapshot, number, &mut values) {
                    print(&values)?;
                }
            }
        } else {
            for number in self.base..snapshot.base_count() {
                if stored::load_base(snapshot, number, &mut values) {
                    print(&values)?;
                }
            }
            for row in snapshot.late().iter().skip(self.late) {
                stored::of_row::<L>(row, &mut values);
                values.truncate(stored::columns_of(snapshot).len());
                print(&values)?;
            }
        }
        self.note_printed();
        Ok(())
    }
}
