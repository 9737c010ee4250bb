//! [`OpenDays`]: the days that one product has open for writing, by event date.
//!
//! 1. A record goes to the day of its **event** time. Days are opened on demand; at most [`MAX_OPEN_DAYS`] stay open.
//! 2. A record is stored in every dataset that it belongs to, or in none: first all of them are asked whether they can take it.
//! 3. What is missing (room, a folder, a day that is being sealed) blocks this product alone. The caller commits, waits and tries again.
//! 4. Days begin and end by the exchange's clock. A day that is over is sealed only when nothing has come for it for a while, so that one that receives
//!    records is not sealed and opened in turn, whatever the clocks say.
//! 5. With less effort than [`Effort::Any`] nothing is opened and nothing is waited for, except for a page where the effort allows that.
//! 6. A day whose seal has failed, on a full disk for example, is opened and sealed again until that succeeds.
//! 7. A product that is not asked for any more has its days sealed when nothing has come for them for a while.
//! 8. A day whose files somebody has removed or replaced is stored again from its maps. Until that succeeds it goes on in the files that nobody finds.
//!
//! One thread at a time uses it. It allocates when a day is opened, never for a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::context::CaptureContext;
use crate::capture::write::effort::{Effort, Outcome};
use crate::capture::write::open_dataset::OpenDataset;
use crate::capture::write::open_day::OpenDay;
use crate::capture::write::seals::Seals;
use crate::capture::write::wakeup::Wakeup;
use crate::product::ProductId;
use crate::record::{Means, Record, Trade};
use crate::schema::{Dataset, Datasets, Likeness};
use crate::store::event::Event;
use crate::store::{DayKey, Opening, Restored, StoreError, catalog, seal};
use crate::time::{UnixNanos, UtcDay};

/// Days a product keeps open at once.
pub(crate) const MAX_OPEN_DAYS: usize = 8;

/// How long a product whose day cannot be opened waits before it tries again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// A day cannot be opened now.
struct Blocked;

/// All open days of one product.
pub(crate) struct OpenDays {
    context: Arc<CaptureContext>,
    product: ProductId,
    wakeup: Arc<Wakeup>,
    kept: Datasets,
    days: Vec<OpenDay>,
    seals: Seals,
    reopen_at: Option<Instant>,
    /// Whether the sequence of the tickers has begun anew since the start: what a day that is opened now knows of it is of the time before.
    has_restarted: bool,
    /// Whether the failure that blocks the product was reported.
    is_reported: bool,
}

impl OpenDays {
    /// Begins with no day open.
    #[must_use]
    pub(crate) fn new(context: Arc<CaptureContext>, product: ProductId, wakeup: Arc<Wakeup>) -> Self {
        Self {
            product,
            wakeup,
            // A trade comes only where it was subscribed to. One that comes all the same is stored: nothing that was received is dropped.
            kept: context.datasets.with(Dataset::Trades),
            days: Vec::with_capacity(MAX_OPEN_DAYS + 1),
            seals: Seals::default(),
            reopen_at: None,
            has_restarted: false,
            is_reported: false,
            context,
        }
    }

    /// Stores a record in every dataset that is kept and that it belongs to, or in none of them. The next commit makes it visible.
    #[inline]
    pub(crate) fn write(&mut self, record: Record<'_>, effort: Effort) -> Outcome {
        let (date, wanted) = (record.time().day(), self.kept.storing(record));
        if wanted.is_empty() {
            return Outcome::NotKept;
        }
        if effort == Effort::Any && self.open_missing(date, wanted, record).is_err() {
            return Outcome::Blocked;
        }
        let Some(day) = self.days.iter_mut().find(|day| day.date == date) else { return Outcome::NeedsWriter };
        let stored = day.write(record, wanted, effort);
        if effort == Effort::Any {
            for dataset in wanted.iter() {
                if let Some(open) = day.dataset(dataset) {
                    open.request_room(self.context.provisioner(), &self.wakeup);
                }
            }
        }
        match stored {
            Ok(outcome) => outcome,
            Err(failed) => {
                self.report(failed.dataset, date, &failed.error);
                Outcome::Blocked
            }
        }
    }

