//! One step of event time: the market's trades become frames, lines of the ledger and counts.
//!
//! 1. Exchange feed: each trade and each ticker has a frame of its own, in the market's order, at once.
//! 2. Advanced feed: event time is cut into windows of [`WINDOW_NANOS`]. Each product has one batch in a window, newest trade first, in messages of at most
//!    [`MAX_BATCH`] trades. Now and then two products share a message, in one event or in two. Every product that traded gets a ticker, and now and then some
//!    product gets one without a trade.
//! 3. A trade or ticker is `sent` if any open client received it. Its line in the ledger is written in the same step, unless it is held back.
//! 4. Each connection may lose each frame by itself. A message that is lost so, or in a silence, still uses a number of its connection.

use std::time::Instant;

use super::advanced_feed::{self, Envelope, EventKind, Parts};
use super::archive::PublicTrade;
use super::channels::Channels;
use super::config::SimulatedFeed;
use super::distortion::{Update, Variant};
use super::exchange::Exchange;
use super::exchange_feed;
use super::faults::{Fault, FaultKind, Scope};
use super::ledger::{TickerLine, TradeLine};
use super::missed::Missed;
use super::target::FaultTarget;
use super::trade::{Summary, TickerOrder, UpdateKind};
use super::windows::{Piece, WINDOW_NANOS, Windows};
use crate::ids::IdRange;

/// Most trades of one product in one message.
const MAX_BATCH: usize = 500;

/// A message that one connection lost.
struct Loss {
    fault: Fault,
    client: u64,
    /// The products in it that the client is subscribed to.
    products: Vec<usize>,
}

impl Exchange {
    /// Makes event time up to `upto`, in nanoseconds after the start, and sends what happens in it.
    pub(super) fn step(&mut self, upto: u64, is_last: bool) {
        match self.feed {
            SimulatedFeed::Exchange => {
                self.offset = upto;
                self.make_updates(is_last);
                self.send_updates();
            }
            SimulatedFeed::Advanced => {
                while Windows::complete_at(upto, is_last) > self.windows.made {
                    self.windows.made += 1;
                    self.offset = (self.windows.made * WINDOW_NANOS).min(upto);
                    self.make_updates(is_last && self.offset == upto);
                    self.send_window();
                }
                self.offset = upto;
            }
        }
        self.record_ended_stalls();
        self.flush_clients();
    }

    /// Sends everything that is held back.
    pub(super) fn release_held(&mut self) {
        if self.distortion.is_empty() {
            return;
        }
        let mut updates = std::mem::take(&mut self.updates);
        self.distortion.release(u64::MAX, &mut updates);
        self.updates = updates;
        match self.feed {
            SimulatedFeed::Exchange => self.send_updates(),
            SimulatedFeed::Advanced => self.send_window(),
        }
        self.record_ended_stalls();
        self.flush_clients();
    }

    /// Makes the market's trades up to the offset, draws their faults, and collects in `updates` what is to be sent.
    fn make_updates(&mut self, is_last: bool) {
        let (mut trades, mut updates) = (std::mem::take(&mut self.trades), std::mem::take(&mut self.updates));
        self.distortion.release(self.offset, &mut updates);
        self.market.advance(self.offset, &mut trades);
        for mut trade in trades.drain(..) {
            if !self.is_online(trade.product) {
                continue;
            }
            trade.time = self.with_clock_step(trade.time);
            self.keep(&trade);
            self.totals.trades_produced += 1;
            let has_ticker = self.sends_tickers && trade.has_ticker() && self.feed == SimulatedFeed::Exchange;
            self.totals.tickers_produced += u64::from(has_ticker);
            let kinds: &[UpdateKind] = match trade.ticker {
                _ if !has_ticker => &[UpdateKind::Trade],
                TickerOrder::BeforeTrade => &[UpdateKind::Ticker, UpdateKind::Trade],
                TickerOrder::AfterTrade | TickerOrder::None => &[UpdateKind::Trade, UpdateKind::Ticker],
            };
            for kind in kinds.iter().copied() {
                self.draw_fault(Update { trade, kind, variant: Variant::Original }, &mut updates);
            }
        }
        if is_last {
            self.distortion.release(u64::MAX, &mut updates);
        }
        (self.trades, self.updates) = (trades, updates);
    }

