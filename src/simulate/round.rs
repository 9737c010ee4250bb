//! One round of the floor: what the market made becomes frames, ledger lines and counts.
//!
//! 1. Exchange: a frame a trade and a ticker, in the market's order, at once.
//! 2. Advanced: windows of [`WINDOW_NANOS`] of event time, as measured (20 a second). Per product one batch, newest first, of at most [`MAX_BATCH`]
//!    trades; now and then two products share a message, in one event or in two. A ticker follows for every product that traded, and now and then one for
//!    a product that did not.
//! 3. Each trade or ticker is `sent` if any open client took it, and gets its ledger line in the same round, unless it is held back.

use std::time::Instant;

use super::advanced::{self, Envelope, Parts};
use super::archive::Past;
use super::client::{Channels, Client};
use super::exchange;
use super::faults::{Fault, FaultKind};
use super::floor::Floor;
use super::ledger::TickerLine;
use super::market::Print;
use super::outbox::Cut;
use super::spoiler::{ABSURD_AHEAD, Fate, Item, junk, with_absurd_time};
use super::{Wire, nanos};
use crate::time::UnixNanos;

/// Length of a window of the Advanced feed.
pub(super) const WINDOW_NANOS: u64 = 50_000_000;
/// Most trades of one product in one message.
const MAX_BATCH: usize = 500;

/// What a round of the Advanced feed works with; kept for its buffers.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    batches: Vec<Vec<Item>>,
    touched: Vec<usize>,
    /// Windows made so far.
    done: u64,
    parts: Parts,
}

impl Rounds {
    pub(super) fn new(products: usize) -> Self {
        Self { batches: vec![Vec::new(); products], ..Self::default() }
    }
}

/// The ticker that the Exchange feed sends of a trade.
pub(super) fn ticker_line(print: &Print) -> TickerLine {
    TickerLine { time: print.time, price: print.price, quote: print.quote, trade: Some(*print) }
}

