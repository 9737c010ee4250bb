//! Arrow IPC: one file a day, with the columns of the Parquet files.
//!
//! Buffers are written as they are made, uncompressed: a reader maps them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use super::config::ExportTypes;
use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written, one_file_a_day, partition};
use super::output::Output;
use super::table::{self, ExportColumn, Kind, Present, Values};
use crate::schema::Dataset;

/// Records of a batch. Its buffers fit the processor's cache.
const BATCH_ROWS: usize = 1 << 15;

/// The format, with its types.
pub(super) struct Arrow {
    types: ExportTypes,
}

impl Arrow {
    /// Takes over the types.
    pub(super) fn new(types: ExportTypes) -> Self {
        Self { types }
    }

    fn schema(&self, dataset: Dataset) -> Schema {
        let fields = table::columns(dataset).iter().map(|column| {
            let mut metadata = HashMap::from([("doc".to_owned(), column.doc.to_owned())]);
            if column.kind == Kind::OrderId && self.types == ExportTypes::Rich {
                metadata.insert("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
            }
            Field::new(column.name, self.data_type(column), column.is_nullable).with_metadata(metadata)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn data_type(&self, column: &ExportColumn) -> DataType {
        match column.kind {
            Kind::Time => DataType::Timestamp(self.unit(), Some("UTC".into())),
            Kind::Int64 => DataType::Int64,
            Kind::Int32 => DataType::Int32,
            Kind::Double => DataType::Float64,
            Kind::Name => DataType::Utf8,
            Kind::OrderId => DataType::FixedSizeBinary(16),
        }
    }

    fn unit(&self) -> TimeUnit {
        match self.types {
            ExportTypes::Safe => TimeUnit::Microsecond,
            ExportTypes::Rich => TimeUnit::Nanosecond,
        }
    }

    fn write_rows(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<u64, Stopped> {
        let Some(day) = file.days.first() else { return Ok(0) };
        let metadata: HashMap<String, String> = file.metadata().into_iter().collect();
        let schema = Arc::new(self.schema(day.dataset()).with_metadata(metadata));
        let mut writer = FileWriter::try_new(out, &schema)?;
        let mut rows = 0;
        for block in day.blocks(BATCH_ROWS) {
            let mut arrays = Vec::new();
            for column in table::columns(block.dataset()) {
                let (values, present) = (column.fill)(&block)?;
                arrays.push(self.array(column, values, present, block.rows())?);
            }
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), arrays)?)?;
            rows += block.rows() as u64;
            done(block.rows() as u64);
        }
        writer.finish()?;
        Ok(rows)
    }

    fn array(&self, column: &ExportColumn, values: Values<'_>, present: Present, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = match present {
            Present::All => None,
            Present::None => Some(NullBuffer::new_null(rows)),
            Present::Some(marks) => Some(NullBuffer::from(marks)),
        };
        Ok(match values {
            Values::Int64(values) if column.kind == Kind::Time => match self.unit() {
                TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_timezone("UTC")),
                _ => {
                    let micros: Vec<i64> = values.iter().map(|nanos| nanos.div_euclid(1000)).collect();
                    Arc::new(TimestampMicrosecondArray::new(micros.into(), nulls).with_timezone("UTC"))
                }
            },
            Values::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Names(places, names) => Arc::new(strings(&places, names, nulls)?),
            Values::OrderIds(ids) => Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(ids.as_flattened().to_vec()), nulls)?),
            Values::Nothing => new_null_array(&self.data_type(column), rows),
        })
    }
}

/// Makes texts of places in a list of names. A place that is none gives an empty text, which is null.
fn strings(places: &[u8], names: &[&str], nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut text = Vec::with_capacity(places.len() * longest);
    let mut offsets: Vec<i32> = Vec::with_capacity(places.len() + 1);
    offsets.push(0);
    for place in places {
        text.extend_from_slice(names.get(usize::from(*place)).map_or(&[], |name| name.as_bytes()));
        // A batch of short names never reaches the end of an i32.
        offsets.push(i32::try_from(text.len()).unwrap_or(i32::MAX));
    }
    StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(text), nulls)
}

/// What ended the writing of a file.
enum Stopped {
    Value(ExportError),
    Writer(ArrowError),
}

impl From<ExportError> for Stopped {
    fn from(error: ExportError) -> Self {
        Self::Value(error)
    }
}

impl From<ArrowError> for Stopped {
    fn from(error: ArrowError) -> Self {
        Self::Writer(error)
    }
}

impl FileFormat for Arrow {
    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        Ok(one_file_a_day(product))
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        Ok(partition(file, "arrow"))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        match self.write_rows(file, &mut *out, done) {
            Ok(rows) => Ok(Written { rows, ..Written::default() }),
            Err(Stopped::Value(error)) => Err(error),
            Err(Stopped::Writer(error)) => Err(out.failure(error)),
        }
    }
}
