//! Room ahead of the writer: blocks allocated, file lengths advanced.
//!
//! 1. Nothing is stored at or beyond `provisioned` = the fewest records that any column has both blocks and length for.
//! 2. Blocks come generously (doubling), lengths in small steps: whoever reads a long empty tail makes each later store dirty a large folio.
//! 3. Growth follows the product: a quiet one stays small, a busy one gets as far ahead as it comes in [`AHEAD`], at most [`MAX_LEAD`] records.
//! 4. The disk is never filled to the last block; too little room is an error here, so that it is never a signal in the writer.
//! 5. A writer that will need the new room within [`SOON`] finds its pages present: the faults are taken here. Pages of slower ones would be
//!    written out empty and fault again, as each flush makes pages read-only.
//! 6. Runs on the provisioner's thread (the writer calls it only when it has run dry); one call at a time grows a day.

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::column::MAX_RECORDS;
use super::error::{At, StoreError};
use super::files::{DayFiles, Takes};
use super::filesystem;
use super::probe::Step;

/// Most records that a file's length runs ahead of its records.
pub const MAX_LEAD: u64 = 16_384;
/// Most records that blocks are allocated for at once beyond doubling's reach.
const MAX_GROWTH: u64 = 1 << 20;
/// The flush cycle, about.
const SOON: Duration = Duration::from_secs(1);
/// How long a writer should get on with its room: hundreds of busy products may ask for more at once.
const AHEAD: Duration = Duration::from_secs(8);
/// Bytes in which the system counts a file's blocks.
const BLOCK: u64 = 512;
/// Bytes that a file system may count among a file's blocks without them holding data: where the others lie.
const MAP_OF_BLOCKS: u64 = 16 << 10;
/// Same as [`MAX_RECORDS`].
const FULL: u64 = MAX_RECORDS as u64;

/// How far a day's files have grown, in records.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// Records that every column has blocks for.
    pub(crate) allocated: u64,
    /// Records that every column has length for.
    pub(crate) length: u64,
    /// When the length last grew, and how far the writer was then.
    pace: Option<(Instant, u64)>,
}

impl Growth {
    /// Notes how far the writer has come; gives its pace since the last growth in records and the time that they took, nothing at the first.
    fn pace(&mut self, now: Instant, reached: u64) -> Option<Pace> {
        let (at, before) = self.pace.replace((now, reached))?;
        Some(Pace { records: reached.saturating_sub(before), took: now.duration_since(at) })
    }
}

/// How fast a writer is.
#[derive(Debug, Clone, Copy)]
struct Pace {
    records: u64,
    took: Duration,
}

impl Pace {
    /// Tells whether a writer of this pace will have stored `ahead` records more within [`SOON`].
    fn is_fast(self, ahead: u64) -> bool {
        u128::from(self.records) * SOON.as_nanos() >= u128::from(ahead) * self.took.as_nanos()
    }

    /// Gives the records that such a writer stores within [`AHEAD`].
    fn within_ahead(self) -> u64 {
        let records = u128::from(self.records) * AHEAD.as_nanos() / self.took.as_nanos().max(1);
        u64::try_from(records).unwrap_or(u64::MAX)
    }
}

