//! Trouble: faults that strike connections, products or the exchange itself.
//!
//! 1. Each fault that fires is noted once, with whom it struck; one that finds nobody to strike waits.
//! 2. An outage makes its event time in steps of [`UNSEEN_STEP`] a round, so that heartbeats go on; meanwhile nothing else is made. Trades happen in it
//!    as ever, REST knows them, and nobody is sent any.
//! 3. A step of the clock moves the times of what is made while it lasts, in ledger, REST and frames alike. Ids and sequences go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::broadcast::{WINDOW_NANOS, ticker_line};
use super::client::{Channels, Client};
use super::exchange::Exchange;
use super::faults::{Fault, FaultKind};
use super::ledger::{Missed, Scene};
use super::outbox::Cut;
use super::schedule::Doom;
use super::{Wire, nanos};
use crate::time::UnixNanos;

/// Most event time that one round of an outage makes.
const UNSEEN_STEP: u64 = 500_000_000;

/// Event time that passes at once.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Where on the event clock the present one ends.
    pub(super) until: Option<u64>,
    /// How far the event clock is ahead of the time that has really passed, in nanoseconds.
    pub(super) skipped: u64,
    /// All outages so far, in nanoseconds.
    pub(super) total: u64,
    /// What the script is known to skip.
    pub(super) planned: Duration,
    missed: BTreeMap<usize, (u64, u64)>,
}

impl Outage {
    pub(super) fn new(planned: Duration) -> Self {
        Self { planned, ..Self::default() }
    }
}

impl Exchange {
    /// Notes a fault in ledger and totals.
    pub(super) fn note_fault(&mut self, fault: Fault, scene: &Scene) {
        *self.totals.faults.entry(fault.kind.name()).or_default() += 1;
        let now = self.now();
        self.ledger.fault(fault, now, scene);
    }

    /// Moves a time by the step that the event clock is off.
    pub(super) fn stepped(&self, time: UnixNanos) -> UnixNanos {
        match self.step {
            Some((step, until)) if self.offset < until => UnixNanos(time.0.saturating_add_signed(step)),
            _ => time,
        }
    }

    /// Fires the faults whose moment has come and that concern a connection, a product or the exchange.
    pub(super) fn fire_armed(&mut self, now: Instant) {
        use FaultKind as K;
        let has_client = self.clients.iter().any(|client| !client.is_cut);
        let can_stall = (0..self.products.len()).any(|place| self.can_stall(place));
        let wanted = |kind: K| match kind {
            K::Delist | K::Outage | K::ClockStep => true,
            K::Stall | K::StallLost => can_stall,
            other => has_client && other.strikes_a_connection(),
        };
        if let Some(fault) = self.schedule.take_armed(wanted) {
            self.fire(fault, now);
        }
    }

    /// Whether a product trades, is not stalled, and somebody would notice.
    fn can_stall(&self, place: usize) -> bool {
        self.is_delisted.get(place) == Some(&false) && !self.distortion.is_stalled(place) && self.is_heard(place, Channels::TRADES)
    }

    /// Fires what was to befall single connections by now.
    pub(super) fn fire_dooms(&mut self, now: Instant) {
        if !self.schedule.has_dooms() {
            return;
        }
        for at in 0..self.clients.len() {
            let due = |client: &mut Client| -> Option<Doom> {
                let place = client.dooms.iter().position(|(due, _)| *due <= now).filter(|_| !client.is_cut)?;
                Some(client.dooms.swap_remove(place).1)
            };
            while let Some(doom) = self.clients.get_mut(at).and_then(due) {
                if let Some(client) = self.clients.get_mut(at)
                    && let Some(again) = self.schedule.doom_again(doom)
                {
                    client.dooms.push((now + again.after, again));
                }
                self.strike(at, doom.fault, now);
            }
        }
    }

