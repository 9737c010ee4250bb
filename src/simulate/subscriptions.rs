//! The requests of clients, and what clients receive besides live trades and tickers.
//!
//! 1. Subscriptions add up. Every answered request is acknowledged with everything that the client has subscribed to, the names in any order.
//! 2. On subscribing, the Exchange feed sends one `last_match` and one `ticker` of each product: before, after or around the acknowledgement. The Advanced
//!    feed sends snapshots first. One acknowledgement in four comes up to [`LATEST_ACKNOWLEDGEMENT_MS`] later, after live messages.
//! 3. The Exchange feed refuses the whole request for one bad product, unless it is configured to serve the others. The Advanced feed leaves the bad product
//!    out without a word.

use std::time::{Duration, Instant};

use super::advanced_feed::{self, Envelope, EventKind, Parts};
use super::channels::{self, ChannelSpec, Channels};
use super::client::Client;
use super::config::SimulatedFeed;
use super::exchange::{Exchange, LateAcknowledgement};
use super::exchange_feed::{self, ProductStatus, Subscribed};
use super::faults::FaultKind;
use super::ledger::TickerLine;
use super::request::{ChannelRequest, Request, RequestAction};
use super::target::FaultTarget;
use super::trade::{Summary, UpdateKind};
use crate::ids::IdRange;

/// Latest that a late acknowledgement comes, in milliseconds.
const LATEST_ACKNOWLEDGEMENT_MS: u64 = 60;
/// Trades of a snapshot.
const SNAPSHOT_TRADES: usize = 100;

const AUTHENTICATE: &str =
    "level2, level3, and full channels now require authentication. https://docs.cloud.coinbase.com/exchange/docs/websocket-auth";

/// One channel of a request, checked.
struct Subscription {
    channel: Channels,
    /// Indexes of its products; empty for a channel of the connection.
    products: Vec<usize>,
    is_by_product: bool,
}

/// A channel that a client did not have before.
#[derive(Debug, Clone, Copy)]
struct Added {
    channel: Channels,
    product: usize,
}

/// Why a request is refused.
struct Refusal {
    message: &'static str,
    reason: Option<String>,
}

impl Refusal {
    fn because(reason: String) -> Self {
        Self { message: "Failed to subscribe", reason: Some(reason) }
    }
}

/// Whether a product that cannot be subscribed to is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadProducts {
    Refuse,
    LeaveOut,
}

impl Exchange {
    /// Answers a message of a client.
    pub(super) fn answer(&mut self, id: u64, mut text: Vec<u8>, now: Instant) {
        self.totals.requests += 1;
        let Some(at) = self.client_index(id).filter(|at| self.clients.get(*at).is_some_and(|client| !client.is_cut)) else { return };
        let request = Request::parse(&mut text);
        if self.recording.is_some() {
            self.begin_replay(at, now);
            return;
        }
        let Some(request) = request else {
            return self.refuse(at, "Malformed JSON", None);
        };
        let is_subscribe = request.action == RequestAction::Subscribe;
        let refused = if is_subscribe { self.shared.schedule.lock().draw_of(FaultKind::RefuseSubscription) } else { None };
        if let Some(fault) = refused {
            self.record_fault(fault, &FaultTarget::of_client(id));
            return self.refuse(at, "Failed to subscribe", Some("Internal error"));
        }
        let subscriptions = match self.check(&request) {
            Ok(subscriptions) => subscriptions,
            Err(refusal) => {
                self.refuse(at, refusal.message, refusal.reason.as_deref());
                if self.refuse_whole || self.feed == SimulatedFeed::Advanced {
                    return;
                }
                request.channels.iter().filter_map(|asked| self.check_channel(asked, BadProducts::LeaveOut).ok()).collect()
            }
        };
        let Some(client) = self.clients.get_mut(at) else { return };
        client.has_asked = true;
        let added = match request.action {
            RequestAction::Subscribe => add(client, &subscriptions),
            RequestAction::Unsubscribe => {
                remove(client, &subscriptions);
                Vec::new()
            }
        };
        if is_subscribe && !subscriptions.is_empty() {
            self.last_subscribed = Some(now);
        }
        self.send_initial(at, &added, now);
    }

