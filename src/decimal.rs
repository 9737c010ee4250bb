//! Decimal text to floating point: each of [`Decimal`]'s two forms is the nearest to the **text**, not to the other form.
//!
//! 1. `as_f32` is rounded once, from the text: casting the f64 could round twice.
//! 2. `is_exact` is false where the text has more than 15 significant digits and its f64 does not print the same number. Such a text is written verbatim to
//!    `exact.{date}.jsonl`.
//! 3. A number is what JSON calls one, and what `str::parse` takes beside that: a plus sign, leading zeros, a point without digits on one side of it. Coinbase
//!    has sent exponents. `inf`, `nan`, spaces and numbers beyond the largest f64 are none.
//! 4. The usual text is read fast; every other spelling in functions of its own.

use crate::swar;

/// A decimal number in the two forms the files store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decimal {
    /// The f64 nearest to the text.
    pub as_f64: f64,
    /// The f32 nearest to the text.
    pub as_f32: f32,
    /// 1 where the f64, printed shortest, gives the text's value. It is a byte, because the spare values of a bool would cost each slot of a queue 8 bytes.
    exact: u8,
}

impl Decimal {
    /// The value of a feed that sends none: NaN in both forms. Null is not zero.
    pub const NONE: Self = Self::new(f64::NAN, f32::NAN, true);

    /// Pairs the two forms of a text.
    #[must_use]
    pub const fn new(as_f64: f64, as_f32: f32, is_exact: bool) -> Self {
        Self { as_f64, as_f32, exact: is_exact as u8 }
    }

    /// Tells whether the f64, printed shortest, gives the text's value.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        self.exact == 1
    }

    /// Rebuilds the pair from a stored f32 alone (`--columns core`).
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        Self::new(f64::from(value), value, true)
    }

    /// Tells whether two forms of one number agree. NaN agrees with NaN.
    #[must_use]
    pub fn agrees_with(self, other: Self) -> bool {
        self.as_f64.to_bits() == other.as_f64.to_bits() && self.as_f32.to_bits() == other.as_f32.to_bits()
    }
}

/// A text is no decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
#[non_exhaustive]
pub struct DecimalError;

/// Longest text read as a number, in bytes. The longest f64 has 1077, written out.
pub(crate) const MAX_DECIMAL_BYTES: usize = 1200;

/// Reads a decimal text.
///
/// ```
/// let price = coltape::internals::decimal::parse(b"64841.44").unwrap();
/// assert_eq!(price.as_f64, 64841.44);
/// assert_eq!(price.as_f32, 64841.44_f32);
/// assert!(price.is_exact());
/// ```
///
/// # Errors
/// Where the text is no number, is longer than 1200 bytes, or lies beyond the largest f64.
#[inline(always)]
pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
    match parse_short(text) {
        Some(value) => Ok(value),
        None => parse_any(text),
    }
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Longest text that is read in words: eight digits on each side of the point.
const SHORT_BYTES: usize = 2 * WORD + 1;

/// A number of 15 digits is below this. Its f64 prints the same digits (IEEE 754: 15 digits always survive).
const FIFTEEN_DIGITS: u64 = 1_000_000_000_000_000;

/// Reads the usual text: one to eight digits on both sides of a point, 15 of them significant at most, no sign, not midway between two f32. Gives `None` for
/// any other text.
#[inline(always)]
fn parse_short(text: &[u8]) -> Option<Decimal> {
    let (first, last) = ends_of(text)?;
    let points = first ^ swar::eight(b'.');
    // The upper bit of each byte that is 0. Bytes above the lowest such one may be wrong (Mycroft, 1987).
    let points = points.wrapping_sub(swar::eight(1)) & !points & swar::eight(0x80);
    let whole = (points.trailing_zeros() / u8::BITS) as usize;
    let fraction = text.len().checked_sub(whole + 1)?;
    // Behind eight digits the point is not in the word.
    if whole == 0 || fraction == 0 || fraction > WORD || text.get(whole) != Some(&b'.') {
        return None;
    }
    // The digits are moved to the end of their word, with zeros in front of them.
    let (before, behind) = (bits_without(whole), bits_without(fraction));
    let whole = swar::values_of(first) << before;
    let digits = swar::values_of(last) >> behind << behind;
    if swar::above_nine(whole) | swar::above_nine(digits) != 0 {
        return None;
    }
    let mantissa = swar::number_of(whole) * swar::TENS.get(fraction)? + swar::number_of(digits);
    if mantissa >= FIFTEEN_DIGITS {
        return None;
    }
    let as_f64 = nearest_f64(mantissa, fraction)?;
    Some(Decimal::new(as_f64, narrowed(as_f64)?, true))
}

