//! [`ExactSum`]: sums of prices, sizes and their products without an error that grows with their number.
//!
//! 1. A stored f64 stands for the shortest decimal that reads back as it, which is the text of the exchange wherever that has at most 15 digits. Such
//!    decimals are added as integers: 0.1 and 0.2 are 0.3.
//! 2. What is no such decimal, or too large for the integers, is added as it is stored, in two f64 that together have 106 bits (Dekker's and Knuth's
//!    error-free transformations).
//! 3. A sum becomes one f64 where it is shown: the nearest one. So does a ratio of two sums.
//! 4. An f32 of a folder with core columns alone stands for its shortest decimal likewise ([`shortest_f64`]).

use crate::decimal::POWERS_OF_TEN;

/// Most digits behind the point of a value that is added as an integer.
pub(crate) const MAX_SCALE: u32 = 22;

/// The largest integer that a value is turned into: up to here its last digit survives the multiplication by a power of ten.
const LARGEST: f64 = (1u64 << 50) as f64;

/// Added to a number below 2^51 it rounds that to an integer, which then stands in the low bits: 1.5 × 2^52.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// A number as two f64: the nearest one, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Pair {
    high: f64,
    low: f64,
}

impl Pair {
    const fn one(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }

    /// Adds two f64 without an error (Knuth).
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let part = high - a;
        Self { high, low: (a - (high - part)) + (b - part) }
    }

    /// Multiplies two f64 without an error.
    fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    fn plus(self, other: Self) -> Self {
        let (high, low) = (Self::sum(self.high, other.high), Self::sum(self.low, other.low));
        let high = Self::sum(high.high, high.low + low.high);
        Self::sum(high.high, high.low + low.low)
    }

    fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        Self::sum(product.high, product.low + (self.high * other.low + self.low * other.high))
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self { high: -other.high, low: -other.low })
    }

    fn over(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self.minus(other.times(Self::one(first)));
        let second = rest.high / other.high;
        let rest = rest.minus(other.times(Self::one(second)));
        Self::sum(first, second).plus(Self::one(rest.high / other.high))
    }

    /// Gives `mantissa` / 10^`scale`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "what the first f64 rounds off is what the second one holds"
    )]
    fn of_decimal(mantissa: i128, scale: u32) -> Self {
        let high = mantissa as f64;
        let whole = Self::sum(high, mantissa.saturating_sub(high as i128) as f64);
        if scale == 0 { whole } else { whole.over(Self::power(scale)) }
    }

    /// Gives 10^`scale`, for a scale of at most twice [`MAX_SCALE`].
    fn power(scale: u32) -> Self {
        let exact = |scale: u32| POWERS_OF_TEN.get(scale as usize).copied().unwrap_or(f64::INFINITY);
        Self::product(exact(scale.min(MAX_SCALE)), exact(scale.saturating_sub(MAX_SCALE)))
    }
}

/// A sum. It begins at 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ExactSum {
    /// The decimals added, in units of 10^-`scale`.
    mantissa: i128,
    scale: u32,
    /// What could not be added as an integer.
    rest: Pair,
}

