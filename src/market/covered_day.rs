//! [`CoveredDay`]: each day of a range of time with its verdict, and what is known of its trades.
//!
//! The verdict is that of [`verify`](fn@crate::verify), but that values are not looked at one by one, nor what tickers hold: see
//! [`Coverage`](super::coverage::Coverage). A day that is archived has the verdict that it had then; the files of the archive are not looked at.

use super::coverage::{MissingIds, StoredTrade};
use crate::product::ProductId;
use crate::store::DayState;
use crate::tape::{Tape, TapeError};
use crate::time::{UnixNanos, UtcDay};
use crate::time_range::TimeRange;
use crate::verdict::Verdict;
use crate::verify::{Depth, Shares, SurveyedDay, survey};

/// A day of a product's trades, with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoveredDay {
    /// The day.
    pub date: UtcDay,
    /// Whether it is complete.
    pub verdict: Verdict,
    /// Why it is not whole.
    pub reasons: Vec<String>,
    /// Whether it may still grow. `None` where it cannot be read, or is gone.
    pub is_live: Option<bool>,
    /// Whether its trades are in an archive, and not here.
    pub is_archived: bool,
    /// Trades stored, here or in the archive.
    pub records: u64,
    /// The stored trades with the lowest and the highest id.
    pub ends: Option<(StoredTrade, StoredTrade)>,
    /// The ids that are missing and may belong to the day.
    pub missing: Vec<MissingIds>,
    /// Trades with both order ids.
    pub with_order_ids: u64,
    /// Trades with a receive time, that is, received live.
    pub with_recv: u64,
}

impl CoveredDay {
    /// Judges the days that a range of time touches, in order. The whole of each is judged, also where the range ends within it.
    ///
    /// # Errors
    /// Where the directory cannot be listed. A day that cannot be read has a verdict instead.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # coltape::internals::sample::tape(folder.path())?;
    /// # let dir = folder.path();
    /// use coltape::{CoveredDay, ProductId, Tape, TimeRange};
    /// let days = CoveredDay::of_range(&Tape::open(dir)?, &ProductId::new("BTC-USD")?, TimeRange::ALL)?;
    /// assert_eq!(days.iter().map(|day| day.records).collect::<Vec<_>>(), [24, 24]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_range(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Vec<Self>, TapeError> {
        Self::surveyed(tape, product, range, (Shares::Counted, Depth::Full))
    }

    /// Judges them by the ends of what their ids show, in a small part of the time, and counts no shares. It claims nothing: what it gives is to be compared
    /// with [`CoveredDay::of_range`] before it is relied on.
    ///
    /// # Errors
    /// As [`CoveredDay::of_range`].
    pub(crate) fn at_a_glance(tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Vec<Self>, TapeError> {
        Self::surveyed(tape, product, range, (Shares::LeftOut, Depth::Ends))
    }

    fn surveyed(tape: &Tape, product: &ProductId, range: TimeRange, how: (Shares, Depth)) -> Result<Vec<Self>, TapeError> {
        let survey = survey(tape, product, whole_days(range), how)?;
        let missing: Vec<_> = survey.gaps.into_iter().map(|gap| (gap.dates, MissingIds::of(gap))).collect();
        let of_day = |date: UtcDay| {
            let touches = missing.iter().filter(move |((first, last), _)| *first <= date && date <= *last);
            touches.map(|(_, gap)| gap.clone()).collect()
        };
        Ok(survey.days.into_iter().map(|day| Self::told(&day, of_day(day.judged.date))).collect())
    }

    fn told(day: &SurveyedDay, missing: Vec<MissingIds>) -> Self {
        let SurveyedDay { judged, trades, .. } = day;
        let sums = trades.as_ref().map(|day| day.sums).unwrap_or_default();
        Self {
            date: judged.date,
            verdict: judged.verdict,
            reasons: judged.reasons.clone(),
            is_live: trades.as_ref().and_then(|day| day.state).map(|state| state == DayState::Live),
            is_archived: trades.as_ref().is_some_and(|day| day.archive.is_some()),
            records: judged.records,
            ends: judged.ends.map(|(first, last)| (StoredTrade::of(first), StoredTrade::of(last))),
            missing,
            with_order_ids: sums.with_order_ids,
            with_recv: sums.with_recv,
        }
    }
}

/// Gives the range that holds every day which this one touches.
fn whole_days(range: TimeRange) -> TimeRange {
    if range.is_empty() {
        return range;
    }
    let last = range.to.map(|to| UnixNanos(to.0.saturating_sub(1)).day());
    TimeRange { from: range.from.map(|from| from.day().start()), to: last.map(|last| last.next().start()) }
}
