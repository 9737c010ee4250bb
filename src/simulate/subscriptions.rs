//! The floor's desk: what clients ask, and what they are told besides trades and tickers.
//!
//! 1. Subscriptions add up; every answered request is acknowledged with the whole present set, the names in any order.
//! 2. On subscribing, Exchange sends one `last_match` and one `ticker` a product, before, after or around the acknowledgement; Advanced sends snapshots
//!    first. One acknowledgement in four comes up to [`LATEST_ACK_MS`] later, after live messages.
//! 3. Exchange refuses a request whole for one bad product (or, where so configured, serves the others); Advanced leaves it out in silence.

use std::time::{Duration, Instant};

use super::advanced_feed::{self, Parts};
use super::client::{Channels, Client};
use super::exchange::Exchange;
use super::exchange_feed;
use super::faults::FaultKind;
use super::ledger::{Scene, TickerLine};
use super::request::{Asked, Request};
use super::{Wire, broadcast};
use crate::product::ProductId;

/// Latest a late acknowledgement comes, in milliseconds.
const LATEST_ACK_MS: u64 = 60;
/// Trades of a snapshot.
const SNAPSHOT_TRADES: usize = 100;

const AUTHENTICATE: &str =
    "level2, level3, and full channels now require authentication. https://docs.cloud.coinbase.com/exchange/docs/websocket-auth";

/// The channels of both feeds: name, set, whether it is asked for by product.
const EXCHANGE: [(&str, Channels, bool); 4] = [
    ("matches", Channels::TRADES, true),
    ("ticker", Channels::TICKER, true),
    ("heartbeat", Channels::HEARTBEAT, true),
    ("status", Channels::STATUS, false),
];
const ADVANCED: [(&str, Channels, bool); 4] = [
    ("market_trades", Channels::TRADES, true),
    ("ticker", Channels::TICKER, true),
    ("heartbeats", Channels::HEARTBEAT, false),
    ("status", Channels::STATUS, false),
];

/// One channel of a request, understood.
struct Order {
    channel: Channels,
    /// Places of its products; a channel of the whole connection has none.
    places: Vec<usize>,
    by_product: bool,
}

impl Exchange {
    /// Answers what a client sent.
    pub(super) fn answer(&mut self, id: u64, mut text: Vec<u8>, now: Instant) {
        self.totals.requests += 1;
        let Some(at) = self.clients.iter().position(|client| client.id == id && !client.is_cut) else { return };
        let request = Request::parse(&mut text);
        if self.recording.is_some() {
            self.begin_replay(at, now);
            return;
        }
        let Some(request) = request else {
            return self.refuse(at, "Malformed JSON", None);
        };
        let refused = if request.is_subscribe { self.client_dice.lock().draw_of(FaultKind::RefuseSubscription) } else { None };
        if let Some(fault) = refused {
            self.note_fault(fault, &Scene::of_client(id));
            return self.refuse(at, "Failed to subscribe", Some("Internal error"));
        }
        let orders = match self.understand(&request) {
            Ok(orders) => orders,
            Err((message, reason)) => {
                self.refuse(at, &message, reason.as_deref());
                if self.refuse_whole || self.wire == Wire::Advanced {
                    return;
                }
                request.channels.iter().filter_map(|asked| self.understand_one(asked, true).ok()).collect()
            }
        };
        let Some(client) = self.clients.get_mut(at) else { return };
        client.has_asked = true;
        let mut fresh = Vec::new();
        for order in &orders {
            for place in &order.places {
                let Some(takes) = client.takes.get_mut(*place) else { continue };
                if request.is_subscribe && !takes.has(order.channel) {
                    fresh.push((order.channel, *place));
                }
                takes.set(order.channel, request.is_subscribe);
            }
            if !order.by_product {
                if request.is_subscribe && !client.itself.has(order.channel) && order.channel == Channels::STATUS {
                    fresh.push((order.channel, 0));
                }
                client.itself.set(order.channel, request.is_subscribe);
            }
        }
        if request.is_subscribe && !orders.is_empty() {
            self.last_asked = Some(now);
        }
        self.tell(at, &fresh, now);
    }

