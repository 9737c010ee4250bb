//! [`RecordPrinter`]: prints records as a table, as CSV or as JSON Lines.
//!
//! 1. CSV begins with a header line. A JSON object has every column as a key. The columns are in the order of the dataset, or as asked.
//! 2. A table shows a readable time before the columns, unless other columns alone were asked for.
//! 3. A table is laid out in batches. Each column is as wide as its widest cell so far, and no cell is cut.

use std::io::{self, Write};

use super::cell;
use super::columns;
use super::config::{Format, QueryConfig};
use super::exact::ExactTexts;
use crate::json::quoted;
use crate::schema::{Column, Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UnixNanos;

/// Lines of a table that are laid out together.
const BATCH_LINES: usize = 256;
/// Bytes of text that are collected before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// Prints records.
pub(super) struct RecordPrinter<'a> {
    format: Format,
    raw: bool,
    limit: Option<u64>,
    columns: &'a [&'static Column],
    /// The place of each in the dataset's table.
    places: Vec<usize>,
    shows_time: bool,
    exact: &'a ExactTexts,
    out: &'a mut dyn Write,
    text: String,
    batch: Vec<Vec<String>>,
    widths: Vec<usize>,
    printed: u64,
    values: Vec<Value>,
    /// The places of the columns by which a record's exact texts are known. The first one that is not 0 counts.
    keys: Vec<usize>,
}

impl<'a> RecordPrinter<'a> {
    /// Begins with no record printed.
    pub(super) fn new(config: &QueryConfig, columns: &'a [&'static Column], exact: &'a ExactTexts, out: &'a mut dyn Write) -> Self {
        let all = config.dataset.columns();
        let place = |name: &str| all.iter().position(|column| column.name == name);
        Self {
            format: config.format,
            raw: config.raw,
            limit: config.limit,
            columns,
            places: columns.iter().filter_map(|column| place(column.name)).collect(),
            shows_time: columns::shows_time(config),
            exact,
            out,
            text: String::new(),
            batch: Vec::new(),
            widths: Vec::new(),
            printed: 0,
            values: Vec::new(),
            // A ticker without a sequence is known by its receive time.
            keys: stored::key_column(all).into_iter().chain(place("recv_nanos")).collect(),
        }
    }

    /// Prints the header line, where the format has one.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let names = self.columns.iter().map(|column| column.name);
        match self.format {
            Format::Csv => writeln!(self.out, "{}", names.collect::<Vec<_>>().join(",")),
            Format::Jsonl => Ok(()),
            Format::Table => {
                let time = self.shows_time.then_some("event time");
                self.batch.push(time.into_iter().chain(names).map(str::to_owned).collect());
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

    /// Prints record `number` of the merged order.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn print<L: Layout>(&mut self, snapshot: &Snapshot<L>, number: usize) -> io::Result<()> {
        let mut values = std::mem::take(&mut self.values);
        let is_there = stored::load(snapshot, number, &mut values);
        let printed = if is_there { self.print_values::<L>(&values) } else { Ok(()) };
        self.values = values;
        printed
    }

    /// Prints the record that has these values.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(super) fn print_values<L: Layout>(&mut self, values: &[Value]) -> io::Result<()> {
        if self.is_full() {
            return Ok(());
        }
        self.printed += 1;
        match self.format {
            Format::Table => self.add_row::<L>(values),
            Format::Csv => self.add_csv(values),
            Format::Jsonl => self.add_json(values),
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

    fn add_csv(&mut self, values: &[Value]) {
        let mut text = std::mem::take(&mut self.text);
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            self.write_cell(&mut text, at, column, values);
        }
        text.push('\n');
        self.text = text;
    }

    fn add_json(&mut self, values: &[Value]) {
        let mut text = std::mem::take(&mut self.text);
        for (at, column) in self.columns.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(&quoted(column.name));
            text.push(':');
            let is_text = self.value(at, values).is_some_and(|value| cell::is_text(column, value, self.raw));
            let before = text.len();
            if is_text {
                text.push('"');
            }
            self.write_cell(&mut text, at, column, values);
            if is_text {
                text.push('"');
            }
            if text.len() == before {
                text.push_str("null");
            }
        }
        text.push_str("}\n");
        self.text = text;
    }

    fn add_row<L: Layout>(&mut self, values: &[Value]) {
        let mut row = Vec::with_capacity(self.columns.len() + 1);
        if self.shows_time {
            row.push(readable(time_of::<L>(values)));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let mut text = String::new();
            self.write_cell(&mut text, at, column, values);
            row.push(text);
        }
        self.batch.push(row);
    }

    fn value(&self, at: usize, values: &[Value]) -> Option<Value> {
        values.get(*self.places.get(at)?).copied()
    }

    fn write_cell(&self, text: &mut String, at: usize, column: &Column, values: &[Value]) {
        let Some(value) = self.value(at, values) else { return };
        if let Value::F64(stored) = value
            && !self.exact.is_empty()
            && let Some(exact) = self.key(values).and_then(|key| self.exact.find(column.name, key, stored))
        {
            text.push_str(exact);
            return;
        }
        cell::write(text, column, value, self.raw);
    }

    fn key(&self, values: &[Value]) -> Option<u64> {
        self.keys.iter().find_map(|at| match values.get(*at) {
            Some(Value::U64(key)) if *key != 0 => Some(*key),
            _ => None,
        })
    }

    fn write_batch(&mut self) -> io::Result<()> {
        for row in &self.batch {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let first = usize::from(self.shows_time);
        for row in self.batch.drain(..) {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
                if at > 0 {
                    line.push_str("  ");
                }
                let column = at.checked_sub(first).and_then(|at| self.columns.get(at));
                let is_number = column.is_some_and(|column| column.kind != Kind::Uuid && !cell::is_side(column));
                let gap = " ".repeat(width - cell.len());
                if is_number {
                    line.push_str(&gap)
                }
                line.push_str(cell);
                if !is_number {
                    line.push_str(&gap)
                }
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
        let written = self.out.write_all(self.text.as_bytes());
        self.text.clear();
        written
    }
}

/// Gives the event time of the record that has these values.
#[must_use]
pub(super) fn time_of<L: Layout>(values: &[Value]) -> UnixNanos {
    let u32_at = |column| stored::u32_at(values, column).unwrap_or(0);
    // In every dataset the nanoseconds come behind the seconds.
    UnixNanos::from_parts(u32_at(L::TIME), u32_at(L::TIME + 1))
}

/// Writes a time with six digits of a second, or with nine where it needs them.
fn readable(time: UnixNanos) -> String {
    let text = time.to_string();
    match text.strip_suffix("000Z") {
        Some(short) => format!("{short}Z"),
        None => text,
    }
}
