//! [`TickerSeam`]: which tickers the capture before this one has stored already, where tickers carry nothing by which copies are known (Advanced feed).
//!
//! A capture that takes over has received for a while what the other one was still storing.
//!
//! 1. Only what was received before this capture held the directory may be a copy.
//! 2. What happened before the newest stored ticker, by more than [`BLUR_NANOS`], is one. Two connections may show the same ticker with times that differ a
//!    little, and close together tickers may come in another order: near the newest one each stored ticker stands for one copy with the same values.

use std::path::Path;

use crate::product::ProductId;
use crate::record::Ticker;
use crate::schema::{Dataset, Md};
use crate::store::{Snapshot, StoreError, catalog};
use crate::time::{NANOS_PER_SECOND, UnixNanos};

/// How far the times of copies may differ, in nanoseconds: 10 ms.
const BLUR_NANOS: u64 = 10_000_000;

/// Records at the end of the newest day that are looked at: more than a product has within the blur.
const RECORDS: usize = 1024;

/// What tells a ticker from others.
#[derive(Debug, Clone, Copy)]
struct Shown {
    time: UnixNanos,
    /// Price, bid and ask, as every column set has them.
    values: [u32; 3],
}

impl Shown {
    fn of(ticker: &Ticker) -> Self {
        let values = [ticker.price, ticker.best_bid, ticker.best_ask].map(|value| value.as_f32.to_bits());
        Self { time: ticker.time, values }
    }
}

/// The tickers that the capture before this one stored last.
#[derive(Debug, Clone)]
pub(crate) struct TickerSeam {
    newest: UnixNanos,
    /// Those near the newest one that have met no copy yet.
    stored: Vec<Shown>,
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
        let day =
            dates.into_iter().rev().find_map(|date| Snapshot::<Md>::open(dir, product, date).ok().flatten().filter(|day| day.count() > 0));
        let Some(day) = day else { return Ok(None) };
        let rows: Vec<Ticker> = (day.count().saturating_sub(RECORDS)..day.count()).filter_map(|number| day.row(number)).collect();
        Ok(Self::of(&rows, held_since))
    }

    fn of(rows: &[Ticker], held_since: UnixNanos) -> Option<Self> {
        if rows.last().is_none_or(|last| last.sequence != 0) {
            return None;
        }
        let newest = rows.iter().map(|row| row.time).max()?;
        let near = rows.iter().filter(|row| row.time.0.saturating_add(BLUR_NANOS) >= newest.0);
        Some(Self { newest, stored: near.map(Shown::of).collect(), held_since })
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
        if ticker.time.0.saturating_add(BLUR_NANOS) < self.newest.0 {
            return true;
        }
        let shown = Shown::of(ticker);
        let near = |stored: &Shown| stored.values == shown.values && stored.time.0.abs_diff(shown.time.0) <= BLUR_NANOS;
        // The one with the same time, where there is one: the others may have copies of their own.
        let found = self.stored.iter().position(|stored| near(stored) && stored.time == shown.time);
        let found = found.or_else(|| self.stored.iter().position(near));
        found.map(|at| self.stored.remove(at)).is_some()
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

    #[test]
    fn what_is_stored_is_a_copy_once_and_what_is_not_is_none() {
        let rows = [ticker(0, 1.0), ticker(995, 2.0), ticker(998, 2.0), ticker(1000, 3.0)];
        let held_since = ticker(5000, 0.0).time;
        let mut seam = TickerSeam::of(&rows, held_since).expect("there are some");
        assert!(seam.takes_copy(&ticker(500, 9.0)), "long before the newest one");
        assert!(seam.takes_copy(&ticker(998, 2.0)) && seam.takes_copy(&ticker(996, 2.0)), "the time may differ a little");
        assert!(!seam.takes_copy(&ticker(999, 2.0)), "the third one of these values was not stored");
        assert!(!seam.takes_copy(&ticker(999, 4.0)) && seam.takes_copy(&ticker(1003, 3.0)) && !seam.takes_copy(&ticker(1003, 3.0)));
        assert!(!seam.takes_copy(&ticker(2000, 3.0)), "it is newer");
        assert!(!seam.takes_copy(&Ticker { recv: UnixNanos(held_since.0 + 1), ..ticker(500, 9.0) }), "the other capture had ended");
        assert!(!seam.takes_copy(&Ticker { sequence: 7, ..ticker(500, 9.0) }), "its sequence tells");
        assert!(TickerSeam::of(&[], held_since).is_none());
        assert!(TickerSeam::of(&[Ticker { sequence: 7, ..ticker(0, 1.0) }], held_since).is_none());
    }
}
