//! Reads the ledger of a simulated exchange: JSON Lines, one object for every trade and ticker that it produced, sent or not.
//!
//! 1. Lines are read one at a time through reused buffers. A ledger of millions of lines needs the memory of its longest line.
//! 2. The standard library reads decimals from the **text**, the f32 and the f64 each by itself. The decoder of a capture is never used for it.
//! 3. A line that cannot be read is an error of the ledger and is never passed over. A ledger without an `end` line has been cut off.

use std::io::BufRead;

use simd_json::Buffers;
use simd_json::prelude::*;
use simd_json::tape::Object;

use crate::decimal::Decimal;
use crate::product::ProductId;
use crate::record::{OrderId, Side, Ticker, Trade};
use crate::schema::{Layout, Md, Trades};
use crate::time::{Timestamp, UnixNanos, parse_rfc3339};
use LedgerLineError::{Invalid, Missing};

/// The longest line that is read, in bytes. A `head` line that names all products has about 10 KB.
const MAX_LINE_BYTES: u64 = 8 << 20;

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A trade of the market.
    Trade {
        /// The product.
        product: ProductId,
        /// The trade. A ledger does not know receive time and origin.
        trade: Trade,
        /// Whether it was sent to a connection.
        sent: bool,
    },
    /// A ticker of the market.
    Ticker {
        /// The product.
        product: ProductId,
        /// The ticker. A ledger does not know its receive time.
        ticker: Ticker,
        /// Whether it was sent to a connection.
        sent: bool,
    },
    /// Trades that were sent once more when a connection subscribed, whatever their own lines say.
    Shown {
        /// The product.
        product: ProductId,
        /// The first id.
        first: u64,
        /// The last id.
        last: u64,
    },
    /// A fault that the simulator made.
    Fault {
        /// The name of the fault.
        name: String,
        /// When it happened, by the event clock.
        time: Option<UnixNanos>,
    },
    /// The ledger's last line.
    End,
    /// A line that does not say what should be stored.
    Other,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("ledger: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not one of a ledger.
    #[error("ledger line {line}: {source}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        source: LedgerLineError,
    },
}

/// What is wrong with a line of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerLineError {
    /// It is not JSON, or not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It does not have a field of its kind.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A field is not what it should be.
    #[error("its {field} is not {wanted}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

/// A ledger, read line by line.
pub(super) struct Ledger<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    buffers: Buffers,
    /// The products met so far. A name is checked once.
    products: Vec<ProductId>,
}

impl<R: BufRead> Ledger<R> {
    /// Begins where the reader stands.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, buffers: Buffers::default(), products: Vec::new() }
    }

    /// Reads the next line. Gives nothing at the end of the file.
    ///
    /// # Errors
    /// Where the file or the line cannot be read.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, LedgerError> {
        self.line.clear();
        self.number += 1;
        if std::io::Read::take(&mut self.reader, MAX_LINE_BYTES).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        let entry = parse(&mut self.line, &mut self.buffers, &mut self.products);
        entry.map(Some).map_err(|source| LedgerError::Line { line: self.number, source })
    }
}

fn parse(line: &mut [u8], buffers: &mut Buffers, products: &mut Vec<ProductId>) -> Result<Entry, LedgerLineError> {
    let tape = simd_json::to_tape_with_buffers(line, buffers).map_err(|_| LedgerLineError::NotAnObject)?;
    let root = tape.as_value();
    let fields = Fields(root.as_object().ok_or(LedgerLineError::NotAnObject)?);
    match fields.text("kind") {
        Some("trade") => Ok(Entry::Trade { trade: fields.trade()?, product: fields.product(products)?, sent: fields.sent()? }),
        Some("ticker") => Ok(Entry::Ticker { ticker: fields.ticker()?, product: fields.product(products)?, sent: fields.sent()? }),
        Some("initial") if fields.text("channel") != Some("ticker") => Ok(Entry::Shown {
            product: fields.product(products)?,
            first: fields.number("first", "first id")?,
            last: fields.number("last", "last id")?,
        }),
        Some("fault") => Ok(Entry::Fault { name: fields.text("fault").ok_or(Missing("fault"))?.to_owned(), time: fields.time().ok() }),
        Some("end") => Ok(Entry::End),
        Some(_) => Ok(Entry::Other),
        None => Err(Missing("kind")),
    }
}

