//! [`RecordPrinter`]: prints records as a table, as CSV or as JSON Lines.
//!
//! 1. CSV begins with a header line. A JSON object has every column as a key. The columns are in the order of the dataset, or as asked.
//! 2. A table shows a readable time before the columns, unless other columns alone were asked for.
//! 3. A table is laid out in batches. Each column is as wide as its widest cell so far, and no cell is cut.
//! 4. No value needs quotes in CSV (RFC 4180): numbers, names of sides and products, UUIDs and times have no comma, quote or line feed.

use std::io::{self, Write};

use super::cell;
use super::columns::Shown;
use super::config::{Format, QueryConfig};
use super::exact::ExactTexts;
use crate::json::quoted;
use crate::product::ProductId;
use crate::schema::{Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UnixNanos;

/// Lines of a table that are laid out together.
const BATCH_LINES: usize = 256;
/// Bytes of text that are collected before they are written.
const BATCH_BYTES: usize = 64 << 10;

/// Where the values of a record are.
enum Source<'r, L: Layout> {
    /// In the columns of a day, at this number.
    Columns(&'r Snapshot<L>, usize),
    /// Here, in the order of the dataset's table.
    Values(&'r [Value]),
}

impl<L: Layout> Source<'_, L> {
    /// Gives the value at a place of the dataset's table; nothing where the folder has no such column.
    #[inline]
    fn value(&self, place: usize, kind: Kind) -> Option<Value> {
        match self {
            Self::Columns(day, number) => stored::value_at(day.column_bytes(place), kind, *number),
            Self::Values(values) => values.get(place).copied(),
        }
    }

    fn time(&self) -> UnixNanos {
        let part = |place| match self.value(place, Kind::U32) {
            Some(Value::U32(value)) => value,
            _ => 0,
        };
        // In every dataset the nanoseconds come behind the seconds.
        UnixNanos::from_parts(part(L::TIME), part(L::TIME + 1))
    }
}

/// Prints records.
pub(super) struct RecordPrinter<'a> {
    format: Format,
    raw: bool,
    limit: Option<u64>,
    products: &'a [ProductId],
    columns: &'a [Shown],
    /// What stands before each value in JSON.
    keys: Vec<String>,
    exact: ExactTexts,
    /// The places of the columns by which a record's exact texts are known. The first one that is not 0 counts.
    exact_keys: Vec<usize>,
    out: &'a mut dyn Write,
    text: Vec<u8>,
    batch: Vec<Vec<String>>,
    widths: Vec<usize>,
    printed: u64,
    values: Vec<Value>,
}

impl<'a> RecordPrinter<'a> {
    /// Begins with no record printed.
    pub(super) fn new(config: &'a QueryConfig, columns: &'a [Shown], exact: ExactTexts, out: &'a mut dyn Write) -> Self {
        let all = config.dataset.columns();
        // A ticker without a sequence is known by its receive time.
        let received = all.iter().position(|column| column.name == "recv_nanos");
        let key = |(at, shown): (usize, &Shown)| format!("{}{}:", if at == 0 { '{' } else { ',' }, quoted(shown.name()));
        Self {
            format: config.format,
            raw: config.raw,
            limit: config.limit,
            products: &config.products,
            columns,
            keys: columns.iter().enumerate().map(key).collect(),
            exact,
            exact_keys: stored::key_column(all).into_iter().chain(received).collect(),
            out,
            text: Vec::new(),
            batch: Vec::new(),
            widths: Vec::new(),
            printed: 0,
            values: Vec::new(),
        }
    }

