//! [`Client`]: sends events to one client, as long as it stays.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{EventId, put_event};
use super::hub::{Batch, Hub, Taken};
use crate::export::stream::{LineMaker, Lines, StreamError};
use crate::ids::IdSet;
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, Trades};
use crate::serve::http::body::BodyWriter;
use crate::serve::server::Server;
use crate::store::Snapshot;
use crate::tape::follow::MAX_DAYS;
use crate::tape::{Tape, TapeError};
use crate::time::UtcDay;

/// Time without an event after which a comment is sent.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Longest wait for an event before it is looked whether the client has left.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Why events end before the server stops.
#[derive(Debug)]
pub(super) enum Ended {
    /// They cannot be sent, or made.
    Failed(StreamError),
    /// The product cannot be followed.
    Hub(String),
}

impl<E: Into<StreamError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A client that gets events.
pub(super) struct Client<'a> {
    pub(super) server: &'a Server,
    pub(super) hub: &'a Hub,
    /// The number of the event that comes next.
    pub(super) next: u64,
    /// The trades that it got before the hub's events, where it came back after a long time.
    pub(super) sent: Option<IdSet>,
}

impl Client<'_> {
    /// Sends events until the server stops.
    ///
    /// # Errors
    /// Where they cannot be made or sent.
    pub(super) fn run(&mut self, out: &mut BodyWriter<'_>) -> Result<(), Ended> {
        let (mut last, membership) = (Instant::now(), self.hub.join());
        while !self.server.stopping() {
            match membership.take(self.next, LONGEST_WAIT) {
                Taken::Events(batches) => {
                    self.send(&batches, out)?;
                    last = Instant::now();
                }
                Taken::Nothing if out.has_left() => return Ok(()),
                Taken::Nothing if last.elapsed() >= HEARTBEAT => {
                    out.write_all(b": heartbeat\n\n")?;
                    out.flush()?;
                    last = Instant::now();
                }
                Taken::Nothing => {}
                Taken::Passed(ids) => {
                    self.send_passed(&ids, out)?;
                    last = Instant::now();
                }
                Taken::Ended(why) => return Err(Ended::Hub(why)),
            }
        }
        Ok(())
    }

    /// Sends the events of some batches from the next one on.
    fn send(&mut self, batches: &[Arc<Batch>], out: &mut BodyWriter<'_>) -> Result<(), StreamError> {
        let (mut next, mut parts) = (self.next, Vec::with_capacity(batches.len()));
        for batch in batches {
            match &self.sent {
                None => parts.push(batch.from(next)),
                Some(sent) => {
                    let is_new = |id: EventId| !matches!(id, EventId::Trade(id) if sent.contains(id));
                    parts.extend(batch.events_from(next).filter(|(id, _)| is_new(*id)).map(|(_, event)| event));
                }
            }
            next = batch.end();
        }
        out.send_parts(&parts)?;
        let counters = self.server.counters();
        counters.send_rows(next.saturating_sub(self.next));
        batches.first().into_iter().for_each(|oldest| counters.note_lag(oldest.age()));
        self.next = next;
        Ok(())
    }

    /// Sends events that the hub does not keep any more, by the ids of their trades.
    fn send_passed(&mut self, ids: &[EventId], out: &mut BodyWriter<'_>) -> Result<(), Ended> {
        if self.hub.dataset() != Dataset::Trades {
            return Err(Ended::Hub("the client was too far behind".to_owned()));
        }
        let (product, tape) = (self.hub.product(), self.server.tape().map_err(tape_failed)?);
        let dates = tape.days(product, Dataset::Trades).map_err(tape_failed)?;
        let mut days = Vec::new();
        for date in dates.into_iter().rev().take(MAX_DAYS) {
            days.extend(checked_day::<Trades>(&tape, product, date)?);
        }
        let Some(first) = days.last().map(|day| day.key().date) else { return Err(Ended::Hub("the days are gone".to_owned())) };
        let lines = LineMaker::new(self.server.dir(), product, Dataset::Trades, first);
        for id in ids {
            let EventId::Trade(id) = *id else { continue };
            self.next += 1;
            if self.sent.as_ref().is_some_and(|sent| sent.contains(id)) {
                continue;
            }
            let found = days.iter().find_map(|day| day.number_of_id(id).map(|number| (day, number)));
            let Some((day, number)) = found else { return Err(Ended::Hub(format!("trade {id} is gone"))) };
            self.send_lines(&lines.of_numbers(day, std::iter::once(number))?, out)?;
        }
        Ok(())
    }

    /// Sends lines as events.
    ///
    /// # Errors
    /// Where the client takes no more.
    pub(super) fn send_lines(&self, lines: &Lines, out: &mut BodyWriter<'_>) -> Result<(), StreamError> {
        let mut text = Vec::with_capacity(lines.text.len() + lines.ids.len() * 32);
        for (line, (id, received)) in lines.text.split_inclusive(|byte| *byte == b'\n').zip(lines.ids.iter().zip(&lines.received)) {
            put_event(&mut text, EventId::of(*id, *received), line);
        }
        out.write_all(&text)?;
        self.server.counters().send_rows(lines.ids.len() as u64);
        Ok(())
    }
}

/// Opens a day of which records are to be sent again, and compares its bytes with their checksums.
///
/// # Errors
/// Where they differ, or the day cannot be read.
pub(super) fn checked_day<L: Layout>(tape: &Tape, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, StreamError> {
    let day = tape.day::<L>(product, date).map_err(tape_failed)?;
    if let Some(day) = &day {
        tape.check_bytes(day).map_err(|error| StreamError::Day(error.into()))?;
    }
    Ok(day)
}

/// Says that the tape cannot be read.
fn tape_failed(error: TapeError) -> StreamError {
    StreamError::Day(error.into())
}