    /// Sends what comes on subscribing, and the acknowledgement somewhere among it or later.
    fn tell(&mut self, at: usize, fresh: &[(Channels, usize)], now: Instant) {
        let is_late = self.rng.u32(0..4) == 0;
        let ack_after = if is_late {
            usize::MAX
        } else if self.wire == Wire::Advanced {
            fresh.len()
        } else {
            self.rng.usize(0..=fresh.len())
        };
        for (place, (channel, product)) in fresh.iter().enumerate() {
            if place == ack_after {
                self.acknowledge(at);
            }
            match self.wire {
                Wire::Exchange => self.show_exchange(at, *channel, *product),
                Wire::Advanced => self.show_advanced(at, *channel, *product),
            }
        }
        if ack_after == fresh.len() {
            self.acknowledge(at);
        }
        if is_late && let Some(client) = self.clients.get(at) {
            self.late.push((now + Duration::from_millis(self.rng.u64(1..=LATEST_ACK_MS)), client.id));
        }
    }

    /// Sends acknowledgements whose time has come.
    pub(super) fn send_late(&mut self, now: Instant) {
        while let Some(due) = self.late.iter().position(|(due, _)| *due <= now) {
            let (_, id) = self.late.swap_remove(due);
            if let Some(at) = self.clients.iter().position(|client| client.id == id) {
                self.acknowledge(at);
                self.clients.get_mut(at).map(Client::flush);
            }
        }
    }

    fn refuse(&mut self, at: usize, message: &str, reason: Option<&str>) {
        let mut out = Vec::new();
        match self.wire {
            Wire::Exchange => exchange_feed::write_error(&mut out, message, reason, self.rng.bool()),
            Wire::Advanced => advanced_feed::write_error(&mut out),
        }
        if let Some(client) = self.clients.get_mut(at) {
            let _ = client.send(&out);
        }
    }

    fn understand(&self, request: &Request) -> Result<Vec<Order>, (String, Option<String>)> {
        if request.channels.is_empty() {
            return Err(("Failed to subscribe".to_owned(), Some("No channels provided".to_owned())));
        }
        request.channels.iter().map(|asked| self.understand_one(asked, self.wire == Wire::Advanced)).collect()
    }

    fn understand_one(&self, asked: &Asked, leave_out: bool) -> Result<Order, (String, Option<String>)> {
        let failed = |reason: String| ("Failed to subscribe".to_owned(), Some(reason));
        let table = if self.wire == Wire::Exchange { &EXCHANGE } else { &ADVANCED };
        let name = asked.channel.as_str();
        let Some((_, channel, by_product)) = table.iter().find(|(known, ..)| *known == name).copied() else {
            let is_private = matches!(name, "level2" | "level3" | "full");
            return Err(if is_private { (AUTHENTICATE.to_owned(), None) } else { failed(format!("{name} is not a valid channel")) });
        };
        let mut places = Vec::new();
        for product in asked.products.iter().filter(|_| by_product) {
            match self.places.get(product).map(|place| (*place, self.is_delisted.get(*place) == Some(&true))) {
                Some((place, false)) => places.push(place),
                _ if leave_out => {}
                Some((_, true)) => return Err(failed(format!("{product} is delisted"))),
                None => return Err(failed(format!("{product} is not a valid product"))),
            }
        }
        Ok(Order { channel, places, by_product })
    }

