//! **The** table of exported columns: name, type, meaning, and how the values are made of stored ones. Parquet and Arrow files are driven by it.
//!
//! 1. What the feed did not send is null, never a zero and never NaN.
//! 2. A column that a day has no files for is null in all its rows. So every day of a dataset has the same columns.
//! 3. Values are made a column at a time, never a row at a time. Those that are stored as they are exported are not made at all.

use super::block::{Block, Stored};
use super::error::ExportError;
use crate::record::{Means, Origin, SIDE_UNKNOWN, Side};
use crate::schema::Dataset;

/// The type of an exported column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The event time: microseconds or nanoseconds since the epoch, UTC.
    Time,
    /// A 64-bit integer.
    Int64,
    /// A 32-bit integer.
    Int32,
    /// A double.
    Double,
    /// One of a few names.
    Name,
    /// The 16 bytes of an order id.
    OrderId,
}

/// Rows that are looked at together for a value that is not there.
const CHUNK_ROWS: usize = 4096;

/// Which rows of a column have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Present {
    /// All of them.
    All,
    /// None of them.
    None,
    /// Those that are marked.
    Some(Vec<bool>),
}

impl Present {
    /// Marks the rows whose value `is_there` says there is. Most columns have a value in every row: then nothing is marked.
    fn of<T>(values: &[T], is_there: impl Fn(&T) -> bool) -> Self {
        // Without a branch for each value, so that several are looked at together.
        let chunk = |chunk: &[T]| chunk.iter().fold(true, |all, value| all & is_there(value));
        if values.chunks(CHUNK_ROWS).all(chunk) {
            return Self::All;
        }
        let marks: Vec<bool> = values.iter().map(is_there).collect();
        if marks.iter().any(|mark| *mark) { Self::Some(marks) } else { Self::None }
    }
}

/// The values of a column, one for each row. What stands in a row without a value means nothing.
#[derive(Debug, Clone)]
pub(super) enum Values<'a> {
    /// As a stored column has them, little-endian: of [`Kind::Int64`] and [`Kind::Double`] 8 bytes each, of [`Kind::OrderId`] 16.
    Stored(Stored<'a>),
    /// Of [`Kind::Time`] and [`Kind::Int64`].
    Int64(Vec<i64>),
    /// Of [`Kind::Int32`].
    Int32(Vec<i32>),
    /// Of [`Kind::Double`].
    Double(Vec<f64>),
    /// Of [`Kind::Name`]: the place of each row's name in the list.
    Names(Vec<u8>, &'static [&'static str]),
    /// There is no value.
    Nothing,
}

/// What a column's values of one block are.
pub(super) type Filled<'a> = (Values<'a>, Present);

type Fill = for<'a> fn(&'a Block<'_>) -> Result<Filled<'a>, ExportError>;

/// An exported column.
#[derive(Clone, Copy)]
pub(super) struct ExportColumn {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether a row may have no value.
    pub is_nullable: bool,
    /// What the value means.
    pub doc: &'static str,
    /// Makes the values.
    pub fill: Fill,
}

const fn column(name: &'static str, kind: Kind, doc: &'static str, fill: Fill) -> ExportColumn {
    ExportColumn { name, kind, is_nullable: true, doc, fill }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str, fill: Fill) -> ExportColumn {
    ExportColumn { name, kind, is_nullable: false, doc, fill }
}

impl ExportColumn {
    /// Makes a column whose values are not made of stored ones: one of an answer that was computed.
    pub(super) const fn computed(name: &'static str, kind: Kind) -> Self {
        column(name, kind, "", |_| Ok((Values::Nothing, Present::None)))
    }
}

const TIME: ExportColumn = required("time", Kind::Time, "event time, the exchange's clock, in UTC", times);
const TIME_NS: ExportColumn = required("time_ns", Kind::Int64, "event time in nanoseconds since the Unix epoch", times);

