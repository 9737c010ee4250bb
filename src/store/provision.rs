//! Room ahead of the writer: blocks are allocated and file lengths advanced before the records come.
//!
//! 1. Nothing is stored at or beyond `provisioned`: the fewest records that any column has both blocks and length for.
//! 2. How far ahead is decided in `growth.rs`.
//! 3. The disk is never filled to the last block. Too little room is an error here, so that it is never a signal in the writer.
//! 4. A writer that will need the new room before the next flush finds its pages present: the faults are taken here. Pages of slower writers would be
//!    written out empty and fault again, because each flush makes pages read-only.
//! 5. For the fastest writers zeroes are written first, many pages at a time. Measured (ext4, Linux 6.18): 1.0 µs a page in steps of 64 KiB, where each fault
//!    on a page that is not there takes 4.2. Not for others: such pages are written out together, whichever of them a store has changed.
//! 6. Runs on the provisioner's thread; the writer calls it only when it has no room left. One call at a time grows a day.

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::error::{ALLOCATE, At, StoreError};
use super::files::{DayFiles, WriteMode};
use super::growth::{self, Growth, Lead, MAX_LEAD};
use super::probe::Step;
use super::space::{self, BLOCK};

/// Bytes that a file system may count among a file's blocks although they hold no data: the list of the others.
const BLOCK_LIST_BYTES: u64 = 16 << 10;

