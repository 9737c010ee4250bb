//! [`Follow`]: the records of some products as they are committed, over midnights, each once.
//!
//! 1. Trades are told apart by their ids. So a trade is given once, wherever it lies: appended, late, or in its place after the day was replaced.
//! 2. Records without an id keep their order when a day is replaced, and late ones then lie behind. The values of the last one given, and of the late ones,
//!    say whether the day is still the same ([`seen`]).
//! 3. It polls, as nothing tells a reader in another process that something was committed. A look without news costs a microsecond a day that is followed.
//! 4. Of each product the newest days are followed, as late trades may still come for them, and every day that appears. A day that has not changed for
//!    longest is given up for it, but never one of the newest two.
//! 5. A day whose files are gone is waited for: somebody may have moved it away, and back.

mod arrivals;
mod seen;

use std::collections::BTreeSet;
use std::time::Duration;

use super::Tape;
use super::error::TapeError;
use super::listed::Listed;
use crate::product::ProductId;
use crate::schema::Layout;
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::UtcDay;
use crate::time_range::TimeRange;
pub use arrivals::{Arrival, Arrivals};
use seen::Seen;

/// How many days of a product are followed: the seven that a start of a capture looks for gaps in, today and tomorrow.
pub(crate) const MAX_DAYS: usize = 9;
/// How many of them are never given up: today, and yesterday or tomorrow.
const KEPT_DAYS: usize = 2;
/// Between two looks while records come.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Between two looks while nothing comes.
const QUIET_PAUSE: Duration = Duration::from_millis(20);

/// Gives the records of some products as they are committed, each once. Made by [`Tape::follow`] and [`Tape::follow_all`].
#[derive(Debug)]
pub struct Follow<L: Layout> {
    tape: Tape,
    range: TimeRange,
    products: Vec<FollowedProduct<L>>,
    looks: u64,
    pause: Duration,
}

/// A product, and its days that are followed.
#[derive(Debug)]
struct FollowedProduct<L: Layout> {
    name: ProductId,
    days: Vec<FollowedDay<L>>,
    /// The days that are or were followed, and those that were there before and are not.
    known: BTreeSet<UtcDay>,
    listed: Option<Listed>,
}

/// A day, and what was given of it.
#[derive(Debug)]
struct FollowedDay<L: Layout> {
    date: UtcDay,
    /// Nothing while the day's files are gone.
    records: Option<Snapshot<L>>,
    seen: Seen<L>,
    /// The number of the look that last found something new.
    changed: u64,
}

impl Tape {
    /// Follows a product's records in a range of time: those that there are, and those that are still to come. There need not be any yet.
    ///
    /// ```no_run
    /// use coltape::{ProductId, Stop, Tape, TapeError, TimeRange, Trades};
    /// let (tape, stop) = (Tape::open("data")?, Stop::default());
    /// let mut follow = tape.follow::<Trades>(&ProductId::new("BTC-USD")?, TimeRange::ALL);
    /// follow.run(&|pause| stop.wait(pause), |arrivals| {
    ///     for record in arrivals.records() {
    ///         let Some(trade) = record.row() else { continue };
    ///         println!("{} {}{}", trade.trade_id, trade.price.as_f64, if record.is_late() { " late" } else { "" });
    ///     }
    ///     Ok::<(), TapeError>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn follow<L: Layout>(&self, product: &ProductId, range: TimeRange) -> Follow<L> {
        self.follow_all([product.clone()], range)
    }

    /// Follows the records of several products likewise. Each has a number: its place in the list.
    #[must_use]
    pub fn follow_all<L: Layout>(&self, products: impl IntoIterator<Item = ProductId>, range: TimeRange) -> Follow<L> {
        let followed = |name| FollowedProduct { name, days: Vec::new(), known: BTreeSet::new(), listed: None };
        Follow { tape: self.clone(), range, products: products.into_iter().map(followed).collect(), looks: 0, pause: BUSY_PAUSE }
    }
}

impl<L: Layout> Follow<L> {
    /// Counts the records of an opened day as given, and follows the day from there on. So whoever reads days first goes over to following them without a
    /// record lost or doubled.
    pub fn add_given(&mut self, product_number: usize, day: Snapshot<L>) {
        let looks = self.looks;
        if let Some(product) = self.products.get_mut(product_number) {
            let mut seen = Seen::none();
            seen.add_all(&day);
            product.add(FollowedDay { date: day.key().date, records: Some(day), seen, changed: looks });
        }
    }

    /// Does not follow a day.
    pub fn pass_over(&mut self, date: UtcDay) {
        for product in &mut self.products {
            product.known.insert(date);
        }
    }

