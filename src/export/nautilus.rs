//! `nautilus`: the catalog of nautilus_trader 1.231 (`ParquetDataCatalog`), high precision: `data/trade_tick/BTC-USD.COINBASE/{first}_{last}.parquet`.
//!
//! 1. Prices and sizes are fixed-point: the number times 10^16, 16 bytes, little-endian. Nothing is rounded.
//! 2. Rows stand in the order of `ts_init`, the time of receipt, and a file is named by its first and last one: the catalog asks for intervals that are
//!    disjoint. So a file holds what was received on one day.
//! 3. The catalog refuses an instrument whose files differ in their precisions. So all of them have those of the product: as many decimals as its
//!    increments or any of its exported values has.
//! 4. What the catalog cannot hold is left out and counted: a ticker without a bid or ask or one of their sizes, a value beyond the largest, more than 16
//!    decimals.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{ConvertedType, Encoding, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, PrimitiveTypeBuilder, Type, TypePtr};

use super::config::{ExportConfig, ExportEncoding};
use super::error::ExportError;
use super::fixed::{Fixed, LARGEST_PRICE, LARGEST_SIZE, Precision};
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written};
use super::output::Output;
use super::parquet::compression;
use super::receipt::{self, Content};
use super::received::{self, Received, ReceivedQuote, ReceivedTrade};
use crate::record::Side;
use crate::schema::Dataset;
use crate::time::UnixNanos;

/// The name of the exchange in the catalog.
const VENUE: &str = "COINBASE";
/// Rows of a row group: the catalog's queries skip groups by their times.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// The format, with its options.
pub(super) struct Nautilus {
    properties: WriterProperties,
}

impl Nautilus {
    /// Takes over the options.
    pub(super) fn new(config: &ExportConfig) -> Self {
        let mut properties = WriterProperties::builder()
            .set_compression(compression(config.compression))
            .set_created_by(format!("coltape {}", env!("CARGO_PKG_VERSION")))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        if config.encoding == ExportEncoding::Best {
            for (column, encoding) in [
                (TIMES[0], Encoding::DELTA_BINARY_PACKED),
                (TIMES[1], Encoding::DELTA_BINARY_PACKED),
                (TRADE_ID, Encoding::DELTA_BYTE_ARRAY),
            ] {
                let path = ColumnPath::from(column);
                properties = properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
            }
        }
        Self { properties: properties.build() }
    }
}

impl FileFormat for Nautilus {
    fn is_by_receipt(&self) -> bool {
        true
    }

    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        let contents = [
            Content { name: ReceivedTrade::FOLDER, datasets: &[Dataset::Trades] },
            Content { name: ReceivedQuote::FOLDER, datasets: &[Dataset::Md] },
        ];
        receipt::files_of_one_precision(product, &contents)
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        Ok(if file.planned.content == ReceivedTrade::FOLDER { path::<ReceivedTrade>(file) } else { path::<ReceivedQuote>(file) })
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        let properties = &self.properties;
        if file.planned.content == ReceivedTrade::FOLDER {
            write::<ReceivedTrade>(properties, file, out, done)
        } else {
            write::<ReceivedQuote>(properties, file, out, done)
        }
    }
}

/// Gives the place of a file, as in `data/trade_tick/BTC-USD.COINBASE/2025-06-07T00-00-00-000000001Z_2025-06-07T23-59-59-999999999Z.parquet`: the times are
/// those of the receipt of the first and last row.
fn path<T: Tick>(file: &OpenFile<'_>) -> PathBuf {
    let precision = file.planned.precision;
    let rows: Vec<T> = received::read(file);
    let mut times = rows.iter().filter(|row| row.numbers(precision).is_some()).map(Received::local);
    let first = times.next().unwrap_or_default();
    let last = times.next_back().unwrap_or(first);
    let spelled = |time: UnixNanos| time.to_string().replace([':', '.'], "-");
    PathBuf::from(format!("data/{}/{}/{}_{}.parquet", T::FOLDER, instrument(file), spelled(first), spelled(last)))
}

fn instrument(file: &OpenFile<'_>) -> String {
    format!("{}.{VENUE}", file.product)
}

/// A kind of row of the catalog.
trait Tick: Received {
    /// The catalog's name for it.
    const FOLDER: &'static str;
    /// Its fixed-point columns, in order.
    const NUMBERS: &'static [&'static str];
    /// Whether it has a side and an id.
    const IS_TRADE: bool;

    /// Gives the fixed-point numbers, in the order of the columns. Nothing where the catalog cannot hold them.
    fn numbers(&self, precision: Precision) -> Option<Numbers>;

    /// Gives the side as nautilus_trader's `AggressorSide`, and the id.
    fn side_and_id(&self) -> (i32, u64);
}

/// The fixed-point numbers of a row: two of a trade, four of a quote.
type Numbers = [i128; 4];

fn price(value: f64, precision: Precision) -> Option<i128> {
    Fixed::of(value, precision.price).map(|fixed| fixed.raw).filter(|raw| (-LARGEST_PRICE..=LARGEST_PRICE).contains(raw))
}

fn size(value: f64, precision: Precision) -> Option<i128> {
    Fixed::of(value, precision.size).map(|fixed| fixed.raw).filter(|raw| (0..=LARGEST_SIZE).contains(raw))
}

