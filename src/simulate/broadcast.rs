//! One round of the exchange: what the market made becomes frames, ledger lines and counts.
//!
//! 1. Exchange: a frame a trade and a ticker, in the market's order, at once.
//! 2. Advanced: windows of [`WINDOW_NANOS`] of event time, as measured (20 a second). Per product one batch, newest first, of at most [`MAX_BATCH`]
//!    trades; now and then two products share a message, in one event or in two. A ticker follows for every product that traded, and now and then one for
//!    a product that did not.
//! 3. Each trade or ticker is `sent` if any open client got it, and gets its ledger line in the same round, unless it is held back.
//! 4. Each frame may be lost on its way to each connection by itself; a message lost so, or in a silence, has taken its connection's number with it.

use std::ops::Range;
use std::time::Instant;

use super::Wire;
use super::advanced_feed::{self, Envelope, Parts};
use super::archive::Past;
use super::client::Channels;
use super::distortion::{Fate, Item, absurd, junk, with_absurd_id, with_absurd_time};
use super::exchange::Exchange;
use super::exchange_feed;
use super::faults::{Fault, FaultKind};
use super::ledger::{Missed, Scene, TickerLine};
use super::market::Print;
use crate::time::UnixNanos;

/// Length of a window of the Advanced feed.
pub(super) const WINDOW_NANOS: u64 = 50_000_000;
/// Most trades of one product in one message.
const MAX_BATCH: usize = 500;

/// What a round of the Advanced feed works with; kept for its buffers.
#[derive(Debug, Default)]
pub(super) struct Broadcast {
    batches: Vec<Vec<Item>>,
    touched: Vec<usize>,
    /// Windows made so far.
    done: u64,
    parts: Parts,
    /// The product and the places in its batch of each piece of the message under way.
    pieces: Vec<(usize, Range<usize>)>,
    /// The products that the last message brought to somebody.
    reached: Vec<usize>,
}

impl Broadcast {
    pub(super) fn new(products: usize) -> Self {
        Self { batches: vec![Vec::new(); products], ..Self::default() }
    }

    /// Takes all windows up to this place on the event clock for done.
    pub(super) fn go_on_from(&mut self, offset: u64) {
        self.done = offset / WINDOW_NANOS;
    }
}

/// The ticker that the Exchange feed sends of a trade.
pub(super) fn ticker_line(print: &Print) -> TickerLine {
    TickerLine { time: print.time, price: print.price, quote: print.quote, trade: Some(*print) }
}

impl Exchange {
    /// Makes event time up to `upto` (nanoseconds after the start) and sends what it brings.
    pub(super) fn step(&mut self, upto: u64, is_last: bool) {
        match self.wire {
            Wire::Exchange => {
                self.offset = upto;
                self.make(is_last);
                self.send_exchange();
            }
            Wire::Advanced => {
                while self.rounds_end(upto, is_last) > self.windowed() {
                    self.make_window(upto, is_last);
                }
                self.offset = upto;
            }
        }
        self.end_stalls();
        self.flush_clients();
    }

