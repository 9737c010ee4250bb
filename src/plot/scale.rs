//! [`TimeScale`] and [`ValueScale`]: where a time and a value lie in the picture, and which round ones the axes name.

use crate::time::{NANOS_PER_SECOND, UnixNanos};
use crate::time_range::TimeRange;

const MINUTE: u64 = 60 * NANOS_PER_SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Round spans of a second and more, in nanoseconds.
const ROUND_SPANS: [u64; 21] = [
    NANOS_PER_SECOND,
    2 * NANOS_PER_SECOND,
    5 * NANOS_PER_SECOND,
    10 * NANOS_PER_SECOND,
    15 * NANOS_PER_SECOND,
    30 * NANOS_PER_SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
];

/// Most ticks of an axis; a bound against what nobody thought of.
const MAX_TICKS: usize = 100;

/// Finds the smallest round span that is at least as long as one.
pub(super) fn round_span(least: u64) -> u64 {
    if least >= NANOS_PER_SECOND {
        let weeks = || least.div_ceil(28 * DAY).saturating_mul(28 * DAY);
        return ROUND_SPANS.into_iter().find(|span| *span >= least).unwrap_or_else(weeks);
    }
    let tens = (0..9).map(|power| 10_u64.pow(power));
    tens.flat_map(|ten| [ten, 2 * ten, 5 * ten]).find(|span| *span >= least).unwrap_or(NANOS_PER_SECOND)
}

/// Maps event times to pixels, from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeScale {
    from: u64,
    span: u64,
    left: f64,
    width: f64,
}

impl TimeScale {
    pub(super) fn new(from: UnixNanos, to: UnixNanos, left: f64, width: f64) -> Self {
        Self { from: from.0, span: to.since(from).max(1), left, width }
    }

    /// Gives where a time lies, beyond the edges too.
    pub(super) fn x(&self, time: UnixNanos) -> f64 {
        let offset = if time.0 >= self.from { float(time.0 - self.from) } else { -float(self.from - time.0) };
        self.left + offset / float(self.span) * self.width
    }

    /// Gives where a time lies, within the edges.
    pub(super) fn x_within(&self, time: UnixNanos) -> f64 {
        self.x(time).clamp(self.left, self.right())
    }

    pub(super) fn left(&self) -> f64 {
        self.left
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn width(&self) -> f64 {
        self.width
    }

    /// Gives the range of time.
    pub(super) fn range(&self) -> TimeRange {
        TimeRange::new(UnixNanos(self.from), UnixNanos(self.from.saturating_add(self.span)))
    }

    /// Gives the shortest round span of time that is at least so many pixels wide.
    pub(super) fn span_of(&self, pixels: f64) -> u64 {
        round_span(nanos(float(self.span) * pixels / self.width.max(1.0)))
    }

    /// Gives the round times, with the span between them.
    pub(super) fn ticks(&self, least_pixels: f64) -> (Vec<UnixNanos>, u64) {
        let step = self.span_of(least_pixels).max(1);
        let first = self.from.div_ceil(step).saturating_mul(step);
        let end = self.from.saturating_add(self.span);
        let ticks = (0..MAX_TICKS as u64).map(|number| first.saturating_add(number * step)).take_while(|time| *time <= end);
        (ticks.map(UnixNanos).collect(), step)
    }
}

/// Maps values to pixels, from bottom to top.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueScale {
    pub(super) low: f64,
    pub(super) high: f64,
    top: f64,
    height: f64,
}

impl ValueScale {
    pub(super) fn new(low: f64, high: f64, top: f64, height: f64) -> Self {
        Self { low, high, top, height }
    }

    /// Gives where a value lies, beyond the edges too, but not so far that a drawing program cannot follow.
    pub(super) fn y(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        let part = if span > 0.0 { (value - self.low) / span } else { 0.5 };
        (self.top + self.height - part * self.height).clamp(self.top - 10_000.0, self.top + self.height + 10_000.0)
    }

    pub(super) fn top(&self) -> f64 {
        self.top
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn height(&self) -> f64 {
        self.height
    }

    /// Gives the round values, with the step between them.
    pub(super) fn ticks(&self, least_pixels: f64) -> (Vec<f64>, f64) {
        let span = self.high - self.low;
        let least = span * least_pixels / self.height.max(1.0);
        let step = round_step(least);
        if step <= 0.0 || !step.is_finite() {
            return (vec![self.low], 1.0);
        }
        let first = (self.low / step).ceil();
        let ticks = (0..MAX_TICKS).map(|number| (first + float(number as u64)) * step).take_while(|value| *value <= self.high);
        (ticks.collect(), step)
    }
}

/// Finds the smallest of 1, 2 and 5 times a power of ten that is at least as large as a number.
fn round_step(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 0.0;
    }
    let ten = 10_f64.powf(least.log10().floor());
    let found = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * ten).find(|step| *step >= least * (1.0 - 1e-9));
    found.unwrap_or(10.0 * ten)
}

/// Gives the number of the cell that a distance lies in, of cells of a size; the last one at the far edge.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of pixels, bounded by the lines before it")]
pub(super) fn cell(distance: f64, size: f64, cells: usize) -> usize {
    let number = (distance / size).floor().max(0.0);
    if number.is_finite() && number < 1e9 { (number as usize).min(cells.saturating_sub(1)) } else { cells.saturating_sub(1) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a span of time that is a u64, and never below 0")]
fn nanos(span: f64) -> u64 {
    span.ceil().max(1.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "places in a picture need no more")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_span_is_one_that_clocks_have() {
        assert_eq!([1, 3, 7, 11, 400_000_000, 600_000_000].map(round_span), [1, 5, 10, 20, 500_000_000, NANOS_PER_SECOND]);
        let seconds =
            [1, 3, 11, 31, 121, 3601, 100_000, 86_400 * 15, 86_400 * 100].map(|s| round_span(s * NANOS_PER_SECOND) / NANOS_PER_SECOND);
        assert_eq!(seconds, [1, 5, 15, 60, 300, 7200, 172_800, 86_400 * 28, 86_400 * 112]);
    }

    #[test]
    fn ticks_are_round_and_lie_inside() {
        let scale = TimeScale::new(UnixNanos(90 * NANOS_PER_SECOND), UnixNanos(3690 * NANOS_PER_SECOND), 10.0, 1000.0);
        let (ticks, step) = scale.ticks(90.0);
        assert_eq!(step, 10 * MINUTE);
        assert!(ticks.len() == 6 && ticks.iter().all(|time| time.0.is_multiple_of(step) && (10.0..=1010.0).contains(&scale.x(*time))));
        for (low, high) in [(67_000.0, 67_123.4), (5.0e-7, 5.3e-7), (0.0, 1e15), (-3.0, 4.0), (100.0, 100.000_001)] {
            let scale = ValueScale::new(low, high, 0.0, 400.0);
            let (ticks, step) = scale.ticks(50.0);
            assert!((3..=9).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|value| *value >= low - step * 1e-6 && *value <= high), "{low} {high}: {ticks:?}");
        }
        assert_eq!(ValueScale::new(1.0, 1.0, 0.0, 400.0).ticks(50.0).0.len(), 1);
    }

    #[test]
    fn a_cell_is_never_beyond_the_last() {
        assert_eq!([-1.0, 0.0, 0.9, 1.0, 9.9, 10.0, f64::INFINITY, f64::NAN].map(|at| cell(at, 1.0, 10)), [0, 0, 0, 1, 9, 9, 9, 0]);
    }
}
