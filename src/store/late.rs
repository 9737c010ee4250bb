//! Late records: those that belong before what a day already holds, kept beside it in `late.{date}.bin` until it is sealed.
//!
//! 1. A late record is `{crc32c, generation, payload}`: it has a checksum of its own, so recovery takes the longest valid front of the file.
//! 2. The payload is the record's values in the order of the folder's columns, as wide as in the columns.
//! 3. A record of another generation is void: the files have been replaced since, and hold it.
//! 4. Of two late records with one key the later counts; over a record in the columns a late one counts.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::column::load;
use super::error::{At, StoreError};
use super::own_file::{FileId, open_plain};
use super::{filesystem, space};
use crate::schema::{Column, Layout, Sink, Source};

/// Bytes before the payload: CRC and generation.
const HEAD: usize = 8;
/// Bytes that are allocated ahead.
const AHEAD: u64 = 64 << 10;

/// Gives the bytes of one late record of these columns.
pub(crate) fn record_bytes(columns: &[Column]) -> usize {
    HEAD + payload_bytes(columns)
}

/// Gives the bytes of one payload of these columns.
pub(crate) fn payload_bytes(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.kind.width()).sum()
}

/// Gives the part of a payload that is a column's value.
pub(crate) fn value<'a>(columns: &[Column], payload: &'a [u8], column: usize) -> Option<&'a [u8]> {
    let start = columns.get(..column).map(payload_bytes)?;
    payload.get(start..start + columns.get(column)?.kind.width())
}

/// The late records of a dataset-day as they lie in the file: the payloads of its valid front.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Payloads {
    pub(crate) bytes: Vec<u8>,
    width: usize,
}

impl Payloads {
    /// Reads the valid front of the file, at most `most` records. A missing file has none.
    pub(crate) fn read(path: &Path, columns: &[Column], generation: u32, most: u64) -> Result<Self, StoreError> {
        Self::read_from(path, columns, generation, 0, most)
    }

    /// Reads the valid records behind the first `skip`, at most `most`. Reads little more of the file than those.
    pub(crate) fn read_from(path: &Path, columns: &[Column], generation: u32, skip: u64, most: u64) -> Result<Self, StoreError> {
        let (width, size) = (payload_bytes(columns), record_bytes(columns));
        let mut payloads = Self { bytes: Vec::new(), width };
        if most == 0 {
            return Ok(payloads);
        }
        let file = match open_plain(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(payloads),
            Err(error) => return Err(error).at("open", path),
        };
        let mut left = usize::try_from(most).unwrap_or(usize::MAX);
        let mut offset = skip.saturating_mul(size as u64);
        let mut buffer = vec![0; left.min(READ_AT_ONCE) * size];
        loop {
            buffer.truncate(left.min(READ_AT_ONCE) * size);
            let found = read_full(&file, &mut buffer, offset).at("read", path)?;
            let before = payloads.len();
            payloads.bytes.extend(
                buffer.get(..found).unwrap_or_default().chunks_exact(size).map_while(|record| payload(record, generation)).flatten(),
            );
            let whole = payloads.len() - before;
            (left, offset) = (left - whole, offset + (whole * size) as u64);
            if left == 0 || whole < READ_AT_ONCE {
                return Ok(payloads);
            }
        }
    }

    /// Adds those that were read behind these.
    pub(crate) fn append(&mut self, behind: &Self) {
        self.width = behind.width;
        self.bytes.extend_from_slice(&behind.bytes);
    }

    /// Gives the payload of record `number`.
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        let start = number.checked_mul(self.width)?;
        self.bytes.get(start..start.checked_add(self.width)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().checked_div(self.width).unwrap_or(0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.width.max(1))
    }
}

/// Late records that are read at once.
const READ_AT_ONCE: usize = 512;

/// Fills `bytes` from a file as far as it goes. Gives the bytes read.
fn read_full(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Gives the payload of a record that is whole and of this generation.
fn payload(record: &[u8], generation: u32) -> Option<&[u8]> {
    let (crc, rest) = record.split_first_chunk::<4>()?;
    let (of, payload) = rest.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*crc) == crc32c::crc32c(rest) && u32::from_le_bytes(*of) == generation).then_some(payload)
}

/// The late file of a day that is open for writing.
#[derive(Debug)]
pub(crate) struct LateFile {
    path: PathBuf,
    size: usize,
    generation: u32,
    file: Option<File>,
    allocated: u64,
    record: Vec<u8>,
}

impl LateFile {
    pub(crate) fn new(path: PathBuf, columns: &[Column], generation: u32) -> Self {
        Self { path, size: record_bytes(columns), generation, file: None, allocated: 0, record: Vec::new() }
    }

