//! [`Source`]: a product's records of one dataset, one after the other: first those that are stored, then those that are committed.
//!
//! 1. Stored days come in the merged order, so a late record is in its place. What comes later is given when it comes.
//! 2. Each record is given once: trades are told apart by their ids, tickers by their place, through growth, midnights, seals and replaced files.
//! 3. Nothing is read ahead: what waits is a range of numbers in a day. A day is looked at again only when all that was found in it has been given.
//! 4. A day's bytes are compared with their checksums before the first of its records is given: an altered trade must not look like a stored one. Only what
//!    is being stored now, behind [`Source::at_end`], is given as it comes.
//! 5. The newest day and the one before it are looked at again. What comes for an older one is not given: it is repair, and REST has it.

use std::collections::VecDeque;
use std::ops::Range;

use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout};
use crate::store::{DayKey, Snapshot, catalog, holder_of};
use crate::tape::listed::Listed;
use crate::tape::{Tape, TapeError};
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Days that may be looked at again: yesterday, today, and tomorrow, whose files are made ahead.
const MAX_DAYS: usize = 3;

/// A record, and whether its day holds core columns alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Given<R> {
    pub(super) row: R,
    pub(super) is_core: bool,
}

/// Gives a product's records one after the other.
#[derive(Debug)]
pub(super) struct Source<L: Layout> {
    tape: Tape,
    product: ProductId,
    range: TimeRange,
    /// Days that were listed and are not opened yet: their turn has not come, or their files are being made.
    dates: VecDeque<UtcDay>,
    days: Vec<SourceDay<L>>,
    newest: Option<UtcDay>,
    listed: Option<Listed>,
    /// Whether days are checked before they are given.
    checks: bool,
}

/// Records of a day that were found and not given yet.
#[derive(Debug)]
enum Waiting {
    /// By their numbers in the merged order.
    Merged(Range<usize>),
    /// Likewise; those that were given before are passed over by their ids.
    Unknown(Range<usize>),
    /// By their numbers in the columns.
    Columns(Range<usize>),
    /// Late ones, in the order they came.
    Late(Range<usize>),
}

/// A day, and what was found in it.
#[derive(Debug)]
struct SourceDay<L: Layout> {
    day: Snapshot<L>,
    /// How often its files had been opened when it was looked at.
    opened: u64,
    /// Records of the columns that were found.
    base: usize,
    /// Late records that were found.
    late: usize,
    /// The ids given, where records have some.
    ids: IdSet,
    /// The last record that was given or passed over.
    last: Option<L::Row>,
    waiting: VecDeque<Waiting>,
}

impl<L: Layout> Source<L> {
    /// Begins with the first record of a range of event times.
    #[must_use]
    pub(super) fn new(tape: &Tape, product: &ProductId, range: TimeRange) -> Self {
        let (tape, product) = (tape.clone(), product.clone());
        Self { tape, product, range, dates: VecDeque::new(), days: Vec::new(), newest: None, listed: None, checks: true }
    }

    /// Begins behind everything that is stored now.
    ///
    /// # Errors
    /// Where a day cannot be read.
    pub(super) fn at_end(tape: &Tape, product: &ProductId) -> Result<Self, TapeError> {
        let mut source = Self { checks: false, ..Self::new(tape, product, TimeRange::ALL) };
        source.list()?;
        let passed_over = source.dates.len().saturating_sub(MAX_DAYS);
        source.dates.drain(..passed_over);
        while let Some(mut day) = source.open_next()? {
            day.pass_over_all();
            source.add(day);
        }
        Ok(source)
    }

    /// Compares the bytes of its days with their checksums, for whoever takes [`Source::last`] of one that has begun at the end.
    ///
    /// # Errors
    /// Where they differ, or a day cannot be read.
    pub(super) fn check(&mut self) -> Result<(), TapeError> {
        self.days.iter_mut().try_for_each(|day| check_bytes(&self.tape, &mut day.day))
    }

    /// Fails where files of its days were cut while they were read: what it has given since the last time may be zeros. `is_end` also looks at the lengths
    /// of the files: to be asked behind the last record.
    ///
    /// # Errors
    /// Where they were.
    pub(super) fn check_not_cut(&self, is_end: bool) -> Result<(), TapeError> {
        for day in self.days.iter().filter(|day| is_end || day.day.has_lost_pages()) {
            day.day.check_lengths()?;
        }
        Ok(())
    }