    /// Draws the fault of one update. An update that no client would receive is no opportunity, so that each fault affects somebody.
    fn draw_fault(&mut self, update: Update, out: &mut Vec<Update>) {
        if !self.schedule.is_empty() && !self.is_heard(update.trade.product, Channels::of(update.kind)) {
            out.extend(self.distortion.apply_stall(update));
        } else if let Some(fault) = self.distortion.apply(update, &mut self.schedule, self.offset, out) {
            if fault.kind.scope() == Scope::Update {
                let target = FaultTarget::of_update(self.products.get(update.trade.product), update.kind, update.trade.trade_id);
                self.record_fault(fault, &target);
            } else {
                self.fire(fault, Instant::now());
            }
        }
    }

    /// Sends the updates on the Exchange feed.
    fn send_updates(&mut self) {
        let mut updates = std::mem::take(&mut self.updates);
        let mut coming = updates.drain(..).peekable();
        while let Some(update) = coming.next() {
            // An update that is sent twice cannot be lost: the client would receive its duplicate.
            let has_duplicate = coming.peek().is_some_and(|next| next.variant == Variant::Duplicate);
            let is_sent = update.variant != Variant::Dropped && self.send_update(&update, has_duplicate);
            let Some(product) = self.products.get(update.trade.product) else { continue };
            if update.variant.is_accounted() {
                self.totals.count(update.kind, is_sent);
                match update.kind {
                    UpdateKind::Trade => self.ledger.trade(product, &update.trade, TradeLine::live(is_sent)),
                    UpdateKind::Ticker => self.ledger.ticker(product, &TickerLine::of_trade(&update.trade), is_sent),
                }
            }
        }
        drop(coming);
        self.updates = updates;
    }

    /// Sends one frame to all subscribed clients. Tells whether any client received it.
    fn send_update(&mut self, update: &Update, has_duplicate: bool) -> bool {
        let Update { kind, variant, .. } = *update;
        let trade = variant.shown(update.trade, kind);
        let Some(product) = self.products.get(trade.product) else { return false };
        self.scratch.clear();
        match (variant.replacement(&mut self.rng), kind) {
            (Some(text), _) => self.scratch.extend_from_slice(text.as_bytes()),
            (None, UpdateKind::Trade) => exchange_feed::write_match(&mut self.scratch, &mut self.times, product, &trade, "match"),
            (None, UpdateKind::Ticker) => exchange_feed::write_ticker(&mut self.scratch, &mut self.times, product, &trade),
        }
        variant.distort(&mut self.scratch);
        let channel = Channels::of(kind);
        let may_lose = variant == Variant::Original && !has_duplicate && self.schedule.may_fire(FaultKind::Lose);
        let (mut is_sent, mut losses) = (false, Vec::new());
        for client in self.clients.iter_mut().filter(|client| client.is_subscribed(trade.product, channel)) {
            if may_lose
                && !client.is_silent()
                && let Some(fault) = self.schedule.draw_of(FaultKind::Lose)
            {
                losses.push(Loss { fault, client: client.id, products: Vec::new() });
            } else if client.send(&self.scratch) {
                is_sent = true;
            } else if kind == UpdateKind::Trade && variant == Variant::Original {
                client.add_missed(trade.product, IdRange::one(trade.trade_id));
            }
        }
        for loss in losses {
            let target = FaultTarget::of_update(self.products.get(trade.product), kind, trade.trade_id);
            self.record_fault(loss.fault, &FaultTarget { client: Some(loss.client), ..target });
        }
        is_sent
    }

