//! The shelf: the days that one product has open, by event date.
//!
//! 1. A record goes to the day of its **event** time; days are opened on demand and at most [`MAX_OPEN_DAYS`] stay open.
//! 2. A ticker is put into `MD` and `TICKER_TRADES` both or not at all: room in both is made sure of first.
//! 3. What is missing (room, a folder, a day still being sealed) blocks this product only; the caller commits, waits and tries again.
//!
//! 4. What is put down *now* makes the caller wait for nothing, or for a page where that is allowed, or is not put down.
//!
//! Used by one thread at a time; allocates when a day is opened, never for a record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::capture::context::CaptureContext;
use crate::capture::write::queue::Wakeup;
use crate::product::ProductId;
use crate::record::{Ticker, Trade};
use crate::schema::{Dataset, Layout, Md, TickerTrades, Trades};
use crate::store::event::Event;
use crate::store::{Day, DayFiles, DayKey, InsertError, Inserted, Opening, Pages, seal};
use crate::time::UtcDay;

/// Days a product keeps open at once.
pub const MAX_OPEN_DAYS: usize = 8;

/// How long a day that is neither today's nor yesterday's stays open without a record.
const IDLE: Duration = Duration::from_secs(600);

/// How long a product whose day cannot be opened waits before it tries again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Why a record cannot be put down now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked;

struct OpenDataset<L: Layout> {
    day: Day<L>,
    asked_at_room: Option<u64>,
}

/// Which datasets of a day have something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Dirty {
    trades: bool,
    md: bool,
    ticker_trades: bool,
}

struct OpenDay {
    date: UtcDay,
    dirty: Dirty,
    used: Instant,
    trades: Option<OpenDataset<Trades>>,
    md: Option<OpenDataset<Md>>,
    ticker_trades: Option<OpenDataset<TickerTrades>>,
}

/// All open days of one product.
pub struct OpenDays {
    context: Arc<CaptureContext>,
    product: ProductId,
    wakeup: Arc<Wakeup>,
    days: Vec<OpenDay>,
    sealing: Vec<(DayKey, Arc<AtomicBool>)>,
    reopen_at: Option<Instant>,
    told_blocked: bool,
}

impl<L: Layout> OpenDataset<L> {
    /// Commits what is new. Tells whether the writer's thread has something to do: room to ask for, or a day to begin anew.
    fn commit(&mut self) -> bool {
        self.day.commit();
        self.wants_room() || self.day.files().is_gone()
    }

    /// Tells whether room is to be asked for, and has not been yet.
    fn wants_room(&mut self) -> bool {
        // By the same look at it: room that has come meanwhile may be asked for again.
        self.day.needs_room() && self.asked_at_room != Some(self.day.seen_room())
    }

    fn ask_for_room(&mut self, context: &CaptureContext, wakeup: &Arc<Wakeup>) {
        if self.wants_room() {
            self.asked_at_room = Some(self.day.seen_room());
            context.provisioner.grow(self.day.files(), wakeup);
        }
    }

    fn insert(&mut self, row: &L::Row, is_dirty: &mut bool) -> Result<Inserted<L::Row>, InsertError> {
        let inserted = self.day.insert(row)?;
        *is_dirty |= matches!(inserted, Inserted::Appended | Inserted::Late);
        Ok(inserted)
    }
}

impl OpenDay {
    /// Tells whether files of it were removed under its feet.
    fn is_gone(&self) -> bool {
        let gone = |files: &Arc<DayFiles>| files.is_gone();
        self.trades.as_ref().is_some_and(|open| gone(open.day.files()))
            || self.md.as_ref().is_some_and(|open| gone(open.day.files()))
            || self.ticker_trades.as_ref().is_some_and(|open| gone(open.day.files()))
    }
}

impl OpenDays {
    /// Makes an empty shelf.
    #[must_use]
    pub fn new(context: Arc<CaptureContext>, product: ProductId, wakeup: Arc<Wakeup>) -> Self {
        Self {
            context,
            product,
            wakeup,
            days: Vec::with_capacity(MAX_OPEN_DAYS + 1),
            sealing: Vec::new(),
            reopen_at: None,
            told_blocked: false,
        }
    }

