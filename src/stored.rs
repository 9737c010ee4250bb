//! Records as they are stored: the [`Value`]s of one record, column by column, and how they differ from another's.
//!
//! 1. Where a record lies in the columns its bytes are shown as they are, a code that means nothing included; a late record is shown by its fields.
//! 2. Two NaNs are the same value: what the feed did not send is not sent twice over.

use crate::schema::{Column, Dataset, Kind, Layout, Sink, Value};
use crate::store::Snapshot;

/// Gives the columns that a day has.
#[must_use]
pub fn columns_of<L: Layout>(snapshot: &Snapshot<L>) -> &'static [Column] {
    L::DATASET.columns_of(snapshot.column_set())
}

/// Puts the values of record `number` of the merged order into `values`, one a column the day has. Tells whether there is such a record.
pub fn load<L: Layout>(snapshot: &Snapshot<L>, number: usize, values: &mut Vec<Value>) -> bool {
    values.clear();
    if number >= snapshot.count() {
        return false;
    }
    let columns = columns_of(snapshot);
    // Late tickers stand behind all others, late trades among them; without late ones both orders are the same.
    let in_columns = snapshot.late().is_empty() || (L::DATASET != Dataset::Trades && number < snapshot.base_count());
    if in_columns {
        return load_base(snapshot, number, values);
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

/// Puts the values of record `number` of the columns into `values`. Tells whether every column has it.
pub fn load_base<L: Layout>(snapshot: &Snapshot<L>, number: usize, values: &mut Vec<Value>) -> bool {
    values.clear();
    let columns = columns_of(snapshot);
    values.extend(columns.iter().enumerate().filter_map(|(at, column)| value_at(snapshot.column_bytes(at), column.kind, number)));
    values.len() == columns.len()
}

/// Puts a record's values into `values`, one a column of the full set.
pub fn of_row<L: Layout>(row: &L::Row, values: &mut Vec<Value>) {
    values.clear();
    L::store(row, &mut Collect(values));
}

/// Reads value `number` of a column's bytes.
#[must_use]
pub fn value_at(bytes: &[u8], kind: Kind, number: usize) -> Option<Value> {
    Some(match kind {
        Kind::U32 => Value::U32(u32::from_le_bytes(chunk(bytes, number)?)),
        Kind::U64 => Value::U64(u64::from_le_bytes(chunk(bytes, number)?)),
        Kind::F32 => Value::F32(f32::from_le_bytes(chunk(bytes, number)?)),
        Kind::F64 => Value::F64(f64::from_le_bytes(chunk(bytes, number)?)),
        Kind::Uuid => Value::Uuid(chunk(bytes, number)?),
    })
}

/// Gives the `N` bytes of value `number`.
#[must_use]
pub fn chunk<const N: usize>(bytes: &[u8], number: usize) -> Option<[u8; N]> {
    bytes.get(number.checked_mul(N)?..)?.first_chunk().copied()
}

/// Tells whether two values are the same bits, or both NaN.
#[must_use]
pub fn is_same(left: Value, right: Value) -> bool {
    match (left, right) {
        (Value::F32(left), Value::F32(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (Value::F64(left), Value::F64(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (left, right) => left == right,
    }
}

/// Collects a record's values in the order of the table, which is the order in which a layout stores them.
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

    #[test]
    fn values_are_the_same_by_their_bits_and_nan_is_nan() {
        assert!(is_same(Value::F32(f32::NAN), Value::F32(-f32::NAN)));
        assert!(!is_same(Value::F64(0.0), Value::F64(-0.0)));
        assert!(!is_same(Value::F32(1.0), Value::F32(1.0_f32.next_up())));
        assert!(!is_same(Value::U32(1), Value::U64(1)));
    }

    #[test]
    fn bytes_that_end_early_hold_no_value() {
        assert_eq!(value_at(&[1, 0, 0, 0, 2, 0, 0], Kind::U32, 0), Some(Value::U32(1)));
        assert_eq!(value_at(&[1, 0, 0, 0, 2, 0, 0], Kind::U32, 1), None);
        assert_eq!(value_at(&[0; 16], Kind::Uuid, usize::MAX), None);
    }
}
