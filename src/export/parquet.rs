//! Parquet: a Hive-partitioned data set that engines open without being told the layout.
//!
//! 1. The columns are those of [`super::table`], in its order. With safe types no column has a type that an engine refuses or reads wrongly.
//! 2. Row groups of [`ROW_GROUP_ROWS`], in id order, late records in their place. Statistics per page and column chunk, so that a reader skips what it
//!    does not want.
//! 3. Values go from the mapped columns to the encoder a column at a time: the writer's own interface, not that for Arrow's arrays. Order ids and names are
//!    encoded here ([`chunk`]).
//! 4. What is known of the day is in the key-value metadata: `coltape.verdict`, `.ids`, `.missing`, `.version`, `.increments`, `.source_crc`.

mod chunk;
mod hybrid;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, ColumnPath, Type, TypePtr};

use super::block::{Block, Stored};
use super::config::{ExportCompression, ExportConfig, ExportEncoding, ExportTypes};
use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written, one_file_a_day, partition};
use super::output::Output;
use super::table::{self, ExportColumn, Kind, Present, Values};
use chunk::{Chunk, ChunkSettings};

/// Records of a row group.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Values that are given to the encoder at once: few enough for the processor's cache.
const BATCH_ROWS: usize = 1 << 14;
/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// Definition levels of values that are there.
static DEFINED: [i16; BATCH_ROWS] = [1; BATCH_ROWS];
/// Definition levels of nulls.
static UNDEFINED: [i16; BATCH_ROWS] = [0; BATCH_ROWS];

/// The format, with its options.
pub(super) struct Parquet {
    types: ExportTypes,
    encoding: ExportEncoding,
    compression: Compression,
    has_bloom: bool,
}

impl Parquet {
    /// Takes over the options.
    pub(super) fn new(config: &ExportConfig) -> Self {
        let compression = compression(config.compression);
        Self { types: config.types, encoding: config.encoding, compression, has_bloom: config.bloom }
    }

    /// Gives the schema of columns, under a name.
    pub(super) fn schema<'c>(&self, name: &str, columns: impl IntoIterator<Item = &'c ExportColumn>) -> Result<TypePtr, ParquetError> {
        let fields = columns.into_iter().map(|column| self.field(column).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Type::group_type_builder(name).with_fields(fields).build()?))
    }

    fn field(&self, column: &ExportColumn) -> Result<Type, ParquetError> {
        let is_rich = self.types == ExportTypes::Rich;
        let (physical, logical) = match column.kind {
            Kind::Time if is_rich => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Int64 => (Physical::INT64, None),
            Kind::Int32 => (Physical::INT32, None),
            Kind::Double => (Physical::DOUBLE, None),
            Kind::Name => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::OrderId if is_rich => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)),
            Kind::OrderId => (Physical::FIXED_LEN_BYTE_ARRAY, None),
        };
        let repetition = if column.is_nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let field = Type::primitive_type_builder(column.name, physical).with_repetition(repetition).with_logical_type(logical);
        if column.kind == Kind::OrderId { field.with_length(16) } else { field }.build()
    }

    /// Gives the properties of a file with columns and metadata.
    pub(super) fn properties<'c>(
        &self,
        metadata: Vec<(String, String)>,
        columns: impl IntoIterator<Item = &'c ExportColumn>,
    ) -> WriterProperties {
        let metadata = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value));
        let mut properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_dictionary_enabled(false)
            .set_created_by(format!("coltape {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(metadata.collect()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        for column in columns {
            let path = ColumnPath::from(column.name);
            properties = match (column.kind, self.encoding) {
                (Kind::Time | Kind::Int64 | Kind::Int32, ExportEncoding::Best) => {
                    properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
                }
                (Kind::Double, ExportEncoding::Best) => properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
                _ => properties.set_column_encoding(path, Encoding::PLAIN),
            };
        }
        properties.build()
    }
}

/// Gives the crate's word for a compression.
pub(super) fn compression(wanted: ExportCompression) -> Compression {
    match wanted {
        // Level 1 is the default level of the crate.
        ExportCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
        ExportCompression::Snappy => Compression::SNAPPY,
        ExportCompression::None => Compression::UNCOMPRESSED,
    }
}

impl FileFormat for Parquet {
    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        Ok(one_file_a_day(product))
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        Ok(partition(file, "parquet"))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        match self.write_rows(file, &mut *out, done) {
            Ok(rows) => Ok(Written { rows, ..Written::default() }),
            Err(Stopped::Value(error)) => Err(error),
            Err(Stopped::Writer(error)) => Err(out.failure(error)),
        }
    }
}

/// What ended the writing of a file.
pub(super) enum Stopped {
    /// A value does not fit.
    Value(ExportError),
    /// The writer failed.
    Writer(ParquetError),
}

impl From<ExportError> for Stopped {
    fn from(error: ExportError) -> Self {
        Self::Value(error)
    }
}

impl From<ParquetError> for Stopped {
    fn from(error: ParquetError) -> Self {
        Self::Writer(error)
    }
}

