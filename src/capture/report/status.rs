//! [`Status`]: the status line. All its figures are of one span: the time since the line before.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::capture::report::metrics::{Lag, latency_histogram};

/// What the watch has counted since the start of the capture, as the status line needs it.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    /// Connections that are up.
    pub connected: u64,
    /// Connections that there should be.
    pub connections: u64,
    /// Frames received.
    pub messages: u64,
    /// Trades received.
    pub trades: u64,
    /// Messages, trades and tickers that could not be used.
    pub rejected: u64,
    /// Trade ids that are missing now.
    pub missing: u64,
    /// Most messages in a queue, and the product.
    pub deepest: Option<(usize, String)>,
    /// Time from the read of each frame to the commit of its records.
    pub lag: Histogram<u32>,
}

impl Default for Counted {
    fn default() -> Self {
        Self { connected: 0, connections: 0, messages: 0, trades: 0, rejected: 0, missing: 0, deepest: None, lag: latency_histogram() }
    }
}

/// What the last status line has shown.
#[derive(Debug)]
pub(crate) struct Status {
    at: Instant,
    shown: Counted,
}

impl Status {
    /// Begins a span in which nothing has been counted.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self { at: now, shown: Counted::default() }
    }

    /// Gives how long ago the last line was.
    #[must_use]
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    /// Gives the line of the span that ends now. `space` says how much disk is left.
    pub(crate) fn line(&mut self, counted: Counted, space: &str, now: Instant) -> String {
        let seconds = self.age(now).as_secs_f64().max(0.001);
        let per_second = |counted: u64, shown: u64| float(counted.saturating_sub(shown)) / seconds;
        let deepest = match &counted.deepest {
            Some((waiting, product)) => format!("{waiting} ({product})"),
            None => "0".to_owned(),
        };
        let [p50, p99, worst] = Lag::of(&since(&counted.lag, &self.shown.lag))
            .map_or_else(|| [const { "-" }; 3].map(str::to_owned), |lag| [lag.p50, lag.p99, lag.max].map(millis));
        let line = format!(
            "connections {}/{}, {:.0} messages/s, {:.0} trades/s, lag p50 {p50} p99 {p99} worst {worst}, deepest queue {deepest}, missing ids {}, \
             rejected {}, disk left {space}",
            counted.connected,
            counted.connections,
            per_second(counted.messages, self.shown.messages),
            per_second(counted.trades, self.shown.trades),
            counted.missing,
            counted.rejected,
        );
        (self.at, self.shown) = (now, counted);
        line
    }
}

/// Gives what was counted after `before`.
pub(crate) fn since(all: &Histogram<u32>, before: &Histogram<u32>) -> Histogram<u32> {
    let mut new = all.clone();
    // Counts only grow and the bounds are equal. Should a count have overflowed, the whole time is shown.
    let _ = new.subtract(before);
    new
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run stay far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Writes a latency in microseconds as milliseconds.
#[must_use]
pub(crate) fn millis(micros: u64) -> String {
    format!("{:.2} ms", float(micros) / 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads the number before a word, or behind it.
    fn lag_of(line: &str) -> Option<[f64; 3]> {
        let number = |name: &str| {
            let rest = line.split_once(name).expect("shown").1.trim_start();
            rest.split([' ', ',']).next().and_then(|number| number.parse::<f64>().ok())
        };
        Some([number("p50")?, number("p99")?, number("worst")?])
    }

    proptest! {
        /// Median, 99th percentile and worst are of the messages since the line before, and of nothing else.
        #[test]
        fn every_line_is_about_the_time_since_the_line_before(spans in prop::collection::vec(prop::collection::vec(1u64..90_000_000, 0..40), 1..8)) {
            let start = Instant::now();
            let (mut status, mut counted) = (Status::new(start), Counted::default());
            for (span, at) in spans.iter().zip(1..) {
                for lag in span {
                    counted.lag.record(*lag).expect("within bounds");
                }
                counted.messages += span.len() as u64;
                let line = status.line(counted.clone(), "1 GB", start + Duration::from_secs(at));
                prop_assert!(line.contains(&format!(" {} messages/s", span.len())), "{line}");
                let mut sorted = span.clone();
                sorted.sort_unstable();
                let Some(worst) = sorted.last() else {
                    prop_assert!(line.contains("lag p50 - p99 - worst -"), "{line}");
                    continue;
                };
                let [p50, p99, max] = lag_of(&line).expect("shown");
                // Two significant digits, rounded up.
                let near = |shown: f64, micros: u64| { let exact = float(micros) / 1000.0; shown >= exact * 0.98 - 0.01 && shown <= exact * 1.02 + 0.01 };
                prop_assert!(near(max, *worst), "{line}: {sorted:?}");
                prop_assert!(near(p50, sorted[(sorted.len() - 1) / 2]), "{line}: {sorted:?}");
                prop_assert!(p50 <= p99 && p99 <= max, "{line}");
            }
        }
    }

    #[test]
    fn a_line_shows_what_was_rejected_and_which_queue_is_deepest() {
        let start = Instant::now();
        let counted = Counted {
            rejected: 7,
            missing: 3,
            connections: 2,
            connected: 1,
            deepest: Some((12, "BTC-USD".to_owned())),
            ..Counted::default()
        };
        let line = Status::new(start).line(counted, "1.0 GB", start + Duration::from_secs(10));
        let expected = "connections 1/2, 0 messages/s, 0 trades/s, lag p50 - p99 - worst -, deepest queue 12 (BTC-USD), missing ids 3, rejected 7, disk left 1.0 GB";
        assert_eq!(line, expected);
    }
}