    /// Lets a fault happen to a connection, a product or the exchange; one that happened to a single item is not for here.
    pub(super) fn fire(&mut self, fault: Fault, now: Instant) {
        let online = |place: &usize| self.is_delisted.get(*place) == Some(&false);
        let scene = match fault.kind {
            kind if kind.strikes_a_connection() => {
                let open = |at: &usize| self.clients.get(*at).is_some_and(|client| !client.is_cut);
                let open: Vec<usize> = (0..self.clients.len()).filter(open).collect();
                if let Some(at) = self.rng.choice(open) {
                    self.strike(at, fault, now);
                }
                return;
            }
            FaultKind::Stall | FaultKind::StallLost => {
                let places: Vec<usize> = (0..self.products.len()).filter(|place| self.can_stall(*place)).collect();
                let Some(place) = self.rng.choice(places) else { return };
                let until = self.offset.saturating_add(nanos(fault.length));
                self.distortion.stall(place, until, fault.kind == FaultKind::StallLost);
                Scene::of_product(self.products.get(place))
            }
            FaultKind::Delist => {
                let places: Vec<usize> = (0..self.products.len()).filter(online).collect();
                let Some(place) = self.rng.choice(places) else { return };
                self.delist(place);
                Scene::of_product(self.products.get(place))
            }
            FaultKind::ClockStep => {
                self.step = Some((fault.step_nanos, self.offset.saturating_add(nanos(fault.length))));
                Scene::default()
            }
            FaultKind::Outage => {
                self.begin_outage(nanos(fault.length));
                Scene::default()
            }
            _ => return,
        };
        self.note_fault(fault, &scene);
    }

    /// Lets a fault happen to one connection.
    fn strike(&mut self, at: usize, fault: Fault, now: Instant) {
        let Some(client) = self.clients.get_mut(at) else { return };
        let id = client.id;
        match fault.kind {
            FaultKind::Silent => {
                let until = now + fault.length;
                client.silent_until = Some(client.silent_until.map_or(until, |before| before.max(until)));
            }
            FaultKind::Close => client.cut(Cut::Close(fault.code)),
            FaultKind::HalfFrame => {
                client.send_half(br#"{"type":"match","trade_id":1,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","#);
                client.cut(Cut::Close(1006));
            }
            _ => client.cut(Cut::Reset),
        }
        self.note_fault(fault, &Scene::of_client(id));
    }

    /// Speaks to a connection again, and writes down what it missed.
    pub(super) fn end_silence(&mut self, at: usize) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(at) else { return };
        client.silent_until = None;
        for (place, ids) in std::mem::take(&mut client.missed) {
            if let Some(product) = self.products.get(place) {
                let missed = Missed { why: FaultKind::Silent, ids, client: Some(client.id), is_late: false };
                self.ledger.missed(product, now, missed);
            }
        }
    }

    /// Writes down what the stalls that have ended held back.
    pub(super) fn end_stalls(&mut self) {
        while let Some(stall) = self.distortion.take_ended() {
            let now = self.now();
            if let (Some(product), Some(ids)) = (self.products.get(stall.product), stall.ids) {
                let why = if stall.is_lost { FaultKind::StallLost } else { FaultKind::Stall };
                self.ledger.missed(product, now, Missed { why, ids, client: None, is_late: !stall.is_lost });
            }
        }
    }

    fn begin_outage(&mut self, length: u64) {
        let begins = self.outage.until.unwrap_or(self.offset);
        // Whole windows, so that the Advanced feed goes on behind it where it would have.
        let until = begins.saturating_add(length).next_multiple_of(WINDOW_NANOS);
        self.outage.total = self.outage.total.saturating_add(until - begins);
        self.outage.until = Some(until);
    }

    /// Makes the next step of an outage; after its last one the event clock goes on from there.
    pub(super) fn pass_unseen(&mut self, zero: Instant) {
        let Some(until) = self.outage.until else { return };
        let upto = until.min(self.offset.saturating_add(UNSEEN_STEP));
        self.let_go_of_held();
        let mut prints = std::mem::take(&mut self.prints);
        self.market.advance(upto, &mut prints);
        for print in prints.drain(..) {
            if self.is_delisted.get(print.product).is_none_or(|is| *is) {
                continue;
            }
            self.note_newest(&print);
            let Some(product) = self.products.get(print.product) else { continue };
            self.totals.trades_produced += 1;
            self.totals.count(true, false);
            self.ledger.trade(product, &print, false, false);
            if self.tickers && print.has_ticker && self.wire == Wire::Exchange {
                self.totals.tickers_produced += 1;
                self.totals.count(false, false);
                self.ledger.ticker(product, &ticker_line(&print), false);
            }
            let ids = self.outage.missed.entry(print.product).or_insert((print.trade_id, print.trade_id));
            ids.1 = print.trade_id;
        }
        self.prints = prints;
        self.offset = upto;
        if upto == until {
            self.rounds.go_on_from(upto);
            self.outage.until = None;
            self.outage.skipped = until.saturating_sub(nanos(zero.elapsed()));
            let now = self.now();
            for (place, ids) in std::mem::take(&mut self.outage.missed) {
                if let Some(product) = self.products.get(place) {
                    self.ledger.missed(product, now, Missed { why: FaultKind::Outage, ids, client: None, is_late: false });
                }
            }
        }
    }
}
