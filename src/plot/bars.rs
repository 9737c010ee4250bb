//! [`Bars`]: volume and candles of round spans of time.

use std::collections::BTreeMap;

use super::palette::Palette;
use super::scale::{TimeScale, ValueScale, float};
use super::source::Dot;
use super::spell;
use super::svg::{Px, Svg, Words};
use super::totals::positive;
use crate::record::Side;
use crate::time::UnixNanos;

/// The least width of a bar with the room beside it, in pixels.
const BAR: f64 = 6.0;
/// The least width of a candle with the room beside it.
const CANDLE: f64 = 9.0;

/// What was traded in a span of time.
#[derive(Debug, Clone, Copy)]
struct Bar {
    bought: f64,
    sold: f64,
    trades: u64,
    prices: Option<Prices>,
}

#[derive(Debug, Clone, Copy)]
struct Prices {
    /// With the lowest id.
    open: (u64, f64),
    high: f64,
    low: f64,
    /// With the highest id.
    close: (u64, f64),
}

/// Trades put together by spans of time, which begin at multiples of their length since the epoch.
pub(super) struct Bars {
    time: TimeScale,
    /// The length of a span, in nanoseconds.
    pub(super) span: u64,
    bars: BTreeMap<u64, Bar>,
}

impl Bars {
    /// Begins with bars for volume.
    pub(super) fn of_volume(time: TimeScale) -> Self {
        Self { time, span: time.span_of(BAR), bars: BTreeMap::new() }
    }

    /// Begins with bars for candles.
    pub(super) fn of_candles(time: TimeScale) -> Self {
        Self { time, span: time.span_of(CANDLE), bars: BTreeMap::new() }
    }

    /// Adds a trade. There are never more bars than the picture has room for.
    pub(super) fn add(&mut self, dot: &Dot) {
        let bar = self.bars.entry(dot.time.0 / self.span).or_insert(Bar { bought: 0.0, sold: 0.0, trades: 0, prices: None });
        bar.trades += 1;
        *(if dot.side == Side::Buy { &mut bar.bought } else { &mut bar.sold }) += positive(dot.size);
        if dot.price.is_finite() {
            let (id, price) = (dot.id, dot.price);
            let prices = bar.prices.get_or_insert(Prices { open: (id, price), high: price, low: price, close: (id, price) });
            (prices.high, prices.low) = (prices.high.max(price), prices.low.min(price));
            if id < prices.open.0 {
                prices.open = (id, price);
            }
            if id > prices.close.0 {
                prices.close = (id, price);
            }
        }
    }

    /// Gives the largest volume of a side.
    pub(super) fn most(&self) -> f64 {
        self.bars.values().fold(0.0, |most: f64, bar| most.max(bar.bought).max(bar.sold))
    }

    /// Gives the edges of a bar with room between it and the next.
    fn edges(&self, number: u64) -> (f64, f64) {
        let left = self.time.x_within(UnixNanos(number.saturating_mul(self.span)));
        let right = self.time.x_within(UnixNanos(number.saturating_add(1).saturating_mul(self.span)));
        let room = ((right - left) * 0.2).min(1.5);
        (left + room / 2.0, (right - left - room).max(0.4))
    }

    fn words(&self, number: u64) -> String {
        let from = UnixNanos(number.saturating_mul(self.span));
        format!("{} of {}", spell::span(self.span), spell::clock(from, self.span))
    }

    /// Draws the volume: bought above the zero of the scale, sold below it.
    pub(super) fn draw_volume(&self, scale: &ValueScale, palette: &Palette, svg: &mut Svg) {
        let zero = scale.y(0.0);
        svg.raw(format_args!("<g class=\"volume\" fill-opacity=\".85\">\n"));
        for (number, bar) in &self.bars {
            let (left, width) = self.edges(*number);
            for (volume, colour) in [(bar.bought, palette.buy), (-bar.sold, palette.sell)] {
                if volume == 0.0 {
                    continue;
                }
                // No bar is too flat to be seen.
                let length = (scale.y(volume) - zero).abs().max(0.6);
                let top = if volume > 0.0 { zero - length } else { zero };
                let (width, left) = (Px(width), Px(left));
                svg.raw(format_args!(
                    "<rect x=\"{left}\" y=\"{}\" width=\"{width}\" height=\"{}\" fill=\"{colour}\"><title>{}</title></rect>\n",
                    Px(top),
                    Px(length),
                    Words(format!(
                        "{}: {} {}",
                        self.words(*number),
                        if volume > 0.0 { "bought" } else { "sold" },
                        spell::short(volume.abs())
                    ))
                ));
            }
        }
        svg.raw(format_args!("</g>\n"));
    }

