//! A Parquet file as a stream: one row group for each block. Nothing of it has to be known ahead, as the metadata is at the end.
//!
//! The writer of the `parquet` crate wants an output that may change its thread, and the output of a stream may not. So it writes to a buffer, which is
//! emptied into the output after each column.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use super::cells::{CellColumn, CellValues};
use super::error::StreamError;
use crate::export::ExportConfig;
use crate::export::block::Block;
use crate::export::parquet::{Parquet, Stopped};
use crate::export::table::ExportColumn;
use crate::time::UnixNanos;

/// Bytes on their way to the output.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes row groups.
pub(super) struct ParquetEncoder<'w> {
    parquet: Parquet,
    columns: Vec<ExportColumn>,
    writer: SerializedFileWriter<Buffer>,
    buffer: Buffer,
    out: &'w mut dyn Write,
}

impl<'w> ParquetEncoder<'w> {
    /// Begins a file.
    ///
    /// # Errors
    /// Where the columns make no schema.
    pub(super) fn begin(columns: &[ExportColumn], metadata: Vec<(String, String)>, out: &'w mut dyn Write) -> Result<Self, StreamError> {
        // The types, encodings and compression that an export has unless others are asked for.
        let parquet = Parquet::new(&ExportConfig::new("", "", UnixNanos(0)));
        let properties = Arc::new(parquet.properties(metadata, columns));
        let schema = parquet.schema("coltape", columns).map_err(failed)?;
        let buffer = Buffer::default();
        let writer = SerializedFileWriter::new(buffer.clone(), schema, properties).map_err(failed)?;
        Ok(Self { parquet, columns: columns.to_vec(), writer, buffer, out })
    }

    /// Writes a block as a row group.
    ///
    /// # Errors
    /// Where the output takes no more, or a value does not fit.
    pub(super) fn write(&mut self, block: &Block<'_>) -> Result<(), StreamError> {
        let described = self.writer.schema_descr().columns().to_vec();
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for (column, described) in self.columns.iter().zip(described) {
            self.parquet.write_column(column, described, &mut group, block).map_err(|error| match error {
                Stopped::Value(error) => StreamError::Day(error),
                Stopped::Writer(error) => failed(error),
            })?;
            empty(&self.buffer, self.out)?;
        }
        group.close().map_err(failed)?;
        empty(&self.buffer, self.out)
    }

    /// Writes computed columns as a row group.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn write_cells(&mut self, columns: &[CellColumn]) -> Result<(), StreamError> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for column in columns {
            let Some(mut into) = group.next_column().map_err(failed)? else { break };
            write_cells(&mut into, column).map_err(failed)?;
            into.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        empty(&self.buffer, self.out)
    }

    /// Writes the metadata.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn finish(self) -> Result<(), StreamError> {
        self.writer.close().map_err(failed)?;
        empty(&self.buffer, self.out)
    }
}

fn write_cells(into: &mut SerializedColumnWriter<'_>, column: &CellColumn) -> Result<(), ParquetError> {
    let marks = &column.marks;
    match &column.values {
        CellValues::Texts(texts) => write::<ByteArrayType>(into, marks, texts.iter().map(|text| ByteArray::from(text.as_str()))),
        CellValues::Counts(counts) => write::<Int64Type>(into, marks, counts.iter().copied()),
        CellValues::Numbers(numbers) => write::<DoubleType>(into, marks, numbers.iter().copied()),
        CellValues::Micros(micros) => write::<Int64Type>(into, marks, micros.iter().copied()),
    }
}

/// Writes the values that are there.
fn write<T: DataType>(
    into: &mut SerializedColumnWriter<'_>,
    marks: &[bool],
    values: impl Iterator<Item = T::T>,
) -> Result<(), ParquetError> {
    let there: Vec<T::T> = values.zip(marks).filter(|(_, is_there)| **is_there).map(|(value, _)| value).collect();
    let levels: Vec<i16> = marks.iter().map(|is_there| i16::from(*is_there)).collect();
    into.typed::<T>().write_batch(&there, Some(&levels), None).map(drop)
}

fn empty(buffer: &Buffer, out: &mut dyn Write) -> Result<(), StreamError> {
    let mut bytes = buffer.0.lock();
    out.write_all(&bytes)?;
    bytes.clear();
    Ok(())
}

fn failed(error: ParquetError) -> StreamError {
    StreamError::Encoding(error.to_string())
}
