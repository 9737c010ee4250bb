//! Prints one stored value.
//!
//! 1. A float is the shortest decimal that reads back as the same float, never with an exponent. One that is not a number is empty in CSV and in a table,
//!    and `null` in JSON.
//! 2. A side is `buy`, `sell` or `unknown`, and an order id is a UUID. With `--raw` a side is its code, and an order id is 32 hex digits.

use crate::digits;
use crate::record::{SIDE_UNKNOWN, Side};
use crate::schema::{Column, Value};

/// Tells whether a column holds a side.
#[must_use]
pub(super) fn is_side(column: &Column) -> bool {
    matches!(column.name, "side" | "trade_side")
}

/// Tells whether a value is text in JSON.
#[must_use]
pub(super) fn is_text(column: &Column, value: Value, raw: bool) -> bool {
    matches!(value, Value::Uuid(_)) || (is_side(column) && !raw && side_name(value).is_some())
}

/// Adds the text of a value to `out`. A float that is not a number has none.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, column: &Column, value: Value, raw: bool) {
    match value {
        Value::U32(code) => match side_name(value).filter(|_| !raw && is_side(column)) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => digits::push_u64(out, u64::from(code)),
        },
        Value::U64(value) => digits::push_u64(out, value),
        Value::F32(value) => digits::push_f32(out, value),
        Value::F64(value) => digits::push_f64(out, value),
        Value::Uuid(bytes) if raw => digits::push_hex(out, &bytes),
        Value::Uuid(bytes) => digits::push_uuid(out, &bytes),
    }
}

/// Gives the name of a side. A code that is not a side has none.
fn side_name(value: Value) -> Option<&'static str> {
    match value {
        Value::U32(SIDE_UNKNOWN) => Some("unknown"),
        Value::U32(code) => Side::from_code(code).map(Side::name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Layout, Trades};

    fn text(column: usize, value: Value, raw: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, &Trades::COLUMNS[column], value, raw);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn floats_print_without_exponent_and_nan_prints_nothing() {
        assert_eq!(text(8, Value::F64(0.000_000_01), false), "0.00000001");
        assert_eq!(text(8, Value::F64(1e15), false), "1000000000000000");
        assert_eq!(text(3, Value::F32(131_072.01), false), "131072.02");
        assert_eq!((text(3, Value::F32(f32::NAN), false), text(8, Value::F64(f64::INFINITY), true)), (String::new(), String::new()));
    }

    #[test]
    fn sides_and_order_ids_are_readable_unless_raw() {
        let (side, order) = (5, 6);
        let shown: Vec<String> = [0, 1, 2, 7].map(|code| text(side, Value::U32(code), false)).into();
        assert_eq!(shown, ["sell", "buy", "unknown", "7"]);
        assert_eq!(text(side, Value::U32(1), true), "1");
        assert_eq!(text(order, Value::Uuid([0xab; 16]), false), "abababab-abab-abab-abab-abababababab");
        assert_eq!(text(order, Value::Uuid([0xab; 16]), true), "ab".repeat(16));
        assert!(!is_text(&Trades::COLUMNS[side], Value::U32(7), false), "a code that is no side stays a number in JSON");
    }
}