/// Bits of a word that are left beside so many digits, of which it has one to eight.
#[inline(always)]
const fn bits_without(digits: usize) -> usize {
    (WORD - digits) * u8::BITS as usize
}

/// Gives a text's first bytes, from the lowest byte of a word on, and its last ones, up to its highest byte. `None` for a text of less than three bytes, or
/// with more than words can hold.
#[inline(always)]
fn ends_of(text: &[u8]) -> Option<(u64, u64)> {
    if text.len() > SHORT_BYTES {
        return None;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<WORD>(), text.last_chunk::<WORD>()) {
        return Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)));
    }
    let all = match (text.first_chunk::<4>(), text.last_chunk::<4>(), text) {
        (Some(first), Some(last), _) => {
            // Where the two overlap they are equal.
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << ((text.len() - 4) * 8)
        }
        (_, _, [a, b, c]) => u64::from_le_bytes([*a, *b, *c, 0, 0, 0, 0, 0]),
        _ => return None,
    };
    Some((all, all << bits_without(text.len())))
}

/// Reads any text.
#[inline(never)]
fn parse_any(text: &[u8]) -> Result<Decimal, DecimalError> {
    if text.len() > MAX_DECIMAL_BYTES {
        return Err(DecimalError);
    }
    let (is_negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    // One pass: all digits as one integer (wrapping, and used only where it cannot have wrapped), and the place of the point.
    let (mut mantissa, mut digits, mut significant, mut fraction, mut points) = (0u64, 0u32, 0u32, 0usize, 0usize);
    let mut has_exponent = false;
    for byte in body {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
            significant += u32::from(significant > 0 || digit > 0);
            fraction += points;
        } else if *byte == b'.' && points == 0 {
            points = 1;
        } else if matches!(byte, b'e' | b'E') {
            // What follows it is read by the standard library.
            has_exponent = true;
            break;
        } else {
            return Err(DecimalError);
        }
    }
    if digits == 0 {
        return Err(DecimalError);
    }
    let quick = if significant <= MAX_U64_DIGITS && !has_exponent { nearest_f64(mantissa, fraction) } else { None };
    let as_f64: f64 = match quick {
        Some(value) if is_negative => -value,
        Some(value) => value,
        None => by_std(text)?,
    };
    if !as_f64.is_finite() {
        return Err(DecimalError);
    }
    let as_f32 = match narrowed(as_f64) {
        Some(value) => value,
        None => by_std(text)?,
    };
    // Below the smallest normal f64 fewer digits survive, down to none.
    let is_exact = significant == 0 || (significant <= 15 && as_f64.is_normal()) || prints_back(text, as_f64);
    Ok(Decimal::new(as_f64, as_f32, is_exact))
}

/// Decimal digits that always fit a u64.
const MAX_U64_DIGITS: u32 = 19;

/// The powers of ten that an f64 holds exactly, by their exponents.
pub(crate) const POWERS_OF_TEN: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// Divides two exact f64, which rounds once (Clinger, "How to read floating point numbers accurately", 1990); `None` where they are not exact.
#[expect(clippy::cast_precision_loss, reason = "the guard keeps it within the integers an f64 holds")]
fn nearest_f64(mantissa: u64, fraction: usize) -> Option<f64> {
    let power = POWERS_OF_TEN.get(fraction)?;
    if mantissa <= 1 << f64::MANTISSA_DIGITS { Some(mantissa as f64 / power) } else { None }
}