impl Tick for ReceivedTrade {
    const FOLDER: &'static str = "trade_tick";
    const NUMBERS: &'static [&'static str] = &["price", "size"];
    const IS_TRADE: bool = true;

    fn numbers(&self, precision: Precision) -> Option<Numbers> {
        Some([price(self.price, precision)?, size(self.size, precision)?, 0, 0])
    }

    fn side_and_id(&self) -> (i32, u64) {
        let aggressor = self.side.map_or(0, |side| if side == Side::Buy { 1 } else { 2 });
        (aggressor, self.trade_id)
    }
}

impl Tick for ReceivedQuote {
    const FOLDER: &'static str = "quote_tick";
    const NUMBERS: &'static [&'static str] = &["bid_price", "ask_price", "bid_size", "ask_size"];
    const IS_TRADE: bool = false;

    fn numbers(&self, precision: Precision) -> Option<Numbers> {
        let (bid, ask) = (price(self.bid, precision)?, price(self.ask, precision)?);
        Some([bid, ask, size(self.bid_size, precision)?, size(self.ask_size, precision)?])
    }

    fn side_and_id(&self) -> (i32, u64) {
        (0, 0)
    }
}

const SIDE: &str = "aggressor_side";
const TRADE_ID: &str = "trade_id";
const TIMES: [&str; 2] = ["ts_event", "ts_init"];

fn required(name: &str, physical: Physical) -> PrimitiveTypeBuilder<'_> {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED)
}

/// The schema that nautilus_trader writes itself.
fn schema<T: Tick>() -> Result<TypePtr, ParquetError> {
    let mut fields = Vec::new();
    for name in T::NUMBERS {
        fields.push(required(name, Physical::FIXED_LEN_BYTE_ARRAY).with_length(16).build()?);
    }
    if T::IS_TRADE {
        let side = required(SIDE, Physical::INT32).with_logical_type(Some(LogicalType::integer(8, false)));
        fields.push(side.with_converted_type(ConvertedType::UINT_8).build()?);
        fields.push(required(TRADE_ID, Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build()?);
    }
    for name in TIMES {
        let time = required(name, Physical::INT64).with_logical_type(Some(LogicalType::integer(64, false)));
        fields.push(time.with_converted_type(ConvertedType::UINT_64).build()?);
    }
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields.into_iter().map(Arc::new).collect()).build()?))
}

/// Writes the rows that the catalog can hold, and counts the others.
fn write<T: Tick>(
    properties: &WriterProperties,
    file: &OpenFile<'_>,
    out: &mut Output,
    done: &dyn Fn(u64),
) -> Result<Written, ExportError> {
    let precision = file.planned.precision;
    let mut rows: Vec<T> = received::read(file);
    let all = rows.len() as u64;
    rows.retain(|row| row.numbers(precision).is_some());
    let written = received::written(&rows);
    write_rows(properties, file, &rows, &mut *out, done).map_err(|error| out.failure(error))?;
    Ok(Written { unfit: all - written.rows, ..written })
}

fn write_rows<T: Tick>(
    properties: &WriterProperties,
    file: &OpenFile<'_>,
    rows: &[T],
    out: &mut Output,
    done: &dyn Fn(u64),
) -> Result<(), ParquetError> {
    let precision = file.planned.precision;
    let mut writer = SerializedFileWriter::new(out, schema::<T>()?, Arc::new(properties.clone()))?;
    let own = [
        ("instrument_id".to_owned(), instrument(file)),
        ("price_precision".to_owned(), precision.price.to_string()),
        ("size_precision".to_owned(), precision.size.to_string()),
    ];
    for (key, value) in own {
        writer.append_key_value_metadata(KeyValue::new(key, value));
    }
    for rows in rows.chunks(ROW_GROUP_ROWS) {
        let group = writer.next_row_group()?;
        write_group(group, rows, precision)?;
        done(rows.len() as u64);
    }
    writer.close().map(drop)
}

fn write_group<T: Tick>(
    mut group: SerializedRowGroupWriter<'_, &mut Output>,
    rows: &[T],
    precision: Precision,
) -> Result<(), ParquetError> {
    let numbers: Vec<Numbers> = rows.iter().map(|row| row.numbers(precision).unwrap_or_default()).collect();
    for column in 0..T::NUMBERS.len() {
        let bytes = numbers.iter().flat_map(|row| row.get(column).copied().unwrap_or_default().to_le_bytes());
        let all = ByteArray::from(bytes.collect::<Vec<u8>>());
        let values: Vec<FixedLenByteArray> = (0..rows.len()).map(|at| FixedLenByteArray::from(all.slice(at * 16, 16))).collect();
        write_column::<FixedLenByteArrayType>(&mut group, &values)?;
    }
    if T::IS_TRADE {
        let sides: Vec<i32> = rows.iter().map(|row| row.side_and_id().0).collect();
        write_column::<Int32Type>(&mut group, &sides)?;
        let ids: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.side_and_id().1.to_string().into_bytes())).collect();
        write_column::<ByteArrayType>(&mut group, &ids)?;
    }
    for time in [Received::event, Received::local] as [fn(&T) -> UnixNanos; 2] {
        let times: Vec<i64> = rows.iter().map(|row| time(row).0.cast_signed()).collect();
        write_column::<Int64Type>(&mut group, &times)?;
    }
    group.close().map(drop)
}

fn write_column<D: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Output>,
    values: &[D::T],
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))?;
    column.typed::<D>().write_batch(values, None, None)?;
    column.close()
}
