//! [`Day`]: one dataset-day of one product, open for writing by one thread.
//!
//! 1. `insert` applies the id rule: above the day's last → appended; stored with equal fields → duplicate; with other fields → conflict; not stored → late.
//! 2. Nothing is visible before `commit`; then everything inserted is, in all columns at once.
//! 3. A day's last key survives a restart even where no column holds it: the page holds it.
//! 4. Appending allocates nothing, takes no lock and makes no system call. Looking up, and late records, may.
//! 5. Where `takes_now` with [`Pages::Writable`] says yes, `insert` does not wait for a page either: the pages were stored to since the last flush.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::column::{self, Appender, StoredRecord, load};
use super::directory::DataDir;
use super::error::StoreError;
use super::files::{DayFiles, WriteMode};
use super::late::{LateFile, LateValues, Payloads, as_held};
use super::map::ColumnBases;
use super::page::Mark;
use super::place::DayKey;
use super::recovery::{self, Opening};
use super::restore;
use crate::product::ProductId;
use crate::schema::{ColumnSet, Dataset, Layout, Likeness};
use crate::time::{UnixNanos, UtcDay};

/// Records after which the widest column begins another page: 16 bytes each, on pages of 4096. The other columns do so at multiples of it.
const PAGE_RECORDS: usize = 256;

/// Which pages an append may store to. A flush makes the pages that it writes read-only, and the first store to one of them waits for the system:
/// microseconds as a rule; at worst as long as the file system's journal is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Only pages that no flush has touched since they were last stored to.
    Writable,
    /// Every page.
    Any,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inserted<Row> {
    /// It is stored at the day's end.
    Appended,
    /// It belongs before the day's end: it is stored in the late file until the day is sealed.
    Late,
    /// The day has it already.
    Duplicate,
    /// The day has another record of that key, given here. The first is kept.
    Conflict(Row),
}

/// Why a record was not stored. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The files have no room: call [`DayFiles::provision`], then try again.
    #[error("no room is provisioned")]
    NoRoom,
    /// The late file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a day whose files were removed or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Records that were stored again, late ones included.
    pub records: u64,
    /// Where the files are now that lay in their place; nothing where there were none.
    pub moved_to: Option<PathBuf>,
}

/// A dataset-day open for writing.
#[derive(Debug)]
pub struct Day<L: Layout> {
    files: Arc<DayFiles>,
    count: usize,
    committed: usize,
    /// Records that may be stored, as last seen, and the number from which on more room is needed.
    room: usize,
    scarce_from: usize,
    last_key: u64,
    /// The highest key stored, late ones included: a record above it needs no look-up.
    highest: u64,
    /// The flush epoch in which the first record that is not committed yet was appended.
    appended_in: Option<u64>,
    /// The flush epoch in which the last committed records were appended: their pages are writable until it ends.
    writable_in: Option<u64>,
    /// The places that records are stored to.
    bases: ColumnBases,
    late: BTreeMap<u64, L::Row>,
    late_file: LateFile,
    late_count: u32,
    late_committed: u32,
}