impl ExactSum {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        match decimal_of(value) {
            Some((mantissa, scale)) => self.add_decimal(i128::from(mantissa), scale),
            None => self.rest = self.rest.plus(Pair::one(value)),
        }
    }

    /// Adds the product of two values.
    pub(crate) fn add_product(&mut self, a: f64, b: f64) {
        match decimal_of(a).zip(decimal_of(b)) {
            Some(((a, a_scale), (b, b_scale))) => self.add_decimal(i128::from(a) * i128::from(b), a_scale + b_scale),
            None => self.rest = self.rest.plus(Pair::product(a, b)),
        }
    }

    /// Adds `mantissa` / 10^`scale`. The scale is at most twice [`MAX_SCALE`].
    pub(crate) fn add_decimal(&mut self, mantissa: i128, scale: u32) {
        match self.sum_with(mantissa, scale) {
            Some(sum) => (self.mantissa, self.scale) = sum,
            None => self.rest = self.rest.plus(Pair::of_decimal(mantissa, scale)),
        }
    }

    /// Gives the decimals so far and another one together, in units of the finer of the two. `None` where that does not fit the integers.
    fn sum_with(&self, mantissa: i128, scale: u32) -> Option<(i128, u32)> {
        if scale == self.scale {
            return Some((self.mantissa.checked_add(mantissa)?, scale));
        }
        let finer = scale.max(self.scale);
        let (own, other) = (in_units(self.mantissa, finer - self.scale)?, in_units(mantissa, finer - scale)?);
        Some((own.checked_add(other)?, finer))
    }

    /// Adds another sum.
    pub(crate) fn add_sum(&mut self, other: &Self) {
        self.add_decimal(other.mantissa, other.scale);
        self.rest = self.rest.plus(other.rest);
    }

    /// Gives the nearest f64.
    #[must_use]
    pub(crate) fn value(&self) -> f64 {
        self.pair().high
    }

    /// Gives the f64 nearest to this sum divided by another. `None` where that is 0, or one of the two is not finite.
    #[must_use]
    pub(crate) fn ratio(&self, other: &Self) -> Option<f64> {
        let (above, below) = (self.pair(), other.pair());
        let ratio = if below.high == 0.0 { f64::NAN } else { above.over(below).high };
        ratio.is_finite().then_some(ratio)
    }

    fn pair(&self) -> Pair {
        Pair::of_decimal(self.mantissa, self.scale).plus(self.rest)
    }
}

/// Multiplies by 10^`digits`.
fn in_units(mantissa: i128, digits: u32) -> Option<i128> {
    if mantissa == 0 { Some(0) } else { mantissa.checked_mul(10i128.checked_pow(digits)?) }
}

/// Rounds to an integer a number below 2^51. Gives it as an f64 and as an integer.
#[inline]
fn rounded(value: f64) -> (f64, i64) {
    let shifted = value + ROUNDING;
    (shifted - ROUNDING, shifted.to_bits().wrapping_sub(ROUNDING.to_bits()).cast_signed())
}

/// Gives the shortest decimal that reads back as `value`, as an integer and the digits behind its point. `None` where it has too many digits.
#[must_use]
pub(crate) fn decimal_of(value: f64) -> Option<(i64, u32)> {
    POWERS_OF_TEN.iter().zip(0..).find_map(|(power, scale)| {
        let units = value * power;
        let (whole, mantissa) = rounded(units);
        (units.abs() <= LARGEST && whole / power == value).then_some((mantissa, scale))
    })
}

/// Turns each value into an integer of units of 10^-`scale`. Tells whether all are such integers; else `units` has no meaning.
#[inline]
pub(crate) fn to_units(values: &[f64], scale: u32, units: &mut [i64]) -> bool {
    let Some(power) = POWERS_OF_TEN.get(scale as usize) else { return false };
    // Without a branch, so that several values are turned at once.
    let mut are_all = true;
    for (value, unit) in values.iter().zip(units) {
        let product = value * power;
        let (whole, mantissa) = rounded(product);
        are_all &= (product.abs() <= LARGEST) & (whole / power == *value);
        *unit = mantissa;
    }
    are_all
}

/// Finds the fewest digits behind the point with which each value is an integer of units. `None` where one has too many.
#[must_use]
pub(crate) fn scale_of(values: &[f64]) -> Option<u32> {
    values.iter().try_fold(0, |most, value| Some(decimal_of(*value)?.1.max(most)))
}

/// Subtracts prices as decimals: 64841.45 - 64841.44 is 0.01.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// The scale of the last two prices. The next two have it nearly always.
    scale: u32,
}

impl Spread {
    /// Gives `ask` - `bid`.
    #[expect(clippy::cast_precision_loss, reason = "two integers of at most 2^50")]
    pub(crate) fn between(&mut self, bid: f64, ask: f64) -> f64 {
        let (both, mut units) = ([bid, ask], [0; 2]);
        if !to_units(&both, self.scale, &mut units) {
            match scale_of(&both) {
                Some(scale) if to_units(&both, scale, &mut units) => self.scale = scale,
                _ => return ask - bid,
            }
        }
        let [bid, ask] = units;
        POWERS_OF_TEN.get(self.scale as usize).map_or(f64::NAN, |power| (ask - bid) as f64 / power)
    }
}

