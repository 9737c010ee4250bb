//! [`Replay`]: the records of several products and datasets put in order, at the pace that was asked for.
//!
//! ```text
//!   trades of A ──▶ head ─┐
//!   tickers of A ─▶ head ─┼─▶ lowest time of receipt first ──▶ pace ──▶ record
//!   trades of B ──▶ head ─┘
//! ```
//!
//! 1. The records of one source keep their order. Between sources the time of receipt decides where it is known, else the event's.
//! 2. A source that is added later begins at the beginning and catches up: it misses nothing.
//! 3. A source that has ended for now is looked at again once before each batch, not before each record.
//! 4. Memory: one record a source. Nothing is read ahead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::products;
use super::record::{Order, Row, Stored};
use super::source::Source;
use crate::product::ProductId;
use crate::record::{Ticker, Trade};
use crate::schema::{Dataset, Md, Trades};
use crate::tape::{Tape, TapeError};
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// What a source gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Trades,
    Tickers,
}

impl Row {
    /// Tells what it is.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Trade(_) => Kind::Trades,
            Self::Ticker(_) => Kind::Tickers,
        }
    }
}

/// The records of a series of a product.
#[derive(Debug)]
enum Records {
    Trades(Box<Source<Trades>>),
    Tickers(Box<Source<Md>>),
}

/// A source, and the record of it that comes next.
#[derive(Debug)]
struct Lane {
    product: ProductId,
    series: u32,
    records: Records,
    head: Option<Stored>,
    last_ticker: Option<Ticker>,
}

impl Lane {
    fn kind(&self) -> Kind {
        match self.records {
            Records::Trades(_) => Kind::Trades,
            Records::Tickers(_) => Kind::Tickers,
        }
    }

    /// Reads the next record, if there is one by now.
    fn advance(&mut self) -> Result<(), TapeError> {
        let next = match &mut self.records {
            Records::Trades(source) => source.next()?.map(|given| (Row::Trade(given.row), given.is_core)),
            Records::Tickers(source) => source.next()?.map(|given| (Row::Ticker(given.row), given.is_core)),
        };
        self.head = next.map(|(row, is_core)| Stored { product: self.product.clone(), series: self.series, row, is_core });
        Ok(())
    }
}

/// How fast records come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// As fast as the client reads.
    Fastest,
    /// So many times as fast as they were received.
    Times(f64),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Record(Stored),
    /// A record, not before this time.
    Waits(Instant),
    /// Everything that is committed was given.
    Nothing,
}

/// Gives records in order.
#[derive(Debug)]
pub(super) struct Replay {
    tape: Tape,
    range: TimeRange,
    pace: Pace,
    /// When the first record was given, and its time.
    started: Option<(Instant, UnixNanos)>,
    lanes: Vec<Lane>,
    /// The lanes that have a head, by its time.
    order: BinaryHeap<Reverse<(Order, usize)>>,
}

impl Replay {
    /// Begins without a source.
    #[must_use]
    pub(super) fn new(tape: &Tape, range: TimeRange, pace: Pace) -> Self {
        Self { tape: tape.clone(), range, pace, started: None, lanes: Vec::new(), order: BinaryHeap::new() }
    }

