//! The trading exchange: the one thread that owns market, clients and ledger.
//!
//! ```text
//! door, REST, control ──Event──▶ floor ──frames──▶ outbox of each client
//!                                  └──▶ ledger, archive
//! ```
//!
//! 1. One thread decides everything, in rounds of [`ROUND`]: what a client asks is answered between two rounds, so no trade falls between the
//!    `last_match` and the first `match` it gets.
//! 2. The event clock starts [`SETTLE`] after the clients together have subscribed to every product, and from then on runs whatever clients do.
//! 3. A round that comes late makes up for what is missing in steps of at most [`CATCH_UP`], so that frames leave evenly.
//! 4. A slow client never slows the exchange: its frames wait in its outbox, up to the outbox's bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::archive::Archive;
use super::client::{Channels, Client};
use super::disruption::Outage;
use super::distortion::{Distortion, Item};
use super::faults::{Fault, FaultKind};
use super::ledger::{Ledger, Scene};
use super::market::{Market, Print};
use super::outbox::{Cut, Outbox};
use super::replay::Recording;
use super::schedule::Schedule;
use super::spelling::TimeSpeller;
use super::totals::{Board, Totals};
use super::{SimulateConfig, Wire, nanos};
use crate::product::ProductId;
use crate::time::{Clock, UnixNanos};

/// Length of a round.
const ROUND: Duration = Duration::from_millis(1);
/// Most event time made in one step.
const CATCH_UP: u64 = 5_000_000;
/// How long nobody may have subscribed to more before the clock starts: the requests of a starting capture come one by one.
const SETTLE: Duration = Duration::from_millis(200);
/// A client that has not subscribed by then is cut off, as Coinbase does.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// How often heartbeats come.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often `status` comes, in heartbeats.
const STATUS_EVERY: u64 = 5;
/// How long after the market's end a client may take to read the rest, before nobody waits for it any more.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How often the board is brought up to date.
const BOARD: Duration = Duration::from_millis(100);

/// What reaches the floor from outside.
#[derive(Debug)]
pub(super) enum Event {
    /// A client has come in.
    Opened(u64, Arc<Outbox>),
    /// A client has sent text.
    Asked(u64, Vec<u8>),
    /// A client is gone.
    Closed(u64),
    /// A fault fired elsewhere.
    Fault(Fault, Scene),
    /// A REST request came, and was one too many or not.
    Rest {
        /// Whether it was refused for the limit.
        is_refused: bool,
    },
    /// Somebody holds the simulator's controls.
    Order(Order),
}

/// What a test may do to the exchange while it runs.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// Ends every connection.
    Cut(Cut),
    /// Stops trading a product.
    Delist(ProductId),
    /// Holds the event clock, or lets it go on.
    Pause(bool),
    /// Sends this text to every client.
    Say(String),
    /// Ends the floor.
    Stop,
}

/// Everything the floor owns.
pub(super) struct Exchange {
    pub(super) wire: Wire,
    pub(super) products: Vec<ProductId>,
    pub(super) places: HashMap<String, usize>,
    pub(super) tickers: bool,
    pub(super) refuse_whole: bool,
    pub(super) market: Market,
    pub(super) archive: Arc<Archive>,
    pub(super) ledger: Ledger,
    pub(super) clients: Vec<Client>,
    pub(super) schedule: Schedule,
    pub(super) client_dice: Arc<Mutex<Schedule>>,
    pub(super) distortion: Distortion,
    pub(super) rng: fastrand::Rng,
    pub(super) times: TimeSpeller,
    pub(super) newest: Vec<Option<Print>>,
    pub(super) newest_ticker: Vec<Option<Print>>,
    pub(super) is_delisted: Vec<bool>,
    pub(super) totals: Totals,
    pub(super) scratch: Vec<u8>,
    pub(super) prints: Vec<Print>,
    pub(super) items: Vec<Item>,
    /// How far the event clock has been made, in nanoseconds after the start.
    pub(super) offset: u64,
    /// Acknowledgements that are to come late: when, and for whom.
    pub(super) late: Vec<(Instant, u64)>,
    pub(super) last_asked: Option<Instant>,
    pub(super) recording: Option<Recording>,
    pub(super) rounds: super::broadcast::Broadcast,
    /// How far event times are off, in nanoseconds, and until when on the event clock.
    pub(super) step: Option<(i64, u64)>,
    pub(super) outage: Outage,
    duration: Option<u64>,
    fixed_start: Option<UnixNanos>,
    opened: Instant,
    /// The instant at which the event clock read zero; moves when it is held.
    pub(super) zero: Option<Instant>,
    paused_at: Option<Instant>,
    ended_after: Option<Duration>,
    heartbeats: u64,
    board: Arc<Board>,
    posted: Instant,
}

