//! [`DayFiles`]: the part of an open dataset-day that its threads share, whatever its records are.
//!
//! 1. The writer thread stores and commits; the provisioner makes room; the sync thread raises `durable`. None of them waits for another.
//! 2. `durable` ≤ `committed` ≤ records stored ≤ room. Each mark is raised by one thread only.
//! 3. A checkpoint is taken *before* a flush, from what is committed then. Its durable slot is written *after* the flush.
//! 4. A day that is sealed already takes late records only: it has no room and never grows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::column::Column;
use super::commit::{Checkpoint, DurableSlot, Extent};
use super::directory::DataDir;
use super::error::StoreError;
use super::growth::{FULL, Growth, MAX_RECORDS};
use super::map::FrozenMark;
use super::own_file::FileId;
use super::page::{Mark, Page, PlacedSlot};
use super::place::{DayKey, Place};
use super::probe::{Step, Verdict};
use crate::schema::{self, ColumnSet};

/// Records of which every column has whole pages: a page of the narrowest.
const RELEASED_AT_ONCE_RECORDS: u64 = 1024;

/// With fewer new records the pages of a column are too few for a call of their own: eight of the narrowest.
const UNMAPPED_AT_ONCE_RECORDS: u64 = 8192;

/// What an open day takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// Records at its end, and late ones.
    Append,
    /// Late records only: it is sealed.
    LateOnly,
}

/// An open dataset-day's files.
#[derive(Debug)]
pub struct DayFiles {
    pub(crate) dir: Arc<DataDir>,
    pub(crate) page: Page,
    pub(crate) key: DayKey,
    pub(crate) place: Place,
    pub(crate) set: ColumnSet,
    /// The columns that the folder holds: the front of today's table that was all of it when the day began.
    pub(crate) table: &'static [schema::Column],
    pub(crate) mode: WriteMode,
    pub(crate) generation: u32,
    pub(crate) columns: Vec<Column>,
    /// Records that every column has address space for.
    capacity: u64,
    /// Records that every column has blocks and length for.
    pub(crate) provisioned: AtomicU64,
    /// Records that the writer had when it found no room for one more.
    pub(crate) wanted: AtomicU64,
    pub(crate) growth: Mutex<Growth>,
    /// Records that the length ran ahead by when it last grew.
    pub(crate) lead: AtomicU64,
    /// Records whose pages were made present, and in which flush epoch (plus 1, 0 = never).
    populated: AtomicU64,
    populated_in: AtomicU64,
    /// Records whose page cache was given back. Only the sync thread changes it.
    released: AtomicU64,
    progress: Mutex<SyncProgress>,
    durable: AtomicU64,
    /// Failed flushes of the directory that this day has been repaired after, or that came before it was opened.
    sound_after: AtomicU64,
    /// The checkpoint that was to be made durable by a flush whose failure could not be repaired.
    unflushed: Mutex<Option<Extent>>,
    /// The page and, once there is one, the late file, as they were opened.
    page_id: Option<FileId>,
    late_id: Mutex<Option<FileId>>,
    /// How the folder was when all files were last found in it.
    seen: Mutex<Option<SeenFolder>>,
    is_gone: AtomicBool,
}

/// A folder as it was at a look at its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeenFolder {
    stamp: Stamp,
    /// Whether an earlier look found the folder the same. Two changes within one tick of the file system's clock leave the same time.
    is_settled: bool,
}

/// Which folder it is, and when an entry of it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    id: FileId,
    changed: (i64, i64),
}

impl Stamp {
    fn of(folder: &Path) -> Option<Self> {
        let found = std::fs::metadata(folder).ok()?;
        Some(Self { id: FileId::of(&found), changed: (found.ctime(), found.ctime_nsec()) })
    }
}

/// What the sync thread remembers of a day.
#[derive(Debug)]
pub(crate) struct SyncProgress {
    /// What is known to be on disk.
    pub(crate) durable: Checkpoint,
    /// Sequence of the newest slot, and the place of the next.
    sequence: u64,
    place: usize,
    /// Whether a slot was written since the last flush.
    slot_is_new: bool,
}