    /// Finds the trade that is stored under a trade's id, in its day or in another one that is open. Tells also whether that is the same trade. Opens its day
    /// where it is there and not open. Cold.
    #[must_use]
    pub(crate) fn find_like(&mut self, trade: &Trade) -> Option<(Trade, bool)> {
        let date = trade.time.day();
        let is_open = self.days.iter().any(|day| day.date == date && day.open_datasets().any(|open| open.is_of(Dataset::Trades)));
        let key = DayKey { product: self.product.clone(), dataset: Dataset::Trades, date };
        if !is_open && catalog::has_day(self.context.dir().path(), &key) {
            // A day that cannot be opened now blocks the write that follows.
            let now = self.now_at(Record::Trade(trade));
            let _ = self.open(Dataset::Trades, date, now);
        }
        if let Some(day) = self.days.iter_mut().find(|day| day.date == date)
            && let Some((stored, likeness)) = day.dataset(Dataset::Trades).and_then(|open| open.compare(trade))
        {
            return Some((stored, likeness != Likeness::Conflict));
        }
        self.find_trade(trade.trade_id).map(|stored| (stored, false))
    }

    /// Finds the trade of an id in the days that are open. Cold.
    #[must_use]
    pub(crate) fn find_trade(&mut self, trade_id: u64) -> Option<Trade> {
        self.days.iter_mut().find_map(|day| day.dataset(Dataset::Trades)?.find_trade(trade_id))
    }

    /// Begins another stretch of tickers: their sequences have begun anew.
    pub(crate) fn begin_stretch(&mut self) {
        self.has_restarted = true;
        self.days.iter_mut().flat_map(|day| &mut day.datasets).flatten().for_each(OpenDataset::begin_stretch);
    }

    /// Makes everything that was written visible. Tells whether the writer's thread has work: room to ask for with [`OpenDays::request_room`], or files that
    /// were removed and are stored again by [`OpenDays::close_old`].
    pub(crate) fn commit(&mut self, now: Instant) -> bool {
        let mut needs_writer = false;
        for day in &mut self.days {
            let changed = std::mem::take(&mut day.changed);
            if changed.is_empty() {
                continue;
            }
            day.used = now;
            for dataset in changed.iter() {
                needs_writer |= day.dataset(dataset).is_some_and(OpenDataset::commit);
            }
        }
        needs_writer
    }

    /// Asks for room wherever it runs short and was not asked for.
    pub(crate) fn request_room(&mut self) {
        for open in self.days.iter_mut().flat_map(|day| &mut day.datasets).flatten() {
            open.request_room(self.context.provisioner(), &self.wakeup);
        }
    }

    /// Closes the days that are over, and has them sealed.
    pub(crate) fn close_old(&mut self) {
        let (now, market_now) = (Instant::now(), self.context.market_now());
        let product = self.product.clone();
        self.restore_gone();
        self.reopen_unsealed(now, market_now);
        let is_over = |day: &OpenDay| day.is_over(&product, now, market_now);
        if self.days.iter().any(is_over) {
            self.commit(now);
            let closed: Vec<OpenDay> = self.days.extract_if(.., |day| is_over(day)).collect();
            closed.into_iter().for_each(|day| self.close(day));
        }
    }

    /// Closes the days for which nothing has come for a while, and has them sealed: the product is not asked for any more. What comes all the same opens its
    /// day again.
    pub(crate) fn close_given_up(&mut self) {
        let now = Instant::now();
        if self.days.iter().any(|day| day.is_quiet(now)) {
            self.commit(now);
            let closed: Vec<OpenDay> = self.days.extract_if(.., |day| day.is_quiet(now)).collect();
            closed.into_iter().for_each(|day| self.close(day));
        }
    }

