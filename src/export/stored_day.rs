//! [`StoredDay`]: the chosen records of a dataset-day, late ones in their place, block by block and column by column.
//!
//! 1. A block without a late record is a view of the mapped columns: nothing is copied.
//! 2. The records of a time range are chosen by each record's own time, as times may fall a little.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::error::ExportError;
use crate::json::Object;
use crate::schema::{Column, Dataset, Layout, Value, with_layout};
use crate::store::{DayKey, DayState, Run as StoredRun, Snapshot, StoreError};
use crate::stored;
use crate::time_range::TimeRange;

/// The columns of a day, whichever dataset it is of.
trait Columns: Send + Sync {
    fn bytes(&self, column: usize) -> &[u8];
    fn release(&self, records: Range<usize>);
    fn has_lost_pages(&self) -> bool;
    fn check_lengths(&self) -> Result<(), StoreError>;
}

impl<L: Layout> Columns for Snapshot<L> {
    fn bytes(&self, column: usize) -> &[u8] {
        self.column_bytes(column)
    }

    fn release(&self, records: Range<usize>) {
        Self::release(self, records);
    }

    fn has_lost_pages(&self) -> bool {
        Self::has_lost_pages(self)
    }

    fn check_lengths(&self) -> Result<(), StoreError> {
        Self::check_lengths(self)
    }
}

/// A mapped column. It stays mapped as long as this is kept.
#[cfg(feature = "export")]
pub(super) struct SharedColumn {
    columns: Arc<dyn Columns>,
    column: usize,
}

#[cfg(feature = "export")]
impl AsRef<[u8]> for SharedColumn {
    fn as_ref(&self) -> &[u8] {
        self.columns.bytes(self.column)
    }
}

/// Records that follow each other in the merged order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Run {
    /// These records of the columns.
    Columns(Range<usize>),
    /// A late record, by its place among them in the merged order.
    Late(usize),
}

/// What a day's files are, so that an exported file can be told to be of them: checksums of the columns, and of the late records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Records of the columns.
    pub records: u64,
    /// Late records.
    pub late: u64,
    /// CRC32C of each column.
    pub crcs: Vec<(&'static str, u32)>,
    /// CRC32C of the late records' values.
    pub late_crc: u32,
}

impl Content {
    /// Gives the checksums as a JSON object: a column's name and eight hex digits each, and `late` where there are late records.
    pub(super) fn crcs_json(&self) -> String {
        let late = (self.late > 0).then_some(("late", self.late_crc));
        let all = self.crcs.iter().copied().chain(late);
        all.fold(Object::default(), |object, (name, crc)| object.text(name, &format!("{crc:08x}"))).done()
    }
}

/// A dataset-day that is open, with the records that were chosen.
pub(super) struct StoredDay {
    key: DayKey,
    state: DayState,
    table: &'static [Column],
    columns: Arc<dyn Columns>,
    /// The late records, column by column.
    late: Vec<Vec<u8>>,
    runs: Vec<Run>,
    content: Content,
}

impl StoredDay {
    /// Opens a day and checks its checksums. Gives nothing where it is being made.
    ///
    /// # Errors
    /// Where it cannot be read, or its bytes are not what was written.
    pub(super) fn open(dir: &Path, key: &DayKey) -> Result<Option<Self>, ExportError> {
        with_layout!(key.dataset, L => {
            let Some(snapshot) = Snapshot::<L>::open(dir, &key.product, key.date)? else { return Ok(None) };
            match snapshot.check()?.first() {
                Some(fault) => Err(ExportError::DamagedDay { what: format!("{}: {}", fault.path.display(), fault.what) }),
                None => Ok(Some(Self::of(snapshot))),
            }
        })
    }

