//! [`Follow`]: a product's records as they are committed, over midnights, each once.
//!
//! 1. Trades are told apart by their ids. So a trade is given once, wherever it lies: appended, late, or in its place after the day was replaced.
//! 2. Records without an id keep their order when a day is replaced, and late ones lie behind. Their number says what is new; the last one given says
//!    whether the day is still the same.
//! 3. It polls, as nothing tells a reader in another process that something was committed. It never waits by itself.
//! 4. The two newest days are looked at again: trades of yesterday may still come after midnight. Those of a day before that are given up by a follower.

use std::time::{Duration, Instant, SystemTime};

use super::Tape;
use super::error::TapeError;
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{Dataset, Layout};
use crate::store::Snapshot;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// Days that are looked at again.
const MAX_DAYS: usize = 2;
/// How long a list of days is taken for complete where its folder has not changed. The file system's clock is coarse.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// Gives a product's records as they are committed, each once. Made by [`Tape::follow`].
#[derive(Debug)]
pub struct Follow<L: Layout> {
    tape: Tape,
    product: ProductId,
    range: TimeRange,
    days: Vec<FollowedDay<L>>,
    newest: Option<UtcDay>,
    listed: Option<Listed>,
}

/// When the days were listed, and when their folder had changed last.
#[derive(Debug, Clone, Copy)]
struct Listed {
    at: Instant,
    changed: Option<SystemTime>,
}

impl Tape {
    /// Follows a product's records in a range of time: those that there are, and those that are still to come. There need not be any yet.
    ///
    /// ```no_run
    /// use coltape::{ProductId, Tape, TimeRange, Trades};
    /// let tape = Tape::open("data")?;
    /// let mut trades = tape.follow::<Trades>(&ProductId::new("BTC-USD")?, TimeRange::ALL);
    /// loop {
    ///     trades.look(|trade| println!("{} {}", trade.trade_id, trade.price.as_f64))?;
    ///     std::thread::sleep(std::time::Duration::from_millis(10));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn follow<L: Layout>(&self, product: &ProductId, range: TimeRange) -> Follow<L> {
        Follow { tape: self.clone(), product: product.clone(), range, days: Vec::new(), newest: None, listed: None }
    }
}

impl<L: Layout> Follow<L> {
    /// Gives every record in the range of time that was committed and has not been given yet: in the order of their days, and of each day in the order in
    /// which they came. The first look gives all there are. Tells how many there were.
    ///
    /// A trade that comes again with its order ids is not given again.
    ///
    /// # Errors
    /// Where a day cannot be read. The records given until then are not given again.
    pub fn look(&mut self, mut give: impl FnMut(&L::Row)) -> Result<u64, TapeError> {
        let (range, mut given) = (self.range, 0);
        let mut give = |row: &L::Row| {
            if range.contains(L::time(row)) {
                given += 1;
                give(row);
            }
        };
        for day in &mut self.days {
            if day.day.refresh()? {
                day.give_new(&mut give);
            }
        }
        for date in self.new_dates()? {
            // Files that are being made are no day yet: the next look finds it.
            let Some(day) = self.tape.day::<L>(&self.product, date)? else { continue };
            let mut day = FollowedDay::new(day);
            day.give_new(&mut give);
            self.days.push(day);
            self.newest = Some(date);
            if self.days.len() > MAX_DAYS {
                self.days.remove(0);
            }
        }
        Ok(given)
    }

    /// Lists the days that are newer than those known.
    fn new_dates(&mut self) -> Result<Vec<UtcDay>, TapeError> {
        let folder = self.tape.dir().join(self.product.as_str()).join(L::DATASET.folder());
        let changed = std::fs::metadata(folder).and_then(|found| found.modified()).ok();
        if self.listed.is_some_and(|listed| changed.is_some() && listed.changed == changed && listed.at.elapsed() < LIST_AGAIN) {
            return Ok(Vec::new());
        }
        let mut dates = self.tape.days(&self.product, L::DATASET)?;
        dates.retain(|date| self.newest.is_none_or(|newest| *date > newest) && self.range.overlaps_day(*date));
        self.listed = Some(Listed { at: Instant::now(), changed });
        Ok(dates)
    }
}

/// A day, and what was given of it.
#[derive(Debug)]
struct FollowedDay<L: Layout> {
    day: Snapshot<L>,
    /// How often its files had been opened then.
    opened: u64,
    /// Records of the columns that were given.
    base: usize,
    /// Late records that were given.
    late: usize,
    /// The ids given, where records have some.
    ids: IdSet,
    /// The last record given.
    last: Option<L::Row>,
}

impl<L: Layout> FollowedDay<L> {
    fn new(day: Snapshot<L>) -> Self {
        let opened = day.opened();
        Self { day, opened, base: 0, late: 0, ids: IdSet::new(), last: None }
    }

    fn give_new(&mut self, give: &mut impl FnMut(&L::Row)) {
        let has_ids = L::DATASET == Dataset::Trades;
        let is_same = self.day.opened() == self.opened;
        let before = if is_same || has_ids { 0 } else { given_before::<L>(&self.day, self.base + self.late, self.last.as_ref()) };
        let Self { day, ids, last, .. } = self;
        let mut give = |row: L::Row| {
            let id = L::key(&row);
            if !has_ids || !ids.contains(id) {
                give(&row);
                *last = Some(row);
            }
            if has_ids {
                ids.insert(IdRange::one(id));
            }
        };
        if is_same {
            (self.base..day.base_count()).filter_map(|record| day.base_row(record)).for_each(&mut give);
            day.late().iter().skip(self.late).copied().for_each(&mut give);
        } else {
            day.rows_in(before..day.count()).for_each(&mut give);
        }
        (self.opened, self.base, self.late) = (day.opened(), day.base_count(), day.late().len());
    }
}

/// Tells how many records without ids of a day that was opened anew were given before.
fn given_before<L: Layout>(day: &Snapshot<L>, given: usize, last: Option<&L::Row>) -> usize {
    let is_last =
        |number: usize| day.row(number).zip(last).is_some_and(|(row, last)| (L::key(&row), L::time(&row)) == (L::key(last), L::time(last)));
    match given.checked_sub(1) {
        Some(number) if !is_last(number) => (0..day.count()).rev().find(|number| is_last(*number)).map_or(0, |number| number + 1),
        _ => given,
    }
}
