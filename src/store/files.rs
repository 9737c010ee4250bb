//! [`DayFiles`]: the part of an open dataset-day that its threads share, whatever its records are.
//!
//! 1. The writer thread stores and commits; the provisioner makes room; the sync thread raises `durable`. None of them waits for another.
//! 2. `durable` ≤ `committed` ≤ records stored ≤ room. Each mark is raised by one thread only.
//! 3. A durable slot is staged *before* a flush, from what was committed then, and written *after* it.
//! 4. A day that is sealed already takes late records only: it has no room and never grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::column::Column;
use super::commit::{DurableSlot, Extent};
use super::directory::DataDir;
use super::map::FrozenMark;
use super::page::{Mark, Page};
use super::place::{DayKey, Place};
use super::probe::{Step, Verdict};
use super::provision::Growth;
use crate::schema::{self, ColumnSet, Dataset};

/// Records of which every column has whole pages: a page of the narrowest.
const GIVEN_AT_ONCE_RECORDS: u64 = 1024;

/// What an open day takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Records at its end, and late ones.
    Appends,
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
    pub(crate) takes: Takes,
    pub(crate) generation: u32,
    pub(crate) columns: Vec<Column>,
    /// Records that every column has blocks and length for.
    pub(crate) provisioned: AtomicU64,
    /// Records that the writer wanted room for when it found none.
    pub(crate) wanted: AtomicU64,
    pub(crate) growth: Mutex<Growth>,
    /// Records that the length ran ahead by when it last grew.
    pub(crate) lead: AtomicU64,
    /// Records whose pages were made present, and between which flushes (plus 1, 0 = never).
    populated: AtomicU64,
    populated_between: AtomicU64,
    /// Records whose page cache was given back. Only the sync thread changes it.
    given_back: AtomicU64,
    ledger: Mutex<Ledger>,
    durable: AtomicU64,
    /// Failed flushes of the directory that this day has been made good after, or that were before it.
    sound_after: AtomicU64,
    /// What was staged for a flush whose failure could not be made good.
    suspect: Mutex<Option<Extent>>,
    is_gone: AtomicBool,
}

/// What the sync thread remembers of a day.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Records and late records known to be on disk.
    pub(crate) extent: Extent,
    pub(crate) late: u32,
    /// Sequence of the newest slot, and the place of the next.
    pub(crate) sequence: u64,
    pub(crate) place: usize,
    /// Whether a slot was written since the last flush.
    pub(crate) slot_is_new: bool,
}

/// What a day will have on disk once the flush that follows has succeeded.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) extent: Extent,
    pub(crate) late: u32,
}

/// What an opening found, for [`DayFiles::new`].
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) key: DayKey,
    pub(crate) place: Place,
    pub(crate) set: ColumnSet,
    pub(crate) takes: Takes,
    pub(crate) generation: u32,
    pub(crate) page: Page,
    pub(crate) ledger: Ledger,
}

