//! Writes numbers and order ids as text, fast: what CSV and JSON Lines of millions of records consist of.
//!
//! 1. A float is the shortest decimal that reads back as the same float, in plain digits, never with an exponent: the same text as that of `Display`.
//! 2. Most prices and sizes are decimals of few digits. They are found by one multiplication and one division, both exact enough to be proved; whatever
//!    else a float is goes through `Display`.

use std::io::Write;

/// The powers of ten that an f64 holds exactly and that are used here, by their exponents.
const POWERS: [f64; 14] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13];

/// The fraction digits that are tried for an f64: those of Coinbase's sizes first, then those of prices far below one.
const TRIED: [usize; 2] = [8, 13];

/// Below it every whole number has at most 15 digits, and two different decimals of 15 digits never have the same nearest f64.
const MOST_MANTISSA: f64 = 1e15;

/// Below it an f32 has at most 8 fraction digits in front of which nothing is rounded: whole numbers are exact.
const MOST_F32: f64 = 16_777_216.0;

/// Most fraction digits that are tried for an f32.
const MOST_F32_DIGITS: usize = 9;

/// Adds a whole number.
pub(crate) fn push_u64(out: &mut Vec<u8>, value: u64) {
    push_padded(out, value, 1);
}

/// Adds an f64. One that is not a number adds nothing.
pub(crate) fn push_f64(out: &mut Vec<u8>, value: f64) {
    match TRIED.into_iter().find_map(|digits| mantissa_of_f64(value, digits).map(|mantissa| (mantissa, digits))) {
        Some((mantissa, digits)) => push_decimal(out, mantissa, digits),
        None if value.is_finite() => push_shown(out, value),
        None => {}
    }
}

/// Adds an f32. One that is not a number adds nothing.
pub(crate) fn push_f32(out: &mut Vec<u8>, value: f32) {
    match decimal_of_f32(value) {
        Some((mantissa, digits)) => push_decimal(out, mantissa, digits),
        None if value.is_finite() => push_shown(out, value),
        None => {}
    }
}

/// Adds an order id as a UUID: 32 hex digits in groups of 8, 4, 4, 4 and 12.
pub(crate) fn push_uuid(out: &mut Vec<u8>, id: &[u8; 16]) {
    let mut digits = [0; 32];
    // The buffer has twice the size of the id.
    let _ = hex::encode_to_slice(id, &mut digits);
    let mut rest = digits.as_slice();
    for length in [8, 4, 4, 4] {
        let (group, behind) = rest.split_at(length);
        out.extend_from_slice(group);
        out.push(b'-');
        rest = behind;
    }
    out.extend_from_slice(rest);
}

/// Adds bytes as hex digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    let mut digits = [0; 32];
    let _ = hex::encode_to_slice(bytes, &mut digits);
    out.extend_from_slice(&digits);
}