    /// Tells whether any day is open.
    #[must_use]
    pub(crate) fn is_any_open(&self) -> bool {
        !self.days.is_empty()
    }

    /// Opens the days whose seal has failed and that have waited long enough. They are sealed again when nothing comes for them.
    fn reopen_unsealed(&mut self, now: Instant, market_now: UnixNanos) {
        self.seals.forget_over(now);
        for key in self.seals.take_due(now) {
            if self.open(key.dataset, key.date, market_now).is_err() {
                self.seals.put_off(key, now);
            }
        }
    }

    /// Stores the days again whose files were removed or replaced. What cannot be stored now is tried again a while later.
    fn restore_gone(&mut self) {
        let is_gone = |open: &&mut OpenDataset| open.files().is_gone();
        if !self.days.iter().flat_map(OpenDay::open_datasets).any(|open| open.files().is_gone()) || self.is_pausing() {
            return;
        }
        let mut failed = None;
        for open in self.days.iter_mut().flat_map(|day| &mut day.datasets).flatten().filter(is_gone) {
            if let Err(error) = restore(&self.context, &self.wakeup, open) {
                failed = Some((open.files().key().clone(), error));
            }
        }
        if let Some((DayKey { dataset, date, .. }, error)) = failed {
            self.reopen_at = Some(Instant::now() + REOPEN_PAUSE);
            self.report(dataset, date, &error);
        }
    }

    /// Tells whether a failure to open or to restore a day was a moment ago.
    fn is_pausing(&self) -> bool {
        self.reopen_at.is_some_and(|again| Instant::now() < again)
    }

    /// Opens the days that an earlier run left unsealed and that got no record in this one. A clean stop seals them, too.
    pub(crate) fn open_left(&mut self) {
        let now = self.context.market_now();
        // What cannot be listed or opened now is left to the next start. Tomorrow's files wait for tomorrow.
        let left = seal::unsealed(self.context.dir().path(), &self.product).unwrap_or_default();
        for key in left.into_iter().filter(|key| key.date <= now.day()) {
            let _ = self.open(key.dataset, key.date, now);
        }
    }

    /// Closes every day, and has them sealed.
    pub(crate) fn close_all(&mut self) {
        self.commit(Instant::now());
        for day in std::mem::take(&mut self.days) {
            self.close(day);
        }
    }

    /// Gives the number of records of each dataset of a day: tomorrow's files are sized by it.
    pub(crate) fn counts(&self, date: UtcDay) -> impl Iterator<Item = (DayKey, u64)> {
        let day = self.days.iter().find(|day| day.date == date);
        day.into_iter().flat_map(OpenDay::open_datasets).map(|open| (open.files().key().clone(), open.count()))
    }

    /// Tells whether the seal of a dataset-day is still to come: a late record waits for it.
    fn await_seal(&mut self, dataset: Dataset, date: UtcDay) -> bool {
        self.seals.forget_over(Instant::now());
        self.seals.is_awaited(dataset, date)
    }

    fn close(&mut self, day: OpenDay) {
        for mut open in day.datasets.into_iter().flatten() {
            // After the last look of the sync thread, too, somebody may have removed files.
            if !open.files().check_in_place()
                && let Err(error) = restore(&self.context, &self.wakeup, &mut open)
            {
                // Its seal fails, and says so.
                let DayKey { dataset, date, .. } = *open.files().key();
                self.report(dataset, date, &error);
            }
            let files = open.close();
            let progress = self.seals.add(files.key().clone());
            self.context.provisioner().seal(files, Arc::clone(&self.wakeup), progress);
        }
    }

    #[inline]
    fn open_missing(&mut self, date: UtcDay, wanted: Datasets, record: Record<'_>) -> Result<(), Blocked> {
        let day = self.days.iter_mut().find(|day| day.date == date);
        if day.is_some_and(|day| wanted.iter().all(|dataset| day.dataset(dataset).is_some())) {
            return Ok(());
        }
        let now = self.now_at(record);
        wanted.iter().try_for_each(|dataset| self.open(dataset, date, now))
    }