    /// Sends what comes on subscribing, and the acknowledgement among it or later.
    fn send_initial(&mut self, at: usize, added: &[Added], now: Instant) {
        let is_late = self.rng.u32(0..4) == 0;
        let acknowledged_after = if is_late {
            usize::MAX
        } else if self.feed == SimulatedFeed::Advanced {
            added.len()
        } else {
            self.rng.usize(0..=added.len())
        };
        for (number, Added { channel, product }) in added.iter().copied().enumerate() {
            if number == acknowledged_after {
                self.acknowledge(at);
            }
            match self.feed {
                SimulatedFeed::Exchange => self.send_newest(at, channel, product),
                SimulatedFeed::Advanced => self.send_snapshot(at, channel, product),
            }
        }
        if acknowledged_after == added.len() {
            self.acknowledge(at);
        }
        if is_late && let Some(client) = self.clients.get(at) {
            let due = now + Duration::from_millis(self.rng.u64(1..=LATEST_ACKNOWLEDGEMENT_MS));
            self.late_acknowledgements.push(LateAcknowledgement { due, client: client.id });
        }
    }

    /// Sends the late acknowledgements that are due.
    pub(super) fn send_late_acknowledgements(&mut self, now: Instant) {
        while let Some(due) = self.late_acknowledgements.iter().position(|late| late.due <= now) {
            let late = self.late_acknowledgements.swap_remove(due);
            if let Some(at) = self.client_index(late.client) {
                self.acknowledge(at);
                self.clients.get_mut(at).map(Client::flush);
            }
        }
    }

    fn refuse(&mut self, at: usize, message: &str, reason: Option<&str>) {
        let mut out = Vec::new();
        match self.feed {
            SimulatedFeed::Exchange => exchange_feed::write_error(&mut out, message, reason, self.rng.bool()),
            SimulatedFeed::Advanced => advanced_feed::write_error(&mut out),
        }
        if let Some(client) = self.clients.get_mut(at) {
            let _ = client.send(&out);
        }
    }

    fn check(&self, request: &Request) -> Result<Vec<Subscription>, Refusal> {
        if request.channels.is_empty() {
            return Err(Refusal::because("No channels provided".to_owned()));
        }
        let bad_products = match self.feed {
            SimulatedFeed::Exchange => BadProducts::Refuse,
            SimulatedFeed::Advanced => BadProducts::LeaveOut,
        };
        request.channels.iter().map(|asked| self.check_channel(asked, bad_products)).collect()
    }

    fn check_channel(&self, asked: &ChannelRequest, bad_products: BadProducts) -> Result<Subscription, Refusal> {
        let name = asked.channel.as_str();
        let Some(spec) = channels::of_feed(self.feed).iter().find(|spec| spec.name == name) else {
            let is_private = matches!(name, "level2" | "level3" | "full");
            return Err(if is_private {
                Refusal { message: AUTHENTICATE, reason: None }
            } else {
                Refusal::because(format!("{name} is not a valid channel"))
            });
        };
        let mut products = Vec::new();
        for product in asked.products.iter().filter(|_| spec.is_by_product) {
            match self.index_by_name.get(product).copied() {
                Some(index) if self.is_online(index) => products.push(index),
                _ if bad_products == BadProducts::LeaveOut => {}
                Some(index) if self.is_delisted.get(index) == Some(&true) => {
                    return Err(Refusal::because(format!("{product} is delisted")));
                }
                _ => return Err(Refusal::because(format!("{product} is not a valid product"))),
            }
        }
        Ok(Subscription { channel: spec.channel, products, is_by_product: spec.is_by_product })
    }