impl Exchange {
    /// Furnishes the exchange: history made, ledger opened.
    ///
    /// # Errors
    /// Where the ledger or the recording cannot be opened.
    pub(super) fn new(
        config: &SimulateConfig,
        archive: Arc<Archive>,
        client_dice: Arc<Mutex<Schedule>>,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let start = config.start.unwrap_or_else(|| now_before(config.faults.outages()));
        let now = Instant::now();
        let products = config.products.clone();
        let count = products.len();
        let mut exchange = Self {
            wire: config.wire,
            places: products.iter().enumerate().map(|(at, product)| (product.as_str().to_owned(), at)).collect(),
            tickers: config.tickers,
            refuse_whole: config.refuse_whole,
            market: Market::new(&products, config.rate_per_product, config.seed, start),
            archive,
            ledger: Ledger::create(config.ledger.as_deref(), config.wire)?,
            clients: Vec::new(),
            schedule: Schedule::for_frames(&config.faults, config.seed),
            client_dice,
            distortion: Distortion::default(),
            rng: fastrand::Rng::with_seed(config.seed ^ 0xf100),
            times: TimeSpeller::default(),
            newest: vec![None; count],
            newest_ticker: vec![None; count],
            is_delisted: vec![false; count],
            totals: Totals { asked_rate: config.rate_per_product * count as f64, ..Totals::default() },
            scratch: Vec::new(),
            prints: Vec::new(),
            items: Vec::new(),
            offset: 0,
            late: Vec::new(),
            last_asked: None,
            recording: config.replay.as_ref().map(Recording::open).transpose()?,
            rounds: super::broadcast::Broadcast::new(count),
            step: None,
            outage: Outage::new(config.faults.outages()),
            duration: config.duration.map(nanos),
            fixed_start: config.start,
            opened: now,
            zero: None,
            paused_at: None,
            ended_after: None,
            heartbeats: 0,
            board,
            posted: now,
            products,
        };
        exchange.ledger.head(config.seed, start, config.rate_per_product, &exchange.products);
        exchange.write_history(config.history);
        Ok(exchange)
    }

    fn write_history(&mut self, count: u64) {
        let mut prints = Vec::new();
        self.market.history(count, &mut prints);
        for print in prints {
            let Some(product) = self.products.get(print.product) else { continue };
            self.ledger.trade(product, &print, false, true);
            self.note_newest(&print);
        }
        if self.wire == Wire::Exchange {
            for (print, product) in self.newest_ticker.iter().flatten().zip(&self.products) {
                self.ledger.ticker(product, &super::broadcast::ticker_line(print), false);
            }
        }
    }

    /// Keeps a print for REST, for heartbeats and for what is sent on subscribing.
    pub(super) fn note_newest(&mut self, print: &Print) {
        self.archive.push(print);
        if let Some(newest) = self.newest.get_mut(print.product) {
            *newest = Some(*print);
        }
        if let Some(newest) = self.newest_ticker.get_mut(print.product).filter(|_| print.has_ticker) {
            *newest = Some(*print);
        }
    }

