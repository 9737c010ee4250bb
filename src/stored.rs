//! Records as they are stored: the [`Value`]s of a record, column by column.
//!
//! 1. A record is given by its bytes as they are, even where a code means nothing. Only a late trade in its place is given by its fields, which say the same.
//! 2. Two NaNs are the same value: both say that the feed sent none.

use crate::schema::{Column, Dataset, Kind, Layout, Sink, Value};
use crate::store::Snapshot;

/// Gives the columns that a day's folder holds.
#[must_use]
pub(crate) fn columns_of<L: Layout>(snapshot: &Snapshot<L>) -> &'static [Column] {
    snapshot.columns()
}

/// Loads the values of record `number` of the merged order into `values`, one for each column of the day. Tells whether there is such a record.
pub(crate) fn load<L: Layout>(snapshot: &Snapshot<L>, number: usize, values: &mut Vec<Value>) -> bool {
    values.clear();
    if number >= snapshot.count() {
        return false;
    }
    let columns = columns_of(snapshot);
    if is_in_columns(snapshot, number) {
        return load_base(snapshot, number, values);
    }
    if L::DATASET != Dataset::Trades {
        return number.checked_sub(snapshot.base_count()).is_some_and(|late| load_late(snapshot, late, values));
    }
    match snapshot.row(number) {
        Some(row) => {
            of_row::<L>(&row, values);
            values.truncate(columns.len());
            true
        }
        None => false,
    }
}

/// Tells whether record `number` of the merged order is record `number` of the columns: late tickers come behind all others, late trades in their place.
#[must_use]
pub(crate) fn is_in_columns<L: Layout>(snapshot: &Snapshot<L>, number: usize) -> bool {
    number < snapshot.base_count() && (L::DATASET != Dataset::Trades || snapshot.late().is_empty())
}

/// Loads the values of record `number` of the columns into `values`. Tells whether every column has it.
pub(crate) fn load_base<L: Layout>(snapshot: &Snapshot<L>, number: usize, values: &mut Vec<Value>) -> bool {
    values.clear();
    let mut columns = columns_of(snapshot).iter().enumerate();
    columns.all(|(at, column)| push_value(values, snapshot.column_bytes(at), column.kind, number))
}

/// Reads value `number` of a column from the column's bytes.
#[inline]
#[must_use]
pub(crate) fn value_at(bytes: &[u8], kind: Kind, number: usize) -> Option<Value> {
    Some(match kind {
        Kind::U32 => Value::U32(u32::from_le_bytes(chunk(bytes, number)?)),
        Kind::U64 => Value::U64(u64::from_le_bytes(chunk(bytes, number)?)),
        Kind::F32 => Value::F32(f32::from_le_bytes(chunk(bytes, number)?)),
        Kind::F64 => Value::F64(f64::from_le_bytes(chunk(bytes, number)?)),
        Kind::Uuid => Value::Uuid(chunk(bytes, number)?),
    })
}

/// Adds value `number` of a column, read from the column's bytes. Tells whether it is there.
#[inline]
fn push_value(values: &mut Vec<Value>, bytes: &[u8], kind: Kind, number: usize) -> bool {
    // Each value is made where it stays: one that is passed through an Option costs three times as much.
    match kind {
        Kind::U32 => push(values, bytes, number, |bytes| Value::U32(u32::from_le_bytes(bytes))),
        Kind::U64 => push(values, bytes, number, |bytes| Value::U64(u64::from_le_bytes(bytes))),
        Kind::F32 => push(values, bytes, number, |bytes| Value::F32(f32::from_le_bytes(bytes))),
        Kind::F64 => push(values, bytes, number, |bytes| Value::F64(f64::from_le_bytes(bytes))),
        Kind::Uuid => push(values, bytes, number, Value::Uuid),
    }
}

#[inline(always)]
fn push<const N: usize>(values: &mut Vec<Value>, bytes: &[u8], number: usize, make: impl Fn([u8; N]) -> Value) -> bool {
    let Some(value) = chunk(bytes, number) else { return false };
    values.push(make(value));
    true
}