    /// Sends everything that was to come later.
    pub(super) fn let_go_of_held(&mut self) {
        if self.distortion.is_empty() {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        self.distortion.release(u64::MAX, &mut items);
        self.items = items;
        match self.wire {
            Wire::Exchange => self.send_exchange(),
            Wire::Advanced => self.send_window(),
        }
        self.end_stalls();
        self.flush_clients();
    }

    /// Takes what the market made up to the offset past the dice, into `items`.
    fn make(&mut self, is_last: bool) {
        let (mut prints, mut items) = (std::mem::take(&mut self.prints), std::mem::take(&mut self.items));
        self.distortion.release(self.offset, &mut items);
        self.market.advance(self.offset, &mut prints);
        for mut print in prints.drain(..) {
            if self.is_delisted.get(print.product).is_none_or(|is| *is) {
                continue;
            }
            print.time = self.stepped(print.time);
            self.note_newest(&print);
            self.totals.trades_produced += 1;
            let has_ticker = self.tickers && print.has_ticker && self.wire == Wire::Exchange;
            self.totals.tickers_produced += u64::from(has_ticker);
            let order = if print.ticker_first { [false, true] } else { [true, false] };
            for is_trade in order {
                if is_trade || has_ticker {
                    let item = Item { print, is_trade, fate: Fate::Sent };
                    // What nobody hears gives no opportunity: each fault is to strike somebody.
                    let channel = if is_trade { Channels::TRADES } else { Channels::TICKER };
                    if !self.schedule.is_empty() && !self.is_heard(print.product, channel) {
                        items.extend(self.distortion.pass_by(item));
                    } else if let Some(fault) = self.distortion.pass(item, &mut self.schedule, self.offset, &mut items) {
                        self.fire_at(fault, &item);
                    }
                }
            }
        }
        if is_last {
            self.distortion.release(u64::MAX, &mut items);
        }
        (self.prints, self.items) = (prints, items);
    }

    /// Whether anybody would get what is sent of a product now.
    pub(super) fn is_heard(&self, place: usize, channel: Channels) -> bool {
        self.clients.iter().any(|client| client.wants(place, channel) && !client.is_silent())
    }

    /// Notes a fault that has happened to one item, or lets happen what it was only the opportunity of.
    fn fire_at(&mut self, fault: Fault, item: &Item) {
        if fault.kind.strikes_an_item() {
            let scene = Scene::of_item(self.products.get(item.print.product), item.is_trade, item.print.trade_id);
            self.note_fault(fault, &scene);
        } else {
            self.fire(fault, Instant::now());
        }
    }

    fn send_exchange(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        let mut coming = items.drain(..).peekable();
        while let Some(item) = coming.next() {
            // What comes twice is not lost: its copy would bring it all the same.
            let has_copy = coming.peek().is_some_and(|next| next.fate == Fate::Copy);
            let sent = item.fate != Fate::Lost && self.send_item(&item, has_copy);
            let Some(product) = self.products.get(item.print.product) else { continue };
            if matches!(item.fate, Fate::Sent | Fate::Lost) {
                self.totals.count(item.is_trade, sent);
                if item.is_trade {
                    self.ledger.trade(product, &item.print, sent, false);
                } else {
                    self.ledger.ticker(product, &ticker_line(&item.print), sent);
                }
            }
        }
        drop(coming);
        self.items = items;
    }

    /// Sends one frame to all who want it; says whether anybody got it.
    fn send_item(&mut self, item: &Item, has_copy: bool) -> bool {
        let Some(product) = self.products.get(item.print.product) else { return false };
        let print = if item.fate == Fate::AbsurdId { with_absurd_id(item.print, item.is_trade) } else { item.print };
        self.scratch.clear();
        if item.fate == Fate::Junk {
            self.scratch.extend_from_slice(junk(self.rng.usize(0..100)).as_bytes());
        } else if item.is_trade {
            exchange_feed::write_match(&mut self.scratch, &mut self.times, product, &print, "match");
        } else {
            exchange_feed::write_ticker(&mut self.scratch, &mut self.times, product, &print);
        }
        if item.fate == Fate::AbsurdTime {
            self.scratch = with_absurd_time(&self.scratch);
        }
        let channel = if item.is_trade { Channels::TRADES } else { Channels::TICKER };
        let may_lose = item.fate == Fate::Sent && !has_copy && self.schedule.may(FaultKind::Lose);
        let (mut sent, mut lost) = (false, Vec::new());
        for client in self.clients.iter_mut().filter(|client| client.wants(print.product, channel)) {
            if may_lose
                && !client.is_silent()
                && let Some(fault) = self.schedule.draw_of(FaultKind::Lose)
            {
                lost.push((fault, client.id));
            } else if client.send(&self.scratch) {
                sent = true;
            } else if item.is_trade && item.fate == Fate::Sent {
                client.miss(print.product, print.trade_id, print.trade_id);
            }
        }
        for (fault, client) in lost {
            let scene = Scene::of_item(self.products.get(print.product), item.is_trade, print.trade_id);
            self.note_fault(fault, &Scene { client: Some(client), ..scene });
        }
        sent
    }

    /// Where the windows that are complete at `upto` end; the market's last one ends with it.
    fn rounds_end(&self, upto: u64, is_last: bool) -> u64 {
        if is_last { upto.div_ceil(WINDOW_NANOS) } else { upto / WINDOW_NANOS }
    }

    fn windowed(&self) -> u64 {
        self.rounds.done
    }

    fn make_window(&mut self, upto: u64, is_last: bool) {
        self.rounds.done += 1;
        self.offset = (self.rounds.done * WINDOW_NANOS).min(upto);
        self.make(is_last && self.offset == upto);
        self.send_window();
    }

    /// Sends what a window brought, and its tickers.
    fn send_window(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            let Some(batch) = self.rounds.batches.get_mut(item.print.product) else { continue };
            match item.fate {
                Fate::Sent | Fate::Copy => {
                    if batch.is_empty() {
                        self.rounds.touched.push(item.print.product);
                    }
                    batch.push(item);
                }
                Fate::Lost => self.leave_out(&item),
                Fate::AbsurdId | Fate::AbsurdTime | Fate::Junk => self.send_odd(&item),
            }
        }
        self.items = items;
        let touched = std::mem::take(&mut self.rounds.touched);
        let mut batches = std::mem::take(&mut self.rounds.batches);
        self.send_batches(&touched, &batches);
        if self.tickers {
            for place in &touched {
                let newest = batches.get(*place).and_then(|batch| batch.last()).map(|item| item.print);
                if let Some(print) = newest {
                    self.send_ticker(*place, TickerLine { trade: None, ..ticker_line(&print) }, print.day);
                }
            }
            self.send_idle_ticker();
        }
        for place in &touched {
            batches.get_mut(*place).into_iter().for_each(Vec::clear);
        }
        (self.rounds.touched, self.rounds.batches) = (touched, batches);
        self.rounds.touched.clear();
    }