/// Rounds the nearest f64 to f32. Gives `None` where that could differ from rounding the text once.
///
/// Rounding keeps order, so an f64 that is not itself midway between two f32 lies on the text's side of the midpoint.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what it means")]
fn narrowed(value: f64) -> Option<f32> {
    const DROPPED_BITS: u32 = f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS;
    const MIDPOINT: u64 = 1 << (DROPPED_BITS - 1);
    let midway = value.to_bits() & ((1 << DROPPED_BITS) - 1) == MIDPOINT;
    let subnormal = value != 0.0 && value.abs() < f64::from(f32::MIN_POSITIVE);
    if midway || subnormal { None } else { Some(value as f32) }
}

#[cold]
fn by_std<T: std::str::FromStr>(text: &[u8]) -> Result<T, DecimalError> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(DecimalError)
}

#[cold]
fn prints_back(text: &[u8], value: f64) -> bool {
    let shown = format!("{value:e}");
    Written::read(text).is_some_and(|written| Some(written) == Written::read(shown.as_bytes()))
}

/// Reads a whole number in any spelling of it, such as `7`, `7.0`, `70e-1`. Gives `None` for any other text, and beyond 64 bits.
#[cold]
pub(crate) fn parse_whole(text: &[u8]) -> Option<u64> {
    let Written { is_negative, mut digits, exponent } = Written::read(text)?;
    if is_negative || digits.len().saturating_add(usize::try_from(exponent).ok()?) > MAX_U64_DIGITS as usize + 1 {
        return None;
    }
    digits.extend(std::iter::repeat_n('0', usize::try_from(exponent).ok()?));
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// Spells a number as plain digits with at most one point and no exponent, the way that JSON, CSV and people take it: `5.1e-7` is `0.00000051`. All digits
/// stay, zeros at the end included. Gives `None` where the text is no number that [`parse`] reads.
#[must_use]
pub(crate) fn plain(text: &str) -> Option<String> {
    parse(text.as_bytes()).ok()?;
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => ("-", body),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) =
        body.split_once(['e', 'E']).map_or(Some((body, 0)), |(mantissa, exponent)| Some((mantissa, exponent_of(exponent.as_bytes())?)))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Where the point stands among the digits. A number within f64 needs a few hundred zeros at most; only one that is 0 may name more.
    let point = i64::try_from(whole.len()).ok()?.saturating_add(exponent).clamp(-LONGEST_ZEROS, LONGEST_ZEROS);
    let ahead = usize::try_from(-point).unwrap_or(0);
    let digits = format!("{}{digits}", "0".repeat(ahead));
    let point = usize::try_from(point).unwrap_or(0);
    let digits = format!("{digits:0<point$}");
    let (whole, fraction) = digits.split_at_checked(point)?;
    let whole = whole.trim_start_matches('0');
    let (whole, point) = (if whole.is_empty() { "0" } else { whole }, if fraction.is_empty() { "" } else { "." });
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Most zeros that [`plain`] writes beside the digits of a text.
const LONGEST_ZEROS: i64 = 1500;

/// Reads an exponent: a sign and digits. One that exceeds all numbers is given as a million.
fn exponent_of(text: &[u8]) -> Option<i64> {
    const BEYOND_ALL: i64 = 1_000_000;
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(BEYOND_ALL));
    Some(if is_negative { -value } else { value })
}

