//! [`Messages`]: the frames that one client gets, in the protocol that it speaks.
//!
//! 1. On the Advanced Trade feed each message of the connection has the next number.
//! 2. There, trades of one product that were received together are one batch, newest first.
//! 3. Nothing is sent from here: frames are added to a buffer.

use std::time::Instant;

use super::advanced::{Elements, EventKind};
use super::chunk::{Chunk, Told};
use super::products::Products;
use super::record::{Row, Stored, Texts};
use super::request::{Protocol, Refusal};
use super::spelling::Times;
use super::{advanced, exchange, frame};
use crate::product::ProductId;
use crate::record::Trade;
use crate::schema::{Layout, Trades};
use crate::time::UnixNanos;

/// Most trades of a batch.
const MAX_BATCH: usize = 100;

/// Makes the frames of one client.
#[derive(Debug)]
pub(super) struct Messages {
    protocol: Protocol,
    times: Times,
    /// The number of the next message.
    number: u64,
    since: Instant,
    message: Vec<u8>,
    element: Vec<u8>,
}

impl Messages {
    /// Begins with the first message of a connection.
    pub(super) fn new(protocol: Protocol, since: Instant) -> Self {
        Self { protocol, times: Times::default(), number: 0, since, message: Vec::new(), element: Vec::new() }
    }

    /// Adds the message that is ready.
    fn send(&mut self, out: &mut Vec<u8>) {
        frame::write(out, frame::Opcode::Text, &self.message);
        self.message.clear();
    }

    fn next_number(&mut self) -> u64 {
        let number = self.number;
        self.number += 1;
        number
    }

    /// Adds an error.
    pub(super) fn error(&mut self, out: &mut Vec<u8>, message: &str, reason: Option<&str>) {
        exchange::write_error(&mut self.message, message, reason);
        self.send(out);
    }

    /// Adds the answer to a request that is refused.
    pub(super) fn refusal(&mut self, out: &mut Vec<u8>, refusal: &Refusal) {
        self.error(out, refusal.message, refusal.reason.as_deref());
    }