    /// Adds the records of a product. What was added before is not added again.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn add(&mut self, product: &ProductId, kind: Kind) -> Result<(), TapeError> {
        for stored in products::series(&self.tape, product)? {
            let series = stored.series();
            if self.lanes.iter().any(|lane| (&lane.product, lane.series, lane.kind()) == (product, series, kind)) {
                continue;
            }
            // Without a first time asked for, it begins with what is here.
            if self.range.from.is_some() {
                let dataset = if kind == Kind::Trades { Dataset::Trades } else { Dataset::Md };
                self.tape.check_archived(&stored, dataset, self.range, 0)?;
            }
            let records = match kind {
                Kind::Trades => Records::Trades(Box::new(Source::new(&self.tape, &stored, self.range))),
                Kind::Tickers => Records::Tickers(Box::new(Source::new(&self.tape, &stored, self.range))),
            };
            self.lanes.push(Lane { product: product.clone(), series, records, head: None, last_ticker: None });
        }
        Ok(())
    }

    /// Adds the series that have begun since.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn add_series(&mut self) -> Result<(), TapeError> {
        let known: Vec<(ProductId, Kind)> =
            self.lanes.iter().filter(|lane| lane.series == 1).map(|lane| (lane.product.clone(), lane.kind())).collect();
        known.iter().try_for_each(|(product, kind)| self.add(product, *kind))
    }

    /// Removes the records of a product.
    pub(super) fn remove(&mut self, product: &ProductId, kind: Kind) {
        self.lanes.retain(|lane| (&lane.product, lane.kind()) != (product, kind));
        // Their numbers have changed.
        let heads = self.lanes.iter().enumerate().filter_map(|(at, lane)| Some(Reverse((lane.head.as_ref()?.order(), at))));
        self.order = heads.collect();
    }

    /// Tells whether it has no source.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Tells whether no record waits: everything that was found was given.
    #[must_use]
    pub(super) fn is_exhausted(&self) -> bool {
        self.order.is_empty()
    }

    /// Lists what it gives.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (&ProductId, Kind)> {
        self.lanes.iter().filter(|lane| lane.series == 1).map(|lane| (&lane.product, lane.kind()))
    }

    /// Looks at the sources that had ended. To be called before a batch.
    ///
    /// # Errors
    /// Where a day cannot be read.
    pub(super) fn look(&mut self) -> Result<(), TapeError> {
        for (at, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.head.is_none()) {
            lane.advance()?;
            self.order.extend(lane.head.as_ref().map(|head| Reverse((head.order(), at))));
        }
        Ok(())
    }

    /// Gives the next record, if it is due at `now`.
    ///
    /// # Errors
    /// Where a day cannot be read.
    pub(super) fn next(&mut self, now: Instant) -> Result<Next, TapeError> {
        let Some(Reverse(((time, _), at))) = self.order.peek().copied() else { return Ok(Next::Nothing) };
        if let Some(due) = self.due(time, now).filter(|due| *due > now) {
            return Ok(Next::Waits(due));
        }
        self.order.pop();
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(Next::Nothing) };
        let Some(record) = lane.head.take() else { return Ok(Next::Nothing) };
        if let Row::Ticker(ticker) = record.row {
            lane.last_ticker = Some(ticker);
        }
        lane.advance()?;
        self.order.extend(lane.head.as_ref().map(|head| Reverse((head.order(), at))));
        Ok(Next::Record(record))
    }

    /// Fails where files were cut while they were read: what was given since the last time is not to be sent. `is_end` as in [`Source::check_not_cut`].
    ///
    /// # Errors
    /// Where they were.
    pub(super) fn check_not_cut(&self, is_end: bool) -> Result<(), TapeError> {
        self.lanes.iter().try_for_each(|lane| match &lane.records {
            Records::Trades(source) => source.check_not_cut(is_end),
            Records::Tickers(source) => source.check_not_cut(is_end),
        })
    }

    /// Gives the time of the next record that was found.
    #[must_use]
    pub(super) fn next_time(&self) -> Option<UnixNanos> {
        self.order.peek().map(|Reverse(((time, _), _))| *time)
    }

    /// Tells when a record of this time is due; nothing where it is at once.
    fn due(&mut self, time: UnixNanos, now: Instant) -> Option<Instant> {
        let Pace::Times(speed) = self.pace else { return None };
        let (started, first) = *self.started.get_or_insert((now, time));
        #[expect(clippy::cast_precision_loss, reason = "a pause between two messages needs no more digits")]
        let seconds = time.since(first) as f64 / 1e9 / speed;
        // Further away than any client stays: looked at again then.
        Some(started + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(86_400)).min(Duration::from_secs(86_400 * 365)))
    }

    /// Tells whether a trade was given.
    #[must_use]
    pub(super) fn has_given_trade(&self, product: &ProductId, series: u32, trade: &Trade) -> bool {
        self.lanes.iter().any(|lane| match &lane.records {
            Records::Trades(source) => (&lane.product, lane.series) == (product, series) && source.has_given(trade.trade_id),
            Records::Tickers(_) => false,
        })
    }

    /// Gives the last ticker that was given of each series of a product.
    pub(super) fn last_tickers(&self) -> impl Iterator<Item = (&ProductId, u32, &Ticker)> {
        self.lanes.iter().filter_map(|lane| Some((&lane.product, lane.series, lane.last_ticker.as_ref()?)))
    }
}