/// A number as it is written: its digits without zeros at either end, times a power of ten. Two texts of one number are equal.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Written {
    fn read(text: &[u8]) -> Option<Self> {
        let (is_negative, body) = match text {
            [b'-', body @ ..] => (true, body),
            [b'+', body @ ..] => (false, body),
            body => (false, body),
        };
        let end = body.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match end {
            Some(end) => (body.get(..end)?, exponent_of(body.get(end + 1..)?)?),
            None => (body, 0),
        };
        let (mut digits, mut fraction, mut has_point) = (String::with_capacity(mantissa.len()), 0, false);
        for byte in mantissa {
            match byte {
                b'0'..=b'9' => {
                    digits.push(char::from(*byte));
                    fraction += i64::from(has_point);
                }
                b'.' if !has_point => has_point = true,
                _ => return None,
            }
        }
        if digits.is_empty() {
            return None;
        }
        let kept = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - kept.len()).ok()?;
        let kept = kept.trim_start_matches('0').to_owned();
        let is_zero = kept.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, digits: kept, exponent: if is_zero { 0 } else { exponent - fraction + zeros } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees_with_std(text: &str) {
        let read = parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text} is a number"));
        let (wide, narrow): (f64, f32) = (text.parse().unwrap(), text.parse().unwrap());
        assert_eq!((read.as_f64.to_bits(), read.as_f32.to_bits()), (wide.to_bits(), narrow.to_bits()), "{text}");
        if let Some(short) = parse_short(text.as_bytes()) {
            assert_eq!(Ok(short), parse_any(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn both_forms_are_the_nearest_to_the_text_at_every_edge() {
        for text in [
            "0",
            "-0",
            "0.0",
            "5.",
            ".5",
            "00012.50",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "0.00000001",
            "1000000000000000",
            "99999999999999999999999999999999999999999999999999.5",
            // Midway between two f32, exactly, a hair above and a hair below: the f64 of all three is the midpoint.
            "16777217",
            "16777217.0000000000000001",
            "16777216.9999999999999999",
            "16777219.0000000001",
            // The largest f32, its upper midpoint, and beyond; the smallest normal and subnormal ones.
            "340282346638528859811704183484516925440",
            "340282356779733661637539395458142568447",
            "340282356779733661637539395458142568448",
            "0.00000000000000000000000000000000000001175494350822287507",
            "0.000000000000000000000000000000000000000000001",
            "0.0000000000000000000000000000000000000000000007",
            // A hair above half of the smallest subnormal f32: the f64 is that half exactly, and would go to 0.
            "0.00000000000000000000000000000000000000000000070064923216240854",
        ] {
            agrees_with_std(text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let long = format!("{}1", "0".repeat(MAX_DECIMAL_BYTES));
        for bad in [
            "", "-", ".", "-.", "1.2.3", "1e", "e5", ".e5", "1e+", "1e5.0", "1e5e5", " 1", "1 ", "inf", "nan", "NaN", "infinity", "--1",
            "+-1", "1-", "1,5", "1_000", "0x1", "1f", "1e400", "-1e400", "\u{665}", &long,
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(DecimalError), "{bad}");
            assert_eq!(parse_short(bad.as_bytes()), None, "{bad}");
            assert_eq!((parse_whole(bad.as_bytes()).filter(|_| bad != long && bad != "1e400"), plain(bad)), (None, None), "{bad}");
        }
        assert!(parse(&long.as_bytes()[1..]).is_ok());
    }

    #[test]
    fn a_whole_number_is_read_in_every_spelling_and_nothing_else_is_one() {
        for (text, whole) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0e9", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("7.0", Some(7)),
            ("70E-1", Some(7)),
            ("0.7e1", Some(7)),
            ("7e3", Some(7000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551615.000", Some(u64::MAX)),
            ("1844674407370955161.5e1", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1e20", None),
            ("1e99999999999999999999", None),
            ("0e99999999999999999999", Some(0)),
            ("7.5", None),
            ("7e-1", None),
            ("-7", None),
        ] {
            assert_eq!(parse_whole(text.as_bytes()), whole, "{text}");
        }
    }

    #[test]
    fn a_number_is_spelled_in_plain_digits_and_loses_none() {
        for (text, shown) in [
            ("5.1e-7", "0.00000051"),
            ("5.1E+3", "5100"),
            ("12345678901234567890.5e-2", "123456789012345678.905"),
            ("1.50", "1.50"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("+007.0", "7.0"),
            ("0e-5", "0.00000"),
            ("00", "0"),
            ("1e3", "1000"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(shown), "{text}");
        }
        assert!(plain("0e99999999").is_some_and(|shown| shown.len() < 4000));
    }

    #[test]
    fn the_short_way_is_taken_by_ordinary_texts_and_left_to_no_other() {
        for (text, is_short) in [
            ("64841.44", true),
            ("0.00000001", true),
            ("1.5", true),
            ("12345678.25", true),
            ("99999999.9999999", true),
            ("0000001.00000001", true),
            ("99999999.99999999", false),
            ("123456789.5", false),
            ("1.123456789", false),
            ("5.", false),
            (".5", false),
            ("0", false),
            ("1234567890", false),
            ("999999999999999", false),
            ("1.5e1", false),
            ("1000000000000000", false),
            ("0.1234567890123456", false),
            ("-1", false),
            ("16777217", false),
        ] {
            assert_eq!(parse_short(text.as_bytes()).is_some(), is_short, "{text}");
            agrees_with_std(text);
        }
    }

    #[test]
    fn only_a_text_that_prints_back_is_exact() {
        for (text, exact) in [
            ("65083.67", true),
            ("65083.6700000000000000000000", true),
            ("000000000000000000001", true),
            ("123456789012345", true),
            ("0.1234567890123456", true),
            ("1234567890.12345678", false),
            ("0.12345678901234567891", false),
            ("9007199254740993", false),
            ("9007199254740992", true),
            ("5.1e-7", true),
            ("5.1000000000000000000000E-07", true),
            ("1.234567890123456789e5", false),
            ("0.1234567890123456e0", true),
            ("100000000000000000000000", true),
            ("1e22", true),
            ("123456789012345678e-3", false),
            ("1e-400", false),
            ("4.9e-324", false),
            ("5e-324", true),
            ("0e-400", true),
            ("-0", true),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().is_exact(), exact, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn both_forms_agree_with_std(text in "-?[0-9]{1,12}(\\.[0-9]{0,10})?|-?0\\.0{0,40}[0-9]{1,18}|[0-9]{1,30}\\.?[0-9]{0,30}") {
            agrees_with_std(&text);
        }

        #[test]
        fn every_spelling_of_a_number_is_that_number(
            text in "[-+]?([0-9]{1,25}(\\.[0-9]{0,25})?|\\.[0-9]{1,25})([eE][-+]?[0-9]{1,3})?|[-+]?0{0,80}[0-9]{1,9}\\.0{0,80}[0-9]{0,9}[eE]-?0{0,9}[0-9]{1,2}"
        ) {
            if text.parse::<f64>().unwrap().is_finite() {
                agrees_with_std(&text);
                let (read, shown) = (parse(text.as_bytes()).unwrap(), plain(&text).unwrap());
                prop_assert_eq!(Written::read(shown.as_bytes()), Written::read(text.as_bytes()), "{} {}", text, shown);
                prop_assert_eq!(shown.parse::<f64>().unwrap().to_bits(), read.as_f64.to_bits(), "{} {}", text, shown);
                // Exact means: the shortest text of the f64 is another spelling of the same number.
                let back = format!("{:e}", read.as_f64);
                prop_assert_eq!(read.is_exact(), Written::read(back.as_bytes()) == Written::read(text.as_bytes()), "{}", text);
                // Whole where, written out, there is nothing behind the point.
                let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
                let whole = if fraction.bytes().all(|digit| digit == b'0') { whole.strip_prefix('-').map_or(whole.parse().ok(), |zero| zero.parse().ok().filter(|zero| *zero == 0u64)) } else { None };
                prop_assert_eq!(parse_whole(text.as_bytes()), whole, "{}", text);
            } else {
                prop_assert_eq!(parse(text.as_bytes()), Err(DecimalError), "{}", text);
            }
        }

        #[test]
        fn the_short_way_takes_only_what_the_other_takes(
            text in "[0-9.]{0,20}|[0-9]{1,8}\\.[0-9]{1,8}",
            changed in prop::option::of((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'.'), Just(b'/'), Just(b':'), Just(b'-')]))
        ) {
            let mut text = text.into_bytes();
            if let Some((place, byte)) = changed.filter(|_| !text.is_empty()) {
                let place = place.index(text.len());
                text[place] = byte;
            }
            if let Some(short) = parse_short(&text) {
                prop_assert_eq!(Ok(short), parse_any(&text), "{}", text.escape_ascii());
            }
        }

        #[test]
        fn texts_about_an_f32_midpoint_agree_with_std(bits in 0x3000_0000u32..0x5000_0000, digits in 9usize..24) {
            let (low, high) = (f64::from(f32::from_bits(bits)), f64::from(f32::from_bits(bits + 1)));
            let text = format!("{:.digits$}", low + (high - low) / 2.0);
            agrees_with_std(&text);
        }
    }
}
