//! Writes numbers and order ids as text, fast: what CSV and JSON Lines of millions of records consist of.
//!
//! 1. A float is the shortest decimal that reads back as the same float, in plain digits, never with an exponent: the same text as that of `Display`.
//! 2. Most prices and sizes are decimals of few digits. They are found by a multiplication and a comparison, both exact enough to be proved; whatever else a
//!    float is goes through `Display`.
//! 3. Digits are made eight at a time, and pieces of text have a fixed length: what is too much of it is cut off afterwards. Copying a length that is known
//!    to the compiler costs a tenth of copying one that is not.

use std::io::Write;

use crate::decimal::POWERS_OF_TEN;

/// Below it every whole number has at most 15 digits, and two different decimals of 15 digits never have the same nearest f64.
const MOST_MANTISSA: f64 = 1e15;

/// Below it an f32 has fraction digits.
const MOST_F32: f32 = 8_388_608.0;

/// From here on 9 digits of an f32, the most that it needs, end at the 12th digit behind the point.
const LEAST_F32: f32 = 1e-4;

/// Fraction digits that are tried for an f32 at most: its products with 10^12 are exact, as 5^12 has 28 bits.
const MOST_F32_DIGITS: usize = 12;

/// Eight zeros.
const ZEROS: u64 = 0x3030_3030_3030_3030;
/// What eight digits are parts of.
const EIGHT_DIGITS: u64 = 100_000_000;
/// What sixteen digits are parts of.
const SIXTEEN_DIGITS: u64 = EIGHT_DIGITS * EIGHT_DIGITS;
/// What twelve digits are parts of.
const TWELVE_DIGITS: u64 = 1_000_000_000_000;

/// A bit for each of eight bytes, the lowest of it.
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Adds a whole number.
#[inline]
pub(crate) fn push_u64(out: &mut Vec<u8>, value: u64) {
    if value < EIGHT_DIGITS { push_short(out, value) } else { push_long(out, value) }
}

/// Adds a whole number of at most eight digits.
#[inline]
fn push_short(out: &mut Vec<u8>, value: u64) {
    let count = digits_of(value);
    push_front(out, eight(value) >> (64 - 8 * count), count);
}

/// Adds a whole number of more than eight digits.
#[inline]
fn push_long(out: &mut Vec<u8>, value: u64) {
    let (front, rest) = (value / SIXTEEN_DIGITS, value % SIXTEEN_DIGITS);
    if front > 0 {
        push_short(out, front);
    }
    let count = if front > 0 { 16 } else { digits_of(rest) };
    let (high, low) = (eight(rest / EIGHT_DIGITS), eight(rest % EIGHT_DIGITS));
    let text = (u128::from(high) | (u128::from(low) << 64)) >> (128 - 8 * count);
    let end = out.len() + count;
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

/// Counts the digits of a number. Where a text ends is known before its digits are, so that the processor begins with the next text.
#[inline]
fn digits_of(value: u64) -> usize {
    let least = value | 1;
    // 1233 / 4096 is the logarithm of 2, near enough for numbers of 64 bits.
    let guess = (((u64::BITS - least.leading_zeros()) * 1233) >> 12) as usize;
    guess + usize::from(UNITS.get(guess).is_some_and(|unit| least >= *unit))
}

/// Adds an f64. One that is not a number adds nothing.
#[inline]
pub(crate) fn push_f64(out: &mut Vec<u8>, value: f64) {
    // 8 fraction digits are those of Coinbase's sizes; 13 those of prices far below one; 4 those of numbers of many digits in front of the point.
    if let Some(mantissa) = mantissa_of_f64::<8>(value) {
        push_short(out, mantissa / EIGHT_DIGITS);
        push_fraction(out, mantissa % EIGHT_DIGITS * EIGHT_DIGITS);
    } else {
        push_rare_f64(out, value);
    }
}

#[cold]
fn push_rare_f64(out: &mut Vec<u8>, value: f64) {
    const THIRTEEN_DIGITS: u64 = 10_000_000_000_000;
    if value == 0.0 && value.is_sign_positive() {
        out.push(b'0');
    } else if let Some(mantissa) = mantissa_of_f64::<13>(value) {
        push_u64(out, mantissa / THIRTEEN_DIGITS);
        push_fraction(out, mantissa % THIRTEEN_DIGITS * 1_000);
    } else if let Some(mantissa) = mantissa_of_f64::<4>(value) {
        push_u64(out, mantissa / 10_000);
        push_fraction(out, mantissa % 10_000 * TWELVE_DIGITS);
    } else if value.is_finite() {
        push_shown(out, value);
    }
}

/// Adds an f32. One that is not a number adds nothing.
#[inline]
pub(crate) fn push_f32(out: &mut Vec<u8>, value: f32) {
    match picos_of_f32(value) {
        Some(picos) => {
            push_short(out, picos / TWELVE_DIGITS);
            push_fraction(out, picos % TWELVE_DIGITS * 10_000);
        }
        None if value.is_finite() => push_shown(out, value),
        None => {}
    }
}

/// Adds an order id as a UUID: 32 hex digits in groups of 8, 4, 4, 4 and 12.
#[inline]
pub(crate) fn push_uuid(out: &mut Vec<u8>, id: &[u8; 16]) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *id;
    let [first, second, third, fourth] = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(eight_hex);
    let mut text = [b'-'; 36];
    let mut put = |at: usize, digits: &[u8]| {
        if let Some(room) = text.get_mut(at..at + digits.len()) {
            room.copy_from_slice(digits);
        }
    };
    put(0, &first);
    for ([left @ .., _, _, _, _], from) in [(second, 9), (third, 19)] {
        put(from, &left);
    }
    for ([_, _, _, _, right @ ..], from) in [(second, 14), (third, 24)] {
        put(from, &right);
    }
    put(28, &fourth);
    out.extend_from_slice(&text);
}

