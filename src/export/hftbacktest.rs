//! `hftbacktest`: the events of hftbacktest 2.4, in an `.npz` archive with the key `data`.
//!
//! 1. A trade is one event, a quote one event for each side of the book that it names. Trades stand before the quotes they left, as hftbacktest asks.
//! 2. An event happens twice: at the exchange, at `exch_ts`, and here, at `local_ts`. Where both orders agree it is one row with both marks. Where they do
//!    not, it is two rows with one mark each, so that the rows of either mark are in the order of its time. That is what hftbacktest's
//!    `correct_event_order` makes, and what its `validate_event_order` asks for.
//! 3. Times are as recorded. An event that was received before it happened, by the clocks, stays so: `correct_local_timestamp` is for that.

use std::io::{self, Write};
use std::path::PathBuf;

use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written};
use super::npz::{Fields, NpzWriter};
use super::output::Output;
use super::receipt::{self, Content};
use super::received::{self, ReceivedQuote, ReceivedTrade};
use crate::record::Side;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// The format.
pub(super) struct HftBacktest;

impl FileFormat for HftBacktest {
    fn is_by_receipt(&self) -> bool {
        true
    }

    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        receipt::files(product, &[Content { name: "events", datasets: &[Dataset::Trades, Dataset::Md] }])
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        let date = file.planned.date.to_string().replace('-', "");
        Ok(PathBuf::from(format!("{}_{date}.npz", file.product)))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        let (trades, quotes): (Vec<ReceivedTrade>, Vec<ReceivedQuote>) = (received::read(file), received::read(file));
        let events = Events::new(&trades, &quotes).ok_or_else(|| out.failure("more than 4 294 967 295 events in a day"))?;
        events.write(&mut *out).map_err(|error| out.failure(error))?;
        let (of_trades, of_quotes) = (received::written(&trades), received::written(&quotes));
        done(of_trades.rows + of_quotes.rows);
        Ok(of_trades.and(of_quotes))
    }
}

/// hftbacktest's `event_dtype`.
const FIELDS: Fields = &[
    ("ev", "<u8"),
    ("exch_ts", "<i8"),
    ("local_ts", "<i8"),
    ("px", "<f8"),
    ("qty", "<f8"),
    ("order_id", "<u8"),
    ("ival", "<i8"),
    ("fval", "<f8"),
];
const EVENT_SIZE: usize = 64;

const TRADE: u64 = 2;
const DEPTH_BBO: u64 = 5;
const AT_EXCHANGE: u64 = 1 << 31;
const LOCAL: u64 = 1 << 30;
const BUY: u64 = 1 << 29;
const SELL: u64 = 1 << 28;

/// Events that have both times in common: a trade, or the two sides of a quote.
#[derive(Clone, Copy)]
struct Moment {
    exchange: UnixNanos,
    local: UnixNanos,
}

/// A day's events in hftbacktest's order.
pub(super) struct Events<'a> {
    trades: &'a [ReceivedTrade],
    quotes: &'a [ReceivedQuote],
    /// The numbers of the moments by exchange time. Trades come first, then quotes.
    by_exchange: Vec<u32>,
    /// By the time of receipt.
    by_local: Vec<u32>,
}

impl<'a> Events<'a> {
    /// Orders a day's trades and quotes. Gives nothing where there are more than a u32 counts.
    #[must_use]
    pub(super) fn new(trades: &'a [ReceivedTrade], quotes: &'a [ReceivedQuote]) -> Option<Self> {
        let count = u32::try_from(trades.len() + quotes.len()).ok()?;
        let mut events = Self { trades, quotes, by_exchange: Vec::new(), by_local: Vec::new() };
        // Both sorts are stable: where times are equal the order of the tape stays.
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by_key(|number| events.moment(*number).map(|moment| moment.exchange));
        events.by_exchange = order;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by_key(|number| events.moment(*number).map(|moment| moment.local));
        events.by_local = order;
        Some(events)
    }

    fn moment(&self, number: u32) -> Option<Moment> {
        match self.event(number)? {
            Event::Trade(trade) => Some(Moment { exchange: trade.event, local: trade.local }),
            Event::Quote(quote) => Some(Moment { exchange: quote.event, local: quote.local }),
        }
    }

