//! [`TextEncoder`]: CSV, JSON Lines and a JSON array of the exported columns.
//!
//! 1. A JSON object has every column as a key, in order. What has no value is `null` in JSON and empty in CSV.
//! 2. No value needs quotes in CSV or escapes in JSON: numbers, times, UUIDs, and the names of the table.
//! 3. A number is the shortest text that reads back as the same f64, or what the exchange sent where no f64 gives that back.

use std::io::Write;

use super::error::StreamError;
use super::format::StreamFormat;
use crate::digits;
use crate::export::block::Block;
use crate::export::table::{ExportColumn, Filled, Kind, Present, Values};
use crate::json::quoted;
use crate::product::ProductId;
use crate::query::ExactTexts;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// Bytes of text that are collected before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of a time up to the digits behind the second: `2025-06-07T12:34:56.`
const SECOND_BYTES: usize = 20;

/// Where the exact texts of a block's numbers are found.
pub(super) struct ExactCells<'a> {
    pub(super) texts: &'a ExactTexts,
    pub(super) product: &'a ProductId,
    pub(super) dataset: Dataset,
    /// The keys of the block's records.
    pub(super) keys: Vec<u64>,
}

impl ExactCells<'_> {
    fn find(&self, column: &str, row: usize, value: f64) -> Option<&str> {
        self.texts.find(self.product, exact_column(self.dataset, column)?, *self.keys.get(row)?, value)
    }
}

/// Gives the stored column that an exported number is made of, where it has exact texts.
fn exact_column(dataset: Dataset, exported: &str) -> Option<&'static str> {
    Some(match (dataset, exported) {
        (Dataset::Trades, "price") => "trade_price_f64",
        (Dataset::Trades, "size") => "trade_size_f64",
        (Dataset::Md, "price") => "price_f64",
        (Dataset::Md, "size") => "volume_f64",
        (Dataset::Md, "bid") => "best_bid_f64",
        (Dataset::Md, "ask") => "best_ask_f64",
        (Dataset::Md, "bid_size") => "best_bid_size_f64",
        (Dataset::Md, "ask_size") => "best_ask_size_f64",
        _ => return None,
    })
}

/// Writes rows as text.
pub(super) struct TextEncoder<'w> {
    format: StreamFormat,
    columns: Vec<ExportColumn>,
    /// What stands before each value.
    keys: Vec<Vec<u8>>,
    out: &'w mut dyn Write,
    text: Vec<u8>,
    has_rows: bool,
    times: TimeText,
}

