//! [`TickerSeam`]: which tickers the capture before this one has stored already, where tickers carry nothing by which copies are known (Advanced feed).
//!
//! A capture that takes over has received for a while what the other one was still storing.
//!
//! 1. A copy has the values of a stored ticker and its time. Two connections may show the same ticker with times that differ by [`BLUR_NANOS`].
//! 2. Each stored ticker stands for one copy at most: of those that may be meant, the one whose time is nearest.
//! 3. What a connection is sent on subscribing is no copy of anything, however equal it is to what others were sent
//!    ([`MarketMessage::TickerSnapshot`](crate::record::MarketMessage::TickerSnapshot)).
//! 4. Whatever is no copy is stored: a ticker that only this capture has received is one more.
//! 5. It is over when a ticker has come that is newer than all that are stored, as a connection brings them in order. When a ticker was read says nothing:
//!    it may have waited in the socket until the other capture had ended.

use std::collections::BTreeMap;
use std::path::Path;

use crate::product::ProductId;
use crate::record::Ticker;
use crate::schema::{Dataset, Md};
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How far the times of copies may differ, in nanoseconds: 10 ms.
pub(crate) const BLUR_NANOS: u64 = 10_000_000;

/// How far before the newest stored ticker a copy may have happened: longer than both captures receive, in nanoseconds.
const WINDOW_NANOS: u64 = 300 * NANOS_PER_SECOND;

/// Most records that are looked at.
const MAX_RECORDS: usize = 1 << 18;

/// Most snapshots whose tickers are still to come: one a connection that brings the product, unless tickers are given up.
const MAX_SNAPSHOTS: usize = 16;

/// How long a ticker may lie unread before it is judged, in nanoseconds.
const READ_WITHIN_NANOS: u64 = NANOS_PER_SECOND;

/// How long a product is awaited that has no ticker any more, in nanoseconds.
const QUIET_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// What of a ticker is compared.
#[derive(Debug, Clone, Copy)]
struct Values {
    /// Price, bid and ask, as every column set has them.
    core: [u32; 3],
    /// The sizes at bid and ask. The core columns do not have them.
    sizes: [f64; 2],
}

impl Values {
    fn of(ticker: &Ticker) -> Self {
        let core = [ticker.price, ticker.best_bid, ticker.best_ask].map(|value| value.as_f32.to_bits());
        Self { core, sizes: [ticker.best_bid_size, ticker.best_ask_size] }
    }

    /// Tells whether a ticker has the values of this stored one, as far as they are stored.
    fn are_of(&self, other: &Self) -> bool {
        let is_equal = |(stored, other): (&f64, &f64)| stored.is_nan() || stored.to_bits() == other.to_bits();
        self.core == other.core && self.sizes.iter().zip(&other.sizes).all(is_equal)
    }
}

/// The tickers that the capture before this one stored last.
#[derive(Debug, Clone)]
pub(crate) struct TickerSeam {
    /// Those that have met no copy yet, by event time.
    stored: BTreeMap<u64, Vec<Values>>,
    /// The event time of the newest one.
    newest: UnixNanos,
    /// The times of tickers that are to come and were sent on subscribing.
    snapshots: Vec<UnixNanos>,
    /// Whether a ticker has come that is newer than all of them.
    is_passed: bool,
    /// When this capture held the directory.
    held_since: UnixNanos,
}