    fn event(&self, number: u32) -> Option<Event<'a>> {
        let number = number as usize;
        match number.checked_sub(self.trades.len()) {
            None => self.trades.get(number).map(Event::Trade),
            Some(number) => self.quotes.get(number).map(Event::Quote),
        }
    }

    /// Gives every moment with the marks of where it happens, in order: merges the two orders by exchange time, then by the time of receipt.
    fn each(&self, mut take: impl FnMut(Event<'a>, u64) -> io::Result<()>) -> io::Result<()> {
        let (mut by_exchange, mut by_local) = (self.by_exchange.iter().copied().peekable(), self.by_local.iter().copied().peekable());
        loop {
            let (number, marks) = match (by_exchange.peek().copied(), by_local.peek().copied()) {
                (None, None) => return Ok(()),
                (Some(at_exchange), Some(local)) if at_exchange == local => (at_exchange, AT_EXCHANGE | LOCAL),
                (Some(at_exchange), local) if self.is_before(at_exchange, local) => (at_exchange, AT_EXCHANGE),
                (_, Some(local)) => (local, LOCAL),
                (Some(at_exchange), None) => (at_exchange, AT_EXCHANGE),
            };
            if marks & AT_EXCHANGE != 0 {
                by_exchange.next();
            }
            if marks & LOCAL != 0 {
                by_local.next();
            }
            if let Some(event) = self.event(number) {
                take(event, marks)?;
            }
        }
    }

    fn is_before(&self, number: u32, other: Option<u32>) -> bool {
        let key = |number| self.moment(number).map(|moment| (moment.exchange, moment.local));
        other.is_none_or(|other| key(number) < key(other))
    }

    /// Counts the rows of the file.
    #[must_use]
    pub(super) fn count(&self) -> u64 {
        let mut count = 0;
        let counted = self.each(|event, _| {
            count += event.rows().count() as u64;
            Ok(())
        });
        assert!(counted.is_ok(), "counting writes nothing");
        count
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// As the output's.
    pub(super) fn write<W: Write>(&self, output: W) -> io::Result<()> {
        let mut archive = NpzWriter::begin(output, FIELDS, EVENT_SIZE, self.count())?;
        self.each(|event, marks| event.rows().try_for_each(|row| archive.write(&row.encoded(marks))))?;
        archive.finish().map(drop)
    }
}

/// What happened.
#[derive(Clone, Copy)]
enum Event<'a> {
    Trade(&'a ReceivedTrade),
    Quote(&'a ReceivedQuote),
}

/// A row of the file, without the marks of where it happens.
struct Row {
    kind: u64,
    exchange: UnixNanos,
    local: UnixNanos,
    price: f64,
    quantity: f64,
}

impl Event<'_> {
    fn rows(self) -> impl Iterator<Item = Row> {
        let rows = match self {
            Event::Trade(trade) => {
                let side = trade.side.map_or(0, |side| if side == Side::Buy { BUY } else { SELL });
                let row = Row { kind: TRADE | side, exchange: trade.event, local: trade.local, price: trade.price, quantity: trade.size };
                [Some(row), None]
            }
            Event::Quote(quote) => {
                let row = |side, price: f64, quantity| {
                    let row = Row { kind: DEPTH_BBO | side, exchange: quote.event, local: quote.local, price, quantity };
                    (!price.is_nan()).then_some(row)
                };
                [row(SELL, quote.ask, quote.ask_size), row(BUY, quote.bid, quote.bid_size)]
            }
        };
        rows.into_iter().flatten()
    }
}

impl Row {
    fn encoded(&self, marks: u64) -> [u8; EVENT_SIZE] {
        let fields = [
            (self.kind | marks).to_le_bytes(),
            self.exchange.0.to_le_bytes(),
            self.local.0.to_le_bytes(),
            self.price.to_le_bytes(),
            self.quantity.to_le_bytes(),
            [0; 8],
            [0; 8],
            [0; 8],
        ];
        let mut bytes = [0; EVENT_SIZE];
        for (field, place) in fields.iter().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(field);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trade(event: u64, local: u64) -> ReceivedTrade {
        ReceivedTrade {
            local: UnixNanos(local),
            event: UnixNanos(event),
            trade_id: 1,
            side: Some(Side::Buy),
            is_live: true,
            price: 2.0,
            size: 3.0,
        }
    }

    fn quote(event: u64, local: u64) -> ReceivedQuote {
        ReceivedQuote {
            local: UnixNanos(local),
            event: UnixNanos(event),
            is_live: true,
            bid: 1.0,
            ask: 2.0,
            bid_size: 4.0,
            ask_size: f64::NAN,
        }
    }

    /// The rows as (kind with marks, exchange time, time of receipt, price).
    fn rows(trades: &[ReceivedTrade], quotes: &[ReceivedQuote]) -> Vec<(u64, u64, u64, f64)> {
        let events = Events::new(trades, quotes).expect("few");
        let mut rows = Vec::new();
        let all = events.each(|event, marks| {
            rows.extend(event.rows().map(|row| (row.kind | marks, row.exchange.0, row.local.0, row.price)));
            Ok(())
        });
        all.expect("nothing is written");
        assert_eq!(rows.len() as u64, events.count());
        rows
    }

    const BOTH: u64 = AT_EXCHANGE | LOCAL;

    #[test]
    fn a_trade_stands_before_the_quote_it_left_and_the_ask_before_the_bid() {
        let rows = rows(&[trade(10, 15)], &[quote(10, 15)]);
        let expected = [(TRADE | BUY | BOTH, 10, 15, 2.0), (DEPTH_BBO | SELL | BOTH, 10, 15, 2.0), (DEPTH_BBO | BUY | BOTH, 10, 15, 1.0)];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_event_that_was_received_behind_a_later_one_becomes_two_rows() {
        let rows = rows(&[trade(10, 30), trade(11, 20)], &[]);
        // hftbacktest 2.4.4's correct_event_order gives the same for these two.
        let kind = TRADE | BUY;
        let expected = [(kind | AT_EXCHANGE, 10, 30, 2.0), (kind | BOTH, 11, 20, 2.0), (kind | LOCAL, 10, 30, 2.0)];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_side_that_a_ticker_does_not_name_is_no_event() {
        assert_eq!(rows(&[], &[ReceivedQuote { ask: f64::NAN, ..quote(1, 2) }]).len(), 1);
        assert!(rows(&[], &[]).is_empty());
    }

    #[test]
    fn a_row_is_encoded_as_the_dtype_says() {
        let bytes = Row { kind: TRADE | SELL, exchange: UnixNanos(7), local: UnixNanos(9), price: 1.5, quantity: 2.5 }.encoded(BOTH);
        let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).collect();
        assert_eq!(words, [2 | 1 << 31 | 1 << 30 | 1 << 28, 7, 9, 1.5f64.to_bits(), 2.5f64.to_bits(), 0, 0, 0]);
        assert_eq!(FIELDS.len() * 8, EVENT_SIZE);
    }

    proptest! {
        #[test]
        fn each_mark_is_in_the_order_of_its_time_and_each_event_has_both_marks_once(
            trades in prop::collection::vec((0u64..12, 0u64..12), 0..40),
            quotes in prop::collection::vec((0u64..12, 0u64..12), 0..40),
        ) {
            let trades: Vec<_> = trades.into_iter().map(|(event, local)| trade(event, local)).collect();
            let quotes: Vec<_> = quotes.into_iter().map(|(event, local)| quote(event, local)).collect();
            let rows = rows(&trades, &quotes);
            let exchange: Vec<u64> = rows.iter().filter(|row| row.0 & AT_EXCHANGE != 0).map(|row| row.1).collect();
            let local: Vec<u64> = rows.iter().filter(|row| row.0 & LOCAL != 0).map(|row| row.2).collect();
            prop_assert!(exchange.is_sorted() && local.is_sorted());
            prop_assert_eq!(exchange.len(), trades.len() + 2 * quotes.len());
            for mark in [AT_EXCHANGE, LOCAL] {
                let mut seen: Vec<_> = rows.iter().filter(|row| row.0 & mark != 0).map(|row| (row.0 & !BOTH, row.1, row.2)).collect();
                let mut expected: Vec<_> = trades.iter().map(|trade| (TRADE | BUY, trade.event.0, trade.local.0)).collect();
                for quote in &quotes {
                    expected.extend([SELL, BUY].map(|side| (DEPTH_BBO | side, quote.event.0, quote.local.0)));
                }
                seen.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(seen, expected);
            }
        }
    }
}
