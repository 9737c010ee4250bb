//! A column file under a map: [`Column`] for writing, and how a record's values get into and out of columns.
//!
//! 1. The mapping covers the address space of a whole day's records from the start; a file that grows is never mapped again.
//! 2. The descriptor is closed once the file is mapped. Growing opens the file again by its path and makes sure that it is the same file.
//! 3. The time column is stored last, with release ordering, so that a reader who knows nothing of the page may stop at its first 0.
//! 4. A folder that holds fewer columns than the table has fewer maps: values of the other columns are not stored, and not found.

use std::fs::{File, Metadata, OpenOptions};
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{At, MAP, StoreError};
use super::filesystem;
use super::map::{ColumnBases, FrozenMark, OpenRecord, WriteMap};
use super::own_file::FileId;
use crate::schema::{Kind, Layout, Sink, Source};

/// A column file, mapped for writing.
#[derive(Debug)]
pub(crate) struct Column {
    map: Arc<WriteMap>,
    width: usize,
    path: PathBuf,
    device: u64,
    id: FileId,
}

impl Column {
    /// Opens the file and maps it with address space for `records` records. All columns of a day share `frozen`.
    pub(crate) fn open(path: PathBuf, kind: Kind, records: usize, frozen: &FrozenMark) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(&path).at("open", &path)?;
        let found = file.metadata().at("look at", &path)?;
        let width = kind.width();
        let map = WriteMap::new(&file, records, width, Arc::clone(frozen), &path).at(MAP, &path)?;
        Ok(Self { map: Arc::new(map), width, path, device: found.dev(), id: FileId::of(&found) })
    }

    /// Opens the file again, to grow it.
    pub(crate) fn reopen(&self) -> Result<Reopened, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).at("open", &self.path)?;
        let metadata = file.metadata().at("look at", &self.path)?;
        if FileId::of(&metadata) != self.id {
            return Err(StoreError::damaged(&self.path, "another file lies where the mapped one was"));
        }
        Ok(Reopened { file, metadata })
    }

    /// Tells whether the mapped file is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        self.id.is_at(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the number of the device that the file lies on.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Gives the bytes of records that are committed; the caller has loaded the commit mark.
    pub(crate) fn committed(&self, records: std::ops::Range<usize>) -> &[u8] {
        self.map.freeze(records.end);
        self.map.frozen(records)
    }

    /// Writes zeroes over records that hold nothing yet: their pages are in the cache then. Tells whether they are.
    pub(crate) fn write_zeroes(&self, file: &File, records: &std::ops::Range<u64>) -> bool {
        let part = records.start * self.width as u64..records.end * self.width as u64;
        !part.is_empty() && filesystem::write_zeroes(file, part).is_ok()
    }

    /// Makes the pages of records present, so that storing them does not fault. They lie below the file's length.
    pub(crate) fn populate(&self, records: &std::ops::Range<u64>) {
        if let (Ok(start), Ok(end)) = (usize::try_from(records.start), usize::try_from(records.end)) {
            self.map.populate(start * self.width..end * self.width);
        }
    }

    /// Unmaps the pages of records, stored or not. Where the system refuses that, they stay mapped.
    pub(crate) fn unmap(&self, records: std::ops::Range<usize>) {
        let _ = self.map.unmap(records.start * self.width..records.end * self.width);
    }

    /// Gives the page cache of frozen records back to the system, as far as nobody else has them mapped. They are on disk.
    pub(crate) fn release_cache(&self, records: std::ops::Range<usize>) -> Result<(), StoreError> {
        let file = self.reopen()?.file;
        let (offset, len) = ((records.start * self.width) as u64, (records.len() * self.width) as u64);
        self.map.unmap(records.start * self.width..records.end * self.width).at("release", &self.path)?;
        filesystem::drop_cache(&file, offset, len).at("release", &self.path)
    }

    /// Loads an 8-byte value.
    pub(crate) fn load_u64(&self, record: usize) -> u64 {
        self.map.load_u64(record * self.width)
    }
}

/// A column's file, opened again.
pub(crate) struct Reopened {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
}

/// Gives the places that the day's writer stores to.
pub(crate) fn bases(columns: &[Column]) -> ColumnBases {
    ColumnBases::new(columns.iter().map(|column| Arc::clone(&column.map)).collect())
}

/// Stores one record's values, the time last.
pub(crate) struct Appender<'a, L> {
    record: OpenRecord<'a>,
    time: u32,
    layout: PhantomData<L>,
}

impl<'a, L: Layout> Appender<'a, L> {
    /// Stores `row` as record number `record`.
    #[inline]
    pub(crate) fn append(bases: &'a ColumnBases, record: usize, row: &L::Row) {
        let mut appender = Self { record: bases.record(record), time: 0, layout: PhantomData };
        L::store(row, &mut appender);
        appender.record.store_u32_last(L::TIME, appender.time);
    }
}

impl<L: Layout> Sink for Appender<'_, L> {
    #[inline(always)]
    fn u32(&mut self, column: usize, value: u32) {
        if column == L::TIME {
            self.time = value;
        } else {
            self.record.store_u32(column, value);
        }
    }

    #[inline(always)]
    fn u64(&mut self, column: usize, value: u64) {
        self.record.store_u64(column, value);
    }

    #[inline(always)]
    fn f32(&mut self, column: usize, value: f32) {
        self.record.store_u32(column, value.to_bits());
    }

    #[inline(always)]
    fn f64(&mut self, column: usize, value: f64) {
        self.record.store_u64(column, value.to_bits());
    }

    #[inline(always)]
    fn uuid(&mut self, column: usize, value: [u8; 16]) {
        self.record.store_uuid(column, value);
    }
}

/// Loads the values of one stored record, committed or not.
pub(crate) struct StoredRecord<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) record: usize,
}

impl Source for StoredRecord<'_> {
    fn u32(&self, column: usize) -> Option<u32> {
        self.columns.get(column).map(|column| column.map.load_u32(self.record * 4))
    }

    fn u64(&self, column: usize) -> Option<u64> {
        self.columns.get(column).map(|column| column.map.load_u64(self.record * 8))
    }

    fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.columns.get(column).map(|column| column.map.load_uuid(self.record * 16))
    }
}

/// Gives a record from any source.
#[inline(always)]
pub(crate) fn load<L: Layout>(source: &impl Source) -> L::Row {
    let mut row = L::EMPTY;
    L::load(source, &mut row);
    row
}
