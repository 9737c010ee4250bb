//! The router: takes what the decoder hands over to the right product's queue, and sees to it that the queues are drained: it lends their writers a hand
//! where they sleep, and wakes them, when its line says so, where more is to be done.
//!
//! 1. Every trade and ticker handed over is counted as received by its product, and ends in its queue or is counted as shed.
//! 2. A hole that shedding leaves is journaled when it begins and when it ends, with the first and last trade id given up.
//! 3. Of redundant Advanced lines, whose tickers carry no id, one at a time supplies a product's tickers: another takes over when its connection is lost.
//! 4. A heartbeat that names a newer trade than this connection brought wakes the writer; any other waits until it wakes by itself.
//! 5. Looking a known product up allocates nothing and takes no lock; the registry is asked only for a label not met before.
//!
//! Lives on a connection's thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::echo::EchoWriter;
use super::hand::Hand;
use super::metrics::LineMetrics;
use super::queue::{BACK_PRESSURE, Pushed};
use super::registry::{Registry, Route};
use super::scribe::Scribe;
use super::seat::LentTally;
use crate::feed::{Control, Handler, Item, RejectReason};
use crate::product::ProductId;
use crate::record::{MarketMessage, RawPlace, Ticker, Trade};
use crate::store::Pages;
use crate::store::journal::Event;
use crate::time::{Timestamp, UnixNanos};

/// Rejected labels remembered, so that a hostile feed cannot fill the journal with them.
const MAX_REFUSED_LABELS: usize = 1024;

struct Entry {
    route: Route,
    /// Whether it stands in `touched` or in `called`.
    is_touched: bool,
    /// The trade that this connection brought last.
    last_trade_id: u64,
    /// The trade that the last heartbeat handed on named, and the one that this connection had brought by then.
    last_beat: (u64, u64),
    hole: Option<Hole>,
}

/// Which of several redundant lines a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub struct LinePlace {
    /// The line, from 0.
    pub number: u8,
    /// Whether the lines take turns in supplying tickers.
    pub shares_tickers: bool,
}

/// The line that supplies a product's tickers, where lines take turns.
#[derive(Debug)]
pub struct TickerTurn(AtomicU8);

/// No line supplies tickers.
const NOBODY: u8 = u8::MAX;

impl Default for TickerTurn {
    fn default() -> Self {
        Self(AtomicU8::new(NOBODY))
    }
}

impl TickerTurn {
    /// Takes the turn where nobody has it. Tells whether the line has it now, and whether it has just taken it.
    fn take(&self, line: u8) -> (bool, bool) {
        // Relaxed: a decision about which of two equal copies is kept; the messages themselves go through the queue.
        match self.0.load(Relaxed) {
            holder if holder == line => (true, false),
            NOBODY => {
                let taken = self.0.compare_exchange(NOBODY, line, Relaxed, Relaxed).is_ok();
                (taken, taken)
            }
            _ => (false, false),
        }
    }

    fn let_go(&self, line: u8) -> bool {
        self.0.compare_exchange(line, NOBODY, Relaxed, Relaxed).is_ok()
    }
}

/// What one product has given up since its queue was full.
#[derive(Default)]
struct Hole {
    first_trade_id: u64,
    last_trade_id: u64,
    trades: u64,
    tickers: u64,
}

/// One connection's way to the queues.
pub struct Router {
    registry: Arc<Registry>,
    scribe: Scribe,
    metrics: Arc<LineMetrics>,
    entries: Vec<Entry>,
    by_label: HashMap<Box<[u8]>, Option<usize>, RandomState>,
    /// Products with messages that nobody has been told of.
    touched: Vec<usize>,
    touched_since: Option<Instant>,
    /// Products with something left to do, which the hand is to be called to.
    called: Vec<usize>,
    called_since: Option<Instant>,
    echo: EchoWriter,
    place_of_line: LinePlace,
    wants_tickers: bool,
    hand: Hand,
    tally: LentTally,
    recv: UnixNanos,
    /// When the system was last asked for frames: the clock of everything that needs no better.
    read_at: Instant,
    place: RawPlace,
    controls: Vec<Control>,
    rejected: Option<RejectReason>,
}

impl Router {
    /// Makes a router that knows the products its connection will subscribe to.
    ///
    /// # Errors
    /// Where a product's writer, or the connection's hand, cannot be started. `name` is the connection's, as in `0.1`.
    pub fn new(
        name: &str,
        registry: Arc<Registry>,
        scribe: Scribe,
        metrics: Arc<LineMetrics>,
        line: LinePlace,
        products: &[ProductId],
    ) -> Result<Self, String> {
        let mut router = Self {
            echo: registry.echo(),
            place_of_line: line,
            wants_tickers: registry.wants_tickers(),
            hand: registry.hand(name).map_err(|error| format!("hand:{name}: no thread: {error}"))?,
            tally: registry.tally(),
            registry,
            scribe,
            metrics,
            entries: Vec::with_capacity(products.len()),
            by_label: HashMap::with_capacity_and_hasher(products.len() * 2, RandomState::default()),
            touched: Vec::with_capacity(products.len() + super::registry::MAX_UNASKED),
            touched_since: None,
            called: Vec::with_capacity(products.len() + super::registry::MAX_UNASKED),
            called_since: None,
            recv: UnixNanos(0),
            read_at: Instant::now(),
            place: RawPlace::default(),
            controls: Vec::new(),
            rejected: None,
        };
        for product in products {
            router.add(product)?;
        }
        Ok(router)
    }

