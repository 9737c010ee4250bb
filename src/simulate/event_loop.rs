//! The loop of the exchange's thread: it handles events, and makes event time.
//!
//! 1. One thread decides everything. It answers a client between two steps of event time, so no trade falls between the `last_match` and the first `match`
//!    that the client gets.
//! 2. The event clock starts [`SETTLE`] after the clients together have subscribed to every product. From then on it runs whatever clients do.
//! 3. A turn of the loop that comes late makes the missing event time in steps of at most [`MAX_STEP_NANOS`], so that frames leave evenly.
//! 4. A slow client never delays the exchange. Its frames wait in its outbox, up to the outbox's bound.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::channels::Channels;
use super::client::{Client, PendingFault};
use super::event::{Command, Event};
use super::exchange::{Exchange, before};
use super::faults::{Fault, FaultKind};
use super::outbox::Cut;
use super::progress::State;
use super::target::FaultTarget;
use super::totals::Totals;
use super::waiting;
use crate::product::ProductId;

/// Length of a turn of the loop.
const TURN: Duration = Duration::from_millis(1);
/// Most event time that is made in one step, in nanoseconds.
const MAX_STEP_NANOS: u64 = 5_000_000;
/// Time without another subscription before the event clock starts. The requests of a starting capture come one after the other.
const SETTLE: Duration = Duration::from_millis(200);
/// A client that has not subscribed within this time is disconnected, as Coinbase does.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats from one `status` to the next.
const STATUS_EVERY: u64 = 5;
/// Longest that the market's end waits for a client to read its last frames.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// Time between two publications of the progress.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

impl Exchange {
    /// Runs until it is told to stop. Gives the totals.
    ///
    /// # Errors
    /// The first write to the ledger that failed.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> std::io::Result<Totals> {
        let mut next = Instant::now() + TURN;
        loop {
            match events.recv_deadline(next) {
                Ok(Event::Command(Command::Stop)) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => {
                    self.handle(event);
                    if Instant::now() < next {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            self.run_timers(now);
            self.advance(now);
            next = (next + TURN).max(Instant::now());
        }
        self.release_held();
        for at in 0..self.clients.len() {
            self.end_silence(at);
            self.clients.get_mut(at).into_iter().for_each(|client| client.cut(Cut::Close(1001)));
        }
        self.publish(true);
        self.ledger.end(&self.totals.to_json())?;
        Ok(self.totals)
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Connected { client: id, outbox } => {
                self.totals.connections += 1;
                let mut client = Client::new(id, outbox, self.products.len(), now);
                let repeated = self.schedule.draw_repeated().into_iter();
                client.faults = repeated.map(|fault| PendingFault { due: now + fault.delay, fault }).collect();
                self.clients.push(client);
                let time = self.now();
                self.ledger.client(id, true, time);
            }
            Event::Received { client, text } => {
                self.answer(client, text, now);
                self.flush_clients();
            }
            Event::Disconnected { client: id } => {
                if let Some(at) = self.client_index(id) {
                    self.end_silence(at);
                    let time = self.now();
                    self.ledger.client(id, false, time);
                    self.totals.frames += self.clients.remove(at).frames;
                }
            }
            Event::Fault(fault, target) => self.record_fault(fault, &target),
            Event::RestRequest { is_refused } => {
                self.totals.rest_requests += 1;
                self.totals.rest_refused += u64::from(is_refused);
            }
            Event::Command(command) => self.execute(command, now),
        }
    }

    fn execute(&mut self, command: Command, now: Instant) {
        match command {
            Command::Disconnect(cut) => self.clients.iter_mut().for_each(|client| client.cut(cut)),
            Command::Delist(product) => {
                if let Some(index) = self.index_by_name.get(product.as_str()).copied() {
                    self.delist(index);
                    self.record_fault(Fault::of_kind(FaultKind::Delist), &FaultTarget::of_product(Some(&product)));
                }
            }
            Command::List(product) => {
                let index = self.index_by_name.get(product.as_str()).copied();
                if let Some(index) = index.filter(|index| self.is_listed.get(*index) == Some(&false)) {
                    self.list(index);
                    self.record_fault(Fault::of_kind(FaultKind::List), &FaultTarget::of_product(Some(&product)));
                }
            }
            Command::Pause => {
                self.paused_at = self.paused_at.or(Some(now));
                self.ledger.flush();
            }
            Command::Resume => {
                let paused = self.paused_at.take().map_or(Duration::ZERO, |since| now - since);
                self.zero = self.zero.map(|zero| zero + paused);
            }
            Command::SendText(text) => self.clients.iter_mut().filter(|client| !client.is_cut).for_each(|client| {
                let _ = client.send(text.as_bytes());
                client.flush();
            }),
            Command::Stop => {}
        }
    }

    /// Makes event time up to now, and sends what happens in it.
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
        if self.outage.is_on() {
            self.step_outage(zero);
            return;
        }
        let elapsed = self.event_nanos(now.saturating_duration_since(zero)).saturating_add(self.outage.skipped);
        let mut end = self.end();
        let wanted = elapsed.min(end.unwrap_or(u64::MAX));
        while self.offset < wanted && !self.outage.is_on() {
            let upto = wanted.min(self.offset.saturating_add(MAX_STEP_NANOS * u64::from(self.clock.pace())));
            self.step(upto, end == Some(upto));
            end = self.end();
        }
        if end == Some(self.offset) && !self.outage.is_on() {
            self.ended_after = Some(zero.elapsed());
            self.ledger.flush();
        }
    }

