//! The products of the simulated exchange: their names, and the shape of their prices and sizes.
//!
//! 1. A product has the same shape in every configuration. A known name has its own shape; any other has one by the number in its name.
//! 2. Among any eight consecutive made-up products there are prices above 131 072 (where an f32 loses cents) and prices of a few 1e-8.

use super::format::Amount;
use crate::product::{ProductId, ProductIdError};

/// The shape of a product's prices and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Decimals of its prices; one tick is one unit of the last.
    pub(super) price_decimals: u8,
    /// Decimals of its sizes.
    pub(super) size_decimals: u8,
    /// Where its price starts, in ticks.
    pub(super) start_ticks: u64,
    /// Its usual trade, in units of the last decimal of a size.
    pub(super) usual_size: u64,
}

impl Shape {
    /// Makes a price.
    pub(super) const fn price(self, ticks: u64) -> Amount {
        Amount { units: ticks, decimals: self.price_decimals }
    }

    /// Makes a size.
    pub(super) const fn size(self, units: u64) -> Amount {
        Amount { units, decimals: self.size_decimals }
    }
}

const fn shape(price_decimals: u8, size_decimals: u8, start_ticks: u64, usual_size: u64) -> Shape {
    Shape { price_decimals, size_decimals, start_ticks, usual_size }
}

/// Names in the order in which `--products N` uses them, with prices of mid 2025 or of the recordings.
const KNOWN: [(&str, Shape); 16] = [
    ("BTC-USD", shape(2, 8, 6_508_366, 700_000)),
    ("ETH-USD", shape(2, 8, 191_943, 9_000_000)),
    ("SOL-USD", shape(2, 8, 15_123, 120_000_000)),
    ("XRP-USD", shape(4, 6, 21_725, 90_000_000)),
    ("DOGE-USD", shape(5, 1, 18_342, 9_000)),
    ("SHIB-USD", shape(8, 0, 1_283, 2_500_000)),
    ("BTC-JPY", shape(2, 8, 941_234_567, 300_000)),
    ("SKL-BTC", shape(8, 1, 1_303, 7_000)),
    ("ADA-USD", shape(4, 8, 6_681, 25_000_000_000)),
    ("AVAX-USD", shape(2, 8, 2_071, 900_000_000)),
    ("LINK-USD", shape(3, 2, 13_954, 2_000)),
    ("PEPE-USD", shape(8, 0, 1_112, 9_000_000)),
    ("LTC-USD", shape(2, 8, 8_831, 60_000_000)),
    ("NMR-EUR", shape(4, 3, 670_210, 250)),
    ("YFI-BTC", shape(5, 6, 82_601, 4_000)),
    ("BTC-EUR", shape(2, 8, 5_601_212, 500_000)),
];

/// The shapes of all other names.
const OTHERS: [Shape; 8] = [
    shape(2, 8, 20_480_017, 40_000),
    shape(8, 8, 37, 900_000_000_000),
    shape(4, 2, 14_775, 7_000),
    shape(3, 0, 791, 450),
    shape(2, 8, 1_923_451_207, 9_000),
    shape(6, 4, 1_208_331, 120_000),
    shape(8, 0, 9, 40_000_000),
    shape(1, 8, 31_005, 80_000_000),
];

/// Gives a product's shape.
pub(super) fn shape_of(product: &ProductId) -> Shape {
    let known = KNOWN.iter().find(|(name, _)| *name == product.as_str()).map(|(_, shape)| *shape);
    let made_up = || {
        // A made-up name has its number before the dash, so consecutive names have consecutive shapes.
        let number = product.as_str().bytes().fold(0u64, |sum, byte| match byte {
            b'0'..=b'9' => sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
            _ => sum,
        });
        let [first, ..] = OTHERS;
        OTHERS.iter().cycle().nth(usize::from((number % 8) as u8)).copied().unwrap_or(first)
    };
    known.unwrap_or_else(made_up)
}

/// Gives the names of the first `count` products: real ones first, then `P001-USD`, `P002-USD` and so on.
///
/// # Errors
/// None for the names that it makes. The type is that of [`ProductId::new`].
pub fn products(count: usize) -> Result<Vec<ProductId>, ProductIdError> {
    let known = KNOWN.iter().map(|(name, _)| ProductId::new(name));
    let made_up = (1usize..).map(|number| ProductId::new(&format!("P{number:03}-USD")));
    known.chain(made_up).take(count).collect()
}

/// Gives a product's base and quote currency.
pub(super) fn currencies(product: &ProductId) -> (&str, &str) {
    product.as_str().rsplit_once('-').unwrap_or((product.as_str(), "USD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_hundred_names_are_distinct_and_begin_with_the_real_ones() {
        let names = products(400).expect("good names");
        assert_eq!(names.len(), 400);
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 400);
        assert_eq!((names[0].as_str(), names[1].as_str()), ("BTC-USD", "ETH-USD"));
        assert_eq!(names[16].as_str(), "P001-USD");
        assert_eq!(currencies(&names[16]), ("P001", "USD"));
    }

    #[test]
    fn eight_made_up_products_have_both_extremes() {
        let names = products(24).expect("good names");
        let prices: Vec<f64> = names[16..]
            .iter()
            .map(|name| {
                let shape = shape_of(name);
                shape.start_ticks as f64 / 10f64.powi(i32::from(shape.price_decimals))
            })
            .collect();
        assert!(prices.iter().any(|price| *price > 131_072.0));
        assert!(prices.iter().any(|price| *price < 1e-6));
    }
}
