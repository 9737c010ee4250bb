//! [`RowPrinter`]: prints computed rows as a table, as CSV or as JSON Lines.
//!
//! 1. CSV begins with one header line. A JSON object has every column as a key, in order.
//! 2. A value that is not there is empty in CSV and in a table, and `null` in JSON. So is a float that is not a number.
//! 3. A float is the shortest decimal that reads back as the same float, without an exponent. In a table a computed one is rounded to
//!    [`TABLE_DIGITS`] digits, for people.
//! 4. A table is laid out in batches. Each column is as wide as its widest cell so far, and no cell is cut.

use std::io::{self, Write};

use crate::json::quoted;
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned, for people.
    #[default]
    Table,
    /// Comma-separated, with a header line.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// No value.
    None,
    /// A text.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number as it was sent, or a sum of such.
    Number(f64),
    /// A number that was computed by a division.
    Computed(f64),
    /// A time.
    Time(UnixNanos),
    /// A time of whole seconds.
    Second(UnixNanos),
}

impl Cell {
    /// Makes a cell of a number that may not be there.
    pub(crate) fn number(value: Option<f64>) -> Self {
        value.map_or(Self::None, Self::Number)
    }

    /// Makes a cell of a computed number that may not be there.
    pub(crate) fn computed(value: Option<f64>) -> Self {
        value.map_or(Self::None, Self::Computed)
    }

    /// Adds its text to `out`.
    fn write(&self, out: &mut String, format: Format) {
        match self {
            Self::None => {}
            Self::Text(text) => out.push_str(text),
            Self::Count(count) => out.push_str(&count.to_string()),
            Self::Computed(value) if format == Format::Table && value.is_finite() => out.push_str(&rounded(*value)),
            Self::Number(value) | Self::Computed(value) if value.is_finite() => out.push_str(&value.to_string()),
            Self::Number(_) | Self::Computed(_) => {}
            Self::Time(time) => out.push_str(&readable(*time)),
            Self::Second(time) => {
                let text = UnixNanos(time.0 / NANOS_PER_SECOND * NANOS_PER_SECOND).to_string();
                out.push_str(text.split('.').next().unwrap_or_default());
                out.push('Z');
            }
        }
    }

    /// Gives its text.
    #[must_use]
    pub(crate) fn shown(&self, format: Format) -> String {
        let mut text = String::new();
        self.write(&mut text, format);
        text
    }

    /// Tells whether it is a number.
    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Number(_) | Self::Computed(_))
    }

    /// Tells whether it is a text in JSON.
    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Time(_) | Self::Second(_))
    }
}

/// Digits of a computed number in a table.
const TABLE_DIGITS: usize = 10;

/// Rounds a number to [`TABLE_DIGITS`] digits, without zeros at the end.
fn rounded(value: f64) -> String {
    let exact = format!("{:.*e}", TABLE_DIGITS - 1, value);
    exact.parse::<f64>().map_or(exact, |value| value.to_string())
}

/// Writes a time with six digits of a second, or with nine where it needs them.
#[must_use]
pub(crate) fn readable(time: UnixNanos) -> String {
    let text = time.to_string();
    match text.strip_suffix("000Z") {
        Some(short) => format!("{short}Z"),
        None => text,
    }
}

/// Lines of a table that are laid out together.
const BATCH_LINES: usize = 256;
/// Bytes of text that are collected before they are written.
const BATCH_BYTES: usize = 64 << 10;

/// Prints rows that have the same columns.
pub(crate) struct RowPrinter<'a> {
    format: Format,
    columns: &'a [&'a str],
    out: &'a mut dyn Write,
    text: String,
    batch: Vec<Vec<Cell>>,
    widths: Vec<usize>,
    /// Which columns hold numbers: they are aligned to the right.
    are_numbers: Vec<bool>,
    printed: u64,
}