impl TickerSeam {
    /// Reads it from the files; nothing where no ticker is stored, or the newest one has a sequence.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    pub(crate) fn read(dir: &Path, product: &ProductId, held_since: UnixNanos) -> Result<Option<Self>, StoreError> {
        let dates = catalog::days(dir, product, Dataset::Md)?;
        let open = |date| Snapshot::<Md>::open(dir, product, date).ok().flatten().filter(|day| day.count() > 0);
        // Around midnight the day before counts, too.
        let days = dates.into_iter().rev().filter_map(open).take(2);
        let newest_first = days.flat_map(|day| (0..day.count()).rev().map_while(move |number| day.row(number)));
        Ok(Self::of(newest_first.take(MAX_RECORDS), held_since))
    }

    fn of(newest_first: impl Iterator<Item = Ticker>, held_since: UnixNanos) -> Option<Self> {
        let mut rows = newest_first.peekable();
        let newest = rows.peek().filter(|newest| newest.sequence == 0)?.time;
        let mut seam = Self { stored: BTreeMap::new(), newest, snapshots: Vec::new(), is_passed: false, held_since };
        for row in rows.take_while(|row| row.time.0.saturating_add(WINDOW_NANOS) >= newest.0) {
            seam.newest = seam.newest.max(row.time);
            seam.stored.entry(row.time.0).or_default().push(Values::of(&row));
        }
        Some(seam)
    }

    /// Tells whether at `now`, with nothing left in the queue, every ticker that may be a copy has been judged.
    #[must_use]
    pub(crate) fn is_over(&self, now: UnixNanos) -> bool {
        let longest = if self.is_passed { READ_WITHIN_NANOS } else { QUIET_NANOS };
        now.0 > self.held_since.0.saturating_add(longest)
    }

    /// Takes note that the ticker of this time, which follows, was sent to this capture alone.
    pub(crate) fn note_snapshot(&mut self, time: UnixNanos) {
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            // Its ticker was given up.
            self.snapshots.remove(0);
        }
        self.snapshots.push(time);
    }

    /// Tells whether a ticker is a copy of one that is stored. That one stands for no other copy.
    pub(crate) fn takes_copy(&mut self, ticker: &Ticker) -> bool {
        if ticker.sequence != 0 {
            return false;
        }
        if let Some(at) = self.snapshots.iter().position(|time| *time == ticker.time) {
            self.snapshots.swap_remove(at);
            return false;
        }
        let (time, values) = (ticker.time.0, Values::of(ticker));
        self.is_passed |= time > self.newest.0.saturating_add(BLUR_NANOS);
        let around = time.saturating_sub(BLUR_NANOS)..=time.saturating_add(BLUR_NANOS);
        let has_equal = |stored: &[Values]| stored.iter().any(|stored| stored.are_of(&values));
        let equal = self.stored.range(around).filter(|(_, stored)| has_equal(stored)).map(|(time, _)| *time);
        // The one with the same time, where there is one: the others may have copies of their own.
        let Some(nearest) = equal.min_by_key(|stored| stored.abs_diff(time)) else { return false };
        if let Some(stored) = self.stored.get_mut(&nearest)
            && let Some(at) = stored.iter().position(|stored| stored.are_of(&values))
        {
            stored.swap_remove(at);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::schema::Layout;

    const MS: u64 = 1_000_000;

    fn ticker(ms: u64, price: f32) -> Ticker {
        let time = UnixNanos(1_750_000_000_000 * MS + ms * MS);
        Ticker { time, recv: time, price: Decimal::new(f64::from(price), price, true), ..Md::EMPTY }
    }

    fn seam_of(rows: &[Ticker]) -> Option<TickerSeam> {
        TickerSeam::of(rows.iter().copied().rev(), ticker(5000, 0.0).time)
    }

    #[test]
    fn what_is_stored_is_a_copy_once_and_what_is_not_is_none() {
        let mut seam = seam_of(&[ticker(0, 1.0), ticker(995, 2.0), ticker(998, 2.0), ticker(1000, 3.0)]).expect("there are some");
        assert!(!seam.takes_copy(&ticker(500, 9.0)), "only this capture has received it");
        assert!(seam.takes_copy(&ticker(998, 2.0)) && seam.takes_copy(&ticker(996, 2.0)), "the time may differ a little");
        assert!(!seam.takes_copy(&ticker(999, 2.0)), "the third one of these values was not stored");
        assert!(!seam.takes_copy(&ticker(999, 4.0)) && seam.takes_copy(&ticker(1003, 3.0)) && !seam.takes_copy(&ticker(1003, 3.0)));
        assert!(!seam.takes_copy(&ticker(20, 1.0)), "too long after the stored one");
        assert!(!seam.takes_copy(&Ticker { sequence: 7, ..ticker(0, 1.0) }), "its sequence tells");
        let read_late = Ticker { recv: ticker(9000, 0.0).time, ..ticker(0, 1.0) };
        assert!(seam.takes_copy(&read_late), "it lay in the socket until the other capture had ended");
        assert!(seam_of(&[]).is_none());
        assert!(seam_of(&[Ticker { sequence: 7, ..ticker(0, 1.0) }]).is_none());
    }

    #[test]
    fn it_lasts_until_a_newer_ticker_has_come_or_the_product_is_quiet() {
        let mut seam = seam_of(&[ticker(0, 1.0), ticker(1000, 2.0)]).expect("there are some");
        let after = |ms: u64| ticker(5000 + ms, 0.0).time;
        assert!(!seam.takes_copy(&ticker(1005, 9.0)) && !seam.is_over(after(2000)), "it may have overtaken the last one");
        assert!(seam.takes_copy(&ticker(1000, 2.0)) && !seam.is_over(after(59_000)) && seam.is_over(after(61_000)));
        assert!(!seam.takes_copy(&ticker(1011, 9.0)) && !seam.is_over(after(500)) && seam.is_over(after(2000)));
    }

    #[test]
    fn what_was_sent_on_subscribing_is_no_copy_and_leaves_the_stored_one_to_its_own() {
        let mut seam = seam_of(&[ticker(0, 1.0), ticker(50, 1.0)]).expect("there are some");
        seam.note_snapshot(ticker(55, 1.0).time);
        assert!(!seam.takes_copy(&ticker(55, 1.0)) && seam.takes_copy(&ticker(50, 1.0)), "it came before the copy");
        seam.note_snapshot(ticker(60, 1.0).time);
        assert!(!seam.takes_copy(&ticker(60, 1.0)) && seam.takes_copy(&ticker(3, 1.0)));
        (0..1000).for_each(|ms| seam.note_snapshot(ticker(ms, 1.0).time));
        assert_eq!(seam.snapshots.len(), MAX_SNAPSHOTS, "their tickers were given up");
    }

    #[test]
    fn sizes_are_compared_where_they_are_stored() {
        let sized = |ms, bid| Ticker { best_bid_size: bid, best_ask_size: 1.0, ..ticker(ms, 1.0) };
        let mut seam = seam_of(&[sized(0, 2.0), ticker(100, 1.0)]).expect("there are some");
        assert!(!seam.takes_copy(&sized(3, 3.0)), "another quote of the same prices");
        assert!(seam.takes_copy(&sized(3, 2.0)) && seam.takes_copy(&sized(103, 3.0)), "the core columns have no sizes");
    }
}
