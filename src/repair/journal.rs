//! [`RepairJournal`]: what a repair writes beside the tape — journal lines, and the decimal texts that no f64 gives back. A dry run writes nothing.
//!
//! Whoever writes `repair_started` or `backfill_started` holds the directory and captures nothing: `verify` concludes from them that no capture runs.

use std::path::Path;

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::store::event::{Event, GapFiller};
use crate::store::journal::{EXACT_TEXTS, JOURNAL, JournalFile, REJECTS, REJECTS_CAP_BYTES};
use crate::store::{DayKey, Opening, Sealed, StoreError};
use crate::time::{Clock, UnixNanos};

/// Writes lines, or nothing in a dry run.
#[derive(Debug)]
pub(super) struct RepairJournal {
    files: Option<Files>,
    clock: Clock,
}

#[derive(Debug)]
struct Files {
    journal: JournalFile,
    exact: JournalFile,
    rejects: JournalFile,
}

impl RepairJournal {
    /// Writes in a data directory that this process holds.
    pub(super) fn of(dir: &Path, clock: &Clock) -> Self {
        let files = Files {
            journal: JournalFile::new(dir, JOURNAL),
            exact: JournalFile::new(dir, EXACT_TEXTS),
            rejects: JournalFile::capped(dir, REJECTS, REJECTS_CAP_BYTES),
        };
        Self { files: Some(files), clock: clock.clone() }
    }

    /// Writes nothing.
    pub(super) fn dry(clock: &Clock) -> Self {
        Self { files: None, clock: clock.clone() }
    }

    pub(super) fn write(&mut self, event: Event) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.files.as_mut().map_or(Ok(()), |files| files.journal.append(now, &event))
    }

    /// Keeps a decimal text that its f64 does not give back. It goes to the file of the trade's own day, where readers look for it however late it comes.
    pub(super) fn exact(&mut self, time: UnixNanos, product: &ProductId, column: &str, key: u64, text: &str) -> Result<(), StoreError> {
        let event = || Event::Exact { product: product.clone(), column: column.to_owned().into(), key, text: text.to_owned() };
        self.files.as_mut().map_or(Ok(()), |files| files.exact.append(time, &event()))
    }

    /// Keeps an element of REST that cannot be used.
    pub(super) fn reject(&mut self, reason: &'static str, raw: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let event = || Event::Reject { reason: reason.into(), raw: raw.to_owned() };
        self.files.as_mut().map_or(Ok(()), |files| files.rejects.append(now, &event()))
    }

    pub(super) fn gap_filled(&mut self, product: &ProductId, ids: IdRange, by: GapFiller) -> Result<(), StoreError> {
        self.write(Event::GapFilled { product: product.clone(), ids, by })
    }

    pub(super) fn day_opened(&mut self, key: &DayKey, how: &Opening) -> Result<(), StoreError> {
        if let Opening::Quarantined { why, moved_to } = how {
            log::error!("{key}: damaged ({why}); moved to {}, an empty day begins", moved_to.display());
        }
        self.write(Event::DayOpened { day: key.clone(), opening: how.clone() })
    }

    pub(super) fn day_sealed(&mut self, key: &DayKey, sealed: &Sealed) -> Result<(), StoreError> {
        self.write(Event::DaySealed {
            day: key.clone(),
            records: sealed.records,
            late_merged: u64::from(sealed.merged),
            generation: u64::from(sealed.generation),
        })
    }
}
