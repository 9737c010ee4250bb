//! Numbers as text, fast: the same text as `Display` gives, which is the shortest that reads back as the same float.
//!
//! The usual number has few digits. It is scaled by powers of ten until it is an integer: the first power that works gives the shortest text, because two
//! decimals of at most 15 digits (6 for an f32's interval, see there) are never nearest to the same float. Any other number is printed by `Display`.

use std::io::Write;

/// Powers of ten that are floats exactly.
const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// A number of 15 digits is below this.
const FIFTEEN_DIGITS: u64 = 1_000_000_000_000_000;
/// The same powers as integers.
const UNITS: [u64; 13] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
];
/// Below this every integer is an f32, and no shorter text of an integer reads back as it.
const F32_INTEGERS: f32 = 8_388_608.0;

/// The two digits of each number below 100.
static PAIRS: [[u8; 2]; 100] = pairs(10, b"0123456789");
/// The two hexadecimal digits of each byte.
static HEX_PAIRS: [[u8; 2]; 256] = pairs(16, b"0123456789abcdef");

const fn pairs<const N: usize, const D: usize>(base: usize, digits: &[u8; D]) -> [[u8; 2]; N] {
    let mut all = [[b'0'; 2]; N];
    let mut at = 0;
    while at < N {
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        {
            all[at] = [digits[at / base], digits[at % base]];
        }
        at += 1;
    }
    all
}

/// Gives the integer nearest to a number from 0 to 10^18. (`round` is a call into the C library on the processors that a build is for.)
#[expect(clippy::cast_possible_truncation, reason = "cutting is meant; the number is not below 0, and a cast stops at the ends")]
#[inline]
fn nearest(value: f64) -> u64 {
    (value + 0.5) as i64 as u64
}

/// Adds a float.
#[inline]
pub(super) fn put_f64(out: &mut Vec<u8>, value: f64) {
    if value > 0.0 {
        for (places, power) in POWERS.iter().enumerate() {
            let scaled = nearest(value * power);
            if scaled >= FIFTEEN_DIGITS {
                break;
            }
            // Both are exact, so the quotient is the float nearest to the decimal.
            if scaled as f64 / power == value {
                return put_decimal(out, scaled, places);
            }
        }
    }
    put_any(out, value);
}

/// Adds a float of 4 bytes.
#[inline]
pub(super) fn put_f32(out: &mut Vec<u8>, value: f32) {
    // Products with up to 10^12 are exact: 25 bits of the number or of a bound, and 28 of 5^12.
    if (f32::MIN_POSITIVE..F32_INTEGERS).contains(&value) {
        let (exact, below, above) = (f64::from(value), f64::from(value.next_down()), f64::from(value.next_up()));
        let (low, high) = ((exact + below) / 2.0, (exact + above) / 2.0);
        let is_even = value.to_bits().is_multiple_of(2);
        for (places, power) in POWERS.iter().enumerate() {
            let scaled = nearest(exact * power);
            if scaled >= FIFTEEN_DIGITS {
                break;
            }
            let number = scaled as f64;
            let is_inside =
                if is_even { low * power <= number && number <= high * power } else { low * power < number && number < high * power };
            if is_inside && scaled > 0 {
                return put_decimal(out, scaled, places);
            }
        }
    }
    put_any(out, value);
}

#[cold]
fn put_any(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// Adds an integer below 10^15 with its point so many places from the right.
#[inline]
fn put_decimal(out: &mut Vec<u8>, scaled: u64, places: usize) {
    let unit = UNITS.get(places).copied().unwrap_or(1);
    put_u64(out, scaled / unit);
    if places > 0 {
        let mut text = [b'0'; 20];
        digits_into(&mut text, scaled % unit);
        out.push(b'.');
        out.extend_from_slice(text.get(20 - places..).unwrap_or_default());
    }
}

/// Adds an unsigned integer.
#[inline]
pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    let mut text = [b'0'; 20];
    let first = digits_into(&mut text, value);
    out.extend_from_slice(text.get(first..).unwrap_or_default());
}

/// Writes a number to the end of a text of zeros. Gives the place of its first digit.
#[inline]
fn digits_into(text: &mut [u8; 20], value: u64) -> usize {
    let (places, _) = text.as_chunks_mut::<2>();
    let mut rest = value;
    let mut first = 20;
    for place in places.iter_mut().rev() {
        let pair = usize::try_from(rest % 100).unwrap_or(0);
        *place = PAIRS.get(pair).copied().unwrap_or_default();
        first -= 2;
        rest /= 100;
        if rest == 0 {
            return first + usize::from(pair < 10);
        }
    }
    first
}

/// Adds an order id as its UUID.
#[inline]
pub(super) fn put_uuid(out: &mut Vec<u8>, id: [u8; 16]) {
    let mut digits = [0; 32];
    for (place, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(id) {
        *place = HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default();
    }
    let mut text = [b'-'; 36];
    for (to, from) in [(0, 0..8), (9, 8..12), (14, 12..16), (19, 16..20), (24, 20..32)] {
        if let (Some(part), Some(source)) = (text.get_mut(to..to + from.len()), digits.get(from)) {
            part.copy_from_slice(source);
        }
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OrderId;
    use proptest::prelude::*;

    fn text(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_at_the_edges_are_printed_as_display_prints_them() {
        let f64s = [
            0.0,
            -0.0,
            1.0,
            0.1,
            1e-8,
            1e-12,
            1e-13,
            64841.44,
            999_999_999_999_999.0,
            1e15,
            1e16,
            123456789.12345678,
            f64::MAX,
            -1.5,
            5e-324,
        ];
        for value in f64s {
            assert_eq!(text(|out| put_f64(out, value)), value.to_string());
        }
        let f32s = [
            0.0,
            1.0,
            0.1,
            1e-8,
            64841.44,
            131_072.01,
            8_388_607.5,
            8_388_608.0,
            16_777_216.0,
            1e20,
            f32::MIN_POSITIVE,
            1e-45,
            f32::MAX,
            -2.5,
        ];
        for value in f32s {
            assert_eq!(text(|out| put_f32(out, value)), value.to_string());
        }
        for value in [0, 1, 9, 10, u64::MAX] {
            assert_eq!(text(|out| put_u64(out, value)), value.to_string());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn every_number_is_printed_as_display_prints_it(bits: u64, id: [u8; 16], mantissa in 0u64..10_000_000_000_000_000, places in 0u32..14) {
            let whole = f64::from_bits(bits);
            let small = f32::from_bits(u32::try_from(bits >> 32).expect("half"));
            let (decimal, short) = (mantissa as f64 / 10f64.powi(i32::try_from(places).expect("few")), (mantissa % 100_000_000) as f32);
            let short = short / 10f32.powi(i32::try_from(places).expect("few"));
            for value in [whole, decimal] {
                prop_assert_eq!(text(|out| put_f64(out, value)), value.to_string());
            }
            for value in [small, short] {
                prop_assert_eq!(text(|out| put_f32(out, value)), value.to_string());
            }
            prop_assert_eq!(text(|out| put_u64(out, bits)), bits.to_string());
            prop_assert_eq!(text(|out| put_uuid(out, id)), OrderId(id).to_string());
        }
    }
}
