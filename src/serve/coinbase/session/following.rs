//! The part of a [`Session`] that gives what is being stored, heartbeats and the status of products.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Ending, FULL_BYTES, HEARTBEAT, HEARTBEAT_AGAIN, Place, STATUS, Session};
use crate::product::ProductId;
use crate::record::Trade;
use crate::serve::coinbase::chunk::Chunk;
use crate::serve::coinbase::live::Found;
use crate::serve::coinbase::products::Products;
use crate::serve::coinbase::replay::Kind;
use crate::serve::coinbase::request::{Channel, Protocol};
use crate::serve::folder::why_unreadable;
use crate::time::{Clock, UnixNanos};

impl Session<'_> {
    /// Adds what the log has for the client.
    ///
    /// # Errors
    /// Where the client's place has left the log, or a product cannot be followed any more.
    pub(super) fn follow(&mut self, out: &mut Vec<u8>) -> Result<(), Ending> {
        if self.live.has_failures()
            && let Some(why) = self.wanted.iter().find_map(|product| self.live.failure(product))
        {
            self.messages.error(out, "Internal error", Some(&why_unreadable(self.tape.dir(), &why)));
            return Err(Ending::new(1011, "the tape cannot be read"));
        }
        let Some(mut place) = self.place else { return Ok(()) };
        let end = self.handover.since().unwrap_or(u64::MAX);
        let mut found = Vec::new().into_iter();
        while out.len() < FULL_BYTES && place.chunk < end {
            let chunk: Arc<Chunk> = match found.next() {
                Some(chunk) => chunk,
                None => match self.live.find(place.chunk) {
                    Found::Chunks(chunks) => {
                        found = chunks.into_iter();
                        continue;
                    }
                    Found::Nothing => break,
                    Found::Lost => return Err(Ending { code: 1008, reason: "ErrSlowConsume", is_slow: true }),
                },
            };
            if self.filter.as_ref().is_some_and(|filter| filter.is_over(place.chunk)) {
                self.filter = None;
            }
            self.lag = self.lag.max(chunk.looked.map(|looked| looked.elapsed()));
            while place.run < chunk.runs.len() && out.len() < FULL_BYTES {
                self.follow_run(&chunk, place, out);
                place.run += 1;
            }
            if place.run >= chunk.runs.len() {
                place = Place { chunk: place.chunk + 1, run: 0 };
            }
        }
        self.place = Some(place);
        Ok(())
    }

    /// Adds the records of one product that follow each other in a chunk.
    fn follow_run(&mut self, chunk: &Chunk, place: Place, out: &mut Vec<u8>) {
        let Some(run) = chunk.runs.get(place.run) else { return };
        let Some(records @ [first, ..]) = chunk.records.get(run.records.clone()) else { return };
        let product = &first.stored.product;
        let takes = |kind| self.since.get(&(product.clone(), kind)).is_some_and(|since| *since <= place.chunk);
        let (trades, tickers) = (run.has_trades && takes(Kind::Trades), run.has_tickers && takes(Kind::Tickers));
        if !trades && !tickers {
            return;
        }
        let are_all = trades == run.has_trades && tickers == run.has_tickers;
        if are_all && self.filter.is_none() && self.messages.whole_run(out, chunk, records) {
            self.rows += records.len() as u64;
            return;
        }
        let (filter, mut taken) = (self.filter.as_ref(), 0);
        let records: Vec<_> = (run.records.start..)
            .zip(records)
            .filter(|(at, told)| {
                let is_asked = match told.stored.row.kind() {
                    Kind::Trades => trades,
                    Kind::Tickers => tickers,
                };
                is_asked && !filter.is_some_and(|filter| filter.was_given(place.chunk, *at, told))
            })
            .map(|(_, told)| told)
            .inspect(|_| taken += 1)
            .collect();
        self.messages.told(out, chunk, &records);
        self.rows += taken;
    }

    /// Adds heartbeats and the status of products where they are due.
    pub(super) fn send_periodically(&mut self, now: Instant, out: &mut Vec<u8>) {
        if now >= self.next_heartbeat {
            // Where the client is behind, it gets them when it is not.
            let is_sent = self.send_heartbeats(out);
            self.next_heartbeat = now + if is_sent { HEARTBEAT } else { HEARTBEAT_AGAIN };
        }
        if now >= self.next_status && self.subscriptions.has(Channel::Status) {
            self.next_status = now + STATUS;
            // A list that cannot be read is no news.
            if let Ok(products) = Products::read(&self.tape)
                && products != self.products
            {
                self.products = products;
                self.messages.status(out, &self.products, Clock::System.now());
            }
        }
    }

    /// Adds heartbeats. Tells whether it has: they must not run ahead of the trades that the client has got.
    fn send_heartbeats(&mut self, out: &mut Vec<u8>) -> bool {
        let now = self.heartbeat_time();
        if self.settings.protocol == Protocol::Advanced {
            if self.subscriptions.has(Channel::Heartbeats) {
                self.messages.heartbeats(out, now);
            }
            return true;
        }
        let Some(newest) = self.newest_trades() else { return false };
        for (product, newest) in newest {
            self.messages.heartbeat(out, &product, newest.as_ref(), now);
        }
        true
    }

    /// Gives the time of heartbeats: that of the replay while there is one.
    fn heartbeat_time(&self) -> UnixNanos {
        let is_replaying = self.settings.range.is_some() && (self.place.is_none() || !self.replay.is_empty());
        if is_replaying { self.replay_time } else { Clock::System.now() }
    }

    /// Gives the newest trade of each product that heartbeats are for; nothing where the log has more for the client.
    fn newest_trades(&self) -> Option<BTreeMap<ProductId, Option<Trade>>> {
        let products: Vec<&ProductId> = self.subscriptions.products_of(Channel::Heartbeats).collect();
        let (live, replayed): (Vec<&ProductId>, Vec<&ProductId>) = products.into_iter().partition(|product| {
            let is_live = |kind| self.since.contains_key(&((*product).clone(), kind));
            self.settings.range.is_none() || is_live(Kind::Trades) || is_live(Kind::Tickers)
        });
        let mut newest: BTreeMap<ProductId, Option<Trade>> =
            replayed.into_iter().map(|product| (product.clone(), self.replayed.get(product).copied())).collect();
        if !live.is_empty() {
            let trades = self.live.newest_at_end(self.place.map(|place| place.chunk), live.iter().copied())?;
            newest.extend(live.into_iter().cloned().zip(trades));
        }
        Some(newest)
    }
}