const TRADES: &[ExportColumn] = &[
    TIME,
    TIME_NS,
    column(
        "recv_ns",
        Kind::Int64,
        "when this machine read the trade, in nanoseconds since the Unix epoch; null where it did not come live",
        |b| unless_zero(b, "trade_recv_nanos"),
    ),
    required("trade_id", Kind::Int64, "Coinbase's trade id, unique and rising per product", |b| all_u64(b, "trade_id")),
    column("sequence", Kind::Int64, "the exchange's sequence number for the product; null where none was sent", |b| {
        unless_zero(b, "trade_sequence")
    }),
    column("price", Kind::Double, "price in the quote currency", |b| doubles(b, "trade_price_f64", "trade_price")),
    column("size", Kind::Double, "size in the base currency", |b| doubles(b, "trade_size_f64", "trade_size")),
    column("side", Kind::Name, "the taker's side: buy or sell", |b| sides(b, "trade_side")),
    column("maker_order_id", Kind::OrderId, "the resting order, the UUID's 16 bytes in text order; null where none was sent", |b| {
        order_ids(b, "maker_order_id")
    }),
    column("taker_order_id", Kind::OrderId, "the aggressing order, likewise", |b| order_ids(b, "taker_order_id")),
    column("origin", Kind::Name, "how the trade came: live, snapshot (on subscribing), rest, or tape (another machine's)", |b| {
        from_origin(b, |origin| origin.means().map(|means| means as u8), &["live", "snapshot", "rest", "tape"])
    }),
    column("line", Kind::Int32, "which of several redundant lines brought it", lines),
    column("feed", Kind::Name, "which feed it is of: exchange or advanced", |b| {
        from_origin(b, |origin| Some(origin.feed()), &Origin::FEEDS)
    }),
];

const MD: &[ExportColumn] = &[
    TIME,
    TIME_NS,
    column("recv_ns", Kind::Int64, "when this machine read the ticker, in nanoseconds since the Unix epoch", |b| {
        unless_zero(b, "recv_nanos")
    }),
    column("trade_id", Kind::Int64, "the last trade's id; null where none was sent", |b| unless_zero(b, "trade_id")),
    column("sequence", Kind::Int64, "the exchange's sequence number for the product; null where none was sent", |b| {
        unless_zero(b, "sequence")
    }),
    column("price", Kind::Double, "the last trade's price", |b| doubles(b, "price_f64", "price")),
    column("size", Kind::Double, "the last trade's size; null where none was sent", |b| doubles(b, "volume_f64", "volume")),
    column("bid", Kind::Double, "best bid after that trade", |b| doubles(b, "best_bid_f64", "best_bid")),
    column("ask", Kind::Double, "best ask after that trade", |b| doubles(b, "best_ask_f64", "best_ask")),
    column("bid_size", Kind::Double, "size at the best bid; null where none was sent", |b| doubles(b, "best_bid_size_f64", "")),
    column("ask_size", Kind::Double, "size at the best ask; null where none was sent", |b| doubles(b, "best_ask_size_f64", "")),
    column("side", Kind::Name, "the last trade's taker side: buy or sell; null where it is not known", |b| sides(b, "side")),
];

const TICKER_TRADES: &[ExportColumn] = &[
    TIME,
    TIME_NS,
    column("price", Kind::Double, "the trade's price, as exact as an f32 is", |b| doubles(b, "", "trade_price")),
    column("size", Kind::Double, "the trade's size, as exact as an f32 is", |b| doubles(b, "", "trade_volume")),
    column("side", Kind::Name, "the taker's side: buy or sell", |b| sides(b, "trade_side")),
    column("spread", Kind::Double, "best ask less best bid after the trade, as exact as an f32 is", |b| doubles(b, "", "trade_spread")),
];

/// Gives the exported columns of a dataset, in order.
pub(super) const fn columns(dataset: Dataset) -> &'static [ExportColumn] {
    match dataset {
        Dataset::Trades => TRADES,
        Dataset::Md => MD,
        Dataset::TickerTrades => TICKER_TRADES,
    }
}

/// A number that stands where there is no value.
const ABSENT: u8 = u8::MAX;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: u32 = 1000;

fn times<'a>(block: &'a Block<'_>) -> Result<Filled<'a>, ExportError> {
    let times = block.clock_columns().map(|(seconds, nanos)| i64::from(seconds) * NANOS_PER_SECOND + i64::from(nanos));
    Ok((Values::Int64(times.collect()), Present::All))
}

/// Gives the event times in microseconds, for columns whose type has no nanoseconds.
pub(super) fn micros(block: &Block<'_>) -> Vec<i64> {
    let times = block.clock_columns().map(|(seconds, nanos)| i64::from(seconds) * MICROS_PER_SECOND + i64::from(nanos / NANOS_PER_MICRO));
    times.collect()
}

