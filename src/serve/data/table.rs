//! Small tables in every format: their rows are in memory.
//!
//! In JSON a value may be a list or an object. Elsewhere it is the text of that JSON.

use std::io::{self, Write};

use crate::export::stream::{CellKind, RowStream, StreamError, StreamFormat, write_lines};
use crate::json::Object;
use crate::rows::{Cell, Format, RowPrinter};

/// A value of a small table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    /// A value.
    Cell(Cell),
    /// JSON.
    Json(String),
}

impl From<Cell> for Field {
    fn from(cell: Cell) -> Self {
        Self::Cell(cell)
    }
}

impl Field {
    /// Makes a field of a text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Cell(Cell::Text(text.into()))
    }

    /// Makes a field of a count that may not be there.
    pub(super) fn count(count: Option<u64>) -> Self {
        Self::Cell(count.map_or(Cell::None, Cell::Count))
    }

    /// Makes a list of texts.
    pub(super) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let quoted: Vec<String> = texts.into_iter().map(crate::json::quoted).collect();
        Self::Json(format!("[{}]", quoted.join(",")))
    }

    fn json(&self) -> String {
        match self {
            Self::Json(json) => json.clone(),
            Self::Cell(cell) => match (cell, cell.shown(Format::Jsonl)) {
                (Cell::Text(_) | Cell::Time(_) | Cell::Second(_), shown) => crate::json::quoted(&shown),
                (_, shown) if shown.is_empty() => "null".to_owned(),
                (_, shown) => shown,
            },
        }
    }

    fn cell(self) -> Cell {
        match self {
            Self::Cell(cell) => cell,
            Self::Json(json) => Cell::Text(json),
        }
    }
}

/// Writes a small table.
///
/// # Errors
/// Where the output takes no more.
pub(super) fn write(
    format: StreamFormat,
    columns: &[(&'static str, CellKind)],
    rows: Vec<Vec<Field>>,
    out: &mut dyn Write,
) -> Result<(), StreamError> {
    match format {
        StreamFormat::Json | StreamFormat::Jsonl => write_lines(format, out, |out| {
            for row in &rows {
                let fields = columns.iter().zip(row);
                let line = fields.fold(Object::default(), |object, ((name, _), field)| object.raw(name, &field.json())).done();
                writeln!(out, "{line}")?;
            }
            Ok(())
        }),
        StreamFormat::Csv => {
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let mut printer = RowPrinter::new(Format::Csv, &names, out);
            for row in rows {
                printer.print(row.into_iter().map(Field::cell).collect())?;
            }
            printer.finish().map(drop).map_err(|error: io::Error| error.into())
        }
        StreamFormat::Arrow | StreamFormat::Parquet => {
            let mut stream = RowStream::begin(format, columns, Vec::new(), out)?;
            for row in rows {
                stream.add(row.into_iter().map(Field::cell).collect())?;
            }
            stream.finish()
        }
    }
}
