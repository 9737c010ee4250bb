//! The simulated exchange: everything that its one thread owns, and the event clock.
//!
//! ```text
//! WebSocket, REST, user ──Event──▶ exchange ──frames──▶ outbox of each client
//!                                     └──▶ ledger, archive
//! ```
//!
//! Other files add what it does: `event_loop` (events and time), `subscriptions` (requests of clients), `broadcast` (trades and tickers), `disruption`
//! (faults that last or end connections), `replay` (a recording).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::archive::Archive;
use super::channels::Channels;
use super::client::Client;
use super::config::{SimulateConfig, SimulatedFeed, nanos};
use super::distortion::{Distortion, Update};
use super::faults::Fault;
use super::format::TimeFormatter;
use super::ledger::{Ledger, TickerLine, TradeLine};
use super::market::Market;
use super::outage::Outage;
use super::progress::Progress;
use super::recording::Recording;
use super::schedule::Schedule;
use super::target::FaultTarget;
use super::totals::Totals;
use super::trade::Trade;
use super::waiting::Waiting;
use super::windows::Windows;
use crate::product::ProductId;
use crate::time::{Clock, UnixNanos};

/// An acknowledgement that is sent late.
#[derive(Debug, Clone, Copy)]
pub(super) struct LateAcknowledgement {
    pub(super) due: Instant,
    /// The client's id.
    pub(super) client: u64,
}

/// A time in which the event clock is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockStep {
    /// How far event times are off, in nanoseconds.
    pub(super) nanos: i64,
    /// Its end, in nanoseconds of the event clock.
    pub(super) until: u64,
}

/// What the exchange's thread shares with other threads.
pub(super) struct Shared {
    pub(super) archive: Arc<Archive>,
    /// The faults of requests.
    pub(super) schedule: Arc<Mutex<Schedule>>,
    pub(super) progress: Arc<Progress>,
}

/// Everything that the exchange's thread owns.
pub(super) struct Exchange {
    pub(super) feed: SimulatedFeed,
    pub(super) products: Vec<ProductId>,
    pub(super) index_by_name: HashMap<String, usize>,
    pub(super) sends_tickers: bool,
    pub(super) refuse_whole: bool,
    pub(super) market: Market,
    pub(super) ledger: Ledger,
    pub(super) clients: Vec<Client>,
    /// The faults of frames, products and open connections.
    pub(super) schedule: Schedule,
    pub(super) shared: Shared,
    pub(super) distortion: Distortion,
    pub(super) rng: fastrand::Rng,
    pub(super) times: TimeFormatter,
    /// The newest trade of each product.
    pub(super) newest: Vec<Option<Trade>>,
    /// The newest trade of each product that has a ticker.
    pub(super) newest_ticker: Vec<Option<Trade>>,
    pub(super) is_delisted: Vec<bool>,
    /// Which products are there. The others are listed later.
    pub(super) is_listed: Vec<bool>,
    pub(super) totals: Totals,
    pub(super) scratch: Vec<u8>,
    pub(super) trades: Vec<Trade>,
    pub(super) updates: Vec<Update>,
    /// How far event time has been made, in nanoseconds after the start.
    pub(super) offset: u64,
    pub(super) late_acknowledgements: Vec<LateAcknowledgement>,
    /// When a client subscribed last.
    pub(super) last_subscribed: Option<Instant>,
    pub(super) recording: Option<Recording>,
    pub(super) windows: Windows,
    pub(super) clock_step: Option<ClockStep>,
    pub(super) outage: Outage,
    /// How long the event clock runs, in nanoseconds, outages not counted.
    pub(super) duration: Option<u64>,
    pub(super) fixed_start: Option<UnixNanos>,
    /// The wall clock. The event clock goes at its pace.
    pub(super) clock: Clock,
    /// When the simulator started.
    pub(super) opened: Instant,
    /// The instant at which the event clock read zero. A pause moves it.
    pub(super) zero: Option<Instant>,
    pub(super) paused_at: Option<Instant>,
    /// How long the market ran, once it is over.
    pub(super) ended_after: Option<Duration>,
    /// When it is said what the market waits for.
    pub(super) waiting: Waiting,
    /// Heartbeats sent so far.
    pub(super) heartbeats: u64,
    /// When the progress was published last.
    pub(super) published: Instant,
}

impl Exchange {
    /// Makes the exchange with its history, and opens the ledger.
    ///
    /// # Errors
    /// The ledger or the recording cannot be opened.
    pub(super) fn new(config: &SimulateConfig, shared: Shared) -> std::io::Result<Self> {
        let start = config.start.unwrap_or_else(|| before(config.clock.now(), config.faults.outages()));
        let now = Instant::now();
        let products = config.products.clone();
        let count = products.len();
        let listed = count.saturating_sub(config.unlisted.saturating_add(config.faults.listings()));
        let mut exchange = Self {
            feed: config.feed,
            index_by_name: products.iter().enumerate().map(|(at, product)| (product.as_str().to_owned(), at)).collect(),
            sends_tickers: config.tickers,
            refuse_whole: config.refuse_whole,
            market: Market::new(&products, config.rate_per_product, config.arrivals(), config.seed, start),
            ledger: Ledger::create(config.ledger.as_deref(), config.feed)?,
            clients: Vec::new(),
            schedule: Schedule::for_frames(&config.faults, config.seed),
            shared,
            distortion: Distortion::default(),
            rng: fastrand::Rng::with_seed(config.seed ^ 0xf100),
            times: TimeFormatter::default(),
            newest: vec![None; count],
            newest_ticker: vec![None; count],
            is_delisted: vec![false; count],
            is_listed: (0..count).map(|product| product < listed).collect(),
            totals: Totals { asked_rate: config.rate_per_product * count as f64, ..Totals::default() },
            scratch: Vec::new(),
            trades: Vec::new(),
            updates: Vec::new(),
            offset: 0,
            late_acknowledgements: Vec::new(),
            last_subscribed: None,
            recording: config.replay.as_ref().map(Recording::open).transpose()?,
            windows: Windows::new(count),
            clock_step: None,
            outage: Outage::new(config.faults.outages()),
            duration: config.duration.map(nanos),
            fixed_start: config.start,
            clock: config.clock.clone(),
            opened: now,
            zero: None,
            paused_at: None,
            ended_after: None,
            waiting: Waiting::new(now),
            heartbeats: 0,
            published: now,
            products,
        };
        for product in listed..count {
            exchange.shared.archive.set_listed(product, false);
        }
        exchange.ledger.head(config.seed, start, config.rate_per_product, &exchange.products);
        exchange.write_history(config.history);
        Ok(exchange)
    }

