//! [`Rebuilt`]: the bytes of a day's column as far as the exported file says what they are, and what it may leave open.
//!
//! 1. Each stored column is made of exported ones, row by row. What the export leaves out is made as the likeliest value: an f32 of its f64, a 0 or a NaN of
//!    a null.
//! 2. A value that the export holds must come back as it is stored: [`is_left_open`] says of a difference whether the export leaves it open at all.

use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArrayType};

use super::error::ArchiveError;
use super::parquet_day::ParquetDay;
use crate::record::{Origin, SIDE_UNKNOWN, Side};
use crate::schema::{Column, Kind};

/// What a stored column is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// An integer; null is 0.
    Integer(&'static str),
    /// The whole seconds of the event time.
    Seconds,
    /// Its nanoseconds within the second.
    Nanos,
    /// A double; null is NaN.
    Double(&'static str),
    /// The f32 that is nearest to a double.
    Single(&'static str),
    /// The taker's side; null is "unknown".
    Side,
    /// An order id; null is all zeroes.
    OrderId(&'static str),
    /// How a trade came, by which line, from which feed.
    Origin,
    /// Nothing of it is exported.
    Nothing,
}

/// The bits of an origin that are exported where its means is known.
const EXPORTED_ORIGIN: u32 = 0x1ff;

impl Source {
    /// Gives what a column is made of.
    pub(super) fn of(column: &Column) -> Self {
        match column.name {
            "trade_id" => Self::Integer("trade_id"),
            "sequence" | "trade_sequence" => Self::Integer("sequence"),
            "recv_nanos" | "trade_recv_nanos" => Self::Integer("recv_ns"),
            "time" | "trade_time" => Self::Seconds,
            "nanos" | "trade_nanos" => Self::Nanos,
            "price_f64" | "trade_price_f64" => Self::Double("price"),
            "volume_f64" | "trade_size_f64" => Self::Double("size"),
            "best_bid_f64" => Self::Double("bid"),
            "best_ask_f64" => Self::Double("ask"),
            "best_bid_size_f64" => Self::Double("bid_size"),
            "best_ask_size_f64" => Self::Double("ask_size"),
            "price" | "trade_price" => Self::Single("price"),
            "volume" | "trade_size" | "trade_volume" => Self::Single("size"),
            "best_bid" => Self::Single("bid"),
            "best_ask" => Self::Single("ask"),
            "trade_spread" => Self::Single("spread"),
            "side" | "trade_side" => Self::Side,
            "maker_order_id" => Self::OrderId("maker_order_id"),
            "taker_order_id" => Self::OrderId("taker_order_id"),
            "trade_origin" => Self::Origin,
            _ => Self::Nothing,
        }
    }

    /// Gives the bytes of a column's values in a row group.
    ///
    /// # Errors
    /// Where the file lacks a column, cannot be read, or contradicts itself.
    pub(super) fn rebuild(self, file: &ParquetDay, group: usize, kind: Kind) -> Result<Vec<u8>, ArchiveError> {
        let rows = file.rows(group)?;
        Ok(match self {
            Self::Integer(name) => bytes(file.int64s(group, name)?, |value| value.unwrap_or(0).to_le_bytes()),
            Self::Seconds => bytes(times(file, group)?, |time| u32_of(time.div_euclid(NANOS_PER_SECOND)).to_le_bytes()),
            Self::Nanos => bytes(times(file, group)?, |time| u32_of(time.rem_euclid(NANOS_PER_SECOND)).to_le_bytes()),
            Self::Double(name) => bytes(file.doubles(group, name)?, |value| value.unwrap_or(f64::NAN).to_le_bytes()),
            #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
            Self::Single(name) => bytes(file.doubles(group, name)?, |value| value.map_or(f32::NAN, |value| value as f32).to_le_bytes()),
            Self::Side => bytes(file.values::<ByteArrayType>(group, "side")?, |name| {
                let sides = [Side::Buy, Side::Sell];
                let side = name.and_then(|name| sides.into_iter().find(|side| side.name().as_bytes() == name.data()));
                side.map_or(SIDE_UNKNOWN, Side::code).to_le_bytes()
            }),
            Self::OrderId(name) => bytes(file.values::<FixedLenByteArrayType>(group, name)?, |id| {
                id.as_ref().and_then(|id| id.data().first_chunk::<16>().copied()).unwrap_or_default()
            }),
            Self::Origin => origins(file, group)?,
            Self::Nothing => vec![0; rows * kind.width()],
        })
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MICRO: i64 = 1000;

fn bytes<T, const N: usize>(values: Vec<T>, to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut all = Vec::with_capacity(values.len() * N);
    values.into_iter().for_each(|value| all.extend(to_bytes(value)));
    all
}

/// A part of a time that no column holds becomes the highest number, which differs from whatever is stored.
fn u32_of(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Reads the event times. The column in nanoseconds and the one that engines take for a time must say the same.
fn times(file: &ParquetDay, group: usize) -> Result<Vec<i64>, ArchiveError> {
    let (nanos, shown) = (file.int64s(group, "time_ns")?, file.int64s(group, "time")?);
    let differ = || ArchiveError::Differs { what: "time and time_ns".to_owned(), why: "they do not say the same".to_owned() };
    nanos
        .into_iter()
        .zip(shown)
        .map(|pair| match pair {
            (Some(nanos), Some(shown)) if shown == nanos || shown == nanos.div_euclid(NANOS_PER_MICRO) => Ok(nanos),
            _ => Err(differ()),
        })
        .collect()
}

fn origins(file: &ParquetDay, group: usize) -> Result<Vec<u8>, ArchiveError> {
    let means = file.values::<ByteArrayType>(group, "origin")?;
    let (lines, feeds) = (file.int32s(group, "line")?, file.values::<ByteArrayType>(group, "feed")?);
    let place = |name: Option<ByteArray>, names: &[&str]| {
        let place = name.and_then(|name| names.iter().position(|known| known.as_bytes() == name.data()));
        place.and_then(|place| u32::try_from(place).ok())
    };
    let all = means.into_iter().zip(lines).zip(feeds).map(|((means, line), feed)| {
        let means = place(means, &["live", "snapshot", "rest", "tape"]).unwrap_or(0);
        let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        means | line << 4 | place(feed, &Origin::FEEDS).unwrap_or(0) << 8
    });
    Ok(bytes(all.collect(), u32::to_le_bytes))
}

/// Tells whether the export leaves it open which of two values a column has. `has_double` says whether the day has the double of a single, too.
pub(super) fn is_left_open(source: Source, has_double: bool, stored: &[u8], rebuilt: &[u8]) -> bool {
    let single = |bytes: &[u8]| bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
    let double = |bytes: &[u8]| bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes));
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    match source {
        Source::Single(_) => has_double || (single(stored).is_nan() && single(rebuilt).is_nan()),
        Source::Double(_) => double(stored).is_nan() && double(rebuilt).is_nan(),
        Source::Side => word(stored) >= SIDE_UNKNOWN && word(rebuilt) == SIDE_UNKNOWN,
        Source::Origin => {
            let exported = if Origin(word(stored)).means().is_some() { EXPORTED_ORIGIN } else { EXPORTED_ORIGIN & !0xf };
            (word(stored) ^ word(rebuilt)) & exported == 0
        }
        Source::Nothing => true,
        Source::Integer(_) | Source::Seconds | Source::Nanos | Source::OrderId(_) => false,
    }
}

/// Tells whether a day with these columns has the double of a single.
pub(super) fn has_double(table: &[Column], source: Source) -> bool {
    let Source::Single(name) = source else { return false };
    table.iter().any(|column| Source::of(column) == Source::Double(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Dataset;

    #[test]
    fn every_stored_column_is_made_of_exported_ones() {
        for column in Dataset::ALL.into_iter().flat_map(Dataset::columns) {
            assert_ne!(Source::of(column), Source::Nothing, "{}", column.name);
        }
    }

    #[test]
    fn what_is_exported_is_never_left_open() {
        let open = |source, stored: &[u8], rebuilt: &[u8]| is_left_open(source, false, stored, rebuilt);
        assert!(!open(Source::Integer("x"), &[1; 8], &[2; 8]) && !open(Source::OrderId("x"), &[1; 16], &[0; 16]));
        assert!(!open(Source::Double("x"), &1.0_f64.to_le_bytes(), &f64::NAN.to_le_bytes()));
        assert!(open(Source::Double("x"), &(-f64::NAN).to_le_bytes(), &f64::NAN.to_le_bytes()));
        let (one, next) = (1.0_f32.to_le_bytes(), 1.0_f32.next_up().to_le_bytes());
        assert!(!open(Source::Single("x"), &one, &next) && is_left_open(Source::Single("x"), true, &one, &next));
        let word = |word: u32| word.to_le_bytes();
        assert!(
            !open(Source::Side, &word(1), &word(0)) && !open(Source::Side, &word(1), &word(2)) && open(Source::Side, &word(9), &word(2))
        );
        let (live, flawed, rest, line) = (word(0), word(1 << 9), word(2), word(1 << 4));
        assert!(open(Source::Origin, &flawed, &live) && !open(Source::Origin, &rest, &live) && !open(Source::Origin, &line, &live));
        assert!(open(Source::Origin, &word(7), &live), "a means that nobody knows has no name");
    }
}