impl Floor {
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
        self.flush_clients();
    }

    /// Takes what the market made up to the offset past the dice, into `items`.
    fn make(&mut self, is_last: bool) {
        let (mut prints, mut items) = (std::mem::take(&mut self.prints), std::mem::take(&mut self.items));
        self.spoiler.release(self.offset, &mut items);
        self.market.advance(self.offset, &mut prints);
        for print in prints.drain(..) {
            if self.is_delisted.get(print.product).is_none_or(|is| *is) {
                continue;
            }
            self.note_newest(&print);
            self.totals.trades_produced += 1;
            let has_ticker = self.tickers && print.has_ticker && self.wire == Wire::Exchange;
            self.totals.tickers_produced += u64::from(has_ticker);
            let order = if print.ticker_first { [false, true] } else { [true, false] };
            for is_trade in order {
                if is_trade || has_ticker {
                    let item = Item { print, is_trade, fate: Fate::Sent };
                    if let Some(fault) = self.spoiler.pass(item, &mut self.dice, self.offset, &mut items) {
                        self.fire(fault, Instant::now());
                    }
                }
            }
        }
        if is_last {
            self.spoiler.release(u64::MAX, &mut items);
        }
        (self.prints, self.items) = (prints, items);
    }

    /// Lets a fault happen to a connection or a product; one that happened to a single item is only noted.
    pub(super) fn fire(&mut self, fault: Fault, now: Instant) {
        let open: Vec<usize> = (0..self.clients.len()).filter(|at| self.clients.get(*at).is_some_and(|client| !client.is_cut)).collect();
        let victim = self.rng.choice(open).and_then(|at| self.clients.get_mut(at));
        let product = self.rng.usize(0..self.products.len().max(1));
        let detail = match (fault.kind, victim) {
            (FaultKind::Silent, Some(client)) => {
                client.silent_until = Some(now + fault.length);
                format!("client {}", client.id)
            }
            (FaultKind::Reset, Some(client)) => cut(client, Cut::Reset),
            (FaultKind::Close, Some(client)) => cut(client, Cut::Close(fault.code)),
            (FaultKind::HalfFrame, Some(client)) => {
                client.send_half(br#"{"type":"match","trade_id":1,"maker_order_id":"27fff20b-af29-4f45-8744-56dd1ef57dc0","#);
                cut(client, Cut::Close(1006))
            }
            (FaultKind::Stall, _) => {
                self.spoiler.stall(product, self.offset.saturating_add(nanos(fault.length)));
                self.products.get(product).map_or_else(String::new, ToString::to_string)
            }
            (FaultKind::Delist, _) => {
                self.delist(product);
                self.products.get(product).map_or_else(String::new, ToString::to_string)
            }
            (FaultKind::Silent | FaultKind::Reset | FaultKind::Close | FaultKind::HalfFrame, None) => return,
            _ => String::new(),
        };
        self.note_fault(fault, &detail);
    }

    fn send_exchange(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            let Some(product) = self.products.get(item.print.product) else { continue };
            let mut print = item.print;
            self.scratch.clear();
            match item.fate {
                Fate::Junk => self.scratch.extend_from_slice(junk(self.rng.usize(0..100)).as_bytes()),
                Fate::AbsurdId => print.trade_id += ABSURD_AHEAD,
                Fate::Sent | Fate::Copy | Fate::AbsurdTime | Fate::Lost => {}
            }
            if item.fate != Fate::Junk && item.fate != Fate::Lost {
                if item.is_trade {
                    exchange::write_match(&mut self.scratch, &mut self.times, product, &print, "match");
                } else {
                    exchange::write_ticker(&mut self.scratch, &mut self.times, product, &print);
                }
            }
            if item.fate == Fate::AbsurdTime {
                self.scratch = with_absurd_time(&self.scratch);
            }
            let channel = if item.is_trade { Channels::TRADES } else { Channels::TICKER };
            let mut sent = false;
            if item.fate != Fate::Lost {
                for client in self.clients.iter_mut().filter(|client| client.wants(print.product, channel)) {
                    client.send(&self.scratch);
                    sent = true;
                }
            }
            if matches!(item.fate, Fate::Sent | Fate::Lost) {
                self.totals.count(item.is_trade, sent);
                if item.is_trade {
                    self.ledger.trade(product, &item.print, sent, false);
                } else {
                    self.ledger.ticker(product, &ticker_line(&item.print), sent);
                }
            }
        }
        self.items = items;
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
                Fate::Lost => self.lose(&item),
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
    fn lose(&mut self, item: &Item) {
        for client in self.clients.iter_mut().filter(|client| client.wants(item.print.product, Channels::TRADES)) {
            client.next_sequence_num();
        }
        self.totals.count(true, false);
        if let Some(product) = self.products.get(item.print.product) {
            self.ledger.trade(product, &item.print, false, false);
        }
    }

    fn send_odd(&mut self, item: &Item) {
        let place = item.print.product;
        if item.fate == Fate::Junk {
            let text = junk(self.rng.usize(0..100));
            self.clients.iter_mut().filter(|client| client.wants(place, Channels::TRADES)).for_each(|client| client.send(text.as_bytes()));
            return;
        }
        let mut past = Past::from(&item.print);
        if item.fate == Fate::AbsurdId {
            past.trade_id += ABSURD_AHEAD;
        }
        let mut parts = Parts::default();
        if let Some(product) = self.products.get(place) {
            parts.push_trades(&mut self.times, place, product, std::iter::once(past));
        }
        let envelope = self.envelope("market_trades", "update", false);
        self.send_parts(envelope, &parts, Channels::TRADES, item.fate == Fate::AbsurdTime);
    }

    fn send_batches(&mut self, touched: &[usize], batches: &[Vec<Item>]) {
        let mut parts = std::mem::take(&mut self.rounds.parts);
        parts.clear();
        for (at, place) in touched.iter().enumerate() {
            let (Some(batch), Some(product)) = (batches.get(*place), self.products.get(*place).cloned()) else { continue };
            let mut chunks = batch.chunks(MAX_BATCH).peekable();
            while let Some(chunk) = chunks.next() {
                parts.push_trades(&mut self.times, *place, &product, chunk.iter().rev().map(|item| Past::from(&item.print)));
                // One in five messages has the next product's trades in it too.
                let is_shared = chunks.peek().is_none() && at + 1 < touched.len() && self.rng.u32(0..5) == 0;
                if !is_shared {
                    let is_split = self.rng.bool();
                    let envelope = self.envelope("market_trades", "update", is_split);
                    self.send_parts(envelope, &parts, Channels::TRADES, false);
                    parts.clear();
                }
            }
            let sent = self.clients.iter().any(|client| client.wants(*place, Channels::TRADES));
            for item in batch.iter().filter(|item| item.fate == Fate::Sent) {
                self.totals.count(true, sent);
                self.ledger.trade(&product, &item.print, sent, false);
            }
        }
        self.rounds.parts = parts;
    }

    fn send_ticker(&mut self, place: usize, line: TickerLine, day: super::market::Day) {
        let Some(product) = self.products.get(place).cloned() else { return };
        let envelope = self.envelope("ticker", "update", false);
        let mut parts = std::mem::take(&mut self.rounds.parts);
        parts.clear();
        parts.push_ticker(place, &product, line.price, line.quote, day);
        let sent = self.send_parts(envelope, &parts, Channels::TICKER, false);
        self.rounds.parts = parts;
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

    /// Sends each client its share of a message; says whether anybody had one.
    fn send_parts(&mut self, envelope: Envelope, parts: &Parts, channel: Channels, is_absurd: bool) -> bool {
        let mut sent = false;
        for client in &mut self.clients {
            self.scratch.clear();
            let number = client.sequence_num;
            let takes = |place| client.wants(place, channel);
            if advanced::write_message(&mut self.scratch, &mut self.times, envelope, number, parts, takes) {
                client.sequence_num += 1;
                sent = true;
                if is_absurd {
                    self.scratch = with_absurd_time(&self.scratch);
                }
                client.send(&self.scratch);
            }
        }
        sent
    }
}

fn cut(client: &mut Client, cut: Cut) -> String {
    client.cut(cut);
    format!("client {}", client.id)
}