    /// A trade that is never sent takes a number of its connections' messages with it.
    fn leave_out(&mut self, item: &Item) {
        self.skip_number(item.print.product, Channels::TRADES);
        self.totals.count(true, false);
        if let Some(product) = self.products.get(item.print.product) {
            self.ledger.trade(product, &item.print, false, false);
        }
    }

    fn skip_number(&mut self, place: usize, channel: Channels) {
        for client in self.clients.iter_mut().filter(|client| client.wants(place, channel)) {
            client.next_sequence_num();
        }
    }

    fn send_odd(&mut self, item: &Item) {
        let place = item.print.product;
        if item.fate == Fate::Junk {
            let text = junk(self.rng.usize(0..100));
            for client in self.clients.iter_mut().filter(|client| client.wants(place, Channels::TRADES)) {
                let _ = client.send(text.as_bytes());
            }
            return;
        }
        let mut past = Past::from(&item.print);
        if item.fate == Fate::AbsurdId {
            past.trade_id = absurd(past.trade_id);
        }
        let mut parts = Parts::default();
        if let Some(product) = self.products.get(place) {
            parts.push_trades(&mut self.times, place, product, std::iter::once(past));
        }
        let envelope = self.envelope("market_trades", "update", false);
        self.rounds.pieces.clear();
        self.send_parts(envelope, &parts, &[], item.fate == Fate::AbsurdTime);
    }

    fn send_batches(&mut self, touched: &[usize], batches: &[Vec<Item>]) {
        let mut parts = std::mem::take(&mut self.rounds.parts);
        parts.clear();
        self.rounds.pieces.clear();
        for (at, place) in touched.iter().enumerate() {
            let (Some(batch), Some(product)) = (batches.get(*place), self.products.get(*place).cloned()) else { continue };
            let mut from = 0;
            while let Some(chunk) = batch.get(from..batch.len().min(from + MAX_BATCH)).filter(|chunk| !chunk.is_empty()) {
                parts.push_trades(&mut self.times, *place, &product, chunk.iter().rev().map(|item| Past::from(&item.print)));
                self.rounds.pieces.push((*place, from..from + chunk.len()));
                from += chunk.len();
                // One in five messages has the next product's trades in it too.
                let is_shared = from == batch.len() && at + 1 < touched.len() && self.rng.u32(0..5) == 0;
                if !is_shared {
                    let is_split = self.rng.bool();
                    let envelope = self.envelope("market_trades", "update", is_split);
                    self.send_parts(envelope, &parts, batches, false);
                    self.enter_pieces(batches);
                    parts.clear();
                }
            }
        }
        self.rounds.parts = parts;
    }

    /// Writes down the trades of the message that has just been sent.
    fn enter_pieces(&mut self, batches: &[Vec<Item>]) {
        let mut pieces = std::mem::take(&mut self.rounds.pieces);
        for (place, range) in pieces.drain(..) {
            let sent = self.rounds.reached.contains(&place);
            let Some(product) = self.products.get(place) else { continue };
            for item in batches.get(place).and_then(|batch| batch.get(range)).unwrap_or_default() {
                if item.fate == Fate::Sent {
                    self.totals.count(true, sent);
                    self.ledger.trade(product, &item.print, sent, false);
                }
            }
        }
        self.rounds.pieces = pieces;
    }