/// Gives the hexadecimal digits of four bytes.
///
/// Each byte is moved into two, and its halves into one of these each, all of a step at once.
#[inline]
fn eight_hex(bytes: [u8; 4]) -> [u8; 8] {
    let wide = u64::from(u32::from_le_bytes(bytes));
    let wide = (wide | (wide << 16)) & 0x0000_ffff_0000_ffff;
    let wide = (wide | (wide << 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = ((wide >> 4) & 0x000f_000f_000f_000f) | ((wide & 0x000f_000f_000f_000f) << 8);
    // Those above 9 are letters: adding 6 carries into the upper half of their byte.
    let letters = ((halves + 6 * EACH_BYTE) >> 4) & EACH_BYTE;
    (halves + ZEROS + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

/// Adds bytes as hex digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    let mut digits = [0; 32];
    // The buffer has twice the size of the id.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    out.extend_from_slice(&digits);
}

fn push_shown(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

/// Finds the whole number that is `value` × 10^`DIGITS`, if the decimal of both is nearest to `value` and nothing is nearer to the decimal than it.
///
/// The number is below 10^15 and the power is exact, so the division gives the f64 that is nearest to the decimal.
#[inline]
fn mantissa_of_f64<const DIGITS: usize>(value: f64) -> Option<u64> {
    let scale = *POWERS_OF_TEN.get(DIGITS)?;
    let scaled = value * scale;
    if !(0.5..MOST_MANTISSA).contains(&scaled) {
        return None;
    }
    let mantissa = rounded(scaled);
    (from_whole(mantissa) / scale == value).then_some(mantissa)
}

/// Finds the decimal with the fewest digits whose nearest f32 is `value`, as a whole number of units of 10^-12.
///
/// The numbers whose nearest f32 is `value` reach as far as two f32s are apart. Where the unit of the last digit is at least that, at most one decimal lies
/// among them: if a shorter one does, it is this one, with zeros behind it. So the search begins there, and mostly ends there or one digit behind. The bounds
/// of these numbers have 25 bits, and products of these with 10^12 are exact. What lies on a bound, or just between two decimals, is left to `Display`.
#[inline]
fn picos_of_f32(value: f32) -> Option<u64> {
    if !(LEAST_F32..MOST_F32).contains(&value) {
        return None;
    }
    let (exact, below, above) = (f64::from(value), f64::from(value.next_down()), f64::from(value.next_up()));
    let (low, high) = ((exact + below) / 2.0, (exact + above) / 2.0);
    let first = FIRST_F32_DIGITS.get((value.to_bits() >> 23) as usize).map_or(0, |first| usize::from(*first));
    for (digits, scale) in POWERS_OF_TEN.iter().enumerate().take(MOST_F32_DIGITS + 1).skip(first) {
        let scaled = exact * scale;
        let mantissa = rounded(scaled);
        let number = from_whole(mantissa);
        let (low, high) = (low * scale, high * scale);
        if number == low || number == high || (number - scaled).abs() == 0.5 {
            return None;
        }
        if low < number && number < high {
            let unit = *UNITS.get(MOST_F32_DIGITS - digits)?;
            return mantissa.checked_mul(unit);
        }
    }
    None
}

/// The powers of ten as whole numbers, by their exponents: all that a u64 holds.
const UNITS: [u64; 20] = {
    let mut units = [1; 20];
    let (mut rest, mut unit) = (units.as_mut_slice(), 1u64);
    while let [first, after @ ..] = rest {
        *first = unit;
        unit = unit.wrapping_mul(10);
        rest = after;
    }
    units
};

/// With how many fraction digits at most the unit of the last one is no less than two f32s are apart, by their exponent.
static FIRST_F32_DIGITS: [u8; 256] = {
    let mut all = [0; 256];
    // The two lowest exponents have the same distance.
    let (mut exponent, mut apart) = (0, f32::from_bits(1) as f64);
    while exponent < all.len() {
        let mut digits = 0;
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
        while digits < MOST_F32_DIGITS && apart * POWERS_OF_TEN[digits + 1] <= 1.0 {
            digits += 1;
        }
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated when the program is built; at most 12")]
        {
            all[exponent] = digits as u8;
        }
        if exponent > 0 {
            apart *= 2.0;
        }
        exponent += 1;
    }
    all
};

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both callers have it between 0 and 10^19")]
fn rounded(value: f64) -> u64 {
    // By way of a signed number, which takes one instruction.
    ((value + 0.5) as i64).cast_unsigned()
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^53 are exact")]
fn from_whole(value: u64) -> f64 {
    value as f64
}

/// Adds a point and these 16 digits behind it, without zeros at their end. Nothing where all are zero.
#[inline]
fn push_fraction(out: &mut Vec<u8>, digits: u64) {
    let (high, low) = (eight(digits / EIGHT_DIGITS), digits % EIGHT_DIGITS);
    if low == 0 {
        let kept = 8 - ((high ^ ZEROS).leading_zeros() / 8) as usize;
        if kept > 0 {
            out.push(b'.');
            push_front(out, high, kept);
        }
        return;
    }
    let low = eight(low);
    out.push(b'.');
    push_front(out, high, 8);
    push_front(out, low, 8 - ((low ^ ZEROS).leading_zeros() / 8) as usize);
}

/// Adds the first bytes of a text of eight.
#[inline]
fn push_front(out: &mut Vec<u8>, text: u64, count: usize) {
    let end = out.len() + count;
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

/// Gives the eight digits of a number below 10^8, the first one in the lowest byte.
///
/// The number is halved into two of four digits, which are halved into four of two, and these into eight, all of a step at once. Division by 100 and by 10 is
/// a multiplication by 10486 / 2^20 and by 103 / 2^10, exact for numbers of four and of two digits.
#[inline]
fn eight(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let high = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = high | ((fours - high * 100) << 16);
    let high = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (high | ((twos - high * 10) << 8)) | ZEROS
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
    fn an_f32_at_every_step_of_the_exponent_has_the_text_of_display() {
        for exponent in -24..=25 {
            let step = 2f32.powi(exponent);
            for value in [step, step.next_up(), step.next_down(), step.next_down().next_down(), step * 1.5] {
                assert_eq!(text(|out| push_f32(out, value)), value.to_string());
            }
        }
    }

    #[test]
    fn an_order_id_is_a_uuid() {
        let id: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).expect("a byte"));
        assert_eq!(text(|out| push_uuid(out, &id)), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(text(|out| push_hex(out, &id)), "00112233445566778899aabbccddeeff");
        for byte in 0..=u8::MAX {
            let (plain, digits) = (text(|out| push_uuid(out, &[byte; 16])), format!("{byte:02x}"));
            assert_eq!(plain.replace('-', ""), digits.repeat(16));
        }
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
