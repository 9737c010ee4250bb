//! [`Glance`]: what the head of an answer says of completeness before all of its time was looked at. It is confirmed before the answer ends.

use super::refused::Refused;
use crate::market::{Coverage, Verdict};
use crate::product::ProductId;
use crate::schema::Dataset;
use crate::serve::server::Server;
use crate::store::{DayKey, catalog};
use crate::tape::{Tape, TapeError};
use crate::time::UtcDay;
use crate::time_range::TimeRange;

/// From how many trades on an answer begins before all of them were looked at.
pub(super) const LARGE_TRADES: u64 = 500_000;

/// A range of a product's time as it looks at a glance.
#[derive(Debug)]
pub(super) struct Glance {
    product: ProductId,
    range: TimeRange,
    coverage: Coverage,
}

impl Glance {
    /// Looks at a range with many trades; nothing where there are few, where some may still come, or where a glance has misjudged it before.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(super) fn at(server: &Server, tape: &Tape, product: &ProductId, range: TimeRange) -> Result<Option<Self>, TapeError> {
        if !(is_large(tape, product, range) && is_sealed(tape, product, range) && server.verdicts().may_glance(product, range)) {
            return Ok(None);
        }
        let coverage = Coverage::at_a_glance(tape, product, range)?;
        Ok(Some(Self { product: product.clone(), range, coverage }))
    }

    /// Gives the verdict that it shows.
    #[must_use]
    pub(super) fn verdict(&self) -> Verdict {
        self.coverage.verdict()
    }

    /// Looks at all of the range.
    ///
    /// # Errors
    /// Where it is not as the glance has shown it: the next answer says so in its head.
    pub(super) fn confirm(&self, server: &Server, tape: &Tape) -> Result<(), Refused> {
        let found = Coverage::of(tape, &self.product, self.range);
        self.confirm_as(server, found.map(Some).map_err(Refused::Tape))
    }

    /// Compares it with what a look at all of the range has shown.
    ///
    /// # Errors
    /// As [`Glance::confirm`], and where that look has failed.
    pub(super) fn confirm_as(&self, server: &Server, found: Result<Option<Coverage>, Refused>) -> Result<(), Refused> {
        let confirmed = found.and_then(|found| match found {
            Some(found) if found == self.coverage => Ok(()),
            _ => Err(Refused::of(503, "the time is not as complete as was said", "ask again")),
        });
        if confirmed.is_err() {
            self.forget(server);
        }
        confirmed
    }

    /// Has the range judged as a whole from now on.
    pub(super) fn forget(&self, server: &Server) {
        server.verdicts().never_glance(&self.product, self.range);
    }
}

/// Tells whether a range touches so many trades that an answer about all of them takes its time.
pub(super) fn is_large(tape: &Tape, stored: &ProductId, range: TimeRange) -> bool {
    let count = |date| tape.ends_of_day(stored, date).ok().flatten().map_or(0, |ends| ends.count);
    dates(tape, stored, range).map(count).fold(0, u64::saturating_add) >= LARGE_TRADES
}

/// Tells whether no day of a range may still grow.
fn is_sealed(tape: &Tape, stored: &ProductId, range: TimeRange) -> bool {
    let key = |date| DayKey { product: stored.clone(), dataset: Dataset::Trades, date };
    dates(tape, stored, range).map(key).all(|key| catalog::is_unsealed(tape.dir(), &key).is_ok_and(|is_unsealed| !is_unsealed))
}

fn dates(tape: &Tape, stored: &ProductId, range: TimeRange) -> impl Iterator<Item = UtcDay> {
    tape.days(stored, Dataset::Trades).unwrap_or_default().into_iter().filter(move |date| range.overlaps_day(*date))
}
