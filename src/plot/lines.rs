//! [`Lines`]: best bid and best ask as stepped lines. Of each column of pixels the first, lowest, highest and last quote is kept, so that the line looks as if
//! every quote were drawn.

use std::fmt::Write as _;

use super::gaps::Bands;
use super::palette::Palette;
use super::scale::{TimeScale, ValueScale, cell, float};
use super::source::Quote;
use super::svg::{Px, Svg};
use crate::time::UnixNanos;

/// Most columns of pixels that are told apart.
const MAX_COLUMNS: usize = 1600;
/// Quotes for each column of pixels, up to which the spread between the lines is filled.
const FILLED: u64 = 2;

/// What a column of pixels has of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Column {
    first: f64,
    low: f64,
    high: f64,
    last: f64,
    /// Whether the line is broken before it.
    is_broken: bool,
}

/// Quotes on their way into a picture.
pub(super) struct Lines<'a> {
    time: TimeScale,
    value: ValueScale,
    bands: &'a Bands,
    /// Pixels of a column.
    width: f64,
    sides: [Vec<Option<Column>>; 2],
    last: Option<UnixNanos>,
    quotes: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(time: TimeScale, value: ValueScale, bands: &'a Bands) -> Self {
        let columns = cell(time.width(), 1.0, MAX_COLUMNS) + 1;
        let empty = || vec![None; columns];
        Self { time, value, bands, width: time.width() / float(columns as u64), sides: [empty(), empty()], last: None, quotes: 0 }
    }

    /// Adds a quote.
    pub(super) fn add(&mut self, quote: &Quote) {
        let is_broken = self.last.is_some_and(|last| self.bands.break_between(last, quote.time));
        self.last = Some(quote.time);
        self.quotes += 1;
        let columns = self.sides[0].len();
        let at = cell(self.time.x_within(quote.time) - self.time.left(), self.width, columns);
        for (side, value) in self.sides.iter_mut().zip([quote.bid, quote.ask]) {
            let Some(kept) = side.get_mut(at).filter(|_| value.is_finite()) else { continue };
            *kept = Some(match *kept {
                None => Column { first: value, low: value, high: value, last: value, is_broken },
                Some(column) => Column { low: column.low.min(value), high: column.high.max(value), last: value, ..column },
            });
        }
    }

    /// Draws the lines up to a time, and the spread between them where they are not too dense.
    pub(super) fn draw(&self, end: UnixNanos, palette: &Palette, svg: &mut Svg) {
        let end = self.time.x_within(end);
        svg.raw(format_args!("<g class=\"quotes\" fill=\"none\" stroke-linejoin=\"round\">\n"));
        if self.quotes <= FILLED * self.sides[0].len() as u64 {
            svg.path(&self.spread(end), &format!("fill=\"{}\" stroke=\"none\"", palette.spread));
        }
        for (side, colour) in self.sides.iter().zip([palette.bid, palette.ask]) {
            svg.path(&self.line(side, end), &format!("stroke=\"{colour}\" stroke-width=\"1.2\""));
        }
        svg.raw(format_args!("</g>\n"));
    }

    fn x(&self, at: usize) -> f64 {
        self.time.left() + float(at as u64) * self.width
    }

    fn line(&self, side: &[Option<Column>], end: f64) -> String {
        let mut data = String::new();
        let mut last: Option<f64> = None;
        let y = |value: f64| Tenth(self.value.y(value));
        for (at, column) in side.iter().enumerate().filter_map(|(at, column)| column.map(|column| (at, column))) {
            let x = Tenth(self.x(at));
            // Writing to a String cannot fail.
            let _ = match last.filter(|_| !column.is_broken) {
                None => write!(data, "M{x} {}", y(column.first)),
                Some(before) if before.to_bits() == column.first.to_bits() => write!(data, "H{x}"),
                Some(_) => write!(data, "H{x}V{}", y(column.first)),
            };
            if column.low < column.high {
                // To both extremes, the one farther from the end first.
                let to_high_first = column.high - column.last > column.last - column.low;
                let extremes = if to_high_first { [column.high, column.low] } else { [column.low, column.high] };
                let _ = write!(data, "V{}V{}V{}", y(extremes[0]), y(extremes[1]), y(column.last));
            }
            last = Some(column.last);
        }
        if last.is_some() {
            let _ = write!(data, "H{}", Tenth(end));
        }
        data
    }

    /// Gives the areas between bid and ask.
    fn spread(&self, end: f64) -> String {
        let mut data = String::new();
        let (mut bid, mut ask) = (None, None);
        let mut begun: Option<f64> = None;
        let mut close = |from: Option<f64>, to: f64, bid: Option<f64>, ask: Option<f64>| {
            if let (Some(from), Some(bid), Some(ask)) = (from, bid, ask)
                && to > from
            {
                let (top, bottom) = (self.value.y(ask), self.value.y(bid));
                let _ = write!(data, "M{} {}H{}V{}H{}z", Tenth(from), Tenth(top), Tenth(to), Tenth(bottom), Tenth(from));
            }
        };
        let [bids, asks] = &self.sides;
        for (at, (new_bid, new_ask)) in bids.iter().zip(asks).enumerate() {
            if new_bid.is_none() && new_ask.is_none() {
                continue;
            }
            let x = self.x(at);
            let is_broken = new_bid.is_some_and(|column| column.is_broken) || new_ask.is_some_and(|column| column.is_broken);
            if !is_broken {
                close(begun, x, bid, ask);
            }
            bid = new_bid.map(|column| column.last).or(bid);
            ask = new_ask.map(|column| column.last).or(ask);
            begun = Some(x);
        }
        close(begun, end, bid, ask);
        data
    }
}

/// A length in tenths of a pixel.
struct Tenth(f64);

impl std::fmt::Display for Tenth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Px((self.0 * 10.0).round() / 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_steps_from_quote_to_quote_and_keeps_the_extremes_of_a_column() {
        let bands = Bands::default();
        let scales = (TimeScale::new(UnixNanos(0), UnixNanos(100), 0.0, 100.0), ValueScale::new(0.0, 100.0, 0.0, 100.0));
        let mut lines = Lines::new(scales.0, scales.1, &bands);
        for (time, bid) in [(0, 50.0), (50, 60.0), (50, 90.0), (50, 10.0), (50, 55.0), (80, 55.0)] {
            lines.add(&Quote { time: UnixNanos(time), bid, ask: f64::NAN });
        }
        let data = lines.line(&lines.sides[0], 100.0);
        assert_eq!(data, "M0 50H49.5V40V90V10V45H79.2H100");
        assert!(lines.line(&lines.sides[1], 100.0).is_empty(), "no ask was sent");
        assert!(lines.spread(100.0).is_empty());
    }
}
