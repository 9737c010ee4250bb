//! [`TickerSeam`]: which tickers the capture before this one has stored already, where tickers carry nothing by which copies are known (Advanced feed).
//!
//! A capture that takes over has received for a while what the other one was still storing.
//!
//! 1. Only what was received before this capture held the directory may be a copy. Each stored ticker stands for one copy at most.
//! 2. A copy has the values of the stored one and its time. Two connections may show the same ticker with times that differ by [`BLUR_NANOS`].
//! 3. Whatever is no copy is stored: a ticker that only this capture has received, as the one that is sent on subscribing, is one more.

use std::collections::BTreeMap;
use std::path::Path;

use crate::product::ProductId;
use crate::record::Ticker;
use crate::schema::{Dataset, Md};
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How far the times of copies may differ, in nanoseconds: 10 ms.
const BLUR_NANOS: u64 = 10_000_000;

/// How far before the newest stored ticker a copy may have happened: longer than both captures receive, in nanoseconds.
const WINDOW_NANOS: u64 = 300 * NANOS_PER_SECOND;

/// Most records of the newest day that are looked at.
const MAX_RECORDS: usize = 1 << 18;

/// Price, bid and ask, as every column set has them.
type Values = [u32; 3];

/// The tickers that the capture before this one stored last.
#[derive(Debug, Clone)]
pub(crate) struct TickerSeam {
    /// Those that have met no copy yet, by event time.
    stored: BTreeMap<u64, Vec<Values>>,
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
        let Some(day) = dates.into_iter().rev().find_map(open) else { return Ok(None) };
        let newest_first = (0..day.count()).rev().take(MAX_RECORDS).filter_map(|number| day.row(number));
        Ok(Self::of(newest_first, held_since))
    }

    fn of(newest_first: impl Iterator<Item = Ticker>, held_since: UnixNanos) -> Option<Self> {
        let mut rows = newest_first.peekable();
        let newest = rows.peek().filter(|newest| newest.sequence == 0)?.time;
        let mut stored = BTreeMap::<u64, Vec<Values>>::new();
        for row in rows.take_while(|row| row.time.0.saturating_add(WINDOW_NANOS) >= newest.0) {
            stored.entry(row.time.0).or_default().push(values(&row));
        }
        Some(Self { stored, held_since })
    }

    /// Tells whether at `now`, with nothing left in the queue, every ticker that may be a copy has been judged.
    #[must_use]
    pub(crate) fn is_over(&self, now: UnixNanos) -> bool {
        now.0 > self.held_since.0.saturating_add(NANOS_PER_SECOND)
    }

    /// Tells whether a ticker is a copy of one that is stored. That one stands for no other copy.
    pub(crate) fn takes_copy(&mut self, ticker: &Ticker) -> bool {
        if ticker.sequence != 0 || ticker.recv > self.held_since {
            return false;
        }
        let (time, values) = (ticker.time.0, values(ticker));
        let around = time.saturating_sub(BLUR_NANOS)..=time.saturating_add(BLUR_NANOS);
        let equal = self.stored.range(around).filter(|(_, stored)| stored.contains(&values)).map(|(time, _)| *time);
        // The one with the same time, where there is one: the others may have copies of their own.
        let Some(nearest) = equal.min_by_key(|stored| stored.abs_diff(time)) else { return false };
        if let Some(stored) = self.stored.get_mut(&nearest)
            && let Some(at) = stored.iter().position(|stored| *stored == values)
        {
            stored.swap_remove(at);
        }
        true
    }
}

fn values(ticker: &Ticker) -> Values {
    [ticker.price, ticker.best_bid, ticker.best_ask].map(|value| value.as_f32.to_bits())
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

    #[test]
    fn what_is_stored_is_a_copy_once_and_what_is_not_is_none() {
        let rows = [ticker(0, 1.0), ticker(995, 2.0), ticker(998, 2.0), ticker(1000, 3.0)];
        let held_since = ticker(5000, 0.0).time;
        let newest_first = |rows: &[Ticker]| TickerSeam::of(rows.iter().copied().rev(), held_since);
        let mut seam = newest_first(&rows).expect("there are some");
        assert!(!seam.takes_copy(&ticker(500, 9.0)), "only this capture has received it");
        assert!(seam.takes_copy(&ticker(998, 2.0)) && seam.takes_copy(&ticker(996, 2.0)), "the time may differ a little");
        assert!(!seam.takes_copy(&ticker(999, 2.0)), "the third one of these values was not stored");
        assert!(!seam.takes_copy(&ticker(999, 4.0)) && seam.takes_copy(&ticker(1003, 3.0)) && !seam.takes_copy(&ticker(1003, 3.0)));
        assert!(!seam.takes_copy(&ticker(20, 1.0)), "too long after the stored one");
        assert!(!seam.takes_copy(&Ticker { recv: UnixNanos(held_since.0 + 1), ..ticker(0, 1.0) }), "the other capture had ended");
        assert!(!seam.takes_copy(&Ticker { sequence: 7, ..ticker(0, 1.0) }), "its sequence tells");
        assert!(seam.takes_copy(&ticker(0, 1.0)));
        assert!(!seam.is_over(held_since) && seam.is_over(UnixNanos(held_since.0 + 2 * NANOS_PER_SECOND)));
        assert!(newest_first(&[]).is_none());
        assert!(newest_first(&[Ticker { sequence: 7, ..ticker(0, 1.0) }]).is_none());
    }
}