    /// Gives where the event clock ends. The duration does not count the time of outages.
    fn end(&self) -> Option<u64> {
        self.duration.map(|duration| duration.saturating_add(self.outage.total))
    }

    fn start_if_settled(&mut self, now: Instant) {
        let is_settled = self.last_subscribed.is_some_and(|since| now.saturating_duration_since(since) >= SETTLE);
        if !is_settled && !self.waiting.is_due(now) {
            return;
        }
        let is_wanted = |product: usize| {
            self.clients.iter().any(|client| {
                let channels = client.by_product.get(product).copied().unwrap_or_default();
                channels.has(Channels::TRADES) || channels.has(Channels::TICKER)
            })
        };
        let is_listed = |product: &usize| self.is_listed.get(*product) == Some(&true);
        let is_wanted_whole = (0..self.products.len()).filter(is_listed).all(is_wanted);
        if !is_wanted_whole && self.waiting.take_due(now) {
            let unwanted: Vec<&ProductId> = self
                .products
                .iter()
                .enumerate()
                .filter(|(product, _)| is_listed(product) && !is_wanted(*product))
                .map(|(_, product)| product)
                .collect();
            log::warn!("{}", waiting::text(self.clients.len(), &unwanted, self.products.len()));
        }
        if is_settled && is_wanted_whole {
            if self.waiting.has_spoken() {
                log::info!("every product is subscribed to: the market begins");
            }
            if self.fixed_start.is_none() {
                self.market.start_at(before(self.clock.now(), self.outage.planned));
            }
            self.zero = Some(now);
            self.ledger.go(self.market.start());
        }
    }

    /// Does what goes by the clock of the process: late acknowledgements, the ends of silences, clients that never ask, heartbeats, armed faults.
    fn run_timers(&mut self, now: Instant) {
        self.send_late_acknowledgements(now);
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
        let heartbeats = now.saturating_duration_since(self.opened).as_secs() / HEARTBEAT.as_secs();
        if heartbeats > self.heartbeats {
            self.heartbeats = heartbeats;
            self.send_heartbeats(heartbeats.is_multiple_of(STATUS_EVERY));
        }
        let offset = self.zero.map_or(Duration::ZERO, |zero| now.saturating_duration_since(zero));
        if !self.schedule.is_empty() && self.zero.is_some() {
            self.schedule.arm(offset);
            self.fire_armed(now);
            self.fire_due(now);
        }
        if now.saturating_duration_since(self.published) >= PUBLISH_EVERY {
            self.shared.schedule.lock().arm(offset);
            self.publish(false);
        }
    }

    /// Publishes totals and progress for other threads.
    fn publish(&mut self, is_stopped: bool) {
        self.published = Instant::now();
        let lived = self.ended_after.or(self.zero.map(|zero| zero.elapsed())).unwrap_or_default();
        let running = Duration::from_nanos(self.event_nanos(lived).saturating_add(self.outage.total));
        self.totals.seconds = running.as_secs_f64();
        self.totals.reached_rate = if running.is_zero() { 0.0 } else { self.totals.trades_produced as f64 / running.as_secs_f64() };
        let mut totals = self.totals.clone();
        totals.frames += self.clients.iter().map(|client| client.frames).sum::<u64>();
        if is_stopped {
            self.totals.frames = totals.frames;
        }
        let since_end = self.zero.zip(self.ended_after).map_or(Duration::ZERO, |(zero, ended)| zero.elapsed().saturating_sub(ended));
        let is_delivered = since_end > DRAIN_WITHIN || self.clients.iter().all(|client| client.is_cut || client.backlog() == 0);
        let is_over = match &self.recording {
            Some(recording) => recording.is_over && is_delivered,
            None => self.ended_after.is_some() && is_delivered,
        };
        self.shared.progress.publish(State { totals, has_started: self.zero.is_some(), is_done: is_stopped || is_over });
    }
}