impl DayFiles {
    /// Gives the records that the writer still has room for.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.provisioned.load(Ordering::Acquire).saturating_sub(self.reached())
    }

    /// Tells whether the writer has come near the end of its room: less than half of the lead is left.
    #[must_use]
    pub fn needs_room(&self) -> bool {
        self.reached() >= self.scarce_from(self.provisioned.load(Ordering::Acquire))
    }

    /// Gives the number of records from which on a writer with so much room has come near its end: less than half of the lead is left.
    pub(crate) fn scarce_from(&self, provisioned: u64) -> u64 {
        if self.takes == Takes::Appends { (provisioned + 1).saturating_sub(self.lead() / 2) } else { u64::MAX }
    }

    /// Makes room ahead of the writer.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] where the disk has too little left; nothing has been harmed, and the writer uses up what it has.
    /// [`StoreError::DayFull`] at the most records a day holds.
    pub fn provision(&self) -> Result<(), StoreError> {
        self.grow(0)
    }

    /// Makes room, and allocates blocks for so many records at least.
    pub(crate) fn grow(&self, records: u64) -> Result<(), StoreError> {
        if self.takes == Takes::LateOnly {
            return Ok(());
        }
        let mut growth = self.growth.lock();
        if growth.allocated == 0 {
            growth.allocated = self.found_allocated()?;
        }
        let reached = self.reached();
        if reached >= FULL {
            return Err(StoreError::DayFull { path: self.place.page() });
        }
        let pace = growth.pace(Instant::now(), reached);
        let first = self.dir.options().first_records.clamp(1, MAX_LEAD);
        let modest = reached.clamp(first, MAX_LEAD);
        let generous = pace.map_or(0, Pace::within_ahead).clamp(modest, MAX_LEAD);
        let outcome = self.allocate_ahead(&mut growth, reached + generous, records);
        let lead = match outcome {
            Err(StoreError::NoSpace { .. }) if modest < generous => {
                self.allocate_ahead(&mut growth, reached + modest, records)?;
                modest
            }
            other => other.map(|()| generous)?,
        };
        // Relaxed: a hint for when to ask again.
        self.lead.store(lead, Ordering::Relaxed);
        let length = (reached + lead).min(FULL);
        if length <= growth.length {
            return Ok(());
        }
        for column in &self.columns {
            let ((file, found), bytes) = (column.reopen()?, length * column.width() as u64);
            if found.len() < bytes {
                file.set_len(bytes).at("lengthen", column.path())?;
                self.dir.step(Step::Changed("lengthened"));
            }
        }
        let grown = growth.length..length;
        if pace.is_some_and(|pace| pace.is_fast(length - reached)) {
            let between = self.dir.between_flushes();
            self.populate(grown);
            if let Some(between) = between.filter(|_| self.dir.between_flushes() == between) {
                self.note_populated(length, between);
            }
        }
        growth.length = growth.length.max(length);
        // Release: after blocks and lengths. Partner: the writer's acquire load when it looks for room.
        self.provisioned.fetch_max(growth.length.min(growth.allocated), Ordering::Release);
        Ok(())
    }

    /// Makes the pages of new room present. Only a hint.
    fn populate(&self, records: Range<u64>) {
        let (Ok(start), Ok(end)) = (usize::try_from(records.start), usize::try_from(records.end)) else { return };
        self.columns.iter().for_each(|column| column.populate(start..end.max(start)));
    }

    /// Gives the records that an earlier opening, or the preparing of the day, allocated blocks for.
    fn found_allocated(&self) -> Result<u64, StoreError> {
        let mut records = FULL;
        for column in &self.columns {
            let blocks = column.reopen()?.1.blocks() * BLOCK;
            records = records.min(blocks.saturating_sub(MAP_OF_BLOCKS) / column.width() as u64);
        }
        for column in &self.columns {
            // Costs nothing where the count of blocks was right; where it was not, the disk may be too full to make it so.
            if filesystem::allocate(&column.reopen()?.0, records * column.width() as u64).is_err() {
                return Ok(0);
            }
        }
        Ok(records)
    }

    /// Has blocks for a length and for so many records at least.
    fn allocate_ahead(&self, growth: &mut Growth, length: u64, records: u64) -> Result<(), StoreError> {
        let length = length.min(FULL);
        if growth.allocated < length.max(records) {
            growth.allocated = self.allocate(growth.allocated, length, records)?;
        }
        Ok(())
    }

    /// Allocates blocks: twice what there is where the disk allows it, else what is needed.
    fn allocate(&self, allocated: u64, length: u64, records: u64) -> Result<u64, StoreError> {
        let needed = length.max(allocated);
        let generous = needed.max(allocated.saturating_mul(2).min(allocated + MAX_GROWTH)).max(records).min(FULL);
        let width: u64 = self.columns.iter().map(|column| column.width() as u64).sum();
        let space = filesystem::free_space(self.path()).at("ask for the room of", self.path())?;
        let usable = space.free.saturating_sub(space.reserve());
        let bytes = |records: u64| (records - allocated).saturating_mul(width);
        let target = if bytes(generous) <= usable { generous } else { needed };
        if bytes(target) > usable {
            return Err(StoreError::NoSpace { path: self.path().to_owned(), needed: bytes(target), free: space.free });
        }
        for column in &self.columns {
            filesystem::allocate(&column.reopen()?.0, target * column.width() as u64).at("allocate", column.path())?;
        }
        Ok(target)
    }

    /// Gives how far the length ran ahead when it last grew.
    fn lead(&self) -> u64 {
        self.lead.load(Ordering::Relaxed)
    }

    /// Gives how far the writer has come.
    fn reached(&self) -> u64 {
        // Relaxed: a hint for how much to grow; what may be stored to is said by `provisioned`.
        self.committed().max(self.wanted.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_fast_where_it_needs_the_room_before_the_next_flush() {
        let (start, mut growth) = (Instant::now(), Growth::default());
        assert!(growth.pace(start, 0).is_none(), "nothing is known yet");
        let mut is_fast = |at, reached, ahead| growth.pace(at, reached).expect("a pace").is_fast(ahead);
        assert!(is_fast(start + SOON, 1024, 1024));
        assert!(!is_fast(start + SOON * 2, 2047, 1024), "one record too slow");
        assert!(is_fast(start + SOON * 2 + SOON / 4, 2047 + 256, 1024));
        assert!(!is_fast(start + SOON * 60, 2047 + 512, 1024));
        assert!(is_fast(start + SOON * 60, 2047 + 513, 1024), "no time at all");
    }

    #[test]
    fn a_busy_writer_gets_room_for_seconds() {
        let pace = |records, took| Pace { records, took }.within_ahead();
        assert_eq!((pace(512, SOON / 2), pace(1, SOON * 3600), pace(0, SOON)), (8192, 0, 0));
        assert!(pace(512, Duration::ZERO) > MAX_LEAD, "no time at all");
    }
}