/// The largest f32 up to which every integer is one.
const WHOLE_F32: f64 = (1u32 << 24) as f64;

/// Gives the f64 nearest to the shortest decimal that reads back as this f32. The text of the exchange may have had more digits.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rounding is what it means")]
pub(crate) fn shortest_f64(value: f32) -> f64 {
    let wide = f64::from(value);
    let quick = POWERS_OF_TEN.iter().take(10).find_map(|power| {
        let units = wide * power;
        let whole = rounded(units).0;
        let decimal = whole / power;
        let is_found = units.abs() <= WHOLE_F32 && decimal as f32 == value;
        // Of two decimals that are equally near, that which the standard library prints.
        is_found.then(|| if (units - whole).abs() == 0.5 { by_text(value) } else { decimal })
    });
    quick.unwrap_or_else(|| by_text(value))
}

#[cold]
fn by_text(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Adds decimals that are given as digits and digits behind the point, each by itself.
    fn exactly(values: &[(i64, u32)]) -> i128 {
        values.iter().map(|(digits, scale)| i128::from(*digits) * 10i128.pow(12 - scale)).sum()
    }

    fn nearest(units: i128, digits: usize) -> f64 {
        let sign = if units < 0 { "-" } else { "" };
        let text = format!("{:0>1$}", units.unsigned_abs(), digits + 1);
        let (whole, fraction) = text.split_at(text.len() - digits);
        format!("{sign}{whole}.{fraction}").parse().expect("a number")
    }

    fn text(digits: i64, scale: u32) -> f64 {
        nearest(i128::from(digits), scale as usize)
    }

    #[test]
    fn decimals_add_as_decimals() {
        let mut sum = ExactSum::default();
        for value in [0.1, 0.2] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 0.3);
        let mut many = ExactSum::default();
        for _ in 0..1_000_000 {
            many.add(0.000_000_01);
        }
        assert_eq!(many.value(), 0.01);
        many.add(1e15);
        assert_eq!(many.value(), 1_000_000_000_000_000.01);
    }

    #[test]
    fn what_no_integer_holds_is_added_all_the_same() {
        let (long, large, tiny) = (0.123_456_789_012_345_68, 1.5e300, 1e-300);
        let mut sum = ExactSum::default();
        for value in [long, large, tiny, -large, 0.5] {
            sum.add(value);
        }
        assert_eq!(sum.value(), long + 0.5);
        let mut products = ExactSum::default();
        products.add_product(long, 2.0);
        products.add_product(9e15, 9.5);
        products.add_product(-9e15, 9.5);
        assert_eq!(products.value(), long * 2.0);
        // Beyond i128.
        let mut beyond = ExactSum::default();
        for _ in 0..3 {
            beyond.add_decimal(i128::MAX, 0);
            beyond.add_decimal(1, 30);
        }
        assert_eq!(beyond.value(), 3.0 * i128::MAX as f64);
    }

    #[test]
    fn a_value_that_is_no_number_makes_no_number_of_the_sum() {
        let mut sum = ExactSum::default();
        sum.add(1.0);
        assert_eq!(sum.ratio(&ExactSum::default()), None);
        sum.add(f64::NAN);
        assert!(sum.value().is_nan() && sum.ratio(&sum).is_none());
    }

    #[test]
    fn the_weighted_mean_of_one_price_is_that_price() {
        for price in [100.1, 0.000_000_51, 131_072.01, 64_841.45] {
            let (mut notional, mut volume) = (ExactSum::default(), ExactSum::default());
            for size in [0.1, 0.000_000_01, 7.123_456_78, 3.0] {
                notional.add_product(price, size);
                volume.add(size);
            }
            assert_eq!(notional.ratio(&volume), Some(price));
        }
    }

    #[test]
    fn an_f32_stands_for_its_shortest_decimal() {
        for shortest in
            [0.1, 123_456.7, 1_413_569.3, 131_072.02, 1e-8, 0.000_000_51, 16_777_216.0, 3e9, 123_456_790_000.0, 1.17e-38, 0.0, -2.5]
        {
            #[expect(clippy::cast_possible_truncation)]
            let stored = shortest as f32;
            assert_eq!(shortest_f64(stored), shortest, "{shortest}");
            assert_eq!(shortest_f64(stored), stored.to_string().parse::<f64>().expect("a number"));
        }
        assert!(shortest_f64(f32::NAN).is_nan());
    }

    #[test]
    fn a_spread_is_the_difference_of_two_decimals() {
        let mut spread = Spread::default();
        let found = [(64_841.44, 64_841.45), (0.000_000_51, 0.000_000_52), (100.0, 100.0), (2.5, 2.0), (1e300, 2e300)]
            .map(|(bid, ask)| spread.between(bid, ask));
        assert_eq!(found, [0.01, 0.000_000_01, 0.0, -0.5, 1e300]);
    }

    #[test]
    fn units_are_those_of_every_value_or_of_none() {
        let mut units = [0; 3];
        assert!(to_units(&[1.5, 0.25, -3.0], 2, &mut units));
        assert_eq!(units, [150, 25, -300]);
        assert!(!to_units(&[1.5, 0.255, 3.0], 2, &mut units) && !to_units(&[f64::NAN], 2, &mut units) && !to_units(&[1e15], 8, &mut units));
        assert_eq!((scale_of(&[1.5, 0.255, 3.0]), scale_of(&[]), scale_of(&[f64::INFINITY])), (Some(3), Some(0), None));
    }

    proptest! {
        #[test]
        fn a_sum_is_the_f64_nearest_to_the_exact_one(values in prop::collection::vec((-999_999_999_999i64..1_000_000_000_000, 0u32..=12), 0..60)) {
            let mut sum = ExactSum::default();
            let mut halves = [ExactSum::default(), ExactSum::default()];
            for (at, (digits, scale)) in values.iter().enumerate() {
                sum.add(text(*digits, *scale));
                halves[at % 2].add(text(*digits, *scale));
            }
            prop_assert_eq!(sum.value(), nearest(exactly(&values), 12));
            let [mut both, other] = halves;
            both.add_sum(&other);
            prop_assert_eq!(both.value(), sum.value());
        }

        #[test]
        fn a_sum_of_products_and_a_mean_are_right_to_the_last_bit_but_one(
            values in prop::collection::vec(((1i64..100_000_000, 0u32..=6), (1i64..1_000_000_000, 0u32..=8)), 1..40)
        ) {
            let (mut products, mut sizes) = (ExactSum::default(), ExactSum::default());
            let (mut exact, mut weight) = (0i128, 0i128);
            for ((price, price_scale), (size, size_scale)) in &values {
                products.add_product(text(*price, *price_scale), text(*size, *size_scale));
                sizes.add(text(*size, *size_scale));
                let (price, size) = (i128::from(*price) * 10i128.pow(6 - price_scale), i128::from(*size) * 10i128.pow(8 - size_scale));
                exact += price * size;
                weight += size;
            }
            prop_assert_eq!(products.value(), nearest(exact, 14));
            // The quotient to 22 digits behind the point.
            let whole = exact / weight;
            let rest = exact % weight;
            let units = whole * 10i128.pow(10) + rest * 10i128.pow(10) / weight;
            let mean = nearest(units, 16);
            let found = products.ratio(&sizes).expect("a ratio");
            prop_assert!((found - mean).abs() <= mean * 4e-16 + 1e-16, "{} {}", found, mean);
        }

        #[test]
        fn a_decimal_of_up_to_fifteen_digits_is_found_again(digits in 1i64..1_000_000_000_000_000, scale in 0u32..=20) {
            let value = text(digits, scale);
            let (mantissa, found) = decimal_of(value).expect("few digits");
            let (mut digits, mut scale) = (digits, scale);
            while scale > 0 && digits % 10 == 0 {
                (digits, scale) = (digits / 10, scale - 1);
            }
            prop_assert_eq!((mantissa, found), (digits, scale));
        }

        #[test]
        fn an_f32_is_read_as_it_is_printed(bits in any::<u32>()) {
            let stored = f32::from_bits(bits);
            let printed: f64 = stored.to_string().parse().expect("a number");
            prop_assert!(shortest_f64(stored) == printed || (stored.is_nan() && printed.is_nan()), "{}", stored);
        }
    }
}