    /// Runs until told to stop; hands back what happened.
    ///
    /// # Errors
    /// The ledger's first failed write.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> std::io::Result<Totals> {
        let mut next = Instant::now() + ROUND;
        loop {
            match events.recv_deadline(next) {
                Ok(Event::Order(Order::Stop)) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => {
                    self.hear(event);
                    if Instant::now() < next {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            self.keep_house(now);
            self.advance(now);
            next = (next + ROUND).max(Instant::now());
        }
        self.let_go_of_held();
        for at in 0..self.clients.len() {
            self.end_silence(at);
            self.clients.get_mut(at).into_iter().for_each(|client| client.cut(Cut::Close(1001)));
        }
        self.post(true);
        self.ledger.end(&self.totals.to_json())?;
        Ok(self.totals)
    }

    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Opened(id, outbox) => {
                self.totals.connections += 1;
                let mut client = Client::new(id, outbox, self.products.len(), now);
                client.dooms = self.schedule.dooms().into_iter().map(|doom| (now + doom.after, doom)).collect();
                self.clients.push(client);
                let time = self.now();
                self.ledger.client(id, true, time);
            }
            Event::Asked(id, text) => {
                self.answer(id, text, now);
                self.flush_clients();
            }
            Event::Closed(id) => {
                if let Some(at) = self.clients.iter().position(|client| client.id == id) {
                    self.end_silence(at);
                    let time = self.now();
                    self.ledger.client(id, false, time);
                }
                self.totals.frames += self.clients.iter().find(|client| client.id == id).map_or(0, |client| client.frames);
                self.clients.retain(|client| client.id != id);
            }
            Event::Fault(fault, scene) => self.note_fault(fault, &scene),
            Event::Rest { is_refused } => {
                self.totals.rest_requests += 1;
                self.totals.rest_refused += u64::from(is_refused);
            }
            Event::Order(Order::Cut(cut)) => self.clients.iter_mut().for_each(|client| client.cut(cut)),
            Event::Order(Order::Delist(product)) => {
                if let Some(place) = self.places.get(product.as_str()).copied() {
                    self.delist(place);
                    let fault = Fault::of_kind(FaultKind::Delist);
                    self.note_fault(fault, &Scene::of_product(Some(&product)));
                }
            }
            Event::Order(Order::Pause(true)) => {
                self.paused_at = self.paused_at.or(Some(now));
                self.ledger.flush();
            }
            Event::Order(Order::Pause(false)) => {
                let held = self.paused_at.take().map_or(Duration::ZERO, |since| now - since);
                self.zero = self.zero.map(|zero| zero + held);
            }
            Event::Order(Order::Say(text)) => self.clients.iter_mut().filter(|client| !client.is_cut).for_each(|client| {
                let _ = client.send(text.as_bytes());
                client.flush();
            }),
            Event::Order(Order::Stop) => {}
        }
    }

    /// Hands every client's frames to its thread, counting those that turn out to be too slow.
    pub(super) fn flush_clients(&mut self) {
        for client in &mut self.clients {
            self.totals.slow_clients += u64::from(!client.flush());
        }
    }

    /// Reads the event clock.
    pub(super) fn now(&self) -> UnixNanos {
        match (self.zero, self.fixed_start) {
            (Some(_), _) if self.outage.until.is_some() => UnixNanos(self.market.start().0.saturating_add(self.offset)),
            (Some(zero), _) => {
                let until = self.paused_at.unwrap_or_else(Instant::now);
                let offset = nanos(until.saturating_duration_since(zero)).saturating_add(self.outage.skipped);
                self.stepped(UnixNanos(self.market.start().0.saturating_add(offset)))
            }
            (None, Some(start)) => start,
            (None, None) => Clock::System.now(),
        }
    }

    /// The time an envelope shows: where the event clock has been made to, so that it depends on the market alone.
    pub(super) fn envelope_time(&mut self) -> UnixNanos {
        let is_trading = self.zero.is_some() && self.ended_after.is_none();
        let base = if is_trading { self.market.start().0 + self.offset } else { self.now().0 };
        let time = UnixNanos(base + self.rng.u64(0..200_000));
        if is_trading { self.stepped(time) } else { time }
    }

    /// How long the simulator has been up, as `heartbeats` show it.
    pub(super) fn uptime(&self) -> UnixNanos {
        UnixNanos(nanos(self.opened.elapsed()))
    }

