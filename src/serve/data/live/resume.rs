//! [`Resume`]: what a client has missed that comes back.
//!
//! 1. Where the hub still knows in which order records came, all that came behind the client's last event is sent, late records included.
//! 2. Where it does not (the server was started since, or it was long ago), trades are found by their ids: all with a higher one are sent. Those are noted, so
//!    that none comes again from the hub.
//! 3. Tickers have no unique ids. Those behind the last one that names the trade are sent, up to where the hub goes on.

use super::client::{Client, Ended, checked_day};
use super::event::EventId;
use crate::export::stream::{BATCH_RECORDS, LineMaker, StreamError};
use crate::ids::{IdRange, IdSet};
use crate::product::ProductId;
use crate::schema::{Dataset, Layout, Md};
use crate::serve::data::ground::check_days;
use crate::serve::data::records::days_behind;
use crate::serve::data::refusal::Refusal;
use crate::serve::http::body::BodyWriter;
use crate::serve::server::Server;
use crate::store::Snapshot;
use crate::tape::Tape;
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// A client's last event.
#[derive(Debug)]
pub(super) struct Resume {
    last: EventId,
    tape: Tape,
}

impl Resume {
    /// Checks that what was missed is not more than a request may cover.
    ///
    /// # Errors
    /// Where it is.
    pub(super) fn check(server: &Server, tape: &Tape, product: &ProductId, dataset: Dataset, last: EventId) -> Result<Self, Refusal> {
        match (dataset, last) {
            (Dataset::Trades, EventId::Trade(id)) => days_behind(server, tape, product, TimeRange::ALL, id).map(drop)?,
            (Dataset::Trades, EventId::Received(_)) => {
                return Err(Refusal::new(400, "Last-Event-ID is not one of a trade", "send the id of the last event as it came"));
            }
            _ => check_days(server, 0)?,
        }
        Ok(Self { last, tape: tape.clone() })
    }

    /// Sends what was missed before the hub's events go on.
    pub(super) fn catch_up(self, client: &mut Client<'_>, out: &mut BodyWriter<'_>) -> Result<(), Ended> {
        if let Some(next) = client.hub.behind(self.last) {
            client.next = next;
            return Ok(());
        }
        match (client.hub.dataset(), self.last) {
            (Dataset::Trades, EventId::Trade(id)) => self.send_trades(client, id, out),
            _ => self.send_tickers(client, out),
        }
    }

    fn send_trades(&self, client: &mut Client<'_>, after: u64, out: &mut BodyWriter<'_>) -> Result<(), Ended> {
        // Whatever comes from here on is an event of the hub, too.
        client.next = client.hub.next();
        let product = client.hub.product();
        let Ok(dates) = days_behind(client.server, &self.tape, product, TimeRange::ALL, after) else { return Ok(()) };
        let Some(first) = dates.first() else { return Ok(()) };
        let lines = LineMaker::new(client.server.dir(), product, Dataset::Trades, *first);
        let mut sent = IdSet::new();
        lines.each_behind(&self.tape, &dates, after, |lines| {
            client.send_lines(&lines, out)?;
            let mut range: Option<IdRange> = None;
            for id in lines.ids {
                if range.as_mut().is_none_or(|range| !range.push(id)) {
                    range.replace(IdRange::one(id)).into_iter().for_each(|range| sent.insert(range));
                }
            }
            range.into_iter().for_each(|range| sent.insert(range));
            if client.server.stopping() { Err(StreamError::Stopped) } else { Ok(()) }
        })?;
        client.sent = Some(sent);
        Ok(())
    }

    fn send_tickers(&self, client: &mut Client<'_>, out: &mut BodyWriter<'_>) -> Result<(), Ended> {
        let (next, given) = client.hub.given();
        client.next = next;
        let mut missed: Vec<(Snapshot<Md>, Vec<usize>)> = Vec::new();
        for (date, base, late) in given.into_iter().rev() {
            let Some(day) = self.open::<Md>(client.hub.product(), date)? else { continue };
            // Late tickers stand behind all others. Where the day was replaced since, they are in the columns.
            let numbers: Vec<usize> = if day.base_count() >= base && day.late().len() >= late {
                (0..base).chain(day.base_count()..day.base_count() + late).collect()
            } else {
                (0..(base + late).min(day.count())).collect()
            };
            let last = numbers.iter().rposition(|number| day.row(*number).is_some_and(|ticker| self.is_known(&ticker)));
            let from = last.map_or(0, |last| last + 1);
            missed.push((day, numbers.get(from..).unwrap_or_default().to_vec()));
            if last.is_some() {
                break;
            }
        }
        let Some(first) = missed.last().map(|(day, _)| day.key().date) else { return Ok(()) };
        let lines = LineMaker::new(client.server.dir(), client.hub.product(), Dataset::Md, first);
        for (day, numbers) in missed.iter().rev() {
            for batch in numbers.chunks(BATCH_RECORDS) {
                client.send_lines(&lines.of_numbers(day, batch.iter().copied())?, out)?;
            }
        }
        Ok(())
    }

    /// Tells whether the client got a ticker before its last one, or as that.
    fn is_known(&self, ticker: &crate::record::Ticker) -> bool {
        match self.last {
            EventId::Trade(id) => ticker.trade_id != 0 && ticker.trade_id <= id,
            EventId::Received(time) => ticker.recv.0 <= time,
        }
    }

    fn open<L: Layout>(&self, product: &ProductId, date: UtcDay) -> Result<Option<Snapshot<L>>, StreamError> {
        checked_day(&self.tape, product, date)
    }
}