    /// Sends the trades and tickers of a window on the Advanced feed.
    fn send_window(&mut self) {
        let mut updates = std::mem::take(&mut self.updates);
        for update in updates.drain(..) {
            let Some(batch) = self.windows.batches.get_mut(update.trade.product) else { continue };
            if update.variant == Variant::Dropped {
                self.record_dropped(&update);
            } else if update.variant.is_absurd() {
                self.send_absurd(&update);
            } else {
                if batch.is_empty() {
                    self.windows.traded.push(update.trade.product);
                }
                batch.push(update);
            }
        }
        self.updates = updates;
        let traded = std::mem::take(&mut self.windows.traded);
        let mut batches = std::mem::take(&mut self.windows.batches);
        self.send_batches(&traded, &batches);
        if self.sends_tickers {
            for product in &traded {
                if let Some(Update { trade, .. }) = batches.get(*product).and_then(|batch| batch.last()) {
                    self.send_ticker(*product, Summary { price: trade.price, quote: trade.quote, day: trade.day });
                }
            }
            self.send_idle_ticker();
        }
        for product in &traded {
            batches.get_mut(*product).into_iter().for_each(Vec::clear);
        }
        (self.windows.traded, self.windows.batches) = (traded, batches);
        self.windows.traded.clear();
    }

    /// Records a trade that is never sent. It uses a number of each subscribed connection.
    fn record_dropped(&mut self, update: &Update) {
        self.skip_number(update.trade.product, Channels::TRADES);
        self.totals.count(UpdateKind::Trade, false);
        if let Some(product) = self.products.get(update.trade.product) {
            self.ledger.trade(product, &update.trade, TradeLine::Unsent);
        }
    }

    fn skip_number(&mut self, product: usize, channel: Channels) {
        for client in self.clients.iter_mut().filter(|client| client.is_subscribed(product, channel)) {
            client.next_sequence_num();
        }
    }

    /// Sends an extra message that no client may take for a trade.
    fn send_absurd(&mut self, update: &Update) {
        let product = update.trade.product;
        if let Some(text) = update.variant.replacement(&mut self.rng) {
            for client in self.clients.iter_mut().filter(|client| client.is_subscribed(product, Channels::TRADES)) {
                let _ = client.send(text.as_bytes());
            }
            return;
        }
        let trade = PublicTrade::from(&update.variant.shown(update.trade, UpdateKind::Trade));
        let mut parts = Parts::default();
        if let Some(name) = self.products.get(product) {
            parts.push_trades(&mut self.times, product, name, std::iter::once(trade));
        }
        let envelope = self.update_envelope(UpdateKind::Trade, false);
        self.windows.pieces.clear();
        self.send_parts(envelope, &parts, &[], update.variant);
    }

    fn send_batches(&mut self, traded: &[usize], batches: &[Vec<Update>]) {
        let mut parts = std::mem::take(&mut self.windows.parts);
        parts.clear();
        self.windows.pieces.clear();
        for (at, product) in traded.iter().copied().enumerate() {
            let (Some(batch), Some(name)) = (batches.get(product), self.products.get(product).cloned()) else { continue };
            let mut from = 0;
            while let Some(chunk) = batch.get(from..batch.len().min(from + MAX_BATCH)).filter(|chunk| !chunk.is_empty()) {
                parts.push_trades(&mut self.times, product, &name, chunk.iter().rev().map(|update| PublicTrade::from(&update.trade)));
                self.windows.pieces.push(Piece { product, range: from..from + chunk.len() });
                from += chunk.len();
                // One in five messages also has the trades of the next product.
                let is_shared = from == batch.len() && at + 1 < traded.len() && self.rng.u32(0..5) == 0;
                if !is_shared {
                    let is_split = self.rng.bool();
                    let envelope = self.update_envelope(UpdateKind::Trade, is_split);
                    self.send_parts(envelope, &parts, batches, Variant::Original);
                    self.record_pieces(batches);
                    parts.clear();
                }
            }
        }
        self.windows.parts = parts;
    }

    /// Writes the trades of the message that has just been sent to the ledger.
    fn record_pieces(&mut self, batches: &[Vec<Update>]) {
        let mut pieces = std::mem::take(&mut self.windows.pieces);
        for Piece { product, range } in pieces.drain(..) {
            let is_sent = self.windows.delivered.contains(&product);
            let Some(name) = self.products.get(product) else { continue };
            let updates = batches.get(product).and_then(|batch| batch.get(range)).unwrap_or_default();
            for update in updates.iter().filter(|update| update.variant.is_accounted()) {
                self.totals.count(UpdateKind::Trade, is_sent);
                self.ledger.trade(name, &update.trade, TradeLine::live(is_sent));
            }
        }
        self.windows.pieces = pieces;
    }