impl<'w> TextEncoder<'w> {
    /// Begins: CSV with its header line.
    ///
    /// # Errors
    /// Where the output takes no bytes.
    pub(super) fn begin(format: StreamFormat, columns: &[ExportColumn], out: &'w mut dyn Write) -> Result<Self, StreamError> {
        let key = |(at, column): (usize, &ExportColumn)| match format {
            StreamFormat::Csv if at == 0 => Vec::new(),
            StreamFormat::Csv => vec![b','],
            _ => format!("{}{}:", if at == 0 { '{' } else { ',' }, quoted(column.name)).into_bytes(),
        };
        let keys = columns.iter().enumerate().map(key).collect();
        let (text, times) = (Vec::with_capacity(2 * BATCH_BYTES), TimeText::default());
        let mut encoder = Self { format, columns: columns.to_vec(), keys, out, text, has_rows: false, times };
        match format {
            StreamFormat::Csv => {
                let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
                encoder.text.extend_from_slice(names.join(",").as_bytes());
                encoder.text.push(b'\n');
            }
            StreamFormat::Json => encoder.text.push(b'['),
            _ => {}
        }
        // The first bytes leave at once, however long the search for the first record takes.
        encoder.flush()?;
        Ok(encoder)
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Where the output takes no more, or a value does not fit.
    pub(super) fn write(&mut self, block: &Block<'_>, exact: Option<&ExactCells<'_>>) -> Result<(), StreamError> {
        let filled = self.columns.iter().map(|column| (column.fill)(block)).collect::<Result<Vec<Filled<'_>>, _>>()?;
        let mut text = std::mem::take(&mut self.text);
        for row in 0..block.rows() {
            if self.format == StreamFormat::Json {
                text.extend_from_slice(if self.has_rows { b",\n" } else { b"\n" });
            }
            self.has_rows = true;
            for ((column, key), (values, present)) in self.columns.iter().zip(&self.keys).zip(&filled) {
                text.extend_from_slice(key);
                let before = text.len();
                if is_there(present, row) {
                    put(&mut text, column, values, row, self.format, exact, &mut self.times);
                }
                if text.len() == before && self.format != StreamFormat::Csv {
                    text.extend_from_slice(b"null");
                }
            }
            match self.format {
                StreamFormat::Csv => text.push(b'\n'),
                StreamFormat::Json => text.push(b'}'),
                _ => text.extend_from_slice(b"}\n"),
            }
            if text.len() >= BATCH_BYTES {
                self.out.write_all(&text)?;
                text.clear();
            }
        }
        self.text = text;
        self.flush()
    }

    /// Ends the text.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn finish(mut self) -> Result<(), StreamError> {
        if self.format == StreamFormat::Json {
            self.text.extend_from_slice(if self.has_rows { b"\n]\n" } else { b"]\n" });
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

#[inline]
fn is_there(present: &Present, row: usize) -> bool {
    match present {
        Present::All => true,
        Present::None => false,
        Present::Some(marks) => marks.get(row) == Some(&true),
    }
}

/// Adds a value. One that is not a number adds nothing.
#[inline]
fn put(
    text: &mut Vec<u8>,
    column: &ExportColumn,
    values: &Values<'_>,
    row: usize,
    format: StreamFormat,
    exact: Option<&ExactCells<'_>>,
    times: &mut TimeText,
) {
    let quote = |text: &mut Vec<u8>| {
        if format != StreamFormat::Csv {
            text.push(b'"');
        }
    };
    match values {
        Values::Int64(values) if column.kind == Kind::Time => {
            quote(text);
            times.put(text, values.get(row).copied().unwrap_or_default());
            quote(text);
        }
        Values::Int64(values) => put_i64(text, values.get(row).copied().unwrap_or_default()),
        Values::Int32(values) => put_i64(text, i64::from(values.get(row).copied().unwrap_or_default())),
        Values::Double(values) => put_f64(text, column, row, values.get(row).copied().unwrap_or(f64::NAN), exact),
        Values::Names(places, names) => {
            let name = places.get(row).and_then(|place| names.get(usize::from(*place))).copied().unwrap_or_default();
            quote(text);
            text.extend_from_slice(name.as_bytes());
            quote(text);
        }
        Values::Stored(stored) if column.kind == Kind::OrderId => {
            quote(text);
            digits::push_uuid(text, stored.values::<16>().get(row).unwrap_or(&[0; 16]));
            quote(text);
        }
        Values::Stored(stored) => {
            let bytes = stored.values::<8>().get(row).copied().unwrap_or_default();
            match column.kind {
                Kind::Double => put_f64(text, column, row, f64::from_le_bytes(bytes), exact),
                _ => put_i64(text, i64::from_le_bytes(bytes)),
            }
        }
        Values::Nothing => {}
    }
}

#[inline]
fn put_f64(text: &mut Vec<u8>, column: &ExportColumn, row: usize, value: f64, exact: Option<&ExactCells<'_>>) {
    match exact.and_then(|exact| exact.find(column.name, row, value)) {
        Some(sent) => text.extend_from_slice(sent.as_bytes()),
        None => digits::push_f64(text, value),
    }
}

fn put_i64(text: &mut Vec<u8>, value: i64) {
    if value < 0 {
        text.push(b'-');
    }
    digits::push_u64(text, value.unsigned_abs());
}

/// Writes times. That of a second is kept, as many records share it.
#[derive(Default)]
struct TimeText {
    second: Option<u64>,
    text: Vec<u8>,
}

impl TimeText {
    fn put(&mut self, out: &mut Vec<u8>, nanos: i64) {
        const NANOS: u64 = crate::time::NANOS_PER_SECOND;
        let nanos = nanos.cast_unsigned();
        let second = nanos / NANOS;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = UnixNanos(second.saturating_mul(NANOS)).to_string().into_bytes();
            self.text.truncate(SECOND_BYTES);
        }
        out.extend_from_slice(&self.text);
        let mut rest = nanos % NANOS / 1000;
        let mut digits = *b"000000Z";
        for digit in digits.iter_mut().take(6).rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_has_six_digits_and_is_cut_not_rounded(times in prop::collection::vec(0u64..4_102_444_800_000_000_000, 1..20)) {
            let mut written = TimeText::default();
            for nanos in times {
                let mut text = Vec::new();
                written.put(&mut text, nanos.cast_signed());
                let whole = UnixNanos(nanos).to_string();
                prop_assert_eq!(String::from_utf8(text).expect("text"), format!("{}Z", &whole[..26]));
            }
        }
    }
}
