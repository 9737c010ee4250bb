//! [`Tally`]: trades added up: the first, the highest, the lowest and the last price, and exact sums.

use std::ops::Range;

use super::flow::{BUY, Block};
use super::sum::ExactSum;

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
        // A comparison with a price that is no number is false, so that such a price is neither.
        let (high, low) = prices.iter().fold((self.high, self.low), |(high, low), price| {
            (if *price > high { *price } else { high }, if *price < low { *price } else { low })
        });
        (self.high, self.low) = (high, low);
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