    /// Looks once. Gives every record in the range of time that was committed and has not been given yet, product by product and day by day. The first look
    /// at a day gives its records in their order, late ones in their place; later looks give first what came behind, then what came late. Tells how many
    /// there were.
    ///
    /// A trade that comes again with its order ids is not given again.
    ///
    /// # Errors
    /// Where a day cannot be read, and where `give` fails. The records given until then are not given again.
    pub fn look<E: From<TapeError>>(&mut self, mut give: impl FnMut(&Arrivals<'_, L>) -> Result<(), E>) -> Result<u64, E> {
        self.looks += 1;
        let mut given = 0;
        for (number, product) in self.products.iter_mut().enumerate() {
            let (name, range) = (product.name.clone(), self.range);
            let mut give_new = |day: &mut FollowedDay<L>| {
                let Some(records) = &day.records else { return Ok(()) };
                let pieces = day.seen.add_new(records);
                let arrivals = Arrivals { product: (number, &name), day: records, pieces, range };
                let count = arrivals.count();
                given += count;
                if count > 0 { give(&arrivals) } else { Ok(()) }
            };
            product.look(&self.tape, self.range, self.looks, &mut give_new)?;
        }
        self.pause = if given > 0 { BUSY_PAUSE } else { (self.pause * 2).min(QUIET_PAUSE) };
        Ok(given)
    }

    /// Gives how long to wait until the next look: some milliseconds, longer while nothing comes.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// Looks again and again, until `wait` says that it is over. `wait` is given how long to wait at most: `|pause| stop.wait(pause)` with a
    /// [`Stop`](crate::Stop). After it has said so there is one more look, so that everything is given that was there by then.
    ///
    /// # Errors
    /// As [`Follow::look`].
    pub fn run<E: From<TapeError>>(
        &mut self,
        wait: &dyn Fn(Duration) -> bool,
        mut give: impl FnMut(&Arrivals<'_, L>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut given = self.look(&mut give)?;
        loop {
            let is_over = wait(self.pause);
            given += self.look(&mut give)?;
            if is_over {
                return Ok(given);
            }
        }
    }
}

impl<L: Layout> FollowedProduct<L> {
    fn add(&mut self, day: FollowedDay<L>) {
        self.known.insert(day.date);
        self.days.push(day);
        self.days.sort_by_key(|day| day.date);
        if self.days.len() > MAX_DAYS {
            let old = self.days.iter().take(MAX_DAYS + 1 - KEPT_DAYS).enumerate();
            if let Some((at, _)) = old.min_by_key(|(_, day)| (day.changed, day.date)) {
                self.days.remove(at);
            }
        }
    }

    fn look<E: From<TapeError>>(
        &mut self,
        tape: &Tape,
        range: TimeRange,
        look: u64,
        give: &mut impl FnMut(&mut FollowedDay<L>) -> Result<(), E>,
    ) -> Result<(), E> {
        for day in &mut self.days {
            if day.refresh(tape, &self.name).map_err(TapeError::from)? {
                day.changed = look;
                give(day)?;
            }
        }
        for date in self.new_dates(tape, range)? {
            // A page that is being made is not yet a day: the next look finds it.
            let Some(records) = open(tape, &self.name, date).map_err(TapeError::from)? else {
                self.listed.iter_mut().for_each(Listed::hurry);
                continue;
            };
            let gone = self.days.iter().position(|day| day.date == date);
            let seen = gone.map_or_else(Seen::none, |at| self.days.remove(at).seen);
            let mut day = FollowedDay { date, records: Some(records), seen, changed: look };
            let given = give(&mut day);
            self.add(day);
            given?;
        }
        Ok(())
    }

    /// Lists the days that are not followed: new ones, and those that were gone.
    fn new_dates(&mut self, tape: &Tape, range: TimeRange) -> Result<Vec<UtcDay>, TapeError> {
        let folder = tape.dir().join(self.name.as_str()).join(L::DATASET.folder());
        let Some(listed) = Listed::again(self.listed, &folder) else { return Ok(Vec::new()) };
        let mut dates = tape.days(&self.name, L::DATASET)?;
        self.listed = Some(listed);
        let is_gone = |date: UtcDay| self.days.iter().any(|day| day.date == date && day.records.is_none());
        dates.retain(|date| range.overlaps_day(*date) && (is_gone(*date) || !self.known.contains(date)));
        Ok(dates)
    }
}

impl<L: Layout> FollowedDay<L> {
    /// Takes in what is new. Tells whether there was anything.
    fn refresh(&mut self, tape: &Tape, product: &ProductId) -> Result<bool, StoreError> {
        let Some(records) = &mut self.records else { return Ok(false) };
        match records.refresh() {
            Err(error) if !is_listed::<L>(tape, product, self.date)? => {
                log::warn!("{} of {product} on {} is gone: {error}; waiting for it", L::DATASET.folder(), self.date);
                self.records = None;
                Ok(false)
            }
            refreshed => refreshed,
        }
    }
}

/// Opens a day that was listed. One that is gone again by then is none.
fn open<L: Layout>(tape: &Tape, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, StoreError> {
    match Snapshot::open(tape.dir(), product, date) {
        Err(error) if is_listed::<L>(tape, product, date)? => Err(error),
        opened => Ok(opened.unwrap_or(None)),
    }
}

fn is_listed<L: Layout>(tape: &Tape, product: &ProductId, date: UtcDay) -> Result<bool, StoreError> {
    Ok(catalog::days(tape.dir(), product, L::DATASET)?.contains(&date))
}

#[cfg(test)]
#[path = "follow/follow_tests.rs"]
mod tests;