    /// Takes a product that is asked for from now on.
    ///
    /// # Errors
    /// Where its writer cannot be started.
    pub fn add(&mut self, product: &ProductId) -> Result<(), String> {
        let route = self.registry.route(product)?;
        self.remember(product.as_str().as_bytes(), route);
        Ok(())
    }

    fn remember(&mut self, label: &[u8], route: Route) -> usize {
        if let Some(Some(at)) = self.by_label.get(label) {
            return *at;
        }
        let at = self.entries.len();
        self.entries.push(Entry { route, is_touched: false, last_trade_id: 0, last_beat: (0, 0), hole: None });
        self.by_label.insert(label.into(), Some(at));
        at
    }

    /// Begins a frame that was read at `recv`, `read_at` on the monotonic clock.
    #[inline]
    pub fn begin(&mut self, frame: &[u8], recv: UnixNanos, read_at: Instant) {
        self.recv = recv;
        self.read_at = read_at;
        self.place = self.echo.keep(frame);
        self.rejected = None;
    }

    /// Gives the reason where an element of the frame could not be used.
    #[inline]
    #[must_use]
    pub fn rejected(&self) -> Option<RejectReason> {
        self.rejected
    }

    /// Tells whether messages about the connection wait.
    #[inline]
    #[must_use]
    pub fn has_control(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Takes the next message about the connection.
    pub fn take_control(&mut self) -> Option<Control> {
        if self.controls.is_empty() { None } else { Some(self.controls.remove(0)) }
    }

    /// Gives since when messages wait to be handed over; nothing where none do.
    #[inline]
    #[must_use]
    pub fn touched_since(&self) -> Option<Instant> {
        self.touched_since
    }

    /// Gives since when somebody waits to be called; nothing where nobody does.
    #[inline]
    #[must_use]
    pub fn called_since(&self) -> Option<Instant> {
        self.called_since
    }

    /// Puts down what was pushed, for every writer that sleeps and as far as that costs no wait. What is left waits for [`Router::ring`].
    #[inline]
    pub fn hand_over(&mut self) {
        if self.touched_since.take().is_none() {
            return;
        }
        for at in self.touched.drain(..) {
            let Some(entry) = self.entries.get_mut(at) else { continue };
            let lent = entry.route.seat.lend_a_hand(self.read_at, Pages::AtHand);
            self.tally.take(&lent);
            entry.is_touched = lent.is_left;
            if lent.is_left {
                self.called.push(at);
                self.called_since.get_or_insert(self.read_at);
            }
        }
        self.tally.note(self.read_at, Some(self.recv));
    }

    /// Adds the lags seen here to those of the capture, unless another thread is at it.
    pub fn publish_lag(&mut self) {
        self.tally.try_publish();
    }

    /// Hands over what is left, and has the hand see to the rest.
    pub fn ring(&mut self) {
        self.hand_over();
        // The time of now: a quiet connection reads nothing, and its hand may be stuck all the same.
        self.hand.pass_by_if_stuck(Instant::now());
        if self.called_since.take().is_none() {
            return;
        }
        for at in self.called.drain(..) {
            let Some(entry) = self.entries.get_mut(at) else { continue };
            entry.is_touched = false;
            self.hand.call(&entry.route.seat);
        }
        self.hand.ring();
    }

    #[inline]
    fn find(&mut self, label: &[u8]) -> Option<usize> {
        match self.by_label.get(label) {
            Some(known) => *known,
            None => self.meet(label),
        }
    }

    #[cold]
    fn meet(&mut self, label: &[u8]) -> Option<usize> {
        let found =
            ProductId::from_bytes(label).map_err(|error| error.to_string()).and_then(|product| self.registry.unasked_route(&product));
        match found {
            Ok(route) => Some(self.remember(label, route)),
            Err(reason) => {
                if self.by_label.len() < MAX_REFUSED_LABELS {
                    log::warn!("{reason}");
                    self.by_label.insert(label.into(), None);
                }
                None
            }
        }
    }

    #[inline]
    fn push(&mut self, at: usize, message: MarketMessage) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        let pushed = entry.route.queue.push(message, BACK_PRESSURE);
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push(at);
            self.touched_since.get_or_insert(self.read_at);
        }
        if pushed != Pushed::Queued {
            self.note_push(at, message, pushed);
        }
    }

    /// Tells whether this line supplies a product's tickers; counts those that it does not as stale.
    fn supplies_tickers(&mut self, at: usize) -> bool {
        let Some(entry) = self.entries.get(at) else { return false };
        let (has_turn, is_new) = entry.route.ticker_turn.take(self.place_of_line.number);
        if is_new {
            let event = Event::new("ticker_seam").product(&entry.route.product);
            self.scribe.journal(event.number("to_line", u64::from(self.place_of_line.number)));
        }
        if !has_turn {
            entry.route.metrics.tickers.stale.one();
        }
        has_turn
    }

    /// Leaves the tickers to the other lines: this one's connection is lost.
    pub fn let_go_of_tickers(&mut self) {
        for entry in &self.entries {
            entry.route.ticker_turn.let_go(self.place_of_line.number);
        }
    }

    #[cold]
    fn note_push(&mut self, at: usize, message: MarketMessage, pushed: Pushed) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        match pushed {
            Pushed::Queued => {}
            Pushed::QueuedAgain => end_hole(entry, &self.scribe),
            Pushed::ShedFirst | Pushed::Shed | Pushed::Closed => {
                let metrics = &entry.route.metrics;
                if entry.hole.is_none() {
                    metrics.is_shedding.store(true, Relaxed);
                    log::error!("{}: queue full, shedding until it is half empty", entry.route.product);
                    self.scribe.journal(Event::new("shed_started").product(&entry.route.product));
                }
                let hole = entry.hole.get_or_insert_default();
                match message {
                    MarketMessage::Trade(trade, _) => {
                        metrics.trades.shed.one();
                        hole.trades += 1;
                        hole.last_trade_id = trade.trade_id;
                        if hole.first_trade_id == 0 {
                            hole.first_trade_id = trade.trade_id;
                        }
                    }
                    MarketMessage::Ticker(_) => {
                        metrics.tickers.shed.one();
                        hole.tickers += 1;
                    }
                    MarketMessage::Heartbeat { .. } => {}
                }
            }
        }
    }
}

