//! [`Unbroken`]: since which trade and ticker a product has come without an interruption. A capture that takes over asks the other one to end by it
//! ([`crate::capture::take_over`]).
//!
//! 1. Connections write it: when the exchange acknowledges the product, with its first trade and ticker, when the connection is lost.
//! 2. A product is interrupted when no line has it any more. What it had before does not count then: between is what only the other capture has.
//! 3. With several lines the first one that brings something counts.
//!
//! Relaxed everywhere: figures by themselves; nothing else is read because of them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::time::UnixNanos;

/// Since when a product has come without an interruption.
#[derive(Debug, Default)]
pub(crate) struct Unbroken {
    /// The lines on which the exchange has acknowledged it, as bits.
    lines: AtomicU32,
    /// The first trade, or 0.
    first_trade_id: AtomicU64,
    /// The time of the first ticker, or 0.
    first_ticker: AtomicU64,
}

impl Unbroken {
    /// Notes that the exchange has acknowledged the product on a line.
    pub(crate) fn begin(&self, line: u8) {
        self.lines.fetch_or(bit(line), Relaxed);
    }

    /// Notes that a line does not bring the product any more.
    pub(crate) fn interrupt(&self, line: u8) {
        if self.lines.fetch_and(!bit(line), Relaxed) & !bit(line) == 0 {
            self.first_trade_id.store(0, Relaxed);
            self.first_ticker.store(0, Relaxed);
        }
    }

    /// Notes the first trade that a connection brought.
    pub(crate) fn note_trade(&self, trade_id: u64) {
        let _ = self.first_trade_id.compare_exchange(0, trade_id, Relaxed, Relaxed);
    }

    /// Notes the first ticker that a connection brought.
    pub(crate) fn note_ticker(&self, time: UnixNanos) {
        let _ = self.first_ticker.compare_exchange(0, time.0, Relaxed, Relaxed);
    }

    /// Tells whether a line has the product: the exchange has acknowledged it on the connection that there is.
    #[must_use]
    pub(crate) fn is_subscribed(&self) -> bool {
        self.lines.load(Relaxed) != 0
    }

    /// Tells whether this line has the product.
    #[must_use]
    pub(crate) fn is_subscribed_on(&self, line: u8) -> bool {
        self.lines.load(Relaxed) & bit(line) != 0
    }

    /// Gives the first trade since the last interruption.
    #[must_use]
    pub(crate) fn first_trade(&self) -> Option<u64> {
        Some(self.first_trade_id.load(Relaxed)).filter(|id| *id > 0)
    }

    /// Gives the time of the first ticker since the last interruption.
    #[must_use]
    pub(crate) fn first_ticker(&self) -> Option<UnixNanos> {
        Some(UnixNanos(self.first_ticker.load(Relaxed))).filter(|time| time.0 > 0)
    }
}

/// Lines are numbered from 0 to 15.
const fn bit(line: u8) -> u32 {
    1 << (line & 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_last_line_was_lost_does_not_count() {
        let unbroken = Unbroken::default();
        let firsts = || (unbroken.first_trade(), unbroken.first_ticker().map(|time| time.0));
        assert!(!unbroken.is_subscribed() && firsts() == (None, None));
        // A snapshot comes before the acknowledgement.
        unbroken.note_trade(5);
        unbroken.begin(0);
        unbroken.begin(15);
        unbroken.note_trade(7);
        unbroken.note_ticker(UnixNanos(70));
        unbroken.note_ticker(UnixNanos(80));
        assert_eq!(firsts(), (Some(5), Some(70)));
        unbroken.interrupt(0);
        assert!(unbroken.is_subscribed() && !unbroken.is_subscribed_on(0) && unbroken.is_subscribed_on(15));
        assert_eq!(firsts(), (Some(5), Some(70)), "the other line has it");
        unbroken.interrupt(15);
        assert!(!unbroken.is_subscribed() && firsts() == (None, None));
        unbroken.note_trade(9);
        unbroken.interrupt(15);
        assert_eq!(firsts(), (None, None), "lost before it was acknowledged");
        unbroken.begin(15);
        unbroken.note_trade(12);
        assert_eq!(firsts(), (Some(12), None));
    }
}