impl SyncProgress {
    /// Begins with what is durable, after the page's newest slot.
    pub(crate) fn after(newest: Option<&PlacedSlot>, durable: Checkpoint) -> Self {
        Self {
            durable,
            sequence: newest.map_or(0, |newest| newest.slot.sequence),
            place: newest.map_or(0, |newest| 1 - newest.place),
            slot_is_new: false,
        }
    }
}

/// What an opening found or made, for [`DayFiles::new`].
#[derive(Debug)]
pub(crate) struct DayParts {
    pub(crate) key: DayKey,
    pub(crate) place: Place,
    pub(crate) set: ColumnSet,
    pub(crate) table: &'static [schema::Column],
    pub(crate) mode: WriteMode,
    pub(crate) generation: u32,
    pub(crate) page: Page,
    pub(crate) progress: SyncProgress,
}

/// Gives the records that a day is mapped for: `wanted`, or more where it holds more already. A sealed day holds no more than it has.
fn capacity(wanted: u64, mode: WriteMode, held: u64) -> u64 {
    match mode {
        WriteMode::Append => wanted.max(held.saturating_mul(2)).min(FULL),
        WriteMode::LateOnly => held,
    }
}

impl DayFiles {
    /// Maps the columns and puts all parts together.
    pub(crate) fn new(dir: Arc<DataDir>, parts: DayParts) -> Result<Self, StoreError> {
        let frozen = FrozenMark::default();
        let capacity = capacity(dir.options().map_records, parts.mode, parts.page.committed());
        let records = usize::try_from(capacity).unwrap_or(MAX_RECORDS);
        let open = |column: &schema::Column| Column::open(parts.place.column(column.name), column.kind, records, &frozen);
        let columns = parts.table.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let durable = AtomicU64::new(parts.progress.durable.extent.records);
        let sound_after = AtomicU64::new(dir.failed_flushes());
        let id = |path: &Path| std::fs::metadata(path).ok().map(|found| FileId::of(&found));
        let (page_id, late_id) = (id(&parts.place.page()), id(&parts.place.late()));
        Ok(Self {
            dir,
            key: parts.key,
            place: parts.place,
            set: parts.set,
            table: parts.table,
            mode: parts.mode,
            generation: parts.generation,
            columns,
            page: parts.page,
            capacity,
            provisioned: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            growth: Mutex::new(Growth::default()),
            lead: AtomicU64::new(1),
            populated: AtomicU64::new(0),
            populated_in: AtomicU64::new(0),
            released: AtomicU64::new(0),
            progress: Mutex::new(parts.progress),
            durable,
            sound_after,
            unflushed: Mutex::default(),
            page_id,
            late_id: Mutex::new(late_id),
            seen: Mutex::default(),
            is_gone: AtomicBool::new(false),
        })
    }

    /// Shows whose day it is.
    #[must_use]
    pub fn key(&self) -> &DayKey {
        &self.key
    }

