//! [`Newest`]: the newest trade and ticker of a product that are stored.
//!
//! The writer notes them with plain relaxed stores; the watch reads them. Id and time are two values: a reader may see one of them a trade earlier.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::UnixNanos;

/// The newest stored records of a product.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    trade_id: AtomicU64,
    trade_time: AtomicU64,
    ticker_time: AtomicU64,
    ticker_sequence: AtomicU64,
}

impl Newest {
    /// Notes a stored trade. One that happened before the newest changes nothing.
    #[inline]
    pub(crate) fn note_trade(&self, id: u64, time: UnixNanos) {
        // One thread at a time has the writer: a plain load and store are enough.
        if time.0 >= self.trade_time.load(Relaxed) {
            self.trade_id.store(id, Relaxed);
            self.trade_time.store(time.0, Relaxed);
        }
    }

    /// Notes a stored ticker, likewise. Its sequence is noted in any case.
    #[inline]
    pub(crate) fn note_ticker(&self, sequence: u64, time: UnixNanos) {
        self.ticker_sequence.store(sequence, Relaxed);
        if time.0 >= self.ticker_time.load(Relaxed) {
            self.ticker_time.store(time.0, Relaxed);
        }
    }

    /// Gives id and event time of the newest trade; nothing where none is stored.
    #[must_use]
    pub(crate) fn trade(&self) -> Option<(u64, UnixNanos)> {
        let time = self.trade_time.load(Relaxed);
        (time > 0).then(|| (self.trade_id.load(Relaxed), UnixNanos(time)))
    }

    /// Gives the sequence of the ticker that was stored last, or 0.
    #[must_use]
    pub(crate) fn ticker_sequence(&self) -> u64 {
        self.ticker_sequence.load(Relaxed)
    }

    /// Gives the event time of the newest ticker; nothing where none is stored.
    #[must_use]
    pub(crate) fn ticker(&self) -> Option<UnixNanos> {
        let time = self.ticker_time.load(Relaxed);
        (time > 0).then_some(UnixNanos(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_record_is_not_the_newest() {
        let newest = Newest::default();
        assert_eq!((newest.trade(), newest.ticker()), (None, None));
        for (id, time) in [(5, 50), (4, 40), (6, 50)] {
            newest.note_trade(id, UnixNanos(time));
            newest.note_ticker(id, UnixNanos(time));
        }
        assert_eq!((newest.trade(), newest.ticker()), (Some((6, UnixNanos(50))), Some(UnixNanos(50))));
        newest.note_ticker(4, UnixNanos(40));
        assert_eq!((newest.ticker_sequence(), newest.ticker()), (4, Some(UnixNanos(50))), "the last one, whenever it happened");
    }
}