    /// Puts a trade into its day.
    ///
    /// # Errors
    /// [`Blocked`] where it cannot be put down now; nothing was stored.
    pub fn insert_trade(&mut self, trade: &Trade) -> Result<Inserted<Trade>, Blocked> {
        let at = self.open::<Trades>(trade.time.day(), |day| &mut day.trades)?;
        let Some(OpenDay { trades: Some(open), dirty, .. }) = self.days.get_mut(at) else { return Err(Blocked) };
        let outcome = open.insert(trade, &mut dirty.trades);
        open.ask_for_room(&self.context, &self.wakeup);
        outcome.map_err(|error| self.note_block::<Trades>(trade.time.day(), error))
    }

    /// Puts a ticker into `MD`, and into `TICKER_TRADES` where it carries a trade.
    ///
    /// # Errors
    /// [`Blocked`] where it cannot be put down now; nothing was stored.
    pub fn insert_ticker(&mut self, ticker: &Ticker) -> Result<Inserted<Ticker>, Blocked> {
        let date = ticker.time.day();
        let wanted = self.context.datasets;
        let wants_trade = wanted.ticker_trades && ticker.carries_trade();
        if wanted.md {
            self.open::<Md>(date, |day| &mut day.md)?;
        }
        if wants_trade {
            self.open::<TickerTrades>(date, |day| &mut day.ticker_trades)?;
        }
        let Some(day) = self.days.iter_mut().find(|day| day.date == date) else { return Ok(Inserted::Duplicate) };
        let lacks_room = |room: u64, takes_late: bool| room == 0 && !takes_late;
        let md_lacks = wanted.md && day.md.as_ref().is_none_or(|open| lacks_room(open.day.room(), open.day.takes_only_late()));
        let tt_lacks = wants_trade && day.ticker_trades.as_ref().is_none_or(|open| lacks_room(open.day.room(), open.day.takes_only_late()));
        let mut first = None;
        if !md_lacks && !tt_lacks {
            if let Some(open) = day.md.as_mut().filter(|_| wanted.md) {
                first = Some(open.insert(ticker, &mut day.dirty.md));
            }
            if let Some(open) = day.ticker_trades.as_mut().filter(|_| wants_trade && !matches!(first, Some(Err(_)))) {
                let second = open.insert(ticker, &mut day.dirty.ticker_trades);
                first = Some(first.unwrap_or(Ok(Inserted::Appended)).and_then(|kept| second.map(|_| kept)));
            }
        }
        if let Some(open) = &mut day.md {
            open.ask_for_room(&self.context, &self.wakeup);
        }
        if let Some(open) = &mut day.ticker_trades {
            open.ask_for_room(&self.context, &self.wakeup);
        }
        match first {
            Some(outcome) => outcome.map_err(|error| self.note_block::<Md>(date, error)),
            None if md_lacks || tt_lacks => Err(Blocked),
            // Only `TICKER_TRADES` is kept and the ticker carries no trade: it is passed over like a stale one.
            None => Ok(Inserted::Duplicate),
        }
    }

    /// Puts a trade at the end of its day where that can be done now; tells whether it did.
    #[inline]
    pub fn put_trade_now(&mut self, trade: &Trade, pages: Pages) -> bool {
        let date = trade.time.day();
        let Some(OpenDay { trades: Some(open), dirty, .. }) = self.days.iter_mut().find(|day| day.date == date) else { return false };
        let is_appended = open.day.append_now(trade, pages);
        dirty.trades |= is_appended;
        is_appended
    }

