//! Compares redundant lines, product by product: which line brought a trade first, which brought copies, how many trades it missed, and how late it was.
//!
//! With one line there is nothing to compare, and nothing is counted. One writer's thread uses this.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::capture::report::metrics::{LineCounts, MAX_LINES, micros};
use crate::feed::continuity::Continuity;
use crate::record::{Means, Trade};
use crate::time::UnixNanos;

/// Newest trades of which the first copy's time of receipt is remembered, so that the lag of a later copy is known.
const REMEMBERED: usize = 1024;

/// When the first copy of a trade was received.
#[derive(Debug, Clone, Copy, Default)]
struct FirstCopy {
    trade_id: u64,
    recv: UnixNanos,
}

/// The redundant lines of one product.
#[derive(Debug, Default)]
pub(crate) struct Redundancy {
    /// The ids of each line; empty with one line.
    lines: Vec<Continuity>,
    first_copies: Vec<FirstCopy>,
}

impl Redundancy {
    /// Compares this many lines.
    #[must_use]
    pub(crate) fn new(lines: usize) -> Self {
        if lines < 2 {
            return Self::default();
        }
        Self { lines: vec![Continuity::default(); lines.min(MAX_LINES)], first_copies: vec![FirstCopy::default(); REMEMBERED] }
    }

    /// Counts a trade that was stored: its line brought it first.
    #[inline]
    pub(crate) fn note_stored(&mut self, trade: &Trade, counts: &[LineCounts; MAX_LINES]) {
        if let Some(counts) = self.see(trade, counts) {
            counts.wins.one();
            if let Some(first) = self.first_copies.get_mut(slot(trade.trade_id)) {
                *first = FirstCopy { trade_id: trade.trade_id, recv: trade.recv };
            }
        }
    }

    /// Counts a trade that another line had brought before.
    #[inline]
    pub(crate) fn note_duplicate(&mut self, trade: &Trade, counts: &[LineCounts; MAX_LINES]) {
        if let Some(counts) = self.see(trade, counts) {
            counts.duplicates.one();
            if let Some(first) = self.first_copies.get(slot(trade.trade_id))
                && first.trade_id == trade.trade_id
            {
                let lag = micros(Duration::from_nanos(trade.recv.since(first.recv)));
                counts.lagging.one();
                counts.lag_sum_micros.add(lag);
                counts.lag_max_micros.see(lag);
            }
        }
    }

    fn see<'c>(&mut self, trade: &Trade, counts: &'c [LineCounts; MAX_LINES]) -> Option<&'c LineCounts> {
        if self.lines.is_empty() || !matches!(trade.origin.means(), Some(Means::Live | Means::Snapshot)) {
            return None;
        }
        let line = trade.origin.line();
        let (ids, counts) = (self.lines.get_mut(line)?, counts.get(line)?);
        let before = ids.revision();
        ids.see(trade.trade_id);
        if ids.revision() != before {
            counts.losses.store(ids.missing().count(), Relaxed);
        }
        Some(counts)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of slots")]
fn slot(id: u64) -> usize {
    (id % REMEMBERED as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::record::{OrderId, Origin, Side};

    fn trade(trade_id: u64, line: u8, recv: u64) -> Trade {
        let one = Decimal::new(1.0, 1.0, true);
        Trade {
            trade_id,
            time: UnixNanos(0),
            price: one,
            size: one,
            side: Side::Buy,
            maker_order_id: OrderId::NIL,
            taker_order_id: OrderId::NIL,
            sequence: 0,
            recv: UnixNanos(recv),
            origin: Origin::new(Means::Live, line, 0),
        }
    }

    #[test]
    fn wins_copies_losses_and_lag_are_counted_for_each_line() {
        let counts: [LineCounts; MAX_LINES] = Default::default();
        let mut redundancy = Redundancy::new(2);
        for (id, line, recv) in [(10, 0, 1_000_000), (11, 0, 2_000_000), (13, 0, 3_000_000)] {
            redundancy.note_stored(&trade(id, line, recv), &counts);
        }
        redundancy.note_duplicate(&trade(10, 1, 1_500_000), &counts);
        redundancy.note_stored(&trade(12, 1, 2_500_000), &counts);
        let figures = |line: usize| (counts[line].wins.get(), counts[line].duplicates.get(), counts[line].losses.load(Relaxed));
        assert_eq!((figures(0), figures(1)), ((3, 0, 1), (1, 1, 1)));
        assert_eq!(counts[1].lag_max_micros.get(), 500);
        redundancy.note_duplicate(&trade(11, 1, 5_000_000), &counts);
        assert_eq!(figures(1), (1, 2, 0), "the missed trade has come");
    }

    #[test]
    fn a_single_line_is_not_compared() {
        let counts: [LineCounts; MAX_LINES] = Default::default();
        let mut redundancy = Redundancy::new(1);
        redundancy.note_stored(&trade(10, 0, 1), &counts);
        assert_eq!(counts[0].wins.get(), 0);
    }
}