/// The fields of a line.
struct Fields<'tape, 'input>(Object<'tape, 'input>);

impl<'input> Fields<'_, 'input> {
    fn text(&self, key: &str) -> Option<&'input str> {
        self.0.get(key).and_then(|value| value.into_string())
    }

    fn number(&self, key: &str, name: &'static str) -> Result<u64, LedgerLineError> {
        self.0.get(key).and_then(|value| value.as_u64()).ok_or(Missing(name))
    }

    fn sent(&self) -> Result<bool, LedgerLineError> {
        self.0.get("sent").and_then(|value| value.as_bool()).ok_or(Missing("sent"))
    }

    fn product(&self, known: &mut Vec<ProductId>) -> Result<ProductId, LedgerLineError> {
        let name = self.text("product").ok_or(Missing("product"))?;
        if let Some(product) = known.iter().find(|product| product.as_str() == name) {
            return Ok(product.clone());
        }
        let product = ProductId::new(name).map_err(|_| Invalid { field: "product", wanted: "a product id" })?;
        known.push(product.clone());
        Ok(product)
    }

    fn time(&self) -> Result<UnixNanos, LedgerLineError> {
        let time = self.text("time").and_then(|text| parse_rfc3339(text.as_bytes()).ok());
        time.and_then(Timestamp::to_unix).ok_or(Invalid { field: "time", wanted: "RFC 3339" })
    }

    fn decimal(&self, key: &'static str) -> Result<Decimal, LedgerLineError> {
        let invalid = Invalid { field: key, wanted: "a plain decimal" };
        self.text(key).map_or(Ok(Decimal::NONE), |text| nearest(text).ok_or(invalid))
    }

    fn side(&self) -> Result<Option<Side>, LedgerLineError> {
        match self.text("side") {
            None => Ok(None),
            Some("buy") => Ok(Some(Side::Buy)),
            Some("sell") => Ok(Some(Side::Sell)),
            Some(_) => Err(Invalid { field: "side", wanted: "buy or sell" }),
        }
    }

    fn trade(&self) -> Result<Trade, LedgerLineError> {
        Ok(Trade {
            trade_id: self.number("trade_id", "trade id")?,
            time: self.time()?,
            price: self.decimal("price")?,
            size: self.decimal("size")?,
            side: self.side()?.ok_or(Missing("side"))?,
            maker_order_id: order(self.text("maker"))?,
            taker_order_id: order(self.text("taker"))?,
            sequence: self.number("sequence", "sequence")?,
            ..Trades::EMPTY
        })
    }

    fn ticker(&self) -> Result<Ticker, LedgerLineError> {
        Ok(Ticker {
            time: self.time()?,
            trade_id: self.number("trade_id", "trade id")?,
            sequence: self.number("sequence", "sequence")?,
            price: self.decimal("price")?,
            volume: self.decimal("last_size")?,
            side: self.side()?,
            best_bid: self.decimal("best_bid")?,
            best_ask: self.decimal("best_ask")?,
            best_bid_size: self.decimal("best_bid_size")?.as_f64,
            best_ask_size: self.decimal("best_ask_size")?.as_f64,
            ..Md::EMPTY
        })
    }
}

/// Gives the f32 and the f64 nearest to a text.
fn nearest(text: &str) -> Option<Decimal> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let (as_f64, as_f32) = (text.parse().ok()?, text.parse().ok()?);
    plain.then_some(Decimal::new(as_f64, as_f32, true))
}