    fn acknowledge(&mut self, at: usize) {
        let time = self.envelope_time();
        let Some(client) = self.clients.get_mut(at) else { return };
        let mut channels: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, channel, by_product) in if self.wire == Wire::Exchange { EXCHANGE } else { ADVANCED } {
            if by_product {
                let taken = self.products.iter().zip(&client.takes).filter(|(_, takes)| takes.has(channel));
                let mut names: Vec<&str> = taken.map(|(product, _)| product.as_str()).collect();
                self.rng.shuffle(&mut names);
                if !names.is_empty() {
                    channels.push((name, names));
                }
            } else if client.itself.has(channel) {
                channels.push((name, if self.wire == Wire::Advanced { vec![name] } else { Vec::new() }));
            }
        }
        let mut out = Vec::new();
        match self.wire {
            Wire::Exchange => {
                self.rng.shuffle(&mut channels);
                exchange_feed::write_subscriptions(&mut out, &channels, self.rng.bool());
            }
            Wire::Advanced => {
                let number = client.next_sequence_num();
                advanced_feed::write_subscriptions(&mut out, &mut self.times, time, number, &channels);
            }
        }
        let _ = client.send(&out);
    }

    fn show_exchange(&mut self, at: usize, channel: Channels, place: usize) {
        let mut out = Vec::new();
        let statuses = self.statuses();
        let (Some(client), Some(product)) = (self.clients.get_mut(at), self.products.get(place)) else { return };
        if channel == Channels::STATUS {
            exchange_feed::write_status(&mut out, &statuses);
        } else if channel == Channels::TRADES
            && let Some(Some(print)) = self.newest.get(place)
        {
            exchange_feed::write_match(&mut out, &mut self.times, product, print, "last_match");
            if !client.is_silent() {
                self.ledger.initial(client.id, "matches", product, print.trade_id, print.trade_id);
            }
        } else if channel == Channels::TICKER
            && let Some(Some(print)) = self.newest_ticker.get(place)
        {
            exchange_feed::write_ticker(&mut out, &mut self.times, product, print);
            if !client.is_silent() {
                self.ledger.initial(client.id, "ticker", product, print.trade_id, print.trade_id);
            }
        }
        if !out.is_empty() {
            let _ = client.send(&out);
        }
    }

    fn show_advanced(&mut self, at: usize, channel: Channels, place: usize) {
        if channel == Channels::STATUS {
            return self.send_status(Some(at));
        }
        let Some(product) = self.products.get(place).cloned() else { return };
        let is_silent = self.clients.get(at).is_none_or(Client::is_silent);
        let mut parts = Parts::default();
        let envelope = if channel == Channels::TRADES {
            let page = self.archive.page(place, None, SNAPSHOT_TRADES);
            if let (Some(newest), Some(oldest), Some(client), false) = (page.first(), page.last(), self.clients.get(at), is_silent) {
                self.ledger.initial(client.id, "market_trades", &product, oldest.trade_id, newest.trade_id);
            }
            parts.push_trades(&mut self.times, place, &product, page.into_iter());
            self.envelope("market_trades", "snapshot", false)
        } else if channel == Channels::TICKER
            && let Some(Some(print)) = self.newest.get(place).copied()
        {
            let envelope = self.envelope("ticker", "snapshot", false);
            parts.push_ticker(place, &product, print.price, print.quote, print.day);
            self.totals.tickers_produced += 1;
            self.totals.count(false, !is_silent);
            self.ledger.ticker(&product, &TickerLine { time: envelope.time, trade: None, ..broadcast::ticker_line(&print) }, !is_silent);
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

    /// Sends the second's heartbeats, and `status` where it is time.
    pub(super) fn beat(&mut self, with_status: bool) {
        let (now, uptime) = (self.now(), self.uptime());
        let mut out = Vec::new();
        if self.wire == Wire::Exchange {
            for ((place, product), newest) in self.products.iter().enumerate().zip(&self.newest) {
                let (Some(newest), false) = (newest, self.is_delisted.get(place) == Some(&true)) else { continue };
                out.clear();
                exchange_feed::write_heartbeat(&mut out, &mut self.times, product, newest, now);
                for client in self.clients.iter_mut().filter(|client| client.wants(place, Channels::HEARTBEAT)) {
                    let _ = client.send(&out);
                }
            }
        } else {
            for client in self.clients.iter_mut().filter(|client| client.wants_itself(Channels::HEARTBEAT)) {
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

    /// Stops a product's trading and tells those who watch.
    pub(super) fn delist(&mut self, place: usize) {
        if let Some(is_delisted) = self.is_delisted.get_mut(place) {
            *is_delisted = true;
        }
        self.archive.delist(place);
        for client in &mut self.clients {
            client.takes.get_mut(place).into_iter().for_each(|takes| *takes = Channels::default());
        }
        self.send_status(None);
    }

    fn send_status(&mut self, only: Option<usize>) {
        let (statuses, time) = (self.statuses(), self.envelope_time());
        let mut out = Vec::new();
        for (at, client) in self.clients.iter_mut().enumerate() {
            if only.is_some_and(|only| only != at) || !client.wants_itself(Channels::STATUS) {
                continue;
            }
            out.clear();
            match self.wire {
                Wire::Exchange => exchange_feed::write_status(&mut out, &statuses),
                Wire::Advanced => {
                    let number = client.next_sequence_num();
                    advanced_feed::write_status(&mut out, &mut self.times, time, number, &statuses);
                }
            }
            let _ = client.send(&out);
        }
    }

    fn statuses(&self) -> Vec<(ProductId, bool)> {
        self.products.iter().cloned().zip(self.is_delisted.iter().map(|is| !is)).collect()
    }
}
