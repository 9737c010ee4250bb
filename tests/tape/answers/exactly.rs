//! Decimals as integers, and candles made of them: no float, and no code of the program.

use std::collections::BTreeMap;

/// Digits behind the point that every number of a test has.
pub(crate) const DIGITS: usize = 10;

/// Reads a decimal text as units of 10^-[`DIGITS`].
pub(crate) fn units(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= DIGITS, "{text}");
    format!("{whole}{fraction:0<DIGITS$}").parse().unwrap()
}

/// Gives the f64 nearest to `units` / 10^`digits`.
pub(crate) fn nearest(units: i128, digits: usize) -> f64 {
    let text = format!("{:0>1$}", units.unsigned_abs(), digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    format!("{}{whole}.{fraction}", if units < 0 { "-" } else { "" }).parse().unwrap()
}

/// Gives the f64 nearest to the quotient of two integers, to within a unit of its last digit.
pub(crate) fn quotient(above: i128, below: i128) -> f64 {
    let (whole, rest) = (above / below, above % below);
    let mut rest = rest;
    let mut digits = String::new();
    for _ in 0..25 {
        rest *= 10;
        digits.push_str(&(rest / below).to_string());
        rest %= below;
    }
    format!("{whole}.{digits}").parse().unwrap()
}

/// Tells whether two floats agree but for what the reader of JSON rounds: four units of the last digit.
pub(crate) fn agree(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= expected.abs() * 1e-15
}

/// A trade with its texts.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: u64,
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) price: String,
    pub(crate) size: String,
    pub(crate) is_buy: bool,
}

/// A bucket, added up in integers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Added {
    pub(crate) prices: Vec<i128>,
    pub(crate) bought: i128,
    pub(crate) sold: i128,
    /// In units of 10^-(2 × [`DIGITS`]).
    pub(crate) notional: i128,
    pub(crate) missing: u64,
}

impl Added {
    pub(crate) fn add(&mut self, trade: &Told) {
        let (price, size) = (units(&trade.price), units(&trade.size));
        self.prices.push(price);
        *(if trade.is_buy { &mut self.bought } else { &mut self.sold }) += size;
        self.notional += price * size;
    }
}

/// The buckets of trades that are in order of their ids. Without the missing ids.
pub(crate) fn buckets<'t>(trades: impl Iterator<Item = &'t Told>, nanos: u64) -> BTreeMap<u64, Added> {
    let mut found: BTreeMap<u64, Added> = BTreeMap::new();
    for trade in trades {
        found.entry(trade.time / nanos * nanos).or_default().add(trade);
    }
    found
}

/// The even place in time of every id that is missing between stored trades, id by id.
pub(crate) fn missing_places(trades: &[Told]) -> Vec<u64> {
    let mut places = Vec::new();
    for pair in trades.windows(2) {
        let [before, after] = pair else { continue };
        let (first, last) = (before.time.min(after.time), before.time.max(after.time));
        let count = after.id - before.id - 1;
        places.extend(
            (1..=count).map(|at| first + u64::try_from(u128::from(last - first) * u128::from(at) / u128::from(count + 1)).unwrap()),
        );
    }
    places
}

/// Asserts that a candle, given as JSON, is this bucket.
pub(crate) fn assert_candle(line: &serde_json::Value, added: &Added, seconds: u64) {
    let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
    let price = |price: i128| nearest(price, DIGITS);
    let (open, close) = (added.prices[0], added.prices[added.prices.len() - 1]);
    assert!(agree(number("open"), price(open)) && agree(number("close"), price(close)), "{line}");
    let (high, low) = (added.prices.iter().max().unwrap(), added.prices.iter().min().unwrap());
    assert!(agree(number("high"), price(*high)) && agree(number("low"), price(*low)), "{line}");
    let volume = added.bought + added.sold;
    for (key, units) in [("volume", volume), ("buy_volume", added.bought), ("sell_volume", added.sold)] {
        assert!(agree(number(key), nearest(units, DIGITS)), "{key} in {line}");
    }
    assert_eq!(line["trades"].as_u64(), Some(added.prices.len() as u64), "{line}");
    assert!(agree(number("trades_per_s"), added.prices.len() as f64 / seconds as f64), "{line}");
    if volume == 0 {
        assert!(line["vwap"].is_null(), "{line}");
    } else {
        let vwap = quotient(added.notional, volume * 10i128.pow(10));
        assert!(agree(number("vwap"), vwap), "{vwap} in {line}");
    }
    assert_eq!(line["missing"].as_u64(), Some(added.missing), "{line}");
}