/// Reads a UUID. No text is no id.
fn order(text: Option<&str>) -> Result<OrderId, LedgerLineError> {
    let Some(text) = text else { return Ok(OrderId::NIL) };
    let (mut plain, mut digits) = ([0; 32], text.bytes().filter(|byte| *byte != b'-'));
    for (to, from) in plain.iter_mut().zip(&mut digits) {
        *to = from;
    }
    let mut id = [0; 16];
    match (digits.next(), hex::decode_to_slice(plain, &mut id)) {
        (None, Ok(())) => Ok(OrderId(id)),
        _ => Err(Invalid { field: "order id", wanted: "a UUID" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>, LedgerError> {
        let mut ledger = Ledger::new(text.as_bytes());
        let mut entries = Vec::new();
        while let Some(entry) = ledger.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    const TRADE: &str = r#"{"kind":"trade","product":"BTC-USD","trade_id":7,"time":"2025-06-07T00:00:00.000001Z","price":"131072.01","size":"0.1","side":"buy","maker":"27fff20b-af29-4f45-8744-56dd1ef57dc0","taker":null,"sequence":9,"sent":true}"#;

    #[test]
    fn a_trade_comes_with_the_floats_nearest_to_its_text() {
        let entries = read(TRADE).expect("reads");
        let [Entry::Trade { product, trade, sent: true }] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((product.as_str(), trade.trade_id, trade.sequence), ("BTC-USD", 7, 9));
        assert_eq!((trade.price.as_f32, trade.price.as_f64, trade.size.as_f64), (131_072.01_f32, 131_072.01, 0.1));
        assert_eq!(
            (trade.maker_order_id.to_string().as_str(), trade.taker_order_id),
            ("27fff20b-af29-4f45-8744-56dd1ef57dc0", OrderId::NIL)
        );
        // 16777217.0000000001 lies above the midpoint of two f32s, its f64 on it: rounding twice gives the lower one.
        let entries = read(&TRADE.replace("131072.01", "16777217.0000000001")).expect("reads");
        let [Entry::Trade { trade, .. }] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((trade.price.as_f32, trade.price.as_f64), (16_777_218.0, 16_777_217.0));
    }

    #[test]
    fn fields_that_an_advanced_ticker_does_not_have_are_null_and_not_zero() {
        let line = r#"{"kind":"ticker","product":"BTC-USD","trade_id":0,"sequence":0,"time":"2025-06-07T00:00:00Z","price":"1","last_size":null,"side":null,"best_bid":"0.9","best_bid_size":"3","best_ask":"1.1","best_ask_size":"4","sent":false}"#;
        let entries = read(line).expect("reads");
        let [Entry::Ticker { ticker, sent: false, .. }] = entries.as_slice() else { panic!("{entries:?}") };
        assert!(ticker.volume.as_f64.is_nan() && ticker.side.is_none() && !ticker.carries_trade());
    }

    #[test]
    fn other_lines_are_told_apart_and_bad_ones_refused() {
        let shown = r#"{"kind":"initial","client":1,"channel":"matches","product":"BTC-USD","first":5,"last":6}"#;
        let text = format!("{{\"kind\":\"head\",\"feed\":\"exchange\"}}\n{shown}\n{{\"kind\":\"end\",\"totals\":{{\"a\":[1]}}}}\n");
        let product = ProductId::new("BTC-USD").expect("a product");
        assert_eq!(read(&text).expect("reads"), [Entry::Other, Entry::Shown { product, first: 5, last: 6 }, Entry::End]);
        for bad in [
            "{}",
            "x",
            "\n",
            &TRADE.replace("\"buy\"", "\"BUY\""),
            &TRADE.replace("0.1", "1e3"),
            &TRADE.replace("-4f45-", "-4f4-"),
            &TRADE[..60],
        ] {
            assert!(matches!(read(bad), Err(LedgerError::Line { line: 1, .. })), "{bad}");
        }
    }
}
