//! [`Quotes`]: the best bid and ask before a trade, and those after it, from the tickers of a tape.
//!
//! A ticker tells the order book **after** its trade, and has the sequence of that trade. So the quote *before* a trade is that of the ticker with the next
//! lower sequence, and the quote *after* it that of the ticker with the same one. Tickers may skip trades, and a feed may send no sequence: then there is
//! none, or an older one. [`Quote::time`] says how old it is.
//!
//! 1. The exchange's sequence may begin anew. Tickers are kept in stretches in which it rises; a quote is taken from a stretch only where the trade ids that
//!    its tickers name agree: below that of the trade before it, and not below it behind.
//! 2. A quote after a trade is given only where its ticker names that trade.
//! 3. Tickers without a sequence (those of the Advanced feed, or of a folder with core columns alone) are no quotes of a trade: nothing tells which of
//!    them was before it.
//! 4. Nothing is copied: stretches are ranges of the columns. Late tickers are few and kept by trade id.

use std::ops::Range;

use super::days;
use crate::product::ProductId;
use crate::record::{Ticker, Trade};
use crate::schema::{Dataset, Md};
use crate::store::{Run, Snapshot};
use crate::tape::{Tape, TapeError};
use crate::time::UnixNanos;
use crate::time_range::TimeRange;

/// Stretches that are tried for a trade, the latest first. There is one, and two or three on a day on which a sequence began anew.
const MAX_TRIED: usize = 8;

/// The best prices of an order book.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Quote {
    /// The event time of the ticker.
    pub time: UnixNanos,
    /// The best bid. `None` where the ticker had none.
    pub bid: Option<f64>,
    /// The best ask. `None` where the ticker had none.
    pub ask: Option<f64>,
}

impl Quote {
    fn of(ticker: &Ticker) -> Self {
        let number = |value: f64| value.is_finite().then_some(value);
        Self { time: ticker.time, bid: number(ticker.best_bid.as_f64), ask: number(ticker.best_ask.as_f64) }
    }

    /// Gives the middle of the two prices.
    #[must_use]
    pub fn mid(&self) -> Option<f64> {
        Some(f64::midpoint(self.bid?, self.ask?))
    }
}

/// A ticker as it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sequence: u64,
    /// The trade that it names; 0 = none.
    trade_id: u64,
}

/// Tickers whose sequences rise.
#[derive(Debug, Clone)]
struct Stretch {
    /// The index of their day.
    day: usize,
    /// Their records in its columns.
    records: Range<usize>,
    first: Mark,
    last: Mark,
}

/// The tickers of some days.
#[derive(Debug, Default)]
pub(crate) struct Quotes {
    days: Vec<Snapshot<Md>>,
    /// In the order in which they came.
    stretches: Vec<Stretch>,
    /// Tickers that came late, by trade id.
    late: Vec<Ticker>,
}

