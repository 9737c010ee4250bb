//! [`Lines`]: records as lines of a table, of CSV or of JSON.
//!
//! 1. CSV begins with one header line, a JSON line has every column as a key; columns stand in the dataset's order, or as asked.
//! 2. A table shows one readable time before the columns. On a terminal, where nothing was asked for, it shows the columns that fit.
//! 3. A table is laid out batch by batch: as wide as what it has shown so far, nothing cut off.

use std::io::{self, Write};

use super::cell;
use super::exact::ExactTexts;
use super::{Format, QueryConfig};
use crate::json::quoted;
use crate::schema::{Column, Dataset, Kind, Layout, Value};
use crate::store::Snapshot;
use crate::stored;
use crate::time::UnixNanos;

/// Lines of a table laid out together.
const BATCH_LINES: usize = 256;
/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// Width of a readable time with its gap.
const TIME_WIDTH: usize = 29;

/// Chooses the columns to print: as asked, else the dataset's, else those that fit the terminal.
///
/// # Errors
/// Names a column that does not exist or is not stored.
pub fn choose(config: &QueryConfig, stored: &'static [Column], all: &'static [Column]) -> Result<Vec<&'static Column>, String> {
    if config.columns.is_empty() {
        return Ok(match (config.format, config.width) {
            (Format::Table, Some(width)) if !config.raw => fitting(stored, width),
            _ => stored.iter().collect(),
        });
    }
    let find = |name: &String| {
        let is_it = |column: &&Column| column.name == name;
        stored.iter().find(is_it).ok_or_else(|| {
            if all.iter().any(|column| is_it(&column)) {
                return format!("{name} is not stored: the folder holds core columns alone");
            }
            let names: Vec<&str> = stored.iter().map(|column| column.name).collect();
            format!("there is no column {name}; there are {}", names.join(", "))
        })
    };
    config.columns.iter().map(find).collect()
}

/// Chooses what fits a terminal beside the readable time: exact values instead of rounded ones, order ids last.
fn fitting(stored: &'static [Column], width: usize) -> Vec<&'static Column> {
    let has_exact = |column: &&Column| stored.iter().any(|other| other.name.strip_suffix("_f64") == Some(column.name));
    let is_time = |column: &&Column| matches!(column.name, "time" | "nanos" | "trade_time" | "trade_nanos");
    let mut wanted: Vec<&Column> = stored.iter().filter(|column| !has_exact(column) && !is_time(column)).collect();
    wanted.sort_by_key(|column| match column.name {
        "trade_id" | "sequence" | "trade_sequence" if column.kind == Kind::U64 && column.name != "trade_id" => 1,
        name if name.contains("recv") || name.contains("origin") => 3,
        _ if column.kind == Kind::Uuid => 2,
        _ => 0,
    });
    let mut left = width.saturating_sub(TIME_WIDTH);
    wanted.retain(|column| {
        let needed = 2 + usual_width(column).max(column.name.len());
        let fits = needed <= left;
        left = if fits { left - needed } else { 0 };
        fits
    });
    wanted
}

fn usual_width(column: &Column) -> usize {
    match column.kind {
        _ if cell::is_side(column) => 4,
        Kind::U32 => 10,
        Kind::U64 if column.name.contains("nanos") => 19,
        Kind::U64 | Kind::F32 | Kind::F64 => 12,
        Kind::Uuid => 36,
    }
}

/// Writes records as lines.
pub struct Lines<'a> {
    format: Format,
    raw: bool,
    limit: Option<u64>,
    columns: &'a [&'static Column],
    /// Place of each in the dataset.
    places: Vec<usize>,
    shows_time: bool,
    exact: &'a ExactTexts,
    out: &'a mut dyn Write,
    text: String,
    batch: Vec<Vec<String>>,
    widths: Vec<usize>,
    printed: u64,
    values: Vec<Value>,
    dataset: Dataset,
    /// Places of what a record's exact texts are known by.
    keys: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Begins with nothing printed.
    pub fn new(config: &QueryConfig, columns: &'a [&'static Column], exact: &'a ExactTexts, out: &'a mut dyn Write) -> Self {
        let all = config.dataset.columns();
        let place = |name: &str| all.iter().position(|column| column.name == name);
        let keys: &[&str] = match config.dataset {
            Dataset::Trades => &["trade_id"],
            Dataset::Md => &["sequence", "recv_nanos"],
            Dataset::TickerTrades => &[],
        };
        Self {
            format: config.format,
            raw: config.raw,
            limit: config.limit,
            columns,
            places: columns.iter().filter_map(|column| place(column.name)).collect(),
            shows_time: config.format == Format::Table && config.columns.is_empty(),
            exact,
            out,
            text: String::new(),
            batch: Vec::new(),
            widths: Vec::new(),
            printed: 0,
            values: Vec::new(),
            dataset: config.dataset,
            keys: keys.iter().filter_map(|name| place(name)).collect(),
        }
    }

    /// Writes the header line, where the format has one.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub fn begin(&mut self) -> io::Result<()> {
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

    /// Gives the number of records printed.
    #[must_use]
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// Tells whether as many were printed as were asked for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.printed >= limit)
    }

    /// Prints record `number` of the merged order.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub fn print<L: Layout>(&mut self, snapshot: &Snapshot<L>, number: usize) -> io::Result<()> {
        let mut values = std::mem::take(&mut self.values);
        let is_there = stored::load(snapshot, number, &mut values);
        let printed = if is_there { self.print_values::<L>(&values) } else { Ok(()) };
        self.values = values;
        printed
    }

    /// Prints a record of these values.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub fn print_values<L: Layout>(&mut self, values: &[Value]) -> io::Result<()> {
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

    /// Writes what has been gathered.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub fn end_batch(&mut self) -> io::Result<()> {
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

    /// Shows which dataset is printed.
    #[must_use]
    pub fn dataset(&self) -> Dataset {
        self.dataset
    }
}

/// Gives the event time of a record's values.
#[must_use]
pub fn time_of<L: Layout>(values: &[Value]) -> UnixNanos {
    let word = |at: usize| match values.get(at) {
        Some(Value::U32(value)) => *value,
        _ => 0,
    };
    // In every dataset the nanoseconds stand behind the seconds.
    UnixNanos::from_parts(word(L::TIME), word(L::TIME + 1))
}

/// Shows a time with as many digits as it needs: six, or nine.
fn readable(time: UnixNanos) -> String {
    let text = time.to_string();
    match text.strip_suffix("000Z") {
        Some(short) => format!("{short}Z"),
        None => text,
    }
}
