//! `tardis-csv`: the CSV files of Tardis.dev, which many programs read: `coinbase_trades_2025-06-07_BTC-USD.csv.gz` and `coinbase_quotes_…`.
//!
//! 1. Columns, their order and the names of the files are those of <https://docs.tardis.dev/downloadable-csv-files>.
//! 2. Times are microseconds since the epoch, cut, not rounded. The side is the taker's.
//! 3. Numbers are the shortest decimals that give the stored f64 back, without an exponent. What the feed did not send is empty.
//! 4. Rows stand in the order of `local_timestamp`.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written};
use super::output::Output;
use super::receipt::{self, Content};
use super::received::{self, Received, ReceivedQuote, ReceivedTrade};
use crate::digits::{push_f64, push_u64};
use crate::record::Side;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// How Tardis names the exchange.
const EXCHANGE: &str = "coinbase";
/// Rows that are printed before they are compressed.
const BATCH_ROWS: usize = 1 << 13;

const TRADES: &str = "trades";
const QUOTES: &str = "quotes";

/// The format.
pub(super) struct TardisCsv;

impl FileFormat for TardisCsv {
    fn is_by_receipt(&self) -> bool {
        true
    }

    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        let contents = [Content { name: TRADES, datasets: &[Dataset::Trades] }, Content { name: QUOTES, datasets: &[Dataset::Md] }];
        receipt::files(product, &contents)
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        let (content, date, product) = (file.planned.content, file.planned.date, file.product);
        Ok(PathBuf::from(format!("{EXCHANGE}_{content}_{date}_{product}.csv.gz")))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        if file.planned.content == TRADES { write::<ReceivedTrade>(file, out, done) } else { write::<ReceivedQuote>(file, out, done) }
    }
}

fn write<R: Row>(file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
    let rows: Vec<R> = received::read(file);
    let symbol = file.product.as_str();
    // The time in the head of a gzip file is 0: the bytes depend on the records alone.
    let mut gzip = GzEncoder::new(&mut *out, Compression::fast());
    let mut text = R::HEADER.as_bytes().to_vec();
    let mut ended = Ok(());
    for batch in rows.chunks(BATCH_ROWS) {
        batch.iter().for_each(|row| row.print(symbol, &mut text));
        ended = ended.and_then(|()| gzip.write_all(&text));
        text.clear();
        done(batch.len() as u64);
    }
    let ended = ended.and_then(|()| gzip.write_all(&text)).and_then(|()| gzip.finish().map(drop));
    ended.map_err(|error| out.failure(error))?;
    Ok(received::written(&rows))
}

/// A row of a file.
trait Row: Received {
    /// The first line.
    const HEADER: &'static str;

    /// Prints what stands behind the times.
    fn print_values(&self, text: &mut Vec<u8>);

    /// Prints the row.
    fn print(&self, symbol: &str, text: &mut Vec<u8>) {
        for word in [EXCHANGE, symbol] {
            text.extend_from_slice(word.as_bytes());
            text.push(b',');
        }
        for time in [self.event(), self.local()] {
            push_u64(text, micros(time));
            text.push(b',');
        }
        self.print_values(text);
        text.push(b'\n');
    }
}

impl Row for ReceivedTrade {
    const HEADER: &'static str = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n";

    fn print_values(&self, text: &mut Vec<u8>) {
        push_u64(text, self.trade_id);
        text.push(b',');
        text.extend_from_slice(self.side.map_or("unknown", Side::name).as_bytes());
        text.push(b',');
        put_numbers(text, &[self.price, self.size]);
    }
}

impl Row for ReceivedQuote {
    const HEADER: &'static str = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n";

    fn print_values(&self, text: &mut Vec<u8>) {
        put_numbers(text, &[self.ask_size, self.ask, self.bid, self.bid_size]);
    }
}

fn micros(time: UnixNanos) -> u64 {
    time.0 / 1000
}

/// Adds numbers as fields: nothing where there is none.
fn put_numbers(text: &mut Vec<u8>, values: &[f64]) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        if value.is_finite() {
            push_f64(text, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<R: Row>(rows: &[R]) -> String {
        let mut text = R::HEADER.as_bytes().to_vec();
        rows.iter().for_each(|row| row.print("BTC-USD", &mut text));
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn rows_are_those_of_the_documentation() {
        let trade = ReceivedTrade {
            local: UnixNanos(1_700_000_000_123_456_999),
            event: UnixNanos(1_700_000_000_123_456_789),
            trade_id: 7,
            side: Some(Side::Sell),
            is_live: true,
            price: 64841.44,
            size: 1e-8,
        };
        let others = [ReceivedTrade { side: Some(Side::Buy), size: 1e15, price: f64::NAN, ..trade }, ReceivedTrade { side: None, ..trade }];
        assert_eq!(
            printed(&[trade, others[0], others[1]]),
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n\
             coinbase,BTC-USD,1700000000123456,1700000000123456,7,sell,64841.44,0.00000001\n\
             coinbase,BTC-USD,1700000000123456,1700000000123456,7,buy,,1000000000000000\n\
             coinbase,BTC-USD,1700000000123456,1700000000123456,7,unknown,64841.44,0.00000001\n"
        );
        let quote = ReceivedQuote {
            local: UnixNanos(1_700_000_000_123_457_000),
            event: trade.event,
            is_live: true,
            bid: 64841.43,
            ask: 64841.44,
            bid_size: f64::NAN,
            ask_size: 0.5,
        };
        assert_eq!(
            printed(&[quote]),
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n\
             coinbase,BTC-USD,1700000000123456,1700000000123457,0.5,64841.44,64841.43,\n"
        );
    }
}