    /// Makes event time up to now and sends what it brings.
    fn advance(&mut self, now: Instant) {
        if self.recording.is_some() {
            self.replay(now);
            return;
        }
        let Some(zero) = self.zero else {
            self.start_if_settled(now);
            return;
        };
        if self.ended_after.is_some() || self.paused_at.is_some() {
            return;
        }
        if self.outage.until.is_some() {
            self.pass_unseen(zero);
            return;
        }
        let elapsed = nanos(now.saturating_duration_since(zero)).saturating_add(self.outage.skipped);
        let mut end = self.end();
        let wanted = elapsed.min(end.unwrap_or(u64::MAX));
        while self.offset < wanted && self.outage.until.is_none() {
            let upto = wanted.min(self.offset.saturating_add(CATCH_UP));
            self.step(upto, end == Some(upto));
            end = self.end();
        }
        if end == Some(self.offset) && self.outage.until.is_none() {
            self.ended_after = Some(zero.elapsed());
            self.ledger.flush();
        }
    }

    /// Where the event clock ends: its duration does not count what outages skipped.
    fn end(&self) -> Option<u64> {
        self.duration.map(|duration| duration.saturating_add(self.outage.total))
    }

    fn start_if_settled(&mut self, now: Instant) {
        let is_settled = self.last_asked.is_some_and(|asked| now.saturating_duration_since(asked) >= SETTLE);
        let any = |place: usize| {
            self.clients.iter().any(|client| {
                let takes = client.takes.get(place).copied().unwrap_or_default();
                takes.has(Channels::TRADES) || takes.has(Channels::TICKER)
            })
        };
        if is_settled && (0..self.products.len()).all(any) {
            if self.fixed_start.is_none() {
                self.market.start_at(now_before(self.outage.planned));
            }
            self.zero = Some(now);
            self.ledger.go(self.market.start());
        }
    }

    /// What goes by the simulator's own clock: late answers, heartbeats, silences that end, clients that never ask.
    fn keep_house(&mut self, now: Instant) {
        self.send_late(now);
        for at in 0..self.clients.len() {
            if self.clients.get(at).is_some_and(|client| client.silent_until.is_some_and(|until| until <= now)) {
                self.end_silence(at);
            }
        }
        for client in &mut self.clients {
            if !client.has_asked && !client.is_cut && now.saturating_duration_since(client.opened) > SUBSCRIBE_WITHIN {
                client.cut(Cut::Close(1000));
            }
        }
        let beats = now.saturating_duration_since(self.opened).as_secs() / HEARTBEAT.as_secs();
        if beats > self.heartbeats {
            self.heartbeats = beats;
            self.beat(beats.is_multiple_of(STATUS_EVERY));
        }
        let offset = self.zero.map_or(Duration::ZERO, |zero| now.saturating_duration_since(zero));
        if !self.schedule.is_empty() && self.zero.is_some() {
            self.schedule.arm(offset);
            self.fire_armed(now);
            self.fire_dooms(now);
        }
        if now.saturating_duration_since(self.posted) >= BOARD {
            self.client_dice.lock().arm(offset);
            self.post(false);
        }
    }

    /// Brings the board up to date, where tests and the command line read.
    fn post(&mut self, is_over: bool) {
        self.posted = Instant::now();
        let lived = self.ended_after.or(self.zero.map(|zero| zero.elapsed())).unwrap_or_default();
        let running = lived + Duration::from_nanos(self.outage.total);
        self.totals.seconds = running.as_secs_f64();
        self.totals.reached_rate = if running.is_zero() { 0.0 } else { self.totals.trades_produced as f64 / running.as_secs_f64() };
        let mut shown = self.totals.clone();
        shown.frames += self.clients.iter().map(|client| client.frames).sum::<u64>();
        if is_over {
            self.totals.frames = shown.frames;
        }
        let since_end = self.zero.zip(self.ended_after).map_or(Duration::ZERO, |(zero, ended)| zero.elapsed().saturating_sub(ended));
        let is_delivered = since_end > DRAIN_WITHIN || self.clients.iter().all(|client| client.is_cut || client.backlog() == 0);
        let is_done = match &self.recording {
            Some(recording) => recording.is_over && is_delivered,
            None => self.ended_after.is_some() && is_delivered,
        };
        self.board.post(shown, self.zero.is_some(), is_over || is_done);
    }
}

/// Reads the wall clock and goes back by `length`, so that what is skipped lies in the past when it is over.
fn now_before(length: Duration) -> UnixNanos {
    UnixNanos(Clock::System.now().0.saturating_sub(nanos(length)))
}