    /// Puts a ticker at the end of its day, in every dataset that it belongs to, where that can be done now; tells whether it did.
    #[inline]
    pub fn put_ticker_now(&mut self, ticker: &Ticker, pages: Pages) -> bool {
        let date = ticker.time.day();
        let wanted = self.context.datasets;
        let wants_trade = wanted.ticker_trades && ticker.carries_trade();
        let Some(day) = self.days.iter_mut().find(|day| day.date == date) else { return false };
        if (wanted.md && !day.md.as_ref().is_some_and(|open| open.day.takes_now(ticker, pages)))
            || (wants_trade && !day.ticker_trades.as_ref().is_some_and(|open| open.day.takes_now(ticker, pages)))
        {
            return false;
        }
        // Both or neither: a flush that begins only now makes the pages slow, and no reason to leave the second one out.
        let md = wanted.md && day.md.as_mut().is_some_and(|open| open.day.append_now(ticker, Pages::Any));
        let trade = wants_trade && day.ticker_trades.as_mut().is_some_and(|open| open.day.append_now(ticker, Pages::Any));
        day.dirty.md |= md;
        day.dirty.ticker_trades |= trade;
        md || trade
    }

    /// Makes everything inserted visible.
    pub fn commit(&mut self) {
        self.commit_at(Instant::now());
    }

    /// Makes everything inserted visible. Tells whether the writer's thread has something to do: room to ask for with [`OpenDays::ask_for_room`], or files
    /// that are gone to be let go of with [`OpenDays::close_old`].
    pub fn commit_at(&mut self, now: Instant) -> bool {
        let mut needs_writer = false;
        for day in &mut self.days {
            let dirty = std::mem::take(&mut day.dirty);
            if dirty == Dirty::default() {
                continue;
            }
            day.used = now;
            needs_writer |= dirty.trades && day.trades.as_mut().is_some_and(OpenDataset::commit);
            needs_writer |= dirty.md && day.md.as_mut().is_some_and(OpenDataset::commit);
            needs_writer |= dirty.ticker_trades && day.ticker_trades.as_mut().is_some_and(OpenDataset::commit);
        }
        needs_writer
    }

    /// Asks for room wherever it runs short and has not been asked for.
    pub fn ask_for_room(&mut self) {
        for day in &mut self.days {
            if let Some(open) = &mut day.trades {
                open.ask_for_room(&self.context, &self.wakeup);
            }
            if let Some(open) = &mut day.md {
                open.ask_for_room(&self.context, &self.wakeup);
            }
            if let Some(open) = &mut day.ticker_trades {
                open.ask_for_room(&self.context, &self.wakeup);
            }
        }
    }

    /// Closes the days that are over, and hands them over to be sealed.
    pub fn close_old(&mut self) {
        let now = Instant::now();
        let today = self.context.clock.now().day();
        let context = Arc::clone(&self.context);
        let product = self.product.clone();
        let over = |day: &OpenDay| {
            if day.is_gone() {
                // Its seal fails and names the path; the next record begins the day anew.
                true
            } else if day.date.next() >= today {
                day.date < today && crate::capture::service::files::is_due_to_seal(day.date, &product, &context.clock)
            } else {
                now.duration_since(day.used) >= IDLE
            }
        };
        if self.days.iter().any(over) {
            self.commit();
            let closed: Vec<OpenDay> = self.days.extract_if(.., |day| over(day)).collect();
            closed.into_iter().for_each(|day| self.close(day));
        }
    }

    /// Opens the days that an earlier run left live and for which this one had no record, so that a clean stop seals them too.
    pub fn open_left(&mut self) {
        let today = self.context.clock.now().day();
        // What cannot be listed or opened now is for the next start; tomorrow's files wait for tomorrow.
        let left = seal::unsealed(self.context.dir.path(), &self.product).unwrap_or_default();
        for key in left.into_iter().filter(|key| key.date <= today) {
            let _ = match key.dataset {
                Dataset::Trades => self.open::<Trades>(key.date, |day| &mut day.trades),
                Dataset::Md => self.open::<Md>(key.date, |day| &mut day.md),
                Dataset::TickerTrades => self.open::<TickerTrades>(key.date, |day| &mut day.ticker_trades),
            };
        }
    }

    /// Closes every day, and hands them over to be sealed.
    pub fn close_all(&mut self) {
        self.commit();
        for day in std::mem::take(&mut self.days) {
            self.close(day);
        }
    }

