//! [`Fixed`]: a stored f64 as the fixed-point number of a Nautilus catalog, 16 decimals in an i128.
//!
//! 1. The number is the shortest decimal that gives the f64 back: what the exchange sent, for texts of up to 15 digits.
//! 2. Nothing is rounded. A number with more than 16 decimals, or beyond the catalog's largest, is none.

use std::fmt::Write;

/// Decimals of the fixed-point numbers.
pub(super) const DECIMALS: u8 = 16;

/// A power of ten for each number of decimals.
const POWERS: [i128; DECIMALS as usize + 1] = {
    let mut powers = [1; DECIMALS as usize + 1];
    let (mut rest, mut power) = (powers.as_mut_slice(), 1);
    while let [first, after @ ..] = rest {
        *first = power;
        power *= 10;
        rest = after;
    }
    powers
};

/// Largest price that `nautilus_trader` takes, and the negative of the smallest.
pub(super) const LARGEST_PRICE: i128 = 17_014_118_346_046 * SCALE;
/// Largest size that `nautilus_trader` takes.
pub(super) const LARGEST_SIZE: i128 = 34_028_236_692_093 * SCALE;

const SCALE: i128 = 10_000_000_000_000_000;

/// A number of 15 digits is below this. Two of them never have the same f64.
const FIFTEEN_DIGITS: f64 = 1e15;

/// A fixed-point number, and how many decimals it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    /// The number times 10^16.
    pub raw: i128,
    /// Decimals after which only zeros follow, at most.
    pub decimals: u8,
}

impl Fixed {
    /// Makes the fixed-point number of an f64. `likely` is a number of decimals that most values have: it is tried first.
    #[must_use]
    pub(super) fn of(value: f64, likely: u8) -> Option<Self> {
        Self::with_decimals(value, likely.min(DECIMALS)).or_else(|| Self::of_shortest_text(value))
    }

    /// Takes the value as an integer number of steps of 10^-decimals, if it is one of at most 15 digits.
    #[expect(clippy::cast_possible_truncation, reason = "the branch before it bounds the number to 15 digits")]
    fn with_decimals(value: f64, decimals: u8) -> Option<Self> {
        let power = *POWERS.get(usize::from(decimals))?;
        // Both are exact: powers of ten are f64s up to 10^22.
        let scale = power as f64;
        let steps = (value * scale).round();
        let is_it = steps.abs() < FIFTEEN_DIGITS && (steps / scale).to_bits() == value.to_bits();
        is_it.then(|| Self { raw: i128::from(steps as i64) * (SCALE / power), decimals })
    }

    #[cold]
    fn of_shortest_text(value: f64) -> Option<Self> {
        // Largest first: a number of 300 digits is not spelled out.
        if !value.is_finite() || value.abs() >= 1e15 || (value != 0.0 && value.abs() < 1e-16) {
            return None;
        }
        let mut text = String::with_capacity(40);
        write!(text, "{value}").ok()?;
        let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let decimals = u8::try_from(fraction.len()).ok().filter(|decimals| *decimals <= DECIMALS)?;
        let scale = SCALE / POWERS.get(usize::from(decimals))?;
        let mut number: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            number = number.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
        }
        Some(Self { raw: sign * number.checked_mul(scale)?, decimals })
    }
}

/// How many decimals the prices and sizes of a product have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Precision {
    /// Of prices.
    pub price: u8,
    /// Of sizes.
    pub size: u8,
}

impl Precision {
    /// Raises the decimals of prices to what the values need. A value that does not fit needs none.
    pub(super) fn see_prices(&mut self, prices: impl IntoIterator<Item = f64>) {
        self.price = needed(prices, self.price);
    }

    /// Raises the decimals of sizes likewise.
    pub(super) fn see_sizes(&mut self, sizes: impl IntoIterator<Item = f64>) {
        self.size = needed(sizes, self.size);
    }

    /// Gives the larger decimals of two.
    #[must_use]
    pub(super) fn max(self, other: Self) -> Self {
        Self { price: self.price.max(other.price), size: self.size.max(other.size) }
    }
}

fn needed(values: impl IntoIterator<Item = f64>, so_far: u8) -> u8 {
    values.into_iter().fold(so_far, |most, value| Fixed::of(value, most).map_or(most, |fixed| most.max(fixed.decimals)))
}

/// Counts the decimals of an increment as the exchange spells it: those of `0.01000000` are 2.
#[must_use]
pub(super) fn decimals_of_increment(text: &str) -> Option<u8> {
    let value: f64 = text.parse().ok()?;
    let value = if value > 0.0 { value } else { return None };
    (0..=DECIMALS).find(|decimals| Fixed::with_decimals(value, *decimals).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_the_shortest_decimal_of_its_f64() {
        let cases = [
            (0.0, Some((0, 2))),
            (64841.44, Some((648_414_400_000_000_000_000, 2))),
            (0.000_000_01, Some((100_000_000, 8))),
            (5.1e-7, Some((5_100_000_000, 8))),
            (1e-16, Some((1, 16))),
            (1e-17, None),
            (0.1 + 0.2, None),
            (0.300_000_000_000_000_1, Some((3_000_000_000_000_001, 16))),
            (-5.0, Some((-50_000_000_000_000_000, 2))),
            (999_999_999_999_999.0, Some((9_999_999_999_999_990_000_000_000_000_000, 0))),
            (1e15, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::MIN_POSITIVE, None),
        ];
        for (value, expected) in cases {
            assert_eq!(Fixed::of(value, 2).map(|fixed| fixed.raw), expected.map(|(raw, _)| raw), "{value}");
            let decimals = Fixed::of(value, 2).map(|fixed| fixed.decimals);
            assert!(decimals.is_none_or(|decimals| decimals <= expected.map_or(0, |(_, most)| most).max(2)), "{value}: {decimals:?}");
        }
    }

    #[test]
    fn decimals_of_an_increment_are_those_before_its_trailing_zeros() {
        let cases =
            [("0.01", Some(2)), ("0.01000000", Some(2)), ("1", Some(0)), ("1000", Some(0)), ("0.00000001", Some(8)), ("5e-7", Some(7))];
        for (text, decimals) in cases {
            assert_eq!(decimals_of_increment(text), decimals, "{text}");
        }
        for text in ["", "0", "-1", "nan", "x"] {
            assert_eq!(decimals_of_increment(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_give_the_number_that_was_written(mantissa in 0u64..1_000_000_000_000_000, decimals in 0u8..=16, likely in 0u8..=20) {
            let text = format!("{mantissa}e-{decimals}");
            let value: f64 = text.parse().expect("a number");
            let expected = i128::from(mantissa) * 10i128.pow(u32::from(DECIMALS - decimals));
            let fixed = Fixed::of(value, likely);
            prop_assert_eq!(fixed.map(|fixed| fixed.raw), Some(expected));
            prop_assert_eq!(Fixed::of_shortest_text(value).map(|fixed| fixed.raw), (value < 1e15).then_some(expected));
            // The number has no digit behind the decimals that it says it needs.
            let needed = fixed.map_or(0, |fixed| fixed.decimals);
            prop_assert_eq!(expected % 10i128.pow(u32::from(DECIMALS - needed)), 0);
        }
    }
}
