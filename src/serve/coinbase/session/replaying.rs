//! The part of a [`Session`] that replays the past, and goes over into live.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{FULL_BYTES, Place, Session};
use crate::product::ProductId;
use crate::serve::coinbase::handover::{self, Filter, Handover};
use crate::serve::coinbase::record::{Row, Stored};
use crate::serve::coinbase::replay::{Next, Replay};
use crate::tape::TapeError;
use crate::time::{Clock, NANOS_PER_SECOND};
use crate::time_range::TimeRange;

/// Records that are replayed before their texts are made.
const BATCH: usize = 512;
/// Most of them, if more were received at once.
const MAX_BATCH: usize = 4096;
/// Time between two looks at a tape whose end a replay has come to.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long after the end of a replay records from before may still come, in nanoseconds.
const AFTER_END_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// How long after a request a replay is not taken for over: a client may ask channel by channel.
const AFTER_REQUEST: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Adds records of the past, and goes over into live at their end. Gives when there may be more.
    pub(super) fn replay(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<Option<Instant>, TapeError> {
        if self.replay.is_empty() {
            self.handover = Handover::None;
            return Ok(None);
        }
        match self.handover {
            Handover::Asked(round) => {
                if let Some((since, _)) = self.live.after(round, std::iter::empty()) {
                    self.replay.add_series()?;
                    self.handover = Handover::Draining { since };
                }
            }
            Handover::Confirming { since, round } => {
                let Some((boundary, _)) = self.live.after(round, std::iter::empty()) else { return Ok(None) };
                self.replay.check_not_cut(true)?;
                self.finish_handover(since, boundary);
                return Ok(Some(now));
            }
            Handover::None | Handover::Draining { .. } => {}
        }
        self.replay.look()?;
        let (mut batch, begun) = (Vec::new(), out.len());
        let next = loop {
            // What was received together stays together.
            let is_between = self.replay.next_time() != batch.last().map(Stored::received) || batch.len() >= MAX_BATCH;
            if batch.len() >= BATCH && is_between {
                self.send_batch(&mut batch, out);
            }
            if batch.is_empty() && out.len() >= FULL_BYTES {
                break Some(now);
            }
            match self.replay.next(now)? {
                Next::Record(stored) => batch.push(stored),
                Next::Waits(until) => break Some(until),
                Next::Nothing => break self.at_end(now),
            }
        };
        self.send_batch(&mut batch, out);
        let checked = self.replay.check_not_cut(self.is_replayed(now));
        if checked.is_err() {
            // Nobody knows what of it is right.
            out.truncate(begun);
        }
        checked.map(|()| next)
    }

    /// Takes the next step of the handover where everything that is committed was replayed. Gives when to look again.
    fn at_end(&mut self, now: Instant) -> Option<Instant> {
        let is_endless = self.settings.range.is_none_or(|range| range.to.is_none());
        match self.handover {
            Handover::None if is_endless && self.filter.is_none() => {
                let products: BTreeSet<ProductId> = self.replay.subjects().map(|(product, _)| product.clone()).collect();
                products.into_iter().for_each(|product| self.want(product));
                self.handover = Handover::Asked(self.live.next_round());
            }
            Handover::Draining { since } => self.handover = Handover::Confirming { since, round: self.live.next_round() },
            _ => {}
        }
        Some(now + LOOK_AGAIN)
    }

    /// Goes over to the log.
    fn finish_handover(&mut self, since: u64, boundary: u64) {
        self.handover = Handover::None;
        // Where the log has moved on meanwhile, the replay goes on, and tries again.
        let Some(given) = handover::find_given(self.live, &self.replay, since, boundary) else { return };
        let range = self.settings.range.unwrap_or(TimeRange::ALL);
        let replayed = std::mem::replace(&mut self.replay, Replay::new(&self.tape, range, self.settings.pace));
        let filter = Filter::new(replayed, boundary, given);
        self.since.extend(filter.subjects().into_iter().map(|subject| (subject, since)));
        self.filter = Some(filter);
        self.place.get_or_insert(Place { chunk: since, run: 0 });
        self.texts = None;
    }

    /// Adds records that were replayed.
    fn send_batch(&mut self, batch: &mut Vec<Stored>, out: &mut Vec<u8>) {
        for stored in batch.iter() {
            self.replay_time = match &stored.row {
                Row::Trade(trade) => trade.time,
                Row::Ticker(ticker) => ticker.time,
            };
            if let Row::Trade(trade) = stored.row {
                self.replayed.insert(stored.product.clone(), trade);
            }
        }
        if batch.is_empty() {
            return;
        }
        // The texts of records were written before the records were committed.
        match &mut self.texts {
            Some(texts) => texts.refresh(),
            None => self.texts = Some(self.read_texts()),
        }
        if let Some(texts) = &self.texts {
            self.messages.records(out, texts, batch);
        }
        self.rows += batch.len() as u64;
        batch.clear();
    }

    /// Tells whether a replay with an end has come to it.
    pub(super) fn is_replayed(&self, now: Instant) -> bool {
        let Some(to) = self.settings.range.and_then(|range| range.to) else { return false };
        let is_quiet = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= AFTER_REQUEST);
        is_quiet && !self.replay.is_empty() && self.replay.is_exhausted() && Clock::System.now().0 > to.0.saturating_add(AFTER_END_NANOS)
    }
}