impl Parquet {
    fn write_rows(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<u64, Stopped> {
        let Some(day) = file.days.first() else { return Ok(0) };
        let columns = table::columns(day.dataset());
        let properties = Arc::new(self.properties(file.metadata(), columns));
        let out = BufWriter::with_capacity(WRITE_BYTES, out);
        let mut writer = SerializedFileWriter::new(out, self.schema(day.dataset().name(), columns)?, properties)?;
        let mut rows = 0;
        for block in day.blocks(ROW_GROUP_ROWS) {
            let described = writer.schema_descr().columns().to_vec();
            let mut group = writer.next_row_group()?;
            for (column, described) in table::columns(block.dataset()).iter().zip(described) {
                self.write_column(column, described, &mut group, &block)?;
            }
            group.close()?;
            rows += block.rows() as u64;
            done(block.rows() as u64);
        }
        writer.into_inner()?.flush().map_err(ParquetError::from)?;
        Ok(rows)
    }

    /// Writes a column of a row group.
    pub(super) fn write_column<W: Write + Send>(
        &self,
        column: &ExportColumn,
        described: ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, W>,
        block: &Block<'_>,
    ) -> Result<(), Stopped> {
        let is_micros = column.kind == Kind::Time && self.types == ExportTypes::Safe;
        let (values, present) = if is_micros { (Values::Int64(table::micros(block)), Present::All) } else { (column.fill)(block)? };
        let has_bloom = self.has_bloom && column.kind == Kind::OrderId;
        let settings = ChunkSettings { column: described, compression: self.compression, has_bloom };
        let chunk = match (&values, column.kind) {
            (Values::Stored(stored), Kind::OrderId) => Some(Chunk::of_ids(settings, stored.values(), &present)?),
            (Values::Names(places, names), _) => Some(Chunk::of_names(settings, places, names, &present)?),
            _ => None,
        };
        if let Some(chunk) = chunk {
            return Ok(group.append_column(&chunk.bytes, chunk.close)?);
        }
        let Some(mut into) = group.next_column()? else { return Ok(()) };
        self.write_numbers(column, &mut into, &values, &present, block.rows())?;
        Ok(into.close()?)
    }

    fn write_numbers(
        &self,
        column: &ExportColumn,
        into: &mut SerializedColumnWriter<'_>,
        values: &Values<'_>,
        present: &Present,
        rows: usize,
    ) -> Result<(), ParquetError> {
        let is_nullable = column.is_nullable;
        match values {
            Values::Stored(stored) if column.kind == Kind::Double => {
                write_stored::<DoubleType>(into.typed(), *stored, present, is_nullable, f64::from_le_bytes)
            }
            Values::Stored(stored) => write_stored::<Int64Type>(into.typed(), *stored, present, is_nullable, i64::from_le_bytes),
            Values::Int64(values) => write_values::<Int64Type>(into.typed(), values, present, is_nullable),
            Values::Int32(values) => write_values::<Int32Type>(into.typed(), values, present, is_nullable),
            Values::Double(values) => write_values::<DoubleType>(into.typed(), values, present, is_nullable),
            Values::Names(..) | Values::Nothing => write_nulls(into, rows),
        }
    }
}

/// Writes values that have the writer's own type.
fn write_values<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    values: &[T::T],
    present: &Present,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    write_made::<T, T::T>(writer, values, present, is_nullable, |values, out| out.extend_from_slice(values))
}

/// Writes values as they are stored.
fn write_stored<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    stored: Stored<'_>,
    present: &Present,
    is_nullable: bool,
    read: impl Fn([u8; 8]) -> T::T,
) -> Result<(), ParquetError> {
    write_made::<T, [u8; 8]>(writer, stored.values(), present, is_nullable, |values, out| {
        out.extend(values.iter().map(|bytes| read(*bytes)));
    })
}

/// Writes values that are made batch by batch. Nulls are left out before.
fn write_made<T: DataType, V: Clone>(
    writer: &mut ColumnWriterImpl<'_, T>,
    values: &[V],
    present: &Present,
    is_nullable: bool,
    make: impl Fn(&[V], &mut Vec<T::T>),
) -> Result<(), ParquetError> {
    let mut made = Vec::with_capacity(BATCH_ROWS.min(values.len()));
    let mut packed = Vec::new();
    for (number, batch) in values.chunks(BATCH_ROWS).enumerate() {
        made.clear();
        let first = number * BATCH_ROWS;
        let levels: Option<Vec<i16>> = match present {
            Present::All => None,
            Present::None => Some(vec![0; batch.len()]),
            Present::Some(marks) => Some(marks.iter().skip(first).take(batch.len()).map(|mark| i16::from(*mark)).collect()),
        };
        match &levels {
            None => make(batch, &mut made),
            Some(levels) => {
                packed.clear();
                packed.extend(batch.iter().zip(levels).filter(|(_, level)| **level == 1).map(|(value, _)| value.clone()));
                make(&packed, &mut made);
            }
        }
        let levels = levels.as_deref().or_else(|| DEFINED.get(..batch.len())).filter(|_| is_nullable);
        writer.write_batch(&made, levels, None)?;
    }
    Ok(())
}

/// Writes nulls alone, into a column of any type.
fn write_nulls(into: &mut SerializedColumnWriter<'_>, rows: usize) -> Result<(), ParquetError> {
    use parquet::column::writer::ColumnWriter::{
        ByteArrayColumnWriter, DoubleColumnWriter, FixedLenByteArrayColumnWriter, Int32ColumnWriter, Int64ColumnWriter,
    };
    let mut left = rows;
    while left > 0 {
        let levels = UNDEFINED.get(..left.min(BATCH_ROWS)).unwrap_or_default();
        match into.untyped() {
            Int64ColumnWriter(writer) => writer.write_batch(&[], Some(levels), None)?,
            Int32ColumnWriter(writer) => writer.write_batch(&[], Some(levels), None)?,
            DoubleColumnWriter(writer) => writer.write_batch(&[], Some(levels), None)?,
            ByteArrayColumnWriter(writer) => writer.write_batch(&[], Some(levels), None)?,
            FixedLenByteArrayColumnWriter(writer) => writer.write_batch(&[], Some(levels), None)?,
            _ => return Err(ParquetError::General("no column of this type is exported".to_owned())),
        };
        left -= levels.len();
    }
    Ok(())
}
