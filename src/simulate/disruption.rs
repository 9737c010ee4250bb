//! Faults of connections, of products and of the exchange as a whole.
//!
//! 1. Each fault that fires is recorded once, with what it affected. A fault that finds nothing to affect waits.
//! 2. An outage makes its event time in steps of [`OUTAGE_STEP_NANOS`] per turn of the event loop, so that heartbeats go on. Nothing else is made meanwhile.
//!    Its trades happen as always and REST has them, but no client receives them.
//! 3. A step of the clock moves the times of what is made while it lasts: in the ledger, in REST and in frames alike. Ids and sequences go on.

use std::time::{Duration, Instant};

use super::channels::Channels;
use super::client::{Client, PendingFault};
use super::config::{SimulatedFeed, nanos};
use super::distortion::StallEffect;
use super::exchange::{ClockStep, Exchange};
use super::faults::{Fault, FaultKind, Scope, Setting};
use super::ledger::{TickerLine, TradeLine};
use super::missed::Missed;
use super::outbox::Cut;
use super::schedule::RepeatedFault;
use super::target::FaultTarget;
use super::trade::UpdateKind;
use super::windows::WINDOW_NANOS;
use crate::ids::IdRange;

/// Most event time that one turn of the event loop makes during an outage, in nanoseconds.
const OUTAGE_STEP_NANOS: u64 = 500_000_000;
/// How long a step of the clock lasts.
const CLOCK_STEP_LENGTH: Duration = Duration::from_secs(1);

impl Exchange {
    /// Fires an armed fault of a connection, a product or the exchange, if it has something to affect.
    pub(super) fn fire_armed(&mut self, now: Instant) {
        let has_client = self.clients.iter().any(|client| !client.is_cut);
        let can_stall = (0..self.products.len()).any(|product| self.can_stall(product));
        let can_list = self.is_listed.contains(&false);
        let is_possible = |kind: FaultKind| match kind.scope() {
            Scope::Exchange => true,
            Scope::Product => match kind {
                FaultKind::Delist => true,
                FaultKind::List => can_list,
                _ => can_stall,
            },
            Scope::Connection => has_client,
            Scope::Update | Scope::Frame | Scope::Request => false,
        };
        if let Some(fault) = self.schedule.take_armed(is_possible) {
            self.fire(fault, now);
        }
    }

    /// Tells whether a product trades, is not stalled, and has a client that would notice a stall.
    fn can_stall(&self, product: usize) -> bool {
        self.is_online(product) && !self.distortion.is_stalled(product) && self.is_heard(product, Channels::TRADES)
    }

    /// Fires the repeated faults of single connections that are due.
    pub(super) fn fire_due(&mut self, now: Instant) {
        if !self.schedule.has_repeated() {
            return;
        }
        for at in 0..self.clients.len() {
            let take_due = |client: &mut Client| -> Option<RepeatedFault> {
                let place = client.faults.iter().position(|pending| pending.due <= now).filter(|_| !client.is_cut)?;
                Some(client.faults.swap_remove(place).fault)
            };
            while let Some(due) = self.clients.get_mut(at).and_then(take_due) {
                if let Some(client) = self.clients.get_mut(at)
                    && let Some(next) = self.schedule.draw_next(due)
                {
                    client.faults.push(PendingFault { due: now + next.delay, fault: next });
                }
                self.disrupt_connection(at, due.fault, now);
            }
        }
    }

    /// Applies a fault to a connection, a product or the exchange, and records it. Does nothing for a fault of another scope.
    pub(super) fn fire(&mut self, fault: Fault, now: Instant) {
        if fault.kind.scope() == Scope::Connection {
            let is_open = |at: &usize| self.clients.get(*at).is_some_and(|client| !client.is_cut);
            let open: Vec<usize> = (0..self.clients.len()).filter(is_open).collect();
            if let Some(at) = self.rng.choice(open) {
                self.disrupt_connection(at, fault, now);
            }
            return;
        }
        let target = match fault.kind {
            FaultKind::Stall | FaultKind::StallLost => {
                let products: Vec<usize> = (0..self.products.len()).filter(|product| self.can_stall(*product)).collect();
                let Some(product) = self.rng.choice(products) else { return };
                let until = self.offset.saturating_add(nanos(fault.length()));
                let effect = if fault.kind == FaultKind::Stall { StallEffect::Late } else { StallEffect::Lost };
                self.distortion.stall(product, until, effect);
                FaultTarget::of_product(self.products.get(product))
            }
            FaultKind::Delist => {
                let products: Vec<usize> = (0..self.products.len()).filter(|product| self.is_online(*product)).collect();
                let Some(product) = self.rng.choice(products) else { return };
                self.delist(product);
                FaultTarget::of_product(self.products.get(product))
            }
            FaultKind::List => {
                let Some(product) = self.is_listed.iter().position(|is_listed| !is_listed) else { return };
                self.list(product);
                FaultTarget::of_product(self.products.get(product))
            }
            FaultKind::ClockStep => {
                let Setting::StepNanos(step) = fault.setting else { return };
                self.clock_step = Some(ClockStep { nanos: step, until: self.offset.saturating_add(nanos(CLOCK_STEP_LENGTH)) });
                FaultTarget::default()
            }
            FaultKind::Outage => {
                self.begin_outage(nanos(fault.length()));
                FaultTarget::default()
            }
            _ => return,
        };
        self.record_fault(fault, &target);
    }