    /// Gives the exchange's time. As long as its clock is not known, a live record says best what it is.
    #[cold]
    fn now_at(&self, record: Record<'_>) -> UnixNanos {
        let is_live = match record {
            Record::Trade(trade) => trade.origin.means() == Some(Means::Live),
            Record::Ticker(_) => true,
        };
        let is_known = self.context.metrics.market.offset().is_some();
        if is_live && !is_known { record.time() } else { self.context.market_now() }
    }

    #[cold]
    fn open(&mut self, dataset: Dataset, date: UtcDay, now: UnixNanos) -> Result<(), Blocked> {
        let index = self.place(date);
        if self.days.get_mut(index).is_some_and(|day| day.dataset(dataset).is_some()) {
            return Ok(());
        }
        if self.await_seal(dataset, date) || self.is_pausing() {
            return Err(Blocked);
        }
        match OpenDataset::open(dataset, self.context.dir(), &self.product, date, now) {
            Ok((mut open, how)) => {
                if self.has_restarted {
                    open.begin_stretch();
                }
                self.context.sync().watch(open.files(), &self.wakeup);
                self.note_opening(open.files().key(), &how);
                if let Some(day) = self.days.get_mut(index) {
                    day.was_sealed |= matches!(how, Opening::Sealed { .. });
                    if let Some(place) = day.datasets.get_mut(dataset as usize) {
                        *place = Some(open);
                    }
                }
                self.reopen_at = None;
                self.is_reported = false;
                Ok(())
            }
            Err(error) => {
                self.reopen_at = Some(Instant::now() + REOPEN_PAUSE);
                self.report(dataset, date, &error);
                Err(Blocked)
            }
        }
    }

    /// Gives the index of a day. Makes a place for it where it has none.
    fn place(&mut self, date: UtcDay) -> usize {
        if let Some(index) = self.days.iter().position(|day| day.date == date) {
            return index;
        }
        if self.days.len() >= MAX_OPEN_DAYS
            && let Some(oldest) = (0..self.days.len()).min_by_key(|index| self.days.get(*index).map(|day| day.used))
        {
            self.commit(Instant::now());
            let day = self.days.remove(oldest);
            self.close(day);
        }
        self.days.push(OpenDay::new(date));
        self.days.len() - 1
    }

    fn note_opening(&self, key: &DayKey, how: &Opening) {
        match how {
            Opening::Continued { given_up, .. } if *given_up > 0 => {
                log::warn!("{key}: recovered; {given_up} records behind the last definite one are given up");
            }
            Opening::Quarantined { why, moved_to } => {
                log::error!("{key}: damaged ({why}); moved to {}, an empty day begins", moved_to.display());
            }
            _ => {}
        }
        self.context.journal.write(Event::DayOpened { day: key.clone(), opening: how.clone() });
    }

    /// Counts a failure; logs and journals it once, until a day is opened again.
    #[cold]
    fn report(&mut self, dataset: Dataset, date: UtcDay, error: &StoreError) {
        self.context.metrics.note_write_failure(self.product.as_str(), error);
        if !self.is_reported {
            self.is_reported = true;
            log::error!("{} {} {date}: {error}", self.product, dataset.folder());
            self.context.journal.write(Event::WriteFailed {
                product: self.product.clone(),
                dataset: Some(dataset),
                date: Some(date),
                error: error.to_string(),
            });
        }
    }
}

