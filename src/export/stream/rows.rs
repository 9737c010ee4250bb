//! [`RowStream`]: rows that were computed, as Arrow or Parquet, and the text of commands as a JSON array.

use std::io::{self, Write};

use super::cells::{CellColumn, CellKind};
use super::encoder::Encoder;
use super::error::StreamError;
use super::format::StreamFormat;
use crate::export::table::ExportColumn;
use crate::rows::{Cell, Format, RowPrinter};

/// Rows of a batch.
const BATCH_ROWS: usize = 1 << 13;

/// Collects rows of cells, and writes them as batches.
pub(crate) struct RowStream<'w> {
    kinds: Vec<CellKind>,
    batch: Vec<Vec<Cell>>,
    encoder: Encoder<'w>,
}

impl<'w> RowStream<'w> {
    /// Begins a stream of these columns in a format that is no text.
    ///
    /// # Errors
    /// Where the output takes no bytes, or this build has no such format.
    pub(crate) fn begin(
        format: StreamFormat,
        columns: &[(&'static str, CellKind)],
        metadata: Vec<(String, String)>,
        out: &'w mut dyn Write,
    ) -> Result<Self, StreamError> {
        let exported: Vec<ExportColumn> = columns.iter().map(|(name, kind)| ExportColumn::computed(name, kind.kind())).collect();
        let encoder = Encoder::begin(format, &exported, metadata, out)?;
        Ok(Self { kinds: columns.iter().map(|(_, kind)| *kind).collect(), batch: Vec::new(), encoder })
    }

    /// Adds a row: a cell for each column.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(crate) fn add(&mut self, row: Vec<Cell>) -> Result<(), StreamError> {
        self.batch.push(row);
        if self.batch.len() >= BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(crate) fn finish(mut self) -> Result<(), StreamError> {
        self.write_batch()?;
        self.encoder.finish()
    }

    fn write_batch(&mut self) -> Result<(), StreamError> {
        let rows = std::mem::take(&mut self.batch);
        if rows.is_empty() {
            return Ok(());
        }
        let column = |(at, kind): (usize, &CellKind)| CellColumn::of(*kind, rows.iter().map(|row| row.get(at).unwrap_or(&Cell::None)));
        self.encoder.write_cells(self.kinds.iter().enumerate().map(column).collect())
    }
}

/// Writes a table that has no row.
///
/// # Errors
/// Where the output takes no bytes.
pub(crate) fn write_empty(format: StreamFormat, columns: &[(&'static str, CellKind)], out: &mut dyn Write) -> Result<(), StreamError> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    match format {
        StreamFormat::Csv => Ok(RowPrinter::new(Format::Csv, &names, out).finish().map(drop)?),
        StreamFormat::Json | StreamFormat::Jsonl => write_lines(format, out, |_| Ok(())),
        StreamFormat::Arrow | StreamFormat::Parquet => RowStream::begin(format, columns, Vec::new(), out)?.finish(),
    }
}

/// Writes what `print` prints as JSON Lines; in the format `json` as one array.
///
/// # Errors
/// Those of `print`, and where the output takes no more.
pub(crate) fn write_lines<E: From<StreamError>>(
    format: StreamFormat,
    out: &mut dyn Write,
    print: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    if format != StreamFormat::Json {
        return print(out);
    }
    let mut array = JsonArray { out, is_begun: false, owes_comma: false };
    print(&mut array)?;
    array.finish().map_err(|error| E::from(error.into()))
}

/// Makes an array of the lines that are written to it. Within a line of JSON there is no line feed.
struct JsonArray<'w> {
    out: &'w mut dyn Write,
    is_begun: bool,
    /// Whether a line has ended, and none has begun since.
    owes_comma: bool,
}

impl JsonArray<'_> {
    fn finish(self) -> io::Result<()> {
        let end: &[u8] = if self.is_begun { b"\n]\n" } else { b"[]\n" };
        self.out.write_all(end)
    }
}

impl Write for JsonArray<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_begun {
                self.out.write_all(b"[\n")?;
                self.is_begun = true;
            } else if self.owes_comma {
                self.out.write_all(b",\n")?;
            }
            self.owes_comma = line.last() == Some(&b'\n');
            self.out.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(parts: &[&str]) -> String {
        let mut out = Vec::new();
        let written: Result<(), StreamError> = write_lines(StreamFormat::Json, &mut out, |out| {
            parts.iter().try_for_each(|part| out.write_all(part.as_bytes()))?;
            Ok(())
        });
        written.expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_become_the_elements_of_an_array_wherever_they_are_cut() {
        for (parts, expected) in [
            (&[][..], "[]\n"),
            (&["{}\n"], "[\n{}\n]\n"),
            (&["{\"a\":1}\n{\"a\":2}\n"], "[\n{\"a\":1},\n{\"a\":2}\n]\n"),
            (&["{\"a\"", ":1}", "\n", "{\"a\":2}\n"], "[\n{\"a\":1},\n{\"a\":2}\n]\n"),
        ] {
            assert_eq!(array(parts), expected);
            serde_json::from_str::<serde_json::Value>(expected).expect("JSON");
        }
    }
}