    /// Applies a fault to one connection, and records it.
    fn disrupt_connection(&mut self, at: usize, fault: Fault, now: Instant) {
        let Some(client) = self.clients.get_mut(at) else { return };
        let id = client.id;
        match (fault.kind, fault.setting) {
            (FaultKind::Silent, _) => {
                let until = now + fault.length();
                client.silent_until = Some(client.silent_until.map_or(until, |before| before.max(until)));
            }
            (FaultKind::Close, Setting::CloseCode(code)) => client.cut(Cut::Close(code)),
            (FaultKind::HalfFrame, _) => {
                client.send_half(br#"{"type":"match","trade_id":1,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","#);
                client.cut(Cut::Close(1006));
            }
            _ => client.cut(Cut::Reset),
        }
        self.record_fault(fault, &FaultTarget::of_client(id));
    }

    /// Ends the silence of a connection, and writes to the ledger what it missed.
    pub(super) fn end_silence(&mut self, at: usize) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(at) else { return };
        client.silent_until = None;
        for (product, ids) in std::mem::take(&mut client.missed) {
            if let Some(product) = self.products.get(product) {
                let missed = Missed { why: FaultKind::Silent, ids, client: Some(client.id), is_late: false };
                self.ledger.missed(product, now, missed);
            }
        }
    }

    /// Writes to the ledger which trades the stalls that have ended kept back.
    pub(super) fn record_ended_stalls(&mut self) {
        while let Some(stall) = self.distortion.take_ended() {
            let now = self.now();
            if let (Some(product), Some(ids)) = (self.products.get(stall.product), stall.ids) {
                let (why, is_late) = match stall.effect {
                    StallEffect::Late => (FaultKind::Stall, true),
                    StallEffect::Lost => (FaultKind::StallLost, false),
                };
                self.ledger.missed(product, now, Missed { why, ids, client: None, is_late });
            }
        }
    }

    /// Begins an outage, or makes the present one longer.
    fn begin_outage(&mut self, length: u64) {
        let begins = self.outage.until.unwrap_or(self.offset);
        // Whole windows, so that after it the Advanced feed goes on at the edge of a window.
        let until = begins.saturating_add(length).next_multiple_of(WINDOW_NANOS);
        self.outage.total = self.outage.total.saturating_add(until - begins);
        self.outage.until = Some(until);
    }

    /// Makes the next step of an outage. After the last one the event clock goes on from the outage's end.
    pub(super) fn step_outage(&mut self, zero: Instant) {
        let Some(until) = self.outage.until else { return };
        let upto = until.min(self.offset.saturating_add(OUTAGE_STEP_NANOS));
        self.release_held();
        let mut trades = std::mem::take(&mut self.trades);
        self.market.advance(upto, &mut trades);
        for trade in trades.drain(..) {
            if !self.is_online(trade.product) {
                continue;
            }
            self.keep(&trade);
            let Some(product) = self.products.get(trade.product) else { continue };
            self.totals.trades_produced += 1;
            self.totals.count(UpdateKind::Trade, false);
            self.ledger.trade(product, &trade, TradeLine::Unsent);
            if self.sends_tickers && trade.has_ticker() && self.feed == SimulatedFeed::Exchange {
                self.totals.tickers_produced += 1;
                self.totals.count(UpdateKind::Ticker, false);
                self.ledger.ticker(product, &TickerLine::of_trade(&trade), false);
            }
            let id = IdRange::one(trade.trade_id);
            let missed = self.outage.missed.entry(trade.product).or_insert(id);
            *missed = missed.span(id);
        }
        self.trades = trades;
        self.offset = upto;
        if upto == until {
            self.end_outage(until, zero);
        }
    }

    fn end_outage(&mut self, until: u64, zero: Instant) {
        self.windows.skip_to(until);
        self.outage.until = None;
        self.outage.skipped = until.saturating_sub(nanos(zero.elapsed()));
        let now = self.now();
        for (product, ids) in std::mem::take(&mut self.outage.missed) {
            if let Some(product) = self.products.get(product) {
                self.ledger.missed(product, now, Missed { why: FaultKind::Outage, ids, client: None, is_late: false });
            }
        }
    }
}