    fn open(&self) -> Result<File, StoreError> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path).at("open", &self.path)
    }

    /// Opens the file that is there, so that its records can still be read when somebody has removed it.
    pub(crate) fn keep_open(&mut self) -> Result<(), StoreError> {
        self.file = Some(self.open()?);
        Ok(())
    }

    /// Tells which file is open.
    pub(crate) fn id(&self) -> Option<FileId> {
        FileId::of_file(self.file.as_ref()?).ok()
    }

    /// Gives the first `records` records as they lie in the file.
    pub(crate) fn raw(&self, records: u32) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(u64::from(records) * self.size as u64).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        if let Some(file) = self.file.as_ref().filter(|_| records > 0) {
            file.read_exact_at(&mut bytes, 0).at("read", &self.path)?;
        }
        Ok(bytes)
    }

    /// Writes a row as late record number `at`. It does not count before it is committed.
    pub(crate) fn write<L: Layout>(&mut self, at: u32, row: &L::Row, columns: &[Column]) -> Result<(), StoreError> {
        let offset = u64::from(at) * self.size as u64;
        let end = offset + self.size as u64;
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        if end > self.allocated {
            self.allocated = self.allocated.max(space::allocated(&file).at("look at", &self.path)?);
        }
        if end > self.allocated {
            let len = end.next_multiple_of(AHEAD);
            filesystem::allocate_beside_reserve(&file, self.allocated, len, &self.path)?;
            self.allocated = len;
        }
        self.record.clear();
        self.record.extend([0; 4]);
        self.record.extend(self.generation.to_le_bytes());
        L::store(row, &mut Payload { bytes: &mut self.record, columns: columns.len() });
        let crc = crc32c::crc32c(self.record.get(4..).unwrap_or_default()).to_le_bytes();
        if let Some(head) = self.record.first_chunk_mut::<4>() {
            *head = crc;
        }
        let written = file.write_all_at(&self.record, offset).at("write", &self.path);
        self.file = Some(file);
        written
    }
}

/// Gives a record as a folder of these columns holds it: without the values that it has no column for.
pub(crate) fn as_held<L: Layout>(row: &L::Row, columns: &[Column]) -> L::Row {
    let mut bytes = Vec::with_capacity(payload_bytes(columns));
    L::store(row, &mut Payload { bytes: &mut bytes, columns: columns.len() });
    load::<L>(&LateValues { payload: &bytes, columns })
}

/// Puts a record's values one behind the other. The table's order is the order in which a layout stores them.
struct Payload<'a> {
    bytes: &'a mut Vec<u8>,
    columns: usize,
}

impl Payload<'_> {
    fn put(&mut self, column: usize, value: &[u8]) {
        if column < self.columns {
            self.bytes.extend(value);
        }
    }
}

impl Sink for Payload<'_> {
    fn u32(&mut self, column: usize, value: u32) {
        self.put(column, &value.to_le_bytes());
    }

    fn u64(&mut self, column: usize, value: u64) {
        self.put(column, &value.to_le_bytes());
    }

    fn f32(&mut self, column: usize, value: f32) {
        self.put(column, &value.to_le_bytes());
    }

    fn f64(&mut self, column: usize, value: f64) {
        self.put(column, &value.to_le_bytes());
    }

    fn uuid(&mut self, column: usize, value: [u8; 16]) {
        self.put(column, &value);
    }
}

/// Gives the values of one late record.
pub(crate) struct LateValues<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) columns: &'a [Column],
}

impl LateValues<'_> {
    fn bytes<const N: usize>(&self, column: usize) -> Option<[u8; N]> {
        value(self.columns, self.payload, column)?.first_chunk().copied()
    }
}

impl Source for LateValues<'_> {
    fn u32(&self, column: usize) -> Option<u32> {
        self.bytes(column).map(u32::from_le_bytes)
    }

    fn u64(&self, column: usize) -> Option<u64> {
        self.bytes(column).map(u64::from_le_bytes)
    }

    fn uuid(&self, column: usize) -> Option<[u8; 16]> {
        self.bytes(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{OrderId, Trade};
    use crate::schema::{ColumnSet, Dataset, Trades};
    use crate::time::UnixNanos;

    fn trade(id: u64) -> Trade {
        let price = crate::decimal::parse(b"64841.44").expect("a price");
        Trade { trade_id: id, time: UnixNanos(id * 1_000_000_007), price, size: price, maker_order_id: OrderId([3; 16]), ..Trades::EMPTY }
    }

    #[test]
    fn late_records_come_back_as_they_were_and_a_damaged_one_ends_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("late");
        for set in [ColumnSet::Core, ColumnSet::Full] {
            let columns = Dataset::Trades.columns_of(set);
            let mut file = LateFile::new(path.clone(), columns, 4);
            for at in 0..5 {
                file.write::<Trades>(at, &trade(u64::from(at) + 1), columns).expect("written");
            }
            let read = |generation, most| Payloads::read(&path, columns, generation, most).expect("read");
            let rows: Vec<Trade> = read(4, 9).iter().map(|payload| load::<Trades>(&LateValues { payload, columns })).collect();
            assert_eq!(rows.iter().map(|row| (row.trade_id, row.time, row.maker_order_id)).collect::<Vec<_>>().len(), 5);
            for (at, row) in rows.iter().enumerate() {
                let want = trade(at as u64 + 1);
                assert_eq!(
                    (row.trade_id, row.time, row.maker_order_id, row.price.as_f32),
                    (want.trade_id, want.time, want.maker_order_id, want.price.as_f32)
                );
                assert_eq!(set == ColumnSet::Full, *row == want, "the core cannot hold cents");
            }
            assert_eq!((read(4, 2).len(), read(4, 0).len(), read(5, 9).len()), (2, 0, 0));
            for skip in 0..7 {
                let behind = Payloads::read_from(&path, columns, 4, skip, 9).expect("read");
                let all = read(4, 9);
                let want: Vec<&[u8]> = all.iter().skip(usize::try_from(skip).expect("few")).collect();
                assert_eq!(behind.iter().collect::<Vec<_>>(), want, "behind the first {skip}");
            }
            let mut raw = std::fs::read(&path).expect("read");
            raw[record_bytes(columns) * 3 + 20] ^= 1;
            std::fs::write(&path, raw).expect("written");
            assert_eq!(read(4, 9).len(), 3);
            std::fs::remove_file(&path).expect("removed");
        }
    }
}
