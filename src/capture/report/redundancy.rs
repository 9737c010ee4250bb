//! What each of several redundant lines was worth to a product: trades it brought first, copies, losses, lag behind the winner.
//!
//! With one line nothing is kept and nothing counted. Used by one writer thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::capture::report::metrics::{Counter, Peak, micros};
use crate::feed::continuity::Continuity;
use crate::record::{Means, Trade};
use crate::time::UnixNanos;

/// Most lines.
pub const MAX_LINES: usize = 4;

/// Trades remembered with their winner's time of receipt, so that the lag of a copy can be told.
const REMEMBERED: usize = 1024;

/// What one line brought of one product.
#[derive(Debug, Default)]
pub struct LineCounts {
    /// Trades that it brought first.
    pub wins: Counter,
    /// Trades that were there already.
    pub duplicates: Counter,
    /// Trades between its first and its last that it did not bring.
    pub losses: AtomicU64,
    /// Sum of how long after the winner its copies came, in microseconds.
    pub lag_sum_micros: Counter,
    /// Copies whose lag is known.
    pub lagging: Counter,
    /// Longest of them, in microseconds.
    pub lag_max_micros: Peak,
}

/// One product's lines.
#[derive(Debug, Default)]
pub struct Redundancy {
    chains: Vec<Continuity>,
    recent: Vec<(u64, UnixNanos)>,
}

impl Redundancy {
    /// Watches so many lines; one is not worth watching.
    #[must_use]
    pub fn new(lines: usize) -> Self {
        if lines < 2 {
            return Self::default();
        }
        Self { chains: vec![Continuity::default(); lines.min(MAX_LINES)], recent: vec![(0, UnixNanos(0)); REMEMBERED] }
    }

    /// Takes note of a trade that was stored.
    #[inline]
    pub fn note_stored(&mut self, trade: &Trade, counts: &[LineCounts; MAX_LINES]) {
        if let Some(counts) = self.see(trade, counts) {
            counts.wins.one();
            if let Some(slot) = self.recent.get_mut(slot(trade.trade_id)) {
                *slot = (trade.trade_id, trade.recv);
            }
        }
    }

    /// Takes note of a trade that was there already.
    #[inline]
    pub fn note_duplicate(&mut self, trade: &Trade, counts: &[LineCounts; MAX_LINES]) {
        if let Some(counts) = self.see(trade, counts) {
            counts.duplicates.one();
            if let Some((id, won_at)) = self.recent.get(slot(trade.trade_id))
                && *id == trade.trade_id
            {
                let lag = micros(Duration::from_nanos(trade.recv.since(*won_at)));
                counts.lagging.one();
                counts.lag_sum_micros.add(lag);
                counts.lag_max_micros.see(lag);
            }
        }
    }

    fn see<'c>(&mut self, trade: &Trade, counts: &'c [LineCounts; MAX_LINES]) -> Option<&'c LineCounts> {
        if self.chains.is_empty() || !matches!(trade.origin.means(), Some(Means::Live | Means::Snapshot)) {
            return None;
        }
        let line = trade.origin.line();
        let (chain, counts) = (self.chains.get_mut(line)?, counts.get(line)?);
        let before = chain.revision();
        chain.see(trade.trade_id);
        if chain.revision() != before {
            counts.losses.store(chain.missing().count(), Relaxed);
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
    fn wins_copies_losses_and_lag_are_told_line_by_line() {
        let counts: [LineCounts; MAX_LINES] = Default::default();
        let mut merge = Redundancy::new(2);
        for (id, line, recv) in [(10, 0, 1_000_000), (11, 0, 2_000_000), (13, 0, 3_000_000)] {
            merge.note_stored(&trade(id, line, recv), &counts);
        }
        merge.note_duplicate(&trade(10, 1, 1_500_000), &counts);
        merge.note_stored(&trade(12, 1, 2_500_000), &counts);
        let told = |line: usize| (counts[line].wins.get(), counts[line].duplicates.get(), counts[line].losses.load(Relaxed));
        assert_eq!((told(0), told(1)), ((3, 0, 1), (1, 1, 1)));
        assert_eq!(counts[1].lag_max_micros.get(), 500);
        merge.note_duplicate(&trade(11, 1, 5_000_000), &counts);
        assert_eq!(told(1), (1, 2, 0), "it came after all");
    }

    #[test]
    fn a_single_line_is_not_watched() {
        let counts: [LineCounts; MAX_LINES] = Default::default();
        let mut merge = Redundancy::new(1);
        merge.note_stored(&trade(10, 0, 1), &counts);
        assert_eq!(counts[0].wins.get(), 0);
    }
}