    fn acknowledge(&mut self, at: usize) {
        let time = self.envelope_time();
        let Some(client) = self.clients.get_mut(at) else { return };
        let mut subscribed: Vec<Subscribed<'_>> = Vec::new();
        for ChannelSpec { name, channel, is_by_product } in channels::of_feed(self.feed).iter().copied() {
            if is_by_product {
                let products = self.products.iter().zip(&client.by_product).filter(|(_, channels)| channels.has(channel));
                let mut names: Vec<&str> = products.map(|(product, _)| product.as_str()).collect();
                self.rng.shuffle(&mut names);
                if !names.is_empty() {
                    subscribed.push(Subscribed { channel: name, names });
                }
            } else if client.of_connection.has(channel) {
                let names = if self.feed == SimulatedFeed::Advanced { vec![name] } else { Vec::new() };
                subscribed.push(Subscribed { channel: name, names });
            }
        }
        let mut out = Vec::new();
        match self.feed {
            SimulatedFeed::Exchange => {
                self.rng.shuffle(&mut subscribed);
                exchange_feed::write_subscriptions(&mut out, &subscribed, self.rng.bool());
            }
            SimulatedFeed::Advanced => {
                let number = client.next_sequence_num();
                advanced_feed::write_subscriptions(&mut out, &mut self.times, time, number, &subscribed);
            }
        }
        let _ = client.send(&out);
    }

    /// Sends the newest trade or ticker of a product, or the `status`, on the Exchange feed.
    fn send_newest(&mut self, at: usize, channel: Channels, product: usize) {
        let mut out = Vec::new();
        let statuses = self.statuses();
        let (Some(client), Some(name)) = (self.clients.get_mut(at), self.products.get(product)) else { return };
        if channel == Channels::STATUS {
            exchange_feed::write_status(&mut out, &statuses);
        } else if channel == Channels::TRADES
            && let Some(Some(trade)) = self.newest.get(product)
        {
            exchange_feed::write_match(&mut out, &mut self.times, name, trade, "last_match");
            if !client.is_silent() {
                self.ledger.initial(client.id, "matches", name, IdRange::one(trade.trade_id));
            }
        } else if channel == Channels::TICKER
            && let Some(Some(trade)) = self.newest_ticker.get(product)
        {
            exchange_feed::write_ticker(&mut out, &mut self.times, name, trade);
            if !client.is_silent() {
                self.ledger.initial(client.id, "ticker", name, IdRange::one(trade.trade_id));
            }
        }
        if !out.is_empty() {
            let _ = client.send(&out);
        }
    }

    /// Sends the snapshot of a product, or the `status`, on the Advanced feed.
    fn send_snapshot(&mut self, at: usize, channel: Channels, product: usize) {
        if channel == Channels::STATUS {
            return self.send_status(Some(at));
        }
        let Some(name) = self.products.get(product).cloned() else { return };
        let is_silent = self.clients.get(at).is_none_or(Client::is_silent);
        let mut parts = Parts::default();
        let envelope = if channel == Channels::TRADES {
            let page = self.shared.archive.page(product, None, SNAPSHOT_TRADES);
            let ids = page.iter().map(|trade| IdRange::one(trade.trade_id)).reduce(IdRange::span);
            if let (Some(ids), Some(client), false) = (ids, self.clients.get(at), is_silent) {
                self.ledger.initial(client.id, "market_trades", &name, ids);
            }
            parts.push_trades(&mut self.times, product, &name, page.into_iter());
            self.snapshot_envelope(UpdateKind::Trade)
        } else if channel == Channels::TICKER
            && let Some(Some(newest)) = self.newest.get(product).copied()
        {
            let envelope = self.snapshot_envelope(UpdateKind::Ticker);
            let summary = Summary { price: newest.price, quote: newest.quote, day: newest.day };
            parts.push_ticker(product, &name, summary);
            self.totals.tickers_produced += 1;
            self.totals.count(UpdateKind::Ticker, !is_silent);
            self.ledger.ticker(&name, &TickerLine::of_summary(envelope.time, summary), !is_silent);
            envelope
        } else {
            return;
        };
        if let Some(client) = self.clients.get_mut(at) {
            let mut out = Vec::new();
            let number = client.next_sequence_num();
            advanced_feed::write_message(&mut out, &mut self.times, envelope, number, &parts, |_| true);
            let _ = client.send(&out);
        }
    }

    fn snapshot_envelope(&mut self, update: UpdateKind) -> Envelope {
        Envelope { update, event: EventKind::Snapshot, time: self.envelope_time(), is_split: false }
    }