/// Loads the values of late record `number`, in the order they came, into `values`. Tells whether every column has it.
pub(crate) fn load_late<L: Layout>(snapshot: &Snapshot<L>, number: usize, values: &mut Vec<Value>) -> bool {
    values.clear();
    let mut columns = columns_of(snapshot).iter().enumerate();
    columns.all(|(at, column)| snapshot.late_bytes(number, at).is_some_and(|bytes| push_value(values, bytes, column.kind, 0)))
}

/// Puts the values of a record into `values`, one for each column of the full set.
pub(crate) fn of_row<L: Layout>(row: &L::Row, values: &mut Vec<Value>) {
    values.clear();
    L::store(row, &mut Collect(values));
}

/// Gives the bytes of value `number`, each value having `N` of them.
#[must_use]
pub(crate) fn chunk<const N: usize>(bytes: &[u8], number: usize) -> Option<[u8; N]> {
    bytes.get(number.checked_mul(N)?..)?.first_chunk().copied()
}

/// Gives the place of the column by which a record is known: the sequence of a ticker, else the id of a trade. `None` where the day has neither.
#[must_use]
pub(crate) fn key_column(columns: &[Column]) -> Option<usize> {
    let of = |name: &str| columns.iter().position(|column| column.name == name && column.kind == Kind::U64);
    of("sequence").or_else(|| of("trade_id"))
}

/// Gives the 4-byte integer of a column; nothing where the column holds something else.
#[must_use]
pub(crate) fn u32_at(values: &[Value], column: usize) -> Option<u32> {
    match values.get(column) {
        Some(Value::U32(value)) => Some(*value),
        _ => None,
    }
}

/// Gives the 8-byte integer of a column; nothing where the column holds something else.
#[must_use]
pub(crate) fn u64_at(values: &[Value], column: usize) -> Option<u64> {
    match values.get(column) {
        Some(Value::U64(value)) => Some(*value),
        _ => None,
    }
}

/// Tells whether two values are the same bits, or both NaN.
#[must_use]
pub(crate) fn is_same(left: Value, right: Value) -> bool {
    match (left, right) {
        (Value::F32(left), Value::F32(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (Value::F64(left), Value::F64(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (left, right) => left == right,
    }
}

/// Collects the values of a record. A layout stores them in the order of the table.
struct Collect<'a>(&'a mut Vec<Value>);

impl Sink for Collect<'_> {
    fn u32(&mut self, _column: usize, value: u32) {
        self.0.push(Value::U32(value));
    }

    fn u64(&mut self, _column: usize, value: u64) {
        self.0.push(Value::U64(value));
    }

    fn f32(&mut self, _column: usize, value: f32) {
        self.0.push(Value::F32(value));
    }

    fn f64(&mut self, _column: usize, value: f64) {
        self.0.push(Value::F64(value));
    }

    fn uuid(&mut self, _column: usize, value: [u8; 16]) {
        self.0.push(Value::Uuid(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnSet;

    #[test]
    fn values_are_the_same_by_their_bits_and_nan_is_nan() {
        assert!(is_same(Value::F32(f32::NAN), Value::F32(-f32::NAN)));
        assert!(!is_same(Value::F64(0.0), Value::F64(-0.0)));
        assert!(!is_same(Value::F32(1.0), Value::F32(1.0_f32.next_up())));
        assert!(!is_same(Value::U32(1), Value::U64(1)));
    }

    #[test]
    fn a_ticker_is_known_by_its_sequence_and_a_trade_by_its_id() {
        let name = |columns: &[Column]| key_column(columns).and_then(|at| columns.get(at)).map(|column| column.name);
        assert_eq!((name(Dataset::Trades.columns()), name(Dataset::Md.columns())), (Some("trade_id"), Some("sequence")));
        assert_eq!(name(Dataset::TickerTrades.columns()), None);
        assert_eq!(name(Dataset::Md.columns_of(ColumnSet::Core)), None);
    }

    #[test]
    fn bytes_that_end_early_hold_no_value() {
        let mut values = Vec::new();
        assert!(push_value(&mut values, &[1, 0, 0, 0, 2, 0, 0], Kind::U32, 0));
        assert!(!push_value(&mut values, &[1, 0, 0, 0, 2, 0, 0], Kind::U32, 1));
        assert!(!push_value(&mut values, &[0; 16], Kind::Uuid, usize::MAX));
        assert_eq!(values, [Value::U32(1)]);
    }
}
