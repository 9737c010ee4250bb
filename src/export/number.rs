//! Numbers as text, fast: the same text as `Display` gives, which is the shortest that reads back as the same float.
//!
//! The usual number has few digits. It is scaled by powers of ten until it is an integer: the first power that works gives the shortest text, because two
//! decimals of at most 15 digits (6 for an f32's interval, see there) are never nearest to the same float. Any other number is printed by `Display`.

use std::io::Write;

/// Powers of ten that are floats exactly.
const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// A number of 15 digits is below this.
const FIFTEEN_DIGITS: f64 = 1e15;
/// Below this every integer is an f32, and no shorter text of an integer reads back as it.
const F32_INTEGERS: f32 = 8_388_608.0;

/// Adds a float.
pub(super) fn put_f64(out: &mut Vec<u8>, value: f64) {
    if value > 0.0 {
        for (places, power) in POWERS.iter().enumerate() {
            let scaled = (value * power).round();
            if scaled >= FIFTEEN_DIGITS {
                break;
            }
            // Both are exact, so the quotient is the float nearest to the decimal.
            if scaled / power == value {
                return put_decimal(out, scaled, places);
            }
        }
    }
    put_any(out, value);
}

/// Adds a float of 4 bytes.
pub(super) fn put_f32(out: &mut Vec<u8>, value: f32) {
    // Products with up to 10^12 are exact: 25 bits of the number or of a bound, and 28 of 5^12.
    if value >= f32::MIN_POSITIVE && value < F32_INTEGERS {
        let (exact, below, above) = (f64::from(value), f64::from(value.next_down()), f64::from(value.next_up()));
        let (low, high) = ((exact + below) / 2.0, (exact + above) / 2.0);
        let is_even = value.to_bits().is_multiple_of(2);
        for (places, power) in POWERS.iter().enumerate() {
            let scaled = (exact * power).round();
            let is_inside =
                if is_even { low * power <= scaled && scaled <= high * power } else { low * power < scaled && scaled < high * power };
            if is_inside && scaled > 0.0 {
                return put_decimal(out, scaled, places);
            }
        }
    }
    put_any(out, value);
}

fn put_any(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// Adds an integer below 10^15 with its point so many places from the right.
fn put_decimal(out: &mut Vec<u8>, scaled: f64, places: usize) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer above 0 and below 10^15")]
    let mut rest = scaled as u64;
    let mut text = [b'0'; 32];
    let mut at = text.len();
    let mut digits = 0;
    while rest > 0 || digits <= places {
        if digits == places && places > 0 {
            at -= 1;
            set(&mut text, at, b'.');
        }
        at -= 1;
        set(&mut text, at, b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        digits += 1;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

fn set(text: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = text.get_mut(at) {
        *place = byte;
    }
}

/// Adds an unsigned integer.
pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    let (mut rest, mut text, mut at) = (value, [b'0'; 20], 20);
    loop {
        at -= 1;
        set(&mut text, at, b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

/// Adds an order id as its UUID.
pub(super) fn put_uuid(out: &mut Vec<u8>, id: [u8; 16]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    let mut text = [b'-'; 36];
    let mut places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23)).map(|(_, place)| place);
    for byte in id {
        if let (Some(high), Some(low)) = (places.next(), places.next()) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
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
            #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is wanted")]
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
