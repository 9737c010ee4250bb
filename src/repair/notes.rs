//! [`Notes`]: what a repair writes beside the tape — journal lines, and the texts that no f64 holds. A dry run writes nothing.
//!
//! `repair_started` and `backfill_started` are written by who holds the directory and captures nothing: `verify` takes from them that no capture runs.

use std::path::Path;

use crate::ids::IdRange;
use crate::product::ProductId;
use crate::store::event::{Event, GapFiller};
use crate::store::journal::{EXACT_TEXTS, JOURNAL, JournalFile};
use crate::store::{DayKey, Hole, Opening, Sealed, StoreError};
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
        let files = Files { journal: JournalFile::new(dir, JOURNAL), exact: JournalFile::new(dir, EXACT_TEXTS) };
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
        let event = || Event::Exact { product: product.clone(), column: column.to_owned().into(), key, text: text.to_owned() };
        self.files.as_mut().map_or(Ok(()), |files| files.exact.append(time, &event()))
    }

    pub(super) fn gap_filled(&mut self, product: &ProductId, ids: Hole, by: GapFiller) -> Result<(), StoreError> {
        self.journal(Event::GapFilled { product: product.clone(), ids: range(ids), by })
    }

    pub(super) fn day_opened(&mut self, key: &DayKey, how: &Opening) -> Result<(), StoreError> {
        if let Opening::Quarantined { why, moved_to } = how {
            log::error!("{key}: damaged ({why}); moved to {}, an empty day begins", moved_to.display());
        }
        self.journal(Event::DayOpened { day: key.clone(), opening: how.clone() })
    }

    pub(super) fn day_sealed(&mut self, key: &DayKey, sealed: &Sealed) -> Result<(), StoreError> {
        self.journal(Event::DaySealed {
            day: key.clone(),
            records: sealed.records,
            late_merged: u64::from(sealed.merged),
            generation: u64::from(sealed.generation),
        })
    }
}

/// Gives the ids of a gap.
pub(super) fn range(ids: Hole) -> IdRange {
    IdRange::one(ids.from).span(IdRange::one(ids.to))
}