    /// Gives the last record that was given or passed over, of the newest day that has one.
    #[must_use]
    pub(super) fn last(&self) -> Option<Given<L::Row>> {
        self.days.iter().rev().find_map(|day| day.last.map(|row| Given { row, is_core: day.is_core() }))
    }

    /// Tells whether a trade with this id was given.
    #[must_use]
    pub(super) fn has_given(&self, id: u64) -> bool {
        self.days.iter().any(|day| day.ids.contains(id))
    }

    /// Gives the next record that was found, if one waits.
    pub(super) fn next_found(&mut self) -> Option<Given<L::Row>> {
        self.days.iter_mut().find_map(|day| day.next(self.range))
    }

    /// Gives the next record; looks for more where none waits. Nothing where all that is committed was given.
    ///
    /// # Errors
    /// Where a day cannot be read. The records given until then are not given again.
    pub(super) fn next(&mut self) -> Result<Option<Given<L::Row>>, TapeError> {
        loop {
            if let Some(found) = self.next_found() {
                return Ok(Some(found));
            }
            if !self.look()? {
                return Ok(None);
            }
        }
    }

    /// Looks for more records. Tells whether there may be some. To be called when none waits.
    fn look(&mut self) -> Result<bool, TapeError> {
        let mut has_more = false;
        for day in &mut self.days {
            if !day.day.refresh()? {
                continue;
            }
            if self.checks && day.day.opened() != day.opened {
                check_bytes(&self.tape, &mut day.day)?;
            }
            has_more |= day.find_new();
        }
        if has_more {
            return Ok(true);
        }
        self.list()?;
        let Some(mut day) = self.open_next()? else { return Ok(false) };
        if self.checks {
            // Those before it may not be looked at again.
            self.check_not_cut(true)?;
        }
        day.find_all(self.range);
        self.add(day);
        Ok(true)
    }