    /// Prints the header line, where the format has one.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let names = self.columns.iter().map(|shown| shown.name());
        match self.format {
            Format::Csv => writeln!(self.out, "{}", names.collect::<Vec<_>>().join(",")),
            Format::Jsonl => Ok(()),
            Format::Table => {
                self.batch.push(names.map(str::to_owned).collect());
                Ok(())
            }
        }
    }

    /// Gives how many records have been printed.
    #[must_use]
    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Tells whether as many records have been printed as were asked for.
    #[must_use]
    pub(super) fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.printed >= limit)
    }

    /// Reads the exact texts that were added since. Their records come after them.
    pub(super) fn refresh_exact(&mut self) {
        self.exact.refresh();
    }

    /// Prints record `number` of the merged order of a day of product number `product`.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn print<L: Layout>(&mut self, product: usize, day: &Snapshot<L>, number: usize) -> io::Result<()> {
        if stored::is_in_columns(day, number) {
            return self.add(product, &Source::Columns(day, number));
        }
        let mut values = std::mem::take(&mut self.values);
        let is_there = stored::load(day, number, &mut values);
        let printed = if is_there { self.add(product, &Source::<L>::Values(&values)) } else { Ok(()) };
        self.values = values;
        printed
    }

    /// Prints the record of product number `product` that has these values.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn print_values<L: Layout>(&mut self, product: usize, values: &[Value]) -> io::Result<()> {
        self.add(product, &Source::<L>::Values(values))
    }

    fn add<L: Layout>(&mut self, product: usize, source: &Source<'_, L>) -> io::Result<()> {
        if self.is_full() {
            return Ok(());
        }
        self.printed += 1;
        match self.format {
            Format::Table => self.add_row(product, source),
            Format::Csv => self.add_csv(product, source),
            Format::Jsonl => self.add_json(product, source),
        }
        if self.batch.len() >= BATCH_LINES || self.text.len() >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }

    /// Writes what has been collected.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn end_batch(&mut self) -> io::Result<()> {
        self.write_batch()?;
        self.out.flush()
    }

    fn add_csv<L: Layout>(&mut self, product: usize, source: &Source<'_, L>) {
        let mut text = std::mem::take(&mut self.text);
        for (at, shown) in self.columns.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            self.write_cell(&mut text, *shown, product, source);
        }
        text.push(b'\n');
        self.text = text;
    }

    fn add_json<L: Layout>(&mut self, product: usize, source: &Source<'_, L>) {
        let mut text = std::mem::take(&mut self.text);
        for (shown, key) in self.columns.iter().zip(&self.keys) {
            text.extend_from_slice(key.as_bytes());
            let is_text = match *shown {
                Shown::Stored(column, place) => {
                    source.value(place, column.kind).is_some_and(|value| cell::is_text(column, value, self.raw))
                }
                Shown::Product | Shown::EventTime(_) | Shown::ReadableTime => true,
            };
            let before = text.len();
            if is_text {
                text.push(b'"');
            }
            self.write_cell(&mut text, *shown, product, source);
            if is_text {
                text.push(b'"');
            }
            if text.len() == before {
                text.extend_from_slice(b"null");
            }
        }
        text.extend_from_slice(b"}\n");
        self.text = text;
    }

    fn add_row<L: Layout>(&mut self, product: usize, source: &Source<'_, L>) {
        let mut row = Vec::with_capacity(self.columns.len());
        for shown in self.columns {
            let mut text = Vec::new();
            self.write_cell(&mut text, *shown, product, source);
            row.push(String::from_utf8_lossy(&text).into_owned());
        }
        self.batch.push(row);
    }

    #[inline]
    fn write_cell<L: Layout>(&self, text: &mut Vec<u8>, shown: Shown, product: usize, source: &Source<'_, L>) {
        let (column, place) = match shown {
            Shown::Stored(column, place) => (column, place),
            Shown::Product => {
                return text.extend_from_slice(self.products.get(product).map_or("", ProductId::as_str).as_bytes());
            }
            Shown::ReadableTime => return text.extend_from_slice(readable(source.time()).as_bytes()),
            Shown::EventTime(_) => return text.extend_from_slice(source.time().to_string().as_bytes()),
        };
        let Some(value) = source.value(place, column.kind) else { return };
        if let Value::F64(stored) = value
            && !self.exact.is_empty()
            && let Some(exact) = self.exact_text(column.name, product, stored, source)
        {
            return text.extend_from_slice(exact.as_bytes());
        }
        cell::write(text, column, value, self.raw);
    }

    fn exact_text<L: Layout>(&self, column: &str, product: usize, stored: f64, source: &Source<'_, L>) -> Option<&str> {
        let key = self.exact_keys.iter().find_map(|place| match source.value(*place, Kind::U64) {
            Some(Value::U64(key)) if key != 0 => Some(key),
            _ => None,
        })?;
        self.exact.find(self.products.get(product)?, column, key, stored)
    }

    fn write_batch(&mut self) -> io::Result<()> {
        for row in &self.batch {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        for row in self.batch.drain(..) {
            let mut line = String::new();
            for (at, ((cell, width), shown)) in row.iter().zip(&self.widths).zip(self.columns).enumerate() {
                if at > 0 {
                    line.push_str("  ");
                }
                let gap = " ".repeat(width - cell.len());
                if shown.is_number() {
                    line.push_str(&gap);
                }
                line.push_str(cell);
                if !shown.is_number() {
                    line.push_str(&gap);
                }
            }
            self.text.extend_from_slice(line.trim_end().as_bytes());
            self.text.push(b'\n');
        }
        let written = self.out.write_all(&self.text);
        self.text.clear();
        written
    }
}

/// Writes a time with six digits of a second, or with nine where it needs them.
fn readable(time: UnixNanos) -> String {
    let text = time.to_string();
    match text.strip_suffix("000Z") {
        Some(short) => format!("{short}Z"),
        None => text,
    }
}
