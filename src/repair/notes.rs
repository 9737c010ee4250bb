//! [`Notes`]: what a repair writes beside the tape — journal lines, and the texts that no f64 holds. A dry run writes nothing.
//!
//! Events: `repair_started` (`from`, `rest`), `gap_filled` (`product`, `from_id`, `to_id`, `by`: `tape` or `rest`) for each run of ids, `conflict`
//! (`product`, `trade_id`, `stored`, `sent`, `by`, `columns`), `backfill_lacks` and `backfill_failed` (`product`, `from_id`, `to_id`), `day_opened`, `day_sealed`,
//! `trading_began` (`product`, `first_id`), `repaired` and `backfilled` (`product` and its sums), `backfill_started` (`product`, `from`, `to`).
//! `repair_started` and `backfill_started` are written by who holds the directory and captures nothing: `verify` takes from them that no capture runs.

use std::path::Path;

use crate::product::ProductId;
use crate::store::journal::{Event, JournalFile};
use crate::store::{DayKey, Hole, Opening, Sealed, StoreError, Trusted};
use crate::time::{Clock, UnixNanos};

/// Writes lines, or in a dry run nothing.
#[derive(Debug)]
pub(super) struct Notes {
    files: Option<Files>,
    clock: Clock,
}

#[derive(Debug)]
struct Files {
    journal: JournalFile,
    exact: JournalFile,
}

impl Notes {
    /// Writes in a data directory that this process holds.
    pub(super) fn of(dir: &Path, clock: &Clock) -> Self {
        let files = Files { journal: JournalFile::new(dir, "journal"), exact: JournalFile::new(dir, "exact") };
        Self { files: Some(files), clock: clock.clone() }
    }

    /// Writes nothing.
    pub(super) fn none(clock: &Clock) -> Self {
        Self { files: None, clock: clock.clone() }
    }

    pub(super) fn journal(&mut self, event: Event) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.files.as_mut().map_or(Ok(()), |files| files.journal.append(now, &event))
    }

    /// Keeps a decimal text that its f64 does not give back. It goes to the file of the trade's own day, where it is looked for however late it comes.
    pub(super) fn exact(&mut self, time: UnixNanos, product: &ProductId, column: &str, key: u64, text: &str) -> Result<(), StoreError> {
        let event = || Event::new("exact").product(product).text("column", column).number("key", key).text("text", text);
        self.files.as_mut().map_or(Ok(()), |files| files.exact.append(time, &event()))
    }

    pub(super) fn gap_filled(&mut self, product: &ProductId, ids: Hole, by: &str) -> Result<(), StoreError> {
        self.journal(about_ids("gap_filled", product, ids).text("by", by))
    }

    pub(super) fn day_opened(&mut self, key: &DayKey, how: &Opening) -> Result<(), StoreError> {
        let event = about_day("day_opened", key);
        self.journal(match how {
            Opening::Created => event.text("how", "created"),
            Opening::Reopened { records } => event.text("how", "reopened").number("records", *records),
            Opening::Sealed { records } => event.text("how", "for late records").number("records", *records),
            Opening::Continued { records, given_up, trusted } => {
                let believed = if *trusted == Trusted::Committed { "committed" } else { "durable" };
                event.text("how", "continued").number("records", *records).number("given_up", *given_up).text("believed", believed)
            }
            Opening::Quarantined { why, moved_to } => {
                log::error!("{key}: damaged ({why}); moved to {}, an empty day begins", moved_to.display());
                event.text("how", "quarantined").text("why", why).text("moved_to", &moved_to.display().to_string())
            }
        })
    }

    pub(super) fn day_sealed(&mut self, key: &DayKey, sealed: &Sealed) -> Result<(), StoreError> {
        let event = about_day("day_sealed", key).number("records", sealed.records);
        self.journal(event.number("late_merged", u64::from(sealed.merged)).number("generation", u64::from(sealed.generation)))
    }
}

/// Begins an event about some ids of a product.
pub(super) fn about_ids(name: &str, product: &ProductId, ids: Hole) -> Event {
    Event::new(name).product(product).number("from_id", ids.from).number("to_id", ids.to)
}

fn about_day(name: &str, key: &DayKey) -> Event {
    Event::new(name).product(&key.product).text("dataset", key.dataset.name()).text("date", &key.date.to_string())
}