fn all_u64<'a>(block: &'a Block<'_>, name: &'static str) -> Result<Filled<'a>, ExportError> {
    let Some(values) = signed(block, name)? else { return Ok((Values::Nothing, Present::None)) };
    Ok((Values::Stored(values), Present::All))
}

fn unless_zero<'a>(block: &'a Block<'_>, name: &'static str) -> Result<Filled<'a>, ExportError> {
    let Some(values) = signed(block, name)? else { return Ok((Values::Nothing, Present::None)) };
    let present = Present::of(values.values::<8>(), |value| *value != [0; 8]);
    Ok((Values::Stored(values), present))
}

/// Gives unsigned values as signed ones. One that does not fit is damage: an id, a sequence or a time of the year 2262.
fn signed<'a>(block: &'a Block<'_>, column: &'static str) -> Result<Option<Stored<'a>>, ExportError> {
    let Some(stored) = block.stored::<8>(column) else { return Ok(None) };
    let mut values = stored.values::<8>().iter().map(|bytes| u64::from_le_bytes(*bytes));
    if values.clone().fold(0, |all, value| all | value) > i64::MAX.cast_unsigned() {
        let value = values.find(|value| *value > i64::MAX.cast_unsigned()).unwrap_or(0);
        return Err(ExportError::Unfit { column, value });
    }
    Ok(Some(stored))
}

fn doubles<'a>(block: &'a Block<'_>, exact: &str, rounded: &str) -> Result<Filled<'a>, ExportError> {
    if let Some(stored) = block.stored::<8>(exact) {
        let present = Present::of(stored.values::<8>(), |bytes| !f64::from_le_bytes(*bytes).is_nan());
        return Ok((Values::Stored(stored), present));
    }
    let Some(values) = block.numbers(exact, rounded) else { return Ok((Values::Nothing, Present::None)) };
    let present = Present::of(&values, |value| !value.is_nan());
    Ok((Values::Double(values), present))
}

fn sides<'a>(block: &'a Block<'_>, name: &str) -> Result<Filled<'a>, ExportError> {
    let Some(codes) = block.u32s(name) else { return Ok((Values::Nothing, Present::None)) };
    let place = |code: u32| u8::try_from(code).ok().filter(|_| code < SIDE_UNKNOWN).unwrap_or(ABSENT);
    Ok(names(codes.map(place).collect(), &SIDES))
}

/// The names of the sides by their codes.
const SIDES: [&str; 2] = [Side::Sell.name(), Side::Buy.name()];

fn from_origin<'a>(
    block: &'a Block<'_>,
    place: fn(Origin) -> Option<u8>,
    list: &'static [&'static str],
) -> Result<Filled<'a>, ExportError> {
    let Some(origins) = block.values::<4>("trade_origin") else { return Ok((Values::Nothing, Present::None)) };
    let place = |bits: &[u8; 4]| place(Origin(u32::from_le_bytes(*bits))).unwrap_or(ABSENT);
    // Nearly always all records of a block came the same way: then it is told once.
    let places = match origins.first().filter(|first| origins.iter().fold(true, |all, bits| all & (bits == *first))) {
        Some(first) => vec![place(first); origins.len()],
        None => origins.iter().map(place).collect(),
    };
    Ok(names(places, list))
}

fn names(places: Vec<u8>, list: &'static [&'static str]) -> Filled<'static> {
    let present = Present::of(&places, |place| *place != ABSENT);
    (Values::Names(places, list), present)
}

fn lines<'a>(block: &'a Block<'_>) -> Result<Filled<'a>, ExportError> {
    let Some(origins) = block.u32s("trade_origin") else { return Ok((Values::Nothing, Present::None)) };
    // Four bits always fit.
    let lines = origins.map(|bits| i32::try_from(bits >> 4 & 0xf).unwrap_or(0));
    Ok((Values::Int32(lines.collect()), Present::All))
}

fn order_ids<'a>(block: &'a Block<'_>, name: &str) -> Result<Filled<'a>, ExportError> {
    let Some(ids) = block.stored::<16>(name) else { return Ok((Values::Nothing, Present::None)) };
    let present = Present::of(ids.values::<16>(), |id| u128::from_ne_bytes(*id) != 0);
    Ok((Values::Stored(ids), present))
}

const _: () = assert!(Means::Tape as u8 == 3, "the names of the origins stand in the order of their codes");
