//! An Arrow IPC stream: a schema, then one record batch for each block.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_buffer::NullBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};

use super::cells::{CellColumn, CellValues};
use super::error::StreamError;
use crate::export::ExportTypes;
use crate::export::arrow::{Arrays, Arrow, Stopped};
use crate::export::block::Block;
use crate::export::stored_day::StoredDay;
use crate::export::table::ExportColumn;

/// Writes record batches.
pub(super) struct ArrowEncoder<'w> {
    arrow: Arrow,
    columns: Vec<ExportColumn>,
    schema: Arc<Schema>,
    writer: StreamWriter<&'w mut dyn Write>,
}

impl<'w> ArrowEncoder<'w> {
    /// Writes the schema.
    ///
    /// # Errors
    /// Where the output takes no bytes.
    pub(super) fn begin(columns: &[ExportColumn], metadata: Vec<(String, String)>, out: &'w mut dyn Write) -> Result<Self, StreamError> {
        let arrow = Arrow::new(ExportTypes::Safe);
        let metadata: HashMap<String, String> = metadata.into_iter().collect();
        let schema = Arc::new(arrow.schema(columns).with_metadata(metadata));
        let writer = StreamWriter::try_new(out, &schema).map_err(failed)?;
        Ok(Self { arrow, columns: columns.to_vec(), schema, writer })
    }

    /// Writes a block of a day as a batch.
    ///
    /// # Errors
    /// Where the output takes no more, or a value does not fit.
    pub(super) fn write(&mut self, day: &StoredDay, block: &Block<'_>) -> Result<(), StreamError> {
        let mut arrays = Arrays::of(&self.arrow, day);
        let columns = self.columns.iter().enumerate().map(|(at, column)| arrays.array(at, column, block));
        let columns = columns.collect::<Result<Vec<ArrayRef>, Stopped>>().map_err(|error| match error {
            Stopped::Value(error) => StreamError::Day(error),
            Stopped::Writer(error) => failed(error),
        })?;
        self.write_arrays(columns)
    }

    /// Writes computed columns as a batch.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn write_cells(&mut self, columns: Vec<CellColumn>) -> Result<(), StreamError> {
        self.write_arrays(columns.into_iter().map(array).collect())
    }

    fn write_arrays(&mut self, columns: Vec<ArrayRef>) -> Result<(), StreamError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)?;
        self.writer.write(&batch).map_err(failed)
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Where the output takes no more.
    pub(super) fn finish(mut self) -> Result<(), StreamError> {
        self.writer.finish().map_err(failed)
    }
}

fn array(column: CellColumn) -> ArrayRef {
    let CellColumn { values, marks } = column;
    match values {
        CellValues::Texts(texts) => {
            Arc::new(texts.into_iter().zip(marks).map(|(text, is_there)| is_there.then_some(text)).collect::<StringArray>())
        }
        CellValues::Counts(counts) => Arc::new(Int64Array::new(counts.into(), Some(NullBuffer::from(marks)))),
        CellValues::Numbers(numbers) => Arc::new(Float64Array::new(numbers.into(), Some(NullBuffer::from(marks)))),
        CellValues::Micros(micros) => {
            Arc::new(TimestampMicrosecondArray::new(micros.into(), Some(NullBuffer::from(marks))).with_timezone("UTC"))
        }
    }
}

fn failed(error: ArrowError) -> StreamError {
    match error {
        ArrowError::IoError(_, source) => StreamError::Output(source),
        other => StreamError::Encoding(other.to_string()),
    }
}