impl<L: Layout> Day<L> {
    /// Opens a day: makes, continues or recovers its files. A sealed day is opened again in place if `now` lies in it, and for late records only if not.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses. A damaged day is no error: it moves to quarantine.
    pub fn open(dir: &Arc<DataDir>, product: &ProductId, date: UtcDay, now: UnixNanos) -> Result<(Self, Opening), StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let _guard = dir.lock_day(&key);
        let (files, opening) = recovery::open(dir, &key, L::COLUMNS, now)?;
        files.provision()?;
        Ok((Self::over(files)?, opening))
    }

    /// Makes a day's files ahead of time, with blocks for `records` records. Does nothing to a day that exists.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses.
    pub fn prepare(dir: &Arc<DataDir>, product: &ProductId, date: UtcDay, records: u64) -> Result<(), StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let _guard = dir.lock_day(&key);
        match recovery::create_if_missing(dir, &key, L::COLUMNS)? {
            Some(files) => files.grow(records),
            None => Ok(()),
        }
    }

    /// Makes a day's files with a set of columns. Does nothing to a day that exists.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses.
    pub(crate) fn make(dir: &Arc<DataDir>, product: &ProductId, date: UtcDay, columns: ColumnSet) -> Result<(), StoreError> {
        let key = DayKey { product: product.clone(), dataset: L::DATASET, date };
        let _guard = dir.lock_day(&key);
        recovery::create_with(dir, &key, L::COLUMNS, columns).map(drop)
    }

    fn over(files: DayFiles) -> Result<Self, StoreError> {
        let (table, mark) = (files.table, files.page.mark().unwrap_or(Mark { count: files.committed(), key: 0 }));
        let count = usize::try_from(mark.count).map_err(|_| StoreError::damaged(files.path(), "more records than there is memory"))?;
        let late_count = files.late();
        let payloads = Payloads::read(&files.place.late(), table, files.generation, u64::from(late_count))?;
        let mut late_file = LateFile::new(files.place.late(), table, files.generation);
        if late_count > 0 {
            late_file.keep_open()?;
        }
        let mut day = Self {
            count,
            committed: count,
            room: 0,
            scarce_from: 0,
            bases: column::bases(&files.columns),
            last_key: mark.key,
            highest: mark.key,
            appended_in: None,
            writable_in: None,
            late: BTreeMap::new(),
            late_file,
            late_count,
            late_committed: late_count,
            files: Arc::new(files),
        };
        for payload in payloads.iter() {
            day.remember(load::<L>(&LateValues { payload, columns: table }));
        }
        Ok(day)
    }

    /// Stores a record.
    ///
    /// # Errors
    /// [`InsertError::NoRoom`] where the files have to grow first; [`InsertError::Store`] where a late record could not be written.
    #[inline]
    pub fn insert(&mut self, row: &L::Row) -> Result<Inserted<L::Row>, InsertError> {
        let key = L::key(row);
        let is_new = self.is_new(key);
        if is_new && self.files.mode == WriteMode::Append { self.append(key, row) } else { self.place(key, row, is_new) }
    }

    /// Begins another stretch of rising keys behind what is stored: from now on every key of a ticker is new that is above those of the stretch. Does nothing
    /// to trades, whose ids are unique.
    pub(crate) const fn begin_stretch(&mut self) {
        if L::DATASET.is_of_tickers() {
            (self.highest, self.last_key) = (0, 0);
        }
    }

    /// Tells whether a key is above all others. Tickers without a sequence are kept as they come.
    #[inline]
    fn is_new(&self, key: u64) -> bool {
        key > self.highest || (key == 0 && L::DATASET != Dataset::Trades)
    }

    #[inline]
    fn append(&mut self, key: u64, row: &L::Row) -> Result<Inserted<L::Row>, InsertError> {
        if self.count >= self.room && !self.find_room() {
            return Err(InsertError::NoRoom);
        }
        self.append_to_room(key, row);
        Ok(Inserted::Appended)
    }

    #[inline]
    fn append_to_room(&mut self, key: u64, row: &L::Row) {
        if self.count == self.committed {
            self.appended_in = self.files.dir.flush_epoch();
        }
        Appender::<L>::append(&self.bases, self.count, row);
        self.count += 1;
        self.last_key = self.last_key.max(key);
        self.highest = self.highest.max(key);
    }

    /// Tells whether [`Day::insert`] would append a record now: its key is above all others, and there is room. With [`Pages::Writable`] the append does not
    /// wait either: every page that it stores to, and the commit page, was stored to since the last flush.
    #[inline]
    #[must_use]
    pub(crate) fn takes_now(&self, row: &L::Row, pages: Pages) -> bool {
        self.is_new(L::key(row)) && self.count < self.room && (pages == Pages::Any || self.next_pages_are_writable())
    }

    /// Finds out whether [`Day::insert`] would find no room for a record. Then the files have to grow first.
    #[inline]
    pub(crate) fn waits_for_room(&mut self, row: &L::Row) -> bool {
        self.count >= self.room && self.is_new(L::key(row)) && self.files.mode == WriteMode::Append && !self.find_room()
    }

    fn next_pages_are_writable(&self) -> bool {
        let Some(epoch) = self.writable_in else { return false };
        self.files.dir.flush_epoch() == Some(epoch)
            && (!self.count.is_multiple_of(PAGE_RECORDS) || self.files.is_populated(self.count as u64, epoch))
    }

    #[cold]
    fn read_room(&mut self) {
        // Acquire: blocks and lengths are there. Partner: the release in `provision`.
        let provisioned = self.files.provisioned.load(Ordering::Acquire);
        let limit = |records| usize::try_from(records).unwrap_or(usize::MAX);
        self.room = limit(provisioned);
        self.scarce_from = limit(self.files.scarce_from(provisioned));
    }

    /// Tells whether the files should grow soon. Counts as [`DayFiles::provision`] does: the records committed, or those that found no room.
    #[inline]
    pub fn needs_room(&mut self) -> bool {
        if self.count < self.scarce_from {
            return false;
        }
        self.read_room();
        if self.count < self.room {
            return self.committed >= self.scarce_from;
        }
        self.want_more();
        true
    }

    /// Tells the provisioner that the room is used up, by records that it does not see yet.
    fn want_more(&self) {
        // Relaxed: whoever asks for more does so after this, over a channel.
        self.files.wanted.store(self.count as u64, Ordering::Relaxed);
    }

    /// Tells whether no record of the room that [`Day::needs_room`] saw is left.
    #[must_use]
    pub const fn is_out_of_room(&self) -> bool {
        self.count >= self.room
    }

    /// Gives the records that there was room for when [`Day::needs_room`] last looked.
    #[must_use]
    pub const fn seen_room(&self) -> u64 {
        self.room as u64
    }

    /// Looks whether there is more room than was last seen. Asks for more where there is not.
    #[cold]
    fn find_room(&mut self) -> bool {
        self.read_room();
        let has = self.count < self.room;
        if !has {
            self.want_more();
        }
        has
    }

    /// Stores a record that is not simply above all others, or finds that it need not be stored.
    #[cold]
    fn place(&mut self, key: u64, row: &L::Row, is_new: bool) -> Result<Inserted<L::Row>, InsertError> {
        let has_key_column = L::DATASET.key_column().is_some();
        let held = self.held(row);
        if !is_new {
            if !has_key_column {
                return Ok(Inserted::Duplicate);
            }
            if let Some(stored) = self.find(key) {
                match L::compare(&stored, &held) {
                    Likeness::Same => return Ok(Inserted::Duplicate),
                    Likeness::Conflict => return Ok(Inserted::Conflict(stored)),
                    Likeness::Better => {}
                }
            } else if key > self.last_key && self.files.mode == WriteMode::Append {
                // It is below a late record that recovery kept although it gave up the records around that one.
                return self.append(key, row);
            }
        }
        let is_first = self.late_file.id().is_none();
        self.late_file.write::<L>(self.late_count, row, self.files.table)?;
        if let Some(id) = self.late_file.id().filter(|_| is_first) {
            self.files.note_late_file(id);
        }
        self.late_count += 1;
        self.remember(held);
        Ok(Inserted::Late)
    }

    /// Gives of a row what the folder holds of it. Of a folder that does not have all columns only the values that it holds can be compared. (Tickers are not
    /// compared: their key is no core column.)
    fn held(&self, row: &L::Row) -> L::Row {
        let is_reduced = L::DATASET.key_column().is_some() && self.files.table.len() < L::COLUMNS.len();
        if is_reduced { as_held::<L>(row, self.files.table) } else { *row }
    }

    /// Finds the record of a row's key, and tells what the row is to it.
    #[must_use]
    pub(crate) fn compare(&self, row: &L::Row) -> Option<(L::Row, Likeness)> {
        let stored = self.find(L::key(row))?;
        Some((stored, L::compare(&stored, &self.held(row))))
    }

    fn remember(&mut self, row: L::Row) {
        let key = L::key(&row);
        self.highest = self.highest.max(key);
        if key != 0 {
            self.late.insert(key, row);
        }
    }

    /// Makes everything inserted so far visible.
    #[inline]
    pub fn commit(&mut self) {
        if self.count != self.committed {
            self.files.page.commit(Mark { count: self.count as u64, key: self.last_key });
            self.committed = self.count;
            self.writable_in = self.appended_in.filter(|epoch| self.files.dir.flush_epoch() == Some(*epoch));
        }
        if self.late_count != self.late_committed {
            self.files.page.commit_late(self.files.generation, self.late_count);
            self.late_committed = self.late_count;
            if L::DATASET.key_column().is_none() && self.highest > self.last_key {
                // A ticker is not looked up: only the last key tells that the day has it, also after the day was sealed and opened again.
                self.last_key = self.highest;
                self.files.page.reset(Mark { count: self.committed as u64, key: self.last_key });
            }
        }
    }

    /// Finds the record of a key, inserted or late. Tickers are not looked up: only late ones are found.
    #[must_use]
    pub fn find(&self, key: u64) -> Option<L::Row> {
        if let Some(row) = self.late.get(&key) {
            return Some(*row);
        }
        let ids = self.files.columns.get(L::DATASET.key_column()?)?;
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if ids.load_u64(middle) < key { low = middle + 1 } else { high = middle }
        }
        (low < self.count && ids.load_u64(low) == key).then(|| load::<L>(&StoredRecord { columns: &self.files.columns, record: low }))
    }

    /// Gives the records that can be appended without provisioning.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.files.provisioned.load(Ordering::Acquire).saturating_sub(self.count as u64)
    }

    /// Gives the records inserted, late ones not counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Gives the late records inserted.
    #[must_use]
    pub fn late_count(&self) -> u32 {
        self.late_count
    }

    /// Gives the key of the last record appended; of tickers also that of a late one, where it is higher. 0 where none has a key.
    #[must_use]
    pub fn last_key(&self) -> u64 {
        self.last_key
    }

    /// Gives the day.
    #[must_use]
    pub fn date(&self) -> UtcDay {
        self.files.key.date
    }

    /// Shows the files, which other threads share.
    #[must_use]
    pub fn files(&self) -> &Arc<DayFiles> {
        &self.files
    }

    /// Stores everything again after files of the day were removed or replaced: the maps, and the open late file, still hold it. What lies where the files
    /// were is set aside. Gives what was done; the day is the same as before in new files, and goes on.
    ///
    /// # Errors
    /// Where the disk is full or the system refuses. The day is unchanged then, and it can be tried again.
    pub fn restore(&mut self) -> Result<Restored, StoreError> {
        self.commit();
        let old = Arc::clone(&self.files);
        let _guard = old.dir.lock_day(&old.key);
        let late = self.late_file.raw(self.late_count)?;
        let held = restore::Held { count: self.count, last_key: self.last_key, late_count: self.late_count, late };
        let (files, moved_to) = restore::write(&old, &held)?;
        files.provision()?;
        let highest = self.highest;
        *self = Self::over(files)?;
        self.highest = highest;
        Ok(Restored { records: self.count as u64 + u64::from(self.late_count), moved_to })
    }

    /// Commits and closes the day. Its files can then be sealed.
    #[must_use]
    pub fn close(mut self) -> Arc<DayFiles> {
        self.commit();
        self.files
    }

    /// Announces records that are not stored yet: a bug that the readers' tests must find.
    #[doc(hidden)]
    pub fn plant_early_commit(&self, count: u64) {
        self.files.page.announce(count);
    }
}