    fn send_ticker(&mut self, place: usize, line: TickerLine, day: super::market::Day) {
        let Some(product) = self.products.get(place).cloned() else { return };
        let envelope = self.envelope("ticker", "update", false);
        let dropped = if self.schedule.may(FaultKind::Drop) { self.schedule.draw_of(FaultKind::Drop) } else { None };
        let sent = if let Some(fault) = dropped {
            self.skip_number(place, Channels::TICKER);
            self.note_fault(fault, &Scene::of_item(Some(&product), false, 0));
            false
        } else {
            let mut parts = std::mem::take(&mut self.rounds.parts);
            parts.clear();
            parts.push_ticker(place, &product, line.price, line.quote, day);
            self.send_parts(envelope, &parts, &[], false);
            self.rounds.parts = parts;
            self.rounds.reached.contains(&place)
        };
        self.totals.tickers_produced += 1;
        self.totals.count(false, sent);
        self.ledger.ticker(&product, &TickerLine { time: envelope.time, ..line }, sent);
    }

    /// In three windows of ten the quote of some product moves without a trade.
    fn send_idle_ticker(&mut self) {
        let place = self.rng.usize(0..self.products.len().max(1));
        let is_idle = self.rng.u32(0..10) < 3 && self.rounds.batches.get(place).is_none_or(Vec::is_empty);
        if is_idle
            && self.is_delisted.get(place) == Some(&false)
            && let Some((price, quote, day)) = self.market.drift(place)
        {
            self.send_ticker(place, TickerLine { time: UnixNanos(0), price, quote, trade: None }, day);
        }
    }

    pub(super) fn envelope(&mut self, channel: &'static str, kind: &'static str, is_split: bool) -> Envelope {
        let array = if channel == "ticker" { "tickers" } else { "trades" };
        Envelope { channel, array, kind, time: self.envelope_time(), is_split }
    }

    /// Sends each client its share of a message of trades, whose pieces `batches` holds, or of a ticker; notes which products reached somebody.
    fn send_parts(&mut self, envelope: Envelope, parts: &Parts, batches: &[Vec<Item>], is_absurd: bool) {
        self.rounds.reached.clear();
        let is_ticker = envelope.channel == "ticker";
        let channel = if is_ticker { Channels::TICKER } else { Channels::TRADES };
        let may_lose = (is_ticker || !batches.is_empty()) && self.schedule.may(FaultKind::Lose);
        let mut lost = Vec::new();
        for client in &mut self.clients {
            self.scratch.clear();
            let number = client.sequence_num;
            let takes = |place| client.wants(place, channel);
            if !advanced_feed::write_message(&mut self.scratch, &mut self.times, envelope, number, parts, takes) {
                continue;
            }
            client.sequence_num += 1;
            if is_absurd {
                self.scratch = with_absurd_time(&self.scratch);
            }
            if may_lose
                && !client.is_silent()
                && let Some(fault) = self.schedule.draw_of(FaultKind::Lose)
            {
                lost.push((fault, client.id, parts.places().filter(|place| client.wants(*place, channel)).collect::<Vec<_>>()));
            } else if client.send(&self.scratch) {
                self.rounds.reached.extend(parts.places().filter(|place| client.wants(*place, channel)));
            } else {
                for (place, range) in &self.rounds.pieces {
                    if client.wants(*place, channel)
                        && let Some((first, last)) = ids_of(batches, *place, range)
                    {
                        client.miss(*place, first, last);
                    }
                }
            }
        }
        for (fault, client, places) in lost {
            self.note_lost(fault, client, &places, batches, is_ticker);
        }
    }

    /// Notes a message that one connection did not get: a fault, and a line for every product in it.
    fn note_lost(&mut self, fault: Fault, client: u64, places: &[usize], batches: &[Vec<Item>], is_ticker: bool) {
        let place = places.first().copied().unwrap_or_default();
        if is_ticker {
            let scene = Scene::of_item(self.products.get(place), false, 0);
            return self.note_fault(fault, &Scene { client: Some(client), ..scene });
        }
        self.note_fault(fault, &Scene::of_client(client));
        let now = self.now();
        for (place, range) in self.rounds.pieces.iter().filter(|(place, _)| places.contains(place)) {
            if let (Some(product), Some(ids)) = (self.products.get(*place), ids_of(batches, *place, range)) {
                self.ledger.missed(product, now, Missed { why: FaultKind::Lose, ids, client: Some(client), is_late: false });
            }
        }
    }
}

/// Gives the lowest and the highest id of a piece of a batch.
fn ids_of(batches: &[Vec<Item>], place: usize, range: &Range<usize>) -> Option<(u64, u64)> {
    let ids = || batches.get(place)?.get(range.clone()).map(|items| items.iter().map(|item| item.print.trade_id));
    Some((ids()?.min()?, ids()?.max()?))
}