    /// Gives the records of an open day, to size tomorrow's by.
    pub fn counts(&self, date: UtcDay) -> impl Iterator<Item = (DayKey, u64)> {
        let day = self.days.iter().find(|day| day.date == date);
        let count = |files: &Arc<DayFiles>, count: u64| (files.key().clone(), count);
        let trades = day.and_then(|day| day.trades.as_ref()).map(|open| count(open.day.files(), open.day.count()));
        let md = day.and_then(|day| day.md.as_ref()).map(|open| count(open.day.files(), open.day.count()));
        let ticker_trades = day.and_then(|day| day.ticker_trades.as_ref()).map(|open| count(open.day.files(), open.day.count()));
        [trades, md, ticker_trades].into_iter().flatten()
    }

    /// Tells whether a day is on its way to its seal: a late comer waits, and the bell is rung when it is done.
    fn is_being_sealed(&mut self, dataset: Dataset, date: UtcDay) -> bool {
        // Acquire: pairs with the provisioner's release after the seal.
        self.sealing.retain(|(_, is_done)| !is_done.load(Ordering::Acquire));
        self.sealing.iter().any(|(key, _)| key.dataset == dataset && key.date == date)
    }

    fn close(&mut self, day: OpenDay) {
        let files =
            [day.trades.map(|open| open.day.close()), day.md.map(|open| open.day.close()), day.ticker_trades.map(|open| open.day.close())];
        for files in files.into_iter().flatten() {
            let is_done = Arc::new(AtomicBool::new(false));
            self.sealing.push((files.key().clone(), Arc::clone(&is_done)));
            self.context.provisioner.seal(files, Arc::clone(&self.wakeup), is_done);
        }
    }

    fn open<L: Layout>(&mut self, date: UtcDay, slot: fn(&mut OpenDay) -> &mut Option<OpenDataset<L>>) -> Result<usize, Blocked> {
        let at = self.place(date);
        if self.days.get_mut(at).is_some_and(|day| slot(day).is_some()) {
            return Ok(at);
        }
        if self.is_being_sealed(L::DATASET, date) || self.reopen_at.is_some_and(|again| Instant::now() < again) {
            return Err(Blocked);
        }
        let now = self.context.clock.now();
        match Day::<L>::open(&self.context.dir, &self.product, date, now) {
            Ok((opened, how)) => {
                self.context.sync.watch(opened.files());
                self.note_opening(opened.files().key(), &how);
                if let Some(day) = self.days.get_mut(at) {
                    *slot(day) = Some(OpenDataset { day: opened, asked_at_room: None });
                }
                self.reopen_at = None;
                self.told_blocked = false;
                Ok(at)
            }
            Err(error) => {
                self.reopen_at = Some(Instant::now() + REOPEN_PAUSE);
                Err(self.note_block::<L>(date, InsertError::Store(error)))
            }
        }
    }

    /// Finds the place of a day, making one where there is none.
    fn place(&mut self, date: UtcDay) -> usize {
        if let Some(at) = self.days.iter().position(|day| day.date == date) {
            return at;
        }
        if self.days.len() >= MAX_OPEN_DAYS
            && let Some(oldest) = (0..self.days.len()).min_by_key(|at| self.days.get(*at).map(|day| day.used))
        {
            self.commit();
            let day = self.days.remove(oldest);
            self.close(day);
        }
        self.days.push(OpenDay { date, dirty: Dirty::default(), used: Instant::now(), trades: None, md: None, ticker_trades: None });
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

    fn note_block<L: Layout>(&mut self, date: UtcDay, error: InsertError) -> Blocked {
        if let InsertError::Store(error) = error {
            self.context.metrics.write_failures.one();
            if !self.told_blocked {
                self.told_blocked = true;
                log::error!("{} {} {date}: {error}", self.product, L::DATASET.folder());
                self.context.journal.write(Event::WriteFailed {
                    product: self.product.clone(),
                    dataset: Some(L::DATASET),
                    date: Some(date),
                    error: error.to_string(),
                });
            }
        }
        Blocked
    }
}