    /// Gives the number of visible records, late ones not counted.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.page.committed()
    }

    /// Gives the number of records that are on disk. The durable slot that says so reaches the disk with the next flush.
    #[must_use]
    pub fn durable(&self) -> u64 {
        // Acquire: a thread that sees the number sees the slot. Partner: the release store in `complete`.
        self.durable.load(Ordering::Acquire)
    }

    /// Notes that the pages of the first `records` were made present in a flush epoch.
    pub(crate) fn note_populated(&self, records: u64, epoch: u64) {
        self.populated.store(records, Ordering::Relaxed);
        // Release: after the number. Partner: the acquire load in `is_populated`, which may still find a newer number. Both are only hints.
        self.populated_in.store(epoch + 1, Ordering::Release);
    }

    /// Tells whether the pages of a record were made present in the flush epoch of now.
    #[inline]
    pub(crate) fn is_populated(&self, record: u64, epoch: u64) -> bool {
        self.populated_in.load(Ordering::Acquire) == epoch + 1 && record < self.populated.load(Ordering::Relaxed)
    }

    /// Gives the number of visible late records.
    #[must_use]
    pub fn late(&self) -> u32 {
        self.page.late(self.generation)
    }

    /// Tells whether the day is sealed and takes late records only.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.mode == WriteMode::LateOnly
    }

    /// Tells whether what is committed may be trusted after a restart of the process: not after a failed flush that was not repaired.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.page.is_trusted()
    }

    /// Tells whether the day's files were removed or replaced while they were written: nobody will find what is stored in them since.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // Relaxed: a flag that stays.
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Looks whether the day's files still lie where they were opened. Logs it once if they do not, and marks the day as gone.
    pub(crate) fn check_in_place(&self) -> bool {
        if self.is_gone() {
            return false;
        }
        let missing = self.find_missing();
        if let Some(path) = &missing {
            log::error!("{}: {} was removed or replaced while it was being written", self.key, path.display());
            self.is_gone.store(true, Ordering::Relaxed);
        }
        missing.is_none()
    }

    /// Finds a file of the day that is not at its path any more. Looks at the folder alone where none of its entries has changed.
    fn find_missing(&self) -> Option<PathBuf> {
        let mut seen = self.seen.lock();
        let Some(stamp) = Stamp::of(self.path()) else { return Some(self.path().to_owned()) };
        match *seen {
            Some(last) if last.stamp == stamp && last.is_settled => return None,
            last => *seen = Some(SeenFolder { stamp, is_settled: last.is_some_and(|last| last.stamp == stamp) }),
        }
        let column = self.columns.iter().find(|column| !column.is_in_place()).map(|column| column.path().to_owned());
        let others = [(self.page_id, self.place.page()), (*self.late_id.lock(), self.place.late())];
        let is_missing = |(id, path): &(Option<FileId>, PathBuf)| id.is_some_and(|id| !id.is_at(path));
        column.or_else(|| others.into_iter().find(is_missing).map(|(_, path)| path))
    }

    /// Notes which file the late records are written to.
    pub(crate) fn note_late_file(&self, id: FileId) {
        *self.late_id.lock() = Some(id);
    }

    /// Gives the most records that the day holds.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Tells whether all `failed` flushes that have failed so far came before the day was opened, or were repaired since.
    pub(crate) fn is_sound_after(&self, failed: u64) -> bool {
        self.sound_after.load(Ordering::Acquire) == failed
    }

    /// Gives the number of failed flushes after which the day is known to be whole.
    pub(crate) fn sound_after(&self) -> u64 {
        self.sound_after.load(Ordering::Acquire)
    }

    /// Notes that after `failed` failed flushes the device holds all of the day that it should.
    pub(crate) fn note_repaired(&self, failed: u64) {
        self.page.trust();
        // Release: after the page says so. Partner: the acquire loads above.
        self.sound_after.store(failed, Ordering::Release);
    }

    /// Remembers the checkpoint of a flush whose failure could not be repaired, to prove later that the cache has kept it.
    pub(crate) fn note_unflushed(&self, checkpoint: Option<&Checkpoint>) {
        let extent = checkpoint.map_or_else(|| self.durable_extent(), |checkpoint| checkpoint.extent.clone());
        self.unflushed.lock().get_or_insert(extent);
    }

    /// Tells whether the columns have these bytes, of which the durable ones are known.
    pub(crate) fn has_bytes_of(&self, extent: &Extent) -> bool {
        let known = self.durable_extent();
        let (Ok(from), Ok(to)) = (usize::try_from(known.records), usize::try_from(extent.records)) else { return false };
        let crcs = self.columns.iter().zip(&known.crcs).map(|(column, crc)| crc32c::crc32c_append(*crc, column.committed(from..to)));
        from <= to && crcs.eq(extent.crcs.iter().copied())
    }

    /// Writes the witness of a day that is closed after a failure that could not be repaired: on this boot the next opening can prove by it what the
    /// cache still holds. Writes nothing where the cache has already lost something.
    pub(crate) fn write_witness(&self) {
        let unflushed = self.unflushed.lock().take();
        if unflushed.is_none_or(|extent| !self.has_bytes_of(&extent)) {
            return;
        }
        let held = self.checkpoint().unwrap_or_else(|| Checkpoint { extent: self.durable_extent(), late: self.late() });
        let witness = DurableSlot { sequence: 1, generation: self.generation, late: held.late, extent: held.extent };
        self.page.store_witness(Some(&witness));
    }

    /// Tells which columns the day has.
    #[must_use]
    pub fn column_set(&self) -> ColumnSet {
        self.set
    }

    /// Shows where a column lies.
    #[must_use]
    pub fn column_path(&self, name: &str) -> PathBuf {
        self.place.column(name)
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.folder()
    }

    /// Takes a checkpoint of what is committed now, with its checksums; nothing where all of it is durable.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let progress = self.progress.lock();
        let Checkpoint { extent: durable, late: durable_late } = &progress.durable;
        let late = self.late();
        // No mark: the writer commits faster than the mark can be read. The next cycle will find one.
        let Mark { count, key } = self.page.mark()?;
        if count == durable.records && key == durable.last_key && late == *durable_late {
            return None;
        }
        let (from, to) = (usize::try_from(durable.records).ok()?, usize::try_from(count).ok()?);
        let crcs = self.columns.iter().zip(&durable.crcs);
        let crcs = crcs.map(|(column, crc)| crc32c::crc32c_append(*crc, column.committed(from..to))).collect();
        Some(Checkpoint { extent: Extent { records: count, last_key: key, crcs }, late })
    }

    /// Writes the durable slot of a checkpoint that was taken before a flush which has succeeded since. Gives the number of records that became
    /// durable.
    pub(crate) fn complete(&self, checkpoint: Checkpoint) -> u64 {
        let mut progress = self.progress.lock();
        let before = &progress.durable;
        let gained = checkpoint.extent.records - before.extent.records + u64::from(checkpoint.late - before.late);
        progress.sequence += 1;
        if self.dir.step(Step::Slot) == Verdict::Skip {
            progress.place = 1 - progress.place;
        }
        let (sequence, place) = (progress.sequence, progress.place);
        progress.place = 1 - place;
        progress.slot_is_new = true;
        progress.durable = checkpoint;
        let Checkpoint { extent, late } = progress.durable.clone();
        let records = extent.records;
        self.page.store_slot(place, &DurableSlot { sequence, generation: self.generation, late, extent });
        // Release: after the slot. Partner: the acquire load in `durable`.
        self.durable.store(records, Ordering::Release);
        drop(progress);
        self.dir.step(Step::Changed("durable slot"));
        gained
    }

    /// Unmaps the pages that may be dirty, those of the next records too, where a flush will write many of each column; `records` are committed. They stay in
    /// the page cache, as dirty as they were, and the next access maps them again. A flush has every processor that runs this program forget each mapped page
    /// by itself, which takes 12 µs; unmapped together they take as long as one.
    pub(crate) fn unmap_dirty_pages(&self, records: u64) {
        let from = self.durable();
        if records < from + UNMAPPED_AT_ONCE_RECORDS {
            return;
        }
        // Acquire: lengths are there. Partner: the release in `grow`.
        let to = self.provisioned.load(Ordering::Acquire).max(records);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) {
            self.columns.iter().for_each(|column| column.unmap(from..to));
        }
    }

    /// Gives the page cache of old durable records back to the system, a large part at a time: a capture of weeks must not push out what others need.
    /// A failure here costs memory and nothing else.
    pub(crate) fn release_cache(&self) {
        let widest = self.columns.iter().map(Column::width).max().unwrap_or(1) as u64;
        // Whole pages of every column.
        let step = (self.dir.options().cached_bytes / widest).next_multiple_of(RELEASED_AT_ONCE_RECORDS);
        self.release_to(self.durable().saturating_sub(step) / step * step);
    }

    /// Gives back the page cache of all durable records, but for the pages that the next ones are stored to.
    pub(crate) fn release_all_cache(&self) {
        self.release_to(self.durable() / RELEASED_AT_ONCE_RECORDS * RELEASED_AT_ONCE_RECORDS);
    }

    fn release_to(&self, to: u64) {
        let from = self.released.load(Ordering::Relaxed);
        if to <= from {
            return;
        }
        self.released.store(to, Ordering::Relaxed);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) {
            for column in &self.columns {
                if let Err(error) = column.release_cache(from..to) {
                    log::debug!("{error}");
                }
            }
        }
    }

    /// Tells whether a slot was written that no flush has covered yet.
    pub(crate) fn slot_is_new(&self) -> bool {
        self.progress.lock().slot_is_new
    }

    /// Notes that a flush which began after the newest slot was written has succeeded.
    pub(crate) fn note_slot_flushed(&self) {
        self.progress.lock().slot_is_new = false;
    }

    /// Gives what is durable: records with their checksums.
    pub(crate) fn durable_extent(&self) -> Extent {
        self.progress.lock().durable.extent.clone()
    }
}