    /// Draws candles: from the lowest to the highest price a line, from open to close a body.
    pub(super) fn draw_candles(&self, scale: &ValueScale, palette: &Palette, svg: &mut Svg) {
        svg.raw(format_args!("<g class=\"candles\">\n"));
        for (number, bar) in &self.bars {
            let Some(prices) = bar.prices else { continue };
            let (left, width) = self.edges(*number);
            let (open, close) = (prices.open.1, prices.close.1);
            let colour = if close >= open { palette.buy } else { palette.sell };
            let (top, bottom) = (scale.y(open.max(close)), scale.y(open.min(close)));
            let middle = Px(left + width / 2.0);
            svg.raw(format_args!(
                "<g stroke=\"{colour}\" fill=\"{colour}\"><title>{}</title><path d=\"M{middle} {}V{}\" fill=\"none\"/>\
                 <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" stroke=\"none\"/></g>\n",
                Words(format!(
                    "{}: open {}, high {}, low {}, close {}, {}",
                    self.words(*number),
                    spell::exact(open),
                    spell::exact(prices.high),
                    spell::exact(prices.low),
                    spell::exact(close),
                    spell::many(bar.trades, "trade", "trades")
                )),
                Px(scale.y(prices.high)),
                Px(scale.y(prices.low)),
                Px(left),
                Px(top),
                Px(width),
                Px((bottom - top).max(1.0)),
            ));
        }
        svg.raw(format_args!("</g>\n"));
    }

    /// Gives the number of bars.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.bars.len()
    }
}

/// Makes the scale of the volume: as much below zero as above.
pub(super) fn volume_scale(most: f64, top: f64, height: f64) -> ValueScale {
    let most = if most > 0.0 { most * (1.0 + 4.0 / height.max(8.0)) } else { 1.0 };
    ValueScale::new(-most, most, top, height)
}

/// Gives the round volumes that an axis names, without a sign.
pub(super) fn volume_ticks(scale: &ValueScale) -> (Vec<f64>, f64) {
    let (ticks, step) = scale.ticks(float(22));
    (ticks, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NANOS_PER_SECOND;

    #[test]
    fn a_candle_opens_with_the_lowest_id_and_closes_with_the_highest_whatever_their_order() {
        let time = TimeScale::new(UnixNanos(0), UnixNanos(3600 * NANOS_PER_SECOND), 0.0, 1000.0);
        let mut bars = Bars::of_candles(time);
        for (id, price) in [(5, 50.0), (3, 30.0), (9, 20.0), (4, 99.0)] {
            bars.add(&Dot { id, time: UnixNanos(id), price, size: 1.0, side: if id == 3 { Side::Sell } else { Side::Buy } });
        }
        let bar = bars.bars[&0];
        let prices = bar.prices.expect("prices");
        assert_eq!((prices.open.1, prices.high, prices.low, prices.close.1), (30.0, 99.0, 20.0, 20.0));
        assert_eq!((bar.bought, bar.sold, bar.trades, bars.most()), (3.0, 1.0, 4, 3.0));
    }

    #[test]
    fn bars_are_as_many_as_there_is_room_for() {
        let time = TimeScale::new(UnixNanos(0), UnixNanos(86_400 * NANOS_PER_SECOND), 0.0, 1000.0);
        let mut bars = Bars::of_volume(time);
        for second in 0..86_400 {
            bars.add(&Dot { id: second, time: UnixNanos(second * NANOS_PER_SECOND), price: 1.0, size: 0.1, side: Side::Buy });
        }
        assert!((80..=167).contains(&bars.len()), "{}", bars.len());
    }
}