impl<'a> RowPrinter<'a> {
    /// Makes a printer. The header line is written with the first row, or at the end where there is no row.
    pub(crate) fn new(format: Format, columns: &'a [&'a str], out: &'a mut dyn Write) -> Self {
        let widths = columns.iter().map(|name| name.len()).collect();
        Self { format, columns, out, text: String::new(), batch: Vec::new(), widths, are_numbers: vec![false; columns.len()], printed: 0 }
    }

    /// Prints a row: a cell for each column.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(crate) fn print(&mut self, row: Vec<Cell>) -> io::Result<()> {
        self.begin();
        self.printed += 1;
        for (is_number, cell) in self.are_numbers.iter_mut().zip(&row) {
            *is_number |= cell.is_number();
        }
        match self.format {
            Format::Table => self.batch.push(row),
            Format::Csv => self.add_csv(&row),
            Format::Jsonl => self.add_json(&row),
        }
        if self.batch.len() >= BATCH_LINES || self.text.len() >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }

    /// Writes what is left, the header line of an empty table or CSV file included.
    ///
    /// # Errors
    /// Where the output cannot be written to.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.begin();
        self.write_batch()?;
        self.out.flush()?;
        Ok(self.printed)
    }

    fn begin(&mut self) {
        if self.printed > 0 || !self.batch.is_empty() {
            return;
        }
        match self.format {
            Format::Csv if self.text.is_empty() => {
                self.text.push_str(&self.columns.join(","));
                self.text.push('\n');
            }
            Format::Table => self.batch.push(self.columns.iter().map(|name| Cell::Text((*name).to_owned())).collect()),
            Format::Csv | Format::Jsonl => {}
        }
    }

    fn add_csv(&mut self, row: &[Cell]) {
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            let begin = self.text.len();
            cell.write(&mut self.text, self.format);
            let shown = self.text.get(begin..).unwrap_or_default();
            if shown.contains([',', '"', '\n', '\r']) {
                let quoted = format!("\"{}\"", shown.replace('"', "\"\""));
                self.text.truncate(begin);
                self.text.push_str(&quoted);
            }
        }
        self.text.push('\n');
    }

    fn add_json(&mut self, row: &[Cell]) {
        for (at, (name, cell)) in self.columns.iter().zip(row).enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(&quoted(name));
            self.text.push(':');
            let mut shown = cell.shown(self.format);
            if cell.is_text() {
                shown = quoted(&shown);
            }
            self.text.push_str(if shown.is_empty() { "null" } else { &shown });
        }
        self.text.push_str("}\n");
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let format = self.format;
        let rows: Vec<Vec<String>> = self.batch.drain(..).map(|row| row.iter().map(|cell| cell.shown(format)).collect()).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in rows {
            let mut line = String::new();
            for ((cell, width), is_number) in row.iter().zip(&self.widths).zip(&self.are_numbers) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if *is_number { (gap.as_str(), "") } else { ("", gap.as_str()) };
                for part in [before, cell.as_str(), after, "  "] {
                    line.push_str(part);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, rows: Vec<Vec<Cell>>) -> String {
        let mut out = Vec::new();
        let mut printer = RowPrinter::new(format, &["time", "side", "size"], &mut out);
        for row in rows {
            printer.print(row).expect("printed");
        }
        printer.finish().expect("printed");
        String::from_utf8(out).expect("text")
    }

    fn rows() -> Vec<Vec<Cell>> {
        let time = UnixNanos(1_749_254_400_500_000_000);
        vec![
            vec![Cell::Time(time), Cell::Text("buy".to_owned()), Cell::Computed(1.0 / 3.0)],
            vec![Cell::Second(time), Cell::None, Cell::Number(0.000_000_01)],
            vec![Cell::Text("a,\"b".to_owned()), Cell::Count(7), Cell::Number(f64::NAN)],
        ]
    }

    #[test]
    fn csv_has_a_header_line_and_quotes_what_would_break_a_line() {
        assert_eq!(
            printed(Format::Csv, rows()),
            "time,side,size\n2025-06-07T00:00:00.500000Z,buy,0.3333333333333333\n2025-06-07T00:00:00Z,,0.00000001\n\"a,\"\"b\",7,\n"
        );
        assert_eq!(printed(Format::Csv, Vec::new()), "time,side,size\n");
    }

    #[test]
    fn json_has_every_key_and_null_for_what_is_not_there() {
        let lines = printed(Format::Jsonl, rows());
        let read: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(read[0], serde_json::json!({"time": "2025-06-07T00:00:00.500000Z", "side": "buy", "size": 1.0 / 3.0}));
        assert_eq!(read[1], serde_json::json!({"time": "2025-06-07T00:00:00Z", "side": null, "size": 0.000_000_01}));
        assert_eq!(read[2], serde_json::json!({"time": "a,\"b", "side": 7, "size": null}));
        assert_eq!(printed(Format::Jsonl, Vec::new()), "");
    }

    #[test]
    fn a_table_aligns_numbers_to_the_right_under_their_names() {
        let lines = printed(Format::Table, rows());
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], "time                         side          size");
        assert_eq!(lines[1], "2025-06-07T00:00:00.500000Z   buy  0.3333333333");
        assert_eq!(lines[2], "2025-06-07T00:00:00Z                 0.00000001");
        assert_eq!(lines[3], "a,\"b                            7");
    }
}
