//! [`Follower`]: goes on printing what is captured, over midnights, until it is told to end.
//!
//! 1. Of each product the newest days are followed, as late trades may still come for them, and every day that appears. A day that has not changed for
//!    longest is given up for it, but never one of the newest two.
//! 2. The counts of the columns and of the late records show what is new. A late record is printed when it comes, not in its place.
//! 3. When the files of a day are replaced, its late records move into the columns. What is new then is shown by the ids of trades; of tickers by the place
//!    where the late ones that were printed stand behind the others. So nothing is printed twice, and what comes and is merged between two looks is printed.
//! 4. It polls: nothing tells a reader in another process that something was committed. With several products the order is that in which they are found.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use super::config::QueryConfig;
use super::error::QueryError;
use super::filter::Filter;
use super::printer::RecordPrinter;
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{Layout, Value};
use crate::store::{Snapshot, StoreError, catalog};
use crate::stored;
use crate::time::{Clock, NANOS_PER_SECOND, UnixNanos, UtcDay};

/// The time between two looks.
const POLL: Duration = Duration::from_millis(50);
/// How long after the end asked for records from before it may still come, in nanoseconds.
const AFTER_END_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// How many days of a product are followed: the seven that a start of a capture looks for gaps in, today and tomorrow.
pub(super) const MAX_DAYS: usize = 9;
/// How many of them are never given up: today, and yesterday or tomorrow.
const KEPT_DAYS: usize = 2;
/// After how many looks the days are listed in any case. Else they are when the time of their folder has changed, which may stand still for some
/// milliseconds.
const LIST_EVERY: u64 = 20;

/// Prints what is new.
pub(super) struct Follower<'a, L: Layout> {
    config: &'a QueryConfig,
    filter: &'a Filter,
    products: Vec<FollowedProduct<L>>,
    looks: u64,
}

/// A product, and its days that are followed.
struct FollowedProduct<L: Layout> {
    number: usize,
    name: ProductId,
    days: Vec<FollowedDay<L>>,
    /// The days that are or were followed, and those that were there before and are not.
    known: BTreeSet<UtcDay>,
    /// The time of the folder before its days were last listed.
    listed: Option<SystemTime>,
}

/// A day, and what was printed of it.
struct FollowedDay<L: Layout> {
    date: UtcDay,
    /// Nothing while the day's files are gone.
    records: Option<Snapshot<L>>,
    seen: Seen<L>,
    /// The number of the look that last found something new.
    changed: u64,
}

/// The records of a day that have been looked at: printed, if they were asked for.
struct Seen<L: Layout> {
    layout: PhantomData<L>,
    /// Records of the columns.
    base: usize,
    /// The values of the last one.
    last: Vec<Value>,
    /// The values of the late records.
    late: Vec<Vec<Value>>,
    /// The ids of all of them, where the dataset has ids that are unique.
    ids: IdSet,
}

impl<'a, L: Layout> Follower<'a, L> {
    /// Begins without a day.
    #[must_use]
    pub(super) fn new(config: &'a QueryConfig, filter: &'a Filter) -> Self {
        let products = config.products.iter().enumerate().map(|(number, name)| FollowedProduct {
            number,
            name: name.clone(),
            days: Vec::new(),
            known: BTreeSet::new(),
            listed: None,
        });
        Self { config, filter, products: products.collect(), looks: 0 }
    }

    /// Follows a day of product number `product` from now on. Its records count as printed.
    pub(super) fn add_printed(&mut self, product: usize, date: UtcDay, records: Snapshot<L>) {
        if self.config.follow
            && let Some(product) = self.products.get_mut(product)
        {
            let mut seen = Seen::none();
            seen.add_all(&records);
            product.add(FollowedDay { date, records: Some(records), seen, changed: 0 });
        }
    }

    /// Does not follow a day that is there already.
    pub(super) fn pass_over(&mut self, date: UtcDay) {
        for product in &mut self.products {
            product.known.insert(date);
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
            let lists = is_last || self.looks.is_multiple_of(LIST_EVERY);
            self.looks += 1;
            for product in &mut self.products {
                let mut look = Look { config: self.config, filter: self.filter, number: self.looks, printer };
                product.look(&mut look, lists)?;
            }
            printer.end_batch().map_err(QueryError::Output)?;
            if is_last || printer.is_full() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }
}

/// One look at the days.
struct Look<'l, 'a> {
    config: &'l QueryConfig,
    filter: &'l Filter,
    number: u64,
    printer: &'l mut RecordPrinter<'a>,
}

impl<L: Layout> FollowedProduct<L> {
    fn add(&mut self, day: FollowedDay<L>) {
        self.known.insert(day.date);
        self.days.push(day);
        if self.days.len() > MAX_DAYS {
            self.days.sort_by_key(|day| day.date);
            let old = self.days.iter().take(MAX_DAYS + 1 - KEPT_DAYS).enumerate();
            if let Some((at, _)) = old.min_by_key(|(_, day)| (day.changed, day.date)) {
                self.days.remove(at);
            }
        }
    }