fn push_shown(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// Finds the whole number that is `value` × 10^`digits`, if the decimal of both is nearest to `value` and nothing is nearer to the decimal than it.
///
/// The number is below 10^15 and the power is exact, so the division gives the f64 that is nearest to the decimal.
fn mantissa_of_f64(value: f64, digits: usize) -> Option<u64> {
    let scale = *POWERS.get(digits)?;
    let scaled = value * scale;
    if !(0.5..MOST_MANTISSA).contains(&scaled) {
        return None;
    }
    let mantissa = rounded(scaled);
    (from_whole(mantissa) / scale == value).then_some(mantissa)
}

/// Finds the decimal with the fewest digits whose nearest f32 is `value`.
///
/// `value` × 10^`digits` has at most 24 + 21 significant bits and is exact. A decimal that is rounded twice, to an f64 and then to an f32, is wrong only
/// where the f64 lies just between two f32s: such a one is left to `Display`, and so is one that lies just between two decimals.
fn decimal_of_f32(value: f32) -> Option<(u64, usize)> {
    const BETWEEN: u64 = 1 << 28;
    let wide = f64::from(value);
    if !(0.0..MOST_F32).contains(&wide) {
        return None;
    }
    for (digits, scale) in POWERS.iter().enumerate().take(MOST_F32_DIGITS + 1) {
        let scaled = wide * scale;
        let mantissa = rounded(scaled);
        let decimal = from_whole(mantissa) / scale;
        if decimal.to_bits() & (2 * BETWEEN - 1) == BETWEEN || (from_whole(mantissa) - scaled).abs() == 0.5 || scaled >= MOST_MANTISSA {
            return None;
        }
        if narrowed(decimal) == value && mantissa > 0 {
            return Some((mantissa, digits));
        }
    }
    None
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both callers have it between 0 and 10^16")]
fn rounded(value: f64) -> u64 {
    (value + 0.5) as u64
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^53 are exact")]
fn from_whole(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "it is to be rounded to the nearest f32")]
fn narrowed(value: f64) -> f32 {
    value as f32
}

/// Adds `mantissa` × 10^-`digits` without zeros at its end.
fn push_decimal(out: &mut Vec<u8>, mut mantissa: u64, mut digits: usize) {
    while digits >= 4 && mantissa.is_multiple_of(10_000) {
        (mantissa, digits) = (mantissa / 10_000, digits - 4);
    }
    while digits > 0 && mantissa.is_multiple_of(10) {
        (mantissa, digits) = (mantissa / 10, digits - 1);
    }
    let from = out.len();
    push_padded(out, mantissa, digits + 1);
    if digits > 0 {
        let point = out.len() - digits;
        debug_assert!(point > from);
        out.insert(point, b'.');
    }
}

/// Adds a whole number with at least `least` digits.
fn push_padded(out: &mut Vec<u8>, mut value: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if value == 0 && used >= least {
            break;
        }
        // A remainder of ten fits.
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        used += 1;
    }
    let (_, text) = digits.split_at(digits.len() - used);
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        push(&mut out);
        String::from_utf8(out).expect("text").strip_prefix("before ").expect("what was there").to_owned()
    }

    #[test]
    fn whole_numbers_have_all_their_digits() {
        for value in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            assert_eq!(text(|out| push_u64(out, value)), value.to_string());
        }
    }

    #[test]
    fn floats_of_every_kind_have_the_text_of_display() {
        let edges = [
            0.0,
            -0.0,
            1.0,
            0.1,
            0.5,
            1.5,
            2.5,
            10.0,
            100.0,
            1e-8,
            5e-9,
            1.5e-8,
            1e-13,
            4.9e-14,
            1e-14,
            131_072.01,
            0.3,
            0.1 + 0.2,
            1e7,
            9_999_999.999_999_99,
            1e15,
            1e16,
            1e22,
            1e23,
            123_456_789.123_456_78,
            4_503_599_627_370_497.5,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -1.25,
        ];
        for value in edges {
            assert_eq!(text(|out| push_f64(out, value)), value.to_string());
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(text(|out| push_f64(out, value)), "");
        }
        for value in [
            0.0,
            -0.0,
            1.0,
            0.1,
            0.3,
            131_072.02,
            16_777_215.0,
            16_777_216.0,
            16_777_218.0,
            1e-8,
            1e-9,
            1e-10,
            f32::MAX,
            f32::MIN_POSITIVE,
            8.5e-7,
        ] {
            assert_eq!(text(|out| push_f32(out, value)), value.to_string());
        }
        assert_eq!(text(|out| push_f32(out, f32::NAN)), "");
    }

    #[test]
    fn an_order_id_is_a_uuid() {
        let id: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).expect("a byte"));
        assert_eq!(text(|out| push_uuid(out, &id)), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(text(|out| push_hex(out, &id)), "00112233445566778899aabbccddeeff");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_f64_has_the_text_of_display(bits: u64, mantissa in 0u64..20_000_000_000_000_000, digits in 0i32..16) {
            for value in [f64::from_bits(bits), mantissa as f64 / 10f64.powi(digits), f64::from_bits(((mantissa as f64) / 10f64.powi(digits)).to_bits() + 1)] {
                let want = if value.is_finite() { value.to_string() } else { String::new() };
                prop_assert_eq!(text(|out| push_f64(out, value)), want);
            }
        }

        #[test]
        fn any_f32_has_the_text_of_display(bits: u32, mantissa in 0u32..200_000_000, digits in 0i32..12) {
            #[expect(clippy::cast_possible_truncation, reason = "a sample")]
            let decimal = (f64::from(mantissa) / 10f64.powi(digits)) as f32;
            for value in [f32::from_bits(bits), decimal, decimal.next_up(), decimal.next_down()] {
                let want = if value.is_finite() { value.to_string() } else { String::new() };
                prop_assert_eq!(text(|out| push_f32(out, value)), want);
            }
        }

        #[test]
        fn any_whole_number_has_the_text_of_display(value: u64, shift in 0u32..64) {
            prop_assert_eq!(text(|out| push_u64(out, value >> shift)), (value >> shift).to_string());
        }
    }
}
