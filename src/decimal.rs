//! Decimal text to floating point: each of [`Decimal`]'s two forms is the nearest to the **text**, not to the other form.
//!
//! 1. `as_f32` is rounded once, from the text: casting the f64 could round twice.
//! 2. `is_exact` is false where the text has more than 15 significant digits and its f64 does not print the same number. Such a text is written verbatim to
//!    `exact.{date}.jsonl`.
//! 3. Only what Coinbase sends is a number: an optional `-`, digits, one point. No exponent, no `inf`, no spaces.

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

/// Longest text read as a number, in bytes.
pub(crate) const MAX_DECIMAL_BYTES: usize = 64;

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
/// Where the text is not an optional `-`, digits and at most one point, or is longer than 64 bytes.
#[inline(always)]
pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
    match parse_short(text) {
        Some(value) => Ok(value),
        None => parse_any(text),
    }
}

/// Longest text whose digits, wherever the point stands, fit a u64.
const SHORT_BYTES: usize = 19;

/// A number of 15 digits is below this. Its f64 prints the same digits (IEEE 754: 15 digits always survive).
const FIFTEEN_DIGITS: u64 = 1_000_000_000_000_000;

/// Reads the usual text: up to 15 significant digits, no sign, not midway between two f32. Gives `None` for any other text.
#[inline(always)]
fn parse_short(text: &[u8]) -> Option<Decimal> {
    if text.len() > SHORT_BYTES {
        return None;
    }
    let mut mantissa = 0u64;
    let mut whole = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        mantissa = mantissa * 10 + u64::from(digit);
        whole += 1;
    }
    let fraction = match text.get(whole..)? {
        [] => 0,
        [b'.', fraction @ ..] => {
            for byte in fraction {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                mantissa = mantissa * 10 + u64::from(digit);
            }
            fraction.len()
        }
        _ => return None,
    };
    if whole + fraction == 0 || mantissa >= FIFTEEN_DIGITS {
        return None;
    }
    let as_f64 = nearest_f64(mantissa, fraction)?;
    Some(Decimal::new(as_f64, narrowed(as_f64)?, true))
}

/// Reads any text.
#[cold]
fn parse_any(text: &[u8]) -> Result<Decimal, DecimalError> {
    if text.len() > MAX_DECIMAL_BYTES {
        return Err(DecimalError);
    }
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    // One pass: all digits as one integer (wrapping, and used only where it cannot have wrapped), and the place of the point.
    let (mut mantissa, mut digits, mut significant, mut fraction, mut points) = (0u64, 0u32, 0u32, 0usize, 0usize);
    for byte in body {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
            significant += u32::from(significant > 0 || digit > 0);
            fraction += points;
        } else if *byte == b'.' && points == 0 {
            points = 1;
        } else {
            return Err(DecimalError);
        }
    }
    if digits == 0 {
        return Err(DecimalError);
    }
    let quick = if significant <= MAX_U64_DIGITS { nearest_f64(mantissa, fraction) } else { None };
    let as_f64 = match quick {
        Some(value) if negative => -value,
        Some(value) => value,
        None => by_std(text)?,
    };
    let as_f32 = match narrowed(as_f64) {
        Some(value) => value,
        None => by_std(text)?,
    };
    let is_exact = significant <= 15 || prints_back(text, as_f64);
    Ok(Decimal::new(as_f64, as_f32, is_exact))
}

/// Decimal digits that always fit a u64.
const MAX_U64_DIGITS: u32 = 19;

/// The powers of ten that an f64 holds exactly.
const POWERS_OF_TEN: [f64; 23] =
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
    fn canonical(text: &str) -> String {
        let text = text.trim_start_matches('-').trim_start_matches('0');
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    }
    std::str::from_utf8(text).is_ok_and(|text| canonical(text) == canonical(&value.to_string()))
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
    fn what_is_no_plain_decimal_is_refused() {
        let long = "1".repeat(MAX_DECIMAL_BYTES + 1);
        for bad in ["", "-", ".", "-.", "1.2.3", "1e5", "+1", " 1", "1 ", "inf", "nan", "--1", "1-", "1,5", "0x1", "\u{665}", &long] {
            assert_eq!(parse(bad.as_bytes()), Err(DecimalError), "{bad}");
            assert_eq!(parse_short(bad.as_bytes()), None, "{bad}");
        }
        assert!(parse(&long.as_bytes()[1..]).is_ok());
    }

    #[test]
    fn the_short_way_is_taken_by_ordinary_texts_and_left_to_no_other() {
        for (text, is_short) in [
            ("64841.44", true),
            ("0.00000001", true),
            ("5.", true),
            (".5", true),
            ("0", true),
            ("999999999999999", true),
            ("00000.0000000000001", true),
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
        fn texts_about_an_f32_midpoint_agree_with_std(bits in 0x3000_0000u32..0x5000_0000, digits in 9usize..24) {
            let (low, high) = (f64::from(f32::from_bits(bits)), f64::from(f32::from_bits(bits + 1)));
            let text = format!("{:.digits$}", low + (high - low) / 2.0);
            agrees_with_std(&text);
        }
    }
}