    fn look(&mut self, look: &mut Look<'_, '_>, lists: bool) -> Result<(), QueryError> {
        for day in &mut self.days {
            let Some(records) = &mut day.records else { continue };
            match records.refresh() {
                Ok(false) => {}
                Ok(true) => day.print_new(self.number, look)?,
                Err(error) => {
                    if catalog::days(&look.config.dir, &self.name, L::DATASET)?.contains(&day.date) {
                        return Err(error.into());
                    }
                    log::warn!("{} of {} on {} is gone: {error}; waiting for it", L::DATASET.folder(), self.name, day.date);
                    day.records = None;
                    (day.seen.base, day.seen.late) = (0, Vec::new());
                }
            }
        }
        let folder = look.config.dir.join(self.name.as_str()).join(L::DATASET.folder());
        let time = std::fs::metadata(folder).and_then(|found| found.modified()).ok();
        if lists || time.is_none() || time != self.listed {
            self.listed = time;
            self.look_for_days(look)?;
        }
        Ok(())
    }

    fn look_for_days(&mut self, look: &mut Look<'_, '_>) -> Result<(), QueryError> {
        for date in catalog::days(&look.config.dir, &self.name, L::DATASET)? {
            let gone = self.days.iter().position(|day| day.date == date && day.records.is_none());
            if !look.filter.may_hold(date) || (self.known.contains(&date) && gone.is_none()) {
                continue;
            }
            // A page that is being made is not yet a day.
            let Some(records) = open(look, &self.name, date)? else { continue };
            let seen = gone.map_or_else(Seen::none, |at| self.days.remove(at).seen);
            let mut day = FollowedDay { date, records: Some(records), seen, changed: look.number };
            day.print_new(self.number, look)?;
            self.add(day);
        }
        Ok(())
    }
}

/// Opens a day that was listed. One that is gone again by then is none.
fn open<L: Layout>(look: &Look<'_, '_>, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, StoreError> {
    match Snapshot::open(&look.config.dir, product, date) {
        Err(error) if catalog::days(&look.config.dir, product, L::DATASET)?.contains(&date) => Err(error),
        opened => Ok(opened.unwrap_or(None)),
    }
}

impl<L: Layout> FollowedDay<L> {
    /// Prints the records that are new and asked for.
    fn print_new(&mut self, product: usize, look: &mut Look<'_, '_>) -> Result<(), QueryError> {
        let Some(records) = &self.records else { return Ok(()) };
        self.changed = look.number;
        // Their texts were written before they were committed.
        look.printer.refresh_exact();
        let (filter, printer) = (look.filter, &mut *look.printer);
        self.seen.add_new(records, |values| {
            if filter.admits_values::<L>(values) { printer.print_values::<L>(product, values).map_err(QueryError::Output) } else { Ok(()) }
        })
    }
}

impl<L: Layout> Seen<L> {
    fn none() -> Self {
        Self { layout: PhantomData, base: 0, last: Vec::new(), late: Vec::new(), ids: IdSet::new() }
    }

    /// Counts all records as looked at.
    fn add_all(&mut self, day: &Snapshot<L>) {
        if let Some(at) = L::DATASET.key_column() {
            let mut range: Option<IdRange> = None;
            let columns = day.column_bytes(at).chunks_exact(8).filter_map(|id| id.first_chunk().copied().map(u64::from_le_bytes));
            for id in columns.chain(day.late().iter().map(L::key)) {
                if range.as_mut().is_none_or(|range| !range.push(id)) {
                    range.replace(IdRange::one(id)).into_iter().for_each(|range| self.ids.insert(range));
                }
            }
            range.into_iter().for_each(|range| self.ids.insert(range));
        }
        self.note_counts(day);
    }

    fn note_counts(&mut self, day: &Snapshot<L>) {
        self.base = day.base_count();
        self.last.clear();
        if let Some(last) = self.base.checked_sub(1) {
            stored::load_base(day, last, &mut self.last);
        }
        self.late.truncate(day.late().len());
        for number in self.late.len()..day.late().len() {
            let mut values = Vec::new();
            stored::load_late(day, number, &mut values);
            self.late.push(values);
        }
    }

    /// Gives each record that was not looked at before to `take`, and counts it as looked at.
    fn add_new(&mut self, day: &Snapshot<L>, mut take: impl FnMut(&[Value]) -> Result<(), QueryError>) -> Result<(), QueryError> {
        let mut known = 0..0;
        if !self.is_continued(day) {
            // The files were replaced: the late records are in the columns now.
            if L::DATASET.key_column().is_some() {
                self.base = 0;
            } else {
                known = self.place_of_late(day);
            }
            self.late.clear();
        }
        let mut values = Vec::new();
        for number in (self.base..day.base_count()).filter(|number| !known.contains(number)) {
            if stored::load_base(day, number, &mut values) && self.add_id(&values) {
                take(&values)?;
            }
        }
        for number in self.late.len()..day.late().len() {
            if stored::load_late(day, number, &mut values) && self.add_id(&values) {
                take(&values)?;
            }
        }
        self.note_counts(day);
        Ok(())
    }

    /// Counts a record as looked at. Gives whether it was not before. Where records have no unique id, their number tells.
    fn add_id(&mut self, values: &[Value]) -> bool {
        let Some(id) = L::DATASET.key_column().and_then(|at| stored::u64_at(values, at)) else { return true };
        let is_new = !self.ids.contains(id);
        if is_new {
            self.ids.insert(IdRange::one(id));
        }
        is_new
    }

    /// Tells whether the files are the ones looked at before, with more records behind.
    fn is_continued(&self, day: &Snapshot<L>) -> bool {
        let mut values = Vec::new();
        let is_last =
            self.base.checked_sub(1).is_none_or(|last| stored::load_base(day, last, &mut values) && are_same(&values, &self.last));
        let is_late = self.late.len().checked_sub(1).is_none_or(|last| {
            self.late.get(last).is_some_and(|late| stored::load_late(day, last, &mut values) && are_same(&values, late))
        });
        is_last && is_late
    }

    /// Finds the place in the columns where the late tickers that were looked at are now: behind all that were in the columns when they were put there.
    fn place_of_late(&self, day: &Snapshot<L>) -> std::ops::Range<usize> {
        let mut values = Vec::new();
        let mut is_at = |from: usize| {
            self.late.iter().enumerate().all(|(at, late)| stored::load_base(day, from + at, &mut values) && are_same(&values, late))
        };
        let last = day.base_count().saturating_sub(self.late.len());
        let from = (self.base..=last).find(|from| is_at(*from)).unwrap_or(self.base);
        from..from + self.late.len()
    }
}

fn are_same(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| stored::is_same(*left, *right))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{Ticker, Trade};
    use crate::schema::{Md, Trades};
    use crate::store::{DataDir, Day, InsertError, Inserted, StoreOptions, seal};
    use proptest::prelude::*;

    const DATE: UtcDay = UtcDay(20_246);

    /// What happens to a day.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A record comes, the ids in front of it do not.
        Append {
            skipped: u64,
        },
        /// A record comes that was skipped; of tickers one that comes when the day is over.
        Late,
        Commit,
        /// The day is sealed, with late records in their place, and opened again.
        Seal,
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u64..3).prop_map(|skipped| Step::Append { skipped }),
            3 => Just(Step::Late),
            3 => Just(Step::Commit),
            1 => Just(Step::Seal),
            3 => Just(Step::Look),
        ]
    }

    struct Followed<L: Layout> {
        folder: tempfile::TempDir,
        data: Arc<DataDir>,
        day: Option<Day<L>>,
        now: UnixNanos,
        snapshot: Snapshot<L>,
        seen: Seen<L>,
        printed: Vec<u64>,
    }

    impl<L: Layout> Followed<L> {
        fn begin() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let data = Arc::new(DataDir::open(folder.path(), StoreOptions::default(), "test").expect("a directory"));
            let (day, _) = Day::open(&data, &product(), DATE, DATE.start()).expect("a day");
            let snapshot = Snapshot::open(folder.path(), &product(), DATE).expect("readable").expect("a day");
            Self { folder, data, day: Some(day), now: DATE.start(), snapshot, seen: Seen::none(), printed: Vec::new() }
        }

        fn day(&mut self) -> &mut Day<L> {
            self.day.as_mut().expect("open")
        }

        fn insert(&mut self, row: &L::Row) -> Inserted<L::Row> {
            loop {
                match self.day().insert(row) {
                    Ok(done) => return done,
                    Err(InsertError::NoRoom) => self.day().files().provision().expect("room"),
                    Err(error) => panic!("{error}"),
                }
            }
        }

        fn seal(&mut self) {
            self.day().commit();
            let closed = self.day.take().expect("open").close();
            assert!(seal::seal(&self.data, vec![closed]).iter().all(|outcome| outcome.sealed.is_ok()));
            self.day = Some(Day::open(&self.data, &product(), DATE, self.now).expect("a day").0);
        }

        fn look(&mut self, key: usize) {
            self.snapshot.refresh().expect("readable");
            let printed = &mut self.printed;
            let take = |values: &[Value]| {
                printed.extend(stored::u64_at(values, key));
                Ok(())
            };
            self.seen.add_new(&self.snapshot, take).expect("taken");
        }
    }

    fn product() -> ProductId {
        ProductId::new("BTC-USD").expect("a product")
    }

    /// Follows trades through these steps. Gives the ids that were committed and those that were printed.
    fn trades(steps: &[Step]) -> (Vec<u64>, Vec<u64>) {
        let mut followed = Followed::<Trades>::begin();
        let (mut last, mut skipped, mut stored) = (0, Vec::new(), Vec::new());
        for step in steps {
            let id = match step {
                Step::Append { skipped: more } => {
                    skipped.extend(last + 1..=last + more);
                    last += more + 1;
                    last
                }
                Step::Late if !skipped.is_empty() => skipped.swap_remove(skipped.len() / 2),
                Step::Late => continue,
                Step::Commit => {
                    followed.day().commit();
                    continue;
                }
                Step::Seal => {
                    followed.seal();
                    continue;
                }
                Step::Look => {
                    followed.look(0);
                    continue;
                }
            };
            followed.insert(&Trade { trade_id: id, time: UnixNanos(DATE.start().0 + id), ..Trades::EMPTY });
            stored.push(id);
        }
        followed.day().commit();
        followed.look(0);
        followed.look(0);
        drop(followed.folder);
        (stored, followed.printed)
    }

    /// Follows tickers through these steps, those behind the first late one after midnight. Gives the sequences that were committed and printed.
    fn tickers(steps: &[Step]) -> (Vec<u64>, Vec<u64>) {
        let mut followed = Followed::<Md>::begin();
        let (mut last, mut stored, mut is_over) = (0, Vec::new(), false);
        for step in steps {
            match step {
                Step::Commit => followed.day().commit(),
                Step::Seal => followed.seal(),
                Step::Look => followed.look(8),
                Step::Append { .. } | Step::Late => {
                    if matches!(step, Step::Late) && !is_over {
                        // From now on the day takes late records only.
                        (is_over, followed.now) = (true, UnixNanos(DATE.next().start().0 + 1));
                        followed.seal();
                    }
                    last += 1;
                    followed.insert(&Ticker { sequence: last, time: UnixNanos(DATE.start().0 + last), ..Md::EMPTY });
                    stored.push(last);
                }
            }
        }
        followed.day().commit();
        followed.look(8);
        followed.look(8);
        drop(followed.folder);
        (stored, followed.printed)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn every_record_is_printed_once_whatever_happens_between_two_looks(steps in prop::collection::vec(step(), 1..30)) {
            for (mut stored, mut printed) in [trades(&steps), tickers(&steps)] {
                stored.sort_unstable();
                printed.sort_unstable();
                prop_assert_eq!(printed, stored, "{:?}", &steps);
            }
        }
    }

    #[test]
    fn a_late_record_that_is_merged_before_anybody_looks_is_printed() {
        use Step::{Append, Commit, Late, Look, Seal};
        let append = Append { skipped: 1 };
        for steps in [
            &[append, append, Commit, Look, Late, Seal, append, Look][..],
            &[append, Commit, Look, append, Late, Commit, Look, Late, Seal, append, Late, Commit][..],
            &[append, Late, Commit, Look, append, Late, Seal, Late, Seal, Look][..],
        ] {
            for (mut stored, mut printed) in [trades(steps), tickers(steps)] {
                stored.sort_unstable();
                printed.sort_unstable();
                assert_eq!(printed, stored, "{steps:?}");
            }
        }
    }
}