    /// Opens the next day that was listed. One whose files are being made is tried again at the next look: its records must not come later than those that
    /// another source gives of it.
    fn open_next(&mut self) -> Result<Option<SourceDay<L>>, TapeError> {
        for at in 0..self.dates.len() {
            let Some(date) = self.dates.get(at).copied() else { break };
            if let Some(day) = self.open(date)? {
                self.dates.remove(at);
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// Adds a day. Those before the one before it are not looked at again.
    fn add(&mut self, day: SourceDay<L>) {
        let date = day.day.key().date;
        self.days.retain(|known| known.day.key().date.next() >= date);
        self.days.push(day);
    }

    /// Lists the days that are newer than those known.
    fn list(&mut self) -> Result<(), TapeError> {
        let folder = self.tape.dir().join(self.product.as_str()).join(L::DATASET.folder());
        let Some(listed) = Listed::again(self.listed, &folder) else { return Ok(()) };
        let known = self.dates.back().copied().max(self.newest);
        let dates = self.tape.days(&self.product, L::DATASET)?;
        self.dates.extend(dates.into_iter().filter(|date| known.is_none_or(|known| *date > known) && self.range.overlaps_day(*date)));
        self.listed = Some(listed);
        Ok(())
    }

    fn open(&mut self, date: UtcDay) -> Result<Option<SourceDay<L>>, TapeError> {
        let Some(mut day) = self.tape.day::<L>(&self.product, date)? else {
            // Files that are being made are no day yet. Of a tape at rest, a day that has records must not be passed over.
            if holder_of(self.tape.dir())?.is_none() {
                catalog::must_be_empty(self.tape.dir(), &DayKey { product: self.product.clone(), dataset: L::DATASET, date })?;
            }
            return Ok(None);
        };
        if self.checks {
            check_bytes(&self.tape, &mut day)?;
        }
        self.newest = self.newest.max(Some(date));
        Ok(Some(SourceDay::new(day)))
    }
}

/// Compares a day's bytes with their checksums. A day whose files are replaced meanwhile is opened and compared anew.
///
/// # Errors
/// Where they differ, or the day cannot be read.
pub(super) fn check_bytes<L: Layout>(tape: &Tape, day: &mut Snapshot<L>) -> Result<(), TapeError> {
    loop {
        let opened = day.opened();
        match tape.check_bytes(day) {
            Ok(()) => return Ok(()),
            Err(error) => {
                day.refresh()?;
                if day.opened() == opened {
                    return Err(error.into());
                }
            }
        }
    }
}

impl<L: Layout> SourceDay<L> {
    fn new(day: Snapshot<L>) -> Self {
        let opened = day.opened();
        Self { day, opened, base: 0, late: 0, ids: IdSet::new(), last: None, waiting: VecDeque::new() }
    }

    fn is_core(&self) -> bool {
        self.day.column_set() == ColumnSet::Core
    }

    const fn has_ids() -> bool {
        matches!(L::DATASET, Dataset::Trades)
    }

    fn note_counts(&mut self) {
        (self.opened, self.base, self.late) = (self.day.opened(), self.day.base_count(), self.day.late().len());
    }

    /// Finds all records of a range of time.
    fn find_all(&mut self, range: TimeRange) {
        if range.covers_day(self.day.key().date) {
            self.waiting.push_back(Waiting::Merged(0..self.day.count()));
        } else {
            self.waiting.extend(self.day.time_pieces(range).into_iter().map(Waiting::Merged));
        }
        self.note_counts();
    }

    /// Counts all records as given.
    fn pass_over_all(&mut self) {
        if Self::has_ids() {
            let mut run: Option<IdRange> = None;
            let columns = self.day.values::<u64>(0).unwrap_or_default().iter().copied();
            for id in columns.chain(self.day.late().iter().map(L::key)) {
                if run.as_mut().is_none_or(|run| !run.push(id))
                    && let Some(ended) = run.replace(IdRange::one(id))
                {
                    self.ids.insert(ended);
                }
            }
            run.into_iter().for_each(|run| self.ids.insert(run));
        }
        self.last = self.day.count().checked_sub(1).and_then(|number| self.day.row(number));
        self.note_counts();
    }

    /// Finds the records that have come since the last look. Tells whether there are some.
    fn find_new(&mut self) -> bool {
        if self.day.opened() == self.opened {
            let (base, late) = (self.base..self.day.base_count(), self.late..self.day.late().len());
            self.waiting.extend((!base.is_empty()).then_some(Waiting::Columns(base)));
            self.waiting.extend((!late.is_empty()).then_some(Waiting::Late(late)));
        } else if Self::has_ids() {
            self.waiting.push_back(Waiting::Unknown(0..self.day.count()));
        } else {
            self.waiting.push_back(Waiting::Merged(self.given_before()..self.day.count()));
        }
        self.note_counts();
        !self.waiting.is_empty()
    }

    /// Tells how many records without ids of a day that was opened anew were given before.
    fn given_before(&self) -> usize {
        let given = self.base + self.late;
        let same = |row: &L::Row, last: &L::Row| (L::key(row), L::time(row)) == (L::key(last), L::time(last));
        let is_last = |number: usize| self.day.row(number).zip(self.last).is_some_and(|(row, last)| same(&row, &last));
        match given.checked_sub(1) {
            Some(number) if !is_last(number) => (0..self.day.count()).rev().find(|number| is_last(*number)).map_or(0, |number| number + 1),
            _ => given,
        }
    }

    fn next(&mut self, range: TimeRange) -> Option<Given<L::Row>> {
        while let Some(waiting) = self.waiting.front_mut() {
            let (row, skips_known) = match waiting {
                Waiting::Merged(numbers) => (numbers.next().and_then(|number| self.day.row(number)), false),
                Waiting::Unknown(numbers) => (numbers.next().and_then(|number| self.day.row(number)), true),
                Waiting::Columns(numbers) => (numbers.next().and_then(|number| self.day.base_row(number)), false),
                Waiting::Late(numbers) => (numbers.next().and_then(|number| self.day.late().get(number).copied()), true),
            };
            let Some(row) = row else {
                self.waiting.pop_front();
                continue;
            };
            if Self::has_ids() {
                let id = L::key(&row);
                if skips_known && self.ids.contains(id) {
                    continue;
                }
                if range.contains(L::time(&row)) {
                    self.ids.insert(IdRange::one(id));
                }
            }
            self.last = Some(row);
            if range.contains(L::time(&row)) {
                return Some(Given { row, is_core: self.is_core() });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