fn end_hole(entry: &mut Entry, scribe: &Scribe) {
    let Some(hole) = entry.hole.take() else { return };
    entry.route.metrics.is_shedding.store(false, Relaxed);
    log::warn!("{}: shed {} trades and {} tickers", entry.route.product, hole.trades, hole.tickers);
    scribe.journal(
        Event::new("shed_ended")
            .product(&entry.route.product)
            .number("first_trade_id", hole.first_trade_id)
            .number("last_trade_id", hole.last_trade_id)
            .number("trades", hole.trades)
            .number("tickers", hole.tickers),
    );
}

impl Drop for Router {
    fn drop(&mut self) {
        self.ring();
        self.tally.publish();
        self.entries.iter_mut().for_each(|entry| end_hole(entry, &self.scribe));
    }
}

impl Handler for Router {
    #[inline]
    fn trade(&mut self, product: &[u8], trade: &Trade) {
        match self.find(product) {
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.route.metrics.trades.received.one();
                    entry.last_trade_id = trade.trade_id;
                }
                self.push(at, MarketMessage::Trade(*trade, self.place));
            }
            None => self.reject_item(Item::Trade, RejectReason::Product),
        }
    }

    #[inline]
    fn ticker(&mut self, product: &[u8], ticker: &Ticker) {
        // The ticker channel is always subscribed to; with `--datasets trades` it keeps the connection lively and no more.
        if !self.wants_tickers {
            return;
        }
        match self.find(product) {
            Some(at) => {
                if let Some(entry) = self.entries.get(at) {
                    entry.route.metrics.tickers.received.one();
                }
                if !self.place_of_line.shares_tickers || self.supplies_tickers(at) {
                    self.push(at, MarketMessage::Ticker(*ticker));
                }
            }
            None => self.reject_item(Item::Ticker, RejectReason::Product),
        }
    }

    fn heartbeat(&mut self, product: Option<&[u8]>, last_trade_id: u64, _time: Option<Timestamp>) {
        // A beat of a product that nobody asked for starts no writer.
        let known = product.and_then(|label| self.by_label.get(label)).copied().flatten();
        if let Some(entry) = known.and_then(|at| self.entries.get_mut(at)) {
            let beat = (last_trade_id, entry.last_trade_id);
            if entry.last_beat == beat {
                // It says what the one before said, and nothing has come since.
                return;
            }
            let message = MarketMessage::Heartbeat { last_trade_id, recv: self.recv };
            if entry.route.queue.push(message, Duration::ZERO) == Pushed::Queued {
                entry.last_beat = beat;
            }
            // Otherwise not worth a wake-up: the writer finds it when it next has something to do.
            if last_trade_id > entry.last_trade_id {
                entry.route.queue.ring();
            }
        }
    }

    fn inexact(&mut self, product: &[u8], column: &'static str, key: u64, text: &[u8]) {
        if let Some(Some(at)) = self.by_label.get(product).copied()
            && let Some(entry) = self.entries.get(at)
        {
            self.scribe.exact(&entry.route.product, column, key, text);
        }
    }

    fn reject_item(&mut self, item: Item, why: RejectReason) {
        match item {
            Item::Trade => self.metrics.rejected_trades.one(),
            Item::Ticker => self.metrics.rejected_tickers.one(),
        }
        self.rejected = Some(why);
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}
