//! [`Tally`]: trades added up: the first, the highest, the lowest and the last price, and exact sums.

use std::ops::Range;

use super::flow::{BUY, Block};
use super::sum::ExactSum;

/// Prices that are compared at once.
const LANES: usize = 8;

/// Trades added up, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tally {
    /// How many.
    pub trades: u64,
    /// The price of the lowest id.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The price of the highest id.
    pub close: f64,
    /// What takers bought.
    pub bought: ExactSum,
    /// What takers sold.
    pub sold: ExactSum,
    /// Prices times sizes.
    pub notional: ExactSum,
}

impl Default for Tally {
    fn default() -> Self {
        let (bought, sold, notional) = Default::default();
        Self { trades: 0, open: f64::NAN, high: f64::NEG_INFINITY, low: f64::INFINITY, close: f64::NAN, bought, sold, notional }
    }
}

/// Gives the highest and the lowest of prices and of two others.
fn extremes(prices: &[f64], (high, low): (f64, f64)) -> (f64, f64) {
    // A comparison with a price that is no number is false, so that such a price is neither.
    let higher = |one: f64, other: f64| if other > one { other } else { one };
    let lower = |one: f64, other: f64| if other < one { other } else { one };
    // Several at a time, so that no comparison waits for the one before.
    let (blocks, rest) = prices.as_chunks::<LANES>();
    let (mut highs, mut lows) = ([high; LANES], [low; LANES]);
    for block in blocks {
        for ((price, high), low) in block.iter().zip(&mut highs).zip(&mut lows) {
            (*high, *low) = (higher(*high, *price), lower(*low, *price));
        }
    }
    let of_rest = rest.iter().fold((high, low), |(high, low), price| (higher(high, *price), lower(low, *price)));
    (highs.into_iter().fold(of_rest.0, higher), lows.into_iter().fold(of_rest.1, lower))
}

impl Tally {
    /// Adds some trades of a block. Their ids are above those added before.
    pub(crate) fn add(&mut self, block: &Block<'_>, part: Range<usize>) {
        let prices = block.prices.get(part.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (prices.first(), prices.last()) else { return };
        if self.trades == 0 {
            self.open = *first;
        }
        self.close = *last;
        self.trades += prices.len() as u64;
        (self.high, self.low) = extremes(prices, (self.high, self.low));
        let sides = block.sides.get(part.clone()).unwrap_or_default();
        match &block.units {
            Some(units) => {
                let (prices, sizes) = (units.prices.get(part.clone()).unwrap_or_default(), units.sizes.get(part).unwrap_or_default());
                // A block has 2^10 trades and no integer is above 2^50, so the sums of the sizes fit.
                let (mut bought, mut all, mut notional) = (0i64, 0i64, 0i128);
                for ((price, size), side) in prices.iter().zip(sizes).zip(sides) {
                    bought += if *side == BUY { *size } else { 0 };
                    all += size;
                    notional += i128::from(*price) * i128::from(*size);
                }
                self.bought.add_decimal(i128::from(bought), units.size_scale);
                self.sold.add_decimal(i128::from(all - bought), units.size_scale);
                self.notional.add_decimal(notional, units.price_scale + units.size_scale);
            }
            None => {
                let sizes = block.sizes.get(part).unwrap_or_default();
                for ((price, size), side) in prices.iter().zip(sizes).zip(sides) {
                    let sum = if *side == BUY { &mut self.bought } else { &mut self.sold };
                    sum.add(*size);
                    self.notional.add_product(*price, *size);
                }
            }
        }
    }

    /// Gives the sum of all sizes.
    #[must_use]
    pub(crate) fn volume(&self) -> ExactSum {
        let mut volume = self.bought;
        volume.add_sum(&self.sold);
        volume
    }

    /// Gives the mean price, weighted by size. `None` where the volume is 0.
    #[must_use]
    pub(crate) fn vwap(&self) -> Option<f64> {
        self.notional.ratio(&self.volume())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_extremes_are_those_of_one_price_after_the_other(
            prices in prop::collection::vec(prop_oneof![9 => 0.01_f64..1e6, 1 => Just(f64::NAN)], 0..100),
            high in prop::option::of(0.01_f64..1e6),
        ) {
            let before = high.map_or((f64::NEG_INFINITY, f64::INFINITY), |high| (high, high / 2.0));
            let numbers = || prices.iter().copied().filter(|price| !price.is_nan());
            let expected = (numbers().fold(before.0, f64::max), numbers().fold(before.1, f64::min));
            prop_assert_eq!(extremes(&prices, before), expected);
        }
    }
}
