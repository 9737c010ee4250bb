//! Arrow IPC: one file a day, with the columns of the Parquet files.
//!
//! Buffers are written uncompressed: a reader maps them. Columns that are exported as they are stored go from the map to the file: nothing is copied between.
//! Where a second thread may work on the file, it makes the next batches while one is written.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use bytes::Bytes;

use super::block::{Block, Stored};
use super::config::ExportTypes;
use super::error::ExportError;
use super::format::{FileFormat, OpenFile, PlannedFile, ProductDays, Written, one_file_a_day, partition};
use super::output::Output;
use super::stored_day::StoredDay;
use super::table::{self, ExportColumn, Kind, Present, Values};

/// Records of a batch: few enough that what is made of them stays in the processor's cache, enough that a write is worth its cost.
const BATCH_ROWS: usize = 1 << 15;

/// Batches that are made before the one that is written.
const AHEAD_BATCHES: usize = 2;

/// The format, with its types.
pub(super) struct Arrow {
    types: ExportTypes,
}

impl Arrow {
    /// Takes over the types.
    pub(super) fn new(types: ExportTypes) -> Self {
        Self { types }
    }

    /// Gives the schema of columns.
    pub(super) fn schema<'c>(&self, columns: impl IntoIterator<Item = &'c ExportColumn>) -> Schema {
        let fields = columns.into_iter().map(|column| {
            let mut metadata = HashMap::from([("doc".to_owned(), column.doc.to_owned())]);
            if column.kind == Kind::OrderId && self.types == ExportTypes::Rich {
                metadata.insert("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
            }
            Field::new(column.name, self.data_type(column), column.is_nullable).with_metadata(metadata)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn data_type(&self, column: &ExportColumn) -> DataType {
        match column.kind {
            Kind::Time => DataType::Timestamp(self.unit(), Some("UTC".into())),
            Kind::Int64 => DataType::Int64,
            Kind::Int32 => DataType::Int32,
            Kind::Double => DataType::Float64,
            Kind::Name => DataType::Utf8,
            Kind::OrderId => DataType::FixedSizeBinary(16),
        }
    }

    fn unit(&self) -> TimeUnit {
        match self.types {
            ExportTypes::Safe => TimeUnit::Microsecond,
            ExportTypes::Rich => TimeUnit::Nanosecond,
        }
    }

    fn write_rows(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<u64, Stopped> {
        let Some(day) = file.days.first() else { return Ok(0) };
        let metadata: HashMap<String, String> = file.metadata().into_iter().collect();
        let schema = Arc::new(self.schema(table::columns(day.dataset())).with_metadata(metadata));
        let mut writer = FileWriter::try_new(out, &schema)?;
        let (mut arrays, mut rows) = (Arrays::of(self, day), 0);
        let batches = day.blocks(BATCH_ROWS).map(|block| {
            let columns = table::columns(block.dataset()).iter().enumerate();
            let columns = columns.map(|(at, column)| arrays.array(at, column, &block)).collect::<Result<Vec<_>, Stopped>>()?;
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        each_ahead(file.threads, batches, |batch: Result<RecordBatch, Stopped>| {
            let batch = batch?;
            writer.write(&batch)?;
            rows += batch.num_rows() as u64;
            done(batch.num_rows() as u64);
            Ok::<(), Stopped>(())
        })?;
        writer.finish()?;
        Ok(rows)
    }
}

/// Takes each item of a list, in order. With more than one thread the next ones are made on a thread of their own, `export:make`, which ends with the call.
fn each_ahead<T: Send, E>(
    threads: NonZeroUsize,
    mut items: impl Iterator<Item = T> + Send,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    if threads.get() > 1 {
        std::thread::scope(|scope| {
            let (sender, made) = crossbeam_channel::bounded(AHEAD_BATCHES);
            let ahead = &mut items;
            let body = move || {
                for item in ahead {
                    if sender.send(item).is_err() {
                        return;
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().name("export:make".to_owned()).spawn_scoped(scope, body) {
                log::warn!("no thread export:make: {error}");
                return Ok(());
            }
            // Where it ends early, the channel ends with it, and so does the thread.
            made.iter().try_for_each(&mut take)
        })?;
    }
    // All of them, where there was no other thread; else nothing.
    items.try_for_each(take)
}

/// Makes arrays of columns.
pub(super) struct Arrays<'a> {
    format: &'a Arrow,
    day: &'a StoredDay,
    /// The mapped columns that are shared with the arrays, by their places.
    shared: HashMap<usize, Buffer>,
    /// The last array of names of each exported column that has the same name in every row: the next one is nearly always the same.
    uniform: HashMap<usize, (u8, ArrayRef)>,
}

impl<'a> Arrays<'a> {
    /// Begins with a day.
    pub(super) fn of(format: &'a Arrow, day: &'a StoredDay) -> Self {
        Self { format, day, shared: HashMap::new(), uniform: HashMap::new() }
    }

    /// Makes the array of a column of a block of the day. `at` is its place among the columns.
    pub(super) fn array(&mut self, at: usize, column: &ExportColumn, block: &Block<'_>) -> Result<ArrayRef, Stopped> {
        let is_micros = column.kind == Kind::Time && self.format.unit() == TimeUnit::Microsecond;
        if is_micros {
            return Ok(Arc::new(TimestampMicrosecondArray::new(table::micros(block).into(), None).with_timezone("UTC")));
        }
        let (values, present) = (column.fill)(block)?;
        if let (Values::Names(places, names), Present::All) = (&values, &present) {
            return self.names(at, places, names);
        }
        let nulls = match present {
            Present::All => None,
            Present::None => Some(NullBuffer::new_null(block.rows())),
            Present::Some(marks) => Some(NullBuffer::from(marks)),
        };
        Ok(match values {
            Values::Stored(stored) => self.stored(column, stored, nulls)?,
            Values::Int64(values) if column.kind == Kind::Time => {
                Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Values::Int64(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(values.into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Names(places, names) => Arc::new(strings(&places, names, nulls)?),
            Values::Nothing => new_null_array(&self.format.data_type(column), block.rows()),
        })
    }

    fn stored(&mut self, column: &ExportColumn, stored: Stored<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        let buffer = match stored.first {
            Some(first) => {
                let mapped =
                    self.shared.entry(stored.column).or_insert_with(|| Buffer::from(Bytes::from_owner(self.day.share(stored.column))));
                let width = if column.kind == Kind::OrderId { 16 } else { 8 };
                mapped.slice_with_length(first * width, stored.bytes.len())
            }
            // Copied as numbers, so that they lie as numbers must.
            None => Buffer::from_iter(stored.values::<8>().iter().map(|bytes| u64::from_le_bytes(*bytes))),
        };
        Ok(match column.kind {
            Kind::OrderId => Arc::new(FixedSizeBinaryArray::try_new(16, buffer, nulls)?),
            Kind::Double => Arc::new(Float64Array::new(ScalarBuffer::from(buffer), nulls)),
            _ => Arc::new(Int64Array::new(ScalarBuffer::from(buffer), nulls)),
        })
    }

    /// Makes texts of names where every row has one.
    fn names(&mut self, at: usize, places: &[u8], names: &[&str]) -> Result<ArrayRef, Stopped> {
        let Some(first) = places.first().copied().filter(|first| places.iter().fold(true, |all, place| all & (place == first))) else {
            return Ok(Arc::new(strings(places, names, None)?));
        };
        if let Some((place, array)) = self.uniform.get(&at)
            && *place == first
            && array.len() == places.len()
        {
            return Ok(Arc::clone(array));
        }
        let array: ArrayRef = Arc::new(strings(places, names, None)?);
        self.uniform.insert(at, (first, Arc::clone(&array)));
        Ok(array)
    }
}

/// Bytes of the longest name.
const LONGEST_NAME: usize = 8;

/// Makes texts of places in a list of names. A place that is none gives an empty text, which is null.
fn strings(places: &[u8], names: &[&str], nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
    // Each text is stored as if it were as long as the longest one, and the next one is put over its end: no loop over the bytes of a name.
    let padded: Vec<([u8; LONGEST_NAME], usize)> = names
        .iter()
        .map(|name| {
            let mut bytes = [0; LONGEST_NAME];
            bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
            (bytes, name.len().min(LONGEST_NAME))
        })
        .collect();
    let mut text = vec![0; (places.len() + 1) * LONGEST_NAME];
    let mut end = 0;
    let mut offsets: Vec<i32> = vec![0; places.len() + 1];
    for (place, offset) in places.iter().zip(offsets.iter_mut().skip(1)) {
        if let (Some((bytes, len)), Some(room)) = (padded.get(usize::from(*place)), text.get_mut(end..end + LONGEST_NAME)) {
            room.copy_from_slice(bytes);
            end += len;
        }
        // A batch of short names never reaches the end of an i32.
        *offset = i32::try_from(end).unwrap_or(i32::MAX);
    }
    text.truncate(end);
    StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(text), nulls)
}

/// What ended the writing of a file.
pub(super) enum Stopped {
    /// A value does not fit.
    Value(ExportError),
    /// The writer failed.
    Writer(ArrowError),
}

impl From<ExportError> for Stopped {
    fn from(error: ExportError) -> Self {
        Self::Value(error)
    }
}

impl From<ArrowError> for Stopped {
    fn from(error: ArrowError) -> Self {
        Self::Writer(error)
    }
}

impl FileFormat for Arrow {
    fn files(&self, product: &ProductDays<'_>) -> Result<Vec<PlannedFile>, ExportError> {
        Ok(one_file_a_day(product))
    }

    fn path(&self, file: &OpenFile<'_>) -> Result<PathBuf, ExportError> {
        Ok(partition(file, "arrow"))
    }

    fn write(&self, file: &OpenFile<'_>, out: &mut Output, done: &dyn Fn(u64)) -> Result<Written, ExportError> {
        match self.write_rows(file, &mut *out, done) {
            Ok(rows) => Ok(Written { rows, ..Written::default() }),
            Err(Stopped::Value(error)) => Err(error),
            Err(Stopped::Writer(error)) => Err(out.failure(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_in_order_with_one_thread_or_two_and_an_error_ends_both() {
        for threads in [1, 2, 3] {
            let threads = NonZeroUsize::new(threads).expect("above 0");
            let mut taken = Vec::new();
            let all = each_ahead(threads, 0..1000, |item| {
                taken.push(item);
                Ok::<(), ()>(())
            });
            assert_eq!((all, taken), (Ok(()), (0..1000).collect()));
            let mut count = 0;
            let ended = each_ahead(threads, 0.., |item: u64| {
                count += 1;
                if item == 20 { Err(item) } else { Ok(()) }
            });
            assert_eq!((ended, count), (Err(20), 21));
        }
    }

    #[test]
    fn names_become_texts_and_no_name_is_cut() {
        let names = ["live", "snapshot", "rest", "tape"];
        assert!(names.iter().chain(&["exchange", "advanced", "buy", "sell"]).all(|name| name.len() <= LONGEST_NAME));
        let places = [0, 1, 1, 9, 2, 3, 0];
        let nulls = NullBuffer::from(places.map(|place| place != 9).to_vec());
        let array = strings(&places, &names, Some(nulls)).expect("texts");
        let texts: Vec<Option<&str>> = array.iter().collect();
        assert_eq!(texts, [Some("live"), Some("snapshot"), Some("snapshot"), None, Some("rest"), Some("tape"), Some("live")]);
        assert_eq!(strings(&[], &names, None).expect("none").len(), 0);
    }
}
