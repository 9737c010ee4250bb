//! [`Totals`]: what a picture says in words, and what its scales have to hold.

use super::source::{Dot, Source};
use super::spell;
use crate::record::Side;

/// How far beyond the trades, in parts of their range, quotes stretch the picture. What lies farther out is cut off.
const QUOTES_BEYOND: f64 = 0.5;
/// Room above and below, in parts of the range.
const ROOM: f64 = 0.07;

/// Sums and extremes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) trades: u64,
    pub(super) buys: u64,
    pub(super) bought: f64,
    pub(super) sold: f64,
    pub(super) high: Option<Dot>,
    pub(super) low: Option<Dot>,
    pub(super) largest: Option<Dot>,
    pub(super) last: Option<Dot>,
    pub(super) quotes: u64,
    quoted: Option<(f64, f64)>,
    /// The decimals that prices have.
    pub(super) decimals: usize,
}

impl Totals {
    /// Reads every record once.
    pub(super) fn of(source: &Source) -> Self {
        let mut totals = Self::default();
        source.each_trade(|dot| totals.add(&dot));
        source.each_quote(|quote| {
            totals.quotes += 1;
            for value in [quote.bid, quote.ask].into_iter().filter(|value| value.is_finite()) {
                let (low, high) = totals.quoted.unwrap_or((value, value));
                totals.quoted = Some((low.min(value), high.max(value)));
                if totals.quotes <= 64 {
                    totals.decimals = totals.decimals.max(spell::decimals_of(value));
                }
            }
        });
        for dot in [totals.high, totals.low, totals.last].into_iter().flatten() {
            totals.decimals = totals.decimals.max(spell::decimals_of(dot.price));
        }
        totals
    }

    fn add(&mut self, dot: &Dot) {
        self.trades += 1;
        if dot.side == Side::Buy {
            self.buys += 1;
            self.bought += positive(dot.size);
        } else {
            self.sold += positive(dot.size);
        }
        if !dot.price.is_finite() {
            return;
        }
        self.last = Some(*dot);
        let keep = |kept: &mut Option<Dot>, is_more: fn(&Dot, &Dot) -> bool| {
            if kept.as_ref().is_none_or(|kept| is_more(dot, kept)) {
                *kept = Some(*dot);
            }
        };
        keep(&mut self.high, |new, old| new.price > old.price);
        keep(&mut self.low, |new, old| new.price < old.price);
        keep(&mut self.largest, |new, old| positive(new.size) > positive(old.size));
    }

    /// Gives the size of the largest trade; 0 where there is none.
    pub(super) fn largest_size(&self) -> f64 {
        self.largest.map_or(0.0, |dot| positive(dot.size))
    }

    /// Gives the lowest and the highest price that the picture has room for; nothing where there is no price.
    pub(super) fn price_range(&self) -> Option<(f64, f64)> {
        let traded = self.low.zip(self.high).map(|(low, high)| (low.price, high.price));
        let (low, high) = match (traded, self.quoted) {
            (Some((low, high)), Some((bid, ask))) => {
                let beyond = ((high - low) * QUOTES_BEYOND).max(self.least_span());
                (low.min(bid.max(low - beyond)), high.max(ask.min(high + beyond)))
            }
            (traded, quoted) => traded.or(quoted)?,
        };
        let room = ((high - low) * ROOM).max(if high - low > self.least_span() { 0.0 } else { self.least_span() });
        let (low, high) = (low - room, high + room);
        (low.is_finite() && high.is_finite() && high > low).then_some((low, high))
    }

    /// Gives the shortest range that is drawn: some of the smallest steps of the price, and not less than a float can tell apart.
    fn least_span(&self) -> f64 {
        let step = 10_f64.powi(-i32::try_from(self.decimals.min(18)).unwrap_or(0));
        let near = self.last.map(|dot| dot.price).or(self.quoted.map(|(_, ask)| ask)).unwrap_or(1.0);
        (2.0 * step).max(near.abs() * 1e-12)
    }
}

/// Gives a size; 0 where it is none.
pub(super) fn positive(size: f64) -> f64 {
    if size.is_finite() && size > 0.0 { size } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    fn totals(prices: &[f64], quoted: Option<(f64, f64)>) -> Totals {
        let mut totals = Totals { quoted, decimals: 2, ..Totals::default() };
        for (price, id) in prices.iter().zip(1..) {
            totals.add(&Dot { id, time: UnixNanos(id), price: *price, size: 1.0, side: Side::Buy });
        }
        totals
    }

    #[test]
    fn every_trade_fits_and_a_quote_far_out_is_cut_off() {
        let range = totals(&[100.0, 110.0], Some((0.01, 1e9))).price_range().expect("a range");
        assert!(range.0 < 95.0 && range.0 > 90.0 && range.1 > 115.0 && range.1 < 120.0, "{range:?}");
        let near = totals(&[100.0, 110.0], Some((99.0, 111.0))).price_range().expect("a range");
        assert!(near.0 < 99.0 && near.1 > 111.0 && near.1 < 112.0, "{near:?}");
        let far = totals(&[1.0, 1e12], None).price_range().expect("a range");
        assert!(far.0 < 1.0 && far.1 > 1e12);
    }

    #[test]
    fn one_price_has_room_around_it_and_none_has_no_range() {
        for price in [0.000_000_51, 1.0, 67_000.0, 1e15, 0.0, -3.0] {
            let (low, high) = totals(&[price, price], None).price_range().expect("a range");
            assert!(low < price && price < high, "{price}: {low} {high}");
        }
        assert_eq!(totals(&[], Some((99.0, 101.0))).price_range().map(|(low, high)| low < 99.0 && high > 101.0), Some(true));
        assert_eq!(totals(&[], None).price_range(), None);
        assert_eq!(totals(&[f64::NAN, f64::INFINITY], None).price_range(), None);
    }
}