    fn write_history(&mut self, count: u64) {
        let mut trades = Vec::new();
        self.market.history(count, &mut trades);
        for trade in trades {
            let Some(product) = self.products.get(trade.product).filter(|_| self.is_online(trade.product)) else { continue };
            self.ledger.trade(product, &trade, TradeLine::History);
            self.keep(&trade);
        }
        if self.feed == SimulatedFeed::Exchange {
            for (trade, product) in self.newest_ticker.iter().flatten().zip(&self.products) {
                self.ledger.ticker(product, &TickerLine::of_trade(trade), false);
            }
        }
    }

    /// Keeps a trade for REST, for heartbeats and for what is sent on subscribing.
    pub(super) fn keep(&mut self, trade: &Trade) {
        self.shared.archive.push(trade);
        if let Some(newest) = self.newest.get_mut(trade.product) {
            *newest = Some(*trade);
        }
        if let Some(newest) = self.newest_ticker.get_mut(trade.product).filter(|_| trade.has_ticker()) {
            *newest = Some(*trade);
        }
    }

    /// Tells whether a product trades.
    pub(super) fn is_online(&self, product: usize) -> bool {
        self.is_delisted.get(product) == Some(&false) && self.is_listed.get(product) == Some(&true)
    }

    /// Tells whether a client would receive what is sent of a product now.
    pub(super) fn is_heard(&self, product: usize, channel: Channels) -> bool {
        self.clients.iter().any(|client| client.is_subscribed(product, channel) && !client.is_silent())
    }

    /// Gives the index of a client.
    pub(super) fn client_index(&self, id: u64) -> Option<usize> {
        self.clients.iter().position(|client| client.id == id)
    }

    /// Puts every client's frames into its outbox, and counts the clients that are too slow.
    pub(super) fn flush_clients(&mut self) {
        for client in &mut self.clients {
            self.totals.slow_clients += u64::from(!client.flush());
        }
    }

    /// Counts a fault that has fired, and writes it to the ledger.
    pub(super) fn record_fault(&mut self, fault: Fault, target: &FaultTarget) {
        *self.totals.faults.entry(fault.kind.name()).or_default() += 1;
        let now = self.now();
        self.ledger.fault(fault, now, target);
    }

    /// Reads the event clock.
    pub(super) fn now(&self) -> UnixNanos {
        match (self.zero, self.fixed_start) {
            (Some(_), _) if self.outage.is_on() => UnixNanos(self.market.start().0.saturating_add(self.offset)),
            (Some(zero), _) => {
                let until = self.paused_at.unwrap_or_else(Instant::now);
                let offset = self.event_nanos(until.saturating_duration_since(zero)).saturating_add(self.outage.skipped);
                self.with_clock_step(UnixNanos(self.market.start().0.saturating_add(offset)))
            }
            (None, Some(start)) => start,
            (None, None) => self.clock.now(),
        }
    }

    /// Gives how far the event clock goes on in a time, in nanoseconds.
    pub(super) fn event_nanos(&self, time: Duration) -> u64 {
        nanos(time).saturating_mul(u64::from(self.clock.pace()))
    }

    /// Gives the time of an envelope: where event time has been made to, so that it depends on the market alone.
    pub(super) fn envelope_time(&mut self) -> UnixNanos {
        let is_trading = self.zero.is_some() && self.ended_after.is_none();
        let base = if is_trading { self.market.start().0 + self.offset } else { self.now().0 };
        let time = UnixNanos(base + self.rng.u64(0..200_000));
        if is_trading { self.with_clock_step(time) } else { time }
    }

    /// Moves a time by the step that the event clock is off.
    pub(super) fn with_clock_step(&self, time: UnixNanos) -> UnixNanos {
        match self.clock_step {
            Some(step) if self.offset < step.until => UnixNanos(time.0.saturating_add_signed(step.nanos)),
            _ => time,
        }
    }

    /// Gives how long the simulator has been up, as `heartbeats` show it.
    pub(super) fn uptime(&self) -> UnixNanos {
        UnixNanos(nanos(self.opened.elapsed()))
    }
}

/// Subtracts `length` from a time. A market with outages starts that much earlier, so that it never runs ahead of the wall clock.
pub(super) fn before(time: UnixNanos, length: Duration) -> UnixNanos {
    UnixNanos(time.0.saturating_sub(nanos(length)))
}
