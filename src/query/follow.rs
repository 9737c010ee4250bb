//! [`Follower`]: goes on printing what is captured, over midnights, until it is told to end.
//!
//! 1. The two newest days are followed, as trades of yesterday may still come after midnight.
//! 2. The counts of the columns and of the late records show what is new. A late record is printed when it comes, not in its place.
//! 3. When the files of a day are replaced, its late records move into the columns. Then the keys of trades, and the number of tickers, show what is new.
//!    A late trade that comes and is merged between two looks is not printed. A query without `--follow` prints it.
//! 4. It polls: nothing tells a reader in another process that something was committed.

use std::time::Duration;

use super::config::QueryConfig;
use super::error::QueryError;
use super::filter::Filter;
use super::printer::{RecordPrinter, time_of};
use crate::schema::{Dataset, Layout, Value};
use crate::store::{Snapshot, catalog};
use crate::stored;
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos, UtcDay};

/// The time between two looks.
const POLL: Duration = Duration::from_millis(50);
/// How long after the end asked for records from before it may still come, in nanoseconds.
const AFTER_END_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// How many days are followed.
pub(super) const MAX_DAYS: usize = 2;

/// A day, and what was printed of it.
struct FollowedDay<L: Layout> {
    date: UtcDay,
    snapshot: Snapshot<L>,
    /// Records of the columns that were printed.
    base: usize,
    /// Late records that were printed.
    late: usize,
    /// The key of the last record of the columns that was printed.
    last_key: u64,
    /// The highest key of all that were printed.
    highest_key: u64,
}

/// Prints what is new in the newest days of a product.
pub(super) struct Follower<'a, L: Layout> {
    config: &'a QueryConfig,
    filter: &'a Filter,
    days: Vec<FollowedDay<L>>,
    newest: Option<UtcDay>,
}

impl<'a, L: Layout> Follower<'a, L> {
    /// Begins without a day.
    #[must_use]
    pub(super) fn new(config: &'a QueryConfig, filter: &'a Filter) -> Self {
        Self { config, filter, days: Vec::new(), newest: None }
    }

    /// Follows a day from now on. Its records count as printed.
    pub(super) fn add_printed(&mut self, date: UtcDay, snapshot: Snapshot<L>) {
        if !self.config.follow {
            return;
        }
        let mut day = FollowedDay::new(date, snapshot);
        day.note_printed();
        self.add(day);
    }

    fn add(&mut self, day: FollowedDay<L>) {
        self.newest = self.newest.max(Some(day.date));
        self.days.push(day);
        if self.days.len() > MAX_DAYS {
            self.days.remove(0);
        }
    }

    /// Prints new records until `is_over` says so, or until as many have been printed as were asked for.
    ///
    /// # Errors
    /// Where a day cannot be read, or the output cannot be written to.
    pub(super) fn run(&mut self, is_over: &dyn Fn() -> bool, printer: &mut RecordPrinter<'_>) -> Result<(), QueryError> {
        loop {
            // Asked before the look, so that everything is printed that was there when it became true.
            let is_last =
                is_over() || self.config.to.is_some_and(|to| Clock::System.now() > UnixNanos(to.0.saturating_add(AFTER_END_NANOS)));
            self.look(printer)?;
            printer.end_batch().map_err(QueryError::Output)?;
            if is_last || printer.is_full() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    fn look(&mut self, printer: &mut RecordPrinter<'_>) -> Result<(), QueryError> {
        for day in &mut self.days {
            if day.snapshot.refresh()? {
                day.print_new(self.filter, printer)?;
            }
        }
        for date in catalog::days(&self.config.dir, &self.config.product, L::DATASET)? {
            // Tomorrow's files are made ahead and are empty until then. A page that is being made is not yet a day.
            if self.newest.is_some_and(|newest| date <= newest) || !self.filter.may_hold(date) {
                continue;
            }
            if let Some(snapshot) = Snapshot::<L>::open(&self.config.dir, &self.config.product, date)? {
                let mut day = FollowedDay::new(date, snapshot);
                day.print_new(self.filter, printer)?;
                self.add(day);
            }
        }
        Ok(())
    }
}

impl<L: Layout> FollowedDay<L> {
    /// Begins with no record of the day printed.
    fn new(date: UtcDay, snapshot: Snapshot<L>) -> Self {
        Self { date, snapshot, base: 0, late: 0, last_key: 0, highest_key: 0 }
    }

    /// Counts all records of the snapshot as printed.
    fn note_printed(&mut self) {
        (self.base, self.late) = (self.snapshot.base_count(), self.snapshot.late().len());
        self.last_key = self.key_before(self.base);
        let late = self.snapshot.late().iter().map(L::key).max().unwrap_or(0);
        self.highest_key = self.highest_key.max(self.last_key).max(late);
    }

    fn key_before(&self, record: usize) -> u64 {
        record.checked_sub(1).and_then(|record| self.snapshot.base_row(record)).map_or(0, |row| L::key(&row))
    }

    fn print_new(&mut self, filter: &Filter, printer: &mut RecordPrinter<'_>) -> Result<(), QueryError> {
        let snapshot = &self.snapshot;
        let mut values = Vec::new();
        let mut print = |values: &[Value]| {
            let is_asked = filter.admits_values::<L>(time_of::<L>(values), values);
            if is_asked { printer.print_values::<L>(values).map_err(QueryError::Output) } else { Ok(()) }
        };
        if snapshot.late().len() < self.late || self.key_before(self.base) != self.last_key {
            // The files were replaced. What was late before is in the columns now: trades in their place, tickers behind all others.
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