    fn send_ticker(&mut self, product: usize, summary: Summary) {
        let Some(name) = self.products.get(product).cloned() else { return };
        let envelope = self.update_envelope(UpdateKind::Ticker, false);
        let dropped = if self.schedule.may_fire(FaultKind::Drop) { self.schedule.draw_of(FaultKind::Drop) } else { None };
        let is_sent = if let Some(fault) = dropped {
            self.skip_number(product, Channels::TICKER);
            self.record_fault(fault, &FaultTarget::of_update(Some(&name), UpdateKind::Ticker, 0));
            false
        } else {
            let mut parts = std::mem::take(&mut self.windows.parts);
            parts.clear();
            parts.push_ticker(product, &name, summary);
            self.send_parts(envelope, &parts, &[], Variant::Original);
            self.windows.parts = parts;
            self.windows.delivered.contains(&product)
        };
        self.totals.tickers_produced += 1;
        self.totals.count(UpdateKind::Ticker, is_sent);
        self.ledger.ticker(&name, &TickerLine::of_summary(envelope.time, summary), is_sent);
    }

    /// Moves the quote of some product without a trade, in three windows of ten, and sends its ticker.
    fn send_idle_ticker(&mut self) {
        let product = self.rng.usize(0..self.products.len().max(1));
        let is_due = self.rng.u32(0..10) < 3;
        if is_due
            && self.is_online(product)
            && let Some(summary) = self.market.drift(product)
        {
            self.send_ticker(product, summary);
        }
    }

    fn update_envelope(&mut self, update: UpdateKind, is_split: bool) -> Envelope {
        Envelope { update, event: EventKind::Update, time: self.envelope_time(), is_split }
    }

    /// Sends each client its parts of a message of trades, whose pieces stand in `batches`, or of a ticker. Remembers which products were delivered.
    fn send_parts(&mut self, envelope: Envelope, parts: &Parts, batches: &[Vec<Update>], variant: Variant) {
        self.windows.delivered.clear();
        let channel = Channels::of(envelope.update);
        let may_lose = variant == Variant::Original && self.schedule.may_fire(FaultKind::Lose);
        let mut losses = Vec::new();
        for client in &mut self.clients {
            self.scratch.clear();
            let number = client.sequence_num;
            let takes = |product| client.is_subscribed(product, channel);
            if !advanced_feed::write_message(&mut self.scratch, &mut self.times, envelope, number, parts, takes) {
                continue;
            }
            client.sequence_num += 1;
            variant.distort(&mut self.scratch);
            if may_lose
                && !client.is_silent()
                && let Some(fault) = self.schedule.draw_of(FaultKind::Lose)
            {
                let products = parts.products().filter(|product| client.is_subscribed(*product, channel)).collect();
                losses.push(Loss { fault, client: client.id, products });
            } else if client.send(&self.scratch) {
                self.windows.delivered.extend(parts.products().filter(|product| client.is_subscribed(*product, channel)));
            } else {
                for piece in &self.windows.pieces {
                    if client.is_subscribed(piece.product, channel)
                        && let Some(ids) = piece.ids(batches)
                    {
                        client.add_missed(piece.product, ids);
                    }
                }
            }
        }
        for loss in losses {
            self.record_loss(&loss, batches, envelope.update);
        }
    }

    /// Records a message that one connection lost: the fault, and the trades of each product in it.
    fn record_loss(&mut self, loss: &Loss, batches: &[Vec<Update>], kind: UpdateKind) {
        if kind == UpdateKind::Ticker {
            let product = loss.products.first().and_then(|product| self.products.get(*product));
            let target = FaultTarget::of_update(product, UpdateKind::Ticker, 0);
            return self.record_fault(loss.fault, &FaultTarget { client: Some(loss.client), ..target });
        }
        self.record_fault(loss.fault, &FaultTarget::of_client(loss.client));
        let now = self.now();
        for piece in self.windows.pieces.iter().filter(|piece| loss.products.contains(&piece.product)) {
            if let (Some(product), Some(ids)) = (self.products.get(piece.product), piece.ids(batches)) {
                self.ledger.missed(product, now, Missed { why: FaultKind::Lose, ids, client: Some(loss.client), is_late: false });
            }
        }
    }
}