    /// Sends the heartbeats of this second, and `status` where it is due.
    pub(super) fn send_heartbeats(&mut self, with_status: bool) {
        let (now, uptime) = (self.now(), self.uptime());
        let mut out = Vec::new();
        if self.feed == SimulatedFeed::Exchange {
            for ((index, product), newest) in self.products.iter().enumerate().zip(&self.newest) {
                let Some(newest) = newest.as_ref().filter(|_| self.is_delisted.get(index) == Some(&false)) else { continue };
                out.clear();
                exchange_feed::write_heartbeat(&mut out, &mut self.times, product, newest, now);
                for client in self.clients.iter_mut().filter(|client| client.is_subscribed(index, Channels::HEARTBEAT)) {
                    let _ = client.send(&out);
                }
            }
        } else {
            for client in self.clients.iter_mut().filter(|client| client.is_connection_subscribed(Channels::HEARTBEAT)) {
                out.clear();
                let number = client.next_sequence_num();
                advanced_feed::write_heartbeat(&mut out, &mut self.times, now, number, uptime);
                let _ = client.send(&out);
            }
        }
        if with_status {
            self.send_status(None);
        }
        self.flush_clients();
    }

    /// Stops a product's trading, and sends the new `status`.
    pub(super) fn delist(&mut self, product: usize) {
        if let Some(is_delisted) = self.is_delisted.get_mut(product) {
            *is_delisted = true;
        }
        self.shared.archive.delist(product);
        for client in &mut self.clients {
            client.by_product.get_mut(product).into_iter().for_each(|channels| *channels = Channels::default());
        }
        self.send_status(None);
    }

    /// Begins a new product's trading, and sends the new `status`.
    pub(super) fn list(&mut self, product: usize) {
        if let Some(is_listed) = self.is_listed.get_mut(product) {
            *is_listed = true;
        }
        self.shared.archive.set_listed(product, true);
        self.send_status(None);
    }

    /// Sends `status` to the client at index `only`, or to all where it is `None`.
    fn send_status(&mut self, only: Option<usize>) {
        let (statuses, time) = (self.statuses(), self.envelope_time());
        let mut out = Vec::new();
        for (at, client) in self.clients.iter_mut().enumerate() {
            if only.is_some_and(|only| only != at) || !client.is_connection_subscribed(Channels::STATUS) {
                continue;
            }
            out.clear();
            match self.feed {
                SimulatedFeed::Exchange => exchange_feed::write_status(&mut out, &statuses),
                SimulatedFeed::Advanced => {
                    let number = client.next_sequence_num();
                    advanced_feed::write_status(&mut out, &mut self.times, time, number, &statuses);
                }
            }
            let _ = client.send(&out);
        }
    }

    fn statuses(&self) -> Vec<ProductStatus> {
        let listed = self.products.iter().enumerate().filter(|(index, _)| self.is_listed.get(*index) == Some(&true));
        listed.map(|(index, product)| ProductStatus { product: product.clone(), is_online: self.is_online(index) }).collect()
    }
}

/// Adds subscriptions to a client. Gives those that it did not have.
fn add(client: &mut Client, subscriptions: &[Subscription]) -> Vec<Added> {
    let mut added = Vec::new();
    for Subscription { channel, products, is_by_product } in subscriptions {
        for product in products {
            let Some(channels) = client.by_product.get_mut(*product) else { continue };
            if !channels.has(*channel) {
                added.push(Added { channel: *channel, product: *product });
            }
            channels.insert(*channel);
        }
        if !is_by_product {
            if !client.of_connection.has(*channel) && *channel == Channels::STATUS {
                added.push(Added { channel: *channel, product: 0 });
            }
            client.of_connection.insert(*channel);
        }
    }
    added
}

/// Removes subscriptions from a client.
fn remove(client: &mut Client, subscriptions: &[Subscription]) {
    for Subscription { channel, products, is_by_product } in subscriptions {
        for product in products {
            client.by_product.get_mut(*product).into_iter().for_each(|channels| channels.remove(*channel));
        }
        if !is_by_product {
            client.of_connection.remove(*channel);
        }
    }
}