impl Quotes {
    /// Opens the tickers of a range of time, and those of the nearest day before it.
    ///
    /// # Errors
    /// Where a day cannot be read.
    pub(crate) fn open(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Self, TapeError> {
        let mut quotes = Self::default();
        let dates = tape.days(product, Dataset::Md)?;
        let mut opened = Vec::new();
        for date in dates.iter().rev().filter(|date| range.to.is_none_or(|to| date.start() < to)) {
            let is_before = range.from.is_some_and(|from| *date < from.day());
            let Some(day) = days::open::<Md>(tape, product, *date)?.filter(|day| day.count() > 0) else { continue };
            opened.push(day);
            if is_before {
                break;
            }
        }
        opened.into_iter().rev().for_each(|day| quotes.add(day));
        quotes.late.sort_by_key(|ticker| (ticker.trade_id, ticker.sequence));
        Ok(quotes)
    }

    /// Tells whether a ticker has a sequence.
    #[must_use]
    pub(crate) fn has_sequences(&self) -> bool {
        !self.stretches.is_empty() || !self.late.is_empty()
    }

    /// Adds a day behind those added before.
    fn add(&mut self, day: Snapshot<Md>) {
        let at = self.days.len();
        for run in day.runs(0..day.count()) {
            match run {
                Run::Late(ticker) => self.late.extend(Some(*ticker).filter(|ticker| ticker.sequence != 0 && ticker.trade_id != 0)),
                Run::Columns(records) => self.stretches.extend(stretches(&day, at, records)),
            }
        }
        self.days.push(day);
    }

    /// Gives the quote before a trade: that of the ticker with the next lower sequence. `None` where there is none, or where it cannot be told.
    #[must_use]
    pub(crate) fn before(&self, trade: &Trade) -> Option<Quote> {
        let wanted = mark_of(trade)?;
        let candidates = self.tried(wanted).filter_map(|at| self.lower(at, wanted));
        // The latest of those that name the same trade.
        let found = candidates.reduce(|latest, other| if other.0.trade_id > latest.0.trade_id { other } else { latest });
        let late = self.late_before(wanted, found.map(|(mark, _)| mark));
        late.or_else(|| found.and_then(|(_, quote)| quote))
    }

    /// Gives the quote after a trade: that of the ticker which names it and has its sequence.
    #[must_use]
    pub(crate) fn after(&self, trade: &Trade) -> Option<Quote> {
        let wanted = mark_of(trade)?;
        let stored = self.tried(wanted).find_map(|at| {
            let stretch = self.stretches.get(at)?;
            let day = self.days.get(stretch.day)?;
            let record = stretch.records.start + count_below(day, &stretch.records, wanted.sequence);
            let is_of_trade = stretch.records.contains(&record) && mark_at(day, record)? == wanted;
            is_of_trade.then(|| quote_at(day, record))?
        });
        stored.or_else(|| {
            let from = self.late.partition_point(|ticker| (ticker.trade_id, ticker.sequence) < (wanted.trade_id, wanted.sequence));
            let ticker = self.late.get(from)?;
            ((ticker.trade_id, ticker.sequence) == (wanted.trade_id, wanted.sequence)).then(|| Quote::of(ticker))
        })
    }

    /// Lists the stretches that may hold a trade's ticker or the one before it, the latest first.
    fn tried(&self, wanted: Mark) -> impl Iterator<Item = usize> {
        let end = self.stretches.partition_point(|stretch| stretch.first.trade_id <= wanted.trade_id);
        (end.saturating_sub(MAX_TRIED)..end).rev()
    }

    /// Finds the ticker of a stretch with the next lower sequence, where the trade lies between it and the one behind it.
    fn lower(&self, at: usize, wanted: Mark) -> Option<(Mark, Option<Quote>)> {
        let stretch = self.stretches.get(at)?;
        let day = self.days.get(stretch.day)?;
        let below = count_below(day, &stretch.records, wanted.sequence);
        let record = (stretch.records.start + below).checked_sub(1).filter(|_| below > 0)?;
        let mark = mark_at(day, record)?;
        let next = if stretch.records.contains(&(record + 1)) {
            mark_at(day, record + 1)
        } else {
            // Where the sequences rise on, the trade may lie behind the next stretch's first ticker.
            self.stretches.get(at + 1).map(|next| next.first).filter(|next| next.sequence > stretch.last.sequence)
        };
        let is_below = mark.trade_id < wanted.trade_id && mark.sequence < wanted.sequence;
        let is_next = next.is_none_or(|next| next.sequence >= wanted.sequence && (next.trade_id == 0 || next.trade_id >= wanted.trade_id));
        (is_below && is_next).then(|| (mark, quote_at(day, record)))
    }

    /// Finds a late ticker that lies between `found` and the trade.
    fn late_before(&self, wanted: Mark, found: Option<Mark>) -> Option<Quote> {
        let below = self.late.partition_point(|ticker| ticker.trade_id < wanted.trade_id);
        let ticker = below.checked_sub(1).and_then(|at| self.late.get(at))?;
        let is_nearer = match found {
            Some(found) => ticker.sequence > found.sequence && ticker.trade_id > found.trade_id,
            // Without a stretch nothing tells on which side of a new beginning it was.
            None => self.stretches.len() <= 1,
        };
        (ticker.sequence < wanted.sequence && is_nearer).then(|| Quote::of(ticker))
    }
}

/// Gives what a trade's ticker is looked for by; nothing where the feed sent no sequence.
fn mark_of(trade: &Trade) -> Option<Mark> {
    (trade.sequence != 0).then_some(Mark { sequence: trade.sequence, trade_id: trade.trade_id })
}

fn mark_at(day: &Snapshot<Md>, record: usize) -> Option<Mark> {
    let number = |name| day.column::<u64>(name).ok()?.get(record).copied();
    Some(Mark { sequence: number("sequence")?, trade_id: number("trade_id")? })
}

fn quote_at(day: &Snapshot<Md>, record: usize) -> Option<Quote> {
    day.base_row(record).map(|ticker| Quote::of(&ticker))
}

/// Counts the tickers of a stretch whose sequence is below another.
fn count_below(day: &Snapshot<Md>, records: &Range<usize>, sequence: u64) -> usize {
    let sequences = day.column::<u64>("sequence").unwrap_or_default();
    sequences.get(records.clone()).unwrap_or_default().partition_point(|known| *known < sequence)
}

/// Finds the stretches of some records, in order. Tickers without a sequence are in none.
fn stretches(day: &Snapshot<Md>, at: usize, records: Range<usize>) -> Vec<Stretch> {
    let sequences = day.column::<u64>("sequence").unwrap_or_default();
    let mut found: Vec<Range<usize>> = Vec::new();
    for (record, sequence) in records.clone().zip(sequences.get(records).unwrap_or_default()) {
        match found.last_mut() {
            _ if *sequence == 0 => {}
            Some(last) if last.end == record && sequences.get(record.wrapping_sub(1)).is_some_and(|before| before < sequence) => {
                last.end += 1
            }
            _ => found.push(record..record + 1),
        }
    }
    let stretch = |records: Range<usize>| {
        let (first, last) = (mark_at(day, records.start)?, mark_at(day, records.end - 1)?);
        Some(Stretch { day: at, records, first, last })
    };
    found.into_iter().filter_map(stretch).collect()
}