impl DayFiles {
    /// Puts the parts together: maps the columns.
    pub(crate) fn new(dir: Arc<DataDir>, found: Foundation) -> Result<Self, super::StoreError> {
        let columns = found.key.dataset.columns_of(found.set);
        let frozen = FrozenMark::default();
        let open = |column: &schema::Column| Column::open(found.place.column(column.name), column.kind, &frozen);
        let columns = columns.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let durable = AtomicU64::new(found.ledger.extent.records);
        let sound_after = AtomicU64::new(dir.failed_flushes());
        Ok(Self {
            dir,
            key: found.key,
            place: found.place,
            set: found.set,
            takes: found.takes,
            generation: found.generation,
            columns,
            page: found.page,
            provisioned: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            growth: Mutex::new(Growth::default()),
            lead: AtomicU64::new(1),
            populated: AtomicU64::new(0),
            populated_between: AtomicU64::new(0),
            given_back: AtomicU64::new(0),
            ledger: Mutex::new(found.ledger),
            durable,
            sound_after,
            suspect: Mutex::default(),
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

    /// Gives the number of records that are on disk. A durable slot that says so follows with the next flush.
    #[must_use]
    pub fn durable(&self) -> u64 {
        // Acquire: whoever sees the number sees the slot. Partner: the release store in `settle`.
        self.durable.load(Ordering::Acquire)
    }

    /// Notes that the pages of all records up to one were made present between two flushes.
    pub(crate) fn note_populated(&self, records: u64, between: u64) {
        self.populated.store(records, Ordering::Relaxed);
        // Release: after the number. Partner: the acquire load in `is_populated`, which may still find a newer number; hints both.
        self.populated_between.store(between + 1, Ordering::Release);
    }

    /// Tells whether the pages of a record were made present since the last flush.
    #[inline]
    pub(crate) fn is_populated(&self, record: u64, between: u64) -> bool {
        self.populated_between.load(Ordering::Acquire) == between + 1 && record < self.populated.load(Ordering::Relaxed)
    }

    /// Gives the number of visible late records.
    #[must_use]
    pub fn late(&self) -> u32 {
        self.page.late(self.generation)
    }

    /// Tells whether the day is sealed and takes late records only.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.takes == Takes::LateOnly
    }

    /// Tells whether what is committed may be believed after a restart of the process: not after a failed flush that was not made good.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.page.is_trusted()
    }

    /// Tells whether the day's files were found removed or replaced under its feet: what is stored in them since is nobody's.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // Relaxed: a flag that stays.
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Looks whether the day's files still lie where they were opened; says so once if not.
    pub(crate) fn is_in_place(&self) -> bool {
        if self.is_gone() {
            return false;
        }
        // One of them stands for all: files that go one by one are met when they are grown or sealed.
        let is_there = self.columns.first().is_none_or(Column::is_in_place);
        if !is_there {
            log::error!("{}: {} was removed or replaced while it was being written", self.key, self.path().display());
            self.is_gone.store(true, Ordering::Relaxed);
        }
        is_there
    }

    /// Tells whether what the day has stored was not touched by any of so many failed flushes.
    pub(crate) fn is_sound_after(&self, failed: u64) -> bool {
        self.sound_after.load(Ordering::Acquire) == failed
    }

    /// Gives the failed flushes after which the day is known to be whole.
    pub(crate) fn sound_after(&self) -> u64 {
        self.sound_after.load(Ordering::Acquire)
    }

    /// Notes that the device holds all of the day that it should, after so many failed flushes.
    pub(crate) fn made_good(&self, failed: u64) {
        self.page.trust();
        // Release: after the page says so. Partner: the acquire loads above.
        self.sound_after.store(failed, Ordering::Release);
    }

    /// Remembers what was staged for a flush whose failure could not be made good, to prove later that the cache has kept it.
    pub(crate) fn suspect(&self, staged: Option<&Staged>) {
        let extent = staged.map_or_else(|| self.durable_extent(), |staged| staged.extent.clone());
        self.suspect.lock().get_or_insert(extent);
    }

    /// Tells whether the columns have these bytes, of which the durable ones are known.
    pub(crate) fn has_bytes_of(&self, extent: &Extent) -> bool {
        let known = self.durable_extent();
        let (Ok(from), Ok(to)) = (usize::try_from(known.records), usize::try_from(extent.records)) else { return false };
        let crcs = self.columns.iter().zip(&known.crcs).map(|(column, crc)| crc32c::crc32c_append(*crc, column.committed(from..to)));
        from <= to && crcs.eq(extent.crcs.iter().copied())
    }

    /// Writes down what the closed day holds after a failure that could not be made good: on this boot a reader of the cache can prove it.
    /// Nothing is written where the cache has already lost something.
    pub(crate) fn attest(&self) {
        let suspect = self.suspect.lock().take();
        if suspect.is_none_or(|suspect| !self.has_bytes_of(&suspect)) {
            return;
        }
        let (extent, late) = self.stage().map_or_else(|| (self.durable_extent(), self.late()), |staged| (staged.extent, staged.late));
        self.page.store_witness(Some(&DurableSlot { sequence: 1, generation: self.generation, late, extent }));
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

    /// Gives the table's columns that the day has.
    pub(crate) fn table(&self) -> &'static [schema::Column] {
        self.key.dataset.columns_of(self.set)
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.folder()
    }

    /// Takes down what is committed now and not yet durable, with its checksums; nothing where nothing has changed.
    pub(crate) fn stage(&self) -> Option<Staged> {
        let ledger = self.ledger.lock();
        let late = self.late();
        // No mark: the writer commits faster than it can be read. The next cycle will find one.
        let Mark { count, key } = self.page.mark()?;
        if count == ledger.extent.records && key == ledger.extent.last_key && late == ledger.late {
            return None;
        }
        let (from, to) = (usize::try_from(ledger.extent.records).ok()?, usize::try_from(count).ok()?);
        let crcs = self.columns.iter().zip(&ledger.extent.crcs);
        let crcs = crcs.map(|(column, crc)| crc32c::crc32c_append(*crc, column.committed(from..to))).collect();
        Some(Staged { extent: Extent { records: count, last_key: key, crcs }, late })
    }

    /// Writes the durable slot of what was staged before a flush that has succeeded since. Gives the number of records that became durable.
    pub(crate) fn settle(&self, staged: Staged) -> u64 {
        let mut ledger = self.ledger.lock();
        let gained = staged.extent.records - ledger.extent.records + u64::from(staged.late - ledger.late);
        ledger.sequence += 1;
        if self.dir.step(Step::Slot) == Verdict::Skip {
            ledger.place = 1 - ledger.place;
        }
        let (sequence, place) = (ledger.sequence, ledger.place);
        ledger.place = 1 - place;
        ledger.slot_is_new = true;
        ledger.extent = staged.extent;
        ledger.late = staged.late;
        self.page
            .store_slot(place, &DurableSlot { sequence, generation: self.generation, late: ledger.late, extent: ledger.extent.clone() });
        // Release: after the slot. Partner: the acquire load in `durable`.
        self.durable.store(ledger.extent.records, Ordering::Release);
        drop(ledger);
        self.dir.step(Step::Changed("durable slot"));
        gained
    }

    /// Gives the page cache of what has long been durable back, where that is worth it: a capture of weeks does not push out what others need.
    /// What fails here costs memory, nothing else.
    pub(crate) fn give_back(&self) {
        let widest = self.columns.iter().map(Column::width).max().unwrap_or(1) as u64;
        // Whole pages of every column.
        let step = (self.dir.options().cached_bytes / widest).next_multiple_of(GIVEN_AT_ONCE_RECORDS);
        let from = self.given_back.load(Ordering::Relaxed);
        let to = self.durable().saturating_sub(step) / step * step;
        if to <= from {
            return;
        }
        self.given_back.store(to, Ordering::Relaxed);
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) {
            for column in &self.columns {
                if let Err(error) = column.give_back(from..to) {
                    log::debug!("{error}");
                }
            }
        }
    }

    /// Tells whether a slot was written that no flush has covered yet.
    pub(crate) fn slot_is_new(&self) -> bool {
        self.ledger.lock().slot_is_new
    }

    /// Notes that a flush which began after the newest slot was written has succeeded.
    pub(crate) fn slot_is_flushed(&self) {
        self.ledger.lock().slot_is_new = false;
    }

    /// Gives what is durable: records with their checksums.
    pub(crate) fn durable_extent(&self) -> Extent {
        self.ledger.lock().extent.clone()
    }
}

/// Gives the column that orders a dataset's records and is unique in it; nothing for those that are kept as they came.
pub(crate) fn key_column(dataset: Dataset) -> Option<usize> {
    match dataset {
        Dataset::Trades => dataset.columns().iter().position(|column| column.name == "trade_id"),
        Dataset::Md | Dataset::TickerTrades => None,
    }
}