impl DayFiles {
    /// Gives the records that the writer still has room for.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.provisioned.load(Ordering::Acquire).saturating_sub(self.reached())
    }

    /// Tells whether the writer has less than half of the lead left.
    #[must_use]
    pub fn needs_room(&self) -> bool {
        self.reached() >= self.scarce_from(self.provisioned.load(Ordering::Acquire))
    }

    /// Gives the number of records from which on a writer with so much room has less than half of the lead left.
    pub(crate) fn scarce_from(&self, provisioned: u64) -> u64 {
        if self.mode == WriteMode::Append { (provisioned + 1).saturating_sub(self.lead() / 2) } else { u64::MAX }
    }

    /// Makes room ahead of the writer.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] where the disk has too little left; no harm is done, and the writer uses up the room that it has.
    /// [`StoreError::DayFull`] at the most records that a day holds.
    pub fn provision(&self) -> Result<(), StoreError> {
        self.grow(0)
    }

    /// Makes room, and allocates blocks for at least `records`.
    pub(crate) fn grow(&self, records: u64) -> Result<(), StoreError> {
        if self.mode == WriteMode::LateOnly {
            return Ok(());
        }
        let mut growth = self.growth.lock();
        if growth.allocated == 0 {
            growth.allocated = self.found_allocated()?;
        }
        let reached = self.reached();
        if reached >= self.capacity() {
            return Err(StoreError::DayFull { path: self.place.page(), records: self.capacity() });
        }
        let pace = growth.pace(Instant::now(), reached);
        let Lead { modest, generous } = Lead::of(reached, self.dir.options().first_records, pace);
        let outcome = self.allocate_ahead(&mut growth, reached + generous, records);
        let lead = match outcome {
            Err(StoreError::NoSpace { .. }) if modest < generous => {
                self.allocate_ahead(&mut growth, reached + modest, records)?;
                modest
            }
            other => other.map(|()| generous)?,
        };
        let length = growth::even(reached + lead, lead).min(self.capacity());
        // Relaxed: a hint for when to ask again.
        self.lead.store(length - reached, Ordering::Relaxed);
        if length <= growth.length {
            return Ok(());
        }
        // Nobody stores at or beyond `provisioned`, which this thread alone moves; and what an earlier opening has committed lies below `reached`.
        let empty = growth.length.max(self.provisioned.load(Ordering::Relaxed)).max(reached)..length;
        let is_fast = pace.is_some_and(|pace| pace.is_fast(length - reached));
        self.lengthen(length, if is_fast { empty } else { length..length }, lead)?;
        growth.length = growth.length.max(length);
        // Release: after blocks and lengths. Partner: the writer's acquire load when it looks for room.
        self.provisioned.fetch_max(growth.length.min(growth.allocated), Ordering::Release);
        Ok(())
    }

    /// Gives every column the length of so many records. Makes the pages of `present` present, which hold nothing yet, and notes it if no flush came in
    /// between: only a hint.
    fn lengthen(&self, records: u64, present: Range<u64>, lead: u64) -> Result<(), StoreError> {
        let epoch = self.dir.flush_epoch();
        for column in &self.columns {
            let (opened, bytes) = (column.reopen()?, records * column.width() as u64);
            let held = opened.metadata.len();
            let is_short = held < bytes;
            // What is written makes the file longer.
            let is_written = lead >= MAX_LEAD && column.write_zeroes(&opened.file, &present);
            if is_short && !is_written {
                space::lengthen(&opened.file, held, bytes).at("lengthen", column.path())?;
            }
            if is_short {
                self.dir.step(Step::Changed("lengthened"));
            }
            column.populate(&present);
        }
        if let Some(epoch) = epoch.filter(|_| !present.is_empty() && self.dir.flush_epoch() == epoch) {
            self.note_populated(present.end, epoch);
        }
        Ok(())
    }

    /// Gives the records that an earlier opening, or the preparing of the day, allocated blocks for.
    fn found_allocated(&self) -> Result<u64, StoreError> {
        let mut records = self.capacity();
        for column in &self.columns {
            let blocks = column.reopen()?.metadata.blocks() * BLOCK;
            records = records.min(blocks.saturating_sub(BLOCK_LIST_BYTES) / column.width() as u64);
        }
        for column in &self.columns {
            // Costs nothing where the count of blocks was right. Where it was not, the disk may be too full.
            if space::allocate(&column.reopen()?.file, records * column.width() as u64).is_err() {
                return Ok(0);
            }
        }
        Ok(records)
    }

    /// Makes sure that there are blocks for `length` records, and for at least `records`.
    fn allocate_ahead(&self, growth: &mut Growth, length: u64, records: u64) -> Result<(), StoreError> {
        let length = length.min(self.capacity());
        if growth.allocated < length.max(records) {
            growth.allocated = self.allocate(growth.allocated, length, records)?;
        }
        Ok(())
    }

    /// Allocates blocks: generously where the disk allows it, else what is needed. Gives the records that there are blocks for now.
    fn allocate(&self, allocated: u64, length: u64, records: u64) -> Result<u64, StoreError> {
        let needed = length.max(allocated);
        let generous = growth::generous_blocks(allocated, needed, records).min(self.capacity().max(needed));
        let target = if self.lacks_space(allocated, generous)?.is_none() { generous } else { needed };
        if let Some(full) = self.lacks_space(allocated, target)? {
            return Err(full);
        }
        for column in &self.columns {
            space::allocate(&column.reopen()?.file, target * column.width() as u64).at(ALLOCATE, column.path())?;
        }
        Ok(target)
    }

    /// Tells where blocks for `target` records would leave too little room, on each device that the columns lie on.
    fn lacks_space(&self, allocated: u64, target: u64) -> Result<Option<StoreError>, StoreError> {
        for (at, column) in self.columns.iter().enumerate() {
            let is_counted = self.columns.iter().take(at).any(|before| before.device() == column.device());
            if is_counted {
                continue;
            }
            let here = self.columns.iter().filter(|other| other.device() == column.device());
            let width: u64 = here.map(|column| column.width() as u64).sum();
            let needed = target.saturating_sub(allocated).saturating_mul(width);
            let space = space::free_space(column.path()).at("ask for the room of", column.path())?;
            if needed > space.usable() {
                return Ok(Some(StoreError::NoSpace { path: self.path().to_owned(), needed, free: space.free }));
            }
        }
        Ok(None)
    }

    /// Gives how many records the length ran ahead when it last grew.
    fn lead(&self) -> u64 {
        self.lead.load(Ordering::Relaxed)
    }

    /// Gives the records that the writer has stored, or wanted to store.
    fn reached(&self) -> u64 {
        // Relaxed: a hint for how much to grow. `provisioned` says what may be stored to.
        self.committed().max(self.wanted.load(Ordering::Relaxed))
    }
}