    /// Opens a day without looking at its bytes: what its content is stays open.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn open_unchecked(dir: &Path, key: &DayKey) -> Result<Option<Self>, ExportError> {
        with_layout!(key.dataset, L => {
            Ok(Snapshot::<L>::open(dir, &key.product, key.date)?.map(Self::of_unchecked))
        })
    }

    /// Takes over a day likewise.
    pub(super) fn of_unchecked<L: Layout>(snapshot: Snapshot<L>) -> Self {
        let table = snapshot.columns();
        let (runs, late) = merged(&snapshot, table);
        let content = Content { records: 0, late: 0, crcs: Vec::new(), late_crc: 0 };
        Self { key: snapshot.key().clone(), state: snapshot.state(), table, columns: Arc::new(snapshot), late, runs, content }
    }

    fn of<L: Layout>(snapshot: Snapshot<L>) -> Self {
        let table = snapshot.columns();
        let (runs, late) = merged(&snapshot, table);
        let crcs = match snapshot.checksums() {
            Some(crcs) => crcs,
            None => (0..table.len()).map(|at| crc32c::crc32c(snapshot.column_bytes(at))).collect(),
        };
        let content = Content {
            records: snapshot.base_count() as u64,
            late: snapshot.late().len() as u64,
            crcs: table.iter().map(|column| column.name).zip(crcs).collect(),
            late_crc: late.iter().fold(0, |crc, bytes| crc32c::crc32c_append(crc, bytes)),
        };
        Self { key: snapshot.key().clone(), state: snapshot.state(), table, columns: Arc::new(snapshot), late, runs, content }
    }

    /// Keeps only the records of a time range.
    pub(super) fn choose(&mut self, range: TimeRange) {
        if range == TimeRange::ALL {
            return;
        }
        let mut chosen: Vec<Run> = Vec::new();
        for run in std::mem::take(&mut self.runs) {
            let block = self.block_of(std::slice::from_ref(&run));
            let mut is_in = block.times().map(|time| range.contains(time));
            match run {
                Run::Late(number) => chosen.extend(is_in.next().filter(|is_in| *is_in).map(|_| Run::Late(number))),
                Run::Columns(records) => {
                    let mut begun = None;
                    for (at, is_in) in records.clone().zip(is_in) {
                        match (is_in, begun) {
                            (true, None) => begun = Some(at),
                            (false, Some(first)) => {
                                chosen.push(Run::Columns(first..at));
                                begun = None;
                            }
                            _ => {}
                        }
                    }
                    chosen.extend(begun.map(|first| Run::Columns(first..records.end)));
                }
            }
        }
        self.runs = chosen;
    }

    /// Gives whose day it is.
    pub(super) fn key(&self) -> &DayKey {
        &self.key
    }

    /// Gives the dataset.
    pub(super) fn dataset(&self) -> Dataset {
        self.key.dataset
    }

    /// Gives the day's state.
    pub(super) fn state(&self) -> DayState {
        self.state
    }

    /// Gives the chosen records, run by run.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Gives a column's bytes, without late records.
    pub(super) fn column_bytes(&self, at: usize) -> &[u8] {
        self.columns.bytes(at)
    }

    /// Gives the memory of some records of the columns back, until they are looked at again.
    pub(super) fn release(&self, records: Range<usize>) {
        self.columns.release(records);
    }

    /// Fails where a file of the day was cut since it was opened, or its device was lost. `is_end` also looks at the lengths of the files: whoever gives
    /// records to others asks so behind the last one.
    pub(super) fn check_not_cut(&self, is_end: bool) -> Result<(), ExportError> {
        if is_end || self.columns.has_lost_pages() {
            self.columns.check_lengths()?;
        }
        Ok(())
    }

    /// Gives the columns that are stored.
    pub(super) fn columns(&self) -> &'static [Column] {
        self.table
    }

    /// Gives what the day's files are, whichever records were chosen.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// Counts the chosen records.
    pub(super) fn rows(&self) -> usize {
        self.runs.iter().map(run_rows).sum()
    }

    /// Gives the chosen records in blocks of `rows`; the last one may have fewer.
    pub(super) fn blocks(&self, rows: usize) -> impl Iterator<Item = Block<'_>> {
        let mut left = self.runs.clone().into_iter().rev().collect::<Vec<_>>();
        std::iter::from_fn(move || {
            let (mut runs, mut room) = (Vec::new(), rows.max(1));
            while room > 0 {
                match left.pop() {
                    None => break,
                    Some(Run::Columns(range)) if range.len() > room => {
                        left.push(Run::Columns(range.start + room..range.end));
                        runs.push(Run::Columns(range.start..range.start + room));
                        room = 0;
                    }
                    Some(run) => {
                        room -= run_rows(&run);
                        runs.push(run);
                    }
                }
            }
            (!runs.is_empty()).then(|| self.block_of(&runs))
        })
    }

    /// Gives the records of some runs.
    pub(super) fn block_of(&self, runs: &[Run]) -> Block<'_> {
        let rows = runs.iter().map(run_rows).sum();
        let columns = self.table.iter().enumerate().map(|(at, column)| {
            let width = column.kind.width();
            if let [Run::Columns(range)] = runs {
                return Cow::Borrowed(cut(self.columns.bytes(at), range, width));
            }
            let mut bytes = Vec::with_capacity(rows * width);
            for run in runs {
                bytes.extend_from_slice(match run {
                    Run::Columns(range) => cut(self.columns.bytes(at), range, width),
                    Run::Late(number) => cut(self.late.get(at).map_or(&[], Vec::as_slice), &(*number..number + 1), width),
                });
            }
            Cow::Owned(bytes)
        });
        let block = Block::new(self.key.dataset, self.table, columns.collect(), rows);
        if let [Run::Columns(range)] = runs {
            return block.mapped_from(range.start);
        }
        block
    }

    /// Shares a mapped column for as long as it is wanted.
    #[cfg(feature = "export")]
    pub(super) fn share(&self, column: usize) -> SharedColumn {
        SharedColumn { columns: Arc::clone(&self.columns), column }
    }
}

/// Counts the records of a run.
pub(super) fn run_rows(run: &Run) -> usize {
    match run {
        Run::Columns(range) => range.len(),
        Run::Late(_) => 1,
    }
}

fn cut<'a>(bytes: &'a [u8], records: &Range<usize>, width: usize) -> &'a [u8] {
    bytes.get(records.start * width..records.end * width).unwrap_or_default()
}

/// Gives the merged order, and the late records in that order, column by column.
fn merged<L: Layout>(snapshot: &Snapshot<L>, table: &[Column]) -> (Vec<Run>, Vec<Vec<u8>>) {
    let (mut runs, mut columns, mut late) = (Vec::new(), vec![Vec::new(); table.len()], 0);
    let mut values = Vec::new();
    for run in snapshot.runs(0..snapshot.count()) {
        match run {
            StoredRun::Columns(records) => runs.push(Run::Columns(records)),
            StoredRun::Late(row) => {
                stored::of_row::<L>(row, &mut values);
                columns.iter_mut().zip(&values).for_each(|(column, value)| put(column, *value));
                runs.push(Run::Late(late));
                late += 1;
            }
        }
    }
    (runs, columns)
}

/// Adds the bytes of a value to a column.
pub(super) fn put(column: &mut Vec<u8>, value: Value) {
    match value {
        Value::U32(value) => column.extend(value.to_le_bytes()),
        Value::U64(value) => column.extend(value.to_le_bytes()),
        Value::F32(value) => column.extend(value.to_le_bytes()),
        Value::F64(value) => column.extend(value.to_le_bytes()),
        Value::Uuid(value) => column.extend(value),
    }
}