    /// Adds the list of what the client has subscribed to.
    pub(super) fn subscriptions<'n>(&mut self, out: &mut Vec<u8>, now: UnixNanos, channels: impl Iterator<Item = (&'n str, Vec<&'n str>)>) {
        match self.protocol {
            Protocol::Exchange => exchange::write_subscriptions(&mut self.message, channels),
            Protocol::Advanced => {
                let number = self.next_number();
                advanced::write_subscriptions(&mut self.message, &mut self.times, number, now, channels);
            }
        }
        self.send(out);
    }

    /// Adds a product's heartbeat, on the Exchange feed.
    pub(super) fn heartbeat(&mut self, out: &mut Vec<u8>, product: &ProductId, newest: Option<&Trade>, now: UnixNanos) {
        exchange::write_heartbeat(&mut self.message, &mut self.times, product, newest.unwrap_or(&Trades::EMPTY), now);
        self.send(out);
    }

    /// Adds the connection's heartbeat, on the Advanced Trade feed.
    pub(super) fn heartbeats(&mut self, out: &mut Vec<u8>, now: UnixNanos) {
        let uptime = UnixNanos(u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let number = self.next_number();
        advanced::write_heartbeat(&mut self.message, &mut self.times, number, now, uptime);
        self.send(out);
    }

    /// Adds all products and their conditions.
    pub(super) fn status(&mut self, out: &mut Vec<u8>, products: &Products, now: UnixNanos) {
        let (mut all, mut currencies) = (Vec::new(), Vec::new());
        products.write_all(&mut all);
        products.write_currencies(&mut currencies);
        match self.protocol {
            Protocol::Exchange => exchange::write_status(&mut self.message, &all, &currencies),
            Protocol::Advanced => {
                let number = self.next_number();
                advanced::write_status(&mut self.message, &mut self.times, number, now, &all);
            }
        }
        self.send(out);
    }

    /// Adds what the Exchange feed sends of a product's newest trade on subscribing.
    pub(super) fn last_match(&mut self, out: &mut Vec<u8>, texts: &Texts, stored: &Stored, trade: &Trade) {
        exchange::write_match(&mut self.message, &mut self.times, texts, stored, trade, "last_match");
        self.send(out);
    }

    /// Adds the newest trades of a product as the Advanced Trade feed sends them on subscribing. They come oldest first.
    pub(super) fn snapshot(&mut self, out: &mut Vec<u8>, texts: &Texts, trades: &[Stored], now: UnixNanos) {
        self.batch(out, texts, trades, EventKind::Snapshot, now);
    }

    /// Adds stored records, as they would have come.
    pub(super) fn records(&mut self, out: &mut Vec<u8>, texts: &Texts, records: &[Stored]) {
        match self.protocol {
            Protocol::Exchange => {
                for stored in records {
                    exchange::write_record(&mut self.message, &mut self.times, texts, stored);
                    self.send(out);
                }
            }
            Protocol::Advanced => {
                let is_together = |before: &Stored, next: &Stored| {
                    let are_trades = matches!((&before.row, &next.row), (Row::Trade(_), Row::Trade(_)));
                    are_trades && before.product == next.product && before.received() == next.received()
                };
                for together in records.chunk_by(is_together).flat_map(|together| together.chunks(MAX_BATCH)) {
                    match together {
                        [stored @ Stored { row: Row::Ticker(_), .. }] => self.ticker(out, texts, stored, EventKind::Update),
                        [.., newest] => self.batch(out, texts, together, EventKind::Update, newest.received()),
                        [] => {}
                    }
                }
            }
        }
    }

    /// Adds a ticker as the client's feed has it.
    pub(super) fn ticker(&mut self, out: &mut Vec<u8>, texts: &Texts, stored: &Stored, kind: EventKind) {
        let Row::Ticker(ticker) = &stored.row else { return };
        match self.protocol {
            Protocol::Exchange => exchange::write_ticker(&mut self.message, &mut self.times, texts, stored, ticker),
            Protocol::Advanced => {
                self.element.clear();
                advanced::write_ticker(&mut self.element, texts, stored, ticker);
                let head = (self.next_number(), ticker.time);
                let elements = std::iter::once(self.element.as_slice());
                advanced::write_event(&mut self.message, &mut self.times, head, kind, Elements::Tickers, elements);
            }
        }
        self.send(out);
    }

    fn batch(&mut self, out: &mut Vec<u8>, texts: &Texts, oldest_first: &[Stored], kind: EventKind, now: UnixNanos) {
        self.element.clear();
        let mut ends = Vec::with_capacity(oldest_first.len());
        for stored in oldest_first.iter().rev() {
            let Row::Trade(trade) = &stored.row else { continue };
            let from = self.element.len();
            advanced::write_trade(&mut self.element, &mut self.times, texts, stored, trade);
            ends.push(from..self.element.len());
        }
        let head = (self.next_number(), now);
        let elements = ends.into_iter().filter_map(|range| self.element.get(range));
        advanced::write_event(&mut self.message, &mut self.times, head, kind, Elements::Trades, elements);
        self.send(out);
    }

    /// Adds records of one product as the log has them.
    pub(super) fn told(&mut self, out: &mut Vec<u8>, chunk: &Chunk, records: &[&Told]) {
        if self.protocol == Protocol::Exchange {
            for told in records {
                out.extend_from_slice(chunk.exchange.get(told.exchange.clone()).unwrap_or_default());
            }
            return;
        }
        let are_trades = |before: &&Told, next: &&Told| matches!((&before.stored.row, &next.stored.row), (Row::Trade(_), Row::Trade(_)));
        for together in records.chunk_by(are_trades).flat_map(|together| together.chunks(MAX_BATCH)) {
            let [.., newest] = together else { continue };
            let number = self.next_number();
            let elements = together.iter().rev().filter_map(|told| chunk.advanced.get(told.advanced.clone()));
            let (time, kind) = match &newest.stored.row {
                Row::Trade(_) => (newest.stored.received(), Elements::Trades),
                Row::Ticker(ticker) => (ticker.time, Elements::Tickers),
            };
            advanced::write_event(&mut self.message, &mut self.times, (number, time), EventKind::Update, kind, elements);
            self.send(out);
        }
    }

    /// Adds a whole run of the log, on the Exchange feed. Tells whether it has.
    pub(super) fn whole_run(&self, out: &mut Vec<u8>, chunk: &Chunk, run: &[Told]) -> bool {
        let (Protocol::Exchange, [first, ..], [.., last]) = (self.protocol, run, run) else { return false };
        out.extend_from_slice(chunk.exchange.get(first.exchange.start..last.exchange.end).unwrap_or_default());
        true
    }
}