/// Stores a day again whose files were removed or replaced.
fn restore(context: &CaptureContext, wakeup: &Arc<Wakeup>, open: &mut OpenDataset) -> Result<(), StoreError> {
    let Restored { records, moved_to } = open.restore()?;
    let day = open.files().key().clone();
    context.sync().watch(open.files(), wakeup);
    context.metrics.restored_days.one();
    log::error!("{day}: its {records} records are stored again");
    let moved_to = moved_to.map(|path| path.display().to_string());
    context.journal.write(Event::DayRestored { day, records, moved_to });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::write::fixture::{DAY, WriterFixture, trade, until};
    use crate::capture::write::open_day::{IDLE, QUIET};
    use crate::capture::write::seals::RETRY;
    use crate::schema::Trades;
    use crate::store::{DayState, Snapshot};

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_seal_that_has_failed_is_tried_again_while_the_capture_runs() {
        let (fixture, product) = (WriterFixture::new(), ProductId::new("ETH-USD").expect("a product"));
        let (wakeup, market_now) = (Arc::new(Wakeup::default()), DAY.next().start());
        let mut days = OpenDays::new(Arc::clone(&fixture.context), product.clone(), wakeup);
        let write = |days: &mut OpenDays, id: u64| {
            let mut outcome = Outcome::Blocked;
            until("there is room", || {
                outcome = days.write(Record::Trade(&trade(id)), Effort::Any);
                outcome != Outcome::Blocked
            });
            outcome
        };
        assert_eq!([1, 3, 2].map(|id| write(&mut days, id)), [Outcome::Written, Outcome::Written, Outcome::Late]);
        // The seal has to write the columns anew, and something is in its way.
        let folder = fixture.folder.path().join("ETH-USD/TRADES");
        let obstacle = folder.join(format!("trade_id.{DAY}.bin.tmp"));
        std::fs::create_dir_all(obstacle.join("x")).expect("made");
        days.close_all();
        until("the seal is over", || !days.await_seal(Dataset::Trades, DAY));
        let open = || Snapshot::<Trades>::open(fixture.folder.path(), &product, DAY).expect("opened");
        let state = || open().map(|day| (day.state(), day.count()));
        assert!(matches!(state(), Some((DayState::Live, 3))), "{:?}", state());
        days.reopen_unsealed(Instant::now(), market_now);
        assert!(days.days.is_empty(), "not at once");
        std::fs::remove_dir_all(&obstacle).expect("removed");
        days.reopen_unsealed(Instant::now() + RETRY, market_now);
        assert_eq!(days.days.len(), 1);
        days.close_all();
        until("the day is sealed", || matches!(state(), Some((DayState::Sealed { .. }, 3))));
    }

    #[test]
    fn a_day_is_over_when_its_time_has_passed_by_the_exchanges_clock_and_nothing_comes_for_it() {
        let (product, date, opened) = (ProductId::new("BTC-USD").expect("a product"), UtcDay(20_000), Instant::now());
        let is_over = |was_sealed: bool, minutes: i64, quiet: Duration| {
            let day = OpenDay { used: opened, was_sealed, ..OpenDay::new(date) };
            let market_now = UnixNanos(date.next().start().0.saturating_add_signed(minutes * MINUTE.cast_signed()));
            day.is_over(&product, opened + quiet, market_now)
        };
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(3600));
        for (minutes, once_quiet, sealed_before) in [
            (-1_000_000, false, false),
            (-1, false, false),
            (0, false, true),
            (9, false, true),
            (15, true, true),
            (1_439, true, true),
            (1_440, true, true),
            (1_000_000, true, true),
        ] {
            assert_eq!(is_over(false, minutes, long), once_quiet, "{minutes} minutes after midnight, long quiet");
            assert_eq!(is_over(true, minutes, long), sealed_before, "{minutes} minutes after midnight, sealed before");
            for was_sealed in [false, true] {
                assert!(!is_over(was_sealed, minutes, short), "{minutes} minutes after midnight, while records come");
            }
        }
        // A late record every few seconds keeps the day open; one every few minutes does not have it written anew each time.
        assert!(is_over(false, 15, QUIET) && !is_over(false, 15, QUIET - short));
        assert!(is_over(true, 15, IDLE) && !is_over(true, 15, IDLE - short) && !is_over(false, 1_440, IDLE - short));
    }
}
